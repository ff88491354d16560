/* Fusing one frame: warp, Gaussian pyramid, energies, shares, blended Laplacian levels. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/cpu/engine.h"
#include "process/homography.h"

enum { ROWS_PER_PIECE = 32 };

/* The soft pyramid's constants; see the design page, section 3. Found on generated bursts: little
 * smoothing at the finest level keeps to hairs and edges, much at the coarser ones keeps even
 * surfaces beside strong edges clean. */
#define ENERGY_COUPLING 1.0f
static const double smoothing[] = {1.5, 3, 4}; /* sigma in pixels of levels 0, 1, 2 and further */
#define NO_COVER 1000.0f                       /* log2 penalty where a frame has no picture */

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

static int level_count(int width, int height)
{
    int longer = width > height ? width : height, shorter = width > height ? height : width;
    int levels = 6;
    while (levels < PF_CPU_MAX_LEVELS && longer >> levels > 96)
        levels++;
    while (levels > 1 && shorter >> levels < 2)
        levels--;
    return levels;
}

/* Hands out pieces of one allocation; with base NULL it only adds up. */
struct arena {
    char *base;
    size_t used;
};

static void *take(struct arena *arena, size_t count, size_t size)
{
    void *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += (count * size + 63) / 64 * 64;
    return piece;
}

static size_t samples_of(struct pf_grid grid)
{
    return (size_t)grid.width * (size_t)grid.height;
}

static int depth_levels(const struct pf_cpu_engine *engine)
{
    return engine->levels < PF_CPU_DEPTH_LEVELS ? engine->levels : PF_CPU_DEPTH_LEVELS;
}

static void lay_out(struct pf_cpu_engine *engine, struct arena *arena)
{
    for (int plane = 0; plane < engine->planes; plane++)
        for (int level = 0; level <= engine->levels; level++)
            engine->average[plane][level] =
                take(arena, samples_of(engine->size[plane][level]), sizeof(int16_t));
    for (int level = 0; level <= engine->levels; level++) {
        engine->work[level] = take(arena, samples_of(engine->size[0][level]), sizeof(int16_t));
        if (level == engine->levels)
            break;
        struct pf_grid cells = pf_half(engine->size[0][level]);
        engine->alpha[level] = take(arena, samples_of(cells), sizeof(float));
        engine->log_total[level] = take(arena, samples_of(cells), sizeof(float));
    }
    for (int level = 0; engine->settings.depth && level < depth_levels(engine); level++) {
        struct pf_grid cells = pf_half(engine->size[0][level]);
        engine->best[level] = take(arena, samples_of(cells), sizeof(float));
        engine->winner[level] = take(arena, samples_of(cells), sizeof(uint16_t));
    }
    engine->scratch = take(arena, (size_t)pf_pool_threads(engine->pool), engine->scratch_bytes);
}

static int allocate(struct pf_cpu_engine *engine, struct pf_error *err)
{
    const struct pf_image *frame = engine->frame;
    engine->planes = frame->planes;
    engine->chroma_shift_x = frame->chroma_shift_x;
    engine->chroma_shift_y = frame->chroma_shift_y;
    engine->levels = level_count(frame->width, frame->height);
    for (int plane = 0; plane < frame->planes; plane++) {
        engine->size[plane][0] = (struct pf_grid){pf_image_plane_width(frame, plane),
                                                  pf_image_plane_height(frame, plane)};
        for (int level = 1; level <= engine->levels; level++)
            engine->size[plane][level] = pf_half(engine->size[plane][level - 1]);
    }
    /* Per thread: the cells of a piece with what smoothing sees around it, one padded row, and rows
     * of samples as wide as the picture. */
    size_t cells = (size_t)(frame->width + 1) / 2 + 2 * PF_CPU_BLUR_REACH + 16;
    engine->scratch_bytes = (ROWS_PER_PIECE + 2 * PF_CPU_BLUR_REACH + 3) * cells * sizeof(float) +
                            4 * ((size_t)frame->width + 64) * sizeof(int32_t);
    engine->scratch_bytes = (engine->scratch_bytes + 63) / 64 * 64;

    struct arena arena = {0};
    lay_out(engine, &arena);
    arena.base = aligned_alloc(64, arena.used);
    if (!arena.base)
        return pf_fail(err, ENOMEM, "out of memory: a stack of %d x %d needs %zu MB", frame->width,
                       frame->height, arena.used >> 20);
    arena.used = 0;
    engine->memory = arena.base;
    lay_out(engine, &arena);

    for (int plane = 0; plane < engine->planes; plane++)
        for (int level = 0; level <= engine->levels; level++)
            memset(engine->average[plane][level], 0,
                   samples_of(engine->size[plane][level]) * sizeof(int16_t));
    for (int level = 0; level < engine->levels; level++) {
        size_t count = samples_of(pf_half(engine->size[0][level]));
        for (size_t i = 0; i < count; i++)
            engine->log_total[level][i] = -1e30f;
        if (level >= PF_CPU_DEPTH_LEVELS || !engine->best[level])
            continue;
        for (size_t i = 0; i < count; i++) {
            engine->best[level][i] = -1e30f;
            engine->winner[level][i] = 0;
        }
    }
    return 0;
}

/* --- the steps --- */

struct fuse_job {
    struct pf_cpu_engine *engine;
    const struct pf_kernels *kernels;
    double h[9]; /* luma pixels */
    bool identity;
    int index;
    int plane, level;
    double plane_h[9]; /* samples of the plane */
    struct pf_source_plane source;
    float taps[2 * PF_CPU_BLUR_REACH + 1];
    int reach;
    bool covered; /* no cell of this level can lie outside the frame */
};

static void *scratch_of(const struct fuse_job *job, int thread)
{
    return job->engine->scratch + (size_t)thread * job->engine->scratch_bytes;
}

static void warp_rows(void *context, int begin, int end, int thread)
{
    const struct fuse_job *job = context;
    (void)thread;
    for (int y = begin; y < end; y++) {
        int16_t *out = job->engine->work[0] + (size_t)y * (size_t)job->source.width;
        if (job->identity)
            job->kernels->convert_row(out, job->source.width, y, &job->source);
        else
            job->kernels->warp_row(out, job->source.width, y, job->plane_h, &job->source);
    }
}

static void reduce_rows(void *context, int begin, int end, int thread)
{
    const struct fuse_job *job = context;
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
                                 fine.width, scratch_of(job, thread));
    }
}

/* Smoothed energies of a piece of the level's cells, with the finer level's added. */
static void energy_rows(void *context, int begin, int end, int thread)
{
    const struct fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[0][job->level], cells = pf_half(size);
    const int16_t *samples = engine->work[job->level];
    int reach = job->reach, tap_count = 2 * reach + 1;
    size_t pitch = ((size_t)cells.width + 15) / 16 * 16;
    float *raw = scratch_of(job, thread);
    float *padded = raw + (size_t)(end - begin + 2 * reach) * pitch + PF_CPU_BLUR_REACH;

    int first = pf_clamp(begin - reach, 0, cells.height - 1);
    int last = pf_clamp(end - 1 + reach, 0, cells.height - 1);
    for (int y = first; y <= last; y++) {
        const int16_t *rows[4];
        for (int k = 0; k < 4; k++)
            rows[k] =
                samples + (size_t)pf_clamp(2 * y - 1 + k, 0, size.height - 1) * (size_t)size.width;
        job->kernels->modified_laplacian_row(raw + (size_t)(y - first) * pitch, cells.width, rows,
                                             size.width);
    }
    for (int y = begin; y < end; y++) {
        const float *rows[2 * PF_CPU_BLUR_REACH + 1];
        for (int k = 0; k < tap_count; k++)
            rows[k] = raw + (size_t)(pf_clamp(y - reach + k, 0, cells.height - 1) - first) * pitch;
        job->kernels->filter_rows(padded, rows, job->taps, tap_count, cells.width);
        for (int k = 1; k <= reach; k++) {
            padded[-k] = padded[0];
            padded[cells.width - 1 + k] = padded[cells.width - 1];
        }
        float *energy = engine->alpha[job->level] + (size_t)y * (size_t)cells.width;
        job->kernels->filter_row(energy, padded, job->taps, tap_count, cells.width);

        const float *upper = NULL, *lower = NULL;
        int fine_width = 0;
        if (job->level) {
            struct pf_grid fine = pf_half(engine->size[0][job->level - 1]);
            fine_width = fine.width;
            upper = engine->alpha[job->level - 1] +
                    (size_t)pf_clamp(2 * y, 0, fine.height - 1) * (size_t)fine.width;
            lower = engine->alpha[job->level - 1] +
                    (size_t)pf_clamp(2 * y + 1, 0, fine.height - 1) * (size_t)fine.width;
        }
        job->kernels->energy_row(energy, cells.width, PF_ENERGY_FLOOR, ENERGY_COUPLING, upper,
                                 lower, fine_width);
    }
}

/* Where the frame has no picture (cell centres that it maps outside), it must not count. */
static const float *penalty_of(const struct fuse_job *job, int y, int width, float *out)
{
    if (job->covered)
        return NULL;
    double scale = ldexp(1, job->level), margin = scale;
    double right = job->engine->size[0][0].width - 1, bottom = job->engine->size[0][0].height - 1;
    for (int x = 0; x < width; x++) {
        double px, py;
        pf_homography_apply(job->h, scale * (2 * x + 0.5), scale * (2 * y + 0.5), &px, &py);
        bool inside = px >= margin && py >= margin && px <= right - margin && py <= bottom - margin;
        out[x] = inside ? 0 : NO_COVER;
    }
    return out;
}

static void share_rows(void *context, int begin, int end, int thread)
{
    const struct fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid cells = pf_half(engine->size[0][job->level]);
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)cells.width;
        float *energy = engine->alpha[job->level] + at;
        const float *penalty = penalty_of(job, y, cells.width, scratch_of(job, thread));
        if (job->level < PF_CPU_DEPTH_LEVELS && engine->best[job->level])
            job->kernels->winner_row(energy, engine->best[job->level] + at,
                                     engine->winner[job->level] + at, cells.width, PF_ENERGY_POWER,
                                     penalty, (uint16_t)job->index);
        job->kernels->softmax_row(energy, engine->log_total[job->level] + at, cells.width,
                                  PF_ENERGY_POWER, penalty);
    }
}

/* The level's shares at one row of a plane. */
static void alpha_at(const struct fuse_job *job, int y, float *out)
{
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[job->plane][job->level];
    struct pf_grid cells = pf_half(engine->size[0][job->level]);
    int factor_x = job->plane && engine->chroma_shift_x ? 1 : 2;
    int factor_y = job->plane && engine->chroma_shift_y ? 1 : 2;
    int upper = y, lower = y;
    float mix = 0;
    if (factor_y == 2) {
        upper = (y & 1) ? y / 2 : y / 2 - 1;
        lower = upper + 1;
        mix = (y & 1) ? 0.25f : 0.75f;
    }
    upper = pf_clamp(upper, 0, cells.height - 1);
    lower = pf_clamp(lower, 0, cells.height - 1);
    const float *alpha = engine->alpha[job->level];
    job->kernels->alpha_row(out, size.width, alpha + (size_t)upper * (size_t)cells.width,
                            alpha + (size_t)lower * (size_t)cells.width, mix, cells.width,
                            factor_x);
}

static void blend_rows(void *context, int begin, int end, int thread)
{
    const struct fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid fine = engine->size[job->plane][job->level];
    struct pf_grid coarse = engine->size[job->plane][job->level + 1];
    const int16_t *below = engine->work[job->level + 1];
    size_t pitch = ((size_t)engine->size[0][0].width + 31) / 16 * 16;
    int32_t *line = scratch_of(job, thread), *expanded = line + pitch;
    float *alpha = (float *)(expanded + pitch);
    for (int y = begin; y < end; y++) {
        const int16_t *rows[3];
        for (int k = 0; k < 3; k++)
            rows[k] = below +
                      (size_t)pf_clamp(y / 2 - 1 + k, 0, coarse.height - 1) * (size_t)coarse.width;
        size_t at = (size_t)y * (size_t)fine.width;
        job->kernels->expand_row(expanded, fine.width, rows, coarse.width, y & 1, line);
        alpha_at(job, y, alpha);
        job->kernels->blend_laplacian_row(engine->average[job->plane][job->level] + at,
                                          engine->work[job->level] + at, expanded, alpha,
                                          fine.width);
    }
}

/* What is below the last Laplacian level takes the shares of that level. Its samples and the cells
 * are the same in number for luma; a chroma plane's rest takes the nearest cell. */
static void blend_rest(struct fuse_job *job)
{
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[job->plane][engine->levels];
    struct pf_grid cells = pf_half(engine->size[0][engine->levels - 1]);
    float *alpha = scratch_of(job, 0);
    for (int y = 0; y < size.height; y++) {
        const float *row = engine->alpha[engine->levels - 1] +
                           (size_t)((int64_t)y * cells.height / size.height) * (size_t)cells.width;
        for (int x = 0; x < size.width; x++)
            alpha[x] = row[(int64_t)x * cells.width / size.width];
        size_t at = (size_t)y * (size_t)size.width;
        job->kernels->blend_row(engine->average[job->plane][engine->levels] + at,
                                engine->work[engine->levels] + at, alpha, size.width);
    }
}

static void set_taps(struct fuse_job *job)
{
    /* In cells, which are two samples wide; their own mean of 2 x 2 is part of the smoothing. */
    double sigma = smoothing[job->level < 2 ? job->level : 2] / 2, sum = 0;
    sigma = sqrt(sigma * sigma - 1.0 / 12);
    job->reach = pf_clamp((int)ceil(2.7 * sigma), 1, PF_CPU_BLUR_REACH);
    for (int k = -job->reach; k <= job->reach; k++)
        sum += exp(-k * k / (2 * sigma * sigma));
    for (int k = -job->reach; k <= job->reach; k++)
        job->taps[k + job->reach] = (float)(exp(-k * k / (2 * sigma * sigma)) / sum);
}

static void weigh(struct fuse_job *job)
{
    struct pf_cpu_engine *engine = job->engine;
    for (int level = 0; level <= engine->levels; level++) {
        /* A level's energies are needed by the next one before they become shares. */
        if (level < engine->levels) {
            job->level = level;
            set_taps(job);
            pf_pool_run(engine->pool, pf_half(engine->size[0][level]).height, ROWS_PER_PIECE,
                        energy_rows, job);
        }
        if (level > 0) {
            job->level = level - 1;
            pf_pool_run(engine->pool, pf_half(engine->size[0][level - 1]).height, ROWS_PER_PIECE,
                        share_rows, job);
        }
    }
}

/* h in samples of a plane: chroma samples are centred between the pixels that they stand for. */
static void map_to_plane(struct fuse_job *job)
{
    struct pf_cpu_engine *engine = job->engine;
    double sx = job->plane && engine->chroma_shift_x ? 2 : 1, ox = (sx - 1) / 2;
    double sy = job->plane && engine->chroma_shift_y ? 2 : 1, oy = (sy - 1) / 2;
    const double to_pixels[9] = {sx, 0, ox, 0, sy, oy, 0, 0, 1};
    const double to_samples[9] = {1 / sx, 0, -ox / sx, 0, 1 / sy, -oy / sy, 0, 0, 1};
    pf_homography_compose(job->plane_h, job->h, to_pixels);
    pf_homography_compose(job->plane_h, to_samples, job->plane_h);
}

int pf_cpu_fuse(void *opaque, const double h[9], double gain, int index, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    if (!engine->memory) {
        int r = allocate(engine, err);
        if (r < 0)
            return r;
        engine->reference_light = engine->light;
    }
    double identity[9];
    pf_homography_identity(identity);
    struct fuse_job job = {.engine = engine, .kernels = engine->kernels, .index = index};
    memcpy(job.h, h, sizeof(job.h));
    job.identity = memcmp(h, identity, sizeof(identity)) == 0;
    job.covered = job.identity;
    for (int plane = 0; plane < engine->planes; plane++) {
        job.plane = plane;
        job.source = pf_cpu_source(engine->frame, plane, gain);
        map_to_plane(&job);
        pf_pool_run(engine->pool, engine->size[plane][0].height, ROWS_PER_PIECE, warp_rows, &job);
        for (job.level = 0; job.level < engine->levels; job.level++)
            pf_pool_run(engine->pool, engine->size[plane][job.level + 1].height, ROWS_PER_PIECE,
                        reduce_rows, &job);
        if (plane == 0)
            weigh(&job);
        for (job.level = 0; job.level < engine->levels; job.level++)
            pf_pool_run(engine->pool, engine->size[plane][job.level].height, ROWS_PER_PIECE,
                        blend_rows, &job);
        blend_rest(&job);
    }
    return 0;
}
