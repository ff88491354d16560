/* What hooks are to be told, in the journal: so that no crash forgets a hook that is due.
 *
 * Service process, event loop thread; part of the journal (service/journal.h: ownership, durability and
 * errors are as there). A delivery is one event for one target. It is told at least once: a service that
 * dies between the telling and the note of it tells it again, under the same id.
 *
 *     due -> done     due -> given up (after hook_retries, or for good) -> due (retried by hand)
 *
 * The last PF_DELIVERIES_KEPT are kept, and all that are due.
 */
#ifndef PF_DELIVERIES_H
#define PF_DELIVERIES_H

#include <jansson.h>

#include "service/journal.h"

#define PF_DELIVERIES_KEPT   1000
#define PF_DELIVERY_ID_CHARS 32

enum pf_delivery_state { PF_DELIVERY_DUE, PF_DELIVERY_DONE, PF_DELIVERY_GIVEN_UP };
const char *pf_delivery_state_name(enum pf_delivery_state state); /* "due", "done", "given_up" */

struct pf_delivery {
    int64_t number; /* as they were ordered */
    char id[PF_DELIVERY_ID_CHARS + 1];
    char *hook;   /* the setting: "on_burst", ... */
    char *target; /* its value, bytes */
    char *event;  /* JSON object, its `id` is this one's */
    enum pf_delivery_state state;
    int tries;           /* in all */
    int failures;        /* in a row, since it was ordered or retried by hand */
    int64_t due_wall_ms; /* not before */
    char *error;         /* of the last try, NULL: none, or it went well */
    int64_t created_wall_ms, changed_wall_ms;
};

struct pf_delivery_list {
    struct pf_delivery *items;
    size_t count;
};
void pf_deliveries_free(struct pf_delivery_list *list);

/* Orders one; it is due now. `event` is copied and gets the id. */
int pf_journal_deliver(struct pf_journal *journal, const char *hook, const char *target,
                       const json_t *event, struct pf_error *err);

/* A try has ended; counted as such unless `tried` is false (it was given up without one).
 * due_wall_ms: when it is tried again, if state is DUE. -ENOENT. */
int pf_journal_delivery_result(struct pf_journal *journal, int64_t number,
                               enum pf_delivery_state state, bool tried, int64_t due_wall_ms,
                               const char *error, struct pf_error *err);

/* given up -> due, now; one that is due is due at once. -ENOENT, -EINVAL: it is done. */
int pf_journal_delivery_retry(struct pf_journal *journal, const char *id, struct pf_error *err);

/* Those that are due at this moment, the longest due first, at most `each` to one target; of this hook alone
 * unless that is NULL. One that would be due later than `horizon_ms` from now was put off by a clock
 * that has been set back since: it is due. */
int pf_journal_deliveries_due(struct pf_journal *journal, int64_t now_wall_ms, int64_t horizon_ms,
                              const char *hook, size_t each, struct pf_delivery_list *ret,
                              struct pf_error *err);
/* How many that a target was to be told are given up, and the last of them, as a list of none or one. */
int pf_journal_deliveries_given_up(struct pf_journal *journal, const char *hook, const char *target,
                                   int64_t *ret_count, struct pf_delivery_list *ret_last,
                                   struct pf_error *err);
/* When the next one after now is due; INT64_MAX: none. */
int pf_journal_deliveries_next(struct pf_journal *journal, int64_t now_wall_ms, int64_t *ret,
                               struct pf_error *err);

/* The last ones that were ordered, newest first. */
int pf_journal_deliveries_recent(struct pf_journal *journal, size_t limit,
                                 struct pf_delivery_list *ret, struct pf_error *err);
/* One, as a list of one. -ENOENT. */
int pf_journal_delivery(struct pf_journal *journal, const char *id, struct pf_delivery_list *ret,
                        struct pf_error *err);
int pf_journal_deliveries_count(struct pf_journal *journal, enum pf_delivery_state state,
                                int64_t *ret, struct pf_error *err);

#endif
