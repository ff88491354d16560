/* What a person decides: finish, retry, dismiss, stack again, discard, look again, other settings.
 *
 * Service process, event loop thread. What is decided is in the journal when these return 0, or will be
 * as soon as it can be written; events tell what comes of it. Errors: -ENOENT there is no such thing,
 * -EBUSY not in this state (or the journal cannot be written), -EINVAL a value that is not possible, -ENOMEM.
 */
#ifndef PF_ACTING_H
#define PF_ACTING_H

#include "service/service.h"

/* burst 0: every open one. *ret_count: how many there were. */
int pf_act_finish(struct pf_service *service, int64_t burst, size_t *ret_count,
                  struct pf_error *err);
/* burst 0: every one that has failed. */
int pf_act_retry(struct pf_service *service, int64_t burst, size_t *ret_count,
                 struct pf_error *err);
/* Is no trouble any more, and stays failed; burst 0: every one that has failed. */
int pf_act_dismiss(struct pf_service *service, int64_t burst, size_t *ret_count,
                   struct pf_error *err);
/* settings: object, over those in force; NULL: with those that it was stacked with. *ret_version: that is
 * being made. */
int pf_act_restack(struct pf_service *service, int64_t burst, const json_t *settings,
                   int *ret_version, struct pf_error *err);
/* Leaves a frame out, or takes back one that was left out by hand or because process/stray.h says so: of the
 * latter that does not count any more. *ret_version: that is being made, 0: the burst has none yet. */
int pf_act_discard(struct pf_service *service, int64_t burst, const char *frame, bool discard,
                   int *ret_version, struct pf_error *err);

/* Whether a setting can be changed while the service runs. */
bool pf_act_is_changeable(const char *key);
/* All of them or none; `settings`: object of keys and values. */
int pf_act_set(struct pf_service *service, const json_t *settings, struct pf_error *err);

#endif
