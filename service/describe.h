/* What the service knows, as JSON for people and programs: the objects of service/http/openapi.json.
 *
 * Service process, event loop thread. Objects are new and the caller's; NULL on out of memory. Of a
 * burst that is at work its job knows best, of all others the journal.
 */
#ifndef PF_DESCRIBE_H
#define PF_DESCRIBE_H

#include <jansson.h>

#include "service/service.h"

/* Frame. grids: with its 16 x 16 values. */
json_t *pf_describe_record(const struct pf_service *service, const struct pf_record *record);
json_t *pf_describe_job_frame(const struct pf_service *service, const struct pf_job *job,
                              const struct pf_job_frame *frame, bool grids);
/* burst: id of the one that it is in; NULL: none. */
json_t *pf_describe_frame(const struct pf_service *service, const struct pf_journal_frame *frame,
                          const char *burst, bool grids);

/* BurstSummary. NULL also when the journal cannot be read, which is logged. */
json_t *pf_describe_burst(struct pf_service *service, const struct pf_journal_burst *burst);

/* Path of a thing of the interface: "/api/v1/" and what follows, as printf(3) has it. */
json_t *pf_describe_link(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A time of CLOCK_MONOTONIC as one of CLOCK_REALTIME. */
int64_t pf_describe_wall_ms(int64_t monotonic_ms);

/* When the open burst completes unless a frame comes, CLOCK_REALTIME; JSON's null: not by time. */
json_t *pf_describe_deadline(const struct pf_service *service, int64_t burst);

/* Publishes what has become of a burst: `burst.opened` and its like, with its summary; `more` (consumed,
 * NULL nothing) joins the data. */
void pf_tell_burst(struct pf_service *service, const char *type, int64_t burst, json_t *more);
/* `frame.scored` and its like of a frame of a job. */
void pf_tell_job_frame(struct pf_service *service, const char *type, const struct pf_job *job,
                       const struct pf_job_frame *frame);
/* `burst.stage`, where it is another one than was told last. */
void pf_tell_stage(struct pf_service *service, struct pf_job *job);
/* `burst.deadline` of every open burst whose deadline has moved. */
void pf_tell_deadlines(struct pf_service *service);

#endif
