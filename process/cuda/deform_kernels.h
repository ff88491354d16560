/* The kernels' side of non-rigid alignment, shared by deform_cells.cu (pixels to cells),
 * deform_nodes.cu (cells to nodes), deform_flow.cu, deform_syn.cu and deform.cu (the order of all);
 * see deform.h. */
#ifndef PF_CUDA_DEFORM_KERNELS_H
#define PF_CUDA_DEFORM_KERNELS_H

#include "process/cuda/bilinear.h"
#include "process/cuda/queue.h"

enum { PF_CELLS_PER_NODE = 4 }; /* in one direction, between two nodes */

/* What a cell says: (information) * displacement = pull, in 1/px^2 and 1/px of the level. */
struct pf_cell {
    float xx, xy, yy;              /* information */
    float x, y;                    /* pull */
    float remains;                 /* of the squared differences of its pixels */
    float count, t, i, tt, ii, ti; /* sums of the fit, of values less `mean` */
};

/* Cell (i, j) holds the pixels whose middle lies in [i, i + 1) * width, [j, j + 1) * height, counted
 * from the corner of the picture at (-0.5, -0.5). */
struct pf_cells {
    int columns, rows;
    float width, height; /* pixels of the level */
};

struct pf_deform_state {
    float gain, offset; /* what makes the image look like the target, of values less `mean` */
    float mean;
    float noise;                              /* variance of what remains, at least 1 */
    double correlation, overlap, information; /* of the last pass; mean over cells, 1/px^2 */
    int moved_bits; /* the largest change of a cell by the last step, px of the level; as a float */
    int done, steps;
    unsigned trusted; /* cells */
    unsigned ticket;  /* blocks that have summed up */
};

struct pf_deform_pass {
    const float *target, *image;
    int width, height, image_width, image_height;
    struct pf_short_warp warp; /* target's pixel -> image's pixel */
    struct pf_cells grid;
    struct pf_cell *cells;
    float2 *displacement; /* of the middles of the cells, px of the image's level */
    struct pf_deform_state *state;
    double *partial; /* room for sums: PF_DEFORM_PARTIALS */
};
enum { PF_DEFORM_MOST_BLOCKS = 256, PF_DEFORM_SUMS = 8 };
#define PF_DEFORM_PARTIALS ((size_t)PF_DEFORM_MOST_BLOCKS * PF_DEFORM_SUMS)

/* The pass over the pixels: fills the cells. Does nothing when the state is done. */
void pf_cuda_look(struct pf_cuda *cuda, const struct pf_deform_pass *pass);
/* What all cells together say of gain, offset and noise, for the next pass; with `may_end`, no more is
 * done on this level after a step that has moved next to nothing. */
void pf_cuda_summarise(struct pf_cuda *cuda, const struct pf_deform_pass *pass, bool may_end);
/* Forgets them: the first pass of a level is for them alone. */
void pf_cuda_begin_level(struct pf_cuda *cuda, const struct pf_deform_pass *pass);

/* Between the middles of the cells; beyond the outermost what they have. */
static __device__ inline float2 pf_displacement_at(const float2 *values,
                                                   const struct pf_cells &grid, float x, float y)
{
    float u = fminf(fmaxf((x + 0.5f) / grid.width - 0.5f, 0), (float)(grid.columns - 1));
    float v = fminf(fmaxf((y + 0.5f) / grid.height - 0.5f, 0), (float)(grid.rows - 1));
    int i = min((int)u, max(grid.columns - 2, 0)), j = min((int)v, max(grid.rows - 2, 0));
    int right = min(i + 1, grid.columns - 1) - i;
    float tx = u - (float)i, ty = v - (float)j;
    const float2 *upper = values + (size_t)j * grid.columns + i;
    const float2 *lower = j + 1 < grid.rows ? upper + grid.columns : upper;
    return make_float2(
        pf_mix(pf_mix(upper[0].x, upper[right].x, tx), pf_mix(lower[0].x, lower[right].x, tx), ty),
        pf_mix(pf_mix(upper[0].y, upper[right].y, tx), pf_mix(lower[0].y, lower[right].y, tx), ty));
}

/* Solves for the nodes whose spline fits what the cells say, with a penalty on bending: `smoothness`
 * times the mean information of a node. nodes: [(columns / 4 + 3) * (rows / 4 + 3)], the start on entry.
 * room: pf_cuda_solve_bytes() of it. Does nothing when the state is done. */
void pf_cuda_solve_nodes(struct pf_cuda *cuda, float2 *nodes, const struct pf_cell *cells,
                         const struct pf_cells *grid, float smoothness, void *room,
                         const struct pf_deform_state *state);
size_t pf_cuda_solve_bytes(const struct pf_cells *grid);
/* Of more cells, all of the device shares the work. */
enum { PF_CELLS_OF_ONE_BLOCK = 8192 };
/* The spline at the middles of the cells; the largest change joins the state. */
void pf_cuda_spread_nodes(struct pf_cuda *cuda, float2 *displacement, const float2 *nodes,
                          const struct pf_cells *grid, struct pf_deform_state *state);
/* Nodes of another level, whose pixels are `zoom` times as many. */
void pf_cuda_scale_nodes(struct pf_cuda *cuda, float2 *nodes, int count, float zoom);

static inline int pf_node_columns(const struct pf_cells *grid)
{
    return grid->columns / PF_CELLS_PER_NODE + 3;
}

static inline int pf_node_rows(const struct pf_cells *grid)
{
    return grid->rows / PF_CELLS_PER_NODE + 3;
}

#endif
