/* Weights: each frame's sharpness in cells of every level, and what share of the stack it earns.
 * The softmax over frames is online, in logarithms: order-free, nothing overflows. */
#include <math.h>
#include <string.h>

#include "process/cpu/fuse.h"

static int cell_level(enum pf_part part)
{
    return part == PF_PART_FINEST ? 0 : 1;
}

static size_t cells_of(const struct pf_cpu_engine *engine, int level)
{
    return pf_samples_of(pf_half(engine->size[0][level]));
}

int pf_weights_lamp_level(int width, int height)
{
    int longer = width > height ? width : height, level = 1;
    while (longer >> (level + 2) >= PF_LAMP_CELLS / 2)
        level++;
    return level;
}

static int lamp_level(const struct pf_cpu_engine *engine)
{
    return pf_weights_lamp_level(engine->size[0][0].width, engine->size[0][0].height);
}

/* As many lamp cells as it takes, each of 1 << level samples of level 1. */
static struct pf_grid lamp_cells(const struct pf_cpu_engine *engine)
{
    struct pf_grid samples = engine->size[0][1];
    int level = lamp_level(engine), more = (1 << level) - 1;
    return (struct pf_grid){(samples.width + more) >> level, (samples.height + more) >> level};
}

void pf_weights_lay_out(struct pf_cpu_engine *engine, struct pf_arena *arena, int levels, int parts)
{
    engine->weight_levels = levels;
    engine->parts = parts;
    for (int level = 0; level < levels; level++)
        engine->evidence[level] = pf_arena_take(arena, cells_of(engine, level), sizeof(float));
    for (int level = 1; level <= PF_AROUND_LEVEL && level < levels && parts > 1; level++)
        engine->fine_evidence[level] = pf_arena_take(arena, cells_of(engine, level), sizeof(float));
    if (parts > 1) {
        engine->most = pf_arena_take(arena, cells_of(engine, 1), sizeof(float));
        engine->most_light = pf_arena_take(arena, cells_of(engine, 1), sizeof(int16_t));
        engine->lamps = pf_arena_take(arena, pf_samples_of(lamp_cells(engine)), sizeof(float));
    }
    for (int part = 0; part < parts; part++) {
        size_t cells = cells_of(engine, cell_level(part));
        struct pf_shares *shares = &engine->shares[part];
        shares->alpha = part == PF_PART_FINEST  ? engine->evidence[0]
                        : part == PF_PART_SHARP ? engine->fine_evidence[1]
                                                : engine->evidence[1];
        shares->log_total = pf_arena_take(arena, cells, sizeof(float));
        if (!engine->settings.depth)
            continue;
        shares->best = pf_arena_take(arena, cells, sizeof(float));
        shares->winner = pf_arena_take(arena, cells, sizeof(uint16_t));
    }
}

void pf_weights_clear(struct pf_cpu_engine *engine)
{
    engine->first = -1;
    engine->noise = -1;
    for (int part = 0; part < engine->parts; part++) {
        struct pf_shares *shares = &engine->shares[part];
        size_t count = cells_of(engine, cell_level(part));
        pf_fuse_fill(engine, shares->log_total, count * sizeof(float), -1e30f);
        if (!shares->best)
            continue;
        pf_fuse_fill(engine, shares->best, count * sizeof(float), -1e30f);
        pf_fuse_fill(engine, shares->winner, count * sizeof(uint16_t), 0);
    }
    if (engine->most)
        pf_fuse_fill(engine, engine->most, cells_of(engine, 1) * sizeof(float), -1e30f);
    if (engine->most_light)
        pf_fuse_fill(engine, engine->most_light, cells_of(engine, 1) * sizeof(int16_t), 0);
    if (engine->lamps)
        pf_fuse_fill(engine, engine->lamps, pf_samples_of(lamp_cells(engine)) * sizeof(float), 0);
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

float pf_weights_least(const struct pf_cpu_engine *engine, int level)
{
    const struct pf_weighing *weighing = &engine->weighing;
    return weighing->noise * engine->noise * pf_weighing_noise_share(level);
}

float pf_weights_nothing(const struct pf_cpu_engine *engine, int last)
{
    const struct pf_weighing *weighing = &engine->weighing;
    float sum = 0;
    for (int level = 0; level <= last; level++)
        sum += pf_weighing_counts(weighing, level) *
               log2f(pf_weights_least(engine, level) + pf_weighing_floor(weighing, level));
    return sum;
}

/* A thread's rows of a piece of the level's cells, those that smoothing sees around it included. */
struct smoothing {
    struct pf_grid cells;
    size_t pitch;
    int first, last;
    float *raw, *padded, *out; /* all rows; one with room on both sides; one */
};

static struct smoothing smoothing_of(const struct pf_fuse_job *job, int begin, int end, int thread)
{
    struct pf_grid cells = pf_half(job->engine->size[0][job->level]);
    struct smoothing smoothing = {.cells = cells,
                                  .pitch = ((size_t)cells.width + 15) / 16 * 16,
                                  .first = pf_clamp(begin - job->reach, 0, cells.height - 1),
                                  .last = pf_clamp(end - 1 + job->reach, 0, cells.height - 1),
                                  .raw = pf_fuse_scratch(job, thread)};
    smoothing.out = smoothing.raw + (size_t)(end - begin + 2 * job->reach) * smoothing.pitch;
    smoothing.padded = smoothing.out + smoothing.pitch + PF_CPU_BLUR_REACH;
    return smoothing;
}

static float *raw_row(const struct smoothing *smoothing, int y)
{
    return smoothing->raw + (size_t)(y - smoothing->first) * smoothing->pitch;
}

static void smooth_row(const struct pf_fuse_job *job, const struct smoothing *smoothing, int y,
                       float *out)
{
    int reach = job->reach, width = smoothing->cells.width, tap_count = 2 * reach + 1;
    const float *rows[2 * PF_CPU_BLUR_REACH + 1];
    float *padded = smoothing->padded;
    for (int k = 0; k < tap_count; k++)
        rows[k] = raw_row(smoothing, pf_clamp(y - reach + k, 0, smoothing->cells.height - 1));
    job->kernels->filter_rows(padded, rows, job->taps, tap_count, width);
    for (int k = 1; k <= reach; k++) {
        padded[-k] = padded[0];
        padded[width - 1 + k] = padded[width - 1];
    }
    job->kernels->filter_row(out, padded, job->taps, tap_count, width);
}

/* Smoothed energies of a piece of the level's cells, as evidence. */
static void evidence_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[0][job->level], cells = pf_half(size);
    const int16_t *samples = engine->work[job->level];
    const struct pf_weighing *weighing = &engine->weighing;
    float noise = job->noise * pf_weighing_noise_share(job->level);
    float least = pf_weights_least(engine, job->level);
    float floor = pf_weighing_floor(weighing, job->level);
    float counts = pf_weighing_counts(weighing, job->level);
    struct smoothing smoothing = smoothing_of(job, begin, end, thread);
    for (int y = smoothing.first; y <= smoothing.last; y++) {
        const int16_t *rows[4];
        for (int k = 0; k < 4; k++)
            rows[k] =
                samples + (size_t)pf_clamp(2 * y - 1 + k, 0, size.height - 1) * (size_t)size.width;
        job->kernels->modified_laplacian_row(raw_row(&smoothing, y), cells.width, rows, size.width);
    }
    for (int y = begin; y < end; y++) {
        float *energy = engine->evidence[job->level] + (size_t)y * (size_t)cells.width;
        smooth_row(job, &smoothing, y, energy);
        job->kernels->evidence_row(energy, cells.width, noise, least, floor, counts);
    }
}

/* Adds `share` of a row of the coarser level's grid, laid over row y of this one's: a cell's centre
 * lies an eighth or three of a coarse cell beside the nearest coarse centre. */
static void gather(const struct pf_fuse_job *job, float *row, const float *coarse_grid, float share,
                   int y)
{
    struct pf_grid cells = pf_half(job->engine->size[0][job->level]), coarse = pf_half(cells);
    int near = y / 2, far = pf_clamp(y & 1 ? near + 1 : near - 1, 0, coarse.height - 1);
    job->kernels->gather_row(row, cells.width, coarse_grid + (size_t)near * (size_t)coarse.width,
                             coarse_grid + (size_t)far * (size_t)coarse.width,
                             y & 1 ? 0.375f : 0.125f, share, coarse.width);
}

static void gather_coarse_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    int width = pf_half(engine->size[0][job->level]).width;
    (void)thread;
    for (int y = begin; y < end; y++) {
        float *row = engine->evidence[job->level] + (size_t)y * (size_t)width;
        if (job->level == PF_COARSE_LEVEL - 1)
            memcpy(engine->fine_evidence[job->level] + (size_t)y * (size_t)width, row,
                   (size_t)width * sizeof(*row));
        gather(job, row, engine->evidence[job->level + 1], 1, y);
    }
}

/* A row of cells gets the means of 2 x 2 of a finer level's added. */
static void add_halved(const struct pf_fuse_job *job, float *row, const float *finer, int y)
{
    struct pf_grid fine = pf_half(job->engine->size[0][job->level - 1]);
    int below = pf_clamp(2 * y + 1, 0, fine.height - 1);
    job->kernels->add_halved_row(row, pf_half(fine).width,
                                 finer + (size_t)(2 * y) * (size_t)fine.width,
                                 finer + (size_t)below * (size_t)fine.width, fine.width);
}

/* Level 1, where the sums end. Of all levels, the finest included; and the most that levels 0 and 1
 * have said for any frame, with that frame's luma: a sample of level 2 for each cell. */
static void gather_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    int width = pf_half(engine->size[0][1]).width;
    (void)thread;
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)width;
        float *row = engine->evidence[1] + at;
        memcpy(engine->fine_evidence[1] + at, row, (size_t)width * sizeof(*row));
        add_halved(job, row, engine->evidence[0], y);
        float *most = engine->most + at;
        const int16_t *light = engine->work[2] + at;
        int16_t *most_light = engine->most_light + at;
        for (int x = 0; x < width; x++) {
            most_light[x] = row[x] > most[x] ? light[x] : most_light[x];
            most[x] = row[x] > most[x] ? row[x] : most[x];
        }
        if (engine->weight_levels > 2)
            gather(job, row, engine->evidence[2], 1, y);
    }
}

/* Of the fine levels alone, when brightness has taken its part of them. */
static void gather_fine_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    int width = pf_half(engine->size[0][1]).width;
    (void)thread;
    for (int y = begin; y < end; y++) {
        float *row = engine->fine_evidence[1] + (size_t)y * (size_t)width;
        add_halved(job, row, engine->evidence[0], y);
        if (engine->weight_levels > PF_COARSE_LEVEL)
            gather(job, row, engine->fine_evidence[2], 1, y);
    }
}

/* Rows of lamp cells: what of them the frame has clipped. */
static void lamp_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    const struct pf_weighing *weighing = &engine->weighing;
    struct pf_grid samples = engine->size[0][1], cells = lamp_cells(engine);
    int side = 1 << lamp_level(engine);
    (void)thread;
    for (int y = begin; y < end; y++) {
        int top = y * side, bottom = pf_clamp(top + side, 0, samples.height);
        for (int x = 0; x < cells.width; x++) {
            int left = x * side, count = pf_clamp(side, 0, samples.width - left), sum = 0;
            for (int v = top; v < bottom; v++)
                sum += job->kernels->lamp_sum(
                    engine->work[1] + (size_t)v * (size_t)samples.width + left, count);
            float share = (float)sum / ((float)(count * (bottom - top)) * PF_LAMP_WHOLE);
            float *lamp = &engine->lamps[y * cells.width + x];
            *lamp = fmaxf(*lamp, share / (share + weighing->lamp_share));
        }
    }
}

/* What brightness takes from the evidence of the fine levels. At the finest level a cell stands for
 * itself, so that bright hairs are not lost, but for what shines from around; further down the edge
 * of a bright disc reaches as far as energies are smoothed. Where only coarse levels decide, nothing
 * is taken: out of focus, even surfaces would be patched together from the darkest frames. */
static void spill_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    const struct pf_weighing *weighing = &engine->weighing;
    struct pf_grid cells = pf_half(engine->size[0][job->level]);
    float *evidence = engine->fine_evidence[job->level];
    (void)thread;
    for (int y = begin; y < end; y++) {
        const int16_t *rows[3];
        for (int k = 0; k < 3; k++)
            rows[k] = engine->work[job->level + 1] +
                      (size_t)pf_clamp(y + k - 1, 0, cells.height - 1) * (size_t)cells.width;
        job->kernels->spill_row(evidence + (size_t)y * (size_t)cells.width, rows, cells.width,
                                weighing->spill * pf_weighing_counts(weighing, job->level));
    }
}

static void spill_finest_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    const struct pf_weighing *weighing = &engine->weighing;
    struct pf_grid cells = pf_half(engine->size[0][0]);
    const int16_t *samples = engine->work[1];
    struct smoothing smoothing = smoothing_of(job, begin, end, thread);
    for (int y = smoothing.first; y <= smoothing.last; y++)
        job->kernels->glare_row(raw_row(&smoothing, y), samples + (size_t)y * (size_t)cells.width,
                                cells.width, weighing->glare);
    for (int y = begin; y < end; y++) {
        smooth_row(job, &smoothing, y, smoothing.out);
        job->kernels->spill_finest_row(engine->evidence[0] + (size_t)y * (size_t)cells.width,
                                       samples + (size_t)y * (size_t)cells.width, smoothing.out,
                                       cells.width,
                                       weighing->spill * pf_weighing_counts(weighing, 0));
    }
}

/* The means of the fine levels' sums at the next level; and back, in place of the sums there. */
static void halve_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    float *cells = job->engine->fine_evidence[job->level];
    size_t width = (size_t)pf_half(job->engine->size[0][job->level]).width;
    (void)thread;
    memset(cells + (size_t)begin * width, 0, (size_t)(end - begin) * width * sizeof(*cells));
    for (int y = begin; y < end; y++)
        add_halved(job, cells + (size_t)y * width, job->engine->fine_evidence[job->level - 1], y);
}

static void spread_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    float *cells = job->engine->fine_evidence[job->level];
    size_t width = (size_t)pf_half(job->engine->size[0][job->level]).width;
    float share = job->level > 1 ? 1 : job->engine->weighing.around;
    (void)thread;
    if (job->level > 1)
        memset(cells + (size_t)begin * width, 0, (size_t)(end - begin) * width * sizeof(*cells));
    for (int y = begin; y < end; y++)
        gather(job, cells + (size_t)y * width, job->engine->fine_evidence[job->level + 1], share,
               y);
}

/* The finest level hears what all fine ones say. */
static void join_finest_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    size_t width = (size_t)pf_half(engine->size[0][0]).width;
    (void)thread;
    for (int y = begin; y < end; y++)
        gather(job, engine->evidence[0] + (size_t)y * width, engine->fine_evidence[1],
               engine->weighing.finest, y);
}

/* The part of the frame that counts as its picture, in its pixels. */
struct inside {
    double left, top, right, bottom;
};

static bool is_inside(const struct inside *inside, const double at[2])
{
    return at[0] >= inside->left && at[1] >= inside->top && at[0] <= inside->right &&
           at[1] <= inside->bottom;
}

/* A homography maps a line onto a line: what lies between two points inside is inside. */
static bool between_is_inside(const struct pf_warp *warp, const struct inside *inside, double first,
                              double last, double y)
{
    const double *h = warp->h;
    double ends[2][2];
    if (warp->field || !(h[6] * first + h[7] * y + h[8] > 0 && h[6] * last + h[7] * y + h[8] > 0))
        return false;
    pf_warp_row(warp, first, last - first, y, 2, ends);
    return is_inside(inside, ends[0]) && is_inside(inside, ends[1]);
}

/* Where the frame has no picture (cell centres that it maps outside), it must not count. NULL: it has
 * all of the row. */
static const float *penalty_of(const struct pf_fuse_job *job, int y, int width, float *out)
{
    if (job->covered)
        return NULL;
    double scale = ldexp(1, job->level);
    struct inside inside = {scale, scale, job->engine->size[0][0].width - 1 - scale,
                            job->engine->size[0][0].height - 1 - scale};
    bool any = false;
    enum { PIECE = 64 };
    for (int begin = 0; begin < width; begin += PIECE) {
        double at[PIECE][2], first = scale * (2 * begin + 0.5), row = scale * (2 * y + 0.5);
        int count = width - begin < PIECE ? width - begin : PIECE;
        if (between_is_inside(job->warp, &inside, first, first + 2 * scale * (count - 1), row)) {
            memset(out + begin, 0, (size_t)count * sizeof(*out));
            continue;
        }
        any = true;
        pf_warp_row(job->warp, first, 2 * scale, row, count, at);
        for (int i = 0; i < count; i++)
            out[begin + i] = is_inside(&inside, at[i]) ? 0 : PF_NO_COVER;
    }
    return any ? out : NULL;
}

static void share_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    const struct pf_shares *shares = &engine->shares[job->part];
    int width = pf_half(engine->size[0][job->level]).width;
    float power = engine->weighing.power, behind = 0;
    if (job->part == PF_PART_SOFT)
        pf_weighing_of_frame(&engine->weighing, engine->weight_levels, engine->settings.focus_order,
                             job->index - engine->first, &power, &behind);
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)width;
        float *evidence = shares->alpha + at;
        const float *penalty = penalty_of(job, y, width, pf_fuse_scratch(job, thread));
        if (shares->best)
            job->kernels->winner_row(evidence, shares->best + at, shares->winner + at, width, power,
                                     behind, penalty, (uint16_t)job->index);
        job->kernels->softmax_row(evidence, shares->log_total + at, width, power, behind, penalty);
    }
}

void pf_weights_row(const struct pf_cpu_engine *engine, const float *cells, int cell_level,
                    int plane, int level, int y, float *out)
{
    int width = engine->size[plane][level].width;
    struct pf_grid grid = pf_half(engine->size[0][cell_level]);
    /* A chroma plane's level may be as coarse as the cells are. */
    int factor_x = plane && engine->chroma_shift_x && level == cell_level ? 1 : 2;
    int factor_y = plane && engine->chroma_shift_y && level == cell_level ? 1 : 2;
    int upper = y, lower = y;
    float mix = 0;
    if (factor_y == 2) {
        upper = (y & 1) ? y / 2 : y / 2 - 1;
        lower = upper + 1;
        mix = (y & 1) ? 0.25f : 0.75f;
    }
    upper = pf_clamp(upper, 0, grid.height - 1);
    lower = pf_clamp(lower, 0, grid.height - 1);
    engine->kernels->alpha_row(out, width, cells + (size_t)upper * (size_t)grid.width,
                               cells + (size_t)lower * (size_t)grid.width, mix, grid.width,
                               factor_x);
}

/* A place between two of the lamp cells, of row or column i of the cells of level 1: the first of
 * them, and how far it is on the way to the next. */
static int lamp_before(int i, int level, float *ret_way)
{
    int at = 2 * i + 1 - (1 << (level - 1)), whole = 1 << level;
    *ret_way = (float)(at & (whole - 1)) / (float)whole;
    return (at - (at & (whole - 1))) / whole;
}

/* The most of the 3 x 3 lamp cells around one; one beyond the edge is the one at the edge. */
static float lamp_around(const struct pf_cpu_engine *engine, struct pf_grid cells, int x, int y)
{
    float most = 0;
    x = pf_clamp(x, 0, cells.width - 1);
    y = pf_clamp(y, 0, cells.height - 1);
    for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < cells.height; v++)
        for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < cells.width; u++)
            most = fmaxf(most, engine->lamps[v * cells.width + u]);
    return most;
}

void pf_weights_sharp_row(const struct pf_cpu_engine *engine, int y, float *out)
{
    float lamp[PF_LAMP_CELLS + 2], way; /* of lamp cells -1 .. their number */
    struct pf_grid cells = lamp_cells(engine);
    int level = lamp_level(engine), row = lamp_before(y, level, &way);
    for (int x = -1; x <= cells.width; x++) {
        float upper = lamp_around(engine, cells, x, row);
        lamp[x + 1] = upper + way * (lamp_around(engine, cells, x, row + 1) - upper);
    }
    const struct pf_weighing *weighing = &engine->weighing;
    const float *sharp = weighing->sharp, *lamp_sharp = weighing->lamp_sharp;
    int width = pf_half(engine->size[0][1]).width;
    float nothing = pf_weights_nothing(engine, 1);
    const float *most = engine->most + (size_t)y * (size_t)width;
    const int16_t *light = engine->most_light + (size_t)y * (size_t)width;
    for (int x = 0; x < width; x++) {
        const float *before = &lamp[lamp_before(x, level, &way) + 1];
        float near = (before[0] + way * (before[1] - before[0])) * pf_darkness(light[x]);
        float from = sharp[0] + near * (lamp_sharp[0] - sharp[0]);
        float to = sharp[1] + near * (lamp_sharp[1] - sharp[1]);
        float share = (most[x] - nothing - from) / (to - from);
        out[x] = share < 0 ? 0 : share > 1 ? 1 : share;
    }
}

/* All rows of the cells of job->level. */
static void run_cells(struct pf_fuse_job *job,
                      void (*rows)(void *context, int begin, int end, int thread))
{
    pf_pool_run(job->engine->pool, pf_half(job->engine->size[0][job->level]).height,
                PF_FUSE_ROWS_PER_PIECE, rows, job);
}

void pf_weights_weigh(struct pf_fuse_job *job)
{
    struct pf_cpu_engine *engine = job->engine;
    if (engine->first < 0)
        engine->first = job->index;
    job->noise = engine->weighing.noise > 0 ? noise_of(job) : 0;
    if (engine->noise < 0)
        engine->noise = job->noise < PF_MOST_NOISE ? job->noise : PF_MOST_NOISE;
    for (job->level = 0; job->level < engine->weight_levels; job->level++) {
        job->reach = pf_weighing_taps(&engine->weighing, job->level, job->taps);
        run_cells(job, evidence_rows);
    }
    if (engine->parts > 1) {
        int around = engine->weight_levels - 1;
        around = around < PF_AROUND_LEVEL ? around : PF_AROUND_LEVEL;
        for (job->level = engine->weight_levels - 2; job->level >= 2; job->level--)
            run_cells(job, gather_coarse_rows);
        job->level = 1;
        run_cells(job, gather_rows);
        pf_pool_run(engine->pool, lamp_cells(engine).height, 1, lamp_rows, job);
        job->level = 0;
        job->reach = pf_weighing_glare_taps(&engine->weighing, job->taps);
        run_cells(job, spill_finest_rows);
        for (job->level = 1; job->level < PF_COARSE_LEVEL && job->level < engine->weight_levels - 1;
             job->level++)
            run_cells(job, spill_rows);
        job->level = 1;
        run_cells(job, gather_fine_rows);
        for (job->level = 2; job->level <= around; job->level++)
            run_cells(job, halve_rows);
        for (job->level = around - 1; job->level >= 1; job->level--)
            run_cells(job, spread_rows);
        job->level = 0;
        run_cells(job, join_finest_rows);
    }
    for (int part = 0; part < engine->parts; part++) {
        job->part = part;
        job->level = cell_level(part);
        run_cells(job, share_rows);
    }
}
