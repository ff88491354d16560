/* A step of alignment by blocks of the picture, which defocus does not lead astray; ecc_blocks.c says
 * how.
 *
 * Used by process/cpu/ecc.c, one thread at a time per object; uses the pool. All is borrowed for the
 * call.
 */
#ifndef PF_ECC_BLOCKS_H
#define PF_ECC_BLOCKS_H

#ifdef __cplusplus
extern "C" {
#endif

#include "process/cpu/ecc.h"
#include "process/cpu/ecc_block.h"
#include "process/cpu/ecc_step.h"

struct pf_ecc_blocks; /* scratch memory */
int pf_ecc_blocks_new(struct pf_ecc_blocks **ret, struct pf_error *err);
struct pf_ecc_blocks *
pf_ecc_blocks_free(struct pf_ecc_blocks *blocks); /* NULL-safe, returns NULL */

struct pf_ecc_blocks_view {
    const struct pf_kernels *kernels;
    struct pf_pool *pool; /* NULL allowed */
    const struct pf_ecc_level *target, *image;
    const float *sample; /* the image at the warp, on the target's columns and rows */
    double warp[9];      /* target column, row -> image column, row; right to about two samples */
    struct pf_ecc_frame frame;
    enum pf_motion motion;
};

/* 1 with the step of the target's coordinates that the blocks agree on, as a map in columns and rows
 * (the next warp is this one after it); 0 when they are too few or say too little. `near`: the warp
 * comes from such a step. *ret_certainty: inverse variances of all blocks that agree,
 * added up, per squared sample. -ENOMEM. */
int pf_ecc_blocks_step(struct pf_ecc_blocks *blocks, const struct pf_ecc_blocks_view *view,
                       bool near, double ret[9], double *ret_certainty, struct pf_error *err);

#ifdef __cplusplus
}
#endif

#endif
