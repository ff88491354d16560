/* Strays: frames of another picture (a hand, the frames of an earlier burst) at the beginning of a
 * burst, against which all that follow are refused. The first frame is the reference whatever it
 * shows, so that who comes first would win. Here the larger group wins.
 *
 * How it thinks. All frames are stacked; those that fit the first one are a group. When more frames
 * were refused than it has, it is left out and the rest is stacked anew, and so on, PF_STRAY_GROUPS
 * times at the most. The largest group is the stack; of two that are alike in number the first one.
 * That costs a replay, and only bursts that went wrong.
 *
 * Pure; any process and thread. The service uses it on what the worker tells, the one-shot command
 * on what it has itself, so that both decide alike. Nothing is owned.
 */
#ifndef PF_STRAY_H
#define PF_STRAY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define PF_STRAY_GROUPS 3

struct pf_stray { /* of a burst; zeroed before its first frame */
    int round;    /* replays so far */
    bool final;   /* the largest group is known, and this is its replay */
    size_t fused, unlike, best;
    int best_group;
    size_t others; /* for the reason of those that are out */
};

/* A frame is out: it does not take part in this round. `group` is the frame's own, 0 at first. */
bool pf_stray_is_out(const struct pf_stray *stray, int group);

/* Counts a frame after a round, and keeps its group. `facts` as in the worker's `frame` event; NULL:
 * it has none, or is not used. */
void pf_stray_see(struct pf_stray *stray, int *group, const json_t *facts);

/* After all frames have been seen: true when the burst is to be stacked again, without those that
 * are out now. */
bool pf_stray_again(struct pf_stray *stray);

/* Strikes from the facts of a frame that is out how it fitted its own group. */
int pf_stray_strike(json_t *facts);

#define PF_STRAY_REASON "unlike the others: %zu frames do not fit it"

#endif
