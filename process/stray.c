#include "process/stray.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/light.h"

#define UNLIKE_MIN 2 /* of two that do not fit each other nobody knows which is the stray */
#define WORTH_MIN  2 /* frames of a group for which the burst is stacked once more */
/* Replays for exposures: the second is for a group that was not seen in the first. */
#define EXPOSURES_MOST 2
#define EXPOSED        (-1) /* the group of those that are exposed unlike the others */
#define NEIGHBOURS     4
#define AGREEING       3 /* of them */
#define ONE_IN         5 /* frames may be exposed unlike the others, or as the reference is */

bool pf_stray_is_out(const struct pf_stray *stray, int group)
{
    return group == EXPOSED ||
           (group && group <= stray->round && !(stray->final && group == stray->best_group));
}

static bool has(const json_t *facts, const char *key, const char *word)
{
    const char *value = json_string_value(json_object_get(facts, key));
    return value && strcmp(value, word) == 0;
}

static bool is_in(const struct pf_stray *stray, const struct pf_stray_frame *frame)
{
    return !pf_stray_is_out(stray, *frame->group);
}

static bool is_fused(const struct pf_stray *stray, const struct pf_stray_frame *frame)
{
    return is_in(stray, frame) && has(frame->facts, "verdict", "fused");
}

/* ---- exposures ---- */

/* Light of a fused frame beside the reference's. */
static double stops_of(const json_t *facts)
{
    double gain = json_number_value(json_object_get(facts, "gain"));
    return gain > 0 ? -PF_LIGHT_GAMMA * log2(gain) : 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether AGREEING frames next to it agree within half of `most`, and it is farther than that from the nearest of
 * them, and than twice what lies between themselves, with none in between: a drift has its ends, and no stray. */
static bool stands_out(const double *stops, size_t count, size_t at, double most)
{
    double others[NEIGHBOURS], nearest = INFINITY, away = 0;
    size_t begin = at < NEIGHBOURS / 2 ? 0 : at - NEIGHBOURS / 2, known = 0;
    if (count > NEIGHBOURS && begin + NEIGHBOURS >= count)
        begin = count - NEIGHBOURS - 1;
    else if (count <= NEIGHBOURS)
        begin = 0;
    for (size_t i = begin; i < count && known < NEIGHBOURS; i++) {
        double apart = fabs(stops[i] - stops[at]);
        if (apart > most / 2 && apart <= most)
            return false; /* it leads from the one to the others */
        if (i != at)
            others[known++] = stops[i];
    }
    qsort(others, known, sizeof(*others), by_value);
    for (size_t i = 0; i + AGREEING <= known; i++) {
        double least = others[i], greatest = others[i + AGREEING - 1], spread = greatest - least;
        if (spread > most / 2 || spread >= nearest)
            continue;
        nearest = spread;
        away = fmax(stops[at] - greatest, least - stops[at]);
    }
    return away > most && away > 2 * nearest;
}

/* The same of the reference, which hardly any other frame may be like. */
static bool reference_stands_out(const double *stops, size_t count, size_t at, double most)
{
    size_t alike = 0;
    for (size_t i = 0; i < count; i++)
        alike += i != at && fabs(stops[i] - stops[at]) <= most / 2;
    return stands_out(stops, count, at, most) && alike * ONE_IN <= count - 1;
}

/* Marks which are exposed unlike the others; how many that are. */
static size_t mark_odd(const double *stops, size_t count, size_t reference, bool *odd)
{
    size_t marked = 0;
    for (size_t i = 0; i < count; i++)
        if (i != reference)
            marked += odd[i] = stands_out(stops, count, i, PF_STRAY_STOPS);
    if (reference < count)
        odd[reference] = reference_stands_out(stops, count, reference, PF_STRAY_REFERENCE_STOPS) ||
                         reference_stands_out(stops, count, reference, PF_STRAY_STOPS);
    size_t all = marked + (reference < count && odd[reference]);
    if (all * ONE_IN <= count)
        return all;
    for (size_t i = 0; i < count; i++)
        odd[i] = odd[i] && i == reference;
    return all - marked;
}

/* Puts out those that are exposed unlike the others; whether any is. */
static bool put_out_odd(struct pf_stray *stray, const struct pf_stray_frame *frames, size_t count)
{
    size_t known = 0, reference = count, kept = 0;
    double *stops = calloc(2 * count + 1, sizeof(*stops));
    bool *odd = calloc(count + 1, sizeof(*odd));
    for (size_t i = 0; stops && odd && i < count; i++) {
        if (!is_fused(stray, &frames[i]))
            continue;
        if (json_is_true(json_object_get(frames[i].facts, "reference")))
            reference = known;
        stops[known++] = stops_of(frames[i].facts);
    }
    bool any = known && mark_odd(stops, known, reference, odd);
    if (any) {
        double *rest = stops + count;
        for (size_t i = 0; i < known; i++)
            if (!odd[i])
                rest[kept++] = stops[i];
        qsort(rest, kept, sizeof(*rest), by_value);
        stray->exposure = kept ? rest[kept / 2] : 0;
        size_t at = 0;
        for (size_t i = 0; i < count; i++)
            if (is_fused(stray, &frames[i]) && odd[at++])
                *frames[i].group = EXPOSED;
    }
    free(stops);
    free(odd);
    return any;
}

/* ---- pictures ---- */

static bool go_again(struct pf_stray *stray, size_t others)
{
    stray->others = others;
    stray->round++;
    return true;
}

static bool regroup(struct pf_stray *stray)
{
    int group = stray->round + 1;
    if (stray->final)
        return false;
    if (stray->fused > stray->best) {
        stray->best = stray->fused;
        stray->best_group = group;
    }
    if (stray->unlike > stray->best && stray->unlike >= UNLIKE_MIN && group < PF_STRAY_GROUPS)
        return go_again(stray, stray->unlike);
    if (stray->best_group == group || stray->best < WORTH_MIN)
        return false;
    stray->final = true;
    return go_again(stray, stray->best);
}

bool pf_stray_again(struct pf_stray *stray, const struct pf_stray_frame *frames, size_t count)
{
    /* They go before the others are grouped: what has been refused may fit the next reference. */
    if (!stray->any_exposure && stray->exposures < EXPOSURES_MOST &&
        put_out_odd(stray, frames, count)) {
        stray->exposures++;
        return true;
    }
    stray->fused = stray->unlike = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_fused(stray, &frames[i])) {
            stray->fused++;
            if (!stray->final)
                *frames[i].group = stray->round + 1;
        } else if (is_in(stray, &frames[i])) {
            stray->unlike += has(frames[i].facts, "cause", "unlike");
        }
    }
    return regroup(stray);
}

void pf_stray_reason(const struct pf_stray *stray, int group, const json_t *facts, char *reason,
                     size_t size)
{
    double stops = stops_of(facts) - stray->exposure;
    if (group == EXPOSED)
        snprintf(reason, size, "exposed unlike the others: %.1f stops %s than they are",
                 fabs(stops), stops < 0 ? "darker" : "brighter");
    else
        snprintf(reason, size, "unlike the others: %zu frames do not fit it", stray->others);
}

int pf_stray_strike(json_t *facts)
{
    static const char *const keys[] = {"transform", "aligned_by", "correlation", "gain"};
    int failed = 0;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        failed |= json_object_set_new(facts, keys[i], json_null());
    failed |= json_object_set_new(facts, "verdict", json_string("aside"));
    failed |= json_object_set_new(facts, "cause", json_string("unlike"));
    failed |= json_object_set_new(facts, "reference", json_false());
    return failed ? -ENOMEM : 0;
}
