/* The pass over the pixels of a non-rigid alignment: what each cell says about its motion; see
 * deform.h. */
#include <math.h>

#include "process/cpu/ecc_step.h"
#include "process/cuda/deform_kernels.h"

enum { BLOCK = 128 };
#define STEP_ENOUGH 0.003f /* px of the level: it has converged */
#define LEAST_NOISE 1.0    /* grey levels, squared */
#define OUTLIER     2.5f   /* standard deviations */

/* The first pixel whose middle lies in cell `number`. */
static __device__ __forceinline__ int first_pixel(int number, float size, int count)
{
    return min(max((int)ceilf((float)number * size - 0.5f), 0), count);
}

/* A thread per cell. */
static __global__ void look(struct pf_deform_pass pass)
{
    int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (pass.state->done || k >= pass.grid.columns * pass.grid.rows)
        return;
    int row = k / pass.grid.columns, column = k - row * pass.grid.columns;
    float gain = pass.state->gain, offset = pass.state->offset, mean = pass.state->mean;
    float bound = OUTLIER * OUTLIER * pass.state->noise;
    struct pf_cell sum = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    int x_end = first_pixel(column + 1, pass.grid.width, pass.width);
    int y_end = first_pixel(row + 1, pass.grid.height, pass.height);
    for (int y = first_pixel(row, pass.grid.height, pass.height); y < y_end; y++) {
        for (int x = first_pixel(column, pass.grid.width, pass.width); x < x_end; x++) {
            if (x < 1 || y < 1 || x > pass.width - 2 || y > pass.height - 2)
                continue;
            float2 d = pf_displacement_at(pass.displacement, pass.grid, (float)x, (float)y);
            float dx, dy, tx, ty;
            int ix, iy;
            pf_short_warp_at(pass.warp, (float)x, (float)y, &dx, &dy);
            if (!pf_pixel_at(x, y, dx + d.x, dy + d.y, pass.image_width, pass.image_height, 1, &ix,
                             &iy, &tx, &ty))
                continue;
            const float *t = pass.target + (size_t)y * pass.width + x;
            int w = pass.image_width;
            const float *i = pass.image + (size_t)iy * w + ix;
            float a = pf_bilinear(i, w, tx, ty) - mean, b = *t - mean;
            float gx =
                0.25f * (t[1] - t[-1] +
                         gain * (pf_bilinear(i + 1, w, tx, ty) - pf_bilinear(i - 1, w, tx, ty)));
            float gy =
                0.25f * (t[pass.width] - t[-pass.width] +
                         gain * (pf_bilinear(i + w, w, tx, ty) - pf_bilinear(i - w, w, tx, ty)));
            float error = b - (gain * a + offset);
            float say = 1 / (1 + error * error / bound);
            sum.xx += say * gx * gx;
            sum.xy += say * gx * gy;
            sum.yy += say * gy * gy;
            float pull = say * (error + gx * d.x + gy * d.y);
            sum.x += gx * pull;
            sum.y += gy * pull;
            sum.remains += say * error * error;
            sum.count += say;
            sum.t += say * b;
            sum.i += say * a;
            sum.tt += say * b * b;
            sum.ii += say * a * a;
            sum.ti += say * a * b;
        }
    }
    float precision = 1 / pass.state->noise;
    sum.xx *= precision;
    sum.xy *= precision;
    sum.yy *= precision;
    sum.x *= precision;
    sum.y *= precision;
    pass.cells[k] = sum;
}

/* What all cells together say of gain, offset and noise, for the next pass; and whether the last step was so
 * small that there need be none. The block that comes last adds up what all have summed, in order. */
static __global__ void __launch_bounds__(BLOCK) summarise(struct pf_deform_pass pass, bool may_end)
{
    enum { SUMS = PF_DEFORM_SUMS };
    __shared__ double sums[BLOCK][SUMS];
    __shared__ bool last;
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
    PF_LAUNCH(look, dim3(pf_pieces(pass->grid.columns * pass->grid.rows, BLOCK)), dim3(BLOCK), 0,
              cuda->lane[PF_CUDA_WORK], *pass);
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
