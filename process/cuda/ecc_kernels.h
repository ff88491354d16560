/* What the kernels of alignment share: the state of a search on the device, and sums over all pixels of a
 * level; see ecc.h. For ecc.cu (an alignment), ecc_level.cu (correlation), ecc_refine.cu (blocks), likeness.cu
 * and their tests alone. */
#ifndef PF_CUDA_ECC_KERNELS_H
#define PF_CUDA_ECC_KERNELS_H

#include <string.h>

#include "process/cpu/ecc_block.h"
#include "process/cpu/ecc_step.h"
#include "process/cpu/likeness.h"
#include "process/cuda/bilinear.h"
#include "process/cuda/ecc.h"
#include "process/cuda/ecc_blocks.h"
#include "process/cuda/queue.h"

enum {
    THREADS = 256,
    MOST_BLOCKS = 256, /* one or two for every multiprocessor, on every card the same */
    PARAMETERS = PF_ECC_PARAMETERS,
    FIT_SUMS = 6,
    STEP_SUMS = FIT_SUMS + 3 * PARAMETERS,
    HESSIAN_SUMS = PARAMETERS * (PARAMETERS + 1) / 2 + 1, /* and the mean */
    MOST_SUMS = HESSIAN_SUMS,
};

struct state {
    double h[9]; /* of full-size points */
    double warp[9], best[9];
    struct pf_short_warp now;
    struct pf_ecc_normal normal;
    struct pf_ecc_fit_numbers best_fit;
    double moved_px; /* by the last step */
    int stage;  /* in hand: that of an alignment's levels, each by correlation, by blocks or both */
    int steps;  /* taken of it */
    float mean; /* of the target's level: sums are of differences to it */
    unsigned ticket;
    double agreement, correlation, overlap, contrast;
    /* Of blocks: the fit at `warp`, that of the level's start, the warp before the last step; what they say
     * of the motion in all. */
    struct pf_ecc_fit_numbers looked;
    double first, before[9], certainty;
};

struct level {
    const float *target, *image;
    int width, height, image_width, image_height;
    struct pf_ecc_scale target_scale, image_scale;
    struct pf_ecc_frame frame;
    enum pf_motion motion;
    int stage; /* its kernels do nothing before and after this is the one in hand */
    bool is_judge;
    int most_steps;
    double tolerance_px;
    double *partial; /* [MOST_BLOCKS][MOST_SUMS] */
    struct state *state;
};

static __device__ inline void use_warp(struct state *state, const struct level &level)
{
    state->now = pf_short_warp_of(state->warp, level.width, level.height);
}

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

/* Adds up the values of all threads of a block; the sums are `total`'s (shared) when it returns. So many of them at a
 * time as there is shared memory for. */
template <int threads, int sums>
static __device__ void sum_of_block(const float (&value)[sums], double *total)
{
    enum { KINDS = 8192 / threads, PARTS = threads / KINDS, EACH = threads / PARTS };
    PF_SHARED(float, all, [threads][KINDS + 1]);
    PF_SHARED(double, parts, [PARTS][KINDS]);
    int thread = (int)threadIdx.x, kind = thread % KINDS, part = thread / KINDS;
#pragma unroll
    for (int first = 0; first < sums; first += KINDS) {
        double sum = 0;
#pragma unroll
        for (int k = 0; k < KINDS; k++)
            if (first + k < sums)
                all[thread][k] = value[first + k];
        __syncthreads();
        if (first + kind < sums)
            for (int i = 0; i < EACH; i++)
                sum += (double)all[part * EACH + i][kind];
        parts[part][kind] = sum;
        __syncthreads();
        if (part == 0 && first + kind < sums) {
            sum = 0;
            for (int i = 0; i < PARTS; i++)
                sum += parts[i][kind];
            total[first + kind] = sum;
        }
    }
    __syncthreads();
}

static __device__ __forceinline__ bool is_in_hand(const struct level &level)
{
    return level.state->stage == level.stage;
}

/* Where the level has brought it. One thread. */
static __device__ inline void end_stage(const struct level &level, const double warp[9])
{
    struct state *state = level.state;
    pf_ecc_to_full(warp, level.target_scale, level.image_scale, state->h);
    if (level.is_judge)
        state->agreement = state->correlation;
    state->stage++;
}

/* Of a level as many steps are queued as are enough for nearly all frames; where they were not, which the host
 * sees by state->stage, `goes_on` queues the rest of level->most_steps. */
/* ecc_level.cu: moves state->h to where correlation on a level is the highest; with `search`, from the best of many
 * shifts. Only queued. */
void pf_cuda_ecc_align_level(struct pf_cuda *cuda, const struct level *level, bool search,
                             bool goes_on);
/* ecc_refine.cu: moves state->h to where the blocks of a level want it; back when correlation speaks against
 * it. Only queued. */
void pf_cuda_ecc_refine(struct pf_cuda *cuda, const struct level *level,
                        const struct pf_cuda_blocks *blocks, bool goes_on);
/* likeness.cu: what each block of a level shows under state->now; ret: of the device, pf_likeness_count(). Only
 * queued. */
void pf_cuda_see_likeness(struct pf_cuda *cuda, const struct level *level,
                          struct pf_likeness_block *ret);
/* ecc_level.cu: state->h becomes the warp of a level in hand; how well the warp in hand fits, told by what is asked
 * for; the spread of the target's codes. Only queued. */
void pf_cuda_ecc_begin_judging(struct pf_cuda *cuda, const struct level *level);
void pf_cuda_ecc_see_contrast(struct pf_cuda *cuda, const struct level *level);
enum pf_judged { PF_JUDGED_FIT, PF_JUDGED_AGREEMENT, PF_JUDGED_LOOK };
void pf_cuda_ecc_judge_now(struct pf_cuda *cuda, const struct level *level, enum pf_judged what);

#endif
