/* Frames whose files cannot be read: another file of theirs is taken, or they are waited for, or given up.
 *
 * Service process, event loop thread. A frame is lost when all its files are gone, and others are there: a
 * missing mount is waited for, which is told.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/file.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "service/service.h"
#include "service/timer.h"

/* ---- what is waited for ---- */

/* Of all its files the one that says most; *ret_path is borrowed from the frame, or from `known`, the same in the
 * journal. */
static enum pf_absence absence_of(const struct pf_service *service,
                                  const struct pf_job_frame *frame,
                                  const struct pf_journal_frames *known, const char **ret_path)
{
    size_t count = known->count ? known->items[0].path_count : 0;
    *ret_path = pf_job_file(frame);
    enum pf_absence most = pf_sources_absence(service, *ret_path, frame->trouble_ms);
    for (size_t i = 0; i < count; i++) {
        const char *path = known->items[0].paths[i];
        enum pf_absence absence = pf_sources_absence(service, path, frame->trouble_ms);
        if (absence <= most)
            continue;
        most = absence;
        *ret_path = path;
    }
    /* It may have been told a moment ago. */
    return most == PF_ABSENCE_GONE && pf_ledger_has_frames(service->ledger) ? PF_ABSENCE_OPEN
                                                                            : most;
}

static bool waits_for_disk(const struct pf_service *service, const struct pf_job_frame *frame)
{
    struct pf_journal_frames known = {0};
    struct pf_error err = {0};
    const char *path;
    pf_journal_frame(service->journal, &frame->record->id, &known, &err);
    bool waits = absence_of(service, frame, &known, &path) == PF_ABSENCE_DISK;
    pf_journal_frames_free(&known);
    return waits;
}

void pf_waiting_check(struct pf_service *service)
{
    bool disk = false, file = false;
    if (!service->disk_told && !service->file_told)
        return;
    for (const struct pf_job *job = pf_scheduler_jobs(service->scheduler); job; job = job->next)
        for (size_t i = 0; i < job->count; i++) {
            const struct pf_job_frame *frame = &job->frames[i];
            bool waits = frame->trouble_ms && frame->step != PF_STEP_DONE;
            bool away = waits && waits_for_disk(service, frame);
            disk |= away;
            file |= waits && !away;
        }
    if (!disk)
        pf_trouble_off(service->troubles, "disk");
    if (!file)
        pf_trouble_off(service->troubles, "file");
    service->disk_told &= disk;
    service->file_told &= file;
}

static void tell_disk(struct pf_service *service, const struct pf_job *job, const char *path)
{
    if (!service->disk_told)
        pf_log_about(PF_LOG_WARNING, PF_ABOUT_JOB(job),
                     "burst %s waits for %s: what it lies on is not mounted (parfocal discard goes "
                     "on without it)",
                     job->name, path);
    service->disk_told = true;
    pf_trouble_on(service->troubles, true, "disk", NULL,
                  "burst %s waits for %s: what it lies on is not mounted", job->name, path);
}

static void tell_file(struct pf_service *service, const struct pf_job *job, const char *reason)
{
    service->file_told = true;
    pf_trouble_on(service->troubles, true, "file", NULL,
                  "burst %s waits for a file: %s (parfocal discard goes on without it)", job->name,
                  reason);
}

/* ---- another file ---- */

static bool lies_in(const char *path, const char *folder)
{
    const char *rest = pf_path_beneath(path, folder);
    return rest && *rest && !strchr(rest, '/');
}

static bool go_by(struct pf_service *service, struct pf_job_frame *frame, const char *path)
{
    char *file = strdup(path);
    if (file)
        pf_intake_go_by(service, frame, file);
    return file;
}

/* The other frames of its folder lie in another one, too, if they have been seen there: to find that out for one after
 * the other would be a replay for each. Not those that have been read since, nor those that are looked for
 * themselves: each of their files has its turn. */
static void take_along(struct pf_service *service, struct pf_job *job, const char *from,
                       const char *to)
{
    struct pf_journal_frames all = {0};
    struct pf_error err = {0};
    if (pf_journal_burst_frames(service->journal, job->burst, &all, &err) < 0)
        pf_log_error("%s", err.text);
    for (size_t i = 0; i < all.count; i++) {
        const struct pf_journal_frame *known = &all.items[i];
        struct pf_job_frame *frame = pf_job_find(job, known->record->id.text);
        if (!frame || frame->step == PF_STEP_DONE || frame->trouble_ms ||
            frame->read_ms >= job->moved_ms || !lies_in(pf_job_file(frame), from))
            continue;
        size_t k = known->path_count;
        while (k && !lies_in(known->paths[k - 1], to))
            k--;
        if (k)
            go_by(service, frame, known->paths[k - 1]);
    }
    pf_journal_frames_free(&all);
}

/* False: no memory. */
static bool take_other(struct pf_service *service, struct pf_job *job, struct pf_job_frame *frame,
                       const char *path)
{
    char *from = pf_path_directory(pf_job_file(frame)), *to = pf_path_directory(path);
    bool taken = from && to && go_by(service, frame, path);
    if (taken && strcmp(from, to) != 0)
        take_along(service, job, from, to);
    free(from);
    free(to);
    /* What takes the name that it had takes its place no more. */
    pf_timer_set(service->grouper_timer, 0);
    return taken;
}

/* ---- none of them can be read ---- */

/* True: it is not waited for. */
static bool give_up(struct pf_service *service, struct pf_job *job, struct pf_job_frame *frame,
                    const struct pf_journal_frames *known, const char *reason)
{
    const char *path;
    enum pf_absence absence = absence_of(service, frame, known, &path);
    if (frame->there) {
        tell_file(service, job, reason);
    } else if (absence == PF_ABSENCE_GONE) {
        pf_scheduler_exclude(service->scheduler, job, frame, reason);
        return true;
    } else if (absence == PF_ABSENCE_DISK) {
        tell_disk(service, job, path);
    } else if (absence == PF_ABSENCE_UNKNOWN && job->stays) {
        char why[sizeof(frame->reason) + 64];
        snprintf(why, sizeof(why), "%s; version %d stays", reason, job->stays);
        pf_stacking_fail(service, job, why);
    } else if (absence == PF_ABSENCE_UNKNOWN) {
        tell_file(service, job, reason);
    }
    return false;
}

bool pf_waiting_unreadable(struct pf_job *job, struct pf_job_frame *frame, int code,
                           const char *reason, void *context)
{
    struct pf_service *service = context;
    struct pf_journal_frames known = {0};
    struct pf_error err = {0};
    bool begins = !frame->trouble_ms, at_once = false;
    bool gone = code == ENOENT || code == ENOTDIR || code == ESTALE;
    pf_journal_frame(service->journal, &frame->record->id, &known, &err);
    const struct pf_journal_frame *in = known.count ? &known.items[0] : NULL;
    const char *other =
        pf_job_other_file(frame, in ? in->paths : NULL, in ? in->path_count : 0, gone);
    if (begins) {
        frame->trouble_ms = pf_monotonic_ms();
        if (!job->moved_ms || frame->read_ms > job->moved_ms) /* they have been moved once more */
            job->moved_ms = frame->trouble_ms;
        /* Several files may lie in several sources. */
        pf_sources_scan(service, in && in->path_count > 1 ? NULL : pf_job_file(frame));
    }
    if (in && !in->path_count) {
        pf_stacking_replaced(service, job, frame);
        at_once = true;
    } else if (other && take_other(service, job, frame, other)) {
        pf_log_about(PF_LOG_INFO, PF_ABOUT_FRAME(job, frame), "%s; it is in %s as well", reason,
                     pf_job_file(frame));
        at_once = true;
    } else {
        if (strcmp(frame->reason, reason) != 0)
            pf_log_about(PF_LOG_WARNING, PF_ABOUT_FRAME(job, frame), "%s; burst %s waits for it",
                         reason, job->name);
        snprintf(frame->reason, sizeof(frame->reason), "%s", reason);
        at_once = !begins && in && give_up(service, job, frame, &known, reason);
    }
    pf_journal_frames_free(&known);
    return at_once;
}
