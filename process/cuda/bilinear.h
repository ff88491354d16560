/* Samples of a picture of light at the points of a warp, as all kernels of alignment take them. */
#ifndef PF_CUDA_BILINEAR_H
#define PF_CUDA_BILINEAR_H

#include "process/cuda/device.h"
#include "process/homography.h"

/* A homography in single precision: how far the image's point lies from (x, y), with x and y counted
 * from a point in the middle. What is far away is exact because it is an integer. */
struct pf_short_warp {
    float a, b, c, d, e, f, g, h;
    int x, y; /* the point in the middle */
};

PF_ANYWHERE static inline struct pf_short_warp pf_short_warp_of(const double w[9], int width,
                                                                int height)
{
    struct pf_short_warp ret;
    ret.x = (width - 1) / 2;
    ret.y = (height - 1) / 2;
    /* (x, y) = (cx + u, cy + v): numerators less x and y times the denominator. */
    double cx = ret.x, cy = ret.y, g = w[6], h = w[7], i = w[6] * cx + w[7] * cy + w[8];
    ret.a = (float)((w[0] - cx * g - i) / i);
    ret.b = (float)((w[1] - cx * h) / i);
    ret.c = (float)((w[0] * cx + w[1] * cy + w[2] - cx * i) / i);
    ret.d = (float)((w[3] - cy * g) / i);
    ret.e = (float)((w[4] - cy * h - i) / i);
    ret.f = (float)((w[3] * cx + w[4] * cy + w[5] - cy * i) / i);
    ret.g = (float)(g / i);
    ret.h = (float)(h / i);
    return ret;
}

/* Where the image's point is, as seen from (x, y). */
static __device__ __forceinline__ void pf_short_warp_at(const struct pf_short_warp &w, float x,
                                                        float y, float *ret_dx, float *ret_dy)
{
    float u = x - (float)w.x, v = y - (float)w.y;
    float turn = w.g * u + w.h * v, scale = 1 / (1 + turn);
    *ret_dx = (w.a * u + w.b * v + w.c - u * turn) * scale;
    *ret_dy = (w.d * u + w.e * v + w.f - v * turn) * scale;
}

/* The pixel in front of (x + dx, y + dy), and how far behind it that lies; false where the image has
 * no `margin` of pixels around the four, or where there is no number. */
static __device__ __forceinline__ bool pf_pixel_at(int x, int y, float dx, float dy, int width,
                                                   int height, int margin, int *ret_x, int *ret_y,
                                                   float *ret_tx, float *ret_ty)
{
    float fx = floorf(dx), fy = floorf(dy);
    if (!(fabsf(fx) < 1e6f && fabsf(fy) < 1e6f))
        return false;
    *ret_x = x + (int)fx;
    *ret_y = y + (int)fy;
    *ret_tx = dx - fx;
    *ret_ty = dy - fy;
    return *ret_x >= margin && *ret_y >= margin && *ret_x < width - 1 - margin &&
           *ret_y < height - 1 - margin;
}

static __device__ __forceinline__ float pf_mix(float a, float b, float t)
{
    return a + t * (b - a);
}

static __device__ __forceinline__ float pf_bilinear(const float *at, int width, float tx, float ty)
{
    return pf_mix(pf_mix(at[0], at[1], tx), pf_mix(at[width], at[width + 1], tx), ty);
}

#endif
