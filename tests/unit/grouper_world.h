/* A little world for the tests of the grouper: frames that are shot and arrive as a test says, a clock
 * that jumps from one thing to do to the next, and the decisions told as a story in words. */
#ifndef PF_TEST_GROUPER_WORLD_H
#define PF_TEST_GROUPER_WORLD_H

#include "service/grouper.h"
#include "tests/unit/test.h"

#define MOST_FRAMES 256
#define EPOCH_MS    INT64_C(1767323045000) /* 2026-01-02 03:04:05 */
#define BOOT_MS     INT64_C(5000000)

/* `count` frames at a steady pace; times in ms from the beginning of the case. */
struct run {
    int count;
    int arrival_ms, arrival_step_ms;
    int capture_ms, capture_step_ms;
    int counter,
        counter_step; /* counter 0: a name without digits; step 0 means 1, 9999 the same one */
    int sequence;     /* of the first, rising by 1; 0 none */
    bool whole_seconds, no_time, offset;
    const char *serial, *lens, *burst_id, *folder; /* NULL: "S1", "L", none, "/in" */
    const char *source;                            /* NULL: "folder:/in" */
    double f_number, focal_mm;                     /* 0: 8, 100 */
    double exposure_s[MOST_FRAMES / 16];           /* repeated; none: 1/60 */
};

struct world { /* the frames of a case, by index */
    struct pf_record *records[MOST_FRAMES];
    int64_t arrival_ms[MOST_FRAMES];
    int64_t burst[MOST_FRAMES]; /* by the decisions; 0 none */
    int count;
    struct pf_grouper *grouper;
    char story[4096]; /* what happened, in words: compared with what was expected */
};

static inline char *copy(const char *text)
{
    char *made = text ? strdup(text) : NULL;
    CHECK(!text || made);
    return made;
}

static inline struct pf_record *record_of(const struct run *run, int i, int index)
{
    struct pf_record *record = calloc(1, sizeof(*record));
    CHECK(record);
    char path[256];
    int64_t counter = run->counter + (int64_t)i * (run->counter_step ? run->counter_step : 1);
    if (run->counter)
        counter = (counter - 1) % 9999 + 1; /* 9999 is followed by 1 */
    if (run->counter)
        snprintf(path, sizeof(path), "%s/IMG_%04d.JPG", run->folder ? run->folder : "/in",
                 (int)counter);
    else
        snprintf(path, sizeof(path), "%s/frame-%c%c.jpg", run->folder ? run->folder : "/in",
                 'a' + index / 26, 'a' + index % 26);
    record->path = copy(path);
    record->source = copy(run->source ? run->source : "folder:/in");
    record->id = pf_identity_of_memory(&index, sizeof(index));
    record->arrival_ms = BOOT_MS + run->arrival_ms + (int64_t)i * run->arrival_step_ms;
    record->format = copy("jpeg");
    record->width = 6000;
    record->height = 4000;
    record->orientation = 1;
    record->capture_ms = EPOCH_MS + run->capture_ms + (int64_t)i * run->capture_step_ms;
    record->has_subsec = !run->whole_seconds;
    record->has_offset = run->offset;
    if (run->whole_seconds)
        record->capture_ms -= record->capture_ms % 1000;
    record->make = copy("Maker");
    record->model = copy("Body");
    record->serial = copy(run->serial ? run->serial : "S1");
    record->lens = copy(run->lens ? run->lens : "L");
    record->burst_id = copy(run->burst_id);
    record->f_number = run->f_number ? run->f_number : 8;
    record->focal_mm = run->focal_mm ? run->focal_mm : 100;
    int exposures = 0;
    while (exposures < (int)(sizeof(run->exposure_s) / sizeof(*run->exposure_s)) &&
           run->exposure_s[exposures] > 0)
        exposures++;
    record->exposure_s = exposures ? run->exposure_s[i % exposures] : 1.0 / 60;
    record->sequence = run->sequence ? run->sequence + i : -1;
    record->counter = run->counter ? counter : -1;
    if (run->no_time) { /* no EXIF at all */
        record->capture_ms = -1;
        record->has_subsec = false;
        free(record->make);
        free(record->model);
        free(record->serial);
        free(record->lens);
        record->make = record->model = record->serial = record->lens = NULL;
        record->f_number = record->focal_mm = record->exposure_s = 0;
    }
    return record;
}

static inline void add_run(struct world *world, const struct run *run)
{
    for (int i = 0; i < run->count; i++) {
        CHECK(world->count < MOST_FRAMES);
        struct pf_record *record = record_of(run, i, world->count);
        world->arrival_ms[world->count] = record->arrival_ms;
        world->records[world->count++] = record;
    }
}

static inline void world_free(struct world *world)
{
    for (int i = 0; i < world->count; i++)
        pf_record_free(world->records[i]);
    pf_grouper_free(world->grouper);
}

static inline void tell(struct world *world, const char *format, ...)
{
    size_t used = strlen(world->story);
    va_list args;
    va_start(args, format);
    vsnprintf(world->story + used, sizeof(world->story) - used, format, args);
    va_end(args);
}

static inline int index_of(const struct world *world, const struct pf_identity *id)
{
    for (int i = 0; i < world->count; i++)
        if (!strcmp(world->records[i]->id.text, id->text))
            return i;
    FAIL("unknown frame %s", id->text);
}

/* Frames of a burst in capture order, by index: "0-3,9,8-5". */
static inline void tell_frames(struct world *world, int64_t burst)
{
    const struct pf_record *frames[MOST_FRAMES];
    int at[MOST_FRAMES], count = 0;
    for (int i = 0; i < world->count; i++)
        if (world->burst[i] == burst)
            frames[count++] = world->records[i];
    pf_grouper_sort(frames, (size_t)count);
    for (int i = 0; i < count; i++)
        at[i] = index_of(world, &frames[i]->id);
    for (int i = 0, end; i < count; i = end + 1) {
        int step = i + 1 < count ? at[i + 1] - at[i] : 0;
        for (end = i; end + 1 < count && abs(step) == 1 && at[end + 1] - at[end] == step;)
            end++;
        tell(world, end > i ? "%s%d-%d" : "%s%d", i ? "," : "", at[i], at[end]);
    }
}

static inline void hear(struct world *world)
{
    struct pf_decision decision;
    while (pf_grouper_next(world->grouper, &decision)) {
        if (decision.kind == PF_DECISION_JOINED) {
            int i = index_of(world, &decision.frame);
            CHECK_EQ(world->burst[i], 0);
            world->burst[i] = decision.burst;
            size_t frames = 0;
            for (int k = 0; k < world->count; k++)
                frames += world->burst[k] == decision.burst;
            CHECK_EQ(decision.frames, frames);
            CHECK_EQ(decision.opened, frames == 1);
            if (decision.late)
                tell(world, "%slate %d", world->story[0] ? "; " : "", i);
            continue;
        }
        tell(world, "%s%lld[", world->story[0] ? "; " : "", (long long)decision.burst);
        tell_frames(world, decision.burst);
        tell(world, "] %s", pf_grouper_reason_name(decision.reason));
        if (decision.kind == PF_DECISION_NOT_A_STACK)
            tell(world, " (%s)", decision.why);
    }
}

/* Lets the virtual clock run to until_ms, stopping where the grouper wants to be called. */
static inline void run_clock(struct world *world, int64_t until_ms)
{
    struct pf_error err = {0};
    int64_t at_ms, last_ms = INT64_MIN;
    while ((at_ms = pf_grouper_deadline(world->grouper)) < until_ms) {
        CHECK(at_ms > last_ms); /* a deadline that has passed must not come back */
        last_ms = at_ms;
        CHECK_OK(pf_grouper_advance(world->grouper, at_ms, &err), &err);
        hear(world);
    }
}

static inline void begin(struct world *world, const struct pf_grouper_settings *settings)
{
    struct pf_error err = {0};
    struct pf_grouper_settings filled = *settings;
    if (!filled.gap_ms)
        filled.gap_ms = 8000;
    if (!filled.hold_ms)
        filled.hold_ms = 1500;
    if (!filled.min_frames)
        filled.min_frames = 3;
    CHECK_OK(pf_grouper_new(&world->grouper, &filled, 1, &err), &err);
}

/* Feeds frames [from, count) as they arrive. */
static inline void play(struct world *world, int from)
{
    struct pf_error err = {0};
    bool fed[MOST_FRAMES] = {false};
    for (int n = from; n < world->count; n++) {
        int next = -1;
        for (int i = from; i < world->count; i++)
            if (!fed[i] && (next < 0 || world->arrival_ms[i] < world->arrival_ms[next]))
                next = i;
        fed[next] = true;
        run_clock(world, world->arrival_ms[next]);
        CHECK_OK(
            pf_grouper_feed(world->grouper, world->records[next], world->arrival_ms[next], &err),
            &err);
        hear(world);
    }
}

static inline void play_out(struct world *world)
{
    play(world, 0);
    run_clock(world, INT64_MAX);
    for (int i = 0; i < world->count; i++)
        CHECK(world->burst[i]);
}

#endif
