/* Coverage: which parts of the picture no frame of a bracket has sharp, and between which frames a
 * focal plane was skipped. Told while the subject is still there.
 *
 * Pure but for memory; one thread at a time. Works on the focus grids of the fused frames, laid over
 * the reference; five kilobytes a frame. Frames come in any order, a report says in which to read
 * them.
 *
 * What it rests on: process/focal_planes.h finds where the focal planes lie and how fast sharpness
 * falls beside them. That needs a picture in which it falls neither within one step of the bracket
 * nor hardly at all: of the full size and the reduced ones (struct pf_focus) the finest whose half width
 * is PF_COVERAGE_WIDE steps, so that brackets of all sizes and steps look alike.
 * - A plane was skipped where a step is PF_COVERAGE_STEP times the usual one, in that picture and in
 *   the next coarser one, and so wide that something is lost: PF_COVERAGE_LOSS half widths of the
 *   picture at full size, a quarter of the sharpness midway between the two. Cells must speak for
 *   it from both sides; in a flat picture nobody can know.
 * - A cell lies outside when the curve through its sharpness has its peak more than a step before the
 *   first frame or beyond the last one, and so far that the nearest frame has lost half of it; and
 *   when what is seen of it is coarser than what inner frames show elsewhere: of its sharpness in
 *   the next finer picture less than PF_COVERAGE_SOFT of the usual share is left. One that is nearly
 *   as blurred in all frames (its sharpness never falls to a PF_COVERAGE_FALL'th) is a background
 *   that was not meant, and is left alone.
 */
#ifndef PF_COVERAGE_H
#define PF_COVERAGE_H

#include "process/focus_grid.h"

#define PF_COVERAGE_WIDE  1.5
#define PF_COVERAGE_BLUNT 6.0 /* steps of half width: beyond, no step can be told */
#define PF_COVERAGE_STEP  1.4
#define PF_COVERAGE_LOSS  1.05
#define PF_COVERAGE_LOST  1.0 /* half widths at full size */
#define PF_COVERAGE_FALL  3
#define PF_COVERAGE_SOFT  0.75

struct pf_coverage; /* what has been fused so far */

int pf_coverage_new(struct pf_coverage **ret, struct pf_error *err);
struct pf_coverage *pf_coverage_free(struct pf_coverage *coverage); /* NULL-safe, returns NULL */

/* A fused frame with the caller's number for it, laid over the reference. -ENOMEM. */
int pf_coverage_add(struct pf_coverage *coverage, int frame, const struct pf_focus *focus,
                    struct pf_error *err);

enum pf_cover {
    PF_COVER_PLAIN,  /* no detail: nothing can be said */
    PF_COVER_SHARP,  /* some frame has it sharp, as far as can be told */
    PF_COVER_BEFORE, /* its depth lies outside, on the side of the first frame */
    PF_COVER_BEYOND, /* on the side of the last one */
};

struct pf_coverage_report {
    int frames;
    float *sharpness;          /* mean of the frame's grid */
    int *frame;                /* in the order of the report: the caller's numbers */
    int *won;                  /* cells that this frame has sharpest */
    bool *skipped;             /* between this frame and the next one */
    int *missing;              /* how many frames, of the usual step, are missing there */
    int detail;                /* cells that are not plain */
    int cover[PF_FOCUS_CELLS]; /* enum pf_cover */
    int winner
        [PF_FOCUS_CELLS]; /* place in the report of the frame that has it sharpest; -1 plain */
};

/* rank[frame]: place of a caller's number; NULL: the numbers are the order. The report's arrays are
 * the caller's (pf_coverage_report_free). With fewer than five frames nothing is found missing.
 * -ENOMEM. */
int pf_coverage_report(const struct pf_coverage *coverage, const int *rank,
                       struct pf_coverage_report *ret, struct pf_error *err);
void pf_coverage_report_free(struct pf_coverage_report *report);

/* Whether so many cells outside, of those with detail, are more than chance: what the photographer
 * is told of. The report has them all. */
static inline bool pf_coverage_is_worth_a_word(size_t cells, size_t detail)
{
    return cells >= 6 && cells * 30 >= detail;
}

#endif
