/* What the grouper has decided and nobody has heard yet, in its order.
 *
 * Used by the grouper only; as pure as it is.
 */
#ifndef PF_GROUPER_QUEUE_H
#define PF_GROUPER_QUEUE_H

#include "service/grouper_burst.h"

struct pf_decisions {
    struct pf_decision *items; /* [head, count) are waiting */
    size_t head, count, capacity;
};

/* Room for so many more; -ENOMEM. pf_decide then cannot fail. */
int pf_decisions_reserve(struct pf_decisions *decisions, size_t more);
/* A new one about the burst as it is; it must have been reserved. Borrowed until the next call. */
struct pf_decision *pf_decide(struct pf_decisions *decisions, enum pf_decision_kind kind,
                              const struct pf_grouper_burst *burst);
/* The oldest, which is taken out; false: there is none. */
bool pf_decisions_next(struct pf_decisions *decisions, struct pf_decision *ret);
void pf_decisions_free(struct pf_decisions *decisions);

#endif
