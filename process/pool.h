/* A pool of threads that share out the rows of an image.
 *
 * Owned by the worker; pf_pool_run may be called by one thread at a time. The calling thread works
 * too, so a pool of 1 makes no thread. No OpenMP: ThreadSanitizer must be able to follow us.
 */
#ifndef PF_POOL_H
#define PF_POOL_H

#include "config/base/error.h"

struct pf_pool;

/* threads: 0 means one per core this process may use. -ENOMEM, -EAGAIN. */
int pf_pool_new(struct pf_pool **ret, int threads, struct pf_error *err);
struct pf_pool *pf_pool_free(struct pf_pool *pool); /* NULL-safe, returns NULL */
int pf_pool_threads(const struct pf_pool *pool);

/* Calls work(context, begin, end, thread) for pieces of [0, count) of `grain` (the last may be
 * smaller) until all are done; thread is 0..threads-1. Returns when all have returned. A NULL pool
 * runs everything in the caller. */
void pf_pool_run(struct pf_pool *pool, int count, int grain,
                 void (*work)(void *context, int begin, int end, int thread), void *context);

#endif
