/* A displacement field: how far each point of the reference lies from where a homography puts it.
 *
 * Used inside process/ by any thread; a field that nobody changes may be read by several. One owner
 * (pf_field_free).
 *
 * A free-form deformation: a uniform cubic B-spline on a coarse grid of control nodes (Rueckert et
 * al., "Nonrigid registration using free-form deformations", IEEE TMI 1999), two coefficients a node,
 * in pixels of the frame. Points are reference pixels, centres at integers, as everywhere. Outside
 * the grid the value at its border holds.
 */
#ifndef PF_FIELD_H
#define PF_FIELD_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>

#include "config/base/error.h"

struct pf_field {
    int columns, rows; /* nodes; at least 4 x 4 */
    /* Node (i, j) lies at origin + (i, j) * spacing. The outermost ring is outside the picture. */
    double origin_x, origin_y, spacing_x, spacing_y;
    float (*nodes)[2]; /* [rows * columns], row by row: coefficients along x and y */
};

/* A field of zeros over a picture, with nodes about `spacing_px` apart in both directions. -ENOMEM. */
int pf_field_new(struct pf_field **ret, int width, int height, double spacing_px,
                 struct pf_error *err);
/* The same for any grid, `nodes` unset. -EINVAL below 4 x 4, -ENOMEM. */
int pf_field_new_grid(struct pf_field **ret, int columns, int rows, struct pf_error *err);
int pf_field_copy(struct pf_field **ret, const struct pf_field *field, struct pf_error *err);
struct pf_field *pf_field_free(struct pf_field *field); /* NULL-safe, returns NULL */

/* The first of the four nodes of a line around a coordinate, and their weights. */
static inline int pf_spline_weights(double at, double origin, double spacing, int nodes,
                                    double w[4])
{
    double u = (at - origin) / spacing;
    u = !(u > 1) ? 1 : u > nodes - 2 ? nodes - 2 : u;
    int cell = (int)u;
    cell = cell > nodes - 3 ? nodes - 3 : cell;
    double t = u - cell, s = 1 - t;
    w[0] = s * s * s / 6;
    w[1] = (4 - 3 * t * t * (1 + s)) / 6;
    w[2] = (4 - 3 * s * s * (1 + t)) / 6;
    w[3] = t * t * t / 6;
    return cell - 1;
}

/* The displacement at a reference point. */
void pf_field_at(const struct pf_field *field, double x, double y, double ret[2]);
/* The same at `count` points of a row: x, x + step, ... */
void pf_field_row(const struct pf_field *field, double x, double step, double y, int count,
                  double (*ret)[2]);

/* Makes the spline pass through given values at its nodes: on entry `nodes` holds them. -ENOMEM. */
int pf_field_interpolate(struct pf_field *field, struct pf_error *err);

/* Gives the outermost ring, where nothing is known, values that go on as the next two rings run. */
void pf_field_continue(struct pf_field *field);

struct pf_field_shape {
    double most_px, mean_px; /* length of the displacement */
    double
        least_jacobian; /* of r -> r + field(r): 1 where nothing is stretched, 0 or less: folded */
    /* Pixels of a row over which the field runs straight, but for 1/50 of a pixel. */
    double straight_px;
    bool finite;
};

/* Looks at the field over a picture, at four points a grid cell. */
struct pf_field_shape pf_field_look(const struct pf_field *field, int width, int height);

#ifdef __cplusplus
}
#endif

#endif
