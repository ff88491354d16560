/* From cells to the nodes of a spline and back: the equations that a plain program in double precision has are
 * fulfilled, the spline is that of process/field.h. */
#include "tests/cuda/cells.h"

extern "C" {
#include "process/field.h"
}

/* Cells that say what a spline is at their middles, and know it well, give that spline back. */
static void solve_what_is_known(struct pf_cells grid)
{
    int columns = pf_node_columns(&grid), count = columns * pf_node_rows(&grid);
    int cells = grid.columns * grid.rows;
    float2 *truth = (float2 *)calloc((size_t)count, sizeof(*truth));
    float2 *found = (float2 *)calloc((size_t)count, sizeof(*found));
    float2 *spread = (float2 *)calloc((size_t)cells, sizeof(*spread));
    struct pf_cell *say = (struct pf_cell *)calloc((size_t)cells, sizeof(*say));
    struct pf_deform_state state;
    struct pf_error err = {0};
    memset(&state, 0, sizeof(state));
    for (int k = 0; k < count; k++)
        truth[k] =
            make_float2(sinf(0.7f * (float)(k % columns)), cosf(0.9f * (float)(k / columns)));
    struct pf_cuda *queue = new_queue();
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        float2 *device_nodes = device_copy(truth, (size_t)count);
        float2 *device_spread = device_copy(spread, (size_t)cells);
        struct pf_deform_state *device_state = device_copy(&state, 1);
        pf_cuda_spread_nodes(queue, device_spread, device_nodes, &grid, device_state);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        fetch(found, device_nodes, (size_t)count);
        float2 *values = (float2 *)calloc((size_t)cells, sizeof(*values));
        fetch(values, device_spread, (size_t)cells);
        /* The spline's values are those that process/field.h has of the same nodes. */
        struct pf_field *field = NULL;
        CHECK_OK(pf_field_new_grid(&field, columns, count / columns, &err), &err);
        field->spacing_x = field->spacing_y = 16;
        field->origin_x = field->origin_y = -16.5;
        memcpy(field->nodes, truth, (size_t)count * sizeof(*field->nodes));
        for (int k = 0; k < cells; k++) {
            double d[2];
            pf_field_at(field, k % grid.columns * 4 + 1.5, k / grid.columns * 4 + 1.5, d);
            CHECK_NEAR(values[k].x, d[0], 1e-5);
            CHECK_NEAR(values[k].y, d[1], 1e-5);
            say[k].xx = 3 + (float)(k % 4);
            say[k].xy = 0.5f;
            say[k].yy = 2 + (float)(k % 3);
            say[k].x = say[k].xx * values[k].x + say[k].xy * values[k].y;
            say[k].y = say[k].xy * values[k].x + say[k].yy * values[k].y;
        }
        pf_field_free(field);
        memset(found, 0, (size_t)count * sizeof(*found));
        device_nodes = device_copy(found, (size_t)count);
        struct pf_cell *device_say = device_copy(say, (size_t)cells);
        char *room = device_copy<char>(NULL, pf_cuda_solve_bytes(&grid));
        pf_cuda_solve_nodes(queue, device_nodes, device_say, &grid, 1e-6f, room, device_state);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        fetch(found, device_nodes, (size_t)count);
        device_spread = device_copy(spread, (size_t)cells);
        device_nodes = device_copy(found, (size_t)count);
        pf_cuda_spread_nodes(queue, device_spread, device_nodes, &grid, device_state);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        float2 *again = (float2 *)calloc((size_t)cells, sizeof(*again));
        fetch(again, device_spread, (size_t)cells);
        for (int k = 0; k < cells; k++) {
            CHECK_NEAR(again[k].x, values[k].x, 2e-3);
            CHECK_NEAR(again[k].y, values[k].y, 2e-3);
        }
        free(again);
        free(values);
        GPU(cudaFree(device_nodes));
        GPU(cudaFree(device_say));
        GPU(cudaFree(room));
        GPU(cudaFree(device_state));
    }
    free(truth);
    free(found);
    free(spread);
    free(say);
    finish(queue);
}

/* Few, which one block solves for, and more, for which all share the work. */
TEST(cuda_nodes_are_those_that_the_cells_come_from)
{
    struct pf_cells few = {20, 12, 4, 4}, many = {132, 64, 4, 4};
    CHECK(many.columns * many.rows > PF_CELLS_OF_ONE_BLOCK);
    solve_what_is_known(few);
    solve_what_is_known(many);
}

/* Where nothing is known, the start stays; and a state that is done is left alone. */
TEST(cuda_nodes_stay_where_nothing_is_known)
{
    static const struct pf_cells grids[] = {{4, 4, 4, 4}, {132, 64, 4, 4}};
    struct pf_error err = {0};
    struct pf_cuda *queue = new_queue();
    for (int k = 0; k < 4; k++) {
        const struct pf_cells *grid = &grids[k / 2];
        take_order(k % order_count());
        int count = pf_node_columns(grid) * pf_node_rows(grid), cells = grid->columns * grid->rows;
        float2 *nodes = (float2 *)calloc((size_t)count, sizeof(*nodes));
        struct pf_cell *say = (struct pf_cell *)calloc((size_t)cells, sizeof(*say));
        struct pf_deform_state state;
        memset(&state, 0, sizeof(state));
        state.done = k % 2;
        for (int i = 0; i < cells && state.done; i++)
            say[i].xx = say[i].yy = say[i].x = 1;
        for (int i = 0; i < count; i++)
            nodes[i] = make_float2((float)i, 1);
        float2 *device_nodes = device_copy(nodes, (size_t)count);
        struct pf_cell *device_say = device_copy(say, (size_t)cells);
        struct pf_deform_state *device_state = device_copy(&state, 1);
        char *room = device_copy<char>(NULL, pf_cuda_solve_bytes(grid));
        pf_cuda_solve_nodes(queue, device_nodes, device_say, grid, 0.003f, room, device_state);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        fetch(nodes, device_nodes, (size_t)count);
        for (int i = 0; i < count; i++)
            CHECK(nodes[i].x == (float)i && nodes[i].y == 1);
        GPU(cudaFree(device_say));
        GPU(cudaFree(device_state));
        GPU(cudaFree(room));
        free(nodes);
        free(say);
    }
    finish(queue);
}

/* The weights of the four nodes around the middle of a cell. */
static int weights_of(int cell, double w[4])
{
    return pf_spline_weights(cell + 0.5, -PF_CELLS_PER_NODE, PF_CELLS_PER_NODE,
                             cell / PF_CELLS_PER_NODE + 4, w);
}

static double axis_of(const float2 *pair, int axis)
{
    return axis ? (double)pair->y : (double)pair->x;
}

/* What the equations leave of the right side at given nodes (residual), the right side (`nodes` of zeros), and
 * their diagonal, all [node][axis]: the derivative of
 *     sum over cells of d' information d / 2 - d' pull, where d is the spline at the cell's middle,
 *     + penalty * (squared bends of three nodes in a row and a column, and 1e-6 of the nodes' squares) / 2 */
static void equations_of(const struct pf_cells *grid, const struct pf_cell *say,
                         const float2 *nodes, double smoothness, double (*residual)[2],
                         double (*diagonal)[2])
{
    int columns = pf_node_columns(grid), rows = pf_node_rows(grid);
    double information = 0;
    memset(residual, 0, (size_t)(columns * rows) * sizeof(*residual));
    memset(diagonal, 0, (size_t)(columns * rows) * sizeof(*diagonal));
    for (size_t k = 0; k < cells_of(grid); k++)
        information += 0.5 * ((double)say[k].xx + (double)say[k].yy);
    double penalty = smoothness * information / (columns * rows);
    for (int k = 0; k < grid->columns * grid->rows; k++) {
        const struct pf_cell *cell = &say[k];
        double across[4], down[4], d[2] = {0, 0};
        int first =
            weights_of(k / grid->columns, down) * columns + weights_of(k % grid->columns, across);
        for (int m = 0; m < 16; m++)
            for (int axis = 0; axis < 2; axis++)
                d[axis] += across[m % 4] * down[m / 4] *
                           axis_of(&nodes[first + m / 4 * columns + m % 4], axis);
        const double left[2] = {(double)cell->x - (double)cell->xx * d[0] - (double)cell->xy * d[1],
                                (double)cell->y - (double)cell->xy * d[0] -
                                    (double)cell->yy * d[1]};
        for (int m = 0; m < 16; m++)
            for (int axis = 0; axis < 2; axis++) {
                int node = first + m / 4 * columns + m % 4;
                double w = across[m % 4] * down[m / 4];
                residual[node][axis] += w * left[axis];
                diagonal[node][axis] += w * w * (double)(axis ? cell->yy : cell->xx);
            }
    }
    for (int k = 0; k < columns * rows; k++)
        for (int axis = 0; axis < 2; axis++) {
            const int steps[2] = {1, columns}, at[2] = {k % columns, k / columns};
            const int counts[2] = {columns, rows};
            residual[k][axis] -= penalty * 1e-6 * axis_of(&nodes[k], axis);
            diagonal[k][axis] += 12 * penalty;
            for (int way = 0; way < 2; way++) {
                if (at[way] < 1 || at[way] > counts[way] - 2)
                    continue;
                int step = steps[way];
                double bend = axis_of(&nodes[k - step], axis) - 2 * axis_of(&nodes[k], axis) +
                              axis_of(&nodes[k + step], axis);
                residual[k - step][axis] -= penalty * bend;
                residual[k][axis] += 2 * penalty * bend;
                residual[k + step][axis] -= penalty * bend;
            }
        }
}

static double size_of(const double (*values)[2], const double (*diagonal)[2], int count)
{
    double size = 0;
    for (int k = 0; k < count; k++)
        for (int axis = 0; axis < 2; axis++)
            size += values[k][axis] * values[k][axis] / diagonal[k][axis];
    return sqrt(size);
}

/* The search ends when the squared size of what is left is 1e-9 of the right side's, or after 60 steps, which these
 * do not need; what is kept in float on the way there lets it be ten times of that. */
static void solve_as_a_plain_program(struct pf_cells grid, float smoothness)
{
    int count = pf_node_columns(&grid) * pf_node_rows(&grid);
    size_t cells = cells_of(&grid);
    float *values = random_floats(5 * cells, -1, 1);
    float2 *begin = random_pairs((size_t)count, 2);
    float2 *nodes = (float2 *)calloc((size_t)count, sizeof(*nodes));
    struct pf_cell *say = (struct pf_cell *)calloc(cells, sizeof(*say));
    double(*rows)[2] = (double(*)[2])malloc(3 * (size_t)count * sizeof(*rows));
    double(*right)[2] = rows, (*left)[2] = rows + count, (*diagonal)[2] = left + count;
    for (size_t k = 0; k < cells; k++) {
        const float *value = values + 5 * k;
        say[k].xx = 3 + 2 * value[0];
        say[k].yy = 2 + value[1];
        say[k].xy = 0.9f * value[2];
        say[k].x = 5 * value[3];
        say[k].y = 5 * value[4];
    }
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        struct pf_cuda *cuda = new_queue();
        struct pf_deform_state state = {}, *device_state = device_copy(&state, 1);
        float2 *device_nodes = device_copy(begin, (size_t)count);
        struct pf_cell *device_say = device_copy(say, cells);
        char *memory = device_copy<char>(NULL, pf_cuda_solve_bytes(&grid));
        pf_cuda_solve_nodes(cuda, device_nodes, device_say, &grid, smoothness, memory,
                            device_state);
        memset(nodes, 0, (size_t)count * sizeof(*nodes));
        equations_of(&grid, say, nodes, (double)smoothness, right, diagonal);
        fetch(nodes, device_nodes, (size_t)count);
        equations_of(&grid, say, nodes, (double)smoothness, left, diagonal);
        CHECK_NEAR(size_of(left, diagonal, count) / size_of(right, diagonal, count), 0, 1e-4);
        GPU(cudaFree(device_say));
        GPU(cudaFree(memory));
        GPU(cudaFree(device_state));
        finish(cuda);
    }
    free(values);
    free(begin);
    free(nodes);
    free(say);
    free(rows);
}

TEST(cuda_nodes_fulfil_the_equations_of_a_plain_program)
{
    static const struct pf_cells few[] = {
        {4, 4, 4, 4}, {8, 12, 4, 4}, {68, 4, 4, 4}, {4, 20, 4, 4}};
    for (size_t i = 0; i < sizeof(few) / sizeof(*few); i++)
        for (int k = 0; k < 2; k++)
            solve_as_a_plain_program(few[i], k ? 0.03f : 0.003f);
}

/* And of strips, and of a size that no block divides, for which all blocks share the work. */
TEST(cuda_many_nodes_fulfil_the_equations_of_a_plain_program)
{
    static const struct pf_cells many[] = {{2052, 4, 4, 4}, {4, 2064, 4, 4}, {116, 72, 4, 4}};
    for (size_t i = 0; i < sizeof(many) / sizeof(*many); i++) {
        CHECK(cells_of(&many[i]) > PF_CELLS_OF_ONE_BLOCK);
        solve_as_a_plain_program(many[i], 0.03f);
    }
}

/* The spline at the middles, and the largest change; nothing where the state is done. In float, 16 products. */
TEST(cuda_spread_nodes_are_process_fields)
{
    static const struct pf_cells all[] = {
        {4, 4, 4, 4}, {8, 4, 4, 4}, {4, 20, 4, 4}, {68, 36, 4, 4}};
    for (int i = 0; i < 4; i++)
        for (int kind = 0; kind < 2 * order_count(); kind++) {
            take_order(kind / 2);
            struct pf_cuda *cuda = new_queue();
            struct pf_error err = {};
            struct pf_field *field = NULL;
            struct pf_cells grid = all[i];
            int columns = pf_node_columns(&grid), rows = pf_node_rows(&grid);
            size_t count = (size_t)columns * (size_t)rows, cells = cells_of(&grid);
            float2 *nodes = random_pairs(count, 3), *before = random_pairs(cells, 3);
            float2 *got = (float2 *)malloc(cells * sizeof(*got));
            struct pf_deform_state state = {};
            float moved = 0;
            state.done = kind % 2;
            struct pf_deform_state *device_state = device_copy(&state, 1);
            float2 *device_nodes = device_copy(nodes, count);
            float2 *displacement = device_copy(before, cells);
            pf_cuda_spread_nodes(cuda, displacement, device_nodes, &grid, device_state);
            fetch(got, displacement, cells);
            fetch(&state, device_state, 1);
            CHECK_OK(pf_field_new_grid(&field, columns, rows, &err), &err);
            field->spacing_x = field->spacing_y = PF_CELLS_PER_NODE;
            field->origin_x = field->origin_y = -PF_CELLS_PER_NODE;
            memcpy(field->nodes, nodes, count * sizeof(*field->nodes));
            for (size_t k = 0; k < cells; k++) {
                double d[2] = {(double)before[k].x, (double)before[k].y};
                if (!state.done)
                    pf_field_at(field, (int)k % grid.columns + 0.5, (int)k / grid.columns + 0.5, d);
                CHECK_NEAR(got[k].x, d[0], state.done ? 0 : 2e-6);
                CHECK_NEAR(got[k].y, d[1], state.done ? 0 : 2e-6);
                moved = fmaxf(moved, fabsf(got[k].x - before[k].x));
                moved = fmaxf(moved, fabsf(got[k].y - before[k].y));
            }
            CHECK(memcmp(&moved, &state.moved_bits, sizeof(moved)) == 0);
            pf_field_free(field);
            GPU(cudaFree(device_nodes));
            free(nodes);
            free(before);
            free(got);
            finish(cuda);
        }
}

TEST(cuda_nodes_of_another_level_are_so_many_times_as_large)
{
    static const int counts[] = {1, 3, 17, 128, 300};
    for (int i = 0; i < 5; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            size_t count = (size_t)counts[i];
            float2 *nodes = random_pairs(count, 3);
            float2 *got = (float2 *)malloc(count * sizeof(*got));
            float2 *device = device_copy(nodes, count);
            pf_cuda_scale_nodes(cuda, device, counts[i], 1.7f);
            fetch(got, device, count);
            for (size_t k = 0; k < count; k++)
                CHECK(got[k].x == 1.7f * nodes[k].x && got[k].y == 1.7f * nodes[k].y);
            free(nodes);
            free(got);
            finish(cuda);
        }
}
