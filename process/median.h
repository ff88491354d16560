/* The weighted median of samples in memory, without sorting them (Hoare's selection, 1961, with weights).
 *
 * Header-only; any thread.
 */
#ifndef PF_MEDIAN_H
#define PF_MEDIAN_H

struct pf_weighted {
    double value, weight; /* no NaN, weights not negative */
};

static inline double pf_middle_of_three(double a, double b, double c)
{
    return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

/* The first value, in order, with which the weights reach half of their sum; 0 of none. Reorders. */
static inline double pf_weighted_median(struct pf_weighted *samples, int count)
{
    double half = 0, before = 0, pivot = 0; /* before: the weight of all that is left of `begin` */
    for (int i = 0; i < count; i++)
        half += 0.5 * samples[i].weight;
    for (int begin = 0, end = count; begin < end;) {
        int less = begin, more = end;
        double weight = 0, equal = 0;
        pivot = pf_middle_of_three(samples[begin].value, samples[begin + (end - begin) / 2].value,
                                   samples[end - 1].value);
        for (int i = begin; i < more;) {
            struct pf_weighted sample = samples[i];
            if (sample.value < pivot) {
                samples[i++] = samples[less];
                samples[less++] = sample;
                weight += sample.weight;
            } else if (sample.value > pivot) {
                samples[i] = samples[--more];
                samples[more] = sample;
            } else {
                equal += sample.weight;
                i++;
            }
        }
        if (less > begin && before + weight >= half) {
            end = less;
        } else if (before + weight + equal >= half) {
            break;
        } else {
            before += weight + equal;
            begin = more;
        }
    }
    return pivot;
}

#endif
