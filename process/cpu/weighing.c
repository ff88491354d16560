#include "process/cpu/weighing.h"

#include <math.h>

#include "process/cpu/engine.h"

struct pf_weighing pf_weighing_for(const struct pf_weighing *of, int width, int height)
{
    if (!of)
        return (struct pf_weighing){0};
    struct pf_weighing weighing = *of;
    float longer = (float)(width > height ? width : height);
    float growth = fminf(fmaxf(longer / PF_WEIGHED_SIDE, 1), PF_WEIGHED_GROWTH);
    weighing.floor *= powf(growth, of->growth.floor);
    weighing.finest *= powf(growth, of->growth.finest);
    weighing.power *= powf(growth, of->growth.power);
    weighing.around *= powf(growth, of->growth.around);
    for (int level = 0; level < PF_COARSE_LEVEL; level++)
        weighing.sigma[level] *= powf(growth, of->growth.sigma);
    return weighing;
}

float pf_weighing_noise_share(int level)
{
    return powf(0.3f, (float)level);
}

float pf_weighing_floor(const struct pf_weighing *weighing, int level)
{
    return weighing->floor * powf(weighing->floor_decay, (float)level);
}

float pf_weighing_counts(const struct pf_weighing *weighing, int level)
{
    return weighing->evidence[pf_clamp(level, 0, PF_EVIDENCE_LEVELS - 1)];
}

/* sigma: samples. */
static int taps_of(float sigma_samples, float taps[2 * PF_CPU_BLUR_REACH + 1])
{
    /* In cells, which are two samples wide; their own mean of 2 x 2 is part of the smoothing. */
    double sigma = (double)sigma_samples / 2, sum = 0;
    sigma = sqrt(sigma * sigma - 1.0 / 12);
    int reach = pf_clamp((int)ceil(2.7 * sigma), 1, PF_CPU_BLUR_REACH);
    for (int k = -reach; k <= reach; k++)
        sum += exp(-k * k / (2 * sigma * sigma));
    for (int k = -reach; k <= reach; k++)
        taps[k + reach] = (float)(exp(-k * k / (2 * sigma * sigma)) / sum);
    return reach;
}

int pf_weighing_taps(const struct pf_weighing *weighing, int level,
                     float taps[2 * PF_CPU_BLUR_REACH + 1])
{
    return taps_of(weighing->sigma[pf_clamp(level, 0, PF_EVIDENCE_LEVELS - 1)], taps);
}

int pf_weighing_glare_taps(const struct pf_weighing *weighing,
                           float taps[2 * PF_CPU_BLUR_REACH + 1])
{
    return taps_of(weighing->glare_sigma, taps);
}

/* How many frames there will be is not known: the first ten share half of it, and hundreds do not
 * add up to more than all. */
void pf_weighing_of_frame(const struct pf_weighing *weighing, int levels, enum pf_focus_order order,
                          int index, float *ret_power, float *ret_behind)
{
    float less = weighing->front * (float)index / (float)(index + 10), nothing = 0;
    if (order == PF_FOCUS_ORDER_ANY)
        less = 0;
    else if (order == PF_FOCUS_ORDER_FAR_TO_NEAR)
        less = -less;
    for (int level = 0; level < levels; level++)
        nothing += pf_weighing_counts(weighing, level) * log2f(pf_weighing_floor(weighing, level));
    *ret_power = weighing->power * (1 - less);
    *ret_behind = -weighing->power * less * nothing;
}
