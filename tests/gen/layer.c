#include "tests/gen/layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen/rows.h"

struct pf_gen_layer *pf_gen_layer_new(int x0, int y0, int width, int height, bool opaque)
{
    struct pf_gen_layer *layer = pf_gen_alloc(1, sizeof(*layer));
    size_t pixels = (size_t)width * (size_t)height;
    layer->x0 = x0;
    layer->y0 = y0;
    layer->width = width;
    layer->height = height;
    for (int c = 0; c < 3; c++)
        layer->light[c] = pf_gen_alloc(pixels, sizeof(float));
    if (!opaque)
        layer->cover = pf_gen_alloc(pixels, sizeof(float));
    layer->depth = pf_gen_alloc(pixels, sizeof(float));
    return layer;
}

struct pf_gen_layer *pf_gen_layer_free(struct pf_gen_layer *layer)
{
    if (!layer)
        return NULL;
    for (int c = 0; c < 3; c++)
        free(layer->light[c]);
    free(layer->cover);
    free(layer->depth);
    for (int l = 0; l < layer->levels; l++) {
        for (int c = 0; c < 4; c++)
            free(layer->level[l].sums[c]);
        free(layer->level[l].depth);
    }
    free(layer);
    return NULL;
}

struct filter {
    const float *from;
    float *to;
    int width, height, reach;
    bool zero_outside;
    float weight[16];
};

static void filter_rows(void *context, int begin, int end)
{
    const struct filter *f = context;
    float *row = pf_gen_alloc((size_t)f->width + 2 * (size_t)f->reach, sizeof(float));
    for (int y = begin; y < end; y++) {
        memset(row, 0, ((size_t)f->width + 2 * (size_t)f->reach) * sizeof(float));
        for (int k = -f->reach; k <= f->reach; k++) {
            int sy = y + k;
            if (sy < 0 || sy >= f->height) {
                if (f->zero_outside)
                    continue;
                sy = sy < 0 ? 0 : f->height - 1;
            }
            const float *from = f->from + (size_t)sy * (size_t)f->width;
            float w = f->weight[abs(k)];
            for (int x = 0; x < f->width; x++)
                row[x + f->reach] += w * from[x];
        }
        for (int k = 0; k < f->reach && !f->zero_outside; k++) {
            row[k] = row[f->reach];
            row[f->reach + f->width + k] = row[f->reach + f->width - 1];
        }
        float *to = f->to + (size_t)y * (size_t)f->width;
        for (int x = 0; x < f->width; x++) {
            float sum = 0;
            for (int k = -f->reach; k <= f->reach; k++)
                sum += f->weight[abs(k)] * row[x + f->reach + k];
            to[x] = sum;
        }
    }
    free(row);
}

static void gauss(float *plane, int width, int height, float sigma, bool zero_outside)
{
    struct filter f = {
        .from = plane, .width = width, .height = height, .zero_outside = zero_outside};
    f.reach = (int)ceilf(3 * sigma);
    if (sigma <= 0 || f.reach > 15)
        return;
    float sum = 0;
    for (int k = 0; k <= f.reach; k++) {
        f.weight[k] = expf(-0.5f * (float)(k * k) / (sigma * sigma));
        sum += k ? 2 * f.weight[k] : f.weight[k];
    }
    for (int k = 0; k <= f.reach; k++)
        f.weight[k] /= sum;
    f.to = pf_gen_alloc((size_t)width * (size_t)height, sizeof(float));
    pf_gen_rows(height, filter_rows, &f);
    memcpy(plane, f.to, (size_t)width * (size_t)height * sizeof(float));
    free(f.to);
}

static uint32_t *row_sums(const float *plane, int width, int height, int stride, bool zero_outside)
{
    uint32_t *sums = pf_gen_alloc((size_t)stride * (size_t)height, sizeof(*sums));
    for (int y = 0; y < height; y++) {
        const float *row = plane + (size_t)y * (size_t)width;
        uint32_t *to = sums + (size_t)y * (size_t)stride;
        uint32_t sum = 0;
        for (int i = 0; i < stride; i++) {
            to[i] = sum;
            int x = i - PF_GEN_PAD;
            if (x < 0 || x >= width) {
                if (zero_outside)
                    continue;
                x = x < 0 ? 0 : width - 1;
            }
            float v = row[x] < 0 ? 0 : row[x] > PF_GEN_LIGHT_MAX ? PF_GEN_LIGHT_MAX : row[x];
            sum += (uint32_t)(v * (float)(1 << PF_GEN_FIXED) + 0.5f);
        }
    }
    return sums;
}

static float *halve(const float *plane, int width, int height, bool zero_outside)
{
    int w = (width + 1) / 2, h = (height + 1) / 2;
    float *to = pf_gen_alloc((size_t)w * (size_t)h, sizeof(float));
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            float sum = 0;
            for (int k = 0; k < 4; k++) {
                int sx = 2 * x + (k & 1), sy = 2 * y + (k >> 1);
                bool outside = sx >= width || sy >= height;
                sx = sx < width ? sx : width - 1;
                sy = sy < height ? sy : height - 1;
                if (!outside || !zero_outside)
                    sum += plane[(size_t)sy * (size_t)width + (size_t)sx];
            }
            to[(size_t)y * (size_t)w + (size_t)x] = 0.25f * sum;
        }
    }
    return to;
}

void pf_gen_layer_seal(struct pf_gen_layer *layer, float sigma, int levels)
{
    bool zero_outside = layer->cover != NULL;
    layer->levels = levels < 1 ? 1 : levels > PF_GEN_LEVELS ? PF_GEN_LEVELS : levels;
    for (int c = 0; c < 5; c++) {
        float *plane = c < 3 ? layer->light[c] : c == 3 ? layer->cover : layer->depth;
        if (!plane)
            continue;
        int width = layer->width, height = layer->height;
        if (c < 4)
            gauss(plane, width, height, sigma, zero_outside);
        for (int l = 0; l < layer->levels; l++) {
            struct pf_gen_level *level = &layer->level[l];
            level->width = width;
            level->height = height;
            level->stride = width + 2 * PF_GEN_PAD + 1;
            float *next =
                l + 1 < layer->levels ? halve(plane, width, height, zero_outside && c < 4) : NULL;
            if (c < 4) {
                level->sums[c] = row_sums(plane, width, height, level->stride, zero_outside);
                free(plane);
            } else {
                level->depth = plane;
            }
            plane = next;
            width = (width + 1) / 2;
            height = (height + 1) / 2;
        }
    }
    layer->light[0] = layer->light[1] = layer->light[2] = layer->cover = layer->depth = NULL;
}
