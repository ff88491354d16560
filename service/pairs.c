#include "service/pairs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/shot.h"
#include "config/base/array.h"

#define REMEMBERS 4096 /* given out; more than can be between the grouper and the journal */

struct waiting {
    struct pf_record *record;
    int64_t until_ms;
};

struct pf_pairs {
    bool raw, expected;
    int64_t hold_ms;
    struct waiting *waiting; /* as they came: the first one is due first */
    size_t count, capacity;
    struct pf_identity gave[REMEMBERS];
    size_t given;
};

int pf_pairs_new(struct pf_pairs **ret, bool raw, int64_t hold_ms, struct pf_error *err)
{
    struct pf_pairs *pairs = calloc(1, sizeof(*pairs));
    if (!pairs)
        return pf_fail(err, ENOMEM, "out of memory for pairs of RAW and JPEG");
    pairs->raw = raw;
    pairs->expected = true;
    pairs->hold_ms = hold_ms;
    *ret = pairs;
    return 0;
}

struct pf_pairs *pf_pairs_free(struct pf_pairs *pairs)
{
    for (size_t i = 0; pairs && i < pairs->count; i++)
        pf_record_free(pairs->waiting[i].record);
    if (pairs)
        free(pairs->waiting);
    free(pairs);
    return NULL;
}

static struct pf_record *take(struct pf_pairs *pairs, size_t index)
{
    struct pf_record *record = pairs->waiting[index].record;
    memmove(pairs->waiting + index, pairs->waiting + index + 1,
            (--pairs->count - index) * sizeof(*pairs->waiting));
    return record;
}

static struct pf_record *give(struct pf_pairs *pairs, struct pf_record *record)
{
    pairs->gave[pairs->given++ % REMEMBERS] = record->id;
    return record;
}

static int wait(struct pf_pairs *pairs, struct pf_record *record, int64_t now_ms)
{
    struct waiting *grown =
        pf_with_room(pairs->waiting, &pairs->capacity, pairs->count, 1, sizeof(struct waiting));
    if (!grown)
        return -ENOMEM;
    pairs->waiting = grown;
    pairs->waiting[pairs->count++] = (struct waiting){record, now_ms + pairs->hold_ms};
    return 0;
}

int pf_pairs_feed(struct pf_pairs *pairs, struct pf_record *record, bool partner_stacked,
                  int64_t now_ms, struct pf_pairs_answer *ret)
{
    enum pf_shot_kind kind = pf_shot_kind(record);
    int r = 0;
    *ret = (struct pf_pairs_answer){0};
    if (partner_stacked) {
        pairs->expected = true;
        ret->companion = record;
        return 0;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        if (!pf_shot_is_same(pairs->waiting[i].record, record))
            continue;
        pairs->expected = true;
        ret->companion = take(pairs, i);
        ret->stack = give(pairs, record);
        return 0;
    }
    if (pairs->expected && kind == (pairs->raw ? PF_SHOT_JPEG : PF_SHOT_RAW)) {
        r = wait(pairs, record, now_ms);
        if (r == 0)
            return 0;
    }
    ret->stack = give(pairs, record);
    return r;
}

bool pf_pairs_gave(const struct pf_pairs *pairs, const struct pf_identity *frame)
{
    size_t count = pairs->given < REMEMBERS ? pairs->given : REMEMBERS;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(pairs->gave[i].text, frame->text))
            return true;
    return false;
}

struct pf_record *pf_pairs_overdue(struct pf_pairs *pairs, int64_t now_ms)
{
    if (!pairs->count || pairs->waiting[0].until_ms > now_ms)
        return NULL;
    if (now_ms < INT64_MAX)
        pairs->expected = false;
    return give(pairs, take(pairs, 0));
}

int64_t pf_pairs_deadline(const struct pf_pairs *pairs)
{
    return pairs->count ? pairs->waiting[0].until_ms : INT64_MAX;
}
