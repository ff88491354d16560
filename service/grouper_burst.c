#include "service/grouper_burst.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "config/base/array.h"
#include "service/grouper_delays.h"

enum {
    LIMIT_LEAST_MS = 1500,
    LIMIT_MOST_MS = PF_GROUPER_GAP_MOST_MS,
    LIMIT_MARGIN_MS = 1000,
    EXPOSURE_MOST_MS = 600000, /* a stranger's EXIF must not keep a burst open for ever */
    DELAY_MOST_MS = 600000,    /* nor must a network that fails */
    LONG_COMPLETE_MS = 600000,
    PACE_LEAST_MS = 33,    /* no camera is faster */
    PACE_UNKNOWN_MS = 100, /* of a burst of one or two */
    GAPS_COUNTED = 63,     /* the median is that of the last gaps: bounded work for any burst */
    BRACKET_MOST_FRAMES = 9,
    BRACKET_LEVELS = 3,
    COUNTER_LAST = 9999, /* DCF: four digits */
    REWRITES_MOST = 8,   /* more often no file of one shot is written */
};

/* Far from overflow in any sum or difference, and beyond any date that EXIF can write. */
#define TIME_BOUND_MS (INT64_C(1) << 52)

/* A third of a stop is a factor 1.12 in f-number: macro lenses report the effective one, which
 * creeps by that much as they focus; zooms report focal lengths that breathe a little. */
#define F_NUMBER_RATIO 1.13
#define FOCAL_RATIO    1.02
/* A third of a stop is a factor 1.26 in time: what automatic exposure drifts by. */
#define EXPOSURE_RATIO 1.3

static int64_t bounded(int64_t time_ms)
{
    return time_ms > TIME_BOUND_MS    ? TIME_BOUND_MS
           : time_ms < -TIME_BOUND_MS ? -TIME_BOUND_MS
                                      : time_ms;
}

int pf_shot_new(struct pf_shot **ret, const struct pf_record *record, int64_t now_ms,
                uint64_t order)
{
    struct pf_shot *shot = calloc(1, sizeof(*shot));
    if (!shot)
        return -ENOMEM;
    shot->id = record->id;
    shot->time_ms = bounded(record->capture_ms < 0 ? record->arrival_ms : record->capture_ms);
    shot->heard_ms = now_ms;
    shot->order = order;
    shot->bracket = record->bracket;
    shot->path_hash = XXH3_64bits(record->path, strlen(record->path));
    shot->source_hash = pf_source_hash(record->source);
    shot->has_subsec = record->has_subsec;
    shot->by_arrival = record->capture_ms < 0;
    shot->focal_mm = record->focal_mm;
    shot->f_number = record->f_number;
    shot->exposure_s = record->exposure_s;
    if (record->exposure_s > 0) /* also false for a NaN */
        shot->exposure_ms = (int64_t)fmin(record->exposure_s * 1000, EXPOSURE_MOST_MS);
    shot->sequence = record->sequence;
    shot->counter = record->counter;
    shot->lens = record->lens ? strdup(record->lens) : NULL;
    shot->burst_id = record->burst_id ? strdup(record->burst_id) : NULL;
    if ((record->lens && !shot->lens) || (record->burst_id && !shot->burst_id)) {
        pf_shot_free(shot);
        return -ENOMEM;
    }
    *ret = shot;
    return 0;
}

struct pf_shot *pf_shot_free(struct pf_shot *shot)
{
    if (shot) {
        free(shot->lens);
        free(shot->burst_id);
    }
    free(shot);
    return NULL;
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* How far a camera's counter has gone on from a to b. It goes from 9999 to 0001 (or 0000): the shorter
 * way round is meant. */
static int64_t counted(int64_t a, int64_t b)
{
    bool wrapped = a <= COUNTER_LAST && b <= COUNTER_LAST && llabs(b - a) > COUNTER_LAST / 2;
    return !wrapped ? b - a : b < a ? b - a + COUNTER_LAST : b - a - COUNTER_LAST;
}

static int compare_counters(int64_t a, int64_t b)
{
    return compare_numbers(0, counted(a, b));
}

int pf_shot_compare(const struct pf_shot *a, const struct pf_shot *b)
{
    int order = compare_numbers(a->time_ms, b->time_ms);
    if (!order)
        order = (int)b->has_subsec - (int)a->has_subsec;
    if (!order && a->counter >= 0 && b->counter >= 0)
        order = compare_counters(a->counter, b->counter);
    if (!order && a->sequence >= 0 && b->sequence >= 0)
        order = compare_numbers(a->sequence, b->sequence);
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

int pf_grouper_burst_new(struct pf_grouper_burst **ret, int64_t number)
{
    struct pf_grouper_burst *burst = calloc(1, sizeof(*burst));
    if (!burst)
        return -ENOMEM;
    burst->number = number;
    burst->open = true;
    *ret = burst;
    return 0;
}

struct pf_grouper_burst *pf_grouper_burst_free(struct pf_grouper_burst *burst)
{
    if (!burst)
        return NULL;
    for (size_t i = 0; i < burst->total; i++)
        pf_shot_free(burst->shots[i]);
    free(burst->shots);
    free(burst);
    return NULL;
}

int pf_grouper_burst_reserve(struct pf_grouper_burst *burst)
{
    struct pf_shot **shots =
        pf_with_room(burst->shots, &burst->capacity, burst->total, 1, sizeof(struct pf_shot *));
    if (!shots)
        return -ENOMEM;
    burst->shots = shots;
    return 0;
}

/* Number of shots before `shot` in capture order. */
static size_t position(const struct pf_grouper_burst *burst, const struct pf_shot *shot)
{
    size_t at = burst->count;
    while (at && pf_shot_compare(burst->shots[at - 1], shot) > 0)
        at--;
    return at;
}

/* Time from the end of one exposure to the start of the next. */
static int64_t idle_ms(const struct pf_shot *before, const struct pf_shot *after)
{
    int64_t gap_ms = after->time_ms - before->time_ms - before->exposure_ms;
    return gap_ms > 0 ? gap_ms : 0;
}

static int compare_gaps(const void *a, const void *b)
{
    return compare_numbers(*(const int64_t *)a, *(const int64_t *)b);
}

static int64_t median_gap_ms(const struct pf_grouper_burst *burst, size_t gaps)
{
    int64_t gap_ms[GAPS_COUNTED];
    for (size_t i = 0; i < gaps; i++) {
        size_t after = burst->count - 1 - i;
        gap_ms[i] = idle_ms(burst->shots[after - 1], burst->shots[after]);
    }
    qsort(gap_ms, gaps, sizeof(*gap_ms), compare_gaps);
    return (gap_ms[(gaps - 1) / 2] + gap_ms[gaps / 2]) / 2;
}

static int64_t clamped(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static int64_t limit_ms(const struct pf_grouper_burst *burst,
                        const struct pf_grouper_settings *settings)
{
    size_t gaps = burst->count - 1 < GAPS_COUNTED ? burst->count - 1 : GAPS_COUNTED;
    if (settings->gap_fixed || gaps < 2)
        return settings->gap_ms;
    int64_t usual_ms = clamped(median_gap_ms(burst, gaps), 0, LIMIT_MOST_MS);
    int64_t adapted_ms = clamped(3 * usual_ms + LIMIT_MARGIN_MS, LIMIT_LEAST_MS, LIMIT_MOST_MS);
    /* How files arrive is no cadence of a camera: three at once, then a slow one. */
    if (burst->shots[0]->by_arrival && adapted_ms < settings->gap_ms)
        return settings->gap_ms;
    return adapted_ms;
}

/* How much longer than the camera took from the shot heard before to this one did the host wait?
 * Frames that are shot fast and come slowly (a radio link, a copy, polling) must not look like a
 * burst that has ended. */
static int64_t delay_ms(const struct pf_grouper_burst *burst, const struct pf_shot *shot)
{
    int64_t gap_ms = shot->heard_ms - burst->heard_ms - shot->exposure_ms;
    int64_t explained_ms = idle_ms(burst->heard, shot);
    if (!shot->has_subsec || !burst->heard->has_subsec)
        explained_ms += 1000; /* whole seconds */
    if (shot->by_arrival || gap_ms > DELAY_MOST_MS)
        return 0;
    return gap_ms > explained_ms ? gap_ms - explained_ms : 0;
}

/* A frame that was forgotten says nothing of the others; files that take minutes each do so again. */
static void note_delay(struct pf_grouper_burst *burst, int64_t late_ms)
{
    int64_t *slow_ms = burst->slow_ms;
    if (late_ms <= LIMIT_MOST_MS) {
        if (late_ms > burst->delay_ms)
            burst->delay_ms = late_ms;
    } else if (late_ms > slow_ms[0]) {
        slow_ms[1] = slow_ms[0];
        slow_ms[0] = late_ms;
    } else if (late_ms > slow_ms[1]) {
        slow_ms[1] = late_ms;
    }
}

/* The place of the shot whose file this one is found in (pf_record_replaces); burst->count: none. */
static size_t find_replaced(const struct pf_grouper_burst *burst, const struct pf_shot *shot)
{
    for (size_t i = burst->count; i-- > 0;) {
        const struct pf_shot *before = burst->shots[i];
        if (!shot->by_arrival && before->time_ms < shot->time_ms)
            break;
        if (before->path_hash == shot->path_hash &&
            (shot->by_arrival || before->time_ms == shot->time_ms))
            return i;
    }
    return burst->count;
}

/* Whether the shot is one of the burst's anew, though that takes no further one. Where no capture time
 * says so it is taken for the next bracket, under the same names. */
static bool is_again(const struct pf_grouper_burst *burst, const struct pf_shot *shot)
{
    return !shot->by_arrival && find_replaced(burst, shot) < burst->count;
}

static void take_out(struct pf_grouper_burst *burst, size_t at)
{
    burst->total--;
    burst->count -= at < burst->count;
    memmove(burst->shots + at, burst->shots + at + 1,
            (burst->total - at) * sizeof(struct pf_shot *));
}

static void put_in(struct pf_grouper_burst *burst, struct pf_shot *shot)
{
    size_t at = position(burst, shot);
    memmove(burst->shots + at + 1, burst->shots + at, (burst->total - at) * sizeof(shot));
    burst->shots[at] = shot;
    burst->count++;
    burst->total++;
}

/* Of those that count to those that do not. */
static void set_behind(struct pf_grouper_burst *burst, size_t at)
{
    struct pf_shot *shot = burst->shots[at];
    take_out(burst, at);
    burst->shots[burst->total++] = shot;
}

/* Without a capture time only the file's name says that a shot is one again. A program that writes all
 * its shots to one file would make a burst that never has its count. */
static void replace(struct pf_grouper_burst *burst, struct pf_shot *shot)
{
    size_t at = find_replaced(burst, shot);
    if (at == burst->count)
        return;
    shot->rewrites = burst->shots[at]->rewrites + 1;
    if (!shot->by_arrival || shot->rewrites <= REWRITES_MOST)
        set_behind(burst, at);
}

void pf_grouper_burst_add(struct pf_grouper_burst *burst, struct pf_shot *shot, int64_t now_ms,
                          const struct pf_grouper_settings *settings)
{
    if (burst->count)
        note_delay(burst, delay_ms(burst, shot));
    replace(burst, shot);
    put_in(burst, shot);
    burst->open = true;
    burst->heard = shot;
    burst->heard_ms = now_ms;
    burst->touched = shot->order;
    if (shot->exposure_ms > burst->exposure_ms)
        burst->exposure_ms = shot->exposure_ms;
    /* Not over after all: it goes on beside the newer one (two cameras that cannot be told apart
     * but by their lenses). */
    if (burst->over && shot->time_ms > burst->over_ms)
        burst->over = false;
    burst->limit_ms = limit_ms(burst, settings);
}

bool pf_shot_rename(struct pf_shot *shot, const char *path)
{
    uint64_t path_hash = XXH3_64bits(path, strlen(path));
    if (!shot->by_arrival && path_hash != shot->path_hash)
        return false;
    shot->path_hash = path_hash;
    return true;
}

void pf_grouper_burst_renamed(struct pf_grouper_burst *burst, struct pf_shot *shot,
                              const struct pf_grouper_settings *settings)
{
    size_t at = 0;
    while (burst->shots[at] != shot)
        at++;
    take_out(burst, at);
    at = find_replaced(burst, shot);
    if (at < burst->count)
        set_behind(burst, at);
    put_in(burst, shot);
    burst->limit_ms = limit_ms(burst, settings);
}

static bool texts_differ(const char *a, const char *b)
{
    return !a != !b || (a && strcmp(a, b));
}

static bool ratio_exceeds(double a, double b, double ratio)
{
    return a > 0 && b > 0 ? a > b * ratio || b > a * ratio : (a > 0) != (b > 0);
}

/* The maker's shot number must not fall along the capture order. Equal is allowed: some bodies
 * write one number for a whole bracket, and the two files of one shot share it. */
static bool sequence_restarts(const struct pf_grouper_burst *burst, const struct pf_shot *shot,
                              size_t at)
{
    if (shot->sequence < 0)
        return false;
    for (size_t i = at; i-- > 0;)
        if (burst->shots[i]->sequence >= 0) {
            if (burst->shots[i]->sequence > shot->sequence)
                return true;
            break;
        }
    for (size_t i = at; i < burst->count; i++)
        if (burst->shots[i]->sequence >= 0)
            return burst->shots[i]->sequence < shot->sequence;
    return false;
}

/* How far the counter may have gone in that time: twice as far as it goes at the burst's own pace. */
static double credible_count(const struct pf_grouper_burst *burst, int64_t rise, int64_t time_ms)
{
    int64_t steps = (int64_t)burst->count - 1;
    int64_t pace_ms = PACE_UNKNOWN_MS;
    if (steps >= 2)
        pace_ms = (burst->shots[steps]->time_ms - burst->shots[0]->time_ms) / steps;
    pace_ms = clamped(pace_ms, PACE_LEAST_MS, LIMIT_MOST_MS);
    double step = steps ? ceil((double)rise / (double)steps) : 1; /* names may have any number */
    return step * (2 + 2 * (double)time_ms / (double)pace_ms);
}

/* A camera's clock that was set back can put new frames into the time of an old burst, or right before
 * or behind it. Where its counters rise, the new frame's must fit in. */
static bool counter_contradicts(const struct pf_grouper_burst *burst, const struct pf_shot *before,
                                const struct pf_shot *after, const struct pf_shot *shot)
{
    const struct pf_shot *first = burst->shots[0], *last = burst->shots[burst->count - 1];
    const struct pf_shot *near = before ? before : after;
    int64_t rise = counted(first->counter, last->counter);
    if (shot->counter < 0 || first->counter < 0 || last->counter < 0 || near->counter < 0 ||
        rise < (int64_t)burst->count - 1)
        return false;
    if (before && after)
        return after->counter >= 0 && counted(before->counter, after->counter) > 0 &&
               (counted(before->counter, shot->counter) < 0 ||
                counted(shot->counter, after->counter) < 0);
    int64_t gone =
        before ? counted(before->counter, shot->counter) : counted(shot->counter, after->counter);
    int64_t time_ms = llabs(shot->time_ms - near->time_ms);
    if (!shot->has_subsec || !near->has_subsec)
        time_ms += 1000; /* whole seconds */
    return gone < 0 || (double)gone > credible_count(burst, rise, time_ms);
}

enum pf_burst_reason pf_grouper_burst_refuses(const struct pf_grouper_burst *burst,
                                              const struct pf_shot *shot, int64_t now_ms,
                                              const struct pf_grouper_settings *settings,
                                              int64_t *ret_distance_ms)
{
    if (pf_grouper_burst_is_full(burst, settings) && !is_again(burst, shot))
        return PF_BURST_EXPECTED;
    if (burst->driven && shot->bracket != burst->driven)
        return PF_BURST_SEQUENCE;
    size_t at = position(burst, shot);
    if (burst->sealed && at == burst->count && !is_again(burst, shot))
        return PF_BURST_BY_HAND;
    const struct pf_shot *before = at ? burst->shots[at - 1] : NULL;
    const struct pf_shot *after = at < burst->count ? burst->shots[at] : NULL;
    int64_t before_ms = before ? idle_ms(before, shot) : INT64_MAX;
    int64_t after_ms = after ? idle_ms(shot, after) : INT64_MAX;
    bool before_is_near = before_ms <= after_ms;
    const struct pf_shot *near = before_is_near ? before : after;
    int64_t near_ms = before && after ? 0 : before_is_near ? before_ms : after_ms;
    int64_t allowed_ms = burst->limit_ms;
    /* The camera says that they belong together: as long a pause as any. */
    if (shot->burst_id && near->burst_id && !strcmp(shot->burst_id, near->burst_id) &&
        allowed_ms < LIMIT_MOST_MS)
        allowed_ms = LIMIT_MOST_MS;
    if (near_ms > allowed_ms)
        return PF_BURST_GAP;
    if (texts_differ(shot->burst_id, near->burst_id) || sequence_restarts(burst, shot, at))
        return PF_BURST_SEQUENCE;
    if (texts_differ(shot->lens, near->lens) ||
        ratio_exceeds(shot->focal_mm, near->focal_mm, FOCAL_RATIO) ||
        ratio_exceeds(shot->f_number, near->f_number, F_NUMBER_RATIO))
        return PF_BURST_SETTINGS;
    bool is_old = !burst->open && (!burst->touched || now_ms - burst->heard_ms > LONG_COMPLETE_MS);
    if (is_old && counter_contradicts(burst, before, after, shot))
        return PF_BURST_GAP;
    *ret_distance_ms = near_ms + (is_old ? LIMIT_MOST_MS : 0); /* rather a burst of now */
    return PF_BURST_OPEN;
}

bool pf_grouper_burst_is_full(const struct pf_grouper_burst *burst,
                              const struct pf_grouper_settings *settings)
{
    int expected = burst->expected ? burst->expected : settings->expected_frames;
    return expected > 0 && burst->count >= (size_t)expected;
}

int64_t pf_grouper_burst_closes_at(const struct pf_grouper_burst *burst,
                                   const struct pf_grouper_settings *settings,
                                   int64_t expected_delay_ms)
{
    if (burst->driven)
        return INT64_MAX;
    int64_t margin_ms = clamped(2 * burst->delay_ms, 0, LIMIT_MOST_MS);
    if (margin_ms < 2 * burst->slow_ms[1])
        margin_ms = clamped(2 * burst->slow_ms[1], 0, DELAY_MOST_MS);
    if (margin_ms < expected_delay_ms)
        margin_ms = expected_delay_ms;
    int64_t silence_ms = burst->limit_ms + burst->exposure_ms + margin_ms;
    if (burst->over && settings->hold_ms < silence_ms)
        silence_ms = settings->hold_ms;
    return burst->heard_ms + silence_ms;
}

static int compare_reals(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Number of clearly different exposure times, when they also change from frame to frame as in a
 * bracket. Automatic exposure in fading light goes through many times too, but in small steps or
 * with repetition; 0 then. */
static int bracket_levels(const struct pf_grouper_burst *burst)
{
    double exposure_s[BRACKET_MOST_FRAMES];
    size_t count = burst->count, changes = 0;
    int levels = 1;
    if (count < BRACKET_LEVELS || count > BRACKET_MOST_FRAMES)
        return 0;
    for (size_t i = 0; i < count; i++) {
        exposure_s[i] = burst->shots[i]->exposure_s;
        if (!(exposure_s[i] > 0))
            return 0;
        changes += i && ratio_exceeds(exposure_s[i - 1], exposure_s[i], EXPOSURE_RATIO);
    }
    qsort(exposure_s, count, sizeof(*exposure_s), compare_reals);
    for (size_t i = 1; i < count; i++)
        levels += ratio_exceeds(exposure_s[i - 1], exposure_s[i], EXPOSURE_RATIO);
    return levels >= BRACKET_LEVELS && changes * 3 >= (count - 1) * 2 ? levels : 0;
}

bool pf_grouper_burst_is_no_stack(const struct pf_grouper_burst *burst,
                                  const struct pf_grouper_settings *settings, char *why,
                                  size_t size)
{
    size_t count = burst->count;
    if (count < (size_t)settings->min_frames) {
        snprintf(why, size, "%zu frame%s, fewer than %d", count, count == 1 ? "" : "s",
                 settings->min_frames);
        return true;
    }
    int levels = bracket_levels(burst);
    if (levels)
        snprintf(why, size, "exposure bracket: %d exposure times in %zu frames", levels, count);
    return levels;
}

static int compare_records(const void *left, const void *right)
{
    const struct pf_record *a = *(const struct pf_record *const *)left;
    const struct pf_record *b = *(const struct pf_record *const *)right;
    int order = compare_numbers(a->capture_ms, b->capture_ms);
    if (!order && a->capture_ms >= 0)
        order = (int)b->has_subsec - (int)a->has_subsec;
    if (!order)
        order = compare_numbers(a->counter, b->counter);
    if (!order)
        order = compare_numbers(a->sequence, b->sequence);
    if (!order)
        order = compare_numbers(a->arrival_ms, b->arrival_ms);
    return order ? order : strcmp(a->id.text, b->id.text);
}

static int compare_arrivals(const void *left, const void *right)
{
    const struct pf_record *a = *(const struct pf_record *const *)left;
    const struct pf_record *b = *(const struct pf_record *const *)right;
    int order = compare_numbers(a->arrival_ms, b->arrival_ms);
    return order ? order : compare_records(left, right);
}

static int compare_focus(const void *left, const void *right)
{
    const struct pf_record *a = *(const struct pf_record *const *)left;
    const struct pf_record *b = *(const struct pf_record *const *)right;
    int order = (a->focus_at > b->focus_at) - (a->focus_at < b->focus_at);
    return order ? order : compare_records(left, right);
}

static void reverse(const struct pf_record **frames, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        const struct pf_record *kept = frames[i];
        frames[i] = frames[count - 1 - i];
        frames[count - 1 - i] = kept;
    }
}

/* `frames` rise by counter; if it wrapped among them, the widest hole is where they begin. */
static void unwrap(const struct pf_record **frames, size_t count)
{
    int64_t widest = COUNTER_LAST / 2;
    size_t start = 0;
    if (!count || frames[0]->counter < 0 || frames[count - 1]->counter > COUNTER_LAST)
        return;
    for (size_t i = 1; i < count; i++)
        if (frames[i]->counter - frames[i - 1]->counter > widest) {
            widest = frames[i]->counter - frames[i - 1]->counter;
            start = i;
        }
    if (!start)
        return;
    reverse(frames, start);
    reverse(frames + start, count - start);
    reverse(frames, count);
}

void pf_grouper_sort(const struct pf_record **frames, size_t count)
{
    bool all_count = true, some_have_time = false, all_driven = count > 0;
    for (size_t i = 0; i < count; i++) {
        all_driven = all_driven && frames[i]->bracket && frames[i]->bracket == frames[0]->bracket;
        all_count = all_count && frames[i]->counter >= 0;
        some_have_time = some_have_time || frames[i]->capture_ms >= 0;
    }
    if (all_driven || (!some_have_time && !all_count)) {
        qsort(frames, count, sizeof(*frames), all_driven ? compare_focus : compare_arrivals);
        return;
    }
    qsort(frames, count, sizeof(*frames), compare_records);
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start + 1; end < count; end++)
            if (frames[end]->capture_ms != frames[start]->capture_ms ||
                frames[end]->has_subsec != frames[start]->has_subsec)
                break;
        unwrap(frames + start, end - start);
    }
}
