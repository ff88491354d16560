/* Pairs: a camera that writes RAW and JPEG makes two files of one shot. Which one is stacked?
 *
 * A pure function of frame records and a clock that the caller hands in: no I/O, no clock reads.
 * One thread at a time; the service's loop owns it, between the journal and the grouper.
 *
 * How it thinks. A RAW and a JPEG are a pair when they are of one shot (capture/shot.h). Which of the
 * two stands for a shot is the same for all shots of a camera that are no more than a pause apart, for
 * the pictures of a RAW and of a JPEG are no burst together: the preferred kind, unless the first shot
 * had to go without it. One of the chosen kind is stacked as soon as it comes, and its partner is its
 * companion, whenever it comes. The other one waits for its partner, if that is expected: until a wait
 * has been in vain, and again since a pair has been seen. So whoever shoots one format alone loses no
 * time but once. It waits for as long as a partner of this camera has come later before, `hold` at
 * least, and for long where others of its burst are stacked already: by itself it would be none of
 * them. When the chosen one comes too late, it is the companion: no shot is stacked twice.
 */
#ifndef PF_PAIRS_H
#define PF_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/record.h"
#include "config/base/error.h"

struct pf_pairs;

struct pf_pairs_settings {
    bool raw;         /* RAW is preferred, else JPEG */
    int64_t hold_ms;  /* setting `hold` */
    int64_t pause_ms; /* between two shots: they are of different bursts */
};

struct pf_pairs_answer {
    /* To be stacked, and to be set aside; the caller's. Both NULL: the record waits. */
    struct pf_record *stack, *companion;
};

/* -ENOMEM. */
int pf_pairs_new(struct pf_pairs **ret, const struct pf_pairs_settings *settings,
                 struct pf_error *err);
struct pf_pairs *pf_pairs_free(struct pf_pairs *pairs); /* NULL-safe, returns NULL */

/* Other settings from now on. */
void pf_pairs_set(struct pf_pairs *pairs, const struct pf_pairs_settings *settings);

/* Frames may be told this much later than they came: those that begin to wait from now on wait that much
 * longer. */
void pf_pairs_expect_delay(struct pf_pairs *pairs, int64_t delay_ms);

/* Takes a record over. partner: one that matches and has been given out for stacking before (see
 * pf_pairs_gave()), NULL none. -ENOMEM: it could not wait, and is given out for stacking at once. */
int pf_pairs_feed(struct pf_pairs *pairs, struct pf_record *record,
                  const struct pf_identity *partner, int64_t now_ms, struct pf_pairs_answer *ret);

/* After a restart: this frame is in a burst that is open. What is shot next is to be of its kind. */
void pf_pairs_restore(struct pf_pairs *pairs, const struct pf_record *record);

/* Whether this content is among the last ones that were given out for stacking: the journal says it
 * of all that have joined a burst. */
bool pf_pairs_gave(const struct pf_pairs *pairs, const struct pf_identity *frame);

/* The next record whose wait is over, to be stacked; NULL none. */
struct pf_record *pf_pairs_overdue(struct pf_pairs *pairs, int64_t now_ms);
/* The next one that waits at all, of this driven bracket (0: or any): somebody says that it is over. */
struct pf_record *pf_pairs_release(struct pf_pairs *pairs, int64_t bracket);
/* When there will be one; INT64_MAX: nothing waits. */
int64_t pf_pairs_deadline(const struct pf_pairs *pairs);

#endif
