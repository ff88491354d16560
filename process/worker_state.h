/* What the two halves of the worker share: worker.c, its life and what it reads, and worker_bursts.c, what it does
 * with bursts. Included by these alone.
 */
#ifndef PF_WORKER_STATE_H
#define PF_WORKER_STATE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "process/burst.h"
#include "process/confine.h"
#include "process/device.h"
#include "process/pipeline.h"
#include "process/pool.h"
#include "process/results.h"
#include "process/view.h"

struct open_burst {
    struct open_burst *next;
    char *name;
    struct pf_burst *burst;
    struct pf_results *ahead; /* what of its result is written already; NULL nothing */
};

struct worker {
    struct pf_settings settings; /* constant once running, as the next */
    struct pf_decode_limits limits;
    struct pf_device device;
    struct pf_pool *pool;
    struct pf_pipeline *pipeline;
    struct pf_views *views;    /* engine thread; NULL before the first one */
    struct open_burst *bursts; /* engine thread only */
    const json_t *in_hand;     /* engine thread: the `add` whose frame it is at; NULL none */
    double begin_ms, told_ms;  /* engine thread: since when, and when its progress was told last */
    struct pf_confine confine;
    atomic_bool thumbless; /* trouble with thumbnails has been told */
};

/* Any thread. `event` is consumed; its "event" and "burst" are added; command: borrowed, may be NULL. Where it cannot be
 * said, the process ends. */
void pf_process_send(const char *name, const json_t *command, json_t *event);
/* Does not return where the directory is beyond the worker by now. */
void pf_process_end_if_confined(const char *dir);

/* The following: engine thread, or the last one that there is. Where in the list the command's burst is; *NULL: it is not open. */
struct open_burst **pf_process_find(struct worker *worker, const json_t *command);
void pf_process_close(struct open_burst **at);
/* -EINVAL when it is not open. */
int pf_process_require(struct worker *worker, const json_t *command, struct open_burst **ret,
                       struct pf_error *err);

/* The commands of PROTOCOL.md; `finish` with `ahead` is `prepare`. Errors are the sender's to be told. */
int pf_process_open(struct worker *worker, const json_t *command, struct pf_error *err);
int pf_process_preview(struct worker *worker, const json_t *command, struct pf_error *err);
int pf_process_finish(struct worker *worker, const json_t *command, bool ahead,
                      struct pf_error *err);

#endif
