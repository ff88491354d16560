/* How bright and of what white balance a frame is beside the reference: lamps flicker, and a
 * camera's automatic white balance wanders while a burst is shot.
 *
 * Pure functions over small grids, any thread; used by the backends, and by nobody else. Light is linear, 0..1: defocus
 * keeps the mean of the light, not the mean of the encoded values (out of focus, a print looks
 * brighter), so light is compared, cell by cell. What is clipped does not keep it: a lamp's mirror
 * image, many times brighter than white, gives more light to the picture the wider it is spread.
 * Cells that such light may reach are left out, and cells that stand out among the others.
 */
#ifndef PF_LIGHT_H
#define PF_LIGHT_H

#include <stdbool.h>

#include "process/homography.h"
#include "process/image.h"

#define PF_LIGHT_GRID 64
/* Of encoded values to light; near enough to the sRGB curve for factors near 1. */
#define PF_LIGHT_GAMMA 2.2

enum { PF_LIGHT_LUMA, PF_LIGHT_RED, PF_LIGHT_GREEN, PF_LIGHT_BLUE, PF_LIGHT_KINDS };

struct pf_light_grid {
    float cell[PF_LIGHT_KINDS][PF_LIGHT_GRID][PF_LIGHT_GRID]; /* means, row by row */
    bool clipped[PF_LIGHT_GRID][PF_LIGHT_GRID];
};

/* Factors of encoded values that make a frame look like the reference. */
struct pf_light_match {
    double gain;       /* of all channels alike */
    double balance[3]; /* of red, green, blue beside it: 1, 1, 1 where no drift is certain */
};

/* Column or row at which a cell begins, of `cells` along `length` pixels. */
PF_ANYWHERE static inline int pf_light_cell(int cell, int cells, int length)
{
    return (int)((int64_t)cell * length / cells);
}

/* The pixels of a cell, one way, that are looked at for colours and for clipping. */
struct pf_light_span {
    int first, count, step;
};
PF_ANYWHERE static inline struct pf_light_span pf_light_span_of(int cell, int length)
{
    enum { SAMPLES = 10 }; /* or so, of a cell */
    struct pf_light_span span;
    int end = pf_light_cell(cell + 1, PF_LIGHT_GRID, length);
    span.first = pf_light_cell(cell, PF_LIGHT_GRID, length);
    span.step = length / (PF_LIGHT_GRID * SAMPLES) + 1;
    /* Of a picture smaller than the grid, several cells see one pixel. */
    span.count = end > span.first ? (end - span.first + span.step - 1) / span.step : 1;
    return span;
}
#define PF_LIGHT_CLIPPED 0.98f /* encoded, of the brightest channel */

/* Fills all but the luma, which is the backend's and of every pixel, from a sample of the picture's
 * pixels. */
void pf_light_see(struct pf_light_grid *grid, const struct pf_image *image);

/* h: reference point -> frame point, both of width x height pixels. -ENOMEM. */
int pf_light_compare(const struct pf_light_grid *reference, const struct pf_light_grid *frame,
                     const double h[9], int width, int height, bool colours,
                     struct pf_light_match *ret, struct pf_error *err);

/* What gain and balance do to Y'CbCr samples (chroma centred on 0): out = m * in, row by row. */
void pf_light_matrix(const struct pf_light_match *match, double m[9]);

#endif
