/* What a frame shows by itself: focus measure, light, pictures for alignment, features.
 *
 * Made by the processor's backend, in any thread (stack.h); its engine takes what is in it.
 */
#ifndef PF_CPU_LOOK_H
#define PF_CPU_LOOK_H

#include "process/cpu/alignment.h"

/* Whether it is of this frame, and has all that a stack with these settings looks for. */
bool pf_look_is_of(const struct pf_look *look, const struct pf_image *frame,
                   const struct pf_stack_settings *settings);

/* Pyramid and features become those of the alignment's frame in hand; nothing of them is left. */
void pf_look_take(struct pf_look *look, struct pf_alignment *alignment,
                  struct pf_light_grid *ret_light, struct pf_focus *ret_focus,
                  double *ret_contrast);

#endif
