/* What `finish` leaves in a directory: stack, maps, and stack.json last of all.
 *
 * Runs in the worker's engine thread. Everything is borrowed.
 */
#ifndef PF_RESULTS_H
#define PF_RESULTS_H

#include <jansson.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "process/burst.h"
#include "process/pool.h"

/* Writes them all into `dir`, fsynced; none of them stays on failure. A stack that the format cannot hold is
 * written as TIFF, and `note` of its entry says why. `command` is the `finish` of
 * PROTOCOL.md, of which order, sidecar and dir are used. *ret_event: the fields of `finished`, the
 * caller's. -ENODATA when nothing is fused, errors of writing. */
int pf_results_write(struct pf_burst *burst, const struct pf_pool *pool, const json_t *command,
                     const char *dir, const struct pf_settings *settings, json_t **ret_event,
                     struct pf_error *err);

#endif
