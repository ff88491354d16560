/* The stray: a first frame that is another picture (a hand, the frame of an earlier burst), against
 * which all that follow were refused. Its stack is made anew without it.
 *
 * Pure; any process and thread. The service uses it on what the worker tells, the one-shot command
 * on what it has itself, so that both decide alike. Nothing is owned.
 */
#ifndef PF_STRAY_H
#define PF_STRAY_H

#include <jansson.h>
#include <stddef.h>

struct pf_stray { /* zeroed before the first frame */
    size_t fused, refused;
    size_t first; /* index of the first fused frame */
};

/* Counts a frame. `facts` as in the worker's `frame` event; NULL: it has none, or is not used. */
void pf_stray_see(struct pf_stray *stray, size_t index, const json_t *facts);

/* Index of the stray, or -1: one frame is the whole stack, and at least two that could be read and
 * measured do not fit it. Of two that do not fit each other nobody knows which is the stray. */
int pf_stray_index(const struct pf_stray *stray);

#define PF_STRAY_REASON "unlike the others: %zu frames do not fit it"

#endif
