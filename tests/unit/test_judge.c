/* The judge: what is sharp nowhere or blurred by motion is named; no good frame is lost.
 *
 * time limit: 480
 */
#include <stdio.h>
#include <string.h>

#include "process/judge.h"
#include "tests/unit/bracket.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

enum { WIDTH = 480, HEIGHT = 320, FRAMES = 10, BAD = 5 };

static const enum pf_gen_kind kinds[] = {PF_GEN_TEXTURED, PF_GEN_BRISTLES, PF_GEN_BOARD,
                                         PF_GEN_BACKDROP};

/* Stacks a bracket whose frames `bad` (a bit for each) are spoilt; returns a bit for each frame set
 * aside. */
static unsigned stack_spoilt(enum pf_gen_kind kind, uint64_t seed, unsigned bad, double focus,
                             int motion, bool judge, char reason[256])
{
    struct bracket bracket = bracket_open(kind, WIDTH, HEIGHT, FRAMES, seed);
    struct pf_stack_settings settings = {.align = PF_ALIGN_ECC,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .min_correlation = 0.55,
                                         .fuse = PF_FUSE_PYRAMID,
                                         .judge = judge};
    struct pf_stack *stack = NULL;
    unsigned aside = 0;
    CHECK_EQ(pf_stack_open(&stack, &settings, NULL, NULL), 0);
    for (int i = 0; i < FRAMES; i++) {
        struct pf_frame_result result;
        struct pf_image *frame = bracket_frame(&bracket, i, bad >> i & 1 ? focus : ITS_OWN_FOCUS,
                                               bad >> i & 1 ? motion : 0);
        CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
        pf_image_free(frame);
        if (result.verdict == PF_VERDICT_ASIDE) {
            aside |= 1u << i;
            snprintf(reason, 256, "%s", result.reason);
        }
    }
    pf_stack_free(stack);
    bracket_close(&bracket);
    return aside;
}

static unsigned stack_bracket(enum pf_gen_kind kind, uint64_t seed, double focus, int motion,
                              bool judge, char reason[256])
{
    return stack_spoilt(kind, seed, 1u << BAD, focus, motion, judge, reason);
}

TEST(judge_loses_no_good_frame)
{
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        char reason[256] = "";
        unsigned aside = stack_bracket(kinds[k], 1 + k, ITS_OWN_FOCUS, 0, true, reason);
        if (aside)
            printf("scene %zu: set aside %x: %s\n", k, aside, reason);
        CHECK_EQ(aside, 0);
    }
}

TEST(judge_names_a_frame_sharp_nowhere)
{
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        char reason[256] = "";
        unsigned aside = stack_bracket(kinds[k], 1, 5, 0, true, reason);
        CHECK_EQ(aside, 1u << BAD);
        CHECK(strstr(reason, "sharp nowhere"));
    }
}

TEST(judge_names_motion_blur)
{
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        char reason[256] = "";
        unsigned aside = stack_bracket(kinds[k], 1, ITS_OWN_FOCUS, 4, true, reason);
        CHECK_EQ(aside, 1u << BAD);
        CHECK(strstr(reason, "motion"));
    }
}

/* The finger on the button shakes the first frames, and nobody knows yet what is sharp. */
TEST(judge_takes_the_sharp_frames_after_blurred_first_ones)
{
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        char reason[256] = "";
        unsigned aside = stack_spoilt(kinds[k], 1, 3, ITS_OWN_FOCUS, 4, true, reason);
        if (aside)
            printf("scene %zu: set aside %x: %s\n", k, aside, reason);
        CHECK_EQ(aside, 0);
    }
}

/* Those that agree with one another are the rule, though they have no more detail than what came first. */
TEST(judge_that_condemns_all_thinks_again)
{
    static const float lean[] = {0, 0, 0.3f, 0.3f, 0.3f, 0.3f, 0};
    static const bool condemned[] = {false, false, true, true, false, false, true};
    struct pf_judge judge = {0};
    for (size_t i = 0; i < sizeof(lean) / sizeof(lean[0]); i++) {
        struct pf_focus focus = {.laplacian_variance = 1};
        char reason[256];
        for (int c = 0; c < PF_FOCUS_CELLS; c++) {
            focus.grid[c] = c % 2 ? 10 : 1;
            focus.direction[0][c] = lean[i];
        }
        CHECK_EQ(pf_judge_condemns(&judge, &focus, reason, sizeof(reason)), condemned[i]);
        if (condemned[i])
            pf_judge_doubt(&judge, &focus);
        else
            pf_judge_see(&judge, &focus);
    }
}

/* Grass, hair, brushed metal: all gradients lean one way, and the camera is rolled. */
TEST(judge_knows_that_a_rolled_camera_turns_the_gradients)
{
    static const double degrees[] = {0, 0, 20, 20, -20, 6};
    for (int flip = 0; flip < 2; flip++) {
        struct pf_stack_settings settings = {.align = PF_ALIGN_AUTO,
                                             .motion = PF_MOTION_SIMILARITY,
                                             .min_correlation = 0.55,
                                             .fuse = PF_FUSE_AVERAGE,
                                             .judge = true};
        struct pf_stack *stack = NULL;
        CHECK_EQ(pf_stack_open(&stack, &settings, NULL, NULL), 0);
        for (size_t i = 0; i < sizeof(degrees) / sizeof(degrees[0]); i++) {
            double c = cos(degrees[i] * M_PI / 180), s = sin(degrees[i] * M_PI / 180);
            double mx = 0.5 * (WIDTH - 1), my = 0.5 * (HEIGHT - 1);
            const double turn[9] = {c, s, mx - c * mx - s * my, -s, c, my + s * mx - c * my, 0,
                                    0, 1};
            struct pf_image *frame = NULL;
            struct pf_frame_result result;
            CHECK_EQ(pf_image_new(&frame, WIDTH, HEIGHT, 8, 1, 0, 0, NULL), 0);
            for (int y = 0; y < HEIGHT; y++)
                for (int x = 0; x < WIDTH; x++) {
                    double px, py, value = 128;
                    pf_homography_apply(turn, x, y, &px, &py);
                    if (flip)
                        px += py;
                    /* somewhere it is even: of noise alone the judge must have an idea */
                    for (double period = py < 0.2 * HEIGHT ? 0 : 32; period >= 4; period /= 2)
                        value += 120 * (noise_at((uint32_t)period, px, 3 * py, period) - 0.5);
                    ((uint8_t *)frame->plane[0])[(size_t)y * frame->stride_bytes[0] + (size_t)x] =
                        (uint8_t)(value < 0     ? 0
                                  : value > 255 ? 255
                                                : value);
                }
            CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
            if (result.verdict != PF_VERDICT_FUSED)
                FAIL("%.0f degrees: %s", degrees[i], result.reason);
            pf_image_free(frame);
        }
        pf_stack_free(stack);
    }
}

TEST(judge_that_is_off_keeps_what_can_be_aligned)
{
    char reason[256] = "";
    CHECK_EQ(stack_bracket(PF_GEN_TEXTURED, 1, ITS_OWN_FOCUS, 9, false, reason), 0);
}
