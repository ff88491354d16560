/* The guide of a focus bracket that goes on until its subject is covered: where the next picture is to
 * be taken, by what the engine found in those that are there.
 *
 * Pure but for memory: no I/O, no clocks. The service's loop, or the command that drives a camera
 * without one. Borrows its arguments.
 *
 * Places are in steps of the bracket, the start is 0. `focus_at` is a frame's place in the order of
 * depth; `drive_to` is where the focus is to be driven to by the count of the steps, which is another
 * place when the lens has jumped.
 *
 * How it decides. A cell of the focus grid counts when its greatest sharpness over the frames is
 * PF_GUIDE_MEANT times its least: a background that is as blurred in all frames has no say. A cell is
 * still open towards an end while the frame there has it sharpest, or nearly (PF_GUIDE_NEAR) and the
 * frame beside it has: its plane may lie further out. In this order:
 *   - on, until the subject has been in the picture and is open no more, but for a fortieth of it;
 *     a frame that is set aside decides nothing, two in a row behind the subject end it;
 *   - before the start, while it is open there: the bracket began within the subject;
 *   - once more where a frame was set aside within the subject;
 *   - between two frames where the engine says that a plane was skipped (process/coverage.h): one
 *     step back from the second, and if that was not it, half a step, where the camera can.
 */
#ifndef PF_GUIDE_H
#define PF_GUIDE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define PF_GUIDE_MEANT 2.0
#define PF_GUIDE_NEAR  0.97

struct pf_guide;

struct pf_guide_word {
    bool enough;
    char reason[160]; /* enough, but not covered: why; "" else */
    double focus_at, drive_to;
};

int pf_guide_new(struct pf_guide **ret);                /* -ENOMEM */
struct pf_guide *pf_guide_free(struct pf_guide *guide); /* NULL-safe, returns NULL */

/* What the camera's process says of the bracket (PROTOCOL.md: `answer`), each in turn. */
void pf_guide_answer(struct pf_guide *guide, const json_t *answer);

/* What the worker found in a frame (its `frame` event; NULL: the frame is lost), again after a
 * replay; and what it last said of the coverage, NULL nothing. -ENOMEM. */
int pf_guide_see(struct pf_guide *guide, double focus_at, const char *identity,
                 const json_t *result, const json_t *coverage);
/* What is to be said to the camera's process now: `next` or `enough` for the bracket id; NULL: nothing
 * yet, the frame that was taken last has not been seen. Owned by the caller. */
json_t *pf_guide_word(struct pf_guide *guide, int64_t id);

/* The same as a decision: what comes next, with all that was seen. */
struct pf_guide_word pf_guide_next(struct pf_guide *guide);

#endif
