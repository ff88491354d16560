/* Alpha: where a picture is transparent it shows nothing, whatever colour is stored there.
 *
 * Used by the decoders, any thread; everything is borrowed. What an aligner or a retoucher left
 * transparent must neither win with the hard edge of its filling nor darken the stack. A stack has
 * no holes, so that such places are filled smoothly from what surrounds them: without any detail they
 * lose against every frame that shows something there. Half-covered pixels are mixed with it. What asks
 * no pixel for its detail, `fuse = average`, goes by the image's cover.
 * Source: push-pull, Gortler et al. 1996, The Lumigraph.
 */
#ifndef PF_ALPHA_H
#define PF_ALPHA_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"
#include "process/image.h"

/* `*alpha`: a byte a pixel, row by row, 255 covers; on the heap. Where it covers less than all it
 * becomes the image's cover, and *alpha NULL. associated: the colours are multiplied by it already. The image must have full-size chroma. -EBADMSG: nothing is covered; -ENOMEM. The texts
 * begin with `path`. */
int pf_alpha_fill(struct pf_image *image, uint8_t **alpha, bool associated, const char *path,
                  struct pf_error *err);

#endif
