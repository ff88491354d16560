/* The control socket: what a person asks a running service, from another terminal.
 *
 * Service process, event loop thread. STATE/control is a stream socket of the file system that this
 * user alone can open; JSON Lines. A client says one object,
 *     {"cmd": "ask", "source": "camera:..." or absent, "ask": {...}}
 * which is handed to the source's process (service/asking.h; absent: the only camera's), and gets its
 * answers until one
 * has "done": true. {"cmd": "cancel"} cancels what it has asked for, and so does going away first.
 */
#ifndef PF_CONTROL_H
#define PF_CONTROL_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"

#define PF_CONTROL_NAME "control" /* in the state directory */

struct pf_control;

struct pf_service;

/* What an earlier service left is replaced (the journal's lock keeps others out).
 * base and service are borrowed. Errors: those of pf_local_listen(). */
int pf_control_new(struct pf_control **ret, struct event_base *base, const char *state,
                   struct pf_service *service, struct pf_error *err);
struct pf_control *pf_control_free(struct pf_control *control); /* NULL-safe, returns NULL */

/* For clients: a connected socket, or -ENOENT, -ECONNREFUSED when no service runs there. */
int pf_control_connect(const char *state, struct pf_error *err);

#endif
