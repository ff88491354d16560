/* The pass over the pixels of a non-rigid alignment: what each cell says about its motion; see
 * deform.h. */
#include <math.h>

#include "process/cpu/ecc_step.h"
#include "process/cuda/deform_kernels.h"

enum { BLOCK = 128, WIDE = 2 * BLOCK /* pixels of a cell that a block shares */ };
#define STEP_ENOUGH 0.003f /* px of the level: it has converged */
#define LEAST_NOISE 1.0    /* grey levels, squared */
#define OUTLIER     2.5f   /* standard deviations */

/* The first pixel whose middle lies in cell `number`. */
static __device__ __forceinline__ int first_pixel(int number, float size, int count)
{
    return min(max((int)ceilf((float)number * size - 0.5f), 0), count);
}

/* The pixels of a cell. */
struct pixels {
    int left, top, right, bottom;
};

static __device__ __forceinline__ struct pixels pixels_of(const struct pf_deform_pass &pass, int k)
{
    int row = k / pass.grid.columns, column = k - row * pass.grid.columns;
    struct pixels pixels;
    /* Those at the border have no gradient. */
    pixels.left = max(first_pixel(column, pass.grid.width, pass.width), 1);
    pixels.top = max(first_pixel(row, pass.grid.height, pass.height), 1);
    pixels.right = min(first_pixel(column + 1, pass.grid.width, pass.width), pass.width - 1);
    pixels.bottom = min(first_pixel(row + 1, pass.grid.height, pass.height), pass.height - 1);
    return pixels;
}

/* What a pixel says joins its cell's sums. */
static __device__ __forceinline__ void look_at(const struct pf_deform_pass &pass, int x, int y,
                                               struct pf_cell *sum)
{
    float gain = pass.state->gain, offset = pass.state->offset, mean = pass.state->mean;
    float bound = OUTLIER * OUTLIER * pass.state->noise;
    float2 d = pf_displacement_at(pass.displacement, pass.grid, (float)x, (float)y);
    float dx, dy, tx, ty;
    int ix, iy;
    pf_short_warp_at(pass.warp, (float)x, (float)y, &dx, &dy);
    if (!pf_pixel_at(x, y, dx + d.x, dy + d.y, pass.image_width, pass.image_height, 1, &ix, &iy,
                     &tx, &ty))
        return;
    const float *t = pass.target + (size_t)y * pass.width + x;
    int w = pass.image_width;
    const float *i = pass.image + (size_t)iy * w + ix;
    float a = pf_bilinear(i, w, tx, ty) - mean, b = *t - mean;
    float gx = 0.25f * (t[1] - t[-1] +
                        gain * (pf_bilinear(i + 1, w, tx, ty) - pf_bilinear(i - 1, w, tx, ty)));
    float gy = 0.25f * (t[pass.width] - t[-pass.width] +
                        gain * (pf_bilinear(i + w, w, tx, ty) - pf_bilinear(i - w, w, tx, ty)));
    float error = b - (gain * a + offset);
    float say = 1 / (1 + error * error / bound);
    sum->xx += say * gx * gx;
    sum->xy += say * gx * gy;
    sum->yy += say * gy * gy;
    float pull = say * (error + gx * d.x + gy * d.y);
    sum->x += gx * pull;
    sum->y += gy * pull;
    sum->remains += say * error * error;
    sum->count += say;
    sum->t += say * b;
    sum->i += say * a;
    sum->tt += say * b * b;
    sum->ii += say * a * a;
    sum->ti += say * a * b;
}

static __device__ __forceinline__ void by_precision(const struct pf_deform_pass &pass,
                                                    struct pf_cell *sum)
{
    float precision = 1 / pass.state->noise;
    sum->xx *= precision;
    sum->xy *= precision;
    sum->yy *= precision;
    sum->x *= precision;
    sum->y *= precision;
}

/* A thread per cell of a few pixels. */
static __global__ void look(struct pf_deform_pass pass)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (pass.state->done || k >= pass.grid.columns * pass.grid.rows)
        return;
    struct pf_cell sum = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct pixels pixels = pixels_of(pass, k);
    for (int y = pixels.top; y < pixels.bottom; y++)
        for (int x = pixels.left; x < pixels.right; x++)
            look_at(pass, x, y, &sum);
    by_precision(pass, &sum);
    pass.cells[k] = sum;
}

/* A block per cell of many: a spline's are as wide as a hundredth of the picture. */
static __global__ void __launch_bounds__(BLOCK) look_wide(struct pf_deform_pass pass)
{
    enum { SUMS = sizeof(struct pf_cell) / sizeof(float), PARTS = 8 };
    PF_SHARED(float, sums, [SUMS][BLOCK + 1]);
    PF_SHARED(struct pf_cell, cell);
    int k = (int)blockIdx.x, thread = (int)threadIdx.x;
    if (pass.state->done)
        return;
    struct pf_cell sum = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct pixels pixels = pixels_of(pass, k);
    int columns = max(pixels.right - pixels.left, 0), rows = max(pixels.bottom - pixels.top, 0);
    for (int i = thread; i < columns * rows; i += BLOCK)
        look_at(pass, pixels.left + i % columns, pixels.top + i / columns, &sum);
    const float all[SUMS] = {sum.xx,    sum.xy, sum.yy, sum.x,  sum.y,  sum.remains,
                             sum.count, sum.t,  sum.i,  sum.tt, sum.ii, sum.ti};
#pragma unroll
    for (int m = 0; m < SUMS; m++)
        sums[m][thread] = all[m];
    __syncthreads();
    int kind = thread / PARTS, part = thread % PARTS;
    float some = 0;
    if (kind < SUMS)
        for (int i = part; i < BLOCK; i += PARTS)
            some += sums[kind][i];
    __syncthreads();
    if (kind < SUMS)
        sums[kind][part] = some;
    __syncthreads();
    if (thread < SUMS) {
        some = 0;
        for (int i = 0; i < PARTS; i++)
            some += sums[thread][i];
        ((float *)&cell)[thread] = some;
    }
    __syncthreads();
    if (thread > 0)
        return;
    sum = cell;
    by_precision(pass, &sum);
    pass.cells[k] = sum;
}

/* What all cells together say of gain, offset and noise, for the next pass; and whether the last step was so
 * small that there need be none. The block that comes last adds up what all have summed, in order. */
static __global__ void __launch_bounds__(BLOCK) summarise(struct pf_deform_pass pass, bool may_end)
{
    enum { SUMS = PF_DEFORM_SUMS };
    PF_SHARED(double, sums, [BLOCK][SUMS]);
    PF_SHARED(bool, last);
    struct pf_deform_state *state = pass.state;
    if (state->done)
        return;
    int thread = (int)threadIdx.x, cells = pass.grid.columns * pass.grid.rows;
    double sum[SUMS] = {0, 0, 0, 0, 0, 0, 0, 0};
    for (int k = (int)blockIdx.x * BLOCK + thread; k < cells; k += (int)gridDim.x * BLOCK) {
        const struct pf_cell *cell = &pass.cells[k];
        sum[0] += (double)cell->count;
        sum[1] += (double)cell->t;
        sum[2] += (double)cell->i;
        sum[3] += (double)cell->tt;
        sum[4] += (double)cell->ii;
        sum[5] += (double)cell->ti;
        sum[6] += 0.5 * (double)(cell->xx + cell->yy);
        sum[7] += (double)cell->remains;
    }
    for (int i = 0; i < SUMS; i++)
        sums[thread][i] = sum[i];
    __syncthreads();
    if (thread < SUMS) {
        for (int i = 1; i < BLOCK; i++)
            sums[0][thread] += sums[i][thread];
        pass.partial[blockIdx.x * SUMS + thread] = sums[0][thread];
        __threadfence();
    }
    __syncthreads();
    if (thread == 0)
        last = atomicInc(&state->ticket, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (!last)
        return;
    __threadfence();
    enum { PARTS = BLOCK / SUMS };
    int kind = thread % SUMS, part = thread / SUMS;
    double some = 0;
    for (int i = part; i < (int)gridDim.x; i += PARTS)
        some += pass.partial[i * SUMS + kind];
    sums[part][kind] = some;
    __syncthreads();
    if (thread < SUMS)
        for (int i = 1; i < PARTS; i++)
            sums[0][thread] += sums[i][thread];
    __syncthreads();
    if (thread > 0)
        return;
    const double *all = sums[0];
    struct pf_fit_sums fit_sums = {all[0], all[1], all[2], all[3], all[4], all[5]};
    struct pf_ecc_fit_numbers fit =
        pf_ecc_fit_of(&fit_sums, (double)pass.width * (double)pass.height);
    state->correlation = fit.correlation;
    state->overlap = fit.overlap;
    state->information = all[6] / cells;
    /* A picture and its negative have nothing in common. */
    state->gain = fit.slope > 0.1 ? (float)fmin(fit.slope, 10.0) : 1;
    state->offset = (float)(fit.target_mean - (double)state->gain * fit.sample_mean);
    /* What remains between pixels that agree; before anything is known, what gain and offset leave. */
    double variance = all[0] > 0 ? all[3] / all[0] - fit.target_mean * fit.target_mean : 0;
    double remains = variance * (1 - fmin(fit.correlation * fit.correlation, 1.0));
    if (all[0] > 0)
        remains = fmin(remains, all[7] / all[0]);
    state->noise = (float)fmax(LEAST_NOISE, remains);
    state->done = may_end && __int_as_float(state->moved_bits) < STEP_ENOUGH;
    /* Before the first step nothing has moved yet. */
    state->steps += state->moved_bits < __float_as_int(1e29f);
    state->moved_bits = 0;
}

/* A level's first pass is for gain and noise alone. */
static __global__ void begin_level(struct pf_deform_pass pass)
{
    struct pf_deform_state *state = pass.state;
    state->mean = pass.target[(size_t)(pass.height / 2) * pass.width + pass.width / 2];
    state->gain = 1;
    state->offset = 0;
    state->noise = 1e6f; /* everything has its say: the fit is that of the whole picture */
    state->done = 0;
    state->moved_bits = __float_as_int(1e30f);
}

void pf_cuda_look(struct pf_cuda *cuda, const struct pf_deform_pass *pass)
{
    int cells = pass->grid.columns * pass->grid.rows;
    if (pass->grid.width * pass->grid.height >= WIDE)
        PF_LAUNCH(look_wide, dim3((unsigned)cells), dim3(BLOCK), 0, cuda->lane[PF_CUDA_WORK],
                  *pass);
    else
        PF_LAUNCH(look, dim3(pf_pieces(cells, BLOCK)), dim3(BLOCK), 0, cuda->lane[PF_CUDA_WORK],
                  *pass);
    pf_cuda_launched(cuda, "deformation: pixels");
}

void pf_cuda_summarise(struct pf_cuda *cuda, const struct pf_deform_pass *pass, bool may_end)
{
    unsigned blocks = min(pf_pieces(pass->grid.columns * pass->grid.rows, BLOCK),
                          (unsigned)PF_DEFORM_MOST_BLOCKS);
    PF_LAUNCH(summarise, dim3(blocks), dim3(BLOCK), 0, cuda->lane[PF_CUDA_WORK], *pass, may_end);
    pf_cuda_launched(cuda, "deformation: sums");
}

void pf_cuda_begin_level(struct pf_cuda *cuda, const struct pf_deform_pass *pass)
{
    PF_LAUNCH(begin_level, dim3(1), dim3(1), 0, cuda->lane[PF_CUDA_WORK], *pass);
    pf_cuda_launched(cuda, "deformation: a level");
}
