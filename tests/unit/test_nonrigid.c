/* Non-rigid alignment: fields from scattered points, flow and elastix on pictures whose deformation
 * is known, refusals, and an elastix that fails in every way. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/elastix.h"
#include "process/field_fit.h"
#include "process/program.h"
#include "process/stack.h"
#include "tests/gen/deform.h"
#include "tests/unit/test.h"
#include "tests/unit/texture.h"

enum { WIDTH = 480, HEIGHT = 360 };

static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

/* --- fields from scattered points --- */

TEST(field_fit_closes_gaps_and_leaves_out_what_contradicts)
{
    enum { COUNT = 400 };
    static struct pf_field_point points[COUNT];
    struct pf_field *field = NULL;
    srand(3);
    for (int i = 0; i < COUNT; i++) {
        struct pf_field_point *p = &points[i];
        do {
            p->x = rand() % WIDTH;
            p->y = rand() % HEIGHT;
        } while (hypot(p->x - 200, p->y - 200) < 60); /* a gap */
        p->d[0] = 3 * sin(p->x / 80) + 0.01 * p->y;
        p->d[1] = 2 * cos(p->y / 90) - 0.01 * p->x;
        p->about[0] = p->about[2] = 100;
        if (i % 5 == 0) { /* wrong */
            p->d[0] += 4 + rand() % 5;
            p->d[1] -= 3;
        } else if (i % 5 == 1) { /* an edge: says nothing of x */
            p->d[0] += 5;
            p->about[0] = 1e-6;
        }
    }
    CHECK_EQ(pf_field_new(&field, WIDTH, HEIGHT, 50, NULL), 0);
    CHECK_EQ(pf_field_fit(field, points, COUNT, 0.005, NULL), 0);
    double sum = 0;
    int count = 0;
    for (int y = 10; y < HEIGHT - 10; y += 10)
        for (int x = 10; x < WIDTH - 10; x += 10, count++) {
            double d[2];
            pf_field_at(field, x, y, d);
            double error =
                hypot(d[0] - 3 * sin(x / 80.0) - 0.01 * y, d[1] - 2 * cos(y / 90.0) + 0.01 * x);
            sum += error;
            if (!(error < 0.8))
                FAIL("%.2f px off at %d, %d", error, x, y);
        }
    if (!(sum / count < 0.08))
        FAIL("%.3f px off on average", sum / count);
    for (int i = 0; i < COUNT; i += 5)
        CHECK(points[i].trust < 0.1);
    CHECK_EQ(pf_field_fit(field, points, 0, 0.005, NULL), -ENODATA);
    pf_field_free(field);
}

/* --- pairs --- */

static struct pf_image *bent(uint32_t seed, const struct pf_gen_deform *deform, const double h[9])
{
    struct pf_image *frame = NULL;
    double inverse[9];
    CHECK(pf_homography_invert(inverse, h));
    CHECK_EQ(pf_image_new(&frame, WIDTH, HEIGHT, 8, 1, 0, 0, NULL), 0);
    frame->orientation = 1;
    frame->source_bits = 8;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            double d[2] = {0}, px, py;
            if (deform)
                pf_gen_deform_at(deform, x, y, d);
            pf_homography_apply(inverse, x + d[0], y + d[1], &px, &py);
            double value = 0.96 * texture_at(seed, px, py, 0) + 0.05 * (rand() % 40) + 3;
            ((uint8_t *)frame->plane[0])[(size_t)y * frame->stride_bytes[0] + (size_t)x] =
                (uint8_t)(value < 0     ? 0
                          : value > 255 ? 255
                                        : value);
        }
    return frame;
}

static struct pf_stack *open_stack(enum pf_align align, enum pf_fuse fuse, double limit_s)
{
    struct pf_stack_settings settings = {.align = align,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .min_correlation = 0.55,
                                         .fuse = fuse,
                                         .clip = 3,
                                         .align_timeout_s = limit_s};
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

/* Mean error at the cells' centres. */
static double error_of(const struct pf_frame_result *result, const struct pf_gen_deform *deform,
                       const double h[9])
{
    double sum = 0;
    for (int i = 0; i < PF_FOCUS_GRID * PF_FOCUS_GRID; i++) {
        double x = (i % PF_FOCUS_GRID + 0.5) * WIDTH / PF_FOCUS_GRID - 0.5;
        double y = (i / PF_FOCUS_GRID + 0.5) * HEIGHT / PF_FOCUS_GRID - 0.5, truth[2], px, py;
        pf_gen_deform_find(deform, h, x, y, truth);
        pf_homography_apply(result->transform, x, y, &px, &py);
        px += (double)result->displacement.grid[i][0];
        py += (double)result->displacement.grid[i][1];
        sum += hypot(px - truth[0], py - truth[1]);
    }
    return sum / (PF_FOCUS_GRID * PF_FOCUS_GRID);
}

static const enum pf_align methods[] = {PF_ALIGN_FLOW, PF_ALIGN_BSPLINE};

static bool usable(enum pf_align align)
{
    return align != PF_ALIGN_BSPLINE || pf_program_is_there("elastix");
}

/* A series that deforms more and more, moved and turned as well. */
TEST(nonrigid_finds_a_known_deformation)
{
    enum { FRAMES = 3 };
    const double h[9] = {1.002, -0.004, 2.5, 0.004, 1.002, -1.5, 0, 0, 1};
    struct pf_image *frames[FRAMES + 1] = {bent(7, NULL, identity)};
    struct pf_gen_deform deform[FRAMES + 1];
    srand(5);
    for (int i = 1; i <= FRAMES; i++) {
        deform[i] = pf_gen_deform_new(WIDTH, HEIGHT, 2.5 * i, 11);
        frames[i] = bent(7, &deform[i], h);
    }
    for (int m = 0; m < 2; m++) {
        if (!usable(methods[m]))
            continue;
        struct pf_stack *stack = open_stack(methods[m], m ? PF_FUSE_PYRAMID : PF_FUSE_AVERAGE, 60);
        CHECK(!add(stack, frames[0]).displacement.any);
        for (int i = 1; i <= FRAMES; i++) {
            struct pf_frame_result result = add(stack, frames[i]);
            double error = error_of(&result, &deform[i], h);
            CHECK_EQ(result.aligned_by, methods[m]);
            CHECK(result.displacement.any && result.displacement.most_px > 0.3 * 2.5 * i);
            if (result.verdict != PF_VERDICT_FUSED || !(error < 0.15))
                FAIL("method %d, frame %d: %s, %.3f px off", m, i, result.reason, error);
        }
        pf_stack_free(stack);
    }
    for (int i = 0; i <= FRAMES; i++)
        pf_image_free(frames[i]);
    if (!usable(PF_ALIGN_BSPLINE))
        SKIP("elastix is not installed; flow alone was tested");
}

TEST(nonrigid_refuses_strangers_and_the_burst_goes_on)
{
    struct pf_gen_deform deform = pf_gen_deform_new(WIDTH, HEIGHT, 3, 4);
    struct pf_image *first = bent(7, NULL, identity), *stranger = bent(8, NULL, identity);
    struct pf_image *second = bent(7, &deform, identity);
    for (int m = 0; m < 2; m++) {
        if (!usable(methods[m]))
            continue;
        struct pf_stack *stack = open_stack(methods[m], PF_FUSE_PYRAMID, 60);
        add(stack, first);
        struct pf_frame_result result = add(stack, stranger);
        CHECK_EQ(result.verdict, PF_VERDICT_ASIDE);
        CHECK_EQ(result.cause, PF_CAUSE_UNLIKE);
        CHECK(strstr(result.reason, "does not match the stack"));
        CHECK(!result.displacement.any);
        CHECK_EQ(add(stack, second).verdict, PF_VERDICT_FUSED);
        CHECK_EQ(pf_stack_fused(stack), 2);
        pf_stack_free(stack);
    }
    pf_image_free(first);
    pf_image_free(second);
    pf_image_free(stranger);
    if (!usable(PF_ALIGN_BSPLINE))
        SKIP("elastix is not installed; flow alone was tested");
}

/* --- elastix itself --- */

static struct pf_reduced reduced(float *pixels, uint32_t seed, double dx)
{
    for (int y = 0; y < 128; y++)
        for (int x = 0; x < 160; x++)
            pixels[y * 160 + x] = (float)texture_at(seed, 2 * x + dx, 2 * y, 0);
    return (struct pf_reduced){pixels, 160, 128, 2, 0.5};
}

struct told {
    int count, last, of;
};

static void on_iteration(void *context, const struct pf_iteration *iteration)
{
    struct told *told = context;
    CHECK_EQ(iteration->done, told->last + 1);
    CHECK(strcmp(iteration->step, "test") == 0);
    told->count++;
    told->last = iteration->done;
    told->of = iteration->of;
}

TEST(elastix_tells_its_iterations_and_is_stopped_when_it_has_converged)
{
    static float pixels[2][160 * 128];
    struct told told = {0};
    struct pf_elastix_options options = {.spacing_px = 60,
                                         .limit_s = 60,
                                         .threads = 1,
                                         .step = "test",
                                         .call = {on_iteration, &told}};
    struct pf_elastix_report report;
    struct pf_field *field = NULL;
    struct pf_error err = {0};
    if (!pf_program_is_there("elastix"))
        SKIP("elastix is not installed");
    struct pf_reduced fixed = reduced(pixels[0], 5, 0), moving = reduced(pixels[1], 5, 3);
    CHECK_OK(pf_elastix_run(&fixed, &moving, &options, &field, &report, &err), &err);
    CHECK_EQ(report.iterations, told.count);
    CHECK(report.converged && told.last < told.of && told.last > 100);
    CHECK(report.metric < -0.99);
    double d[2]; /* moving(p) is the texture 3 px further: what fixed has at p is at p - 3 */
    pf_field_at(field, 160, 128, d);
    CHECK(hypot(d[0] + 3, d[1]) < 0.3);
    pf_field_free(field);
}

TEST(elastix_is_not_asked_what_it_would_answer_wrongly)
{
    static float pixels[2][160 * 128];
    struct pf_elastix_options options = {.spacing_px = 60, .limit_s = 60, .threads = 1};
    struct pf_elastix_report report;
    struct pf_field *field = NULL;
    struct pf_error err = {0};
    struct pf_reduced full = reduced(pixels[0], 5, 0), even = full, tiny = full;
    for (int i = 0; i < 160 * 128; i++)
        pixels[1][i] = 80;
    even.pixels = pixels[1];
    tiny.width = tiny.height = 4;
    CHECK_EQ(pf_elastix_run(&full, &even, &options, &field, &report, &err), -EINVAL);
    CHECK(strstr(err.text, "nothing that could be aligned"));
    CHECK_EQ(pf_elastix_run(&tiny, &tiny, &options, &field, &report, NULL), -EINVAL);
    pixels[1][70] = NAN;
    CHECK_EQ(pf_elastix_run(&full, &even, &options, &field, &report, NULL), -EINVAL);
    CHECK(!field);
}

/* --- another program in its place --- */

/* Puts a script named elastix first in PATH; `body` NULL: no elastix anywhere. */
static void fake_elastix(char *directory, const char *body)
{
    char path[200];
    strcpy(directory, "/tmp/fake-elastix-XXXXXX");
    CHECK(mkdtemp(directory));
    if (body) {
        snprintf(path, sizeof(path), "%s/elastix", directory);
        FILE *file = fopen(path, "w");
        CHECK(file);
        fprintf(file,
                "#!/bin/sh\nfor last; do case $before in -out) out=$last;; esac; "
                "before=$last; done\n%s\n",
                body);
        fclose(file);
        chmod(path, 0755);
    }
    snprintf(path, sizeof(path), "%s%s", directory, body ? ":/usr/bin:/bin" : "");
    setenv("PATH", path, 1);
}

#define TABLE "printf '1:ItNr\\t2:Metric\\n0\\t-0.5\\n1\\t-0.6\\n'\n"

TEST(a_failing_elastix_sets_frames_aside_and_the_burst_goes_on)
{
    static const struct {
        const char *body, *reason;
        double limit_s;
    } cases[] = {
        {NULL, "elastix is not installed", 60},
        {"echo 'no room'; exit 3", "failed with status 3: no room", 60},
        {"kill -SEGV $$", "killed by signal 11", 60},
        {"exit 0", "ended after 0 of 3 resolutions", 60},
        {TABLE TABLE, "ended after 2 of 3 resolutions", 60},
        {TABLE TABLE TABLE, "no usable TransformParameters", 60},
        {TABLE TABLE TABLE
         "echo '(Transform \"BSplineTransform\")' >\"$out/TransformParameters.0.txt\"",
         "no usable TransformParameters", 60},
        {TABLE TABLE TABLE
         "printf '(Transform \"BSplineTransform\")\\n(NumberOfParameters 32)\\n(GridSize 4 4)\\n"
         "(GridOrigin -480 -480)\\n(GridSpacing 480 480)\\n(TransformParameters 1 2 3 nan)\\n' "
         ">\"$out/TransformParameters.0.txt\"",
         "no usable TransformParameters", 60},
        {TABLE TABLE TABLE
         "{ printf '(Transform \"BSplineTransform\")\\n(NumberOfParameters 32)\\n(GridSize 4 4)\\n"
         "(GridOrigin -480 -480)\\n(GridSpacing 480 480)\\n(TransformParameters'; "
         "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; "
         "do "
         "printf ' %d' $((i % 4 * -400)); done; echo ')'; } >\"$out/TransformParameters.0.txt\"",
         "does not match the stack: ", 60},
        {TABLE "sleep 60", "took longer than 0.3 s", 0.3},
        {"exec >/dev/null 2>&1; sleep 60", "took longer than 0.3 s", 0.3},
    };
    char before[4096], directory[64], command[100];
    snprintf(before, sizeof(before), "%s", getenv("PATH") ? getenv("PATH") : "");
    struct pf_gen_deform deform = pf_gen_deform_new(WIDTH, HEIGHT, 2, 4);
    struct pf_image *first = bent(7, NULL, identity), *second = bent(7, &deform, identity);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct pf_stack *stack = open_stack(PF_ALIGN_BSPLINE, PF_FUSE_PYRAMID, cases[i].limit_s);
        CHECK(add(stack, first).is_reference);
        fake_elastix(directory, cases[i].body);
        struct pf_frame_result result = add(stack, second);
        setenv("PATH", before, 1);
        if (result.verdict != PF_VERDICT_ASIDE || !strstr(result.reason, cases[i].reason))
            FAIL("case %zu: verdict %d, %s", i, result.verdict, result.reason);
        bool unlike = strstr(result.reason, "does not match") != NULL;
        CHECK_EQ(result.cause, unlike ? PF_CAUSE_UNLIKE : PF_CAUSE_FAILED);
        if (i == 0 && pf_program_is_there("elastix"))
            CHECK_EQ(add(stack, second).verdict, PF_VERDICT_FUSED);
        pf_stack_free(stack);
        snprintf(command, sizeof(command), "rm -rf %s", directory);
        CHECK_EQ(system(command), 0);
    }
    pf_image_free(first);
    pf_image_free(second);
}

/* --- running programs --- */

struct lines {
    int count;
    char last[64];
};

static enum pf_program_next on_line(void *context, const char *text)
{
    struct lines *lines = context;
    lines->count++;
    snprintf(lines->last, sizeof(lines->last), "%.63s", text);
    return strcmp(text, "enough") ? PF_PROGRAM_GO_ON : PF_PROGRAM_STOP;
}

TEST(program_gives_its_lines_and_ends_with_all_that_it_started)
{
    struct lines lines = {0};
    bool stopped = true;
    const char *const plain[] = {"sh", "-c", "echo a; echo b >&2; printf 'cut'", NULL};
    CHECK_EQ(pf_program_run(plain, 60, on_line, &lines, &stopped, NULL), 0);
    CHECK(!stopped && lines.count == 2 && strcmp(lines.last, "b") == 0);

    const char *const endless[] = {"sh", "-c", "sleep 100 & echo $!; echo enough; wait", NULL};
    char pid[64];
    lines = (struct lines){0};
    CHECK_EQ(pf_program_run(endless, 60, on_line, &lines, &stopped, NULL), 0);
    CHECK(stopped && lines.count == 2);
    /* The background process' number was the line before the last: ask again for it alone. */
    const char *const orphan[] = {"sh", "-c", "sleep 100 & echo $!", NULL};
    lines = (struct lines){0};
    CHECK_EQ(pf_program_run(orphan, 60, on_line, &lines, &stopped, NULL), 0);
    CHECK(!stopped && lines.count == 1);
    snprintf(pid, sizeof(pid), "%s", lines.last);
    for (int i = 0; i < 500 && kill(atoi(pid), 0) == 0; i++) {
        /* Dead, but perhaps not yet reaped by init. */
        char path[100], state[200] = "";
        snprintf(path, sizeof(path), "/proc/%s/stat", pid);
        FILE *file = fopen(path, "r");
        if (!file || !fgets(state, sizeof(state), file) || strstr(state, ") Z"))
            i = 1000;
        if (file)
            fclose(file);
        if (i == 499)
            FAIL("process %s lives on", pid);
        usleep(10000);
    }

    const char *const missing[] = {"no-such-program-of-ours", NULL};
    struct pf_error err = {0};
    CHECK_EQ(pf_program_run(missing, 60, on_line, &lines, &stopped, &err), -ENOENT);
    CHECK(strstr(err.text, "no-such-program-of-ours is not installed"));
}
