/* The backend that computes on an NVIDIA GPU. A frame stays on the device from its upload until it is
 * part of the stack; what comes back are the sums of the focus measure, and of each alignment a few numbers
 * and what the blocks of a small picture show (process/cpu/likeness.h); where features are asked for, the pictures of
 * light that they are found in. fuse() only queues its work: the next frame's upload runs beside it. */
#include "process/cuda/engine.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The queue, with its nvJPEG: of an engine before this one, where that has left it. */
static int take_queue(struct pf_cuda_engine *engine, struct pf_error *err)
{
    struct pf_cuda_kept *kept = engine->kept;
    if (!kept || !kept->cuda)
        return pf_cuda_new(&engine->cuda, kept ? kept->store : NULL, err);
    engine->cuda = kept->cuda;
    engine->nvjpeg = kept->nvjpeg;
    kept->cuda = NULL;
    kept->nvjpeg = NULL;
    return 0;
}

/* For the next engine, unless one has been left before or something has gone wrong with this one. */
static void leave_queue(struct pf_cuda_engine *engine)
{
    struct pf_cuda_kept *kept = engine->kept;
    if (pf_nvjpeg_has_refused(engine->nvjpeg))
        engine->nvjpeg = pf_nvjpeg_free(engine->nvjpeg);
    if (kept && engine->cuda && !kept->nvjpeg && pf_cuda_wait(engine->cuda, NULL) == 0) {
        struct pf_cuda *before = kept->cuda;
        kept->cuda = engine->cuda;
        kept->nvjpeg = engine->nvjpeg;
        engine->cuda = before;
        engine->nvjpeg = NULL;
    }
    pf_nvjpeg_free(engine->nvjpeg);
    pf_cuda_free(engine->cuda);
}

static void cuda_close(void *opaque)
{
    struct pf_cuda_engine *engine = opaque;
    if (!engine)
        return;
    pf_cuda_alignment_close(&engine->alignment);
    if (engine->cuda) {
        pf_cuda_release(engine->cuda, engine->nodes);
        pf_cuda_give_all(engine);
    }
    leave_queue(engine);
    /* What another one works with is enough for those to come. */
    if (engine->kept && engine->kept->busy) {
        pf_nvjpeg_rest(engine->kept->nvjpeg);
        pf_cuda_give_back(engine->kept->store);
    }
    free(engine);
}

static int cuda_start(void **ret_kept, char *ret_name, size_t size, struct pf_error *err)
{
    struct pf_cuda_device device;
    struct pf_cuda_kept *kept = NULL;
    int r = pf_cuda_device_find(&device, err);
    if (r == 0)
        r = (kept = calloc(1, sizeof(*kept))) != NULL
                ? pf_cuda_store_new(&kept->store, err)
                : pf_fail(err, ENOMEM, "out of memory for the GPU's backend");
    if (r < 0) {
        free(kept);
        if (r != -ENODEV)
            pf_cuda_device_close();
        return r;
    }
    snprintf(ret_name, size, "%s, compute capability %d.%d, %zu of %zu MiB free", device.name,
             device.major, device.minor, device.free_bytes >> 20, device.memory_bytes >> 20);
    *ret_kept = kept;
    return 0;
}

static void cuda_stop(void *opaque)
{
    struct pf_cuda_kept *kept = opaque;
    if (!kept)
        return;
    pf_nvjpeg_free(kept->nvjpeg);
    pf_cuda_free(kept->cuda);
    pf_cuda_give_back(kept->store);
    pf_cuda_store_free(kept->store);
    free(kept);
    pf_cuda_device_close();
}

static int cuda_find_decoder(char *ret_name, size_t size, struct pf_error *err)
{
    struct pf_cuda *cuda = NULL;
    int r = pf_nvjpeg_find(ret_name, size, err);
    if (r == 0)
        r = pf_cuda_new(&cuda, NULL, err);
    if (r == 0 && pf_cuda_shares_memory(cuda))
        r = pf_fail(err, ENOTSUP, "the GPU reads frames in the processor's memory");
    pf_cuda_free(cuda);
    return r;
}

static int cuda_decode(struct pf_image **ret, const struct pf_image *coded, struct pf_error *err)
{
    enum { ALIGNMENT = 256 }; /* of rows, as an engine has them */
    struct pf_cuda *cuda = NULL;
    struct pf_nvjpeg *nvjpeg = NULL;
    struct pf_image *image = NULL;
    struct pf_error lost = {0};
    void *plane[3] = {NULL};
    size_t stride[3] = {0}, rows[3] = {0};
    int r = pf_cuda_new(&cuda, NULL, err);
    if (r == 0)
        r = pf_image_new(&image, coded->width, coded->height, 8, coded->planes,
                         coded->chroma_shift_x, coded->chroma_shift_y, err);
    for (int i = 0; r == 0 && i < coded->planes; i++) {
        stride[i] = (image->stride_bytes[i] + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        rows[i] = (size_t)pf_image_plane_height(image, i);
        r = pf_cuda_alloc(cuda, &plane[i], stride[i] * rows[i], err);
    }
    if (r == 0)
        r = pf_nvjpeg_new(&nvjpeg, cuda, pf_cuda_most_for_nvjpeg(coded->width, coded->height), err);
    if (r == 0)
        r = pf_nvjpeg_decode(nvjpeg, coded, plane, stride, err);
    /* As of a frame: before anything that decoding uses goes away. */
    if (cuda && pf_cuda_wait(cuda, &lost) < 0) {
        pf_error_clear(err);
        r = pf_fail(err, lost.code, "%s", lost.text);
    }
    for (int i = 0; r == 0 && i < coded->planes; i++)
        pf_cuda_download_rows(cuda, image->plane[i], image->stride_bytes[i], plane[i], stride[i],
                              (size_t)pf_image_plane_width(image, i), rows[i]);
    if (r == 0)
        r = pf_cuda_wait(cuda, err);
    nvjpeg = pf_nvjpeg_free(nvjpeg);
    for (int i = 0; cuda && i < 3; i++)
        pf_cuda_release(cuda, plane[i]);
    pf_cuda_free(cuda);
    if (r < 0)
        image = pf_image_free(image);
    *ret = image;
    return r;
}

static int cuda_open(void **ret, const struct pf_stack_settings *settings, struct pf_pool *pool,
                     struct pf_error *err)
{
    struct pf_cuda_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return pf_fail(err, ENOMEM, "out of memory for the engine");
    engine->settings = *settings;
    engine->pool = pool;
    engine->fuser = pf_cpu_fuser(settings->fuse);
    engine->kept = settings->kept;
    int r = take_queue(engine, err);
    if (r == 0)
        r = pf_cuda_alignment_open(&engine->alignment, &engine->settings, pool, engine->cuda, err);
    if (r < 0) {
        cuda_close(engine);
        return r;
    }
    engine->shares_memory = pf_cuda_shares_memory(engine->cuda);
    /* What cannot be had now is asked for again with the first frame, which the processor may take instead. */
    pf_cuda_take_ahead(engine, NULL);
    *ret = engine;
    return 0;
}

/* --- uploading and decoding --- */

struct rows {
    char *to;
    const char *from;
    size_t to_stride, from_stride, row_bytes;
};

static void copy_rows(void *context, int begin, int end, int thread)
{
    const struct rows *rows = context;
    (void)thread;
    for (int y = begin; y < end; y++)
        memcpy(rows->to + (size_t)y * rows->to_stride, rows->from + (size_t)y * rows->from_stride,
               rows->row_bytes);
}

void pf_cuda_copy_rows(struct pf_cuda_engine *engine, char *to, size_t to_stride, const char *from,
                       size_t from_stride, size_t row_bytes, int count)
{
    enum { ROWS = 32 }; /* by a thread at a time */
    struct rows rows = {to, from, to_stride, from_stride, row_bytes};
    pf_pool_run(engine->pool, count, ROWS, copy_rows, &rows);
}

static size_t row_bytes(const struct pf_image *frame, int plane)
{
    return (size_t)pf_image_plane_width(frame, plane) * (size_t)frame->bits / 8;
}

/* One plane through the pinned chunks in turn: while one is copied to the device, the other is filled. */
static int upload_plane(struct pf_cuda_engine *engine, int plane, int *chunk, struct pf_error *err)
{
    const struct pf_image *frame = engine->frame;
    size_t bytes = row_bytes(frame, plane);
    size_t stride = engine->raw.stride_bytes[plane],
           rows_left = pf_image_plane_height(frame, plane);
    size_t rows_per_chunk = engine->chunk_bytes / stride;
    const char *from = frame->plane[plane];
    char *to = engine->plane[plane];
    while (rows_left) {
        size_t rows = rows_left < rows_per_chunk ? rows_left : rows_per_chunk;
        int r = pf_cuda_wait_for(engine->cuda, PF_MARK_CHUNK + *chunk, err);
        if (r < 0)
            return r;
        pf_cuda_copy_rows(engine, engine->chunk[*chunk], stride, from, frame->stride_bytes[plane],
                          bytes, (int)rows);
        pf_cuda_upload_rows(engine->cuda, PF_CUDA_COPIES, to, stride, engine->chunk[*chunk], stride,
                            bytes, rows);
        pf_cuda_mark(engine->cuda, PF_CUDA_COPIES, PF_MARK_CHUNK + *chunk);
        from += rows * frame->stride_bytes[plane];
        to += rows * stride;
        rows_left -= rows;
        *chunk = !*chunk;
    }
    return 0;
}

/* A place on the device for the frame in hand. */
static void take_slot(struct pf_cuda_engine *engine)
{
    engine->slot = (engine->slot + 1) % engine->raw.count;
    for (int plane = 0; plane < engine->shape.planes; plane++) {
        engine->plane[plane] = engine->raw.plane[engine->slot][plane];
        engine->stride_bytes[plane] = engine->raw.stride_bytes[plane];
    }
}

/* A coded frame on the device itself. -EREMOTEIO; all else means that it is to be decoded here. */
static int decode(struct pf_cuda_engine *engine, struct pf_error *err)
{
    struct pf_error lost = {0};
    if (engine->shares_memory)
        return pf_fail(err, ENOTSUP, "the GPU reads frames in the processor's memory");
    int r = pf_cuda_make_room_for_nvjpeg(engine, err);
    if (r < 0)
        return r;
    take_slot(engine);
    /* Not before the last frame in this place has been warped. */
    pf_cuda_wait_in(engine->cuda, PF_CUDA_COPIES, PF_MARK_FREE + engine->slot);
    r = pf_nvjpeg_decode(engine->nvjpeg, engine->frame, engine->plane, engine->stride_bytes, err);
    /* Whatever came of it, the file's bytes are the caller's again, and the device works. */
    if (pf_cuda_wait(engine->cuda, &lost) < 0) {
        pf_error_clear(err);
        return pf_fail(err, lost.code, "%s", lost.text);
    }
    return r;
}

/* Not before the last frame in this place has been warped, either. */
static int copy_to_pinned(struct pf_cuda_engine *engine, struct pf_error *err)
{
    const struct pf_image *frame = engine->frame;
    int r = pf_cuda_wait_for(engine->cuda, PF_MARK_FREE + engine->slot, err);
    for (int plane = 0; r == 0 && plane < frame->planes; plane++)
        pf_cuda_copy_rows(engine, engine->plane[plane], engine->stride_bytes[plane],
                          frame->plane[plane], frame->stride_bytes[plane], row_bytes(frame, plane),
                          pf_image_plane_height(frame, plane));
    return r;
}

static int upload(struct pf_cuda_engine *engine, struct pf_error *err)
{
    int chunk = 0, r = 0;
    take_slot(engine);
    if (engine->raw.in_host)
        return copy_to_pinned(engine, err);
    pf_cuda_wait_in(engine->cuda, PF_CUDA_COPIES, PF_MARK_FREE + engine->slot);
    for (int plane = 0; r == 0 && plane < engine->shape.planes; plane++)
        r = upload_plane(engine, plane, &chunk, err);
    pf_cuda_mark(engine->cuda, PF_CUDA_COPIES, PF_MARK_UPLOADED);
    pf_cuda_wait_in(engine->cuda, PF_CUDA_WORK, PF_MARK_UPLOADED);
    return r;
}

static size_t plane_bytes(const struct pf_image *frame, int plane)
{
    return frame->stride_bytes[plane] * (size_t)pf_image_plane_height(frame, plane);
}

static void unshare(struct pf_cuda_engine *engine)
{
    for (int plane = 0; engine->shares_memory && engine->frame && plane < engine->frame->planes;
         plane++)
        if (engine->plane[plane])
            pf_cuda_unshare(engine->cuda, engine->frame->plane[plane]);
    memset(engine->plane, 0, sizeof(engine->plane));
}

/* The frame in hand is the caller's again. */
static void let_go(struct pf_cuda_engine *engine)
{
    unshare(engine);
    engine->frame = NULL;
}

static int share(struct pf_cuda_engine *engine, struct pf_error *err)
{
    const struct pf_image *frame = engine->frame;
    int r = 0;
    for (int plane = 0; r == 0 && plane < frame->planes; plane++) {
        engine->stride_bytes[plane] = frame->stride_bytes[plane];
        r = pf_cuda_share(engine->cuda, &engine->plane[plane], frame->plane[plane],
                          plane_bytes(frame, plane), err);
    }
    return r;
}

/* The frame's planes where the device sees them. */
static int bring(struct pf_cuda_engine *engine, struct pf_error *err)
{
    struct pf_coded *coded = engine->frame->coded;
    if (coded) {
        struct pf_error refusal = {0};
        int r = decode(engine, &refusal);
        if (r == 0 || r == -EREMOTEIO)
            return r < 0 ? pf_fail(err, -r, "%s", refusal.text) : 0;
        snprintf(coded->refused, sizeof(coded->refused), "%.250s", refusal.text);
        r = pf_image_samples(engine->frame, &engine->frame, err);
        if (r < 0)
            return r;
    }
    if (engine->shares_memory) {
        struct pf_error why = {0};
        int r = share(engine, &why);
        if (r != -EAGAIN)
            return r < 0 ? pf_fail(err, -r, "%s", why.text) : 0;
        /* Memory that cannot be shared: frames are copied from now on, as elsewhere. */
        unshare(engine);
        engine->shares_memory = engine->shape.shares_memory = false;
        r = pf_cuda_make_room_for_copies(engine, err);
        if (r < 0)
            return r;
    }
    return upload(engine, err);
}

/* --- the frame in hand --- */

/* Pictures of light, down to the finest of alignment, which is the frame's from now on. Waits. */
static int make_light(struct pf_cuda_engine *engine, const struct pf_source_plane *luma,
                      double *ret_contrast, struct pf_error *err)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    int halvings = pf_cuda_alignment_halvings(&engine->alignment, luma->width);
    int width = luma->width, height = luma->height;
    float *light = memory->light[0];
    if (halvings == 0) {
        struct pf_cuda_planes samples = {
            .count = 1, .samples = {memory->work[0][0]}, .size = memory->size[0][0]};
        pf_cuda_warp(engine->cuda, &samples, luma, NULL, pf_cuda_resampling(engine));
        pf_cuda_light(engine->cuda, light, samples.samples[0], &samples.size);
    } else {
        pf_cuda_halve_source(engine->cuda, light, luma);
    }
    for (int i = 0; i < halvings; i++) {
        if (i > 0) {
            float *next = memory->light[i % 2];
            pf_cuda_halve(engine->cuda, next, light, width, height);
            light = next;
        }
        width = (width + 1) / 2;
        height = (height + 1) / 2;
    }
    double scale = ldexp(1, halvings);
    return pf_cuda_alignment_take(&engine->alignment, light, width, height, scale, (scale - 1) / 2,
                                  ret_contrast, err);
}

/* What the sums of the device's cells say. */
static void read_cells(struct pf_cuda_engine *engine, struct pf_focus *ret)
{
    struct pf_focus_sums sums[PF_FOCUS_GRID][PF_FOCUS_GRID];
    const int each = PF_CUDA_CELLS / PF_FOCUS_GRID;
    int width = engine->shape.width, height = engine->shape.height;
    memset(sums, 0, sizeof(sums));
    memset(&engine->light, 0, sizeof(engine->light));
    for (int y = 0; y < PF_CUDA_CELLS; y++) {
        int rows = (int)((int64_t)(y + 1) * height / PF_CUDA_CELLS) -
                   (int)((int64_t)y * height / PF_CUDA_CELLS);
        for (int x = 0; x < PF_CUDA_CELLS; x++) {
            int columns = (int)((int64_t)(x + 1) * width / PF_CUDA_CELLS) -
                          (int)((int64_t)x * width / PF_CUDA_CELLS);
            const struct pf_cuda_cell *cell = &engine->cells_of_light->luma[y * PF_CUDA_CELLS + x];
            const struct pf_cuda_colour *colour =
                &engine->cells_of_light->colour[y * PF_CUDA_CELLS + x];
            struct pf_focus_sums *sum = &sums[y / each][x / each];
            if (rows && columns)
                engine->light.cell[PF_LIGHT_LUMA][y][x] =
                    cell->light / ((float)rows * (float)columns);
            for (int c = 0; c < 3; c++)
                engine->light.cell[PF_LIGHT_RED + c][y][x] = colour->light[c];
            engine->light.clipped[y][x] = colour->peak > PF_LIGHT_CLIPPED;
            sum->laplacian += (double)cell->laplacian;
            sum->laplacian_squared += (double)cell->laplacian_squared;
            sum->tenengrad += (double)cell->tenengrad;
            sum->modified_laplacian += (double)cell->modified_laplacian;
            sum->along += (double)cell->along;
            sum->aslant += (double)cell->aslant;
        }
    }
    pf_focus_of_cells(ret, sums, width, height);
}

int pf_cuda_bring(struct pf_cuda_engine *engine, const struct pf_image *frame, struct pf_error *err)
{
    let_go(engine);
    int r = pf_cuda_make_room(engine, frame, err);
    if (r < 0)
        return r;
    engine->frame = frame;
    return bring(engine, err);
}

int pf_cuda_see(struct pf_cuda_engine *engine, struct pf_focus *ret_focus, double *ret_contrast,
                struct pf_error *err)
{
    struct pf_source_plane luma = pf_cuda_source(engine, 0, 1);
    struct pf_cuda_frame all = {
        .luma = engine->plane[0],
        .cb = engine->plane[1],
        .cr = engine->plane[2],
        .luma_stride = engine->stride_bytes[0],
        .cb_stride = engine->stride_bytes[1],
        .cr_stride = engine->stride_bytes[2],
        .width = luma.width,
        .height = luma.height,
        .planes = engine->shape.planes,
        .bits = engine->shape.bits,
        .shift_x = engine->shape.chroma_shift_x,
        .shift_y = engine->shape.chroma_shift_y,
    };
    struct pf_cuda_cells *cells = engine->memory.cells_of_light;
    pf_cuda_measure(engine->cuda, &luma, cells->luma);
    pf_cuda_see_colours(engine->cuda, &all, cells->colour);
    pf_cuda_download(engine->cuda, engine->cells_of_light, cells, sizeof(*cells));
    int r = make_light(engine, &luma, ret_contrast, err);
    if (r < 0)
        return r;
    read_cells(engine, ret_focus);
    pf_cuda_alignment_measure(&engine->alignment, ret_focus);
    return 0;
}

static int cuda_load(void *opaque, const struct pf_image *frame, struct pf_look *look,
                     struct pf_focus *ret_focus, double *ret_contrast, struct pf_error *err)
{
    (void)look;
    int r = pf_cuda_bring(opaque, frame, err);
    return r < 0 ? r : pf_cuda_see(opaque, ret_focus, ret_contrast, err);
}

static void cuda_keep(void *opaque)
{
    struct pf_cuda_engine *engine = opaque;
    pf_cuda_alignment_keep(&engine->alignment);
    let_go(engine);
}

static void cuda_drop(void *opaque)
{
    let_go(opaque);
}

/* --- alignment --- */

static int make_stack_view(struct pf_cuda_engine *engine, struct pf_error *err)
{
    const struct pf_cuda_memory *memory = &engine->memory;
    int level = pf_cuda_view_level(engine);
    const struct pf_cuda_grid *size = &memory->size[0][level];
    pf_cuda_collapse_plane(engine, 0, level);
    pf_cuda_light(engine->cuda, memory->light[0], memory->work[0][level], size);
    return pf_cuda_alignment_view(&engine->alignment, memory->light[0], size->width, size->height,
                                  ldexp(1, level), 0, err);
}

static int cuda_align(void *opaque, enum pf_target target, bool search, double h[9],
                      struct pf_fit *ret, struct pf_error *err)
{
    struct pf_cuda_engine *engine = opaque;
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0 ? r : pf_cuda_alignment_align(&engine->alignment, target, search, h, ret, err);
}

static int cuda_match(void *opaque, enum pf_features_kind kind, enum pf_target target, double h[9],
                      struct pf_fit *ret, struct pf_features_fit *ret_count, struct pf_error *err)
{
    struct pf_cuda_engine *engine = opaque;
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0
               ? r
               : pf_cuda_alignment_match(&engine->alignment, kind, target, h, ret, ret_count, err);
}

static int cuda_deform(void *opaque, enum pf_target target, const struct pf_warp *start,
                       struct pf_field **ret_field, struct pf_fit *ret, struct pf_error *err)
{
    struct pf_cuda_engine *engine = opaque;
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0 ? r
                 : pf_cuda_alignment_deform(&engine->alignment, target, engine->shape.width,
                                            engine->shape.height, start, ret_field, ret, err);
}

static int cuda_compare_light(void *opaque, const double h[9], struct pf_light_match *ret,
                              struct pf_error *err)
{
    struct pf_cuda_engine *engine = opaque;
    *ret = (struct pf_light_match){1, {1, 1, 1}};
    if (!engine->fused)
        return 0;
    return pf_light_compare(&engine->reference_light, &engine->light, h, engine->shape.width,
                            engine->shape.height, engine->shape.planes == 3, ret, err);
}

const struct pf_backend pf_backend_cuda = {
    .name = "cuda",
    .start = cuda_start,
    .stop = cuda_stop,
    .driver_least = pf_cuda_driver_least,
    .find_decoder = cuda_find_decoder,
    .decode = cuda_decode,
    .open = cuda_open,
    .close = cuda_close,
    .load = cuda_load,
    .align = cuda_align,
    .match = cuda_match,
    .has_syn = true,
    .deform = cuda_deform,
    .compare_light = cuda_compare_light,
    .fuse = pf_cuda_fuse,
    .keep = cuda_keep,
    .drop = cuda_drop,
    .preview = pf_cuda_preview,
    .finish = pf_cuda_finish,
    .map = pf_cuda_map_of,
};
