/* Warp and conversion of a decoded plane into engine samples. */
#include <math.h>

#include "process/cpu/isa.h"

enum { SEGMENT = 16 };

static inline int16_t to_sample(float value, float low)
{
    value = value < low ? low : value > PF_WHITE ? PF_WHITE : value;
    return (int16_t)((int)(value + 65536.5f) - 65536);
}

static inline float lowest(const struct pf_source_plane *source)
{
    return source->offset > 0 ? -PF_WHITE : 0;
}

static inline __attribute__((always_inline)) float load(const void *row, int x, int bits)
{
    return bits == 8 ? ((const uint8_t *)row)[x] : ((const uint16_t *)row)[x];
}

static inline const void *row_of(const struct pf_source_plane *source, int y)
{
    return (const char *)source->samples + (size_t)y * source->stride_bytes;
}

static inline void catmull_rom(float t, float w[4])
{
    float t2 = t * t, t3 = t2 * t;
    w[0] = -0.5f * t + t2 - 0.5f * t3;
    w[1] = 1 - 2.5f * t2 + 1.5f * t3;
    w[2] = 0.5f * t + 2 * t2 - 1.5f * t3;
    w[3] = -0.5f * t2 + 0.5f * t3;
}

static inline int clamp_index(long i, int count)
{
    return i < 0 ? 0 : i >= count ? count - 1 : (int)i;
}

/* One sample anywhere, borders replicated. */
static float sample_anywhere(const struct pf_source_plane *source, double x, double y)
{
    /* Far outside, only the border matters; this also keeps the conversions to integers defined. */
    x = x < -4 ? -4 : x > source->width + 4.0 ? source->width + 4.0 : x;
    y = y < -4 ? -4 : y > source->height + 4.0 ? source->height + 4.0 : y;
    double floor_x = floor(x), floor_y = floor(y);
    float wx[4], wy[4], sum = 0;
    catmull_rom((float)(x - floor_x), wx);
    catmull_rom((float)(y - floor_y), wy);
    for (int j = 0; j < 4; j++) {
        const void *row = row_of(source, clamp_index((long)floor_y - 1 + j, source->height));
        float line = 0;
        for (int k = 0; k < 4; k++)
            line +=
                wx[k] * load(row, clamp_index((long)floor_x - 1 + k, source->width), source->bits);
        sum += wy[j] * line;
    }
    return sum;
}

/* SEGMENT samples whose source columns are left + i and whose source rows start at top. */
static inline __attribute__((always_inline)) void
segment_from(float out[SEGMENT], const struct pf_source_plane *source, int left, int top,
             const float tx[SEGMENT], const float ty[SEGMENT], int bits)
{
    const char *row = row_of(source, top - 1);
    size_t stride = source->stride_bytes;
    size_t sample_bytes = bits == 8 ? 1 : 2;
    const void *r0 = row + (size_t)(left - 1) * sample_bytes;
    const void *r1 = (const char *)r0 + stride;
    const void *r2 = (const char *)r1 + stride;
    const void *r3 = (const char *)r2 + stride;
    for (int i = 0; i < SEGMENT; i++) {
        float wx[4], wy[4];
        catmull_rom(tx[i], wx);
        catmull_rom(ty[i], wy);
        float sum = 0;
        for (int k = 0; k < 4; k++)
            sum += wx[k] * (wy[0] * load(r0, i + k, bits) + wy[1] * load(r1, i + k, bits) +
                            wy[2] * load(r2, i + k, bits) + wy[3] * load(r3, i + k, bits));
        out[i] = sum;
    }
}

/* A full segment along a straight line; false when it must be done sample by sample. */
static inline __attribute__((always_inline)) bool segment_fast(float out[SEGMENT],
                                                               const struct pf_source_plane *source,
                                                               double x, double y, double dx,
                                                               double dy, int bits)
{
    double base_x = floor(x), base_y = floor(y);
    float fx0 = (float)(x - base_x), fy0 = (float)(y - base_y);
    float sx = (float)dx - 1.0f, sy = (float)dy; /* how the fractions drift from sample to sample */
    if (!(fabsf(sx) < 0.25f && fabsf(sy) < 0.25f))
        return false;

    float tx[SEGMENT], ty[SEGMENT], floor_x[SEGMENT], floor_y[SEGMENT];
    for (int i = 0; i < SEGMENT; i++) {
        float px = fx0 + sx * (float)i, py = fy0 + sy * (float)i;
        /* floor without a libm call: px, py > -8 */
        floor_x[i] = (float)((int)(px + 8) - 8);
        floor_y[i] = (float)((int)(py + 8) - 8);
        tx[i] = px - floor_x[i];
        ty[i] = py - floor_y[i];
    }
    /* The cells that the segment crosses, from the very numbers that select them below. */
    int x_low = (int)fminf(floor_x[0], floor_x[SEGMENT - 1]);
    int x_high = (int)fmaxf(floor_x[0], floor_x[SEGMENT - 1]);
    int y_low = (int)fminf(floor_y[0], floor_y[SEGMENT - 1]);
    int y_high = (int)fmaxf(floor_y[0], floor_y[SEGMENT - 1]);
    if ((x_high - x_low + 1) * (y_high - y_low + 1) > 4)
        return false;
    if (base_x + x_low < 1 || base_x + x_high + SEGMENT + 2 > source->width || base_y + y_low < 1 ||
        base_y + y_high + 3 > source->height)
        return false;
    for (int cy = y_low; cy <= y_high; cy++) {
        for (int cx = x_low; cx <= x_high; cx++) {
            float part[SEGMENT];
            segment_from(part, source, (int)base_x + cx, (int)base_y + cy, tx, ty, bits);
            for (int i = 0; i < SEGMENT; i++)
                out[i] = floor_x[i] == (float)cx && floor_y[i] == (float)cy ? part[i] : out[i];
        }
    }
    return true;
}

static inline __attribute__((always_inline)) void
warp_row_bits(int16_t *restrict out, int count, int row, const double h[9],
              const struct pf_source_plane *source, int bits)
{
    float scale = source->scale, offset = source->offset, low = lowest(source);
    double nx = h[1] * row + h[2], ny = h[4] * row + h[5], nw = h[7] * row + h[8];
    double x = nx / nw, y = ny / nw;
    for (int begin = 0; begin < count; begin += SEGMENT) {
        /* Straight between the exact ends of each segment. */
        int next = begin + SEGMENT;
        double w = h[6] * next + nw;
        double next_x = (h[0] * next + nx) / w, next_y = (h[3] * next + ny) / w;
        double dx = (next_x - x) / SEGMENT, dy = (next_y - y) / SEGMENT;
        float values[SEGMENT] = {0};
        int here = count - begin < SEGMENT ? count - begin : SEGMENT;
        if (!(here == SEGMENT && segment_fast(values, source, x, y, dx, dy, bits)))
            for (int i = 0; i < here; i++)
                values[i] = sample_anywhere(source, x + dx * i, y + dy * i);
        if (here == SEGMENT) {
            for (int i = 0; i < SEGMENT; i++)
                out[begin + i] = to_sample((values[i] - offset) * scale, low);
        } else {
            for (int i = 0; i < here; i++)
                out[begin + i] = to_sample((values[i] - offset) * scale, low);
        }
        x = next_x;
        y = next_y;
    }
}

static void warp_row(int16_t *out, int count, int y, const double h[9],
                     const struct pf_source_plane *source)
{
    if (source->bits == 8)
        warp_row_bits(out, count, y, h, source, 8);
    else
        warp_row_bits(out, count, y, h, source, 16);
}

static void convert_row(int16_t *restrict out, int count, int y,
                        const struct pf_source_plane *source)
{
    float scale = source->scale, offset = source->offset, low = lowest(source);
    const void *row = row_of(source, y);
    if (source->bits == 8)
        for (int i = 0; i < count; i++)
            out[i] = to_sample((load(row, i, 8) - offset) * scale, low);
    else
        for (int i = 0; i < count; i++)
            out[i] = to_sample((load(row, i, 16) - offset) * scale, low);
}

void ISA(warp_kernels)(struct pf_kernels *set)
{
    set->warp_row = warp_row;
    set->convert_row = convert_row;
}
