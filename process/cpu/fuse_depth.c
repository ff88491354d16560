/* `soft-depth`: each pixel of the stack is the mean of the frames' own pixels, weighted by the
 * smoothed modified Laplacian at full size to the power 8. No pyramid, so nothing rings and colours
 * are the frames' own; but beside a strong edge on an even surface a defocused frame has the higher
 * energy, and such surfaces become speckled. */
#include <string.h>

#include "process/cpu/fuse.h"

static const struct pf_weighing weighing = {
    .floor = 0.25f, .floor_decay = 1, .power = 8, .sigma = {4}, .evidence = {1}};

static void lay_out(struct pf_cpu_engine *engine, struct pf_arena *arena)
{
    for (int plane = 0; plane < engine->planes; plane++)
        engine->average[plane][0] =
            pf_arena_take(arena, pf_samples_of(engine->size[plane][0]), sizeof(int16_t));
    pf_weights_lay_out(engine, arena, 1, 1);
}

static void clear(struct pf_cpu_engine *engine)
{
    for (int plane = 0; plane < engine->planes; plane++)
        pf_fuse_fill(engine, engine->average[plane][0],
                     pf_samples_of(engine->size[plane][0]) * sizeof(int16_t), 0);
    pf_weights_clear(engine);
}

static void blend_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    int width = engine->size[job->plane][0].width;
    float *alpha = pf_fuse_scratch(job, thread);
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)width;
        pf_weights_row(engine, engine->shares[PF_PART_FINEST].alpha, 0, job->plane, 0, y, alpha);
        job->kernels->blend_row(engine->average[job->plane][0] + at, engine->work[0] + at, alpha,
                                width);
    }
}

static void fuse_plane(struct pf_fuse_job *job)
{
    if (job->plane == 0)
        pf_weights_weigh(job);
    job->level = 0;
    pf_pool_run(job->engine->pool, job->engine->size[job->plane][0].height, PF_FUSE_ROWS_PER_PIECE,
                blend_rows, job);
}

static void collapse(struct pf_cpu_engine *engine, int plane, int level, int16_t *out)
{
    memcpy(level ? engine->work[0] : out, engine->average[plane][0],
           pf_samples_of(engine->size[plane][0]) * sizeof(*out));
    if (level)
        pf_fuse_reduce_between(engine, plane, 0, level, out);
}

const struct pf_fuser pf_fuser_soft_depth = {.weighing = &weighing,
                                             .lay_out = lay_out,
                                             .clear = clear,
                                             .fuse_plane = fuse_plane,
                                             .collapse = collapse};
