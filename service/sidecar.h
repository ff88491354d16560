/* What the service knows of a stack: its part of stack.json, as PROTOCOL.md has it.
 *
 * Service process, event loop thread; pure.
 */
#ifndef PF_SIDECAR_H
#define PF_SIDECAR_H

#include <jansson.h>

#include "config/settings.h"
#include "service/job.h"

#define PF_SIDECAR_BYTES_MAX (64u << 20) /* a larger stack.json is not ours */

/* Of more frames the grids are left out, which are most of what there is to say of one (2.8 of 3.4 kB): so that tens of
 * thousands fit into a line to the worker (PF_JSONL_LINE_MAX). */
#define PF_SIDECAR_GRIDS_MAX 4000

/* New object, owned by the caller; NULL on out of memory. */
json_t *pf_sidecar(struct pf_job *job, const struct pf_settings *settings);

/* JSON array of the identities of all frames of the job; owned by the caller, NULL as above. */
json_t *pf_sidecar_identities(const struct pf_job *job);

#endif
