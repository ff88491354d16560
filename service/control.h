/* The control socket: what a person asks a running service, from another terminal.
 *
 * Service process, event loop thread. STATE/control is a stream socket of the file system that this
 * user alone can open; JSON Lines. A client says one object,
 *     {"cmd": "ask", "source": "camera:..." or absent, "ask": {...}}
 * which is handed to the source's process (absent: the only camera's), and gets its answers until one
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

struct pf_control_handlers {
    /* Hands `ask` (consumed) to a source under the number id. False: there is no such source, and
     * `why` (768 bytes) says so. */
    bool (*ask)(const char *source, int64_t id, json_t *ask, char *why, void *context);
    void (*cancel)(int64_t id, void *context);
};

/* -EADDRINUSE never: what an earlier service left is replaced (the journal's lock keeps others out).
 * base and context are borrowed. errno of socket(2), bind(2). */
int pf_control_new(struct pf_control **ret, struct event_base *base, const char *state,
                   const struct pf_control_handlers *handlers, void *context, struct pf_error *err);
struct pf_control *pf_control_free(struct pf_control *control); /* NULL-safe, returns NULL */

/* What a source has answered; borrowed. */
void pf_control_answer(struct pf_control *control, int64_t id, const json_t *answer);
/* The source that was asked under this number is gone. */
void pf_control_lost(struct pf_control *control, int64_t id);

/* For clients: a connected socket, or -ENOENT, -ECONNREFUSED when no service runs there. */
int pf_control_connect(const char *state, struct pf_error *err);

#endif
