/* The worker: `parfocal process`, the role that knows pixels.
 *
 * A process of its own, because decoders may be attacked or run out of memory. Reads the commands of
 * service/PROTOCOL.md on standard input and writes events on standard output; ends with status 0 at
 * the end of its input, when all commands are done. Commands are carried out in their order; only
 * decoding runs ahead (process/pipeline.h).
 */
#ifndef PF_WORKER_H
#define PF_WORKER_H

/* argv[0] is the command's name. Returns the exit status: 0, 1 failure, 2 wrong options. */
int pf_process_main(int argc, char **argv);

#endif
