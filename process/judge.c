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

/* Middle of the change of direction from one frame to another, over the cells with detail. */
static double turn(const struct pf_judge *judge, const struct pf_focus *from,
                   const struct pf_focus *to, float floor)
{
    float change[2][PF_FOCUS_CELLS];
    int count = 0;
    for (int i = 0; i < PF_FOCUS_CELLS; i++) {
        if (!(judge->best[i] > DETAIL * floor))
            continue;
        for (int k = 0; k < 2; k++)
            change[k][count] = to->direction[k][i] - from->direction[k][i];
        count++;
    }
    if (count < CELLS_MIN)
        return 0;
    for (int k = 0; k < 2; k++)
        qsort(change[k], (size_t)count, sizeof(change[k][0]), ascending);
    return hypot((double)change[0][count / 2], (double)change[1][count / 2]);
}

static bool moved(const struct pf_judge *judge, const struct pf_focus *focus, char *reason,
                  size_t reason_size)
{
    float floor = pf_focus_grid_floor(judge->least);
    double least = INFINITY;
    for (int i = 0; i < judge->frames && i < PF_JUDGE_MEMORY; i++)
        least = fmin(least, turn(judge, &judge->memory[i], focus, floor));
    if (!(least > PF_JUDGE_TURN))
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
    judge->memory[judge->frames % PF_JUDGE_MEMORY] = *focus;
    judge->frames++;
}
