/* The dense flow on the device: what a level's cells do with what they know; see deform_flow.h. */
#include "process/cuda/deform_flow.h"

enum { BLOCK = 128, COLUMNS = 32, ROWS = 4 };
/* Forth and back may differ by so much, in pixels of the level, before the cell loses half its say. */
#define FLOW_DISAGREEMENT 0.3f

/* Cells of one colour of a chessboard take what they and their neighbours, of the other colour, say. */
static __global__ void relax(struct pf_deform_pass pass, float stiffness, int colour)
{
    int row = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    int column = 2 * (int)(blockIdx.x * blockDim.x + threadIdx.x) + ((row + colour) & 1);
    int columns = pass.grid.columns, rows = pass.grid.rows;
    if (pass.state->done || row >= rows || column >= columns)
        return;
    size_t k = (size_t)row * columns + column;
    float2 *d = pass.displacement + k;
    float x = 0, y = 0, count = 0;
    if (column > 0)
        x += d[-1].x, y += d[-1].y, count++;
    if (column < columns - 1)
        x += d[1].x, y += d[1].y, count++;
    if (row > 0)
        x += d[-columns].x, y += d[-columns].y, count++;
    if (row < rows - 1)
        x += d[columns].x, y += d[columns].y, count++;
    const struct pf_cell *cell = &pass.cells[k];
    float xx = cell->xx + stiffness * count, yy = cell->yy + stiffness * count, xy = cell->xy;
    float rx = cell->x + stiffness * x, ry = cell->y + stiffness * y;
    float determinant = xx * yy - xy * xy;
    if (determinant > 0)
        *d = make_float2((yy * rx - xy * ry) / determinant, (xx * ry - xy * rx) / determinant);
}

/* Displacements of a coarser level for a finer one, whose pixels are `zoom` times as many. */
static __global__ void refine(float2 *out, struct pf_cells grid, const float2 *coarse,
                              struct pf_cells coarse_grid, float zoom)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k >= grid.columns * grid.rows)
        return;
    int row = k / grid.columns, column = k - row * grid.columns;
    /* From corner to corner, pixels lie where they lie. */
    float x = ((float)column + 0.5f) * grid.width / zoom - 0.5f;
    float y = ((float)row + 0.5f) * grid.height / zoom - 0.5f;
    float2 d = pf_displacement_at(coarse, coarse_grid, x, y);
    out[k] = make_float2(zoom * d.x, zoom * d.y);
}

/* Where going forth and coming back ends elsewhere than it began, a cell has less to say. What it says
 * is then its displacement, with the information that it has and that its neighbours lent. */
static __global__ void agree(struct pf_deform_pass forth, struct pf_deform_pass back,
                             float stiffness)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k >= forth.grid.columns * forth.grid.rows)
        return;
    int row = k / forth.grid.columns, column = k - row * forth.grid.columns;
    float x = ((float)column + 0.5f) * forth.grid.width - 0.5f;
    float y = ((float)row + 0.5f) * forth.grid.height - 0.5f;
    float2 d = forth.displacement[k];
    float dx, dy, bx, by;
    pf_short_warp_at(forth.warp, x, y, &dx, &dy);
    float there_x = x + dx + d.x, there_y = y + dy + d.y;
    pf_short_warp_at(back.warp, there_x, there_y, &bx, &by);
    float2 b = pf_displacement_at(back.displacement, back.grid, there_x, there_y);
    float ex = there_x + bx + b.x - x, ey = there_y + by + b.y - y;
    float apart = (ex * ex + ey * ey) / (FLOW_DISAGREEMENT * FLOW_DISAGREEMENT);
    float trust = 1 / (1 + apart * apart);
    struct pf_cell *cell = &forth.cells[k];
    if (!(trust > 0.5f)) {
        cell->xx = cell->xy = cell->yy = cell->x = cell->y = 0;
        return;
    }
    atomicAdd(&forth.state->trusted, 1u);
    cell->xx = trust * (cell->xx + 0.1f * stiffness);
    cell->xy = trust * cell->xy;
    cell->yy = trust * (cell->yy + 0.1f * stiffness);
    cell->x = cell->xx * d.x + cell->xy * d.y;
    cell->y = cell->xy * d.x + cell->yy * d.y;
}

/* ---- launchers ------------------------------------------------------------------------------------- */

static unsigned blocks_for(const struct pf_cells *grid)
{
    return pf_pieces(grid->columns * grid->rows, BLOCK);
}

void pf_flow_relax(struct pf_cuda *cuda, const struct pf_deform_pass *pass, float stiffness,
                   int colour)
{
    dim3 blocks(pf_pieces((pass->grid.columns + 1) / 2, COLUMNS), pf_pieces(pass->grid.rows, ROWS));
    PF_LAUNCH(relax, blocks, dim3(COLUMNS, ROWS), 0, cuda->lane[PF_CUDA_WORK], *pass, stiffness,
              colour);
    pf_cuda_launched(cuda, "flow: relaxing");
}

void pf_flow_refine(struct pf_cuda *cuda, float2 *out, const struct pf_cells *grid,
                    const float2 *coarse, const struct pf_cells *coarse_grid, float zoom)
{
    PF_LAUNCH(refine, dim3(blocks_for(grid)), dim3(BLOCK), 0, cuda->lane[PF_CUDA_WORK], out, *grid,
              coarse, *coarse_grid, zoom);
    pf_cuda_launched(cuda, "flow: a finer level");
}

void pf_flow_agree(struct pf_cuda *cuda, const struct pf_deform_pass *forth,
                   const struct pf_deform_pass *back, float stiffness)
{
    PF_LAUNCH(agree, dim3(blocks_for(&forth->grid)), dim3(BLOCK), 0, cuda->lane[PF_CUDA_WORK],
              *forth, *back, stiffness);
    pf_cuda_launched(cuda, "flow: forth and back");
}
