/* RAW files as their makers' cameras write them, and what they have in common: the sensor, the EXIF
 * directory, the preview.
 *
 * Used by tests/gen/picture.c only, and by the files that these functions are in; any thread. The
 * program ends when memory does. Sources: the tag tables of ExifTool for the structures; what LibRaw
 * reads of a body for its colours, levels and borders.
 */
#ifndef PF_GEN_MAKERS_H
#define PF_GEN_MAKERS_H

#include "tests/gen/container.h"
#include "tests/gen/picture.h"

/* samples: sRGB of 16 bits, row by row. The file's bytes, on the heap. */
uint8_t *pf_gen_cr2(const uint16_t *samples, int width, int height, const struct pf_gen_exif *exif,
                    size_t *ret_bytes);

uint8_t *pf_gen_rw2(const uint16_t *samples, int width, int height, const struct pf_gen_exif *exif,
                    size_t *ret_bytes);

uint8_t *pf_gen_raf(const uint16_t *samples, int width, int height, const struct pf_gen_exif *exif,
                    size_t *ret_bytes);

struct pf_gen_body {
    float from_xyz[9];  /* the body's colours of XYZ under D65, as Adobe publishes them */
    uint16_t gain[3];   /* of red, green and blue: the white balance, as the file tells it */
    int black, white;   /* sensor values */
    int period;         /* of the colour filter, in both directions */
    const char *filter; /* period x period: 0 red, 1 green, 2 blue */
};

/* A sensor of columns x rows with the picture from (left, top) on; dark to the left of and above it, and
 * beyond its other edges as at them. On the heap. */
uint16_t *pf_gen_sensor(const struct pf_gen_body *body, const uint16_t *samples, int width,
                        int height, int left, int top, int columns, int rows);

/* The EXIF directory, with room for a maker's note in it. serial: as the standard has it. */
void pf_gen_exif_directory(struct pf_gen_directory *to, const struct pf_gen_exif *exif, int width,
                           int height, int subsec_digits, bool serial);

/* Begins `to`, which is empty, with an EXIF block as a JPEG has it, but for the maker's note: the caller appends it.
 * Returns where the EXIF directory stands, which is to point to it. */
size_t pf_gen_exif_begin(struct pf_gen_bytes *to, const struct pf_gen_exif *exif, int width,
                         int height, int subsec_digits, bool serial);

/* A JPEG of the picture, `step` times as small; app1: NULL or an EXIF block with "Exif\0\0". On the heap. */
uint8_t *pf_gen_preview(const uint16_t *samples, int width, int height, int step,
                        const struct pf_gen_bytes *app1, size_t *ret_bytes);

#endif
