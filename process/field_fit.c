#include "process/field_fit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, MOST_STEPS = 300 };
#define OUTLIER 2.5 /* standard deviations at which a point has half its say */

struct fit {
    const struct pf_field *field;
    const struct pf_field_point *points;
    int count, nodes;
    double penalty;
    int *first;   /* first of the 16 nodes around each point */
    float *basis; /* [count][16] */
};

/* The 16 nodes around a point and their weights; the first of them. */
static int basis_at(const struct pf_field *field, double x, double y, float w[16])
{
    double across[4], down[4];
    int column = pf_spline_weights(x, field->origin_x, field->spacing_x, field->columns, across);
    int row = pf_spline_weights(y, field->origin_y, field->spacing_y, field->rows, down);
    for (int i = 0; i < 16; i++)
        w[i] = (float)(down[i / 4] * across[i % 4]);
    return row * field->columns + column;
}

static inline int node_of(const struct fit *fit, int point, int i)
{
    return fit->first[point] + i / 4 * fit->field->columns + i % 4;
}

/* The spline with coefficients c at a point. */
static void value_at(const struct fit *fit, const double *c, int point, double ret[2])
{
    const float *w = fit->basis + (size_t)point * 16;
    ret[0] = ret[1] = 0;
    for (int i = 0; i < 16; i++) {
        const double *node = c + 2 * (size_t)node_of(fit, point, i);
        ret[0] += (double)w[i] * node[0];
        ret[1] += (double)w[i] * node[1];
    }
}

/* out += basis^T * about * trust * d */
static void pull(const struct fit *fit, int point, const double d[2], double *out)
{
    const struct pf_field_point *p = &fit->points[point];
    const float *w = fit->basis + (size_t)point * 16;
    double fx = p->trust * (p->about[0] * d[0] + p->about[1] * d[1]);
    double fy = p->trust * (p->about[1] * d[0] + p->about[2] * d[1]);
    for (int i = 0; i < 16; i++) {
        double *node = out + 2 * (size_t)node_of(fit, point, i);
        node[0] += (double)w[i] * fx;
        node[1] += (double)w[i] * fy;
    }
}

/* Bending of three coefficients in a row: what they have for it in `c` joins `out`. */
static inline void bend(const double *c, double *out, size_t before, size_t at, size_t after,
                        double penalty)
{
    for (size_t k = 0; k < 2; k++) {
        double b = penalty * (c[2 * before + k] - 2 * c[2 * at + k] + c[2 * after + k]);
        out[2 * before + k] += b;
        out[2 * at + k] -= 2 * b;
        out[2 * after + k] += b;
    }
}

/* out = (what the points and the penalty make of) c */
static void apply(const struct fit *fit, const double *c, double *out)
{
    size_t columns = (size_t)fit->field->columns, rows = (size_t)fit->field->rows;
    memset(out, 0, 2 * (size_t)fit->nodes * sizeof(*out));
    for (int i = 0; i < fit->count; i++) {
        double d[2];
        value_at(fit, c, i, d);
        pull(fit, i, d, out);
    }
    for (size_t j = 0; j < rows; j++)
        for (size_t i = 0; i < columns; i++) {
            size_t at = j * columns + i;
            if (i > 0 && i + 1 < columns)
                bend(c, out, at - 1, at, at + 1, fit->penalty);
            if (j > 0 && j + 1 < rows)
                bend(c, out, at - columns, at, at + columns, fit->penalty);
        }
    /* A little pull to nothing: a grid without points would have no one solution. */
    for (int i = 0; i < 2 * fit->nodes; i++)
        out[i] += 1e-6 * fit->penalty * c[i];
}

static double dot(const double *a, const double *b, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Conjugate gradients (Hestenes & Stiefel 1952) from what c holds; room: 4 vectors. */
static void solve(const struct fit *fit, double *c, double *room)
{
    int n = 2 * fit->nodes;
    double *right = room, *residual = room + n, *way = room + 2 * n, *product = room + 3 * n;
    memset(right, 0, (size_t)n * sizeof(*right));
    for (int i = 0; i < fit->count; i++)
        pull(fit, i, fit->points[i].d, right);
    apply(fit, c, product);
    for (int i = 0; i < n; i++)
        way[i] = residual[i] = right[i] - product[i];
    double size = dot(residual, residual, n), enough = 1e-10 * dot(right, right, n);
    for (int step = 0; step < MOST_STEPS && size > enough; step++) {
        apply(fit, way, product);
        double length = size / dot(way, product, n);
        for (int i = 0; i < n; i++) {
            c[i] += length * way[i];
            residual[i] -= length * product[i];
        }
        double next = dot(residual, residual, n);
        for (int i = 0; i < n; i++)
            way[i] = residual[i] + next / size * way[i];
        size = next;
    }
}

static void judge_points(const struct fit *fit, const double *c, struct pf_field_point *points)
{
    for (int i = 0; i < fit->count; i++) {
        struct pf_field_point *p = &points[i];
        double d[2];
        value_at(fit, c, i, d);
        double ex = p->d[0] - d[0], ey = p->d[1] - d[1];
        double distance = p->about[0] * ex * ex + 2 * p->about[1] * ex * ey + p->about[2] * ey * ey;
        p->trust = 1 / (1 + distance / (OUTLIER * OUTLIER));
    }
}

int pf_field_fit(struct pf_field *field, struct pf_field_point *points, int count,
                 double smoothness, struct pf_error *err)
{
    struct fit fit = {.field = field, .points = points, .count = count};
    if (count < 1)
        return pf_fail(err, ENODATA, "no displacement is known anywhere");
    fit.nodes = field->columns * field->rows;
    fit.first = malloc((size_t)count * sizeof(*fit.first));
    fit.basis = malloc((size_t)count * 16 * sizeof(*fit.basis));
    double *c = calloc(10 * (size_t)fit.nodes, sizeof(*c));
    int r = fit.first && fit.basis && c ? 0
                                        : pf_fail(err, ENOMEM,
                                                  "out of memory for a displacement "
                                                  "field");
    double information = 0;
    for (int i = 0; r == 0 && i < count; i++) {
        fit.first[i] = basis_at(field, points[i].x, points[i].y, fit.basis + (size_t)i * 16);
        points[i].trust = 1;
        information += 0.5 * (points[i].about[0] + points[i].about[2]);
    }
    fit.penalty = smoothness * information / fit.nodes;
    for (int round = 0; r == 0 && round < ROUNDS; round++) {
        solve(&fit, c, c + 2 * (size_t)fit.nodes);
        judge_points(&fit, c, points);
    }
    for (int i = 0; r == 0 && i < fit.nodes; i++) {
        field->nodes[i][0] = (float)c[2 * i];
        field->nodes[i][1] = (float)c[2 * i + 1];
    }
    free(fit.first);
    free(fit.basis);
    free(c);
    return r;
}
