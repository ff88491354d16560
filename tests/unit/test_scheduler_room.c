/* Results: what waits for room, and what is written before its burst ends. */
#include "tests/unit/scheduler_world.h"

TEST(a_full_scratch_directory_costs_no_frame)
{
    begin();
    job_of('A', 1, 2, true);
    for (int turn = 0; turn < 10; turn++) {
        find('A')->no_room_ms -= find('A')->no_room_ms ? 3600000 : 0; /* for hours */
        CHECK_STR(next(), "open A");
        CHECK_STR(next(), "add 1");
        CHECK_STR(next(), "add 2");
        decoding();
        fake_fail(command, ENOBUFS, "the scratch directory has 3 MB left");
        CHECK_STR(next(), "drop A");
        CHECK(no_room == 1 && room == 0);
    }
    CHECK_EQ(attempts_of(find('A')), 0);
    DOES("open A", "add 1", "add 2", "finish A");
    CHECK(no_room == 1 && room == 1 && !find('A')->no_room_ms);
    end();
}

/* It may be a short one, or a frame for which there will never be any. */
TEST(a_lack_of_memory_is_waited_for_a_while)
{
    begin();
    job_of('A', 1, 4, true);
    for (int turn = 0; turn < 5; turn++) {
        CHECK_STR(next(), "open A");
        CHECK_STR(next(), "add 1");
        fake_fail(command, ENOMEM, "out of memory");
        for (int i = 0; i < 3; i++)
            next(); /* those that were under way, and `drop` */
        CHECK(!find('A')->frames[0].excluded);
    }
    find('A')->no_room_ms -= 60000;
    CHECK_STR(next(), "open A");
    CHECK_STR(next(), "add 1");
    fake_fail(command, ENOMEM, "out of memory");
    CHECK(find('A')->frames[0].excluded && no_room == 1 && room == 1);
    CHECK_STR(find('A')->frames[0].reason, "out of memory");
    CHECK_STR(next(), "add 2");
    CHECK_STR(next(), "add 3");
    CHECK_STR(next(), "drop A");
    CHECK_STR(next(), "open A");
    CHECK_STR(next(), "add 2"); /* no other is waited for */
    fake_fail(command, ENOMEM, "out of memory");
    CHECK(find('A')->frames[1].excluded && no_room == 1);
    for (int i = 0; i < 3; i++)
        next();
    DOES("open A", "add 3", "add 4", "finish A");
    end();
}

/* The stack is there, and is written when there is room for the picture. */
TEST(a_result_without_room_is_asked_for_again)
{
    begin();
    job_of('A', 1, 2, true);
    DOES("open A", "add 1", "add 2", "finish A");
    fake_fail(command, ENOBUFS, "the scratch directory has 3 MB left");
    CHECK(no_room == 1 && find('A')->hold_until_ms > pf_monotonic_ms());
    DOES("finish A");
    CHECK(unwritten == 0 && room == 0);
    fake_say(command, "finished", json_object());
    CHECK(finished == 1 && room == 1);
    end();
}

/* It is not sent to a worker that would end by it, again and again. */
TEST(a_result_that_no_line_is_long_enough_for_fails_its_burst_at_once)
{
    begin();
    fake.too_long = "finish";
    job_of('A', 1, 2, true);
    const char *const words[] = {"open A", "add 1", "add 2", "drop A", NULL};
    does(words);
    CHECK_EQ(failed, 1);
    CHECK_STR(next(), "");
    CHECK(unwritten == 0 && finished == 0);
    end();
}

TEST(a_result_that_can_never_be_written_fails_its_burst_at_once)
{
    static const int codes[] = {EFBIG, ENOTSUP};
    begin();
    for (int i = 0; i < 2; i++) {
        job_of('A' + i, 1, 2, true);
        const char *const first[] = {"open A", "add 1", "add 2", "finish A", NULL};
        const char *const second[] = {"open B", "add 1", "add 2", "finish B", NULL};
        does(i ? second : first);
        fake_fail(command, codes[i], "too large");
        CHECK_EQ(failed, i + 1);
        CHECK_STR(next(), i ? "drop B" : "drop A");
    }
    CHECK(unwritten == 0 && finished == 0);
    end();
}

/* Two stacks that both wait for the room that the other one has would wait for ever. */
TEST(a_result_without_room_makes_room_for_another_burst)
{
    begin();
    job_of('A', 1, 2, true);
    job_of('B', 11, 1, false);
    DOES("open A", "open B", "add 1", "add 2", "add 11", "finish A");
    fake_fail(command, ENOBUFS, "the scratch directory has 3 MB left");
    find('A')->hold_until_ms = INT64_MAX;
    CHECK_STR(next(), "drop A");
    end();
}

/* A burst that waits for its next frame: what is written of it meanwhile is as good as its frames. */
TEST(a_result_is_written_ahead_when_the_next_frame_is_late)
{
    begin();
    settings.min_frames = 2;
    ahead = true;
    struct pf_job *job = job_of('A', 1, 1, false);
    DOES("open A", "add 1", "preview A"); /* one frame is no stack */
    fake_say(command, "preview", json_object());
    add_frame('A', 2);
    job->last_arrival_ms = pf_monotonic_ms();
    DOES("add 2", "preview A");
    fake_say(command, "preview", json_object());
    CHECK_STR(next(), ""); /* it is not late yet */
    job->last_arrival_ms -= pf_job_ahead_at(job) - pf_monotonic_ms();
    CHECK_STR(next(), "prepare A");
    CHECK(!json_object_get(command, "sidecar"));
    CHECK_EQ(json_array_size(json_object_get(command, "order")), 2);
    CHECK_STR(json_string_value(json_object_get(command, "dir")), "/out");
    CHECK(!pf_job_is_ahead(job));
    fake_say(command, "prepared", json_object());
    CHECK(pf_job_is_ahead(job));
    CHECK_STR(next(), "");
    add_frame('A', 3); /* in vain */
    CHECK(!pf_job_is_ahead(job));
    CHECK_EQ(job->ahead_in_vain, 1);
    DOES("add 3", "preview A");
    fake_say(command, "preview", json_object());
    job->last_arrival_ms -= pf_job_ahead_at(job) - pf_monotonic_ms();
    CHECK_STR(next(), "prepare A");
    job->complete = copy("gap");
    CHECK_STR(next(), ""); /* what is nearly done is waited for */
    fake_say(command, "prepared", json_object());
    CHECK(pf_job_is_ahead(job));
    CHECK_STR(next(), "finish A");
    end();
}

/* An open burst of two frames, A, that the worker is told to write ahead. */
static struct pf_job *begin_ahead(void)
{
    begin();
    settings.min_frames = 2;
    ahead = true;
    struct pf_job *job = job_of('A', 1, 2, false);
    DOES("open A", "add 1", "add 2", "preview A");
    fake_say(command, "preview", json_object());
    CHECK_STR(next(), "prepare A");
    return job;
}

/* It is given up for whatever else is to be done, and put off; other trouble is left for the result. */
TEST(what_is_written_ahead_keeps_nothing_waiting)
{
    struct pf_job *job = begin_ahead();
    const json_t *prepare = command;
    job_of('B', 11, 2, true);
    DOES("open B", "add 11", "add 12", "finish B");
    fake_say(command, "finished", json_object());
    CHECK_EQ(finished, 1);
    fake_say(prepare, "failed", json_pack("{s:s, s:i}", "cmd", "prepare", "code", ECANCELED));
    CHECK(job->ahead == PF_AHEAD_NONE && !job->no_ahead);
    CHECK_EQ(job->ahead_in_vain, 1);
    CHECK_STR(next(), "prepare A");
    fake_say(command, "failed", json_pack("{s:s, s:i}", "cmd", "prepare", "code", ENOSPC));
    CHECK(job->no_ahead);
    CHECK_STR(next(), "");
    job->complete = copy("gap");
    CHECK_STR(next(), "finish A");
    CHECK_EQ(unwritten + failed + no_room, 0);
    end();
}

/* A worker that dies at it does so once. */
TEST(what_kills_the_worker_is_not_written_ahead_again)
{
    begin_ahead();
    fake_die("killed");
    CHECK_EQ(attempts_of(find('A')), 0);
    CHECK(find('A')->no_ahead && !find('A')->alone && !find('A')->no_preview);
    CHECK_EQ(find('A')->failures, 0);
    DOES("open A", "add 1", "add 2", "preview A");
    fake_say(command, "preview", json_object());
    CHECK_STR(next(), "");
    end();
}

/* Nor where a frame was begun beside it, and nobody is to blame. */
TEST(a_death_at_several_things_ends_writing_ahead_as_well)
{
    begin_ahead();
    job_of('B', 11, 1, false);
    CHECK_STR(next(), "open B");
    CHECK_STR(next(), "add 11");
    decoding();
    fake_die("killed");
    CHECK_EQ(attempts_of(find('A')) + attempts_of(find('B')), 0);
    CHECK(find('A')->no_ahead && !find('B')->no_ahead);
    end();
}

/* One by one: there it would be in the way of frames. And what is no stack yet is not written. */
TEST(not_all_is_written_ahead)
{
    begin();
    ahead = true;
    settings.retries = 0;
    job_of('A', 1, 3, false);
    DOES("open A", "add 1", "add 2", "add 3", "preview A");
    fake_say(command, "preview", json_object());
    CHECK_STR(next(), "");
    settings.retries = 3;
    settings.min_frames = 4;
    CHECK_STR(next(), "");
    settings.min_frames = 3;
    CHECK_STR(next(), "prepare A");
    end();
}
