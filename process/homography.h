/* 3 x 3 projective maps of the plane, row by row; points are (x, y) in pixels.
 *
 * Pure functions, any thread. A map takes a point to (h0 x + h1 y + h2, h3 x + h4 y + h5) divided by
 * h6 x + h7 y + h8.
 */
#ifndef PF_HOMOGRAPHY_H
#define PF_HOMOGRAPHY_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#ifdef __CUDACC__
#define PF_ANYWHERE __host__ __device__ /* on the GPU as well */
#else
#define PF_ANYWHERE
#endif

PF_ANYWHERE static inline void pf_homography_identity(double h[9])
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    memcpy(h, identity, sizeof(identity));
}

/* ret = a after b (ret may be a or b); scaled so that the last element is 1 where possible. */
PF_ANYWHERE static inline void pf_homography_compose(double ret[9], const double a[9],
                                                     const double b[9])
{
    double m[9];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            m[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
    double w = fabs(m[8]) > 1e-12 ? m[8] : 1;
    for (int i = 0; i < 9; i++)
        ret[i] = m[i] / w;
}

/* False when h has no inverse; ret may be h. */
PF_ANYWHERE static inline bool pf_homography_invert(double ret[9], const double h[9])
{
    double c[9] = {h[4] * h[8] - h[5] * h[7], h[2] * h[7] - h[1] * h[8], h[1] * h[5] - h[2] * h[4],
                   h[5] * h[6] - h[3] * h[8], h[0] * h[8] - h[2] * h[6], h[2] * h[3] - h[0] * h[5],
                   h[3] * h[7] - h[4] * h[6], h[1] * h[6] - h[0] * h[7], h[0] * h[4] - h[1] * h[3]};
    double determinant = h[0] * c[0] + h[1] * c[3] + h[2] * c[6];
    if (!(fabs(determinant) > 1e-12))
        return false;
    double w = fabs(c[8]) > 1e-12 ? c[8] : determinant;
    for (int i = 0; i < 9; i++)
        ret[i] = c[i] / w;
    return true;
}

PF_ANYWHERE static inline void pf_homography_apply(const double h[9], double x, double y,
                                                   double *ret_x, double *ret_y)
{
    double w = h[6] * x + h[7] * y + h[8];
    *ret_x = (h[0] * x + h[1] * y + h[2]) / w;
    *ret_y = (h[3] * x + h[4] * y + h[5]) / w;
}

/* The largest distance between the images of a rectangle's corners under two maps. */
PF_ANYWHERE static inline double pf_homography_corner_distance(const double a[9], const double b[9],
                                                               double width, double height)
{
    double most = 0;
    for (int corner = 0; corner < 4; corner++) {
        double x = corner & 1 ? width - 1 : 0, y = corner & 2 ? height - 1 : 0, ax, ay, bx, by;
        pf_homography_apply(a, x, y, &ax, &ay);
        pf_homography_apply(b, x, y, &bx, &by);
        double distance = hypot(ax - bx, ay - by);
        if (!(distance <= most))
            most = distance;
    }
    return most;
}

#endif
