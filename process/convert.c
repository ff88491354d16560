#include "process/convert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The bodies are compiled for the plain architecture and, on x86-64, for AVX2 and FMA: plain loops
 * that the compiler turns into vector code. */
#define BODY static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define HAVE_V3 __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
#define V3      __attribute__((target("avx2,fma")))
#else
#define HAVE_V3 0
#define V3
#endif

/* Defines NAME(arguments), which runs the body compiled for this processor. */
#define DISPATCH(name, parameters, arguments)                                                      \
    static void name##_base parameters                                                             \
    {                                                                                              \
        name##_body arguments;                                                                     \
    }                                                                                              \
    V3 static void name##_v3 parameters                                                            \
    {                                                                                              \
        name##_body arguments;                                                                     \
    }                                                                                              \
    static void name parameters                                                                    \
    {                                                                                              \
        if (HAVE_V3)                                                                               \
            name##_v3 arguments;                                                                   \
        else                                                                                       \
            name##_base arguments;                                                                 \
    }

BODY float clamp(float value, float high)
{
    value = value < 0.0f ? 0.0f : value;
    return value > high ? high : value;
}

BODY void from_rgb_body(uint16_t *restrict a, uint16_t *restrict b, uint16_t *restrict c, int count)
{
    for (int x = 0; x < count; x++) {
        float red = a[x], green = b[x], blue = c[x];
        float y = 0.299f * red + 0.587f * green + 0.114f * blue;
        float cb = 32768.0f - 0.168735892f * red - 0.331264108f * green + 0.5f * blue;
        float cr = 32768.0f + 0.5f * red - 0.418687589f * green - 0.081312411f * blue;
        a[x] = (uint16_t)(int)(y + 0.5f);
        b[x] = (uint16_t)(int)clamp(cb + 0.5f, 65535.0f);
        c[x] = (uint16_t)(int)clamp(cr + 0.5f, 65535.0f);
    }
}
DISPATCH(from_rgb, (uint16_t * a, uint16_t *b, uint16_t *c, int count), (a, b, c, count))

void pf_row_from_rgb(uint16_t *red_to_y, uint16_t *green_to_cb, uint16_t *blue_to_cr, int count)
{
    from_rgb(red_to_y, green_to_cb, blue_to_cr, count);
}

void pf_row_unpack(uint16_t *restrict out, const void *samples, int bits, int step, int count)
{
    if (bits == 16) {
        const uint16_t *in = samples;
        for (int x = 0; x < count; x++)
            out[x] = in[(size_t)x * (size_t)step];
    } else {
        const uint8_t *in = samples;
        for (int x = 0; x < count; x++)
            out[x] = (uint16_t)(in[(size_t)x * (size_t)step] * 257u);
    }
}

/* out = (scale_near * near + scale_far * far) - offset */
BODY void mix_body(float *restrict out, const void *near_samples, const void *far_samples, int bits,
                   float scale_near, float scale_far, float offset, int count)
{
    if (bits == 16) {
        const uint16_t *restrict a = near_samples, *restrict b = far_samples;
        for (int x = 0; x < count; x++)
            out[x] = scale_near * (float)a[x] + scale_far * (float)b[x] - offset;
    } else {
        const uint8_t *restrict a = near_samples, *restrict b = far_samples;
        for (int x = 0; x < count; x++)
            out[x] = scale_near * (float)a[x] + scale_far * (float)b[x] - offset;
    }
}
DISPATCH(mix,
         (float *out, const void *near_samples, const void *far_samples, int bits, float scale_near,
          float scale_far, float offset, int count),
         (out, near_samples, far_samples, bits, scale_near, scale_far, offset, count))

/* Twice as wide; in[-1] and in[in_count] must be readable. */
BODY void widen_body(float *restrict out, const float *restrict in, int pairs)
{
    for (int x = 0; x < pairs; x++) {
        out[2 * x] = 0.75f * in[x] + 0.25f * in[x - 1];
        out[2 * x + 1] = 0.75f * in[x] + 0.25f * in[x + 1];
    }
}
DISPATCH(widen, (float *out, const float *in, int pairs), (out, in, pairs))

#define COLOUR(sample_type, out_type, high)                                                        \
    do {                                                                                           \
        const sample_type *restrict in = luma;                                                     \
        out_type *restrict to = out;                                                               \
        for (int x = 0; x < count; x++) {                                                          \
            float y = scale * (float)in[x] + 0.5f;                                                 \
            float red = y + 1.402f * cr[x];                                                        \
            float green = y - 0.344136286f * cb[x] - 0.714136286f * cr[x];                         \
            float blue = y + 1.772f * cb[x];                                                       \
            to[3 * x] = (out_type)(int)clamp(red, high);                                           \
            to[3 * x + 1] = (out_type)(int)clamp(green, high);                                     \
            to[3 * x + 2] = (out_type)(int)clamp(blue, high);                                      \
        }                                                                                          \
    } while (0)

BODY void colour_body(void *out, int out_bits, const void *luma, int bits, const float *restrict cb,
                      const float *restrict cr, float scale, int count)
{
    if (bits == 16 && out_bits == 16)
        COLOUR(uint16_t, uint16_t, 65535.0f);
    else if (bits == 16)
        COLOUR(uint16_t, uint8_t, 255.0f);
    else if (out_bits == 16)
        COLOUR(uint8_t, uint16_t, 65535.0f);
    else
        COLOUR(uint8_t, uint8_t, 255.0f);
}
DISPATCH(colour,
         (void *out, int out_bits, const void *luma, int bits, const float *cb, const float *cr,
          float scale, int count),
         (out, out_bits, luma, bits, cb, cr, scale, count))

#define ROUND(out_type, high)                                                                      \
    do {                                                                                           \
        out_type *restrict to = out;                                                               \
        for (int x = 0; x < count; x++)                                                            \
            to[x] = (out_type)(int)clamp(in[x] + 0.5f, high);                                      \
    } while (0)

BODY void round_row_body(void *out, int bits, const float *restrict in, int count)
{
    if (bits == 16)
        ROUND(uint16_t, 65535.0f);
    else
        ROUND(uint8_t, 255.0f);
}
DISPATCH(round_row, (void *out, int bits, const float *in, int count), (out, bits, in, count))

/* Output units per sample unit. Neutral chroma is 128 and 32768, so chroma is scaled about it. */
static float scale_between(int bits, int out_bits)
{
    if (bits == out_bits)
        return 1.0f;
    return bits == 8 ? 257.0f : 1.0f / 257.0f;
}

static float neutral(int bits)
{
    return bits == 8 ? 128.0f : 32768.0f;
}

static const void *row_of(const struct pf_image *image, int plane, int y)
{
    int last = pf_image_plane_height(image, plane) - 1;
    y = y < 0 ? 0 : y > last ? last : y;
    return (const uint8_t *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
}

/* Chroma row of luma row y, centred on 0 and scaled, at full width. `line` holds the plane's width
 * plus 2; `out` the luma width plus 1. */
static void chroma_row(float *out, float *line, const struct pf_image *image, int plane, int y,
                       float scale)
{
    int width = pf_image_plane_width(image, plane);
    int row = y >> image->chroma_shift_y;
    float *mixed = image->chroma_shift_x ? line + 1 : out;
    float offset = neutral(image->bits) * scale;

    if (image->chroma_shift_y)
        mix(mixed, row_of(image, plane, row), row_of(image, plane, y & 1 ? row + 1 : row - 1),
            image->bits, 0.75f * scale, 0.25f * scale, offset, width);
    else
        mix(mixed, row_of(image, plane, row), row_of(image, plane, row), image->bits, scale, 0.0f,
            offset, width);
    if (image->chroma_shift_x) {
        line[0] = mixed[0];
        mixed[width] = mixed[width - 1];
        widen(out, mixed, width);
    }
}

size_t pf_row_scratch_floats(const struct pf_image *image)
{
    return 3 * ((size_t)image->width + 16);
}

void pf_row_to_rgb(void *out, int bits, const struct pf_image *image, int y, float *scratch)
{
    float scale = scale_between(image->bits, bits);
    float *cb = scratch;
    float *cr = cb + image->width + 16;
    float *line = cr + image->width + 16;

    if (image->planes == 1) {
        if (image->bits == bits) {
            memcpy(out, row_of(image, 0, y), (size_t)image->width * (size_t)(bits / 8));
            return;
        }
        mix(cb, row_of(image, 0, y), row_of(image, 0, y), image->bits, scale, 0.0f, 0.0f,
            image->width);
        round_row(out, bits, cb, image->width);
        return;
    }
    chroma_row(cb, line, image, 1, y, scale);
    chroma_row(cr, line, image, 2, y, scale);
    colour(out, bits, row_of(image, 0, y), image->bits, cb, cr, scale, image->width);
}

void pf_row_to_8_bits(uint8_t *restrict out, const struct pf_image *image, int plane, int y)
{
    int width = pf_image_plane_width(image, plane);
    if (image->bits == 8) {
        memcpy(out, row_of(image, plane, y), (size_t)width);
        return;
    }
    /* 16-bit chroma lies 32768 - 128 * 257 below where luma's scale would put it. */
    const uint16_t *restrict in = row_of(image, plane, y);
    uint32_t add = plane ? 128 + 128 * 257 - 32768 : 128;
    for (int x = 0; x < width; x++) {
        uint32_t value = ((uint32_t)in[x] + add) / 257;
        out[x] = (uint8_t)(value > 255 ? 255 : value);
    }
}

void pf_row_upsampled(void *out, const struct pf_image *image, int plane, int y, float *scratch)
{
    float *full = scratch;
    float *line = full + image->width + 16;
    chroma_row(full, line, image, plane, y, 1.0f);
    for (int x = 0; x < image->width; x++)
        full[x] += neutral(image->bits);
    round_row(out, image->bits, full, image->width);
}

/* Rows of chroma at the width of luma, `count` of them, to one row of means. */
static void mean_chroma(void *out, const uint8_t *full, size_t full_bytes, int count, int bits,
                        int shift_x, int width, int full_width)
{
    for (int x = 0; x < width; x++) {
        int sum = 0, samples = 0;
        for (int k = 0; k < count; k++)
            for (int u = x << shift_x; u < (x + 1) << shift_x && u < full_width; u++, samples++) {
                const uint8_t *row = full + (size_t)k * full_bytes;
                sum += bits == 8 ? row[u] : ((const uint16_t *)(const void *)row)[u];
            }
        sum = (sum + samples / 2) / samples;
        if (bits == 8)
            ((uint8_t *)out)[x] = (uint8_t)sum;
        else
            ((uint16_t *)out)[x] = (uint16_t)sum;
    }
}

int pf_image_with_chroma(struct pf_image **ret, const struct pf_image *image, int chroma_shift_x,
                         int chroma_shift_y, struct pf_error *err)
{
    struct pf_image *made = NULL;
    size_t row_bytes = image->stride_bytes[0];
    uint8_t *full = malloc(2 * row_bytes);
    float *scratch = malloc(pf_row_scratch_floats(image) * sizeof(float));
    int r = full && scratch ? pf_image_new(&made, image->width, image->height, image->bits,
                                           image->planes, chroma_shift_x, chroma_shift_y, err)
                            : pf_fail(err, ENOMEM, "out of memory for another chroma subsampling");
    if (r == 0) {
        memcpy(made->plane[0], image->plane[0], row_bytes * (size_t)image->height);
        made->source_bits = image->source_bits;
        made->orientation = image->orientation;
    }
    if (r == 0)
        r = pf_image_copy_cover(made, image, err);
    for (int plane = 1; r == 0 && plane < made->planes; plane++)
        for (int y = 0; y < pf_image_plane_height(made, plane); y++) {
            int count = 0;
            for (int v = y << chroma_shift_y; v < (y + 1) << chroma_shift_y && v < image->height;
                 v++)
                pf_row_upsampled(full + (size_t)count++ * row_bytes, image, plane, v, scratch);
            mean_chroma((uint8_t *)made->plane[plane] + (size_t)y * made->stride_bytes[plane], full,
                        row_bytes, count, image->bits, chroma_shift_x,
                        pf_image_plane_width(made, plane), image->width);
        }
    free(full);
    free(scratch);
    if (r < 0)
        made = pf_image_free(made);
    else
        *ret = made;
    return r;
}
