/* Limits that move along with the work: memory and processor time beyond what is used already.
 *
 * Called by a child process for itself, by any of its threads. A decoder that a picture leads astray runs into them:
 * memory is refused (ENOMEM), time ends the process by SIGXCPU; both are blamed on the frame. One that has taken
 * the process over may set them itself, as the work does, up to the hard limits: against that are
 * `worker_memory`, which is one, the kernel's choice of whom it ends when memory is short, and the watchdog.
 */
#ifndef PF_LIMITS_H
#define PF_LIMITS_H

#include <stdint.h>

/* From now on no more than this beyond what the process has (RLIMIT_DATA: writable memory that is
 * its own) and has used (RLIMIT_CPU: of all its threads). Never beyond the hard limits. Does
 * nothing under a sanitizer, whose own memory has no measure. */
void pf_limits_allow(int64_t more_bytes, int64_t more_cpu_s);

/* As far as the hard limits. */
void pf_limits_lift(void);

#endif
