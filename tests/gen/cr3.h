/* CR3, the RAW file of Canon's cameras since the EOS M50, as that body writes it: boxes of ISO base
 * media, in them a JPEG, a small and a whole picture of the sensor's values in CRX (tests/gen/crx.h),
 * previews, and EXIF and maker note as TIFF structures.
 *
 * Used by tests/gen/picture.c and tests; any thread; everything is borrowed; the program ends when
 * memory does.
 * Sources: ISO/IEC 14496-12, Laurent Clévy's description (github.com/lclevy/canon_cr3), ExifTool's
 * tables of Canon's tags, and what LibRaw 0.20 reads.
 */
#ifndef PF_GEN_CR3_H
#define PF_GEN_CR3_H

#include <stddef.h>
#include <stdint.h>

#include "tests/gen/picture.h"

/* What the sensor has around the picture, at least. */
enum { PF_GEN_CR3_LEFT = 24, PF_GEN_CR3_TOP = 20, PF_GEN_CR3_RIGHT = 12, PF_GEN_CR3_BOTTOM = 8 };

struct pf_gen_cr3_jpeg {
    const uint8_t *bytes;
    size_t size;
    int width, height;
};

struct pf_gen_cr3 {
    const uint16_t *sensor; /* columns x rows values of 14 bits, RGGB; both even, 44 at least */
    int columns, rows;
    int tile_width; /* as for pf_gen_crx() */
    const struct pf_gen_exif *exif;
    struct pf_gen_cr3_jpeg whole, preview, thumbnail; /* whole: as large as the picture */
};

/* The file, on the heap. */
uint8_t *pf_gen_cr3_wrap(const struct pf_gen_cr3 *cr3, size_t *ret_bytes);

/* samples: sRGB of 16 bits, row by row. The file, on the heap. */
uint8_t *pf_gen_cr3(const uint16_t *samples, int width, int height, const struct pf_gen_exif *exif,
                    size_t *ret_bytes);

#endif
