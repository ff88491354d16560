#include "process/alpha.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_LEVELS 32

/* A reduced picture. */
struct level {
    int width, height;
    float *sum[3]; /* of values, offset taken off, each times its weight; then the values */
    float *weight; /* 0..1 */
};

struct filling {
    struct pf_image *image;
    const uint8_t *alpha;
    bool associated;
    struct level level[MAX_LEVELS]; /* 0 is half the picture's size */
    int levels;
};

static float offset_of(const struct pf_image *image, int plane)
{
    return plane ? (float)(1 << (image->bits - 1)) : 0;
}

static float value_at(const struct pf_image *image, int plane, int x, int y)
{
    const char *row = (const char *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
    float value = image->bits == 8 ? ((const uint8_t *)row)[x] : ((const uint16_t *)row)[x];
    return value - offset_of(image, plane);
}

static void set_value(struct pf_image *image, int plane, int x, int y, float value)
{
    char *row = (char *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
    float most = image->bits == 8 ? 255 : 65535;
    value += offset_of(image, plane) + 0.5f;
    value = value < 0 ? 0 : value > most ? most : value;
    if (image->bits == 8)
        ((uint8_t *)row)[x] = (uint8_t)value;
    else
        ((uint16_t *)row)[x] = (uint16_t)value;
}

static int new_level(struct level *level, int width, int height, int planes)
{
    size_t cells = (size_t)width * (size_t)height;
    level->width = width;
    level->height = height;
    level->weight = calloc(cells * (size_t)(planes + 1), sizeof(float));
    for (int i = 0; level->weight && i < planes; i++)
        level->sum[i] = level->weight + cells * (size_t)(i + 1);
    return level->weight ? 0 : -ENOMEM;
}

/* A cell's weight is at most 1: one covered pixel of four says what all show. */
static void saturate(struct level *level, int planes)
{
    size_t cells = (size_t)level->width * (size_t)level->height;
    for (size_t i = 0; i < cells; i++) {
        if (level->weight[i] <= 1)
            continue;
        for (int k = 0; k < planes; k++)
            level->sum[k][i] /= level->weight[i];
        level->weight[i] = 1;
    }
}

static void reduce_picture(struct filling *filling)
{
    struct level *to = &filling->level[0];
    const struct pf_image *image = filling->image;
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            size_t at = (size_t)(y / 2) * (size_t)to->width + (size_t)(x / 2);
            float covered = filling->alpha[(size_t)y * (size_t)image->width + (size_t)x] / 255.0f;
            to->weight[at] += covered;
            for (int k = 0; k < image->planes; k++)
                to->sum[k][at] +=
                    value_at(image, k, x, y) * (filling->associated ? covered > 0 : covered);
        }
    saturate(to, image->planes);
}

static void reduce_level(const struct level *from, struct level *to, int planes)
{
    for (int y = 0; y < from->height; y++)
        for (int x = 0; x < from->width; x++) {
            size_t here = (size_t)y * (size_t)from->width + (size_t)x;
            size_t at = (size_t)(y / 2) * (size_t)to->width + (size_t)(x / 2);
            to->weight[at] += from->weight[here];
            for (int k = 0; k < planes; k++)
                to->sum[k][at] += from->sum[k][here];
        }
    saturate(to, planes);
}

/* Cell-centred bilinear sample of a filled level at twice its resolution. */
static float sample_twice(const struct level *level, int plane, int x, int y)
{
    int x0 = x / 2, x1 = x & 1 ? x0 + 1 : x0 - 1, y0 = y / 2, y1 = y & 1 ? y0 + 1 : y0 - 1;
    x1 = x1 < 0 || x1 >= level->width ? x0 : x1;
    y1 = y1 < 0 || y1 >= level->height ? y0 : y1;
    const float *near_row = level->sum[plane] + (size_t)y0 * (size_t)level->width;
    const float *far_row = level->sum[plane] + (size_t)y1 * (size_t)level->width;
    return 0.5625f * near_row[x0] + 0.1875f * (near_row[x1] + far_row[x0]) + 0.0625f * far_row[x1];
}

static void fill_level(struct level *level, const struct level *coarser, int planes)
{
    for (int y = 0; y < level->height; y++)
        for (int x = 0; x < level->width; x++) {
            size_t at = (size_t)y * (size_t)level->width + (size_t)x;
            for (int k = 0; k < planes && level->weight[at] < 1; k++)
                level->sum[k][at] += (1 - level->weight[at]) * sample_twice(coarser, k, x, y);
        }
}

static void fill_picture(struct filling *filling)
{
    struct pf_image *image = filling->image;
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            uint8_t alpha = filling->alpha[(size_t)y * (size_t)image->width + (size_t)x];
            float covered = alpha / 255.0f;
            for (int k = 0; k < image->planes && alpha < 255; k++) {
                float own = alpha ? value_at(image, k, x, y) : 0;
                own *= filling->associated ? 1 : covered;
                set_value(image, k, x, y,
                          own + (1 - covered) * sample_twice(&filling->level[0], k, x, y));
            }
        }
}

static int make_levels(struct filling *filling)
{
    int width = filling->image->width, height = filling->image->height;
    do {
        width = (width + 1) / 2;
        height = (height + 1) / 2;
        if (new_level(&filling->level[filling->levels], width, height, filling->image->planes) < 0)
            return -ENOMEM;
        filling->levels++;
    } while ((width > 1 || height > 1) && filling->levels < MAX_LEVELS);
    return 0;
}

int pf_alpha_fill(struct pf_image *image, uint8_t **alpha_of, bool associated, const char *path,
                  struct pf_error *err)
{
    const uint8_t *alpha = *alpha_of;
    size_t pixels = (size_t)image->width * (size_t)image->height, opaque = 0, clear = 0;
    for (size_t i = 0; i < pixels; i++) {
        opaque += alpha[i] == 255;
        clear += alpha[i] == 0;
    }
    if (opaque == pixels)
        return 0;
    if (clear == pixels)
        return pf_fail(err, EBADMSG, "%s: is transparent everywhere: there is no picture in it",
                       path);
    struct filling filling = {.image = image, .alpha = alpha, .associated = associated};
    int r = make_levels(&filling);
    if (r == 0) {
        reduce_picture(&filling);
        for (int l = 1; l < filling.levels; l++)
            reduce_level(&filling.level[l - 1], &filling.level[l], image->planes);
        struct level *last = &filling.level[filling.levels - 1];
        for (int k = 0; k < image->planes; k++) /* one cell, whatever covers it says all */
            last->sum[k][0] /= last->weight[0];
        for (int l = filling.levels - 2; l >= 0; l--)
            fill_level(&filling.level[l], &filling.level[l + 1], image->planes);
        fill_picture(&filling);
        free(image->cover);
        image->cover = *alpha_of;
        *alpha_of = NULL;
    } else {
        r = pf_fail(err, ENOMEM, "%s: out of memory for its transparent parts", path);
    }
    for (int l = 0; l < filling.levels; l++)
        free(filling.level[l].weight);
    return r;
}
