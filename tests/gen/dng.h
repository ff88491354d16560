/* What makes a DNG of a TIFF: the tags of a camera, and rows as its sensor sees them. Uncompressed NEF
 * and ARW are the same without the tags of DNG: what is not said there a reader knows of the body.
 *
 * Used by tests/gen/picture.c only. One thread at a time; everything is borrowed.
 */
#ifndef PF_GEN_DNG_H
#define PF_GEN_DNG_H

#include <stdbool.h>
#include <stdint.h>
#include <tiffio.h>

/* Sets the tags of the camera, photometric interpretation included. dng: those of DNG too. */
void pf_gen_dng_fields(TIFF *tiff, const char *model, bool dng);

/* Row y of interleaved sRGB samples of 16 bits -> `width` sensor values: of 14 bits as the tags of a DNG
 * say, else of all 16. */
void pf_gen_dng_row(uint16_t *to, const uint16_t *rgb, int width, int y, bool dng);

#endif
