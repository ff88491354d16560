/* Weights: each frame's sharpness in cells of every level, and what share of the stack it earns.
 * The softmax over frames is online, in logarithms: order-free, nothing overflows. */
#include <math.h>

#include "process/cpu/fuse.h"

static int winner_levels(const struct pf_cpu_engine *engine)
{
    if (!engine->settings.depth)
        return 0;
    return engine->weight_levels < PF_CPU_DEPTH_LEVELS ? engine->weight_levels
                                                       : PF_CPU_DEPTH_LEVELS;
}

void pf_weights_lay_out(struct pf_cpu_engine *engine, struct pf_arena *arena, int levels)
{
    engine->weight_levels = levels;
    for (int level = 0; level < levels; level++) {
        size_t cells = pf_samples_of(pf_half(engine->size[0][level]));
        engine->alpha[level] = pf_arena_take(arena, cells, sizeof(float));
        engine->log_total[level] = pf_arena_take(arena, cells, sizeof(float));
        if (level >= winner_levels(engine))
            continue;
        engine->best[level] = pf_arena_take(arena, cells, sizeof(float));
        engine->winner[level] = pf_arena_take(arena, cells, sizeof(uint16_t));
    }
}

void pf_weights_clear(struct pf_cpu_engine *engine)
{
    engine->noise = -1;
    for (int level = 0; level < engine->weight_levels; level++) {
        size_t count = pf_samples_of(pf_half(engine->size[0][level]));
        for (size_t i = 0; i < count; i++)
            engine->log_total[level][i] = -1e30f;
        for (size_t i = 0; i < count && level < winner_levels(engine); i++) {
            engine->best[level][i] = -1e30f;
            engine->winner[level][i] = 0;
        }
    }
}

/* The energy that noise alone gives the plane in work[0]: what the quietest tenth of its parts has.
 * Some of every frame is out of focus, and has no detail as fine as a pixel. A warped frame is a
 * little smoothed, so each frame is measured, and none wins for its noise. */
static float noise_of(const struct pf_fuse_job *job)
{
    enum { STRIPS = 64, ROWS = 4, COLUMNS = 8, BINS = 2048 };
    const float bins_per_grey = 32;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[0][0], cells = pf_half(size);
    int step = cells.height / STRIPS > 2 * ROWS ? cells.height / STRIPS : 2 * ROWS;
    int parts[BINS] = {0}, count = 0, blocks = cells.width / COLUMNS;
    float *row = pf_fuse_scratch(job, 0), *sum = row + (cells.width + 15) / 16 * 16;
    for (int top = ROWS; top + ROWS <= cells.height; top += step) {
        for (int y = top; y < top + ROWS; y++) {
            const int16_t *rows[4];
            for (int k = 0; k < 4; k++)
                rows[k] = engine->work[0] +
                          (size_t)pf_clamp(2 * y - 1 + k, 0, size.height - 1) * (size_t)size.width;
            job->kernels->modified_laplacian_row(row, cells.width, rows, size.width);
            for (int block = 0; block < blocks; block++) {
                sum[block] = y == top ? 0 : sum[block];
                for (int x = 0; x < COLUMNS; x++)
                    sum[block] += row[COLUMNS * block + x];
            }
        }
        for (int block = 0; block < blocks; block++, count++)
            parts[pf_clamp((int)(sum[block] * (bins_per_grey / (ROWS * COLUMNS))), 0, BINS - 1)]++;
    }
    int bin = 0;
    for (int below = parts[0]; bin < BINS - 1 && 10 * below <= count; below += parts[bin])
        bin++;
    return count ? ((float)bin + 0.5f) / bins_per_grey : 0;
}

float pf_weights_noise_share(int level)
{
    return powf(0.3f, (float)level);
}

float pf_weights_least(const struct pf_cpu_engine *engine, int level)
{
    const struct pf_weighing *weighing = engine->fuser->weighing;
    return weighing->noise * engine->noise * pf_weights_noise_share(level);
}

float pf_weights_floor(const struct pf_weighing *weighing, int level)
{
    return weighing->floor * powf(weighing->floor_decay, (float)level);
}

/* At the finest level a cell stands for itself, so that bright hairs are not lost; further down the
 * edge of a bright disc reaches as far as energies are smoothed. */
static void spill(const struct pf_fuse_job *job, int y, float *energy)
{
    const struct pf_cpu_engine *engine = job->engine;
    struct pf_grid cells = pf_half(engine->size[0][job->level]);
    int reach = job->level ? 1 : 0;
    const int16_t *rows[3];
    for (int k = 0; k < 3; k++)
        rows[k] = engine->work[job->level + 1] +
                  (size_t)pf_clamp(y + reach * (k - 1), 0, cells.height - 1) * (size_t)cells.width;
    job->kernels->spill_row(energy, rows, cells.width, engine->fuser->weighing->spill);
}

/* Smoothed energies of a piece of the level's cells, with the finer level's added. */
static void energy_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[0][job->level], cells = pf_half(size);
    const int16_t *samples = engine->work[job->level];
    int reach = job->reach, tap_count = 2 * reach + 1;
    size_t pitch = ((size_t)cells.width + 15) / 16 * 16;
    const struct pf_weighing *weighing = engine->fuser->weighing;
    float noise = job->noise * pf_weights_noise_share(job->level);
    float least = pf_weights_least(engine, job->level);
    float floor = pf_weights_floor(weighing, job->level);
    float *raw = pf_fuse_scratch(job, thread);
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
        job->kernels->energy_row(energy, cells.width, noise, least, floor, weighing->coupling,
                                 upper, lower, fine_width);
        if (weighing->spill > 0)
            spill(job, y, energy);
    }
}

/* Where the frame has no picture (cell centres that it maps outside), it must not count. */
static const float *penalty_of(const struct pf_fuse_job *job, int y, int width, float *out)
{
    if (job->covered)
        return NULL;
    double scale = ldexp(1, job->level), margin = scale;
    double right = job->engine->size[0][0].width - 1, bottom = job->engine->size[0][0].height - 1;
    enum { PIECE = 64 };
    for (int begin = 0; begin < width; begin += PIECE) {
        double at[PIECE][2];
        int count = width - begin < PIECE ? width - begin : PIECE;
        pf_warp_row(job->warp, scale * (2 * begin + 0.5), 2 * scale, scale * (2 * y + 0.5), count,
                    at);
        for (int i = 0; i < count; i++) {
            bool inside = at[i][0] >= margin && at[i][1] >= margin && at[i][0] <= right - margin &&
                          at[i][1] <= bottom - margin;
            out[begin + i] = inside ? 0 : PF_NO_COVER;
        }
    }
    return out;
}

static void share_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid cells = pf_half(engine->size[0][job->level]);
    float power = engine->fuser->weighing->power;
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)cells.width;
        float *energy = engine->alpha[job->level] + at;
        const float *penalty = penalty_of(job, y, cells.width, pf_fuse_scratch(job, thread));
        if (job->level < PF_CPU_DEPTH_LEVELS && engine->best[job->level])
            job->kernels->winner_row(energy, engine->best[job->level] + at,
                                     engine->winner[job->level] + at, cells.width, power, penalty,
                                     (uint16_t)job->index);
        job->kernels->softmax_row(energy, engine->log_total[job->level] + at, cells.width, power,
                                  penalty);
    }
}

void pf_weights_row(const struct pf_fuse_job *job, int y, float *out)
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

int pf_weights_taps(const struct pf_weighing *weighing, int level,
                    float taps[2 * PF_CPU_BLUR_REACH + 1])
{
    /* In cells, which are two samples wide; their own mean of 2 x 2 is part of the smoothing. */
    double sigma = (double)weighing->sigma[level < 2 ? level : 2] / 2, sum = 0;
    sigma = sqrt(sigma * sigma - 1.0 / 12);
    int reach = pf_clamp((int)ceil(2.7 * sigma), 1, PF_CPU_BLUR_REACH);
    for (int k = -reach; k <= reach; k++)
        sum += exp(-k * k / (2 * sigma * sigma));
    for (int k = -reach; k <= reach; k++)
        taps[k + reach] = (float)(exp(-k * k / (2 * sigma * sigma)) / sum);
    return reach;
}

void pf_weights_weigh(struct pf_fuse_job *job)
{
    struct pf_cpu_engine *engine = job->engine;
    job->noise = engine->fuser->weighing->noise > 0 ? noise_of(job) : 0;
    if (engine->noise < 0)
        engine->noise = job->noise < PF_MOST_NOISE ? job->noise : PF_MOST_NOISE;
    for (int level = 0; level <= engine->weight_levels; level++) {
        /* A level's energies are needed by the next one before they become shares. */
        if (level < engine->weight_levels) {
            job->level = level;
            job->reach = pf_weights_taps(engine->fuser->weighing, level, job->taps);
            pf_pool_run(engine->pool, pf_half(engine->size[0][level]).height,
                        PF_FUSE_ROWS_PER_PIECE, energy_rows, job);
        }
        if (level > 0) {
            job->level = level - 1;
            pf_pool_run(engine->pool, pf_half(engine->size[0][level - 1]).height,
                        PF_FUSE_ROWS_PER_PIECE, share_rows, job);
        }
    }
}
