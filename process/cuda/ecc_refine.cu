/* The finest levels of an alignment, by what their blocks say; see process/cpu/ecc_blocks.c.
 *
 * A step is three launches: how well the warp in hand fits, what each block asks for, and what they agree
 * on, with the decision whether there is a next. As many are queued as there may be; those after the last
 * do nothing, and the host waits for none.
 */
#include "process/cuda/ecc_blocks.h"
#include "process/cuda/ecc_kernels.h"

static __global__ void begin_refining(struct level level)
{
    struct state *state = level.state;
    state->mean = level.target[level.width * (level.height / 2) + level.width / 2];
    pf_ecc_to_level(state->h, level.target_scale, level.image_scale, state->warp);
    memcpy(state->before, state->warp, sizeof(state->before));
    use_warp(state, level);
    state->steps = 0;
    state->done = 0;
}

static __global__ void end_refining(struct level level, bool is_judge)
{
    struct state *state = level.state;
    pf_ecc_to_full(state->warp, level.target_scale, level.image_scale, state->h);
    if (is_judge)
        state->agreement = state->correlation;
}

/* What each parameter of a motion does to a point: the rows of pf_ecc_basis. */
template <int count>
static __device__ __forceinline__ void jacobian(float u, float v, float (&x)[count],
                                                float (&y)[count])
{
    if (count <= 4) {
        const float sx[4] = {1, 0, u, -v}, sy[4] = {0, 1, v, u};
#pragma unroll
        for (int k = 0; k < count; k++)
            x[k] = sx[k & 3], y[k] = sy[k & 3];
    } else {
        const float px[8] = {1, u, v, 0, 0, 0, -u * u, -u * v};
        const float py[8] = {0, 0, 0, 1, u, v, -u * v, -v * v};
#pragma unroll
        for (int k = 0; k < count; k++)
            x[k] = px[k], y[k] = py[k];
    }
}

/* Adds up the values of all threads; the sums are `total`'s when it returns. */
template <int sums>
static __device__ void sum_of_block(const float (&value)[sums], float (&all)[THREADS][sums | 1],
                                    double (&total)[sums])
{
    enum { PARTS = THREADS / sums < 8 ? THREADS / sums : 8, EACH = (THREADS + PARTS - 1) / PARTS };
    int thread = (int)threadIdx.x, kind = thread % sums, part = thread / sums;
    double sum = 0;
#pragma unroll
    for (int k = 0; k < sums; k++)
        all[thread][k] = value[k];
    __syncthreads();
    if (part < PARTS)
        for (int i = part * EACH; i < min((part + 1) * EACH, (int)THREADS); i++)
            sum += (double)all[i][kind];
    __syncthreads();
    if (part < PARTS)
        all[part][kind] = (float)sum;
    __syncthreads();
    if (thread < sums) {
        total[thread] = 0;
        for (int i = 0; i < PARTS; i++)
            total[thread] += (double)all[i][thread];
    }
    __syncthreads();
}

/* Whether the fit at the warp in hand lets the search go on. One thread. */
static __device__ bool goes_on(const struct level &level)
{
    struct state *state = level.state;
    if (state->steps == 0) {
        state->first = state->looked.correlation;
    } else if (!(state->looked.correlation > state->first - 0.02)) {
        memcpy(state->warp, state->before, sizeof(state->warp));
        state->done = 1;
        return false;
    }
    state->correlation = state->looked.correlation;
    state->overlap = state->looked.overlap;
    state->done = state->steps == level.most_steps;
    return !state->done;
}

/* The motion in its own parameters becomes the next warp. One thread. */
static __device__ void take_step(const struct level &level, const double *p, int count)
{
    struct state *state = level.state;
    double basis[PARAMETERS][PARAMETERS], d[PARAMETERS] = {0}, delta[9];
    pf_ecc_basis(level.motion, basis);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < PARAMETERS; k++)
            d[k] += basis[i][k] * p[i];
    state->done = !pf_ecc_step_map(&level.frame, d, delta);
    if (state->done)
        return;
    memcpy(state->before, state->warp, sizeof(state->before));
    pf_homography_compose(state->warp, state->warp, delta);
    use_warp(state, level);
    state->steps++;
    state->done = pf_homography_corner_distance(state->before, state->warp, level.width,
                                                level.height) < level.tolerance_px;
}

/* By one block: what all blocks of the picture agree on, each by its certainty, robustly. As `agree` of
 * process/cpu/ecc_blocks.c; a thread's own sums are of a few dozen, and float is enough for them. */
template <int count>
static __global__ void __launch_bounds__(THREADS, 1)
    agree(struct level level, const struct pf_ecc_block *blocks, int block_count)
{
    enum { PAIRS = count * (count + 1) / 2, CERTAINTY = PAIRS + count, ASKED, SUMS };
    __shared__ float all[THREADS][SUMS | 1];
    __shared__ double total[SUMS];
    __shared__ float p[count];
    __shared__ bool on;
    struct state *state = level.state;
    int thread = (int)threadIdx.x;
    if (state->done)
        return;
    bool near = state->steps > 0;
    if (thread < count)
        p[thread] = 0;
    __syncthreads(); /* all have read the steps */
    if (thread == 0)
        on = goes_on(level);
    __syncthreads();
    double found[count];
    float radius = (float)level.frame.radius, unit = radius * radius;
    for (int round = 0; round < pf_ecc_blocks_rounds(near) && on; round++) {
        float sum[SUMS] = {0};
        for (int i = thread; i < block_count; i += THREADS) {
            struct pf_ecc_block block = blocks[i];
            if (!(block.weight[0] > 0))
                continue;
            float jx[count], jy[count];
            float wxx = unit * block.weight[0], wxy = unit * block.weight[1];
            float wyy = unit * block.weight[2];
            float dx = block.d[0] / radius, dy = block.d[1] / radius, rx = dx, ry = dy;
            jacobian(block.u, block.v, jx, jy);
#pragma unroll
            for (int k = 0; k < count; k++) {
                rx -= jx[k] * p[k];
                ry -= jy[k] * p[k];
            }
            float far = wxx * rx * rx + 2 * wxy * rx * ry + wyy * ry * ry;
            float fade = 1 + far * (float)(1 / PF_ECC_BLOCKS_FAR);
            float share = near || round ? 1 / (fade * fade) : 1;
#pragma unroll
            for (int k = 0; k < count; k++) {
                float wx = share * (wxx * jx[k] + wxy * jy[k]);
                float wy = share * (wxy * jx[k] + wyy * jy[k]);
                sum[PAIRS + k] += wx * dx + wy * dy;
#pragma unroll
                for (int l = 0; l <= k; l++)
                    sum[k * (k + 1) / 2 + l] += wx * jx[l] + wy * jy[l];
            }
            sum[CERTAINTY] += share * (block.weight[0] + block.weight[2]);
            sum[ASKED] += 1;
        }
        sum_of_block(sum, all, total);
        if (thread == 0) {
            double a[PARAMETERS][PARAMETERS], b[PARAMETERS];
            for (int k = 0; k < count; k++) {
                for (int l = 0; l <= k; l++)
                    a[k][l] = total[k * (k + 1) / 2 + l];
                a[k][k] *= 1 + 1e-9;
                b[k] = total[PAIRS + k];
            }
            state->certainty = total[CERTAINTY];
            on = total[ASKED] >= PF_ECC_BLOCKS_LEAST && pf_ecc_solve(a, b, count);
            for (int k = 0; k < count; k++) {
                found[k] = b[k];
                p[k] = (float)b[k];
            }
            if (!on)
                state->done = 1;
        }
        __syncthreads();
    }
    if (thread == 0 && on)
        take_step(level, found, count);
}

#define LAUNCH(kernel, threads, ...)                                                               \
    do {                                                                                           \
        PF_LAUNCH(kernel, dim3(1), dim3(threads), 0, cuda->lane[PF_CUDA_WORK], __VA_ARGS__);       \
        pf_cuda_launched(cuda, "alignment: by blocks");                                            \
    } while (0)

void pf_cuda_ecc_refine(struct pf_cuda *cuda, const struct level *level,
                        struct pf_ecc_block *blocks, bool is_judge)
{
    struct state *state = level->state;
    struct pf_ecc_question question = {
        level->target,      level->image,        level->width, level->height,
        level->image_width, level->image_height, state->warp,  &state->now,
        &state->done,       level->frame,        blocks};
    int columns, rows;
    pf_ecc_block_grid(level->width, level->height, &columns, &rows);
    int count = columns > 0 && rows > 0 ? columns * rows : 0;
    LAUNCH(begin_refining, 1, *level);
    for (int step = 0; step <= level->most_steps; step++) {
        pf_cuda_ecc_judge_now(cuda, level, PF_JUDGED_LOOK);
        if (step < level->most_steps)
            pf_cuda_ask_blocks(cuda, &question);
        switch (level->motion) {
        case PF_MOTION_SHIFT:
            LAUNCH(agree<2>, THREADS, *level, blocks, count);
            break;
        case PF_MOTION_SIMILARITY:
            LAUNCH(agree<4>, THREADS, *level, blocks, count);
            break;
        case PF_MOTION_AFFINE:
            LAUNCH(agree<6>, THREADS, *level, blocks, count);
            break;
        case PF_MOTION_HOMOGRAPHY:
            LAUNCH(agree<8>, THREADS, *level, blocks, count);
            break;
        }
    }
    LAUNCH(end_refining, 1, *level, is_judge);
}
