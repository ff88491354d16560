/* Whom hooks are told to: the targets that are configured, a fair share for each, and what is wrong with it.
 *
 * Service process, event loop thread. A target that has given up a delivery is one trouble, `hook.SETTING.N` (N counts
 * those of the setting from 0), however many there are, until it is told with success or no delivery is given
 * up any more.
 */
#ifndef PF_HOOK_TARGETS_H
#define PF_HOOK_TARGETS_H

#include "config/settings.h"
#include "service/deliveries.h"
#include "service/troubles.h"

struct pf_hook_target {
    const char *hook; /* the setting, static */
    size_t number;    /* in the setting, from 0 */
    const char *text; /* borrowed from the settings */
    bool troubled;
    uint64_t begun; /* when it was told last, among all; 0 never */
};

struct pf_hook_targets {
    struct pf_hook_target *items;
    size_t count;
    uint64_t begun;
};

/* settings are borrowed and outlive it. -ENOMEM. */
int pf_hook_targets_make(struct pf_hook_targets *ret, const struct pf_settings *settings,
                         struct pf_error *err);
void pf_hook_targets_clear(struct pf_hook_targets *targets);

/* That of a delivery; NULL: it is no longer configured. */
struct pf_hook_target *pf_hook_targets_find(const struct pf_hook_targets *targets,
                                            const struct pf_delivery *delivery);
void pf_hook_targets_begun(struct pf_hook_targets *targets, struct pf_hook_target *target);

/* How many of `places` one target may have, so that each other one finds a place while it hangs: of those that are
 * told while the service runs, or when it stops. At least 1. */
size_t pf_hook_targets_share(const struct pf_hook_targets *targets, size_t places, bool stopping);

/* A delivery has been tried, and this is its state now. */
void pf_hook_targets_tried(const struct pf_hook_targets *targets,
                           const struct pf_delivery *delivery, struct pf_troubles *troubles);
/* Deliveries in the journal have changed: says of those that are in trouble how much is given up. */
void pf_hook_targets_review(const struct pf_hook_targets *targets, struct pf_journal *journal,
                            struct pf_troubles *troubles);

#endif
