#include "process/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FRAMES_MIN 2
#define CELLS_MIN  12 /* with detail; of fewer nothing can be said */
#define DETAIL     2  /* times what noise measures */

static bool is_sharp(float value, float best, float floor)
{
    return value - floor >= 0.5f * (best - floor);
}

static bool sharp_nowhere(const struct pf_judge *judge, const struct pf_focus *focus, char *reason,
                          size_t reason_size)
{
    float least[PF_FOCUS_CELLS];
    int detail = 0, sharp = 0, before = 0;
    for (int i = 0; i < PF_FOCUS_CELLS; i++)
        least[i] = fminf(judge->least[i], focus->grid[i]);
    float floor = pf_focus_grid_floor(least);
    for (int i = 0; i < PF_FOCUS_CELLS; i++) {
        float best = fmaxf(judge->best[i], focus->grid[i]);
        if (!(best > DETAIL * floor))
            continue;
        detail++;
        sharp += is_sharp(focus->grid[i], best, floor);
        before += is_sharp(judge->last[i], best, floor);
    }
    if (detail < CELLS_MIN || sharp > PF_JUDGE_SHARP * detail || before <= PF_JUDGE_BEFORE * detail)
        return false;
    snprintf(reason, reason_size,
             "is sharp nowhere: in %d of %d parts with detail, the frame before it in %d", sharp,
             detail, before);
    return true;
}

static int ascending(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static float middle(float *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), ascending);
    return values[count / 2];
}

/* Middle of the change of direction from one frame to another, over the cells with detail; 0 where
 * there are too few. ret_gain: middle of the change of detail, the logarithm of its times. */
static double turn(const struct pf_judge *judge, const struct pf_focus *from,
                   const struct pf_focus *to, float *ret_gain)
{
    float change[2][PF_FOCUS_CELLS], gain[PF_FOCUS_CELLS];
    float floor = pf_focus_grid_floor(judge->least);
    int count = 0;
    *ret_gain = 0;
    for (int i = 0; i < PF_FOCUS_CELLS; i++) {
        if (!(judge->best[i] > DETAIL * floor))
            continue;
        for (int k = 0; k < 2; k++)
            change[k][count] = to->direction[k][i] - from->direction[k][i];
        gain[count++] = logf((to->grid[i] + 1e-3f) / (from->grid[i] + 1e-3f));
    }
    if (count < CELLS_MIN)
        return 0;
    *ret_gain = middle(gain, count);
    return hypot((double)middle(change[0], count), (double)middle(change[1], count));
}

/* The least turn from the good frames in memory, and what detail the frame has beside that one. */
static double turn_away(const struct pf_judge *judge, const struct pf_focus *focus, float *ret_gain)
{
    double least = INFINITY;
    for (int i = 0; i < judge->remembered && i < PF_JUDGE_MEMORY; i++) {
        float gain;
        double here = turn(judge, &judge->memory[i], focus, &gain);
        if (here < least) {
            least = here;
            *ret_gain = gain;
        }
    }
    return least;
}

/* As many that were refused in a row agree with the frame as would make it the word of the most. */
static bool borne_out(const struct pf_judge *judge, const struct pf_focus *focus)
{
    float gain;
    for (int i = 0; i < PF_JUDGE_ROW; i++)
        if (judge->refused <= i || turn(judge, &judge->doubtful[i], focus, &gain) > PF_JUDGE_TURN)
            return false;
    return true;
}

static bool moved(const struct pf_judge *judge, const struct pf_focus *focus, char *reason,
                  size_t reason_size)
{
    float gain = 0;
    double least = turn_away(judge, focus, &gain);
    if (!(least > PF_JUDGE_TURN) || gain > PF_JUDGE_SHARPER || borne_out(judge, focus))
        return false;
    snprintf(reason, reason_size,
             "is blurred by motion: its gradients lean %.2f to one side, unlike those before it",
             least);
    return true;
}

bool pf_judge_condemns(const struct pf_judge *judge, const struct pf_focus *focus, char *reason,
                       size_t reason_size)
{
    return judge->frames >= FRAMES_MIN && (moved(judge, focus, reason, reason_size) ||
                                           sharp_nowhere(judge, focus, reason, reason_size));
}

void pf_judge_see(struct pf_judge *judge, const struct pf_focus *focus)
{
    for (int i = 0; i < PF_FOCUS_CELLS; i++) {
        float value = focus->grid[i];
        judge->best[i] = judge->frames ? fmaxf(judge->best[i], value) : value;
        judge->least[i] = judge->frames ? fminf(judge->least[i], value) : value;
        judge->last[i] = value;
    }
    float gain;
    if (judge->remembered && turn_away(judge, focus, &gain) > PF_JUDGE_TURN)
        judge->remembered = 0; /* those were the blurred ones */
    judge->memory[judge->remembered % PF_JUDGE_MEMORY] = *focus;
    judge->remembered++;
    judge->refused = 0;
    judge->frames++;
}

void pf_judge_doubt(struct pf_judge *judge, const struct pf_focus *focus)
{
    judge->doubtful[judge->refused % PF_JUDGE_ROW] = *focus;
    judge->refused++;
}
