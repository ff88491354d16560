/* Alignment on the device finds what the CPU finds. */
#include "tests/cuda/device_test.h"

#include <stdio.h>

extern "C" {
#include "process/cpu/alignment.h"
#include "process/cpu/ecc.h"
#include "process/cuda/ecc.h"
#include "process/cuda/fuse.h"
#include "tests/unit/texture.h"
}

static struct pf_cuda *queue;

static void open_queue(void)
{
    struct pf_error err = {0};
    CHECK_OK(pf_cuda_new(&queue, NULL, &err), &err);
}

/* The same picture for both worlds. */
struct view {
    struct pf_image *frame;
    struct pf_source_plane luma;
    struct pf_ecc_pyramid host;
    struct pf_cuda_pyramid device;
};

static struct view view_of(struct pf_image *frame, double gain)
{
    struct pf_error err = {0};
    struct view view;
    memset(&view, 0, sizeof(view));
    view.frame = frame;
    view.luma.samples = frame->plane[0];
    view.luma.stride_bytes = frame->stride_bytes[0];
    view.luma.width = frame->width;
    view.luma.height = frame->height;
    view.luma.bits = 8;
    view.luma.scale = (float)(PF_GREY * gain);
    CHECK_OK(pf_ecc_pyramid_of_source(&view.host, &view.luma, pf_kernels(0), NULL, &err), &err);
    /* The device's pyramid begins with the CPU's finest picture: that one is compared elsewhere. */
    const struct pf_ecc_level *finest = &view.host.level[0];
    float *light = device_copy(finest->pixels, (size_t)finest->width * (size_t)finest->height);
    CHECK_OK(pf_cuda_pyramid_of_light(queue, &view.device, light, finest->width, finest->height,
                                      finest->scale, finest->offset, &err),
             &err);
    CHECK_OK(pf_cuda_wait(queue, &err), &err);
    GPU(cudaFree(light));
    return view;
}

static void free_view(struct view *view)
{
    pf_ecc_pyramid_free(&view->host);
    pf_cuda_pyramid_free(queue, &view->device);
    pf_image_free(view->frame);
}

static struct pf_image *picture(uint32_t seed, int width, int height, const double *h,
                                double finest, double gain)
{
    double identity[9];
    pf_homography_identity(identity);
    return texture_frame(seed, width, height, h ? h : identity, finest, gain);
}

static void check_pyramids_alike(const struct pf_ecc_pyramid *host,
                                 const struct pf_cuda_pyramid *device, double within)
{
    struct pf_error err = {0};
    CHECK_EQ(device->levels.count, host->count);
    for (int i = 0; i < host->count; i++) {
        const struct pf_ecc_level *a = &host->level[i], *b = &device->levels.level[i];
        CHECK_EQ(a->width, b->width);
        CHECK_EQ(a->height, b->height);
        CHECK(a->scale == b->scale && a->offset == b->offset);
        size_t count = (size_t)a->width * (size_t)a->height;
        float *pixels = (float *)malloc(count * sizeof(float));
        pf_cuda_download(queue, pixels, b->pixels, count * sizeof(float));
        CHECK_OK(pf_cuda_wait(queue, &err), &err);
        for (size_t k = 0; k < count; k++)
            if (!(fabsf(pixels[k] - a->pixels[k]) <= (float)within))
                FAIL("level %d, pixel %zu: %g on the CPU, %g here", i, k, (double)a->pixels[k],
                     (double)pixels[k]);
        free(pixels);
    }
}

TEST(cuda_pyramid_of_light_is_the_cpus)
{
    static const int sizes[][2] = {{97, 61}, {639, 45}, {641, 183}, {1, 1}, {5, 700}, {200, 80}};
    struct pf_error err = {0};
    open_queue();
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            struct view view = view_of(picture(5, sizes[i][0], sizes[i][1], NULL, 0, 1), 0.97);
            check_pyramids_alike(&view.host, &view.device, 1e-4 * 255 / 16);
            /* Made again, smaller: in the same memory. */
            const float *memory = view.device.memory;
            CHECK_OK(pf_cuda_pyramid_of_light(queue, &view.device, memory + 1, 1, 1, 1, 0, &err),
                     &err);
            CHECK(view.device.memory == memory && view.device.levels.count == 1);
            free_view(&view);
        }
    }
    pf_cuda_free(queue);
}

TEST(cuda_bends_are_those_of_the_cpus_pictures)
{
    static const int sizes[][2] = {{97, 61}, {639, 45}, {3210, 183}, {1, 1}, {2, 5}, {5, 700}};
    enum { CELLS = PF_FOCUS_GRID * PF_FOCUS_GRID };
    struct pf_error err = {0};
    open_queue();
    for (int order = 0; order < order_count(); order++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            take_order(order);
            struct view view = view_of(picture(5, sizes[i][0], sizes[i][1], NULL, 0, 1), 0.97);
            static struct pf_focus focus;
            memset(&focus, 0, sizeof(focus));
            CHECK_OK(pf_alignment_measure(&view.host, NULL, &focus, &err), &err);
            for (int k = 0; k < PF_FOCUS_REDUCED && k < view.host.count; k++) {
                float got[CELLS], *cells = device_copy<float>(NULL, CELLS);
                pf_cuda_measure_bends(queue, &view.device.levels.level[k], PF_FOCUS_GRID, cells);
                GPU(cudaDeviceSynchronize());
                fetch(got, cells, CELLS);
                for (int c = 0; c < CELLS; c++)
                    CHECK_NEAR(got[c], focus.reduced[k][c],
                               2e-5 * (1 + (double)focus.reduced[k][c]));
            }
            free_view(&view);
        }
    pf_cuda_free(queue);
}

/* Corner distance between what the CPU and the device find; both by the same start. */
struct outcome {
    double apart_px, error_px; /* from one another; of the device from the truth */
    struct pf_ecc_fit host, device;
    double h[9];
};

static struct outcome align_both(enum pf_motion motion, int width, int height,
                                 const double truth[9], double finest, double gain, uint32_t seed,
                                 bool search, int levels)
{
    struct pf_error err = {0};
    struct outcome outcome;
    memset(&outcome, 0, sizeof(outcome));
    struct view target = view_of(picture(7, width, height, NULL, 0, 1), 1);
    struct view image = view_of(picture(seed, width, height, truth, finest, gain), 1);
    struct pf_ecc *host = NULL;
    struct pf_cuda_ecc *device = NULL;
    double host_h[9];
    pf_homography_identity(host_h);
    pf_homography_identity(outcome.h);
    CHECK_OK(pf_ecc_new(&host, pf_kernels(0), NULL, &err), &err);
    CHECK_OK(pf_cuda_ecc_new(&device, queue, &err), &err);
    CHECK_OK(pf_ecc_align(host, &target.host, &image.host, motion, search, levels, host_h,
                          &outcome.host, &err),
             &err);
    CHECK_OK(pf_cuda_ecc_align(device, &target.device, &image.device, motion, search, levels,
                               outcome.h, &outcome.device, NULL, &err),
             &err);
    outcome.apart_px = pf_homography_corner_distance(host_h, outcome.h, width, height);
    outcome.error_px = pf_homography_corner_distance(truth, outcome.h, width, height);
    struct pf_ecc_fit judged, host_judged;
    CHECK_OK(pf_cuda_ecc_judge(device, &target.device, &image.device, host_h, &judged, &err), &err);
    CHECK_OK(pf_ecc_judge(host, &target.host, &image.host, host_h, &host_judged, &err), &err);
    CHECK_NEAR(judged.correlation, host_judged.correlation, 2e-4);
    CHECK_NEAR(judged.agreement, host_judged.agreement, 2e-4);
    CHECK_NEAR(judged.overlap, host_judged.overlap, 2e-3);
    double contrast;
    CHECK_OK(pf_cuda_ecc_contrast(device, &image.device, &contrast, &err), &err);
    CHECK_NEAR(contrast, pf_ecc_contrast(&image.host), 1e-3);
    pf_cuda_ecc_free(device);
    pf_ecc_free(host);
    free_view(&target);
    free_view(&image);
    return outcome;
}

TEST(cuda_ecc_finds_each_motion_as_the_cpu_does)
{
    static const struct {
        enum pf_motion motion;
        double h[9];
    } cases[] = {
        {PF_MOTION_SHIFT, {1, 0, 5.3, 0, 1, -7.8, 0, 0, 1}},
        {PF_MOTION_SHIFT, {1, 0, 47.25, 0, 1, -30.5, 0, 0, 1}}, /* a seventh of the picture */
        {PF_MOTION_SIMILARITY, {1.02, 0.01, -6, -0.01, 1.02, 4.5, 0, 0, 1}},
        {PF_MOTION_AFFINE, {1.02, 0.015, -6, -0.005, 0.985, 4.5, 0, 0, 1}},
        {PF_MOTION_HOMOGRAPHY, {1.01, 0.005, -3, -0.006, 0.99, 4.5, 2e-5, -1e-5, 1}},
    };
    open_queue();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        take_order((int)i % order_count());
        struct outcome outcome =
            align_both(cases[i].motion, 331, 227, cases[i].h, 0, 0.9, 7, true, 0);
        CHECK_NEAR(outcome.apart_px, 0, 0.02);
        CHECK_NEAR(outcome.error_px, 0, 0.1);
        CHECK_NEAR(outcome.device.correlation, outcome.host.correlation, 1e-3);
        CHECK_NEAR(outcome.device.agreement, outcome.host.agreement, 1e-3);
        CHECK_NEAR(outcome.device.overlap, outcome.host.overlap, 1e-3);
    }
    pf_cuda_free(queue);
}

/* At the size where a frame is halved first, in two levels, blurred, as against the stack. */
TEST(cuda_ecc_refines_against_a_blurred_picture)
{
    static const double h[9] = {1.002, 0.001, -1.5, -0.001, 1.002, 1.25, 0, 0, 1};
    open_queue();
    struct outcome outcome = align_both(PF_MOTION_SIMILARITY, 700, 321, h, 20, 1, 7, false, 2);
    CHECK_NEAR(outcome.apart_px, 0, 0.02);
    CHECK_NEAR(outcome.device.correlation, outcome.host.correlation, 1e-3);
    CHECK_NEAR(outcome.device.agreement, outcome.host.agreement, 1e-3);
    pf_cuda_free(queue);
}

/* From 400 columns on, what a frame's halves have, blocks have the last word; and little picture is
 * left for them where a motion is large. */
TEST(cuda_ecc_by_blocks_is_the_cpus)
{
    static const struct {
        enum pf_motion motion;
        double finest, gain, h[9];
        int levels;
    } cases[] = {
        {PF_MOTION_SIMILARITY, 0, 0.9, {1.002, 0.001, -1.5, -0.001, 1.002, 1.25, 0, 0, 1}},
        {PF_MOTION_SIMILARITY, 15, 1, {0.996, -0.002, 3.5, 0.002, 0.996, 2.25, 0, 0, 1}},
        {PF_MOTION_HOMOGRAPHY, 0, 1, {1.004, 0.002, -3, -0.003, 0.997, 2.5, 4e-6, -3e-6, 1}},
        {PF_MOTION_SHIFT, 0, 1, {1, 0, 90.5, 0, 1, -31.5, 0, 0, 1}},
        {PF_MOTION_AFFINE, 0, 1, {1.003, 0.002, -2, -0.001, 0.998, 1.5, 0, 0, 1}},
        /* From a start that is near, on the finest levels alone; on the way what is farther judges. */
        {PF_MOTION_SIMILARITY, 0, 1, {1.0002, 0.0001, -0.5, -0.0001, 1.0002, 0.75, 0, 0, 1}, 1},
        {PF_MOTION_HOMOGRAPHY, 0, 1, {1.0003, 0.0002, -1, -0.0003, 0.9998, 0.5, 0, 0, 1}, 2},
    };
    open_queue();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        take_order((int)i % order_count());
        struct outcome outcome = align_both(cases[i].motion, 850, 330, cases[i].h, cases[i].finest,
                                            cases[i].gain, 7, !cases[i].levels, cases[i].levels);
        CHECK(outcome.host.certainty > 0);
        CHECK_NEAR(outcome.apart_px, 0, 0.005);
        CHECK_NEAR(outcome.device.certainty / outcome.host.certainty, 1, 0.01);
        CHECK_NEAR(outcome.device.correlation, outcome.host.correlation, 1e-3);
        CHECK_NEAR(outcome.device.agreement, outcome.host.agreement, 1e-3);
        CHECK_NEAR(outcome.device.overlap, outcome.host.overlap, 1e-3);
        if (!(cases[i].finest > 0))
            CHECK_NEAR(outcome.error_px, 0, 0.05);
    }
    pf_cuda_free(queue);
}

/* Few steps are queued of a level; a far start without a search takes more of the coarse ones, which are queued when
 * that has been seen. */
TEST(cuda_ecc_queues_the_rest_where_steps_were_not_enough)
{
    static const double near[9] = {1, 0, 1.5, 0, 1, -0.75, 0, 0, 1};
    static const double far[9] = {1.03, 0.02, -31, -0.02, 1.03, 22, 0, 0, 1};
    open_queue();
#ifdef PF_FIBERS
    long before = fibers.launches;
#endif
    struct outcome easy = align_both(PF_MOTION_SIMILARITY, 850, 430, near, 0, 1, 7, false, 0);
#ifdef PF_FIBERS
    long few = fibers.launches - before;
    before = fibers.launches;
#endif
    struct outcome hard = align_both(PF_MOTION_SIMILARITY, 850, 430, far, 0, 1, 7, false, 0);
#ifdef PF_FIBERS
    CHECK(fibers.launches - before > few + 20);
#endif
    CHECK_NEAR(easy.apart_px, 0, 0.005);
    CHECK_NEAR(easy.error_px, 0, 0.05);
    CHECK_NEAR(hard.apart_px, 0, 0.005);
    CHECK_NEAR(hard.error_px, 0, 0.05);
    CHECK_NEAR(hard.device.correlation, hard.host.correlation, 1e-3);
    CHECK_NEAR(hard.device.agreement, hard.host.agreement, 1e-3);
    pf_cuda_free(queue);
}

TEST(cuda_ecc_strangers_do_not_correlate)
{
    double identity[9];
    pf_homography_identity(identity);
    open_queue();
    for (int motion = PF_MOTION_SHIFT; motion <= PF_MOTION_HOMOGRAPHY; motion++) {
        struct outcome outcome =
            align_both((enum pf_motion)motion, 201, 155, identity, 0, 1, 2, true, 0);
        CHECK(outcome.device.correlation < 0.5 && outcome.device.agreement < 0.5);
    }
    pf_cuda_free(queue);
}

/* Judging and contrast alone, down to pictures that have too few pixels for a fit, and to those of more than one
 * block. Correlation loses 1e-5 of variances that are small beside squares; and a pixel at the end of a picture
 * may be there for one of them and not for the other. */
TEST(cuda_ecc_judges_as_the_cpu_does)
{
    static const int sizes[][2] = {{1, 1}, {2, 3}, {5, 4}, {17, 5}, {1, 70}, {33, 17}, {131, 75}};
    static const double maps[][9] = {{1, 0, 0.4, 0, 1, -0.7, 0, 0, 1},
                                     {1.01, 0.01, -1.3, -0.01, 0.99, 0.6, 1e-5, 0, 1}};
    struct pf_error err = {0};
    open_queue();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        for (int k = 0; k < 2 * order_count(); k++) {
            take_order(k / 2);
            int width = sizes[i][0], height = sizes[i][1];
            struct view target = view_of(picture(7, width, height, NULL, 0, 1), 1);
            struct view image = view_of(picture(7, width, height, maps[k % 2], 0, 0.9), 1);
            struct pf_ecc *host = NULL;
            struct pf_cuda_ecc *device = NULL;
            struct pf_ecc_fit fit, host_fit;
            double contrast;
            CHECK_OK(pf_ecc_new(&host, pf_kernels(0), NULL, &err), &err);
            CHECK_OK(pf_cuda_ecc_new(&device, queue, &err), &err);
            CHECK_OK(pf_ecc_judge(host, &target.host, &image.host, maps[k % 2], &host_fit, &err),
                     &err);
            CHECK_OK(
                pf_cuda_ecc_judge(device, &target.device, &image.device, maps[k % 2], &fit, &err),
                &err);
            double pixel = 1.0 / (width * height);
            CHECK_NEAR(fit.correlation, host_fit.correlation, 2e-5 + 0.1 * pixel);
            CHECK_NEAR(fit.agreement, host_fit.agreement, 2e-5 + 0.1 * pixel);
            CHECK_NEAR(fit.overlap, host_fit.overlap, 2 * pixel);
            CHECK_OK(pf_cuda_ecc_contrast(device, &image.device, &contrast, &err), &err);
            CHECK_NEAR(contrast, pf_ecc_contrast(&image.host), 1e-4);
            pf_cuda_ecc_free(device);
            pf_ecc_free(host);
            free_view(&target);
            free_view(&image);
        }
    pf_cuda_free(queue);
}

/* Pictures of one value, tiny ones: no fit, and no harm. */
TEST(cuda_ecc_survives_what_shows_nothing)
{
    static const int sizes[][2] = {{1, 1}, {2, 50}, {40, 40}, {5, 3}};
    struct pf_error err = {0};
    open_queue();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct pf_image *frame = picture(3, sizes[i][0], sizes[i][1], NULL, 0, 0);
        struct view view = view_of(frame, 1);
        struct pf_cuda_ecc *device = NULL;
        struct pf_ecc_fit fit;
        double h[9], contrast;
        pf_homography_identity(h);
        CHECK_OK(pf_cuda_ecc_new(&device, queue, &err), &err);
        CHECK_OK(pf_cuda_ecc_align(device, &view.device, &view.device, PF_MOTION_HOMOGRAPHY, true,
                                   0, h, &fit, NULL, &err),
                 &err);
        CHECK_NEAR(fit.correlation, 0, 1e-9);
        CHECK(h[0] == 1 && h[4] == 1 && h[2] == 0);
        CHECK_OK(pf_cuda_ecc_contrast(device, &view.device, &contrast, &err), &err);
        CHECK_NEAR(contrast, 0, 1e-6);
        pf_cuda_ecc_free(device);
        free_view(&view);
    }
    pf_cuda_free(queue);
}

TEST(cuda_ecc_gives_the_same_bits_every_time)
{
    static const double h[9] = {1.01, 0.004, -3, -0.004, 1.01, 2.5, 0, 0, 1};
    open_queue();
    struct outcome first = align_both(PF_MOTION_SIMILARITY, 331, 227, h, 0, 1, 7, true, 0);
    for (int order = 0; order < 2; order++) {
        take_order(order % order_count());
        struct outcome again = align_both(PF_MOTION_SIMILARITY, 331, 227, h, 0, 1, 7, true, 0);
        CHECK(memcmp(first.h, again.h, sizeof(first.h)) == 0);
    }
    pf_cuda_free(queue);
}
