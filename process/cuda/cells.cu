/* What the cells of a frame show beside its luma's measure: colours, for comparing light, and the bends
 * of the pictures that alignment sees. */
#include "process/cuda/ecc.h"
#include "process/cuda/samples.h"
#include "process/light.h"

enum { LANES = 32, THREADS = 128, PARTS = 16 };

static __device__ __forceinline__ float
encoded(const struct pf_cuda_frame &frame, const void *plane, size_t stride_bytes, int x, int y)
{
    const char *row = (const char *)plane + (size_t)y * stride_bytes;
    return frame.bits == 8 ? (float)((const uint8_t *)row)[x] * (1.0f / 255)
                           : (float)((const uint16_t *)row)[x] * (1.0f / 65535);
}

/* A block per cell, as pf_light_see() has it. */
static __global__ void __launch_bounds__(LANES)
    see_colours(struct pf_cuda_frame frame, struct pf_cuda_colour *cells)
{
    PF_SHARED(float, shared, [4][LANES]);
    int shift_x = frame.planes == 3 ? frame.shift_x : 0,
        shift_y = frame.planes == 3 ? frame.shift_y : 0;
    struct pf_light_span across = pf_light_span_of(blockIdx.x, (frame.width + shift_x) >> shift_x);
    struct pf_light_span down = pf_light_span_of(blockIdx.y, (frame.height + shift_y) >> shift_y);
    float middle = frame.bits == 8 ? 128.0f / 255 : 32768.0f / 65535;
    float red = 0, green = 0, blue = 0, peak = 0;
    for (int i = (int)threadIdx.x; i < across.count * down.count; i += LANES) {
        int x = across.first + i % across.count * across.step;
        int y = down.first + i / across.count * down.step;
        float luma = encoded(frame, frame.luma, frame.luma_stride, x << shift_x, y << shift_y);
        float r = luma, g = luma, b = luma;
        if (frame.planes == 3) {
            float cb = encoded(frame, frame.cb, frame.cb_stride, x, y) - middle;
            float cr = encoded(frame, frame.cr, frame.cr_stride, x, y) - middle;
            r += 1.402f * cr;
            g -= 0.344136f * cb + 0.714136f * cr;
            b += 1.772f * cb;
        }
        peak = fmaxf(peak, fmaxf(r, fmaxf(g, b)));
        red += pf_light(fminf(fmaxf(r, 0), 1));
        green += pf_light(fminf(fmaxf(g, 0), 1));
        blue += pf_light(fminf(fmaxf(b, 0), 1));
    }
    int lane = (int)threadIdx.x;
    shared[0][lane] = red;
    shared[1][lane] = green;
    shared[2][lane] = blue;
    shared[3][lane] = peak;
    __syncthreads();
    if (lane >= 4)
        return;
    float all = 0;
    for (int i = 0; i < LANES; i++)
        all = lane == 3 ? fmaxf(all, shared[lane][i]) : all + shared[lane][i];
    if (lane < 3)
        all /= (float)(across.count * down.count);
    ((float *)&cells[blockIdx.y * PF_LIGHT_GRID + blockIdx.x])[lane] = all;
}

void pf_cuda_see_colours(struct pf_cuda *cuda, const struct pf_cuda_frame *frame,
                         struct pf_cuda_colour *cells)
{
    PF_LAUNCH(see_colours, dim3(PF_LIGHT_GRID, PF_LIGHT_GRID), dim3(LANES), 0,
              cuda->lane[PF_CUDA_WORK], *frame, cells);
    pf_cuda_launched(cuda, "colours of a frame");
}

/* ---- bends --------------------------------------------------------------------------------------- */

static __device__ __forceinline__ float root(const float *light)
{
    return pf_ecc_code(*light);
}

/* A block per cell: the mean modified Laplacian of the coded light, as pf_alignment_measure() has it. */
static __global__ void __launch_bounds__(THREADS)
    measure_bends(const float *light, int width, int height, float *cells)
{
    PF_SHARED(float, shared, [THREADS]);
    const int grid = (int)gridDim.x;
    int left = max((int)blockIdx.x * width / grid, 1);
    int right = min(((int)blockIdx.x + 1) * width / grid, width - 1);
    int top = max((int)blockIdx.y * height / grid, 1);
    int bottom = min(((int)blockIdx.y + 1) * height / grid, height - 1);
    int columns = max(right - left, 0), rows = max(bottom - top, 0);
    float sum = 0;
    for (int i = (int)threadIdx.x; i < columns * rows; i += THREADS) {
        const float *at = light + (size_t)(top + i / columns) * width + left + i % columns;
        float twice = 2 * root(at);
        sum += fabsf(twice - root(at - 1) - root(at + 1)) +
               fabsf(twice - root(at - width) - root(at + width));
    }
    int thread = (int)threadIdx.x;
    shared[thread] = sum;
    __syncthreads();
    sum = 0;
    if (thread < PARTS)
        for (int i = thread; i < THREADS; i += PARTS)
            sum += shared[i];
    __syncthreads();
    shared[thread] = sum;
    __syncthreads();
    if (thread > 0)
        return;
    sum = 0;
    for (int i = 0; i < PARTS; i++)
        sum += shared[i];
    cells[blockIdx.y * grid + blockIdx.x] =
        sum / ((float)width * (float)height / (float)grid / (float)grid);
}

void pf_cuda_measure_bends(struct pf_cuda *cuda, const struct pf_ecc_level *level, int grid,
                           float *cells)
{
    PF_LAUNCH(measure_bends, dim3((unsigned)grid, (unsigned)grid), dim3(THREADS), 0,
              cuda->lane[PF_CUDA_WORK], level->pixels, level->width, level->height, cells);
    pf_cuda_launched(cuda, "bends of a picture of light");
}
