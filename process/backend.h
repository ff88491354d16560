/* What a backend of the engine implements: one table of functions over an opaque engine.
 *
 * Used by process/stack.c and align.c alone, in the worker, one thread at a time per engine. The
 * policy (which frame is the reference, what is refused, chaining and drift) is theirs; a backend
 * only computes. No type of a backend's library leaves it. Every function returns 0 or -errno;
 * -EREMOTEIO says that the device has failed: nothing of this backend works any more in this process.
 */
#ifndef PF_BACKEND_H
#define PF_BACKEND_H

#include "process/features.h"
#include "process/light.h"
#include "process/stack.h"
#include "process/warp.h"

/* What the frame in hand is aligned to. */
enum pf_target {
    PF_TARGET_PREDECESSOR, /* the last frame kept, in its own geometry */
    PF_TARGET_BEFORE, /* the one kept before that; of align() alone, where it gives a certainty */
    PF_TARGET_STACK,  /* the stack so far, in the reference's geometry */
};

struct pf_fit {
    double correlation; /* at the resolution of alignment */
    double agreement;   /* at about 400 pixels' width, where noise plays no part */
    double overlap;     /* share of the target that the frame covers */
    double certainty;   /* how much the pictures say of the motion, beside other fits; 0: unknown */
    double likeness;    /* of their detail, see cpu/likeness.h; 0: unknown */
};

struct pf_backend {
    const char *name; /* "cpu", "cuda" */

    /* Finds the device and makes it ready; *ret_name says which it is, in words; *ret_kept is what
     * engines leave to those after them, such as memory (settings->kept), until stop(). NULL: there is
     * nothing to start. -ENODEV: there is none; other errors: it cannot be used. */
    int (*start)(void **ret_kept, char *ret_name, size_t size, struct pf_error *err);
    void (*stop)(void *kept); /* no engine has it any more. NULL allowed */
    /* The version of the first driver that will do, static, "" unknown; NULL: it needs none. */
    const char *(*driver_least)(void);

    /* Looks for what decodes JPEGs on the device, for load(); *ret_name: which it is, in words. NULL:
     * load() wants samples. The reason why there is none: -ENOTSUP. After start(), once per process. */
    int (*find_decoder)(char *ret_name, size_t size, struct pf_error *err);
    /* What it makes of a coded frame, in the host's memory, to be judged. After find_decoder(). -ENOTSUP:
     * it refuses. */
    int (*decode)(struct pf_image **ret, const struct pf_image *coded, struct pf_error *err);

    /* settings and pool are borrowed for the engine's life. Engines with the same `kept` are used by
     * one thread at a time, all together. */
    int (*open)(void **ret, const struct pf_stack_settings *settings, struct pf_pool *pool,
                struct pf_error *err);
    void (*close)(void *engine); /* NULL allowed */

    /* Takes a frame in hand: measures it and prepares its alignment. `frame` is borrowed until the
     * next load, keep or drop; where there is a find_decoder() it may be a coded one, and one that is
     * not decoded on the device says why in `refused`. look: what was found of it before (NULL:
     * nothing), which may be of no use here; what is in it is taken, and it stays the caller's. All
     * frames of an engine that are fused have one size and plane layout. */
    int (*load)(void *engine, const struct pf_image *frame, struct pf_look *look,
                struct pf_focus *ret_focus, double *ret_contrast, struct pf_error *err);
    /* h: start on entry, result on success: target point -> point of the frame in hand.
     * `search` allows a large shift. */
    int (*align)(void *engine, enum pf_target target, bool search, double h[9], struct pf_fit *ret,
                 struct pf_error *err);
    /* The same by features, whatever the motion: `h` needs no start. ret_count: matches and how
     * many of them agree; ret is of the map they agree on, and zero when they agree on none. What
     * is found in a frame is kept for its successor. -ENOMEM, -EREMOTEIO; other errors do no harm to
     * the engine. */
    int (*match)(void *engine, enum pf_features_kind kind, enum pf_target target, double h[9],
                 struct pf_fit *ret, struct pf_features_fit *ret_count, struct pf_error *err);
    bool has_syn; /* deform() knows PF_ALIGN_SYN; otherwise it takes that for FLOW */
    /* Non-rigid, by settings->align (FLOW, BSPLINE, SYN). The target is in the reference's geometry (the
     * predecessor only where it is the reference); start: reference point -> frame point, as far as
     * is known (borrowed). *ret_field: what goes with start->h, the caller's; ret is of both
     * together. -ENOMEM, -EREMOTEIO; all other errors mean that nothing to be believed was found, and
     * do no harm to the engine. */
    int (*deform)(void *engine, enum pf_target target, const struct pf_warp *start,
                  struct pf_field **ret_field, struct pf_fit *ret, struct pf_error *err);
    /* What makes the frame in hand look like the reference, see light.h; h: reference point -> frame
     * point. All 1 before anything is fused. -ENOMEM. */
    int (*compare_light)(void *engine, const double h[9], struct pf_light_match *ret,
                         struct pf_error *err);
    /* Warps the frame in hand (reference point -> frame point; borrowed for the call), its light
     * matched, into the stack. index: number of the frame among all that were added. */
    int (*fuse)(void *engine, const struct pf_warp *warp, const struct pf_light_match *light,
                int index, struct pf_error *err);
    /* The frame in hand becomes the predecessor. */
    void (*keep)(void *engine);
    /* There is none in hand any more, if there was one. */
    void (*drop)(void *engine);

    /* As in stack.h; something has been fused. The caller adds the metadata. */
    int (*preview)(void *engine, int max_width, struct pf_image **ret, struct pf_error *err);
    int (*finish)(void *engine, struct pf_image **ret, struct pf_error *err);
    int (*map)(void *engine, enum pf_map map, const int *rank, int count, struct pf_image **ret,
               struct pf_error *err);
};

extern const struct pf_backend pf_backend_cpu;
/* There in builds with CUDA. */
extern const struct pf_backend pf_backend_cuda __attribute__((weak));

#endif
