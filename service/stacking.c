/* What the worker makes of a job: verdicts, scores and coverage told and kept, failures and their
 * retries. Publishing is publishing.c, files that cannot be read are waiting.c.
 *
 * Service process, event loop thread.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "process/coverage.h"
#include "service/describe.h"
#include "service/hook_event.h"
#include "service/service.h"
#include "service/timer.h"

#define OUTSIDE_FRAMES 5 /* after these the begin of a bracket is what it is */

/* ---- telling the photographer ---- */

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* A number that counts something; 0 where none can: the worker may have been taken over. */
static int64_t count_of(const json_t *object, const char *key)
{
    double value = number(object, key);
    return value > 0 && value < 1e15 ? (int64_t)value : 0;
}

/* How far the middle of the frame has moved against the reference, in pixels. */
static double shift_px(const json_t *result)
{
    double h[9], x = number(result, "width") / 2, y = number(result, "height") / 2;
    const json_t *transform = json_object_get(result, "transform");
    if (json_array_size(transform) != 9)
        return 0;
    for (size_t i = 0; i < 9; i++)
        h[i] = json_number_value(json_array_get(transform, i));
    double w = h[6] * x + h[7] * y + h[8];
    return w ? hypot((h[0] * x + h[1] * y + h[2]) / w - x, (h[3] * x + h[4] * y + h[5]) / w - y)
             : 0;
}

/* A replay tells again only what came out otherwise. */
static void log_frame(const struct pf_job *job, struct pf_job_frame *frame)
{
    const char *name = pf_base_name(frame->record->path);
    const json_t *result = frame->result, *focus = json_object_get(result, "focus");
    char told = pf_job_fused(frame) ? 'f' : 'a';
    enum pf_log_level level = told == frame->told ? PF_LOG_DEBUG : PF_LOG_INFO;
    frame->told = told;
    if (told == 'a')
        pf_log_about(level == PF_LOG_INFO ? PF_LOG_WARNING : level, PF_ABOUT_FRAME(job, frame),
                     "%s set aside: %s", name, pf_job_reason(frame));
    else if (json_is_true(json_object_get(result, "reference")))
        pf_log_about(level, PF_ABOUT_FRAME(job, frame),
                     "%s scored: sharpness %.2f; it is the reference of %s", name,
                     number(focus, "modified_laplacian"), job->name);
    else if (json_is_null(json_object_get(result, "aligned_by")))
        pf_log_about(level, PF_ABOUT_FRAME(job, frame), "%s scored: sharpness %.2f", name,
                     number(focus, "modified_laplacian"));
    else
        pf_log_about(level, PF_ABOUT_FRAME(job, frame),
                     "%s scored: sharpness %.2f; aligned: shift %.1f px, correlation %.3f", name,
                     number(focus, "modified_laplacian"), shift_px(result),
                     number(result, "correlation"));
}

/* True the first time that this is to be said of a burst; a replay finds the same again. */
static bool untold(struct pf_job *job, const char *key)
{
    if (!job->coverage_told)
        job->coverage_told = json_object();
    if (json_object_get(job->coverage_told, key))
        return false;
    json_object_set_new(job->coverage_told, key, json_true());
    return true;
}

static const char *name_of(struct pf_job *job, const json_t *identity)
{
    const struct pf_job_frame *frame = pf_job_find(job, json_string_value(identity));
    return frame ? pf_base_name(frame->record->path) : "a frame";
}

static void log_outside(struct pf_service *service, struct pf_job *job, const char *side)
{
    size_t detail = (size_t)count_of(job->coverage, "detail");
    size_t cells = json_array_size(json_object_get(job->coverage, side));
    if (pf_coverage_is_worth_a_word(cells, detail) && untold(job, side))
        pf_log_about(PF_LOG_WARNING, PF_ABOUT_JOB(job),
                     "burst %s: %zu of %zu parts with detail are sharp in no frame: their focal "
                     "planes lie %s frame",
                     job->name, cells, detail,
                     strcmp(side, "before") ? "beyond that of the last"
                                            : "before that of the first");
    else
        return;
    pf_events_publish(service->events, "burst.outside",
                      json_pack("{s:s, s:s, s:I, s:I}", "burst", job->name, "side", side, "cells",
                                (json_int_t)cells, "detail", (json_int_t)detail));
}

static bool lies_between(const struct pf_record *record, const struct pf_record *from,
                         const struct pf_record *to)
{
    const struct pf_record *order[] = {from, record, to};
    pf_grouper_sort(order, sizeof(order) / sizeof(*order));
    return order[1] == record;
}

/* Whether a frame is on its way that may lie between the two. A camera tells its frames in order, and the
 * photographer is to hear of it while it shoots; of one that a folder has not told yet nothing is known. */
static bool is_awaited_between(const struct pf_service *service, struct pf_job *job,
                               const json_t *from, const json_t *to)
{
    const struct pf_job_frame *before = pf_job_find(job, json_string_value(from));
    const struct pf_job_frame *after = pf_job_find(job, json_string_value(to));
    if (!before || !after)
        return false;
    for (size_t i = job->first_undone; i < job->count; i++)
        if (job->frames[i].step != PF_STEP_DONE &&
            lies_between(job->frames[i].record, before->record, after->record))
            return true;
    if (job->complete)
        return false;
    for (size_t i = 0; i < service->held_count; i++)
        if (lies_between(service->held[i], before->record, after->record))
            return true;
    const struct pf_source *source = pf_sources_next(service, before->record->source, NULL);
    return pf_ledger_has_frames(service->ledger) ||
           pf_pairs_deadline(service->pairs) != INT64_MAX ||
           (source && !pf_source_is_camera(source) && pf_source_is_pending(source));
}

/* What the photographer can still shoot, while the subject is there. What lies beyond the last frame
 * is told when there will be no further one. */
void pf_stacking_tell_coverage(struct pf_service *service, struct pf_job *job)
{
    const json_t *skipped = json_object_get(job->coverage, "skipped");
    size_t i;
    const json_t *pair;
    json_array_foreach(skipped, i, pair)
    {
        const json_t *from = json_array_get(pair, 0), *to = json_array_get(pair, 1);
        char key[2 * PF_IDENTITY_CHARS + 2];
        snprintf(key, sizeof(key), "%s %s", json_string_value(from), json_string_value(to));
        if (is_awaited_between(service, job, from, to) || !untold(job, key))
            continue;
        pf_log_about(PF_LOG_WARNING, PF_ABOUT_JOB(job),
                     "a focal plane was skipped between %s and %s", name_of(job, from),
                     name_of(job, to));
        pf_events_publish(service->events, "burst.skipped",
                          json_pack("{s:s, s:O, s:O, s:o, s:o}", "burst", job->name, "from", from,
                                    "to", to, "from_name", pf_json_bytes(name_of(job, from)),
                                    "to_name", pf_json_bytes(name_of(job, to))));
    }
    if (job->complete || pf_job_has_fused(job, OUTSIDE_FRAMES))
        log_outside(service, job, "before");
    if (job->complete)
        log_outside(service, job, "beyond");
}

/* ---- what the scheduler says ---- */

static void note_result(struct pf_service *service, const struct pf_job *job,
                        const struct pf_job_frame *frame)
{
    struct pf_entry *entry = pf_ledger_add(service->ledger, PF_ENTRY_RESULT);
    int failed = 0;
    entry->scores = pf_ledger_json(frame->result ? json_deep_copy(frame->result) : json_object());
    /* By the service: it is not to be tried again after a restart. Groups are found anew then. */
    const struct {
        const char *key;
        bool is;
    } marks[] = {{"excluded", frame->excluded && !frame->stray},
                 {"discarded", frame->discarded},
                 {"replaced", frame->replaced},
                 {"stray", frame->stray},
                 {"taken", frame->taken}};
    for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
        if (marks[i].is)
            failed |= json_object_set_new(entry->scores, marks[i].key, json_true());
    if (failed)
        pf_ledger_json(NULL);
    entry->burst = job->burst;
    entry->frame = frame->record->id;
    entry->fused = pf_job_fused(frame);
    entry->reason = entry->fused ? NULL : pf_ledger_text(pf_job_reason(frame));
}

static void on_frame(struct pf_job *job, struct pf_job_frame *frame, void *context)
{
    struct pf_service *service = context;
    log_frame(job, frame);
    pf_tell_job_frame(service, pf_job_fused(frame) ? "frame.scored" : "frame.aside", job, frame);
    if (job->coverage && pf_job_fused(frame))
        pf_events_publish(
            service->events, "burst.coverage",
            json_pack("{s:s, s:o}", "burst", job->name, "coverage", json_deep_copy(job->coverage)));
    pf_stacking_tell_coverage(service, job);
    note_result(service, job, frame);
    pf_driving_scored(service, job, frame);
}

/* Every word for who wants to know; one now and then for the photographer. */
static void on_progress(struct pf_job *job, struct pf_job_frame *frame, const json_t *event,
                        void *context)
{
    const int64_t often_ms = 5000;
    const char *step = json_string_value(json_object_get(event, "step"));
    int64_t elapsed_ms = count_of(event, "elapsed_ms");
    struct pf_service *service = context;
    json_t *data = json_deep_copy(event);
    json_object_del(data, "event");
    if (data)
        json_object_set_new(data, "burst", json_string(job->name));
    pf_events_publish(service->events, "frame.progress", data);
    bool due = elapsed_ms / often_ms != frame->progress_ms / often_ms && elapsed_ms >= often_ms;
    frame->progress_ms = elapsed_ms;
    pf_log_about(due ? PF_LOG_INFO : PF_LOG_DEBUG, PF_ABOUT_FRAME(job, frame),
                 "%s: %s: iteration %d of at most %d, %.1f s", pf_base_name(frame->record->path),
                 step ? step : "aligning",
                 (int)json_integer_value(json_object_get(event, "iteration")),
                 (int)json_integer_value(json_object_get(event, "of")), (double)elapsed_ms / 1e3);
}

static void on_thumbnail(struct pf_job *job, struct pf_job_frame *frame, const json_t *event,
                         void *context)
{
    struct pf_service *service = context;
    char *path = pf_json_bytes_value(json_object_get(event, "path"));
    const char *size = json_string_value(json_object_get(event, "size"));
    if (path && size) {
        pf_events_publish(
            service->events, "frame.thumbnail",
            json_pack("{s:s, s:s, s:s, s:o, s:O, s:O}", "burst", job->name, "frame",
                      frame->record->id.text, "size", size, "link",
                      pf_describe_link("frames/%s/%s.jpg", frame->record->id.text, size), "width",
                      json_object_get(event, "width"), "height", json_object_get(event, "height")));
        pf_log_about(PF_LOG_DEBUG, PF_ABOUT_FRAME(job, frame), "%s: thumbnail %s",
                     pf_base_name(frame->record->path), path);
        pf_thumbnails_note(service->thumbnails, path);
    }
    free(path);
}

static void on_decoding(struct pf_job *job, struct pf_job_frame *frame, void *context)
{
    struct pf_service *service = context;
    pf_events_publish(service->events, "frame.decoding",
                      json_pack("{s:s, s:s}", "burst", job->name, "frame", frame->record->id.text));
    pf_tell_stage(service, job);
}

static void on_previewed(struct pf_job *job, const json_t *event, void *context)
{
    struct pf_service *service = context;
    pf_events_publish(
        service->events, "preview",
        json_pack("{s:s, s:i, s:o, s:O, s:O}", "burst", job->name, "preview", job->previews, "link",
                  pf_describe_link("bursts/%s/preview.jpg?n=%d", job->name, job->previews), "width",
                  json_object_get(event, "width"), "height", json_object_get(event, "height")));
}

static void on_worker(void *context)
{
    struct pf_service *service = context;
    if (!service->scheduler) /* it is being made */
        return;
    json_t *worker = pf_scheduler_worker(service->scheduler);
    const char *state = json_string_value(json_object_get(worker, "state"));
    if (state && !strcmp(state, "ended"))
        pf_trouble_on(service->troubles, true, "worker", NULL, "the worker has ended: %s",
                      json_string_value(json_object_get(worker, "reason")));
    else if (state && !strcmp(state, "ready"))
        pf_trouble_off(service->troubles, "worker");
    if (json_is_true(json_object_get(worker, "fell_back")))
        pf_trouble_on(
            service->troubles, true, "gpu", NULL,
            "the GPU has failed: the processor does the work until the service is started "
            "anew");
    else
        pf_trouble_off(service->troubles, "gpu");
    pf_events_publish(service->events, "worker", json_pack("{s:o}", "worker", worker));
}

static void on_attempt(struct pf_job *job, struct pf_job_frame *frame, const char *why,
                       void *context)
{
    struct pf_service *service = context;
    (void)job;
    pf_log_about(PF_LOG_WARNING, PF_ABOUT_FRAME(job, frame), "%s: %s (attempt %d)",
                 pf_base_name(frame->record->path), why, frame->attempts);
    pf_ledger_add(service->ledger, PF_ENTRY_ATTEMPT)->frame = frame->record->id;
}

void pf_stacking_replaced(struct pf_service *service, struct pf_job *job,
                          struct pf_job_frame *frame)
{
    frame->replaced = true;
    frame->stray = false;
    pf_scheduler_exclude(service->scheduler, job, frame, PF_JOB_REPLACED_REASON);
}

/* ---- room ---- */

static void on_no_room(struct pf_job *job, bool again, const char *reason, void *context)
{
    struct pf_service *service = context;
    if (!again)
        pf_log_about(PF_LOG_WARNING, PF_ABOUT_JOB(job),
                     "burst %s waits: %s; it is tried again by itself", job->name, reason);
    pf_trouble_on(service->troubles, true, "room", NULL, "burst %s waits: %s", job->name, reason);
}

static void on_room(struct pf_job *job, void *context)
{
    struct pf_service *service = context;
    for (job = pf_scheduler_jobs(service->scheduler); job; job = job->next)
        if (job->no_room)
            return;
    pf_trouble_off(service->troubles, "room");
}

/* ---- bursts that fail ---- */

void pf_stacking_fail(struct pf_service *service, struct pf_job *job, const char *reason)
{
    struct pf_entry *entry = pf_ledger_add(service->ledger, PF_ENTRY_FAILED);
    entry->burst = job->burst;
    entry->version = job->version;
    entry->reason = pf_ledger_text(reason);
    pf_hooks_order(service->hooks, entry, "on_failure",
                   pf_hook_event_failed(job, job->version, reason));
    job->out = PF_OUT_FAILED;
}

static void on_failed(struct pf_job *job, const char *reason, void *context)
{
    pf_stacking_fail(context, job, reason);
}

static void fail_unfused(struct pf_service *service, struct pf_job *job, size_t fused)
{
    char reason[512];
    const struct pf_job_frame *aside = NULL;
    for (size_t i = 0; i < job->count && !aside; i++)
        if (!pf_job_fused(&job->frames[i]))
            aside = &job->frames[i];
    snprintf(reason, sizeof(reason), "only %zu of %zu frames could be used%s%s%s%s", fused,
             job->count, aside ? "; " : "", aside ? pf_base_name(aside->record->path) : "",
             aside ? ": " : "", aside ? pf_job_reason(aside) : "");
    pf_stacking_fail(service, job, reason);
}

static void leave_strays_out(struct pf_service *service, struct pf_job *job)
{
    char reason[128];
    for (size_t i = 0; i < job->count; i++) {
        struct pf_job_frame *frame = &job->frames[i];
        if (frame->excluded || !pf_stray_is_out(&job->stray, frame->group))
            continue;
        pf_stray_reason(&job->stray, frame->group, frame->result, reason, sizeof(reason));
        frame->stray = true;
        pf_scheduler_exclude(service->scheduler, job, frame, reason);
    }
}

static void on_settled(struct pf_job *job, void *context)
{
    struct pf_service *service = context;
    size_t fused = pf_job_fused_count(job);
    pf_stacking_tell_coverage(service, job);
    if (pf_job_regroup(job)) {
        leave_strays_out(service, job);
        return;
    }
    if (fused < PF_JOB_FUSED_MIN) {
        fail_unfused(service, job, fused);
        return;
    }
    pf_publishing_begin(service, job);
}

const struct pf_scheduler_handlers pf_stacking_handlers = {
    .frame = on_frame,
    .progress = on_progress,
    .thumbnail = on_thumbnail,
    .decoding = on_decoding,
    .previewed = on_previewed,
    .worker = on_worker,
    .attempt = on_attempt,
    .unreadable = pf_waiting_unreadable,
    .no_room = on_no_room,
    .room = on_room,
    .settled = on_settled,
    .idle = pf_publishing_idle,
    .finished = pf_publishing_finished,
    .unwritten = pf_publishing_unwritten,
    .failed = on_failed,
};

/* ---- failed bursts ---- */

void pf_stacking_retry_failed(struct pf_service *service)
{
    struct pf_journal_bursts bursts = {0};
    struct pf_error err = {0};
    int r = pf_journal_bursts_in(service->journal, PF_BURST_STATE_FAILED, &bursts, &err);
    if (r < 0)
        pf_log_error("failed bursts cannot be looked up: %s", err.text);
    else
        pf_log_info("failed bursts to be tried again: %zu", bursts.count);
    for (size_t i = 0; i < bursts.count; i++)
        pf_ledger_add(service->ledger, PF_ENTRY_RETRY)->burst = bursts.items[i].number;
    pf_journal_bursts_free(&bursts);
}

void pf_stacking_tell_failed(struct pf_service *service, const char *burst, const char *reason)
{
    char id[PF_BURST_ID_MAX + 8], retry[PF_BURST_ID_MAX + 32], dismiss[PF_BURST_ID_MAX + 32];
    snprintf(id, sizeof(id), "burst.%s", burst);
    snprintf(retry, sizeof(retry), "/api/v1/bursts/%s/retry", burst);
    snprintf(dismiss, sizeof(dismiss), "/api/v1/bursts/%s/dismiss", burst);
    pf_trouble_on(service->troubles, false, id, &(struct pf_trouble_ways){retry, dismiss},
                  "burst %s failed: %s", burst, reason ? reason : "");
}

void pf_stacking_forget_failed(struct pf_service *service, const char *burst)
{
    char id[PF_BURST_ID_MAX + 8];
    snprintf(id, sizeof(id), "burst.%s", burst);
    pf_trouble_off(service->troubles, id);
}

/* From its files, with all its frames: those that were set aside get another chance. */
static void retry_burst(struct pf_service *service, int64_t burst)
{
    struct pf_journal_bursts bursts = {0};
    struct pf_error err = {0};
    struct pf_job *job = NULL;
    int r = pf_journal_burst(service->journal, burst, &bursts, &err);
    if (!r)
        r = pf_restore_job(service, &bursts.items[0], &job, &err);
    if (!r)
        job->stays = bursts.items[0].published;
    pf_journal_bursts_free(&bursts);
    if (r < 0) {
        pf_log_error("burst %lld: %s; it waits for the next start", (long long)burst, err.text);
        return;
    }
    pf_log_about(PF_LOG_INFO, PF_ABOUT_JOB(job), "burst %s is tried again: %zu frames", job->name,
                 job->count);
    pf_scheduler_add(service->scheduler, job);
    pf_stacking_forget_failed(service, job->name);
    pf_tell_burst(service, "burst.again", burst, NULL);
}

/* ---- what the ledger has written ---- */

static void failed(struct pf_service *service, const struct pf_job *job, const char *reason)
{
    pf_log_about(PF_LOG_ERROR, PF_ABOUT_JOB(job), "burst %s failed: %s", job->name, reason);
    pf_stacking_tell_failed(service, job->name, reason);
    pf_tell_burst(service, "burst.failed", job->burst, NULL);
}

void pf_stacking_committed(struct pf_service *service, struct pf_entry *entry)
{
    struct pf_job *job = pf_scheduler_find(service->scheduler, entry->burst);
    if ((entry->kind == PF_ENTRY_RETRY || entry->kind == PF_ENTRY_RESTACK) && !job &&
        !entry->refused)
        retry_burst(service, entry->burst);
    else if (entry->kind == PF_ENTRY_PUBLISHED && !entry->refused)
        pf_publishing_committed(service, entry, job);
    else if (entry->kind == PF_ENTRY_FAILED && job && !entry->refused)
        failed(service, job, entry->reason);
    else if (entry->kind == PF_ENTRY_DISMISS && !entry->refused)
        pf_stacking_forget_failed(service, entry->name);
    if (!job || (entry->kind != PF_ENTRY_PUBLISHED && entry->kind != PF_ENTRY_FAILED))
        return;
    /* What an earlier run has published says nothing of the version that is under way now. */
    if (job->out == PF_OUT_FAILED || job->out == PF_OUT_FINDING ||
        (job->out == PF_OUT_PUBLISHING && job->out_version == entry->version))
        job->out = PF_OUT_NOWHERE;
    /* A late frame since then asks for a further version. */
    if (!job->complete || job->version > entry->version) {
        pf_scheduler_poke(service->scheduler);
        return;
    }
    pf_publishing_discard(service, job);
    pf_scheduler_remove(service->scheduler, job);
}
