/* The engine: a stack that grows by one frame at a time.
 *
 * Runs in the worker, one thread at a time per stack. Memory does not grow with the number of
 * frames. Frames may come in any order; the first one that has detail is the reference, whose
 * geometry, metadata and brightness the result has.
 *
 * Coordinates: pixel centres at integers, x right, y down, in pixels of the frame as stored.
 * Sources: soft Laplacian pyramid after Burt & Adelson 1983 with weights from the modified
 * Laplacian of Nayar & Nakagawa 1994; enhanced correlation alignment of Evangelidis & Psarakis 2008;
 * features: see features.h.
 */
#ifndef PF_STACK_H
#define PF_STACK_H

#include <stdbool.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "process/elastix.h"
#include "process/image.h"
#include "process/light.h"
#include "process/pool.h"

#define PF_FOCUS_GRID    16
#define PF_FOCUS_REDUCED 4 /* pictures */

struct pf_focus {
    /* Means over the frame, grey levels of 255 (squared for the first two). */
    double laplacian_variance, tenengrad, modified_laplacian;
    /* Modified Laplacian per cell, row by row, of PF_FOCUS_GRID x PF_FOCUS_GRID equal cells. */
    float grid[PF_FOCUS_GRID * PF_FOCUS_GRID];
    /* The same of the pictures of light that alignment sees (process/cpu/ecc.h), coded by its square
     * root: finest first, each one half of the one before; 0 where there is none so small. */
    float reduced[PF_FOCUS_REDUCED][PF_FOCUS_GRID * PF_FOCUS_GRID];
    /* Which way the gradients lean, per cell: mean gx^2 - gy^2 and 2 gx gy over that of gx^2 + gy^2;
     * (0, 0) all ways alike, (1, 0) all along x. */
    float direction[2][PF_FOCUS_GRID * PF_FOCUS_GRID];
};

enum pf_verdict {
    PF_VERDICT_FUSED,
    PF_VERDICT_ASIDE, /* not part of the stack; `reason` says why */
};

/* Why a frame was set aside. */
enum pf_cause {
    PF_CAUSE_NONE,   /* it was not */
    PF_CAUSE_UNLIKE, /* another picture: size, kind, brightness, or not to be aligned */
    PF_CAUSE_BLANK,  /* no detail at all */
    PF_CAUSE_SOFT,   /* the judge's word */
    PF_CAUSE_FAILED, /* what was to align it could not work: missing, died, too slow */
};

/* A displacement field in few numbers. */
struct pf_displacement {
    bool any; /* false: a homography says all */
    double mean_px, most_px;
    float grid[PF_FOCUS_GRID * PF_FOCUS_GRID][2]; /* at the centres of the cells, px: x, y */
};

struct pf_frame_result {
    enum pf_verdict verdict;
    enum pf_cause cause;
    char reason[256];
    bool measured; /* `focus` is; not when the frame does not even have the stack's size */
    struct pf_focus focus;
    double transform[9]; /* homography, row by row: frame point ~ transform * reference point */
    double correlation;  /* rho of the accepted (or refused) alignment, -1..1; NAN: not measured */
    /* The method; NONE where nothing had to be or could be aligned. */
    enum pf_align aligned_by;
    struct pf_displacement displacement; /* beside the homography */
    struct pf_light_match light;         /* reference = light * frame */
    bool is_reference;
    double align_ms, fuse_ms, focus_ms;
};

struct pf_backend;

struct pf_stack_settings {
    const struct pf_backend *backend; /* which computes, see backend.h; NULL: the processor */
    void *
        kept; /* what it keeps from stack to stack, struct pf_device has it; borrowed; NULL: nothing */
    enum pf_align align;
    bool equalise; /* local contrast, before features are sought */
    enum pf_motion motion;
    double min_correlation;
    enum pf_fuse fuse;
    enum pf_focus_order focus_order;
    enum pf_resample resample;
    double clip; /* `average`: standard deviations beyond which a sample is left out; 0: none is */
    bool depth;  /* keep what maps need */
    bool judge;  /* set aside what process/judge.h condemns */
    bool coverage;          /* say what the frames cover, process/coverage.h (the burst does) */
    double align_timeout_s; /* of BSPLINE, for a frame */
    struct pf_iteration_call iterated; /* called in the thread of pf_stack_add() */
};

/* What the settings say of the engine; backend, kept, depth and iterated are the caller's. */
static inline struct pf_stack_settings pf_stack_settings_of(const struct pf_settings *settings)
{
    return (struct pf_stack_settings){
        .align = (enum pf_align)settings->align,
        .equalise = settings->equalise,
        .motion = (enum pf_motion)settings->motion,
        .min_correlation = settings->min_correlation,
        .fuse = (enum pf_fuse)settings->fuse,
        .focus_order = (enum pf_focus_order)settings->focus_order,
        .resample = (enum pf_resample)settings->resample,
        .clip = settings->clip,
        .judge = settings->judge,
        .coverage = settings->coverage,
        .align_timeout_s = settings->align_timeout,
    };
}

/* Whether a method finds displacement fields. */
static inline bool pf_align_is_non_rigid(enum pf_align align)
{
    return align == PF_ALIGN_FLOW || align == PF_ALIGN_BSPLINE || align == PF_ALIGN_SYN;
}

/* What a burst needs of memory on the processor, in bytes, however many frames it has; beside it the
 * decoder of a camera's RAW file takes up to 16 bytes a pixel. */
struct pf_needs {
    int64_t stack;  /* the sums */
    int64_t frame;  /* one as decoded; there are two, the one in hand and the next */
    int64_t align;  /* reduced pictures */
    int64_t finish; /* the result, or a map, and what makes it */
    int64_t most;   /* at one time */
};
/* `like`: a frame of the burst; its samples are not looked at. */
void pf_stack_needs(const struct pf_stack_settings *settings, struct pf_pool *pool,
                    const struct pf_image *like, struct pf_needs *ret);

struct pf_stack;

int pf_stack_open(struct pf_stack **ret, const struct pf_stack_settings *settings,
                  struct pf_pool *pool /* borrowed, outlives the stack, NULL allowed */,
                  struct pf_error *err);
struct pf_stack *pf_stack_free(struct pf_stack *stack); /* NULL-safe, returns NULL */

/* What a frame shows by itself, which needs nothing of a stack: found on another thread while the stack
 * is at work on the frame before, for stacks on the processor. */
struct pf_look;

/* pool: of this thread alone, or NULL; threads: how many OpenCV may use for features, 0: none are looked
 * for. `frame` must stay until it has been added. -ENOMEM. */
int pf_look_new(struct pf_look **ret, const struct pf_stack_settings *settings,
                const struct pf_image *frame, struct pf_pool *pool, int threads,
                struct pf_error *err);
struct pf_look *pf_look_free(struct pf_look *look); /* NULL-safe, returns NULL */

/* What was found of the frame that is added next; borrowed until then. It may be of no use, and what is in
 * it is used up. */
void pf_stack_look(struct pf_stack *stack, struct pf_look *look);

/* Adds a frame. `frame` is borrowed for the call. 0 with *ret filled whether fused or set aside
 * (another size, no detail, not alignable); negative only when the stack itself could not go on
 * (-ENOMEM) and must be freed. */
int pf_stack_add(struct pf_stack *stack, const struct pf_image *frame, struct pf_frame_result *ret,
                 struct pf_error *err);

/* The backend that computes: the processor's where the one that was wanted has no room for the frames;
 * then, from the first frame on, why (else ""). */
const struct pf_backend *pf_stack_backend(const struct pf_stack *stack);
const char *pf_stack_note(const struct pf_stack *stack);

int pf_stack_fused(const struct pf_stack *stack); /* number of frames fused so far */

/* The stack as it is now, reduced by a power of two until at most max_width wide, as far as the
 * stack's levels go. Owned by the caller. -ENODATA when nothing is fused yet. */
int pf_stack_preview(struct pf_stack *stack, int max_width, struct pf_image **ret,
                     struct pf_error *err);

/* The full result, 16 bits, with the reference's metadata; owned by the caller. The stack stays
 * usable: more frames may follow. -ENODATA. */
int pf_stack_finish(struct pf_stack *stack, struct pf_image **ret, struct pf_error *err);

/* Grey, 16 bits, at the reference's size. */
enum pf_map {
    PF_MAP_DEPTH,      /* 0 is the frame with rank 0, 65535 the one with the highest rank */
    PF_MAP_CONFIDENCE, /* 0: no frame shows detail here; 65535: one frame alone is sharp here */
    PF_MAP_FRAME,      /* 1 + rank of the sharpest frame; of its surroundings' where none is */
    PF_MAP_COUNT,
};

/* Whether a method knows which frame is sharp where: `average` does not. */
bool pf_fuse_has_maps(enum pf_fuse fuse);

/* rank[i] is the place, in capture order, of the i-th *added* frame (frames set aside count);
 * count = frames added. -ENODATA when nothing is fused, when `depth` was off, and for methods
 * without maps. */
int pf_stack_map(struct pf_stack *stack, enum pf_map map, const int *rank, int count,
                 struct pf_image **ret, struct pf_error *err);

#endif
