/* Pixel kernels: each instruction set against plain formulas, at odd and tiny sizes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kernels.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

static int16_t random_sample(void)
{
    return (int16_t)(rand() % (PF_WHITE + 1));
}

TEST(kernels_have_a_plain_set)
{
    int set = 0;
    bool base = false;
    EACH_SET(kernels)
    base |= strcmp(kernels->name, "base") == 0;
    CHECK(base);
}

TEST(kernels_reduce_row)
{
    int set = 0;
    srand(1);
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        int16_t rows[5][WIDEST], out[WIDEST];
        int32_t scratch[WIDEST + 8];
        const int16_t *pointers[5];
        int w = (int)width, half = (w + 1) / 2;
        for (int k = 0; k < 5; k++) {
            pointers[k] = rows[k];
            for (int x = 0; x < w; x++)
                rows[k][x] = random_sample();
        }
        kernels->reduce_row(out, half, pointers, w, scratch);
        static const int taps[5] = {1, 4, 6, 4, 1};
        for (int x = 0; x < half; x++) {
            double sum = 0;
            for (int j = 0; j < 5; j++)
                for (int i = 0; i < 5; i++)
                    sum += taps[j] * taps[i] * rows[j][at(2 * x - 2 + i, w)];
            CHECK(fabs(sum / 256 - out[x]) <= 0.5);
        }
    }
}

TEST(kernels_expand_row)
{
    int set = 0;
    srand(2);
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        int16_t rows[3][WIDEST];
        int32_t out[WIDEST], scratch[WIDEST + 8];
        const int16_t *pointers[3] = {rows[0], rows[1], rows[2]};
        int w = (int)width, coarse = (w + 1) / 2;
        for (int k = 0; k < 3; k++)
            for (int x = 0; x < coarse; x++)
                rows[k][x] = random_sample();
        for (int odd = 0; odd < 2; odd++) {
            kernels->expand_row(out, w, pointers, coarse, odd, scratch);
            for (int x = 0; x < w; x++) {
                double column[3];
                for (int i = 0; i < 3; i++) {
                    int c = at(x / 2 - 1 + i, coarse);
                    column[i] = odd ? 4.0 * (rows[1][c] + rows[2][c])
                                    : rows[0][c] + 6.0 * rows[1][c] + rows[2][c];
                }
                double expected =
                    x & 1 ? 4 * (column[1] + column[2]) : column[0] + 6 * column[1] + column[2];
                CHECK_EQ(out[x], (int32_t)expected);
            }
        }
    }
}

TEST(kernels_expand_keeps_an_even_picture)
{
    int set = 0;
    EACH_SET(kernels)
    {
        int16_t row[WIDEST];
        int32_t out[WIDEST], scratch[WIDEST + 8];
        for (int x = 0; x < WIDEST; x++)
            row[x] = 12345;
        const int16_t *rows[3] = {row, row, row};
        kernels->expand_row(out, WIDEST, rows, (WIDEST + 1) / 2, false, scratch);
        for (int x = 0; x < WIDEST; x++)
            CHECK_EQ(out[x], 12345 * 64);
    }
}

TEST(kernels_blend_and_collapse)
{
    int set = 0;
    srand(3);
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        int16_t average[WIDEST], fine[WIDEST], before[WIDEST], collapsed[WIDEST];
        int32_t expanded[WIDEST];
        float alpha[WIDEST];
        int w = (int)width;
        for (int x = 0; x < w; x++) {
            before[x] = average[x] = (int16_t)(random_sample() - PF_WHITE / 2);
            fine[x] = random_sample();
            expanded[x] = 64 * random_sample();
            alpha[x] = (float)rand() / (float)RAND_MAX;
        }
        kernels->blend_laplacian_row(average, fine, expanded, alpha, w);
        kernels->collapse_row(collapsed, before, expanded, w, 0, PF_WHITE);
        for (int x = 0; x < w; x++) {
            double detail = fine[x] - expanded[x] / 64.0;
            CHECK(fabs(before[x] + (double)alpha[x] * (detail - before[x]) - average[x]) <= 0.52);
            int value = before[x] + expanded[x] / 64;
            CHECK_EQ(collapsed[x], value < 0 ? 0 : value > PF_WHITE ? PF_WHITE : value);
        }
    }
}

TEST(kernels_modified_laplacian)
{
    int set = 0;
    srand(4);
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        int16_t rows[4][WIDEST];
        const int16_t *pointers[4] = {rows[0], rows[1], rows[2], rows[3]};
        float out[WIDEST];
        int w = (int)width, cells = (w + 1) / 2;
        for (int k = 0; k < 4; k++)
            for (int x = 0; x < w; x++)
                rows[k][x] = random_sample();
        kernels->modified_laplacian_row(out, cells, pointers, w);
        for (int i = 0; i < cells; i++) {
            double sum = 0;
            for (int k = 0; k < 4; k++) {
                int x = at(2 * i + (k & 1), w), y = 1 + (k >> 1);
                sum += abs(2 * rows[y][x] - rows[y][at(x - 1, w)] - rows[y][at(x + 1, w)]) +
                       abs(2 * rows[y][x] - rows[y - 1][x] - rows[y + 1][x]);
            }
            CHECK(fabs(sum / (4 * PF_GREY) - (double)out[i]) < 1e-3);
        }
    }
}

TEST(kernels_evidence_and_softmax)
{
    int set = 0;
    srand(5);
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        float energy[WIDEST], total[WIDEST];
        double expected_total[WIDEST];
        int w = (int)width;
        for (int x = 0; x < w; x++) {
            total[x] = -1e30f;
            expected_total[x] = 0;
        }
        /* Weights over 60 powers of two: the shares must be those of a sum in double. */
        for (int frame = 0; frame < 6; frame++) {
            double weight[WIDEST];
            for (int x = 0; x < w; x++) {
                energy[x] = (float)(rand() % 1000) * 0.01f;
                double e =
                    log2(pow(fmax(pow((double)energy[x], 4) - 16, 0) + pow(1.5, 4), 0.25) + 0.25);
                weight[x] = exp2(6 * 1.5 * e - frame);
            }
            kernels->evidence_row(energy, w, 2, 1.5f, 0.25f, 1.5f);
            kernels->softmax_row(energy, total, w, 6, (float)frame, NULL);
            for (int x = 0; x < w; x++) {
                expected_total[x] += weight[x];
                CHECK(fabs(weight[x] / expected_total[x] - (double)energy[x]) < 2e-4);
                CHECK(fabs(log2(expected_total[x]) - (double)total[x]) < 1e-3);
            }
        }
    }
}

/* A grid that grows evenly stays one when it is laid over a finer grid or made coarser. */
TEST(kernels_grids_are_laid_over_one_another)
{
    int set = 0;
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        int w = (int)width, coarse = (w + 1) / 2;
        float near_row[WIDEST], far_row[WIDEST], sum[WIDEST], halved[WIDEST];
        for (int x = 0; x < coarse; x++) {
            near_row[x] = (float)x;
            far_row[x] = (float)x + 8;
            halved[x] = 5;
        }
        for (int x = 0; x < w; x++)
            sum[x] = 1;
        kernels->gather_row(sum, w, near_row, far_row, 0.25f, 0.5f, coarse);
        for (int x = 0; x < w; x++) {
            double u = x / 2.0 - 0.125;
            u = u < 0 ? 0 : u > coarse - 1 ? coarse - 1 : u;
            CHECK(fabs(1 + 0.5 * (u + 2) - (double)sum[x]) < 1e-4);
        }
        for (int x = 0; x < w; x++)
            sum[x] = (float)x;
        kernels->add_halved_row(halved, coarse, sum, sum, w);
        for (int x = 0; x < coarse; x++)
            CHECK(fabs(5 + (2 * x + 1 < w ? 2 * x + 0.5 : 2.0 * x) - (double)halved[x]) < 1e-4);
    }
}

TEST(spill_counts_contrast_relative_to_the_brightness_around)
{
    static const int some[] = {1, 2, 3, 17, 64, 129};
    for (int set = 0; pf_kernels(set); set++) {
        for (size_t k = 0; k < sizeof(some) / sizeof(*some); k++) {
            int width = some[k];
            int16_t samples[3][130];
            float energy[130], cell[130];
            for (int y = 0; y < 3; y++)
                for (int x = 0; x < width; x++)
                    samples[y][x] = (int16_t)(rand() % PF_WHITE - 200);
            for (int x = 0; x < width; x++)
                energy[x] = cell[x] = (float)x;
            const int16_t *around[3] = {samples[0], samples[1], samples[2]};
            float glare[130];
            pf_kernels(set)->spill_row(energy, around, width, 1.5f);
            pf_kernels(set)->glare_row(glare, samples[1], width, 3);
            pf_kernels(set)->spill_finest_row(cell, samples[1], glare, width, 1.5f);
            for (int x = 0; x < width; x++) {
                double most = 0, own = fmax(samples[1][x], 0);
                for (int i = 0; i < 9; i++)
                    if (x + i % 3 - 1 >= 0 && x + i % 3 - 1 < width)
                        most = fmax(most, samples[i / 3][x + i % 3 - 1]);
                CHECK_NEAR(energy[x], x - 1.5 * log2((most / PF_GREY + 8) / 263), 1e-4);
                double white = own / PF_WHITE, clipped = (own / PF_GREY - 240) / 12;
                double shines = 0.0125229 * white + 0.6821711 * pow(white, 2) +
                                0.3053060 * pow(white, 3) + 8 * fmin(fmax(clipped, 0), 1);
                CHECK_NEAR(glare[x], 3 * shines, 1e-3);
                CHECK_NEAR(cell[x], x - 1.5 * log2((own / PF_GREY + 8) / 263 * (1 + 3 * shines)),
                           1e-3);
            }
        }
    }
}

TEST(lamps_are_what_is_clipped)
{
    for (int set = 0; pf_kernels(set); set++) {
        int16_t samples[97];
        int sum = 0;
        for (int x = 0; x < 97; x++) {
            samples[x] = (int16_t)((230 + rand() % 30) * PF_GREY);
            CHECK_EQ(pf_kernels(set)->lamp_sum(samples, x), sum);
            int over = samples[x] / PF_GREY - 240;
            sum += (over < 0 ? 0 : over > 12 ? 12 : over) * PF_GREY;
        }
    }
}

static double lanczos_at(double d)
{
    d = fabs(d);
    return d < 1e-9 ? 1
           : d >= 3 ? 0
                    : 3 * sin(M_PI * d) * sin(M_PI * d / 3) / (M_PI * M_PI * d * d);
}

static double bicubic_at(double d)
{
    d = fabs(d);
    return d < 1   ? 1.5 * d * d * d - 2.5 * d * d + 1
           : d < 2 ? -0.5 * d * d * d + 2.5 * d * d - 4 * d + 2
                   : 0;
}

/* Small motions take the fast way, large ones and borders the slow one: one formula for all. The fast
 * way's parabolas follow the pieces of cubic convolution, whose second derivative jumps, less well. */
static void check_warp(bool bicubic, double (*weight_at)(double d))
{
    static const struct {
        double h[9];
        double within; /* grey levels: a turned row is sampled in two passes, not in one */
    } maps[] = {
        {{1, 0, 0, 0, 1, 0, 0, 0, 1}, 0.03},
        {{1, 0, 0.5, 0, 1, -0.25, 0, 0, 1}, 0.03},
        {{1.013, 0, -3.3, 0, 1.013, 2.75, 0, 0, 1}, 0.1},
        {{0.985, 0, 0.5, 0, 0.985, 0.5, 0, 0, 1}, 0.1},
        {{1.08, 0, 0.5, 0, 0.91, 0.5, 0, 0, 1}, 0.2},
        {{1.003, 0.002, -3.3, -0.002, 1.003, 2.75, 0, 0, 1}, 0.5},
        {{1, 0.03, -3.3, -0.03, 1, 2.75, 0, 0, 1}, 3},
        {{0.94, -0.34, 20, 0.34, 0.94, -10, 0, 0, 1}, 0.03},
        {{1, 0.01, 1, 0.02, 1, 1, 1e-4, -2e-4, 1}, 2.5},
        {{1, 0, -400, 0, 1, 1000, 0, 0, 1}, 0.03},
    };
    enum { WIDTH = 150, HEIGHT = 60 };
    static uint8_t bytes[HEIGHT][WIDTH];
    static uint16_t words[HEIGHT][WIDTH];
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            words[y][x] = (uint16_t)(257 * (bytes[y][x] = (uint8_t)(255 * noise_at(1, x, y, 2))));
    int set = 0;
    EACH_SET(kernels)
    for (size_t m = 0; m < sizeof(maps) / sizeof(*maps); m++)
        for (int bits = 8; bits <= 16; bits += 8) {
            const double *h = maps[m].h;
            struct pf_source_plane source = {.samples = bits == 8 ? (void *)bytes : (void *)words,
                                             .stride_bytes = (size_t)(WIDTH * bits / 8),
                                             .width = WIDTH,
                                             .height = HEIGHT,
                                             .bits = bits,
                                             .scale = bits == 8 ? PF_GREY : PF_GREY / 257.0f,
                                             .bicubic = bicubic};
            static int16_t warped[HEIGHT][WIDTH];
            for (int y = 0; y < HEIGHT; y += PF_WARP_ROWS)
                kernels->warp_rows(warped[y], WIDTH, WIDTH, y,
                                   HEIGHT - y < PF_WARP_ROWS ? HEIGHT - y : PF_WARP_ROWS, h,
                                   &source);
            for (int y = 0; y < HEIGHT; y++) {
                int16_t *out = warped[y], along[WIDTH];
                double path[WIDTH / PF_WARP_SEGMENT + 2][2];
                for (int k = 0; k < WIDTH / PF_WARP_SEGMENT + 2; k++)
                    pf_homography_apply(h, k * PF_WARP_SEGMENT, y, &path[k][0], &path[k][1]);
                kernels->warp_path(along, WIDTH, (const double(*)[2])path, PF_WARP_SEGMENT,
                                   &source);
                CHECK(memcmp(along, out, sizeof(along)) == 0);
                for (int x = 0; x < WIDTH; x++) {
                    int seg = x / PF_WARP_SEGMENT * PF_WARP_SEGMENT;
                    double x0, y0, x1, y1;
                    pf_homography_apply(h, seg, y, &x0, &y0);
                    pf_homography_apply(h, seg + PF_WARP_SEGMENT, y, &x1, &y1);
                    double px = x0 + (x1 - x0) * (x - seg) / PF_WARP_SEGMENT,
                           py = y0 + (y1 - y0) * (x - seg) / PF_WARP_SEGMENT;
                    px = px < -4 ? -4 : px > WIDTH + 4 ? WIDTH + 4 : px;
                    py = py < -4 ? -4 : py > HEIGHT + 4 ? HEIGHT + 4 : py;
                    double fx = floor(px), fy = floor(py), sum = 0, weights = 0;
                    for (int j = -2; j < 4; j++)
                        for (int i = -2; i < 4; i++) {
                            double w = weight_at(px - fx - i) * weight_at(py - fy - j);
                            sum += w * bytes[at((int)fy + j, HEIGHT)][at((int)fx + i, WIDTH)];
                            weights += w;
                        }
                    sum /= weights;
                    sum = sum < 0 ? 0 : sum > 255 ? 255 : sum;
                    CHECK_NEAR(out[x] / (double)PF_GREY, sum, maps[m].within * (bicubic ? 3 : 1));
                }
            }
        }
}

TEST(kernels_warp_matches_lanczos_formula)
{
    check_warp(false, lanczos_at);
}

TEST(kernels_warp_matches_bicubic_formula)
{
    check_warp(true, bicubic_at);
}

TEST(kernels_measure_light)
{
    int set = 0;
    srand(7);
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        float light[3][WIDEST], roots[3][WIDEST];
        const float *const rows[3] = {roots[0], roots[1], roots[2]};
        int w = (int)width;
        for (int k = 0; k < 3; k++) {
            for (int x = 0; x < w; x++)
                light[k][x] = (float)(rand() % 2560) / 10 - 1;
            kernels->root_row(roots[k], light[k], w);
            for (int x = 0; x < w; x++)
                CHECK_NEAR(roots[k][x], sqrt(255 * fmax((double)light[k][x], 0)), 1e-3);
        }
        double sum = 0;
        for (int x = 1; x < w - 1; x++)
            sum +=
                fabs(2 * (double)roots[1][x] - (double)roots[1][x - 1] - (double)roots[1][x + 1]) +
                fabs(2 * (double)roots[1][x] - (double)roots[0][x] - (double)roots[2][x]);
        CHECK_NEAR(kernels->bend_sum(rows, 1, w - 1), sum, 1e-5 * sum + 1e-3);
    }
}

TEST(kernels_alpha_row_mixes_cells)
{
    int set = 0;
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        float upper[WIDEST], lower[WIDEST], out[WIDEST];
        int w = (int)width, cells = (w + 1) / 2;
        for (int i = 0; i < cells; i++) {
            upper[i] = (float)i;
            lower[i] = (float)(i + 100);
        }
        kernels->alpha_row(out, w, upper, lower, 0.25f, cells, 2);
        for (int x = 0; x < w; x++) {
            double c = (x - 0.5) / 2; /* in cells */
            c = c < 0 ? 0 : c > cells - 1 ? cells - 1 : c;
            CHECK(fabs(c + 25 - (double)out[x]) < 1e-4);
        }
        kernels->alpha_row(out, cells, upper, lower, 0, cells, 1);
        for (int i = 0; i < cells; i++)
            CHECK(out[i] == upper[i]);
    }
}

TEST(kernels_compare_row_is_the_smoothed_mean_and_difference)
{
    int set = 0;
    EACH_SET(kernels) EACH_WIDTH(width)
    {
        float target[3 * WIDEST], sample[3 * WIDEST], mean[WIDEST], error[WIDEST];
        float scratch[2 * WIDEST];
        int w = (int)width;
        for (int i = 0; i < 3 * w; i++) {
            target[i] = (float)(rand() % 256);
            sample[i] = (float)(rand() % 256);
        }
        kernels->compare_row(mean, error, target, sample, w, scratch);
        for (int x = 1; x < w - 1; x++) {
            double t = 0, s = 0;
            for (int j = 0; j < 3; j++)
                for (int i = 0; i < 3; i++) {
                    double weight = (j == 1 ? 2 : 1) * (i == 1 ? 2 : 1) / 16.0;
                    t += weight * (double)target[j * w + x - 1 + i];
                    s += weight * (double)sample[j * w + x - 1 + i];
                }
            CHECK(fabs((t + s) / 2 - (double)mean[x]) < 1e-3);
            CHECK(fabs(t - s - (double)error[x]) < 1e-3);
        }
    }
}

TEST(kernels_block_row_sums_products)
{
    enum { SIDE = PF_BLOCK + 2 };
    int set = 0;
    EACH_SET(kernels)
    {
        float mean[3][SIDE], error[PF_BLOCK], sums[PF_BLOCK_SUMS][8] = {{0}};
        const float *const rows[3] = {mean[0] + 1, mean[1] + 1, mean[2] + 1};
        for (int i = 0; i < 3 * SIDE; i++)
            mean[i / SIDE][i % SIDE] = (float)(rand() % 256);
        for (int x = 0; x < PF_BLOCK; x++)
            error[x] = (float)(rand() % 64 - 32);
        kernels->block_row(sums, rows, error, 0.5f, 100);
        double wanted[8][8] = {{0}};
        for (int x = 0; x < PF_BLOCK; x++) {
            double here = (double)rows[1][x], left = (double)rows[1][x - 1];
            double right = (double)rows[1][x + 1], above = (double)rows[0][x];
            double below = (double)rows[2][x], bend = left + right + above + below - 4 * here;
            double u = 2.0 * x / (PF_BLOCK - 1) - 1;
            const double q[8] = {
                (right - left) / 2, (below - above) / 2, bend, u * bend, bend / 2, 1,
                here - 100,         (double)error[x]};
            for (int i = 0; i < 8; i++)
                for (int j = 0; j <= i; j++)
                    wanted[i][j] += q[i] * q[j];
        }
        for (int i = 0, pair = 0; i < 8; i++)
            for (int j = 0; j <= i; j++, pair++) {
                double sum = 0;
                for (int part = 0; part < 8; part++)
                    sum += (double)sums[pair][part];
                CHECK(fabs(sum - wanted[i][j]) < 1e-4 * (1000 + fabs(wanted[i][j])));
            }
    }
}
