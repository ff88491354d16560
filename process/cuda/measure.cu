/* Focus measure and light of a decoded luma plane, in one pass. */
#include "process/cuda/samples.h"

enum { THREADS = 128, PARTS = 16, EACH = 4, ROWS = 16 };

/* Sums over pixels: gx and gy are what Sobel's filter gives. Units of samples, but for light. */
enum { LIGHT, LAPLACIAN, LAPLACIAN_SQUARED, MODIFIED, GX_SQUARED, GY_SQUARED, GX_GY, SUMS };

static __device__ __forceinline__ int cell_start(int cell, int length)
{
    return (int)((long long)cell * length / PF_CUDA_CELLS);
}

/* Samples of a row: those from column x, a multiple of EACH, and one beside them at either end. */
template <class T>
static __device__ __forceinline__ void read_row(float row[EACH + 2],
                                                const struct pf_source_plane &luma, int x, int y)
{
    y = pf_within(y, luma.height);
    const T *samples = (const T *)((const char *)luma.samples + (size_t)y * luma.stride_bytes);
    struct pf_four<T> four = pf_load_four<T>(luma, x, y);
    row[0] = pf_to_whole(luma, (float)samples[max(x - 1, 0)]);
#pragma unroll
    for (int k = 0; k < EACH; k++)
        row[1 + k] = pf_to_whole(luma, (float)four.at[k]);
    row[1 + EACH] = pf_to_whole(luma, (float)samples[min(x + EACH, luma.width - 1)]);
}

/* What a row adds to its columns' sums. All but light and products are whole numbers below 2^24, which float
 * has exactly. */
static __device__ __forceinline__ void add_light(float sums[EACH][SUMS], const float here[EACH + 2])
{
#pragma unroll
    for (int k = 0; k < EACH; k++)
        sums[k][LIGHT] += pf_light(here[1 + k] * (1.0f / PF_WHITE));
}

static __device__ __forceinline__ void add_focus(float sums[EACH][SUMS],
                                                 const float above[EACH + 2],
                                                 const float here[EACH + 2],
                                                 const float below[EACH + 2])
{
    float across[EACH + 2], down[EACH + 2]; /* of a column: 1 2 1, and -1 0 1 */
#pragma unroll
    for (int k = 0; k < EACH + 2; k++) {
        across[k] = above[k] + below[k] + 2 * here[k];
        down[k] = below[k] - above[k];
    }
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        float horizontal = 2 * here[k + 1] - (here[k] + here[k + 2]);
        float vertical = 4 * here[k + 1] - across[k + 1];
        float gx = across[k + 2] - across[k];
        float gy = down[k] + 2 * down[k + 1] + down[k + 2];
        float laplacian = horizontal + vertical;
        sums[k][LAPLACIAN] += laplacian;
        sums[k][LAPLACIAN_SQUARED] += laplacian * laplacian;
        sums[k][MODIFIED] += fabsf(horizontal) + fabsf(vertical);
        sums[k][GX_SQUARED] += gx * gx;
        sums[k][GY_SQUARED] += gy * gy;
        sums[k][GX_GY] += gx * gy;
    }
}

/* One block per cell. A thread takes EACH columns of up to ROWS rows, each of which it reads once as it goes
 * down, and the one above and below them. */
template <class T>
static __global__ void __launch_bounds__(THREADS)
    measure(struct pf_source_plane luma, struct pf_cuda_cell *cells)
{
    PF_SHARED(float, of_threads, [SUMS][THREADS]);
    PF_SHARED(float, of_parts, [SUMS][PARTS]);
    int left = cell_start(blockIdx.x, luma.width), right = cell_start(blockIdx.x + 1, luma.width);
    int top = cell_start(blockIdx.y, luma.height);
    int bottom = cell_start(blockIdx.y + 1, luma.height);
    /* Columns from a multiple of EACH; what of them is not the cell's is left out in the end. */
    int pieces = right / EACH - left / EACH + 1;
    int runs = (bottom - top + ROWS - 1) / ROWS, rows = (bottom - top + runs - 1) / max(runs, 1);
    float sum[SUMS] = {0};
    for (int i = threadIdx.x; i < pieces * runs; i += THREADS) {
        int x = (left / EACH + i % pieces) * EACH;
        int first = min(top + i / pieces * rows, bottom), last = min(first + rows, bottom);
        if (x >= right || first >= last)
            continue;
        float sums[EACH][SUMS] = {{0}};
        float above[EACH + 2], here[EACH + 2], below[EACH + 2];
        read_row<T>(above, luma, x, first - 1);
        read_row<T>(here, luma, x, first);
        for (int y = first; y < last; y++) {
            read_row<T>(below, luma, x, y + 1);
            add_light(sums, here);
            if (y > 0 && y < luma.height - 1)
                add_focus(sums, above, here, below);
#pragma unroll
            for (int k = 0; k < EACH + 2; k++) {
                above[k] = here[k];
                here[k] = below[k];
            }
        }
#pragma unroll
        for (int k = 0; k < EACH; k++) {
            if (x + k < left || x + k >= right)
                continue;
            sum[LIGHT] += sums[k][LIGHT];
            for (int m = LAPLACIAN; m < SUMS && x + k > 0 && x + k < luma.width - 1; m++)
                sum[m] += sums[k][m];
        }
    }
#pragma unroll
    for (int m = 0; m < SUMS; m++)
        of_threads[m][threadIdx.x] = sum[m];
    __syncthreads();
    if (threadIdx.x < SUMS * PARTS) {
        int m = threadIdx.x / PARTS, part = threadIdx.x % PARTS;
        float of_part = 0;
        for (int i = part; i < THREADS; i += PARTS)
            of_part += of_threads[m][i];
        of_parts[m][part] = of_part;
    }
    __syncthreads();
    if (threadIdx.x > 0)
        return;
#pragma unroll
    for (int m = 0; m < SUMS; m++) {
        sum[m] = 0;
        for (int i = 0; i < PARTS; i++)
            sum[m] += of_parts[m][i];
    }
    const float grey = 1.0f / PF_GREY;
    struct pf_cuda_cell *cell = &cells[blockIdx.y * PF_CUDA_CELLS + blockIdx.x];
    cell->light = sum[LIGHT];
    cell->laplacian = grey * sum[LAPLACIAN];
    cell->laplacian_squared = grey * grey * sum[LAPLACIAN_SQUARED];
    cell->tenengrad = grey * grey * (sum[GX_SQUARED] + sum[GY_SQUARED]);
    cell->modified_laplacian = grey * sum[MODIFIED];
    cell->along = grey * grey * (sum[GX_SQUARED] - sum[GY_SQUARED]);
    cell->aslant = grey * grey * 2 * sum[GX_GY];
}

void pf_cuda_measure(struct pf_cuda *cuda, const struct pf_source_plane *luma,
                     struct pf_cuda_cell *cells)
{
    dim3 blocks(PF_CUDA_CELLS, PF_CUDA_CELLS);
    if (luma->bits == 8)
        PF_LAUNCH((measure<uint8_t>), blocks, THREADS, 0, cuda->lane[PF_CUDA_WORK], *luma, cells);
    else
        PF_LAUNCH((measure<uint16_t>), blocks, THREADS, 0, cuda->lane[PF_CUDA_WORK], *luma, cells);
    pf_cuda_launched(cuda, "focus measure");
}
