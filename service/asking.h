/* What is asked of a camera: its settings, one shot, a bracket. The one way in, for the control socket
 * and for the HTTP interface alike.
 *
 * Service process, event loop thread. An ask is a JSON object as service/PROTOCOL.md has it (`do` and
 * its fields); its answers come to the one who asked, until one has "done": true. A camera does one
 * thing at a time. A bracket belongs to the service: its frames make a burst of their own, which is
 * complete when the last one is in; one that goes on until covered is guided by what the engine
 * finds in its frames (service/driving.c).
 */
#ifndef PF_ASKING_H
#define PF_ASKING_H

#include <jansson.h>
#include <stdint.h>

#include "service/source.h"

#define PF_ASKING_WHY 768

struct pf_service;
struct pf_asking;

/* An answer (borrowed); NULL: the camera's process has ended, and nothing more follows. */
typedef void pf_asking_answered(struct pf_service *service, int64_t id, const json_t *answer,
                                void *context);

int pf_asking_new(struct pf_asking **ret, struct pf_error *err); /* -ENOMEM */
/* NULL-safe, returns NULL. Nobody is called any more. */
struct pf_asking *pf_asking_free(struct pf_asking *asking);

/* Asks a camera: `source` is its name as configured, or its serial number or port; NULL: the only one.
 * `ask` is consumed. The number of the ask, > 0; or -ENOENT there is no such camera, -EBUSY it is at
 * something else, -ENOTCONN its process is being started, -EINVAL the ask cannot be, -ENOMEM: then
 * `why` (PF_ASKING_WHY bytes) says it in words. No answer comes before this has returned. */
int64_t pf_asking_ask(struct pf_service *service, const char *source, json_t *ask,
                      pf_asking_answered *answered, void *context, char *why);
/* A bracket ends in order: the focus goes back, the burst is closed. Answers follow. */
void pf_asking_cancel(struct pf_service *service, int64_t id);
/* Whoever has begun it: cancels what this camera is at. -ENOENT there is no such camera, -EALREADY it is
 * at nothing: then `why` says it in words. */
int pf_asking_stop(struct pf_service *service, const char *source, char *why);
/* Who asked has gone away and is not called any more. What was asked goes on: cancel it first if it
 * shall not. */
void pf_asking_forget(struct pf_service *service, int64_t id);

/* What a source answers; `context` is the service. */
void pf_asking_answer(struct pf_source *source, int64_t id, const json_t *answer, void *context);

#endif
