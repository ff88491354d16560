/* The engine's memory: what goes by the frames' size is asked for when the first frame is there, as much of it as
 * there is room for. */
#include <errno.h>
#include <stdio.h>

#include "process/cuda/engine.h"
#include "process/room.h"

/* A chunk has so many bytes, or a row's; used are as many as a part of a plane of 16 bits has. */
#define CHUNK_PARTS 4
#define CHUNK_BYTES ((size_t)8 << 20)

/* What nvJPEG may take for a picture, on either side: coefficients and planes of three components have
 * 9 bytes a pixel. */
#define NVJPEG_PIXEL_BYTES 16
#define NVJPEG_BYTES       ((size_t)64 << 20)

#define SPARE_PICTURES 14 /* of light: four pyramids and what correlation works with */

static int take_raw(struct pf_cuda_engine *engine, enum pf_cuda_thrift thrift, struct pf_error *err)
{
    struct pf_cuda_bytes bytes = pf_cuda_lay_out_raw(&engine->raw, &engine->shape, thrift, NULL);
    int r = 0;
    if (bytes.device)
        r = pf_cuda_alloc(engine->cuda, &engine->raw_arena, bytes.device, err);
    else if (bytes.host)
        r = pf_cuda_alloc_pinned(engine->cuda, &engine->raw_arena, bytes.host, err);
    if (r == 0)
        pf_cuda_lay_out_raw(&engine->raw, &engine->shape, thrift, engine->raw_arena);
    return r;
}

static void give_raw(struct pf_cuda_engine *engine)
{
    if (engine->raw.in_host)
        pf_cuda_release_pinned(engine->cuda, engine->raw_arena);
    else
        pf_cuda_release(engine->cuda, engine->raw_arena);
    engine->raw_arena = NULL;
}

void pf_cuda_give_memory(struct pf_cuda_engine *engine)
{
    engine->fits_nvjpeg = false;
    if (engine->kept && engine->arena)
        engine->kept->busy--;
    give_raw(engine);
    pf_cuda_release(engine->cuda, engine->arena);
    pf_cuda_release_pinned(engine->cuda, engine->sums);
    engine->arena = engine->sums = NULL;
}

static void give_chunks(struct pf_cuda_engine *engine)
{
    for (int i = 0; i < 2; i++) {
        pf_cuda_release_pinned(engine->cuda, engine->chunk[i]);
        engine->chunk[i] = NULL;
    }
    engine->chunk_room = 0;
}

static int take_chunks(struct pf_cuda_engine *engine, size_t bytes, struct pf_error *err)
{
    int r = 0;
    if (bytes <= engine->chunk_room)
        return 0;
    give_chunks(engine);
    for (int i = 0; r == 0 && i < 2; i++) {
        void *chunk = NULL;
        r = pf_cuda_alloc_pinned(engine->cuda, &chunk, bytes, err);
        engine->chunk[i] = chunk;
    }
    if (r == 0)
        engine->chunk_room = bytes;
    return r;
}

int pf_cuda_take_ahead(struct pf_cuda_engine *engine, struct pf_error *err)
{
    void *cells = engine->cells_of_light;
    int r = cells
                ? 0
                : pf_cuda_alloc_pinned(engine->cuda, &cells, sizeof(*engine->cells_of_light), err);
    engine->cells_of_light = cells;
    return r == 0 && !engine->shares_memory ? take_chunks(engine, CHUNK_BYTES, err) : r;
}

void pf_cuda_give_all(struct pf_cuda_engine *engine)
{
    pf_cuda_give_memory(engine);
    give_chunks(engine);
    pf_cuda_release_pinned(engine->cuda, engine->cells_of_light);
    engine->cells_of_light = NULL;
}

int pf_cuda_view_level(struct pf_cuda_engine *engine)
{
    int level = pf_cuda_alignment_halvings(&engine->alignment, engine->shape.width);
    return level > engine->memory.levels ? engine->memory.levels : level;
}

/* What alignment takes when it knows the pictures. */
static size_t spare_bytes(struct pf_cuda_engine *engine)
{
    const struct pf_cuda_grid *view = &engine->memory.size[0][pf_cuda_view_level(engine)];
    return ((size_t)1 << 18) +
           SPARE_PICTURES * sizeof(float) * (size_t)view->width * (size_t)view->height;
}

static void give_back(struct pf_cuda_engine *engine)
{
    pf_cuda_give_back(engine->kept ? engine->kept->store : NULL);
}

/* All that frames of this kind need with a thrift. */
static int take_with(struct pf_cuda_engine *engine, enum pf_cuda_thrift thrift,
                     struct pf_error *err)
{
    struct pf_cuda_bytes bytes =
        pf_cuda_lay_out(&engine->memory, &engine->shape, thrift, NULL, NULL);
    int r = pf_cuda_alloc(engine->cuda, &engine->arena, bytes.device, err);
    if (r == 0 && engine->kept)
        engine->kept->busy++;
    if (r == 0 && bytes.host)
        r = pf_cuda_alloc_pinned(engine->cuda, &engine->sums, bytes.host, err);
    if (r == 0)
        r = take_raw(engine, thrift, err);
    if (r == 0)
        pf_cuda_lay_out(&engine->memory, &engine->shape, thrift, engine->arena, engine->sums);
    return r;
}

static int look_for_spare_room(struct pf_cuda_engine *engine, struct pf_error *err)
{
    void *spare = NULL;
    int r = pf_cuda_alloc(engine->cuda, &spare, spare_bytes(engine), err);
    pf_cuda_release(engine->cuda, spare);
    return r;
}

/* What a thrift needs: of the device alignment's as well. `memory` and `raw` have the sizes then. */
static size_t needed(struct pf_cuda_engine *engine, enum pf_cuda_thrift thrift,
                     struct pf_cuda_bytes ret[2])
{
    ret[0] = pf_cuda_lay_out(&engine->memory, &engine->shape, thrift, NULL, NULL);
    ret[1] = pf_cuda_lay_out_raw(&engine->raw, &engine->shape, thrift, NULL);
    return ret[0].device + ret[1].device + spare_bytes(engine);
}

/* Whether the memory that other stacks have left is enough, with the least thrift that there is room for. A
 * device that shares the host's memory has more than it knows of. */
static bool find_kept(struct pf_cuda_engine *engine, enum pf_cuda_thrift *ret)
{
    struct pf_cuda_store *store = engine->kept ? engine->kept->store : NULL;
    for (int thrift = PF_CUDA_AMPLE; store && thrift < PF_CUDA_THRIFTS; thrift++) {
        struct pf_cuda_bytes bytes[2];
        if (needed(engine, thrift, bytes) >
                pf_cuda_free_bytes() + pf_cuda_store_free_bytes(store) &&
            !pf_cuda_shares_memory(engine->cuda))
            continue;
        const size_t device[2] = {bytes[0].device, bytes[1].device};
        const size_t host[2] = {bytes[0].host, bytes[1].host};
        *ret = thrift;
        return pf_cuda_store_has(store, false, device, 2) &&
               pf_cuda_store_has(store, true, host, 2);
    }
    return false;
}

/* What a thrift has the host pin is no more than the host may take for pictures. */
static int ask_host(struct pf_cuda_engine *engine, enum pf_cuda_thrift thrift, struct pf_error *err)
{
    struct pf_cuda_bytes bytes[2];
    struct pf_room_state room;
    needed(engine, thrift, bytes);
    size_t host = bytes[0].host + bytes[1].host;
    pf_room_look(&room);
    int64_t left = room.limit_bytes - room.memory_bytes;
    if (host == 0 || (int64_t)host <= left)
        return 0;
    return pf_fail(
        err, ENOMEM,
        "the GPU has no room for frames of %d x %d, nor has the host for the %zu MiB that "
        "it lacks: %lld MiB are left",
        engine->shape.width, engine->shape.height, (host >> 20) + 1,
        (long long)(left > 0 ? left >> 20 : 0));
}

/* All that frames of this kind need, with less to spare where there is less room. */
static int take_device_memory(struct pf_cuda_engine *engine, struct pf_error *err)
{
    enum pf_cuda_thrift kept;
    if (find_kept(engine, &kept))
        return take_with(engine, kept, err);
    /* Frames come first. */
    pf_nvjpeg_rest(engine->nvjpeg);
    if (engine->kept)
        pf_nvjpeg_rest(engine->kept->nvjpeg);
    int r = -ENOMEM;
    for (int thrift = PF_CUDA_AMPLE; thrift < PF_CUDA_THRIFTS && r == -ENOMEM; thrift++) {
        pf_error_clear(err);
        give_back(engine);
        r = ask_host(engine, thrift, err);
        if (r == 0)
            r = take_with(engine, thrift, err);
        if (r == 0)
            r = look_for_spare_room(engine, err);
        if (r < 0)
            pf_cuda_give_memory(engine);
    }
    give_back(engine);
    if (r != -ENOMEM)
        return r;
    struct pf_cuda_bytes bytes[2];
    size_t most = needed(engine, PF_CUDA_THRIFTS - 1, bytes), free_bytes = pf_cuda_free_bytes();
    if (most > free_bytes) {
        pf_error_clear(err);
        return pf_fail(err, ENOMEM,
                       "the GPU has no room: frames of %d x %d need %zu MiB at the least, %zu MiB "
                       "are free",
                       engine->shape.width, engine->shape.height, (most >> 20) + 1,
                       free_bytes >> 20);
    }
    return r;
}

static struct pf_cuda_shape shape_of(const struct pf_cuda_engine *engine,
                                     const struct pf_image *frame)
{
    return (struct pf_cuda_shape){.width = frame->width,
                                  .height = frame->height,
                                  .planes = frame->planes,
                                  .bits = frame->bits,
                                  .chroma_shift_x = frame->chroma_shift_x,
                                  .chroma_shift_y = frame->chroma_shift_y,
                                  .fuse = engine->settings.fuse,
                                  .maps = engine->settings.depth,
                                  .clip = engine->settings.clip > 0,
                                  .shares_memory = engine->shares_memory};
}

/* What frames of this size go through the chunks by: a row at the least. */
static int fit_chunks(struct pf_cuda_engine *engine, struct pf_error *err)
{
    size_t row_bytes = 3 * (size_t)engine->shape.width + 4096;
    size_t part_bytes =
        2 * (size_t)engine->shape.width * (size_t)engine->shape.height / CHUNK_PARTS;
    engine->chunk_bytes = part_bytes < CHUNK_BYTES ? part_bytes : CHUNK_BYTES;
    if (engine->chunk_bytes < row_bytes)
        engine->chunk_bytes = row_bytes;
    return take_chunks(engine, engine->chunk_bytes, err);
}

static int prepare(struct pf_cuda_engine *engine, const struct pf_image *frame,
                   struct pf_error *err)
{
    if (frame->height > PF_CUDA_MOST_ROWS)
        return pf_fail(err, ENOMEM, "the GPU has no room: %d rows, %d are possible", frame->height,
                       PF_CUDA_MOST_ROWS);
    engine->shape = shape_of(engine, frame);
    engine->weighing =
        pf_weighing_for(engine->fuser->weighing, engine->shape.width, engine->shape.height);
    int r = take_device_memory(engine, err);
    if (r == 0)
        r = pf_cuda_take_ahead(engine, err);
    if (r == 0 && !engine->shares_memory)
        r = fit_chunks(engine, err);
    if (r < 0)
        return r;
    pf_kernels(0); /* fills the tables */
    pf_cuda_clear(engine);
    return pf_cuda_wait(engine->cuda, err);
}

int pf_cuda_make_room(struct pf_cuda_engine *engine, const struct pf_image *frame,
                      struct pf_error *err)
{
    struct pf_cuda_shape shape = shape_of(engine, frame);
    const struct pf_cuda_shape *known = &engine->shape;
    if (!engine->arena || shape.width != known->width || shape.height != known->height ||
        shape.planes != known->planes || shape.chroma_shift_x != known->chroma_shift_x ||
        shape.chroma_shift_y != known->chroma_shift_y) {
        pf_cuda_give_memory(engine);
        return prepare(engine, frame, err);
    }
    engine->shape.bits = shape.bits;
    if (shape.bits <= engine->raw.bits || engine->shares_memory)
        return 0;
    give_raw(engine);
    return take_raw(engine, engine->memory.thrift, err);
}

int pf_cuda_make_room_for_copies(struct pf_cuda_engine *engine, struct pf_error *err)
{
    int r = take_raw(engine, engine->memory.thrift, err);
    return r < 0 ? r : fit_chunks(engine, err);
}

size_t pf_cuda_most_for_nvjpeg(int width, int height)
{
    return NVJPEG_BYTES + NVJPEG_PIXEL_BYTES * (size_t)width * (size_t)height;
}

int pf_cuda_make_room_for_nvjpeg(struct pf_cuda_engine *engine, struct pf_error *err)
{
    size_t most = pf_cuda_most_for_nvjpeg(engine->shape.width, engine->shape.height);
    size_t needs = most + spare_bytes(engine);
    struct pf_room_state room;
    if (engine->fits_nvjpeg)
        return 0;
    if (engine->nvjpeg)
        pf_nvjpeg_limit(engine->nvjpeg, most);
    size_t left = pf_cuda_free_bytes() + pf_nvjpeg_holds(engine->nvjpeg, false);
    if (engine->kept)
        left += pf_cuda_store_free_bytes(engine->kept->store);
    /* Where frames lie in the host's memory, the device has none to spare. */
    if (left < needs || engine->raw.in_host)
        return pf_fail(err, ENOTSUP, "the GPU has no room for nvJPEG: %zu MiB are needed, %zu free",
                       needs >> 20, left >> 20);
    pf_room_look(&room);
    if (room.limit_bytes - room.memory_bytes + (int64_t)pf_nvjpeg_holds(engine->nvjpeg, true) <
        (int64_t)most)
        return pf_fail(err, ENOTSUP, "the host has no room for nvJPEG: %zu MiB are needed",
                       most >> 20);
    int r = engine->nvjpeg ? 0 : pf_nvjpeg_new(&engine->nvjpeg, engine->cuda, most, err);
    engine->fits_nvjpeg = r == 0;
    return r;
}
