/* The parts of the receiver. */
#ifndef PF_TEST_RECEIVER_H
#define PF_TEST_RECEIVER_H

/* journal.c: listens at a path and writes what comes to a file, until it is ended. */
int receive_journal(const char *path, const char *to);

#endif
