/* From cells to the nodes of a B-spline and back; see deform.h.
 *
 * The normal equations are never written down: what they make of a vector is the spline at the cells,
 * times the cells' information, gathered by the nodes. Steps are queued ahead, and the host waits for none.
 */
#include "process/cuda/deform_kernels.h"

enum { THREADS = 256, WIDE = 512, MOST_BLOCKS = 256, MOST_STEPS = 60, PER = PF_CELLS_PER_NODE };

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
template <int threads> static __device__ double sum_of_block(double value, double *shared)
{
    enum { PART = threads / 32 };
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

/* ---- the equations ------------------------------------------------------------------------------- */

/* What a solution knows of itself, on the device. */
struct solution {
    double size, scale; /* of what is left and of what is asked, preconditioned */
    float penalty, length, turn;
    int done;
    unsigned ticket;
};

struct system {
    const struct pf_cell *cells;
    struct pf_cells grid;
    int columns, rows; /* of nodes */
    float2 *residual, *way, *product, *diagonal, *right, *at_cells;
    double *partial; /* [MOST_BLOCKS][2] */
    struct solution *solution;
};

/* A cell of what the equations make of nodes: its information, of the spline there. */
static __device__ __forceinline__ void apply_cell(const struct system &system, const float2 *nodes,
                                                  int k)
{
    int j = k / system.grid.columns, i = k - j * system.grid.columns;
    const struct pf_cell *cell = &system.cells[k];
    float2 d = spline_at(nodes, system.columns, i, j);
    system.at_cells[k] =
        make_float2(cell->xx * d.x + cell->xy * d.y, cell->xy * d.x + cell->yy * d.y);
}

/* And a node of it, when all cells are there. */
static __device__ __forceinline__ float2 apply_node(const struct system &system,
                                                    const float2 *nodes, int k, float penalty)
{
    int row = k / system.columns, column = k - row * system.columns;
    float2 pulled = gather(system.at_cells, system.grid, column, row);
    float2 across = bending(nodes + k, 1, column, system.columns);
    float2 down = bending(nodes + k, system.columns, row, system.rows);
    /* A little pull to nothing: a grid without information would have no one solution. */
    return make_float2(pulled.x + penalty * (across.x + down.x + 1e-6f * nodes[k].x),
                       pulled.y + penalty * (across.y + down.y + 1e-6f * nodes[k].y));
}

/* The right side at a node, and the equations' diagonal. */
static __device__ __forceinline__ void prepare_node(const struct system &system, int k,
                                                    float penalty)
{
    int row = k / system.columns, column = k - row * system.columns;
    const struct pf_cells &grid = system.grid;
    float2 sum = make_float2(0, 0), own = make_float2(0, 0);
    for (int j = max(0, PER * (row - 3)); j < min(grid.rows, PER * (row + 1)); j++)
        for (int i = max(0, PER * (column - 3)); i < min(grid.columns, PER * (column + 1)); i++) {
            float w = weight(j % PER, row - j / PER) * weight(i % PER, column - i / PER);
            const struct pf_cell *cell = &system.cells[(size_t)j * grid.columns + i];
            sum.x += w * cell->x;
            sum.y += w * cell->y;
            own.x += w * w * cell->xx;
            own.y += w * w * cell->yy;
        }
    system.right[k] = sum;
    system.diagonal[k] = make_float2(own.x + 12 * penalty, own.y + 12 * penalty);
}

static __device__ __forceinline__ double times(float2 a, float2 b)
{
    return (double)a.x * b.x + (double)a.y * b.y;
}

static __device__ __forceinline__ float2 over(float2 a, float2 b)
{
    return make_float2(a.x / b.x, a.y / b.y);
}

/* The first residual and way at a node, from what the equations make of the start; its part of both
 * sizes. */
static __device__ __forceinline__ void begin_node(const struct system &system, int k,
                                                  float2 product, double *size, double *scale)
{
    float2 right = system.right[k], diagonal = system.diagonal[k];
    float2 residual = make_float2(right.x - product.x, right.y - product.y);
    system.residual[k] = residual;
    system.way[k] = over(residual, diagonal);
    *size += times(residual, system.way[k]);
    *scale += times(right, over(right, diagonal));
}

/* A step along the way; its part of the size of what is left. */
static __device__ __forceinline__ double step_node(const struct system &system, float2 *nodes,
                                                   int k, float length)
{
    float2 way = system.way[k], product = system.product[k], residual = system.residual[k];
    nodes[k].x += length * way.x;
    nodes[k].y += length * way.y;
    residual.x -= length * product.x;
    residual.y -= length * product.y;
    system.residual[k] = residual;
    return times(residual, over(residual, system.diagonal[k]));
}

static __device__ __forceinline__ void turn_node(const struct system &system, int k, float turn)
{
    float2 straight = over(system.residual[k], system.diagonal[k]), way = system.way[k];
    system.way[k] = make_float2(straight.x + turn * way.x, straight.y + turn * way.y);
}

static __device__ __forceinline__ bool is_enough(double size, double scale)
{
    return !(size > 1e-9 * scale);
}

/* ---- by one block, of few nodes: it can wait for itself, where a launch takes longer than a step ---- */

/* Conjugate gradients (Hestenes & Stiefel 1952), preconditioned by the diagonal. */
static __global__ void __launch_bounds__(WIDE, 1)
    solve(struct system system, float2 *nodes, float smoothness,
          const struct pf_deform_state *state)
{
    PF_SHARED(double, shared, [WIDE]);
    if (state->done)
        return;
    int count = system.columns * system.rows, cells = system.grid.columns * system.grid.rows;
    int thread = (int)threadIdx.x;
    double information = 0;
    for (int k = thread; k < cells; k += WIDE)
        information += 0.5 * (double)(system.cells[k].xx + system.cells[k].yy);
    information = sum_of_block<WIDE>(information, shared);
    if (!(information > 0))
        return;
    float penalty = smoothness * (float)(information / count);

    double size = 0, scale = 0;
    for (int k = thread; k < count; k += WIDE)
        prepare_node(system, k, penalty);
    for (int k = thread; k < cells; k += WIDE)
        apply_cell(system, nodes, k);
    __syncthreads();
    for (int k = thread; k < count; k += WIDE)
        begin_node(system, k, apply_node(system, nodes, k, penalty), &size, &scale);
    size = sum_of_block<WIDE>(size, shared);
    scale = sum_of_block<WIDE>(scale, shared);
    for (int step = 0; step < MOST_STEPS && !is_enough(size, scale); step++) {
        __syncthreads();
        for (int k = thread; k < cells; k += WIDE)
            apply_cell(system, system.way, k);
        __syncthreads();
        double along = 0;
        for (int k = thread; k < count; k += WIDE) {
            system.product[k] = apply_node(system, system.way, k, penalty);
            along += times(system.way[k], system.product[k]);
        }
        along = sum_of_block<WIDE>(along, shared);
        if (!(along > 0))
            break;
        double next = 0;
        for (int k = thread; k < count; k += WIDE)
            next += step_node(system, nodes, k, (float)(size / along));
        next = sum_of_block<WIDE>(next, shared);
        for (int k = thread; k < count; k += WIDE)
            turn_node(system, k, (float)(next / size));
        size = next;
    }
}

/* ---- by the whole device, of many: a launch for each time that all wait for all --------------------- */

/* The sums of all blocks' values in the block that comes last, whose threads are told so; in a fixed
 * order. */
static __device__ bool sum_of_grid(const struct system &system, double *first, double *second,
                                   double *shared)
{
    PF_SHARED(bool, last);
    double *partial = system.partial + 2 * (size_t)blockIdx.x;
    *first = sum_of_block<THREADS>(*first, shared);
    *second = sum_of_block<THREADS>(*second, shared);
    if (threadIdx.x == 0) {
        partial[0] = *first;
        partial[1] = *second;
        __threadfence();
        last = atomicInc(&system.solution->ticket, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last)
        return false;
    __threadfence();
    bool has = threadIdx.x < gridDim.x;
    *first = sum_of_block<THREADS>(has ? system.partial[2 * threadIdx.x] : 0, shared);
    *second = sum_of_block<THREADS>(has ? system.partial[2 * threadIdx.x + 1] : 0, shared);
    return true;
}

/* Threads of the whole grid share out `count`. */
#define FOR_EACH(k, count)                                                                         \
    for (int k = (int)(blockIdx.x * THREADS + threadIdx.x); k < (count);                           \
         k += (int)gridDim.x * THREADS)

static __global__ void __launch_bounds__(THREADS)
    begin_solution(struct system system, float smoothness, const struct pf_deform_state *state)
{
    PF_SHARED(double, shared, [THREADS]);
    double information = 0, none = 0;
    FOR_EACH(k, system.grid.columns * system.grid.rows)
    information += 0.5 * (double)(system.cells[k].xx + system.cells[k].yy);
    if (!sum_of_grid(system, &information, &none, shared) || threadIdx.x > 0)
        return;
    system.solution->done = state->done || !(information > 0);
    system.solution->penalty =
        smoothness * (float)(information / ((double)system.columns * system.rows));
}

static __global__ void __launch_bounds__(THREADS) prepare(struct system system)
{
    if (system.solution->done)
        return;
    FOR_EACH(k, system.columns * system.rows)
    prepare_node(system, k, system.solution->penalty);
}

static __global__ void __launch_bounds__(THREADS)
    apply_cells(struct system system, const float2 *nodes)
{
    if (system.solution->done)
        return;
    FOR_EACH(k, system.grid.columns * system.grid.rows)
    apply_cell(system, nodes, k);
}

static __global__ void __launch_bounds__(THREADS)
    begin_way(struct system system, const float2 *nodes)
{
    PF_SHARED(double, shared, [THREADS]);
    struct solution *solution = system.solution;
    if (solution->done)
        return;
    double size = 0, scale = 0;
    FOR_EACH(k, system.columns * system.rows)
    begin_node(system, k, apply_node(system, nodes, k, solution->penalty), &size, &scale);
    if (!sum_of_grid(system, &size, &scale, shared) || threadIdx.x > 0)
        return;
    solution->size = size;
    solution->scale = scale;
    solution->done = is_enough(size, scale);
}

static __global__ void __launch_bounds__(THREADS) apply_nodes(struct system system)
{
    PF_SHARED(double, shared, [THREADS]);
    struct solution *solution = system.solution;
    if (solution->done)
        return;
    double along = 0, none = 0;
    FOR_EACH(k, system.columns * system.rows)
    {
        float2 product = apply_node(system, system.way, k, solution->penalty);
        system.product[k] = product;
        along += times(system.way[k], product);
    }
    if (!sum_of_grid(system, &along, &none, shared) || threadIdx.x > 0)
        return;
    solution->done = !(along > 0);
    solution->length = (float)(solution->size / along);
}

static __global__ void __launch_bounds__(THREADS) step_nodes(struct system system, float2 *nodes)
{
    PF_SHARED(double, shared, [THREADS]);
    struct solution *solution = system.solution;
    if (solution->done)
        return;
    double next = 0, none = 0;
    FOR_EACH(k, system.columns * system.rows)
    next += step_node(system, nodes, k, solution->length);
    if (!sum_of_grid(system, &next, &none, shared) || threadIdx.x > 0)
        return;
    solution->turn = (float)(next / solution->size);
    solution->size = next;
    solution->done = is_enough(next, solution->scale);
}

static __global__ void __launch_bounds__(THREADS) turn_nodes(struct system system)
{
    if (system.solution->done)
        return;
    FOR_EACH(k, system.columns * system.rows)
    turn_node(system, k, system.solution->turn);
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

static __global__ void scale(float2 *nodes, int count, float zoom)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (k < count)
        nodes[k] = make_float2(zoom * nodes[k].x, zoom * nodes[k].y);
}

static int nodes_of(const struct pf_cells *grid)
{
    return pf_node_columns(grid) * pf_node_rows(grid);
}

size_t pf_cuda_solve_bytes(const struct pf_cells *grid)
{
    return sizeof(float2) * (5 * (size_t)nodes_of(grid) + (size_t)grid->columns * grid->rows) +
           sizeof(double) * 2 * MOST_BLOCKS + sizeof(struct solution);
}

#define LAUNCH(kernel, blocks, threads, ...)                                                       \
    do {                                                                                           \
        PF_LAUNCH(kernel, dim3(blocks), dim3(threads), 0, cuda->lane[PF_CUDA_WORK], __VA_ARGS__);  \
        pf_cuda_launched(cuda, "solving for a field");                                             \
    } while (0)

void pf_cuda_solve_nodes(struct pf_cuda *cuda, float2 *nodes, const struct pf_cell *cells,
                         const struct pf_cells *grid, float smoothness, void *room,
                         const struct pf_deform_state *state)
{
    struct system system;
    int count = nodes_of(grid), all = grid->columns * grid->rows;
    float2 *at = (float2 *)room;
    system.cells = cells;
    system.grid = *grid;
    system.columns = pf_node_columns(grid);
    system.rows = pf_node_rows(grid);
    system.residual = at;
    system.way = at += count;
    system.product = at += count;
    system.diagonal = at += count;
    system.right = at += count;
    system.at_cells = at += count;
    system.partial = (double *)(at + all);
    system.solution = (struct solution *)(system.partial + 2 * MOST_BLOCKS);
    if (all <= PF_CELLS_OF_ONE_BLOCK) {
        LAUNCH(solve, 1, WIDE, system, nodes, smoothness, state);
        return;
    }
    /* No more blocks sum up than there is room for; all cells have a thread each. */
    unsigned of_cells = pf_pieces(all, THREADS), summing = min(of_cells, (unsigned)MOST_BLOCKS);
    unsigned of_nodes = min(pf_pieces(count, THREADS), (unsigned)MOST_BLOCKS);
    pf_cuda_fill(cuda, system.solution, 0, sizeof(*system.solution));
    LAUNCH(begin_solution, summing, THREADS, system, smoothness, state);
    LAUNCH(prepare, of_nodes, THREADS, system);
    LAUNCH(apply_cells, of_cells, THREADS, system, nodes);
    LAUNCH(begin_way, of_nodes, THREADS, system, nodes);
    for (int step = 0; step < MOST_STEPS; step++) {
        LAUNCH(apply_cells, of_cells, THREADS, system, system.way);
        LAUNCH(apply_nodes, of_nodes, THREADS, system);
        LAUNCH(step_nodes, of_nodes, THREADS, system, nodes);
        LAUNCH(turn_nodes, of_nodes, THREADS, system);
    }
}

void pf_cuda_spread_nodes(struct pf_cuda *cuda, float2 *displacement, const float2 *nodes,
                          const struct pf_cells *grid, struct pf_deform_state *state)
{
    PF_LAUNCH(spread, dim3(pf_pieces(grid->columns * grid->rows, 128)), dim3(128), 0,
              cuda->lane[PF_CUDA_WORK], displacement, nodes, *grid, state);
    pf_cuda_launched(cuda, "spreading a field");
}

void pf_cuda_scale_nodes(struct pf_cuda *cuda, float2 *nodes, int count, float zoom)
{
    PF_LAUNCH(scale, dim3(pf_pieces(count, 128)), dim3(128), 0, cuda->lane[PF_CUDA_WORK], nodes,
              count, zoom);
    pf_cuda_launched(cuda, "a field of another level");
}
