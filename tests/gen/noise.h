/* Deterministic randomness for the generator: hashes, a stream of numbers, noise over the plane.
 *
 * Pure functions of seed and position (any thread), a stream belongs to one thread. Coordinates
 * are in pixels divided by a wavelength. Gradient noise after Perlin 2002, cells after Worley 1996.
 */
#ifndef PF_GEN_NOISE_H
#define PF_GEN_NOISE_H

#include <stdint.h>

static inline uint32_t pf_gen_hash(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static inline uint32_t pf_gen_hash2(int32_t x, int32_t y, uint32_t seed)
{
    return pf_gen_hash((uint32_t)x * 0x9e3779b1u ^ pf_gen_hash((uint32_t)y ^ seed));
}

/* Stream of random numbers (splitmix64). */
struct pf_gen_random {
    uint64_t state;
};
uint64_t pf_gen_next(struct pf_gen_random *random);
double pf_gen_uniform(struct pf_gen_random *random, double low, double high);
double pf_gen_normal(struct pf_gen_random *random); /* mean 0, variance 1 */

/* About -1..1, zero mean. */
float pf_gen_noise(float x, float y, uint32_t seed);

/* Sum of octaves from `wavelength` px down to `finest` px; each octave `gain` times the one above,
 * normalised to a standard deviation of about 1. */
float pf_gen_octaves(float x, float y, float wavelength, float finest, float gain, uint32_t seed);

/* Nearest and second nearest of jittered points, one a unit cell. */
struct pf_gen_cell {
    float nearest, second;
    uint32_t id;
};
struct pf_gen_cell pf_gen_cells(float x, float y, uint32_t seed);

#endif
