/* Strays: frames of another picture (a hand, the frames of an earlier burst) at the beginning of a
 * burst, against which all that follow are refused, and frames that are exposed unlike the others (a
 * flash that was not charged). The first frame is the reference whatever it shows, so that who comes
 * first would win. Here the larger group wins.
 *
 * How it thinks. All frames are stacked; those that fit the first one are a group. When more frames
 * were refused than it has, it is left out and the rest is stacked anew, and so on, PF_STRAY_GROUPS
 * times at the most. The largest group is the stack; of two that are alike in number the first one.
 * That costs a replay, and only bursts that went wrong.
 *
 * The light of a burst may drift, flicker, or change for good in the middle of it: that is matched
 * (process/light.h). But a frame of which three neighbours agree with one another, and that is more than
 * PF_STRAY_STOPS from the nearest of them and more than twice as far as they are apart, is left out; with
 * the reference, which lends its brightness to all the stack, PF_STRAY_REFERENCE_STOPS are enough, where
 * hardly any frame is as it is. One that another leads to is none of these: that is a drift. Where more
 * than every fifth frame would go, all but the reference stay: then the light is like that. With
 * `judge = no` exposures are not judged at all.
 *
 * Pure; any process and thread. The service uses it on what the worker tells, the one-shot command
 * on what it has itself, so that both decide alike. Nothing is owned.
 */
#ifndef PF_STRAY_H
#define PF_STRAY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define PF_STRAY_GROUPS          3
#define PF_STRAY_STOPS           1.0 /* of light */
#define PF_STRAY_REFERENCE_STOPS 0.5

struct pf_stray {      /* of a burst; zeroed before its first frame */
    bool any_exposure; /* set by the owner, before a round: none is left out for its exposure */
    int round;         /* replays for other pictures so far */
    bool final;        /* the largest group is known, and this is its replay */
    size_t fused, unlike, best;
    int best_group;
    size_t others;   /* for the reason of those that are out */
    int exposures;   /* replays for exposures so far */
    double exposure; /* of the others, at the last of them: stops beside the reference */
};

/* A frame is out: it does not take part in this round. `group` is the frame's own, 0 at first. */
bool pf_stray_is_out(const struct pf_stray *stray, int group);

/* A frame of the burst, in the order in which they were stacked. `facts` as in the worker's `frame` event;
 * NULL: it has none, or is not used. Both are borrowed. */
struct pf_stray_frame {
    int *group;
    const json_t *facts;
};

/* After a round: keeps the groups of all frames, and is true when the burst is to be stacked again,
 * without those that are out now. Without memory for it exposures do not count. */
bool pf_stray_again(struct pf_stray *stray, const struct pf_stray_frame *frames, size_t count);

/* Why a frame is out that has just been left out. */
void pf_stray_reason(const struct pf_stray *stray, int group, const json_t *facts, char *reason,
                     size_t size);

/* Strikes from the facts of a frame that is out how it fitted its own group. */
int pf_stray_strike(json_t *facts);

#endif
