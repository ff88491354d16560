/* Grids of the focus measure, PF_FOCUS_GRID x PF_FOCUS_GRID cells, laid over one another.
 *
 * Pure; any thread. Cells are equal parts of the picture, row by row, of the frame as stored.
 */
#ifndef PF_FOCUS_GRID_H
#define PF_FOCUS_GRID_H

#include "process/stack.h"

#define PF_FOCUS_CELLS (PF_FOCUS_GRID * PF_FOCUS_GRID)

/* The grid of a frame in the reference's geometry, bilinear; beyond the frame its border goes on.
 * h: reference point -> frame point; width, height of both pictures. */
void pf_focus_grid_warp(float ret[PF_FOCUS_CELLS], const float grid[PF_FOCUS_CELLS],
                        const double h[9], int width, int height);

/* All grids of a frame so, and what is brightness in them times gain. */
void pf_focus_lay(struct pf_focus *ret, const struct pf_focus *focus, const double h[9], int width,
                  int height, double gain);

/* What noise alone measures: nine tenths of the twentieth part of the cells' least values. `least`
 * has each cell's least value over the frames: somewhere every picture is smooth or out of focus. */
float pf_focus_grid_floor(const float least[PF_FOCUS_CELLS]);

#endif
