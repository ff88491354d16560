/* Fusing one frame: memory, warp, and the method that takes each plane. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/cpu/fuse.h"
#include "process/homography.h"
#include "process/room.h"

const struct pf_fuser *pf_cpu_fuser(enum pf_fuse fuse)
{
    static const struct pf_fuser *const fusers[] = {
        [PF_FUSE_PYRAMID] = &pf_fuser_pyramid,
        [PF_FUSE_SOFT_DEPTH] = &pf_fuser_soft_depth,
        [PF_FUSE_AVERAGE] = &pf_fuser_average,
    };
    return fusers[fuse];
}

struct pf_source_plane pf_cpu_source(const struct pf_image *frame, int plane, double gain)
{
    double white = frame->bits == 8 ? 255 : 65535;
    return (struct pf_source_plane){
        .samples = frame->plane[plane],
        .stride_bytes = frame->stride_bytes[plane],
        .width = pf_image_plane_width(frame, plane),
        .height = pf_image_plane_height(frame, plane),
        .bits = frame->bits,
        .scale = (float)(PF_WHITE / white * gain),
        .offset = plane ? (frame->bits == 8 ? 128.0f : 32768.0f) : 0,
    };
}

/* --- memory --- */

int pf_fuse_levels(int width, int height)
{
    int longer = width > height ? width : height, shorter = width > height ? height : width;
    int levels = 6;
    while (levels < PF_CPU_MAX_LEVELS && longer >> (levels + 1) >= 24)
        levels++;
    while (levels > 1 && shorter >> levels < 2)
        levels--;
    return levels;
}

void *pf_arena_take(struct pf_arena *arena, size_t count, size_t size)
{
    void *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += (count * size + 63) / 64 * 64;
    return piece;
}

struct filling {
    char *to;
    size_t size_bytes;
    float value;
};

#define PIECE_BYTES ((size_t)1 << 20)

static void fill_pieces(void *context, int begin, int end, int thread)
{
    const struct filling *filling = context;
    (void)thread;
    size_t from = (size_t)begin * PIECE_BYTES, to = (size_t)end * PIECE_BYTES;
    to = to < filling->size_bytes ? to : filling->size_bytes;
    if (filling->value == 0) {
        memset(filling->to + from, 0, to - from);
        return;
    }
    float *out = (float *)(filling->to + from);
    for (size_t i = 0; i < (to - from) / sizeof(*out); i++)
        out[i] = filling->value;
}

void pf_fuse_fill(struct pf_cpu_engine *engine, void *to, size_t size_bytes, float value)
{
    struct filling filling = {to, size_bytes, value};
    int pieces = (int)((size_bytes + PIECE_BYTES - 1) / PIECE_BYTES);
    pf_pool_run(engine->pool, pieces, 1, fill_pieces, &filling);
}

static void lay_out(struct pf_cpu_engine *engine, struct pf_arena *arena)
{
    engine->fuser->lay_out(engine, arena);
    for (int level = 0; level <= engine->levels + 1; level++)
        engine->work[level] =
            pf_arena_take(arena, pf_samples_of(engine->size[0][level]), sizeof(int16_t));
    engine->scratch =
        pf_arena_take(arena, (size_t)pf_pool_threads(engine->pool), engine->scratch_bytes);
}

/* As its frame's sizes say. */
static void set_sizes(struct pf_cpu_engine *engine)
{
    const struct pf_image *frame = engine->frame;
    engine->planes = frame->planes;
    engine->chroma_shift_x = frame->chroma_shift_x;
    engine->chroma_shift_y = frame->chroma_shift_y;
    engine->levels = pf_fuse_levels(frame->width, frame->height);
    engine->weighing = pf_weighing_for(engine->fuser->weighing, frame->width, frame->height);
    for (int plane = 0; plane < frame->planes; plane++) {
        engine->size[plane][0] = (struct pf_grid){pf_image_plane_width(frame, plane),
                                                  pf_image_plane_height(frame, plane)};
        for (int level = 1; level <= engine->levels + 1; level++)
            engine->size[plane][level] = pf_half(engine->size[plane][level - 1]);
    }
    /* Per thread: the cells of a piece with what smoothing sees around it, one padded row, and rows
     * of samples as wide as the picture. */
    size_t cells = (size_t)(frame->width + 1) / 2 + 2 * PF_CPU_BLUR_REACH + 16;
    engine->scratch_bytes =
        (PF_FUSE_ROWS_PER_PIECE + 2 * PF_CPU_BLUR_REACH + 3) * cells * sizeof(float) +
        4 * ((size_t)frame->width + 64) * sizeof(int32_t);
    engine->scratch_bytes = (engine->scratch_bytes + 63) / 64 * 64;
}

size_t pf_cpu_stack_bytes(const struct pf_stack_settings *settings, struct pf_pool *pool,
                          const struct pf_image *frame)
{
    struct pf_cpu_engine engine = {
        .settings = *settings, .pool = pool, .fuser = pf_cpu_fuser(settings->fuse), .frame = frame};
    struct pf_arena arena = {0};
    set_sizes(&engine);
    lay_out(&engine, &arena);
    return arena.used;
}

static int allocate(struct pf_cpu_engine *engine, struct pf_error *err)
{
    const struct pf_image *frame = engine->frame;
    struct pf_arena arena = {0};
    set_sizes(engine);
    lay_out(engine, &arena);
    struct pf_error why = {0};
    void *memory = NULL;
    int r = pf_room_take(&memory, arena.used, &why);
    if (r < 0)
        return pf_fail(err, -r, "a stack of %d x %d needs %zu MB: %s", frame->width, frame->height,
                       arena.used >> 20, why.text);
    engine->memory = arena.base = memory;
    engine->memory_bytes = arena.used;
    arena.used = 0;
    lay_out(engine, &arena);

    engine->fuser->clear(engine);
    return 0;
}

/* --- the steps --- */

/* Pixels per sample of a plane, along x or y. */
static int pixels_per_sample(const struct pf_cpu_engine *engine, int plane, bool down)
{
    return plane && (down ? engine->chroma_shift_y : engine->chroma_shift_x) ? 2 : 1;
}

/* Between samples of a plane and pixels: chroma samples are centred between the pixels that they
 * stand for. pixel = per_sample * sample + offset. */
struct siting {
    double x, y, offset_x, offset_y;
};

static struct siting siting_of(const struct pf_cpu_engine *engine, int plane)
{
    double x = pixels_per_sample(engine, plane, false);
    double y = pixels_per_sample(engine, plane, true);
    return (struct siting){x, y, (x - 1) / 2, (y - 1) / 2};
}

void pf_fuse_path(const struct pf_fuse_job *job, int from, int x, int y, int step, int count,
                  double (*ret)[2])
{
    struct siting here = siting_of(job->engine, job->plane);
    struct siting there = siting_of(job->engine, from);
    pf_warp_row(job->warp, here.x * x + here.offset_x, here.x * step, here.y * y + here.offset_y,
                count, ret);
    for (int i = 0; i < count; i++) {
        ret[i][0] = (ret[i][0] - there.offset_x) / there.x;
        ret[i][1] = (ret[i][1] - there.offset_y) / there.y;
    }
}

/* A plane of the stack takes the same plane of the frame, and where the white balance has drifted
 * a little of the others. */
struct part {
    int plane;
    struct pf_source_plane source;
    double h[9];   /* samples of the stack's plane -> of the frame's, without the field */
    bool identity; /* of the whole warp, between planes of one size */
    float share;   /* of what is no part of the source's scale already */
};

struct warp_job {
    const struct pf_fuse_job *fuse;
    struct part part[3];
    int parts; /* the first is the plane itself */
};

static struct part part_of(const struct pf_fuse_job *job, int from, double scale, double share)
{
    struct siting here = siting_of(job->engine, job->plane);
    struct siting there = siting_of(job->engine, from);
    const double to_pixels[9] = {here.x, 0, here.offset_x, 0, here.y, here.offset_y, 0, 0, 1};
    const double to_samples[9] = {1 / there.x, 0,           -there.offset_x / there.x,
                                  0,           1 / there.y, -there.offset_y / there.y,
                                  0,           0,           1};
    struct part part = {.plane = from,
                        .source = pf_cpu_source(job->engine->frame, from, scale),
                        .identity = job->identity && here.x == there.x && here.y == there.y,
                        .share = (float)share};
    part.source.bicubic = job->engine->settings.resample == PF_RESAMPLE_BICUBIC;
    pf_homography_compose(part.h, job->warp->h, to_pixels);
    pf_homography_compose(part.h, to_samples, part.h);
    return part;
}

/* Rows of a part, one beneath the other. */
static void warp_part(const struct pf_fuse_job *job, const struct part *part, int y, int rows,
                      int16_t *out, double (*path)[2])
{
    int width = job->source.width, step = PF_WARP_SEGMENT;
    size_t pitch = (size_t)width;
    if (!part->identity && !job->warp->field) {
        job->kernels->warp_rows(out, pitch, width, y, rows, part->h, &part->source);
        return;
    }
    while (!part->identity && step > 1 &&
           step * pixels_per_sample(job->engine, job->plane, false) > job->straight_px)
        step /= 2;
    for (int row = 0; row < rows; row++, out += pitch) {
        if (part->identity) {
            job->kernels->convert_row(out, width, y + row, &part->source);
            continue;
        }
        pf_fuse_path(job, part->plane, 0, y + row, step, (width + step - 1) / step + 1, path);
        job->kernels->warp_path(out, width, (const double(*)[2])path, step, &part->source);
    }
}

static void add_share(int16_t *restrict out, const int16_t *restrict more, int count, float share,
                      float low)
{
    for (int x = 0; x < count; x++) {
        float value = (float)out[x] + share * (float)more[x];
        value = value < low ? low : value > PF_WHITE ? PF_WHITE : value;
        out[x] = (int16_t)lrintf(value);
    }
}

_Static_assert(PF_FUSE_ROWS_PER_PIECE <= PF_WARP_ROWS, "a piece is warped at once");

static void warp_rows(void *context, int begin, int end, int thread)
{
    const struct warp_job *warp = context;
    const struct pf_fuse_job *job = warp->fuse;
    int width = job->source.width;
    int16_t *more = pf_fuse_scratch(job, thread);
    double(*path)[2] = (double(*)[2])(more + (width + 31) / 32 * 32);
    int16_t *out = job->engine->work[0] + (size_t)begin * (size_t)width;
    warp_part(job, &warp->part[0], begin, end - begin, out, path);
    for (int y = begin; y < end && warp->parts > 1; y++, out += width) {
        for (int i = 1; i < warp->parts; i++) {
            warp_part(job, &warp->part[i], y, 1, more, path);
            add_share(out, more, width, warp->part[i].share, job->plane ? -PF_WHITE : 0);
        }
    }
}

/* Brings the frame's plane, in the light of the reference, into work[0]. */
static void warp_plane(struct pf_fuse_job *job, const double mix[9])
{
    struct pf_cpu_engine *engine = job->engine;
    const double *row = mix + 3 * job->plane;
    struct warp_job warp = {.fuse = job};
    job->source = pf_cpu_source(engine->frame, job->plane, row[job->plane]);
    warp.part[warp.parts++] = part_of(job, job->plane, row[job->plane], 1);
    for (int from = 0; from < engine->planes; from++)
        if (from != job->plane && row[from] != 0)
            warp.part[warp.parts++] = part_of(job, from, 1, row[from]);
    pf_pool_run(engine->pool, engine->size[job->plane][0].height, PF_FUSE_ROWS_PER_PIECE, warp_rows,
                &warp);
}

static void reduce_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid fine = engine->size[job->plane][job->level];
    struct pf_grid coarse = engine->size[job->plane][job->level + 1];
    const int16_t *from = engine->work[job->level];
    int16_t *to = engine->work[job->level + 1];
    for (int y = begin; y < end; y++) {
        const int16_t *rows[5];
        for (int k = 0; k < 5; k++)
            rows[k] =
                from + (size_t)pf_clamp(2 * y - 2 + k, 0, fine.height - 1) * (size_t)fine.width;
        job->kernels->reduce_row(to + (size_t)y * (size_t)coarse.width, coarse.width, rows,
                                 fine.width, pf_fuse_scratch(job, thread));
    }
}

void pf_fuse_reduce(struct pf_fuse_job *job)
{
    pf_pool_run(job->engine->pool, job->engine->size[job->plane][job->level + 1].height,
                PF_FUSE_ROWS_PER_PIECE, reduce_rows, job);
}

void pf_fuse_reduce_between(struct pf_cpu_engine *engine, int plane, int from, int to, int16_t *out)
{
    struct pf_fuse_job job = {.engine = engine, .kernels = engine->kernels, .plane = plane};
    for (job.level = from; job.level < to; job.level++)
        pf_fuse_reduce(&job);
    if (from < to && out != engine->work[to])
        memcpy(out, engine->work[to], pf_samples_of(engine->size[plane][to]) * sizeof(*out));
}

int pf_cpu_fuse(void *opaque, const struct pf_warp *warp, const struct pf_light_match *light,
                int index, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    if (!engine->memory) {
        int r = allocate(engine, err);
        if (r < 0)
            return r;
        engine->reference_light = engine->light;
        if (pf_align_is_non_rigid(engine->settings.align))
            r = pf_anchors_new(&engine->anchors, engine->frame->width, engine->frame->height,
                               engine->kernels, engine->pool, err);
        if (r < 0)
            return r;
    }
    double identity[9], mix[9];
    pf_homography_identity(identity);
    pf_light_matrix(light, mix);
    struct pf_fuse_job job = {
        .engine = engine, .kernels = engine->kernels, .warp = warp, .index = index};
    job.identity = !warp->field && memcmp(warp->h, identity, sizeof(identity)) == 0;
    if (warp->field)
        job.straight_px = (int)fmin(
            4096,
            pf_field_look(warp->field, engine->frame->width, engine->frame->height).straight_px);
    job.covered = job.identity;
    if (engine->anchors) {
        struct pf_source_plane luma = pf_cpu_source(engine->frame, 0, 1);
        pf_anchors_take(engine->anchors, &luma, warp);
    }
    for (int plane = 0; plane < engine->planes; plane++) {
        job.plane = plane;
        job.level = 0;
        warp_plane(&job, mix);
        engine->fuser->fuse_plane(&job);
    }
    return 0;
}
