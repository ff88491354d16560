/* A picture known at every point of the plane, for tests of the engine: smooth random texture whose
 * value can be taken at any coordinates, so that a warped frame is exact and not resampled. */
#ifndef PF_TEST_TEXTURE_H
#define PF_TEST_TEXTURE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "process/homography.h"
#include "process/image.h"

static inline double lattice(uint32_t seed, int x, int y)
{
    uint32_t h = seed ^ (uint32_t)x * 0x9e3779b1u ^ (uint32_t)y * 0x85ebca77u;
    h ^= h >> 15;
    h *= 0x2c1b3c6du;
    h ^= h >> 12;
    h *= 0x297a2d39u;
    h ^= h >> 15;
    return h / 4294967295.0;
}

/* Value noise, quintic interpolation: 0..1, detail of about `period` pixels. */
static inline double noise_at(uint32_t seed, double x, double y, double period)
{
    x /= period;
    y /= period;
    int ix = (int)floor(x), iy = (int)floor(y);
    double tx = x - ix, ty = y - iy;
    tx = tx * tx * tx * (tx * (tx * 6 - 15) + 10);
    ty = ty * ty * ty * (ty * (ty * 6 - 15) + 10);
    double a = lattice(seed, ix, iy), b = lattice(seed, ix + 1, iy);
    double c = lattice(seed, ix, iy + 1), d = lattice(seed, ix + 1, iy + 1);
    return (a + tx * (b - a)) * (1 - ty) + (c + tx * (d - c)) * ty;
}

/* Luma 0..255 at a point. `finest` is the period of the finest detail in pixels: a defocused
 * frame is the same picture without it. */
static inline double texture_at(uint32_t seed, double x, double y, double finest)
{
    double sum = 0, weight = 0;
    for (double period = 96; period >= 6; period /= 2) {
        if (period >= finest)
            sum += (noise_at(seed + (uint32_t)period, x, y, period) - 0.5) * period;
        weight += period;
    }
    return 128 + 220 * sum / weight;
}

/* A grey 8-bit frame: its point h * (x, y) shows the texture at (x, y). */
static inline struct pf_image *texture_frame(uint32_t seed, int width, int height,
                                             const double h[9], double finest, double gain)
{
    struct pf_image *frame = NULL;
    double inverse[9];
    if (!pf_homography_invert(inverse, h) ||
        pf_image_new(&frame, width, height, 8, 1, 0, 0, NULL) < 0)
        abort();
    frame->orientation = 1;
    frame->source_bits = 8;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            double px, py;
            pf_homography_apply(inverse, x, y, &px, &py);
            double value = gain * texture_at(seed, px, py, finest) + 0.5;
            ((uint8_t *)frame->plane[0])[(size_t)y * frame->stride_bytes[0] + (size_t)x] =
                (uint8_t)(value < 0     ? 0
                          : value > 255 ? 255
                                        : value);
        }
    }
    return frame;
}

#endif
