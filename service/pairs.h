/* Pairs: a camera that writes RAW and JPEG makes two files of one shot. Which one is stacked?
 *
 * A pure function of frame records and a clock that the caller hands in: no I/O, no clock reads.
 * One thread at a time; the service's loop owns it, between the journal and the grouper.
 *
 * How it thinks. A RAW and a JPEG are a pair when they are of one shot (capture/shot.h). The preferred one is stacked as soon as it comes, and its partner is its
 * companion, whenever it comes. The other one waits for the preferred one for `hold_ms`, if it is
 * expected: until a wait has been in vain, and again since a pair has been seen. So whoever shoots
 * one format alone loses no time but once. When the preferred one comes too late, it is the
 * companion: no shot is stacked twice.
 */
#ifndef PF_PAIRS_H
#define PF_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/record.h"
#include "config/base/error.h"

struct pf_pairs;

struct pf_pairs_answer {
    /* To be stacked, and to be set aside; the caller's. Both NULL: the record waits. */
    struct pf_record *stack, *companion;
};

/* raw: RAW is preferred, else JPEG. -ENOMEM. */
int pf_pairs_new(struct pf_pairs **ret, bool raw, int64_t hold_ms, struct pf_error *err);
struct pf_pairs *pf_pairs_free(struct pf_pairs *pairs); /* NULL-safe, returns NULL */

/* Takes a record over. partner_stacked: one that matches has been given out for stacking before
 * (see pf_pairs_gave()). -ENOMEM: it could not wait, and is given out for stacking at once. */
int pf_pairs_feed(struct pf_pairs *pairs, struct pf_record *record, bool partner_stacked,
                  int64_t now_ms, struct pf_pairs_answer *ret);

/* Whether this content is among the last ones that were given out for stacking: the journal says it
 * of all that have joined a burst. */
bool pf_pairs_gave(const struct pf_pairs *pairs, const struct pf_identity *frame);

/* The next record whose wait is over, to be stacked; NULL none. INT64_MAX: whatever waits. */
struct pf_record *pf_pairs_overdue(struct pf_pairs *pairs, int64_t now_ms);
/* When there will be one; INT64_MAX: nothing waits. */
int64_t pf_pairs_deadline(const struct pf_pairs *pairs);

#endif
