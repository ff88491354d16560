/* Where the focal planes of a bracket's frames lie, from the sharpness of the picture's cells alone.
 *
 * Passing through focus, the sharpness of a cell above the noise follows
 * (1 + ((p - z) / w)^2)^(-3/2) closely: p is the frame's focal plane, z the cell's depth; half of it
 * is left at 0.77 w, the half width. On a picture so reduced that this is one and a half to three
 * steps of the bracket, the curves of all cells follow it to 2 or 3 %, and their widths are much alike whatever is seen (measured on
 * generated brackets of 0.4 to 24 megapixels). So all planes, depths, widths and contrasts are
 * fitted at once, as bundle adjustment does (Triggs et al., "Bundle Adjustment - A Modern Synthesis",
 * 2000): Gauss-Newton, each cell's own unknowns eliminated, a banded system of the planes left;
 * cells that do not follow the curve (several depths in one) weigh less. Widths are drawn to their
 * middle and, weakly, steps to 1: what no cell speaks for stays even.
 *
 * Pure but for memory; any thread. Positions are in steps, increasing; only their ratios mean
 * something.
 */
#ifndef PF_FOCAL_PLANES_H
#define PF_FOCAL_PLANES_H

#include "process/focus_grid.h"

/* Sharpness of the cells in each frame, frames in the order of their focal planes. */
struct pf_curves {
    int frames;
    const float **grid;       /* of each frame, PF_FOCUS_CELLS; all borrowed */
    float floor;              /* what noise measures */
    int best[PF_FOCUS_CELLS]; /* the frame that has the cell sharpest; -1: it shows no detail */
};

/* Fills in the rest from frames and grid. */
void pf_curves_look(struct pf_curves *curves);

/* Sharpness above the noise, more than 0. */
double pf_curves_sharpness(const struct pf_curves *curves, int frame, int cell);

/* Middle of the cells' half widths, each from its sharpest frame and the two beside it. NAN: too few
 * cells have their sharpest frame inside. */
double pf_curves_width(const struct pf_curves *curves, const double *position);

/* One cell's part in the fit. */
struct pf_cell_fit {
    double top, depth, width; /* logarithms of the greatest sharpness and of w; z */
};

/* The cell's depth when positions and the usual width are known, from the frames around its
 * sharpest one, which may be the first or last. */
struct pf_cell_fit pf_focal_depth(const struct pf_curves *curves, const double *position,
                                  double width, int cell);

/* position: start on entry, result on success. width: the same, of half widths. Two or more frames.
 * -ENOMEM. */
int pf_focal_planes(const struct pf_curves *curves, double *position, double *width);

#endif
