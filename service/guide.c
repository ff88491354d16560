#include "service/guide.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "process/coverage.h"

enum { BEFORE, BEYOND };
enum { OPEN_FEW = 3, OPEN_SHARE = 40, FRAMES_FEW = 2, PAIR_CHARS = 160 };

struct shot {
    char *identity;
    double focus_at, drive_to;
    bool fused, aside; /* neither: it is lost */
    float grid[PF_FOCUS_CELLS];
};

struct pf_guide {
    struct shot *shots; /* in the order of focus_at */
    size_t count, capacity;
    json_t *coverage; /* the last, NULL none */
    json_t *tried;    /* object whose keys are pairs, and places set aside, that were shot again */
    double finest;    /* smallest part of a step that the camera can be driven by */
    bool at_end[2];
    double ordered_at, ordered_drive; /* the last word */
    int turn;                         /* of the camera's process, */
    bool due;                         /* to which a word is due */
    double awaited_at;                /* when a frame from there has been seen */
};

int pf_guide_new(struct pf_guide **ret)
{
    struct pf_guide *guide = calloc(1, sizeof(*guide));
    if (guide)
        guide->tried = json_object();
    if (!guide || !guide->tried) {
        pf_guide_free(guide);
        return -ENOMEM;
    }
    guide->finest = 1;
    *ret = guide;
    return 0;
}

struct pf_guide *pf_guide_free(struct pf_guide *guide)
{
    if (!guide)
        return NULL;
    for (size_t i = 0; i < guide->count; i++)
        free(guide->shots[i].identity);
    free(guide->shots);
    json_decref(guide->coverage);
    json_decref(guide->tried);
    free(guide);
    return NULL;
}

void pf_guide_answer(struct pf_guide *guide, const json_t *answer)
{
    const char *at_end = json_string_value(json_object_get(answer, "at_end"));
    double finest = json_number_value(json_object_get(answer, "finest"));
    guide->turn = (int)json_integer_value(json_object_get(answer, "turn"));
    guide->due = guide->turn > 0 && !json_is_true(json_object_get(answer, "done"));
    if (finest > 0)
        guide->finest = finest;
    if (at_end)
        guide->at_end[strcmp(at_end, "beyond") ? BEFORE : BEYOND] = true;
    else
        guide->awaited_at = json_number_value(json_object_get(answer, "focus_at"));
}

/* ---- what was seen ---- */

/* Rows of numbers, or the numbers alone. */
static bool read_grid(const json_t *grid, float ret[PF_FOCUS_CELLS])
{
    size_t cells = 0, i, k;
    const json_t *row, *value;
    json_array_foreach(grid, i, row)
    {
        if (json_is_number(row) && cells < PF_FOCUS_CELLS)
            ret[cells++] = (float)json_number_value(row);
        json_array_foreach(row, k, value)
        {
            if (cells < PF_FOCUS_CELLS)
                ret[cells++] = (float)json_number_value(value);
        }
    }
    return cells == PF_FOCUS_CELLS;
}

static struct shot *find(struct pf_guide *guide, const char *identity)
{
    for (size_t i = 0; identity && i < guide->count; i++)
        if (!strcmp(guide->shots[i].identity, identity))
            return &guide->shots[i];
    return NULL;
}

static bool has(const struct pf_guide *guide, double focus_at)
{
    for (size_t i = 0; i < guide->count; i++)
        if (guide->shots[i].focus_at == focus_at)
            return true;
    return false;
}

static struct shot *insert(struct pf_guide *guide, double focus_at, const char *identity)
{
    struct shot *shots =
        pf_with_room(guide->shots, &guide->capacity, guide->count, 1, sizeof(*shots));
    if (shots)
        guide->shots = shots;
    char *copy = shots ? strdup(identity) : NULL;
    if (!copy)
        return NULL;
    size_t at = guide->count++;
    while (at && shots[at - 1].focus_at > focus_at)
        at--;
    memmove(shots + at + 1, shots + at, (guide->count - 1 - at) * sizeof(*shots));
    shots[at] = (struct shot){
        .identity = copy,
        .focus_at = focus_at,
        .drive_to = focus_at == guide->ordered_at ? guide->ordered_drive : focus_at,
    };
    return &shots[at];
}

int pf_guide_see(struct pf_guide *guide, double focus_at, const char *identity,
                 const json_t *result, const json_t *coverage)
{
    struct shot *shot = find(guide, identity);
    if (!shot || shot->focus_at != focus_at) /* else a replay */
        shot = insert(guide, focus_at, identity);
    if (!shot)
        return -ENOMEM;
    const char *verdict = json_string_value(json_object_get(result, "verdict"));
    bool has_grid =
        read_grid(json_object_get(json_object_get(result, "focus"), "grid"), shot->grid);
    shot->fused = verdict && !strcmp(verdict, "fused") && has_grid;
    shot->aside = verdict && !shot->fused;
    if (json_is_object(coverage)) {
        json_decref(guide->coverage);
        guide->coverage = json_deep_copy(coverage);
    }
    return 0;
}

/* ---- what comes next ---- */

/* The fused frames in their order; the caller frees. */
static const struct shot **fused_shots(const struct pf_guide *guide, size_t *ret_count)
{
    const struct shot **fused = calloc(guide->count + 1, sizeof(struct shot *));
    *ret_count = 0;
    for (size_t i = 0; fused && i < guide->count; i++)
        if (guide->shots[i].fused)
            fused[(*ret_count)++] = &guide->shots[i];
    return fused;
}

/* Cells that have been in focus, and of them those open towards either end. */
static void count_open(const struct shot **fused, size_t count, size_t *ret_meant,
                       size_t ret_open[2])
{
    *ret_meant = ret_open[BEFORE] = ret_open[BEYOND] = 0;
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        float most = 0, least = INFINITY;
        size_t best = 0;
        for (size_t i = 0; i < count; i++) {
            float value = fused[i]->grid[c];
            if (value > most) {
                most = value;
                best = i;
            }
            least = value < least ? value : least;
        }
        if (!(most >= PF_GUIDE_MEANT * least) || !(most > 0))
            continue;
        (*ret_meant)++;
        bool near_first = best == 1 && fused[0]->grid[c] > PF_GUIDE_NEAR * most;
        bool near_last = best + 2 == count && fused[count - 1]->grid[c] > PF_GUIDE_NEAR * most;
        ret_open[BEFORE] += best == 0 || near_first;
        ret_open[BEYOND] += best + 1 == count || near_last;
    }
}

static struct pf_guide_word order(struct pf_guide *guide, double focus_at, double drive_to)
{
    guide->ordered_at = focus_at;
    guide->ordered_drive = drive_to;
    return (struct pf_guide_word){.focus_at = focus_at, .drive_to = drive_to};
}

/* A few cells may be sharpest anywhere by chance; a plane more costs one frame. */
static bool is_more_than_chance(size_t open, size_t meant)
{
    return open >= OPEN_FEW && open * OPEN_SHARE >= meant;
}

/* True the first time. */
static bool untried(struct pf_guide *guide, const char *key)
{
    if (json_object_get(guide->tried, key))
        return false;
    json_object_set_new(guide->tried, key, json_true());
    return true;
}

/* A place within the subject whose frame was set aside, and that was not tried again. */
static const struct shot *find_aside(struct pf_guide *guide, const struct shot *first,
                                     const struct shot *last)
{
    for (size_t i = 0; i < guide->count; i++) {
        const struct shot *shot = &guide->shots[i];
        bool replaced = false;
        char key[PAIR_CHARS];
        if (shot->fused || shot->focus_at <= first->focus_at || shot->focus_at >= last->focus_at)
            continue;
        for (size_t k = 0; k < guide->count; k++)
            replaced |= guide->shots[k].fused && guide->shots[k].focus_at == shot->focus_at;
        snprintf(key, sizeof(key), "at %g", shot->focus_at);
        if (!replaced && untried(guide, key))
            return shot;
    }
    return NULL;
}

/* Where a skipped plane is to be looked for; false: nowhere any more. */
static bool find_skipped(struct pf_guide *guide, double *ret_at, double *ret_drive)
{
    size_t i;
    const json_t *pair;
    json_array_foreach(json_object_get(guide->coverage, "skipped"), i, pair)
    {
        char key[PAIR_CHARS];
        const struct shot *a = find(guide, json_string_value(json_array_get(pair, 0)));
        const struct shot *b = find(guide, json_string_value(json_array_get(pair, 1)));
        int missing =
            (int)json_integer_value(json_array_get(json_object_get(guide->coverage, "missing"), i));
        if (!a || !b)
            continue;
        snprintf(key, sizeof(key), "%s %s", a->identity, b->identity);
        /* What lies one step before the second by count has been tried: then it is the way that
         * is uneven there, and no jump. */
        bool again = a->drive_to != a->focus_at && a->drive_to == b->drive_to - 1;
        if ((again && guide->finest > 0.5) || !untried(guide, key))
            continue;
        *ret_at = b->focus_at - (b->focus_at - a->focus_at) / (missing > 0 ? missing + 1 : 2);
        *ret_drive = b->drive_to - (again ? 0.5 : 1);
        return true;
    }
    return false;
}

static size_t asides_at_the_end(const struct pf_guide *guide)
{
    size_t count = 0;
    while (count < guide->count && !guide->shots[guide->count - 1 - count].fused)
        count++;
    return count;
}

static struct pf_guide_word decide(struct pf_guide *guide, const struct shot **fused, size_t count)
{
    struct pf_guide_word enough = {.enough = true};
    size_t meant = 0, open[2] = {0, 0};
    double last = guide->count ? guide->shots[guide->count - 1].focus_at : -1;
    bool seen = false, is_open = true;
    if (count >= FRAMES_FEW) {
        count_open(fused, count, &meant, open);
        seen = pf_coverage_is_worth_a_word(meant - open[BEYOND], meant);
        is_open = is_more_than_chance(open[BEYOND], meant);
    }
    size_t aside = asides_at_the_end(guide);
    bool passed = seen && (aside ? aside > 1 : !is_open);
    if (!passed && !guide->at_end[BEYOND]) {
        double at = floor(last) + 1;
        return order(guide, at, at);
    }
    if (!seen) {
        snprintf(enough.reason, sizeof(enough.reason),
                 "the focus is at its end, and nothing has come into it");
        return enough;
    }
    bool before = count && is_more_than_chance(open[BEFORE], meant);
    if (before && !guide->at_end[BEFORE]) {
        double at = ceil(guide->shots[0].focus_at) - 1;
        return order(guide, at, at);
    }
    const struct shot *again = find_aside(guide, fused[0], fused[count - 1]);
    if (again)
        return order(guide, again->focus_at, again->drive_to);
    double at, drive;
    if (find_skipped(guide, &at, &drive))
        return order(guide, at, drive);
    if (!passed || before)
        snprintf(enough.reason, sizeof(enough.reason),
                 "the focus is at its end; %zu of %zu parts may lie %s it",
                 open[passed ? BEFORE : BEYOND], meant, passed ? "before" : "beyond");
    return enough;
}

struct pf_guide_word pf_guide_next(struct pf_guide *guide)
{
    size_t count;
    const struct shot **fused = fused_shots(guide, &count);
    struct pf_guide_word word = {.enough = true};
    if (fused)
        word = decide(guide, fused, count);
    else
        snprintf(word.reason, sizeof(word.reason), "out of memory");
    free(fused);
    return word;
}

json_t *pf_guide_word(struct pf_guide *guide, int64_t id)
{
    if (!guide->due || !has(guide, guide->awaited_at))
        return NULL;
    guide->due = false;
    struct pf_guide_word word = pf_guide_next(guide);
    json_t *object = json_pack("{s:s, s:I, s:i}", "cmd", word.enough ? "enough" : "next", "id",
                               (json_int_t)id, "turn", guide->turn);
    if (object && word.reason[0])
        json_object_set_new(object, "reason", json_string(word.reason));
    if (object && !word.enough) {
        json_object_set_new(object, "focus_at", json_real(word.focus_at));
        json_object_set_new(object, "drive_to", json_real(word.drive_to));
    }
    return object;
}
