/* Gain and white balance between two frames: what is there is found, and nothing else. */
#include <math.h>

#include "process/homography.h"
#include "process/light.h"
#include "process/median.h"
#include "tests/gen/noise.h"
#include "tests/unit/test.h"

enum { WIDTH = 640, HEIGHT = 480 };

/* A picture of many colours, times the factors given (encoded values), with noise of its own. */
static struct pf_light_grid grid(const double factor[3], uint64_t seed)
{
    struct pf_gen_random colours = {42}, noise = {seed};
    struct pf_light_grid grid;
    memset(&grid, 0, sizeof(grid));
    for (int y = 0; y < PF_LIGHT_GRID; y++) {
        for (int x = 0; x < PF_LIGHT_GRID; x++) {
            double luma = 0;
            for (int c = 0; c < 3; c++) {
                double light = pf_gen_uniform(&colours, 0.05, 0.5) * pow(factor[c], 2.2) *
                               (1 + 0.02 * pf_gen_normal(&noise));
                grid.cell[PF_LIGHT_RED + c][y][x] = (float)light;
                luma += (c == 0 ? 0.299 : c == 1 ? 0.587 : 0.114) * light;
            }
            grid.cell[PF_LIGHT_LUMA][y][x] = (float)luma;
        }
    }
    return grid;
}

static struct pf_light_match match_of(const struct pf_light_grid *reference,
                                      const struct pf_light_grid *frame)
{
    double h[9];
    struct pf_light_match match;
    struct pf_error err = {0};
    pf_homography_identity(h);
    CHECK_OK(pf_light_compare(reference, frame, h, WIDTH, HEIGHT, true, &match, &err), &err);
    return match;
}

static const double same[3] = {1, 1, 1};

TEST(a_drift_of_white_balance_is_found_beside_the_gain)
{
    struct pf_light_grid reference = grid(same, 1);
    struct pf_light_grid frame = grid((double[3]){0.9 * 1.05, 0.9, 0.9 * 0.97}, 2);
    struct pf_light_match match = match_of(&reference, &frame);
    CHECK_NEAR(match.balance[0] / match.balance[1], 1 / 1.05, 0.002);
    CHECK_NEAR(match.balance[2] / match.balance[1], 1 / 0.97, 0.002);
    CHECK_NEAR(match.gain * match.balance[1], 1 / 0.9, 0.004);
}

TEST(noise_alone_gives_no_cast)
{
    for (uint64_t seed = 2; seed < 30; seed++) {
        struct pf_light_grid reference = grid(same, 1), frame = grid(same, seed);
        struct pf_light_match match = match_of(&reference, &frame);
        for (int c = 0; c < 3; c++)
            if (match.balance[c] != 1)
                FAIL("seed %d: %.5f", (int)seed, match.balance[c]);
        CHECK_NEAR(match.gain, 1, 0.002);
    }
}

TEST(light_that_highlights_spill_is_no_gain)
{
    struct pf_light_grid reference = grid(same, 1), frame = grid(same, 2);
    /* A fifth of the picture is lit by what a defocused highlight in it has spread. */
    for (int y = 8; y < 36; y++) {
        for (int x = 10; x < 40; x++) {
            frame.clipped[y][x] = x % 3 == 0 && y % 3 == 0;
            for (int kind = 0; kind < PF_LIGHT_KINDS; kind++)
                frame.cell[kind][y][x] *= 1.9f;
        }
    }
    struct pf_light_match match = match_of(&reference, &frame);
    CHECK_NEAR(match.gain, 1, 0.002);
    CHECK_NEAR(match.balance[0], 1, 0);
    /* Where all is clipped, all is compared. */
    memset(frame.clipped, 1, sizeof(frame.clipped));
    for (int kind = 0; kind < PF_LIGHT_KINDS; kind++)
        for (int i = 0; i < PF_LIGHT_GRID * PF_LIGHT_GRID; i++)
            frame.cell[kind][i / PF_LIGHT_GRID][i % PF_LIGHT_GRID] =
                0.8f * reference.cell[kind][i / PF_LIGHT_GRID][i % PF_LIGHT_GRID];
    match = match_of(&reference, &frame);
    CHECK_NEAR(match.gain, pow(1 / 0.8, 1 / 2.2), 0.002);
}

TEST(black_and_disjoint_pictures_have_no_gain)
{
    struct pf_light_grid reference = grid(same, 1), black;
    memset(&black, 0, sizeof(black));
    CHECK_NEAR(match_of(&reference, &black).gain, 1, 0);
    CHECK_NEAR(match_of(&black, &reference).gain, 1, 0);
    double away[9] = {1, 0, 1e9, 0, 1, 0, 0, 0, 1};
    struct pf_light_match match;
    struct pf_error err = {0};
    CHECK_OK(pf_light_compare(&reference, &reference, away, WIDTH, HEIGHT, true, &match, &err),
             &err);
    CHECK_NEAR(match.gain, 1, 0);
}

TEST(the_matrix_scales_each_channel_and_nothing_else)
{
    struct pf_light_match match = {1.1, {1.04, 1, 0.95}};
    double m[9];
    pf_light_matrix(&match, m);
    struct pf_gen_random random = {7};
    for (int i = 0; i < 50; i++) {
        double rgb[3], in[3], out[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = pf_gen_uniform(&random, 0, 255);
        in[0] = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        in[1] = (rgb[2] - in[0]) / 1.772;
        in[2] = (rgb[0] - in[0]) / 1.402;
        for (int k = 0; k < 3; k++)
            out[k] = m[3 * k] * in[0] + m[3 * k + 1] * in[1] + m[3 * k + 2] * in[2];
        CHECK_NEAR(out[0] + 1.402 * out[2], 1.1 * 1.04 * rgb[0], 1e-3);
        CHECK_NEAR(out[0] - 0.344136 * out[1] - 0.714136 * out[2], 1.1 * rgb[1], 1e-3);
        CHECK_NEAR(out[0] + 1.772 * out[1], 1.1 * 0.95 * rgb[2], 1e-3);
    }
    /* Without drift every plane is its own alone, to the last bit. */
    pf_light_matrix(&(struct pf_light_match){1.1, {1, 1, 1}}, m);
    for (int i = 0; i < 9; i++)
        CHECK(m[i] == (i % 4 ? 0 : 1.1));
}

/* A halved and a full 16-bit picture of one colour give the same grid. */
TEST(colours_are_seen_at_any_depth_and_subsampling)
{
    static const float wanted[3] = {0.4f, 0.2f, 0.1f}; /* encoded */
    for (int run = 0; run < 2; run++) {
        struct pf_image *image = NULL;
        struct pf_error err = {0};
        int bits = run ? 16 : 8, white = run ? 65535 : 255, middle = run ? 32768 : 128;
        CHECK_OK(pf_image_new(&image, 131, 77, bits, 3, !run, !run, &err), &err);
        float luma = 0.299f * wanted[0] + 0.587f * wanted[1] + 0.114f * wanted[2];
        float code[3] = {luma * (float)white,
                         (float)middle + (float)white * (wanted[2] - luma) / 1.772f,
                         (float)middle + (float)white * (wanted[0] - luma) / 1.402f};
        for (int p = 0; p < 3; p++) {
            for (int y = 0; y < pf_image_plane_height(image, p); y++) {
                char *row = (char *)image->plane[p] + (size_t)y * image->stride_bytes[p];
                for (int x = 0; x < pf_image_plane_width(image, p); x++) {
                    if (run)
                        ((uint16_t *)row)[x] = (uint16_t)lrintf(code[p]);
                    else
                        ((uint8_t *)row)[x] = (uint8_t)lrintf(code[p]);
                }
            }
        }
        struct pf_light_grid grid;
        memset(&grid, 0, sizeof(grid));
        pf_light_see(&grid, image);
        for (int c = 0; c < 3; c++) {
            double light = pow(((double)wanted[c] + 0.055) / 1.055, 2.4);
            CHECK_NEAR(grid.cell[PF_LIGHT_RED + c][0][0], light, 0.004);
            CHECK_NEAR(grid.cell[PF_LIGHT_RED + c][63][63], light, 0.004);
            CHECK(!grid.clipped[31][31]);
        }
        pf_image_free(image);
    }
}

/* --- beside plain ways to do the same --- */

static int by_value(const void *a, const void *b)
{
    double x = ((const struct pf_weighted *)a)->value, y = ((const struct pf_weighted *)b)->value;
    return x < y ? -1 : x > y;
}

/* Sorts. */
static double plain_median(struct pf_weighted *samples, int count)
{
    double half = 0, sum = 0, value = 0;
    qsort(samples, (size_t)count, sizeof(*samples), by_value);
    for (int i = 0; i < count; i++)
        half += 0.5 * (double)samples[i].weight;
    for (int i = 0; i < count; i++) {
        sum += (double)samples[i].weight;
        value = samples[i].value;
        if (sum >= half)
            break;
    }
    return value;
}

enum { MOST_SAMPLES = 500 };

static void check_median(const struct pf_weighted *samples, int count, const char *what)
{
    static struct pf_weighted sorted[MOST_SAMPLES], selected[MOST_SAMPLES];
    memcpy(sorted, samples, sizeof(sorted));
    memcpy(selected, samples, sizeof(selected));
    double expected = plain_median(sorted, count), found = pf_weighted_median(selected, count);
    if (!(found == expected))
        FAIL("%s, %d samples: %.17g, not %.17g", what, count, found, expected);
}

TEST(a_weighted_median_is_that_of_the_sorted_samples)
{
    static struct pf_weighted samples[MOST_SAMPLES];
    struct pf_gen_random random = {7};
    CHECK_NEAR(pf_weighted_median(samples, 0), 0, 0);
    for (int round = 0; round < 2000; round++) {
        int count = 1 + (int)pf_gen_uniform(&random, 0, round % 4 ? 20 : MOST_SAMPLES - 1),
            kinds = 1 + round % 9;
        /* Sums of whole numbers are exact in any order; many values are alike, many weigh nothing. */
        for (int i = 0; i < count; i++) {
            double value = pf_gen_uniform(&random, 0, 2),
                   weight = floor(pf_gen_uniform(&random, round % 3 ? 0 : -40, 8));
            samples[i].value = kinds < 8 ? floor(kinds * value) : value;
            samples[i].weight = weight > 0 ? (float)weight : 0;
        }
        check_median(samples, count, "at random");
    }
}

/* Values that the buckets of a selection are not made for. */
static double hostile(int kind, int i, int count, struct pf_gen_random *random)
{
    switch (kind) {
    case 0: /* sorted, reversed */
        return i;
    case 1:
        return count - i;
    case 2: /* all the numbers' range, a few in each bucket of each round */
        return ldexp(1, i * 4 % 2098 - 1074);
    case 3: /* next to one another, with one far away */
        return i ? 1 + ldexp(i % 7, -52) : 1e300;
    case 4: /* one far below the others */
        return i ? 1 + i : 4.9e-324;
    case 5:
        return i % 3 == 0 ? INFINITY : i % 3 == 1 ? 0 : 1;
    case 6:
        return i % 2 ? INFINITY : 1.7976931348623157e308;
    case 7: /* each round leaves one value less */
        return 1 + ldexp(1, -(i % 52));
    case 8:
        return 0;
    case 9:
        return INFINITY;
    default:
        return exp(pf_gen_uniform(random, -700, 700));
    }
}

TEST(a_weighted_median_is_found_among_hostile_values)
{
    static struct pf_weighted samples[MOST_SAMPLES];
    enum { COUNTS = 5 };
    static const int counts[COUNTS] = {1, 2, 3, 64, MOST_SAMPLES};
    struct pf_gen_random random = {9};
    for (int kind = 0; kind < 11; kind++) {
        for (int round = 0; round < 6 * COUNTS; round++) {
            int count = counts[round % COUNTS], weights = round / COUNTS;
            for (int i = 0; i < count; i++) {
                samples[i].value = hostile(kind, i, count, &random);
                samples[i].weight = weights == 0   ? 1
                                    : weights == 1 ? 0
                                    : weights == 2
                                        ? (float)(i == count - 1) /* all of it at an end */
                                    : weights == 3 ? (float)(i == 0)
                                    : weights == 4 ? (float)(i % 2)
                                                   : (i % 2 ? 0x1p-17f : 1);
            }
            char what[40];
            snprintf(what, sizeof(what), "values %d, weights %d", kind, weights);
            check_median(samples, count, what);
        }
    }
}

enum { PLAIN_CELLS = PF_LIGHT_GRID * PF_LIGHT_GRID };

/* A cell that both show, of its kinds of light. */
struct plain_pair {
    double reference[PF_LIGHT_KINDS], frame[PF_LIGHT_KINDS];
};

static bool plain_clipped(const struct pf_light_grid *grid, int left, int right, int top,
                          int bottom)
{
    for (int y = top - 1; y <= bottom + 1; y++)
        for (int x = left - 1; x <= right + 1; x++)
            if (x >= 0 && y >= 0 && x < PF_LIGHT_GRID && y < PF_LIGHT_GRID && grid->clipped[y][x])
                return true;
    return false;
}

static int plain_pairs(const struct pf_light_grid *reference, const struct pf_light_grid *frame,
                       const double h[9], int kinds, bool clipped, struct plain_pair *pairs)
{
    double width = (double)WIDTH / PF_LIGHT_GRID, height = (double)HEIGHT / PF_LIGHT_GRID;
    int count = 0;
    for (int i = 0; i < PLAIN_CELLS; i++) {
        int cx = i % PF_LIGHT_GRID, cy = i / PF_LIGHT_GRID;
        double x, y;
        pf_homography_apply(h, (cx + 0.5) * width - 0.5, (cy + 0.5) * height - 0.5, &x, &y);
        x = (x + 0.5) / width - 0.5;
        y = (y + 0.5) / height - 0.5;
        int left = (int)floor(fmin(fmax(x, -1), 64)), top = (int)floor(fmin(fmax(y, -1), 64));
        if (left < 0 || top < 0 || left > PF_LIGHT_GRID - 2 || top > PF_LIGHT_GRID - 2)
            continue;
        if (!clipped && (plain_clipped(reference, cx, cx, cy, cy) ||
                         plain_clipped(frame, left, left + 1, top, top + 1)))
            continue;
        bool lit = true;
        float tx = (float)(x - left), ty = (float)(y - top);
        for (int kind = 0; kind < kinds; kind++) {
            const float(*cell)[PF_LIGHT_GRID] = &frame->cell[kind][top];
            float own = reference->cell[kind][cy][cx];
            float other = (1 - ty) * ((1 - tx) * cell[0][left] + tx * cell[0][left + 1]) +
                          ty * ((1 - tx) * cell[1][left] + tx * cell[1][left + 1]);
            pairs[count].reference[kind] = (double)own;
            pairs[count].frame[kind] = (double)other;
            lit = lit && own > 1e-5f && other > 1e-5f;
        }
        count += lit;
    }
    return count;
}

/* The logarithm of a channel's ratio, beside green unless it is luma; how certain it is. */
static double plain_ratio(const struct plain_pair *pairs, int count, int kind, double *ret_error)
{
    static struct pf_weighted samples[PLAIN_CELLS], away[PLAIN_CELLS];
    static double logs[PLAIN_CELLS];
    for (int i = 0; i < count; i++) {
        double own = pairs[i].reference[kind] / pairs[i].frame[kind];
        double green = pairs[i].reference[PF_LIGHT_GREEN] / pairs[i].frame[PF_LIGHT_GREEN];
        logs[i] = kind == PF_LIGHT_LUMA ? log((double)(float)own) : log(own / green);
        samples[i].value = logs[i];
        samples[i].weight =
            (float)(kind == PF_LIGHT_LUMA ? pairs[i].reference[kind]
                                          : fmin(pairs[i].reference[kind], pairs[i].frame[kind]));
        away[i] = samples[i];
    }
    double middle = plain_median(samples, count);
    for (int i = 0; i < count; i++)
        samples[i] = (struct pf_weighted){fabs(logs[i] - middle), away[i].weight, 0};
    double deviation = 1.4826 * plain_median(samples, count);
    double sum = 0, weight = 0, squares = 0, reference = 0, frame = 0;
    for (int i = 0; i < count; i++) {
        if (fabs(logs[i] - middle) > 3 * deviation + 1e-6)
            continue;
        double own = (double)away[i].weight;
        sum += own * logs[i];
        weight += own;
        squares += own * own;
        reference += pairs[i].reference[kind];
        frame += pairs[i].frame[kind];
    }
    *ret_error = deviation * sqrt(squares) / weight;
    return kind == PF_LIGHT_LUMA ? log(reference / frame) : sum / weight;
}

static struct pf_light_match plain_match(const struct pf_light_grid *reference,
                                         const struct pf_light_grid *frame, const double h[9],
                                         bool colours)
{
    static struct plain_pair pairs[PLAIN_CELLS];
    struct pf_light_match match = {1, {1, 1, 1}};
    int kinds = colours ? PF_LIGHT_KINDS : 1;
    int count = plain_pairs(reference, frame, h, kinds, false, pairs);
    if (count < 64)
        count = plain_pairs(reference, frame, h, kinds, true, pairs);
    if (!count)
        return match;
    double drift[3] = {0}, error, most = 0;
    match.gain = exp(plain_ratio(pairs, count, PF_LIGHT_LUMA, &error) / PF_LIGHT_GAMMA);
    for (int c = 0; c < 3 && colours; c += 2) {
        drift[c] = plain_ratio(pairs, count, PF_LIGHT_RED + c, &error) / PF_LIGHT_GAMMA;
        most = fmax(most, fabs(drift[c]) / fmax(4 * error / PF_LIGHT_GAMMA, 0.003));
    }
    double share = fmin(fmax(most - 1, 0), 1);
    double mean = share * (0.299 * drift[0] + 0.114 * drift[2]);
    for (int c = 0; c < 3; c++)
        match.balance[c] = exp(share * drift[c] - mean);
    return match;
}

TEST(a_comparison_is_that_of_plain_code)
{
    struct pf_gen_random random = {11};
    int between = 0;
    for (int round = 0; round < 60; round++) {
        double factor[3] = {pf_gen_uniform(&random, 0.98, 1.02), 1,
                            pf_gen_uniform(&random, 0.98, 1.02)};
        struct pf_light_grid reference = grid(same, 1), frame = grid(factor, 2 + (uint64_t)round);
        /* From nothing to nearly all of either clipped, and dark cells, at edges as well. */
        int spots = round % 6 == 5 ? 3000 : round % 6 * 12;
        for (int i = 0; i < spots; i++) {
            struct pf_light_grid *picture = i % 2 ? &reference : &frame;
            int x = (int)pf_gen_uniform(&random, 0, 63.99),
                y = (int)pf_gen_uniform(&random, 0, 63.99);
            picture->clipped[y][x] = true;
            if (round % 4 == 0)
                picture->cell[i / 2 % PF_LIGHT_KINDS][63 - y][x] =
                    (float)pf_gen_uniform(&random, 0, 4e-5);
        }
        double h[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
        for (int i = 0; i < 8 && round % 5; i++)
            h[i] += pf_gen_uniform(&random, -1, 1) * (i % 3 == 2 ? 40 : i < 6 ? 0.03 : 1e-5);
        struct pf_light_match match, plain;
        struct pf_error err = {0};
        bool colours = round % 3 > 0;
        CHECK_OK(pf_light_compare(&reference, &frame, h, WIDTH, HEIGHT, colours, &match, &err),
                 &err);
        plain = plain_match(&reference, &frame, h, colours);
        CHECK_NEAR(match.gain, plain.gain, 1e-12);
        for (int c = 0; c < 3; c++)
            CHECK_NEAR(match.balance[c], plain.balance[c], 1e-12);
        between += match.balance[0] != 1;
    }
    CHECK(between > 10);
}
