/* The pass over a level's blocks for alignment: what process/cpu/ecc_blocks.c asks each of them, on the
 * device, a block of threads each.
 *
 * Used by process/cuda/ecc.cu and its tests, one thread at a time per queue; only queued. `blocks` is on
 * the device, row by row, pf_ecc_block_grid() of them.
 */
#ifndef PF_CUDA_ECC_BLOCKS_H
#define PF_CUDA_ECC_BLOCKS_H

#include "process/cpu/ecc.h"
#include "process/cpu/ecc_block.h"
#include "process/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* warp: target column, row -> image column, row. */
void pf_cuda_ask_blocks(struct pf_cuda *cuda, struct pf_ecc_block *blocks,
                        const struct pf_ecc_level *target, const struct pf_ecc_level *image,
                        const double warp[9], const struct pf_ecc_frame *frame);

#ifdef __cplusplus
}
#endif

#endif
