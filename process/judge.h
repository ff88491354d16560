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
 *
 * Either side of such a turn may be the blurred one: the first frames of a burst are shaken by the
 * finger on the button. The blurred side has less detail. A frame with PF_JUDGE_SHARPER (natural
 * logarithm, in the middle of the cells) more of it than the one in memory that it is nearest to is
 * good, and the memory begins anew with it. Moved by 7 or 14 px at 2 MP (five scenes, three seeds, ten
 * frames): sharp after blurred has 0.60 and more, blurred after sharp 0.07 and less. And PF_JUDGE_ROW
 * frames that were condemned in a row and agree with the next one are the rule and no exception: that
 * one is good.
 */
#ifndef PF_JUDGE_H
#define PF_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "process/focus_grid.h"

#define PF_JUDGE_SHARP   0.01
#define PF_JUDGE_BEFORE  0.2
#define PF_JUDGE_TURN    0.1
#define PF_JUDGE_SHARPER 0.3f
#define PF_JUDGE_MEMORY  3
#define PF_JUDGE_ROW     2

struct pf_judge {
    int frames;                                        /* good ones seen */
    float best[PF_FOCUS_CELLS], least[PF_FOCUS_CELLS]; /* of each cell so far */
    float last[PF_FOCUS_CELLS];                        /* the frame before */
    struct pf_focus memory[PF_JUDGE_MEMORY];           /* the last ones, in turns */
    int remembered;                                    /* of them, since they were begun anew */
    struct pf_focus doubtful[PF_JUDGE_ROW];            /* condemned in a row since, in turns */
    int refused;
};

/* True when the frame should be set aside; reason then says why. `focus` is in the reference's
 * geometry. */
bool pf_judge_condemns(const struct pf_judge *judge, const struct pf_focus *focus, char *reason,
                       size_t reason_size);

/* A frame that was condemned, in the reference's geometry: it may turn out to be the rule. */
void pf_judge_doubt(struct pf_judge *judge, const struct pf_focus *focus);

/* A good frame, in the reference's geometry, joins what the next ones are compared with. */
void pf_judge_see(struct pf_judge *judge, const struct pf_focus *focus);

#endif
