/* The engine for a bracket until covered that is driven without a service: a worker process of the
 * command's own, which scores the frames and tells the guide what it finds; no stack comes of it. The
 * frames wait in the spool for the next service, which makes it.
 *
 * `parfocal bracket`, main thread.
 */
#ifndef PF_BRACKET_ENGINE_H
#define PF_BRACKET_ENGINE_H

#include "service/camera_talk.h"

struct pf_bracket_engine;

/* Starts it when the talk turns out to be with a camera's process itself. Hooks itself into the talk,
 * which outlives it. -ENOMEM. */
int pf_bracket_engine_new(struct pf_bracket_engine **ret, struct pf_talk *talk,
                          struct pf_error *err);
struct pf_bracket_engine *pf_bracket_engine_free(struct pf_bracket_engine *engine); /* NULL-safe */

#endif
