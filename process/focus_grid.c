#include "process/focus_grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/homography.h"

/* Cell below a coordinate and the share of its successor. */
static int cell_below(double at, float *ret_share)
{
    at = !(at > 0) ? 0 : at > PF_FOCUS_GRID - 1 ? PF_FOCUS_GRID - 1 : at;
    int cell = (int)at;
    cell = cell > PF_FOCUS_GRID - 2 ? PF_FOCUS_GRID - 2 : cell;
    *ret_share = (float)(at - cell);
    return cell;
}

void pf_focus_grid_warp(float ret[PF_FOCUS_CELLS], const float grid[PF_FOCUS_CELLS],
                        const double h[9], int width, int height)
{
    double cell_width = (double)width / PF_FOCUS_GRID, cell_height = (double)height / PF_FOCUS_GRID;
    for (int i = 0; i < PF_FOCUS_CELLS; i++) {
        double x, y;
        float tx, ty;
        pf_homography_apply(h, (i % PF_FOCUS_GRID + 0.5) * cell_width - 0.5,
                            (i / PF_FOCUS_GRID + 0.5) * cell_height - 0.5, &x, &y);
        int ix = cell_below((x + 0.5) / cell_width - 0.5, &tx);
        int iy = cell_below((y + 0.5) / cell_height - 0.5, &ty);
        const float *upper = grid + iy * PF_FOCUS_GRID + ix, *lower = upper + PF_FOCUS_GRID;
        ret[i] = (1 - ty) * ((1 - tx) * upper[0] + tx * upper[1]) +
                 ty * ((1 - tx) * lower[0] + tx * lower[1]);
    }
}

void pf_focus_lay(struct pf_focus *ret, const struct pf_focus *focus, const double h[9], int width,
                  int height, double gain)
{
    /* The frame is turned by so much; what leans one way in it leans another way in the reference. */
    double turn = atan2(h[3] - h[1], h[0] + h[4]);
    float c = (float)cos(2 * turn), s = (float)sin(2 * turn);
    *ret = *focus;
    pf_focus_grid_warp(ret->grid, focus->grid, h, width, height);
    for (int k = 0; k < PF_FOCUS_REDUCED; k++)
        pf_focus_grid_warp(ret->reduced[k], focus->reduced[k], h, width, height);
    for (int k = 0; k < 2; k++)
        pf_focus_grid_warp(ret->direction[k], focus->direction[k], h, width, height);
    for (int i = 0; i < PF_FOCUS_CELLS; i++) {
        float along = ret->direction[0][i], aslant = ret->direction[1][i];
        ret->direction[0][i] = c * along + s * aslant;
        ret->direction[1][i] = c * aslant - s * along;
        ret->grid[i] *= (float)gain;
        for (int k = 0; k < PF_FOCUS_REDUCED; k++)
            ret->reduced[k][i] *= (float)gain;
    }
}

static int ascending(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

float pf_focus_grid_floor(const float least[PF_FOCUS_CELLS])
{
    float sorted[PF_FOCUS_CELLS];
    memcpy(sorted, least, sizeof(sorted));
    qsort(sorted, PF_FOCUS_CELLS, sizeof(*sorted), ascending);
    return 0.9f * sorted[PF_FOCUS_CELLS / 20];
}
