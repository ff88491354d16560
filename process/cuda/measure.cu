/* Focus measure and light of a decoded luma plane, in one pass. */
#include "process/cuda/samples.h"

enum {
    LANES = 32,
    RUNS = 8,
    THREADS = LANES * RUNS,
    PARTS = 4,
    SUMS = sizeof(struct pf_cuda_cell) / 4
};

static __device__ __forceinline__ int cell_start(int cell, int length)
{
    return (int)((long long)cell * length / PF_CUDA_CELLS);
}

static __device__ __forceinline__ float sample_at(const struct pf_source_plane &luma, int x, int y)
{
    return (float)pf_to_sample(luma,
                               pf_load(luma, pf_within(x, luma.width), pf_within(y, luma.height)));
}

/* One block per cell. A warp takes a run of the cell's rows, a lane a column, and keeps the 3 x 3
 * samples around it as it goes down. */
static __global__ void measure(struct pf_source_plane luma, struct pf_cuda_cell *cells)
{
    PF_SHARED(float, sums, [SUMS][THREADS]);
    int left = cell_start(blockIdx.x, luma.width), right = cell_start(blockIdx.x + 1, luma.width);
    int top = cell_start(blockIdx.y, luma.height);
    int bottom = cell_start(blockIdx.y + 1, luma.height);
    int runs = blockDim.y, rows = (bottom - top + runs - 1) / runs;
    int first = min(top + (int)threadIdx.y * rows, bottom), last = min(first + rows, bottom);
    const float norm = 1.0f / PF_GREY;
    float sum[SUMS] = {0};
    for (int x = left + (int)threadIdx.x; x < right && first < last; x += LANES) {
        float above[3], here[3], below[3];
        for (int k = 0; k < 3; k++) {
            above[k] = sample_at(luma, x - 1 + k, first - 1);
            here[k] = sample_at(luma, x - 1 + k, first);
        }
        for (int y = first; y < last; y++) {
            for (int k = 0; k < 3; k++)
                below[k] = sample_at(luma, x - 1 + k, y + 1);
            sum[0] += pf_light(here[1] * (1.0f / PF_WHITE));
            if (x > 0 && y > 0 && x < luma.width - 1 && y < luma.height - 1) {
                float horizontal = (2 * here[1] - here[0] - here[2]) * norm;
                float vertical = (2 * here[1] - above[1] - below[1]) * norm;
                float gx =
                    (above[2] + 2 * here[2] + below[2] - above[0] - 2 * here[0] - below[0]) * norm;
                float gy =
                    (below[0] + 2 * below[1] + below[2] - above[0] - 2 * above[1] - above[2]) *
                    norm;
                float laplacian = horizontal + vertical;
                sum[1] += laplacian;
                sum[2] += laplacian * laplacian;
                sum[3] += gx * gx + gy * gy;
                sum[4] += fabsf(horizontal) + fabsf(vertical);
                sum[5] += gx * gx - gy * gy;
                sum[6] += 2 * gx * gy;
            }
            for (int k = 0; k < 3; k++) {
                above[k] = here[k];
                here[k] = below[k];
            }
        }
    }
    int thread = threadIdx.y * LANES + threadIdx.x, threads = LANES * blockDim.y;
    for (int k = 0; k < SUMS; k++)
        sums[k][thread] = sum[k];
    __syncthreads();
    int kind = thread / PARTS, part = thread % PARTS;
    float all = 0;
    if (kind < SUMS)
        for (int i = part; i < threads; i += PARTS)
            all += sums[kind][i];
    __syncthreads();
    if (kind < SUMS)
        sums[kind][part] = all;
    __syncthreads();
    if (thread >= SUMS)
        return;
    all = 0;
    for (int i = 0; i < PARTS; i++)
        all += sums[thread][i];
    ((float *)&cells[blockIdx.y * PF_CUDA_CELLS + blockIdx.x])[thread] = all;
}

void pf_cuda_measure(struct pf_cuda *cuda, const struct pf_source_plane *luma,
                     struct pf_cuda_cell *cells)
{
    /* No fewer rows a run than the two that are read beside it. */
    int runs = min(max(luma->height / PF_CUDA_CELLS / 2, 1), (int)RUNS);
    PF_LAUNCH(measure, dim3(PF_CUDA_CELLS, PF_CUDA_CELLS), dim3(LANES, runs), 0,
              cuda->lane[PF_CUDA_WORK], *luma, cells);
    pf_cuda_launched(cuda, "focus measure");
}
