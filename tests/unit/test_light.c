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

static int by_value(const void *a, const void *b)
{
    double x = ((const struct pf_weighted *)a)->value, y = ((const struct pf_weighted *)b)->value;
    return x < y ? -1 : x > y;
}

TEST(a_weighted_median_is_that_of_the_sorted_samples)
{
    static struct pf_weighted samples[500], sorted[500];
    struct pf_gen_random random = {7};
    CHECK_NEAR(pf_weighted_median(samples, 0), 0, 0);
    for (int round = 0; round < 2000; round++) {
        int count = 1 + (int)pf_gen_uniform(&random, 0, round % 4 ? 20 : 499),
            kinds = 1 + round % 9;
        /* Sums of whole numbers are exact in any order; many values are alike, many weigh nothing. */
        for (int i = 0; i < count; i++) {
            double value = pf_gen_uniform(&random, -1, 1);
            samples[i].value = kinds < 8 ? floor(kinds * value) : value;
            samples[i].weight = floor(pf_gen_uniform(&random, round % 3 ? 0 : -40, 8));
            samples[i].weight = samples[i].weight > 0 ? samples[i].weight : 0;
        }
        memcpy(sorted, samples, sizeof(sorted));
        qsort(sorted, (size_t)count, sizeof(*sorted), by_value);
        double half = 0, sum = 0, expected = 0;
        for (int i = 0; i < count; i++)
            half += 0.5 * sorted[i].weight;
        for (int i = 0; i < count; i++) {
            sum += sorted[i].weight;
            expected = sorted[i].value;
            if (sum >= half)
                break;
        }
        CHECK_NEAR(pf_weighted_median(samples, count), expected, 0);
    }
}
