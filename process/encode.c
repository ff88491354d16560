#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/text.h"
#include "process/codec.h"
#include "process/codec_format.h"
#include "process/exif.h"
#include "process/upright.h"

#define WRITE_BACK_BYTES   (8 << 20)
#define PROFILE_HEAD_BYTES 128
#define PROFILE_COLOURS_AT 16

static bool is_cancelled(const struct pf_cancel *cancel)
{
    return cancel && cancel->wanted(cancel->context);
}

bool pf_sink_write(struct pf_sink *sink, const void *bytes, size_t size)
{
    const char *from = bytes;
    if (!sink->error && is_cancelled(sink->cancel))
        sink->error = ECANCELED;
    while (size && !sink->error) {
        ssize_t n = pwrite(sink->fd, from, size, sink->offset);
        if (n < 0) {
            if (errno != EINTR)
                sink->error = errno;
            continue;
        }
        from += n;
        size -= (size_t)n;
        sink->offset += n;
    }
    /* Starts the disk early, so that the fsync at the end finds little left to wait for. A hint:
     * file systems that cannot are welcome to refuse. */
    if (sink->offset - sink->started >= WRITE_BACK_BYTES) {
        (void)sync_file_range(sink->fd, sink->started, sink->offset - sink->started,
                              SYNC_FILE_RANGE_WRITE);
        sink->started = sink->offset;
    }
    return !sink->error;
}

/* As the fsync after it, but that it can be given up between its pieces. What the file system does not
 * know, and errors, are the fsync's. */
static void wait_for_disk(struct pf_sink *sink)
{
    const unsigned all =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    off_t end = lseek(sink->fd, 0, SEEK_END);
    for (off_t at = 0; at < end && !sink->error; at += WRITE_BACK_BYTES) {
        if (is_cancelled(sink->cancel))
            sink->error = ECANCELED;
        else if (sync_file_range(sink->fd, at, WRITE_BACK_BYTES, all) < 0)
            return;
    }
}

static int encode(const struct pf_encode_job *job, struct pf_error *err)
{
    int r;
    switch (job->options->format) {
    case PF_FORMAT_TIFF:
        r = pf_encode_tiff(job, err);
        break;
    case PF_FORMAT_PNG:
        r = pf_encode_png(job, err);
        break;
    case PF_FORMAT_JPEG:
        r = pf_encode_jpeg(job, err);
        break;
    default:
        return pf_fail(err, EINVAL, "unknown output format %d", (int)job->options->format);
    }
    return r;
}

/* `job` lacks its sink. */
static int write_file(const struct pf_encode_job *job, const char *path, struct pf_error *err)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return pf_fail_errno(err, errno, "creating %s", path);
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

    struct pf_sink sink = {.fd = fd, .path = path, .cancel = job->options->cancel};
    struct pf_error inner = {0};
    struct pf_encode_job with_sink = *job;
    with_sink.sink = &sink;
    int r = encode(&with_sink, &inner);
    if (r == 0 && sink.cancel)
        wait_for_disk(&sink);
    /* The system's reason comes first: the libraries only know that something failed. */
    if (sink.error)
        r = pf_fail_errno(err, sink.error, "writing %s", path);
    else if (r < 0)
        r = pf_fail(err, -r, "%s", inner.text);
    else if (!job->options->fleeting && fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
        r = pf_fail_errno(err, errno, "writing %s", path);
    if (close(fd) < 0 && r == 0)
        r = pf_fail_errno(err, errno, "writing %s", path);
    if (r < 0 && regular) /* never a device */
        unlink(path);
    return r;
}

/* A depth map has the metadata of a picture in colour, and strangers' files carry anything: a
 * profile of other colours than the picture's stays out. Source: ICC.1:2010, 7.2.8. */
static const struct pf_blob *profile_of(const struct pf_image *image)
{
    static const struct pf_blob none = {NULL, 0};
    bool fits =
        image->icc.size_bytes >= PROFILE_HEAD_BYTES &&
        !memcmp(image->icc.bytes + PROFILE_COLOURS_AT, image->planes == 3 ? "RGB " : "GRAY", 4);
    return fits ? &image->icc : &none;
}

int pf_image_encode(const struct pf_image *image, const char *path,
                    const struct pf_encode_options *options, struct pf_error *err)
{
    struct pf_image *turned = NULL;
    struct pf_pool *pool = NULL;
    struct pf_blob exif = {0};
    int r = 0;

    if (options->bits != 8 && options->bits != 16)
        return pf_fail(err, EINVAL, "%s: %d bits a sample cannot be written", path, options->bits);
    r = pf_format_holds(options->format, image->width, image->height, err);
    if (r == 0 && options->threads > 1)
        r = pf_pool_new(&pool, options->threads, err);
    if (r == 0 && image->orientation > 1)
        r = pf_image_upright(image, pool, &turned, err);
    const struct pf_image *upright = turned ? turned : image;
    if (r == 0)
        r = pf_exif_for_output(&image->exif, upright->width, upright->height, &exif, err);
    if (r == 0) {
        struct pf_encode_job job = {.image = upright,
                                    .exif = &exif,
                                    .icc = profile_of(image),
                                    .options = options,
                                    .pool = pool};
        r = write_file(&job, path, err);
    }
    pf_image_free(turned);
    free(exif.bytes);
    pf_pool_free(pool);
    return r;
}

int pf_image_encode_aside(const struct pf_image *image, const char *path,
                          const struct pf_encode_options *options, struct pf_error *err)
{
    char *part = pf_text("%s.part", path);
    if (!part)
        return pf_fail(err, ENOMEM, "out of memory for %s", path);
    int r = pf_image_encode(image, part, options, err);
    if (r == 0 && rename(part, path) < 0) {
        r = pf_fail_errno(err, errno, "renaming %s", part);
        unlink(part);
    }
    free(part);
    return r;
}
