/* Names of the functions in the *_isa.c files, one set per instruction set; see kernels.h. */
#ifndef PF_ISA_H
#define PF_ISA_H

#include <stdint.h>
#include <string.h>

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

/* 2^value to about 2e-6, in plain arithmetic that vectorises: a polynomial of the mantissa after splitting
 * off the exponent (minimax by Remez on [0, 1)). */
static inline float pf_exp2(float value) /* -126 <= value <= 0 */
{
    int whole = (int)(value - 0.5f); /* nearest, towards zero from the left */
    float f = value - (float)whole;  /* -0.5 .. 0.5 */
    float p =
        1.0f +
        f * (0.69314718f +
             f * (0.24022651f +
                  f * (0.05550411f + f * (0.00961813f + f * (0.00133336f + f * 0.00015404f)))));
    uint32_t bits = (uint32_t)(whole + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof(power));
    return power * p;
}

/* Puts the file's kernels into the set. */
void ISA(warp_kernels)(struct pf_kernels *set);
void ISA(pyramid_kernels)(struct pf_kernels *set);
void ISA(weight_kernels)(struct pf_kernels *set);
void ISA(align_kernels)(struct pf_kernels *set);
void ISA(map_kernels)(struct pf_kernels *set);

#endif
