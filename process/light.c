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

/* A cell that both pictures show: light of the reference and of the frame. */
struct pair {
    float reference[PF_LIGHT_KINDS], frame[PF_LIGHT_KINDS];
};

/* The samples' middle, and the deviation that as many of them have as of a normal distribution;
 * reorders `spare`, which is as long. */
static double middle_of(const struct pf_weighted *samples, int count, struct pf_weighted *spare,
                        double *ret_deviation)
{
    memcpy(spare, samples, (size_t)count * sizeof(*samples));
    double middle = pf_weighted_median(spare, count);
    for (int i = 0; i < count; i++)
        spare[i] = (struct pf_weighted){fabs(samples[i].value - middle), samples[i].weight};
    *ret_deviation = 1.4826 * pf_weighted_median(spare, count);
    return middle;
}

static bool clipped_near(const struct pf_light_grid *grid, int cx, int cy, int right, int bottom)
{
    bool any = false;
    for (int y = cy - 1; y <= bottom + 1; y++)
        for (int x = cx - 1; x <= right + 1; x++)
            any = any || (x >= 0 && y >= 0 && x < PF_LIGHT_GRID && y < PF_LIGHT_GRID &&
                          grid->clipped[y][x]);
    return any;
}

/* The cells that both show; `clipped` allows those that have clipped neighbours. */
static int pairs_of(const struct pf_light_grid *reference, const struct pf_light_grid *frame,
                    const double h[9], int width, int height, int kinds, bool clipped,
                    struct pair pairs[CELLS])
{
    double cell_width = (double)width / PF_LIGHT_GRID, cell_height = (double)height / PF_LIGHT_GRID;
    int count = 0;
    for (int i = 0; i < CELLS; i++) {
        int cx = i % PF_LIGHT_GRID, cy = i / PF_LIGHT_GRID;
        double x, y;
        pf_homography_apply(h, (cx + 0.5) * cell_width - 0.5, (cy + 0.5) * cell_height - 0.5, &x,
                            &y);
        x = (x + 0.5) / cell_width - 0.5;
        y = (y + 0.5) / cell_height - 0.5;
        int ix = (int)floor(fmin(fmax(x, -1), PF_LIGHT_GRID));
        int iy = (int)floor(fmin(fmax(y, -1), PF_LIGHT_GRID));
        if (ix < 0 || iy < 0 || ix + 1 >= PF_LIGHT_GRID || iy + 1 >= PF_LIGHT_GRID)
            continue;
        if (!clipped && (clipped_near(reference, cx, cy, cx, cy) ||
                         clipped_near(frame, ix, iy, ix + 1, iy + 1)))
            continue;
        float tx = (float)(x - ix), ty = (float)(y - iy);
        struct pair *pair = &pairs[count];
        bool lit = true;
        for (int kind = 0; kind < kinds; kind++) {
            const float(*cell)[PF_LIGHT_GRID] = &frame->cell[kind][iy];
            pair->reference[kind] = reference->cell[kind][cy][cx];
            pair->frame[kind] = (1 - ty) * ((1 - tx) * cell[0][ix] + tx * cell[0][ix + 1]) +
                                ty * ((1 - tx) * cell[1][ix] + tx * cell[1][ix + 1]);
            lit = lit && pair->reference[kind] > 1e-5f && pair->frame[kind] > 1e-5f;
        }
        count += lit;
    }
    return count;
}

/* Ratio of the light of all pairs, but those that stand out. */
static double ratio_of(const struct pair *pairs, int count, struct pf_weighted *samples,
                       struct pf_weighted *spare)
{
    for (int i = 0; i < count; i++)
        samples[i] = (struct pf_weighted){log((double)(pairs[i].reference[0] / pairs[i].frame[0])),
                                          (double)pairs[i].reference[0]};
    double deviation, reference = 0, frame = 0;
    double middle = middle_of(samples, count, spare, &deviation);
    for (int i = 0; i < count; i++) {
        if (fabs(samples[i].value - middle) > MOST_DEVIATIONS * deviation + 1e-6)
            continue;
        reference += (double)pairs[i].reference[0];
        frame += (double)pairs[i].frame[0];
    }
    return frame > 0 ? log(reference / frame) : 0;
}

/* Logarithm of a channel's ratio beside that of green, and its standard error. */
static double beside_green(const struct pair *pairs, int count, int kind,
                           struct pf_weighted *samples, struct pf_weighted *spare,
                           double *ret_error)
{
    for (int i = 0; i < count; i++) {
        const struct pair *pair = &pairs[i];
        double green =
            (double)pair->reference[PF_LIGHT_GREEN] / (double)pair->frame[PF_LIGHT_GREEN];
        double own = (double)pair->reference[kind] / (double)pair->frame[kind];
        samples[i] = (struct pf_weighted){log(own / green),
                                          (double)fminf(pair->reference[kind], pair->frame[kind])};
    }
    double deviation, sum = 0, weight = 0, squares = 0;
    double middle = middle_of(samples, count, spare, &deviation);
    for (int i = 0; i < count; i++) {
        if (fabs(samples[i].value - middle) > MOST_DEVIATIONS * deviation + 1e-6)
            continue;
        sum += samples[i].weight * samples[i].value;
        weight += samples[i].weight;
        squares += samples[i].weight * samples[i].weight;
    }
    *ret_error = weight > 0 ? deviation * sqrt(squares) / weight : INFINITY;
    return weight > 0 ? sum / weight : 0;
}

int pf_light_compare(const struct pf_light_grid *reference, const struct pf_light_grid *frame,
                     const double h[9], int width, int height, bool colours,
                     struct pf_light_match *ret, struct pf_error *err)
{
    *ret = (struct pf_light_match){1, {1, 1, 1}};
    struct pair *pairs = malloc(CELLS * (sizeof(*pairs) + 2 * sizeof(struct pf_weighted)));
    if (!pairs)
        return pf_fail(err, ENOMEM, "out of memory for the comparison of light");
    struct pf_weighted *samples = (struct pf_weighted *)(pairs + CELLS), *spare = samples + CELLS;
    int kinds = colours ? PF_LIGHT_KINDS : 1;
    int count = pairs_of(reference, frame, h, width, height, kinds, false, pairs);
    if (count < LEAST_CELLS)
        count = pairs_of(reference, frame, h, width, height, kinds, true, pairs);
    if (count)
        ret->gain = exp(ratio_of(pairs, count, samples, spare) / PF_LIGHT_GAMMA);
    if (count && colours) {
        double drift[3] = {0}, most = 0;
        for (int c = 0; c < 3; c += 2) {
            double error;
            drift[c] = beside_green(pairs, count, PF_LIGHT_RED + c, samples, spare, &error) /
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
    free(pairs);
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
