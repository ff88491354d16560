#include "process/thumbnail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/text.h"

#define QUALITY      80
#define PROFILE_MOST (64 << 10) /* bytes of a colour profile that a thumbnail may carry */
#define ROWS_THAT_MATTER                                                                           \
    4 /* of those that make one of the small picture's, at least so many count */

static const struct {
    const char *name, *suffix;
    int side;
} sizes[] = {[PF_THUMBNAIL_IS_SMALL] = {"small", "small.jpg", PF_THUMBNAIL_SMALL},
             [PF_THUMBNAIL_IS_LARGE] = {"large", "jpg", PF_THUMBNAIL_LARGE}};

/* Chroma may be smaller than the thumbnail: each column has one sample at the least. */
static int end_of(const int *edge, int x)
{
    return edge[x + 1] > edge[x] ? edge[x + 1] : edge[x] + 1;
}

/* Adds a row's samples into the columns of the small picture. `edge`: where each begins. */
static void add_row(uint32_t *sums, const int *edge, int columns, const void *row, int bits)
{
    for (int x = 0; x < columns; x++) {
        uint32_t sum = 0;
        int end = end_of(edge, x);
        for (int u = edge[x]; u < end; u++)
            sum += bits == 8 ? ((const uint8_t *)row)[u] : ((const uint16_t *)row)[u] >> 8;
        sums[x] += sum;
    }
}

/* Means of the samples that a sample of the small picture stands for. */
static void shrink_plane(struct pf_image *to, const struct pf_image *from, int plane, int *edge,
                         uint32_t *sums)
{
    int width = pf_image_plane_width(from, plane), height = pf_image_plane_height(from, plane);
    for (int x = 0; x <= to->width; x++)
        edge[x] = (int)((int64_t)x * width / to->width);
    for (int y = 0; y < to->height; y++) {
        int begin = (int)((int64_t)y * height / to->height);
        int end = (int)((int64_t)(y + 1) * height / to->height);
        int step = (end - begin) / ROWS_THAT_MATTER, rows = 0;
        end = end > begin ? end : begin + 1;
        step = step > 0 ? step : 1;
        memset(sums, 0, (size_t)to->width * sizeof(*sums));
        for (int v = begin; v < end; v += step, rows++)
            add_row(sums, edge, to->width,
                    (const char *)from->plane[plane] + (size_t)v * from->stride_bytes[plane],
                    from->bits);
        uint8_t *out = (uint8_t *)to->plane[plane] + (size_t)y * to->stride_bytes[plane];
        for (int x = 0; x < to->width; x++) {
            uint32_t samples = (uint32_t)((end_of(edge, x) - edge[x]) * rows);
            out[x] = (uint8_t)((sums[x] + samples / 2) / samples);
        }
    }
}

static int shrink(struct pf_image **ret, const struct pf_image *image, int side,
                  struct pf_error *err)
{
    int longer = image->width > image->height ? image->width : image->height;
    int64_t most = longer < side ? longer : side;
    int width = (int)((image->width * most + longer / 2) / longer);
    int height = (int)((image->height * most + longer / 2) / longer);
    struct pf_image *small = NULL;
    width = width > 0 ? width : 1;
    height = height > 0 ? height : 1;
    int *edge = malloc(((size_t)width + 1) * sizeof(*edge));
    uint32_t *sums = malloc((size_t)width * sizeof(*sums));
    int r = edge && sums ? pf_image_new(&small, width, height, 8, image->planes, 0, 0, err)
                         : pf_fail(err, ENOMEM, "out of memory for a thumbnail");
    for (int plane = 0; r == 0 && plane < image->planes; plane++)
        shrink_plane(small, image, plane, edge, sums);
    if (r == 0 && image->icc.size_bytes && image->icc.size_bytes <= PROFILE_MOST) {
        small->icc.bytes = malloc(image->icc.size_bytes);
        if (small->icc.bytes) {
            memcpy(small->icc.bytes, image->icc.bytes, image->icc.size_bytes);
            small->icc.size_bytes = image->icc.size_bytes;
        }
    }
    free(edge);
    free(sums);
    if (r < 0) {
        pf_image_free(small);
        return r;
    }
    small->orientation = image->orientation;
    *ret = small;
    return 0;
}

static int write_jpeg(const struct pf_image *image, const char *path, struct pf_error *err)
{
    struct pf_encode_options options = {.format = PF_FORMAT_JPEG,
                                        .bits = 8,
                                        .jpeg_quality = QUALITY,
                                        .threads = 1,
                                        .fleeting = true};
    return pf_image_encode_aside(image, path, &options, err);
}

static char *path_of(const char *prefix, enum pf_thumbnail_size size)
{
    return pf_text("%s.%s", prefix, sizes[size].suffix);
}

/* 1 and *ret_facts, or an error. */
static int make(const struct pf_image *image, const char *path, enum pf_thumbnail_size size,
                json_t **ret_facts, struct pf_error *err)
{
    struct pf_image *small = NULL;
    if (image->coded)
        image = image->coded->reduced;
    int r = shrink(&small, image, sizes[size].side, err);
    if (r == 0)
        r = write_jpeg(small, path, err);
    if (r == 0) {
        bool side = small->orientation >= 5;
        *ret_facts = json_pack("{s:s, s:o, s:i, s:i}", "size", sizes[size].name, "path",
                               pf_json_bytes(path), "width", side ? small->height : small->width,
                               "height", side ? small->width : small->height);
        r = *ret_facts ? 1 : pf_fail(err, ENOMEM, "out of memory for a thumbnail");
    }
    pf_image_free(small);
    return r;
}

int pf_thumbnail_after(const struct pf_image *image, const char *prefix,
                       enum pf_thumbnail_size size, json_t **ret_facts, struct pf_error *err)
{
    char *path = path_of(prefix, size);
    if (!path)
        return pf_fail(err, ENOMEM, "out of memory for a thumbnail");
    int r = access(path, F_OK) == 0 ? 0 : make(image, path, size, ret_facts, err);
    free(path);
    return r;
}

int pf_thumbnail_before(const char *file, const char *prefix, const struct pf_decode_limits *limits,
                        json_t **ret_facts, struct pf_error *err)
{
    struct pf_image *image = NULL;
    char *path = path_of(prefix, PF_THUMBNAIL_IS_SMALL);
    int r = path ? 0 : pf_fail(err, ENOMEM, "out of memory for a thumbnail");
    if (r == 0 && access(path, F_OK) != 0) {
        r = pf_image_decode_quickly(&image, file, PF_THUMBNAIL_SMALL, limits, err);
        if (r == 0)
            r = make(image, path, PF_THUMBNAIL_IS_SMALL, ret_facts, err);
    }
    pf_image_free(image);
    free(path);
    return r;
}
