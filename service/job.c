#include "service/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "config/options.h"
#include "service/grouper.h"

#define AHEAD_MS     500   /* the least pause before a result is written ahead */
#define IN_VAIN_MAX  16    /* doublings of it */
#define PAUSE_MAX_MS 60000 /* in a longer one the service was away, or a frame came late */

int pf_job_new(struct pf_job **ret, int64_t burst, const char *name, struct pf_error *err)
{
    struct pf_job *job = calloc(1, sizeof(*job));
    if (!job)
        return pf_fail(err, ENOMEM, "out of memory for a burst");
    job->burst = burst;
    job->name = strdup(name);
    if (!job->name) {
        pf_job_free(job);
        return pf_fail(err, ENOMEM, "out of memory for a burst");
    }
    *ret = job;
    return 0;
}

struct pf_job *pf_job_free(struct pf_job *job)
{
    if (!job)
        return NULL;
    for (size_t i = 0; i < job->count; i++) {
        pf_record_free(job->frames[i].record);
        json_decref(job->frames[i].result);
        free(job->frames[i].path);
        free(job->frames[i].companion);
    }
    free(job->frames);
    free(job->name);
    free(job->key);
    free(job->complete);
    free(job->ahead_dir);
    json_decref(job->coverage);
    json_decref(job->files);
    json_decref(job->coverage_told);
    json_decref(job->settings);
    json_decref(job->in_force);
    free(job);
    return NULL;
}

json_t *pf_job_settings(const struct pf_job *job, const struct pf_settings *settings,
                        const char *keys)
{
    const json_t *over = job->in_force ? job->in_force : job->settings;
    json_t *object = pf_options_json(settings, keys);
    return object && over && json_object_update_existing(object, (json_t *)over) < 0
               ? (json_decref(object), NULL)
               : object;
}

int pf_job_add(struct pf_job *job, struct pf_record *record, struct pf_error *err)
{
    if (pf_job_find(job, record->id.text)) {
        pf_record_free(record);
        return 0;
    }
    struct pf_job_frame *frames =
        pf_with_room(job->frames, &job->capacity, job->count, 1, sizeof(*frames));
    if (!frames) {
        pf_record_free(record);
        return pf_fail(err, ENOMEM, "out of memory for a frame");
    }
    job->frames = frames;
    job->frames[job->count++] = (struct pf_job_frame){.record = record};
    int64_t pause_ms = job->count == 1 ? 0 : record->arrival_ms - job->last_arrival_ms;
    if (pause_ms > job->longest_pause_ms && pause_ms <= PAUSE_MAX_MS)
        job->longest_pause_ms = pause_ms;
    if (job->count == 1 || pause_ms > 0)
        job->last_arrival_ms = record->arrival_ms;
    if (job->ahead == PF_AHEAD_WRITING || job->ahead == PF_AHEAD_WRITTEN)
        job->ahead_in_vain += job->ahead_count == job->count - 1;
    return 1;
}

void pf_job_set_step(struct pf_job *job, struct pf_job_frame *frame, enum pf_job_step step)
{
    size_t at = (size_t)(frame - job->frames);
    job->sent += (step == PF_STEP_SENT) - (frame->step == PF_STEP_SENT);
    frame->step = step;
    if (step != PF_STEP_DONE && at < job->first_undone)
        job->first_undone = at;
    while (job->first_undone < job->count && job->frames[job->first_undone].step == PF_STEP_DONE)
        job->first_undone++;
}

struct pf_job_frame *pf_job_next_waiting(const struct pf_job *job)
{
    struct pf_job_frame *taken = NULL;
    for (size_t i = job->first_undone; i < job->count; i++) {
        struct pf_job_frame *frame = &job->frames[i];
        if (frame->step != PF_STEP_WAITING)
            continue;
        if (!frame->taken)
            return frame;
        taken = taken ? taken : frame;
    }
    return taken;
}

struct pf_job_frame *pf_job_find(struct pf_job *job, const char *identity)
{
    size_t at = job->found;
    for (size_t i = 0; identity && i < job->count; i++, at++) {
        at = at < job->count ? at : 0;
        if (!strcmp(job->frames[at].record->id.text, identity)) {
            job->found = at;
            return &job->frames[at];
        }
    }
    return NULL;
}

bool pf_job_fused(const struct pf_job_frame *frame)
{
    const char *verdict = json_string_value(json_object_get(frame->result, "verdict"));
    return !frame->excluded && verdict && !strcmp(verdict, "fused");
}

const char *pf_job_reason(const struct pf_job_frame *frame)
{
    const char *reason = json_string_value(json_object_get(frame->result, "reason"));
    return frame->excluded ? frame->reason : reason ? reason : "";
}

size_t pf_job_fused_count(const struct pf_job *job)
{
    size_t fused = 0;
    for (size_t i = 0; i < job->count; i++)
        fused += pf_job_fused(&job->frames[i]);
    return fused;
}

bool pf_job_has_fused(const struct pf_job *job, size_t least)
{
    size_t fused = 0;
    for (size_t i = 0; fused < least && i < job->count; i++)
        fused += pf_job_fused(&job->frames[i]);
    return fused >= least;
}

size_t pf_job_aside_count(const struct pf_job *job)
{
    size_t aside = 0;
    for (size_t i = 0; i < job->count; i++)
        aside += job->frames[i].step == PF_STEP_DONE && !pf_job_fused(&job->frames[i]);
    return aside;
}

bool pf_job_settled(const struct pf_job *job)
{
    return job->first_undone == job->count;
}

bool pf_job_is_ahead(const struct pf_job *job)
{
    return job->ahead == PF_AHEAD_WRITTEN && job->ahead_count == job->count;
}

int64_t pf_job_ahead_at(const struct pf_job *job)
{
    int64_t pause_ms = job->longest_pause_ms + job->longest_pause_ms / 8;
    int in_vain = job->ahead_in_vain < IN_VAIN_MAX ? job->ahead_in_vain : IN_VAIN_MAX;
    pause_ms = pause_ms < AHEAD_MS ? AHEAD_MS : pause_ms;
    return job->last_arrival_ms + (pause_ms << in_vain);
}

void pf_job_forget_stack(struct pf_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        struct pf_job_frame *frame = &job->frames[i];
        pf_job_set_step(job, frame, frame->excluded ? PF_STEP_DONE : PF_STEP_WAITING);
        frame->decoding = false;
    }
    job->preview_asked = false;
    job->ahead = PF_AHEAD_NONE;
    job->stage = PF_JOB_WAITING;
    if (job->out == PF_OUT_FILLING)
        job->out = PF_OUT_NOWHERE;
}

const struct pf_record **pf_job_order(const struct pf_job *job)
{
    const struct pf_record **order = job->count ? calloc(job->count, sizeof(*order)) : NULL;
    for (size_t i = 0; order && i < job->count; i++)
        order[i] = job->frames[i].record;
    if (order)
        pf_grouper_sort(order, job->count);
    return order;
}

const struct pf_record *pf_job_before(const struct pf_job *job, const struct pf_job_frame *frame)
{
    const struct pf_record **order = calloc(job->count, sizeof(*order)), *before = NULL;
    size_t count = 0;
    for (size_t i = 0; order && i < job->count; i++) {
        const struct pf_job_frame *other = &job->frames[i];
        if (other == frame || (other->step != PF_STEP_WAITING && !other->excluded))
            order[count++] = other->record;
    }
    if (order)
        pf_grouper_sort(order, count);
    for (size_t i = 1; i < count && !before; i++)
        if (order[i] == frame->record)
            before = order[i - 1];
    free(order);
    return before;
}

const char *pf_job_file(const struct pf_job_frame *frame)
{
    return frame->path ? frame->path : frame->record->path;
}

const char *pf_job_other_file(struct pf_job_frame *frame, char *const *paths, size_t count,
                              bool gone)
{
    size_t at = 0;
    while (at < count && strcmp(paths[at], pf_job_file(frame)) != 0)
        at++;
    if (!frame->trouble_ms || frame->files_known != count || frame->files_failed >= count) {
        frame->files_failed = 0;
        frame->there = false;
    }
    frame->files_known = count;
    frame->files_failed += at < count;
    frame->there |= !gone;
    return frame->files_failed < count ? paths[(at ? at : count) - 1] : NULL;
}

bool pf_job_regroup(struct pf_job *job)
{
    struct pf_stray_frame *frames = calloc(job->count + 1, sizeof(*frames));
    for (size_t i = 0; frames && i < job->count; i++) {
        struct pf_job_frame *frame = &job->frames[i];
        bool counts = !frame->excluded && !frame->taken;
        frames[i] = (struct pf_stray_frame){&frame->group, counts ? frame->result : NULL};
    }
    job->stray.any_exposure = json_is_false(json_object_get(job->in_force, "judge"));
    bool again = frames && pf_stray_again(&job->stray, frames, job->count);
    free(frames);
    if (!again)
        return false;
    for (size_t i = 0; i < job->count; i++) {
        struct pf_job_frame *frame = &job->frames[i];
        if (frame->stray && !pf_stray_is_out(&job->stray, frame->group))
            frame->stray = frame->excluded = false;
    }
    return true;
}

void pf_job_forget_groups(struct pf_job *job)
{
    job->stray = (struct pf_stray){0};
    for (size_t i = 0; i < job->count; i++) {
        struct pf_job_frame *frame = &job->frames[i];
        frame->group = 0;
        if (frame->stray)
            frame->stray = frame->excluded = false;
    }
}

bool pf_job_waits_for_file(int code)
{
    static const int codes[] = {ENOENT,   ENOTDIR,   EIO,    ESTALE,    EACCES,       EPERM,
                                ENOTCONN, ETIMEDOUT, ENODEV, EHOSTDOWN, EHOSTUNREACH, ENXIO};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (code == codes[i])
            return true;
    return false;
}
