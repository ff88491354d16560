#include "service/job_list.h"

#include <string.h>

void pf_jobs_append(struct pf_job **jobs, struct pf_job *job)
{
    while (*jobs)
        jobs = &(*jobs)->next;
    *jobs = job;
}

void pf_jobs_take_out(struct pf_job **jobs, struct pf_job *job)
{
    while (*jobs != job)
        jobs = &(*jobs)->next;
    *jobs = job->next;
    job->next = NULL;
}

struct pf_job *pf_jobs_find(struct pf_job *jobs, int64_t burst)
{
    for (struct pf_job *job = jobs; job; job = job->next)
        if (job->burst == burst)
            return job;
    return NULL;
}

struct pf_job *pf_jobs_find_key(struct pf_job *jobs, const char *key)
{
    for (struct pf_job *job = jobs; key && job; job = job->next)
        if (job->stage != PF_JOB_WAITING && !strcmp(job->key, key))
            return job;
    return NULL; /* of an earlier opening, or dropped since */
}

static int64_t pixels_of(const struct pf_job_frame *frame)
{
    return (int64_t)frame->record->width * frame->record->height;
}

size_t pf_jobs_frames_sent(const struct pf_job *jobs, int64_t *ret_pixels)
{
    size_t sent = 0;
    *ret_pixels = 0;
    for (const struct pf_job *job = jobs; job; job = job->next) {
        size_t left = job->sent;
        sent += left;
        for (size_t i = job->first_undone; left && i < job->count; i++)
            if (job->frames[i].step == PF_STEP_SENT) {
                *ret_pixels += pixels_of(&job->frames[i]);
                left--;
            }
        if ((job->stage == PF_JOB_FINISHING || job->ahead == PF_AHEAD_WRITING) && job->count &&
            job->frames[0].step != PF_STEP_SENT)
            *ret_pixels += pixels_of(&job->frames[0]);
    }
    return sent;
}

size_t pf_jobs_in_worker(const struct pf_job *jobs)
{
    size_t count = 0;
    for (const struct pf_job *job = jobs; job; job = job->next)
        count += job->stage != PF_JOB_WAITING;
    return count;
}

static bool is_asked_for(const struct pf_job *job)
{
    return job->stage == PF_JOB_FINISHING || job->preview_asked;
}

struct pf_job *pf_jobs_writing(struct pf_job *jobs)
{
    struct pf_job *ahead = NULL;
    for (struct pf_job *job = jobs; job; job = job->next)
        if (is_asked_for(job))
            return job;
        else if (job->ahead == PF_AHEAD_WRITING)
            ahead = job;
    return ahead;
}

/* It has no frame left to do before that. */
static bool is_begun(const struct pf_job *jobs, uint64_t write_order)
{
    for (const struct pf_job *job = jobs; job; job = job->next)
        for (size_t i = job->first_undone; job->sent && i < job->count; i++)
            if (job->frames[i].step == PF_STEP_SENT && job->frames[i].order < write_order)
                return false;
    return true;
}

struct pf_suspects pf_jobs_suspects(struct pf_job *jobs)
{
    struct pf_suspects suspects = {0};
    for (struct pf_job *job = jobs; job; job = job->next)
        for (size_t i = job->first_undone; job->sent && i < job->count; i++) {
            struct pf_job_frame *frame = &job->frames[i];
            if (frame->step == PF_STEP_SENT && frame->decoding)
                suspects = (struct pf_suspects){suspects.count + 1, job, frame};
        }
    for (struct pf_job *job = jobs; job; job = job->next)
        if ((is_asked_for(job) || job->ahead == PF_AHEAD_WRITING) &&
            is_begun(jobs, job->write_order))
            suspects = (struct pf_suspects){suspects.count + 1, job, NULL};
    return suspects;
}

struct pf_job *pf_jobs_next_to_open(struct pf_job *jobs, int64_t now_ms)
{
    struct pf_job *found = NULL;
    for (struct pf_job *job = jobs; job; job = job->next) {
        if (job->stage != PF_JOB_WAITING || job->out != PF_OUT_NOWHERE ||
            job->hold_until_ms > now_ms)
            continue;
        if (job->complete)
            return job;
        if (!found && pf_job_next_waiting(job))
            found = job;
    }
    return found;
}

struct pf_job_frame *pf_jobs_next_frame(struct pf_job *jobs, struct pf_job **ret_job)
{
    for (int complete = 1; complete >= 0; complete--)
        for (struct pf_job *job = jobs; job; job = job->next) {
            if (job->stage != PF_JOB_ACTIVE || (job->complete != NULL) != complete)
                continue;
            struct pf_job_frame *frame = pf_job_next_waiting(job);
            *ret_job = job;
            if (frame)
                return frame;
        }
    return NULL;
}
