/* A process that was killed and does not end: one that waits in the kernel for a disk or a mount
 * (state D) dies only when that answers.
 *
 * Service process, for a child that has got SIGKILL. Nothing is owned.
 */
#ifndef PF_KILLED_H
#define PF_KILLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PF_KILLED_PATIENCE_MS 2000 /* that one is waited for, and several of them together */

/* Reaps it, whatever it ends with. False: it has not ended by then (CLOCK_MONOTONIC), and is left to the
 * kernel, and to the one who adopts it when we end. */
bool pf_killed_reap(pid_t pid, int64_t until_ms);

/* What it does, for people: "waits in the kernel for a disk or a mount that does not answer
 * (state D)". Returns `ret`. */
const char *pf_killed_does(pid_t pid, char *ret, size_t size);

#endif
