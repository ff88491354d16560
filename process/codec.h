/* Reading and writing pictures: JPEG (libjpeg-turbo), TIFF (libtiff), PNG (libpng); reading camera
 * RAW (LibRaw).
 *
 * Runs in the worker, any thread. Images are handed over to the caller. Every declared size is
 * checked against the limit before anything is allocated. No library's error ends the process.
 */
#ifndef PF_CODEC_H
#define PF_CODEC_H

#include <stdbool.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "process/image.h"

struct pf_decode_limits {
    int64_t max_pixels;
    /* Told what a picture declares, once it is known to be within the limit and before anything is
     * allocated for it; the thread that decodes. May be NULL. */
    void (*declared)(void *context, int64_t pixels);
    void *context;
    /* > 0: a JPEG that a device may decode is read to its end, so that all that is wrong with it is
     * known, and left as it is (struct pf_image's `coded`); reduced to this, on its longer side, or
     * more. The file is kept in memory for it. 0: all are decoded. */
    int coded_side;
};

/* Decodes a whole file, told by its content and not by its name. JPEG keeps its own YCbCr planes
 * and subsampling (jpeg_read_raw_data); RGB sources become 16-bit 4:4:4 YCbCr; where alpha says
 * that there is nothing, there is nothing (process/alpha.h).
 * RAW becomes sRGB of 16 bits in the camera's white balance, scaled alike for every frame.
 * Errors: -EBADMSG corrupt or truncated (a JPEG that libjpeg had to repair counts as corrupt),
 * -ENOTSUP a kind we do not read (CMYK, float, palette TIFF...), -EFBIG over the limit, or more
 * than there is ever room for, -ENOBUFS no room for it now (process/room.h), -ENOMEM, errno of
 * open/read. The text names path and cause. */
int pf_image_decode(struct pf_image **ret, const char *path, const struct pf_decode_limits *limits,
                    struct pf_error *err);

/* A picture of 8 bits as a JPEG of it that is not decoded; `coded_side` is 1. -ENOMEM, -ENOTSUP. */
int pf_image_as_jpeg(struct pf_image **ret, const struct pf_image *image, struct pf_error *err);

/* A small picture of the file without decoding it whole, where there is a short way: the thumbnail in
 * a JPEG's EXIF if it shows the same, or the JPEG reduced while it is decoded, or the preview of a
 * RAW file. 8 bits, its longer side not below `least_side` unless the picture is smaller, with
 * orientation, without EXIF. -ENODATA: there is no short way; errors as in pf_image_decode(). */
int pf_image_decode_quickly(struct pf_image **ret, const char *path, int least_side,
                            const struct pf_decode_limits *limits, struct pf_error *err);

/* Asked now and then by the thread that does the work: true ends it with -ECANCELED. */
struct pf_cancel {
    bool (*wanted)(void *context);
    void *context;
};

struct pf_encode_options {
    enum pf_format format;
    int bits;                       /* 8 or 16; JPEG is always 8 */
    int jpeg_quality;               /* 1..100 */
    int threads;                    /* may be used for row conversion */
    bool fleeting;                  /* a power cut may take it: the disk is not waited for */
    const struct pf_cancel *cancel; /* borrowed; NULL: it is written to the end */
};

/* Writes `image` to `path` (created, truncated), pixels turned upright by its orientation, EXIF
 * (Orientation set to 1, thumbnail dropped, pixel dimensions updated) and ICC profile kept, then
 * fsyncs the file. -ENOSPC, -EROFS, -EIO ... as the system says; -EFBIG as well where the format cannot
 * hold the picture, -ENOTSUP for other refusals of the encoder; a partial file is removed. */
int pf_image_encode(const struct pf_image *image, const char *path,
                    const struct pf_encode_options *options, struct pf_error *err);
/* The same for who reads `path` meanwhile: it is there whole or not at all (written as PATH.part, and
 * renamed). */
int pf_image_encode_aside(const struct pf_image *image, const char *path,
                          const struct pf_encode_options *options, struct pf_error *err);

/* -EFBIG: a picture of this size cannot be written in this format. */
int pf_format_holds(enum pf_format format, int width, int height, struct pf_error *err);
/* By extension: .tif .tiff .png .jpg .jpeg, any case. -ENOTSUP. */
int pf_format_of_path(const char *path, enum pf_format *ret, struct pf_error *err);
const char *pf_format_extension(enum pf_format format); /* "tif", "png", "jpg" */

#endif
