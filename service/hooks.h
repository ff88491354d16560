/* Hooks: programs that are run and addresses that are posted to when something has happened.
 *
 * Service process, event loop thread. What is to be told is ordered in the journal, in the transaction of
 * what it tells (service/deliveries.h), so that neither a failing hook nor a crash costs anything but
 * a repeat: the same id is told again. Here deliveries that are due are tried, at most hook_parallel at
 * a time, each within hook_timeout; one that fails is tried again after hook_backoff, doubling up to
 * an hour, and is given up after hook_retries of that, or at once where the receiver says that it is of no
 * use. Each target is told in the order of time as long as nothing fails, and one that hangs leaves places for the others.
 *
 * A change of a delivery is an event, `delivery`; what is given up is a trouble of its target
 * (service/hook_targets.h).
 */
#ifndef PF_HOOKS_H
#define PF_HOOKS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "config/settings.h"
#include "service/events.h"
#include "service/ledger.h"
#include "service/troubles.h"

struct pf_hooks;

/* Whether the secret can be had: errors as pf_secret_of_file(). Any process. */
int pf_hooks_check(const struct pf_settings *settings, struct pf_error *err);

/* All borrowed and outliving it; events and troubles may be NULL. Reads the secret; what an earlier run has left due
 * is tried at once, and what is due to a hook that is no longer configured is given up. */
int pf_hooks_new(struct pf_hooks **ret, struct event_base *base, const struct pf_settings *settings,
                 struct pf_journal *journal, struct pf_ledger *ledger, struct pf_events *events,
                 struct pf_troubles *troubles, struct pf_error *err);
/* Programs that still run are killed and waited for, two seconds in all; their deliveries stay due. True: some
 * do not end, now or before; they were named, and are left behind. */
bool pf_hooks_leave(struct pf_hooks *hooks);
/* Leaves them first. NULL-safe, returns NULL. */
struct pf_hooks *pf_hooks_free(struct pf_hooks *hooks);

/* Puts what is to be told into a ledger's entry: to the hooks of this setting ("on_burst", ...). `event` is
 * consumed. */
void pf_hooks_order(const struct pf_hooks *hooks, struct pf_entry *entry, const char *setting,
                    json_t *event);
/* The ledger has committed this. */
void pf_hooks_committed(struct pf_hooks *hooks, const struct pf_entry *entry);

void pf_hooks_reap(struct pf_hooks *hooks); /* for every SIGCHLD */

/* on_stop is ordered and told; other deliveries are not begun any more. `stopped` is told when nothing
 * runs any more, after 10 s at the latest: what has not been told then is due at the next start. */
void pf_hooks_stop(struct pf_hooks *hooks, void (*stopped)(void *context), void *context);
bool pf_hooks_stopped(const struct pf_hooks *hooks);

/* The last deliveries, newest first: array of objects {`id` `hook` `target` (without what may be
 * secret in it) `event` (its type) `burst` `version` `state` (`due`, `running`, `done`, `given_up`) `tries` `error` `next_ms` (of one that is
 * due) `created_ms` `changed_ms`}, times are CLOCK_REALTIME. NULL on trouble with the journal. */
json_t *pf_hooks_list(struct pf_hooks *hooks, size_t limit, struct pf_error *err);

/* Someone says that it is to be tried now, once more. -ENOENT, -EINVAL: it is done, or running. */
int pf_hooks_retry(struct pf_hooks *hooks, const char *id, struct pf_error *err);

/* What of a target may be shown: of a program not its arguments, of an address neither a password nor
 * its query, nor the rest of a path that is longer than one name, which is the secret of many
 * receivers. Heap; NULL on out of memory. Pure. */
char *pf_hook_shown(const char *target);

#endif
