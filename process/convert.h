/* Rows between RGB and the image's YCbCr (BT.601, full range, see process/image.h).
 *
 * Any thread; everything is borrowed, no state. Accurate to half a unit of the output before
 * rounding. Source: JFIF 1.02, ITU-R BT.601-7; chroma between its samples is linear, with samples
 * centred between their pixels.
 */
#ifndef PF_CONVERT_H
#define PF_CONVERT_H

#include <stddef.h>
#include <stdint.h>

#include "process/image.h"

/* RGB, 16 bits, in planes -> Y, Cb, Cr in the same rows. */
void pf_row_from_rgb(uint16_t *red_to_y, uint16_t *green_to_cb, uint16_t *blue_to_cr, int count);

/* Every `step`-th of `count` samples of 8 or 16 bits, widened to 16 (v * 257). */
void pf_row_unpack(uint16_t *out, const void *samples, int bits, int step, int count);

/* Floats of scratch that pf_row_to_rgb() needs. */
size_t pf_row_scratch_floats(const struct pf_image *image);

/* Row y of `image` as stored -> interleaved RGB, or grey when the image has one plane, of `bits`
 * 8 (uint8_t) or 16 (uint16_t). */
void pf_row_to_rgb(void *out, int bits, const struct pf_image *image, int y, float *scratch);

/* Row y of a plane in 8 bits. */
void pf_row_to_8_bits(uint8_t *out, const struct pf_image *image, int plane, int y);

/* Row y of a chroma plane at the width of the luma plane, same bits as the image; y counts luma
 * rows, so chroma halved vertically is interpolated as well. */
void pf_row_upsampled(void *out, const struct pf_image *image, int plane, int y, float *scratch);

/* The same picture with chroma of another size; without metadata, owned by the caller. Chroma is
 * interpolated, or the mean of what it covers. -ENOMEM. */
int pf_image_with_chroma(struct pf_image **ret, const struct pf_image *image, int chroma_shift_x,
                         int chroma_shift_y, struct pf_error *err);

#endif
