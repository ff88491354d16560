/* Work that may block for minutes (a file on a mount that is gone), done by threads.
 *
 * Service process; called from the event loop's thread. `run` is called in one of a few threads, with
 * nothing of the service but its own context; `done` in the event loop's thread, once for every piece
 * of work, in any order. When all threads hang, what is handed over waits, and beyond PF_WORK_MAX it is
 * refused.
 */
#ifndef PF_HTTP_WORK_H
#define PF_HTTP_WORK_H

#include <event2/event.h>

#include "config/base/error.h"

#define PF_WORK_MAX 256

struct pf_work;

/* -ENOMEM, -EAGAIN. */
int pf_work_new(struct pf_work **ret, struct event_base *base, struct pf_error *err);
/* What has not begun is dropped (`done` is called for it, and for what has ended); threads that hang are
 * left behind with their contexts, after two seconds. NULL-safe, returns NULL. */
struct pf_work *pf_work_free(struct pf_work *work);

/* -EBUSY: PF_WORK_MAX wait already; -ENOMEM; `done` is not called then. */
int pf_work_add(struct pf_work *work, void (*run)(void *context), void (*done)(void *context),
                void *context);

#endif
