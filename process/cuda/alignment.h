/* Alignment of the frame in hand on the device: pictures of light of it, of its predecessor and of the
 * stack, and what correlation (ecc.h) and deformation (deform.h) find in them there. Features are found on
 * the processor: the pictures come to it when features are asked for.
 *
 * Used by the CUDA backend, in the worker, one thread at a time per object.
 */
#ifndef PF_CUDA_ALIGNMENT_H
#define PF_CUDA_ALIGNMENT_H

#include "process/cpu/alignment.h"
#include "process/cuda/deform.h"

struct pf_cuda_alignment {
    const struct pf_stack_settings *settings; /* borrowed */
    struct pf_pool *pool;                     /* borrowed */
    struct pf_cuda *cuda;                     /* borrowed */
    struct pf_cuda_ecc *ecc;
    struct pf_cuda_deform *deform; /* NULL until it is wanted */
    int finer;                     /* levels of the pictures that are finer than correlation's */
    struct pf_cuda_pyramid current, predecessor, before, stack_view;
    float *bends, *bends_here; /* of the device, and pinned: the frame in hand's reduced grids */
    struct pf_alignment host;  /* its pictures are those that features were asked of */
};

/* settings, pool and cuda are borrowed for the object's life. -ENOMEM, -EREMOTEIO. */
int pf_cuda_alignment_open(struct pf_cuda_alignment *alignment,
                           const struct pf_stack_settings *settings, struct pf_pool *pool,
                           struct pf_cuda *cuda, struct pf_error *err);
void pf_cuda_alignment_close(struct pf_cuda_alignment *alignment); /* a zeroed one is allowed */

/* Halvings from a frame to the finest picture that this alignment needs; to be asked before the first
 * picture is given. */
int pf_cuda_alignment_halvings(struct pf_cuda_alignment *alignment, int width);

/* The frame in hand's picture of light, on the device (see pf_cuda_pyramid_of_light), takes the place
 * of the last one. Waits until all is done that has been queued. */
int pf_cuda_alignment_take(struct pf_cuda_alignment *alignment, const float *light, int width,
                           int height, double scale, double offset, double *ret_contrast,
                           struct pf_error *err);
/* What pf_alignment_measure() finds in it. */
void pf_cuda_alignment_measure(const struct pf_cuda_alignment *alignment, struct pf_focus *ret);
/* The stack's. Only queued. */
int pf_cuda_alignment_view(struct pf_cuda_alignment *alignment, const float *light, int width,
                           int height, double scale, double offset, struct pf_error *err);
void pf_cuda_alignment_keep(struct pf_cuda_alignment *alignment); /* it becomes the predecessor */

/* As the functions of a backend. */
int pf_cuda_alignment_align(struct pf_cuda_alignment *alignment, enum pf_target target, bool search,
                            double h[9], struct pf_fit *ret, struct pf_error *err);
int pf_cuda_alignment_match(struct pf_cuda_alignment *alignment, enum pf_features_kind kind,
                            enum pf_target target, double h[9], struct pf_fit *ret,
                            struct pf_features_fit *ret_count, struct pf_error *err);
/* width, height: of a frame. */
int pf_cuda_alignment_deform(struct pf_cuda_alignment *alignment, enum pf_target target, int width,
                             int height, const struct pf_warp *start, struct pf_field **ret_field,
                             struct pf_fit *ret, struct pf_error *err);

#endif
