/* Enhanced correlation alignment on the device; see ecc.h, and process/cpu/ecc.c for the method.
 *
 * One launch an iteration: every thread samples the image through the warp at its pixels of the
 * target and adds up what both the fit and the step need. The sums of the step are those of each
 * steepest descent image times image, target and one; gain and means, which the fit of the same
 * pixels gives, join when all is summed. So the pixels are read once where the CPU reads them twice.
 * The block that finishes last adds up the blocks' sums in order, solves, and decides.
 *
 * The host does not wait for a decision: it queues a few steps of each level, and what comes after the last
 * that was needed finds another stage in hand and does nothing.
 */
#include "process/cuda/ecc.h"

#include <errno.h>
#include <stdlib.h>

#include "process/cuda/ecc_kernels.h"

/* Steps of a level that are queued at once. Three real brackets and three of the generator's (51 frames, 120
 * levels) take one to four of the 30 that there may be. */
#define FIRST_STEPS 4

enum { MOST_STAGES = 2 * PF_ECC_MAX_LEVELS };

struct pf_cuda_ecc {
    struct pf_cuda *cuda;
    struct state *state;
    double *partial;
    struct state *here; /* pinned */
    struct pf_cuda_blocks blocks;
    size_t block_capacity;
};

/* ---- sums -------------------------------------------------------------------------------------- */

/* Adds up `count` values of each thread of the block into partial[block], then, in the block that
 * comes last, those of all blocks into `total` (shared). Returns true in that block's threads. */
template <int count>
static __device__ bool sum_up(const float (&value)[count], const struct level &level,
                              double (&total)[MOST_SUMS])
{
    enum { GROUP = THREADS / 8 };
    __shared__ float all[THREADS][MOST_SUMS | 1];
    __shared__ double group[8][MOST_SUMS];
    __shared__ unsigned last;
    int thread = (int)threadIdx.x;
#pragma unroll
    for (int k = 0; k < count; k++)
        all[thread][k] = value[k];
    __syncthreads();
    for (int i = thread; i < 8 * count; i += THREADS) {
        int k = i % count, part = i / count;
        double sum = 0;
        for (int j = 0; j < GROUP; j++)
            sum += (double)all[part * GROUP + j][k];
        group[part][k] = sum;
    }
    __syncthreads();
    double *partial = level.partial + (size_t)blockIdx.x * MOST_SUMS;
    for (int k = thread; k < count; k += THREADS) {
        double sum = 0;
        for (int part = 0; part < 8; part++)
            sum += group[part][k];
        partial[k] = sum;
    }
    __threadfence();
    __syncthreads();
    if (thread == 0)
        last = atomicInc(&level.state->ticket, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (!last)
        return false;
    __threadfence();
    int blocks = (int)gridDim.x;
    for (int i = thread; i < 8 * count; i += THREADS) {
        int k = i % count, part = i / count;
        double sum = 0;
        for (int j = part; j < blocks; j += 8)
            sum += level.partial[(size_t)j * MOST_SUMS + k];
        group[part][k] = sum;
    }
    __syncthreads();
    for (int k = thread; k < count; k += THREADS) {
        double sum = 0;
        for (int part = 0; part < 8; part++)
            sum += group[part][k];
        total[k] = sum;
    }
    __syncthreads();
    return true;
}

/* ---- a level's beginning ------------------------------------------------------------------------- */

static __device__ void begin_level(const struct level &level)
{
    struct state *state = level.state;
    pf_ecc_to_level(state->h, level.target_scale, level.image_scale, state->warp);
    memcpy(state->best, state->warp, sizeof(state->best));
    use_warp(state, level);
    state->best_fit.correlation = -2; /* any fit is better */
    state->best_fit.overlap = 0;
    state->steps = 0;
    state->moved_px = 1e30;
}

/* The steepest descent images at a pixel: the target's gradient, times the radius, times what each
 * parameter moves. */
static __device__ __forceinline__ void descent(float (&ret)[PARAMETERS], const struct level &level,
                                               int x, int y)
{
    float gx = 0, gy = 0;
    if (x > 0 && y > 0 && x < level.width - 1 && y < level.height - 1) {
        const float *at = level.target + (size_t)y * level.width + x;
        float half_radius = 0.5f * (float)level.frame.radius;
        gx = half_radius * (at[1] - at[-1]);
        gy = half_radius * (at[level.width] - at[-level.width]);
    }
    float u = ((float)x - (float)level.frame.centre_x) / (float)level.frame.radius;
    float v = ((float)y - (float)level.frame.centre_y) / (float)level.frame.radius;
    ret[0] = gx;
    ret[1] = gx * u;
    ret[2] = gx * v;
    ret[3] = gy;
    ret[4] = gy * u;
    ret[5] = gy * v;
    ret[6] = -(ret[1] + ret[5]) * u;
    ret[7] = -(ret[1] + ret[5]) * v;
}

/* Products of the steepest descent images, and the target's mean. */
static __global__ void __launch_bounds__(THREADS) sum_hessian(struct level level)
{
    __shared__ double total[MOST_SUMS];
    if (!is_in_hand(level))
        return;
    float sum[HESSIAN_SUMS] = {0};
    int pixels = level.width * level.height;
    for (int i = (int)(blockIdx.x * THREADS + threadIdx.x); i < pixels;
         i += (int)gridDim.x * THREADS) {
        int y = i / level.width, x = i - y * level.width;
        float g[PARAMETERS];
        descent(g, level, x, y);
#pragma unroll
        for (int k = 0; k < PARAMETERS; k++)
#pragma unroll
            for (int l = 0; l <= k; l++)
                sum[k * (k + 1) / 2 + l] += g[k] * g[l];
        sum[HESSIAN_SUMS - 1] += level.target[i];
    }
    if (!sum_up(sum, level, total) || threadIdx.x > 0)
        return;
    double hessian[PARAMETERS * PARAMETERS];
    for (int k = 0; k < PARAMETERS; k++)
        for (int l = 0; l <= k; l++)
            hessian[k * PARAMETERS + l] = total[k * (k + 1) / 2 + l];
    pf_ecc_normal_of(&level.state->normal, hessian, level.motion);
    level.state->mean = (float)(total[HESSIAN_SUMS - 1] / pixels);
    begin_level(level);
}

/* ---- fit and step -------------------------------------------------------------------------------- */

/* Bilinear sample of the image where the warp takes (x, y); false outside. */
static __device__ __forceinline__ bool sample(float *ret, const struct pf_short_warp &warp,
                                              const struct level &level, int x, int y)
{
    float dx, dy, tx, ty;
    int ix, iy;
    pf_short_warp_at(warp, (float)x, (float)y, &dx, &dy);
    if (!pf_pixel_at(x, y, dx, dy, level.image_width, level.image_height, 0, &ix, &iy, &tx, &ty))
        return false;
    *ret =
        pf_bilinear(level.image + (size_t)iy * level.image_width + ix, level.image_width, tx, ty);
    return true;
}

static __device__ __forceinline__ void add_fit(float *sum, float t, float s)
{
    sum[0] += 1;
    sum[1] += t;
    sum[2] += s;
    sum[3] += t * t;
    sum[4] += s * s;
    sum[5] += t * s;
}

static __device__ struct pf_ecc_fit_numbers fit_of(const double *total, const struct level &level)
{
    struct pf_fit_sums sums = {total[0], total[1], total[2], total[3], total[4], total[5]};
    return pf_ecc_fit_of(&sums, (double)level.width * level.height);
}

/* The next warp from an iteration's sums; false where there is none. */
static __device__ bool next_warp(const double *total, const struct pf_ecc_fit_numbers &fit,
                                 const struct level &level)
{
    struct state *state = level.state;
    if (state->moved_px < level.tolerance_px ||
        fit.correlation < state->best_fit.correlation - 0.05 || state->steps == level.most_steps)
        return false;
    /* error = slope * (s - mean of s) - (t - mean of t), summed with each steepest descent image. */
    double step[PARAMETERS], offset = fit.target_mean - fit.slope * fit.sample_mean;
    for (int k = 0; k < PARAMETERS; k++) {
        const double *sums = total + FIT_SUMS + 3 * k;
        step[k] = fit.slope * sums[0] - sums[1] + offset * sums[2];
    }
    double delta[9], inverse[9], before[9];
    if (!pf_ecc_next_step(&state->normal, step, &level.frame, delta) ||
        !pf_homography_invert(inverse, delta))
        return false;
    memcpy(before, state->warp, sizeof(before));
    pf_homography_compose(state->warp, state->warp, inverse);
    state->moved_px = pf_homography_corner_distance(before, state->warp, level.width, level.height);
    if (!(state->moved_px < level.width))
        return false;
    use_warp(state, level);
    state->steps++;
    return true;
}

/* What comes of an iteration's sums: the best warp so far, and the next one or the end. */
static __device__ void decide(const double *total, const struct level &level)
{
    struct state *state = level.state;
    struct pf_ecc_fit_numbers fit = fit_of(total, level);
    if (fit.correlation > state->best_fit.correlation) {
        state->best_fit = fit;
        memcpy(state->best, state->warp, sizeof(state->best));
    }
    if (next_warp(total, fit, level))
        return;
    state->correlation = state->best_fit.correlation;
    state->overlap = state->best_fit.overlap;
    end_stage(level, state->best);
}

static __global__ void __launch_bounds__(THREADS, 1) iterate(struct level level)
{
    __shared__ double total[MOST_SUMS];
    if (!is_in_hand(level))
        return;
    struct pf_short_warp warp = level.state->now;
    float mean = level.state->mean, sum[STEP_SUMS] = {0};
    int pixels = level.width * level.height;
    for (int i = (int)(blockIdx.x * THREADS + threadIdx.x); i < pixels;
         i += (int)gridDim.x * THREADS) {
        int y = i / level.width, x = i - y * level.width;
        float s, t = level.target[i] - mean;
        if (!sample(&s, warp, level, x, y))
            continue;
        s -= mean;
        add_fit(sum, t, s);
        float g[PARAMETERS];
        descent(g, level, x, y);
#pragma unroll
        for (int k = 0; k < PARAMETERS; k++) {
            sum[FIT_SUMS + 3 * k] += g[k] * s;
            sum[FIT_SUMS + 3 * k + 1] += g[k] * t;
            sum[FIT_SUMS + 3 * k + 2] += g[k];
        }
    }
    if (sum_up(sum, level, total) && threadIdx.x == 0)
        decide(total, level);
}

/* The fit of the start alone: how well a map that is given fits. */
static __global__ void __launch_bounds__(THREADS) judge(struct level level, enum pf_judged what)
{
    __shared__ double total[MOST_SUMS];
    if (!is_in_hand(level))
        return;
    struct pf_short_warp warp = level.state->now;
    float mean = level.state->mean, sum[FIT_SUMS] = {0};
    int pixels = level.width * level.height;
    for (int i = (int)(blockIdx.x * THREADS + threadIdx.x); i < pixels;
         i += (int)gridDim.x * THREADS) {
        int y = i / level.width, x = i - y * level.width;
        float s;
        if (sample(&s, warp, level, x, y))
            add_fit(sum, level.target[i] - mean, s - mean);
    }
    if (!sum_up(sum, level, total) || threadIdx.x > 0)
        return;
    struct pf_ecc_fit_numbers fit = fit_of(total, level);
    if (what == PF_JUDGED_LOOK) {
        level.state->looked = fit;
    } else if (what == PF_JUDGED_AGREEMENT) {
        level.state->agreement = fit.correlation;
    } else {
        level.state->correlation = fit.correlation;
        level.state->overlap = fit.overlap;
    }
}

/* ---- the search for a large shift ---------------------------------------------------------------- */

/* A block per shift, on the coarsest level: its fit. The last block takes the best, if it is clearly
 * better than the start, and the first of equals. */
static __global__ void __launch_bounds__(THREADS)
    search_shift(struct level level, int columns, int reach_x, int reach_y)
{
    __shared__ float all[THREADS][FIT_SUMS + 1];
    __shared__ double total[FIT_SUMS];
    if (!is_in_hand(level))
        return;
    int thread = (int)threadIdx.x;
    /* Block 0 is the start. */
    int number = (int)blockIdx.x - 1;
    int dx = number < 0 ? 0 : number % columns * 2 - reach_x;
    int dy = number < 0 ? 0 : number / columns * 2 - reach_y;
    struct pf_short_warp warp = level.state->now;
    warp.c += (float)dx;
    warp.f += (float)dy;
    /* A shift comes after the warp: u and v of the denominator are in it already. */
    warp.a += (float)dx * warp.g;
    warp.b += (float)dx * warp.h;
    warp.d += (float)dy * warp.g;
    warp.e += (float)dy * warp.h;
    float mean = level.state->mean, sum[FIT_SUMS] = {0};
    int pixels = level.width * level.height;
    for (int i = thread; i < pixels; i += THREADS) {
        int y = i / level.width, x = i - y * level.width;
        float s;
        if (sample(&s, warp, level, x, y))
            add_fit(sum, level.target[i] - mean, s - mean);
    }
    for (int k = 0; k < FIT_SUMS; k++)
        all[thread][k] = sum[k];
    __syncthreads();
    if (thread < FIT_SUMS) {
        total[thread] = 0;
        for (int i = 0; i < THREADS; i++)
            total[thread] += (double)all[i][thread];
    }
    __syncthreads();
    if (thread > 0)
        return;
    level.partial[blockIdx.x] = fit_of(total, level).correlation;
    __threadfence();
    if (atomicInc(&level.state->ticket, gridDim.x - 1) != gridDim.x - 1)
        return;
    __threadfence();
    double most = level.partial[0] + 0.1;
    int best = 0;
    for (int i = 1; i < (int)gridDim.x; i++) {
        if (level.partial[i] > most) {
            most = level.partial[i];
            best = i;
        }
    }
    if (best > 0) {
        const double shift[9] = {1, 0, (double)((best - 1) % columns * 2 - reach_x),
                                 0, 1, (double)((best - 1) / columns * 2 - reach_y),
                                 0, 0, 1};
        pf_homography_compose(level.state->warp, shift, level.state->warp);
        memcpy(level.state->best, level.state->warp, sizeof(level.state->best));
        use_warp(level.state, level);
    }
}

/* ---- judging, and the contrast ----------------------------------------------------------------------- */

static __global__ void begin_judging(struct level level)
{
    if (!is_in_hand(level))
        return;
    level.state->mean = level.target[level.width * (level.height / 2) + level.width / 2];
    begin_level(level);
}

static __global__ void __launch_bounds__(THREADS) sum_contrast(struct level level)
{
    __shared__ double total[MOST_SUMS];
    float sum[2] = {0}, base = pf_ecc_code(level.target[0]);
    int pixels = level.width * level.height;
    for (int i = (int)(blockIdx.x * THREADS + threadIdx.x); i < pixels;
         i += (int)gridDim.x * THREADS) {
        float value = pf_ecc_code(level.target[i]) - base;
        sum[0] += value;
        sum[1] += value * value;
    }
    if (!sum_up(sum, level, total) || threadIdx.x > 0)
        return;
    double mean = total[0] / pixels;
    level.state->contrast = sqrt(fmax(0.0, total[1] / pixels - mean * mean));
}

/* ---- what the backend calls ----------------------------------------------------------------------- */

int pf_cuda_ecc_new(struct pf_cuda_ecc **ret, struct pf_cuda *cuda, struct pf_error *err)
{
    struct pf_cuda_ecc *ecc = (struct pf_cuda_ecc *)calloc(1, sizeof(*ecc));
    if (!ecc)
        return pf_fail(err, ENOMEM, "out of memory for alignment");
    ecc->cuda = cuda;
    int r = pf_cuda_alloc(cuda, (void **)&ecc->state, sizeof(*ecc->state), err);
    if (r == 0)
        r = pf_cuda_alloc(cuda, (void **)&ecc->partial, sizeof(double) * MOST_BLOCKS * MOST_SUMS,
                          err);
    if (r == 0)
        r = pf_cuda_alloc_pinned(cuda, (void **)&ecc->here, sizeof(*ecc->here), err);
    if (r < 0) {
        pf_cuda_ecc_free(ecc);
        return r;
    }
    *ret = ecc;
    return 0;
}

static void release_blocks(struct pf_cuda_ecc *ecc)
{
    pf_cuda_release(ecc->cuda, ecc->blocks.block);
    pf_cuda_release(ecc->cuda, ecc->blocks.sums);
    memset(&ecc->blocks, 0, sizeof(ecc->blocks));
    ecc->block_capacity = 0;
}

struct pf_cuda_ecc *pf_cuda_ecc_free(struct pf_cuda_ecc *ecc)
{
    if (ecc) {
        pf_cuda_release(ecc->cuda, ecc->state);
        pf_cuda_release(ecc->cuda, ecc->partial);
        pf_cuda_release_pinned(ecc->cuda, ecc->here);
        release_blocks(ecc);
    }
    free(ecc);
    return NULL;
}

static struct level level_of(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                             const struct pf_cuda_pyramid *image, int number)
{
    const struct pf_ecc_level *to = &target->levels.level[number];
    const struct pf_ecc_level *from = &image->levels.level[number];
    struct level level;
    memset(&level, 0, sizeof(level));
    level.target = to->pixels;
    level.image = from->pixels;
    level.width = to->width;
    level.height = to->height;
    level.image_width = from->width;
    level.image_height = from->height;
    level.target_scale.scale = to->scale;
    level.target_scale.offset = to->offset;
    level.image_scale.scale = from->scale;
    level.image_scale.offset = from->offset;
    level.frame.centre_x = 0.5 * (to->width - 1);
    level.frame.centre_y = 0.5 * (to->height - 1);
    level.frame.radius = 0.5 * to->width;
    level.partial = ecc->partial;
    level.state = ecc->state;
    return level;
}

/* Blocks for a level: at least eight pixels for each thread, so that sums are worth adding up. */
static dim3 blocks_for(const struct level *level)
{
    unsigned blocks = pf_pieces(level->width * level->height, 8 * THREADS);
    return dim3(min(blocks, (unsigned)MOST_BLOCKS));
}

#define LAUNCH(kernel, blocks, threads, what, ...)                                                 \
    do {                                                                                           \
        PF_LAUNCH(kernel, blocks, dim3(threads), 0, cuda->lane[PF_CUDA_WORK], __VA_ARGS__);        \
        pf_cuda_launched(cuda, what);                                                              \
    } while (0)

static void begin(struct pf_cuda_ecc *ecc, const double *h)
{
    memset(ecc->here, 0, sizeof(*ecc->here));
    if (h)
        memcpy(ecc->here->h, h, sizeof(ecc->here->h));
    pf_cuda_upload(ecc->cuda, ecc->state, ecc->here, sizeof(*ecc->here));
}

static int end(struct pf_cuda_ecc *ecc, struct pf_error *err)
{
    pf_cuda_download(ecc->cuda, ecc->here, ecc->state, sizeof(*ecc->here));
    return pf_cuda_wait(ecc->cuda, err);
}

void pf_cuda_ecc_judge_now(struct pf_cuda *cuda, const struct level *level, enum pf_judged what)
{
    LAUNCH(judge, blocks_for(level), THREADS, "alignment: judging", *level, what);
}

static void judge_level(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                        const struct pf_cuda_pyramid *image, int number, int stage,
                        enum pf_judged what)
{
    struct pf_cuda *cuda = ecc->cuda;
    struct level level = level_of(ecc, target, image, number);
    level.stage = stage;
    LAUNCH(begin_judging, dim3(1), 1, "alignment: judging", level);
    pf_cuda_ecc_judge_now(cuda, &level, what);
}

void pf_cuda_ecc_align_level(struct pf_cuda *cuda, const struct level *level, bool search,
                             bool goes_on)
{
    if (!goes_on)
        LAUNCH(sum_hessian, blocks_for(level), THREADS, "alignment: gradients", *level);
    if (!goes_on && search) {
        int reach_x, reach_y;
        pf_ecc_search_reach(level->width, level->height, &reach_x, &reach_y);
        /* Only of a strip's picture are there more shifts than sums. */
        while ((reach_x + 1) * (reach_y + 1) >= MOST_BLOCKS * MOST_SUMS)
            *(reach_x > reach_y ? &reach_x : &reach_y) /= 2;
        int columns = reach_x + 1, rows = reach_y + 1;
        LAUNCH(search_shift, dim3((unsigned)(1 + columns * rows)), THREADS, "alignment: searching",
               *level, columns, reach_x, reach_y);
    }
    /* The last one only sees how well the last step's warp fits. */
    int begin = goes_on ? FIRST_STEPS + 1 : 0;
    int end = goes_on ? level->most_steps : min(FIRST_STEPS, level->most_steps);
    for (int step = begin; step <= end; step++)
        LAUNCH(iterate, blocks_for(level), THREADS, "alignment: iterating", *level);
}

/* The coarse levels carry too little to hold all of a large motion's parameters. */
static enum pf_motion motion_of(enum pf_motion motion, int number, int count)
{
    return number == count - 1 && count > 2 && motion > PF_MOTION_SIMILARITY ? PF_MOTION_SIMILARITY
                                                                             : motion;
}

/* Room for what the blocks of a level say. */
static int reserve_blocks(struct pf_cuda_ecc *ecc, const struct pf_ecc_level *level,
                          struct pf_error *err)
{
    int columns, rows;
    pf_ecc_block_grid(level->width, level->height, &columns, &rows);
    size_t count = columns > 0 && rows > 0 ? (size_t)columns * (size_t)rows : 0;
    if (count <= ecc->block_capacity)
        return 0;
    release_blocks(ecc);
    int r = pf_cuda_alloc(ecc->cuda, (void **)&ecc->blocks.block,
                          count * sizeof(*ecc->blocks.block), err);
    if (r == 0)
        r = pf_cuda_alloc(ecc->cuda, (void **)&ecc->blocks.sums,
                          count * PF_BLOCK_SUMS * sizeof(*ecc->blocks.sums), err);
    if (r == 0)
        ecc->block_capacity = count;
    return r;
}

/* levels: of the finest that are used, 0 for all. */
static int coarsest_of(int count, int levels)
{
    return levels && levels < count ? levels - 1 : count - 1;
}

/* A level, aligned one way. */
struct stage {
    struct level level;
    bool by_blocks, search;
};

/* What an alignment does one after another, coarsest level first. */
static int stages_of(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                     const struct pf_cuda_pyramid *image, enum pf_motion motion, bool search,
                     int levels, struct stage stages[MOST_STAGES])
{
    int count = min(target->levels.count, image->levels.count), made = 0;
    int coarsest = coarsest_of(count, levels), judge = pf_ecc_level_of_width(&target->levels, 400);
    for (int number = coarsest; number >= 0; number--) {
        bool by_blocks = pf_ecc_level_by_blocks(&target->levels, number);
        struct level level = level_of(ecc, target, image, number);
        level.motion = motion_of(motion, number, count);
        level.is_judge = number == judge;
        /* Blocks need a start, which a picture of one level has from correlation as well. */
        if (!by_blocks || number == count - 1) {
            level.stage = made;
            level.most_steps = number ? 30 : 10;
            level.tolerance_px = number ? 0.01 : 0.004;
            stages[made].level = level;
            stages[made].by_blocks = false;
            stages[made++].search = search && number == coarsest;
        }
        if (by_blocks) {
            level.stage = made;
            level.most_steps = pf_ecc_blocks_steps(levels);
            level.tolerance_px = PF_ECC_BLOCKS_TOLERANCE_PX;
            stages[made].level = level;
            stages[made].by_blocks = true;
            stages[made++].search = false;
        }
    }
    return made;
}

static void queue_stage(struct pf_cuda_ecc *ecc, const struct stage *stage, bool goes_on)
{
    if (stage->by_blocks)
        pf_cuda_ecc_refine(ecc->cuda, &stage->level, &ecc->blocks, goes_on);
    else
        pf_cuda_ecc_align_level(ecc->cuda, &stage->level, stage->search, goes_on);
}

int pf_cuda_ecc_align(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                      const struct pf_cuda_pyramid *image, enum pf_motion motion, bool search,
                      int levels, double h[9], struct pf_ecc_fit *ret, struct pf_error *err)
{
    struct stage stages[MOST_STAGES];
    int count = stages_of(ecc, target, image, motion, search, levels, stages);
    int judge = pf_ecc_level_of_width(&target->levels, 400);
    bool judged_apart = judge > coarsest_of(min(target->levels.count, image->levels.count), levels);
    int r =
        pf_ecc_by_blocks(&target->levels) ? reserve_blocks(ecc, &target->levels.level[0], err) : 0;
    begin(ecc, h);
    for (int first = 0, again = 0; r == 0 && first < count; first = ecc->here->stage, again = 1) {
        for (int k = first; k < count; k++)
            queue_stage(ecc, &stages[k], again && k == first);
        if (judged_apart)
            judge_level(ecc, target, image, judge, count, PF_JUDGED_AGREEMENT);
        r = end(ecc, err);
    }
    if (r < 0)
        return r;
    memcpy(h, ecc->here->h, sizeof(ecc->here->h));
    memset(ret, 0, sizeof(*ret));
    ret->correlation = ecc->here->correlation;
    ret->agreement = ecc->here->agreement;
    ret->overlap = ecc->here->overlap;
    ret->certainty = ecc->here->certainty;
    return 0;
}

int pf_cuda_ecc_judge(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                      const struct pf_cuda_pyramid *image, const double h[9],
                      struct pf_ecc_fit *ret, struct pf_error *err)
{
    int judge = pf_ecc_level_of_width(&target->levels, 400);
    judge = judge < image->levels.count ? judge : image->levels.count - 1;
    begin(ecc, h);
    judge_level(ecc, target, image, 0, 0, PF_JUDGED_FIT);
    judge_level(ecc, target, image, judge, 0, PF_JUDGED_AGREEMENT);
    int r = end(ecc, err);
    if (r < 0)
        return r;
    ret->correlation = ecc->here->correlation;
    ret->agreement = ecc->here->agreement;
    ret->overlap = ecc->here->overlap;
    return 0;
}

int pf_cuda_ecc_contrast(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *pyramid,
                         double *ret, struct pf_error *err)
{
    struct level level =
        level_of(ecc, pyramid, pyramid, pf_ecc_level_of_width(&pyramid->levels, 200));
    struct pf_cuda *cuda = ecc->cuda;
    begin(ecc, NULL);
    LAUNCH(sum_contrast, blocks_for(&level), THREADS, "contrast", level);
    int r = end(ecc, err);
    if (r == 0)
        *ret = ecc->here->contrast;
    return r;
}
