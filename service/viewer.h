/* Views for people: previews of published stacks, maps in colours, tiles. STATE/views keeps them.
 *
 * Service process, event loop thread. They are made by a second worker (`parfocal process` on the
 * processor, one thread, of low priority), so that no frame waits for them; it is started when the first
 * is asked for and ended when none has been for a while. A view is a file whose name the service makes;
 * what is there already is not made again.
 */
#ifndef PF_VIEWER_H
#define PF_VIEWER_H

#include <event2/event.h>
#include <jansson.h>

#include "config/base/error.h"
#include "config/settings.h"

#define PF_VIEWER_WAITING 256 /* asked for and not made yet; more are refused */

struct pf_viewer;

/* settings (state absolute) and base are borrowed. -ENOMEM, errno of the directory. */
int pf_viewer_new(struct pf_viewer **ret, struct event_base *base,
                  const struct pf_settings *settings, struct pf_error *err);
/* Those who wait are told -ECANCELED. NULL-safe, returns NULL. */
struct pf_viewer *pf_viewer_free(struct pf_viewer *viewer);

/* The view of this name (letters, digits, '.', '-', '_'), made by `command` (consumed; without `cmd`,
 * `view` and `to`) unless it is there. `done` is called once, now or later: r is 0 and the path of the
 * file is given (borrowed), or r is -errno and `path` says why. */
void pf_viewer_ask(struct pf_viewer *viewer, const char *name, json_t *command,
                   void (*done)(int r, const char *path, void *context), void *context);

void pf_viewer_reap(struct pf_viewer *viewer); /* for every SIGCHLD */

#endif
