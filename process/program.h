/* Running another program: without a shell, its output line by line, within a time limit, and never
 * longer than this process lives.
 *
 * Worker and one-shot command, any one thread. The program gets /dev/null for input; its output and
 * its errors come as lines. It leads a process group of its own, so that what it starts ends with it,
 * and the kernel kills it when the calling thread ends (PR_SET_PDEATHSIG), be it by SIGKILL.
 */
#ifndef PF_PROGRAM_H
#define PF_PROGRAM_H

#include <stdbool.h>

#include "config/base/error.h"

enum pf_program_next { PF_PROGRAM_GO_ON, PF_PROGRAM_STOP };

/* Runs argv[0], sought in PATH, until it ends or `line` says stop; `line` gets each whole line
 * (borrowed, without its end). 0: it has exited with status 0, or was stopped by `line`
 * (*ret_stopped). -ENOENT: no such program; -ETIMEDOUT: it was killed after limit_s; -EIO: it failed
 * or died, with its own last words in the error; -ENOMEM, errno of pipe(2) and the like. */
int pf_program_run(const char *const argv[], double limit_s,
                   enum pf_program_next (*line)(void *context, const char *text), void *context,
                   bool *ret_stopped, struct pf_error *err);

/* Ends what pf_program_run() is running in this process, if anything. For a signal handler of who is
 * about to end: async-signal-safe. */
void pf_program_end(void);

/* Whether PATH has such a program. */
bool pf_program_is_there(const char *name);

#endif
