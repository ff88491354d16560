#include "process/stack.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/time.h"
#include "process/align.h"
#include "process/backend.h"
#include "process/convert.h"
#include "process/homography.h"
#include "process/judge.h"
#include "process/profile.h"
#include "process/room.h"

/* Below this standard deviation (grey levels of 255 as coded for the eye, noise averaged out) a
 * picture is blank. */
#define LEAST_CONTRAST 0.75
/* Of less than this no alignment can be sure: everything correlates with everything. */
#define LEAST_SIDE 16
/* Beyond this brightness a frame is no picture of the same thing, whatever its correlation. */
#define MOST_GAIN 3.0
/* The same for a colour beside the others: more than from daylight to the light of a bulb. */
#define MOST_BALANCE 1.6

struct pf_stack {
    const struct pf_backend *backend;
    void *engine;
    struct pf_stack_settings settings;
    struct pf_pool *pool;   /* borrowed */
    char note[300];         /* why another backend computes than was wanted */
    struct pf_image *shape; /* metadata of the reference; no use of its pixels. NULL: none yet */
    int width, height, planes, chroma_shift_x, chroma_shift_y;
    struct pf_warp predecessor; /* reference point -> predecessor point */
    double before[9];           /* reference point -> point of the frame fused before that */
    struct pf_judge judge;
    struct pf_look *look; /* of the frame that is added next, borrowed; NULL: none */
    int added, fused;
};

int pf_stack_open(struct pf_stack **ret, const struct pf_stack_settings *settings,
                  struct pf_pool *pool, struct pf_error *err)
{
    struct pf_stack *stack = calloc(1, sizeof(*stack));
    if (!stack)
        return pf_fail(err, ENOMEM, "out of memory for a stack");
    stack->settings = *settings;
    stack->pool = pool;
    stack->backend = settings->backend ? settings->backend : &pf_backend_cpu;
    int r = stack->backend->open(&stack->engine, &stack->settings, pool, err);
    if (r < 0) {
        pf_stack_free(stack);
        return r;
    }
    *ret = stack;
    return 0;
}

struct pf_stack *pf_stack_free(struct pf_stack *stack)
{
    if (!stack)
        return NULL;
    if (stack->backend)
        stack->backend->close(stack->engine);
    pf_image_free(stack->shape);
    pf_field_free(stack->predecessor.field);
    free(stack);
    pf_room_trim();
    return NULL;
}

const struct pf_backend *pf_stack_backend(const struct pf_stack *stack)
{
    return stack->backend;
}

const char *pf_stack_note(const struct pf_stack *stack)
{
    return stack->note;
}

/* One that is still coded is decoded for who cannot do so. */
static int load_into_backend(struct pf_stack *stack, const struct pf_image *frame,
                             struct pf_focus *ret_focus, double *ret_contrast, struct pf_error *err)
{
    int r = stack->backend->find_decoder ? 0 : pf_image_samples(frame, &frame, err);
    return r < 0 ? r
                 : stack->backend->load(stack->engine, frame, stack->look, ret_focus, ret_contrast,
                                        err);
}

/* A frame in hand. Where a device has no room for such frames, before anything is fused, the
 * processor takes over. */
static int load(struct pf_stack *stack, const struct pf_image *frame, struct pf_focus *ret_focus,
                double *ret_contrast, struct pf_error *err)
{
    struct pf_error trouble = {0};
    int r = load_into_backend(stack, frame, ret_focus, ret_contrast, &trouble);
    if (r == -ENOMEM && !stack->shape && stack->backend != &pf_backend_cpu) {
        snprintf(stack->note, sizeof(stack->note), "%.250s", trouble.text);
        pf_error_clear(&trouble);
        stack->backend->close(stack->engine);
        stack->engine = NULL;
        stack->backend = &pf_backend_cpu;
        r = stack->backend->open(&stack->engine, &stack->settings, stack->pool, &trouble);
        if (r == 0)
            r = load_into_backend(stack, frame, ret_focus, ret_contrast, &trouble);
    }
    return r < 0 ? pf_fail(err, -r, "%s", trouble.text) : 0;
}

void pf_stack_look(struct pf_stack *stack, struct pf_look *look)
{
    stack->look = look;
}

int pf_stack_fused(const struct pf_stack *stack)
{
    return stack->fused;
}

static void set_aside(struct pf_frame_result *result, enum pf_cause cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void set_aside(struct pf_frame_result *result, enum pf_cause cause, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(result->reason, sizeof(result->reason), format, args);
    va_end(args);
    result->verdict = PF_VERDICT_ASIDE;
    result->cause = cause;
}

/* True when the judge sets the frame aside. One that could not be aligned is looked at where the
 * frame before it was: what is sharp nowhere often fits nowhere, and that says less. */
static bool condemned(struct pf_stack *stack, bool aligned, struct pf_frame_result *result)
{
    if (!stack->settings.judge)
        return false;
    struct pf_focus focus;
    pf_focus_lay(&focus, &result->focus, aligned ? result->transform : stack->predecessor.h,
                 stack->width, stack->height, 1);
    char reason[sizeof(result->reason)];
    if (!pf_judge_condemns(&stack->judge, &focus, reason, sizeof(reason)))
        return false;
    set_aside(result, PF_CAUSE_SOFT, "%s", reason);
    if (aligned)
        pf_judge_doubt(&stack->judge, &focus);
    return true;
}

static int remember_shape(struct pf_stack *stack, const struct pf_image *frame,
                          struct pf_error *err)
{
    struct pf_image *shape = NULL;
    int r = pf_image_new(&shape, 1, 1, 8, 1, 0, 0, err);
    if (r == 0)
        r = pf_image_copy_metadata(shape, frame, err);
    if (r < 0) {
        pf_image_free(shape);
        return r;
    }
    stack->shape = shape;
    stack->width = frame->width;
    stack->height = frame->height;
    stack->planes = frame->planes;
    stack->chroma_shift_x = frame->chroma_shift_x;
    stack->chroma_shift_y = frame->chroma_shift_y;
    return 0;
}

/* True when the frame can be laid over the stack's samples; else the result says why not. */
static bool fits(const struct pf_stack *stack, const struct pf_image *frame,
                 struct pf_frame_result *result)
{
    if (frame->width != stack->width || frame->height != stack->height)
        set_aside(result, PF_CAUSE_UNLIKE, "is %d x %d, the stack is %d x %d", frame->width,
                  frame->height, stack->width, stack->height);
    else if (frame->planes != stack->planes)
        set_aside(result, PF_CAUSE_UNLIKE, "is %s, the stack is %s",
                  frame->planes == 1 ? "grey" : "in colour",
                  stack->planes == 1 ? "grey" : "in colour");
    else
        return true;
    return false;
}

static struct pf_displacement displacement_of(const struct pf_field *field, int width, int height)
{
    struct pf_displacement result = {.any = field != NULL};
    if (!field)
        return result;
    struct pf_field_shape shape = pf_field_look(field, width, height);
    result.mean_px = shape.mean_px;
    result.most_px = shape.most_px;
    for (int i = 0; i < PF_FOCUS_GRID * PF_FOCUS_GRID; i++) {
        double d[2];
        pf_field_at(field, (i % PF_FOCUS_GRID + 0.5) * width / PF_FOCUS_GRID - 0.5,
                    (i / PF_FOCUS_GRID + 0.5) * height / PF_FOCUS_GRID - 0.5, d);
        result.grid[i][0] = (float)d[0];
        result.grid[i][1] = (float)d[1];
    }
    return result;
}

/* `warp` is empty, and what is left in it is the caller's. */
static int add_frame(struct pf_stack *stack, const struct pf_image *frame, struct pf_warp *warp,
                     struct pf_frame_result *ret, struct pf_error *err)
{
    struct pf_frame_result result = {.verdict = PF_VERDICT_FUSED,
                                     .correlation = NAN,
                                     .light = {1, {1, 1, 1}},
                                     .aligned_by = PF_ALIGN_NONE};
    pf_homography_identity(result.transform);
    int index = stack->added++;
    int64_t start = pf_monotonic_ms();
    if (stack->settings.align != PF_ALIGN_NONE &&
        (frame->width < LEAST_SIDE || frame->height < LEAST_SIDE))
        set_aside(&result, PF_CAUSE_UNLIKE, "is too small to be aligned: %d x %d pixels",
                  frame->width, frame->height);
    if (result.cause || (stack->shape && !fits(stack, frame, &result))) {
        *ret = result;
        return 0;
    }
    double contrast = 0;
    int r = load(stack, frame, &result.focus, &contrast, err);
    if (r < 0)
        return r;
    int64_t measured = pf_monotonic_ms(), aligned = measured;
    result.measured = true;
    result.focus_ms = (double)(measured - start);
    if (contrast < LEAST_CONTRAST) {
        set_aside(&result, PF_CAUSE_BLANK, "is blank: contrast %.2f of 255 grey levels", contrast);
        *ret = result;
        return 0;
    }

    if (!stack->shape) {
        r = remember_shape(stack, frame, err);
        if (r < 0)
            return r;
        result.is_reference = true;
        result.correlation = 1;
    } else if (stack->settings.align != PF_ALIGN_NONE) {
        struct pf_place place = {.width = stack->width,
                                 .height = stack->height,
                                 .fused = stack->fused,
                                 .predecessor = &stack->predecessor,
                                 .before = stack->fused > 1 ? stack->before : NULL};
        r = pf_align_frame(stack->backend, stack->engine, &stack->settings, &place, &result,
                           &warp->field, err);
        if (r < 0)
            return r;
        aligned = pf_monotonic_ms();
        result.align_ms = (double)(aligned - measured);
        if (r == 0) {
            if (result.cause == PF_CAUSE_UNLIKE)
                condemned(stack, false, &result);
            result.verdict = PF_VERDICT_ASIDE;
            pf_homography_identity(result.transform);
            *ret = result;
            return 0;
        }
    }
    if (condemned(stack, true, &result)) {
        *ret = result;
        return 0;
    }
    r = stack->backend->compare_light(stack->engine, result.transform, &result.light, err);
    if (r < 0)
        return r;
    if (!(result.light.gain < MOST_GAIN && result.light.gain > 1 / MOST_GAIN)) {
        set_aside(&result, PF_CAUSE_UNLIKE, "does not match the stack: %.1f times its brightness",
                  1 / result.light.gain);
        *ret = result;
        return 0;
    }
    for (int c = 0; c < 3; c++) {
        static const char *const names[] = {"red", "green", "blue"};
        double times = 1 / result.light.balance[c];
        if (times < MOST_BALANCE && times > 1 / MOST_BALANCE)
            continue;
        set_aside(&result, PF_CAUSE_UNLIKE, "does not match the stack: %.1f times as %s", times,
                  names[c]);
        *ret = result;
        return 0;
    }
    memcpy(warp->h, result.transform, sizeof(warp->h));
    r = stack->backend->fuse(stack->engine, warp, &result.light, index, err);
    if (r < 0)
        return r;
    stack->backend->keep(stack->engine);
    stack->fused++;
    struct pf_focus focus;
    pf_focus_lay(&focus, &result.focus, result.transform, stack->width, stack->height, 1);
    pf_judge_see(&stack->judge, &focus);
    result.displacement = displacement_of(warp->field, stack->width, stack->height);
    pf_field_free(stack->predecessor.field);
    memcpy(stack->before, stack->predecessor.h, sizeof(stack->before));
    stack->predecessor = *warp;
    warp->field = NULL;
    result.fuse_ms = (double)(pf_monotonic_ms() - aligned);
    *ret = result;
    return 0;
}

/* A JPEG among TIFFs, or one of a camera that was set otherwise: the same picture, stored in another
 * way. *ret stays NULL where the frame is good as it is. */
static int in_the_stacks_way(const struct pf_stack *stack, const struct pf_image *frame,
                             struct pf_image **ret, struct pf_error *err)
{
    struct pf_image *coloured = NULL;
    int r = 0;
    if (!stack->shape || frame->planes != 3 || stack->planes != 3 || frame->width != stack->width ||
        frame->height != stack->height)
        return 0;
    bool coloured_alike = pf_profile_is_alike(&frame->icc, &stack->shape->icc);
    bool sampled_alike = frame->chroma_shift_x == stack->chroma_shift_x &&
                         frame->chroma_shift_y == stack->chroma_shift_y;
    if (!coloured_alike || !sampled_alike)
        r = pf_image_samples(frame, &frame, err);
    if (r < 0)
        return r;
    if (!coloured_alike) {
        r = pf_profile_convert(&coloured, frame, &stack->shape->icc, err);
        if (r < 0)
            return r;
        frame = coloured;
    }
    if (!sampled_alike) {
        r = pf_image_with_chroma(ret, frame, stack->chroma_shift_x, stack->chroma_shift_y, err);
        pf_image_free(coloured);
        return r;
    }
    *ret = coloured;
    return 0;
}

int pf_stack_add(struct pf_stack *stack, const struct pf_image *frame, struct pf_frame_result *ret,
                 struct pf_error *err)
{
    struct pf_image *converted = NULL;
    struct pf_warp warp = {.field = NULL};
    int r = in_the_stacks_way(stack, frame, &converted, err);
    if (r == 0)
        r = add_frame(stack, converted ? converted : frame, &warp, ret, err);
    if (stack->engine)
        stack->backend->drop(stack->engine);
    stack->look = NULL;
    pf_field_free(warp.field);
    pf_image_free(converted);
    return r;
}

static int with_metadata(struct pf_stack *stack, int r, struct pf_image *image,
                         struct pf_image **ret, struct pf_error *err)
{
    if (r == 0)
        r = pf_image_copy_metadata(image, stack->shape, err);
    if (r < 0) {
        pf_image_free(image);
        return r;
    }
    *ret = image;
    return 0;
}

static int nothing_fused(const struct pf_stack *stack, struct pf_error *err)
{
    return stack->fused ? 0 : pf_fail(err, ENODATA, "no frame has been fused");
}

int pf_stack_preview(struct pf_stack *stack, int max_width, struct pf_image **ret,
                     struct pf_error *err)
{
    struct pf_image *image = NULL;
    int r = nothing_fused(stack, err);
    if (r == 0)
        r = stack->backend->preview(stack->engine, max_width, &image, err);
    return with_metadata(stack, r, image, ret, err);
}

int pf_stack_finish(struct pf_stack *stack, struct pf_image **ret, struct pf_error *err)
{
    struct pf_image *image = NULL;
    int r = nothing_fused(stack, err);
    if (r == 0)
        r = stack->backend->finish(stack->engine, &image, err);
    return with_metadata(stack, r, image, ret, err);
}

bool pf_fuse_has_maps(enum pf_fuse fuse)
{
    return fuse != PF_FUSE_AVERAGE;
}

int pf_stack_map(struct pf_stack *stack, enum pf_map map, const int *rank, int count,
                 struct pf_image **ret, struct pf_error *err)
{
    struct pf_image *image = NULL;
    int r = nothing_fused(stack, err);
    if (r == 0 && !stack->settings.depth)
        r = pf_fail(err, ENODATA, "maps were turned off for this stack");
    if (r == 0 && !pf_fuse_has_maps(stack->settings.fuse))
        r = pf_fail(err, ENODATA, "an average has no maps");
    if (r == 0 && count != stack->added)
        r = pf_fail(err, EINVAL, "ranks of %d frames for a stack of %d", count, stack->added);
    if (r == 0)
        r = stack->backend->map(stack->engine, map, rank, count, &image, err);
    return with_metadata(stack, r, image, ret, err);
}
