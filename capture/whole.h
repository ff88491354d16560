/* Is an image file whole? Told by its content, never by its name.
 *
 * Capture process, any thread. JPEG: the markers are walked from SOI through every scan to the
 * picture's own EOI. PNG: every chunk to IEND, with its CRC. TIFF and BigTIFF: every directory, and
 * every strip, tile and value named there lies within the file. RAW: DNG, CR2, NEF, ARW, ORF and
 * RW2 are walked as TIFF, CR3 box by box, RAF by its header. Of these, whose structure stands in front,
 * the data's last bytes are looked at as well: a copier may have given the file its size first. Pixels are not decoded, and what
 * follows a picture's end (MPF images, makers' trailers) is allowed. No allocation depends on what
 * the file says, and every walk is bounded.
 * Sources: ITU-T T.81, CIPA DC-007 (MPF), PNG 1.2 (ISO/IEC 15948), TIFF 6.0, DNG 1.6, ISO/IEC
 * 14496-12 (boxes), and for CR2, CR3, ORF, RAF and RW2 what exiftool's documentation of tags says.
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
    PF_WHOLE_FOREIGN, /* nothing that we know */
};

struct pf_whole {
    enum pf_whole_state state;
    char reason[160]; /* one line; empty for PF_WHOLE_YES */
    /* Static, NULL unknown: "jpeg", "png", "tiff", "dng", "cr2", "cr3", "orf", "raf", "rw2", and
     * "raw" for other RAW files shaped as TIFF (NEF, ARW). */
    const char *format;
    int width, height; /* pixels as stored, of RAW the largest picture in it; 0 unknown */
    /* Whole, but its MPF index names images that are not there (yet), or the format does not say
     * where its data ends, or that ends in zeros: better to wait until the file has rested. */
    bool trailer_missing;
    /* Whole, but picture data lie where the file has a hole (SEEK_HOLE of lseek(2)): space that a copier
     * has set aside and not written yet, or zeros that a file system keeps so. Better to wait long. */
    bool hollow;
    int64_t exif_at;         /* EXIF block (TIFF-shaped, without "Exif\0\0") in the file, -1 none */
    int64_t exif_size_bytes; /* a TIFF file is its own EXIF block */
    bool exif_scattered;     /* its directories may lie anywhere behind, as in a TIFF file */
    int64_t exif_more_at;    /* CR3: its EXIF directory is a TIFF structure of its own; 0 none */
};

/* 0 and *ret filled, -ENOMEM, or errno of pread(2). */
int pf_whole_check(struct pf_bytes *bytes, struct pf_whole *ret);

#endif
