/* Alignment of the frame in hand on the CPU: pictures of light of it, of its predecessor and of the
 * stack, and what correlation (ecc.h) and features (features.h) find in them.
 *
 * Used by the backends, in the worker, one thread at a time per object. Whoever has the pixels fills in
 * `current` after each pf_alignment_next(), and `stack_view` before the stack is the target.
 */
#ifndef PF_CPU_ALIGNMENT_H
#define PF_CPU_ALIGNMENT_H

#include "process/backend.h"
#include "process/cpu/ecc.h"

struct pf_alignment {
    const struct pf_stack_settings *settings; /* borrowed */
    struct pf_pool *pool;                     /* borrowed */
    struct pf_ecc *ecc;
    struct pf_ecc_pyramid current, predecessor, stack_view;
    struct pf_ecc_pyramid before; /* the predecessor's predecessor; empty where none is of use */
    /* Of the frame in hand and its predecessor; NULL until they are wanted. */
    struct pf_features *current_features, *predecessor_features;
};

/* settings and pool are borrowed for the object's life. -ENOMEM. */
int pf_alignment_open(struct pf_alignment *alignment, const struct pf_stack_settings *settings,
                      struct pf_pool *pool, struct pf_error *err);
void pf_alignment_close(struct pf_alignment *alignment); /* a zeroed one is allowed */
void pf_alignment_next(struct pf_alignment *alignment);  /* forgets the frame in hand */
void pf_alignment_keep(struct pf_alignment *alignment);  /* it becomes the predecessor */

/* Fills in ret->reduced of a frame. Any thread, with a pool of its own or none. -ENOMEM. */
int pf_alignment_measure(const struct pf_ecc_pyramid *pyramid, struct pf_pool *pool,
                         struct pf_focus *ret, struct pf_error *err);

/* Features of what correlation sees of a picture; *ret is the caller's. Any thread. As
 * pf_features_new. */
int pf_alignment_find_features(struct pf_features **ret, const struct pf_stack_settings *settings,
                               const struct pf_ecc_pyramid *pyramid, enum pf_features_kind kind,
                               int threads, struct pf_error *err);

/* One direction of an alignment: the target to the frame in hand, or (`back`) the frame to the target;
 * see pf_ecc_align. */
typedef int pf_alignment_direction(void *context, bool back, bool search, int levels, double h[9],
                                   struct pf_ecc_fit *ret, struct pf_error *err);
/* How many of the coarse levels' steps a target needs: as `levels` of pf_ecc_align. */
int pf_alignment_levels(enum pf_target target, bool search);
/* The estimate of both directions together; h and the rest as those of a backend. */
int pf_alignment_both_ways(pf_alignment_direction *direction, void *context, enum pf_target target,
                           bool search, double h[9], struct pf_fit *ret, struct pf_error *err);

/* As the functions of a backend. */
int pf_alignment_align(struct pf_alignment *alignment, enum pf_target target, bool search,
                       double h[9], struct pf_fit *ret, struct pf_error *err);
int pf_alignment_match(struct pf_alignment *alignment, enum pf_features_kind kind,
                       enum pf_target target, double h[9], struct pf_fit *ret,
                       struct pf_features_fit *ret_count, struct pf_error *err);

#endif
