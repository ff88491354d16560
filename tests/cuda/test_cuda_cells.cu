/* What pixels say about their cells' motion, and cells about the whole picture: as plain programs in double
 * precision have it. */
#include "tests/cuda/cells.h"

extern "C" {
#include "process/cpu/ecc_step.h"
#include "tests/unit/texture.h"
}

static const double SLANTED[9] = {1.01, 0.02, 0.7, -0.015, 0.99, -0.4, 1e-4, -2e-4, 1};
enum { SUMS = sizeof(struct pf_cell) / sizeof(float) };

/* One number of a cell, and the sum of the sizes of what it is the sum of. */
struct sum {
    double value, size;
};

static void add(struct sum *sum, double value)
{
    sum->value += value;
    sum->size += fabs(value);
}

static double bilinear(const float *pixels, int width, double x, double y)
{
    int i = (int)floor(x), j = (int)floor(y);
    double tx = x - i, ty = y - j;
    const float *at = pixels + (size_t)j * (size_t)width + i;
    return (1 - ty) * ((1 - tx) * (double)at[0] + tx * (double)at[1]) +
           ty * ((1 - tx) * (double)at[width] + tx * (double)at[width + 1]);
}

/* A pixel's part in its cell: the members of struct pf_cell, in their order. */
static void look_at(struct sum cell[SUMS], const struct pf_deform_pass *pass, const float *target,
                    const float *image, const float2 *displacement,
                    const struct pf_deform_state *state, int x, int y)
{
    int w = pass->width;
    double d[2], px, py, gain = (double)state->gain, noise = (double)state->noise;
    between(displacement, &pass->grid, x, y, d);
    pf_homography_apply(SLANTED, x, y, &px, &py);
    px += d[0];
    py += d[1];
    if (px < 1 || py < 1 || floor(px) > pass->image_width - 3 || floor(py) > pass->image_height - 3)
        return;
    const float *t = target + (size_t)y * (size_t)w + x;
    double a = bilinear(image, pass->image_width, px, py) - (double)state->mean;
    double b = (double)*t - (double)state->mean;
    double gx = (bilinear(image, pass->image_width, px + 1, py) -
                 bilinear(image, pass->image_width, px - 1, py)) *
                gain;
    double gy = (bilinear(image, pass->image_width, px, py + 1) -
                 bilinear(image, pass->image_width, px, py - 1)) *
                gain;
    gx = 0.25 * (gx + (double)t[1] - (double)t[-1]);
    gy = 0.25 * (gy + (double)t[w] - (double)t[-w]);
    double error = b - gain * a - (double)state->offset;
    double say = 1 / (1 + error * error / (6.25 * noise)), pull = error + gx * d[0] + gy * d[1];
    const double parts[SUMS] = {gx * gx / noise,
                                gx * gy / noise,
                                gy * gy / noise,
                                gx * pull / noise,
                                gy * pull / noise,
                                error * error,
                                1,
                                b,
                                a,
                                b * b,
                                a * a,
                                a * b};
    for (int m = 0; m < SUMS; m++)
        add(&cell[m], say * parts[m]);
}

/* Places are off by a few 1e-6 px in float, so that pixels whose neighbours differ by 30 grey levels have 1e-4
 * of one too much or too little: of what most sums consist of, less than 1e-4. */
static void look_into(int width, int height, int image_width, int image_height,
                      struct pf_cells grid)
{
    size_t pixels = (size_t)width * (size_t)height, cells = cells_of(&grid);
    size_t image_pixels = (size_t)image_width * (size_t)image_height;
    float *target = (float *)malloc(pixels * sizeof(float));
    float *image = (float *)malloc(image_pixels * sizeof(float));
    for (int i = 0; i < (int)pixels; i++)
        target[i] = (float)texture_at(3, i % width, i / width, 0);
    for (int i = 0; i < (int)image_pixels; i++)
        image[i] = (float)texture_at(3, i % image_width + 0.4, i / image_width - 0.3, 0);
    float2 *displacement = random_pairs(cells, 0.6f);
    struct pf_cell *got = (struct pf_cell *)malloc(cells * sizeof(*got));
    struct pf_deform_state state = {};
    state.gain = 0.93f;
    state.offset = 2.5f;
    state.mean = 120;
    state.noise = 9;
    for (int kind = 0; kind < 2 * order_count(); kind++) {
        take_order(kind / 2);
        struct pf_cuda *cuda = new_queue();
        struct pf_deform_pass pass = {};
        state.done = kind % 2;
        pass.width = width;
        pass.height = height;
        pass.image_width = image_width;
        pass.image_height = image_height;
        pass.warp = pf_short_warp_of(SLANTED, width, height);
        pass.grid = grid;
        pass.target = device_copy(target, pixels);
        pass.image = device_copy(image, image_pixels);
        pass.displacement = device_copy(displacement, cells);
        pass.state = device_copy(&state, 1);
        memset(got, 0, cells * sizeof(*got));
        pass.cells = device_copy(got, cells);
        pf_cuda_look(cuda, &pass);
        fetch(got, pass.cells, cells);
        struct sum(*right)[SUMS] = (struct sum(*)[SUMS])calloc(cells, sizeof(*right));
        for (int y = 1; y < height - 1 && !state.done; y++)
            for (int x = 1; x < width - 1; x++)
                look_at(right[(int)((y + 0.5) / (double)grid.height) * grid.columns +
                              (int)((x + 0.5) / (double)grid.width)],
                        &pass, target, image, displacement, &state, x, y);
        for (size_t k = 0; k < cells; k++)
            for (int m = 0; m < SUMS; m++)
                CHECK_NEAR(((const float *)&got[k])[m], right[k][m].value, 1e-4 * right[k][m].size);
        free(right);
        GPU(cudaFree((void *)pass.target));
        GPU(cudaFree((void *)pass.image));
        GPU(cudaFree(pass.displacement));
        GPU(cudaFree(pass.state));
        finish(cuda);
    }
    free(target);
    free(image);
    free(displacement);
    free(got);
}

/* In a picture that has more than the target shows, and in one that ends before it does. */
static void look_as_a_plain_program(int width, int height, struct pf_cells grid)
{
    look_into(width, height, width + 7, height + 6, grid);
    look_into(width, height, half(width) + 2, height, grid);
}

/* Cells of few pixels, which a thread has each; some lie beyond the picture, or have no pixel in it that has
 * neighbours. */
TEST(cuda_look_is_what_a_plain_program_sees)
{
    static const struct size tiny[] = {{1, 1}, {2, 3}, {3, 3}, {7, 5}, {17, 5}, {5, 33}};
    for (size_t i = 0; i < sizeof(tiny) / sizeof(*tiny); i++) {
        struct pf_cells grid = {half(half(tiny[i].width)) + 1, half(half(tiny[i].height)), 4, 4};
        look_as_a_plain_program(tiny[i].width, tiny[i].height, grid);
    }
    struct pf_cells grid = {8, 4, 45 / 8.0f, 9.5f};
    look_as_a_plain_program(45, 38, grid);
}

/* Of many pixels, which a block has; of none at all in a picture that is a line. */
TEST(cuda_look_at_wide_cells_is_what_a_plain_program_sees)
{
    static const struct {
        int width, height;
        struct pf_cells grid;
    } wide[] = {
        {45, 38, {2, 1, 22.5f, 38}},
        {45, 38, {1, 3, 45, 38 / 3.0f}},
        {33, 8, {1, 1, 33, 8}},
        {300, 1, {1, 1, 300, 1}},
        {3, 171, {1, 2, 3, 85.5f}},
        {61, 17, {1, 1, 61, 17}},
        {130, 33, {8, 1, 130 / 8.0f, 33}},
    };
    for (size_t i = 0; i < sizeof(wide) / sizeof(*wide); i++) {
        CHECK(wide[i].grid.width * wide[i].grid.height >= 256); /* each by a block */
        look_as_a_plain_program(wide[i].width, wide[i].height, wide[i].grid);
    }
}

/* What a cell of ten pixels says, whose target is `gain` times their image. */
static struct pf_cell new_cell(double gain)
{
    struct pf_cell cell = {};
    float *noise = random_floats(20, -20, 20);
    for (int k = 0; k < 10; k++) {
        float i = noise[k], t = (float)gain * i + 3 + noise[10 + k] / 8;
        cell.count++;
        cell.t += t;
        cell.i += i;
        cell.tt += t * t;
        cell.ii += i * i;
        cell.ti += t * i;
    }
    cell.xx = fabsf(noise[0]);
    cell.yy = fabsf(noise[1]);
    cell.remains = 4 * fabsf(noise[2]);
    free(noise);
    return cell;
}

static int bits_of(float value)
{
    int bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* Cells of which a block has one, or few, and of which each has many. Sums are in double on both sides; what is
 * kept in float has its rounding. */
TEST(cuda_summary_is_that_of_all_cells)
{
    static const float moved[] = {0.002f, 0.02f, 1e30f};
    static const double gains[] = {0.8, -1, 30};
    for (int g = 0; g < GRIDS + 2; g++)
        for (int kind = 0; kind < 6 * order_count(); kind++) {
            take_order(kind / 6);
            struct pf_cuda *cuda = new_queue();
            const struct pf_cells more[2] = {{37, 29, 4, 4}, {300, 113, 4, 4}};
            struct pf_deform_pass pass = {};
            struct pf_deform_state state = {}, right;
            pass.grid = g < GRIDS ? grids[g] : more[g - GRIDS];
            pass.width = 4 * pass.grid.columns - 1;
            pass.height = 4 * pass.grid.rows;
            size_t cells = cells_of(&pass.grid);
            struct pf_cell *say = (struct pf_cell *)calloc(cells, sizeof(*say));
            struct pf_fit_sums sums = {};
            double information = 0, remains = 0;
            for (size_t k = 0; k < cells && kind % 6 != 5; k++) {
                say[k] = new_cell(gains[kind % 3]);
                sums.count += (double)say[k].count;
                sums.t += (double)say[k].t;
                sums.i += (double)say[k].i;
                sums.tt += (double)say[k].tt;
                sums.ii += (double)say[k].ii;
                sums.ti += (double)say[k].ti;
                information += 0.5 * (double)(say[k].xx + say[k].yy);
                remains += (double)say[k].remains;
            }
            bool may_end = kind & 1;
            state.steps = 5;
            state.moved_bits = bits_of(moved[kind % 3]);
            pass.cells = device_copy(say, cells);
            pass.state = device_copy(&state, 1);
            pass.partial = device_copy<double>(NULL, PF_DEFORM_PARTIALS);
            pf_cuda_summarise(cuda, &pass, may_end);
            fetch(&state, pass.state, 1);
            double pixels = (double)pass.width * pass.height;
            struct pf_ecc_fit_numbers fit = pf_ecc_fit_of(&sums, pixels);
            CHECK_NEAR(state.correlation, fit.correlation, 1e-9);
            CHECK_NEAR(state.overlap, fit.overlap, 1e-9);
            CHECK_NEAR(state.information, information / (double)cells, 1e-6);
            double gain = fit.slope > 0.1 ? fmin(fit.slope, 10) : 1;
            CHECK_NEAR(state.gain, gain, 1e-6 * gain);
            CHECK_NEAR(state.offset, fit.target_mean - gain * fit.sample_mean, 1e-4);
            double noise = 0;
            if (sums.count > 0)
                noise = fmin(remains / sums.count,
                             (sums.tt / sums.count - pow(sums.t / sums.count, 2)) *
                                 (1 - fmin(pow(fit.correlation, 2), 1)));
            CHECK_NEAR(state.noise, fmax(noise, 1), 1e-6 * (1 + noise));
            CHECK_EQ(state.done, may_end && kind % 3 == 0);
            CHECK_EQ(state.steps, 5 + (kind % 3 != 2));
            CHECK_EQ(state.ticket, 0);
            CHECK_EQ(state.moved_bits, 0);
            /* Done, nothing is summed up any more. */
            state.done = 1;
            state.ticket = 3;
            right = state;
            pass.state = device_copy(&state, 1);
            pf_cuda_summarise(cuda, &pass, may_end);
            fetch(&state, pass.state, 1);
            CHECK(memcmp(&state, &right, sizeof(state)) == 0);
            GPU(cudaFree(pass.cells));
            GPU(cudaFree(pass.partial));
            free(say);
            finish(cuda);
        }
}

TEST(cuda_level_begins_with_what_is_in_its_middle)
{
    for (int i = 0; i < SIZES; i++)
        for (int order = 0; order < order_count(); order++) {
            take_order(order);
            struct pf_cuda *cuda = new_queue();
            size_t pixels = (size_t)sizes[i].width * (size_t)sizes[i].height;
            float *target = random_floats(pixels, 0, 255);
            struct pf_deform_state state, right;
            memset(&state, 0x5A, sizeof(state));
            struct pf_deform_pass pass = {};
            pass.width = sizes[i].width;
            pass.height = sizes[i].height;
            pass.target = device_copy(target, pixels);
            pass.state = device_copy(&state, 1);
            right = state;
            right.mean = target[sizes[i].height / 2 * sizes[i].width + sizes[i].width / 2];
            right.gain = 1;
            right.offset = 0;
            right.noise = 1e6f;
            right.done = 0;
            right.moved_bits = bits_of(1e30f);
            pf_cuda_begin_level(cuda, &pass);
            fetch(&state, pass.state, 1);
            CHECK(memcmp(&state, &right, sizeof(state)) == 0);
            GPU(cudaFree((void *)pass.target));
            free(target);
            finish(cuda);
        }
}
