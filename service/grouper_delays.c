#include "service/grouper_delays.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "config/base/array.h"

uint64_t pf_source_hash(const char *source)
{
    return XXH3_64bits(source, strlen(source));
}

static struct pf_delay *find(const struct pf_delays *delays, uint64_t source_hash)
{
    for (size_t i = 0; i < delays->count; i++)
        if (delays->items[i].source_hash == source_hash)
            return &delays->items[i];
    return NULL;
}

int64_t pf_delays_of(const struct pf_delays *delays, uint64_t source_hash)
{
    const struct pf_delay *delay = find(delays, source_hash);
    return delay ? delay->ms : 0;
}

bool pf_delays_set(struct pf_delays *delays, uint64_t source_hash, int64_t ms)
{
    struct pf_delay *delay = find(delays, source_hash);
    if (delay ? delay->ms == ms : ms <= 0)
        return false;
    if (delay && ms > 0) {
        delay->ms = ms;
    } else if (delay) {
        *delay = delays->items[--delays->count];
    } else {
        struct pf_delay *items =
            pf_with_room(delays->items, &delays->capacity, delays->count, 1, sizeof(*items));
        if (!items)
            return false;
        delays->items = items;
        items[delays->count++] = (struct pf_delay){source_hash, ms};
    }
    return true;
}

void pf_delays_clear(struct pf_delays *delays)
{
    free(delays->items);
    *delays = (struct pf_delays){0};
}
