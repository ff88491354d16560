/* What tests of pixel kernels go through: each instruction set, at odd and tiny widths. */
#ifndef PF_TEST_KERNELS_H
#define PF_TEST_KERNELS_H

#include <stdlib.h>

#include "process/cpu/kernels.h"

enum { WIDEST = 131 };

static const int widths[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100, WIDEST};
#define EACH_WIDTH(w)                                                                              \
    for (size_t wi = 0, w; wi < sizeof(widths) / sizeof(*widths) && (w = (size_t)widths[wi], 1);   \
         wi++)
#define EACH_SET(k) for (const struct pf_kernels *k; (k = pf_kernels(set)) != NULL; set++)

/* The nearest of `count`. */
static inline int at(int i, int count)
{
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

/* 0..1 */
static inline float random_share(void)
{
    return (float)(rand() % 1001) / 1000;
}

#endif
