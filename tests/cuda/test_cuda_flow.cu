/* The dense flow's kernels compute what a plain program in double precision computes. */
#include "tests/cuda/cells.h"

#include "process/cuda/deform_flow.h"

/* Cells that know little, much, or in one direction alone; every seventh nothing at all. */
static struct pf_cell *new_cells(size_t count)
{
    struct pf_cell *cells = (struct pf_cell *)calloc(count, sizeof(*cells));
    for (size_t k = 0; k < count; k++) {
        float *value = random_floats(5, -1, 1);
        if (k % 7 != 6) {
            cells[k].xx = (k % 3 ? 1 : 40) * (value[0] * value[0] + 0.05f);
            cells[k].yy = (k % 5 ? 1 : 40) * (value[1] * value[1] + 0.05f);
            cells[k].xy = 0.9f * value[2] * sqrtf(cells[k].xx * cells[k].yy);
            cells[k].x = 3 * value[3] * cells[k].xx;
            cells[k].y = 3 * value[4] * cells[k].yy;
        }
        free(value);
    }
    return cells;
}

/* A sweep over one colour, cell by cell: (information + stiffness of each neighbour) * displacement = pull +
 * stiffness * the neighbours' displacements. */
static void relax_as_a_plain_program(const struct pf_cells *grid, const struct pf_cell *cells,
                                     float2 *displacement, double stiffness, int colour)
{
    static const int beside[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    for (int j = 0; j < grid->rows; j++)
        for (int i = 0; i < grid->columns; i++) {
            if ((i + j) % 2 != colour)
                continue;
            size_t at = (size_t)j * (size_t)grid->columns + (size_t)i;
            const struct pf_cell *cell = &cells[at];
            double xx = (double)cell->xx, xy = (double)cell->xy, yy = (double)cell->yy;
            double rx = (double)cell->x, ry = (double)cell->y;
            for (int k = 0; k < 4; k++) {
                int u = i + beside[k][0], v = j + beside[k][1];
                if (u < 0 || v < 0 || u >= grid->columns || v >= grid->rows)
                    continue;
                const float2 *d = &displacement[(size_t)v * (size_t)grid->columns + (size_t)u];
                xx += stiffness;
                yy += stiffness;
                rx += stiffness * (double)d->x;
                ry += stiffness * (double)d->y;
            }
            double determinant = xx * yy - xy * xy;
            if (determinant > 0)
                displacement[at] = make_float2((float)((yy * rx - xy * ry) / determinant),
                                               (float)((xx * ry - xy * rx) / determinant));
        }
}

/* Solved in float: a determinant is a fifth of its products at the least, so that of displacements of 20 px at
 * most a few times 1e-6 is lost, and a second sweep takes that from the first. */
TEST(cuda_relaxing_is_that_of_a_plain_program)
{
    for (int g = 0; g < GRIDS; g++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct pf_cuda *cuda = new_queue();
            size_t count = cells_of(&grids[g]);
            const float stiffness = kind & 1 ? 4 : 0.25f;
            struct pf_cell *cells = new_cells(count);
            float2 *displacement = random_pairs(count, 3);
            float2 *got = (float2 *)malloc(count * sizeof(*got));
            struct pf_deform_state state = {};
            state.done = (kind & 3) == 3;
            struct pf_deform_pass pass = {};
            pass.grid = grids[g];
            pass.cells = device_copy(cells, count);
            pass.state = device_copy(&state, 1);
            pass.displacement = device_copy(displacement, count);
            for (int sweep = 0; sweep < 3; sweep++) {
                pf_flow_relax(cuda, &pass, stiffness, sweep & 1);
                if (!state.done)
                    relax_as_a_plain_program(&pass.grid, cells, displacement, (double)stiffness,
                                             sweep & 1);
            }
            fetch(got, pass.displacement, count);
            for (size_t k = 0; k < count; k++) {
                CHECK_NEAR(got[k].x, displacement[k].x, state.done ? 0 : 2e-5);
                CHECK_NEAR(got[k].y, displacement[k].y, state.done ? 0 : 2e-5);
            }
            GPU(cudaFree(pass.cells));
            GPU(cudaFree(pass.state));
            free(cells);
            free(displacement);
            free(got);
            finish(cuda);
        }
}

/* A place is off by 4e-6 of a cell, where neighbours are 6 px apart at the most, and twice that. */
TEST(cuda_refining_is_that_of_a_plain_program)
{
    for (int g = 0; g < GRIDS; g++)
        for (int kind = 0; kind < 2 * order_count(); kind++) {
            take_order(kind / 2);
            struct pf_cuda *cuda = new_queue();
            const float zoom = kind & 1 ? 1.5f : 2;
            const struct pf_cells *grid = &grids[g];
            struct pf_cells coarse = {half(grid->columns), half(grid->rows), 4, 4};
            size_t count = cells_of(grid);
            float2 *values = random_pairs(cells_of(&coarse), 3);
            float2 *got = (float2 *)malloc(count * sizeof(*got));
            float2 *from = device_copy(values, cells_of(&coarse));
            float2 *out = device_copy<float2>(NULL, count);
            pf_flow_refine(cuda, out, grid, from, &coarse, zoom);
            fetch(got, out, count);
            for (size_t k = 0; k < count; k++) {
                int row = (int)k / grid->columns, column = (int)k % grid->columns;
                double d[2];
                between(values, &coarse, (middle(column, 4) + 0.5) / (double)zoom - 0.5,
                        (middle(row, 4) + 0.5) / (double)zoom - 0.5, d);
                CHECK_NEAR(got[k].x, (double)zoom * d[0], 5e-5);
                CHECK_NEAR(got[k].y, (double)zoom * d[1], 5e-5);
            }
            GPU(cudaFree(from));
            free(values);
            free(got);
            finish(cuda);
        }
}

/* How far from its beginning a cell's middle ends that goes forth and comes back. */
static double missed_by(const struct pf_cells *grid, const double h[9], const float2 *forth,
                        const double back_h[9], const float2 *back, size_t k)
{
    int row = (int)k / grid->columns, column = (int)k % grid->columns;
    double x = middle(column, grid->width), y = middle(row, grid->height), tx, ty, ex, ey, d[2];
    pf_homography_apply(h, x, y, &tx, &ty);
    tx += (double)forth[k].x;
    ty += (double)forth[k].y;
    pf_homography_apply(back_h, tx, ty, &ex, &ey);
    between(back, grid, tx, ty, d);
    return hypot(ex + d[0] - x, ey + d[1] - y);
}

/* On the way of 500 px and back 1e-4 px are lost in float: of a trust at 0.3 px, where it falls the fastest,
 * 1e-3. No cell is so near to where it loses its say. */
TEST(cuda_agreement_is_that_of_a_plain_program)
{
    const double h[9] = {1.01, 0.02, 1.7, -0.015, 0.99, -1.4, 1e-5, -2e-5, 1};
    for (int g = 0; g < GRIDS; g++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            const struct pf_cells *grid = &grids[g];
            size_t count = cells_of(grid);
            const float stiffness = 4;
            double inverse[9];
            CHECK(pf_homography_invert(inverse, h));
            struct pf_deform_pass forth = {}, back = {};
            int width = 4 * grid->columns - 1, height = 4 * grid->rows - 2;
            forth.grid = back.grid = *grid;
            forth.warp = pf_short_warp_of(h, width, height);
            back.warp = pf_short_warp_of(inverse, width, height);
            /* The same everywhere, but for a little noise, and much where it is the fifth cell. */
            float2 *there = random_pairs(count, 0.15f), *here = random_pairs(count, 0.15f);
            for (size_t k = 0; k < count; k++) {
                there[k].x += 1.25f;
                there[k].y += k % 5 == 4 ? 2 : -0.5f;
                here[k].x -= 1.25f;
                here[k].y += 0.5f;
            }
            struct pf_cell *cells = new_cells(count);
            struct pf_cell *got = (struct pf_cell *)malloc(count * sizeof(*got));
            struct pf_deform_state state = {};
            forth.cells = device_copy(cells, count);
            forth.state = device_copy(&state, 1);
            forth.displacement = device_copy(there, count);
            back.displacement = device_copy(here, count);
            pf_flow_agree(cuda, &forth, &back, stiffness);
            fetch(got, forth.cells, count);
            fetch(&state, forth.state, 1);
            unsigned trusted = 0;
            for (size_t k = 0; k < count; k++) {
                double apart = pow(missed_by(grid, h, there, inverse, here, k) / 0.3, 2);
                double trust = 1 / (1 + apart * apart);
                CHECK(fabs(trust - 0.5) > 1e-3);
                trusted += trust > 0.5;
                trust = trust > 0.5 ? trust : 0;
                double more = 0.1 * (double)stiffness, x = (double)there[k].x,
                       y = (double)there[k].y;
                double xx = trust * ((double)cells[k].xx + more), xy = trust * (double)cells[k].xy;
                double yy = trust * ((double)cells[k].yy + more), within = 2e-3 * (1 + xx + yy);
                CHECK_NEAR(got[k].xx, xx, within);
                CHECK_NEAR(got[k].xy, xy, within);
                CHECK_NEAR(got[k].yy, yy, within);
                CHECK_NEAR(got[k].x, xx * x + xy * y, 3 * within);
                CHECK_NEAR(got[k].y, xy * x + yy * y, 3 * within);
            }
            CHECK_EQ(state.trusted, trusted);
            GPU(cudaFree(forth.displacement));
            GPU(cudaFree(back.displacement));
            free(there);
            free(here);
            free(cells);
            free(got);
            finish(cuda);
        }
}
