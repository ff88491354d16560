/* The short ways to a small picture of a file. */
#include <errno.h>
#include <libexif/exif-data.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process/codec_format.h"
#include "process/exif.h"
#include "process/profile.h"

/* Thumbnails of another shape have black bars, or are of another picture. */
#define SHAPE_TOLERANCE 0.02

static void forget_exif(struct pf_image *image)
{
    free(image->exif.bytes);
    image->exif = (struct pf_blob){0};
}

/* `source` is a JPEG that has said `head` of itself. -ENODATA: it takes what decoding does, which may be under way. */
static int reduced(struct pf_image **ret, struct pf_source *source, const struct pf_jpeg_head *head,
                   int least_side, struct pf_error *err)
{
    if (head->many_scans)
        return pf_fail(err, ENODATA, "%s: a progressive JPEG has no short way", source->path);
    source->offset = 0;
    return pf_decode_jpeg_reduced(ret, source, least_side, err);
}

static int decode_memory(struct pf_image **ret, int fd, const struct pf_source *of, int least_side,
                         struct pf_error *err)
{
    struct pf_source source = {
        .fd = fd, .path = of->path, .size_bytes = lseek(fd, 0, SEEK_END), .limits = of->limits};
    struct pf_jpeg_head head;
    int r = pf_jpeg_read_head(&source, &head, err);
    if (r < 0)
        return r;
    free(head.exif.bytes);
    return reduced(ret, &source, &head, least_side, err);
}

/* Whether the two have the same shape. */
static bool is_alike(int width, int height, const struct pf_image *image)
{
    double here = (double)width * image->height, there = (double)image->width * height;
    double apart = here > there ? here - there : there - here;
    /* A side of the small one is rounded to a pixel. */
    return apart <= SHAPE_TOLERANCE * here + (width > height ? width : height);
}

/* The thumbnail of the EXIF block. -ENODATA: none, or one that is too small or of another shape. */
static int from_exif(struct pf_image **ret, const struct pf_source *source,
                     const struct pf_blob *exif, int width, int height, int least_side,
                     struct pf_error *err)
{
    ExifData *data = exif->size_bytes ? pf_exif_parse(exif) : NULL;
    struct pf_image *image = NULL;
    int r = -ENODATA;
    if (data && data->data && data->size) {
        int fd = pf_source_memory(data->data, data->size, err);
        r = fd < 0 ? fd : decode_memory(&image, fd, source, least_side, err);
        if (fd >= 0)
            close(fd);
    }
    if (data)
        exif_data_unref(data);
    if (r < 0)
        return r;
    if (!is_alike(width, height, image) ||
        (image->width < least_side && image->height < least_side)) {
        pf_image_free(image);
        return -ENODATA;
    }
    r = pf_profile_of_camera(image, exif, err);
    if (r < 0) {
        pf_image_free(image);
        return r;
    }
    image->orientation = pf_exif_orientation(exif);
    *ret = image;
    return 0;
}

static int from_jpeg(struct pf_image **ret, struct pf_source *source, int least_side,
                     struct pf_error *err)
{
    struct pf_jpeg_head head;
    struct pf_error ignored = {0};
    int r = pf_jpeg_read_head(source, &head, err);
    if (r < 0)
        return r;
    r = from_exif(ret, source, &head.exif, head.width, head.height, least_side, &ignored);
    free(head.exif.bytes);
    return r == 0 ? 0 : reduced(ret, source, &head, least_side, err);
}

static int from_raw(struct pf_image **ret, struct pf_source *source, int least_side,
                    struct pf_error *err)
{
    int fd, orientation;
    int r = pf_raw_preview(source, &fd, &orientation, err);
    if (r < 0)
        return r;
    r = decode_memory(ret, fd, source, least_side, err);
    close(fd);
    if (r == 0)
        (*ret)->orientation = orientation;
    return r;
}

int pf_image_decode_quickly(struct pf_image **ret, const char *path, int least_side,
                            const struct pf_decode_limits *limits, struct pf_error *err)
{
    struct pf_source source;
    uint8_t magic[8] = {0};
    int r = pf_source_open(&source, path, limits, err);
    if (r < 0)
        return r;
    pf_source_read(&source, magic, sizeof(magic));
    source.offset = 0;
    if (source.error)
        r = pf_fail_errno(err, source.error, "reading %s", path);
    else if (memcmp(magic, "\xff\xd8\xff", 3) == 0)
        r = from_jpeg(ret, &source, least_side, err);
    else if (memcmp(magic, "\x89PNG", 4) == 0)
        r = pf_fail(err, ENODATA, "%s: a PNG has no preview", path);
    else
        r = from_raw(ret, &source, least_side, err);
    close(source.fd);
    if (r == 0)
        forget_exif(*ret);
    return r;
}
