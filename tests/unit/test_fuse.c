/* The methods of fusing, beside what test_stack.c says of all stacks: what each does with known
 * pictures, and the maps that tell which frame is sharp where. */
#include <string.h>

#include "process/stack.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

enum { WIDTH = 360, HEIGHT = 240, SEED = 3 };

static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

static struct pf_stack *open_stack(enum pf_fuse fuse, double clip, bool depth, struct pf_pool *pool)
{
    struct pf_stack_settings settings = {
        .align = PF_ALIGN_NONE, .fuse = fuse, .clip = clip, .depth = depth};
    struct pf_stack *stack = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_stack_open(&stack, &settings, pool, &err), &err);
    return stack;
}

static void add(struct pf_stack *stack, struct pf_image *frame)
{
    struct pf_frame_result result;
    CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
    CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
    CHECK_NEAR(result.light.gain, 1, 0.02);
    pf_image_free(frame);
}

static uint8_t *pixel(const struct pf_image *frame, int x, int y)
{
    return (uint8_t *)frame->plane[0] + (size_t)y * frame->stride_bytes[0] + (size_t)x;
}

static int value(const struct pf_image *image, int x, int y)
{
    return ((uint16_t *)((char *)image->plane[0] + (size_t)y * image->stride_bytes[0]))[x];
}

/* Sharp in columns [left, right), else without detail finer than 24 pixels. */
static struct pf_image *partly_sharp(int left, int right)
{
    struct pf_image *sharp = texture_frame(SEED, WIDTH, HEIGHT, identity, 0, 1);
    struct pf_image *soft = texture_frame(SEED, WIDTH, HEIGHT, identity, 24, 1);
    for (int y = 0; y < HEIGHT; y++)
        memcpy(pixel(soft, left, y), pixel(sharp, left, y), (size_t)(right - left));
    pf_image_free(sharp);
    return soft;
}

/* Adds noise of the given width (uniform, of no mean) to columns [left, right). */
static struct pf_image *noisy(struct pf_image *frame, uint32_t seed, int left, int right,
                              double width)
{
    for (int y = 0; y < frame->height; y++)
        for (int x = left; x < right; x++) {
            double v = *pixel(frame, x, y) + (lattice(seed, x, y) - 0.5) * width + 0.5;
            *pixel(frame, x, y) = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    return frame;
}

static struct pf_image *finish(struct pf_stack *stack)
{
    struct pf_image *image = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_stack_finish(stack, &image, &err), &err);
    return image;
}

/* Root mean square distance from the texture in a part of the picture, grey levels. */
static double distance(const struct pf_image *image, int left, int top, int right, int bottom,
                       double finest)
{
    double sum = 0;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            double truth = texture_at(SEED, x, y, finest);
            truth = truth < 0 ? 0 : truth > 255 ? 255 : truth;
            sum += pow(value(image, x, y) / 257.0 - truth, 2);
        }
    return sqrt(sum / (right - left) / (bottom - top));
}

static double most_apart(const struct pf_image *a, const struct pf_image *b)
{
    double most = 0;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            most = fmax(most, abs(value(a, x, y) - value(b, x, y)) / 257.0);
    return most;
}

TEST(fuse_soft_depth_takes_what_is_sharp_in_any_order)
{
    static const int orders[2][3] = {{0, 1, 2}, {2, 0, 1}};
    struct pf_image *images[2];
    for (int run = 0; run < 2; run++) {
        struct pf_pool *pool = NULL;
        CHECK_EQ(pf_pool_new(&pool, run ? 3 : 1, NULL), 0);
        struct pf_stack *stack = open_stack(PF_FUSE_SOFT_DEPTH, 0, false, pool);
        double before = 0;
        for (int i = 0; i < 3; i++) {
            int part = orders[run][i];
            add(stack, partly_sharp(part * WIDTH / 3, (part + 1) * WIDTH / 3));
            if (i)
                continue;
            struct pf_image *one = finish(stack);
            before = distance(one, 0, 0, WIDTH, HEIGHT, 0);
            pf_image_free(one);
        }
        images[run] = finish(stack);
        double after = distance(images[run], 0, 0, WIDTH, HEIGHT, 0);
        CHECK(after < 2 && after < 0.65 * before);
        struct pf_image *preview = NULL;
        CHECK_EQ(pf_stack_preview(stack, 100, &preview, NULL), 0);
        CHECK_EQ(preview->width, 90);
        CHECK_EQ(preview->height, 60);
        pf_image_free(preview);
        pf_stack_free(stack);
        pf_pool_free(pool);
    }
    CHECK(most_apart(images[0], images[1]) < 1);
    pf_image_free(images[0]);
    pf_image_free(images[1]);
}

TEST(fuse_average_is_the_mean)
{
    enum { FRAMES = 5 };
    struct pf_image *images[2];
    double *mean = calloc((size_t)WIDTH * HEIGHT, sizeof(*mean));
    CHECK(mean != NULL);
    for (int run = 0; run < 2; run++) {
        struct pf_stack *stack = open_stack(PF_FUSE_AVERAGE, 0, true, NULL);
        for (int i = 0; i < FRAMES; i++) {
            int seed = run ? FRAMES - 1 - i : i;
            struct pf_image *frame = texture_frame(SEED, WIDTH, HEIGHT, identity, 12, 1);
            noisy(frame, 50 + (uint32_t)seed, 0, WIDTH, 40);
            for (int p = 0; p < WIDTH * HEIGHT && run == 0; p++)
                mean[p] += *pixel(frame, p % WIDTH, p / WIDTH) / (double)FRAMES;
            add(stack, frame);
        }
        images[run] = finish(stack);
        struct pf_image *map = NULL;
        int rank[FRAMES] = {0, 1, 2, 3, 4};
        CHECK_EQ(pf_stack_map(stack, PF_MAP_DEPTH, rank, FRAMES, &map, NULL), -ENODATA);
        struct pf_image *preview = NULL;
        CHECK_EQ(pf_stack_preview(stack, 200, &preview, NULL), 0);
        CHECK_EQ(preview->width, WIDTH / 2);
        pf_image_free(preview);
        pf_stack_free(stack);
    }
    CHECK(!pf_fuse_has_maps(PF_FUSE_AVERAGE));
    double most = 0;
    for (int p = 0; p < WIDTH * HEIGHT; p++)
        most = fmax(most, fabs(value(images[0], p % WIDTH, p / WIDTH) / 257.0 - mean[p]));
    CHECK_NEAR(most, 0, 0.6); /* of which a little is gain */
    CHECK(most_apart(images[0], images[1]) < 0.6);
    free(mean);
    pf_image_free(images[0]);
    pf_image_free(images[1]);
}

/* Something passes through one frame of nine: a mean keeps a ninth of it, a clipped mean nothing. */
TEST(fuse_average_clips_what_one_frame_alone_has)
{
    double far[2];
    for (int clipped = 0; clipped < 2; clipped++) {
        struct pf_stack *stack = open_stack(PF_FUSE_AVERAGE, clipped ? 3 : 0, false, NULL);
        for (int i = 0; i < 9; i++) {
            struct pf_image *frame = texture_frame(SEED, WIDTH, HEIGHT, identity, 12, 1);
            noisy(frame, 70 + (uint32_t)i, 0, WIDTH, 8);
            for (int y = 100; y < 120 && i == 6; y++)
                memset(pixel(frame, 150, y), 255, 20);
            add(stack, frame);
        }
        struct pf_image *image = finish(stack);
        far[clipped] = distance(image, 150, 100, 170, 120, 12);
        CHECK(distance(image, 0, 0, WIDTH, 90, 12) < 2);
        pf_image_free(image);
        pf_stack_free(stack);
    }
    CHECK(far[0] > 6);
    CHECK(far[1] < 2);
}

/* A frame that the warp leaves without picture at a side does not count there. */
TEST(fuse_average_counts_only_frames_that_cover)
{
    struct pf_stack_settings settings = {.align = PF_ALIGN_ECC,
                                         .motion = PF_MOTION_SHIFT,
                                         .min_correlation = 0.5,
                                         .fuse = PF_FUSE_AVERAGE};
    struct pf_stack *stack = NULL;
    CHECK_EQ(pf_stack_open(&stack, &settings, NULL, NULL), 0);
    for (int i = 0; i < 4; i++) {
        double h[9] = {1, 0, -9.0 * i, 0, 1, 0, 0, 0, 1};
        struct pf_image *frame = texture_frame(SEED, WIDTH, HEIGHT, h, 0, 1);
        struct pf_frame_result result;
        CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
        CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
        pf_image_free(frame);
    }
    struct pf_image *image = finish(stack);
    CHECK(distance(image, 0, 0, 40, HEIGHT, 0) < 3);
    CHECK(distance(image, 40, 0, WIDTH, HEIGHT, 0) < 3);
    pf_image_free(image);
    pf_stack_free(stack);
}

/* What is transparent in a frame is no part of the mean, whatever it is filled with; the first frame's
 * filling gives way to the first that shows something, and stays where none does. */
TEST(fuse_average_leaves_out_what_is_transparent)
{
    struct pf_stack *stack = open_stack(PF_FUSE_AVERAGE, 3, false, NULL);
    for (int i = 0; i < 3; i++) {
        struct pf_image *frame = texture_frame(SEED, WIDTH, HEIGHT, identity, 12, 1);
        frame->cover = malloc((size_t)WIDTH * HEIGHT);
        CHECK(frame->cover != NULL);
        memset(frame->cover, 255, (size_t)WIDTH * HEIGHT);
        for (int y = 40; y < 80; y++)
            for (int x = 40 * i + 20; x < 40 * i + 80; x++) {
                frame->cover[y * WIDTH + x] = (uint8_t)(x % 2 ? 0 : 254);
                *pixel(frame, x, y) = 250;
            }
        for (int y = 100; y < 110; y++) {
            memset(&frame->cover[y * WIDTH + 10], 0, 10);
            memset(pixel(frame, 10, y), 200, 10);
        }
        add(stack, frame);
    }
    struct pf_image *image = finish(stack);
    CHECK(distance(image, 0, 0, WIDTH, 98, 12) < 0.5);
    CHECK(distance(image, 24, 0, WIDTH, HEIGHT, 12) < 0.5);
    CHECK_NEAR(value(image, 15, 105) / 257.0, 200, 4);
    pf_image_free(image);
    pf_stack_free(stack);
}

/* Share of the pixels of each third, without its borders, that have the number it should have. */
static double rightly_numbered(const struct pf_image *map)
{
    int right = 0, count = 0;
    for (int part = 0; part < 3; part++)
        for (int y = 10; y < HEIGHT - 10; y++)
            for (int x = part * WIDTH / 3 + 20; x < (part + 1) * WIDTH / 3 - 20; x++, count++)
                right += value(map, x, y) == part + 1;
    return (double)right / count;
}

TEST(fuse_maps_tell_who_won_and_how_surely)
{
    static const int arrival[3] = {2, 0, 1};
    static const enum pf_fuse methods[2] = {PF_FUSE_PYRAMID, PF_FUSE_SOFT_DEPTH};
    for (int m = 0; m < 2; m++) {
        struct pf_stack *stack = open_stack(methods[m], 0, true, NULL);
        for (int i = 0; i < 3; i++) {
            struct pf_image *frame =
                partly_sharp(arrival[i] * WIDTH / 3, (arrival[i] + 1) * WIDTH / 3);
            for (int y = HEIGHT / 2; y < HEIGHT; y++) /* a plate without any detail */
                memset(pixel(frame, 0, y), 128, WIDTH / 3 - 20);
            add(stack, frame);
        }
        struct pf_image *map[PF_MAP_COUNT];
        for (int kind = 0; kind < PF_MAP_COUNT; kind++)
            CHECK_EQ(pf_stack_map(stack, (enum pf_map)kind, arrival, 3, &map[kind], NULL), 0);
        CHECK(rightly_numbered(map[PF_MAP_FRAME]) > 0.75); /* the plate is a sixth, and anyone's */
        double sure = 0, unsure = 0, depth = 0;
        for (int y = 20; y < HEIGHT / 2 - 20; y++)
            for (int x = 20; x < WIDTH / 3 - 40; x++) {
                sure += value(map[PF_MAP_CONFIDENCE], x, y);
                unsure += value(map[PF_MAP_CONFIDENCE], x, y + HEIGHT / 2);
                depth += value(map[PF_MAP_DEPTH], x, y);
            }
        CHECK(sure > 5 * unsure);
        CHECK(depth < 0.2 * 65535 * (HEIGHT / 2 - 40) * (WIDTH / 3 - 60));
        for (int kind = 0; kind < PF_MAP_COUNT; kind++)
            pf_image_free(map[kind]);
        pf_stack_free(stack);
    }
}

/* In the dark, noise decides who wins: the map of frames says so, and the depth map is smooth there, at
 * the depth of what is sharp around it. */
TEST(fuse_depth_map_has_no_specks)
{
    static const int rank[4] = {0, 1, 2, 3};
    struct pf_stack *stack = open_stack(PF_FUSE_PYRAMID, 0, true, NULL);
    for (int i = 0; i < 4; i++) {
        struct pf_image *frame = partly_sharp(i * WIDTH / 4, (i + 1) * WIDTH / 4);
        for (int y = 0; y < HEIGHT; y++)
            memset(pixel(frame, 40, y), 20, 10);
        noisy(frame, 70 + (uint32_t)i, 40, 50, 6);
        add(stack, frame);
    }
    struct pf_image *who = NULL, *depth = NULL;
    CHECK_EQ(pf_stack_map(stack, PF_MAP_FRAME, rank, 4, &who, NULL), 0);
    CHECK_EQ(pf_stack_map(stack, PF_MAP_DEPTH, rank, 4, &depth, NULL), 0);
    int won = 0, far = 0;
    for (int y = 10; y < HEIGHT - 10; y++)
        for (int x = 10; x < WIDTH / 4 - 10; x++) {
            won += value(who, x, y) != 1;
            far += value(depth, x, y) > 65535 / 2;
        }
    CHECK(won > 200);
    CHECK(far < won / 30); /* a tenth without the median */
    pf_image_free(who);
    pf_image_free(depth);
    pf_stack_free(stack);
}

/* Dark lines on an even plate, blurred by `reach` pixels to both sides. */
static struct pf_image *lines(int reach)
{
    enum { APART = 60, WIDE = 4 };
    struct pf_image *frame = NULL;
    CHECK_EQ(pf_image_new(&frame, WIDTH, HEIGHT, 8, 1, 0, 0, NULL), 0);
    for (int x = 0; x < WIDTH; x++) {
        int dark = 0;
        for (int u = x - reach; u <= x + reach; u++)
            dark += (u + APART) % APART < WIDE;
        for (int y = 0; y < HEIGHT; y++)
            *pixel(frame, x, y) = (uint8_t)(160 - 140 * dark / (2 * reach + 1));
    }
    return frame;
}

/* On an even plate nobody is sharp, and the blur of lines on it reaches farthest in the frame that is
 * farthest from being sharp: the plate is at the depth of its lines nonetheless. */
TEST(fuse_depth_map_of_an_even_plate_is_that_of_its_lines)
{
    static const int rank[5] = {0, 1, 2, 3, 4};
    struct pf_stack *stack = open_stack(PF_FUSE_PYRAMID, 0, true, NULL);
    for (int i = 0; i < 5; i++) {
        struct pf_image *frame = lines(6 * i);
        CHECK_EQ(pf_stack_add(stack, frame, &(struct pf_frame_result){0}, NULL), 0);
        pf_image_free(frame);
    }
    struct pf_image *depth = NULL;
    CHECK_EQ(pf_stack_map(stack, PF_MAP_DEPTH, rank, 5, &depth, NULL), 0);
    int off = 0;
    for (int y = 10; y < HEIGHT - 10; y++)
        for (int x = 10; x < WIDTH - 10; x++)
            off += value(depth, x, y) > 0.25 * 65535;
    /* Two fifths if each cell has its say whatever is around it. */
    CHECK(off < 0.15 * (HEIGHT - 20) * (WIDTH - 20));
    pf_image_free(depth);
    pf_stack_free(stack);
}

/* Where no frame is ever sharp there is nothing to choose by: the stack must not pick the noisiest
 * frame, pixel by pixel, but stay smooth. */
TEST(fuse_noise_decides_nothing)
{
    struct pf_stack *stack = open_stack(PF_FUSE_PYRAMID, 0, false, NULL);
    double least = 1e9;
    for (int i = 0; i < 8; i++) {
        struct pf_image *frame =
            partly_sharp(WIDTH / 2 + i * WIDTH / 16, WIDTH / 2 + (i + 1) * WIDTH / 16);
        noisy(frame, 90 + (uint32_t)i, 0, WIDTH, i == 5 ? 7 : 5);
        struct pf_stack *alone = open_stack(PF_FUSE_PYRAMID, 0, false, NULL);
        struct pf_image *copy = NULL;
        CHECK_EQ(pf_image_new(&copy, WIDTH, HEIGHT, 8, 1, 0, 0, NULL), 0);
        memcpy(copy->plane[0], frame->plane[0], frame->stride_bytes[0] * HEIGHT);
        add(alone, copy);
        struct pf_image *image = finish(alone);
        least = fmin(least, distance(image, 20, 20, WIDTH / 2 - 40, HEIGHT - 20, 24));
        pf_image_free(image);
        pf_stack_free(alone);
        add(stack, frame);
    }
    struct pf_image *image = finish(stack);
    double left = distance(image, 20, 20, WIDTH / 2 - 40, HEIGHT - 20, 24);
    CHECK_NEAR(left / least, 0, 0.7); /* far less than the least noisy frame has */
    CHECK(distance(image, WIDTH / 2 + 20, 20, WIDTH - 20, HEIGHT - 20, 0) < 3);
    pf_image_free(image);
    pf_stack_free(stack);
}
