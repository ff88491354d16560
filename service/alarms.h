/* Troubles of the service itself that are told to on_failure: a source that is lost, an outbox that cannot be
 * written, a disk that is nearly full, a worker that ends again and again.
 *
 * Service process, event loop thread. It listens to the `trouble` events of those that degrade the service
 * (service/troubles.h); bursts that fail are ordered where they fail. A trouble is told when it has lasted
 * trouble_after, or when it has come back PF_ALARM_TIMES times; and the same one not again before
 * trouble_pause is over, however often it comes and goes meanwhile. That one which was told is well again is
 * told once it has been so for trouble_after. What is told is in the journal, and is
 * repeated as every delivery is; what was told is forgotten with the end of the service.
 */
#ifndef PF_ALARMS_H
#define PF_ALARMS_H

#include <event2/event.h>

#include "service/events.h"
#include "service/hooks.h"

#define PF_ALARM_TIMES 5

struct pf_alarms;

/* All borrowed and outliving it; troubles that are there already are taken. -ENOMEM. NULL in *ret: no hook
 * is configured for them. */
int pf_alarms_new(struct pf_alarms **ret, struct event_base *base,
                  const struct pf_settings *settings, struct pf_events *events,
                  const struct pf_troubles *troubles, struct pf_hooks *hooks,
                  struct pf_ledger *ledger, struct pf_error *err);
struct pf_alarms *pf_alarms_free(struct pf_alarms *alarms); /* NULL-safe, returns NULL */
void pf_alarms_stop(struct pf_alarms *alarms);              /* the service ends; NULL-safe */

#endif
