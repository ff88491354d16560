/* How late frames of each source may come, for the grouper.
 *
 * Service process, event loop thread; memory only. Zeroed, a table is empty.
 */
#ifndef PF_GROUPER_DELAYS_H
#define PF_GROUPER_DELAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pf_delay {
    uint64_t source_hash;
    int64_t ms; /* > 0 */
};

struct pf_delays {
    struct pf_delay *items; /* of sources whose frames may come late */
    size_t count, capacity;
};

uint64_t pf_source_hash(const char *source);

/* 0 where nothing was said of the source. */
int64_t pf_delays_of(const struct pf_delays *delays, uint64_t source_hash);
/* ms <= 0: they do not come late. True when that has changed; without memory it has not, until it is said
 * again. */
bool pf_delays_set(struct pf_delays *delays, uint64_t source_hash, int64_t ms);
void pf_delays_clear(struct pf_delays *delays); /* frees what it has */

#endif
