/* Non-rigid alignment on the device: known deformations are found, and its kernels compute what a
 * plain program in double precision computes. */
#include "tests/cuda/device_test.h"

#include <stdio.h>

extern "C" {
#include "process/backend.h"
#include "process/cpu/ecc.h"
#include "process/cuda/deform.h"
#include "process/cuda/fuse.h"
#include "tests/unit/texture.h"
}
#include "process/cuda/deform_kernels.h"

static struct pf_cuda *queue;

static void open_queue(void)
{
    struct pf_error err = {0};
    CHECK_OK(pf_cuda_new(&queue, NULL, &err), &err);
}

/* ---- known deformations ---------------------------------------------------------------------------- */

enum { WIDTH = 360, HEIGHT = 270 };

struct bend {
    double px, period_px;
};

static void bend_at(const struct bend *bend, double x, double y, double ret[2])
{
    double k = 2 * M_PI / bend->period_px;
    ret[0] = bend->px * sin(k * x + 0.7) * cos(0.8 * k * y);
    ret[1] = bend->px * cos(0.9 * k * x) * sin(k * y + 0.4);
}

/* A frame that shows at h * r + bend(r) what the reference shows at r. */
static struct pf_image *bent_frame(const double h[9], const struct bend *bend, double finest,
                                   double gain, uint32_t strangers)
{
    double inverse[9], identity[9];
    pf_homography_identity(identity);
    struct pf_image *frame = texture_frame(7, WIDTH, HEIGHT, identity, 0, 1);
    pf_homography_invert(inverse, h);
    for (int y = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
            double rx, ry, d[2] = {0, 0};
            for (int i = 0; i < 30; i++) {
                pf_homography_apply(inverse, x - d[0], y - d[1], &rx, &ry);
                bend_at(bend, rx, ry, d);
            }
            /* Something else is in the middle of the frame. */
            bool strange = strangers && hypot(x - 180, y - 120) < 40;
            double value = gain * texture_at(strange ? strangers : 7, rx, ry, finest) + 0.5;
            ((uint8_t *)frame->plane[0])[(size_t)y * frame->stride_bytes[0] + (size_t)x] =
                (uint8_t)(value < 0     ? 0
                          : value > 255 ? 255
                                        : value);
        }
    }
    return frame;
}

static struct pf_cuda_pyramid pyramid_of(struct pf_image *frame)
{
    struct pf_error err = {0};
    struct pf_cuda_pyramid pyramid;
    memset(&pyramid, 0, sizeof(pyramid));
    size_t count = (size_t)frame->width * (size_t)frame->height;
    int16_t *samples = (int16_t *)malloc(count * sizeof(*samples));
    for (int y = 0; y < frame->height; y++)
        for (int x = 0; x < frame->width; x++)
            samples[y * frame->width + x] =
                (int16_t)(PF_GREY *
                          ((uint8_t *)
                               frame->plane[0])[(size_t)y * frame->stride_bytes[0] + (size_t)x]);
    struct pf_cuda_grid size = {frame->width, frame->height, frame->width};
    int16_t *device_samples = device_copy(samples, count);
    float *light = device_copy<float>(NULL, count);
    pf_cuda_light(queue, light, device_samples, &size);
    CHECK_OK(
        pf_cuda_pyramid_of_light(queue, &pyramid, light, frame->width, frame->height, 1, 0, &err),
        &err);
    CHECK_OK(pf_cuda_wait(queue, &err), &err);
    GPU(cudaFree(device_samples));
    GPU(cudaFree(light));
    free(samples);
    pf_image_free(frame);
    return pyramid;
}

struct errors {
    double mean_px, most_px, least_jacobian;
    struct pf_cuda_deform_report report;
};

/* Mean and largest error of start and field together, but for the border. */
static void measure(struct errors *ret, const struct pf_field *field, const double h[9],
                    const double start[9], const struct bend *bend, uint32_t strangers)
{
    int count = 0;
    for (int y = 12; y < HEIGHT - 12; y += 3) {
        for (int x = 12; x < WIDTH - 12; x += 3) {
            if (strangers && hypot(x - 180, y - 120) < 70)
                continue;
            double truth_x, truth_y, x1, y1, d[2], found[2];
            pf_homography_apply(h, x, y, &truth_x, &truth_y);
            bend_at(bend, x, y, d);
            pf_homography_apply(start, x, y, &x1, &y1);
            pf_field_at(field, x, y, found);
            double error = hypot(x1 + found[0] - truth_x - d[0], y1 + found[1] - truth_y - d[1]);
            ret->mean_px += error;
            ret->most_px = fmax(ret->most_px, error);
            count++;
        }
    }
    ret->mean_px /= count;
}

static struct errors errors_of(enum pf_cuda_deform_method method, const double h[9],
                               const double start[9], const struct bend *bend, double finest,
                               double gain, uint32_t strangers)
{
    double identity[9];
    struct pf_error err = {0};
    struct errors errors;
    memset(&errors, 0, sizeof(errors));
    pf_homography_identity(identity);
    struct pf_cuda_pyramid target = pyramid_of(texture_frame(7, WIDTH, HEIGHT, identity, 0, 1));
    struct pf_cuda_pyramid image = pyramid_of(bent_frame(h, bend, finest, gain, strangers));
    struct pf_cuda_deform *deform = NULL;
    struct pf_field *field = NULL;
    struct pf_cuda_deform_options options = {method, 24, 0};
    CHECK_OK(pf_cuda_deform_new(&deform, queue, &err), &err);
    struct pf_warp begin;
    begin.field = NULL;
    memcpy(begin.h, start, sizeof(begin.h));
    CHECK_OK(
        pf_cuda_deform_run(deform, &target, &image, &begin, &options, &field, &errors.report, &err),
        &err);
    measure(&errors, field, h, start, bend, strangers);
    errors.least_jacobian = pf_field_look(field, WIDTH, HEIGHT).least_jacobian;
    pf_field_free(field);
    pf_cuda_deform_free(deform);
    pf_cuda_pyramid_free(queue, &target);
    pf_cuda_pyramid_free(queue, &image);
    return errors;
}
static const double SHIFTED[9] = {1.002, 0.001, 1.6, -0.001, 1.002, -1.2, 0, 0, 1};

TEST(cuda_bspline_finds_a_known_deformation)
{
    static const struct bend bend = {3, 150};
    open_queue();
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        struct errors errors = errors_of(PF_CUDA_BSPLINE, SHIFTED, SHIFTED, &bend, 0, 0.9, 0);
        CHECK(errors.mean_px <= 0.10);
        CHECK(errors.most_px <= 0.5);
        CHECK(errors.report.fit.correlation > 0.99);
    }
    pf_cuda_free(queue);
}

TEST(cuda_flow_finds_a_known_deformation)
{
    static const struct bend bend = {3, 150};
    open_queue();
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        struct errors errors = errors_of(PF_CUDA_FLOW, SHIFTED, SHIFTED, &bend, 0, 0.9, 0);
        CHECK(errors.mean_px <= 0.15);
        CHECK(errors.most_px <= 0.8);
        CHECK(errors.report.fit.correlation > 0.99);
        CHECK(errors.report.trusted > 0.8);
    }
    pf_cuda_free(queue);
}

TEST(cuda_syn_finds_a_known_deformation)
{
    static const struct bend bend = {3, 150};
    open_queue();
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        struct errors errors = errors_of(PF_CUDA_SYN, SHIFTED, SHIFTED, &bend, 0, 0.9, 0);
        CHECK(errors.mean_px <= 0.15);
        CHECK(errors.most_px <= 0.8);
        CHECK(errors.report.fit.correlation > 0.99);
        CHECK(errors.report.trusted > 0.95);
    }
    pf_cuda_free(queue);
}

/* Displacements of 9 px that turn round within 60. */
TEST(cuda_syn_follows_what_bends_much_and_does_not_fold)
{
    static const struct bend bend = {9, 130};
    open_queue();
    /* bspline's errors here are 0.24 px on average, flow's 0.40 */
    struct errors bent = errors_of(PF_CUDA_SYN, SHIFTED, SHIFTED, &bend, 0, 0.9, 0);
    CHECK(bent.mean_px <= 0.10 && bent.most_px <= 1.5);
    CHECK(bent.report.trusted > 0.99);
    CHECK(bent.least_jacobian > 0.2);
    /* Beside a stranger less is asked. */
    static const struct bend less = {5, 150};
    struct errors strange = errors_of(PF_CUDA_SYN, SHIFTED, SHIFTED, &less, 0, 1, 3);
    CHECK(strange.mean_px <= 0.10 && strange.most_px <= 1.5);
    CHECK(strange.least_jacobian > 0.1);
    pf_cuda_free(queue);
}

TEST(cuda_deformation_is_found_through_defocus_and_beside_strangers)
{
    static const struct bend bend = {2, 180};
    double identity[9];
    pf_homography_identity(identity);
    open_queue();
    /* without all detail finer than 12 pixels, and from a start that is off by two pixels */
    struct errors blurred = errors_of(PF_CUDA_BSPLINE, SHIFTED, identity, &bend, 12, 1, 0);
    struct errors strange = errors_of(PF_CUDA_BSPLINE, SHIFTED, SHIFTED, &bend, 0, 1, 3);
    struct errors flow_blurred = errors_of(PF_CUDA_FLOW, SHIFTED, identity, &bend, 12, 1, 0);
    struct errors flow_strange = errors_of(PF_CUDA_FLOW, SHIFTED, SHIFTED, &bend, 0, 1, 3);
    CHECK(blurred.mean_px <= 0.65 && flow_blurred.mean_px <= 0.75);
    CHECK(strange.mean_px <= 0.12 && flow_strange.mean_px <= 0.35);
    CHECK(flow_strange.report.trusted < 0.95);
    pf_cuda_free(queue);
}

/* What shows nothing moves nothing. */
TEST(cuda_deformation_survives_what_shows_nothing)
{
    static const struct bend none = {0, 100};
    struct pf_error err = {0};
    double identity[9];
    pf_homography_identity(identity);
    open_queue();
    for (int method = PF_CUDA_FLOW; method <= PF_CUDA_SYN; method++) {
        struct pf_cuda_pyramid flat = pyramid_of(bent_frame(identity, &none, 0, 0, 0));
        struct pf_cuda_deform *deform = NULL;
        struct pf_field *field = NULL;
        struct pf_cuda_deform_report report;
        struct pf_cuda_deform_options options = {(enum pf_cuda_deform_method)method, 24, 0};
        CHECK_OK(pf_cuda_deform_new(&deform, queue, &err), &err);
        struct pf_warp begin;
        begin.field = NULL;
        pf_homography_identity(begin.h);
        CHECK_OK(pf_cuda_deform_run(deform, &flat, &flat, &begin, &options, &field, &report, &err),
                 &err);
        for (int i = 0; i < field->columns * field->rows; i++)
            CHECK(fabsf(field->nodes[i][0]) < 1e-6f && fabsf(field->nodes[i][1]) < 1e-6f);
        CHECK_NEAR(report.fit.correlation, 0, 1e-9);
        field = pf_field_free(field);
        /* And pictures that do not meet at all are told. */
        begin.h[2] = 5000;
        CHECK_EQ(pf_cuda_deform_run(deform, &flat, &flat, &begin, &options, &field, &report, &err),
                 -ENODATA);
        CHECK(strstr(err.text, "nothing in common"));
        pf_error_clear(&err);
        pf_cuda_deform_free(deform);
        pf_cuda_pyramid_free(queue, &flat);
    }
    pf_cuda_free(queue);
}

/* Through the engine, from a first frame to the second's field. */
TEST(cuda_engine_finds_a_deformation)
{
    static const struct bend bend = {3, 150};
    double identity[9];
    struct pf_error err = {0};
    void *kept = NULL;
    char name[300];
    pf_homography_identity(identity);
    CHECK_OK(pf_backend_cuda.start(&kept, name, sizeof(name), &err), &err);
    for (int align = PF_ALIGN_FLOW; align <= PF_ALIGN_SYN; align++) {
        struct pf_stack_settings settings;
        memset(&settings, 0, sizeof(settings));
        settings.kept = kept;
        settings.align = (enum pf_align)align;
        settings.motion = PF_MOTION_SIMILARITY;
        settings.min_correlation = 0.5;
        struct pf_image *first = texture_frame(7, WIDTH, HEIGHT, identity, 0, 1);
        struct pf_image *second = bent_frame(SHIFTED, &bend, 0, 0.9, 0);
        const struct pf_backend *backend = &pf_backend_cuda;
        void *engine = NULL;
        struct pf_focus focus;
        double contrast;
        struct pf_warp warp;
        struct pf_light_match light = {1, {1, 1, 1}};
        struct pf_field *field = NULL;
        struct pf_fit fit;
        warp.field = NULL;
        pf_homography_identity(warp.h);
        CHECK_OK(backend->open(&engine, &settings, NULL, &err), &err);
        CHECK_OK(backend->load(engine, first, NULL, &focus, &contrast, &err), &err);
        CHECK_OK(backend->fuse(engine, &warp, &light, 0, &err), &err);
        backend->keep(engine);
        for (int target = PF_TARGET_PREDECESSOR; target <= PF_TARGET_STACK; target++) {
            struct errors errors = {0};
            CHECK_OK(backend->load(engine, second, NULL, &focus, &contrast, &err), &err);
            memcpy(warp.h, SHIFTED, sizeof(warp.h));
            /* Begun with what was found before, it finds the same. */
            struct pf_field *expected = field;
            warp.field = expected;
            CHECK_OK(backend->deform(engine, (enum pf_target)target, &warp, &field, &fit, &err),
                     &err);
            pf_field_free(expected);
            measure(&errors, field, SHIFTED, SHIFTED, &bend, 0);
            CHECK(errors.mean_px <= (align == PF_ALIGN_FLOW ? 0.15 : 0.10));
            CHECK(fit.correlation > 0.98 && fit.overlap > 0.9);
        }
        pf_field_free(field);
        /* Another picture has nothing that could be believed. */
        struct pf_image *stranger = texture_frame(99, WIDTH, HEIGHT, identity, 0, 1);
        pf_homography_identity(warp.h);
        warp.field = NULL;
        CHECK_OK(backend->load(engine, stranger, NULL, &focus, &contrast, &err), &err);
        int r = backend->deform(engine, PF_TARGET_STACK, &warp, &field, &fit, &err);
        CHECK(r == -ENODATA || (r == 0 && fmax(fit.correlation, fit.agreement) < 0.5));
        if (r == 0)
            pf_field_free(field);
        backend->close(engine);
        pf_image_free(first);
        pf_image_free(second);
        pf_image_free(stranger);
    }
    pf_backend_cuda.stop(kept);
}

/* ---- the kernels ---------------------------------------------------------------------------------- */

/* The pass over the pixels, as a plain program has it, in double precision. */
static void look_as_a_plain_program(const int COLUMNS, const int ROWS)
{
    enum { W = 45, H = 38, MOST = 32 };
    static float target[W * H], image[W * H];
    static struct pf_cell cells[MOST];
    float2 displacement[MOST];
    const double h[9] = {1.01, 0.02, 0.7, -0.015, 0.99, -0.4, 1e-4, -2e-4, 1};
    for (int i = 0; i < W * H; i++) {
        target[i] = (float)texture_at(3, i % W, i / W, 0);
        image[i] = (float)texture_at(3, i % W + 0.4, i / W - 0.3, 0);
    }
    for (int i = 0; i < COLUMNS * ROWS; i++)
        displacement[i] = make_float2(0.3f * (float)(i % 5) - 0.6f, 0.2f * (float)(i % 3));
    struct pf_deform_state state;
    memset(&state, 0, sizeof(state));
    state.gain = 0.93f;
    state.offset = 2.5f;
    state.mean = 120;
    state.noise = 9;
    open_queue();
    struct pf_error err = {0};
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        struct pf_deform_pass pass;
        memset(&pass, 0, sizeof(pass));
        pass.width = pass.image_width = W;
        pass.height = pass.image_height = H;
        pass.warp = pf_short_warp_of(h, W, H);
        pass.grid.columns = COLUMNS;
        pass.grid.rows = ROWS;
        pass.grid.width = (float)W / COLUMNS;
        pass.grid.height = (float)H / ROWS;
        pass.target = device_copy(target, W * H);
        pass.image = device_copy(image, W * H);
        pass.displacement = device_copy(displacement, COLUMNS * ROWS);
        pass.state = device_copy(&state, 1);
        pass.cells = device_copy<struct pf_cell>(NULL, COLUMNS * ROWS);
        pf_cuda_look(queue, &pass);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        fetch(cells, pass.cells, COLUMNS * ROWS);
        static double expected[MOST][6]; /* xx, xy, yy, x, y, count */
        memset(expected, 0, sizeof(expected));
        for (int y = 1; y < H - 1; y++)
            for (int x = 1; x < W - 1; x++) {
                int column = (int)((x + 0.5) * COLUMNS / W), row = (int)((y + 0.5) * ROWS / H);
                double u = fmin(fmax((x + 0.5) * COLUMNS / W - 0.5, 0), COLUMNS - 1);
                double v = fmin(fmax((y + 0.5) * ROWS / H - 0.5, 0), ROWS - 1), d[2], px, py;
                int i = (int)fmax(fmin(u, COLUMNS - 2), 0), j = (int)fmax(fmin(v, ROWS - 2), 0);
                for (int axis = 0; axis < 2; axis++) {
                    double corner[4];
                    for (int k = 0; k < 4; k++) {
                        int right = i + 1 < COLUMNS ? k % 2 : 0, below = j + 1 < ROWS ? k / 2 : 0;
                        float2 at = displacement[(j + below) * COLUMNS + i + right];
                        corner[k] = axis ? (double)at.y : (double)at.x;
                    }
                    double upper = corner[0] + (u - i) * (corner[1] - corner[0]);
                    double lower = corner[2] + (u - i) * (corner[3] - corner[2]);
                    d[axis] = upper + (v - j) * (lower - upper);
                }
                pf_homography_apply(h, x, y, &px, &py);
                px += d[0];
                py += d[1];
                int ix = (int)floor(px), iy = (int)floor(py);
                if (ix < 1 || iy < 1 || ix > W - 3 || iy > H - 3)
                    continue;
                double sample[5]; /* here, right, left, below, above */
                static const int steps[5][2] = {{0, 0}, {1, 0}, {-1, 0}, {0, 1}, {0, -1}};
                for (int k = 0; k < 5; k++) {
                    const float *at = image + (iy + steps[k][1]) * W + ix + steps[k][0];
                    double tx = px - ix, ty = py - iy;
                    sample[k] = (1 - ty) * ((1 - tx) * (double)at[0] + tx * (double)at[1]) +
                                ty * ((1 - tx) * (double)at[W] + tx * (double)at[W + 1]);
                }
                const float *t = target + y * W + x;
                double gain = (double)state.gain;
                double gx = 0.25 * ((double)t[1] - (double)t[-1] + gain * (sample[1] - sample[2]));
                double gy = 0.25 * ((double)t[W] - (double)t[-W] + gain * (sample[3] - sample[4]));
                double error = (double)*t - 120 - gain * (sample[0] - 120) - (double)state.offset;
                double say = 1 / (1 + error * error / (6.25 * 9));
                double *e = expected[row * COLUMNS + column];
                double pull = error + gx * d[0] + gy * d[1];
                e[0] += say * gx * gx / 9;
                e[1] += say * gx * gy / 9;
                e[2] += say * gy * gy / 9;
                e[3] += say * gx * pull / 9;
                e[4] += say * gy * pull / 9;
                e[5] += say;
            }
        for (int k = 0; k < COLUMNS * ROWS; k++) {
            const float found[6] = {cells[k].xx, cells[k].xy, cells[k].yy,
                                    cells[k].x,  cells[k].y,  cells[k].count};
            for (int m = 0; m < 6; m++)
                CHECK_NEAR(found[m], expected[k][m], 1e-3 * (1 + fabs(expected[k][m])));
        }
        GPU(cudaFree((void *)pass.target));
        GPU(cudaFree((void *)pass.image));
        GPU(cudaFree(pass.displacement));
        GPU(cudaFree(pass.state));
    }
    pf_cuda_free(queue);
}

/* Cells of few pixels, which a thread has each, and of many, which a block has. */
TEST(cuda_look_is_what_a_plain_program_sees)
{
    look_as_a_plain_program(8, 4);
    look_as_a_plain_program(2, 1);
    look_as_a_plain_program(1, 3);
}

/* Cells that say what a spline is at their middles, and know it well, give that spline back. */
static void solve_what_is_known(struct pf_cells grid)
{
    int columns = pf_node_columns(&grid), count = columns * pf_node_rows(&grid);
    int cells = grid.columns * grid.rows;
    float2 *truth = (float2 *)calloc((size_t)count, sizeof(*truth));
    float2 *found = (float2 *)calloc((size_t)count, sizeof(*found));
    float2 *spread = (float2 *)calloc((size_t)cells, sizeof(*spread));
    struct pf_cell *say = (struct pf_cell *)calloc((size_t)cells, sizeof(*say));
    struct pf_deform_state state;
    struct pf_error err = {0};
    memset(&state, 0, sizeof(state));
    for (int k = 0; k < count; k++)
        truth[k] =
            make_float2(sinf(0.7f * (float)(k % columns)), cosf(0.9f * (float)(k / columns)));
    open_queue();
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        float2 *device_nodes = device_copy(truth, (size_t)count);
        float2 *device_spread = device_copy(spread, (size_t)cells);
        struct pf_deform_state *device_state = device_copy(&state, 1);
        pf_cuda_spread_nodes(queue, device_spread, device_nodes, &grid, device_state);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        fetch(found, device_nodes, (size_t)count);
        float2 *values = (float2 *)calloc((size_t)cells, sizeof(*values));
        fetch(values, device_spread, (size_t)cells);
        /* The spline's values are those that process/field.h has of the same nodes. */
        struct pf_field *field = NULL;
        CHECK_OK(pf_field_new_grid(&field, columns, count / columns, &err), &err);
        field->spacing_x = field->spacing_y = 16;
        field->origin_x = field->origin_y = -16.5;
        memcpy(field->nodes, truth, (size_t)count * sizeof(*field->nodes));
        for (int k = 0; k < cells; k++) {
            double d[2];
            pf_field_at(field, k % grid.columns * 4 + 1.5, k / grid.columns * 4 + 1.5, d);
            CHECK_NEAR(values[k].x, d[0], 1e-5);
            CHECK_NEAR(values[k].y, d[1], 1e-5);
            say[k].xx = 3 + (float)(k % 4);
            say[k].xy = 0.5f;
            say[k].yy = 2 + (float)(k % 3);
            say[k].x = say[k].xx * values[k].x + say[k].xy * values[k].y;
            say[k].y = say[k].xy * values[k].x + say[k].yy * values[k].y;
        }
        pf_field_free(field);
        memset(found, 0, (size_t)count * sizeof(*found));
        device_nodes = device_copy(found, (size_t)count);
        struct pf_cell *device_say = device_copy(say, (size_t)cells);
        char *room = device_copy<char>(NULL, pf_cuda_solve_bytes(&grid));
        pf_cuda_solve_nodes(queue, device_nodes, device_say, &grid, 1e-6f, room, device_state);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        fetch(found, device_nodes, (size_t)count);
        device_spread = device_copy(spread, (size_t)cells);
        device_nodes = device_copy(found, (size_t)count);
        pf_cuda_spread_nodes(queue, device_spread, device_nodes, &grid, device_state);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        float2 *again = (float2 *)calloc((size_t)cells, sizeof(*again));
        fetch(again, device_spread, (size_t)cells);
        for (int k = 0; k < cells; k++) {
            CHECK_NEAR(again[k].x, values[k].x, 2e-3);
            CHECK_NEAR(again[k].y, values[k].y, 2e-3);
        }
        free(again);
        free(values);
        GPU(cudaFree(device_nodes));
        GPU(cudaFree(device_say));
        GPU(cudaFree(room));
        GPU(cudaFree(device_state));
    }
    free(truth);
    free(found);
    free(spread);
    free(say);
    pf_cuda_free(queue);
}

/* Few, which one block solves for, and more, for which all share the work. */
TEST(cuda_nodes_are_those_that_the_cells_come_from)
{
    struct pf_cells few = {20, 12, 4, 4}, many = {132, 64, 4, 4};
    CHECK(many.columns * many.rows > PF_CELLS_OF_ONE_BLOCK);
    solve_what_is_known(few);
    solve_what_is_known(many);
}

/* Where nothing is known, the start stays; and a state that is done is left alone. */
TEST(cuda_nodes_stay_where_nothing_is_known)
{
    static const struct pf_cells grids[] = {{4, 4, 4, 4}, {132, 64, 4, 4}};
    struct pf_error err = {0};
    open_queue();
    for (int k = 0; k < 4; k++) {
        const struct pf_cells *grid = &grids[k / 2];
        take_order(k % order_count());
        int count = pf_node_columns(grid) * pf_node_rows(grid), cells = grid->columns * grid->rows;
        float2 *nodes = (float2 *)calloc((size_t)count, sizeof(*nodes));
        struct pf_cell *say = (struct pf_cell *)calloc((size_t)cells, sizeof(*say));
        struct pf_deform_state state;
        memset(&state, 0, sizeof(state));
        state.done = k % 2;
        for (int i = 0; i < cells && state.done; i++)
            say[i].xx = say[i].yy = say[i].x = 1;
        for (int i = 0; i < count; i++)
            nodes[i] = make_float2((float)i, 1);
        float2 *device_nodes = device_copy(nodes, (size_t)count);
        struct pf_cell *device_say = device_copy(say, (size_t)cells);
        struct pf_deform_state *device_state = device_copy(&state, 1);
        char *room = device_copy<char>(NULL, pf_cuda_solve_bytes(grid));
        pf_cuda_solve_nodes(queue, device_nodes, device_say, grid, 0.003f, room, device_state);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        fetch(nodes, device_nodes, (size_t)count);
        for (int i = 0; i < count; i++)
            CHECK(nodes[i].x == (float)i && nodes[i].y == 1);
        GPU(cudaFree(device_say));
        GPU(cudaFree(device_state));
        GPU(cudaFree(room));
        free(nodes);
        free(say);
    }
    pf_cuda_free(queue);
}

/* Cells of a grid that no number of blocks divides, and of one that has none but its own. */
TEST(cuda_summary_is_that_of_all_cells)
{
    static const struct pf_cells grids[] = {{1, 1, 4, 4}, {37, 29, 4, 4}, {300, 113, 4, 4}};
    struct pf_error err = {0};
    open_queue();
    for (int k = 0; k < 6; k++) {
        take_order(k % order_count());
        struct pf_deform_pass pass;
        memset(&pass, 0, sizeof(pass));
        pass.grid = grids[k / 2];
        pass.width = 4 * pass.grid.columns;
        pass.height = 4 * pass.grid.rows;
        int cells = pass.grid.columns * pass.grid.rows;
        struct pf_cell *say = (struct pf_cell *)calloc((size_t)cells, sizeof(*say));
        double sum[8] = {0};
        uint32_t random = 7;
        for (int i = 0; i < cells; i++) {
            float *value = (float *)&say[i];
            for (size_t m = 0; m < sizeof(*say) / sizeof(float); m++) {
                random = random * 1664525u + 1013904223u;
                value[m] = (float)(random >> 8) * (1.0f / (1 << 24));
            }
            say[i].count += 10;
            say[i].tt += 3 * say[i].t;
            say[i].ii += 3 * say[i].i;
            const float numbers[8] = {say[i].count,
                                      say[i].t,
                                      say[i].i,
                                      say[i].tt,
                                      say[i].ii,
                                      say[i].ti,
                                      0.5f * (say[i].xx + say[i].yy),
                                      say[i].remains};
            for (int m = 0; m < 8; m++)
                sum[m] += (double)numbers[m];
        }
        struct pf_deform_state state;
        memset(&state, 0, sizeof(state));
        pass.cells = device_copy(say, (size_t)cells);
        pass.state = device_copy(&state, 1);
        pass.partial = device_copy<double>(NULL, PF_DEFORM_PARTIALS);
        pf_cuda_summarise(queue, &pass, false);
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        fetch(&state, pass.state, 1);
        struct pf_fit_sums sums = {sum[0], sum[1], sum[2], sum[3], sum[4], sum[5]};
        struct pf_ecc_fit_numbers fit = pf_ecc_fit_of(&sums, (double)pass.width * pass.height);
        CHECK_NEAR(state.correlation, fit.correlation, 1e-9);
        CHECK_NEAR(state.overlap, fit.overlap, 1e-9);
        CHECK_NEAR(state.information, sum[6] / cells, 1e-6);
        CHECK_EQ(state.ticket, 0);
        CHECK_EQ(state.steps, 1);
        GPU(cudaFree(pass.cells));
        GPU(cudaFree(pass.partial));
        free(say);
    }
    pf_cuda_free(queue);
}
