/* For the tests of the fusing kernels: planes and grids on both sides, random contents, and
 * comparisons. Included once by each. */
#ifndef PF_TEST_CUDA_PLANES_H
#define PF_TEST_CUDA_PLANES_H

#include "tests/cuda/device_test.h"

#include <stdlib.h>

extern "C" {
#include "process/cpu/kernels.h"
#include "process/light.h"
}
#include "process/cuda/fuse.h"
#include "process/cuda/queue.h"

struct size {
    int width, height;
};
static const struct size sizes[] = {{1, 1}, {2, 3}, {5, 2}, {33, 17}, {96, 64}, {131, 75}};
enum { SIZES = sizeof(sizes) / sizeof(*sizes) };

static inline struct pf_cuda *new_queue(void)
{
    struct pf_cuda *cuda = NULL;
    struct pf_error err = {};
    CHECK_OK(pf_cuda_new(&cuda, NULL, &err), &err);
    return cuda;
}

static inline void finish(struct pf_cuda *cuda)
{
    struct pf_error err = {};
    CHECK_OK(pf_cuda_wait(cuda, &err), &err);
    pf_cuda_free(cuda);
}

static unsigned random_state = 1;
static inline unsigned next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static inline int half(int size)
{
    return (size + 1) / 2;
}

static inline int clamped(int value, int count)
{
    return value < 0 ? 0 : value >= count ? count - 1 : value;
}

static inline struct pf_cuda_grid grid_of(int width, int height)
{
    struct pf_cuda_grid grid = {width, height, (width + 7) / 8 * 8};
    return grid;
}

static inline size_t room(const struct pf_cuda_grid *grid)
{
    return (size_t)grid->pitch * (size_t)grid->height;
}

/* A plane of the engine: the host's rows lie as the device's do. */
struct plane {
    struct pf_cuda_grid size;
    int16_t *host;
    struct pf_cuda_planes on_device;
};

static inline struct plane new_plane(int width, int height)
{
    struct plane plane = {grid_of(width, height), NULL, {}};
    plane.host = (int16_t *)malloc(room(&plane.size) * sizeof(int16_t));
    for (size_t i = 0; i < room(&plane.size); i++)
        plane.host[i] = (int16_t)(next_random() % PF_WHITE);
    plane.on_device.count = 1;
    plane.on_device.size = plane.size;
    plane.on_device.samples[0] = device_copy(plane.host, room(&plane.size));
    return plane;
}

static inline void free_plane(struct plane *plane)
{
    GPU(cudaFree(plane->on_device.samples[0]));
    free(plane->host);
}

static inline const int16_t *row_of(const struct plane *plane, int y)
{
    return plane->host + (size_t)clamped(y, plane->size.height) * plane->size.pitch;
}

/* Fails unless the device's plane is the host's, within `most`. */
static inline void check_plane(const struct plane *plane, int most, const char *what)
{
    size_t count = room(&plane->size);
    int16_t *got = (int16_t *)malloc(count * sizeof(*got));
    GPU(cudaDeviceSynchronize());
    GPU(cudaMemcpy(got, plane->on_device.samples[0], count * sizeof(*got), cudaMemcpyDeviceToHost));
    for (int y = 0; y < plane->size.height; y++)
        for (int x = 0; x < plane->size.width; x++) {
            size_t at = (size_t)y * plane->size.pitch + x;
            if (abs(got[at] - plane->host[at]) > most)
                FAIL("%s, %d x %d: %d at %d, %d where %d is right", what, plane->size.width,
                     plane->size.height, got[at], x, y, plane->host[at]);
        }
    free(got);
}

/* A plane as it is decoded. */
struct decoded {
    struct pf_source_plane host, device;
};

static inline struct decoded new_decoded(int width, int height, int bits, bool chroma, float gain)
{
    struct decoded plane = {};
    size_t stride = ((size_t)width * bits / 8 + 15) / 16 * 16;
    uint8_t *bytes = (uint8_t *)malloc(stride * height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            unsigned value = next_random() % 65536;
            if (bits == 8)
                bytes[y * stride + x] = (uint8_t)(value >> 8);
            else
                ((uint16_t *)(bytes + y * stride))[x] = (uint16_t)value;
        }
    plane.host.samples = bytes;
    plane.host.stride_bytes = stride;
    plane.host.width = width;
    plane.host.height = height;
    plane.host.bits = bits;
    plane.host.scale = PF_WHITE / (bits == 8 ? 255.0f : 65535.0f) * gain;
    plane.host.offset = chroma ? (bits == 8 ? 128.0f : 32768.0f) : 0;
    plane.device = plane.host;
    plane.device.samples = device_copy(bytes, stride * height);
    return plane;
}

static inline void free_decoded(struct decoded *plane)
{
    GPU(cudaFree((void *)plane->device.samples));
    free((void *)plane->host.samples);
}

static inline float *random_floats(size_t count, float low, float high)
{
    float *values = (float *)malloc(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        values[i] = low + (high - low) * (float)(next_random() % 100000) / 100000;
    return values;
}

static inline void check_floats(const float *device, const float *right,
                                const struct pf_cuda_grid *grid, float most, const char *what)
{
    size_t count = room(grid);
    float *got = (float *)malloc(count * sizeof(*got));
    GPU(cudaDeviceSynchronize());
    GPU(cudaMemcpy(got, device, count * sizeof(*got), cudaMemcpyDeviceToHost));
    for (int y = 0; y < grid->height; y++)
        for (int x = 0; x < grid->width; x++) {
            size_t at = (size_t)y * grid->pitch + x;
            if (!(fabsf(got[at] - right[at]) <= most * (1 + fabsf(right[at]))))
                FAIL("%s, %d x %d: %g at %d, %d where %g is right", what, grid->width, grid->height,
                     got[at], x, y, right[at]);
        }
    free(got);
}

static inline const struct pf_kernels *reference(void)
{
    const struct pf_kernels *kernels = pf_kernels(0);
    while (pf_kernels(1) && kernels == pf_kernels(0))
        kernels = pf_kernels(1); /* the plain one */
    return kernels;
}

static inline struct pf_cuda_map map_of(const double h[9])
{
    struct pf_cuda_map map = {};
    memcpy(map.h, h, sizeof(map.h));
    map.here.scale_x = map.here.scale_y = map.there.scale_x = map.there.scale_y = 1;
    return map;
}

#endif
