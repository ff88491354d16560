#include "service/scheduler_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/base/log.h"
#include "config/base/time.h"
#include "service/job_list.h"

#define FAILURES_MAX   3     /* a job that fails so often in opening or finishing is given up */
#define SPARED_MAX     2     /* times that a job is not to blame where the GPU may be */
#define NO_MEMORY_MS   60000 /* so long a lack of memory may be a short one */
#define BACKOFF_MS     1000  /* before a job that failed is tried again, doubling */
#define BACKOFF_MAX_MS 60000

static void pause_job(struct pf_job *job)
{
    job->backoff_ms = pf_back_off_ms(job->backoff_ms, BACKOFF_MS, BACKOFF_MAX_MS);
    job->hold_until_ms = pf_monotonic_ms() + job->backoff_ms;
}

/* ---- frames ---- */

static void room_again(struct pf_scheduler *scheduler, struct pf_job *job)
{
    if (!job->no_room)
        return;
    job->no_room = false;
    scheduler->handlers.room(job, scheduler->context);
}

void pf_setback_exclude(struct pf_scheduler *scheduler, struct pf_job *job,
                        struct pf_job_frame *frame, const char *reason)
{
    frame->excluded = true;
    if (frame->no_room)
        room_again(scheduler, job);
    frame->no_room = false;
    pf_job_set_step(job, frame, PF_STEP_DONE);
    snprintf(frame->reason, sizeof(frame->reason), "%s", reason);
    scheduler->handlers.frame(job, frame, scheduler->context);
}

void pf_setback_over(struct pf_scheduler *scheduler, struct pf_job *job, struct pf_job_frame *frame)
{
    if (frame && !frame->no_room)
        return;
    if (frame)
        frame->no_room = false;
    job->no_room_ms = 0;
    room_again(scheduler, job);
}

/* The frame took the worker, or its stack, down once more. */
static void blame(struct pf_scheduler *scheduler, struct pf_job *job, struct pf_job_frame *frame,
                  const char *why)
{
    frame->attempts++;
    scheduler->handlers.attempt(job, frame, why, scheduler->context);
    if (frame->attempts >= scheduler->settings->retries)
        pf_setback_exclude(scheduler, job, frame, why);
}

/* ---- commands that failed ---- */

/* Opening or finishing went wrong on the worker's side. */
static void count_failure(struct pf_scheduler *scheduler, struct pf_job *job, const char *reason)
{
    pause_job(job);
    if (++job->failures >= FAILURES_MAX)
        scheduler->handlers.failed(job, reason, scheduler->context);
    else
        pf_log_about(PF_LOG_WARNING, &(struct pf_log_about){.burst = job->name},
                     "burst %s: %s; it is replayed", job->name, reason);
}

/* True: the job waits for room. Of the scratch directory for as long as it takes, as for the outbox; of
 * memory itself for a while only, since what a decoder asks for may be more than there ever is. */
static bool wait_for_room(struct pf_scheduler *scheduler, struct pf_job *job, int code,
                          const char *reason)
{
    int64_t now_ms = pf_monotonic_ms();
    if (code != ENOBUFS && code != ENOMEM)
        return false;
    job->no_room_ms = job->no_room_ms ? job->no_room_ms : now_ms;
    if (code == ENOMEM && now_ms - job->no_room_ms >= NO_MEMORY_MS)
        return false;
    bool again = job->no_room;
    job->no_room = true;
    pause_job(job);
    scheduler->handlers.no_room(job, again, reason, scheduler->context);
    return true;
}

/* True: it was the GPU that had no room. Before the first frame the processor takes over in the worker; in
 * the middle of a burst it begins anew. */
static bool leave_gpu(struct pf_scheduler *scheduler, struct pf_job *job, const json_t *event,
                      int code, const char *reason)
{
    const char *device = json_string_value(json_object_get(event, "device"));
    if (code != ENOMEM || !device || strcmp(device, "cuda") != 0 || job->no_gpu)
        return false;
    job->no_gpu = true;
    pf_log_about(PF_LOG_WARNING, &(struct pf_log_about){.burst = job->name},
                 "burst %s: %s; it is replayed, and the processor stacks it", job->name, reason);
    pf_scheduler_drop(scheduler, job);
    return true;
}

static void on_failed_add(struct pf_scheduler *scheduler, struct pf_job *job,
                          struct pf_job_frame *frame, int code, const char *reason)
{
    pf_scheduler_drop(scheduler, job);
    if (wait_for_room(scheduler, job, code, reason)) {
        frame->no_room = true;
    } else if (code == ENOMEM) {
        pf_setback_exclude(scheduler, job, frame, reason);
    } else if (pf_job_waits_for_file(code)) {
        if (!scheduler->handlers.unreadable(job, frame, code, reason, scheduler->context))
            pause_job(job);
        else if (frame->excluded) /* the next one has nothing to do with it */
            job->backoff_ms = 0;
    } else {
        pause_job(job);
        blame(scheduler, job, frame, reason);
    }
}

static void on_failed_finish(struct pf_scheduler *scheduler, struct pf_job *job, int code,
                             const char *reason)
{
    bool waits = wait_for_room(scheduler, job, code, reason);
    job->alone = false;
    if (code == EFBIG || code == ENOTSUP) { /* of the picture, and it will be the same next time */
        pf_scheduler_drop(scheduler, job);
        scheduler->handlers.failed(job, reason, scheduler->context);
        return;
    }
    if (!waits && (code == ENOMEM || code == ENODATA)) {
        pf_scheduler_drop(scheduler, job);
        count_failure(scheduler, job, reason);
        return;
    }
    if (waits && pf_jobs_in_worker(scheduler->jobs) > 1) { /* or they would wait for one another */
        pf_scheduler_drop(scheduler, job);
        return;
    }
    job->stage = PF_JOB_ACTIVE; /* the stack is there */
    job->out = PF_OUT_NOWHERE;
    if (!waits)
        scheduler->handlers.unwritten(job, code, reason, scheduler->context);
}

void pf_setback_failed(struct pf_scheduler *scheduler, struct pf_job *job, const json_t *event)
{
    const char *cmd = json_string_value(json_object_get(event, "cmd"));
    const char *reason = json_string_value(json_object_get(event, "reason"));
    int code = (int)json_integer_value(json_object_get(event, "code"));
    struct pf_job_frame *frame =
        pf_job_find(job, json_string_value(json_object_get(event, "frame")));
    reason = reason ? reason : "no reason given";
    if (!cmd)
        return;
    if (!strcmp(cmd, "preview")) {
        job->preview_asked = job->alone = false;
    } else if (!strcmp(cmd, "prepare")) { /* what is wrong the `finish` will tell */
        job->ahead = PF_AHEAD_NONE;
        if (code != ECANCELED)
            job->no_ahead = true;
        else if (job->ahead_count == job->count) /* for another burst */
            job->ahead_in_vain++;
        pf_log_about(PF_LOG_DEBUG, &(struct pf_log_about){.burst = job->name},
                     "burst %s is not written ahead: %s", job->name, reason);
    } else if ((!strcmp(cmd, "add") || !strcmp(cmd, "finish")) &&
               leave_gpu(scheduler, job, event, code, reason)) {
        job->alone = false;
    } else if (!strcmp(cmd, "add") && frame) {
        on_failed_add(scheduler, job, frame, code, reason);
    } else if (!strcmp(cmd, "finish")) {
        on_failed_finish(scheduler, job, code, reason);
    } else if (!strcmp(cmd, "open")) {
        pf_scheduler_drop(scheduler, job);
        count_failure(scheduler, job, reason);
    }
}

/* ---- a worker that died ---- */

/* All that was in the worker is replayed. To write ahead is not worth another death. */
static void replay(struct pf_scheduler *scheduler, bool died)
{
    for (struct pf_job *job = scheduler->jobs; job; job = job->next) {
        job->preview_wanted = false;
        job->no_ahead |= died && job->ahead == PF_AHEAD_WRITING;
        pf_job_forget_stack(job);
    }
}

/* Everything that was begun is done one by one until it is through. */
static void be_careful(struct pf_scheduler *scheduler)
{
    scheduler->careful = 0;
    for (struct pf_job *job = scheduler->jobs; job; job = job->next)
        for (size_t i = 0; i < job->count; i++)
            scheduler->careful += job->stage != PF_JOB_WAITING && !job->frames[i].excluded &&
                                  job->frames[i].step != PF_STEP_WAITING;
}

/* A job for which the GPU was blamed takes the worker down without one as well: it is the job's doing. The
 * processor does the rest of it, so that what the GPU may do next is not laid to it. */
static void clear_gpu(struct pf_scheduler *scheduler, struct pf_job *job, enum pf_worker_end end)
{
    if (end != PF_END_WITHOUT_GPU || !job->spared)
        return;
    job->spared = SPARED_MAX;
    job->no_gpu = true;
    pf_worker_clear_gpu(scheduler->worker);
}

/* The one that the worker was at when it died is to blame. Where it was at several nobody is: to guess
 * would condemn frames that came while another burst was being finished. The replay tells. A GPU is to blame
 * first, but for what the processor did: if it goes on without, it was; with the same job again and again, it
 * was not. */
bool pf_setback_died(struct pf_scheduler *scheduler, const char *why, enum pf_worker_end end)
{
    char reason[200];
    struct pf_suspects suspects = pf_jobs_suspects(scheduler->jobs);
    struct pf_job *written = pf_jobs_writing(scheduler->jobs), *job = suspects.job;
    bool finishing = job && job->stage == PF_JOB_FINISHING;
    bool ahead = job && job->ahead == PF_AHEAD_WRITING;
    if (written && why && written->ahead != PF_AHEAD_WRITING)
        written->alone = true;
    if (why)
        be_careful(scheduler);
    replay(scheduler, why != NULL);
    if (!why || !job)
        return true;
    if (suspects.count > 1) {
        pf_log_warning("it was at %zu things: they are done again one by one, to find the one that "
                       "takes it down",
                       suspects.count);
        return true;
    }
    if (end == PF_END_WITH_GPU && !job->no_gpu && job->spared < SPARED_MAX) {
        job->spared++;
        pf_log_about(PF_LOG_WARNING, &(struct pf_log_about){.burst = job->name},
                     "burst %s: it is replayed, and not blamed for what the GPU may have done",
                     job->name);
        return true;
    }
    clear_gpu(scheduler, job, end);
    if (suspects.frame) {
        snprintf(reason, sizeof(reason), "the worker died while decoding it: %s", why);
        blame(scheduler, job, suspects.frame, reason);
    } else if (finishing) {
        snprintf(reason, sizeof(reason), "the worker died while finishing the stack: %s", why);
        count_failure(scheduler, job, reason);
    } else if (ahead) {
        pf_log_about(PF_LOG_WARNING, &(struct pf_log_about){.burst = job->name},
                     "burst %s: the worker died while writing it ahead: it is written when it is "
                     "complete",
                     job->name);
    } else {
        job->no_preview = true;
        pf_log_about(PF_LOG_WARNING, &(struct pf_log_about){.burst = job->name},
                     "burst %s: the worker died at its preview: there will be no other", job->name);
    }
    return false;
}
