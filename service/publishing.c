/* From a settled job to its published stack: what the outbox is asked and what it answers.
 *
 * Service process, event loop thread. A job's way is job->out: a directory is prepared, the worker
 * fills it, it is published under its name, the ledger takes that. While the outbox cannot be written
 * complete bursts wait, and it is tried again by itself.
 */
#include <errno.h>
#include <string.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "service/describe.h"
#include "service/hook_event.h"
#include "service/service.h"
#include "service/sidecar.h"
#include "service/timer.h"

#define BACKOFF_MS     1000
#define BACKOFF_MAX_MS 60000
#define SILENT_MS      30000 /* a check takes no time where the outbox lies on a disk */

/* ---- an outbox that cannot be written ---- */

static void outbox_trouble(struct pf_service *service, int code, const char *text, bool by_check)
{
    if (service->outbox_errno != code)
        pf_log_error("the outbox cannot be written: %s; complete bursts wait, and it is tried "
                     "again by itself",
                     text);
    service->outbox_errno = code;
    service->outbox_by_check = by_check;
    pf_trouble_on(service->troubles, true, "outbox", NULL, "the outbox cannot be written: %s",
                  text);
    service->outbox_backoff_ms =
        pf_back_off_ms(service->outbox_backoff_ms, BACKOFF_MS, BACKOFF_MAX_MS);
    pf_scheduler_hold(service->scheduler, service->outbox_backoff_ms);
    pf_timer_set(service->outbox_timer, service->outbox_backoff_ms);
}

/* Whether the outbox's own check would find this trouble as well. That there is room, and that the disk
 * takes what is written, only a stack can show. */
static bool check_tells(int code)
{
    return code == EROFS || code == EACCES || code == ENOENT || code == ENOTDIR ||
           code == ENOTCONN || code == ESTALE || code == ENODEV;
}

static void outbox_works(struct pf_service *service)
{
    if (service->outbox_errno)
        pf_log_info("the outbox can be written again");
    service->outbox_errno = service->outbox_backoff_ms = 0;
    pf_trouble_off(service->troubles, "outbox");
    pf_scheduler_hold(service->scheduler, 0);
}

static bool something_waits(const struct pf_service *service)
{
    for (const struct pf_job *job = pf_scheduler_jobs(service->scheduler); job; job = job->next)
        if (job->complete)
            return true;
    return false;
}

/* What a check has found, a check finds to be over; what a stack has found, the next stack, if there is one
 * that waits. */
static void outbox_is_there(struct pf_service *service)
{
    if (service->outbox_errno && (service->outbox_by_check || check_tells(service->outbox_errno) ||
                                  !something_waits(service)))
        outbox_works(service);
}

void pf_publishing_check(struct pf_service *service)
{
    int64_t now_ms = pf_monotonic_ms();
    if (!service->outbox_asked_ms) {
        if (pf_outbox_ask(service->outbox, PF_OUTBOX_CHECK, 0, "", 0, NULL) == 0)
            service->outbox_asked_ms = now_ms;
        return;
    }
    if (service->outbox_silent || now_ms - service->outbox_asked_ms < SILENT_MS)
        return;
    service->outbox_silent = true;
    pf_log_error("the outbox has not answered for %d s: does its mount hang? complete bursts wait",
                 SILENT_MS / 1000);
    pf_trouble_on(service->troubles, true, "outbox.silent", NULL,
                  "the outbox has not answered for %d s: does its mount hang?", SILENT_MS / 1000);
}

static void outbox_answers(struct pf_service *service)
{
    service->outbox_asked_ms = 0;
    if (service->outbox_silent)
        pf_log_info("the outbox answers again");
    service->outbox_silent = false;
    pf_trouble_off(service->troubles, "outbox.silent");
}

/* ---- what the scheduler says ---- */

/* The worker fills the directory. */
static void fill(struct pf_service *service, struct pf_job *job, const char *directory)
{
    pf_pairing_companions(service, job);
    json_t *sidecar = pf_sidecar(job, &service->settings);
    if (sidecar)
        pf_scheduler_finish(service->scheduler, job, directory, sidecar);
    if (job->stage != PF_JOB_FINISHING)
        return;
    job->out = PF_OUT_FILLING;
    job->out_fused = pf_job_fused_count(job);
    job->out_aside = pf_job_aside_count(job);
}

/* What has been written ahead is used once: where it fails, all is written anew. */
void pf_publishing_begin(struct pf_service *service, struct pf_job *job)
{
    char *directory = job->ahead_dir;
    job->ahead_used = pf_job_is_ahead(job);
    job->out_version = job->version;
    job->ahead = PF_AHEAD_NONE;
    job->ahead_dir = NULL;
    if (job->ahead_used)
        fill(service, job, directory);
    else if (pf_outbox_ask(service->outbox, PF_OUTBOX_PREPARE, job->burst, job->name, job->version,
                           NULL) == 0)
        job->out = PF_OUT_PREPARING;
    if (job->out == PF_OUT_NOWHERE)
        pf_scheduler_poke(service->scheduler);
    free(directory);
    pf_tell_stage(service, job);
}

void pf_publishing_idle(struct pf_job *job, void *context)
{
    struct pf_service *service = context;
    job->ahead_number = ++service->aheads;
    if (pf_outbox_ask(service->outbox, PF_OUTBOX_PREPARE_AHEAD, job->burst, job->name,
                      job->ahead_number, NULL) < 0)
        job->ahead = PF_AHEAD_NONE;
}

void pf_publishing_discard(struct pf_service *service, const struct pf_job *job)
{
    if (job->ahead_dir || job->ahead == PF_AHEAD_ASKED)
        pf_outbox_ask(service->outbox, PF_OUTBOX_DISCARD, job->burst, job->name, job->version,
                      NULL);
}

void pf_publishing_finished(struct pf_job *job, const json_t *event, void *context)
{
    struct pf_service *service = context;
    json_decref(job->files);
    job->files = json_incref(json_object_get(event, "files"));
    job->finish_ms = json_number_value(json_object_get(event, "finish_ms"));
    job->publish_at_ms = pf_monotonic_ms();
    int r = pf_outbox_ask(service->outbox, PF_OUTBOX_PUBLISH, job->burst, job->name,
                          job->out_version, NULL);
    job->out = r < 0 ? PF_OUT_NOWHERE : PF_OUT_PUBLISHING;
    pf_tell_stage(service, job);
}

/* A directory that was made ahead may have gone since, with all the outbox or alone: then it is made anew. */
void pf_publishing_unwritten(struct pf_job *job, int code, const char *reason, void *context)
{
    struct pf_service *service = context;
    if (job->ahead_used && code == ENOENT)
        pf_scheduler_poke(service->scheduler);
    else
        outbox_trouble(service, code, reason, false);
}

/* ---- what the outbox answers ---- */

void pf_publishing_find(struct pf_service *service, struct pf_job *job)
{
    json_t *identities = pf_sidecar_identities(job);
    if (!identities || pf_outbox_ask(service->outbox, PF_OUTBOX_FIND, job->burst, job->name,
                                     job->find_version, identities) < 0)
        outbox_trouble(service, ENOMEM, "out of memory", false);
    json_decref(identities);
}

void pf_publishing_find_again(struct pf_service *service)
{
    for (struct pf_job *job = pf_scheduler_jobs(service->scheduler); job; job = job->next)
        if (job->find_version)
            pf_publishing_find(service, job);
}

/* The directory is there: the worker may fill it, unless a late frame has come meanwhile. */
static void prepared(struct pf_service *service, struct pf_job *job, const char *directory)
{
    job->out = PF_OUT_NOWHERE;
    if (job->stage == PF_JOB_ACTIVE && job->complete && job->version == job->out_version &&
        pf_job_settled(job))
        fill(service, job, directory);
    pf_scheduler_poke(service->scheduler);
}

static void prepared_ahead(struct pf_service *service, struct pf_job *job,
                           const struct pf_outbox_answer *answer)
{
    if (job->ahead != PF_AHEAD_ASKED || job->ahead_number != answer->version)
        return; /* it was asked before the job lost its stack */
    job->ahead = PF_AHEAD_NONE;
    job->no_ahead |= answer->r < 0;
    if (answer->r == 0) {
        free(job->ahead_dir);
        job->ahead_dir = strdup(answer->path);
    }
    if (answer->r == 0 && job->ahead_dir && job->stage == PF_JOB_ACTIVE && !job->complete &&
        job->ahead_count == job->count && pf_job_settled(job))
        pf_scheduler_prepare(service->scheduler, job, job->ahead_dir);
    pf_scheduler_poke(service->scheduler);
}

/* Its name is known to the journal where its job is gone. */
static void order_hook(struct pf_service *service, struct pf_entry *entry, const struct pf_job *job)
{
    struct pf_journal_bursts bursts = {0};
    struct pf_error err = {0};
    const char *name = job ? job->name : pf_base_name(entry->path);
    if (!job && pf_journal_burst(service->journal, entry->burst, &bursts, &err) == 0)
        name = bursts.items[0].id;
    pf_hooks_order(service->hooks, entry, "on_burst",
                   pf_hook_event_published(job, name, entry->version, entry->path));
    pf_journal_bursts_free(&bursts);
}

/* That a burst cannot be written ahead keeps nothing waiting: a check tells, or its own turn. */
static bool is_trouble(const struct pf_outbox_answer *answer)
{
    return answer->request != PF_OUTBOX_PREPARE_AHEAD && answer->request != PF_OUTBOX_DISCARD &&
           !(answer->request == PF_OUTBOX_FIND && answer->r == -ENOENT);
}

void pf_publishing_answer(const struct pf_outbox_answer *answer, void *context)
{
    struct pf_service *service = context;
    struct pf_job *job = pf_scheduler_find(service->scheduler, answer->burst);
    bool found = answer->r == 0, check = answer->request == PF_OUTBOX_CHECK;
    if (check)
        outbox_answers(service);
    if (answer->r < 0 && is_trouble(answer)) {
        if (job && (answer->request == PF_OUTBOX_PREPARE || answer->request == PF_OUTBOX_PUBLISH))
            job->out = PF_OUT_NOWHERE;
        outbox_trouble(service, -answer->r, answer->text, check);
        return;
    }
    switch (answer->request) {
    case PF_OUTBOX_CHECK:
        outbox_is_there(service);
        break;
    case PF_OUTBOX_PREPARE_AHEAD:
        if (job)
            prepared_ahead(service, job, answer);
        break;
    case PF_OUTBOX_DISCARD:
        break;
    case PF_OUTBOX_PREPARE:
        if (job)
            prepared(service, job, answer->path);
        break;
    case PF_OUTBOX_FIND:
        if (job && job->find_version == answer->version)
            job->find_version = 0;
        if (job && !found && job->out == PF_OUT_FINDING) {
            job->out = PF_OUT_NOWHERE;
            pf_scheduler_poke(service->scheduler);
        }
        if (!found)
            break;
        /* fall through */
    case PF_OUTBOX_PUBLISH: {
        struct pf_entry *entry = pf_ledger_add(service->ledger, PF_ENTRY_PUBLISHED);
        entry->burst = answer->burst;
        entry->version = answer->version;
        entry->path = pf_ledger_text(answer->path);
        entry->adopted = answer->request == PF_OUTBOX_FIND;
        if (job && entry->adopted) { /* of an earlier run */
            job->out_fused = answer->fused;
            job->out_aside = answer->aside;
        }
        order_hook(service, entry, job);
        break;
    }
    }
}

/* ---- what the ledger has written ---- */

/* What is in it: frames that have come since are of its next version. */
static void log_published(const struct pf_job *job, const char *directory)
{
    int64_t now_ms = pf_monotonic_ms();
    char aside[48] = "";
    if (job->out_aside)
        snprintf(aside, sizeof(aside), ", %zu set aside", job->out_aside);
    pf_log_about(
        PF_LOG_INFO, PF_ABOUT_JOB(job),
        "stack published: %s (%zu frames fused%s; %.1f s after the last frame, %.1f s after "
        "the burst was complete)",
        directory, job->out_fused, aside, (double)(now_ms - job->last_arrival_ms) / 1e3,
        (double)(now_ms - job->complete_ms) / 1e3);
}

static void set_times(json_t *data, const struct pf_job *job)
{
    int64_t now_ms = pf_monotonic_ms();
    json_object_set_new(data, "lag_ms", json_integer(now_ms - job->last_arrival_ms));
    json_object_set_new(data, "finish_ms", json_real(job->finish_ms));
    json_object_set_new(data, "publish_ms", json_integer(now_ms - job->publish_at_ms));
}

void pf_publishing_committed(struct pf_service *service, const struct pf_entry *entry,
                             struct pf_job *job)
{
    outbox_works(service);
    if (entry->adopted)
        pf_log_info("stack found: %s was published already", entry->path);
    else if (job)
        log_published(job, entry->path);
    json_t *more =
        json_pack("{s:i, s:o}", "version", entry->version, "directory", pf_json_bytes(entry->path));
    if (job && !entry->adopted)
        set_times(more, job);
    if (job)
        pf_stacking_forget_failed(service, job->name);
    pf_tell_burst(service, "burst.published", entry->burst, more);
}
