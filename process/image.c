#include "process/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/room.h"

#define ROW_ALIGNMENT 64u
#define SIDE_MAX      (1 << 30) /* so that (size + shift) never overflows */

/* Content stays unset: every producer fills whole rows. */
static int new_plane(struct pf_image *image, int plane, struct pf_error *err)
{
    size_t width = (size_t)pf_image_plane_width(image, plane);
    size_t height = (size_t)pf_image_plane_height(image, plane);
    size_t stride = width * (size_t)(image->bits / 8);
    size_t size;

    stride = (stride + ROW_ALIGNMENT - 1) & ~(size_t)(ROW_ALIGNMENT - 1);
    if (__builtin_mul_overflow(stride, height, &size))
        return pf_fail(err, ENOMEM, "a plane of %zu x %zu samples does not fit into memory", width,
                       height);
    image->stride_bytes[plane] = stride;
    struct pf_error why = {0};
    int r = pf_room_take(&image->plane[plane], size, &why);
    return r < 0 ? pf_fail(err, -r, "a plane of %zu x %zu samples: %s", width, height, why.text)
                 : 0;
}

/* All but its planes. */
static int new_image(struct pf_image **ret, int width, int height, int bits, int planes,
                     int chroma_shift_x, int chroma_shift_y, struct pf_error *err)
{
    if (width < 1 || height < 1 || width > SIDE_MAX || height > SIDE_MAX)
        return pf_fail(err, EINVAL, "an image of %d x %d pixels is not possible", width, height);
    if ((bits != 8 && bits != 16) || (planes != 1 && planes != 3) || chroma_shift_x < 0 ||
        chroma_shift_x > 1 || chroma_shift_y < 0 || chroma_shift_y > 1)
        return pf_fail(err, EINVAL, "an image of %d planes of %d bits is not possible", planes,
                       bits);

    struct pf_image *image = calloc(1, sizeof(*image));
    if (!image)
        return pf_fail(err, ENOMEM, "out of memory for an image");
    image->width = width;
    image->height = height;
    image->bits = bits;
    image->planes = planes;
    image->chroma_shift_x = planes == 3 ? chroma_shift_x : 0;
    image->chroma_shift_y = planes == 3 ? chroma_shift_y : 0;
    image->source_bits = bits;
    image->orientation = 1;
    *ret = image;
    return 0;
}

int pf_image_new(struct pf_image **ret, int width, int height, int bits, int planes,
                 int chroma_shift_x, int chroma_shift_y, struct pf_error *err)
{
    struct pf_image *image = NULL;
    int r = new_image(&image, width, height, bits, planes, chroma_shift_x, chroma_shift_y, err);
    for (int i = 0; r == 0 && i < planes; i++)
        r = new_plane(image, i, err);
    if (r < 0) {
        pf_image_free(image);
        return r;
    }
    *ret = image;
    return 0;
}

int pf_image_new_coded(struct pf_image **ret, int width, int height, int planes, int chroma_shift_x,
                       int chroma_shift_y, size_t size_bytes, const char *path,
                       struct pf_error *err)
{
    struct pf_image *image = NULL;
    int r = new_image(&image, width, height, 8, planes, chroma_shift_x, chroma_shift_y, err);
    if (r < 0)
        return r;
    void *bytes = NULL;
    struct pf_coded *coded = calloc(1, sizeof(*coded));
    image->coded = coded;
    if (coded)
        coded->path = strdup(path);
    r = coded && coded->path ? pf_room_take(&bytes, size_bytes, err)
                             : pf_fail(err, ENOMEM, "out of memory for an image");
    if (r < 0) {
        pf_image_free(image);
        return r;
    }
    coded->bytes = bytes;
    coded->size_bytes = coded->room_bytes = size_bytes;
    *ret = image;
    return 0;
}

int pf_image_samples(const struct pf_image *image, const struct pf_image **ret,
                     struct pf_error *err)
{
    struct pf_coded *coded = image->coded;
    int r = coded && !coded->decoded ? coded->decode(&coded->decoded, coded, err) : 0;
    if (r == 0)
        *ret = coded ? coded->decoded : image;
    return r;
}

static void free_coded(struct pf_coded *coded)
{
    if (!coded)
        return;
    pf_room_give(coded->bytes, coded->room_bytes);
    pf_image_free(coded->reduced);
    pf_image_free(coded->decoded);
    free(coded->path);
    free(coded);
}

struct pf_image *pf_image_free(struct pf_image *image)
{
    if (!image)
        return NULL;
    for (int i = 0; i < 3; i++)
        pf_room_give(image->plane[i],
                     image->stride_bytes[i] * (size_t)pf_image_plane_height(image, i));
    free(image->cover);
    free(image->icc.bytes);
    free(image->exif.bytes);
    free_coded(image->coded);
    free(image);
    return NULL;
}

int pf_blob_copy(struct pf_blob *to, const struct pf_blob *from, struct pf_error *err)
{
    uint8_t *bytes = NULL;
    if (from->bytes && from->size_bytes) {
        bytes = malloc(from->size_bytes);
        if (!bytes)
            return pf_fail(err, ENOMEM, "out of memory for %zu bytes of metadata",
                           from->size_bytes);
        memcpy(bytes, from->bytes, from->size_bytes);
    }
    free(to->bytes);
    to->bytes = bytes;
    to->size_bytes = bytes ? from->size_bytes : 0;
    return 0;
}

int pf_image_copy_cover(struct pf_image *to, const struct pf_image *from, struct pf_error *err)
{
    size_t pixels = (size_t)from->width * (size_t)from->height;
    if (!from->cover)
        return 0;
    to->cover = malloc(pixels);
    if (!to->cover)
        return pf_fail(err, ENOMEM, "out of memory for what a picture covers");
    memcpy(to->cover, from->cover, pixels);
    return 0;
}

int pf_image_copy_metadata(struct pf_image *to, const struct pf_image *from, struct pf_error *err)
{
    int r = pf_blob_copy(&to->icc, &from->icc, err);
    if (r == 0)
        r = pf_blob_copy(&to->exif, &from->exif, err);
    if (r < 0)
        return r;
    to->orientation = from->orientation;
    to->source_bits = from->source_bits;
    return 0;
}
