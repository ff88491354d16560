/* `pyramid`: soft selection over scales. The stack is a Laplacian pyramid (Burt & Adelson 1983) of
 * two levels, the finest detail and all the rest, each a weighted mean of the frames' own. Weights
 * come from the modified Laplacian (Nayar & Nakagawa 1994) of all levels down to a few cells a
 * picture: which frame a place is taken from is decided over scales, but blended at the finest,
 * since what a coarse level takes from a frame spreads over tens of pixels, and beside an object
 * in front brings that frame's blurred background with it. */
#include <string.h>

#include "process/cpu/fuse.h"

/* Found on generated bursts and real brackets. Little smoothing keeps to hairs and edges; levels 1
 * and 2 count less, as the finest has spoken for them, the coarsest ones more: they decide alone
 * where no frame is sharp. */
static const struct pf_weighing weighing = {
    .floor = 3,
    .floor_decay = 0.7f,
    .noise = 1.3f,
    .power = 12,
    .sigma = {1.5f, 1.5f, 1, 1, 1},
    .evidence = {1, 0.7f, 0.7f, 1, 2},
    .finest = 0.12f,
    .around = 0.3f,
    .sharp = {1, 2.5f},
    .lamp_sharp = {0.5f, 1},
    .spill = 1.75f,
    .glare = 2,
    .glare_sigma = 3.6f,
    .lamp_share = 2e-4f,
    .front = 0.04f,
    .growth = {.floor = -0.55f, .sigma = 0.25f, .finest = 1, .around = 0.33f, .power = -0.15f}};

/* A chroma plane of half the size both ways has no detail as fine as luma's finest: it is all rest. */
static bool is_rest(const struct pf_cpu_engine *engine, int plane)
{
    return plane && engine->chroma_shift_x && engine->chroma_shift_y;
}

static int rest_level(const struct pf_cpu_engine *engine, int plane)
{
    return is_rest(engine, plane) ? 0 : 1;
}

/* Of a part; none of what the plane does not have. */
static size_t samples_of(const struct pf_cpu_engine *engine, int plane, enum pf_part part)
{
    if (part == PF_PART_FINEST && is_rest(engine, plane))
        return 0;
    return pf_samples_of(
        engine->size[plane][part == PF_PART_FINEST ? 0 : rest_level(engine, plane)]);
}

static void lay_out(struct pf_cpu_engine *engine, struct pf_arena *arena)
{
    for (int plane = 0; plane < engine->planes; plane++)
        for (int part = 0; part < PF_CPU_PARTS; part++)
            engine->average[plane][part] =
                pf_arena_take(arena, samples_of(engine, plane, part), sizeof(int16_t));
    pf_weights_lay_out(engine, arena, engine->levels + 1, PF_CPU_PARTS);
}

static void clear(struct pf_cpu_engine *engine)
{
    for (int plane = 0; plane < engine->planes; plane++)
        for (int part = 0; part < PF_CPU_PARTS; part++)
            pf_fuse_fill(engine, engine->average[plane][part],
                         samples_of(engine, plane, part) * sizeof(int16_t), 0);
    pf_weights_clear(engine);
}

/* Rows of the next level around row y of a level, for expand_row. */
static void rows_below(const int16_t *rows[3], const int16_t *coarse, struct pf_grid size, int y)
{
    for (int k = 0; k < 3; k++)
        rows[k] = coarse + (size_t)pf_clamp(y / 2 - 1 + k, 0, size.height - 1) * (size_t)size.width;
}

static void blend_detail_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid fine = engine->size[job->plane][0], coarse = engine->size[job->plane][1];
    size_t pitch = ((size_t)engine->size[0][0].width + 31) / 16 * 16;
    int32_t *line = pf_fuse_scratch(job, thread), *expanded = line + pitch;
    float *alpha = (float *)(expanded + pitch);
    for (int y = begin; y < end; y++) {
        const int16_t *rows[3];
        size_t at = (size_t)y * (size_t)fine.width;
        rows_below(rows, engine->work[1], coarse, y);
        job->kernels->expand_row(expanded, fine.width, rows, coarse.width, y & 1, line);
        pf_weights_row(engine, engine->shares[PF_PART_FINEST].alpha, 0, job->plane, 0, y, alpha);
        job->kernels->blend_laplacian_row(engine->average[job->plane][PF_PART_FINEST] + at,
                                          engine->work[0] + at, expanded, alpha, fine.width);
    }
}

static void blend_rest_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    int level = rest_level(engine, job->plane), width = engine->size[job->plane][level].width;
    float *alpha = pf_fuse_scratch(job, thread);
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)width;
        for (int part = PF_PART_SHARP; part <= PF_PART_SOFT; part++) {
            pf_weights_row(engine, engine->shares[part].alpha, 1, job->plane, level, y, alpha);
            job->kernels->blend_row(engine->average[job->plane][part] + at,
                                    engine->work[level] + at, alpha, width);
        }
    }
}

static void fuse_plane(struct pf_fuse_job *job)
{
    struct pf_cpu_engine *engine = job->engine;
    int rest = rest_level(engine, job->plane);
    int deepest = job->plane == 0 ? engine->levels + 1 : rest; /* a level below the last evidence */
    for (job->level = 0; job->level < deepest; job->level++)
        pf_fuse_reduce(job);
    if (job->plane == 0)
        pf_weights_weigh(job);
    if (rest)
        pf_pool_run(engine->pool, engine->size[job->plane][0].height, PF_FUSE_ROWS_PER_PIECE,
                    blend_detail_rows, job);
    pf_pool_run(engine->pool, engine->size[job->plane][rest].height, PF_FUSE_ROWS_PER_PIECE,
                blend_rest_rows, job);
}

struct collapse_job {
    struct pf_cpu_engine *engine;
    int plane, level; /* of the rest */
    float *sharp;     /* cells of level 1 */
    int16_t *rest, *out;
};

static void sharp_rows(void *context, int begin, int end, int thread)
{
    const struct collapse_job *job = context;
    int width = pf_half(job->engine->size[0][1]).width;
    (void)thread;
    for (int y = begin; y < end; y++)
        pf_weights_sharp_row(job->engine, y, job->sharp + (size_t)y * (size_t)width);
}

static void mix_rows(void *context, int begin, int end, int thread)
{
    const struct collapse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    int width = engine->size[job->plane][job->level].width;
    float *share = (float *)(engine->scratch + (size_t)thread * engine->scratch_bytes);
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)width;
        memcpy(job->rest + at, engine->average[job->plane][PF_PART_SOFT] + at,
               (size_t)width * sizeof(*job->rest));
        pf_weights_row(engine, job->sharp, 1, job->plane, job->level, y, share);
        engine->kernels->blend_row(job->rest + at, engine->average[job->plane][PF_PART_SHARP] + at,
                                   share, width);
    }
}

static void collapse_rows(void *context, int begin, int end, int thread)
{
    const struct collapse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[job->plane][0], coarse = engine->size[job->plane][1];
    size_t pitch = ((size_t)engine->size[0][0].width + 31) / 16 * 16;
    int32_t *line = (int32_t *)(engine->scratch + (size_t)thread * engine->scratch_bytes);
    int32_t *expanded = line + pitch;
    for (int y = begin; y < end; y++) {
        const int16_t *rows[3];
        size_t at = (size_t)y * (size_t)size.width;
        rows_below(rows, job->rest, coarse, y);
        engine->kernels->expand_row(expanded, size.width, rows, coarse.width, y & 1, line);
        engine->kernels->collapse_row(job->out + at,
                                      engine->average[job->plane][PF_PART_FINEST] + at, expanded,
                                      size.width, job->plane ? -PF_WHITE : 0, PF_WHITE);
    }
}

static void collapse(struct pf_cpu_engine *engine, int plane, int level, int16_t *out)
{
    /* The frame's evidence and pyramid are not in use between frames. */
    struct collapse_job job = {.engine = engine,
                               .plane = plane,
                               .level = rest_level(engine, plane),
                               .sharp = engine->evidence[1],
                               .out = out};
    job.rest = level == job.level ? out : engine->work[job.level];
    pf_pool_run(engine->pool, pf_half(engine->size[0][1]).height, PF_FUSE_ROWS_PER_PIECE,
                sharp_rows, &job);
    pf_pool_run(engine->pool, engine->size[plane][job.level].height, PF_FUSE_ROWS_PER_PIECE,
                mix_rows, &job);
    if (level < job.level)
        pf_pool_run(engine->pool, engine->size[plane][0].height, PF_FUSE_ROWS_PER_PIECE,
                    collapse_rows, &job);
    else
        pf_fuse_reduce_between(engine, plane, job.level, level, out);
}

const struct pf_fuser pf_fuser_pyramid = {.weighing = &weighing,
                                          .lay_out = lay_out,
                                          .clear = clear,
                                          .fuse_plane = fuse_plane,
                                          .collapse = collapse};
