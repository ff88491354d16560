/* One level of alignment by correlation, one step at a time: the kernels compute what a plain program in double
 * precision computes. The arithmetic between sums and warp is that of process/cpu/ecc_step.h on both sides. */
#include "tests/cuda/planes.h"

#include <vector>

extern "C" {
#include "tests/unit/texture.h"
}
#include "process/cuda/ecc_kernels.h"

/* The last two have more than one block. */
static const struct size all_sizes[] = {{1, 1},  {2, 3},   {4, 4},   {5, 4},   {1, 70},
                                        {17, 5}, {33, 17}, {96, 64}, {131, 75}};
enum { ALL_SIZES = sizeof(all_sizes) / sizeof(*all_sizes) };

static const struct pf_ecc_scale target_scale = {2, 0.5}, image_scale = {2, 1.5};

/* A level on both sides, with a search that begins at `h`. */
struct search {
    struct level level;
    struct state state;
    float *target, *image;
};

/* shows: target column, row -> where the image has it; NULL: nearby. */
static struct search begin(const struct size *size, const double h[9], enum pf_motion motion,
                           const double *shows)
{
    static const double aside[9] = {1, 0, 0.6, 0, 1, -0.4, 0, 0, 1};
    struct search all = {};
    double inverse[9];
    struct level *level = &all.level;
    level->width = size->width;
    level->height = size->height;
    level->image_width = size->width + 2;
    level->image_height = std::max(size->height - 1, 1);
    level->target_scale = target_scale;
    level->image_scale = image_scale;
    level->frame.centre_x = 0.5 * (size->width - 1);
    level->frame.centre_y = 0.5 * (size->height - 1);
    level->frame.radius = 0.5 * size->width;
    level->motion = motion;
    level->tolerance_px = 0.004;
    size_t pixels = (size_t)level->width * (size_t)level->height;
    size_t image_pixels = (size_t)level->image_width * (size_t)level->image_height;
    all.target = (float *)malloc(pixels * sizeof(float));
    all.image = (float *)malloc(image_pixels * sizeof(float));
    for (int i = 0; i < (int)pixels; i++)
        all.target[i] = (float)texture_at(3, i % level->width, i / level->width, 6);
    pf_homography_invert(inverse, shows ? shows : aside);
    for (int i = 0; i < (int)image_pixels; i++) {
        double x, y;
        pf_homography_apply(inverse, i % level->image_width, i / level->image_width, &x, &y);
        all.image[i] = (float)(0.8 * texture_at(3, x, y, 6) + next_random() % 8);
    }
    memcpy(all.state.h, h, sizeof(all.state.h));
    level->target = device_copy(all.target, pixels);
    level->image = device_copy(all.image, image_pixels);
    level->partial = device_copy<double>(NULL, MOST_BLOCKS * MOST_SUMS);
    level->state = device_copy(&all.state, 1);
    return all;
}

/* Brings the state back. */
static void end(struct search *all)
{
    fetch(&all->state, all->level.state, 1);
    GPU(cudaFree((void *)all->level.target));
    GPU(cudaFree((void *)all->level.image));
    GPU(cudaFree(all->level.partial));
    free(all->target);
    free(all->image);
}

static bool sample(const struct search *all, const double warp[9], int x, int y, double *ret)
{
    int width = all->level.image_width;
    double px, py;
    pf_homography_apply(warp, x, y, &px, &py);
    if (!(px >= 0 && py >= 0 && floor(px) < width - 1 && floor(py) < all->level.image_height - 1))
        return false;
    double tx = px - floor(px), ty = py - floor(py);
    const float *at = all->image + (size_t)floor(py) * (size_t)width + (size_t)floor(px);
    *ret = (1 - ty) * ((1 - tx) * (double)at[0] + tx * (double)at[1]) +
           ty * ((1 - tx) * (double)at[width] + tx * (double)at[width + 1]);
    return true;
}

static struct pf_ecc_fit_numbers fit_at(const struct search *all, const double warp[9])
{
    struct pf_fit_sums sum = {};
    int width = all->level.width, pixels = width * all->level.height;
    for (int k = 0; k < pixels; k++) {
        double s, t = (double)all->target[k] - 100;
        if (!sample(all, warp, k % width, k / width, &s))
            continue;
        s -= 100;
        sum.count++;
        sum.t += t;
        sum.i += s;
        sum.tt += t * t;
        sum.ii += s * s;
        sum.ti += t * s;
    }
    struct pf_ecc_fit_numbers fit = pf_ecc_fit_of(&sum, pixels);
    fit.target_mean += sum.count < 16 ? 0 : 100;
    fit.sample_mean += sum.count < 16 ? 0 : 100;
    return fit;
}

/* The steepest descent images at a pixel, see ecc_step.h. */
static void descent(const struct search *all, int x, int y, double ret[PARAMETERS])
{
    const struct pf_ecc_frame *frame = &all->level.frame;
    int width = all->level.width;
    double gx = 0, gy = 0, u = (x - frame->centre_x) / frame->radius;
    double v = (y - frame->centre_y) / frame->radius;
    if (x > 0 && y > 0 && x < width - 1 && y < all->level.height - 1) {
        const float *at = all->target + (size_t)y * (size_t)width + x;
        gx = 0.5 * frame->radius * ((double)at[1] - (double)at[-1]);
        gy = 0.5 * frame->radius * ((double)at[width] - (double)at[-width]);
    }
    const double all_of_them[PARAMETERS] = {
        gx, gx * u, gx * v, gy, gy * u, gy * v, -(gx * u + gy * v) * u, -(gx * u + gy * v) * v};
    memcpy(ret, all_of_them, sizeof(all_of_them));
}

static void normal_of(const struct search *all, struct pf_ecc_normal *ret, double *mean)
{
    double hessian[PARAMETERS * PARAMETERS] = {0}, g[PARAMETERS];
    int width = all->level.width, pixels = width * all->level.height;
    *mean = 0;
    for (int i = 0; i < pixels; i++) {
        descent(all, i % width, i / width, g);
        for (int k = 0; k < PARAMETERS; k++)
            for (int l = 0; l <= k; l++)
                hessian[k * PARAMETERS + l] += g[k] * g[l];
        *mean += (double)all->target[i] / pixels;
    }
    pf_ecc_normal_of(ret, hessian, all->level.motion);
}

/* An element of the normal equations, whose factor is kept. */
static double product(const struct pf_ecc_normal *normal, int k, int l)
{
    double sum = 0;
    for (int m = 0; m <= std::min(k, l); m++)
        sum += normal->factor[k][m] * normal->factor[l][m];
    return sum;
}

/* The warp after a step from one; false where there is none. */
static bool step_from(const struct search *all, const struct pf_ecc_normal *normal,
                      const double warp[9], double ret[9])
{
    struct pf_ecc_fit_numbers fit = fit_at(all, warp);
    double step[PARAMETERS] = {0}, g[PARAMETERS], s, delta[9], inverse[9];
    int width = all->level.width, pixels = width * all->level.height;
    for (int i = 0; i < pixels; i++) {
        if (!sample(all, warp, i % width, i / width, &s))
            continue;
        descent(all, i % width, i / width, g);
        double error =
            fit.slope * (s - fit.sample_mean) - ((double)all->target[i] - fit.target_mean);
        for (int k = 0; k < PARAMETERS; k++)
            step[k] += g[k] * error;
    }
    if (!pf_ecc_next_step(normal, step, &all->level.frame, delta) ||
        !pf_homography_invert(inverse, delta))
        return false;
    pf_homography_compose(ret, warp, inverse);
    return true;
}

static void start_of(const struct search *all, double warp[9])
{
    pf_ecc_to_level(all->state.h, target_scale, image_scale, warp);
}

static double apart(const struct search *all, const double a[9], const double b[9])
{
    return pf_homography_corner_distance(a, b, all->level.width, all->level.height);
}

static const double STARTS[2][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1},
                                    {1.01, 0.004, 0.7, -0.005, 0.99, -1.1, 1e-5, -2e-5, 1}};

/* No step: hessian, mean, and the fit of the start, which is the best. Threads sum up a few dozen values in float:
 * 1e-6 of them, of variances that are a tenth of squares 1e-5. */
TEST(cuda_level_of_alignment_begins_as_a_plain_program)
{
    for (int i = 0; i < ALL_SIZES; i++)
        for (int kind = 0; kind < 8 * order_count(); kind++) {
            take_order(kind / 8);
            struct pf_cuda *cuda = new_queue();
            enum pf_motion motion = (enum pf_motion)(PF_MOTION_SHIFT + kind % 4);
            struct search all = begin(&all_sizes[i], STARTS[kind / 4 % 2], motion, NULL);
            struct pf_ecc_normal normal;
            double mean, warp[9];
            start_of(&all, warp);
            normal_of(&all, &normal, &mean);
            struct pf_ecc_fit_numbers fit = fit_at(&all, warp);
            all.level.is_judge = kind & 1;
            pf_cuda_ecc_align_level(cuda, &all.level, false, false);
            double before[9];
            memcpy(before, all.state.h, sizeof(before));
            end(&all);
            const struct state *state = &all.state;
            CHECK_NEAR(state->mean, mean, 1e-4);
            CHECK_EQ(state->normal.count, normal.count);
            for (int k = 0; k < normal.count; k++)
                for (int l = 0; l <= k; l++)
                    CHECK_NEAR(product(&state->normal, k, l), product(&normal, k, l),
                               1e-5 * sqrt(product(&normal, k, k) * product(&normal, l, l)));
            CHECK_NEAR(state->best_fit.correlation, fit.correlation, 2e-5);
            CHECK_NEAR(state->best_fit.overlap, fit.overlap, 1e-12);
            CHECK_NEAR(state->correlation, fit.correlation, 2e-5);
            CHECK_NEAR(state->overlap, fit.overlap, 1e-12);
            CHECK_NEAR(state->agreement, kind & 1 ? fit.correlation : 0, 2e-5);
            CHECK(state->stage == 1 && state->steps == 0 && state->ticket == 0);
            CHECK_NEAR(apart(&all, state->warp, warp), 0, 1e-12);
            CHECK_NEAR(apart(&all, state->best, warp), 0, 1e-12);
            CHECK_NEAR(apart(&all, state->h, before), 0, 1e-9);
            finish(cuda);
        }
}

/* One step, and two. What sums lose in float a step of some pixels loses as well, and more of it where few pixels
 * have to tell many parameters: 1e-5 px, where it was looked at. */
TEST(cuda_step_of_alignment_is_that_of_a_plain_program)
{
    for (int i = 0; i < ALL_SIZES; i++)
        for (int kind = 0; kind < 8 * order_count(); kind++) {
            take_order(kind / 8);
            struct pf_cuda *cuda = new_queue();
            enum pf_motion motion = (enum pf_motion)(PF_MOTION_SHIFT + kind % 4);
            struct search all = begin(&all_sizes[i], STARTS[1], motion, NULL);
            struct pf_ecc_normal normal;
            double mean, warp[9], best[9], h[9];
            all.level.most_steps = 1 + kind / 4 % 2;
            start_of(&all, warp);
            normal_of(&all, &normal, &mean);
            struct pf_ecc_fit_numbers best_fit = fit_at(&all, warp);
            memcpy(best, warp, sizeof(best));
            int steps = 0;
            while (steps < all.level.most_steps) {
                double next[9];
                if (!step_from(&all, &normal, warp, next) ||
                    !(apart(&all, warp, next) < all.level.width))
                    break;
                double moved = apart(&all, warp, next);
                memcpy(warp, next, sizeof(warp));
                steps++;
                struct pf_ecc_fit_numbers fit = fit_at(&all, warp);
                if (fit.correlation > best_fit.correlation) {
                    best_fit = fit;
                    memcpy(best, warp, sizeof(best));
                }
                if (moved < all.level.tolerance_px || fit.correlation < best_fit.correlation - 0.05)
                    break;
            }
            pf_ecc_to_full(best, target_scale, image_scale, h);
            pf_cuda_ecc_align_level(cuda, &all.level, false, false);
            end(&all);
            CHECK_NEAR(apart(&all, all.state.warp, warp), 0, 1e-4);
            CHECK_NEAR(apart(&all, all.state.best, best), 0, 1e-4);
            CHECK_NEAR(apart(&all, all.state.h, h), 0, 2e-4);
            CHECK_NEAR(all.state.correlation, best_fit.correlation, 2e-5);
            CHECK_NEAR(all.state.overlap, best_fit.overlap, 1e-12);
            CHECK_EQ(all.state.steps, steps);
            CHECK_EQ(all.state.stage, 1);
            finish(cuda);
        }
}

/* Shifts of up to a fifth of the picture; the one that fits best, if it does so clearly. */
TEST(cuda_search_for_a_shift_is_that_of_a_plain_program)
{
    static const double far[4][9] = {{1, 0, 11, 0, 1, -9, 0, 0, 1},
                                     {1, 0, -23.5, 0, 1, 6, 0, 0, 1},
                                     {1.02, 0.01, 13, -0.01, 0.99, 8, 1e-4, 2e-4, 1},
                                     {1, 0, -9, 0, 1, 5, 1e-3, 2e-3, 1}};
    for (int i = 0; i < ALL_SIZES; i++)
        for (int kind = 0; kind < 4 * order_count(); kind++) {
            take_order(kind / 4);
            struct pf_cuda *cuda = new_queue();
            /* The last one's picture is where the search has to be exact. */
            static const double there[9] = {1, 0, 14, 0, 1, -10, 0, 0, 1};
            double start[9], best[9], shows[9];
            int reach_x, reach_y;
            pf_ecc_to_level(far[kind % 4], target_scale, image_scale, start);
            pf_homography_compose(shows, there, start);
            struct search all =
                begin(&all_sizes[i], far[kind % 4], PF_MOTION_SHIFT, kind % 4 == 3 ? shows : NULL);
            memcpy(best, start, sizeof(best));
            double most = fit_at(&all, start).correlation + 0.1;
            pf_ecc_search_reach(all.level.width, all.level.height, &reach_x, &reach_y);
            for (int dy = -reach_y; dy <= reach_y; dy += 2)
                for (int dx = -reach_x; dx <= reach_x; dx += 2) {
                    const double shift[9] = {1, 0, (double)dx, 0, 1, (double)dy, 0, 0, 1};
                    double warp[9];
                    pf_homography_compose(warp, shift, start);
                    double correlation = fit_at(&all, warp).correlation;
                    if (correlation > most) {
                        most = correlation;
                        memcpy(best, warp, sizeof(best));
                    }
                }
            struct pf_ecc_fit_numbers fit = fit_at(&all, best);
            pf_cuda_ecc_align_level(cuda, &all.level, true, false);
            end(&all);
            CHECK_NEAR(apart(&all, all.state.warp, best), 0, 1e-9);
            CHECK_NEAR(apart(&all, all.state.best, best), 0, 1e-9);
            CHECK_NEAR(all.state.correlation, fit.correlation, 2e-5);
            CHECK_NEAR(all.state.overlap, fit.overlap, 1e-12);
            CHECK_EQ(all.state.ticket, 0);
            finish(cuda);
        }
}

/* What is left of the codes in a block beside mean and slopes: each picture's detail and light, and their correlation.
 * Samples are good to 1e-4 of a grey level. */
TEST(cuda_likeness_of_blocks_is_that_of_a_plain_program)
{
    enum { SIDE = PF_LIKENESS_SIDE, PIXELS = PF_LIKENESS_PIXELS };
    for (int i = 0; i < ALL_SIZES; i++)
        for (int kind = 0; kind < 2 * order_count(); kind++) {
            take_order(kind / 2);
            struct pf_cuda *cuda = new_queue();
            struct search all = begin(&all_sizes[i], STARTS[kind % 2], PF_MOTION_SHIFT, NULL);
            int columns = all.level.width / SIDE, rows = all.level.height / SIDE;
            int count = pf_likeness_count(all.level.width, all.level.height), seen = 0;
            struct pf_likeness_block *blocks =
                device_copy<struct pf_likeness_block>(NULL, (size_t)count + 1);
            std::vector<struct pf_likeness_block> got((size_t)count + 1);
            double warp[9];
            start_of(&all, warp);
            CHECK_EQ(count, columns * rows);
            pf_cuda_ecc_begin_judging(cuda, &all.level);
            if (count)
                pf_cuda_see_likeness(cuda, &all.level, blocks);
            GPU(cudaDeviceSynchronize());
            fetch(got.data(), blocks, (size_t)count + 1);
            for (int k = 0; k < count; k++) {
                double left[2][PIXELS], detail[2] = {0}, light[2] = {0}, product = 0;
                bool has_picture = true;
                for (int m = 0; m < PIXELS; m++) {
                    int x = k % columns * SIDE + m % SIDE, y = k / columns * SIDE + m / SIDE;
                    double s = 0;
                    has_picture = has_picture && sample(&all, warp, x, y, &s);
                    left[0][m] = sqrt(255 * (double)all.target[y * all.level.width + x]);
                    left[1][m] = sqrt(255 * s);
                }
                CHECK_EQ(got[(size_t)k].has_picture, has_picture);
                if (!has_picture)
                    continue;
                for (int p = 0; p < 2; p++) {
                    double mean = 0, along = 0, down = 0;
                    for (int m = 0; m < PIXELS; m++) {
                        light[p] += left[p][m] * left[p][m] / PIXELS;
                        mean += left[p][m] / PIXELS;
                        along += left[p][m] * (m % SIDE - 3.5) / 336;
                        down += left[p][m] * (m / SIDE - 3.5) / 336;
                    }
                    for (int m = 0; m < PIXELS; m++) {
                        left[p][m] -= mean + (m % SIDE - 3.5) * along + (m / SIDE - 3.5) * down;
                        detail[p] += left[p][m] * left[p][m] / PIXELS;
                    }
                }
                for (int m = 0; m < PIXELS; m++)
                    product += left[0][m] * left[1][m] / PIXELS;
                for (int p = 0; p < 2; p++) {
                    CHECK_NEAR(got[(size_t)k].detail[p], detail[p], 1e-3);
                    CHECK_NEAR(got[(size_t)k].light[p], light[p] + 1, 1e-2);
                }
                CHECK_NEAR(got[(size_t)k].correlation, product / sqrt(detail[0] * detail[1]), 1e-3);
                seen++;
            }
            CHECK(count < 20 || seen > count / 2);
            end(&all);
            finish(cuda);
        }
}
