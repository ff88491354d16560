/* What the worker is told, and who is blamed when it dies. */
#include "tests/unit/scheduler_world.h"

/* A frame of another burst that comes while a result is written is not taken for what kills the worker. */
TEST(a_result_that_kills_the_worker_costs_no_other_burst_a_frame)
{
    begin();
    settings.retries = 1;
    job_of('A', 1, 2, true);
    job_of('B', 11, 1, false);
    DOES("open A", "open B", "add 1", "add 2", "add 11", "finish A");
    add_frame('B', 12);
    CHECK_STR(next(), "add 12");
    decoding(); /* beside the finish */
    fake_die("killed");
    CHECK_EQ(attempts_of(find('A')) + attempts_of(find('B')), 0);
    CHECK_EQ(find('A')->failures, 0);
    for (int death = 1; death <= 3; death++) { /* nothing is beside it, so it is named */
        DOES("open A", "open B", "add 1", "add 2", "finish A");
        add_frame('B', 20 + death);
        CHECK_STR(next(), "");
        fake_die("killed");
        CHECK_EQ(find('A')->failures, death);
    }
    CHECK_EQ(failed, 1);
    CHECK_EQ(attempts_of(find('A')) + attempts_of(find('B')), 0);
    DOES("open B", "add 11", "add 12", "add 21", "add 22", "add 23", "preview B");
    end();
}

static void fail_on(const char *device)
{
    fake_say(command, "failed",
             json_pack("{s:O, s:i, s:s, s:s}", "cmd", json_object_get(command, "cmd"), "code",
                       ENOMEM, "reason", "no room", "device", device));
}

/* With a GPU that is to blame first; what takes the worker down all the same is found as without one. */
TEST(a_frame_that_kills_the_worker_with_a_gpu_is_spared_twice)
{
    begin();
    settings.retries = 2;
    job_of('A', 1, 3, false);
    for (int death = 1; death <= 4; death++) {
        CHECK_STR(next(), "open A");
        CHECK_STR(next(), "add 1");
        decoding();
        fused();
        CHECK_STR(next(), "add 2");
        decoding();
        CHECK_STR(next(), death == 1 ? "add 3" : "");
        CHECK_EQ(fake_end("killed", PF_END_WITH_GPU), death <= 2);
        CHECK_EQ(attempts_of(find('A')), death <= 2 ? 0 : death - 2);
    }
    CHECK(find('A')->frames[1].excluded);
    CHECK(!find('A')->frames[0].excluded);
    CHECK_EQ(fake.cleared, 0);
    end();
}

/* The worker takes to the processor after the second death, and back to the GPU after the third. */
TEST(a_frame_that_kills_the_worker_without_a_gpu_as_well_clears_the_gpu)
{
    static const enum pf_worker_end ends[] = {PF_END_WITH_GPU, PF_END_WITH_GPU, PF_END_WITHOUT_GPU,
                                              PF_END_WITH_GPU};
    begin();
    settings.retries = 2;
    job_of('A', 1, 2, false);
    for (int death = 1; death <= 4; death++) {
        CHECK_STR(next(), "open A");
        CHECK_EQ(json_object_get(command, "device") != NULL, death == 4);
        CHECK_STR(next(), "add 1");
        decoding();
        CHECK_STR(next(), death == 1 ? "add 2" : "");
        CHECK_EQ(fake_end("killed", ends[death - 1]), death <= 2);
        CHECK_EQ(find('A')->frames[0].attempts, death <= 2 ? 0 : death - 2);
        CHECK_EQ(fake.cleared, death >= 3);
    }
    CHECK(find('A')->frames[0].excluded);
    end();
}

/* What the processor does while a GPU is there is not the GPU's doing. */
TEST(a_frame_that_kills_the_worker_where_the_gpu_had_no_room_is_to_blame)
{
    begin();
    settings.retries = 2;
    job_of('A', 1, 2, false);
    CHECK_STR(next(), "open A");
    CHECK_STR(next(), "add 1");
    fail_on("cuda");
    CHECK_STR(next(), "add 2");
    for (int death = 1; death <= 2; death++) {
        CHECK_STR(next(), death == 1 ? "drop A" : "open A");
        if (death == 1)
            CHECK_STR(next(), "open A");
        CHECK_STR(next(), "add 1");
        decoding();
        CHECK_STR(next(), death == 1 ? "add 2" : "");
        CHECK(!fake_end("killed", PF_END_WITH_GPU));
        CHECK_EQ(find('A')->frames[0].attempts, death);
    }
    CHECK_EQ(fake.cleared, 0);
    end();
}

/* It was not there when the GPU was blamed, or there was none. */
TEST(a_frame_that_kills_the_worker_without_a_gpu_alone_clears_none)
{
    begin();
    job_of('A', 1, 2, false);
    CHECK_STR(next(), "open A");
    CHECK_STR(next(), "add 1");
    CHECK_STR(next(), "add 2");
    CHECK(fake_end("killed", PF_END_WITH_GPU)); /* at nothing */
    CHECK_STR(next(), "open A");
    CHECK_STR(next(), "add 1");
    decoding();
    CHECK(!fake_end("killed", PF_END_WITHOUT_GPU));
    CHECK_EQ(find('A')->frames[0].attempts, 1);
    CHECK(fake.cleared == 0 && !find('A')->no_gpu);
    end();
}

/* Whoever kills it in between says nothing of the GPU. */
TEST(a_worker_that_is_killed_by_hand_clears_no_gpu)
{
    begin();
    job_of('A', 1, 2, false);
    for (int death = 1; death <= 2; death++) {
        CHECK_STR(next(), "open A");
        CHECK_STR(next(), "add 1");
        decoding();
        CHECK_STR(next(), death == 1 ? "add 2" : "");
        fake_end("killed", death == 1 ? PF_END_WITH_GPU : PF_END_PLAIN);
    }
    CHECK(fake.cleared == 0 && !find('A')->no_gpu);
    end();
}

/* What is computed on the processor waits for memory as ever. */
TEST(a_burst_that_the_gpu_has_no_room_for_is_the_processors)
{
    begin();
    job_of('A', 1, 2, true);
    CHECK_STR(next(), "open A");
    CHECK(!json_object_get(command, "device"));
    CHECK_STR(next(), "add 1");
    fused();
    CHECK_STR(next(), "add 2");
    fail_on("cuda");
    CHECK_EQ(no_room, 0);
    CHECK_STR(next(), "drop A");
    CHECK_STR(next(), "open A");
    CHECK_STR(json_string_value(json_object_get(command, "device")), "cpu");
    CHECK_STR(next(), "add 1");
    fail_on("cpu");
    CHECK_EQ(no_room, 1);
    CHECK_STR(next(), "add 2");
    DOES("drop A", "open A", "add 1", "add 2", "finish A");
    CHECK_EQ(attempts_of(find('A')), 0);
    end();

    begin();
    job_of('A', 1, 2, true);
    DOES("open A", "add 1", "add 2", "finish A");
    fail_on("cuda");
    DOES("drop A", "open A", "add 1", "add 2", "finish A");
    CHECK_EQ(unwritten + failed, 0);
    end();
}

/* It is written at last, and from then on others go beside the next one again. */
TEST(a_result_that_is_written_alone_ends_the_caution)
{
    begin();
    job_of('A', 1, 2, true);
    job_of('B', 11, 1, false);
    DOES("open A", "open B", "add 1", "add 2", "add 11", "finish A");
    add_frame('B', 12);
    CHECK_STR(next(), "add 12");
    decoding();
    fake_die("killed");
    DOES("open A", "open B", "add 1", "add 2", "finish A");
    fake_say(command, "finished", json_object());
    CHECK_EQ(finished, 1);
    DOES("add 11", "add 12", "preview B");
    fake_say(command, "preview", json_object());
    pf_scheduler_remove(scheduler, find('A'));
    job_of('C', 31, 2, true);
    DOES("drop A", "open C", "add 31", "add 32", "finish C");
    add_frame('B', 13);
    DOES("add 13");
    end();
}

TEST(frames_that_are_in_hand_together_are_told_apart_by_the_replay)
{
    begin();
    job_of('A', 1, 4, false);
    CHECK_STR(next(), "open A");
    CHECK_STR(next(), "add 1");
    decoding();
    CHECK_STR(next(), "add 2");
    decoding();
    CHECK_STR(next(), "add 3");
    fake_die("killed");
    CHECK_EQ(attempts_of(find('A')), 0);
    for (int death = 1; death <= 2; death++) {
        CHECK_STR(next(), "open A");
        CHECK_STR(next(), "add 1");
        decoding();
        fused();
        CHECK_STR(next(), "add 2");
        CHECK_STR(next(), "");
        decoding();
        fake_die("killed");
        CHECK_EQ(find('A')->frames[1].attempts, death);
        CHECK_EQ(attempts_of(find('A')), death);
    }
    CHECK(find('A')->frames[1].excluded);
    DOES("open A", "add 1", "add 3", "add 4", "preview A");
    fake_say(command, "preview", json_object());
    /* Its place is kept: the coverage's winners are places among all frames. */
    find('A')->complete = copy("gap");
    CHECK_STR(next(), "finish A");
    CHECK_EQ(json_array_size(json_object_get(command, "order")), 4);
    end();
}

/* What was asked for before the result is at work before it. */
TEST(a_frame_before_a_result_is_to_blame_alone)
{
    begin();
    job_of('B', 11, 1, false);
    job_of('A', 1, 2, true);
    CHECK_STR(next(), "open A");
    CHECK_STR(next(), "open B");
    CHECK_STR(next(), "add 1");
    decoding();
    fused();
    CHECK_STR(next(), "add 2");
    decoding();
    fused();
    CHECK_STR(next(), "add 11");
    CHECK_STR(next(), "finish A");
    fake_say(json_array_get(fake.told, fake.read - 2), "decoding", json_object());
    fake_die("killed");
    CHECK_EQ(find('A')->failures, 0);
    CHECK_EQ(find('B')->frames[0].attempts, 1);
    end();
}

TEST(a_preview_that_kills_the_worker_is_made_no_more)
{
    begin();
    job_of('A', 1, 2, false);
    DOES("open A", "add 1", "add 2", "preview A");
    fake_die("killed");
    CHECK_EQ(attempts_of(find('A')), 0);
    DOES("open A", "add 1", "add 2");
    find('A')->complete = copy("gap");
    DOES("finish A");
    CHECK_EQ(find('A')->failures, 0);
    end();
}
