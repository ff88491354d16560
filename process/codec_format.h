/* What the picture formats share: the open file they read, the file they write, their entries.
 *
 * Used by process/codec*.c and process/encode*.c only. Objects live on the caller's stack and are
 * used by one thread. An I/O error is kept with its errno, because the libraries lose it.
 */
#ifndef PF_CODEC_FORMAT_H
#define PF_CODEC_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/base/error.h"
#include "process/codec.h"
#include "process/image.h"
#include "process/pool.h"

/* A regular file opened for reading, or one in memory; `offset` is where the next pf_source_read()
 * begins. */
struct pf_source {
    int fd;
    const uint8_t *bytes; /* borrowed; NULL: it is read from fd */
    const char *path;     /* borrowed, for error texts */
    int64_t size_bytes;
    int64_t offset;
    int error; /* errno of the first failed read, 0 none */
    const struct pf_decode_limits *limits;
};

/* Opens a file; source->fd is the caller's to close. errno of open, -EISDIR, -ENOTSUP for what is no
 * regular file. */
int pf_source_open(struct pf_source *source, const char *path,
                   const struct pf_decode_limits *limits, struct pf_error *err);

/* A file in memory with these bytes, to be closed by the caller; negative errno. */
int pf_source_memory(const void *bytes, size_t size_bytes, struct pf_error *err);

/* Reads up to `size` bytes; fewer only at the end of the file or on an error. */
size_t pf_source_read(struct pf_source *source, void *bytes, size_t size);

/* Declared size against the limit, before anything is allocated. -EBADMSG, -EFBIG. */
int pf_source_check_size(const struct pf_source *source, uint64_t width, uint64_t height,
                         struct pf_error *err);

/* Each returns an image that its caller owns, complete with metadata and orientation; a JPEG may stay
 * coded, as the limits say. */
int pf_decode_jpeg(struct pf_image **ret, struct pf_source *source, struct pf_error *err);
int pf_decode_tiff(struct pf_image **ret, struct pf_source *source, struct pf_error *err);
int pf_decode_png(struct pf_image **ret, struct pf_source *source, struct pf_error *err);
/* Any camera RAW; pf_decode_tiff() hands on those that are TIFF-shaped. */
int pf_decode_raw(struct pf_image **ret, struct pf_source *source, struct pf_error *err);

/* What a JPEG says of itself before its picture. */
struct pf_jpeg_head {
    int width, height;
    bool many_scans;     /* progressive: all of it is in memory before any of it can be seen */
    struct pf_blob exif; /* the caller's; empty: none */
};
int pf_jpeg_read_head(struct pf_source *source, struct pf_jpeg_head *ret, struct pf_error *err);
/* The picture reduced by 1, 2, 4 or 8 while it is decoded, its longer side not below `least_side`; 8
 * bits, full-size chroma, profile and orientation kept. */
int pf_decode_jpeg_reduced(struct pf_image **ret, struct pf_source *source, int least_side,
                           struct pf_error *err);
/* The preview in a RAW file, a JPEG, in memory: *ret_fd is the caller's to close. -ENODATA: none. */
int pf_raw_preview(struct pf_source *source, int *ret_fd, int *ret_orientation,
                   struct pf_error *err);

/* A file being written. */
struct pf_sink {
    int fd;
    const char *path;               /* borrowed */
    int64_t offset;                 /* where the next write goes */
    int64_t started;                /* bytes whose write-back has been started */
    int error;                      /* errno of the first failed write, 0 none */
    const struct pf_cancel *cancel; /* borrowed; NULL: never */
};

/* Writes all at `offset` and moves it. false on failure, errno kept in sink->error. */
bool pf_sink_write(struct pf_sink *sink, const void *bytes, size_t size);

/* Each writes the whole picture, which is upright already (orientation 1); `exif` is the block to
 * embed, `icc` the profile (each may be empty). The caller syncs, closes, and removes the file on failure. When
 * sink->error is set, that is the reason; the text may then be left to the caller. */
struct pf_encode_job {
    const struct pf_image *image;
    const struct pf_blob *exif;
    const struct pf_blob *icc; /* of the picture's kind of colours */
    const struct pf_encode_options *options;
    struct pf_pool *pool; /* may be NULL */
    struct pf_sink *sink;
};
int pf_encode_jpeg(const struct pf_encode_job *job, struct pf_error *err);
int pf_encode_tiff(const struct pf_encode_job *job, struct pf_error *err);
/* Whether it must be a BigTIFF: the offsets of a classic one end at 4 GiB. */
bool pf_encode_tiff_is_big(const struct pf_encode_job *job);
int pf_encode_png(const struct pf_encode_job *job, struct pf_error *err);

#endif
