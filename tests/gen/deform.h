/* A smooth deformation with known truth: what a body that breathes or sags does between two frames.
 *
 * Generator, its test and the benchmark; pure. Coordinates are pixels, centres at integers.
 */
#ifndef PF_GEN_DEFORM_H
#define PF_GEN_DEFORM_H

#include <stdint.h>

struct pf_gen_deform {
    int width, height;
    double reach_px; /* the most that a point moves; 0: nothing does */
    double phase[4];
};

/* Waves of about half the picture to all of it. */
struct pf_gen_deform pf_gen_deform_new(int width, int height, double reach_px, uint64_t seed);

/* Frame point f shows what lies at f + ret, without it. */
void pf_gen_deform_at(const struct pf_gen_deform *deform, double x, double y, double ret[2]);

/* Where a frame with the transform (reference point -> frame point) and the deformation after it has
 * what the reference has at (x, y). */
void pf_gen_deform_find(const struct pf_gen_deform *deform, const double transform[9], double x,
                        double y, double ret[2]);

#endif
