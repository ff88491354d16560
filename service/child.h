/* A child process that talks JSON Lines with the service, and is started again when it dies.
 *
 * Service process, event loop thread only. The child is this same binary (/proc/self/exe) with the
 * given arguments; a socket pair is its standard input and output, standard error is inherited. It
 * runs in a process group of its own, so that Ctrl-C in a terminal reaches the service alone, and
 * it is killed by the kernel when the service dies (PR_SET_PDEATHSIG), and before the service when
 * memory runs out (oom_score_adj).
 *
 * A child that ends, for whatever reason, is started again after a back-off of 0.5 s doubling to
 * 30 s; pf_child_healthy() takes the back-off to its start. Everything a dying child has written is
 * delivered before `ended` is called.
 */
#ifndef PF_CHILD_H
#define PF_CHILD_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/base/error.h"

#define PF_CHILD_QUEUE_MAX                                                                         \
    (16u << 20) /* bytes waiting to be read by the child, and one long line */
#define PF_CHILD_BACKOFF_MS     500
#define PF_CHILD_BACKOFF_MAX_MS 30000

/* Handlers may send, kill and stop; they must not free the child. */
struct pf_child_handlers {
    void (*started)(void *context);                       /* each time; sending is possible */
    void (*message)(const json_t *object, void *context); /* borrowed */
    void (*batch)(void *context);   /* all messages at hand have been delivered */
    void (*drained)(void *context); /* all that was sent has been taken; may be NULL */
    /* why: one line such as "killed by signal 9"; retry_ms < 0: it will not be started again */
    void (*ended)(const char *why, int retry_ms, void *context);
};

struct pf_child;

/* arguments: NULL-terminated, without the program's name; copied. Does not start it.
 * `base` and `context` are borrowed and outlive the child. -ENOMEM. */
int pf_child_new(struct pf_child **ret, struct event_base *base, const char *const *arguments,
                 const struct pf_child_handlers *handlers, void *context, struct pf_error *err);

/* One argument more, from the next start on. -ENOMEM. */
int pf_child_add_argument(struct pf_child *child, const char *argument);
/* The last one that is equal goes again, from the next start on. */
void pf_child_remove_argument(struct pf_child *child, const char *argument);

/* It can be spared: it gives way to others (nice(2)), and goes before them when memory runs out. From the next
 * start on. */
void pf_child_set_minor(struct pf_child *child);

/* How long it may take to end in order, when it is stopped; 2 s else. */
void pf_child_set_grace(struct pf_child *child, int64_t grace_ms);

/* Kills and reaps what still runs, or leaves it, which takes two seconds. NULL-safe, returns NULL. */
struct pf_child *pf_child_free(struct pf_child *child);

/* Starts now; when that fails (EAGAIN, EMFILE, ...), `ended` is called and it is tried again. */
void pf_child_start(struct pf_child *child);

/* Queues one object, consumed also on failure. -ENOTCONN when it does not run, -ENOBUFS when
 * PF_CHILD_QUEUE_MAX is reached, -ENOMEM. */
int pf_child_send(struct pf_child *child, json_t *object);
size_t pf_child_queued_bytes(const struct pf_child *child);

/* Stops or resumes reading what it says (back-pressure; the child then blocks in write). */
void pf_child_pause(struct pf_child *child, bool paused);

/* To be called for every SIGCHLD. */
void pf_child_reap(struct pf_child *child);

bool pf_child_ended_by_signal(
    const struct pf_child *child); /* last time: it crashed, or was killed */
/* Whether its last end was another's doing: killed, and not by us. */
bool pf_child_ended_from_outside(const struct pf_child *child);
void pf_child_healthy(struct pf_child *child);
void pf_child_kill(struct pf_child *child); /* SIGKILL; it is started again */
/* The same for what is no fault of its own: its end counts as another's doing. */
void pf_child_restart(struct pf_child *child);
void pf_child_stop(
    struct pf_child *child); /* SIGTERM, SIGKILL after its grace; not started again */
bool pf_child_running(const struct pf_child *child);
/* After a stop: where it still runs, that is said, it counts as ended, and true is returned. whose:
 * for people. */
bool pf_child_leave(struct pf_child *child, const char *whose);

#endif
