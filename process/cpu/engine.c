#include "process/cpu/deform.h"
#include "process/cpu/fuse.h"
#include "process/cpu/look.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/homography.h"
#include "process/room.h"

static void cpu_close(void *opaque)
{
    struct pf_cpu_engine *engine = opaque;
    if (!engine)
        return;
    pf_alignment_close(&engine->alignment);
    pf_anchors_free(engine->anchors);
    pf_room_give(engine->memory, engine->memory_bytes);
    free(engine);
}

static int cpu_open(void **ret, const struct pf_stack_settings *settings, struct pf_pool *pool,
                    struct pf_error *err)
{
    struct pf_cpu_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return pf_fail(err, ENOMEM, "out of memory for the engine");
    engine->settings = *settings;
    engine->pool = pool;
    engine->kernels = pf_kernels(0);
    engine->fuser = pf_cpu_fuser(settings->fuse);
    int r = pf_alignment_open(&engine->alignment, &engine->settings, pool, err);
    if (r < 0) {
        cpu_close(engine);
        return r;
    }
    *ret = engine;
    return 0;
}

static int cpu_compare_light(void *opaque, const double h[9], struct pf_light_match *ret,
                             struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    const struct pf_image *frame = engine->frame;
    *ret = (struct pf_light_match){1, {1, 1, 1}};
    if (!engine->memory)
        return 0;
    return pf_light_compare(&engine->reference_light, &engine->light, h, frame->width,
                            frame->height, frame->planes == 3, ret, err);
}

/* --- the frame in hand --- */

static int cpu_load(void *opaque, const struct pf_image *frame, struct pf_look *look,
                    struct pf_focus *ret_focus, double *ret_contrast, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    struct pf_look *now = NULL;
    engine->frame = frame;
    pf_alignment_next(&engine->alignment);
    if (!look || !pf_look_is_of(look, frame, &engine->settings)) {
        int r = pf_look_new(&now, &engine->settings, frame, engine->pool, 0, err);
        if (r < 0)
            return r;
        look = now;
    }
    pf_look_take(look, &engine->alignment, &engine->light, ret_focus, ret_contrast);
    pf_look_free(now);
    return 0;
}

static void cpu_keep(void *opaque)
{
    struct pf_cpu_engine *engine = opaque;
    pf_alignment_keep(&engine->alignment);
    engine->frame = NULL;
}

static void cpu_drop(void *opaque)
{
    struct pf_cpu_engine *engine = opaque;
    engine->frame = NULL;
}

/* --- alignment --- */

/* The stack's luma at the resolution of alignment, or the finest that the pyramid has. */
static int make_stack_view(struct pf_cpu_engine *engine, struct pf_error *err)
{
    int level = pf_ecc_halvings(engine->size[0][0].width);
    level = level > engine->levels ? engine->levels : level;
    struct pf_grid size = engine->size[0][level];
    int16_t *samples = malloc((size_t)size.width * (size_t)size.height * sizeof(*samples));
    if (!samples)
        return pf_fail(err, ENOMEM, "out of memory for alignment to the stack");
    pf_ecc_pyramid_free(&engine->alignment.stack_view);
    pf_cpu_collapse(engine, 0, level, samples);
    int r = pf_ecc_pyramid_of_samples(&engine->alignment.stack_view, samples, size.width,
                                      size.width, size.height, ldexp(1, level), 0, engine->kernels,
                                      engine->pool, err);
    free(samples);
    return r;
}

static int cpu_align(void *opaque, enum pf_target target, bool search, double h[9],
                     struct pf_fit *ret, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0 ? r : pf_alignment_align(&engine->alignment, target, search, h, ret, err);
}

static int cpu_match(void *opaque, enum pf_features_kind kind, enum pf_target target, double h[9],
                     struct pf_fit *ret, struct pf_features_fit *ret_count, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0 ? r : pf_alignment_match(&engine->alignment, kind, target, h, ret, ret_count, err);
}

static int cpu_deform(void *opaque, enum pf_target target, const struct pf_warp *start,
                      struct pf_field **ret_field, struct pf_fit *ret, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    struct pf_source_plane luma = pf_cpu_source(engine->frame, 0, 1);
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0 ? r
                 : pf_alignment_deform(&engine->alignment, target, engine->anchors, &luma, start,
                                       ret_field, ret, err);
}

const struct pf_backend pf_backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .load = cpu_load,
    .align = cpu_align,
    .match = cpu_match,
    .deform = cpu_deform,
    .compare_light = cpu_compare_light,
    .fuse = pf_cpu_fuse,
    .keep = cpu_keep,
    .drop = cpu_drop,
    .preview = pf_cpu_preview,
    .finish = pf_cpu_finish,
    .map = pf_cpu_map,
};
