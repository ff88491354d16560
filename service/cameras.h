/* All cameras: what the source `camera`, without a name behind it, stands for.
 *
 * Service process, event loop thread. A scout (capture/scout.h) tells which cameras are connected, and
 * for each there is a process that takes any camera which no other has. Those are sources like others,
 * of the name "camera", at the end of service->sources; none is ever taken away: one without a camera is
 * told to rest, and to look again when one comes.
 */
#ifndef PF_CAMERAS_H
#define PF_CAMERAS_H

#include <stdbool.h>

#include "config/base/error.h"

struct pf_service;
struct pf_source;
struct pf_cameras;

#define PF_CAMERAS_MAX 32

/* After the sources of the configuration. NULL in *ret: `camera` is none of them. -ENOMEM. */
int pf_cameras_new(struct pf_cameras **ret, struct pf_service *service, struct pf_error *err);
struct pf_cameras *pf_cameras_free(struct pf_cameras *cameras); /* NULL-safe, returns NULL */

void pf_cameras_reap(struct pf_cameras *cameras); /* for every SIGCHLD; NULL-safe, as all below */
void pf_cameras_stop(struct pf_cameras *cameras);
bool pf_cameras_stopped(const struct pf_cameras *cameras);
bool pf_cameras_leave(struct pf_cameras *cameras); /* pf_child_leave() of its process */

#endif
