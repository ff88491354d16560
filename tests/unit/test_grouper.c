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
    int counter, counter_step; /* counter 0: a name without digits; step 0 means 1 */
    int sequence;              /* of the first, rising by 1; 0 none */
    bool whole_seconds, no_time, offset;
    const char *serial, *lens, *burst_id, *folder; /* NULL: "S1", "L", none, "/in" */
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

static char *copy(const char *text)
{
    char *made = text ? strdup(text) : NULL;
    CHECK(!text || made);
    return made;
}

static struct pf_record *record_of(const struct run *run, int i, int index)
{
    struct pf_record *record = calloc(1, sizeof(*record));
    CHECK(record);
    char path[256];
    int64_t counter = run->counter + (int64_t)i * (run->counter_step ? run->counter_step : 1);
    if (run->counter)
        counter = counter > 9999 ? counter - 9999 : counter; /* 9999 is followed by 1 */
    snprintf(path, sizeof(path), run->counter ? "%s/IMG_%04d.JPG" : "%s/frame.jpg",
             run->folder ? run->folder : "/in", (int)counter);
    record->path = copy(path);
    record->source = copy("folder:/in");
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

static void add_run(struct world *world, const struct run *run)
{
    for (int i = 0; i < run->count; i++) {
        CHECK(world->count < MOST_FRAMES);
        struct pf_record *record = record_of(run, i, world->count);
        world->arrival_ms[world->count] = record->arrival_ms;
        world->records[world->count++] = record;
    }
}

static void world_free(struct world *world)
{
    for (int i = 0; i < world->count; i++)
        pf_record_free(world->records[i]);
    pf_grouper_free(world->grouper);
}

static void tell(struct world *world, const char *format, ...)
{
    size_t used = strlen(world->story);
    va_list args;
    va_start(args, format);
    vsnprintf(world->story + used, sizeof(world->story) - used, format, args);
    va_end(args);
}

static int index_of(const struct world *world, const struct pf_identity *id)
{
    for (int i = 0; i < world->count; i++)
        if (!strcmp(world->records[i]->id.text, id->text))
            return i;
    FAIL("unknown frame %s", id->text);
}

/* Frames of a burst in capture order, by index: "0-3,9,8-5". */
static void tell_frames(struct world *world, int64_t burst)
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

static void hear(struct world *world)
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
static void run_clock(struct world *world, int64_t until_ms)
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

static void begin(struct world *world, const struct pf_grouper_settings *settings)
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
static void play(struct world *world, int from)
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

static void play_out(struct world *world)
{
    play(world, 0);
    run_clock(world, INT64_MAX);
    for (int i = 0; i < world->count; i++)
        CHECK(world->burst[i]);
}

struct grouping_case {
    const char *name;
    struct pf_grouper_settings settings; /* 0: gap auto, hold 1.5 s, min_frames 3 */
    struct run runs[16];
    /* Decisions in order: "BURST[FRAMES in capture order] REASON (WHY NOT)", "late FRAME". */
    const char *story;
};

#define SETTINGS_RAIL                                                                              \
    {                                                                                              \
        .gap_ms = 20000                                                                            \
    }
#define SETTINGS_FIXED(seconds)                                                                    \
    {                                                                                              \
        .gap_ms = (seconds)*1000, .gap_fixed = true                                                \
    }

static const struct grouping_case cases[] = {
    /* ---- the fourteen ---- */
    {"10 fps",
     {0},
     {{10, 0, 100, 0, 100, 42}, {10, 30000, 100, 30000, 100, 52}},
     "1[0-9] gap; 2[10-19] gap"},
    {"whole-second EXIF at 10 fps",
     {0},
     {{25, 0, 100, 0, 100, 100, .whole_seconds = true},
      {10, 20000, 100, 20000, 100, 125, .whole_seconds = true}},
     "1[0-24] gap; 2[25-34] gap"},
    {"flash, 2 to 3.5 s",
     {0},
     {{1, 0, 0, 0, 0, 1},
      {1, 2000, 0, 2000, 0, 2},
      {1, 5500, 0, 5500, 0, 3},
      {1, 8000, 0, 8000, 0, 4},
      {1, 11500, 0, 11500, 0, 5},
      {1, 13600, 0, 13600, 0, 6}},
     "1[0-5] gap"},
    {"rail 6 s", {0}, {{8, 0, 6000, 0, 6000, 1}}, "1[0-7] gap"},
    {"rail 12 s with a pause of 20 s",
     SETTINGS_RAIL,
     {{5, 0, 12000, 0, 12000, 1}, {5, 68000, 12000, 68000, 12000, 6}},
     "1[0-9] gap"},
    {"two cameras interleaved",
     {0},
     {{6, 0, 1000, 0, 1000, 1}, {6, 500, 1000, 500, 1000, 900, .serial = "S2"}},
     "1[0-5] gap; 2[6-11] gap"},
    {"back-to-back bursts with sequence counters",
     {0},
     {{8, 0, 100, 0, 100, 1, .sequence = 1}, {8, 800, 100, 800, 100, 9, .sequence = 1}},
     "1[0-7] sequence restarted; 2[8-15] gap"},
    {"frames out of order",
     {0},
     {{1, 0, 0, 300, 0, 4},
      {1, 100, 0, 0, 0, 1},
      {1, 200, 0, 200, 0, 3},
      {1, 300, 0, 100, 0, 2},
      {1, 400, 0, 500, 0, 6},
      {1, 500, 0, 400, 0, 5}},
     "1[1,3-2,0,5-4] gap"},
    {"exposure bracket",
     {0},
     {{3, 0, 200, 0, 200, 1, .exposure_s = {1.0 / 60, 1.0 / 240, 1.0 / 15}}},
     "1[0-2] gap (exposure bracket: 3 exposure times in 3 frames)"},
    {"no EXIF, as they are shot",
     {0},
     {{6, 0, 2000, .counter = 1, .no_time = true}, {6, 60000, 2000, .counter = 7, .no_time = true}},
     "1[0-5] gap; 2[6-11] gap"},
    {"fewer frames than a stack has",
     {0},
     {{2, 0, 500, 0, 500, 1}, {1, 60000, 0, 60000, 0, 3}},
     "1[0-1] gap (2 frames, fewer than 3); 2[2] gap (1 frame, fewer than 3)"},
    {"f-number changed",
     {0},
     {{5, 0, 1000, 0, 1000, 1}, {5, 5000, 1000, 5000, 1000, 6, .f_number = 11}},
     "1[0-4] settings changed; 2[5-9] gap"},
    {"new burst id",
     {0},
     {{4, 0, 300, 0, 300, 1, .burst_id = "A"}, {4, 1200, 300, 1200, 300, 5, .burst_id = "B"}},
     "1[0-3] sequence restarted; 2[4-7] gap"},
    /* Known: time alone cannot tell unrelated single shots from a slow bracket. They become a
     * burst, and the engine then refuses to align them. */
    {"unrelated single shots 5 s apart", {0}, {{6, 0, 5000, 0, 5000, 1}}, "1[0-5] gap"},

    /* ---- settings and sequence ---- */
    {"lens changed",
     {0},
     {{4, 0, 1000, 0, 1000, 1}, {4, 5000, 1000, 5000, 1000, 5, .lens = "M"}},
     "1[0-3] settings changed; 2[4-7] gap"},
    {"focal length changed",
     {0},
     {{4, 0, 1000, 0, 1000, 1}, {4, 5000, 1000, 5000, 1000, 5, .focal_mm = 60}},
     "1[0-3] settings changed; 2[4-7] gap"},
    {"a macro lens tells its effective f-number, which creeps",
     {0},
     {{1, 0, 0, 0, 0, 1, .f_number = 2.8},
      {1, 1000, 0, 1000, 0, 2, .f_number = 3.0},
      {1, 2000, 0, 2000, 0, 3, .f_number = 3.2},
      {1, 3000, 0, 3000, 0, 4, .f_number = 3.5},
      {1, 4000, 0, 4000, 0, 5, .f_number = 3.8}},
     "1[0-4] gap"},
    {"one sequence number in every frame of a bracket",
     {0},
     {{1, 0, 0, 0, 0, 1, .sequence = 5},
      {1, 100, 0, 100, 0, 2, .sequence = 5},
      {1, 200, 0, 200, 0, 3, .sequence = 5}},
     "1[0-2] gap"},
    {"sequences back to back, whole seconds, first of the second early",
     {0},
     {{5, 0, 100, 0, 100, 1, .sequence = 1, .whole_seconds = true},
      {1, 560, 0, 500, 0, 6, .sequence = 6, .whole_seconds = true},
      {1, 540, 0, 600, 0, 7, .sequence = 1, .whole_seconds = true},
      {4, 700, 100, 700, 100, 8, .sequence = 2, .whole_seconds = true}},
     "1[0-5] sequence restarted; 2[6-10] gap"},
    {"two alike cameras that only their lenses tell apart",
     {0},
     {{6, 0, 3000, 0, 3000, 1, .lens = "M"}, {6, 1000, 3000, 1000, 3000, 500, .lens = "N"}},
     /* The first one looks like a burst that was followed by another. */
     "1[0] settings changed (1 frame, fewer than 3); late 1; 1[0-5] gap; 2[6-11] gap"},

    /* ---- gaps ---- */
    /* auto: three frames 10 s apart are beyond the 8 s that it grants before it knows the cadence,
     * as single shots 10 s apart look just the same. */
    {"rail 12 s, auto",
     {0},
     {{3, 0, 12000, 0, 12000, 1}},
     "1[0] gap (1 frame, fewer than 3); 2[1] gap (1 frame, fewer than 3); "
     "3[2] gap (1 frame, fewer than 3)"},
    {"gaps of 10 to 46 s, auto",
     {0},
     {{1, 0, 0, 0, 0, 1}, {1, 10000, 0, 10000, 0, 2}, {1, 56000, 0, 56000, 0, 3}},
     "1[0] gap (1 frame, fewer than 3); 2[1] gap (1 frame, fewer than 3); "
     "3[2] gap (1 frame, fewer than 3)"},
    /* rail: adapts up to 30 s, so 46 s splits. */
    {"gaps of 10 to 46 s, rail",
     SETTINGS_RAIL,
     {{3, 0, 10000, 0, 10000, 1}, {1, 48000, 0, 48000, 0, 4}, {1, 94000, 0, 94000, 0, 5}},
     "1[0-3] gap; 2[4] gap (1 frame, fewer than 3)"},
    {"gaps of 10 to 46 s, gap = 60",
     SETTINGS_FIXED(60),
     {{3, 0, 10000, 0, 10000, 1}, {1, 48000, 0, 48000, 0, 4}, {1, 94000, 0, 94000, 0, 5}},
     "1[0-4] gap"},
    {"a fixed gap does not adapt",
     SETTINGS_FIXED(2),
     {{5, 0, 100, 0, 100, 1}, {5, 2300, 100, 2300, 100, 6}, {5, 4900, 100, 4900, 100, 11}},
     "1[0-9] gap; 2[10-14] gap"},
    {"exposures of 20 s beside pauses of 3 s",
     {0},
     {{4, 20000, 23000, 0, 23000, 1, .exposure_s = {20}}},
     "1[0-3] gap"},
    {"an absurd exposure time keeps nothing open for ever",
     {0},
     {{3, 0, 100, 0, 100, 1, .exposure_s = {1e300}}, {3, 700000, 100, 700000, 100, 4}},
     "1[0-2] gap; 2[3-5] gap"},
    {"expected count",
     {.expected_frames = 4},
     {{12, 0, 100, 0, 100, 1}},
     "1[0-3] expected count; 2[4-7] expected count; 3[8-11] expected count"},
    {"expected count not reached", {.expected_frames = 8}, {{5, 0, 100, 0, 100, 1}}, "1[0-4] gap"},

    /* ---- exposure ---- */
    {"aperture priority at dusk, near-equal times",
     {0},
     {{8, 0, 3000, 0, 3000, 1,
       .exposure_s = {0.0100, 0.0112, 0.0125, 0.0141, 0.0160, 0.0178, 0.0200, 0.0224}}},
     "1[0-7] gap"},
    {"aperture priority at dusk in thirds of a stop",
     {0},
     {{9, 0, 3000, 0, 3000, 1,
       .exposure_s = {1. / 60, 1. / 60, 1. / 50, 1. / 50, 1. / 40, 1. / 40, 1. / 30, 1. / 30,
                      1. / 25}}},
     "1[0-8] gap"},
    {"light that falls in steps with repetition",
     {0},
     {{9, 0, 3000, 0, 3000, 1,
       .exposure_s = {1. / 60, 1. / 60, 1. / 60, 1. / 30, 1. / 30, 1. / 30, 1. / 15, 1. / 15,
                      1. / 15}}},
     "1[0-8] gap"},
    {"exposure bracket, three times over",
     {0},
     {{9, 0, 300, 0, 300, 1, .exposure_s = {1. / 60, 1. / 240, 1. / 15}}},
     "1[0-8] gap (exposure bracket: 3 exposure times in 9 frames)"},
    {"one flash that did not fire is no bracket",
     {0},
     {{6, 0, 2000, 0, 2000, 1,
       .exposure_s = {1. / 60, 1. / 60, 1. / 60, 1. / 2, 1. / 60, 1. / 60}}},
     "1[0-5] gap"},

    /* ---- order and clocks ---- */
    {"time running against the file name", {0}, {{6, 0, 200, 5000, -1000, 1}}, "1[5-0] gap"},
    {"identical times in a whole burst, mixed arrival",
     {0},
     {{1, 0, 0, 0, 0, 3}, {1, 10, 0, 0, 0, 1}, {1, 20, 0, 0, 0, 4}, {1, 30, 0, 0, 0, 2}},
     "1[1,3,0,2] gap"},
    {"the counter wraps within one second",
     {0},
     {{6, 0, 100, 0, 100, 9997, .whole_seconds = true}},
     "1[0-5] gap"},
    {"the counter wraps, no EXIF",
     {0},
     {{6, 0, 100, .counter = 9998, .no_time = true}},
     "1[0-5] gap"},
    {"no EXIF: a batch dropped at once, in the order of a directory",
     {0},
     {{1, 0, 0, .counter = 5, .no_time = true},
      {1, 1, 0, .counter = 2, .no_time = true},
      {1, 2, 0, .counter = 4, .no_time = true},
      {1, 3, 0, .counter = 1, .no_time = true},
      {1, 4, 0, .counter = 3, .no_time = true}},
     "1[3,1,4,2,0] gap"},
    {"no EXIF: three files at once, then a slow copy",
     {0},
     {{3, 0, 10, .counter = 1, .no_time = true}, {4, 3000, 5000, .counter = 4, .no_time = true}},
     "1[0-6] gap"},
    {"no EXIF: two folders dropped at once",
     {0},
     {{4, 0, 20, .counter = 1, .no_time = true, .folder = "/in/a"},
      {4, 10, 20, .counter = 1, .no_time = true, .folder = "/in/b"}},
     "1[0-3] gap; 2[4-7] gap"},
    {"no EXIF, no counter: arrival", {0}, {{4, 0, 500, .no_time = true}}, "1[0-3] gap"},
    {"clock set back by an hour between bursts",
     {0},
     {{5, 0, 500, 0, 500, 1}, {5, 60000, 500, -3540000, 500, 6}},
     "1[0-4] gap; 2[5-9] gap"},
    {"clock set back at once, the old burst is still open",
     {0},
     {{5, 0, 3000, 0, 3000, 1}, {5, 14000, 3000, -3586000, 3000, 6}},
     "1[0-4] gap; 2[5-9] gap"},
    {"clock set back into the time of an old burst",
     {0},
     {{5, 0, 500, 0, 500, 1}, {5, 3600000, 500, 0, 500, 6}},
     "1[0-4] gap; 2[5-9] gap"},
    {"summer time begins between bursts",
     {0},
     {{5, 0, 500, 0, 500, 1}, {5, 60000, 500, 3660000, 500, 6}},
     "1[0-4] gap; 2[5-9] gap"},
    {"times with offset and times without do not mix",
     {0},
     {{4, 0, 500, 0, 500, 1, .offset = true}, {4, 2000, 500, 2000, 500, 5}},
     "1[0-3] gap; 2[4-7] gap"},

    /* ---- arrival ---- */
    {"two bursts copied at once in mixed order",
     {0},
     {{1, 0, 0, 60000, 0, 11},
      {1, 50, 0, 0, 0, 1},
      {1, 100, 0, 60100, 0, 12},
      {1, 150, 0, 100, 0, 2},
      {1, 200, 0, 200, 0, 3},
      {1, 250, 0, 60200, 0, 13},
      {1, 300, 0, 60300, 0, 14},
      {1, 350, 0, 300, 0, 4}},
     "1[0,2,5-6] gap; 2[1,3-4,7] gap"},
    {"two bursts copied at once, the older one first",
     {0},
     {{1, 0, 0, 0, 0, 1},
      {1, 50, 0, 60000, 0, 11},
      {1, 100, 0, 100, 0, 2},
      {1, 150, 0, 60100, 0, 12},
      {1, 1600, 0, 200, 0, 3},
      {1, 1700, 0, 60200, 0, 13},
      {1, 1750, 0, 300, 0, 4}},
     "1[0,2,4,6] gap; 2[1,3,5] gap"},
    {"a card read at once: three bursts in order",
     {0},
     {{4, 0, 10, 0, 500, 1}, {4, 40, 10, 60000, 500, 5}, {4, 80, 10, 120000, 500, 9}},
     "1[0-3] gap; 2[4-7] gap; 3[8-11] gap"},
    {"a frame is held until those before it have come",
     {0},
     {{3, 0, 3000, 0, 3000, 1}, {1, 6100, 0, 27000, 0, 10}, {6, 6200, 100, 9000, 3000, 4}},
     "1[0-2,4-9,3] gap"},
    {"late frame",
     {0},
     {{4, 0, 500, 0, 500, 1}, {1, 120000, 0, 750, 0, 2}, {4, 300000, 500, 300000, 500, 5}},
     "1[0-3] gap; late 4; 1[0-1,4,2-3] gap; 2[5-8] gap"},
    {"late frame of the burst before the last",
     {0},
     {{4, 0, 500, 0, 500, 1}, {4, 60000, 500, 60000, 500, 6}, {1, 61600, 0, 2000, 0, 5}},
     "1[0-3] gap; late 8; 2[4-7] gap; 1[0-3,8] gap"},
    {"late frames make a stack of what was none",
     {0},
     {{2, 0, 500, 0, 500, 1}, {2, 60000, 100, 1000, 500, 3}},
     "1[0-1] gap (2 frames, fewer than 3); late 2; 1[0-3] gap"},
    /* The first frames teach that arrival lags, so that one burst is not closed and reopened. */
    {"10 fps over a link that takes 4 s a frame", {0}, {{12, 0, 4000, 0, 100, 1}}, "1[0-11] gap"},
    {"the same with a fixed gap of 2 s",
     SETTINGS_FIXED(2),
     {{6, 0, 4000, 0, 100, 1}},
     "1[0] gap (1 frame, fewer than 3); late 1; 1[0-5] gap"},
};

static void check_case(const struct grouping_case *item)
{
    struct world world = {0};
    for (size_t i = 0; i < sizeof(item->runs) / sizeof(*item->runs) && item->runs[i].count; i++)
        add_run(&world, &item->runs[i]);
    begin(&world, &item->settings);
    play_out(&world);
    if (strcmp(world.story, item->story))
        FAIL("%s:\n  expected %s\n  got      %s", item->name, item->story, world.story);
    world_free(&world);
}

TEST(grouper_cases)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_case(&cases[i]);
}

/* A deterministic stream of numbers (xorshift64*, Vigna 2016). */
static uint64_t random_state;

static int random_below(int bound)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (int)((random_state * UINT64_C(0x2545F4914F6CDD1D) >> 33) % (uint64_t)bound);
}

/* Bursts that lie 40 s and more apart, of one or two cameras, each with a pace of its own; every
 * frame arrives up to the hold later than it was shot. Whatever the order: the same bursts. */
static void check_random_world(uint64_t seed)
{
    struct world world = {0};
    int truth[MOST_FRAMES], bursts = 0, begins_ms[2] = {0, 0}, counter[2] = {9900, 1};
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    int cameras = 1 + random_below(2);
    bool whole_seconds = !random_below(4);
    for (int wanted = 2 + random_below(5); bursts < wanted; bursts++) {
        int camera = random_below(cameras), pace_ms = 60 + random_below(2500);
        begins_ms[camera] += 40000 + random_below(60000);
        for (int n = 1 + random_below(25); n > 0 && world.count < MOST_FRAMES; n--) {
            struct run run = {1,
                              begins_ms[camera] + random_below(1500),
                              0,
                              begins_ms[camera],
                              0,
                              counter[camera],
                              .serial = camera ? "S2" : "S1",
                              .whole_seconds = whole_seconds};
            truth[world.count] = bursts;
            add_run(&world, &run);
            counter[camera] = counter[camera] % 9999 + 1;
            begins_ms[camera] += pace_ms * (80 + random_below(41)) / 100;
        }
    }
    begin(&world, &(struct pf_grouper_settings){0});
    play_out(&world); /* checks that every frame joined, and once */
    for (int i = 0; i < world.count; i++)
        for (int k = 0; k < i; k++)
            if ((truth[i] == truth[k]) != (world.burst[i] == world.burst[k]))
                FAIL("seed %llu: frames %d and %d %s in one burst: %s", (unsigned long long)seed, k,
                     i, truth[i] == truth[k] ? "are not" : "are", world.story);
    world_free(&world);
}

TEST(grouper_any_order_of_arrival_gives_the_same_bursts)
{
    for (uint64_t seed = 1; seed <= 400; seed++)
        check_random_world(seed);
}

/* Frames without rhyme or reason: every one ends in one burst, and every burst is closed. */
TEST(grouper_loses_no_frame_of_chaos)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct world world = {0};
        random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 7;
        int spread_ms = 1 + random_below(100000);
        for (int n = 1 + random_below(80); n > 0; n--)
            add_run(&world,
                    &(struct run){1, random_below(spread_ms), 0, random_below(spread_ms), 0,
                                  random_below(3) ? 1 + random_below(9999) : 0,
                                  .sequence = random_below(2) ? random_below(9) : 0,
                                  .no_time = !random_below(8), .whole_seconds = !random_below(3),
                                  .f_number = random_below(2) ? 8 : 11,
                                  .burst_id = random_below(9) ? NULL : "A",
                                  .exposure_s = {random_below(2) ? 0.01 : 5}});
        begin(&world, &(struct pf_grouper_settings){.expected_frames = random_below(2) * 7,
                                                    .gap_ms = 500 + random_below(20000),
                                                    .gap_fixed = random_below(2),
                                                    .hold_ms = random_below(3000)});
        play_out(&world);
        CHECK_EQ(pf_grouper_deadline(world.grouper), INT64_MAX);
        world_free(&world);
    }
}

static void check_story(struct world *world, const char *expected)
{
    CHECK_STR(world->story, expected);
    world->story[0] = '\0';
}

TEST(grouper_finish_by_hand)
{
    struct world world = {0};
    struct pf_error err = {0};
    add_run(&world, &(struct run){4, 0, 1000, 0, 1000, 1});
    add_run(&world, &(struct run){1, 3100, 0, 60000, 0, 9}); /* held: opens a burst of its own */
    begin(&world, &(struct pf_grouper_settings){0});
    play(&world, 0);
    CHECK_EQ(pf_grouper_finish(world.grouper, 7, BOOT_MS + 3200, &err), -ENOENT);
    pf_error_clear(&err);
    CHECK_OK(pf_grouper_finish(world.grouper, 1, BOOT_MS + 3200, &err), &err);
    hear(&world);
    check_story(&world, "1[0-3] finished by hand");
    CHECK_EQ(world.burst[4], 2);
    CHECK_EQ(pf_grouper_finish(world.grouper, 1, BOOT_MS + 3200, &err), -ENOENT);
    pf_error_clear(&err);

    /* A straggler belongs to it, what is shot afterwards does not. */
    add_run(&world, &(struct run){1, 3300, 0, 2500, 0, 3});
    add_run(&world, &(struct run){3, 4000, 500, 3900, 500, 5});
    play(&world, 5);
    check_story(&world, "late 5");
    CHECK_OK(pf_grouper_finish(world.grouper, 0, BOOT_MS + 6000, &err), &err);
    hear(&world);
    check_story(&world, "1[0-2,5,3] finished by hand; 2[4] finished by hand (1 frame, fewer than "
                        "3); 3[6-8] finished by hand");
    CHECK_EQ(pf_grouper_deadline(world.grouper), INT64_MAX);
    CHECK_OK(pf_grouper_finish(world.grouper, 0, BOOT_MS + 6000, &err), &err);
    hear(&world);
    check_story(&world, "");
    world_free(&world);
}

TEST(grouper_restores_open_and_complete_bursts)
{
    struct world world = {0};
    struct pf_error err = {0};
    add_run(&world, &(struct run){4, 0, 500, 0, 500, 1});          /* complete: 5 */
    add_run(&world, &(struct run){3, 60000, 500, 60000, 500, 6});  /* open: 8 */
    add_run(&world, &(struct run){1, 70100, 0, 61500, 0, 9});      /* goes on with 8 */
    add_run(&world, &(struct run){1, 70200, 0, 700, 0, 5});        /* late for 5 */
    add_run(&world, &(struct run){4, 90000, 500, 90000, 500, 10}); /* a new one */
    begin(&world, &(struct pf_grouper_settings){0});
    const struct pf_record *const *records = (const struct pf_record *const *)world.records;
    CHECK_OK(
        pf_grouper_restore(world.grouper, 8, PF_BURST_OPEN, records + 4, 3, BOOT_MS + 70000, &err),
        &err);
    CHECK_OK(pf_grouper_restore(world.grouper, 5, PF_BURST_GAP, records, 4, BOOT_MS + 70000, &err),
             &err);
    CHECK_EQ(pf_grouper_restore(world.grouper, 5, PF_BURST_GAP, records, 4, BOOT_MS, &err),
             -EEXIST);
    CHECK_EQ(pf_grouper_restore(world.grouper, 6, PF_BURST_GAP, records + 3, 3, BOOT_MS, &err),
             -EEXIST);
    CHECK_EQ(pf_grouper_restore(world.grouper, 6, PF_BURST_GAP, records, 0, BOOT_MS, &err),
             -EINVAL);
    pf_error_clear(&err);
    for (int i = 0; i < 7; i++)
        world.burst[i] = i < 4 ? 5 : 8;
    hear(&world);
    check_story(&world, "");
    CHECK_EQ(pf_grouper_feed(world.grouper, world.records[0], BOOT_MS + 70000, &err), -EEXIST);
    pf_error_clear(&err);
    play(&world, 7);
    run_clock(&world, INT64_MAX);
    check_story(&world, "late 8; 8[4-7] gap; 5[0-1,8,2-3] gap; 9[9-12] gap");
    world_free(&world);
}

TEST(grouper_restore_completes_a_full_burst)
{
    struct world world = {0};
    struct pf_error err = {0};
    add_run(&world, &(struct run){4, 0, 500, 0, 500, 1});
    begin(&world, &(struct pf_grouper_settings){.expected_frames = 4});
    CHECK_OK(pf_grouper_restore(world.grouper, 3, PF_BURST_OPEN,
                                (const struct pf_record *const *)world.records, 4, BOOT_MS, &err),
             &err);
    for (int i = 0; i < 4; i++)
        world.burst[i] = 3;
    hear(&world);
    check_story(&world, "3[0-3] expected count");
    world_free(&world);
}

/* What is fed before time is let pass counts, however late the loop comes to it. */
TEST(grouper_a_stalled_loop_closes_nothing_too_early)
{
    struct world world = {0};
    struct pf_error err = {0};
    add_run(&world, &(struct run){8, 0, 1000, 0, 1000, 1});
    begin(&world, &(struct pf_grouper_settings){0});
    for (int i = 0; i < 8; i++) {
        int64_t now_ms = BOOT_MS + (i < 4 ? i * 1000 : 30000);
        CHECK_OK(pf_grouper_feed(world.grouper, world.records[i], now_ms, &err), &err);
    }
    CHECK_OK(pf_grouper_advance(world.grouper, BOOT_MS + 30000, &err), &err);
    hear(&world);
    check_story(&world, "");
    run_clock(&world, INT64_MAX);
    check_story(&world, "1[0-7] gap");
    world_free(&world);
}

TEST(grouper_waits_longer_where_frames_come_in_lots)
{
    for (int polled = 0; polled < 2; polled++) {
        struct world world = {0};
        add_run(&world, &(struct run){10, 0, 0, 0, 100, 1});
        add_run(&world, &(struct run){10, 2100, 0, 1000, 100, 11}); /* the next look */
        begin(&world, &(struct pf_grouper_settings){0});
        pf_grouper_expect_delay(world.grouper, polled ? 2500 : 0);
        play_out(&world);
        CHECK_STR(world.story, polled ? "1[0-19] gap" : "1[0-9] gap; late 10; 1[0-19] gap");
        world_free(&world);
    }
}

TEST(grouper_forgets_the_oldest_bursts)
{
    struct pf_grouper_settings settings = {.gap_ms = 8000, .hold_ms = 1500, .min_frames = 2};
    struct pf_grouper *grouper = NULL;
    struct pf_error err = {0};
    struct pf_decision decision;
    CHECK_OK(pf_grouper_new(&grouper, &settings, 1, &err), &err);
    int bursts = PF_GROUPER_REMEMBERS + 1, joined = 0, late = 0;
    for (int i = 0; i < bursts + 2; i++) {
        /* One frame a minute; at last one more for the first burst and one for the last. */
        int minute = i < bursts ? i : i == bursts ? 0 : bursts - 1;
        struct run run = {1, i * 60000, 0, minute * 60000 + (i < bursts ? 0 : 100), 0, 0};
        struct pf_record *record = record_of(&run, 0, i);
        CHECK_OK(pf_grouper_feed(grouper, record, record->arrival_ms, &err), &err);
        CHECK_OK(pf_grouper_advance(grouper, record->arrival_ms + 59000, &err), &err);
        pf_record_free(record);
        while (pf_grouper_next(grouper, &decision)) {
            joined += decision.kind == PF_DECISION_JOINED;
            late += decision.kind == PF_DECISION_JOINED && decision.late;
            if (i >= bursts && decision.kind == PF_DECISION_JOINED)
                CHECK_EQ(decision.burst, i == bursts ? bursts + 1 : bursts);
        }
    }
    CHECK_EQ(joined, bursts + 2);
    CHECK_EQ(late, 1);
    pf_grouper_free(grouper);
}

TEST(grouper_reasons_have_names)
{
    for (int i = PF_BURST_OPEN; i <= PF_BURST_BY_HAND; i++) {
        enum pf_burst_reason reason;
        CHECK_EQ(
            pf_grouper_reason_of_name(pf_grouper_reason_name((enum pf_burst_reason)i), &reason), 0);
        CHECK_EQ(reason, i);
    }
    enum pf_burst_reason reason;
    CHECK_EQ(pf_grouper_reason_of_name("because", &reason), -ENOENT);
}

TEST(grouper_refuses_impossible_settings)
{
    struct pf_grouper *grouper = NULL;
    struct pf_error err = {0};
    CHECK_EQ(pf_grouper_new(&grouper, &(struct pf_grouper_settings){.gap_ms = 0}, 1, &err),
             -EINVAL);
    CHECK_EQ(pf_grouper_new(&grouper, &(struct pf_grouper_settings){.gap_ms = 1}, 0, NULL),
             -EINVAL);
    CHECK(!grouper);
    CHECK(!pf_grouper_free(NULL));
}
