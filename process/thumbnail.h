/* Thumbnails of a frame: a small one at once, and a larger one when the frame has been decoded.
 *
 * Runs in the worker's side thread. They are JPEGs of 8 bits, upright, with the picture's colour
 * profile and without its EXIF, put in place by rename: PREFIX.small.jpg (PF_THUMBNAIL_SMALL on its longer side)
 * and PREFIX.jpg (PF_THUMBNAIL_LARGE). What is there already is left. Nothing depends on them: a
 * thumbnail that cannot be made is no failure of the frame.
 */
#ifndef PF_THUMBNAIL_H
#define PF_THUMBNAIL_H

#include <jansson.h>

#include "process/codec.h"

#define PF_THUMBNAIL_SMALL 160
#define PF_THUMBNAIL_LARGE 800

/* The small one from the file alone. 1 and *ret_facts {size path width height}, the caller's; 0 when
 * it was there already. -ENODATA: the file has no short way to it, and it comes after decoding. */
int pf_thumbnail_before(const char *file, const char *prefix, const struct pf_decode_limits *limits,
                        json_t **ret_facts, struct pf_error *err);

enum pf_thumbnail_size { PF_THUMBNAIL_IS_SMALL, PF_THUMBNAIL_IS_LARGE };

/* One from the decoded frame. 1 and *ret_facts; 0 when it was there already. */
int pf_thumbnail_after(const struct pf_image *image, const char *prefix,
                       enum pf_thumbnail_size size, json_t **ret_facts, struct pf_error *err);

#endif
