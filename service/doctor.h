/* `parfocal doctor`: what is here, what is missing, and the command that mends it.
 *
 * The whole of a process; argv[0] is "doctor". Changes nothing but a probe file that it removes at
 * once from a directory it was asked about. Without options it looks at the installed service; as root, as its
 * user and within what its unit allows. Returns the exit status (service/help.h): 1 when a
 * check says FAIL.
 */
#ifndef PF_DOCTOR_H
#define PF_DOCTOR_H

int pf_doctor_main(int argc, char **argv);

#endif
