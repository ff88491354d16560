/* The scheduler: which jobs are half-built in the worker, and what the worker does next.
 *
 * Service process, event loop thread. It owns the worker (worker_child.h): at most `open_stacks` jobs
 * are open in it, complete ones first; a job without a place waits and is replayed from its files
 * later, and so are all when the worker dies. A frame that has taken the worker down `retries` times
 * is excluded from its job. Only what the worker was at alone is blamed: after a death all that was begun
 * is done one by one, frames, results and previews.
 *
 * Previews of open jobs go to STATE/preview/NAME.jpg when the worker has nothing better to do; what
 * happens to jobs and frames is told by the handlers, which may call back into the scheduler.
 */
#ifndef PF_SCHEDULER_H
#define PF_SCHEDULER_H

#include <event2/event.h>
#include <jansson.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "service/job.h"

struct pf_scheduler_handlers {
    /* A frame is done: it has a result, or it is excluded. */
    void (*frame)(struct pf_job *job, struct pf_job_frame *frame, void *context);
    /* The worker is at a frame for long; `event` (borrowed) is its `progress`. */
    void (*progress)(struct pf_job *job, struct pf_job_frame *frame, const json_t *event,
                     void *context);
    /* A thumbnail of a frame has been made; `event` is borrowed. */
    void (*thumbnail)(struct pf_job *job, struct pf_job_frame *frame, const json_t *event,
                      void *context);
    /* The worker has this frame in hand. */
    void (*decoding)(struct pf_job *job, struct pf_job_frame *frame, void *context);
    /* There is another preview (job->previews counts); `event` is borrowed. */
    void (*previewed)(struct pf_job *job, const json_t *event, void *context);
    /* The worker has changed: pf_scheduler_worker(). */
    void (*worker)(void *context);
    /* A frame took the worker down once more (frame->attempts is already counted). */
    void (*attempt)(struct pf_job *job, struct pf_job_frame *frame, const char *why, void *context);
    /* The file of a frame cannot be read now (code: positive errno). The job has lost its stack and
     * will be replayed after a pause; the owner may set frame->path or exclude the frame. True: without one. */
    bool (*unreadable)(struct pf_job *job, struct pf_job_frame *frame, int code, const char *reason,
                       void *context);
    /* There is no room for a job's pictures now (in memory, or in the scratch directory). It is tried again by
     * itself, after pauses; `again` when it was told already. */
    void (*no_room)(struct pf_job *job, bool again, const char *reason, void *context);
    void (*room)(struct pf_job *job, void *context); /* that is over, one way or the other */
    /* Complete, and every frame is done. The owner calls pf_scheduler_finish, _exclude, _hold or
     * _remove; it is asked again otherwise with the next event. */
    void (*settled)(struct pf_job *job, void *context);
    /* Nothing else is to be done, and the next frame is late: stack and maps of the job, which is not
     * complete, may be written. The owner calls pf_scheduler_prepare() with a directory, or clears
     * job->ahead. */
    void (*idle)(struct pf_job *job, void *context);
    /* Everything is on disk in the directory; `event` is borrowed. The job is still open. */
    void (*finished)(struct pf_job *job, const json_t *event, void *context);
    /* The result could not be written (code: positive errno); the job is open, settled and its result is
     * PF_OUT_NOWHERE. */
    void (*unwritten)(struct pf_job *job, int code, const char *reason, void *context);
    /* The worker cannot do this job, after several attempts or ever. */
    void (*failed)(struct pf_job *job, const char *reason, void *context);
};

struct pf_scheduler;

/* Starts the worker. settings, base and context are borrowed and outlive it. */
int pf_scheduler_new(struct pf_scheduler **ret, struct event_base *base,
                     const struct pf_settings *settings,
                     const struct pf_scheduler_handlers *handlers, void *context,
                     struct pf_error *err);
struct pf_scheduler *pf_scheduler_free(struct pf_scheduler *scheduler); /* returns NULL */

/* Jobs, oldest first, linked by `next`. */
struct pf_job *pf_scheduler_jobs(struct pf_scheduler *scheduler);
struct pf_job *pf_scheduler_find(struct pf_scheduler *scheduler, int64_t burst);

/* Hands a job over; the scheduler owns it from then on. */
void pf_scheduler_add(struct pf_scheduler *scheduler, struct pf_job *job);
/* Forgets and frees a job, with its preview. */
void pf_scheduler_remove(struct pf_scheduler *scheduler, struct pf_job *job);
/* To be called when a job has new frames or has become complete. */
void pf_scheduler_poke(struct pf_scheduler *scheduler);

/* Writes what of the job's result can be written before it is complete into `dir`, an empty directory. */
void pf_scheduler_prepare(struct pf_scheduler *scheduler, struct pf_job *job, const char *dir);
/* Writes the result of a settled job into `dir`; `sidecar` is consumed. */
void pf_scheduler_finish(struct pf_scheduler *scheduler, struct pf_job *job, const char *dir,
                         json_t *sidecar);
/* Excludes a frame; the job is started anew without it. */
void pf_scheduler_exclude(struct pf_scheduler *scheduler, struct pf_job *job,
                          struct pf_job_frame *frame, const char *reason);
/* Takes a frame back that was excluded; the job is started anew with it. */
void pf_scheduler_include(struct pf_scheduler *scheduler, struct pf_job *job,
                          struct pf_job_frame *frame);
/* No job is settled before that much time has passed (the outbox cannot be written). */
void pf_scheduler_hold(struct pf_scheduler *scheduler, int64_t ms);

/* The worker as it is, as service/http/openapi.json has it; new, NULL on out of memory. */
json_t *pf_scheduler_worker(const struct pf_scheduler *scheduler);

bool pf_scheduler_ready(const struct pf_scheduler *scheduler);
/* How long the worker has had something to do, or has not got ready, without a word of progress; 0
 * when it has nothing to do. *ret_pixels (may be NULL): of the frames that it has in hand. */
int64_t pf_scheduler_stuck_ms(const struct pf_scheduler *scheduler, int64_t *ret_pixels);

void pf_scheduler_reap(struct pf_scheduler *scheduler); /* for every SIGCHLD */
void pf_scheduler_stop(struct pf_scheduler *scheduler);
bool pf_scheduler_stopped(const struct pf_scheduler *scheduler);
bool pf_scheduler_leave(struct pf_scheduler *scheduler); /* pf_child_leave() of the worker */

#endif
