/* The finest levels of an alignment, by what their blocks say; see process/cpu/ecc_blocks.c.
 *
 * A step is three launches: how well the warp in hand fits, what each block asks for, and what they agree
 * on, with the decision whether there is a next. Those after the last do nothing, and the host waits for none.
 */
#include "process/cuda/ecc_blocks.h"
#include "process/cuda/ecc_kernels.h"

/* Steps of a level that are queued at once: of real brackets' levels one in twenty takes more of the five that there
 * may be. */
#define FIRST_STEPS 2

enum { VOTERS = 512 }; /* threads of the one block that hears all of the picture's blocks */

static __global__ void begin_refining(struct level level)
{
    struct state *state = level.state;
    if (!is_in_hand(level))
        return;
    state->mean = level.target[level.width * (level.height / 2) + level.width / 2];
    pf_ecc_to_level(state->h, level.target_scale, level.image_scale, state->warp);
    memcpy(state->before, state->warp, sizeof(state->before));
    use_warp(state, level);
    state->steps = 0;
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

/* Whether the fit at the warp in hand lets the search go on. One thread. */
static __device__ bool goes_on_from(const struct level &level)
{
    struct state *state = level.state;
    if (state->steps == 0) {
        state->first = state->looked.correlation;
    } else if (!(state->looked.correlation > state->first - 0.02)) {
        memcpy(state->warp, state->before, sizeof(state->warp));
        return false;
    }
    state->correlation = state->looked.correlation;
    state->overlap = state->looked.overlap;
    return state->steps < level.most_steps;
}

/* The motion in its own parameters becomes the next warp; false when that is the last. One thread. */
static __device__ bool take_step(const struct level &level, const double *p, int count)
{
    struct state *state = level.state;
    double basis[PARAMETERS][PARAMETERS], d[PARAMETERS] = {0}, delta[9];
    pf_ecc_basis(level.motion, basis);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < PARAMETERS; k++)
            d[k] += basis[i][k] * p[i];
    if (!pf_ecc_step_map(&level.frame, d, delta))
        return false;
    memcpy(state->before, state->warp, sizeof(state->before));
    pf_homography_compose(state->warp, state->warp, delta);
    use_warp(state, level);
    state->steps++;
    return !(pf_homography_corner_distance(state->before, state->warp, level.width, level.height) <
             level.tolerance_px);
}

/* By one block: what all blocks of the picture agree on, each by its certainty, robustly. As `agree` of
 * process/cpu/ecc_blocks.c; a thread's own sums are of a few dozen, and float is enough for them. */
template <int count>
static __global__ void __launch_bounds__(VOTERS, 1)
    agree(struct level level, const struct pf_ecc_block *blocks, int block_count)
{
    enum { PAIRS = count * (count + 1) / 2, CERTAINTY = PAIRS + count, ASKED, SUMS };
    PF_SHARED(double, total, [SUMS]);
    PF_SHARED(float, p, [count]);
    PF_SHARED(bool, on);
    struct state *state = level.state;
    int thread = (int)threadIdx.x;
    if (!is_in_hand(level))
        return;
    bool near = state->steps > 0;
    if (thread < count)
        p[thread] = 0;
    __syncthreads(); /* all have read the steps */
    if (thread == 0)
        on = goes_on_from(level);
    __syncthreads();
    double found[count];
    float radius = (float)level.frame.radius, unit = radius * radius;
    for (int round = 0; round < pf_ecc_blocks_rounds(near) && on; round++) {
        float sum[SUMS] = {0};
        for (int i = thread; i < block_count; i += VOTERS) {
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
        sum_of_block<VOTERS>(sum, total);
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
        }
        __syncthreads();
    }
    if (thread == 0 && !(on && take_step(level, found, count)))
        end_stage(level, state->warp);
}

#define LAUNCH(kernel, threads, ...)                                                               \
    do {                                                                                           \
        PF_LAUNCH(kernel, dim3(1), dim3(threads), 0, cuda->lane[PF_CUDA_WORK], __VA_ARGS__);       \
        pf_cuda_launched(cuda, "alignment: by blocks");                                            \
    } while (0)

void pf_cuda_ecc_refine(struct pf_cuda *cuda, const struct level *level,
                        const struct pf_cuda_blocks *blocks, bool goes_on)
{
    struct state *state = level->state;
    struct pf_ecc_question question = {level->target, level->image,       level->width,
                                       level->height, level->image_width, level->image_height,
                                       state->warp,   &state->now,        &state->stage,
                                       level->stage,  level->frame,       *blocks};
    int columns, rows;
    pf_ecc_block_grid(level->width, level->height, &columns, &rows);
    int count = columns > 0 && rows > 0 ? columns * rows : 0;
    if (!goes_on)
        LAUNCH(begin_refining, 1, *level);
    /* The last one only sees how well the last step's warp fits. */
    int begin = goes_on ? FIRST_STEPS : 0;
    int end = goes_on || level->most_steps <= FIRST_STEPS ? level->most_steps : FIRST_STEPS - 1;
    for (int step = begin; step <= end; step++) {
        pf_cuda_ecc_judge_now(cuda, level, PF_JUDGED_LOOK);
        if (step < level->most_steps)
            pf_cuda_ask_blocks(cuda, &question);
        switch (level->motion) {
        case PF_MOTION_SHIFT:
            LAUNCH(agree<2>, VOTERS, *level, blocks->block, count);
            break;
        case PF_MOTION_SIMILARITY:
            LAUNCH(agree<4>, VOTERS, *level, blocks->block, count);
            break;
        case PF_MOTION_AFFINE:
            LAUNCH(agree<6>, VOTERS, *level, blocks->block, count);
            break;
        case PF_MOTION_HOMOGRAPHY:
            LAUNCH(agree<8>, VOTERS, *level, blocks->block, count);
            break;
        }
    }
}
