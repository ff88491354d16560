/* Picture files of the generator: JPEG, TIFF, PNG and RAW with EXIF, written through the libraries where they can.
 *
 * Generator, its test and the benchmark's compare. One thread at a time. Independent of the
 * product's codec, so that a fault there is not hidden by the same fault here.
 */
#ifndef PF_GEN_PICTURE_H
#define PF_GEN_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"

enum pf_gen_format {
    PF_GEN_JPEG,
    PF_GEN_TIFF,
    PF_GEN_PNG,
    PF_GEN_DNG,
    PF_GEN_NEF,
    PF_GEN_ARW,
    PF_GEN_LDNG, /* DNG with lossless JPEG in it */
    PF_GEN_ORF,  /* 12 bits, packed as Olympus does; width a multiple of 8 */
    /* Makers' own, 64 x 64 or larger; exif must be there. */
    PF_GEN_CR2,
    PF_GEN_RW2,
    PF_GEN_CR3,
    PF_GEN_RAF,
};

/* What the camera says of itself; strings borrowed, NULL: the tag is left out. */
struct pf_gen_exif {
    bool present;
    const char *make, *model, *serial, *lens;
    int64_t time_ms; /* DateTimeOriginal, local time as if it were UTC, ms since 1970 */
    bool subsec;
    const char *offset; /* "+01:00" */
    double focal_mm, f_number, exposure_s;
    int iso, orientation;
};

struct pf_gen_encoding {
    enum pf_gen_format format;
    int bits;        /* 8 or 16; JPEG is 8, RAW 16 */
    int channels;    /* 3 RGB or 1 grey; RAW is made of 3 */
    int quality;     /* JPEG */
    int subsampling; /* JPEG: 420, 422, 440 or 444 */
    int compression; /* PNG: 0..9 */
};

/* samples: 16 bits, row by row, `channels` a pixel. The file appears under its name when it is
 * whole (written as .NAME.part beside it first). Errors: -EIO, errno of the system. */
int pf_gen_picture_write(const char *path, const uint16_t *samples, int width, int height,
                         const struct pf_gen_encoding *encoding, const struct pf_gen_exif *exif,
                         struct pf_error *err);

/* Reads any of them but RAW as 16-bit samples (8-bit ones times 257), `*ret_channels` a pixel (1 or
 * 3); the caller frees. Orientation is not applied. Errors: -EBADMSG, -ENOTSUP, errno of open. */
int pf_gen_picture_read(const char *path, uint16_t **ret, int *ret_width, int *ret_height,
                        int *ret_channels, struct pf_error *err);

/* EXIF as a JPEG's APP1 carries it ("Exif\0\0" first); the caller frees. NULL on out of memory. */
uint8_t *pf_gen_exif_block(const struct pf_gen_exif *exif, int width, int height,
                           unsigned *ret_size_bytes);

/* "2026:01:02 03:04:05" of exif->time_ms. */
void pf_gen_exif_time(const struct pf_gen_exif *exif, char text[20]);

#endif
