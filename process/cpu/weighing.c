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
    for (int level = 0; level < 2; level++)
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
 * add up to more than all. Frames side by side hardly differ, and so sharpness alone decides between them. */
float pf_weighing_behind(const struct pf_weighing *weighing, enum pf_focus_order order, int index)
{
    float far = (float)index / (float)(index + 10);
    return order == PF_FOCUS_ORDER_ANY ? 0
                                       : weighing->power * weighing->front *
                                             (order == PF_FOCUS_ORDER_NEAR_TO_FAR ? far : -far);
}
