/* What grouping promises whatever comes, and what is said to it by hand and after a restart. */
#include "tests/unit/grouper_world.h"

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

/* A program writes one file again and again and keeps each picture under a name of its own, which is told
 * before or after the next one. */
TEST(grouper_frames_that_have_another_name_count)
{
    for (int after = 0; after < 2; after++) {
        struct world world = {0};
        struct pf_error err = {0};
        begin(&world, &(struct pf_grouper_settings){.expected_frames = 12});
        for (int i = 0; i < 12; i++) {
            char name[32];
            int kept = i - after;
            add_run(&world, &(struct run){1, i * 1000, .counter = 1, .no_time = true});
            play(&world, i);
            snprintf(name, sizeof(name), "/in/kept-%d.jpg", kept);
            if (kept >= 0)
                CHECK_OK(pf_grouper_rename(world.grouper, &world.records[kept]->id, name, &err),
                         &err);
        }
        hear(&world);
        check_story(&world, "1[0-11] expected count");
        CHECK_OK(pf_grouper_rename(world.grouper, &(struct pf_identity){"none"}, "/in/a", &err),
                 &err);
        world_free(&world);
    }
}

/* Content that comes back into its file takes the place of what was in it meanwhile. A copy of what has
 * been touched up since is no shot more. */
TEST(grouper_content_that_comes_back_is_one_frame)
{
    for (int no_time = 0; no_time < 2; no_time++) {
        struct world world = {0};
        struct pf_error err = {0};
        begin(&world, &(struct pf_grouper_settings){.expected_frames = 3});
        add_run(&world, &(struct run){1, 0, 0, 0, 0, 1, .no_time = no_time});
        add_run(&world, &(struct run){1, 300, 0, 0, 0, 1, .no_time = no_time});
        play(&world, 0);
        const struct pf_record *first = world.records[0];
        CHECK_OK(pf_grouper_rename(world.grouper, &first->id, first->path, &err), &err);
        if (!no_time)
            CHECK_OK(pf_grouper_rename(world.grouper, &first->id, "/in/kept.jpg", &err), &err);
        add_run(&world, &(struct run){2, 600, 300, 600, 300, 2, .no_time = no_time});
        play(&world, 2);
        check_story(&world, "1[0-3] expected count");
        world_free(&world);
    }
}

/* Nothing but the end by hand tells the next bracket from files that are written again. */
TEST(grouper_names_without_a_time_are_used_again_after_the_end_by_hand)
{
    struct world world = {0};
    struct pf_error err = {0};
    add_run(&world, &(struct run){3, 0, 500, .counter = 1, .no_time = true});
    begin(&world, &(struct pf_grouper_settings){0});
    play(&world, 0);
    CHECK_OK(pf_grouper_finish(world.grouper, 0, BOOT_MS + 1500, &err), &err);
    add_run(&world, &(struct run){3, 2000, 500, .counter = 1, .no_time = true});
    play(&world, 3);
    run_clock(&world, INT64_MAX);
    check_story(&world, "1[0-2] finished by hand; 2[3-5] gap");
    world_free(&world);
}

TEST(grouper_restores_open_and_complete_bursts)
{
    struct world world = {0};
    struct pf_error err = {0};
    add_run(&world, &(struct run){4, 0, 500, 0, 500, 1});          /* complete: 5 */
    add_run(&world, &(struct run){3, 60000, 500, 60000, 500, 6});  /* open: 8 */
    add_run(&world, &(struct run){1, 70100, 0, 61500, 0, 9});      /* goes on with 8 */
    add_run(&world, &(struct run){1, 70200, 0, 700, 0, 2});        /* late for 5 */
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
    for (int polled = 0; polled < 3; polled++) { /* 2: another source than that of the frames */
        struct world world = {0};
        add_run(&world, &(struct run){10, 0, 0, 0, 100, 1});
        add_run(&world, &(struct run){10, 2100, 0, 1000, 100, 11}); /* the next look */
        begin(&world, &(struct pf_grouper_settings){0});
        const char *source = polled == 2 ? "folder:/slow" : "folder:/in";
        CHECK_EQ(pf_grouper_expect_delay(world.grouper, source, polled ? 2500 : 0), polled > 0);
        CHECK(!pf_grouper_expect_delay(world.grouper, source, polled ? 2500 : 0));
        play_out(&world);
        CHECK_STR(world.story, polled == 1 ? "1[0-19] gap" : "1[0-9] gap; late 10; 1[0-19] gap");
        CHECK_EQ(pf_grouper_expect_delay(world.grouper, source, 0), polled > 0);
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
