#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"
#include "config/base/time.h"
#include "service/service.h"

/* A frame of the journal as a frame of the job: with its file, verdict and attempts. */
static int add_frame(struct pf_job *job, const struct pf_journal_frame *known, struct pf_error *err)
{
    struct pf_record *record = pf_record_copy(known->record);
    if (!record)
        return pf_fail(err, ENOMEM, "out of memory for a frame");
    int r = pf_job_add(job, record, err);
    if (r <= 0)
        return r;
    struct pf_job_frame *frame = &job->frames[job->count - 1];
    frame->attempts = known->attempts;
    frame->told = known->state == PF_FRAME_FUSED ? 'f' : known->state == PF_FRAME_ASIDE ? 'a' : 0;
    /* The file that had it first may hold another picture now (a camera's counter wraps). */
    const char *file = pf_journal_frame_file(known);
    bool same = file && !strcmp(file, record->path);
    frame->discarded = json_is_true(json_object_get(known->scores, "discarded"));
    frame->replaced = json_is_true(json_object_get(known->scores, "replaced"));
    frame->taken = json_is_true(json_object_get(known->scores, "taken"));
    bool back = frame->replaced && (same || (record->capture_ms < 0 && file));
    bool excluded = json_is_true(json_object_get(known->scores, "excluded")) && !back;
    if (frame->discarded || excluded) {
        frame->excluded = true;
        pf_job_set_step(job, frame, PF_STEP_DONE);
        snprintf(frame->reason, sizeof(frame->reason), "%s", known->reason ? known->reason : "");
        frame->result = json_deep_copy(known->scores); /* for the sidecar */
        if (known->scores && !frame->result)
            return pf_fail(err, ENOMEM, "out of memory for a frame");
        static const char *const marks[] = {"excluded", "discarded", "replaced", "stray", "taken"};
        for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
            json_object_del(frame->result, marks[i]);
    }
    if (file && !same) {
        frame->path = strdup(file);
        if (!frame->path)
            return pf_fail(err, ENOMEM, "out of memory for a frame");
    } else if (!same && !frame->excluded) {
        frame->excluded = frame->replaced = true;
        pf_job_set_step(job, frame, PF_STEP_DONE);
        snprintf(frame->reason, sizeof(frame->reason), "%s", PF_JOB_REPLACED_REASON);
    }
    frame->replaced = frame->replaced && frame->excluded;
    return 0;
}

static const struct pf_journal_frame *frame_of(const struct pf_journal_frames *frames,
                                               const struct pf_record *record)
{
    for (size_t i = 0; i < frames->count; i++)
        if (frames->items[i].record == record)
            return &frames->items[i];
    return NULL;
}

/* The records of the frames, in capture order; the array is the caller's, the records are not. */
static const struct pf_record **ordered(const struct pf_journal_frames *frames)
{
    const struct pf_record **order = calloc(frames->count + 1, sizeof(*order));
    for (size_t i = 0; order && i < frames->count; i++)
        order[i] = frames->items[i].record;
    if (order)
        pf_grouper_sort(order, frames->count);
    return order;
}

static int job_of_frames(const struct pf_journal_burst *burst,
                         const struct pf_journal_frames *frames, const struct pf_record **order,
                         struct pf_job **ret, struct pf_error *err)
{
    struct pf_job *job = NULL;
    int r = pf_job_new(&job, burst->number, burst->id, err);
    if (!r)
        job->settings = json_incref(burst->settings);
    bool has_new = false;
    for (size_t i = 0; r >= 0 && i < frames->count; i++) {
        const struct pf_journal_frame *known = frame_of(frames, order[i]);
        has_new |= known->state == PF_FRAME_IN_BURST;
        r = add_frame(job, known, err);
    }
    if (r >= 0 && burst->state == PF_BURST_STATE_COMPLETE) {
        job->complete = strdup(burst->reason ? burst->reason : "");
        job->version = burst->wanted;
        job->complete_ms = pf_monotonic_ms();
        /* Asked for by hand: a frame that came late has no verdict yet. */
        if (burst->wanted > burst->published && !has_new)
            job->stays = burst->published;
        if (!job->complete)
            r = pf_fail(err, ENOMEM, "out of memory for a burst");
    }
    if (r < 0) {
        pf_job_free(job);
        return r;
    }
    *ret = job;
    return 0;
}

int pf_restore_job(struct pf_service *service, const struct pf_journal_burst *burst,
                   struct pf_job **ret, struct pf_error *err)
{
    struct pf_journal_frames frames = {0};
    int r = pf_journal_burst_frames(service->journal, burst->number, &frames, err);
    if (r < 0)
        return r;
    const struct pf_record **order = ordered(&frames);
    r = order ? job_of_frames(burst, &frames, order, ret, err)
              : pf_fail(err, ENOMEM, "out of memory for a burst");
    free(order);
    pf_journal_frames_free(&frames);
    return r;
}

/* The grouper has got the frames by their first names, which may be others' now. */
static int rename_frames(struct pf_service *service, const struct pf_journal_frames *frames,
                         struct pf_error *err)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < frames->count; i++) {
        const struct pf_journal_frame *frame = &frames->items[i];
        const char *file = pf_journal_frame_file(frame);
        if (file && strcmp(file, frame->record->path) != 0)
            r = pf_grouper_rename(service->grouper, &frame->record->id, file, err);
    }
    return r;
}

static int restore_burst(struct pf_service *service, const struct pf_journal_burst *burst,
                         struct pf_error *err)
{
    struct pf_journal_frames frames = {0};
    struct pf_job *job = NULL;
    enum pf_burst_reason reason = PF_BURST_OPEN;
    bool open = burst->state == PF_BURST_STATE_OPEN;
    int r = pf_journal_burst_frames(service->journal, burst->number, &frames, err);
    if (r < 0 || !frames.count)
        return r;
    const struct pf_record **order = ordered(&frames);
    if (!order) {
        r = pf_fail(err, ENOMEM, "out of memory for a burst");
        goto out;
    }
    if (!open && pf_grouper_reason_of_name(burst->reason ? burst->reason : "", &reason) < 0)
        reason = PF_BURST_GAP;
    r = pf_grouper_restore(service->grouper, burst->number, reason, order, frames.count,
                           pf_monotonic_ms(), err);
    if (r >= 0)
        r = rename_frames(service, &frames, err);
    if (r < 0 || (!open && burst->state != PF_BURST_STATE_COMPLETE))
        goto out;
    for (size_t i = 0; open && i < frames.count; i++)
        pf_pairs_restore(service->pairs, order[i]);
    r = job_of_frames(burst, &frames, order, &job, err);
    if (r < 0)
        goto out;
    /* Its directory may have got its name just before the last run ended. */
    if (burst->wanted > burst->published)
        job->find_version = burst->wanted;
    if (job->find_version && job->complete)
        job->out = PF_OUT_FINDING;
    pf_scheduler_add(service->scheduler, job);
    if (job->find_version)
        pf_publishing_find(service, job);
    pf_log_info("burst %s goes on: %s, %zu frames", job->name, pf_burst_state_name(burst->state),
                job->count);
out:
    free(order);
    pf_journal_frames_free(&frames);
    return r;
}

static int by_number(const void *first, const void *second)
{
    int64_t a = ((const struct pf_journal_burst *)first)->number;
    int64_t b = ((const struct pf_journal_burst *)second)->number;
    return a < b ? -1 : a > b;
}

/* Bursts of a list; with `finished` those that only wait for late frames, else those with work. */
static int restore_bursts(struct pf_service *service, struct pf_journal_bursts *bursts,
                          bool finished, struct pf_error *err)
{
    int r = 0;
    if (bursts->count)
        qsort(bursts->items, bursts->count, sizeof(*bursts->items), by_number);
    for (size_t i = 0; r >= 0 && i < bursts->count; i++) {
        const struct pf_journal_burst *burst = &bursts->items[i];
        bool work = burst->state == PF_BURST_STATE_OPEN || burst->state == PF_BURST_STATE_COMPLETE;
        pf_notify_busy(service->notify, "taking up its bursts again", 0);
        if (work != finished)
            r = restore_burst(service, burst, err);
    }
    pf_journal_bursts_free(bursts);
    return r;
}

static int restore_loose_frames(struct pf_service *service, struct pf_error *err)
{
    struct pf_journal_frames frames = {0};
    int r = pf_journal_loose_frames(service->journal, &frames, err);
    for (size_t i = 0; r >= 0 && i < frames.count; i++) {
        struct pf_record *record = pf_record_copy(frames.items[i].record);
        if (record)
            pf_pairing_feed(service, record);
        else
            r = pf_fail(err, ENOMEM, "out of memory for a frame");
    }
    if (r >= 0)
        r = rename_frames(service, &frames, err);
    pf_journal_frames_free(&frames);
    return r;
}

int pf_restore(struct pf_service *service, struct pf_error *err)
{
    struct pf_journal_bursts bursts = {0};
    int r = pf_journal_recent_bursts(service->journal, PF_GROUPER_REMEMBERS, &bursts, err);
    if (!r)
        r = restore_bursts(service, &bursts, true, err);
    if (r >= 0)
        r = pf_journal_bursts_in(service->journal, PF_BURST_STATE_COMPLETE, &bursts, err);
    if (r >= 0)
        r = restore_bursts(service, &bursts, false, err);
    if (r >= 0)
        r = pf_journal_bursts_in(service->journal, PF_BURST_STATE_OPEN, &bursts, err);
    if (r >= 0)
        r = restore_bursts(service, &bursts, false, err);
    if (r >= 0)
        r = pf_journal_bursts_in(service->journal, PF_BURST_STATE_FAILED, &bursts, err);
    for (size_t i = 0; r >= 0 && i < bursts.count; i++)
        if (!bursts.items[i].dismissed)
            pf_stacking_tell_failed(service, bursts.items[i].id, bursts.items[i].detail);
    if (r >= 0)
        pf_journal_bursts_free(&bursts);
    if (r >= 0)
        r = restore_loose_frames(service, err);
    if (r >= 0)
        pf_intake_advance(service); /* sets the timer: open bursts wait for silence from now on */
    return r < 0 ? r : 0;
}
