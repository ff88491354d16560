/* The scheduler's jobs, oldest first: which of them the worker has, and which comes next.
 *
 * Service process, event loop thread; pure, no I/O. A list is its first job, NULL when it is empty.
 * Jobs that are returned are borrowed from the list.
 */
#ifndef PF_JOB_LIST_H
#define PF_JOB_LIST_H

#include "service/job.h"

void pf_jobs_append(struct pf_job **jobs, struct pf_job *job);
void pf_jobs_take_out(struct pf_job **jobs, struct pf_job *job); /* it must be in the list */

struct pf_job *pf_jobs_find(struct pf_job *jobs, int64_t burst); /* NULL none */
/* The job that is open in the worker under this key; NULL none. */
struct pf_job *pf_jobs_find_key(struct pf_job *jobs, const char *key);

/* Frames that the worker has in hand. *ret_pixels: all that it is at work on, results included. */
size_t pf_jobs_frames_sent(const struct pf_job *jobs, int64_t *ret_pixels);
size_t pf_jobs_in_worker(const struct pf_job *jobs);
/* The job whose result or preview is being written, one at a time; NULL none. Beside it another may be written
 * ahead: alone, that one is returned. */
struct pf_job *pf_jobs_writing(struct pf_job *jobs);

/* What the worker may have been at when it died: frames that it had named as in hand, and a result or
 * preview (or what is written ahead) before which it had no frame left to do. Who is alone is to blame. */
struct pf_suspects {
    size_t count;
    struct pf_job *job;         /* of the last one */
    struct pf_job_frame *frame; /* the last one itself; NULL: it is the result or preview */
};
struct pf_suspects pf_jobs_suspects(struct pf_job *jobs);

/* The next job to open in the worker: complete ones first, so that they make room. NULL none. */
struct pf_job *pf_jobs_next_to_open(struct pf_job *jobs, int64_t now_ms);
/* The next frame to send and its job, of complete jobs first. NULL none. */
struct pf_job_frame *pf_jobs_next_frame(struct pf_job *jobs, struct pf_job **ret_job);

#endif
