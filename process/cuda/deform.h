/* Non-rigid alignment on the device: a displacement field on top of a homography.
 *
 * Called by the CUDA backend and its tests, one thread at a time per queue. The methods share their
 * pass over the pixels, which sums up in each cell of a grid what the cell says about its motion: the
 * products of the gradients (information) and those of gradient and difference, after gain and offset
 * of the whole picture, with less say for pixels that differ much (Cauchy weights; Holland & Welsch
 * 1977). Gradients are the mean of both pictures' (Benhimane & Malis 2004).
 *   flow     dense optical flow, coarse to fine: cells of 4 x 4 pixels, each pulled by what it says and
 *            by its neighbours (Bruhn, Weickert & Schnoerr, "Lucas/Kanade meets Horn/Schunck", IJCV
 *            2005); forth and back, and where the two disagree nothing is believed. Its cells then
 *            become a field by penalised least squares.
 *   bspline  free-form deformation (Rueckert et al., IEEE TMI 1999): the field's own coefficients by
 *            Gauss-Newton, the normal equations by conjugate gradients, with a penalty on bending;
 *            stops when it has converged.
 * Coordinates are those of process/warp.h. Errors: -ENODATA when the pictures have nothing in common,
 * -ENOMEM, -EREMOTEIO (see runtime.h). No CUDA type is seen here.
 */
#ifndef PF_CUDA_DEFORM_H
#define PF_CUDA_DEFORM_H

#include "process/cuda/ecc.h"
#include "process/warp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pf_cuda_deform_method { PF_CUDA_FLOW, PF_CUDA_BSPLINE, PF_CUDA_SYN };

struct pf_cuda_deform_options {
    enum pf_cuda_deform_method method;
    double
        spacing_px; /* bspline: between nodes, full-size pixels; flow and syn have 16 of the finest level */
    double smoothness; /* how stiff: 0 as is good for most */
};

struct pf_cuda_deform_report {
    struct pf_ecc_fit fit; /* of the homography and the field together */
    int steps;             /* Gauss-Newton steps that were made, of all levels */
    double
        trusted; /* flow: share of the cells that forth and back agree on; syn: that can be undone */
};

struct pf_cuda_deform; /* memory on the device */
int pf_cuda_deform_new(struct pf_cuda_deform **ret, struct pf_cuda *cuda /* borrowed */,
                       struct pf_error *err);
struct pf_cuda_deform *pf_cuda_deform_free(struct pf_cuda_deform *deform); /* NULL-safe */

/* image(h * r + field(r)) looks like target(r), h being start's; its field, where it has one, is where
 * the search begins. All levels of the pyramids are used; the finest one decides how exact the field
 * is. *ret is the caller's. Waits for the result. */
int pf_cuda_deform_run(struct pf_cuda_deform *deform, const struct pf_cuda_pyramid *target,
                       const struct pf_cuda_pyramid *image, const struct pf_warp *start,
                       const struct pf_cuda_deform_options *options, struct pf_field **ret,
                       struct pf_cuda_deform_report *ret_report, struct pf_error *err);

#ifdef __cplusplus
}
#endif

#endif
