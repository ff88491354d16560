/* Pyramids of light on the device; see ecc.h. Geometry as process/cpu/ecc_pyramid.c has it. */
#include <errno.h>
#include <string.h>

#include "process/cuda/ecc.h"
#include "process/cuda/fuse.h"
#include "process/cuda/queue.h"

enum { COARSEST_SIDE = 40 };

static int half(int size)
{
    return (size + 1) / 2;
}

/* Floats of a level, so that the next one is aligned. */
static size_t padded(int width, int height)
{
    return ((size_t)width * (size_t)height + 63) / 64 * 64;
}

/* Lays out the levels from a finest one of this size in the pyramid's memory. */
static int lay_out(struct pf_cuda *cuda, struct pf_cuda_pyramid *pyramid, int width, int height,
                   double scale, double offset, struct pf_error *err)
{
    struct pf_ecc_pyramid levels;
    memset(&levels, 0, sizeof(levels));
    size_t floats = 0;
    size_t begin[PF_ECC_MAX_LEVELS];
    while (levels.count < PF_ECC_MAX_LEVELS) {
        struct pf_ecc_level *level = &levels.level[levels.count];
        level->width = width;
        level->height = height;
        level->scale = scale;
        level->offset = offset;
        begin[levels.count++] = floats;
        floats += padded(width, height);
        if (width < 2 * COARSEST_SIDE || height < 2 * COARSEST_SIDE)
            break;
        offset += scale / 2;
        scale *= 2;
        width = half(width);
        height = half(height);
    }
    if (floats > pyramid->capacity) {
        pf_cuda_pyramid_free(cuda, pyramid);
        int r = pf_cuda_alloc(cuda, (void **)&pyramid->memory, floats * sizeof(float), err);
        if (r < 0)
            return r;
        pyramid->capacity = floats;
    }
    for (int i = 0; i < levels.count; i++)
        levels.level[i].pixels = pyramid->memory + begin[i];
    pyramid->levels = levels;
    return 0;
}

int pf_cuda_pyramid_of_light(struct pf_cuda *cuda, struct pf_cuda_pyramid *pyramid,
                             const float *light, int width, int height, double scale, double offset,
                             struct pf_error *err)
{
    int r = lay_out(cuda, pyramid, width, height, scale, offset, err);
    if (r < 0)
        return r;
    pf_cuda_copy(cuda, pyramid->levels.level[0].pixels, light,
                 (size_t)width * (size_t)height * sizeof(float));
    for (int i = 1; i < pyramid->levels.count; i++) {
        const struct pf_ecc_level *from = &pyramid->levels.level[i - 1];
        pf_cuda_halve(cuda, pyramid->levels.level[i].pixels, from->pixels, from->width,
                      from->height);
    }
    return 0;
}

void pf_cuda_pyramid_free(struct pf_cuda *cuda, struct pf_cuda_pyramid *pyramid)
{
    pf_cuda_release(cuda, pyramid->memory);
    memset(pyramid, 0, sizeof(*pyramid));
}
