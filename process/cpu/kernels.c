#include "process/cpu/kernels.h"

#include <math.h>
#include <pthread.h>

#define DECLARE_SET(isa)                                                                           \
    void pf_warp_kernels_##isa(struct pf_kernels *set);                                            \
    void pf_pyramid_kernels_##isa(struct pf_kernels *set);                                         \
    void pf_weight_kernels_##isa(struct pf_kernels *set);                                          \
    void pf_align_kernels_##isa(struct pf_kernels *set);                                           \
    void pf_map_kernels_##isa(struct pf_kernels *set);

#define ADD_SET(isa)                                                                               \
    do {                                                                                           \
        struct pf_kernels *set = &sets[set_count++];                                               \
        set->name = #isa;                                                                          \
        pf_warp_kernels_##isa(set);                                                                \
        pf_pyramid_kernels_##isa(set);                                                             \
        pf_weight_kernels_##isa(set);                                                              \
        pf_align_kernels_##isa(set);                                                               \
        pf_map_kernels_##isa(set);                                                                 \
    } while (0)

DECLARE_SET(base)
#if defined(__x86_64__)
DECLARE_SET(v3)
#endif

static struct pf_kernels sets[2];
static int set_count;

float pf_lanczos[2 * PF_LANCZOS_STEPS + 2][PF_LANCZOS_ROW];
float pf_bicubic[2 * PF_LANCZOS_STEPS + 2][PF_LANCZOS_ROW];
struct pf_resampling pf_resampling[2];

static double sinc(double x)
{
    return fabs(x) < 1e-9 ? 1 : sin(M_PI * x) / (M_PI * x);
}

static double lanczos(double x)
{
    return fabs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static double bicubic(double x)
{
    x = fabs(x);
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((2.5 - 0.5 * x) * x - 4) * x + 2 : 0;
}

static void fill(float table[][PF_LANCZOS_ROW], double (*weight)(double x))
{
    for (int i = 0; i < 2 * PF_LANCZOS_STEPS + 2; i++) {
        double weights[PF_LANCZOS_TAPS], sum = 0;
        for (int k = 0; k < PF_LANCZOS_TAPS; k++) {
            weights[k] = weight((double)PF_LANCZOS_FROM + (double)i / PF_LANCZOS_STEPS - (k - 2));
            sum += weights[k];
        }
        for (int k = 0; k < PF_LANCZOS_TAPS; k++)
            table[i][k] = (float)(weights[k] / sum);
    }
}

/* The cubic through four values at Chebyshev's nodes of 0 .. 1/4, where the squares are. */
static void fit_cubic(const double at[4], const double value[4], double ret[4])
{
    double divided[4] = {value[0], value[1], value[2], value[3]};
    for (int order = 1; order < 4; order++)
        for (int i = 3; i >= order; i--)
            divided[i] = (divided[i] - divided[i - 1]) / (at[i] - at[i - order]);
    for (int k = 0; k < 4; k++)
        ret[k] = 0;
    for (int i = 3; i >= 0; i--) { /* ret = ret * (x - at[i]) + divided[i] */
        for (int k = 3; k > 0; k--)
            ret[k] = ret[k - 1] - at[i] * ret[k];
        ret[0] = divided[i] - at[i] * ret[0];
    }
}

/* A kernel's weights at a point `aside` of the middle, which add up to 1. */
static void weights_aside(double (*weight)(double x), double aside, double ret[PF_LANCZOS_TAPS])
{
    double sum = 0;
    for (int k = 0; k < PF_LANCZOS_TAPS; k++)
        sum += ret[k] = weight(aside + 0.5 - (k - 2));
    for (int k = 0; k < PF_LANCZOS_TAPS; k++)
        ret[k] /= sum;
}

static void fit_resampling(struct pf_resampling *ret, double (*weight)(double x))
{
    enum { LAST = PF_LANCZOS_TAPS / 2 - 1 };
    double sum[4] = {0.5, 0, 0, 0};
    for (int pair = 0; pair <= LAST; pair++) {
        double at[4], even[4], odd[4], fit[4];
        for (int i = 0; i < 4; i++) {
            double weights[PF_LANCZOS_TAPS];
            at[i] = 0.125 * (1 - cos(M_PI * (i + 0.5) / 4));
            weights_aside(weight, sqrt(at[i]), weights);
            double first = weights[pair], second = weights[PF_LANCZOS_TAPS - 1 - pair];
            even[i] = 0.5 * (first + second);
            odd[i] = 0.5 * (first - second) / sqrt(at[i]);
        }
        fit_cubic(at, even, fit);
        for (int k = 0; k < 4; k++) { /* the pair in the middle has what the others leave */
            ret->even[pair][k] = (float)(pair == LAST ? sum[k] : fit[k]);
            sum[k] -= (double)ret->even[pair][k];
        }
        fit_cubic(at, odd, fit);
        for (int k = 0; k < 4; k++)
            ret->odd[pair][k] = (float)fit[k];
    }
}

/* clang 14 and gcc 11 know no levels, but what sets this one apart. */
#if defined(__clang__) || __GNUC__ < 12
#define HAS_V3                                                                                     \
    (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&                           \
     __builtin_cpu_supports("fma"))
#else
#define HAS_V3 __builtin_cpu_supports("x86-64-v3")
#endif

static void fill_sets(void)
{
    fill(pf_lanczos, lanczos);
    fill(pf_bicubic, bicubic);
    fit_resampling(&pf_resampling[0], lanczos);
    fit_resampling(&pf_resampling[1], bicubic);
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (HAS_V3)
        ADD_SET(v3);
#endif
    ADD_SET(base);
}

const struct pf_kernels *pf_kernels(int index)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_sets);
    return index < set_count ? &sets[index] : NULL;
}
