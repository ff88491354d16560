/* Coverage: a bracket with planes left out is told from a whole one, and where they lack. */
#include <stdio.h>

#include "process/coverage.h"
#include "tests/unit/bracket.h"
#include "tests/unit/test.h"

enum { WIDTH = 768, HEIGHT = 512, FRAMES = 10 };

/* And the frames left out at the end: where little is as deep as the last planes, more of them. */
static const struct {
    enum pf_gen_kind kind;
    int kept;
} kinds[] = {{PF_GEN_TEXTURED, 7}, {PF_GEN_BOARD, 5}};

/* The focus grids of a whole bracket, over the first frame. */
struct measured {
    struct pf_focus focus[FRAMES];
    float deepest[PF_FOCUS_CELLS]; /* truth, 0..1: a tenth of the cell is deeper */
};

static void measure(struct measured *measured, enum pf_gen_kind kind)
{
    struct bracket bracket = bracket_open(kind, WIDTH, HEIGHT, FRAMES, 1);
    struct pf_stack_settings settings = {.align = PF_ALIGN_NONE};
    for (int i = 0; i < FRAMES; i++) {
        struct pf_stack *stack = NULL;
        struct pf_frame_result result;
        struct pf_image *frame = bracket_frame(&bracket, i, ITS_OWN_FOCUS, 0);
        CHECK_EQ(pf_stack_open(&stack, &settings, NULL, NULL), 0);
        CHECK_EQ(pf_stack_add(stack, frame, &result, NULL), 0);
        pf_focus_lay(&measured->focus[i], &result.focus, bracket.shots[i].transform, WIDTH, HEIGHT,
                     1);
        pf_stack_free(stack);
        pf_image_free(frame);
    }
    uint16_t *depth = pf_gen_burst_depth(bracket.scene);
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int width = WIDTH / PF_FOCUS_GRID, height = HEIGHT / PF_FOCUS_GRID;
        const uint16_t *corner = depth + (size_t)(c / PF_FOCUS_GRID * height) * WIDTH +
                                 (size_t)(c % PF_FOCUS_GRID * width);
        int histogram[100] = {0}, deeper = 0, bin = 99;
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                histogram[corner[(size_t)y * WIDTH + (size_t)x] * 99 / 65535]++;
        while (bin > 0 && (deeper += histogram[bin]) < width * height / 10)
            bin--;
        measured->deepest[c] = (float)bin / 99;
    }
    free(depth);
    bracket_close(&bracket);
}

/* Without the frames first..last, added from the last to the first, so that the rank tells. */
static struct pf_coverage_report report_without(const struct measured *measured, int first,
                                                int last)
{
    struct pf_coverage *coverage = NULL;
    struct pf_coverage_report report;
    int rank[FRAMES];
    CHECK_EQ(pf_coverage_new(&coverage, NULL), 0);
    for (int i = 0; i < FRAMES; i++) {
        rank[i] = FRAMES - 1 - i;
        if (rank[i] < first || rank[i] > last)
            CHECK_EQ(pf_coverage_add(coverage, i, &measured->focus[rank[i]], NULL), 0);
    }
    CHECK_EQ(pf_coverage_report(coverage, rank, &report, NULL), 0);
    pf_coverage_free(coverage);
    for (int i = 0; i < report.frames; i++)
        report.frame[i] = rank[report.frame[i]];
    return report;
}

static int count(const struct pf_coverage_report *report, int cover)
{
    int cells = 0;
    for (int c = 0; c < PF_FOCUS_CELLS; c++)
        cells += report->cover[c] == cover;
    return cells;
}

TEST(coverage_of_brackets_whole_and_broken)
{
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        static struct measured measured;
        measure(&measured, kinds[k].kind);

        struct pf_coverage_report report = report_without(&measured, FRAMES, FRAMES);
        CHECK_EQ(report.frames, FRAMES);
        CHECK(report.detail > 150);
        int won = 0;
        for (int i = 0; i < FRAMES; i++) {
            CHECK_EQ(report.frame[i], i);
            CHECK(!report.skipped[i]);
            won += report.won[i];
        }
        CHECK_EQ(won, report.detail);
        CHECK(count(&report, PF_COVER_BEFORE) < report.detail / 30);
        CHECK(count(&report, PF_COVER_BEYOND) < report.detail / 30);
        pf_coverage_report_free(&report);

        /* One inner plane, and two. */
        for (int last = 4; last <= 5; last++) {
            report = report_without(&measured, 4, last);
            for (int i = 0; i < report.frames; i++)
                CHECK_EQ(report.skipped[i], report.frame[i] == 3);
            pf_coverage_report_free(&report);
        }

        /* The last ones: cells behind the last plane left, and few others. */
        report = report_without(&measured, kinds[k].kept, FRAMES - 1);
        int named = count(&report, PF_COVER_BEYOND), rightly = 0;
        for (int c = 0; c < PF_FOCUS_CELLS; c++)
            rightly += report.cover[c] == PF_COVER_BEYOND &&
                       measured.deepest[c] * (FRAMES - 1) > (float)kinds[k].kept - 0.5f;
        printf("scene %zu: %d cells behind the last plane named, %d rightly\n", k, named, rightly);
        CHECK(named >= 4);
        CHECK(rightly * 5 >= named * 4);
        CHECK(count(&report, PF_COVER_BEFORE) < report.detail / 30);
        for (int i = 0; i < report.frames; i++)
            CHECK(!report.skipped[i]);
        pf_coverage_report_free(&report);
    }
}

TEST(coverage_of_nothing_and_of_few)
{
    static const struct pf_focus nothing;
    struct pf_coverage *coverage = NULL;
    struct pf_coverage_report report;
    CHECK_EQ(pf_coverage_new(&coverage, NULL), 0);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(pf_coverage_report(coverage, NULL, &report, NULL), 0);
        CHECK_EQ(report.frames, i);
        CHECK_EQ(report.detail, 0);
        CHECK_EQ(report.winner[0], -1);
        pf_coverage_report_free(&report);
        CHECK_EQ(pf_coverage_add(coverage, i, &nothing, NULL), 0);
    }
    pf_coverage_free(coverage);
}
