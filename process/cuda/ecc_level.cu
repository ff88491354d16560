/* Enhanced correlation of a level on the device; see process/cpu/ecc.c for the method.
 *
 * One launch an iteration: every thread samples the image through the warp at its pixels of the
 * target and adds up what both the fit and the step need. The sums of the step are those of each
 * steepest descent image times image, target and one; gain and means, which the fit of the same
 * pixels gives, join when all is summed. So the pixels are read once where the CPU reads them twice.
 * The block that finishes last adds up the blocks' sums in order, solves, and decides.
 */
#include "process/cuda/ecc_kernels.h"

/* Steps of a level that are queued at once. Three real brackets and three of the generator's (51 frames, 120
 * levels) take one to four of the 30 that there may be. */
#define FIRST_STEPS 4

/* ---- sums -------------------------------------------------------------------------------------- */

/* Adds up `count` values of each thread of the block into partial[block], then, in the block that
 * comes last, those of all blocks into `total` (shared). Returns true in that block's threads. */
template <int count>
static __device__ bool sum_up(const float (&value)[count], const struct level &level,
                              double (&total)[MOST_SUMS])
{
    enum { PARTS = 8 };
    PF_SHARED(double, group, [PARTS][MOST_SUMS]);
    PF_SHARED(unsigned, last);
    int thread = (int)threadIdx.x, blocks = (int)gridDim.x;
    sum_of_block<THREADS>(value, total);
    if (thread < count)
        level.partial[(size_t)blockIdx.x * MOST_SUMS + thread] = total[thread];
    __threadfence();
    __syncthreads();
    if (thread == 0)
        last = atomicInc(&level.state->ticket, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (!last)
        return false;
    __threadfence();
    for (int i = thread; i < PARTS * count; i += THREADS) {
        int k = i % count, part = i / count;
        double sum = 0;
        for (int j = part; j < blocks; j += PARTS)
            sum += level.partial[(size_t)j * MOST_SUMS + k];
        group[part][k] = sum;
    }
    __syncthreads();
    if (thread < count) {
        double sum = 0;
        for (int part = 0; part < PARTS; part++)
            sum += group[part][thread];
        total[thread] = sum;
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
    PF_SHARED(double, total, [MOST_SUMS]);
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
    PF_SHARED(double, total, [MOST_SUMS]);
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
    PF_SHARED(double, total, [MOST_SUMS]);
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
    PF_SHARED(double, total, [FIT_SUMS]);
    PF_SHARED(double, most, [THREADS]);
    PF_SHARED(int, best, [THREADS]);
    PF_SHARED(bool, last);
    if (!is_in_hand(level))
        return;
    int thread = (int)threadIdx.x, blocks = (int)gridDim.x;
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
    sum_of_block<THREADS>(sum, total);
    if (thread == 0) {
        level.partial[blockIdx.x] = fit_of(total, level).correlation;
        __threadfence();
        last = atomicInc(&level.state->ticket, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last)
        return;
    __threadfence();
    most[thread] = level.partial[0] + 0.1;
    best[thread] = 0;
    for (int i = max(thread, 1); i < blocks; i += THREADS) {
        if (level.partial[i] > most[thread]) {
            most[thread] = level.partial[i];
            best[thread] = i;
        }
    }
    __syncthreads();
    if (thread > 0)
        return;
    int found = best[0];
    double highest = most[0];
    for (int i = 1; i < THREADS; i++) {
        if (best[i] && (most[i] > highest || (most[i] == highest && found && best[i] < found))) {
            highest = most[i];
            found = best[i];
        }
    }
    if (found > 0) {
        const double shift[9] = {1, 0, (double)((found - 1) % columns * 2 - reach_x),
                                 0, 1, (double)((found - 1) / columns * 2 - reach_y),
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
    PF_SHARED(double, total, [MOST_SUMS]);
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

/* ---- what is queued -------------------------------------------------------------------------------- */

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

void pf_cuda_ecc_begin_judging(struct pf_cuda *cuda, const struct level *level)
{
    LAUNCH(begin_judging, dim3(1), 1, "alignment: judging", *level);
}

void pf_cuda_ecc_judge_now(struct pf_cuda *cuda, const struct level *level, enum pf_judged what)
{
    LAUNCH(judge, blocks_for(level), THREADS, "alignment: judging", *level, what);
}

void pf_cuda_ecc_see_contrast(struct pf_cuda *cuda, const struct level *level)
{
    LAUNCH(sum_contrast, blocks_for(level), THREADS, "contrast", *level);
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
