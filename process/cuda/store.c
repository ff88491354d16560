#include "process/cuda/store.h"

#include <errno.h>
#include <stdlib.h>

#include "config/base/array.h"

struct piece {
    void *memory;
    size_t size;
    bool pinned, used;
};

struct pf_cuda_store {
    struct piece *pieces;
    size_t count, capacity;
};

int pf_cuda_store_new(struct pf_cuda_store **ret, struct pf_error *err)
{
    struct pf_cuda_store *store = calloc(1, sizeof(*store));
    if (!store)
        return pf_fail(err, ENOMEM, "out of memory for a list of the GPU's");
    *ret = store;
    return 0;
}

struct pf_cuda_store *pf_cuda_store_free(struct pf_cuda_store *store)
{
    if (store)
        free(store->pieces);
    free(store);
    return NULL;
}

void *pf_cuda_store_take(struct pf_cuda_store *store, bool pinned, size_t size)
{
    struct piece *best = NULL;
    for (size_t i = 0; i < store->count; i++) {
        struct piece *piece = &store->pieces[i];
        if (!piece->used && piece->pinned == pinned && piece->size >= size &&
            piece->size / 2 < size && (!best || piece->size < best->size))
            best = piece;
    }
    if (!best)
        return NULL;
    best->used = true;
    return best->memory;
}

int pf_cuda_store_add(struct pf_cuda_store *store, bool pinned, void *memory, size_t size,
                      struct pf_error *err)
{
    struct piece *pieces =
        pf_with_room(store->pieces, &store->capacity, store->count, 1, sizeof(*pieces));
    if (!pieces)
        return pf_fail(err, ENOMEM, "out of memory for a list of the GPU's");
    store->pieces = pieces;
    pieces[store->count++] = (struct piece){memory, size, pinned, true};
    return 0;
}

void pf_cuda_store_put(struct pf_cuda_store *store, void *memory)
{
    for (size_t i = 0; i < store->count; i++)
        if (store->pieces[i].memory == memory)
            store->pieces[i].used = false;
}

void *pf_cuda_store_drop(struct pf_cuda_store *store, bool *ret_pinned)
{
    for (size_t i = 0; i < store->count; i++) {
        struct piece piece = store->pieces[i];
        if (piece.used)
            continue;
        store->pieces[i] = store->pieces[--store->count];
        *ret_pinned = piece.pinned;
        return piece.memory;
    }
    return NULL;
}

bool pf_cuda_store_has(struct pf_cuda_store *store, bool pinned, const size_t *sizes, int count)
{
    if (count == 0)
        return true;
    if (sizes[0] == 0)
        return pf_cuda_store_has(store, pinned, sizes + 1, count - 1);
    void *memory = pf_cuda_store_take(store, pinned, sizes[0]);
    if (!memory)
        return false;
    bool has = pf_cuda_store_has(store, pinned, sizes + 1, count - 1);
    pf_cuda_store_put(store, memory);
    return has;
}

size_t pf_cuda_store_free_bytes(const struct pf_cuda_store *store)
{
    size_t bytes = 0;
    for (size_t i = 0; i < store->count; i++)
        if (!store->pieces[i].used && !store->pieces[i].pinned)
            bytes += store->pieces[i].size;
    return bytes;
}
