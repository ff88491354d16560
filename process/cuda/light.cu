/* Pictures of light, for alignment; as the CPU's halve_source_row, halve_row and light_row. */
#include "process/cuda/samples.h"

enum { COLUMNS = 32, ROWS = 8 };

static __global__ void halve_source(float *out, int out_width, int out_height,
                                    struct pf_source_plane luma)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= out_width || y >= out_height)
        return;
    float norm = luma.scale / PF_WHITE, sum = 0;
    for (int k = 0; k < 4; k++)
        sum += pf_light(norm * pf_load(luma, min(2 * x + (k & 1), luma.width - 1),
                                       min(2 * y + (k >> 1), luma.height - 1)));
    out[(size_t)y * out_width + x] = 63.75f * sum;
}

static __global__ void halve(float *out, int out_width, int out_height, const float *light,
                             int width, int height)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= out_width || y >= out_height)
        return;
    const float *upper = light + (size_t)(2 * y) * width;
    const float *lower = light + (size_t)min(2 * y + 1, height - 1) * width;
    int right = min(2 * x + 1, width - 1);
    out[(size_t)y * out_width + x] =
        0.25f * (upper[2 * x] + upper[right] + lower[2 * x] + lower[right]);
}

static __global__ void light_of(float *out, const int16_t *samples, struct pf_cuda_grid size)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x < size.width && y < size.height)
        out[(size_t)y * size.width + x] =
            255 * pf_light((float)samples[(size_t)y * size.pitch + x] * (1.0f / PF_WHITE));
}

static dim3 blocks_for(int width, int height)
{
    return dim3(pf_pieces(width, COLUMNS), pf_pieces(height, ROWS));
}

void pf_cuda_halve_source(struct pf_cuda *cuda, float *out, const struct pf_source_plane *luma)
{
    int width = (luma->width + 1) / 2, height = (luma->height + 1) / 2;
    PF_LAUNCH(halve_source, blocks_for(width, height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], out, width, height, *luma);
    pf_cuda_launched(cuda, "light of a frame");
}

void pf_cuda_halve(struct pf_cuda *cuda, float *out, const float *light, int width, int height)
{
    int out_width = (width + 1) / 2, out_height = (height + 1) / 2;
    PF_LAUNCH(halve, blocks_for(out_width, out_height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], out, out_width, out_height, light, width, height);
    pf_cuda_launched(cuda, "halving");
}

void pf_cuda_light(struct pf_cuda *cuda, float *out, const int16_t *samples,
                   const struct pf_cuda_grid *size)
{
    PF_LAUNCH(light_of, blocks_for(size->width, size->height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], out, samples, *size);
    pf_cuda_launched(cuda, "light of the stack");
}
