/* A scheduler with an owner that counts what it is told, and the worker of fake_worker.h: its commands as words. */
#ifndef PF_TEST_SCHEDULER_WORLD_H
#define PF_TEST_SCHEDULER_WORLD_H

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

static bool on_unreadable(struct pf_job *job, struct pf_job_frame *frame, int code,
                          const char *reason, void *context)
{
    (void)job, (void)frame, (void)code, (void)reason, (void)context;
    unreadable++;
    return false;
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

#endif
