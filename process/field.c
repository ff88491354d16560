#include "process/field.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_NODES = 4, MOST_NODES = 4096 };

int pf_field_new_grid(struct pf_field **ret, int columns, int rows, struct pf_error *err)
{
    if (columns < LEAST_NODES || rows < LEAST_NODES || columns > MOST_NODES || rows > MOST_NODES)
        return pf_fail(err, EINVAL, "a displacement field of %d x %d nodes", columns, rows);
    struct pf_field *field = calloc(1, sizeof(*field));
    if (field)
        field->nodes = calloc((size_t)columns * (size_t)rows, sizeof(*field->nodes));
    if (!field || !field->nodes) {
        pf_field_free(field);
        return pf_fail(err, ENOMEM, "out of memory for a displacement field");
    }
    field->columns = columns;
    field->rows = rows;
    field->spacing_x = field->spacing_y = 1;
    *ret = field;
    return 0;
}

int pf_field_new(struct pf_field **ret, int width, int height, double spacing_px,
                 struct pf_error *err)
{
    struct pf_field *field = NULL;
    int across = (int)fmin(MOST_NODES - 3, fmax(1, ceil((width - 1) / spacing_px - 0.01)));
    int down = (int)fmin(MOST_NODES - 3, fmax(1, ceil((height - 1) / spacing_px - 0.01)));
    int r = pf_field_new_grid(&field, across + 3, down + 3, err);
    if (r < 0)
        return r;
    field->spacing_x = fmax(1, (double)(width - 1) / across);
    field->spacing_y = fmax(1, (double)(height - 1) / down);
    field->origin_x = -field->spacing_x;
    field->origin_y = -field->spacing_y;
    *ret = field;
    return 0;
}

int pf_field_copy(struct pf_field **ret, const struct pf_field *field, struct pf_error *err)
{
    struct pf_field *copy = NULL;
    int r = pf_field_new_grid(&copy, field->columns, field->rows, err);
    if (r < 0)
        return r;
    float(*nodes)[2] = copy->nodes;
    memcpy(nodes, field->nodes,
           (size_t)field->columns * (size_t)field->rows * sizeof(*field->nodes));
    *copy = *field;
    copy->nodes = nodes;
    *ret = copy;
    return 0;
}

struct pf_field *pf_field_free(struct pf_field *field)
{
    if (field)
        free(field->nodes);
    free(field);
    return NULL;
}

/* Column `column` of the grid at a height between nodes. */
static void column_at(const struct pf_field *field, int column, int row, const double w[4],
                      double ret[2])
{
    ret[0] = ret[1] = 0;
    for (int k = 0; k < 4; k++) {
        const float *node =
            field->nodes[(size_t)(row + k) * (size_t)field->columns + (size_t)column];
        ret[0] += w[k] * (double)node[0];
        ret[1] += w[k] * (double)node[1];
    }
}

void pf_field_row(const struct pf_field *field, double x, double step, double y, int count,
                  double (*ret)[2])
{
    double down[4], across[4], column[4][2] = {{0}};
    int row = pf_spline_weights(y, field->origin_y, field->spacing_y, field->rows, down), held = -8;
    for (int i = 0; i < count; i++) {
        int first = pf_spline_weights(x + step * i, field->origin_x, field->spacing_x,
                                      field->columns, across);
        if (first != held) /* points of a row stay in a cell for long */
            for (int k = 0; k < 4; k++)
                column_at(field, first + k, row, down, column[k]);
        held = first;
        for (int axis = 0; axis < 2; axis++)
            ret[i][axis] = across[0] * column[0][axis] + across[1] * column[1][axis] +
                           across[2] * column[2][axis] + across[3] * column[3][axis];
    }
}

void pf_field_at(const struct pf_field *field, double x, double y, double ret[2])
{
    double value[1][2];
    pf_field_row(field, x, 0, y, 1, value);
    ret[0] = value[0][0];
    ret[1] = value[0][1];
}

/* Values of a line to coefficients, in place; it runs straight at its ends. `room` holds `count`. */
static void solve_line(double *line, double *room, int count)
{
    /* c[i - 1] + 4 c[i] + c[i + 1] = 6 line[i] within, c = line at the ends */
    room[0] = 0;
    for (int i = 1; i < count - 1; i++) {
        double pivot = 4 - room[i - 1];
        room[i] = 1 / pivot;
        line[i] = (6 * line[i] - line[i - 1]) / pivot;
    }
    for (int i = count - 2; i > 0; i--)
        line[i] -= room[i] * line[i + 1];
}

int pf_field_interpolate(struct pf_field *field, struct pf_error *err)
{
    int longest = field->columns > field->rows ? field->columns : field->rows;
    double *line = malloc(2 * (size_t)longest * sizeof(*line));
    if (!line)
        return pf_fail(err, ENOMEM, "out of memory for a displacement field");
    for (int way = 0; way < 2; way++) {
        int lines = way ? field->columns : field->rows, count = way ? field->rows : field->columns;
        size_t next = way ? (size_t)field->columns : 1, apart = way ? 1 : (size_t)field->columns;
        for (int i = 0; i < 2 * lines; i++) {
            float(*first)[2] = field->nodes + (size_t)(i / 2) * apart;
            for (int k = 0; k < count; k++)
                line[k] = (double)first[(size_t)k * next][i % 2];
            solve_line(line, line + longest, count);
            for (int k = 0; k < count; k++)
                first[(size_t)k * next][i % 2] = (float)line[k];
        }
    }
    free(line);
    return 0;
}

static void extrapolate(float (*at)[2], ptrdiff_t inward)
{
    for (int axis = 0; axis < 2; axis++)
        at[0][axis] = 2 * at[inward][axis] - at[2 * inward][axis];
}

void pf_field_continue(struct pf_field *field)
{
    ptrdiff_t columns = field->columns, rows = field->rows;
    for (ptrdiff_t i = 0; i < columns; i++) {
        extrapolate(field->nodes + i, columns);
        extrapolate(field->nodes + (rows - 1) * columns + i, -columns);
    }
    for (ptrdiff_t j = 0; j < rows; j++) {
        extrapolate(field->nodes + j * columns, 1);
        extrapolate(field->nodes + j * columns + columns - 1, -1);
    }
}

/* The most that neighbouring coefficients of a row bend. */
static double most_bend(const struct pf_field *field)
{
    double most = 0;
    for (int j = 0; j < field->rows; j++)
        for (int i = 1; i + 1 < field->columns; i++)
            for (int axis = 0; axis < 2; axis++) {
                const float(*node)[2] =
                    field->nodes + (size_t)j * (size_t)field->columns + (size_t)i;
                double bend = fabs((double)node[-1][axis] - 2 * (double)node[0][axis] +
                                   (double)node[1][axis]);
                most = bend > most ? bend : most;
            }
    return most;
}

struct pf_field_shape pf_field_look(const struct pf_field *field, int width, int height)
{
    struct pf_field_shape shape = {.least_jacobian = 1, .straight_px = 1e9, .finite = true};
    size_t count = (size_t)field->columns * (size_t)field->rows;
    for (size_t i = 0; i < count; i++)
        shape.finite &= isfinite(field->nodes[i][0]) && isfinite(field->nodes[i][1]);
    if (!shape.finite)
        return shape;
    const double short_x = 0.05 * field->spacing_x, short_y = 0.05 * field->spacing_y;
    int across = 2 * (field->columns - 3), down = 2 * (field->rows - 3);
    double sum = 0;
    for (int j = 0; j <= down; j++) {
        for (int i = 0; i <= across; i++) {
            double x = (double)(width - 1) * i / across, y = (double)(height - 1) * j / down;
            double here[2], left[2], right[2], above[2], below[2];
            pf_field_at(field, x, y, here);
            pf_field_at(field, x - short_x, y, left);
            pf_field_at(field, x + short_x, y, right);
            pf_field_at(field, x, y - short_y, above);
            pf_field_at(field, x, y + short_y, below);
            double xx = 1 + (right[0] - left[0]) / (2 * short_x);
            double yx = (right[1] - left[1]) / (2 * short_x);
            double xy = (below[0] - above[0]) / (2 * short_y);
            double yy = 1 + (below[1] - above[1]) / (2 * short_y);
            shape.least_jacobian = fmin(shape.least_jacobian, xx * yy - xy * yx);
            shape.most_px = fmax(shape.most_px, hypot(here[0], here[1]));
            sum += hypot(here[0], here[1]);
        }
    }
    shape.mean_px = sum / ((double)(across + 1) * (down + 1));
    double bend = most_bend(field) / (field->spacing_x * field->spacing_x);
    if (bend > 0) /* an arc leaves its chord by length^2 * bend / 8 */
        shape.straight_px = sqrt(8 * 0.02 / bend);
    return shape;
}
