/* Alignment: known motions are found, noise and strangers are not. */
#include <string.h>

#include "process/cpu/ecc.h"
#include "tests/unit/bracket.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

enum { WIDTH = 720, HEIGHT = 500 };

static struct pf_ecc_pyramid pyramid_of(const struct pf_image *frame)
{
    struct pf_source_plane luma = {.samples = frame->plane[0],
                                   .stride_bytes = frame->stride_bytes[0],
                                   .width = frame->width,
                                   .height = frame->height,
                                   .bits = 8,
                                   .scale = PF_GREY};
    struct pf_ecc_pyramid pyramid = {0};
    CHECK_EQ(pf_ecc_pyramid_of_source(&pyramid, &luma, pf_kernels(0), NULL, NULL), 0);
    return pyramid;
}

/* Corner error in pixels of aligning a frame that shows the picture through `truth`. */
static double error_of(enum pf_motion motion, const double truth[9], double finest, double gain,
                       struct pf_ecc_fit *fit)
{
    double identity[9], h[9];
    pf_homography_identity(identity);
    pf_homography_identity(h);
    struct pf_image *a = texture_frame(7, WIDTH, HEIGHT, identity, 0, 1);
    struct pf_image *b = texture_frame(7, WIDTH, HEIGHT, truth, finest, gain);
    struct pf_ecc_pyramid target = pyramid_of(a), image = pyramid_of(b);
    struct pf_ecc *ecc = NULL;
    CHECK_EQ(pf_ecc_new(&ecc, pf_kernels(0), NULL, NULL), 0);
    CHECK_EQ(pf_ecc_align(ecc, &target, &image, motion, true, 0, h, fit, NULL), 0);
    pf_ecc_free(ecc);
    pf_ecc_pyramid_free(&target);
    pf_ecc_pyramid_free(&image);
    pf_image_free(a);
    pf_image_free(b);
    return pf_homography_corner_distance(h, truth, WIDTH, HEIGHT);
}

TEST(ecc_finds_each_motion)
{
    static const struct {
        enum pf_motion motion;
        double h[9];
    } cases[] = {
        {PF_MOTION_SHIFT, {1, 0, 5.3, 0, 1, -7.8, 0, 0, 1}},
        {PF_MOTION_SHIFT, {1, 0, 101.25, 0, 1, -60.5, 0, 0, 1}}, /* a seventh of the picture */
        {PF_MOTION_SIMILARITY, {1.02, 0.01, -6, -0.01, 1.02, 4.5, 0, 0, 1}},
        {PF_MOTION_SIMILARITY, {0.93, -0.03, 20, 0.03, 0.93, 3, 0, 0, 1}},
        {PF_MOTION_AFFINE, {1.02, 0.015, -6, -0.005, 0.985, 4.5, 0, 0, 1}},
        {PF_MOTION_HOMOGRAPHY, {1.01, 0.005, -3, -0.006, 0.99, 4.5, 2e-5, -1e-5, 1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct pf_ecc_fit fit;
        double error = error_of(cases[i].motion, cases[i].h, 0, 1, &fit);
        CHECK(error < 0.08);
        CHECK(fit.correlation > 0.99);
    }
}

TEST(ecc_ignores_gain_and_defocus)
{
    static const double h[9] = {1.01, 0.004, -6, -0.004, 1.01, 4.5, 0, 0, 1};
    struct pf_ecc_fit fit;
    CHECK(error_of(PF_MOTION_SIMILARITY, h, 0, 0.8, &fit) < 0.08);
    /* without all detail finer than 20 pixels, which to the alignment is so much noise */
    CHECK_NEAR(error_of(PF_MOTION_SIMILARITY, h, 20, 1, &fit), 0, 0.5);
}

TEST(ecc_result_is_the_same_with_any_threads_and_close_with_any_kernels)
{
    static const double truth[9] = {1.01, 0.004, -6, -0.004, 1.01, 4.5, 0, 0, 1};
    double identity[9], first[9] = {0};
    pf_homography_identity(identity);
    struct pf_image *a = texture_frame(7, WIDTH, HEIGHT, identity, 0, 1);
    struct pf_image *b = texture_frame(7, WIDTH, HEIGHT, truth, 0, 1);
    struct pf_ecc_pyramid target = pyramid_of(a), image = pyramid_of(b);
    for (int set = 0; pf_kernels(set); set++) {
        double alone[9];
        for (int threads = 1; threads <= 4; threads += 3) {
            struct pf_pool *pool = NULL;
            struct pf_ecc *ecc = NULL;
            struct pf_ecc_fit fit;
            double h[9];
            pf_homography_identity(h);
            CHECK_EQ(pf_pool_new(&pool, threads, NULL), 0);
            CHECK_EQ(pf_ecc_new(&ecc, pf_kernels(set), pool, NULL), 0);
            CHECK_EQ(
                pf_ecc_align(ecc, &target, &image, PF_MOTION_SIMILARITY, true, 0, h, &fit, NULL),
                0);
            if (threads == 1)
                memcpy(alone, h, sizeof(alone));
            CHECK(memcmp(alone, h, sizeof(alone)) == 0);
            if (set == 0)
                memcpy(first, h, sizeof(first));
            /* Rounding decides whether the last step, of next to no gain, is taken. */
            CHECK(pf_homography_corner_distance(first, h, WIDTH, HEIGHT) < 0.03);
            pf_ecc_free(ecc);
            pf_pool_free(pool);
        }
    }
    pf_ecc_pyramid_free(&target);
    pf_ecc_pyramid_free(&image);
    pf_image_free(a);
    pf_image_free(b);
}

TEST(ecc_strangers_do_not_correlate)
{
    double identity[9];
    pf_homography_identity(identity);
    struct pf_image *a = texture_frame(1, WIDTH, HEIGHT, identity, 0, 1);
    struct pf_image *b = texture_frame(2, WIDTH, HEIGHT, identity, 0, 1);
    struct pf_ecc_pyramid target = pyramid_of(a), image = pyramid_of(b);
    struct pf_ecc *ecc = NULL;
    CHECK_EQ(pf_ecc_new(&ecc, pf_kernels(0), NULL, NULL), 0);
    for (int motion = PF_MOTION_SHIFT; motion <= PF_MOTION_HOMOGRAPHY; motion++) {
        struct pf_ecc_fit fit;
        double h[9];
        pf_homography_identity(h);
        CHECK_EQ(pf_ecc_align(ecc, &target, &image, (enum pf_motion)motion, true, 0, h, &fit, NULL),
                 0);
        CHECK(fit.correlation < 0.5 && fit.agreement < 0.5);
    }
    pf_ecc_free(ecc);
    pf_ecc_pyramid_free(&target);
    pf_ecc_pyramid_free(&image);
    pf_image_free(a);
    pf_image_free(b);
}

/* Focus that moves over a board of print: 0.3 px of the full picture, were each pixel alike. */
TEST(ecc_defocus_that_changes_over_the_picture_is_no_shift)
{
    enum { FIRST = 0, LAST = 1, WIDE = 1080, HIGH = 720 };
    struct bracket bracket = bracket_open(PF_GEN_BOARD, WIDE, HIGH, 10, 2);
    double h[9], back[9], truth[9];
    struct pf_image *a = bracket_frame(&bracket, FIRST, ITS_OWN_FOCUS, 0);
    struct pf_image *b = bracket_frame(&bracket, LAST, ITS_OWN_FOCUS, 0);
    struct pf_ecc_pyramid target = pyramid_of(a), image = pyramid_of(b);
    struct pf_ecc *ecc = NULL;
    struct pf_ecc_fit fit;
    CHECK(pf_ecc_by_blocks(&target));
    CHECK(pf_homography_invert(back, bracket.shots[FIRST].transform));
    pf_homography_compose(truth, bracket.shots[LAST].transform, back);
    pf_homography_identity(h);
    CHECK_EQ(pf_ecc_new(&ecc, pf_kernels(0), NULL, NULL), 0);
    CHECK_EQ(pf_ecc_align(ecc, &target, &image, PF_MOTION_SIMILARITY, true, 0, h, &fit, NULL), 0);
    CHECK_NEAR(pf_homography_corner_distance(h, truth, WIDE, HIGH), 0, 0.1);
    pf_ecc_free(ecc);
    pf_ecc_pyramid_free(&target);
    pf_ecc_pyramid_free(&image);
    pf_image_free(a);
    pf_image_free(b);
    bracket_close(&bracket);
}

/* What is tried times what each try costs stays within a second or so, whatever the shape. */
TEST(ecc_search_of_a_strip_is_bounded)
{
    static const int sizes[][2] = {{79, 53},    {40, 40},      {300, 79},
                                   {70, 60000}, {16, 1000000}, {1, 1}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int width = sizes[i][0], height = sizes[i][1], x, y;
        pf_ecc_search_reach(width, height, &x, &y);
        CHECK((x + 1.0) * (y + 1.0) * width * height <= 1 << 28);
        CHECK(x <= width / 5 && y <= height / 5);
        if (i < 3)
            CHECK(x == width / 5 && y == height / 5);
    }
}
