/* The judge: what is sharp nowhere or blurred by motion is named; no good frame is lost. */
#include <stdio.h>
#include <string.h>

#include "process/judge.h"
#include "tests/unit/bracket.h"
#include "tests/unit/test.h"

enum { WIDTH = 480, HEIGHT = 320, FRAMES = 10, BAD = 5 };

static const enum pf_gen_kind kinds[] = {PF_GEN_TEXTURED, PF_GEN_BRISTLES, PF_GEN_BOARD,
                                         PF_GEN_BACKDROP};

/* Stacks a bracket whose frame BAD is spoilt; returns a bit for each frame set aside. */
static unsigned stack_bracket(enum pf_gen_kind kind, uint64_t seed, double focus, int motion,
                              bool judge, char reason[256])
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
        struct pf_image *frame =
            bracket_frame(&bracket, i, i == BAD ? focus : ITS_OWN_FOCUS, i == BAD ? motion : 0);
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

TEST(judge_that_is_off_keeps_what_can_be_aligned)
{
    char reason[256] = "";
    CHECK_EQ(stack_bracket(PF_GEN_TEXTURED, 1, ITS_OWN_FOCUS, 9, false, reason), 0);
}
