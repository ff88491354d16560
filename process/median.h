/* The weighted median of samples in memory, without sorting them or comparing them with one another.
 *
 * A comparison with a pivot comes out either way as often, which a processor cannot foresee. So the samples' weights
 * are added up in buckets of their values' bits, which are in the values' order, and only the bucket that the
 * middle lies in is looked at again, in finer ones: a radix selection from the top, of eight rounds at the most.
 *
 * Header-only; any thread.
 */
#ifndef PF_MEDIAN_H
#define PF_MEDIAN_H

#include <stdint.h>
#include <string.h>

struct pf_weighted {
    double value; /* not negative; may be infinite, but no NaN */
    float weight; /* finite, not negative */
    int next;     /* of the selection alone */
};

static inline uint64_t pf_median_bits(const struct pf_weighted *sample)
{
    uint64_t bits;
    memcpy(&bits, &sample->value, sizeof(bits));
    return bits;
}

/* The first value, in order, with which the weights reach half of their sum; 0 of none. Overwrites the samples. */
static inline double pf_weighted_median(struct pf_weighted *samples, int count)
{
    enum { BITS = 8 };
    struct {
        double weight;
        int first; /* of its samples, -1 for none */
    } buckets[1 << BITS];
    double half = -1, before = 0; /* before: the weight of all that is less than what is left */
    while (count) {
        uint64_t least = UINT64_MAX, most = 0;
        for (int i = 0; i < count; i++) {
            uint64_t bits = pf_median_bits(&samples[i]);
            least = bits < least ? bits : least;
            most = bits > most ? bits : most;
        }
        if (least == most)
            return samples[0].value;
        uint64_t range = most - least;
        int shift = 0;
        while (range >> shift >> BITS)
            shift++;
        int last = (int)(range >> shift), middle = 0, kept = 0;
        for (int i = 0; i <= last; i++) {
            buckets[i].weight = 0;
            buckets[i].first = -1;
        }
        /* From the last, so that each bucket's samples are in order, and can move to the front. */
        for (int i = count - 1; i >= 0; i--) {
            int at = (int)((pf_median_bits(&samples[i]) - least) >> shift);
            buckets[at].weight += (double)samples[i].weight;
            samples[i].next = buckets[at].first;
            buckets[at].first = i;
        }
        if (half < 0) {
            half = 0;
            for (int i = 0; i <= last; i++)
                half += 0.5 * buckets[i].weight;
        }
        while (middle < last && before + buckets[middle].weight < half)
            before += buckets[middle++].weight;
        for (int i = buckets[middle].first; i >= 0;) {
            struct pf_weighted sample = samples[i];
            samples[kept++] = sample;
            i = sample.next;
        }
        count = kept;
    }
    return 0;
}

#endif
