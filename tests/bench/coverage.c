/* How often coverage and judge are right: one generated bracket, measured once by the engine, and
 * from it the brackets that its frames make: every frame, every second one and so on; each of these
 * whole, growing frame by frame, without each of its inner frames, without its ends.
 *
 *   coverage SCENE WIDTH HEIGHT FRAMES SEED     SCENE: textured bristles board backdrop
 *
 * One line a bracket, for tests/bench/coverage.sh: scene, width, height, seed, frames; blur in px
 * midway where a frame lacks; 1 where a plane is said to lack in the whole bracket, in one that is
 * growing; inner frames, found when lacking, other places named then; 1 where parts are said to be
 * outside of the whole bracket; of two brackets without 3 tenths at the end or start, those said to
 * have parts outside; good frames, those the judge condemns; 1 for a misfocused frame, for one
 * moved by 6 px at 2 MP, and whether it is named: -1 not tried.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/coverage.h"
#include "process/judge.h"
#include "tests/gen/burst.h"

enum { FRAMES_MAX = 64, LOST = 0, MOVED = 1, SPOILT = 2 };

static struct pf_gen_options options;
static struct pf_gen_scene *scene;
static struct pf_gen_canvas *canvas;
static struct pf_gen_shot *shots;
static struct pf_focus measured[FRAMES_MAX], spoilt[SPOILT];

static void stop(const char *what)
{
    fprintf(stderr, "coverage: %s\n", what);
    exit(1);
}

/* The frame as a luma picture, focused at `focus` and moved along x while it was exposed. */
static struct pf_image *shoot(int index, double focus, int motion)
{
    struct pf_gen_lens lens = {scene->blur_px, (float)focus, false};
    struct pf_image *image = NULL;
    pf_gen_scene_render(scene, &lens, canvas);
    uint16_t *samples = pf_gen_expose(scene, canvas, &shots[index], 8);
    if (pf_image_new(&image, scene->width, scene->height, 8, 1, 0, 0, NULL) < 0)
        stop("out of memory");
    image->orientation = 1;
    for (int y = 0; y < scene->height; y++) {
        uint8_t *row = (uint8_t *)image->plane[0] + (size_t)y * image->stride_bytes[0];
        const uint16_t *from = samples + 3 * (size_t)y * (size_t)scene->width;
        for (int x = 0; x < scene->width; x++) {
            double sum = 0;
            for (int k = 0; k <= motion; k++) {
                const uint16_t *pixel =
                    from + 3 * (x + k < scene->width ? x + k : scene->width - 1);
                sum += 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
            }
            row[x] = (uint8_t)(sum / 257 / (motion + 1) + 0.5);
        }
    }
    free(samples);
    return image;
}

static struct pf_frame_result add(struct pf_stack *stack, struct pf_image *image)
{
    struct pf_frame_result result;
    if (pf_stack_add(stack, image, &result, NULL) < 0)
        stop("a frame could not be added");
    pf_image_free(image);
    return result;
}

/* All frames through the engine; then the middle one spoilt, where the good one lay. */
static void measure(void)
{
    struct pf_stack_settings settings = {.align = PF_ALIGN_AUTO,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .min_correlation = 0.55,
                                         .fuse = PF_FUSE_AVERAGE};
    struct pf_stack *stack = NULL;
    struct pf_frame_result result, middle = {0};
    if (pf_stack_open(&stack, &settings, NULL, NULL) < 0)
        stop("no stack");
    for (int i = 0; i < options.frames; i++) {
        result = add(stack, shoot(i, shots[i].focus, 0));
        if (result.verdict != PF_VERDICT_FUSED)
            stop(result.reason);
        pf_focus_lay(&measured[i], &result.focus, result.transform, scene->width, scene->height,
                     result.light.gain);
        if (i == options.frames / 2)
            middle = result;
    }
    pf_stack_free(stack);
    settings.align = PF_ALIGN_NONE;
    for (int k = 0; k < SPOILT; k++) {
        int index = options.frames / 2;
        double focus = k == LOST ? 2.5 : shots[index].focus;
        if (pf_stack_open(&stack, &settings, NULL, NULL) < 0)
            stop("no stack");
        result =
            add(stack, shoot(index, focus, k == MOVED ? (int)lrint(6 * (double)scene->unit) : 0));
        pf_focus_lay(&spoilt[k], &result.focus, middle.transform, scene->width, scene->height,
                     middle.light.gain);
        pf_stack_free(stack);
    }
}

struct bracket {
    int count, frame[FRAMES_MAX];
};

static struct bracket without(const struct bracket *whole, int first, int count)
{
    struct bracket part = {0};
    for (int i = 0; i < whole->count; i++)
        if (i < first || i >= first + count)
            part.frame[part.count++] = whole->frame[i];
    return part;
}

struct finding {
    int skipped, skipped_at[FRAMES_MAX]; /* first frame of each pair, as place */
    bool before, beyond;                 /* worth a word */
};

static struct finding report(const struct bracket *bracket)
{
    struct pf_coverage *coverage = NULL;
    struct pf_coverage_report report;
    struct finding finding = {0};
    if (pf_coverage_new(&coverage, NULL) < 0)
        stop("out of memory");
    for (int i = 0; i < bracket->count; i++)
        if (pf_coverage_add(coverage, i, &measured[bracket->frame[i]], NULL) < 0)
            stop("out of memory");
    if (pf_coverage_report(coverage, NULL, &report, NULL) < 0)
        stop("out of memory");
    size_t before = 0, beyond = 0;
    for (int i = 0; i + 1 < report.frames; i++)
        if (report.skipped[i])
            finding.skipped_at[finding.skipped++] = i;
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        before += report.cover[c] == PF_COVER_BEFORE;
        beyond += report.cover[c] == PF_COVER_BEYOND;
    }
    finding.before = pf_coverage_is_worth_a_word(before, (size_t)report.detail);
    finding.beyond = pf_coverage_is_worth_a_word(beyond, (size_t)report.detail);
    pf_coverage_report_free(&report);
    pf_coverage_free(coverage);
    return finding;
}

/* Number of frames condemned; with `kind` the middle frame is spoilt, and only it counts. */
static int judge(const struct bracket *bracket, int kind)
{
    static struct pf_judge judge;
    char reason[256];
    int condemned = 0;
    memset(&judge, 0, sizeof(judge));
    for (int i = 0; i < bracket->count; i++) {
        bool bad = kind >= 0 && bracket->frame[i] == options.frames / 2;
        const struct pf_focus *focus = bad ? &spoilt[kind] : &measured[bracket->frame[i]];
        bool word = pf_judge_condemns(&judge, focus, reason, sizeof(reason));
        condemned += word && (kind < 0 || bad);
        if (!word)
            pf_judge_see(&judge, focus);
    }
    return condemned;
}

static void examine(const struct bracket *whole)
{
    double blur = (double)scene->blur_px / (whole->count - 1);
    struct finding finding = report(whole);
    bool outside = finding.before || finding.beyond;
    int early = 0, found = 0, other = 0, ends = 0, middle = 0;
    for (int count = 3; count < whole->count; count++) {
        struct bracket open = without(whole, count, whole->count);
        early |= report(&open).skipped > 0;
    }
    for (int i = 2; i < whole->count - 2; i++) {
        struct bracket gapped = without(whole, i, 1);
        struct finding gap = report(&gapped);
        for (int k = 0; k < gap.skipped; k++) {
            found += gap.skipped_at[k] == i - 1;
            other += gap.skipped_at[k] != i - 1;
        }
    }
    int cut = (3 * whole->count + 5) / 10;
    struct bracket endless = without(whole, whole->count - cut, cut);
    struct bracket late = without(whole, 0, cut);
    ends = report(&endless).beyond + report(&late).before;
    for (int i = 0; i < whole->count; i++)
        middle |= whole->frame[i] == options.frames / 2;
    static const char *const names[] = {"textured", "bristles", "board", "backdrop"};
    printf("%s %d %d %llu %d %.2f %d %d %d %d %d %d %d %d %d %d %d\n", names[options.kind],
           scene->width, scene->height, (unsigned long long)options.seed, whole->count, blur,
           finding.skipped > 0, early, whole->count - 4, found, other, outside, ends, whole->count,
           judge(whole, -1), middle ? judge(whole, LOST) : -1, middle ? judge(whole, MOVED) : -1);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"textured", "bristles", "board", "backdrop"};
    options = pf_gen_options_usual();
    int kind = 0;
    while (argc == 6 && kind < 4 && strcmp(argv[1], names[kind]) != 0)
        kind++;
    if (argc != 6 || kind == 4)
        stop("usage: coverage textured|bristles|board|backdrop WIDTH HEIGHT FRAMES SEED");
    options.kind = (enum pf_gen_kind)kind;
    options.width = atoi(argv[2]);
    options.height = atoi(argv[3]);
    options.frames = atoi(argv[4]);
    options.seed = strtoull(argv[5], NULL, 10);
    if (options.width < 64 || options.height < 64 || options.frames < 6 ||
        options.frames > FRAMES_MAX)
        stop("sizes from 64, 6 to 64 frames");
    pf_gen_options_settle(&options);
    scene = pf_gen_burst_scene(&options);
    canvas = pf_gen_canvas_new(scene);
    shots = pf_gen_burst_shots(&options);
    measure();
    for (int stride = 1; (options.frames - 1) / stride + 1 >= 6; stride++) {
        struct bracket bracket = {0};
        if ((options.frames - 1) % stride)
            continue;
        for (int i = 0; i < options.frames; i += stride)
            bracket.frame[bracket.count++] = i;
        examine(&bracket);
    }
    free(shots);
    pf_gen_canvas_free(canvas);
    pf_gen_scene_free(scene);
    return 0;
}
