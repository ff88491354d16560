/* The engine: frames sharp in parts give a picture sharp everywhere, and strangers do no harm. */
#include <string.h>

#include "process/stack.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

enum { WIDTH = 480, HEIGHT = 320 };

static const struct pf_stack_settings defaults = {.align = PF_ALIGN_ECC,
                                                  .motion = PF_MOTION_SIMILARITY,
                                                  .min_correlation = 0.55,
                                                  .fuse = PF_FUSE_PYRAMID,
                                                  .depth = true};

static struct pf_stack *open_stack(const struct pf_stack_settings *settings, struct pf_pool *pool)
{
    struct pf_stack *stack = NULL;
    CHECK_EQ(pf_stack_open(&stack, settings, pool, NULL), 0);
    return stack;
}

/* Sharp in columns [left, right), else without detail finer than 24 pixels. */
static struct pf_image *partly_sharp(uint32_t seed, const double h[9], int left, int right,
                                     double gain)
{
    struct pf_image *sharp = texture_frame(seed, WIDTH, HEIGHT, h, 0, gain);
    struct pf_image *soft = texture_frame(seed, WIDTH, HEIGHT, h, 24, gain);
    for (int y = 0; y < HEIGHT; y++)
        memcpy((uint8_t *)soft->plane[0] + (size_t)y * soft->stride_bytes[0] + left,
               (uint8_t *)sharp->plane[0] + (size_t)y * sharp->stride_bytes[0] + left,
               (size_t)(right - left));
    pf_image_free(sharp);
    return soft;
}

/* PSNR against the sharp picture, central nine tenths. */
static double psnr_to_truth(const struct pf_image *image, uint32_t seed)
{
    double sum = 0;
    int count = 0;
    for (int y = HEIGHT / 20; y < HEIGHT - HEIGHT / 20; y++) {
        const uint16_t *row =
            (const uint16_t *)((const char *)image->plane[0] + (size_t)y * image->stride_bytes[0]);
        for (int x = WIDTH / 20; x < WIDTH - WIDTH / 20; x++, count++) {
            double truth = texture_at(seed, x, y, 0);
            truth = truth < 0 ? 0 : truth > 255 ? 255 : truth;
            sum += (row[x] / 257.0 - truth) * (row[x] / 257.0 - truth);
        }
    }
    return 10 * log10(255.0 * 255.0 * count / sum);
}

static double psnr_between(const struct pf_image *a, const struct pf_image *b)
{
    double sum = 0;
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++) {
            double d = ((uint16_t *)((char *)a->plane[0] + (size_t)y * a->stride_bytes[0]))[x] -
                       ((uint16_t *)((char *)b->plane[0] + (size_t)y * b->stride_bytes[0]))[x];
            sum += d * d / (257.0 * 257.0);
        }
    return 10 * log10(255.0 * 255.0 * a->width * a->height / (sum + 1e-9));
}

static struct pf_image *finish(struct pf_stack *stack)
{
    struct pf_image *image = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_stack_finish(stack, &image, &err), &err);
    return image;
}

static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

TEST(stack_is_sharp_where_any_frame_is)
{
    struct pf_stack *stack = open_stack(&defaults, NULL);
    double alone = 0;
    for (int i = 0; i < 4; i++) {
        struct pf_image *frame = partly_sharp(3, identity, i * WIDTH / 4, (i + 1) * WIDTH / 4, 1);
        struct pf_frame_result result;
        CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
        CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
        CHECK_EQ(result.is_reference, i == 0);
        pf_image_free(frame);
        if (i == 0) {
            struct pf_image *image = finish(stack);
            alone = psnr_to_truth(image, 3);
            pf_image_free(image);
        }
    }
    CHECK_EQ(pf_stack_fused(stack), 4);
    struct pf_image *image = finish(stack);
    double all = psnr_to_truth(image, 3);
    CHECK_NEAR(all - alone, 100, 93); /* at least seven decibels */
    CHECK_NEAR(all, 100, 64);         /* at least 36 */
    pf_image_free(image);
    pf_stack_free(stack);
}

TEST(stack_does_not_depend_on_order)
{
    static const int orders[2][4] = {{0, 1, 2, 3}, {0, 3, 1, 2}};
    struct pf_image *images[2];
    for (int run = 0; run < 2; run++) {
        struct pf_stack *stack = open_stack(&defaults, NULL);
        for (int i = 0; i < 4; i++) {
            int part = orders[run][i];
            double h[9] = {1 + 0.003 * part, 0, -0.7 * part, 0, 1 + 0.003 * part,
                           0.5 * part,       0, 0,           1};
            struct pf_image *frame =
                partly_sharp(3, h, part * WIDTH / 4, (part + 1) * WIDTH / 4, 1);
            struct pf_frame_result result;
            CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
            CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
            pf_image_free(frame);
        }
        images[run] = finish(stack);
        pf_stack_free(stack);
    }
    CHECK(psnr_between(images[0], images[1]) > 42);
    CHECK(psnr_to_truth(images[0], 3) > 33);
    pf_image_free(images[0]);
    pf_image_free(images[1]);
}

TEST(stack_chain_does_not_drift_and_matches_gain)
{
    struct pf_stack *stack = open_stack(&defaults, NULL);
    double most = 0;
    for (int i = 0; i < 12; i++) {
        double h[9] = {
            1 - 0.004 * i, 0.0005 * i, 1.3 * i, -0.0005 * i, 1 - 0.004 * i, 0.9 * i, 0, 0, 1};
        double gain = 1 - 0.02 * (i % 3);
        struct pf_image *frame = partly_sharp(5, h, i * WIDTH / 12, (i + 1) * WIDTH / 12, gain);
        struct pf_frame_result result;
        CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
        CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
        CHECK_NEAR(result.light.gain, 1 / gain, 0.01);
        double error = pf_homography_corner_distance(result.transform, h, WIDTH, HEIGHT);
        most = error > most ? error : most;
        pf_image_free(frame);
    }
    CHECK_NEAR(most, 0, 0.6);
    pf_stack_free(stack);
}

TEST(stack_sets_strangers_aside_with_a_reason)
{
    struct pf_stack *stack = open_stack(&defaults, NULL);
    struct pf_frame_result result;
    struct pf_image *blank = texture_frame(1, WIDTH, HEIGHT, identity, 1000, 0.05);
    CHECK_EQ(pf_stack_add(stack, blank, &result, NULL), 0);
    CHECK_EQ(result.verdict, PF_VERDICT_ASIDE); /* and is not the reference */
    CHECK(strstr(result.reason, "blank"));

    struct pf_image *first = texture_frame(1, WIDTH, HEIGHT, identity, 0, 1);
    CHECK_EQ(pf_stack_add(stack, first, &result, NULL), 0);
    CHECK(result.is_reference);
    struct pf_image *before = finish(stack);

    struct pf_image *stranger = texture_frame(2, WIDTH, HEIGHT, identity, 0, 1);
    CHECK_EQ(pf_stack_add(stack, stranger, &result, NULL), 0);
    CHECK_EQ(result.verdict, PF_VERDICT_ASIDE);
    CHECK(strstr(result.reason, "does not match"));

    struct pf_image *small = texture_frame(1, WIDTH - 1, HEIGHT, identity, 0, 1);
    CHECK_EQ(pf_stack_add(stack, small, &result, NULL), 0);
    CHECK_EQ(result.verdict, PF_VERDICT_ASIDE);
    CHECK(strstr(result.reason, "479 x 320"));

    struct pf_image *colour = NULL;
    CHECK_EQ(pf_image_new(&colour, WIDTH, HEIGHT, 8, 3, 1, 1, NULL), 0);
    CHECK_EQ(pf_stack_add(stack, colour, &result, NULL), 0);
    CHECK_EQ(result.verdict, PF_VERDICT_ASIDE);
    CHECK(strstr(result.reason, "colour"));

    srand(9);
    struct pf_image *noise = texture_frame(1, WIDTH, HEIGHT, identity, 0, 1);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            ((uint8_t *)noise->plane[0])[(size_t)y * noise->stride_bytes[0] + (size_t)x] =
                (uint8_t)rand();
    CHECK_EQ(pf_stack_add(stack, noise, &result, NULL), 0);
    CHECK_EQ(result.verdict, PF_VERDICT_ASIDE);

    struct pf_image *after = finish(stack);
    CHECK(psnr_between(before, after) > 90); /* nothing of them got in */
    struct pf_image *all[] = {blank, first, before, stranger, small, colour, noise, after};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        pf_image_free(all[i]);
    pf_stack_free(stack);
}

/* One frame alone must come back as it went in, whatever its layout and size. */
TEST(stack_of_one_frame_is_the_frame)
{
    static const int sizes[][2] = {{1, 1}, {2, 3}, {5, 1}, {17, 16}, {97, 61}, {200, 131}};
    static const int shifts[][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};
    struct pf_stack_settings settings = defaults;
    settings.align = PF_ALIGN_NONE;
    int fused = 0;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
        for (int layout = 0; layout < 5; layout++)
            for (int bits = 8; bits <= 16; bits += 8) {
                int planes = layout < 4 ? 3 : 1;
                struct pf_image *frame = NULL;
                CHECK_EQ(pf_image_new(&frame, sizes[s][0], sizes[s][1], bits, planes,
                                      planes == 3 ? shifts[layout][0] : 0,
                                      planes == 3 ? shifts[layout][1] : 0, NULL),
                         0);
                int white = bits == 8 ? 255 : 65535;
                for (int p = 0; p < planes; p++)
                    for (int y = 0; y < pf_image_plane_height(frame, p); y++)
                        for (int x = 0; x < pf_image_plane_width(frame, p); x++) {
                            char *row =
                                (char *)frame->plane[p] + (size_t)y * frame->stride_bytes[p];
                            int v = (int)(white * noise_at((uint32_t)p + 1, x, y, 3));
                            if (bits == 8)
                                ((uint8_t *)row)[x] = (uint8_t)v;
                            else
                                ((uint16_t *)row)[x] = (uint16_t)v;
                        }
                struct pf_stack *stack = open_stack(&settings, NULL);
                struct pf_frame_result result;
                CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
                struct pf_image *image = NULL;
                int r = pf_stack_finish(stack, &image, NULL);
                if (result.verdict == PF_VERDICT_ASIDE) { /* tiny ones may be called blank */
                    CHECK(sizes[s][0] * sizes[s][1] < 20);
                    CHECK_EQ(r, -ENODATA);
                } else {
                    fused++;
                    CHECK_EQ(r, 0);
                    CHECK_EQ(image->planes, planes);
                    for (int p = 0; p < planes; p++)
                        for (int y = 0; y < pf_image_plane_height(frame, p); y++)
                            for (int x = 0; x < pf_image_plane_width(frame, p); x++) {
                                const char *in = (const char *)frame->plane[p] +
                                                 (size_t)y * frame->stride_bytes[p];
                                const uint16_t *out =
                                    (const uint16_t *)((char *)image->plane[p] +
                                                       (size_t)y * image->stride_bytes[p]);
                                double expected = bits == 8 ? ((const uint8_t *)in)[x] * 257.0
                                                            : ((const uint16_t *)in)[x];
                                if (bits == 8 && p)
                                    expected =
                                        fmax(0, (((const uint8_t *)in)[x] - 128) * 257.0 + 32768);
                                /* rounding to 15 bits at each of the levels */
                                CHECK_NEAR(out[x], expected, 24);
                            }
                }
                pf_image_free(image);
                pf_image_free(frame);
                pf_stack_free(stack);
            }
    CHECK(fused >= 30);
}

TEST(stack_depth_map_follows_the_given_order)
{
    struct pf_stack *stack = open_stack(&defaults, NULL);
    static const int arrival[3] = {2, 0, 1}; /* third part first */
    for (int i = 0; i < 3; i++) {
        struct pf_image *frame =
            partly_sharp(3, identity, arrival[i] * WIDTH / 3, (arrival[i] + 1) * WIDTH / 3, 1);
        struct pf_frame_result result;
        CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
        pf_image_free(frame);
    }
    struct pf_image *depth = NULL;
    CHECK_EQ(pf_stack_map(stack, PF_MAP_DEPTH, arrival, 2, &depth, NULL), -EINVAL);
    CHECK_EQ(pf_stack_map(stack, PF_MAP_DEPTH, arrival, 3, &depth, NULL), 0);
    CHECK_EQ(depth->planes, 1);
    CHECK_EQ(depth->width, WIDTH);
    for (int part = 0; part < 3; part++) {
        double sum = 0;
        int left = part * WIDTH / 3 + WIDTH / 12, right = (part + 1) * WIDTH / 3 - WIDTH / 12;
        for (int y = 40; y < HEIGHT - 40; y++)
            for (int x = left; x < right; x++)
                sum +=
                    ((uint16_t *)((char *)depth->plane[0] + (size_t)y * depth->stride_bytes[0]))[x];
        CHECK_NEAR(sum / (HEIGHT - 80) / (right - left) / 65535, part / 2.0, 0.2);
    }
    pf_image_free(depth);
    pf_stack_free(stack);
}

TEST(stack_previews_at_any_time)
{
    struct pf_stack *stack = open_stack(&defaults, NULL);
    struct pf_image *preview = NULL;
    struct pf_error err = {0};
    CHECK_EQ(pf_stack_preview(stack, 100, &preview, &err), -ENODATA);
    CHECK(err.text[0]);
    struct pf_image *frame = texture_frame(1, WIDTH, HEIGHT, identity, 0, 1);
    struct pf_frame_result result;
    CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
    CHECK_EQ(pf_stack_preview(stack, 130, &preview, NULL), 0);
    CHECK_EQ(preview->width, 120);
    CHECK_EQ(preview->height, 80);
    CHECK_EQ(preview->bits, 8);
    /* The preview leaves the stack as it was. */
    struct pf_image *image = finish(stack);
    CHECK(psnr_to_truth(image, 1) > 45);
    pf_image_free(image);
    pf_image_free(preview);
    pf_image_free(frame);
    pf_stack_free(stack);
}

TEST(stack_is_the_same_with_any_number_of_threads)
{
    struct pf_image *images[2];
    for (int run = 0; run < 2; run++) {
        struct pf_pool *pool = NULL;
        CHECK_EQ(pf_pool_new(&pool, run ? 4 : 1, NULL), 0);
        struct pf_stack *stack = open_stack(&defaults, pool);
        for (int i = 0; i < 3; i++) {
            double h[9] = {1, 0, 1.7 * i, 0, 1, -0.6 * i, 0, 0, 1};
            struct pf_image *frame = partly_sharp(8, h, i * 160, i * 160 + 160, 1);
            struct pf_frame_result result;
            CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
            pf_image_free(frame);
        }
        images[run] = finish(stack);
        pf_stack_free(stack);
        pf_pool_free(pool);
    }
    CHECK(psnr_between(images[0], images[1]) > 130); /* equal */
    pf_image_free(images[0]);
    pf_image_free(images[1]);
}

TEST(stack_is_the_same_whether_frames_were_looked_at_before)
{
    static const enum pf_align methods[] = {PF_ALIGN_AUTO, PF_ALIGN_ORB, PF_ALIGN_HYBRID};
    for (size_t m = 0; m < sizeof(methods) / sizeof(*methods); m++) {
        struct pf_image *images[3];
        double focus[3][3];
        for (int run = 0; run < 3; run++) {
            struct pf_stack_settings settings = defaults, other = defaults;
            settings.align = methods[m];
            other.align = PF_ALIGN_AKAZE;
            struct pf_stack *stack = open_stack(&settings, NULL);
            struct pf_look *look = NULL;
            for (int i = 0; i < 3; i++) {
                double h[9] = {1, 0, 1.7 * i, 0, 1, -0.6 * i, 0, 0, 1};
                struct pf_image *frame = partly_sharp(8, h, i * 50, WIDTH, 1);
                struct pf_frame_result result;
                /* The last time, a look for other features. */
                if (run)
                    CHECK_EQ(
                        pf_look_new(&look, run == 1 ? &settings : &other, frame, NULL, 1, NULL), 0);
                pf_stack_look(stack, look);
                CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
                CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
                focus[run][i] = result.focus.modified_laplacian;
                CHECK(focus[run][i] == focus[0][i]);
                look = pf_look_free(look);
                pf_image_free(frame);
            }
            images[run] = finish(stack);
            pf_stack_free(stack);
        }
        for (int run = 1; run < 3; run++) {
            CHECK(psnr_between(images[0], images[run]) > 130); /* equal */
            pf_image_free(images[run]);
        }
        pf_image_free(images[0]);
    }
}

TEST(a_look_at_another_frame_is_of_no_use)
{
    struct pf_image *frame = partly_sharp(8, identity, 0, WIDTH, 1);
    struct pf_image *blank = partly_sharp(8, identity, 0, 0, 0);
    struct pf_stack *stack = open_stack(&defaults, NULL);
    struct pf_look *look = NULL;
    struct pf_frame_result result;
    CHECK_EQ(pf_look_new(&look, &defaults, blank, NULL, 1, NULL), 0);
    pf_stack_look(stack, look);
    CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
    CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
    pf_look_free(look);
    pf_stack_free(stack);
    pf_image_free(blank);
    pf_image_free(frame);
}
