/* The finest levels of an alignment, by what their blocks say; see process/cpu/ecc_blocks.c. */
#include <string.h>

#include "process/cpu/ecc_blocks.h"
#include "process/cuda/ecc.h"

int pf_cuda_ecc_refine(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                       const struct pf_cuda_pyramid *image, enum pf_motion motion, int number,
                       int most_steps, double h[9], struct pf_ecc_fit *ret, struct pf_error *err)
{
    const struct pf_ecc_level *to = &target->levels.level[number];
    const struct pf_ecc_level *from = &image->levels.level[number];
    struct pf_ecc_scale to_scale = {to->scale, to->offset},
                        from_scale = {from->scale, from->offset};
    struct pf_ecc_frame frame = {0.5 * (to->width - 1), 0.5 * (to->height - 1), 0.5 * to->width};
    struct pf_ecc_fit fit = *ret;
    double first = 0, warp[9], before[9];
    memcpy(before, h, sizeof(before));
    for (int step = 0; step <= most_steps; step++) {
        const struct pf_ecc_block *blocks;
        double delta[9], last[9];
        int count, r = pf_cuda_ecc_look(ecc, target, image, number, h, &fit, &blocks, &count, err);
        if (r < 0)
            return r;
        if (step == 0) {
            first = fit.correlation;
        } else if (!(fit.correlation > first - 0.02)) {
            memcpy(h, before, sizeof(before));
            return 0;
        }
        fit.certainty = ret->certainty;
        *ret = fit;
        if (step == most_steps ||
            !pf_ecc_blocks_agree(blocks, count, motion, &frame, step > 0, delta, &ret->certainty))
            return 0;
        memcpy(before, h, sizeof(before));
        pf_ecc_to_level(h, to_scale, from_scale, warp);
        memcpy(last, warp, sizeof(last));
        pf_homography_compose(warp, warp, delta);
        pf_ecc_to_full(warp, to_scale, from_scale, h);
        if (pf_homography_corner_distance(last, warp, to->width, to->height) <
            PF_ECC_BLOCKS_TOLERANCE_PX)
            return 0;
    }
    return 0;
}
