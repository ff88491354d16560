#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "service/describe.h"
#include "service/service.h"
#include "service/timer.h"

#define BACKOFF_MS     1000
#define BACKOFF_MAX_MS 30000
#define PORTION        1000 /* entries: a flood of frames is written in transactions of this size */

/* ---- what the sources say ---- */

static void on_frame(struct pf_record *record, void *context)
{
    struct pf_service *service = context;
    pf_ledger_add(service->ledger, PF_ENTRY_RECORD)->record = record;
    pf_events_publish(service->events, "frame.seen",
                      json_pack("{s:s, s:o, s:o}", "frame", record->id.text, "name",
                                pf_json_bytes(pf_base_name(record->path)), "source",
                                pf_json_bytes(record->source)));
}

static void on_rejected(const char *source, const char *path, int64_t size_bytes, int64_t mtime_ns,
                        const char *reason, void *context)
{
    struct pf_service *service = context;
    struct pf_entry *entry = pf_ledger_add(service->ledger, PF_ENTRY_REJECT);
    entry->source = pf_ledger_text(source);
    entry->path = pf_ledger_text(path);
    entry->reason = pf_ledger_text(reason);
    entry->size_bytes = size_bytes;
    entry->mtime_ns = mtime_ns;
}

/* Bursts wait as much longer for silence as frames may be told late. True when that has changed. */
static bool tell_delay(struct pf_service *service)
{
    bool changed = false;
    for (size_t i = 0; i < service->source_count; i++) {
        const char *name = pf_source_name(service->sources[i]);
        changed |=
            pf_grouper_expect_delay(service->grouper, name, pf_sources_delay_ms(service, name));
    }
    return changed;
}

static void on_batch(void *context)
{
    struct pf_service *service = context;
    /* The ledger writes what has come in this turn of the loop; a flood is cut in portions. */
    if (pf_ledger_count(service->ledger) >= PORTION)
        pf_ledger_flush(service->ledger);
    if (tell_delay(service))
        pf_timer_set(service->grouper_timer, 0);
}

static void on_changed(struct pf_source *source, void *context)
{
    struct pf_service *service = context;
    const char *why = pf_source_trouble(source);
    char id[32];
    size_t number = 0;
    while (number < service->source_count && service->sources[number] != source)
        number++;
    snprintf(id, sizeof(id), "source.%zu", number);
    if (why)
        pf_trouble_on(service->troubles, true, id, NULL, "%s: %s", pf_source_name(source), why);
    else
        pf_trouble_off(service->troubles, id);
    json_t *object = pf_source_json(source);
    json_object_set_new(object, "source", json_integer((json_int_t)number));
    pf_events_publish(service->events, "source", json_pack("{s:o}", "source", object));
}

const struct pf_source_handlers pf_intake_handlers = {on_frame, on_rejected, on_batch, on_changed,
                                                      pf_asking_answer};

/* ---- the grouper ---- */

int pf_intake_grouper_settings(const struct pf_settings *settings, struct pf_grouper_settings *ret,
                               struct pf_error *err)
{
    int r = pf_settings_gap(settings->gap, &ret->gap_ms, &ret->gap_fixed, err);
    ret->hold_ms = (int64_t)(settings->hold * 1000);
    ret->min_frames = (int)settings->min_frames;
    ret->expected_frames = (int)settings->expected_frames;
    return r;
}

static int hold(struct pf_service *service, struct pf_record *record)
{
    struct pf_record **held = pf_with_room(service->held, &service->held_capacity,
                                           service->held_count, 1, sizeof(struct pf_record *));
    if (!held)
        return -ENOMEM;
    service->held = held;
    service->held[service->held_count++] = record;
    return 0;
}

static struct pf_record *take_held(struct pf_service *service, const struct pf_identity *id)
{
    for (size_t i = service->held_count; i-- > 0;) {
        struct pf_record *record = service->held[i];
        if (strcmp(record->id.text, id->text) != 0)
            continue;
        service->held[i] = service->held[--service->held_count];
        return record;
    }
    return NULL;
}

/* Returns how many bursts have ended with them. */
static size_t take_decisions(struct pf_service *service)
{
    struct pf_decision decision;
    size_t ended = 0;
    while (pf_grouper_next(service->grouper, &decision)) {
        struct pf_entry *entry = pf_ledger_add(service->ledger, PF_ENTRY_DECISION);
        entry->decision = decision;
        if (decision.kind == PF_DECISION_JOINED)
            entry->record = take_held(service, &decision.frame);
        else
            ended++;
    }
    return ended;
}

void pf_intake_advance(struct pf_service *service)
{
    struct pf_error err = {0};
    int64_t now_ms = pf_monotonic_ms();
    tell_delay(service);
    pf_pairing_advance(service, now_ms);
    if (pf_grouper_advance(service->grouper, now_ms, &err) == 0) {
        service->grouper_backoff_ms = 0;
    } else {
        if (!service->grouper_backoff_ms)
            pf_log_error("%s; it is tried again", err.text);
        service->grouper_backoff_ms =
            pf_back_off_ms(service->grouper_backoff_ms, BACKOFF_MS, BACKOFF_MAX_MS);
    }
    take_decisions(service);
    pf_tell_deadlines(service);
    for (struct pf_job *job = pf_scheduler_jobs(service->scheduler); job; job = job->next)
        pf_stacking_tell_coverage(service, job); /* what it waited for may have come to nothing */
    int64_t deadline_ms = pf_grouper_deadline(service->grouper);
    if (pf_pairs_deadline(service->pairs) < deadline_ms)
        deadline_ms = pf_pairs_deadline(service->pairs);
    if (deadline_ms == INT64_MAX) {
        event_del(service->grouper_timer);
        return;
    }
    int64_t wait_ms = deadline_ms - now_ms;
    if (wait_ms < service->grouper_backoff_ms)
        wait_ms = service->grouper_backoff_ms;
    pf_timer_set(service->grouper_timer, wait_ms > 0 ? wait_ms : 1);
}

void pf_intake_finish(struct pf_service *service)
{
    /* What has arrived belongs to them. */
    pf_ledger_flush(service->ledger);
    if (pf_ledger_count(service->ledger)) {
        pf_log_error("no burst can be finished while the journal cannot be written");
        return;
    }
    if (!pf_intake_finish_burst(service, 0))
        pf_log_info("no burst is open that could be finished");
}

size_t pf_intake_finish_burst(struct pf_service *service, int64_t burst)
{
    struct pf_error err = {0};
    if (!burst)
        pf_pairing_release(service, 0);
    if (pf_grouper_finish(service->grouper, burst, pf_monotonic_ms(), &err) < 0)
        pf_log_error("%s", err.text);
    return take_decisions(service);
}

void pf_intake_feed(struct pf_service *service, struct pf_record *record)
{
    struct pf_error err = {0};
    if (hold(service, record) < 0)
        pf_ledger_end();
    int r = pf_grouper_feed(service->grouper, record, pf_monotonic_ms(), &err);
    if (r == -ENOMEM)
        pf_ledger_end();
    if (r < 0) {
        if (r != -EEXIST)
            pf_log_about(PF_LOG_ERROR, PF_ABOUT_RECORD(record),
                         "%s: %s; it waits for the next start", record->path, err.text);
        pf_record_free(take_held(service, &record->id));
    }
    take_decisions(service);
    /* Let time pass only when all that has arrived is in: a stalled loop must not close early. */
    pf_timer_set(service->grouper_timer, 0);
}

/* ---- frames that change names ---- */

/* The file that the frame goes by in the journal; heap, NULL: none holds it any more, or it is not known. */
static char *file_of(struct pf_service *service, const struct pf_identity *frame, bool *ret_known)
{
    struct pf_journal_frames known = {0};
    struct pf_error err = {0};
    *ret_known = pf_journal_frame(service->journal, frame, &known, &err) == 0;
    const char *file = *ret_known ? pf_journal_frame_file(&known.items[0]) : NULL;
    char *copy = file ? strdup(file) : NULL;
    if (!*ret_known)
        pf_log_error("%s", err.text);
    pf_journal_frames_free(&known);
    return copy;
}

void pf_intake_go_by(struct pf_service *service, struct pf_job_frame *frame, char *file)
{
    struct pf_error err = {0};
    if (pf_grouper_rename(service->grouper, &frame->record->id, file, &err) < 0)
        pf_log_error("%s", err.text);
    free(frame->path);
    frame->path = file;
}

/* Another content is in the frame's file. Whether the frame goes on by another one. */
static bool goes_on(struct pf_service *service, struct pf_job_frame *frame)
{
    bool known;
    char *file = file_of(service, &frame->record->id, &known);
    if (file)
        pf_intake_go_by(service, frame, file);
    return file || !known; /* the worker will find out */
}

/* What this file held before is gone, as a replay would find, and stands for nothing any more: the same
 * shot, or one without a capture time that has no other file. */
static void supersede(struct pf_service *service, struct pf_job *job, const struct pf_record *now,
                      const char *path)
{
    bool timed = now->capture_ms >= 0;
    for (size_t i = 0; i < job->count; i++) {
        struct pf_job_frame *frame = &job->frames[i];
        bool here =
            !strcmp(pf_job_file(frame), path) || (timed && !strcmp(frame->record->path, path));
        if (frame->record != now && !frame->excluded && here &&
            pf_record_replaces(now, frame->record) && (timed || !goes_on(service, frame)))
            pf_stacking_replaced(service, job, frame);
    }
}

/* Content that is known is in one more file, or in its own again. It goes by the file that it had, as long as
 * that holds it: a copy may be one that is written to again and again. */
static void renamed(struct pf_service *service, const struct pf_record *record)
{
    struct pf_error err = {0};
    struct pf_job *job = pf_scheduler_jobs(service->scheduler);
    struct pf_job_frame *frame = NULL;
    bool known, timed = record->capture_ms >= 0;
    char *file = timed ? strdup(record->path) : file_of(service, &record->id, &known);
    if (!file)
        return;
    if (pf_grouper_rename(service->grouper, &record->id, file, &err) < 0)
        pf_log_error("%s", err.text);
    take_decisions(service);
    pf_timer_set(service->grouper_timer, 0);
    while (job && !(frame = pf_job_find(job, record->id.text)))
        job = job->next;
    if (!job || job->out != PF_OUT_NOWHERE || job->stage == PF_JOB_FINISHING ||
        (timed && strcmp(pf_job_file(frame), file) != 0)) {
        free(file);
        return;
    }
    free(frame->path);
    frame->path = file;
    frame->files_known = 0; /* another round */
    if (frame->replaced && !frame->discarded) {
        pf_log_about(PF_LOG_INFO, PF_ABOUT_FRAME(job, frame), "%s is taken back: it is in %s",
                     pf_base_name(frame->record->path), file);
        pf_scheduler_include(service->scheduler, job, frame);
        pf_events_publish(
            service->events, "frame.restored",
            json_pack("{s:s, s:s}", "burst", job->name, "frame", frame->record->id.text));
    }
    supersede(service, job, frame->record, file);
}

/* ---- what the ledger has written ---- */

static void recorded(struct pf_service *service, struct pf_entry *entry)
{
    struct pf_record *record = entry->record;
    entry->record = NULL;
    const char *name = pf_base_name(record->path);
    for (struct pf_source *source = NULL;
         (source = pf_sources_next(service, record->source, source));)
        pf_source_recorded(source, record->path);
    pf_events_publish(service->events, "frame.recorded",
                      json_pack("{s:o}", "frame", pf_describe_record(service, record)));
    if (entry->seen == PF_JOURNAL_NEW) {
        pf_log_about(PF_LOG_INFO, PF_ABOUT_RECORD(record), "frame %s: %.1f MB, %d x %d", name,
                     (double)record->size_bytes / 1e6, record->width, record->height);
        pf_pairing_feed(service, record);
        return;
    }
    if (entry->seen == PF_JOURNAL_COPY) {
        pf_driving_lost(service, record);
        pf_log_about(PF_LOG_INFO, PF_ABOUT_RECORD(record),
                     "frame %s: the same content is known already; one frame", name);
        renamed(service, record);
    }
    pf_record_free(record);
}

/* The job of a burst; a late frame of one that is out brings all its frames back. */
static struct pf_job *job_of_burst(struct pf_service *service, const struct pf_entry *entry,
                                   struct pf_error *err)
{
    struct pf_job *job = pf_scheduler_find(service->scheduler, entry->decision.burst);
    if (job)
        return job;
    if (entry->decision.kind == PF_DECISION_JOINED && entry->decision.opened) {
        if (pf_job_new(&job, entry->decision.burst, entry->name, err) < 0)
            return NULL;
    } else {
        struct pf_journal_bursts bursts = {0};
        if (pf_journal_burst(service->journal, entry->decision.burst, &bursts, err) < 0)
            return NULL;
        int r = pf_restore_job(service, &bursts.items[0], &job, err);
        pf_journal_bursts_free(&bursts);
        if (r < 0)
            return NULL;
    }
    pf_scheduler_add(service->scheduler, job);
    return job;
}

static int act(struct pf_service *service, struct pf_entry *entry, struct pf_error *err)
{
    const struct pf_decision *decision = &entry->decision;
    struct pf_job *job = job_of_burst(service, entry, err);
    if (!job)
        return -err->code;
    if (decision->kind == PF_DECISION_NOT_A_STACK) {
        pf_log_about(PF_LOG_INFO, PF_ABOUT_JOB(job), "burst %s is not a stack: %s", job->name,
                     decision->why);
        pf_tell_burst(service, "burst.not_a_stack", job->burst, NULL);
        pf_publishing_discard(service, job);
        pf_scheduler_remove(service->scheduler, job);
        return 0;
    }
    if (decision->kind == PF_DECISION_COMPLETE) {
        const char *reason = pf_grouper_reason_name(decision->reason);
        free(job->complete);
        job->complete = strdup(reason);
        job->version = entry->version;
        job->complete_ms = pf_monotonic_ms();
        if (!job->complete)
            return pf_fail(err, ENOMEM, "out of memory");
        pf_log_about(PF_LOG_INFO, PF_ABOUT_JOB(job), "burst %s complete: %zu frames (%s)",
                     job->name, job->count, reason);
        pf_tell_burst(service, "burst.complete", job->burst, NULL);
    } else {
        struct pf_record *record = entry->record;
        entry->record = NULL;
        if (decision->opened)
            pf_log_about(PF_LOG_INFO, PF_ABOUT_JOB(job), "burst %s begins with %s", job->name,
                         pf_base_name(record->path));
        else if (decision->late)
            pf_log_about(PF_LOG_INFO, PF_ABOUT_JOB(job),
                         "burst %s gets a late frame, %s: a new version follows", job->name,
                         pf_base_name(record->path));
        free(job->complete);
        job->complete = NULL;
        job->version = job->stays = 0;
        struct pf_identity id = record->id;
        if (pf_job_add(job, record, err) < 0)
            return -err->code;
        record = pf_job_find(job, id.text)->record;
        supersede(service, job, record, record->path);
        if (decision->opened || decision->late)
            pf_tell_burst(service, "burst.opened", job->burst, NULL);
        pf_events_publish(
            service->events, "frame.joined",
            json_pack("{s:s, s:o, s:b, s:b, s:I}", "burst", job->name, "frame",
                      pf_describe_job_frame(service, job, pf_job_find(job, id.text), false),
                      "opened", decision->opened, "late", decision->late, "frames",
                      (json_int_t)decision->frames));
        pf_tell_deadlines(service);
    }
    pf_scheduler_poke(service->scheduler);
    return 0;
}

void pf_intake_committed(struct pf_service *service, struct pf_entry *entry)
{
    struct pf_error err = {0};
    int r = 0;
    if (entry->refused)
        return; /* nothing was written, so that nothing follows */
    if (entry->kind == PF_ENTRY_RECORD)
        recorded(service, entry);
    else if (entry->kind == PF_ENTRY_REJECT)
        pf_events_publish(
            service->events, "frame.rejected",
            json_pack("{s:o, s:o, s:o, s:o}", "name", pf_json_bytes(pf_base_name(entry->path)),
                      "path", pf_json_bytes(entry->path), "source", pf_json_bytes(entry->source),
                      "reason", pf_json_bytes(entry->reason)));
    else if (entry->kind == PF_ENTRY_DECISION && (r = act(service, entry, &err)) < 0)
        pf_log_error("burst %lld: %s; it waits for the next start",
                     (long long)entry->decision.burst, err.text);
    if (r == -ENOMEM) /* else its stack would come out without the frame */
        pf_ledger_end();
}
