/* Greedy symmetric diffeomorphic registration on the device.
 *
 * Used by deform.cu and the tests, one thread at a time per queue; everything is queued, nothing
 * waits. No CUDA type is seen here but for the cells' (deform_kernels.h).
 *
 * Two pictures meet half-way (Avants, Epstein, Grossman & Gee, "Symmetric diffeomorphic image
 * registration with cross-correlation", Medical Image Analysis 2008): each is brought to the middle by
 * a map of its own, and both maps are moved alike by steps so small and smooth that none of them folds;
 * the maps compose, so neither do they. The way from the target to the image is the inverse of the
 * first map, then the second. Local correlation is what is bettered: gain and offset are fitted around
 * each cell, so light and defocus may differ from place to place. A step is that of Gauss and Newton
 * (as in the demons of Vercauteren et al., NeuroImage 2009) on sums smoothed over cells, where the
 * paper follows the gradient: a dozen steps a level instead of a hundred.
 */
#ifndef PF_CUDA_DEFORM_SYN_H
#define PF_CUDA_DEFORM_SYN_H

#include "process/cuda/deform_kernels.h"

/* What a cell knows of the pictures in the middle, values less `mean`. */
struct pf_syn_sums {
    float count, t, i, tt, ii, ti;
};

/* What moves a cell: (information) * step = pull; in 1/px^2 and 1/px of the target's level. */
struct pf_syn_pull {
    float xx, xy, yy, x, y;
};

/* Room of a registration, all on the device, one value for each cell of the finest grid. */
struct pf_syn_room {
    float2 *half[2]; /* target's and image's way from the middle, px of the target's level */
    float2 *spare[2];
    float2 *step;
    struct pf_syn_sums *sums;
    struct pf_syn_pull *pull[2];
};

size_t pf_syn_bytes(size_t cells);
void pf_syn_lay_out(struct pf_syn_room *ret, size_t cells, void *base);

/* The halves begin with a displacement from target to image (px of the image's level). */
void pf_syn_begin(struct pf_cuda *cuda, struct pf_syn_room *room,
                  const struct pf_deform_pass *pass);
/* The halves of a coarser level become those of this one, whose pixels are twice as many. */
void pf_syn_refine(struct pf_cuda *cuda, struct pf_syn_room *room,
                   const struct pf_deform_pass *pass, const struct pf_cells *coarse);
/* At most `steps` steps on a level; ends early, on the device, when they have become small. */
void pf_syn_run(struct pf_cuda *cuda, struct pf_syn_room *room, const struct pf_deform_pass *pass,
                int steps);
/* pass->displacement: what takes the target's cells to the image, on top of the warp, px of the image's
 * level; trust: 0 where the maps cannot be undone, 1 where the pictures are alike, else
 * between. */
void pf_syn_join(struct pf_cuda *cuda, const struct pf_syn_room *room,
                 const struct pf_deform_pass *pass, float *trust);
/* Cells that have been looked at say that displacement, where it is trusted; the rest says nothing. */
void pf_syn_say(struct pf_cuda *cuda, const struct pf_deform_pass *pass, const float *trust,
                float stiffness);

#endif
