/* What makes a DNG of a TIFF: the tags of a camera, and rows as its sensor sees them.
 *
 * Used by tests/gen/picture.c only. One thread at a time; everything is borrowed.
 */
#ifndef PF_GEN_DNG_H
#define PF_GEN_DNG_H

#include <stdint.h>
#include <tiffio.h>

/* Sets the tags of the camera, photometric interpretation included. */
void pf_gen_dng_fields(TIFF *tiff, const char *model);

/* Row y of interleaved sRGB samples of 16 bits -> `width` sensor values. */
void pf_gen_dng_row(uint16_t *to, const uint16_t *rgb, int width, int y);

#endif
