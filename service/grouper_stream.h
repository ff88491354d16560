/* A stream: the bursts of one camera, and the frames that are held for a decision.
 *
 * Used by the grouper only; as pure as it is. Pointers given out are borrowed from the stream.
 */
#ifndef PF_GROUPER_STREAM_H
#define PF_GROUPER_STREAM_H

#include "service/grouper_burst.h"

/* Frames of one camera, of one size, on one time base. */
struct pf_stream {
    char *key;
    struct pf_grouper_burst **bursts; /* owned, as they were opened */
    size_t burst_count, burst_capacity;
    struct pf_shot **held; /* owned, in capture order */
    size_t held_count, held_capacity;
};

/* What tells streams apart, as text on the heap; NULL on out of memory. */
char *pf_stream_key(const struct pf_record *record);
struct pf_stream *pf_stream_free(struct pf_stream *stream); /* NULL-safe, returns NULL */

bool pf_stream_has_open(const struct pf_stream *stream);
struct pf_grouper_burst *pf_stream_find(const struct pf_stream *stream, int64_t number);
struct pf_grouper_burst *pf_stream_burst_of(const struct pf_stream *stream,
                                            const struct pf_shot *shot);
/* The nearest burst that accepts the shot, NULL none. */
struct pf_grouper_burst *pf_stream_nearest(const struct pf_grouper_settings *settings,
                                           const struct pf_stream *stream,
                                           const struct pf_shot *shot, int64_t now_ms);
/* A held frame lies between the shot and the burst: a new burst may begin with it, to which the
 * shot belongs. */
bool pf_stream_cuts_off(const struct pf_stream *stream, const struct pf_grouper_burst *burst,
                        const struct pf_shot *shot);

int pf_stream_reserve(struct pf_stream *stream); /* room for one more burst; -ENOMEM */

/* Takes the shot over, in capture order. -ENOMEM: it is still the caller's. */
int pf_stream_hold(struct pf_stream *stream, struct pf_shot *shot);
void pf_stream_take_held(struct pf_stream *stream, size_t at); /* gives it back to the caller */

#endif
