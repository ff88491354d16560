/* For the tests of non-rigid alignment's kernels, beside planes.h: grids of cells, and what is between the
 * middles of cells, in double precision. Included once by each. */
#ifndef PF_TEST_CUDA_CELLS_H
#define PF_TEST_CUDA_CELLS_H

#include "tests/cuda/planes.h"

#include "process/cuda/deform_kernels.h"

static const struct pf_cells grids[] = {{1, 1, 4, 4},  {2, 3, 4, 4},   {5, 2, 4, 4},
                                        {17, 5, 4, 4}, {33, 17, 4, 4}, {1, 70, 4, 4},
                                        {66, 1, 4, 4}, {130, 9, 4, 4}};
enum { GRIDS = sizeof(grids) / sizeof(*grids) };

static inline size_t cells_of(const struct pf_cells *grid)
{
    return (size_t)grid->columns * (size_t)grid->rows;
}

static inline double middle(int cell, float size)
{
    return (cell + 0.5) * (double)size - 0.5;
}

/* Random displacements of so many pixels at most. */
static inline float2 *random_pairs(size_t count, float most)
{
    float *values = random_floats(2 * count, -most, most);
    float2 *pairs = (float2 *)malloc(count * sizeof(*pairs));
    for (size_t k = 0; k < count; k++)
        pairs[k] = make_float2(values[2 * k], values[2 * k + 1]);
    free(values);
    return pairs;
}

/* Straight between the middles of the cells; beyond the outermost what they have. */
static inline void between(const float2 *values, const struct pf_cells *grid, double x, double y,
                           double ret[2])
{
    double u = fmin(fmax((x + 0.5) / (double)grid->width - 0.5, 0), grid->columns - 1);
    double v = fmin(fmax((y + 0.5) / (double)grid->height - 0.5, 0), grid->rows - 1);
    int i = (int)u, j = (int)v;
    ret[0] = ret[1] = 0;
    for (int k = 0; k < 4; k++) {
        int column = clamped(i + k % 2, grid->columns), row = clamped(j + k / 2, grid->rows);
        double share = (k % 2 ? u - i : 1 - (u - i)) * (k / 2 ? v - j : 1 - (v - j));
        const float2 *value = &values[(size_t)row * (size_t)grid->columns + (size_t)column];
        ret[0] += share * (double)value->x;
        ret[1] += share * (double)value->y;
    }
}

#endif
