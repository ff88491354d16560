/* Non-rigid alignment on the device: known deformations are found.
 *
 * time limit: 480
 */
#include "tests/cuda/device_test.h"

#include <stdio.h>

extern "C" {
#include "process/backend.h"
#include "process/cpu/ecc.h"
#include "process/cuda/deform.h"
#include "process/cuda/fuse.h"
#include "tests/unit/texture.h"
}

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
