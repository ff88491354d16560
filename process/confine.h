/* The worker's sandbox, and the memory and time that it may take frame by frame.
 *
 * Used by the worker: pf_confine_files() and pf_confine_calls() once at start by its main thread, the
 * rest by any of its threads. `settings` and `writable` are borrowed and outlive it.
 */
#ifndef PF_CONFINE_H
#define PF_CONFINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"
#include "config/settings.h"

struct pf_backend;

struct pf_confine {
    const struct pf_settings *settings;
    char **writable;          /* directories, NULL-terminated; none (by hand): anywhere */
    int threads;              /* of the engine; 0 until they are there */
    bool limited;             /* memory and time are, from pf_confine_calls() on */
    atomic_llong most_pixels; /* of the frames since pf_confine_forget() */
};

/* Before the device is chosen, which starts threads. Nothing with `sandbox = no`. */
int pf_confine_files(struct pf_confine *confine, struct pf_error *err);

/* When it has been chosen. */
int pf_confine_calls(struct pf_confine *confine, const struct pf_backend *backend,
                     struct pf_error *err);

/* A frame or a command begins: it may take what the largest frame of late may. */
void pf_confine_renew(struct pf_confine *confine);

/* For struct pf_decode_limits; context: struct pf_confine. */
void pf_confine_declared(void *context, int64_t pixels);

/* No burst is open. */
void pf_confine_forget(struct pf_confine *confine);

#endif
