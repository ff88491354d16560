/* An image in memory: planar, full-range YCbCr or grey, 8 or 16 bits a sample.
 *
 * Used inside process/ only, by any thread; one owner at a time (pf_image_free).
 *
 * Colour: Y'CbCr of the source's own RGB by the BT.601 matrix, full range (JFIF 1.02, as JPEG has
 * it): chroma is offset by 128 (8 bits) or 32768 (16 bits). The matrix is undone on output, so the
 * colour profile stays valid. Chroma planes may be halved in either direction (4:2:0, 4:2:2,
 * 4:4:0); a halved sample is centred between its two pixels (JFIF siting). Pixels are stored as in
 * the file: `orientation` (EXIF 1..8) is what output applies.
 *
 * A picture for a device that decodes by itself may have `coded` in place of its planes: then all but
 * `plane` and `stride_bytes` is as if it were decoded. Whoever wants samples asks pf_image_samples().
 */
#ifndef PF_IMAGE_H
#define PF_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

struct pf_blob {
    uint8_t *bytes; /* heap, NULL when absent */
    size_t size_bytes;
};

struct pf_coded;

struct pf_image {
    int width, height;                  /* pixels of the luma plane */
    int bits;                           /* 8: uint8_t samples; 16: uint16_t, native order */
    int planes;                         /* 1 grey, 3 YCbCr */
    int chroma_shift_x, chroma_shift_y; /* 0 or 1; chroma size is (size + shift) >> shift */
    int source_bits;                    /* bits a sample of the file it came from, 8 or 16 */
    void *plane[3];
    size_t stride_bytes[3]; /* multiple of 64; rows are 64-byte aligned */
    uint8_t *
        cover; /* a byte a pixel, row by row: 255 is covered, 0 transparent; NULL: all is covered */
    int orientation;        /* EXIF 1..8 */
    struct pf_blob icc;     /* ICC profile as in the file */
    struct pf_blob exif;    /* TIFF-shaped EXIF block, without "Exif\0\0" */
    struct pf_coded *coded; /* NULL: it is decoded */
};

/* A picture's file, in memory, which is known to be whole and sound. */
struct pf_coded {
    uint8_t *bytes;
    size_t size_bytes, room_bytes; /* room_bytes: what is taken for it */
    char *path;                    /* where it came from */
    struct pf_image *reduced;      /* the picture in small; NULL: none */
    int (*decode)(struct pf_image **ret, const struct pf_coded *coded, struct pf_error *err);
    struct pf_image *decoded; /* NULL: nobody has asked yet */
    char refused[256];        /* why a device has not decoded it, "" */
};

/* Allocates planes, unset content. -ENOMEM, as pf_room_take(), -EINVAL for sizes below 1 x 1. */
int pf_image_new(struct pf_image **ret, int width, int height, int bits, int planes,
                 int chroma_shift_x, int chroma_shift_y, struct pf_error *err);
/* The same, of 8 bits, with room for a file of so many bytes in place of planes. Errors as above. */
int pf_image_new_coded(struct pf_image **ret, int width, int height, int planes, int chroma_shift_x,
                       int chroma_shift_y, size_t size_bytes, const char *path,
                       struct pf_error *err);
struct pf_image *pf_image_free(struct pf_image *image); /* NULL-safe, returns NULL */

/* The picture with its samples: itself, or what it is decoded to now, which goes with it. Errors as
 * pf_image_decode(). */
int pf_image_samples(const struct pf_image *image, const struct pf_image **ret,
                     struct pf_error *err);

static inline int pf_image_plane_width(const struct pf_image *image, int plane)
{
    int shift = plane ? image->chroma_shift_x : 0;
    return (image->width + shift) >> shift;
}

static inline int pf_image_plane_height(const struct pf_image *image, int plane)
{
    int shift = plane ? image->chroma_shift_y : 0;
    return (image->height + shift) >> shift;
}

/* A copy in place of what `to` had. -ENOMEM. */
int pf_blob_copy(struct pf_blob *to, const struct pf_blob *from, struct pf_error *err);

/* Copies what is covered to a picture of the same size that has none. -ENOMEM. */
int pf_image_copy_cover(struct pf_image *to, const struct pf_image *from, struct pf_error *err);

/* Copies metadata (orientation, source_bits, icc, exif) from another image. -ENOMEM. */
int pf_image_copy_metadata(struct pf_image *to, const struct pf_image *from, struct pf_error *err);

#endif
