/* What hooks are told: events as JSON, and their main facts as environment of a program.
 *
 * Service process; pure. The fields are in service/PROTOCOL.md.
 */
#ifndef PF_HOOK_EVENT_H
#define PF_HOOK_EVENT_H

#include <jansson.h>

#include "service/job.h"

/* New objects, NULL on out of memory. `job` may be NULL, where only the rest is known. */
json_t *pf_hook_event_published(const struct pf_job *job, const char *burst, int version,
                                const char *directory);
json_t *pf_hook_event_failed(const struct pf_job *job, int version, const char *reason);
/* A trouble (service/troubles.h) that degrades the service and has come so many times. */
json_t *pf_hook_event_degraded(const json_t *trouble, int times);
/* It is well again. */
json_t *pf_hook_event_recovered(const json_t *trouble);
json_t *pf_hook_event_stopping(void);

/* The caller's environment without what is for us alone (the names of systemd's sockets), and
 * PARFOCAL_* of the event; texts that are paths as the bytes they are. NULL-terminated, the caller's:
 * pf_hook_environment_free(). NULL on out of memory. */
char **pf_hook_environment(char *const *inherited, const json_t *event, int attempt);
char **pf_hook_environment_free(char **environment); /* NULL-safe, returns NULL */

#endif
