#include "process/light.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/homography.h"
#include "process/median.h"

#define CELLS (PF_LIGHT_GRID * PF_LIGHT_GRID)
/* Cells further from the middle one than this many deviations have seen defocus, not drift. */
#define MOST_DEVIATIONS 3.0
/* A drift of white balance is believed when it is as many standard errors, and as large, as this:
 * a burst without drift must get no cast. In logarithms of encoded values. */
#define CERTAIN_ERRORS 4.0
#define LEAST_DRIFT    0.003
/* With fewer cells than this that defocused highlights cannot reach, all are compared. */
#define LEAST_CELLS 64

/* --- one picture --- */

static inline float sample_of(const struct pf_image *image, int plane, int x, int y)
{
    const char *row = (const char *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
    return image->bits == 8 ? (float)((const uint8_t *)row)[x] * (1.0f / 255)
                            : (float)((const uint16_t *)row)[x] * (1.0f / 65535);
}

/* Encoded 0..1 to light: cubic fit of the sRGB curve. */
static inline float light_of(float value)
{
    value = value < 0 ? 0 : value > 1 ? 1 : value;
    return value * (0.012522878f + value * (0.682171111f + value * 0.305306011f));
}

/* What the sampled pixels of a cell add up to. */
struct sight {
    float light[3], peak;
    int count;
};

static void see_pixel(struct sight *sight, const struct pf_image *image, int x, int y)
{
    float luma = sample_of(image, 0, x << image->chroma_shift_x, y << image->chroma_shift_y);
    float rgb[3] = {luma, luma, luma};
    if (image->planes == 3) {
        float middle = image->bits == 8 ? 128.0f / 255 : 32768.0f / 65535;
        float cb = sample_of(image, 1, x, y) - middle, cr = sample_of(image, 2, x, y) - middle;
        rgb[0] += 1.402f * cr;
        rgb[1] -= 0.344136f * cb + 0.714136f * cr;
        rgb[2] += 1.772f * cb;
    }
    for (int c = 0; c < 3; c++) {
        sight->light[c] += light_of(rgb[c]);
        sight->peak = rgb[c] > sight->peak ? rgb[c] : sight->peak;
    }
    sight->count++;
}

void pf_light_see(struct pf_light_grid *grid, const struct pf_image *image)
{
    int plane = image->planes == 3 ? 1 : 0;
    int width = pf_image_plane_width(image, plane), height = pf_image_plane_height(image, plane);
    for (int cy = 0; cy < PF_LIGHT_GRID; cy++) {
        for (int cx = 0; cx < PF_LIGHT_GRID; cx++) {
            struct sight sight = {.count = 0};
            struct pf_light_span across = pf_light_span_of(cx, width);
            struct pf_light_span down = pf_light_span_of(cy, height);
            for (int j = 0; j < down.count; j++)
                for (int i = 0; i < across.count; i++)
                    see_pixel(&sight, image, across.first + i * across.step,
                              down.first + j * down.step);
            for (int c = 0; c < 3; c++)
                grid->cell[PF_LIGHT_RED + c][cy][cx] = sight.light[c] / (float)sight.count;
            grid->clipped[cy][cx] = sight.peak > PF_LIGHT_CLIPPED;
        }
    }
}

/* --- comparing --- */

/* A cell that both pictures show: light of the reference and of the frame. Of a grey picture all are its luma. */
struct pair {
    float reference[PF_LIGHT_KINDS], frame[PF_LIGHT_KINDS];
};

#define DARK 1e-5f /* no more than this is no light to compare */
/* What is to be minded at a cell. Between cells of more than twice DARK is more than DARK, however it is rounded. */
enum { NEAR_CLIPPED = 1, NEAR_DARK = 2 };

typedef float row_of_light[PF_LIGHT_GRID][PF_LIGHT_KINDS];
typedef unsigned char flags_of_cells[PF_LIGHT_GRID][PF_LIGHT_GRID];

/* Of each cell of a row all kinds, side by side. */
static void row_of(row_of_light ret, const struct pf_light_grid *grid, int y, bool colours)
{
    const float *plane[PF_LIGHT_KINDS];
    for (int kind = 0; kind < PF_LIGHT_KINDS; kind++)
        plane[kind] = grid->cell[colours ? kind : PF_LIGHT_LUMA][y];
    for (int x = 0; x < PF_LIGHT_GRID; x++)
        for (int kind = 0; kind < PF_LIGHT_KINDS; kind++)
            ret[x][kind] = plane[kind][x];
}

/* Near a cell is what is one cell before it to `after` cells behind it, 1 or 2, both ways: around a point between it
 * and the next it takes 2. */
static void flags_of(flags_of_cells ret, const struct pf_light_grid *grid, bool colours, int after)
{
    flags_of_cells own;
    for (int y = 0; y < PF_LIGHT_GRID; y++) {
        for (int x = 0; x < PF_LIGHT_GRID; x++)
            own[y][x] = grid->clipped[y][x] ? NEAR_CLIPPED : 0;
        for (int kind = 0; kind < (colours ? PF_LIGHT_KINDS : 1); kind++)
            for (int x = 0; x < PF_LIGHT_GRID; x++)
                own[y][x] |= grid->cell[kind][y][x] > 2 * DARK ? 0 : NEAR_DARK;
    }
    for (int y = 0; y < PF_LIGHT_GRID; y++) {
        unsigned char any[1 + PF_LIGHT_GRID + 2] = {0};
        for (int row = y - 1; row <= y + after; row++)
            for (int x = 0; row >= 0 && row < PF_LIGHT_GRID && x < PF_LIGHT_GRID; x++)
                any[1 + x] |= own[row][x];
        for (int x = 0; x < PF_LIGHT_GRID; x++)
            ret[y][x] = any[x] | any[x + 1] | any[x + 2] | any[x + 1 + after];
    }
}

static bool is_lit(const struct pair *pair)
{
    bool lit = true;
    for (int kind = 0; kind < PF_LIGHT_KINDS; kind++)
        lit = lit && pair->reference[kind] > DARK && pair->frame[kind] > DARK;
    return lit;
}

/* What a comparison works with. */
struct room {
    flags_of_cells reference_flags, frame_flags;
    row_of_light frame[PF_LIGHT_GRID];
    struct pair pairs[CELLS];
    struct pf_weighted ratios[CELLS], spare[CELLS];
};

/* The cells that both show; `clipped` allows those that have clipped neighbours. */
static int pairs_of(struct room *room, const struct pf_light_grid *reference, const double h[9],
                    int width, int height, bool colours, bool clipped)
{
    double cell_width = (double)width / PF_LIGHT_GRID, cell_height = (double)height / PF_LIGHT_GRID;
    int count = 0;
    for (int cy = 0; cy < PF_LIGHT_GRID; cy++) {
        row_of_light own;
        row_of(own, reference, cy, colours);
        double x[PF_LIGHT_GRID], y[PF_LIGHT_GRID];
        for (int cx = 0; cx < PF_LIGHT_GRID; cx++) {
            pf_homography_apply(h, (cx + 0.5) * cell_width - 0.5, (cy + 0.5) * cell_height - 0.5,
                                &x[cx], &y[cx]);
            x[cx] = (x[cx] + 0.5) / cell_width - 0.5;
            y[cx] = (y[cx] + 0.5) / cell_height - 0.5;
        }
        for (int cx = 0; cx < PF_LIGHT_GRID; cx++) {
            if (!(x[cx] >= 0 && y[cx] >= 0 && x[cx] < PF_LIGHT_GRID - 1 &&
                  y[cx] < PF_LIGHT_GRID - 1))
                continue;
            int ix = (int)x[cx], iy = (int)y[cx];
            int flags = room->reference_flags[cy][cx] | room->frame_flags[iy][ix];
            if (!clipped && flags & NEAR_CLIPPED)
                continue;
            float tx = (float)(x[cx] - ix), ty = (float)(y[cx] - iy);
            const float(*top)[PF_LIGHT_KINDS] = &room->frame[iy][ix];
            const float(*bottom)[PF_LIGHT_KINDS] = &room->frame[iy + 1][ix];
            float other[PF_LIGHT_KINDS];
            for (int kind = 0; kind < PF_LIGHT_KINDS; kind++)
                other[kind] = (1 - ty) * ((1 - tx) * top[0][kind] + tx * top[1][kind]) +
                              ty * ((1 - tx) * bottom[0][kind] + tx * bottom[1][kind]);
            struct pair *pair = &room->pairs[count];
            memcpy(pair->reference, own[cx], sizeof(pair->reference));
            memcpy(pair->frame, other, sizeof(pair->frame));
            count += !(flags & NEAR_DARK) || is_lit(pair);
        }
    }
    return count;
}

/* Around which ratios lie, and between which ones they do not stand out. */
struct middle {
    double deviation; /* of their logarithms: that as many have as of a normal distribution */
    double least, most;
};

/* Of `ratios`, weighed; overwrites `spare`, which is as long. */
static struct middle middle_of(const struct pf_weighted *ratios, int count,
                               struct pf_weighted *spare)
{
    memcpy(spare, ratios, (size_t)count * sizeof(*ratios));
    double middle = pf_weighted_median(spare, count);
    /* As far away in logarithms is what has the same ratio to the middle one, or the middle one to it. */
    for (int i = 0; i < count; i++) {
        double ratio = ratios[i].value;
        spare[i].value = (ratio > middle ? ratio : middle) / (ratio < middle ? ratio : middle);
        spare[i].weight = ratios[i].weight;
    }
    double deviation = 1.4826 * log(pf_weighted_median(spare, count));
    double bound = exp(MOST_DEVIATIONS * deviation + 1e-6);
    return (struct middle){deviation, middle / bound, middle * bound};
}

static inline bool is_within(const struct middle *middle, double ratio)
{
    return (ratio >= middle->least) & (ratio <= middle->most);
}

/* Ratio of the light of all pairs, but those that stand out; in logarithms. */
static double ratio_of(const struct pair *pairs, int count, struct pf_weighted *ratios,
                       struct pf_weighted *spare)
{
    for (int i = 0; i < count; i++)
        ratios[i] = (struct pf_weighted){(double)(pairs[i].reference[0] / pairs[i].frame[0]),
                                         pairs[i].reference[0], 0};
    struct middle middle = middle_of(ratios, count, spare);
    double reference = 0, frame = 0;
    for (int i = 0; i < count; i++) {
        bool within = is_within(&middle, ratios[i].value);
        reference += within ? (double)pairs[i].reference[0] : 0;
        frame += within ? (double)pairs[i].frame[0] : 0;
    }
    return frame > 0 ? log(reference / frame) : 0;
}

/* Logarithm of a channel's ratio beside that of green, and its standard error. */
static double beside_green(const struct pair *pairs, int count, int kind,
                           struct pf_weighted *ratios, struct pf_weighted *spare, double *ret_error)
{
    for (int i = 0; i < count; i++) {
        const float *reference = pairs[i].reference, *frame = pairs[i].frame;
        ratios[i].value = (double)reference[kind] * (double)frame[PF_LIGHT_GREEN] /
                          ((double)frame[kind] * (double)reference[PF_LIGHT_GREEN]);
        ratios[i].weight = (double)(reference[kind] < frame[kind] ? reference[kind] : frame[kind]);
    }
    struct middle middle = middle_of(ratios, count, spare);
    double sum = 0, weight = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        if (!is_within(&middle, ratios[i].value))
            continue;
        double own = (double)ratios[i].weight;
        sum += own * log(ratios[i].value);
        weight += own;
        squares += own * own;
    }
    *ret_error = weight > 0 ? middle.deviation * sqrt(squares) / weight : INFINITY;
    return weight > 0 ? sum / weight : 0;
}

int pf_light_compare(const struct pf_light_grid *reference, const struct pf_light_grid *frame,
                     const double h[9], int width, int height, bool colours,
                     struct pf_light_match *ret, struct pf_error *err)
{
    *ret = (struct pf_light_match){1, {1, 1, 1}};
    struct room *room = malloc(sizeof(*room));
    if (!room)
        return pf_fail(err, ENOMEM, "out of memory for the comparison of light");
    flags_of(room->reference_flags, reference, colours, 1);
    flags_of(room->frame_flags, frame, colours, 2);
    for (int y = 0; y < PF_LIGHT_GRID; y++)
        row_of(room->frame[y], frame, y, colours);
    int count = pairs_of(room, reference, h, width, height, colours, false);
    if (count < LEAST_CELLS)
        count = pairs_of(room, reference, h, width, height, colours, true);
    if (count)
        ret->gain = exp(ratio_of(room->pairs, count, room->ratios, room->spare) / PF_LIGHT_GAMMA);
    if (count && colours) {
        double drift[3] = {0}, most = 0;
        for (int c = 0; c < 3; c += 2) {
            double error;
            drift[c] = beside_green(room->pairs, count, PF_LIGHT_RED + c, room->ratios, room->spare,
                                    &error) /
                       PF_LIGHT_GAMMA;
            most = fmax(most, fabs(drift[c]) /
                                  fmax(CERTAIN_ERRORS * error / PF_LIGHT_GAMMA, LEAST_DRIFT));
        }
        /* From nothing at the bound of what is certain to all of it at twice that: no step. */
        double share = fmin(fmax(most - 1, 0), 1);
        double mean = share * (0.299 * drift[0] + 0.114 * drift[2]);
        for (int c = 0; c < 3 && share > 0; c++)
            ret->balance[c] = exp(share * drift[c] - mean);
    }
    free(room);
    return 0;
}

void pf_light_matrix(const struct pf_light_match *match, double m[9])
{
    static const double to_rgb[9] = {1, 0, 1.402, 1, -0.344136, -0.714136, 1, 1.772, 0};
    static const double weight[3] = {0.299, 0.587, 0.114};
    for (int column = 0; column < 3; column++) {
        double rgb[3], luma = 0;
        for (int c = 0; c < 3; c++) {
            rgb[c] = match->gain * match->balance[c] * to_rgb[3 * c + column];
            luma += weight[c] * rgb[c];
        }
        m[column] = luma;
        m[3 + column] = (rgb[2] - luma) / 1.772;
        m[6 + column] = (rgb[0] - luma) / 1.402;
    }
    bool neutral = match->balance[0] == match->balance[1] && match->balance[1] == match->balance[2];
    for (int i = 0; i < 9 && neutral; i++)
        m[i] = i % 4 ? 0 : match->gain * match->balance[0];
}
