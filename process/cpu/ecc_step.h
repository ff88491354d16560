/* The arithmetic of one step of enhanced correlation alignment: from sums over the pixels to the next
 * warp. Shared by the CPU's alignment (process/cpu/ecc.c has the sources) and the GPU's, whose solver
 * runs on the device.
 *
 * Pure functions, any thread. Coordinates of a step are normalised to the target's level:
 * u = (column - centre_x) / radius, v = (row - centre_y) / radius. The eight parameters move a point
 * by (d0 + d1 u + d2 v, d3 + d4 u + d5 v) / (1 + d6 u + d7 v), so the steepest descent images are
 * gx * (1, u, v, 0, 0, 0, -uu, -uv) + gy * (0, 0, 0, 1, u, v, -uv, -vv).
 */
#ifndef PF_ECC_STEP_H
#define PF_ECC_STEP_H

#include "config/settings.h"
#include "process/cpu/kernels.h"
#include "process/homography.h"

#define PF_ECC_PARAMETERS 8

struct pf_ecc_fit_numbers {
    double correlation, overlap, target_mean, sample_mean;
    double slope; /* target brightness = slope * image brightness + offset */
};

/* sum: over the pixels that both pictures have; pixels: of the whole target. All zero where fewer than 16 pixels are common. */
PF_ANYWHERE static inline struct pf_ecc_fit_numbers pf_ecc_fit_of(const struct pf_fit_sums *sum,
                                                                  double pixels)
{
    struct pf_ecc_fit_numbers fit = {0, 0, 0, 0, 0};
    if (sum->count < 16)
        return fit;
    fit.target_mean = sum->t / sum->count;
    fit.sample_mean = sum->i / sum->count;
    double vt = sum->tt / sum->count - fit.target_mean * fit.target_mean;
    double vi = sum->ii / sum->count - fit.sample_mean * fit.sample_mean;
    double covariance = sum->ti / sum->count - fit.target_mean * fit.sample_mean;
    fit.correlation = vt > 1e-6 && vi > 1e-6 ? covariance / sqrt(vt * vi) : 0;
    fit.slope = vi > 1e-6 ? covariance / vi : 0;
    fit.overlap = sum->count / pixels;
    return fit;
}

/* Which of the eight parameters a motion has: rows are its own parameters. Returns how many. */
PF_ANYWHERE static inline int pf_ecc_basis(enum pf_motion motion,
                                           double basis[PF_ECC_PARAMETERS][PF_ECC_PARAMETERS])
{
    memset(basis, 0, sizeof(double) * PF_ECC_PARAMETERS * PF_ECC_PARAMETERS);
    switch (motion) {
    case PF_MOTION_SHIFT:
        basis[0][0] = basis[1][3] = 1;
        return 2;
    case PF_MOTION_SIMILARITY:
        basis[0][0] = basis[1][3] = 1;
        basis[2][1] = basis[2][5] = 1;
        basis[3][2] = -1;
        basis[3][4] = 1;
        return 4;
    case PF_MOTION_AFFINE:
    case PF_MOTION_HOMOGRAPHY:
        break;
    }
    int count = motion == PF_MOTION_AFFINE ? 6 : 8;
    for (int i = 0; i < count; i++)
        basis[i][i] = 1;
    return count;
}

/* Cholesky's factor of a symmetric positive matrix, in its place (lower triangle); false when it is
 * singular. */
PF_ANYWHERE static inline bool pf_ecc_factor(double a[PF_ECC_PARAMETERS][PF_ECC_PARAMETERS], int n)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = a[i][j];
            for (int k = 0; k < j; k++)
                sum -= a[i][k] * a[j][k];
            if (i == j) {
                if (!(sum > 1e-9 * (1 + fabs(a[i][i]))))
                    return false;
                a[i][i] = sqrt(sum);
            } else {
                a[i][j] = sum / a[j][j];
            }
        }
    }
    return true;
}

/* Solves a x = b with it; x takes the place of b. */
PF_ANYWHERE static inline void
pf_ecc_substitute(const double a[PF_ECC_PARAMETERS][PF_ECC_PARAMETERS], double b[PF_ECC_PARAMETERS],
                  int n)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
}

PF_ANYWHERE static inline bool pf_ecc_solve(double a[PF_ECC_PARAMETERS][PF_ECC_PARAMETERS],
                                            double b[PF_ECC_PARAMETERS], int n)
{
    if (!pf_ecc_factor(a, n))
        return false;
    pf_ecc_substitute(a, b, n);
    return true;
}

struct pf_ecc_frame {
    double centre_x, centre_y, radius; /* of the target's level, in its columns */
};

/* The eight parameters as a map in columns and rows; false when they are no small step. */
PF_ANYWHERE static inline bool pf_ecc_step_map(const struct pf_ecc_frame *frame,
                                               const double d[PF_ECC_PARAMETERS], double ret[9])
{
    for (int k = 0; k < PF_ECC_PARAMETERS; k++)
        if (!(fabs(d[k]) < 0.5)) /* also NaN: half the picture's width is no refinement */
            return false;
    double r = frame->radius, cx = frame->centre_x, cy = frame->centre_y;
    const double normalise[9] = {1 / r, 0, -cx / r, 0, 1 / r, -cy / r, 0, 0, 1};
    const double back[9] = {r, 0, cx, 0, r, cy, 0, 0, 1};
    const double delta[9] = {1 + d[1], d[2], d[0], d[4], 1 + d[5], d[3], d[6], d[7], 1};
    pf_homography_compose(ret, delta, normalise);
    pf_homography_compose(ret, back, ret);
    return true;
}

/* A motion's normal equations, factored: they are the target's, the same for all steps on a level. */
struct pf_ecc_normal {
    double basis[PF_ECC_PARAMETERS][PF_ECC_PARAMETERS],
        factor[PF_ECC_PARAMETERS][PF_ECC_PARAMETERS];
    int count; /* of the motion's own parameters; 0: there is no step */
};

/* hessian: products of the steepest descent images, summed, lower triangle. */
PF_ANYWHERE static inline void
pf_ecc_normal_of(struct pf_ecc_normal *ret,
                 const double hessian[PF_ECC_PARAMETERS * PF_ECC_PARAMETERS], enum pf_motion motion)
{
    enum { N = PF_ECC_PARAMETERS };
    ret->count = pf_ecc_basis(motion, ret->basis);
    for (int i = 0; i < ret->count; i++) {
        double row[N] = {0}; /* of the basis times the hessian */
        for (int k = 0; k < N; k++)
            if (ret->basis[i][k] != 0)
                for (int l = 0; l < N; l++)
                    row[l] += ret->basis[i][k] * hessian[k >= l ? k * N + l : l * N + k];
        for (int j = 0; j <= i; j++) {
            ret->factor[i][j] = 0;
            for (int l = 0; l < N; l++)
                ret->factor[i][j] += ret->basis[j][l] * row[l];
        }
        ret->factor[i][i] *= 1 + 1e-6;
    }
    if (!pf_ecc_factor(ret->factor, ret->count))
        ret->count = 0;
}

/* step: the steepest descent images times the error, summed. ret: the step of the target's coordinates, as
 * a map in columns and rows; false when there is none. */
PF_ANYWHERE static inline bool pf_ecc_next_step(const struct pf_ecc_normal *normal,
                                                const double step[PF_ECC_PARAMETERS],
                                                const struct pf_ecc_frame *frame, double ret[9])
{
    enum { N = PF_ECC_PARAMETERS };
    double b[N] = {0}, d[N] = {0};
    if (!normal->count)
        return false;
    for (int i = 0; i < normal->count; i++)
        for (int k = 0; k < N; k++)
            b[i] += normal->basis[i][k] * step[k];
    pf_ecc_substitute(normal->factor, b, normal->count);
    for (int i = 0; i < normal->count; i++)
        for (int k = 0; k < N; k++)
            d[k] += normal->basis[i][k] * b[i];
    return pf_ecc_step_map(frame, d, ret);
}

/* Full-size x = scale * column + offset, y alike. */
struct pf_ecc_scale {
    double scale, offset;
};

/* A map of full-size points as one of the levels' columns and rows, and back. */
PF_ANYWHERE static inline void pf_ecc_to_level(const double h[9], struct pf_ecc_scale target,
                                               struct pf_ecc_scale image, double ret[9])
{
    const double up[9] = {target.scale, 0, target.offset, 0, target.scale, target.offset, 0, 0, 1};
    double s = 1 / image.scale, o = -image.offset / image.scale;
    const double down[9] = {s, 0, o, 0, s, o, 0, 0, 1};
    pf_homography_compose(ret, h, up);
    pf_homography_compose(ret, down, ret);
}

PF_ANYWHERE static inline void pf_ecc_to_full(const double warp[9], struct pf_ecc_scale target,
                                              struct pf_ecc_scale image, double ret[9])
{
    const double up[9] = {image.scale, 0, image.offset, 0, image.scale, image.offset, 0, 0, 1};
    double s = 1 / target.scale, o = -target.offset / target.scale;
    const double down[9] = {s, 0, o, 0, s, o, 0, 0, 1};
    pf_homography_compose(ret, warp, down);
    pf_homography_compose(ret, up, ret);
}

#endif
