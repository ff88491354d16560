/* Samples, decoded and the engine's, as all kernels of the fusing pipeline take them. */
#ifndef PF_CUDA_SAMPLES_H
#define PF_CUDA_SAMPLES_H

#include "process/cuda/fuse.h"
#include "process/cuda/queue.h"

static __device__ __forceinline__ int pf_within(int value, int count)
{
    return min(max(value, 0), count - 1);
}

/* One plane of a launch. An array among a kernel's parameters is not indexed at run time: it would be
 * copied to memory for it. */
static __device__ __forceinline__ int16_t *pf_plane(const struct pf_cuda_planes &planes)
{
    return blockIdx.z ? planes.samples[1] : planes.samples[0];
}

static __device__ __forceinline__ float pf_nothing(const struct pf_cuda_nothing &nothing)
{
    float sum = 0, reference = nothing.noise ? nothing.noise->reference : 0;
    for (int k = 0; k < PF_CUDA_FINE_LEVELS; k++)
        if (k < nothing.levels)
            sum += nothing.counts[k] * log2f(nothing.least_share[k] * reference + nothing.floor[k]);
    return sum;
}

/* Encoded value 0..1 to light 0..1: the CPU's cubic fit of the sRGB transfer function. */
static __device__ __forceinline__ float pf_light(float value)
{
    return value * (0.012522878f + value * (0.682171111f + value * 0.305306011f));
}

/* As pf_spill of kernels.h. */
static __device__ __forceinline__ float pf_spill_of(int16_t sample)
{
    return ((float)max(sample, 0) * (1.0f / PF_GREY) + PF_SPILL_DARK) *
           (1.0f / (255 + PF_SPILL_DARK));
}

/* As pf_glare of kernels.h. */
static __device__ __forceinline__ float pf_glare_of(int16_t sample)
{
    float clipped =
        ((float)sample * (1.0f / PF_GREY) - PF_GLARE_FROM) * (1.0f / (PF_GLARE_TO - PF_GLARE_FROM));
    return pf_light((float)max(sample, 0) * (1.0f / PF_WHITE)) +
           PF_GLARE_MORE * fminf(fmaxf(clipped, 0), 1);
}

/* As pf_lamp of kernels.h. */
static __device__ __forceinline__ int pf_lamp_of(int16_t sample)
{
    return min(max(sample - PF_GLARE_FROM * PF_GREY, 0), PF_LAMP_WHOLE);
}

/* As pf_darkness of kernels.h. */
static __device__ __forceinline__ float pf_darkness_of(int16_t sample)
{
    float bright =
        ((float)sample * (1.0f / PF_GREY) - PF_DARK_TO) * (1.0f / (PF_DARK_FROM - PF_DARK_TO));
    return 1 - fminf(fmaxf(bright, 0), 1);
}

static __device__ __forceinline__ float pf_load(const struct pf_source_plane &source, int x, int y)
{
    const char *row = (const char *)source.samples + (size_t)y * source.stride_bytes;
    return source.bits == 8 ? (float)((const uint8_t *)row)[x] : (float)((const uint16_t *)row)[x];
}

/* Four neighbours, which one instruction loads or stores. */
template <class T> struct __align__(4 * sizeof(T)) pf_four
{
    T at[4];
};

/* Those of a decoded row from column x, a multiple of four: rows are padded (fuse.h), so that there are
 * four where the width ends. */
template <class T>
static __device__ __forceinline__ struct pf_four<T>
pf_load_four(const struct pf_source_plane &source, int x, int y) {
    const char *row = (const char *)source.samples + (size_t)y * source.stride_bytes;
    return ((const struct pf_four<T> *)row)[x / 4];
}

static __device__ __forceinline__ int16_t
pf_round_to_sample(float value)
{
    return (int16_t)((int)(value + 65536.5f) - 65536);
}

/* A decoded sample's value in the engine, not yet rounded. */
static __device__ __forceinline__ float pf_to_engine(const struct pf_source_plane &source,
                                                     float value)
{
    value = (value - source.offset) * source.scale;
    return fminf(fmaxf(value, source.offset > 0 ? -PF_WHITE : 0), PF_WHITE);
}

static __device__ __forceinline__ int16_t pf_to_sample(const struct pf_source_plane &source,
                                                       float value)
{
    return pf_round_to_sample(pf_to_engine(source, value));
}

/* The same as a float: one instruction rounds, where two convert to a whole number and back. */
static __device__ __forceinline__ float pf_to_whole(const struct pf_source_plane &source,
                                                    float value)
{
    return truncf(pf_to_engine(source, value) + 65536.5f) - 65536;
}

/* The first of the four nodes around a coordinate, and their weights: a uniform cubic B-spline. */
static __device__ inline int pf_field_weights(double at, double origin, double spacing, int count,
                                              float w[4])
{
    double u = fmin(fmax((at - origin) / spacing, 1.0), (double)(count - 2));
    int cell = min((int)u, count - 3);
    float t = (float)(u - cell), s = 1 - t;
    w[0] = s * s * s / 6;
    w[1] = (4 - 3 * t * t * (1 + s)) / 6;
    w[2] = (4 - 3 * s * s * (1 + t)) / 6;
    w[3] = t * t * t / 6;
    return cell - 1;
}

/* Where the frame's plane has what lies at a sample of the reference's; false behind the horizon. */
static __device__ inline bool pf_map_sample(const struct pf_cuda_map &map, double x, double y,
                                            double *ret_x, double *ret_y)
{
    double u = map.here.scale_x * x + map.here.offset_x;
    double v = map.here.scale_y * y + map.here.offset_y;
    double w = map.h[6] * u + map.h[7] * v + map.h[8];
    double px = (map.h[0] * u + map.h[1] * v + map.h[2]) / w;
    double py = (map.h[3] * u + map.h[4] * v + map.h[5]) / w;
    if (map.nodes) {
        float across[4], down[4], dx = 0, dy = 0;
        int column = pf_field_weights(u, map.origin_x, map.spacing_x, map.columns, across);
        int row = pf_field_weights(v, map.origin_y, map.spacing_y, map.rows, down);
        for (int j = 0; j < 4; j++)
            for (int i = 0; i < 4; i++) {
                const float *node = map.nodes + 2 * ((size_t)(row + j) * map.columns + column + i);
                dx += down[j] * across[i] * node[0];
                dy += down[j] * across[i] * node[1];
            }
        px += dx;
        py += dy;
    }
    *ret_x = (px - map.there.offset_x) / map.there.scale_x;
    *ret_y = (py - map.there.offset_y) / map.there.scale_y;
    return w > 0;
}

/* The samples of a pyramid's coarser level around one, and what Burt & Adelson expand them to: the
 * 2 x 2 finer samples, in units of 1/64. */
static __device__ __forceinline__ void pf_expand(int out[4], const int16_t *coarse,
                                                 const struct pf_cuda_grid &size, int x, int y)
{
    int even[3], odd[3]; /* the even and the odd finer row, by coarse column */
    const int16_t *above = coarse + (size_t)pf_within(y - 1, size.height) * size.pitch;
    const int16_t *here = coarse + (size_t)y * size.pitch;
    const int16_t *below = coarse + (size_t)pf_within(y + 1, size.height) * size.pitch;
    for (int k = 0; k < 3; k++) {
        int column = pf_within(x - 1 + k, size.width);
        int b = here[column], c = below[column];
        even[k] = above[column] + 6 * b + c;
        odd[k] = 4 * (b + c);
    }
    out[0] = even[0] + 6 * even[1] + even[2];
    out[1] = 4 * (even[1] + even[2]);
    out[2] = odd[0] + 6 * odd[1] + odd[2];
    out[3] = 4 * (odd[1] + odd[2]);
}

#endif
