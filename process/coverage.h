/* Coverage: which parts of the picture no frame of a bracket has sharp, and between which frames a
 * focal plane was skipped. Told while the subject is still there.
 *
 * Pure but for memory; one thread at a time. Works on the focus grids of the fused frames, laid over
 * the reference; two kilobytes a frame. Frames come in any order, a report says in which to read them.
 *
 * What it rests on: passing through focus, the sharpness of a cell above the noise follows
 * 1 / (1 + d^2) closely, where d is the distance of its depth from the frame's focal plane, in units
 * of the distance at which half is left (measured on generated and real brackets, with the modified
 * Laplacian).
 * - Two neighbours' distance: the middle of the ratios of sharpness, over the cells that one of the
 *   two has sharpest. A plane was skipped where it is both PF_COVERAGE_STEP of the middle of all
 *   neighbours' distances and so wide that a cell sharp in one has lost half in the other
 *   (PF_COVERAGE_NEAR), or wider than PF_COVERAGE_FAR, where between them half is lost.
 * - Defocus takes from the modified Laplacian before it takes from the gradient, so that their ratio
 *   says how sharp a cell is, whatever its contrast. A cell that the first or last frame has
 *   sharpest, with less than PF_COVERAGE_SOFT of the middle ratio of the cells that inner frames
 *   have sharpest, lies outside: no frame has it sharp.
 * Between dense hairs, where every cell holds several depths, curves are wide and a skipped plane
 * can go unnoticed; few false alarms were preferred.
 */
#ifndef PF_COVERAGE_H
#define PF_COVERAGE_H

#include "process/focus_grid.h"

#define PF_COVERAGE_NEAR 1.05
#define PF_COVERAGE_FAR  2.2
#define PF_COVERAGE_STEP 1.4
#define PF_COVERAGE_SOFT 0.65

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
    int detail;                /* cells that are not plain */
    int cover[PF_FOCUS_CELLS]; /* enum pf_cover */
    int winner
        [PF_FOCUS_CELLS]; /* place in the report of the frame that has it sharpest; -1 plain */
};

/* rank[frame]: place of a caller's number; NULL: the numbers are the order. The report's arrays are
 * the caller's (pf_coverage_report_free). With fewer than four frames nothing is found missing.
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
