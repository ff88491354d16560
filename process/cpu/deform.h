/* Non-rigid alignment of the frame in hand: what flow.h or elastix.h finds in the reduced pictures of
 * an alignment, made exact by the anchors.
 *
 * Used by the backends, in the worker, one thread at a time per object. The frame is brought to the
 * target's geometry by what is known already, so that only the rest is sought; where it has no
 * picture the target's own is put, which pulls nowhere.
 */
#ifndef PF_CPU_DEFORM_H
#define PF_CPU_DEFORM_H

#include "process/cpu/alignment.h"
#include "process/cpu/anchors.h"

/* Whether a field that was found over a picture can be one: -ENODATA with the reason otherwise. */
int pf_deformation_check(const struct pf_field *field, int width, int height, struct pf_error *err);

/* As deform() of a backend. `anchors` were taken from what is fused; `luma` is the frame in hand. */
int pf_alignment_deform(struct pf_alignment *alignment, enum pf_target target,
                        struct pf_anchors *anchors, const struct pf_source_plane *luma,
                        const struct pf_warp *start, struct pf_field **ret_field,
                        struct pf_fit *ret, struct pf_error *err);

#endif
