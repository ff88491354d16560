/* Pictures that nobody means to stack: the engine has a verdict for each, and never a wrong merge.
 *
 * time limit: 480
 */
#include <errno.h>
#include <string.h>

#include "process/profile.h"
#include "process/stack.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

static struct pf_stack *open_stack(enum pf_align align, enum pf_fuse fuse)
{
    struct pf_stack_settings settings = {.align = align,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .min_correlation = 0.55,
                                         .fuse = fuse,
                                         .clip = 3,
                                         .depth = true,
                                         .judge = true};
    struct pf_stack *stack = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_stack_open(&stack, &settings, NULL, &err), &err);
    return stack;
}

/* `frame` is consumed. */
static struct pf_frame_result add(struct pf_stack *stack, struct pf_image *frame)
{
    struct pf_frame_result result;
    struct pf_error err = {0};
    CHECK_OK(pf_stack_add(stack, frame, &result, &err), &err);
    CHECK_EQ(result.verdict == PF_VERDICT_FUSED, result.cause == PF_CAUSE_NONE);
    CHECK_EQ(result.verdict == PF_VERDICT_FUSED, result.reason[0] == '\0');
    pf_image_free(frame);
    return result;
}

/* Whatever could be fused can be finished, with its maps. */
static void finish(struct pf_stack *stack, int width, int height, bool maps)
{
    struct pf_image *image = NULL;
    struct pf_error err = {0};
    static const int rank[3] = {0, 1, 2};
    if (!pf_stack_fused(stack)) {
        CHECK_EQ(pf_stack_finish(stack, &image, &err), -ENODATA);
        pf_stack_free(stack);
        return;
    }
    CHECK_OK(pf_stack_finish(stack, &image, &err), &err);
    CHECK_EQ(image->width, width);
    CHECK_EQ(image->height, height);
    pf_image_free(image);
    CHECK_OK(pf_stack_preview(stack, 2000, &image, &err), &err);
    CHECK(image->width <= width);
    pf_image_free(image);
    for (int kind = 0; maps && kind < PF_MAP_COUNT; kind++) {
        CHECK_OK(pf_stack_map(stack, (enum pf_map)kind, rank, 3, &image, &err), &err);
        CHECK_EQ(image->width, width);
        pf_image_free(image);
    }
    pf_stack_free(stack);
}

TEST(odd_sizes)
{
    static const struct {
        int width, height;
        bool large_enough;
    } sizes[] = {{1, 1, false},     {2, 2, false},     {400, 15, false},
                 {60000, 1, false}, {1, 60000, false}, {17, 16, true},
                 {60000, 16, true}, {60000, 60, true}, {16, 5000, true}};
    static const enum pf_fuse fuses[] = {PF_FUSE_PYRAMID, PF_FUSE_SOFT_DEPTH, PF_FUSE_AVERAGE};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (int m = 0; m < 6; m++) {
            int width = sizes[s].width, height = sizes[s].height;
            bool aligned = m % 2, large = width * (long)height > 100000;
            if (large && m / 2 != (int)s % 3) /* one method each */
                continue;
            struct pf_stack *stack =
                open_stack(aligned ? PF_ALIGN_AUTO : PF_ALIGN_NONE, fuses[m / 2]);
            for (int i = 0; i < 3; i++) {
                struct pf_frame_result result =
                    add(stack, texture_frame(4, width, height, identity, i ? 12 : 0, 1));
                if (aligned && !sizes[s].large_enough)
                    CHECK(result.cause == PF_CAUSE_UNLIKE && strstr(result.reason, "too small"));
                if (large)
                    CHECK(aligned || result.verdict == PF_VERDICT_FUSED);
            }
            finish(stack, width, height, fuses[m / 2] != PF_FUSE_AVERAGE);
        }
}

static struct pf_image *even(int width, int height, int level)
{
    struct pf_image *frame = NULL;
    CHECK_EQ(pf_image_new(&frame, width, height, 8, 1, 0, 0, NULL), 0);
    memset(frame->plane[0], level, frame->stride_bytes[0] * (size_t)height);
    return frame;
}

/* Black, white and grey frames, whether they come first, in the middle or alone. */
TEST(odd_even_frames_are_blank)
{
    static const int levels[] = {0, 128, 255};
    for (int order = 0; order < 2; order++) {
        struct pf_stack *stack = open_stack(PF_ALIGN_AUTO, PF_FUSE_PYRAMID);
        if (order)
            CHECK_EQ(add(stack, texture_frame(4, 200, 150, identity, 0, 1)).verdict,
                     PF_VERDICT_FUSED);
        for (int i = 0; i < 3; i++) {
            struct pf_frame_result result = add(stack, even(200, 150, levels[i]));
            CHECK_EQ(result.cause, PF_CAUSE_BLANK);
            CHECK(strstr(result.reason, "blank"));
        }
        CHECK_EQ(pf_stack_fused(stack), order);
        finish(stack, 200, 150, false);
    }
}

/* Codes of a dark picture alone: `from` to `from + span`; with `span` 0 the noise of `noise` levels. */
static struct pf_image *dark(int from, int span, int noise, double finest)
{
    struct pf_image *frame = texture_frame(4, 480, 320, identity, finest, 1);
    for (int y = 0; y < frame->height; y++) {
        uint8_t *row = (uint8_t *)frame->plane[0] + (size_t)y * frame->stride_bytes[0];
        for (int x = 0; x < frame->width; x++)
            row[x] = (uint8_t)(from + (row[x] * span + 127) / 255 + rand() % (noise + 1));
    }
    return frame;
}

/* Dark-field pictures, fluorescence, shots underexposed by stops; and what a cap on the lens leaves. */
TEST(odd_dark_frames_are_pictures_and_darkness_is_none)
{
    struct pf_stack *stack = open_stack(PF_ALIGN_AUTO, PF_FUSE_PYRAMID);
    srand(3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(add(stack, dark(20, 20, 1, i ? 12 : 0)).verdict, PF_VERDICT_FUSED);
    CHECK_EQ(add(stack, dark(0, 0, 5, 0)).cause, PF_CAUSE_BLANK);
    CHECK_EQ(add(stack, dark(12, 0, 5, 0)).cause, PF_CAUSE_BLANK);
    finish(stack, 480, 320, false);
}

TEST(odd_unrelated_pictures_are_never_merged)
{
    for (int align = PF_ALIGN_AUTO; align <= PF_ALIGN_HYBRID; align++) {
        struct pf_stack *stack = open_stack((enum pf_align)align, PF_FUSE_PYRAMID);
        for (uint32_t seed = 0; seed < 6; seed++) {
            struct pf_frame_result result =
                add(stack, texture_frame(1000 * seed + 17, 320, 240, identity, 0, 1));
            CHECK_EQ(result.verdict == PF_VERDICT_FUSED, seed == 0);
            CHECK_EQ(result.cause == PF_CAUSE_UNLIKE, seed != 0);
        }
        finish(stack, 320, 240, false);
    }
}

/* Discs of one size in one place, as coins or dishes under a stand: only what is on them differs. */
static struct pf_image *discs(uint32_t seed, int width, int height, bool dark, double finest)
{
    struct pf_image *frame = texture_frame(seed, width, height, identity, finest, 1);
    for (int y = 0; y < height; y++) {
        uint8_t *row = (uint8_t *)frame->plane[0] + (size_t)y * frame->stride_bytes[0];
        for (int x = 0; x < width; x++) {
            bool inside = false;
            for (int k = 0; k < 2; k++)
                inside |= hypot(x - (k ? 0.7 : 0.27) * width, y - 0.5 * height) < 0.35 * height;
            row[x] = (uint8_t)(dark     ? (inside ? row[x] * 0.4 : 235)
                               : inside ? 30 + row[x] * 0.8
                                        : 6);
        }
    }
    return frame;
}

TEST(odd_other_subjects_in_the_same_layout_are_never_merged)
{
    static const int widths[] = {480, 1000};
    for (int i = 0; i < 4; i++) {
        int width = widths[i / 2], height = width * 2 / 3;
        bool dark = i % 2;
        for (int align = PF_ALIGN_AUTO; align <= PF_ALIGN_HYBRID; align++) {
            if (width > 500 && align > PF_ALIGN_ECC)
                continue;
            struct pf_stack *stack = open_stack((enum pf_align)align, PF_FUSE_AVERAGE);
            CHECK_EQ(add(stack, discs(5, width, height, dark, 0)).verdict, PF_VERDICT_FUSED);
            for (uint32_t seed = 1; seed < 4; seed++) {
                struct pf_frame_result result =
                    add(stack, discs(1000 * seed, width, height, dark, 0));
                if (result.cause != PF_CAUSE_UNLIKE)
                    FAIL("%d px, %s, method %d: correlation %.2f", width, dark ? "dark" : "bright",
                         align, result.correlation);
            }
            pf_stack_free(stack);
        }
    }
}

TEST(odd_another_size_is_named_with_both)
{
    struct pf_stack *stack = open_stack(PF_ALIGN_AUTO, PF_FUSE_PYRAMID);
    add(stack, texture_frame(4, 200, 150, identity, 0, 1));
    struct pf_frame_result result = add(stack, texture_frame(4, 150, 200, identity, 0, 1));
    CHECK_EQ(result.cause, PF_CAUSE_UNLIKE);
    CHECK(strstr(result.reason, "150 x 200") && strstr(result.reason, "200 x 150"));
    CHECK(!result.measured);
    CHECK(isnan(result.correlation));
    finish(stack, 200, 150, false);
}

/* The texture as it would come from a file of that kind; planes 3: no colour in it. */
static struct pf_image *stored_as(int bits, int planes, int shift_x, int shift_y, double finest)
{
    struct pf_image *grey = texture_frame(4, 201, 151, identity, finest, 1), *frame = NULL;
    CHECK_EQ(pf_image_new(&frame, 201, 151, bits, planes, shift_x, shift_y, NULL), 0);
    for (int plane = 0; plane < planes; plane++)
        for (int y = 0; y < pf_image_plane_height(frame, plane); y++) {
            uint8_t *row = (uint8_t *)frame->plane[plane] + (size_t)y * frame->stride_bytes[plane];
            const uint8_t *from = (uint8_t *)grey->plane[0] + (size_t)y * grey->stride_bytes[0];
            for (int x = 0; x < pf_image_plane_width(frame, plane); x++) {
                int value = plane ? 128 + plane * 20 : from[x];
                if (bits == 8)
                    row[x] = (uint8_t)value;
                else
                    ((uint16_t *)(void *)row)[x] = (uint16_t)(plane ? value * 256 : value * 257);
            }
        }
    frame->orientation = 1;
    pf_image_free(grey);
    return frame;
}

/* 8 and 16 bits, JPEG's small chroma and TIFF's full one: the same picture. */
TEST(odd_mixed_kinds_of_one_picture_are_fused)
{
    static const int kinds[4][3] = {{8, 1, 1}, {16, 0, 0}, {8, 1, 0}, {16, 1, 1}};
    for (int first = 0; first < 4; first++) {
        struct pf_stack *stack = open_stack(PF_ALIGN_AUTO, PF_FUSE_PYRAMID);
        for (int i = 0; i < 4; i++) {
            const int *kind = kinds[(first + i) % 4];
            CHECK_EQ(add(stack, stored_as(kind[0], 3, kind[1], kind[2], i ? 12 : 0)).verdict,
                     PF_VERDICT_FUSED);
        }
        struct pf_image *image = NULL;
        CHECK_EQ(pf_stack_finish(stack, &image, NULL), 0);
        for (int plane = 1; plane < 3; plane++) {
            int value = ((uint16_t *)image->plane[plane])[50] / 256;
            CHECK(value >= 127 + plane * 20 && value <= 129 + plane * 20);
        }
        pf_image_free(image);
        struct pf_frame_result result = add(stack, stored_as(8, 1, 0, 0, 12));
        CHECK_EQ(result.cause, PF_CAUSE_UNLIKE);
        CHECK(strstr(result.reason, "is grey, the stack is in colour"));
        finish(stack, 201, 151, false);
    }
    struct pf_stack *stack = open_stack(PF_ALIGN_AUTO, PF_FUSE_PYRAMID);
    CHECK_EQ(add(stack, stored_as(8, 1, 0, 0, 0)).verdict, PF_VERDICT_FUSED);
    CHECK_EQ(add(stack, stored_as(16, 1, 0, 0, 12)).verdict, PF_VERDICT_FUSED);
    finish(stack, 201, 151, false);
}

/* A camera that was switched to Adobe RGB between two shots: the same colours in other numbers. */
TEST(odd_mixed_profiles_of_one_picture_are_fused_in_the_first_ones_colours)
{
    struct pf_blob profiles[2] = {{NULL, 0}, {NULL, 0}};
    CHECK_EQ(pf_profile_make(PF_PROFILE_ADOBE_RGB, &profiles[1], NULL), 0);
    for (int first = 0; first < 2; first++) {
        struct pf_stack *stack = open_stack(PF_ALIGN_AUTO, PF_FUSE_AVERAGE);
        for (int i = 0; i < 3; i++) {
            struct pf_image *frame = stored_as(16, 3, 0, 0, 0), *other = NULL;
            if ((first + i) % 2) {
                CHECK_EQ(pf_profile_convert(&other, frame, &profiles[1], NULL), 0);
                pf_image_free(frame);
                frame = other;
            }
            struct pf_frame_result result = add(stack, frame);
            CHECK_EQ(result.verdict, PF_VERDICT_FUSED);
            CHECK_NEAR(result.light.gain, 1, 0.002);
            for (int c = 0; c < 3; c++)
                CHECK_NEAR(result.light.balance[c], 1, 0.002);
        }
        struct pf_image *image = NULL;
        CHECK_EQ(pf_stack_finish(stack, &image, NULL), 0);
        CHECK(pf_profile_is_alike(&image->icc, &profiles[first]));
        pf_image_free(image);
        pf_stack_free(stack);
    }
    free(profiles[1].bytes);
}
