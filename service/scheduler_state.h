/* What the two halves of the scheduler share: scheduler.c, which says what is done next, and setbacks.c, which
 * says what becomes of a job when that fails. Included by these alone.
 */
#ifndef PF_SCHEDULER_STATE_H
#define PF_SCHEDULER_STATE_H

#include "service/scheduler.h"
#include "service/worker_child.h"

struct pf_scheduler {
    const struct pf_settings *settings;
    struct pf_scheduler_handlers handlers;
    void *context;
    struct pf_worker *worker;
    struct event *turn;
    struct pf_job *jobs;
    uint64_t order; /* of the last frame, result or preview that was asked for */
    size_t careful; /* frames to send one at a time, so that a death names the one to blame */
    int64_t hold_until_ms;
    int64_t wake_ms; /* when the turn's timer fires */
};

/* Out of the worker with it: it is replayed later, or not. */
void pf_scheduler_drop(struct pf_scheduler *scheduler, struct pf_job *job);

/* Sets the frame aside for good and tells so. */
void pf_setback_exclude(struct pf_scheduler *scheduler, struct pf_job *job,
                        struct pf_job_frame *frame, const char *reason);
/* It has been done (frame NULL: the result is written): there was room for it. */
void pf_setback_over(struct pf_scheduler *scheduler, struct pf_job *job,
                     struct pf_job_frame *frame);
/* The worker could not do something for the job: its `failed` event. */
void pf_setback_failed(struct pf_scheduler *scheduler, struct pf_job *job, const json_t *event);
/* The worker has died, or (why NULL) was ended by something that no job has to do with. Returns as its
 * handler `ended` does. */
bool pf_setback_died(struct pf_scheduler *scheduler, const char *why, enum pf_worker_end end);

#endif
