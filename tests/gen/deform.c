#include "tests/gen/deform.h"

#include <math.h>

#include "process/homography.h"
#include "tests/gen/noise.h"

struct pf_gen_deform pf_gen_deform_new(int width, int height, double reach_px, uint64_t seed)
{
    struct pf_gen_deform deform = {.width = width, .height = height, .reach_px = reach_px};
    struct pf_gen_random random = {seed ^ 0x6465666full};
    for (int i = 0; i < 4; i++)
        deform.phase[i] = pf_gen_uniform(&random, 0, 2 * M_PI);
    return deform;
}

void pf_gen_deform_at(const struct pf_gen_deform *deform, double x, double y, double ret[2])
{
    double u = 2 * M_PI * x / deform->width, v = 2 * M_PI * y / deform->height;
    const double *p = deform->phase;
    /* Each direction stays below 0.7 of the reach, the length below all of it. */
    double a = deform->reach_px * 0.5, b = deform->reach_px * 0.2;
    ret[0] = a * sin(1.1 * u + 0.6 * v + p[0]) + b * cos(2.0 * v - 0.9 * u + p[1]);
    ret[1] = a * cos(1.2 * v - 0.5 * u + p[2]) + b * sin(1.9 * u + 1.1 * v + p[3]);
}

void pf_gen_deform_find(const struct pf_gen_deform *deform, const double transform[9], double x,
                        double y, double ret[2])
{
    double goal[2], d[2];
    pf_homography_apply(transform, x, y, &goal[0], &goal[1]);
    ret[0] = goal[0];
    ret[1] = goal[1];
    for (int i = 0; i < 30; i++) { /* f = goal - d(f), by fixed-point iteration */
        pf_gen_deform_at(deform, ret[0], ret[1], d);
        ret[0] = goal[0] - d[0];
        ret[1] = goal[1] - d[1];
    }
}
