/* Brackets that are driven, as the grouper has them. */
#include "tests/unit/grouper_world.h"

enum { BRACKET = 77 };

/* The frames [from, to) are of the bracket, with the focus there. */
static void drive(struct world *world, int from, int to, double first, double step)
{
    for (int i = from; i < to; i++) {
        world->records[i]->bracket = BRACKET;
        world->records[i]->focus_at = first + step * (i - from);
    }
}

/* It completes with its last frame, without any wait. */
TEST(a_driven_bracket_knows_its_count)
{
    struct world world = {0};
    begin(&world, &(struct pf_grouper_settings){0});
    add_run(&world, &(struct run){5, 0, 1000, 0, 1000, 1});
    drive(&world, 0, 5, 0, 1);
    CHECK_EQ(pf_grouper_drive(world.grouper, BRACKET, 5), 0);
    play(&world, 0);
    CHECK_STR(world.story, "1[0-4] expected count");
    CHECK_EQ(pf_grouper_drive_burst(world.grouper, BRACKET), 0);
    pf_grouper_drive_ended(world.grouper, BRACKET);
    CHECK_EQ(pf_grouper_deadline(world.grouper), INT64_MAX);
    world_free(&world);
}

/* No pause ends it while it is under way, and none when it has ended, but silence as for others. */
TEST(a_driven_bracket_is_not_ended_by_a_pause)
{
    struct world world = {0};
    begin(&world, &(struct pf_grouper_settings){.gap_ms = 2000, .gap_fixed = true});
    add_run(&world, &(struct run){4, 0, 60000, 0, 60000, 1});
    drive(&world, 0, 4, 0, 1);
    CHECK_EQ(pf_grouper_drive(world.grouper, BRACKET, 0), 0);
    play(&world, 0);
    CHECK_STR(world.story, "");
    CHECK_EQ(pf_grouper_deadline(world.grouper), INT64_MAX);
    pf_grouper_drive_ended(world.grouper, BRACKET);
    run_clock(&world, INT64_MAX);
    CHECK_STR(world.story, "1[0-3] gap");
    world_free(&world);
}

/* Frames that are shot right before belong to another burst, though they are near enough in time; a
 * setting for the count of all others does not cut it. */
TEST(a_driven_bracket_is_a_burst_of_its_own)
{
    struct world world = {0};
    begin(&world, &(struct pf_grouper_settings){.expected_frames = 3});
    add_run(&world, &(struct run){2, 0, 500, 0, 500, 1});
    add_run(&world, &(struct run){6, 1000, 500, 1000, 500, 3});
    drive(&world, 2, 8, 0, 1);
    CHECK_EQ(pf_grouper_drive(world.grouper, BRACKET, 0), 0);
    play(&world, 0);
    struct pf_error err = {0};
    CHECK_EQ(world.burst[1], 1);
    CHECK_EQ(pf_grouper_drive_burst(world.grouper, BRACKET), 2);
    CHECK_EQ(pf_grouper_drive_burst(world.grouper, BRACKET + 1), 0);
    for (int i = 2; i < 8; i++)
        CHECK_EQ(world.burst[i], 2);
    CHECK_OK(pf_grouper_finish(world.grouper, 2, world.arrival_ms[7] + 1, &err), &err);
    hear(&world);
    CHECK(strstr(world.story, "2[2-7] finished by hand"));
    pf_grouper_drive_ended(world.grouper, BRACKET);
    world_free(&world);
}

/* A frame that was shot again between two others stands between them. */
TEST(frames_of_a_bracket_are_in_the_order_of_their_focus)
{
    struct world world = {0};
    begin(&world, &(struct pf_grouper_settings){0});
    add_run(&world, &(struct run){6, 0, 1000, 0, 1000, 1});
    drive(&world, 0, 4, 0, 1);
    drive(&world, 4, 6, -1, 2.5);
    CHECK_EQ(pf_grouper_drive(world.grouper, BRACKET, 6), 0);
    play(&world, 0);
    CHECK_STR(world.story, "1[4,0-1,5,2-3] expected count");
    world_free(&world);
}

/* After a restart nobody drives it any more: it is a burst like others. */
TEST(a_bracket_of_an_earlier_run)
{
    struct world world = {0};
    begin(&world, &(struct pf_grouper_settings){0});
    add_run(&world, &(struct run){4, 0, 1000, 0, 1000, 1});
    drive(&world, 0, 4, 0, 1);
    play_out(&world);
    CHECK_STR(world.story, "1[0-3] gap");
    pf_grouper_drive_ended(world.grouper, BRACKET);
    world_free(&world);
}
