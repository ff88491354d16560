#include "process/cpu/kernels.h"

#include <math.h>
#include <pthread.h>

#define DECLARE_SET(isa)                                                                           \
    void pf_warp_kernels_##isa(struct pf_kernels *set);                                            \
    void pf_pyramid_kernels_##isa(struct pf_kernels *set);                                         \
    void pf_weight_kernels_##isa(struct pf_kernels *set);                                          \
    void pf_align_kernels_##isa(struct pf_kernels *set);

#define ADD_SET(isa)                                                                               \
    do {                                                                                           \
        struct pf_kernels *set = &sets[set_count++];                                               \
        set->name = #isa;                                                                          \
        pf_warp_kernels_##isa(set);                                                                \
        pf_pyramid_kernels_##isa(set);                                                             \
        pf_weight_kernels_##isa(set);                                                              \
        pf_align_kernels_##isa(set);                                                               \
    } while (0)

DECLARE_SET(base)
#if defined(__x86_64__)
DECLARE_SET(v3)
#endif

static struct pf_kernels sets[2];
static int set_count;

float pf_lanczos[2 * PF_LANCZOS_STEPS + 2][PF_LANCZOS_ROW];
float pf_bicubic[2 * PF_LANCZOS_STEPS + 2][PF_LANCZOS_ROW];

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

/* clang 14 knows no levels, but what sets this one apart. */
#if defined(__clang__)
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
