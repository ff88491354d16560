/* Is an image file whole? Told by its content, never by its name.
 *
 * Capture process, any thread. JPEG: the markers are walked from SOI through every scan to the
 * picture's own EOI. PNG: every chunk to IEND, with its CRC. TIFF and BigTIFF: every directory, and
 * every strip, tile and value named there lies within the file. Pixels are not decoded, and what
 * follows a picture's end (MPF images, makers' trailers) is allowed. No allocation depends on what
 * the file says, and every walk is bounded.
 * Sources: ITU-T T.81, CIPA DC-007 (MPF), PNG 1.2 (ISO/IEC 15948), TIFF 6.0, DNG 1.6.
 */
#ifndef PF_WHOLE_H
#define PF_WHOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/bytes.h"

enum pf_whole_state {
    PF_WHOLE_YES,
    PF_WHOLE_NOT_YET, /* something is missing that may still be written */
    PF_WHOLE_NEVER,   /* claims to be an image that we know, but cannot be one as it stands */
    PF_WHOLE_FOREIGN, /* a TIFF-shaped RAW, or nothing that we know */
};

struct pf_whole {
    enum pf_whole_state state;
    char reason[160];        /* one line; empty for PF_WHOLE_YES */
    const char *format;      /* "jpeg", "png", "tiff" (static), NULL unknown */
    int width, height;       /* pixels as stored; 0 unknown */
    bool trailer_missing;    /* whole, but its MPF index names images that are not there (yet) */
    int64_t exif_at;         /* EXIF block (TIFF-shaped, without "Exif\0\0") in the file, -1 none */
    int64_t exif_size_bytes; /* a TIFF file is its own EXIF block */
};

/* 0 and *ret filled, or errno of pread(2). */
int pf_whole_check(struct pf_bytes *bytes, struct pf_whole *ret);

#endif
