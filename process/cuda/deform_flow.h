/* The dense flow on the device: what a level's cells do with what they know.
 *
 * Used by deform.cu and the tests, one thread at a time per queue; everything is queued, nothing
 * waits. No CUDA type is seen here but for the cells' (deform_kernels.h). deform.h has the source.
 */
#ifndef PF_CUDA_DEFORM_FLOW_H
#define PF_CUDA_DEFORM_FLOW_H

#include "process/cuda/deform_kernels.h"

/* One sweep over the cells of one colour of a chessboard (0: that of the first cell): each takes what it and
 * its neighbours say. Does nothing when the state is done. */
void pf_flow_relax(struct pf_cuda *cuda, const struct pf_deform_pass *pass, float stiffness,
                   int colour);
/* out: displacements of a coarser level for a finer one, whose pixels are `zoom` times as many. */
void pf_flow_refine(struct pf_cuda *cuda, float2 *out, const struct pf_cells *grid,
                    const float2 *coarse, const struct pf_cells *coarse_grid, float zoom);
/* Cells of `forth` say their displacement where going there and coming back ends where it began, and
 * nothing elsewhere; those that do are counted in forth->state->trusted. */
void pf_flow_agree(struct pf_cuda *cuda, const struct pf_deform_pass *forth,
                   const struct pf_deform_pass *back, float stiffness);

#endif
