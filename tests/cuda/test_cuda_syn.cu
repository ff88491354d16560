/* The kernels of greedy symmetric registration compute what a plain program in double precision computes: each
 * from what the one before it has left on the device. */
#include "tests/cuda/cells.h"

extern "C" {
#include "tests/unit/texture.h"
}
#include "process/cuda/deform_syn.h"

static const double SLANTED[9] = {1.01, 0.02, 0.7, -0.015, 0.99, -0.4, 1e-5, -2e-5, 1};

/* A registration on both sides. */
struct registration {
    struct pf_deform_pass pass;
    struct pf_deform_state state;
    struct pf_syn_room room;
    void *memory; /* of the room */
    size_t count;
    float *target, *image;
    float2 *half[2];
};

static struct registration begin(const struct pf_cells *grid, float bend_px)
{
    struct registration all = {};
    struct pf_deform_pass *pass = &all.pass;
    all.count = cells_of(grid);
    pass->grid = *grid;
    pass->width = 4 * grid->columns - 1;
    pass->height = 4 * grid->rows - 2;
    pass->image_width = pass->width + 3;
    pass->image_height = pass->height + 1;
    pass->warp = pf_short_warp_of(SLANTED, pass->width, pass->height);
    size_t pixels = (size_t)pass->width * (size_t)pass->height;
    size_t image_pixels = (size_t)pass->image_width * (size_t)pass->image_height;
    all.target = (float *)malloc(pixels * sizeof(float));
    all.image = (float *)malloc(image_pixels * sizeof(float));
    for (int i = 0; i < (int)pixels; i++)
        all.target[i] = (float)texture_at(3, i % pass->width, i / pass->width, 0);
    for (int i = 0; i < (int)image_pixels; i++)
        all.image[i] = (float)(0.9 * texture_at(3, i % pass->image_width - 1.2,
                                                i / pass->image_width + 0.9, 0) +
                               next_random() % 16);
    all.memory = device_copy<char>(NULL, pf_syn_bytes(all.count));
    pf_syn_lay_out(&all.room, all.count, all.memory);
    for (int i = 0; i < 2; i++) {
        all.half[i] = random_pairs(all.count, bend_px);
        GPU(cudaMemcpy(all.room.half[i], all.half[i], all.count * sizeof(float2),
                       cudaMemcpyHostToDevice));
    }
    pass->target = device_copy(all.target, pixels);
    pass->image = device_copy(all.image, image_pixels);
    pass->displacement = device_copy(all.half[0], all.count);
    pass->state = device_copy(&all.state, 1);
    return all;
}

static void end(struct registration *all)
{
    GPU(cudaFree((void *)all->pass.target));
    GPU(cudaFree((void *)all->pass.image));
    GPU(cudaFree(all->pass.displacement));
    GPU(cudaFree(all->pass.state));
    GPU(cudaFree(all->memory));
    for (int i = 0; i < 2; i++)
        free(all->half[i]);
    free(all->target);
    free(all->image);
}

/* A copy of what is on the device. */
template <class T> static T *look_at(const T *device, size_t count)
{
    T *values = (T *)malloc(count * sizeof(T));
    GPU(cudaGetLastError());
    GPU(cudaDeviceSynchronize());
    GPU(cudaMemcpy(values, device, count * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
}

static void check_pairs(const float2 *device, const double (*right)[2], size_t count, double within)
{
    float2 *got = look_at(device, count);
    for (size_t k = 0; k < count; k++) {
        CHECK_NEAR(got[k].x, right[k][0], within);
        CHECK_NEAR(got[k].y, right[k][1], within);
    }
    free(got);
}

/* The same displacement half and half, the image's in the target's columns and rows; and the halves of a coarser
 * level, whose pixels are half as many: 1 px of them is lost by 1e-6 of a cell. */
TEST(cuda_syn_halves_are_those_of_a_plain_program)
{
    for (int g = 0; g < GRIDS; g++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            struct registration all = begin(&grids[g], 2);
            const struct pf_short_warp *warp = &all.pass.warp;
            double a = 1 + (double)warp->a, b = (double)warp->b, c = (double)warp->d;
            double e = 1 + (double)warp->e, determinant = a * e - b * c;
            double(*right[2])[2];
            for (int i = 0; i < 2; i++)
                right[i] = (double(*)[2])malloc(all.count * sizeof(*right[i]));
            pf_syn_begin(cuda, &all.room, &all.pass);
            for (size_t k = 0; k < all.count; k++) {
                double x = (double)all.half[0][k].x, y = (double)all.half[0][k].y;
                right[1][k][0] = 0.5 * (e * x - b * y) / determinant;
                right[1][k][1] = 0.5 * (a * y - c * x) / determinant;
                right[0][k][0] = -right[1][k][0];
                right[0][k][1] = -right[1][k][1];
            }
            check_pairs(all.room.half[0], right[0], all.count, 1e-6);
            check_pairs(all.room.half[1], right[1], all.count, 1e-6);
            struct pf_cells coarse = {half(grids[g].columns), half(grids[g].rows), 4, 4};
            for (int i = 0; i < 2; i++)
                GPU(cudaMemcpy(all.room.half[i], all.half[i], cells_of(&coarse) * sizeof(float2),
                               cudaMemcpyHostToDevice));
            GPU(cudaDeviceSynchronize());
            pf_syn_refine(cuda, &all.room, &all.pass, &coarse);
            for (int i = 0; i < 2; i++) {
                for (size_t k = 0; k < all.count; k++) {
                    int row = (int)k / grids[g].columns, column = (int)k % grids[g].columns;
                    between(all.half[i], &coarse, middle(column, 4) / 2 - 0.25,
                            middle(row, 4) / 2 - 0.25, right[i][k]);
                    right[i][k][0] *= 2;
                    right[i][k][1] *= 2;
                }
                check_pairs(all.room.half[i], right[i], all.count, 5e-5);
                free(right[i]);
            }
            end(&all);
            finish(cuda);
        }
}

/* ---- a step --------------------------------------------------------------------------------------- */

struct sight {
    double value, x, y;
};

static double bilinear(const float *pixels, int width, double x, double y)
{
    int i = (int)floor(x), j = (int)floor(y);
    double tx = x - i, ty = y - j;
    const float *at = pixels + (size_t)j * (size_t)width + i;
    return (1 - ty) * ((1 - tx) * (double)at[0] + tx * (double)at[1]) +
           ty * ((1 - tx) * (double)at[width] + tx * (double)at[width + 1]);
}

static bool see(const float *pixels, int width, int height, double x, double y, struct sight *ret)
{
    if (!(x >= 1 && y >= 1 && floor(x) < width - 2 && floor(y) < height - 2))
        return false;
    ret->value = bilinear(pixels, width, x, y);
    ret->x = 0.5 * (bilinear(pixels, width, x + 1, y) - bilinear(pixels, width, x - 1, y));
    ret->y = 0.5 * (bilinear(pixels, width, x, y + 1) - bilinear(pixels, width, x, y - 1));
    return true;
}

/* Both pictures at a point of the middle, the image's gradient in the target's columns and rows. */
static bool see_both(const struct registration *all, int x, int y, struct sight *target,
                     struct sight *image)
{
    const struct pf_deform_pass *pass = &all->pass;
    double a[2], b[2], px, py;
    between(all->half[0], &pass->grid, x, y, a);
    between(all->half[1], &pass->grid, x, y, b);
    pf_homography_apply(SLANTED, x + b[0], y + b[1], &px, &py);
    if (!see(all->target, pass->width, pass->height, x + a[0], y + a[1], target) ||
        !see(all->image, pass->image_width, pass->image_height, px, py, image))
        return false;
    double gx = image->x, gy = image->y;
    image->x = (1 + (double)pass->warp.a) * gx + (double)pass->warp.d * gy;
    image->y = (double)pass->warp.b * gx + (1 + (double)pass->warp.e) * gy;
    return true;
}

static int cell_of(const struct pf_cells *grid, int x, int y)
{
    return y / 4 * grid->columns + x / 4;
}

/* Values are off by 1e-4 of a grey level, for places are by a few 1e-6 px. */
static void check_sums(const struct registration *all)
{
    enum { SUMS = sizeof(struct pf_syn_sums) / sizeof(float) };
    double(*right)[2][SUMS] = (double(*)[2][SUMS])calloc(all->count, sizeof(*right));
    struct pf_syn_sums *got = look_at(all->room.sums, all->count);
    for (int y = 0; y < all->pass.height; y++)
        for (int x = 0; x < all->pass.width; x++) {
            struct sight target, image;
            if (!see_both(all, x, y, &target, &image))
                continue;
            double t = target.value - (double)all->state.mean;
            double i = image.value - (double)all->state.mean;
            const double parts[SUMS] = {1, t, i, t * t, i * i, t * i};
            for (int m = 0; m < SUMS; m++) {
                right[cell_of(&all->pass.grid, x, y)][0][m] += parts[m];
                right[cell_of(&all->pass.grid, x, y)][1][m] += fabs(parts[m]) + (m > 0);
            }
        }
    for (size_t k = 0; k < all->count; k++)
        for (int m = 0; m < SUMS; m++)
            CHECK_NEAR(((const float *)&got[k])[m], right[k][0][m], 1e-4 * right[k][1][m]);
    free(got);
    free(right);
}

struct fit {
    double gain, offset, precision, correlation;
};

/* Gain and offset of the 5 x 5 cells around one. */
static struct fit fit_around(const struct pf_syn_sums *sums, const struct pf_cells *grid, int k)
{
    double all[6] = {0};
    int row = k / grid->columns, column = k % grid->columns;
    for (int j = row - 2; j <= row + 2; j++)
        for (int i = column - 2; i <= column + 2; i++)
            if (i >= 0 && j >= 0 && i < grid->columns && j < grid->rows)
                for (int m = 0; m < 6; m++)
                    all[m] += (double)((const float *)&sums[j * grid->columns + i])[m];
    struct fit fit = {1, 0, 0, 0};
    if (!(all[0] > 0))
        return fit;
    double t = all[1] / all[0], i = all[2] / all[0], tt = all[3] / all[0] - t * t;
    double ii = all[4] / all[0] - i * i, ti = all[5] / all[0] - t * i;
    fit.gain = fmin(fmax((ti + 1) / (ii + 1), 0.1), 10);
    fit.offset = t - fit.gain * i;
    fit.correlation = fmax((ti + 1) / sqrt((tt + 1) * (ii + 1)), 0);
    fit.precision =
        fmin(fit.correlation / 0.3, 1) / fmax(tt - 2 * fit.gain * ti + fit.gain * fit.gain * ii, 1);
    return fit;
}

/* [1 4 6 4 1] / 16 along a row or down a column, what is beyond the edge as at the edge. */
static void smooth(double *values, int each, const struct pf_cells *grid, bool down)
{
    static const double five[5] = {1 / 16.0, 4 / 16.0, 6 / 16.0, 4 / 16.0, 1 / 16.0};
    size_t bytes = cells_of(grid) * (size_t)each * sizeof(double);
    double *in = (double *)malloc(bytes);
    memcpy(in, values, bytes);
    for (int k = 0; k < grid->columns * grid->rows; k++)
        for (int m = 0; m < each; m++) {
            double sum = 0;
            for (int by = -2; by <= 2; by++) {
                int row = clamped(k / grid->columns + (down ? by : 0), grid->rows);
                int column = clamped(k % grid->columns + (down ? 0 : by), grid->columns);
                sum += five[by + 2] * in[(row * grid->columns + column) * each + m];
            }
            values[k * each + m] = sum;
        }
    free(in);
}

enum { PULLS = sizeof(struct pf_syn_pull) / sizeof(float) };

/* By the sums that are on the device. What the fit leaves is a difference of variances of some 1e3, of which float
 * loses 1e-3, and it divides; the sum of the sizes, as smooth, says how much that is. */
static void check_pulls(const struct registration *all)
{
    const struct pf_cells *grid = &all->pass.grid;
    struct pf_syn_sums *sums = look_at(all->room.sums, all->count);
    struct pf_syn_pull *got = look_at(all->room.pull[0], all->count);
    double *right = (double *)calloc(2 * PULLS * all->count, sizeof(double));
    double *size = right + PULLS * all->count;
    for (int y = 0; y < all->pass.height; y++)
        for (int x = 0; x < all->pass.width; x++) {
            struct sight target, image;
            if (!see_both(all, x, y, &target, &image))
                continue;
            int k = cell_of(grid, x, y);
            struct fit fit = fit_around(sums, grid, k);
            double gx = 0.5 * (target.x + fit.gain * image.x);
            double gy = 0.5 * (target.y + fit.gain * image.y), mean = (double)all->state.mean;
            double error = target.value - mean - fit.gain * (image.value - mean) - fit.offset;
            const double parts[PULLS] = {gx * gx, gx * gy, gy * gy, gx * error, gy * error};
            for (int m = 0; m < PULLS; m++) {
                right[k * PULLS + m] += fit.precision * parts[m];
                size[k * PULLS + m] += fit.precision * (fabs(parts[m]) + fabs(gx) + fabs(gy));
            }
        }
    for (int pass = 0; pass < 4; pass++) {
        smooth(right, PULLS, grid, pass & 1);
        smooth(size, PULLS, grid, pass & 1);
    }
    for (size_t k = 0; k < PULLS * all->count; k++)
        CHECK_NEAR(((const float *)got)[k], right[k], 2e-3 * size[k] + 1e-6);
    free(sums);
    free(got);
    free(right);
}

/* By the pulls that are on the device; no step is longer than a pixel, in either direction's smoothing. */
static void check_steps(const struct registration *all)
{
    const struct pf_cells *grid = &all->pass.grid;
    struct pf_syn_pull *pulls = look_at(all->room.pull[0], all->count);
    double(*right)[2] = (double(*)[2])malloc(all->count * sizeof(*right));
    for (size_t k = 0; k < all->count; k++) {
        double xx = 1 + (double)pulls[k].xx, yy = 1 + (double)pulls[k].yy, xy = (double)pulls[k].xy;
        double x = (double)pulls[k].x, y = (double)pulls[k].y, determinant = xx * yy - xy * xy;
        right[k][0] = (yy * x - xy * y) / determinant;
        right[k][1] = (xx * y - xy * x) / determinant;
    }
    for (int way = 0; way < 2; way++) {
        smooth(right[0], 2, grid, way);
        for (size_t k = 0; k < all->count; k++) {
            double length = fmax(hypot(right[k][0], right[k][1]), 1);
            right[k][0] /= length;
            right[k][1] /= length;
        }
    }
    check_pairs(all->room.step, right, all->count, 2e-5);
    free(pulls);
    free(right);
}

/* By the steps that are on the device: each half after a half step, the target's the other way. */
static void check_halves(const struct registration *all)
{
    const struct pf_cells *grid = &all->pass.grid;
    float2 *steps = look_at(all->room.step, all->count);
    double(*right)[2] = (double(*)[2])malloc(all->count * sizeof(*right));
    float moved = 0;
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < all->count; k++) {
            double x = (i ? 0.5 : -0.5) * (double)steps[k].x;
            double y = (i ? 0.5 : -0.5) * (double)steps[k].y;
            between(all->half[i], grid, middle((int)k % grid->columns, 4) + x,
                    middle((int)k / grid->columns, 4) + y, right[k]);
            right[k][0] += x;
            right[k][1] += y;
            moved = fmaxf(moved, 0.5f * fmaxf(fabsf(steps[k].x), fabsf(steps[k].y)));
        }
        check_pairs(all->room.half[i], right, all->count, 5e-5);
    }
    CHECK_EQ(all->state.steps, 1);
    CHECK_EQ(all->state.done, moved < 0.004f);
    CHECK_EQ(all->state.moved_bits, 0);
    free(steps);
    free(right);
}

TEST(cuda_syn_step_is_that_of_a_plain_program)
{
    for (int g = 0; g < GRIDS; g++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            struct registration all = begin(&grids[g], 0.4f);
            const struct pf_deform_pass *pass = &all.pass;
            pf_syn_run(cuda, &all.room, pass, 1);
            struct pf_deform_state *state = look_at(pass->state, 1);
            all.state = *state;
            free(state);
            CHECK_NEAR(all.state.mean, all.target[pass->height / 2 * pass->width + pass->width / 2],
                       0);
            check_sums(&all);
            check_pulls(&all);
            check_steps(&all);
            check_halves(&all);
            end(&all);
            finish(cuda);
        }
}

/* Where all that is seen is even, the first step is none and the last: those after it change nothing, and leave
 * the halves in both places where they may be looked for. */
TEST(cuda_syn_ends_where_nothing_moves)
{
    for (int g = 0; g < GRIDS; g++)
        for (int steps = 2; steps < 2 + 2 * order_count(); steps++) {
            take_order(steps % order_count());
            struct pf_cuda *cuda = new_queue();
            struct registration all = begin(&grids[g], 0.4f);
            pf_cuda_fill(cuda, (void *)all.pass.target, 0,
                         (size_t)all.pass.width * (size_t)all.pass.height * sizeof(float));
            pf_cuda_fill(cuda, (void *)all.pass.image, 0,
                         (size_t)all.pass.image_width * (size_t)all.pass.image_height *
                             sizeof(float));
            pf_syn_run(cuda, &all.room, &all.pass, steps);
            struct pf_deform_state *state = look_at(all.pass.state, 1);
            CHECK_EQ(state->steps, 1);
            CHECK_EQ(state->done, 1);
            for (int i = 0; i < 2; i++) {
                float2 *here = look_at(all.room.half[i], all.count);
                float2 *there = look_at(all.room.spare[i], all.count);
                CHECK(memcmp(here, there, all.count * sizeof(*here)) == 0);
                for (size_t k = 0; k < all.count; k++) {
                    CHECK_NEAR(here[k].x, all.half[i][k].x, 5e-5);
                    CHECK_NEAR(here[k].y, all.half[i][k].y, 5e-5);
                }
                free(here);
                free(there);
            }
            free(state);
            end(&all);
            finish(cuda);
        }
}

/* ---- what comes of it ------------------------------------------------------------------------------ */

/* How much area a map gives a cell around a point. */
static double stretch_at(const float2 *half, const struct pf_cells *grid, double x, double y)
{
    double left[2], right[2], above[2], below[2];
    between(half, grid, x - 2, y, left);
    between(half, grid, x + 2, y, right);
    between(half, grid, x, y - 2, above);
    between(half, grid, x, y + 2, below);
    return (1 + (right[0] - left[0]) / 4) * (1 + (below[1] - above[1]) / 4) -
           (below[0] - above[0]) / 4 * (right[1] - left[1]) / 4;
}

/* Numbers of ten pixels of a cell, alike or not. */
static struct pf_syn_sums new_sums(bool alike)
{
    struct pf_syn_sums sums = {};
    float *values = random_floats(20, -40, 40);
    for (int k = 0; k < 10; k++) {
        float t = values[k], i = alike ? 0.8f * t + values[10 + k] / 8 : values[10 + k];
        sums.count++;
        sums.t += t;
        sums.i += i;
        sums.tt += t * t;
        sums.ii += i * i;
        sums.ti += t * i;
    }
    free(values);
    return sums;
}

/* The inverse of the first half, then the second. Where the steps to a fixed point come to an end, or go to and fro
 * between two places, that is where rounding leaves them: a few 1e-6 px, which the second half and the warp make
 * 1e-4 of at the most. Nothing is so near to what decides that it could be otherwise. */
TEST(cuda_syn_joined_halves_are_those_of_a_plain_program)
{
    for (int g = 0; g < GRIDS; g++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            struct registration all = begin(&grids[g], 0.3f);
            const struct pf_cells *grid = &all.pass.grid;
            struct pf_syn_sums *sums = (struct pf_syn_sums *)calloc(all.count, sizeof(*sums));
            for (size_t k = 0; k < all.count; k++) {
                int column = (int)k % grid->columns;
                sums[k] = new_sums(k / 3 % 31 < 15);
                if (column % 16 == 12) /* the second half folds */
                    all.half[1][k].x -= 6;
                if (column / 8 % 2) /* and there is no way back through the first, but to and fro */
                    all.half[0][k].x += 6;
            }
            for (int i = 0; i < 2; i++)
                GPU(cudaMemcpy(all.room.half[i], all.half[i], all.count * sizeof(float2),
                               cudaMemcpyHostToDevice));
            GPU(cudaMemcpy(all.room.sums, sums, all.count * sizeof(*sums), cudaMemcpyHostToDevice));
            GPU(cudaDeviceSynchronize());
            float *trust = device_copy<float>(NULL, all.count);
            pf_syn_join(cuda, &all.room, &all.pass, trust);
            float *got_trust = look_at(trust, all.count);
            float2 *got = look_at(all.pass.displacement, all.count);
            for (size_t k = 0; k < all.count; k++) {
                double x = middle((int)k % grid->columns, 4), y = middle((int)k / grid->columns, 4);
                double u = x, v = y, a[2], b[2], there[2], here[2];
                for (int step = 0; step < 24; step++) {
                    between(all.half[0], grid, u, v, a);
                    u = x - a[0];
                    v = y - a[1];
                }
                between(all.half[0], grid, u, v, a);
                between(all.half[1], grid, u, v, b);
                double missed = fmax(fabs(u - x + a[0]), fabs(v - y + a[1]));
                double first = stretch_at(all.half[0], grid, u, v);
                double second = stretch_at(all.half[1], grid, u, v);
                struct fit fit =
                    fit_around(sums, grid,
                               clamped((int)((v + 0.5) / 4), grid->rows) * grid->columns +
                                   clamped((int)((u + 0.5) / 4), grid->columns));
                CHECK(fabs(missed - 0.1) > 1e-3);
                CHECK(fabs(first - 0.05) > 1e-3 && fabs(second - 0.05) > 1e-3);
                CHECK(fabs(fit.correlation - 0.8) > 1e-4);
                bool undone = missed < 0.1 && first > 0.05 && second > 0.05;
                CHECK_NEAR(got_trust[k], !undone ? 0 : fit.correlation > 0.8 ? 1 : 0.5, 0);
                if (!undone)
                    continue;
                pf_homography_apply(SLANTED, u + b[0], v + b[1], &there[0], &there[1]);
                pf_homography_apply(SLANTED, x, y, &here[0], &here[1]);
                CHECK_NEAR(got[k].x, there[0] - here[0], 2e-4);
                CHECK_NEAR(got[k].y, there[1] - here[1], 2e-4);
            }
            GPU(cudaFree(trust));
            free(got_trust);
            free(got);
            free(sums);
            end(&all);
            finish(cuda);
        }
}

/* Products of a few floats. */
TEST(cuda_syn_says_what_a_plain_program_says)
{
    for (int g = 0; g < GRIDS; g++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            struct registration all = begin(&grids[g], 2);
            const float stiffness = 4, trusts[3] = {1, 0, 0.5f};
            struct pf_cell *cells = (struct pf_cell *)calloc(all.count, sizeof(*cells));
            float *trust = (float *)malloc(all.count * sizeof(*trust));
            unsigned trusted = 0;
            for (size_t k = 0; k < all.count; k++) {
                float *value = random_floats(3, -1, 1);
                cells[k].xx = 2 + value[0];
                cells[k].yy = 3 + value[1];
                cells[k].xy = value[2];
                cells[k].x = cells[k].y = 77;
                trust[k] = trusts[k / 2 % 3];
                trusted += trust[k] > 0;
                free(value);
            }
            float *device_trust = device_copy(trust, all.count);
            all.pass.cells = device_copy(cells, all.count);
            pf_syn_say(cuda, &all.pass, device_trust, stiffness);
            struct pf_cell *got = look_at(all.pass.cells, all.count);
            for (size_t k = 0; k < all.count; k++) {
                double said = trust[k] > 0.5f, x = (double)all.half[0][k].x;
                double y = (double)all.half[0][k].y, more = 0.1 * (double)stiffness;
                double xx = said * ((double)cells[k].xx + more), xy = said * (double)cells[k].xy;
                double yy = said * ((double)cells[k].yy + more);
                CHECK_NEAR(got[k].xx, xx, 1e-6);
                CHECK_NEAR(got[k].xy, xy, 1e-6);
                CHECK_NEAR(got[k].yy, yy, 1e-6);
                CHECK_NEAR(got[k].x, xx * x + xy * y, 4e-6);
                CHECK_NEAR(got[k].y, xy * x + yy * y, 4e-6);
            }
            struct pf_deform_state *state = look_at(all.pass.state, 1);
            CHECK_EQ(state->trusted, trusted);
            free(state);
            free(got);
            GPU(cudaFree(all.pass.cells));
            GPU(cudaFree(device_trust));
            free(cells);
            free(trust);
            end(&all);
            finish(cuda);
        }
}
