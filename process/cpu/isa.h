/* Names of the functions in the *_isa.c files, one set per instruction set; see kernels.h. */
#ifndef PF_ISA_H
#define PF_ISA_H

#include "process/cpu/kernels.h"

#ifndef PF_ISA
#define PF_ISA base
#endif
#define PF_ISA_JOIN2(name, isa) name##_##isa
#define PF_ISA_JOIN(name, isa)  PF_ISA_JOIN2(name, isa)
#define ISA(name)               PF_ISA_JOIN(pf_##name, PF_ISA)

/* Encoded value 0..1 to light 0..1: cubic fit of the sRGB transfer function. */
static inline float pf_light(float value)
{
    return value * (0.012522878f + value * (0.682171111f + value * 0.305306011f));
}

/* Puts the file's kernels into the set. */
void ISA(warp_kernels)(struct pf_kernels *set);
void ISA(pyramid_kernels)(struct pf_kernels *set);
void ISA(weight_kernels)(struct pf_kernels *set);
void ISA(align_kernels)(struct pf_kernels *set);

#endif
