/* Which memory there is of the device, and of pinned memory of the host, between two stacks: gigabytes of
 * either take long to get, and all that the device does waits for it.
 *
 * A list, which asks no device for anything: pf_cuda_alloc() and its like (runtime.h) do. Used in the
 * worker, by one thread at a time for all queues of a store. Sizes are in bytes.
 */
#ifndef PF_CUDA_STORE_H
#define PF_CUDA_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_cuda_store;
int pf_cuda_store_new(struct pf_cuda_store **ret, struct pf_error *err); /* -ENOMEM */
/* Nothing is left in it. NULL-safe, returns NULL. */
struct pf_cuda_store *pf_cuda_store_free(struct pf_cuda_store *store);

/* The smallest piece that is free and large enough, but not twice as large as is asked for; NULL: none. It
 * holds whatever was left in it. */
void *pf_cuda_store_take(struct pf_cuda_store *store, bool pinned, size_t size);
/* A new piece, in use. -ENOMEM: it stays the caller's. */
int pf_cuda_store_add(struct pf_cuda_store *store, bool pinned, void *memory, size_t size,
                      struct pf_error *err);
/* A piece of the store is free again. */
void pf_cuda_store_put(struct pf_cuda_store *store, void *memory);
/* One that is free leaves the store, and is the caller's; NULL: none is. */
void *pf_cuda_store_drop(struct pf_cuda_store *store, bool *ret_pinned);

/* Whether take() would find all of these, one after the other; 0: nothing is asked for. */
bool pf_cuda_store_has(struct pf_cuda_store *store, bool pinned, const size_t *sizes, int count);
/* What is free of the device's. */
size_t pf_cuda_store_free_bytes(const struct pf_cuda_store *store);

#ifdef __cplusplus
}
#endif

#endif
