/* Warp and conversion of a decoded plane into engine samples. */
#include <math.h>

#include "process/cpu/isa.h"

enum { SEGMENT = PF_WARP_SEGMENT };

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

typedef const float table_of_weights[PF_LANCZOS_ROW];

static inline table_of_weights *table_of(const struct pf_source_plane *source)
{
    return source->bicubic ? pf_bicubic : pf_lanczos;
}

/* The weights of a sample at offset t from its third tap, by the table; t within its range. */
static inline void weights_at(table_of_weights *table, float t, float w[PF_LANCZOS_ROW])
{
    float at = (t - PF_LANCZOS_FROM) * PF_LANCZOS_STEPS;
    int index = (int)at;
    float share = at - (float)index;
    const float *below = table[index], *above = table[index + 1];
    for (int k = 0; k < PF_LANCZOS_ROW; k++)
        w[k] = below[k] + share * (above[k] - below[k]);
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
    float wx[PF_LANCZOS_ROW], wy[PF_LANCZOS_ROW], sum = 0;
    weights_at(table_of(source), (float)(x - floor_x), wx);
    weights_at(table_of(source), (float)(y - floor_y), wy);
    for (int j = 0; j < PF_LANCZOS_TAPS; j++) {
        const void *row = row_of(source, clamp_index((long)floor_y - 2 + j, source->height));
        float line = 0;
        for (int k = 0; k < PF_LANCZOS_TAPS; k++)
            line +=
                wx[k] * load(row, clamp_index((long)floor_x - 2 + k, source->width), source->bits);
        sum += wy[j] * line;
    }
    return sum;
}

/* The fast way takes a segment in two passes, as Catmull & Smith 1980 do: first every source column
 * that the segment touches is sampled where the segment crosses it, then the row that this gives. */
enum {
    MOST_CELLS = 5, /* whole steps aside within a segment */
    COLUMNS = (SEGMENT + PF_LANCZOS_TAPS - 1 + MOST_CELLS + 7) / 8 * 8, /* that it can touch */
};

static inline float smaller(float a, float b)
{
    return a < b ? a : b;
}

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

/* Positions along a line and the whole part of each, as floats. */
static inline void positions(float from, float step, int count, float *at, float *whole)
{
    for (int i = 0; i < count; i++) {
        at[i] = from + step * (float)i;
        whole[i] = (float)((int)(at[i] + 16) - 16); /* floor without libm: at > -16 */
    }
}

/* Weights for offsets that run evenly by `step` from t0. They are smooth: over a short way a
 * parabola through three of the table's values is as good as the table. Offsets beyond the table
 * belong to other cells; what comes of them is not used. */
static inline void weights_along(table_of_weights *table, float t0, float step, int count,
                                 float w[PF_LANCZOS_TAPS][COLUMNS])
{
    int block = count;
    while (block > 2 && fabsf(step) * (float)block > 0.35f)
        block = (block + 1) / 2;
    for (int begin = 0; begin < count; begin += block) {
        float first[PF_LANCZOS_ROW], middle[PF_LANCZOS_ROW], last[PF_LANCZOS_ROW];
        float from = t0 + step * (float)begin, way = step * (float)block;
        weights_at(table, larger(PF_LANCZOS_FROM, smaller(PF_LANCZOS_TO, from)), first);
        weights_at(table, larger(PF_LANCZOS_FROM, smaller(PF_LANCZOS_TO, from + 0.5f * way)),
                   middle);
        weights_at(table, larger(PF_LANCZOS_FROM, smaller(PF_LANCZOS_TO, from + way)), last);
        int here = count - begin < block ? count - begin : block;
        float norm = 1 / (float)block;
        for (int k = 0; k < PF_LANCZOS_TAPS; k++) {
            float *restrict out = w[k] + begin;
            float bend = 2 * (first[k] + last[k] - 2 * middle[k]);
            float slope = last[k] - first[k] - bend;
            for (int i = 0; i < here; i++) {
                float u = (float)i * norm;
                out[i] = first[k] + u * (slope + u * bend);
            }
        }
    }
}

/* One full segment along a straight line; false when it must be done sample by sample. */
static inline __attribute__((always_inline)) bool segment_fast(float out[SEGMENT],
                                                               const struct pf_source_plane *source,
                                                               double x, double y, double dx,
                                                               double dy, int bits)
{
    double base_x = floor(x), base_y = floor(y);
    float drift = (float)(dx - 1), slope = (float)(dy / dx);
    if (!(fabsf(drift) < 0.12f && fabsf(slope) < 0.04f))
        return false;

    /* Samples: sample i lies near column base_x + i, aside by at_x[i]. */
    float at_x[SEGMENT], cell_x[SEGMENT];
    positions((float)(x - base_x), drift, SEGMENT, at_x, cell_x);
    float x_low = smaller(cell_x[0], cell_x[SEGMENT - 1]);
    float x_high = larger(cell_x[0], cell_x[SEGMENT - 1]);
    int cells = (int)(x_high - x_low);
    double left = base_x + (double)x_low - 2;
    if (cells > MOST_CELLS - 1 || left < 0 || left + COLUMNS > source->width)
        return false;

    /* Columns: column j is crossed at height base_y + at_y[j]. */
    float at_y[COLUMNS], cell_y[COLUMNS];
    positions((float)(y - base_y + (left - x) * (dy / dx)), slope, COLUMNS, at_y, cell_y);
    float y_low = smaller(cell_y[0], cell_y[COLUMNS - 1]);
    float y_high = larger(cell_y[0], cell_y[COLUMNS - 1]);
    double top = base_y + (double)y_low - 2;
    if (y_high - y_low > 2 || top < 0 ||
        base_y + (double)y_high + PF_LANCZOS_TAPS / 2 > source->height - 1)
        return false;

    table_of_weights *table = table_of(source);
    float w[PF_LANCZOS_TAPS][COLUMNS], column[COLUMNS];
    size_t sample_bytes = bits == 8 ? 1 : 2;
    for (float cell = y_low; cell <= y_high; cell++) {
        const char *row =
            (const char *)row_of(source, (int)base_y + (int)cell - 2) + (size_t)left * sample_bytes;
        float part[COLUMNS] = {0};
        weights_along(table, at_y[0] - cell, slope, COLUMNS, w);
        for (int k = 0; k < PF_LANCZOS_TAPS; k++, row += source->stride_bytes)
            for (int j = 0; j < COLUMNS; j++)
                part[j] += w[k][j] * load(row, j, bits);
        for (int j = 0; j < COLUMNS; j++)
            column[j] = cell_y[j] == cell ? part[j] : column[j];
    }
    for (float cell = x_low; cell <= x_high; cell++) {
        const float *from = column + (int)(cell - x_low);
        float part[SEGMENT] = {0};
        weights_along(table, at_x[0] - cell, drift, SEGMENT, w);
        for (int k = 0; k < PF_LANCZOS_TAPS; k++)
            for (int i = 0; i < SEGMENT; i++)
                part[i] += w[k][i] * from[i + k];
        for (int i = 0; i < SEGMENT; i++)
            out[i] = cell_x[i] == cell ? part[i] : out[i];
    }
    return true;
}

/* A piece of a row along a straight line. */
static inline __attribute__((always_inline)) void warp_segment(int16_t *restrict out, int count,
                                                               const struct pf_source_plane *source,
                                                               double x, double y, double dx,
                                                               double dy, int bits)
{
    float scale = source->scale, offset = source->offset, low = lowest(source);
    float values[SEGMENT] = {0};
    if (!(count == SEGMENT && segment_fast(values, source, x, y, dx, dy, bits)))
        for (int i = 0; i < count; i++)
            values[i] = sample_anywhere(source, x + dx * i, y + dy * i);
    if (count == SEGMENT) {
        for (int i = 0; i < SEGMENT; i++)
            out[i] = to_sample((values[i] - offset) * scale, low);
    } else {
        for (int i = 0; i < count; i++)
            out[i] = to_sample((values[i] - offset) * scale, low);
    }
}

static inline __attribute__((always_inline)) void
warp_row_bits(int16_t *restrict out, int count, int row, const double h[9],
              const struct pf_source_plane *source, int bits)
{
    double nx = h[1] * row + h[2], ny = h[4] * row + h[5], nw = h[7] * row + h[8];
    double x = nx / nw, y = ny / nw;
    for (int begin = 0; begin < count; begin += SEGMENT) {
        /* Straight between the exact ends of each segment. */
        int next = begin + SEGMENT;
        double w = h[6] * next + nw;
        double next_x = (h[0] * next + nx) / w, next_y = (h[3] * next + ny) / w;
        warp_segment(out + begin, count - begin < SEGMENT ? count - begin : SEGMENT, source, x, y,
                     (next_x - x) / SEGMENT, (next_y - y) / SEGMENT, bits);
        x = next_x;
        y = next_y;
    }
}

static inline __attribute__((always_inline)) void
warp_path_bits(int16_t *restrict out, int count, const double (*path)[2], int step,
               const struct pf_source_plane *source, int bits)
{
    for (int begin = 0; begin < count; begin += step, path++)
        warp_segment(out + begin, count - begin < step ? count - begin : step, source, path[0][0],
                     path[0][1], (path[1][0] - path[0][0]) / step, (path[1][1] - path[0][1]) / step,
                     bits);
}

static void warp_row(int16_t *out, int count, int y, const double h[9],
                     const struct pf_source_plane *source)
{
    if (source->bits == 8)
        warp_row_bits(out, count, y, h, source, 8);
    else
        warp_row_bits(out, count, y, h, source, 16);
}

static void warp_path(int16_t *out, int count, const double (*path)[2], int step,
                      const struct pf_source_plane *source)
{
    if (source->bits == 8)
        warp_path_bits(out, count, path, step, source, 8);
    else
        warp_path_bits(out, count, path, step, source, 16);
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
    set->warp_path = warp_path;
    set->convert_row = convert_row;
}
