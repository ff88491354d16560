/* Turns an image's pixels upright by its EXIF orientation (1 to 8: EXIF 2.32, tag 0x0112; others
 * turn nothing).
 *
 * Any thread; the result is the caller's, without metadata and with orientation 1. Chroma stays
 * halved where that is exact: mirroring an odd number of pixels would move the halved samples by
 * half of theirs, so chroma is interpolated to full size in that case.
 */
#ifndef PF_UPRIGHT_H
#define PF_UPRIGHT_H

#include "process/image.h"
#include "process/pool.h"

/* pool may be NULL. -ENOMEM. */
int pf_image_upright(const struct pf_image *image, struct pf_pool *pool, struct pf_image **ret,
                     struct pf_error *err);

/* Where the stored picture, of this width and height, has what the upright one shows at x, y: places
 * in pixels, whole ones at their centres. */
void pf_upright_place(int orientation, int width, int height, double x, double y, double *ret_x,
                      double *ret_y);

#endif
