/* What the worker is told, and who is blamed when it dies. */
#include "service/scheduler.h"

#include "tests/unit/fake_worker.h"
#include "tests/unit/journal_steps.h"

static struct pf_settings settings;
static struct event_base *base;
static struct pf_scheduler *scheduler;
static bool ahead; /* whether the owner has results written ahead */
static int finished, failed, unwritten, unreadable, no_room, room;

/* ---- the owner ---- */

static void on_job(struct pf_job *job, struct pf_job_frame *frame, void *context)
{
    (void)job, (void)frame, (void)context;
}

static void on_frame_event(struct pf_job *job, struct pf_job_frame *frame, const json_t *event,
                           void *context)
{
    (void)job, (void)frame, (void)event, (void)context;
}

static void on_previewed(struct pf_job *job, const json_t *event, void *context)
{
    (void)job, (void)event, (void)context;
}

static void on_worker(void *context)
{
    (void)context;
}

static void on_attempt(struct pf_job *job, struct pf_job_frame *frame, const char *why,
                       void *context)
{
    (void)job, (void)frame, (void)why, (void)context;
}

static void on_unreadable(struct pf_job *job, struct pf_job_frame *frame, int code,
                          const char *reason, void *context)
{
    (void)job, (void)frame, (void)code, (void)reason, (void)context;
    unreadable++;
}

static void on_no_room(struct pf_job *job, bool again, const char *reason, void *context)
{
    (void)reason, (void)context;
    CHECK(job->no_room && again == (no_room > room));
    no_room += !again;
}

static void on_room(struct pf_job *job, void *context)
{
    (void)context;
    CHECK(!job->no_room);
    room++;
}

static void on_settled(struct pf_job *job, void *context)
{
    (void)context;
    pf_scheduler_finish(scheduler, job, "/out", json_object());
}

static void on_idle(struct pf_job *job, void *context)
{
    (void)context;
    if (ahead)
        pf_scheduler_prepare(scheduler, job, "/out");
    else
        job->ahead = PF_AHEAD_NONE;
}

static void on_finished(struct pf_job *job, const json_t *event, void *context)
{
    (void)event, (void)context;
    job->out = PF_OUT_PUBLISHING;
    finished++;
}

static void on_unwritten(struct pf_job *job, int code, const char *reason, void *context)
{
    (void)job, (void)code, (void)reason, (void)context;
    unwritten++;
}

static void on_failed(struct pf_job *job, const char *reason, void *context)
{
    (void)reason, (void)context;
    job->out = PF_OUT_FAILED;
    failed++;
}

static const struct pf_scheduler_handlers handlers = {.frame = on_job,
                                                      .progress = on_frame_event,
                                                      .thumbnail = on_frame_event,
                                                      .decoding = on_job,
                                                      .previewed = on_previewed,
                                                      .worker = on_worker,
                                                      .attempt = on_attempt,
                                                      .unreadable = on_unreadable,
                                                      .no_room = on_no_room,
                                                      .room = on_room,
                                                      .settled = on_settled,
                                                      .idle = on_idle,
                                                      .finished = on_finished,
                                                      .unwritten = on_unwritten,
                                                      .failed = on_failed};

static void begin(void)
{
    struct pf_error err = {0};
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    base = event_base_new();
    CHECK_OK(pf_scheduler_new(&scheduler, base, &settings, &handlers, NULL, &err), &err);
}

static void end(void)
{
    ahead = false;
    pf_scheduler_free(scheduler);
    event_base_free(base);
    pf_settings_free(&settings);
}

static struct pf_job *job_of(int64_t burst, int first, int count, bool complete)
{
    struct pf_job *job = NULL;
    struct pf_error err = {0};
    char name[16];
    snprintf(name, sizeof(name), "%c", (char)burst);
    CHECK_OK(pf_job_new(&job, burst, name, &err), &err);
    for (int n = 0; n < count; n++)
        CHECK_OK(pf_job_add(job, record_of(first + n), &err), &err);
    if (complete)
        job->complete = copy("gap");
    pf_scheduler_add(scheduler, job);
    return job;
}

/* ---- the worker ---- */

static const json_t *command; /* that was told last */

/* What the worker is told next, as "add 3", "finish A", "open B" or "preview B"; "" nothing. Pauses after
 * failures are not waited for. */
static const char *next(void)
{
    static char words[64];
    for (struct pf_job *job = pf_scheduler_jobs(scheduler); job; job = job->next)
        job->hold_until_ms = 0;
    pf_scheduler_poke(scheduler);
    event_base_loop(base, EVLOOP_NONBLOCK);
    const json_t *told = fake_next();
    if (!told)
        return "";
    command = told;
    const char *cmd = json_string_value(json_object_get(told, "cmd"));
    const char *burst = json_string_value(json_object_get(told, "burst"));
    const char *path = json_string_value(json_object_get(told, "path"));
    if (!strcmp(cmd, "add"))
        snprintf(words, sizeof(words), "add %d", atoi(strrchr(path, '_') + 1));
    else
        snprintf(words, sizeof(words), "%s %c", cmd, burst[0]);
    return words;
}

static void decoding(void)
{
    fake_say(command, "decoding", json_object());
}

static void fused(void)
{
    fake_say(command, "frame", json_pack("{s:s}", "verdict", "fused"));
}

/* The worker is told this and no more; it fuses the frames. */
static void does(const char *const *words)
{
    for (; *words; words++) {
        CHECK_STR(next(), *words);
        if (strncmp(*words, "add", 3) != 0)
            continue;
        decoding();
        fused();
    }
    CHECK_STR(next(), "");
}
#define DOES(...) does((const char *const[]){__VA_ARGS__, NULL})

static void add_frame(char burst, int n)
{
    struct pf_error err = {0};
    CHECK_OK(pf_job_add(pf_scheduler_find(scheduler, burst), record_of(n), &err), &err);
}

static int attempts_of(const struct pf_job *job)
{
    int attempts = 0;
    for (size_t i = 0; i < job->count; i++)
        attempts += job->frames[i].attempts;
    return attempts;
}

static struct pf_job *find(char burst)
{
    return pf_scheduler_find(scheduler, burst);
}

/* ---- tests ---- */

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

/* ---- room ---- */

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
