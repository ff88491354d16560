/* Alignment of large motions: found by features, and by features where correlation fails.
 *
 * time limit: 480
 */
#include <string.h>

#include "process/features.h"
#include "process/stack.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

enum { WIDTH = 480, HEIGHT = 320 };

static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

/* What each method must reach at the corners, in pixels, between sharp pictures. ORB's places are
 * whole pixels of its levels. */
static const struct {
    enum pf_align align;
    const char *name;
    double sharp_px, burst_px;
} methods[] = {
    {PF_ALIGN_ORB, "orb", 1.5, 3.0},   {PF_ALIGN_AKAZE, "akaze", 0.3, 0.8},
    {PF_ALIGN_SIFT, "sift", 0.3, 0.8}, {PF_ALIGN_HYBRID, "hybrid", 0.1, 0.3},
    {PF_ALIGN_AUTO, "auto", 0.1, 0.3},
};
enum { METHODS = sizeof(methods) / sizeof(*methods) };

/* Turns about the picture's centre, then shifts by shares of the frame. */
static void motion_of(double h[9], double degrees, double zoom, double right, double down)
{
    double c = zoom * cos(degrees * M_PI / 180), s = zoom * sin(degrees * M_PI / 180);
    double x = 0.5 * (WIDTH - 1), y = 0.5 * (HEIGHT - 1);
    const double m[9] = {
        c, -s, x - c * x + s * y + right * WIDTH, s, c, y - s * x - c * y + down * HEIGHT, 0, 0, 1};
    memcpy(h, m, sizeof(m));
}

/* Like sand or cloth: nothing coarse in it that would lead correlation from afar. In columns
 * [left, right) sharp, elsewhere without its finest detail. */
static double sand_at(uint32_t seed, double x, double y, double finest)
{
    double sum = 0;
    for (double period = 16; period >= 4; period /= 2)
        if (period >= finest)
            sum += noise_at(seed + (uint32_t)period, x, y, period) - 0.5;
    return 128 + 130 * sum;
}

static struct pf_image *sand(uint32_t seed, const double h[9], int left, int right)
{
    struct pf_image *frame = NULL;
    double inverse[9];
    CHECK(pf_homography_invert(inverse, h));
    CHECK_EQ(pf_image_new(&frame, WIDTH, HEIGHT, 8, 1, 0, 0, NULL), 0);
    for (int y = 0; y < HEIGHT; y++) {
        uint8_t *row = (uint8_t *)frame->plane[0] + (size_t)y * frame->stride_bytes[0];
        for (int x = 0; x < WIDTH; x++) {
            double px, py;
            pf_homography_apply(inverse, x, y, &px, &py);
            double value = sand_at(seed, px, py, x >= left && x < right ? 0 : 8);
            row[x] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + 0.5);
        }
    }
    return frame;
}

static struct pf_stack *open_stack(enum pf_align align)
{
    struct pf_stack_settings settings = {
        .align = align, .motion = PF_MOTION_SIMILARITY, .min_correlation = 0.55};
    struct pf_stack *stack = NULL;
    CHECK_EQ(pf_stack_open(&stack, &settings, NULL, NULL), 0);
    return stack;
}

static struct pf_frame_result add(struct pf_stack *stack, const struct pf_image *frame)
{
    struct pf_frame_result result;
    struct pf_error err = {0};
    CHECK_OK(pf_stack_add(stack, frame, &result, &err), &err);
    return result;
}

static struct pf_frame_result align_pair(enum pf_align align, const struct pf_image *reference,
                                         const struct pf_image *frame)
{
    struct pf_stack *stack = open_stack(align);
    CHECK(add(stack, reference).is_reference);
    struct pf_frame_result result = add(stack, frame);
    pf_stack_free(stack);
    return result;
}

static void check_large_motions(bool back_again)
{
    static const struct {
        double degrees, zoom, right, down;
        bool ecc_refuses;
    } cases[] = {{2, 1, 0.15, 0, false}, {20, 1, 0, 0, true}, {-20, 1.02, -0.1, 0.11, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        double h[9], back[9];
        motion_of(h, cases[i].degrees, cases[i].zoom, cases[i].right, cases[i].down);
        CHECK(pf_homography_invert(back, h));
        struct pf_image *a = sand(3, identity, 0, WIDTH), *b = sand(3, h, 0, WIDTH);
        const struct pf_image *from = back_again ? b : a, *to = back_again ? a : b;
        const double *truth = back_again ? back : h;
        struct pf_frame_result ecc = align_pair(PF_ALIGN_ECC, from, to);
        CHECK_EQ(ecc.verdict == PF_VERDICT_ASIDE, cases[i].ecc_refuses);
        for (int m = 0; m < METHODS; m++) {
            struct pf_frame_result result = align_pair(methods[m].align, from, to);
            double error = pf_homography_corner_distance(result.transform, truth, WIDTH, HEIGHT);
            if (result.verdict != PF_VERDICT_FUSED || !(error <= methods[m].sharp_px))
                FAIL("%s, motion %zu, back %d: %s, %.2f px of %.2f", methods[m].name, i, back_again,
                     result.reason, error, methods[m].sharp_px);
            enum pf_align by = methods[m].align;
            if (by == PF_ALIGN_AUTO)
                by = cases[i].ecc_refuses ? PF_ALIGN_HYBRID : PF_ALIGN_ECC;
            CHECK_EQ(result.aligned_by, by);
        }
        pf_image_free(a);
        pf_image_free(b);
    }
}

TEST(align_finds_large_motions)
{
    check_large_motions(false);
}

TEST(align_finds_large_motions_the_other_way)
{
    check_large_motions(true);
}

/* Frames sharp in parts, each far from the one before. */
static void check_chain(bool back_again)
{
    static const double share[] = {0, 1, 0.2, -0.7, 0.3};
    enum { FRAMES = sizeof(share) / sizeof(*share) };
    double truth[FRAMES][9];
    struct pf_image *frames[FRAMES];
    for (int i = 0; i < FRAMES; i++) {
        motion_of(truth[i], 20 * share[i], 1 + 0.01 * share[i], 0.1 * share[i], -0.1 * share[i]);
        frames[i] = sand(5, truth[i], i * WIDTH / FRAMES - 30, (i + 1) * WIDTH / FRAMES + 30);
    }
    for (int m = 0; m < METHODS; m++) {
        struct pf_stack *stack = open_stack(methods[m].align);
        int first = back_again ? FRAMES - 1 : 0;
        for (int k = 0; k < FRAMES; k++) {
            int i = back_again ? FRAMES - 1 - k : k;
            double inverse[9], expected[9];
            CHECK(pf_homography_invert(inverse, truth[first]));
            pf_homography_compose(expected, truth[i], inverse);
            struct pf_frame_result result = add(stack, frames[i]);
            double error = pf_homography_corner_distance(result.transform, expected, WIDTH, HEIGHT);
            if (result.verdict != PF_VERDICT_FUSED || !(error <= methods[m].burst_px))
                FAIL("%s, back %d, frame %d: %s, %.2f px of %.2f", methods[m].name, back_again, i,
                     result.reason, error, methods[m].burst_px);
        }
        pf_stack_free(stack);
    }
    for (int i = 0; i < FRAMES; i++)
        pf_image_free(frames[i]);
}

TEST(align_chain_of_large_motions_does_not_drift)
{
    check_chain(false);
}

TEST(align_chain_of_large_motions_does_not_drift_backwards)
{
    check_chain(true);
}

TEST(align_strangers_and_noise_are_refused_by_every_method_and_the_burst_goes_on)
{
    double h[9];
    motion_of(h, 20, 1, 0.1, 0.05);
    struct pf_image *first = sand(3, identity, 0, WIDTH), *good = sand(3, h, 0, WIDTH);
    struct pf_image *strangers[] = {sand(4, identity, 0, WIDTH),
                                    texture_frame(3, WIDTH, HEIGHT, identity, 0, 1),
                                    sand(3, identity, 0, WIDTH)};
    srand(9);
    for (int y = 0; y < HEIGHT; y++) /* the third is noise */
        for (int x = 0; x < WIDTH; x++)
            ((uint8_t *)strangers[2]
                 ->plane[0])[(size_t)y * strangers[2]->stride_bytes[0] + (size_t)x] =
                (uint8_t)rand();
    for (int m = 0; m < METHODS; m++) {
        struct pf_stack *stack = open_stack(methods[m].align);
        CHECK(add(stack, first).is_reference);
        for (int fused = 1; fused <= 2; fused++) { /* against a frame, against a stack */
            for (int i = 0; i < 3; i++) {
                struct pf_frame_result result = add(stack, strangers[i]);
                if (result.verdict != PF_VERDICT_ASIDE)
                    FAIL("%s took stranger %d: correlation %.2f", methods[m].name, i,
                         result.correlation);
                CHECK(strstr(result.reason, "does not match"));
                CHECK_EQ(result.aligned_by, PF_ALIGN_NONE);
                if (methods[m].align == PF_ALIGN_AUTO)
                    CHECK(strstr(result.reason, "ecc: ") && strstr(result.reason, "hybrid: "));
            }
            CHECK_EQ(pf_stack_fused(stack), fused);
            if (fused == 1)
                CHECK_EQ(add(stack, good).verdict, PF_VERDICT_FUSED);
        }
        pf_stack_free(stack);
    }
    for (int i = 0; i < 3; i++)
        pf_image_free(strangers[i]);
    pf_image_free(first);
    pf_image_free(good);
}

/* --- the features themselves --- */

static struct pf_features *features_of(int kind, const struct pf_image *frame, bool equalise,
                                       int threads)
{
    struct pf_features *features = NULL;
    struct pf_error err = {0};
    size_t width = (size_t)frame->width;
    uint8_t *pixels = malloc(width * (size_t)frame->height);
    CHECK(pixels);
    for (int y = 0; y < frame->height; y++)
        memcpy(pixels + (size_t)y * width,
               (uint8_t *)frame->plane[0] + (size_t)y * frame->stride_bytes[0], width);
    CHECK_OK(pf_features_new(&features, (enum pf_features_kind)kind, pixels, frame->width,
                             frame->height, equalise, threads, &err),
             &err);
    free(pixels);
    return features;
}

TEST(features_fit_each_motion_with_any_threads)
{
    static const double motions[][9] = {
        [PF_MOTION_SHIFT] = {1, 0, 80.25, 0, 1, -40.5, 0, 0, 1},
        [PF_MOTION_SIMILARITY] = {0.98, -0.2, 60, 0.2, 0.98, -30, 0, 0, 1},
        [PF_MOTION_AFFINE] = {1.03, -0.2, 60, 0.15, 0.95, -20, 0, 0, 1},
        [PF_MOTION_HOMOGRAPHY] = {1.03, -0.1, 50, 0.12, 0.97, -20, 8e-5, -5e-5, 1},
    };
    static const double most_px[] = {1.2, 0.5, 0.5};
    struct pf_image *a = sand(7, identity, 0, WIDTH);
    struct pf_features *from[2][PF_FEATURES_SIFT + 1];
    for (int kind = PF_FEATURES_ORB; kind <= PF_FEATURES_SIFT; kind++)
        for (int run = 0; run < 2; run++)
            from[run][kind] = features_of(kind, a, false, run ? 4 : 1);
    for (int motion = PF_MOTION_SHIFT; motion <= PF_MOTION_HOMOGRAPHY; motion++) {
        struct pf_image *b = sand(7, motions[motion], 0, WIDTH);
        for (int kind = PF_FEATURES_ORB; kind <= PF_FEATURES_SIFT; kind++) {
            double h[2][9];
            for (int run = 0; run < 2; run++) {
                int threads = run ? 4 : 1;
                struct pf_features *to = features_of(kind, b, false, threads);
                struct pf_features_fit fit;
                CHECK_EQ(pf_features_match(from[run][kind], to, (enum pf_motion)motion, threads,
                                           h[run], &fit, NULL),
                         0);
                CHECK(pf_features_agree(&fit));
                CHECK(pf_features_count(from[run][kind]) <= PF_FEATURES_MAX);
                CHECK(fit.matches >= fit.inliers &&
                      fit.matches <= pf_features_count(from[run][kind]));
                pf_features_free(to);
            }
            CHECK(memcmp(h[0], h[1], sizeof(h[0])) == 0);
            double error = pf_homography_corner_distance(h[0], motions[motion], WIDTH, HEIGHT);
            if (!(error <= most_px[kind]))
                FAIL("features %d, motion %d: %.2f px", kind, motion, error);
        }
        pf_image_free(b);
    }
    for (int kind = PF_FEATURES_ORB; kind <= PF_FEATURES_SIFT; kind++)
        for (int run = 0; run < 2; run++)
            pf_features_free(from[run][kind]);
    pf_image_free(a);
}

/* A lamp at one side, and next to no contrast anywhere. */
static struct pf_image *dim(const double h[9])
{
    struct pf_image *frame = sand(11, h, 0, WIDTH);
    for (int y = 0; y < HEIGHT; y++) {
        uint8_t *row = (uint8_t *)frame->plane[0] + (size_t)y * frame->stride_bytes[0];
        for (int x = 0; x < WIDTH; x++)
            row[x] = (uint8_t)(30 + 150 * x / WIDTH + (row[x] - 128) / 20);
    }
    return frame;
}

TEST(features_are_found_in_dim_uneven_light_when_it_is_equalised)
{
    double h[9];
    motion_of(h, 15, 1, 0.08, 0.05);
    struct pf_image *a = dim(identity), *b = dim(h);
    for (int kind = PF_FEATURES_ORB; kind <= PF_FEATURES_SIFT; kind++) {
        int agree[2];
        for (int equalise = 0; equalise < 2; equalise++) {
            struct pf_features *from = features_of(kind, a, equalise, 1);
            struct pf_features *to = features_of(kind, b, equalise, 1);
            struct pf_features_fit fit;
            double found[9];
            CHECK_EQ(pf_features_match(from, to, PF_MOTION_SIMILARITY, 1, found, &fit, NULL), 0);
            agree[equalise] = fit.inliers;
            if (equalise) {
                CHECK(pf_features_agree(&fit));
                CHECK_NEAR(pf_homography_corner_distance(found, h, WIDTH, HEIGHT), 0, 3);
            }
            pf_features_free(from);
            pf_features_free(to);
        }
        CHECK(agree[1] >= 2 * agree[0]);
    }
    pf_image_free(a);
    pf_image_free(b);
}

TEST(features_of_pictures_without_any_are_no_error)
{
    static const int sizes[][2] = {{1, 1}, {1, 3000}, {39, 200}, {40, 40}, {200, 41}, {300, 200}};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
        for (int kind = PF_FEATURES_ORB; kind <= PF_FEATURES_SIFT; kind++)
            for (int equalise = 0; equalise < 2; equalise++) {
                struct pf_image *even = NULL;
                CHECK_EQ(pf_image_new(&even, sizes[s][0], sizes[s][1], 8, 1, 0, 0, NULL), 0);
                for (int y = 0; y < even->height; y++)
                    memset((uint8_t *)even->plane[0] + (size_t)y * even->stride_bytes[0], 90,
                           (size_t)even->width);
                struct pf_features *none = features_of(kind, even, equalise, 2);
                CHECK_EQ(pf_features_count(none), 0);
                for (int motion = PF_MOTION_SHIFT; motion <= PF_MOTION_HOMOGRAPHY; motion++) {
                    struct pf_features_fit fit;
                    double h[9] = {0};
                    CHECK_EQ(
                        pf_features_match(none, none, (enum pf_motion)motion, 2, h, &fit, NULL), 0);
                    CHECK_EQ(fit.inliers, 0);
                    CHECK(!pf_features_agree(&fit));
                    CHECK(memcmp(h, identity, sizeof(h)) == 0);
                }
                pf_features_free(none);
                pf_image_free(even);
            }
    CHECK(pf_features_free(NULL) == NULL);
}
