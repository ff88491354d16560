/* Brackets under way: what the service does for them.
 *
 * Service process, event loop thread. From its first shot to its end a bracket's frames make one burst
 * (pf_grouper_drive). For one that goes on until covered, each frame's result is shown to its guide
 * (service/guide.h), and the guide's word is sent to the camera's process.
 */
#ifndef PF_DRIVING_H
#define PF_DRIVING_H

#include <jansson.h>
#include <stdint.h>

#include "service/job.h"
#include "service/source.h"

struct pf_service;
struct pf_driving; /* one bracket */

/* The source takes this ask, a bracket that is driven. */
void pf_driving_begin(struct pf_service *service, struct pf_source *source, int64_t id,
                      const json_t *ask);
/* It answers; NULL: its process has ended. */
void pf_driving_answer(struct pf_service *service, struct pf_source *source, int64_t id,
                       const json_t *answer);
/* A frame that the engine will not get: its content is known already. */
void pf_driving_lost(struct pf_service *service, const struct pf_record *record);
/* The engine is done with a frame. */
void pf_driving_scored(struct pf_service *service, const struct pf_job *job,
                       const struct pf_job_frame *frame);
void pf_driving_free_all(struct pf_service *service);

#endif
