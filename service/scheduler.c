#include "service/scheduler_state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "config/base/time.h"
#include "service/job_list.h"
#include "service/thumbnails.h"
#include "service/timer.h"

#define WINDOW        3 /* frames sent ahead: one is fused, one decoded, one waits */
#define PREVIEW_WIDTH 1024

static void watch(struct pf_scheduler *scheduler)
{
    int64_t pixels;
    bool busy = pf_jobs_frames_sent(scheduler->jobs, &pixels) || pf_jobs_writing(scheduler->jobs);
    pf_worker_watch(scheduler->worker, busy, pixels);
}

/* ---- sending ---- */

static json_t *command(const char *cmd, const struct pf_job *job)
{
    return json_pack("{s:s, s:s}", "cmd", cmd, "burst", job->key);
}

static void open_job(struct pf_scheduler *scheduler, struct pf_job *job)
{
    free(job->key);
    job->key = pf_text("%s.%d", job->name, ++job->openings);
    json_decref(job->in_force);
    job->in_force = NULL;
    job->in_force = pf_job_settings(job, scheduler->settings, PF_JOB_KEYS);
    json_t *object =
        job->in_force ? pf_job_settings(job, scheduler->settings, PF_JOB_ENGINE_KEYS) : NULL;
    json_t *head = job->key ? command("open", job) : NULL;
    if (head && job->no_gpu)
        json_object_set_new(head, "device", json_string("cpu"));
    if (object && head && !json_object_update(object, head))
        job->stage = PF_JOB_ACTIVE;
    json_decref(head);
    if (job->stage == PF_JOB_ACTIVE)
        pf_worker_tell(scheduler->worker, object);
    else
        json_decref(object);
}

void pf_scheduler_drop(struct pf_scheduler *scheduler, struct pf_job *job)
{
    if (job->stage != PF_JOB_WAITING && pf_worker_running(scheduler->worker))
        pf_worker_tell(scheduler->worker, command("drop", job));
    pf_job_forget_stack(job);
}

/* True when the worker has frames to do, or is not to be given any now. */
static bool send_frames(struct pf_scheduler *scheduler)
{
    struct pf_job *job = NULL, *written = pf_jobs_writing(scheduler->jobs);
    struct pf_job_frame *frame;
    int64_t pixels;
    bool one_by_one = scheduler->careful || !scheduler->settings->retries;
    size_t window = one_by_one ? 1 : WINDOW;
    size_t sent = pf_jobs_frames_sent(scheduler->jobs, &pixels);
    if (written && written->ahead != PF_AHEAD_WRITING && (one_by_one || written->alone))
        return true;
    while (sent < window && (frame = pf_jobs_next_frame(scheduler->jobs, &job))) {
        const struct pf_record *before = pf_job_before(job, frame);
        json_t *object =
            json_pack("{s:s, s:s, s:s, s:o, s:s?}", "cmd", "add", "burst", job->key, "frame",
                      frame->record->id.text, "path", pf_json_bytes(pf_job_file(frame)), "after",
                      before ? before->id.text : NULL);
        pf_thumbnails_ask(scheduler->settings, frame->record->id.text, object);
        if (pf_worker_tell(scheduler->worker, object) < 0)
            return false;
        pf_job_set_step(job, frame, PF_STEP_SENT);
        frame->order = ++scheduler->order;
        sent++;
    }
    return sent > 0;
}

/* Heap, NULL on out of memory. */
static char *preview_path(const struct pf_scheduler *scheduler, const struct pf_job *job)
{
    return pf_text("%s/preview/%s.jpg", scheduler->settings->state, job->name);
}

/* One preview at a time, of an open burst, when the worker would be idle. False: there is none to make. */
static bool ask_preview(struct pf_scheduler *scheduler)
{
    if (pf_jobs_writing(scheduler->jobs))
        return true;
    for (struct pf_job *job = scheduler->jobs; job; job = job->next) {
        if (!job->preview_wanted || job->no_preview || job->stage != PF_JOB_ACTIVE)
            continue;
        job->preview_wanted = false;
        char *path = preview_path(scheduler, job);
        if (!path)
            return true;
        json_t *object = command("preview", job);
        json_object_set_new(object, "path", pf_json_bytes(path));
        json_object_set_new(object, "max_width", json_integer(PREVIEW_WIDTH));
        job->preview_asked = pf_worker_tell(scheduler->worker, object) == 0;
        job->write_order = ++scheduler->order;
        free(path);
        return true;
    }
    return false;
}

/* The next turn comes by then at the latest. */
static void wake_at(struct pf_scheduler *scheduler, int64_t when_ms, int64_t now_ms)
{
    if (when_ms >= scheduler->wake_ms)
        return;
    scheduler->wake_ms = when_ms;
    pf_timer_set(scheduler->turn, when_ms - now_ms);
}

/* While a burst waits for a frame that may still come, its result is written as if none did. */
static void write_ahead(struct pf_scheduler *scheduler, int64_t now_ms)
{
    if (scheduler->careful || !scheduler->settings->retries || scheduler->hold_until_ms > now_ms)
        return;
    for (struct pf_job *job = scheduler->jobs; job; job = job->next)
        if (job->ahead == PF_AHEAD_ASKED) /* one at a time */
            return;
    for (struct pf_job *job = scheduler->jobs; job; job = job->next) {
        if (job->stage != PF_JOB_ACTIVE || job->out != PF_OUT_NOWHERE || job->complete ||
            job->no_ahead || job->no_room || pf_job_is_ahead(job) || !pf_job_settled(job) ||
            job->count < (size_t)scheduler->settings->min_frames ||
            !pf_job_has_fused(job, PF_JOB_FUSED_MIN))
            continue;
        int64_t at_ms = pf_job_ahead_at(job);
        if (at_ms > now_ms) {
            wake_at(scheduler, at_ms, now_ms);
            continue;
        }
        job->ahead = PF_AHEAD_ASKED;
        job->ahead_count = job->count;
        scheduler->handlers.idle(job, scheduler->context);
        return;
    }
}

/* What is written ahead of another job is not waited for: the worker gives it up at its next step. */
static void settle_jobs(struct pf_scheduler *scheduler, int64_t now_ms)
{
    const struct pf_job *written = pf_jobs_writing(scheduler->jobs);
    if (written && written->ahead != PF_AHEAD_WRITING)
        return;
    for (struct pf_job *job = scheduler->jobs, *next; job; job = next) {
        next = job->next;
        if (job->stage != PF_JOB_ACTIVE || job->out != PF_OUT_NOWHERE || !job->complete ||
            job->ahead == PF_AHEAD_WRITING || !pf_job_settled(job))
            continue;
        int64_t until_ms = scheduler->hold_until_ms > job->hold_until_ms ? scheduler->hold_until_ms
                                                                         : job->hold_until_ms;
        if (until_ms > now_ms) {
            wake_at(scheduler, until_ms, now_ms);
            continue;
        }
        job->backoff_ms = 0;
        scheduler->handlers.settled(job, scheduler->context);
        written = pf_jobs_writing(scheduler->jobs);
        if (written && written->ahead != PF_AHEAD_WRITING)
            return;
    }
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    struct pf_scheduler *scheduler = context;
    int64_t now_ms = pf_monotonic_ms();
    (void)fd, (void)what;
    scheduler->wake_ms = INT64_MAX;
    if (!pf_worker_takes_work(scheduler->worker))
        return;
    settle_jobs(scheduler, now_ms);
    struct pf_job *job;
    while (pf_jobs_in_worker(scheduler->jobs) < (size_t)scheduler->settings->open_stacks &&
           (job = pf_jobs_next_to_open(scheduler->jobs, now_ms))) {
        open_job(scheduler, job);
        if (job->stage == PF_JOB_WAITING)
            break;
        if (job->complete && pf_job_settled(job)) /* nothing to send: all are excluded */
            pf_scheduler_poke(scheduler);
    }
    for (job = scheduler->jobs; job; job = job->next)
        if (job->stage == PF_JOB_WAITING && job->hold_until_ms > now_ms)
            wake_at(scheduler, job->hold_until_ms, now_ms);
    if (!send_frames(scheduler) && !ask_preview(scheduler))
        write_ahead(scheduler, now_ms);
    watch(scheduler);
}

void pf_scheduler_poke(struct pf_scheduler *scheduler)
{
    event_active(scheduler->turn, EV_TIMEOUT, 0);
}

/* ---- what the worker says ---- */

static void on_frame(struct pf_scheduler *scheduler, struct pf_job *job, const json_t *event)
{
    struct pf_job_frame *frame =
        pf_job_find(job, json_string_value(json_object_get(event, "frame")));
    if (!frame || frame->step != PF_STEP_SENT)
        return;
    pf_job_set_step(job, frame, PF_STEP_DONE);
    frame->decoding = false;
    if (frame->trouble_ms)
        job->backoff_ms = 0;
    frame->trouble_ms = 0;
    frame->read_ms = pf_monotonic_ms();
    frame->reason[0] = '\0';
    pf_setback_over(scheduler, job, frame);
    json_decref(frame->result);
    frame->result =
        json_incref((json_t *)event); /* nobody needs it as it was, and a copy needs memory */
    json_object_del(frame->result, "event");
    json_object_del(frame->result, "burst");
    json_object_del(frame->result, "frame");
    if (json_object_get(frame->result, "coverage")) { /* the burst's, not the frame's */
        json_decref(job->coverage);
        job->coverage = json_incref(json_object_get(frame->result, "coverage"));
        json_object_del(frame->result, "coverage");
    }
    job->preview_wanted = !job->complete;
    scheduler->careful -= scheduler->careful > 0;
    pf_worker_healthy(scheduler->worker);
    scheduler->handlers.frame(job, frame, scheduler->context);
}

static void on_message(const json_t *event, void *context)
{
    struct pf_scheduler *scheduler = context;
    const char *name = json_string_value(json_object_get(event, "event"));
    const char *key = json_string_value(json_object_get(event, "burst"));
    struct pf_job *job = pf_jobs_find_key(scheduler->jobs, key);
    if (!name || !job)
        return;
    if (!strcmp(name, "decoding")) {
        struct pf_job_frame *frame =
            pf_job_find(job, json_string_value(json_object_get(event, "frame")));
        if (frame) {
            frame->decoding = true;
            scheduler->handlers.decoding(job, frame, scheduler->context);
        }
    } else if (!strcmp(name, "progress")) {
        struct pf_job_frame *frame =
            pf_job_find(job, json_string_value(json_object_get(event, "frame")));
        if (frame)
            scheduler->handlers.progress(job, frame, event, scheduler->context);
    } else if (!strcmp(name, "thumbnail")) {
        struct pf_job_frame *frame =
            pf_job_find(job, json_string_value(json_object_get(event, "frame")));
        if (frame)
            scheduler->handlers.thumbnail(job, frame, event, scheduler->context);
    } else if (!strcmp(name, "frame")) {
        on_frame(scheduler, job, event);
    } else if (!strcmp(name, "preview")) {
        job->preview_asked = job->alone = false;
        job->previews++;
        scheduler->handlers.previewed(job, event, scheduler->context);
    } else if (!strcmp(name, "prepared") && job->ahead == PF_AHEAD_WRITING) {
        job->ahead = PF_AHEAD_WRITTEN;
        pf_log_about(PF_LOG_DEBUG, &(struct pf_log_about){.burst = job->name},
                     "burst %s: the result of %zu frames is written ahead", job->name,
                     job->ahead_count);
    } else if (!strcmp(name, "finished") && job->stage == PF_JOB_FINISHING) {
        job->stage = PF_JOB_ACTIVE;
        job->failures = 0;
        job->alone = false;
        pf_setback_over(scheduler, job, NULL);
        if (job->no_gpu) /* which says nothing of one */
            pf_worker_healthy(scheduler->worker);
        else
            pf_worker_stacked(scheduler->worker);
        scheduler->handlers.finished(job, event, scheduler->context);
    } else if (!strcmp(name, "failed")) {
        pf_setback_failed(scheduler, job, event);
    }
}

static void on_batch(void *context)
{
    struct pf_scheduler *scheduler = context;
    watch(scheduler);
    pf_scheduler_poke(scheduler);
}

static void on_started(void *context)
{
    watch(context);
}

static void on_changed(void *context)
{
    struct pf_scheduler *scheduler = context;
    scheduler->handlers.worker(scheduler->context);
}

static bool on_ended(const char *why, enum pf_worker_end end, void *context)
{
    return pf_setback_died(context, why, end);
}

/* ---- for the owner ---- */

int pf_scheduler_new(struct pf_scheduler **ret, struct event_base *base,
                     const struct pf_settings *settings,
                     const struct pf_scheduler_handlers *handlers, void *context,
                     struct pf_error *err)
{
    static const struct pf_worker_handlers worker_handlers = {
        .started = on_started,
        .message = on_message,
        .batch = on_batch,
        .ended = on_ended,
        .changed = on_changed,
    };
    struct pf_scheduler *scheduler = calloc(1, sizeof(*scheduler));
    if (!scheduler)
        return pf_fail(err, ENOMEM, "out of memory for the scheduler");
    scheduler->settings = settings;
    scheduler->wake_ms = INT64_MAX;
    scheduler->handlers = *handlers;
    scheduler->context = context;
    scheduler->turn = evtimer_new(base, on_turn, scheduler);
    int r = scheduler->turn ? pf_worker_new(&scheduler->worker, base, settings, &worker_handlers,
                                            scheduler, err)
                            : pf_fail(err, ENOMEM, "out of memory for the scheduler");
    if (r < 0) {
        pf_scheduler_free(scheduler);
        return r;
    }
    pf_worker_start(scheduler->worker);
    *ret = scheduler;
    return 0;
}

struct pf_scheduler *pf_scheduler_free(struct pf_scheduler *scheduler)
{
    if (!scheduler)
        return NULL;
    pf_worker_free(scheduler->worker);
    if (scheduler->turn)
        event_free(scheduler->turn);
    for (struct pf_job *job = scheduler->jobs, *next; job; job = next) {
        next = job->next;
        pf_job_free(job);
    }
    free(scheduler);
    return NULL;
}

struct pf_job *pf_scheduler_jobs(struct pf_scheduler *scheduler)
{
    return scheduler->jobs;
}

struct pf_job *pf_scheduler_find(struct pf_scheduler *scheduler, int64_t burst)
{
    return pf_jobs_find(scheduler->jobs, burst);
}

void pf_scheduler_add(struct pf_scheduler *scheduler, struct pf_job *job)
{
    pf_jobs_append(&scheduler->jobs, job);
    pf_scheduler_poke(scheduler);
}

void pf_scheduler_remove(struct pf_scheduler *scheduler, struct pf_job *job)
{
    pf_scheduler_drop(scheduler, job);
    pf_setback_over(scheduler, job, NULL);
    pf_jobs_take_out(&scheduler->jobs, job);
    char *preview = preview_path(scheduler, job);
    if (preview)
        unlink(preview);
    free(preview);
    pf_job_free(job);
    pf_scheduler_poke(scheduler);
}

/* A `finish`, or what of it can be written ahead (sidecar NULL); sidecar is consumed. NULL on out of
 * memory. */
static json_t *finish(const struct pf_scheduler *scheduler, struct pf_job *job, const char *dir,
                      json_t *sidecar)
{
    const struct pf_record **order = pf_job_order(job);
    json_t *identities = json_array();
    /* Excluded ones, too: places in it are places among the sidecar's frames. */
    for (size_t i = 0; order && i < job->count; i++)
        json_array_append_new(identities, json_string(order[i]->id.text));
    free(order);
    json_t *object = pf_job_settings(job, scheduler->settings, PF_JOB_RESULT_KEYS);
    json_t *head =
        json_pack("{s:s, s:s, s:o, s:o, s:o*}", "cmd", sidecar ? "finish" : "prepare", "burst",
                  job->key, "dir", pf_json_bytes(dir), "order", identities, "sidecar", sidecar);
    if (json_object_update(object, head) < 0)
        object = (json_decref(object), NULL);
    json_decref(head);
    return object;
}

void pf_scheduler_prepare(struct pf_scheduler *scheduler, struct pf_job *job, const char *dir)
{
    bool told = pf_worker_tell(scheduler->worker, finish(scheduler, job, dir, NULL)) == 0;
    job->ahead = told ? PF_AHEAD_WRITING : PF_AHEAD_NONE;
    job->write_order = ++scheduler->order;
    watch(scheduler);
}

/* The next time it would be as long. */
static void fail_too_long(struct pf_scheduler *scheduler, struct pf_job *job)
{
    char reason[160];
    snprintf(reason, sizeof(reason),
             "what there is to say of its %zu frames is more than the %u MiB that go into one "
             "stack.json; shorter paths, or fewer frames, fit",
             job->count, PF_JSONL_LINE_MAX >> 20);
    pf_scheduler_drop(scheduler, job);
    scheduler->handlers.failed(job, reason, scheduler->context);
}

void pf_scheduler_finish(struct pf_scheduler *scheduler, struct pf_job *job, const char *dir,
                         json_t *sidecar)
{
    json_t *object = finish(scheduler, job, dir, sidecar);
    job->preview_wanted = false;
    int r = pf_worker_tell(scheduler->worker, object);
    if (r == 0)
        job->stage = PF_JOB_FINISHING;
    job->write_order = ++scheduler->order;
    if (r == -EMSGSIZE)
        fail_too_long(scheduler, job);
    watch(scheduler);
}

void pf_scheduler_exclude(struct pf_scheduler *scheduler, struct pf_job *job,
                          struct pf_job_frame *frame, const char *reason)
{
    pf_setback_exclude(scheduler, job, frame, reason);
    pf_scheduler_drop(scheduler, job);
    pf_scheduler_poke(scheduler);
}

void pf_scheduler_include(struct pf_scheduler *scheduler, struct pf_job *job,
                          struct pf_job_frame *frame)
{
    frame->excluded = frame->discarded = frame->replaced = frame->stray = false;
    pf_job_forget_groups(job);
    pf_job_set_step(job, frame, PF_STEP_WAITING);
    frame->reason[0] = '\0';
    json_decref(frame->result);
    frame->result = NULL;
    pf_scheduler_drop(scheduler, job);
    pf_scheduler_poke(scheduler);
}

void pf_scheduler_hold(struct pf_scheduler *scheduler, int64_t ms)
{
    scheduler->hold_until_ms = pf_monotonic_ms() + ms;
    pf_scheduler_poke(scheduler);
}

json_t *pf_scheduler_worker(const struct pf_scheduler *scheduler)
{
    return pf_worker_facts(scheduler->worker);
}

bool pf_scheduler_ready(const struct pf_scheduler *scheduler)
{
    return pf_worker_ready(scheduler->worker);
}

int64_t pf_scheduler_stuck_ms(const struct pf_scheduler *scheduler, int64_t *ret_pixels)
{
    int64_t pixels;
    pf_jobs_frames_sent(scheduler->jobs, &pixels);
    if (ret_pixels)
        *ret_pixels = pixels;
    return pf_worker_stuck_ms(scheduler->worker);
}

void pf_scheduler_reap(struct pf_scheduler *scheduler)
{
    pf_worker_reap(scheduler->worker);
}

void pf_scheduler_stop(struct pf_scheduler *scheduler)
{
    pf_worker_stop(scheduler->worker);
}

bool pf_scheduler_stopped(const struct pf_scheduler *scheduler)
{
    return !pf_worker_running(scheduler->worker);
}

bool pf_scheduler_leave(struct pf_scheduler *scheduler)
{
    return pf_worker_leave(scheduler->worker);
}
