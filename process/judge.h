/* The judge: names frames that would do a stack no good, by their focus numbers and those of the
 * frames fused before them.
 *
 * Pure; used by process/stack.c, one thread per judge. Nothing is owned; a zeroed struct has seen
 * nothing. It sees no future, and the ends of a bracket are soft by right, so that it says nothing
 * before it has seen two good frames and leaves alone what becomes soft step by step:
 *
 * Sharp nowhere (the focus was lost, the subject was hidden): of the cells that have detail (twice
 * what noise measures) in any frame so far, at most PF_JUDGE_SHARP are sharp here, where a cell is
 * sharp with half of the best that has been seen in it; and the frame before had more than
 * PF_JUDGE_BEFORE of them sharp.
 *
 * Motion blur takes the gradients of one direction from the whole picture, while defocus takes from
 * all directions alike: the middle of the cells' directions of gradients is farther than
 * PF_JUDGE_TURN from that of each of the last frames (up to three), all cells with detail counted.
 * Good frames turn by 0.06 at the most (522 of generated brackets, every third frame of one; three
 * real brackets: 0.03). What has two directions alone, like print, hardly turns.
 */
#ifndef PF_JUDGE_H
#define PF_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "process/focus_grid.h"

#define PF_JUDGE_SHARP  0.01
#define PF_JUDGE_BEFORE 0.2
#define PF_JUDGE_TURN   0.1
#define PF_JUDGE_MEMORY 3

struct pf_judge {
    int frames;                                        /* good ones seen */
    float best[PF_FOCUS_CELLS], least[PF_FOCUS_CELLS]; /* of each cell so far */
    float last[PF_FOCUS_CELLS];                        /* the frame before */
    struct pf_focus memory[PF_JUDGE_MEMORY];           /* the last ones, in turns */
};

/* True when the frame should be set aside; reason then says why. `focus` is in the reference's
 * geometry. */
bool pf_judge_condemns(const struct pf_judge *judge, const struct pf_focus *focus, char *reason,
                       size_t reason_size);

/* A good frame, in the reference's geometry, joins what the next ones are compared with. */
void pf_judge_see(struct pf_judge *judge, const struct pf_focus *focus);

#endif
