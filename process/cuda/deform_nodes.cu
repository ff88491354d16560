/* From cells to the nodes of a B-spline and back; see deform.h.
 *
 * The normal equations are never written down: what they make of a vector is the spline at the cells,
 * times the cells' information, gathered by the nodes. There are few nodes, so one block does all of a
 * solution: a block can wait for itself, and the host need not.
 */
#include "process/cuda/deform_kernels.h"

enum { THREADS = 512, MOST_STEPS = 60, PER = PF_CELLS_PER_NODE };

/* Weights of the four nodes around the middle of each of the cells between two nodes. */
static __device__ __forceinline__ float weight(int phase, int node)
{
    float t = ((float)phase + 0.5f) / PER, s = 1 - t;
    switch (node) {
    case 0:
        return s * s * s / 6;
    case 1:
        return (4 - 3 * t * t * (1 + s)) / 6;
    case 2:
        return (4 - 3 * s * s * (1 + t)) / 6;
    default:
        return t * t * t / 6;
    }
}

static __device__ float2 spline_at(const float2 *nodes, int columns, int i, int j)
{
    float2 sum = make_float2(0, 0);
    for (int b = 0; b < 4; b++) {
        const float2 *row = nodes + (size_t)(j / PER + b) * columns + i / PER;
        float wy = weight(j % PER, b);
        for (int a = 0; a < 4; a++) {
            float w = wy * weight(i % PER, a);
            sum.x += w * row[a].x;
            sum.y += w * row[a].y;
        }
    }
    return sum;
}

/* The sum of the cells around a node, times its weights there. */
static __device__ float2 gather(const float2 *values, const struct pf_cells &grid, int column,
                                int row)
{
    float2 sum = make_float2(0, 0);
    for (int j = max(0, PER * (row - 3)); j < min(grid.rows, PER * (row + 1)); j++) {
        float wy = weight(j % PER, row - j / PER);
        for (int i = max(0, PER * (column - 3)); i < min(grid.columns, PER * (column + 1)); i++) {
            float w = wy * weight(i % PER, column - i / PER);
            float2 value = values[(size_t)j * grid.columns + i];
            sum.x += w * value.x;
            sum.y += w * value.y;
        }
    }
    return sum;
}

static __device__ float2 bend_at(const float2 *nodes, int step, int at, int count)
{
    if (at < 1 || at > count - 2)
        return make_float2(0, 0);
    return make_float2(nodes[-step].x - 2 * nodes[0].x + nodes[step].x,
                       nodes[-step].y - 2 * nodes[0].y + nodes[step].y);
}

/* What the penalty makes of the nodes in one direction. */
static __device__ float2 bending(const float2 *nodes, int step, int at, int count)
{
    float2 before = at > 0 ? bend_at(nodes - step, step, at - 1, count) : make_float2(0, 0);
    float2 here = bend_at(nodes, step, at, count);
    float2 after = at < count - 1 ? bend_at(nodes + step, step, at + 1, count) : make_float2(0, 0);
    return make_float2(before.x - 2 * here.x + after.x, before.y - 2 * here.y + after.y);
}

/* The sum of all threads' values, in a fixed order. */
static __device__ double sum_of_block(double value, double *shared)
{
    enum { PART = THREADS / 32 };
    int thread = (int)threadIdx.x;
    __syncthreads();
    shared[thread] = value;
    __syncthreads();
    double sum = 0;
    if (thread < 32)
        for (int i = 0; i < PART; i++)
            sum += shared[thread * PART + i];
    __syncthreads();
    if (thread < 32)
        shared[thread] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < 32; i++)
        sum += shared[i];
    return sum;
}

struct system {
    const struct pf_cell *cells;
    struct pf_cells grid;
    int columns, rows; /* of nodes */
    float2 *at_cells;
    float penalty;
};

/* out = (what cells and penalty make of) nodes. All threads of the block. */
static __device__ void apply(const struct system &system, float2 *out, const float2 *nodes)
{
    int cells = system.grid.columns * system.grid.rows, count = system.columns * system.rows;
    __syncthreads();
    for (int k = (int)threadIdx.x; k < cells; k += THREADS) {
        int j = k / system.grid.columns, i = k - j * system.grid.columns;
        const struct pf_cell *cell = &system.cells[k];
        float2 d = spline_at(nodes, system.columns, i, j);
        system.at_cells[k] =
            make_float2(cell->xx * d.x + cell->xy * d.y, cell->xy * d.x + cell->yy * d.y);
    }
    __syncthreads();
    for (int k = (int)threadIdx.x; k < count; k += THREADS) {
        int row = k / system.columns, column = k - row * system.columns;
        float2 pulled = gather(system.at_cells, system.grid, column, row);
        float2 across = bending(nodes + k, 1, column, system.columns);
        float2 down = bending(nodes + k, system.columns, row, system.rows);
        /* A little pull to nothing: a grid without information would have no one solution. */
        out[k].x = pulled.x + system.penalty * (across.x + down.x + 1e-6f * nodes[k].x);
        out[k].y = pulled.y + system.penalty * (across.y + down.y + 1e-6f * nodes[k].y);
    }
}

/* Conjugate gradients (Hestenes & Stiefel 1952), preconditioned by the diagonal. */
static __global__ void __launch_bounds__(THREADS)
    solve(float2 *nodes, const struct pf_cell *cells, struct pf_cells grid, float smoothness,
          float2 *room, const struct pf_deform_state *state)
{
    __shared__ double shared[THREADS];
    if (state->done)
        return;
    struct system system = {cells, grid, grid.columns / PER + 3, grid.rows / PER + 3, NULL, 0};
    int count = system.columns * system.rows, thread = (int)threadIdx.x;
    float2 *residual = room, *way = room + count, *product = room + 2 * (size_t)count;
    float2 *diagonal = room + 3 * (size_t)count, *right = room + 4 * (size_t)count;
    system.at_cells = room + 5 * (size_t)count;

    double information = 0;
    for (int k = thread; k < grid.columns * grid.rows; k += THREADS)
        information += 0.5 * (double)(cells[k].xx + cells[k].yy);
    information = sum_of_block(information, shared);
    if (!(information > 0))
        return;
    system.penalty = smoothness * (float)(information / count);

    for (int k = thread; k < count; k += THREADS) {
        int row = k / system.columns, column = k - row * system.columns;
        float2 sum = make_float2(0, 0), own = make_float2(0, 0);
        for (int j = max(0, PER * (row - 3)); j < min(grid.rows, PER * (row + 1)); j++)
            for (int i = max(0, PER * (column - 3)); i < min(grid.columns, PER * (column + 1));
                 i++) {
                float w = weight(j % PER, row - j / PER) * weight(i % PER, column - i / PER);
                const struct pf_cell *cell = &cells[(size_t)j * grid.columns + i];
                sum.x += w * cell->x;
                sum.y += w * cell->y;
                own.x += w * w * cell->xx;
                own.y += w * w * cell->yy;
            }
        right[k] = sum;
        diagonal[k] = make_float2(own.x + 12 * system.penalty, own.y + 12 * system.penalty);
    }
    apply(system, product, nodes);
    double size = 0, scale = 0;
    for (int k = thread; k < count; k += THREADS) {
        residual[k] = make_float2(right[k].x - product[k].x, right[k].y - product[k].y);
        way[k] = make_float2(residual[k].x / diagonal[k].x, residual[k].y / diagonal[k].y);
        size += (double)residual[k].x * way[k].x + (double)residual[k].y * way[k].y;
        scale += (double)right[k].x * right[k].x / diagonal[k].x +
                 (double)right[k].y * right[k].y / diagonal[k].y;
    }
    size = sum_of_block(size, shared);
    scale = sum_of_block(scale, shared);
    for (int step = 0; step < MOST_STEPS && size > 1e-9 * scale; step++) {
        apply(system, product, way);
        double along = 0;
        for (int k = thread; k < count; k += THREADS)
            along += (double)way[k].x * product[k].x + (double)way[k].y * product[k].y;
        along = sum_of_block(along, shared);
        if (!(along > 0))
            break;
        float length = (float)(size / along);
        double next = 0;
        for (int k = thread; k < count; k += THREADS) {
            nodes[k].x += length * way[k].x;
            nodes[k].y += length * way[k].y;
            residual[k].x -= length * product[k].x;
            residual[k].y -= length * product[k].y;
            next += (double)residual[k].x * residual[k].x / diagonal[k].x +
                    (double)residual[k].y * residual[k].y / diagonal[k].y;
        }
        next = sum_of_block(next, shared);
        float turn = (float)(next / size);
        for (int k = thread; k < count; k += THREADS)
            way[k] = make_float2(residual[k].x / diagonal[k].x + turn * way[k].x,
                                 residual[k].y / diagonal[k].y + turn * way[k].y);
        size = next;
    }
}

static __global__ void spread(float2 *displacement, const float2 *nodes, struct pf_cells grid,
                              struct pf_deform_state *state)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (state->done || k >= grid.columns * grid.rows)
        return;
    int j = k / grid.columns, i = k - j * grid.columns;
    float2 d = spline_at(nodes, grid.columns / PER + 3, i, j), before = displacement[k];
    displacement[k] = d;
    /* Of numbers that are not negative, the larger one has the larger bits. */
    float moved = fmaxf(fabsf(d.x - before.x), fabsf(d.y - before.y));
    atomicMax(&state->moved_bits, __float_as_int(moved));
}

void pf_cuda_solve_nodes(struct pf_cuda *cuda, float2 *nodes, const struct pf_cell *cells,
                         const struct pf_cells *grid, float smoothness, float2 *room,
                         const struct pf_deform_state *state)
{
    PF_LAUNCH(solve, dim3(1), dim3(THREADS), 0, cuda->lane[PF_CUDA_WORK], nodes, cells, *grid,
              smoothness, room, state);
    pf_cuda_launched(cuda, "solving for a field");
}

void pf_cuda_spread_nodes(struct pf_cuda *cuda, float2 *displacement, const float2 *nodes,
                          const struct pf_cells *grid, struct pf_deform_state *state)
{
    PF_LAUNCH(spread, dim3(pf_pieces(grid->columns * grid->rows, 128)), dim3(128), 0,
              cuda->lane[PF_CUDA_WORK], displacement, nodes, *grid, state);
    pf_cuda_launched(cuda, "spreading a field");
}
