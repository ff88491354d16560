/* The worker as a child of the service: from its command line to its end, again and again.
 *
 * Service process, event loop thread; used by the scheduler only, which decides what it is told. This
 * knows its life: what it warms up with, whether it is ready, that it hangs, why it ended, that its GPU
 * failed. A GPU that fails a second time without a stack between is given up: from then on each worker
 * is started without one. A worker that hangs or crashes with a GPU counts as such a failure, unless the
 * scheduler knows better; that one may also take all of it back. A worker that says nothing for
 * `worker_timeout` plus a second for every megapixel in hand while it has work is ended.
 *
 * It logs the life of the worker.
 */
#ifndef PF_WORKER_CHILD_H
#define PF_WORKER_CHILD_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"
#include "config/settings.h"

/* What the end of a worker says of the GPU. */
enum pf_worker_end {
    PF_END_PLAIN,       /* nothing: it ended of itself, or was killed by another's hand */
    PF_END_WITH_GPU,    /* it hung or crashed with one, which may be to blame */
    PF_END_WITHOUT_GPU, /* it hung or crashed on the processor */
};

/* Handlers may tell it something; they must not free it. */
struct pf_worker_handlers {
    void (*started)(void *context);                      /* each time */
    void (*message)(const json_t *event, void *context); /* of its work; borrowed */
    void (*batch)(void *context); /* all that is at hand has been delivered */
    /* All that was in it is lost. why: NULL when that is no fault of what it had in hand: its GPU
     * failed, or it must be started anew to reach a directory. Returns whether the GPU, where it may be
     * to blame, is. */
    bool (*ended)(const char *why, enum pf_worker_end end, void *context);
    void (*changed)(void *context); /* pf_worker_facts() */
};

struct pf_worker;

/* Does not start it. base, settings and context are borrowed and outlive it. -ENOMEM, and errors of the
 * settings that it is given. */
int pf_worker_new(struct pf_worker **ret, struct event_base *base,
                  const struct pf_settings *settings, const struct pf_worker_handlers *handlers,
                  void *context, struct pf_error *err);
struct pf_worker *pf_worker_free(struct pf_worker *worker); /* NULL-safe, returns NULL */

void pf_worker_start(struct pf_worker *worker);
void pf_worker_stop(
    struct pf_worker *worker); /* not started again; no handler is told of its end */
void pf_worker_reap(struct pf_worker *worker); /* for every SIGCHLD */

/* Queues a command, consumed. Negative errno: it has not been taken; -EMSGSIZE: nor will it ever be, as it is too long
 * for a line. A worker that does not read is ended. */
int pf_worker_tell(struct pf_worker *worker, json_t *command);

/* To be called whenever it may have got something to do, or has done it; what it says meanwhile, and not the
 * call, is its sign of life. pixels: that it is at work on. */
void pf_worker_watch(struct pf_worker *worker, bool busy, int64_t pixels);

void pf_worker_healthy(struct pf_worker *worker); /* it has done a frame */
void pf_worker_stacked(struct pf_worker *worker); /* it has done a stack: its GPU works */

/* What has taken it down with a GPU does so without one as well, as its `ended` says: what counted as failures
 * of the GPU is forgotten, and it is used again from the next start on. */
void pf_worker_clear_gpu(struct pf_worker *worker);

bool pf_worker_leave(struct pf_worker *worker); /* pf_child_leave() */
bool pf_worker_running(const struct pf_worker *worker);
bool pf_worker_ready(const struct pf_worker *worker);      /* it has warmed up */
bool pf_worker_takes_work(const struct pf_worker *worker); /* and is not to stop */
/* How long it has had something to do, or has not got ready, without a word of progress; 0 when it has
 * nothing to do. */
int64_t pf_worker_stuck_ms(const struct pf_worker *worker);
/* As service/http/openapi.json has it; new, NULL on out of memory. */
json_t *pf_worker_facts(const struct pf_worker *worker);

#endif
