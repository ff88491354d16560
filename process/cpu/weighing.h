/* What the weights of a method of fusing are made of: constants, and what follows from them. Both
 * backends share them.
 *
 * Pure functions, any thread.
 */
#ifndef PF_CPU_WEIGHING_H
#define PF_CPU_WEIGHING_H

#include "config/settings.h"

#define PF_CPU_BLUR_REACH 6 /* cells, the most that smoothing of energies looks aside */

/* How energies become weights. What a level says for a frame, its evidence, is log2(energy + floor)
 * in cells of 2 x 2 samples, where an energy that noise alone may have counts as one with all such.
 * The finest detail is weighed by level 0, and a little by the fine levels' sum, which noise moves
 * less. All that is coarser is weighed by a sum over levels, twice: where a frame shows fine detail, the fine levels alone have a say, and those around
 * a little, because an out-of-focus highlight has more of what coarse levels measure than the sharp
 * one; where no frame does, the coarse levels are all there is to decide by. */
#define PF_EVIDENCE_LEVELS 5
#define PF_COARSE_LEVEL    3 /* the first that is coarse */
struct pf_weighing {
    float floor, floor_decay; /* grey levels of 255 at level 0; factor from level to level */
    float noise;              /* bound of what is noise, times its mean energy; 0: none */
    float power;              /* weight = 2^(power * evidence) */
    /* Of the levels, the last one for all further: of smoothing, in the level's samples; and what
     * their evidence counts in the sum. */
    float sigma[PF_EVIDENCE_LEVELS], evidence[PF_EVIDENCE_LEVELS];
    float finest;   /* what the fine levels' sum counts beside level 0, for the finest detail */
    float around;   /* what the mean evidence of the surroundings counts, of fine levels */
    float sharp[2]; /* evidence of levels 0 and 1 above none: no fine detail up to, all from */
    /* The same where it is dark near what is clipped in any frame: coarse levels know nothing of brightness, and the
     * disc that defocus makes of a highlight has more of what they measure than texture in the dark.
     * Half as near where `lamp_share` of a lamp cell is clipped. */
    float lamp_sharp[2], lamp_share;
    /* How much the brightness of its surroundings counts against a frame's energy, see kernels.h;
     * 0: not at all. */
    float spill;
    /* At the finest level the light around a cell counts against it too, so much times as its own:
     * an edge of the disc that defocus makes of a highlight is the frame's, on its dark side as
     * well. Standard deviation of what is around, in samples. */
    float glare, glare_sigma;
    /* Where no frame shows fine detail and two depths compete, the front one is opaque, and what is
     * behind it shows through only where it is out of focus: the share of its evidence that a
     * frame of the other end has less, at most. */
    float front;
    /* The same lens has a picture of more pixels less sharp in each of them: its finest level shows
     * little but noise, even in focus. So some of this grows with the picture's longer side over
     * PF_WEIGHED_SIDE, to these powers; `sigma` that of the fine levels. */
    struct {
        float floor, sigma, finest, around, power;
    } growth;
};
#define PF_WEIGHED_SIDE   1732 /* pixels; the longer side of 2 MP. Smaller pictures count as such */
#define PF_WEIGHED_GROWTH 3.5f /* at most: of 24 MP, the largest that it was measured on */

/* As it is for a picture of that size. `of` may be NULL, for a method without weights: all 0. */
struct pf_weighing pf_weighing_for(const struct pf_weighing *of, int width, int height);

/* The taps of a level's smoothing, and of what is around a cell as to glare, 2 * result + 1 of
 * them. */
int pf_weighing_taps(const struct pf_weighing *weighing, int level,
                     float taps[2 * PF_CPU_BLUR_REACH + 1]);
int pf_weighing_glare_taps(const struct pf_weighing *weighing,
                           float taps[2 * PF_CPU_BLUR_REACH + 1]);
/* How much of the finest level's noise a level has. */
float pf_weighing_noise_share(int level);
float pf_weighing_floor(const struct pf_weighing *weighing, int level); /* grey levels */
/* What a level's evidence counts. */
float pf_weighing_counts(const struct pf_weighing *weighing, int level);
/* Where no frame shows fine detail, and all `levels` levels decide, the log2 weight of a frame is
 * power * evidence - behind. index: how many frames after the first of the stack; the larger it is, the
 * more is taken of what the evidence is more than nothing, up to `front`. */
void pf_weighing_of_frame(const struct pf_weighing *weighing, int levels, enum pf_focus_order order,
                          int index, float *ret_power, float *ret_behind);

#endif
