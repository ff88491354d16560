#include "process/cpu/kernels.h"

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

static void fill_sets(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v3"))
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
