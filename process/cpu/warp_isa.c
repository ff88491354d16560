/* Warp and conversion of a decoded plane into engine samples. */
#include <math.h>
#include <string.h>

#include "process/cpu/isa.h"
#include "process/homography.h"

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

static inline const struct pf_resampling *resampling_of(const struct pf_source_plane *source)
{
    return &pf_resampling[source->bicubic];
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

static inline float smaller(float a, float b)
{
    return a < b ? a : b;
}

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

static inline int clamp_index(long i, int count)
{
    return i < 0 ? 0 : i >= count ? count - 1 : (int)i;
}

/* One sample anywhere, borders replicated. */
static float sample_anywhere(const struct pf_source_plane *source, double x, double y)
{
    /* Far outside, only the border matters; this also keeps the conversions to integers defined. */
    x = fmax(-4, fmin(x, source->width + 4.0));
    y = fmax(-4, fmin(y, source->height + 4.0));
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
 * that the segment touches is sampled where the segment crosses it, then the row that this gives. What
 * the segments of some rows see is made numbers once, borders included: a tile. */
enum {
    MOST_ROWS = PF_WARP_ROWS,
    MOST_CELLS = 4, /* whole steps aside within a segment */
    COLUMNS = (SEGMENT + PF_LANCZOS_TAPS - 1 + MOST_CELLS + 7) / 8 * 8, /* that it can touch */
    FEW_COLUMNS = COLUMNS - 8,                                          /* that most touch */
    FEW_CELLS = FEW_COLUMNS - SEGMENT - PF_LANCZOS_TAPS + 1,
    TILE_PITCH = COLUMNS + 8,
    TILE_ROWS = MOST_ROWS + 16,
};
_Static_assert(FEW_CELLS >= 1, "most segments have few cells");
#define MOST_DRIFT 0.12f
#define MOST_SLOPE 0.04f
/* Over so short a way weights are as good as straight. */
#define STRAIGHT 0.05f

struct tile {
    float samples[TILE_ROWS][TILE_PITCH];
    int left, top, rows; /* of the source */
};

/* A segment of a row: begins at (x, y) of the source. */
struct segment {
    double x, y, dx, dy;
};

static inline __attribute__((always_inline)) void
fill_tile_bits(struct tile *tile, const struct pf_source_plane *source, int bits)
{
    bool inside = tile->left >= 0 && tile->left + TILE_PITCH <= source->width;
    size_t sample_bytes = bits == 8 ? 1 : 2;
    for (int j = 0; j < tile->rows; j++) {
        const char *row = row_of(source, clamp_index((long)tile->top + j, source->height));
        float *restrict out = tile->samples[j];
        if (inside) {
            row += (size_t)tile->left * sample_bytes;
            for (int i = 0; i < TILE_PITCH; i++)
                out[i] = load(row, i, bits);
        } else {
            for (int i = 0; i < TILE_PITCH; i++)
                out[i] = load(row, clamp_index((long)tile->left + i, source->width), bits);
        }
    }
}

/* Positions along a line: the whole part of each, and how far it is from the middle of its cell. */
static inline void positions(float from, float step, int count, float *restrict whole,
                             float *restrict aside)
{
    for (int i = 0; i < count; i++) {
        float at = from + step * (float)i;
        whole[i] = (float)((int)(at + 16) - 16); /* floor without libm: at > -16 */
        aside[i] = at - whole[i] - 0.5f;
    }
}

/* Weights of points by how far they are from the middle of their cells. */
static inline __attribute__((always_inline)) void weights_of(const struct pf_resampling *resampling,
                                                             const float *restrict aside, int count,
                                                             float w[PF_LANCZOS_TAPS][COLUMNS])
{
    for (int pair = 0; pair < PF_LANCZOS_TAPS / 2; pair++) {
        const float *e = resampling->even[pair], *o = resampling->odd[pair];
        float e0 = e[0], e1 = e[1], e2 = e[2], e3 = e[3], o0 = o[0], o1 = o[1], o2 = o[2],
              o3 = o[3];
        float *restrict before = w[pair], *restrict behind = w[PF_LANCZOS_TAPS - 1 - pair];
        for (int i = 0; i < count; i++) {
            float square = aside[i] * aside[i];
            float even = e0 + square * (e1 + square * (e2 + square * e3));
            float odd = aside[i] * (o0 + square * (o1 + square * (o2 + square * o3)));
            before[i] = even + odd;
            behind[i] = even - odd;
        }
    }
}

/* Where no column is in another cell than the first, and weights run straight. */
static inline __attribute__((always_inline)) void columns_straight(float *restrict column,
                                                                   const float *restrict row,
                                                                   table_of_weights *table,
                                                                   float from, float to, int count)
{
    float a[PF_LANCZOS_ROW], b[PF_LANCZOS_ROW], norm = 1 / (float)(count - 1);
    weights_at(table, from, a);
    weights_at(table, to, b);
    for (int k = 0; k < PF_LANCZOS_ROW; k++)
        b[k] = (b[k] - a[k]) * norm;
    const float *restrict r0 = row, *restrict r1 = r0 + TILE_PITCH, *restrict r2 = r1 + TILE_PITCH,
                          *restrict r3 = r2 + TILE_PITCH, *restrict r4 = r3 + TILE_PITCH,
                          *restrict r5 = r4 + TILE_PITCH;
    for (int j = 0; j < count; j++)
        column[j] = a[0] * r0[j] + a[1] * r1[j] + a[2] * r2[j] + a[3] * r3[j] + a[4] * r4[j] +
                    a[5] * r5[j] +
                    (float)j * (b[0] * r0[j] + b[1] * r1[j] + b[2] * r2[j] + b[3] * r3[j] +
                                b[4] * r4[j] + b[5] * r5[j]);
}

static inline __attribute__((always_inline)) void
columns_of(float *restrict column, const struct tile *tile, const struct pf_source_plane *source,
           int left, double base_y, float from, float slope, int count)
{
    float cell[COLUMNS], aside[COLUMNS];
    positions(from, slope, count, cell, aside);
    float low = smaller(cell[0], cell[count - 1]), high = larger(cell[0], cell[count - 1]);
    int top = (int)base_y - 2 - tile->top;
    if (low == high && fabsf(slope) * (float)count < STRAIGHT) {
        columns_straight(column, tile->samples[top + (int)low] + left, table_of(source),
                         aside[0] + 0.5f, aside[count - 1] + 0.5f, count);
        return;
    }
    float w[PF_LANCZOS_TAPS][COLUMNS];
    weights_of(resampling_of(source), aside, count, w);
    for (float here = low; here <= high; here++) {
        const float *restrict row = tile->samples[top + (int)here] + left;
        float part[COLUMNS];
        for (int j = 0; j < count; j++)
            part[j] = w[0][j] * row[j] + w[1][j] * row[j + TILE_PITCH] +
                      w[2][j] * row[j + 2 * TILE_PITCH] + w[3][j] * row[j + 3 * TILE_PITCH] +
                      w[4][j] * row[j + 4 * TILE_PITCH] + w[5][j] * row[j + 5 * TILE_PITCH];
        for (int j = 0; j < count; j++)
            column[j] = cell[j] == here ? part[j] : column[j];
    }
}

/* A full segment of what is in the tile, see fits(). */
static __attribute__((noinline)) void segment_of_tile(float out[SEGMENT], const struct tile *tile,
                                                      const struct pf_source_plane *source,
                                                      const struct segment *segment)
{
    enum { GROUP = 8 };
    double base_x = floor(segment->x), base_y = floor(segment->y),
           slope = segment->dy / segment->dx;
    float column[COLUMNS], cell[SEGMENT], aside[SEGMENT], w[PF_LANCZOS_TAPS][COLUMNS];
    positions((float)(segment->x - base_x), (float)(segment->dx - 1), SEGMENT, cell, aside);
    float low = smaller(cell[0], cell[SEGMENT - 1]), high = larger(cell[0], cell[SEGMENT - 1]);
    double left = base_x + (double)low - 2;
    float from = (float)(segment->y - base_y + (left - segment->x) * slope);
    if (high - low <= FEW_CELLS)
        columns_of(column, tile, source, (int)left - tile->left, base_y, from, (float)slope,
                   FEW_COLUMNS);
    else
        columns_of(column, tile, source, (int)left - tile->left, base_y, from, (float)slope,
                   COLUMNS);
    weights_of(resampling_of(source), aside, SEGMENT, w);
    for (int begin = 0; begin < SEGMENT; begin += GROUP) {
        int first = (int)(cell[begin] - low), last = (int)(cell[begin + GROUP - 1] - low);
        float part[GROUP], beside[GROUP];
        const float *in = column + begin + first;
        for (int i = 0; i < GROUP; i++)
            part[i] = w[0][begin + i] * in[i] + w[1][begin + i] * in[i + 1] +
                      w[2][begin + i] * in[i + 2] + w[3][begin + i] * in[i + 3] +
                      w[4][begin + i] * in[i + 4] + w[5][begin + i] * in[i + 5];
        if (first != last) { /* a group changes its cell once at most */
            in = column + begin + last;
            for (int i = 0; i < GROUP; i++)
                beside[i] = w[0][begin + i] * in[i] + w[1][begin + i] * in[i + 1] +
                            w[2][begin + i] * in[i + 2] + w[3][begin + i] * in[i + 3] +
                            w[4][begin + i] * in[i + 4] + w[5][begin + i] * in[i + 5];
            for (int i = 0; i < GROUP; i++)
                part[i] = cell[begin + i] == cell[begin] ? part[i] : beside[i];
        }
        memcpy(out + begin, part, sizeof(part));
    }
}

static inline bool is_gentle(const struct segment *segment)
{
    /* Also false where a coordinate is no number. */
    return fabs(segment->dx - 1) < MOST_DRIFT && fabs(segment->dy / segment->dx) < MOST_SLOPE &&
           fabs(segment->x) < 1e8 && fabs(segment->y) < 1e8;
}

/* Lays the tile around what the segments see; false when it would not fit, or the two passes would
 * not do. */
static bool fits(struct tile *tile, const struct segment *segments, int count)
{
    double left = INFINITY, last_left = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int i = 0; i < count; i++) {
        const struct segment *segment = &segments[i];
        if (!is_gentle(segment))
            return false;
        double end_x = segment->x + SEGMENT * segment->dx;
        double end_y = segment->y + SEGMENT * segment->dy;
        double low_x = segment->x < end_x ? segment->x : end_x;
        double low_y = segment->y < end_y ? segment->y : end_y;
        double high_y = segment->y < end_y ? end_y : segment->y;
        left = low_x < left ? low_x : left;
        last_left = low_x > last_left ? low_x : last_left;
        top = low_y < top ? low_y : top;
        bottom = high_y > bottom ? high_y : bottom;
    }
    /* Columns are crossed somewhat beyond a segment's ends; and float may round to the next cell. */
    enum { BESIDE = COLUMNS - SEGMENT };
    double beyond = BESIDE * (double)MOST_SLOPE;
    tile->left = (int)floor(left) - 3;
    tile->top = (int)floor(top - beyond) - 3;
    tile->rows = (int)floor(bottom + beyond) + PF_LANCZOS_TAPS - 1 - tile->top;
    return tile->rows <= TILE_ROWS &&
           (int)floor(last_left) - 1 - tile->left + COLUMNS <= TILE_PITCH;
}

static void put(int16_t *restrict out, int count, const float values[SEGMENT],
                const struct pf_source_plane *source)
{
    float scale = source->scale, offset = source->offset, low = lowest(source);
    int16_t samples[SEGMENT];
    for (int i = 0; i < SEGMENT; i++)
        samples[i] = to_sample((values[i] - offset) * scale, low);
    if (count == SEGMENT)
        memcpy(out, samples, sizeof(samples));
    else
        memcpy(out, samples, (size_t)count * sizeof(*out));
}

/* Segments of `rows` rows, one beneath the other. */
static void warp_segments(int16_t *out, size_t pitch, int count, const struct segment *segments,
                          int rows, const struct pf_source_plane *source)
{
    struct tile tile;
    float values[SEGMENT] = {0};
    if (fits(&tile, segments, rows)) {
        if (source->bits == 8)
            fill_tile_bits(&tile, source, 8);
        else
            fill_tile_bits(&tile, source, 16);
        for (int row = 0; row < rows; row++) {
            segment_of_tile(values, &tile, source, &segments[row]);
            put(out + (size_t)row * pitch, count, values, source);
        }
    } else if (rows > 1) {
        for (int row = 0; row < rows; row++)
            warp_segments(out + (size_t)row * pitch, pitch, count, &segments[row], 1, source);
    } else {
        for (int i = 0; i < count; i++)
            values[i] = sample_anywhere(source, segments->x + segments->dx * i,
                                        segments->y + segments->dy * i);
        put(out, count, values, source);
    }
}

static void warp_rows(int16_t *out, size_t pitch, int count, int y, int rows, const double h[9],
                      const struct pf_source_plane *source)
{
    double from[MOST_ROWS][2];
    struct segment segments[MOST_ROWS];
    for (int row = 0; row < rows; row++)
        pf_homography_apply(h, 0, y + row, &from[row][0], &from[row][1]);
    for (int begin = 0; begin < count; begin += SEGMENT) {
        /* Straight between the exact ends of each segment. */
        for (int row = 0; row < rows; row++) {
            double x, y_there;
            pf_homography_apply(h, begin + SEGMENT, y + row, &x, &y_there);
            segments[row] =
                (struct segment){from[row][0], from[row][1], (x - from[row][0]) / SEGMENT,
                                 (y_there - from[row][1]) / SEGMENT};
            from[row][0] = x;
            from[row][1] = y_there;
        }
        warp_segments(out + begin, pitch, count - begin < SEGMENT ? count - begin : SEGMENT,
                      segments, rows, source);
    }
}

static void warp_path(int16_t *out, int count, const double (*path)[2], int step,
                      const struct pf_source_plane *source)
{
    for (int begin = 0; begin < count; begin += step, path++) {
        struct segment segment = {path[0][0], path[0][1], (path[1][0] - path[0][0]) / step,
                                  (path[1][1] - path[0][1]) / step};
        warp_segments(out + begin, 0, count - begin < step ? count - begin : step, &segment, 1,
                      source);
    }
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
    set->warp_rows = warp_rows;
    set->warp_path = warp_path;
    set->convert_row = convert_row;
}
