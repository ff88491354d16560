/* Registration of two planes by an affine transform with gain and offset. */
#include <math.h>
#include <string.h>

#include "tests/gen/measure.h"

#define LEVELS     8
#define UNKNOWNS   8 /* six of the transform, gain, offset */
#define ITERATIONS 25

void pf_gen_matrix_invert(const double m[9], double ret[9])
{
    double c0 = m[4] * m[8] - m[5] * m[7], c1 = m[5] * m[6] - m[3] * m[8];
    double c2 = m[3] * m[7] - m[4] * m[6], det = m[0] * c0 + m[1] * c1 + m[2] * c2;
    double out[9] = {
        c0 / det, (m[2] * m[7] - m[1] * m[8]) / det, (m[1] * m[5] - m[2] * m[4]) / det,
        c1 / det, (m[0] * m[8] - m[2] * m[6]) / det, (m[2] * m[3] - m[0] * m[5]) / det,
        c2 / det, (m[1] * m[6] - m[0] * m[7]) / det, (m[0] * m[4] - m[1] * m[3]) / det};
    memcpy(ret, out, sizeof(out));
}

void pf_gen_matrix_multiply(const double a[9], const double b[9], double ret[9])
{
    double out[9];
    for (int i = 0; i < 9; i++)
        out[i] = a[i / 3 * 3] * b[i % 3] + a[i / 3 * 3 + 1] * b[i % 3 + 3] +
                 a[i / 3 * 3 + 2] * b[i % 3 + 6];
    memcpy(ret, out, sizeof(out));
}

void pf_gen_matrix_apply(const double m[9], double x, double y, double *ret_x, double *ret_y)
{
    double w = m[6] * x + m[7] * y + m[8];
    *ret_x = (m[0] * x + m[1] * y + m[2]) / w;
    *ret_y = (m[3] * x + m[4] * y + m[5]) / w;
}

static struct pf_gen_plane half(const struct pf_gen_plane *plane)
{
    struct pf_gen_plane to = pf_gen_plane_new(plane->width / 2, plane->height / 2);
    for (int y = 0; y < to.height; y++) {
        for (int x = 0; x < to.width; x++) {
            const float *from = plane->value + (size_t)(2 * y) * (size_t)plane->width + 2 * x;
            to.value[(size_t)y * (size_t)to.width + (size_t)x] =
                0.25f * (from[0] + from[1] + from[plane->width] + from[plane->width + 1]);
        }
    }
    return to;
}

/* Solves a x = b in place by elimination with pivots; false when singular. */
static bool solve(double a[UNKNOWNS][UNKNOWNS + 1])
{
    for (int c = 0; c < UNKNOWNS; c++) {
        int best = c;
        for (int r = c + 1; r < UNKNOWNS; r++)
            if (fabs(a[r][c]) > fabs(a[best][c]))
                best = r;
        if (fabs(a[best][c]) < 1e-9)
            return false;
        for (int k = 0; k <= UNKNOWNS; k++) {
            double t = a[c][k];
            a[c][k] = a[best][k];
            a[best][k] = t;
        }
        for (int r = 0; r < UNKNOWNS; r++) {
            double f = r == c ? 0 : a[r][c] / a[c][c];
            for (int k = c; k <= UNKNOWNS && f != 0; k++)
                a[r][k] -= f * a[c][k];
        }
    }
    for (int c = 0; c < UNKNOWNS; c++)
        a[c][UNKNOWNS] /= a[c][c];
    return true;
}

/* One step at one level; returns how far a corner moved, in px of the level. Negative: stop. */
static double step(const struct pf_gen_plane *fixed, const struct pf_gen_plane *moving,
                   struct pf_gen_match *match)
{
    double a[UNKNOWNS][UNKNOWNS + 1] = {{0}};
    double cx = fixed->width / 2.0, cy = fixed->height / 2.0, size = cx + cy;
    struct pf_gen_plane warped =
        pf_gen_resample(moving, match->transform, fixed->width, fixed->height);
    int mx = fixed->width / 20 + 2, my = fixed->height / 20 + 2;
    int stride = (long)fixed->width * fixed->height > 3000000 ? 2 : 1;
    for (int y = my; y < fixed->height - my; y += stride) {
        for (int x = mx; x < fixed->width - mx; x += stride) {
            const float *w = warped.value + (size_t)y * (size_t)fixed->width + x;
            double gx = match->gain * (w[1] - w[-1]) / 2;
            double gy = match->gain * (w[fixed->width] - w[-fixed->width]) / 2;
            double u = (x - cx) / size, v = (y - cy) / size;
            double row[UNKNOWNS + 1] = {gx * u,
                                        gx * v,
                                        gx,
                                        gy * u,
                                        gy * v,
                                        gy,
                                        w[0] / 128.0,
                                        1,
                                        fixed->value[(size_t)y * (size_t)fixed->width + (size_t)x] -
                                            match->gain * w[0] - match->offset};
            for (int i = 0; i < UNKNOWNS; i++)
                for (int j = i; j <= UNKNOWNS; j++)
                    a[i][j] += row[i] * row[j];
        }
    }
    pf_gen_plane_free(&warped);
    for (int i = 0; i < UNKNOWNS; i++)
        for (int j = 0; j < i; j++)
            a[i][j] = a[j][i];
    if (!solve(a))
        return -1;
    double p[UNKNOWNS];
    for (int i = 0; i < UNKNOWNS; i++)
        p[i] = a[i][UNKNOWNS];
    /* fixed(q) = warped(q + step(q)): the step comes before the transform so far. */
    double change[9] = {1 + p[0] / size,
                        p[1] / size,
                        p[2] - (p[0] * cx + p[1] * cy) / size,
                        p[3] / size,
                        1 + p[4] / size,
                        p[5] - (p[3] * cx + p[4] * cy) / size,
                        0,
                        0,
                        1};
    pf_gen_matrix_multiply(match->transform, change, match->transform);
    match->gain += p[6] / 128;
    match->offset += p[7];
    return hypot(p[2], p[5]) + (fabs(p[0]) + fabs(p[1]) + fabs(p[3]) + fabs(p[4])) / 2;
}

void pf_gen_register(const struct pf_gen_plane *fixed, const struct pf_gen_plane *moving,
                     struct pf_gen_match *match)
{
    struct pf_gen_plane fixed_level[LEVELS] = {*fixed}, moving_level[LEVELS] = {*moving};
    int levels = 1;
    while (levels < LEVELS && fixed_level[levels - 1].width > 160 &&
           fixed_level[levels - 1].height > 100) {
        fixed_level[levels] = half(&fixed_level[levels - 1]);
        moving_level[levels] = half(&moving_level[levels - 1]);
        levels++;
    }
    for (int l = levels - 1; l >= 0; l--) {
        /* A pixel of this level lies at s * p + (s - 1) / 2 at full size. */
        double s = (double)(1 << l), o = (s - 1) / 2;
        double up[9] = {s, 0, o, 0, s, o, 0, 0, 1}, down[9];
        pf_gen_matrix_invert(up, down);
        pf_gen_matrix_multiply(match->transform, up, match->transform);
        pf_gen_matrix_multiply(down, match->transform, match->transform);
        double limit = l ? 0.01 : 0.0005;
        for (int i = 0; i < ITERATIONS; i++) {
            double moved = step(&fixed_level[l], &moving_level[l], match);
            if (moved < limit)
                break;
        }
        pf_gen_matrix_multiply(up, match->transform, match->transform);
        pf_gen_matrix_multiply(match->transform, down, match->transform);
        if (l) {
            pf_gen_plane_free(&fixed_level[l]);
            pf_gen_plane_free(&moving_level[l]);
        }
    }
}
