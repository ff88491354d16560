#include "service/describe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"

/* ---- setters; those of optional things leave them out when they are unknown ---- */

static void set_text(json_t *object, const char *key, const char *value)
{
    if (value)
        json_object_set_new(object, key, pf_json_bytes(value));
}

static void set_text_or_null(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, value && *value ? pf_json_bytes(value) : json_null());
}

static void set_positive(json_t *object, const char *key, double value)
{
    if (value > 0)
        json_object_set_new(object, key, json_real(value));
}

static void set_integer(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

json_t *pf_describe_link(const char *format, ...)
{
    char text[512] = "/api/v1/";
    va_list args;
    va_start(args, format);
    vsnprintf(text + 8, sizeof(text) - 8, format, args);
    va_end(args);
    return json_string(text);
}

int64_t pf_describe_wall_ms(int64_t monotonic_ms)
{
    return monotonic_ms + pf_wall_ms() - pf_monotonic_ms();
}

/* ---- frames ---- */

/* NULL of JSON when the file is not there. */
static json_t *thumbnail(const struct pf_service *service, const char *identity, const char *suffix,
                         const char *size)
{
    char path[4096];
    if (!service->thumbnails ||
        (size_t)snprintf(path, sizeof(path), "%s/thumbnails/%s.%s", service->settings.state,
                         identity, suffix) >= sizeof(path))
        return json_null();
    return access(path, F_OK) == 0 ? pf_describe_link("frames/%s/%s.jpg", identity, size)
                                   : json_null();
}

static void set_record(const struct pf_service *service, json_t *object,
                       const struct pf_record *record, const char *path)
{
    char captured[PF_RECORD_CAPTURED_CHARS];
    const char *id = record->id.text;
    set_text(object, "frame", id);
    set_text(object, "name", pf_base_name(path ? path : record->path));
    set_text(object, "path", path ? path : record->path);
    set_text(object, "source", record->source);
    set_text_or_null(object, "captured", pf_record_captured(record, captured));
    json_object_set_new(object, "capture_ms",
                        record->capture_ms >= 0 ? json_integer(record->capture_ms) : json_null());
    set_integer(object, "recorded_ms", pf_describe_wall_ms(record->arrival_ms));
    set_integer(object, "size_bytes", record->size_bytes);
    set_text(object, "format", record->format);
    set_integer(object, "width", record->width);
    set_integer(object, "height", record->height);
    set_integer(object, "orientation", record->orientation);
    set_text(object, "make", record->make);
    set_text(object, "model", record->model);
    set_text(object, "serial", record->serial);
    set_text(object, "lens", record->lens);
    set_positive(object, "focal_mm", record->focal_mm);
    set_positive(object, "f_number", record->f_number);
    set_positive(object, "exposure_s", record->exposure_s);
    if (record->iso > 0)
        set_integer(object, "iso", record->iso);
    if (record->counter >= 0)
        set_integer(object, "counter", record->counter);
    if (record->bracket)
        json_object_set_new(object, "focus_at", json_real(record->focus_at));
    json_object_set_new(object, "links",
                        json_pack("{s:o, s:o, s:o}", "self", pf_describe_link("frames/%s", id),
                                  "small", thumbnail(service, id, "small.jpg", "small"), "large",
                                  thumbnail(service, id, "jpg", "large")));
}

/* What the worker has found; `result` NULL: nothing yet. */
static void set_result(json_t *object, const json_t *result, bool grids)
{
    static const char *const keys[] = {"transform",    "aligned_by", "correlation",
                                       "displacement", "gain",       "balance",
                                       "decode_ms",    "align_ms",   "fuse_ms"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        json_t *value = json_object_get(result, keys[i]);
        json_object_set_new(object, keys[i], value ? json_deep_copy(value) : json_null());
    }
    json_t *focus = json_deep_copy(json_object_get(result, "focus"));
    const json_t *sharpness = json_object_get(focus, "modified_laplacian");
    json_object_set_new(object, "sharpness",
                        json_is_number(sharpness) ? json_deep_copy(sharpness) : json_null());
    if (!grids) {
        json_object_del(focus, "grid");
        json_object_del(json_object_get(object, "displacement"), "grid");
    }
    json_object_set_new(object, "focus", focus ? focus : json_null());
    for (int i = 0; i < 2; i++) { /* as its decoded picture has it, where its header lied */
        json_t *side = json_object_get(result, i ? "height" : "width");
        if (json_is_integer(side))
            json_object_set(object, i ? "height" : "width", side);
    }
}

static void set_verdict(json_t *object, const char *verdict, const char *cause, const char *reason,
                        const json_t *result)
{
    bool discarded = cause && !strcmp(cause, "discarded");
    set_text_or_null(object, "verdict", verdict);
    set_text_or_null(object, "cause", cause);
    set_text_or_null(object, "reason", reason);
    json_object_set_new(object, "discarded", json_boolean(discarded));
    json_object_set_new(object, "reference",
                        json_boolean(verdict && !strcmp(verdict, "fused") &&
                                     json_is_true(json_object_get(result, "reference"))));
}

json_t *pf_describe_record(const struct pf_service *service, const struct pf_record *record)
{
    json_t *object = json_object();
    set_record(service, object, record, NULL);
    json_object_set_new(object, "burst", json_null());
    set_text(object, "state", "recorded");
    set_verdict(object, NULL, NULL, NULL, NULL);
    set_result(object, NULL, false);
    return object;
}

static const char *job_frame_state(const struct pf_job_frame *frame)
{
    return frame->step == PF_STEP_DONE      ? "scored"
           : frame->step == PF_STEP_WAITING ? "waiting"
           : frame->decoding                ? "decoding"
                                            : "queued";
}

json_t *pf_describe_job_frame(const struct pf_service *service, const struct pf_job *job,
                              const struct pf_job_frame *frame, bool grids)
{
    json_t *object = json_object();
    bool done = frame->step == PF_STEP_DONE;
    const char *cause = json_string_value(json_object_get(frame->result, "cause"));
    set_record(service, object, frame->record, frame->path);
    set_text(object, "burst", job->name);
    set_text_or_null(object, "companion", frame->companion);
    set_text(object, "state", job_frame_state(frame));
    set_integer(object, "attempts", frame->attempts);
    if (frame->excluded)
        cause = frame->discarded ? "discarded" : frame->stray ? "stray" : "lost";
    set_verdict(object,
                !done                 ? NULL
                : pf_job_fused(frame) ? "fused"
                                      : "aside",
                done ? cause : NULL, done || frame->trouble_ms ? pf_job_reason(frame) : NULL,
                frame->result);
    json_object_set_new(object, "taken", json_boolean(frame->taken));
    set_result(object, frame->result, grids);
    return object;
}

json_t *pf_describe_frame(const struct pf_service *service, const struct pf_journal_frame *frame,
                          const char *burst, bool grids)
{
    json_t *object = json_object();
    bool fused = frame->state == PF_FRAME_FUSED, aside = frame->state == PF_FRAME_ASIDE;
    const json_t *scores = frame->scores;
    const char *cause = json_string_value(json_object_get(scores, "cause"));
    const char *path = NULL;
    for (size_t i = 0; i < frame->path_count; i++)
        if (!path || !strcmp(frame->paths[i], frame->record->path))
            path = frame->paths[i];
    if (json_is_true(json_object_get(scores, "discarded")))
        cause = "discarded";
    else if (json_is_true(json_object_get(scores, "excluded")))
        cause = "lost";
    else if (json_is_true(json_object_get(scores, "stray")))
        cause = "stray";
    else if (json_object_get(scores, PF_JOURNAL_COMPANION_OF))
        cause = "companion";
    set_record(service, object, frame->record, path);
    set_text_or_null(object, "burst", burst);
    set_text(object, "state", fused || aside ? "scored" : burst ? "waiting" : "recorded");
    set_integer(object, "attempts", frame->attempts);
    json_object_set_new(object, "late", json_boolean(frame->late));
    set_verdict(object,
                fused   ? "fused"
                : aside ? "aside"
                        : NULL,
                aside ? cause : NULL, aside ? frame->reason : NULL, scores);
    json_object_set_new(object, "taken",
                        json_boolean(json_is_true(json_object_get(scores, "taken"))));
    set_result(object, scores, grids);
    return object;
}

/* ---- bursts ---- */

json_t *pf_describe_deadline(const struct pf_service *service, int64_t burst)
{
    int64_t at_ms = pf_grouper_closes_at(service->grouper, burst);
    return at_ms == INT64_MAX ? json_null() : json_integer(pf_describe_wall_ms(at_ms));
}

static const char *stage_of(const struct pf_job *job)
{
    return !job                                                                ? NULL
           : job->out == PF_OUT_PUBLISHING                                     ? "publishing"
           : job->out == PF_OUT_PREPARING || job->out == PF_OUT_FILLING        ? "writing"
           : job->stage == PF_JOB_WAITING                                      ? "waiting"
           : job->complete || pf_job_next_waiting(job) || !pf_job_settled(job) ? "stacking"
                                                                               : NULL;
}

static void set_shot(json_t *object, const char *key, const struct pf_journal_shot *shot)
{
    char captured[PF_RECORD_CAPTURED_CHARS];
    const struct pf_record record = {.capture_ms = shot->capture_ms,
                                     .has_offset = shot->has_offset};
    set_text_or_null(object, key, pf_record_captured(&record, captured));
}

json_t *pf_describe_burst(struct pf_service *service, const struct pf_journal_burst *burst)
{
    struct pf_journal_facts facts = {0};
    struct pf_error err = {0};
    const struct pf_job *job = pf_scheduler_find(service->scheduler, burst->number);
    if (pf_journal_burst_facts(service->journal, burst->number, &facts, &err) < 0) {
        pf_log_error("%s", err.text);
        return NULL;
    }
    const char *id = burst->id, *middle = facts.middle;
    bool picture = burst->published || (job && job->previews);
    json_t *object = json_pack(
        "{s:s, s:I, s:s, s:I, s:I, s:I, s:i, s:i, s:I, s:I}", "id", id, "number",
        (json_int_t)burst->number, "state", pf_burst_state_name(burst->state), "frames",
        (json_int_t)burst->frames, "fused",
        (json_int_t)(job ? pf_job_fused_count(job) : facts.fused), "aside",
        (json_int_t)(job ? pf_job_aside_count(job) : facts.aside), "version", burst->published,
        "wanted", burst->wanted, "opened_ms", (json_int_t)burst->opened_wall_ms, "changed_ms",
        (json_int_t)burst->changed_wall_ms);
    set_text_or_null(object, "complete", burst->reason);
    set_text_or_null(object, "detail", burst->detail);
    json_object_set_new(object, "camera", facts.camera ? json_incref(facts.camera) : json_object());
    set_shot(object, "first", &facts.first);
    set_shot(object, "last", &facts.last);
    json_object_set_new(object, "deadline_ms",
                        burst->state == PF_BURST_STATE_OPEN
                            ? pf_describe_deadline(service, burst->number)
                            : json_null());
    set_text_or_null(object, "stage", stage_of(job));
    json_object_set_new(object, "preview",
                        job && job->previews ? json_integer(job->previews) : json_null());
    json_object_set_new(
        object, "links",
        json_pack("{s:o, s:o, s:o}", "self", pf_describe_link("bursts/%s", id), "preview",
                  picture ? pf_describe_link("bursts/%s/preview.jpg", id) : json_null(),
                  "thumbnail", *middle ? thumbnail(service, middle, "jpg", "large") : json_null()));
    pf_journal_facts_free(&facts);
    return object;
}

/* ---- telling ---- */

void pf_tell_burst(struct pf_service *service, const char *type, int64_t number, json_t *more)
{
    struct pf_journal_bursts bursts = {0};
    struct pf_error err = {0};
    if (pf_journal_burst(service->journal, number, &bursts, &err) < 0) {
        pf_log_error("%s", err.text);
        json_decref(more);
        return;
    }
    json_t *data = json_pack("{s:s, s:o}", "burst", bursts.items[0].id, "summary",
                             pf_describe_burst(service, &bursts.items[0]));
    pf_journal_bursts_free(&bursts);
    if (data && more)
        json_object_update(data, more);
    json_decref(more);
    pf_events_publish(service->events, type, data);
}

void pf_tell_job_frame(struct pf_service *service, const char *type, const struct pf_job *job,
                       const struct pf_job_frame *frame)
{
    pf_events_publish(service->events, type,
                      json_pack("{s:s, s:o}", "burst", job->name, "frame",
                                pf_describe_job_frame(service, job, frame, true)));
}

void pf_tell_stage(struct pf_service *service, struct pf_job *job)
{
    const char *stage = stage_of(job);
    if (stage == job->stage_told || (stage && job->stage_told && !strcmp(stage, job->stage_told)))
        return;
    job->stage_told = stage; /* static text */
    pf_events_publish(service->events, "burst.stage",
                      json_pack("{s:s, s:s?}", "burst", job->name, "stage", stage));
}

void pf_tell_deadlines(struct pf_service *service)
{
    for (struct pf_job *job = pf_scheduler_jobs(service->scheduler); job; job = job->next) {
        int64_t at_ms =
            job->complete ? INT64_MAX : pf_grouper_closes_at(service->grouper, job->burst);
        if (job->complete || at_ms == job->deadline_told_ms)
            continue;
        job->deadline_told_ms = at_ms;
        pf_events_publish(service->events, "burst.deadline",
                          json_pack("{s:s, s:o}", "burst", job->name, "deadline_ms",
                                    pf_describe_deadline(service, job->burst)));
    }
}
