/* The EXIF block of a picture: read what matters, and prepare it for the output.
 *
 * Used by the codecs, any thread. A block is TIFF-shaped, without "Exif\0\0". Blocks come from
 * strangers: libexif parses them, nothing here trusts an offset. Source: EXIF 2.32 (CIPA DC-008).
 */
#ifndef PF_EXIF_H
#define PF_EXIF_H

#include <libexif/exif-data.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"
#include "process/image.h"

/* Parsed as it stands, nothing added or repaired; NULL on out of memory. exif_data_unref(). */
ExifData *pf_exif_parse(const struct pf_blob *exif);

/* 1..8; 1 when absent or senseless. */
int pf_exif_orientation(const struct pf_blob *exif);

/* Whether the camera means Adobe RGB: ColorSpace 65535 with the interoperability index R03 (DCF 2.0), or
 * 2, as some have it. */
bool pf_exif_is_adobe_rgb(const struct pf_blob *exif);

/* Makes it say sRGB, for pixels that were developed to that whatever the camera was set to. The block
 * is replaced; one that says nothing of colours is left as it is. -ENOMEM. */
int pf_exif_set_srgb(struct pf_blob *exif, struct pf_error *err);

/* The block for an upright picture of width x height made from this one: Orientation 1, pixel
 * dimensions, Software "parfocal", nothing of how the frame's own file was laid out, no thumbnail, no
 * maker note that libexif cannot move. The
 * caller frees ret->bytes. An unreadable block is replaced by a minimal one. -ENOMEM. */
int pf_exif_for_output(const struct pf_blob *exif, int width, int height, struct pf_blob *ret,
                       struct pf_error *err);

/* Collects the EXIF of a TIFF file (its descriptive tags, EXIF and GPS directories) into a block.
 * Bounded; a damaged directory yields what could be read, possibly nothing. -ENOMEM. */
int pf_exif_of_tiff(int fd, int64_t size_bytes, struct pf_blob *ret, struct pf_error *err);

/* The same of TIFF structures within a file, at part_at[]: their first directories are what would be
 * the first, the EXIF and the GPS directory. 0: there is none. */
int pf_exif_of_parts(int fd, int64_t size_bytes, const int64_t part_at[3], struct pf_blob *ret,
                     struct pf_error *err);

#endif
