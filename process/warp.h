/* Where a frame has what the reference shows: a homography, and for things that deform a field of
 * displacements on top of it. Reference point r -> frame point h * r + field(r).
 *
 * Header-only; any thread. However many steps led to it, it is one map, and each frame is resampled
 * once. What only needs to know about where a thing is (focus per cell, brightness) uses h alone: a
 * field reaches a fraction of such a cell.
 */
#ifndef PF_WARP_H
#define PF_WARP_H

#include "process/field.h"
#include "process/homography.h"

struct pf_warp {
    double h[9];
    struct pf_field *field; /* NULL: none. Owned by whoever owns the warp */
};

static inline void pf_warp_apply(const struct pf_warp *warp, double x, double y, double *ret_x,
                                 double *ret_y)
{
    pf_homography_apply(warp->h, x, y, ret_x, ret_y);
    if (warp->field) {
        double d[2];
        pf_field_at(warp->field, x, y, d);
        *ret_x += d[0];
        *ret_y += d[1];
    }
}

/* The same for `count` points of a row: x, x + step, ... */
static inline void pf_warp_row(const struct pf_warp *warp, double x, double step, double y,
                               int count, double (*ret)[2])
{
    if (warp->field)
        pf_field_row(warp->field, x, step, y, count, ret);
    for (int i = 0; i < count; i++) {
        double px, py;
        pf_homography_apply(warp->h, x + step * i, y, &px, &py);
        ret[i][0] = warp->field ? ret[i][0] + px : px;
        ret[i][1] = warp->field ? ret[i][1] + py : py;
    }
}

/* What r -> warp(r + more(r)) is, as a field over the warp's own homography, on a grid as fine as the
 * finer of the two; `more` may be NULL. *ret is the caller's. -ENOMEM. */
int pf_warp_extend(const struct pf_warp *warp, const struct pf_field *more, int width, int height,
                   struct pf_field **ret, struct pf_error *err);

#endif
