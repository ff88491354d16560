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

struct pf_results;

/* Writes them all into `dir`, fsynced; none of them stays on failure. A stack that the format cannot hold is
 * written as TIFF, and `note` of its entry says why. `command` is the `finish` of
 * PROTOCOL.md, of which order, sidecar and dir are used; `ahead`: what has been written of it before, or NULL. *ret_event: the fields of `finished`, the
 * caller's. -ENODATA when nothing is fused, errors of writing. */
int pf_results_write(struct pf_burst *burst, const struct pf_pool *pool, const json_t *command,
                     const char *dir, const struct pf_settings *settings,
                     const struct pf_results *ahead, json_t **ret_event, struct pf_error *err);

/* Writes stack and maps alone, as a `finish` with the same words would: pf_results_write() takes them where
 * neither frames nor words have changed since and the files are there. Nothing stays on failure, but of an
 * earlier time may. *ret: the caller's. As pf_results_write(), -ECANCELED. */
int pf_results_write_ahead(struct pf_burst *burst, const json_t *command, const char *dir,
                           const struct pf_settings *settings, const struct pf_cancel *cancel,
                           struct pf_results **ret, struct pf_error *err);
struct pf_results *pf_results_free(struct pf_results *results);   /* NULL-safe, returns NULL */
struct pf_results *pf_results_remove(struct pf_results *results); /* the same, and its files */

#endif
