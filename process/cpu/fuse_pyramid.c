/* `pyramid`: the soft Laplacian pyramid, see the design page, section 3. Each level of the stack is
 * a weighted mean of the frames' Laplacian levels (Burt & Adelson 1983), with weights from the
 * modified Laplacian (Nayar & Nakagawa 1994) of the same level and all finer ones. */
#include <string.h>

#include "process/cpu/fuse.h"

/* Found on generated bursts (seeds 1 and 3): little smoothing at the finest level keeps to hairs and edges, much at
 * the coarser ones keeps even surfaces beside strong edges clean. A higher bound of noise gains on
 * bursts whose background is never in focus, and loses faint texture on real ones. */
static const struct pf_weighing weighing = {.floor = 2,
                                            .floor_decay = 0.45f,
                                            .noise = 1.3f,
                                            .coupling = 1,
                                            .spill = 1.75f,
                                            .power = 12,
                                            .sigma = {1.5f, 3, 4}};

static void lay_out(struct pf_cpu_engine *engine, struct pf_arena *arena)
{
    for (int plane = 0; plane < engine->planes; plane++)
        for (int level = 0; level <= engine->levels; level++)
            engine->average[plane][level] =
                pf_arena_take(arena, pf_samples_of(engine->size[plane][level]), sizeof(int16_t));
    pf_weights_lay_out(engine, arena, engine->levels);
}

static void clear(struct pf_cpu_engine *engine)
{
    for (int plane = 0; plane < engine->planes; plane++)
        for (int level = 0; level <= engine->levels; level++)
            memset(engine->average[plane][level], 0,
                   pf_samples_of(engine->size[plane][level]) * sizeof(int16_t));
    pf_weights_clear(engine);
}

static void blend_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid fine = engine->size[job->plane][job->level];
    struct pf_grid coarse = engine->size[job->plane][job->level + 1];
    const int16_t *below = engine->work[job->level + 1];
    size_t pitch = ((size_t)engine->size[0][0].width + 31) / 16 * 16;
    int32_t *line = pf_fuse_scratch(job, thread), *expanded = line + pitch;
    float *alpha = (float *)(expanded + pitch);
    for (int y = begin; y < end; y++) {
        const int16_t *rows[3];
        for (int k = 0; k < 3; k++)
            rows[k] = below +
                      (size_t)pf_clamp(y / 2 - 1 + k, 0, coarse.height - 1) * (size_t)coarse.width;
        size_t at = (size_t)y * (size_t)fine.width;
        job->kernels->expand_row(expanded, fine.width, rows, coarse.width, y & 1, line);
        pf_weights_row(job, y, alpha);
        job->kernels->blend_laplacian_row(engine->average[job->plane][job->level] + at,
                                          engine->work[job->level] + at, expanded, alpha,
                                          fine.width);
    }
}

/* What is below the last Laplacian level takes the shares of that level. Its samples and the cells
 * are the same in number for luma; a chroma plane's rest takes the nearest cell. */
static void blend_rest(struct pf_fuse_job *job)
{
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[job->plane][engine->levels];
    struct pf_grid cells = pf_half(engine->size[0][engine->levels - 1]);
    float *alpha = pf_fuse_scratch(job, 0);
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

static void fuse_plane(struct pf_fuse_job *job)
{
    struct pf_cpu_engine *engine = job->engine;
    for (job->level = 0; job->level < engine->levels; job->level++)
        pf_fuse_reduce(job);
    if (job->plane == 0)
        pf_weights_weigh(job);
    for (job->level = 0; job->level < engine->levels; job->level++)
        pf_pool_run(engine->pool, engine->size[job->plane][job->level].height,
                    PF_FUSE_ROWS_PER_PIECE, blend_rows, job);
    blend_rest(job);
}

struct collapse_job {
    struct pf_cpu_engine *engine;
    int plane, level;
    struct pf_grid coarse_size;
    const int16_t *coarse;
    int16_t *out;
    int low, high;
};

static void collapse_rows(void *context, int begin, int end, int thread)
{
    const struct collapse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[job->plane][job->level], coarse = job->coarse_size;
    size_t pitch = ((size_t)engine->size[0][0].width + 31) / 16 * 16;
    int32_t *line = (int32_t *)(engine->scratch + (size_t)thread * engine->scratch_bytes);
    int32_t *expanded = line + pitch;
    for (int y = begin; y < end; y++) {
        const int16_t *rows[3];
        for (int k = 0; k < 3; k++)
            rows[k] = job->coarse +
                      (size_t)pf_clamp(y / 2 - 1 + k, 0, coarse.height - 1) * (size_t)coarse.width;
        size_t at = (size_t)y * (size_t)size.width;
        engine->kernels->expand_row(expanded, size.width, rows, coarse.width, y & 1, line);
        engine->kernels->collapse_row(job->out + at, engine->average[job->plane][job->level] + at,
                                      expanded, size.width, job->low, job->high);
    }
}

static void collapse(struct pf_cpu_engine *engine, int plane, int level, int16_t *out)
{
    struct collapse_job job = {
        .engine = engine, .plane = plane, .low = INT16_MIN, .high = INT16_MAX};
    struct pf_grid rest = engine->size[plane][engine->levels];
    if (level == engine->levels) {
        memcpy(out, engine->average[plane][level],
               (size_t)rest.width * (size_t)rest.height * sizeof(*out));
        return;
    }
    /* Two buffers in turn hold the levels between; the last one is `out`. The frame's own pyramid
     * is not in use now, but belongs to luma sizes, which chroma never exceeds. */
    const int16_t *coarse = engine->average[plane][engine->levels];
    for (job.level = engine->levels - 1; job.level >= level; job.level--) {
        job.coarse = coarse;
        job.coarse_size = engine->size[plane][job.level + 1];
        job.out = job.level == level ? out : engine->work[job.level];
        if (job.level == 0) {
            job.low = plane ? -PF_WHITE : 0;
            job.high = PF_WHITE;
        }
        pf_pool_run(engine->pool, engine->size[plane][job.level].height, PF_FUSE_ROWS_PER_PIECE,
                    collapse_rows, &job);
        coarse = job.out;
    }
}

const struct pf_fuser pf_fuser_pyramid = {.weighing = &weighing,
                                          .lay_out = lay_out,
                                          .clear = clear,
                                          .fuse_plane = fuse_plane,
                                          .collapse = collapse};
