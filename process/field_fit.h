/* A displacement field from displacements measured at scattered points.
 *
 * Used by process/ in the engine's thread. Penalised least squares on the B-spline's coefficients:
 * each point pulls with the information that it has, in both directions (an edge tells nothing of
 * motion along it); between and beyond the points the field goes on straight. Points that contradict
 * their surroundings lose their say (iteratively reweighted, Cauchy weights; Holland & Welsch 1977).
 */
#ifndef PF_FIELD_FIT_H
#define PF_FIELD_FIT_H

#include "process/field.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_field_point {
    double x, y;     /* reference pixels */
    double d[2];     /* displacement there, px */
    double about[3]; /* information: inverse covariance xx, xy, yy, 1/px^2 */
    double trust;    /* out: 1 fits its surroundings well, 0 not at all */
};

/* Fits the nodes of `field`, whose grid is given. smoothness: 0.01 follows the points, 1 is stiff.
 * -ENODATA without points, -ENOMEM. */
int pf_field_fit(struct pf_field *field, struct pf_field_point *points, int count,
                 double smoothness, struct pf_error *err);

#ifdef __cplusplus
}
#endif

#endif
