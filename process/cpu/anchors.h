/* Anchors: small patches of full-size pixels by which a displacement field becomes exact.
 *
 * A grid of patches in the reference's geometry, each from the frame that has it sharpest so far.
 * Refinement looks for each of them in the frame in hand, near where the field says, by Gauss-Newton
 * steps (inverse compositional: Baker & Matthews, IJCV 2004), and fits the field to what is found.
 * Only the patches are read: a few megapixels of a picture however large, to a hundredth of a pixel
 * or two.
 *
 * Part of the CPU backend, one thread at a time per object; uses the pool. Everything is borrowed.
 */
#ifndef PF_ANCHORS_H
#define PF_ANCHORS_H

#include "process/cpu/kernels.h"
#include "process/pool.h"
#include "process/warp.h"

struct pf_anchors;

/* For frames of this size; NULL pool: the caller's thread alone. -ENOMEM. */
int pf_anchors_new(struct pf_anchors **ret, int width, int height, const struct pf_kernels *kernels,
                   struct pf_pool *pool, struct pf_error *err);
struct pf_anchors *pf_anchors_free(struct pf_anchors *anchors); /* NULL-safe, returns NULL */

/* Takes from a frame that is fused the patches that it has sharper than those before. */
void pf_anchors_take(struct pf_anchors *anchors, const struct pf_source_plane *luma,
                     const struct pf_warp *warp);

struct pf_anchors_fit {
    int tried, found;
    double before_px, after_px; /* typical (median) distance of what was found from the field */
};

/* Replaces warp->field (which must be there) by one that fits the anchors; where too few are found
 * it stays as it is. -ENOMEM, and the warp is unchanged. */
int pf_anchors_refine(struct pf_anchors *anchors, const struct pf_source_plane *luma,
                      struct pf_warp *warp, struct pf_anchors_fit *ret, struct pf_error *err);

#endif
