/* The pass over a level's blocks for alignment: what process/cpu/ecc_blocks.c asks each of them, on the
 * device: sums by a block of threads each, then the answer by a thread each.
 *
 * Used by process/cuda/ecc_refine.cu, one thread at a time per queue; only queued.
 */
#ifndef PF_CUDA_ECC_BLOCKS_H
#define PF_CUDA_ECC_BLOCKS_H

#include "process/cpu/ecc.h"
#include "process/cpu/ecc_block.h"
#include "process/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* On the device: room for the blocks of a level, pf_ecc_block_grid() of them, row by row. */
struct pf_cuda_blocks {
    struct pf_ecc_block *block;
    double *sums; /* [PF_BLOCK_SUMS][count]: see pf_ecc_block_ask() */
};

/* What is on the device when its turn comes. */
struct pf_ecc_question {
    const float *target, *image;
    int width, height, image_width, image_height;
    const double *warp;              /* device: target column, row -> image column, row */
    const struct pf_short_warp *now; /* the same */
    const int *in_hand;              /* device: something is asked while this is `stage` */
    int stage;
    struct pf_ecc_frame frame;
    struct pf_cuda_blocks blocks;
};
void pf_cuda_ask_blocks(struct pf_cuda *cuda, const struct pf_ecc_question *question);

#ifdef __cplusplus
}
#endif

#endif
