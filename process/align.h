/* The policy of alignment: by which method and against what a frame is aligned, and what is
 * believed.
 *
 * Used by process/stack.c, one thread at a time per engine. Everything is borrowed for the call.
 * Each method begins with the predecessor, in front of which the frame most likely lies, and goes
 * on, so that the errors of the chain do not add up: to the frame before the predecessor where the
 * backend knows how certain each fit is, to the stack otherwise. The non-rigid methods begin with
 * what correlation makes of it, and with the deformation that the predecessor had, and compare with
 * the stack alone: their frames are of one focus, and nothing can drift.
 */
#ifndef PF_ALIGN_H
#define PF_ALIGN_H

#include "process/backend.h"

struct pf_place {
    int width, height;                 /* pixels of each frame */
    int fused;                         /* frames in the stack, at least one */
    const struct pf_warp *predecessor; /* reference point -> predecessor point */
    const double *before;              /* reference point -> point of the frame before it */
};

/* Finds the transform of the frame in hand. 1 accepted: `transform`, `correlation` and `aligned_by`
 * of the result are filled, and *ret_field is what goes with the transform (NULL: nothing does; the
 * caller's); 0 refused: `cause` and `reason` say why, by each method that was tried, and
 * `correlation` is the best that was reached. -ENOMEM, -EREMOTEIO. */
int pf_align_frame(const struct pf_backend *backend, void *engine,
                   const struct pf_stack_settings *settings, const struct pf_place *place,
                   struct pf_frame_result *result, struct pf_field **ret_field,
                   struct pf_error *err);

/* Whether a method looks for features in every frame, and which. */
bool pf_align_wants_features(enum pf_align align, enum pf_features_kind *ret);

#endif
