/* Weights: each frame's sharpness in cells of every level, and what share of the stack it earns; as
 * process/cpu/fuse_weights.c. */
#include "process/cuda/samples.h"

/* ---- the energy that noise alone gives a frame ---- */

enum { PART_COLUMNS = 8, PART_ROWS = 4, STRIPS = 64, BINS = PF_CUDA_NOISE_BINS, THREADS = 256 };

/* One thread per part of 8 x 4 cells. Energies are whole multiples of 2^-9 and their sums exact. */
static __global__ void count_parts(const float *energy, struct pf_cuda_grid cells, int step,
                                   int *bins)
{
    int part = blockIdx.x * THREADS + threadIdx.x, top = PART_ROWS + (int)blockIdx.y * step;
    if (part >= cells.width / PART_COLUMNS || top + PART_ROWS > cells.height)
        return;
    float sum = 0;
    for (int y = top; y < top + PART_ROWS; y++)
        for (int x = 0; x < PART_COLUMNS; x++)
            sum += energy[(size_t)y * cells.pitch + PART_COLUMNS * part + x];
    atomicAdd(&bins[pf_within((int)(sum * (32.0f / (PART_ROWS * PART_COLUMNS))), BINS)], 1);
}

/* The bin that holds the quietest tenth's end. */
static __global__ void take_noise(const int *bins, int count, float most,
                                  struct pf_cuda_noise *noise)
{
    enum { EACH = BINS / THREADS };
    __shared__ int sums[THREADS];
    int sum = 0;
    for (int k = 0; k < EACH; k++)
        sum += bins[threadIdx.x * EACH + k];
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    int below = 0, group = 0;
    while (group < THREADS - 1 && 10 * (below + sums[group]) <= count)
        below += sums[group++];
    int bin = group * EACH;
    below += bins[bin];
    while (bin < BINS - 1 && 10 * below <= count)
        below += bins[++bin];
    float value = count ? ((float)bin + 0.5f) / 32 : 0;
    noise->frame = value;
    if (noise->reference < 0)
        noise->reference = fminf(value, most);
}

void pf_cuda_noise_of(struct pf_cuda *cuda, const float *energy, const struct pf_cuda_grid *cells,
                      float most, int *bins, struct pf_cuda_noise *noise)
{
    int step = cells->height / STRIPS > 2 * PART_ROWS ? cells->height / STRIPS : 2 * PART_ROWS;
    int strips = 0, parts = cells->width / PART_COLUMNS;
    for (int top = PART_ROWS; top + PART_ROWS <= cells->height; top += step)
        strips++;
    pf_cuda_fill(cuda, bins, 0, BINS * sizeof(*bins));
    if (strips && parts) {
        PF_LAUNCH(count_parts, dim3(pf_pieces(parts, THREADS), strips), THREADS, 0,
                  cuda->lane[PF_CUDA_WORK], energy, *cells, step, bins);
        pf_cuda_launched(cuda, "noise");
    }
    PF_LAUNCH(take_noise, 1, THREADS, 0, cuda->lane[PF_CUDA_WORK], bins, strips * parts, most,
              noise);
    pf_cuda_launched(cuda, "noise");
}

/* ---- energies and shares ---- */

enum {
    COLUMNS = 32,
    RUNS = 8,
    ROWS = 16,
    REACH = PF_CUDA_MOST_REACH,
};

static __device__ bool inside(const struct pf_cuda_weigh &job, int x, int y)
{
    double px, py, margin = job.scale;
    return pf_map_sample(job.map, job.scale * (2 * x + 0.5), job.scale * (2 * y + 0.5), &px, &py) &&
           px >= margin && py >= margin && px <= job.right - margin && py <= job.bottom - margin;
}

/* The weight joins the logarithm of the sum of all; its share of the new sum comes back. */
static __device__ __forceinline__ float join(float *log_total, float weight)
{
    float total = *log_total, difference = weight - total;
    float t = exp2f(fmaxf(-fabsf(difference), -126.0f));
    *log_total = fmaxf(weight, total) + log2f(1 + t);
    return (difference < 0 ? t : 1) / (1 + t);
}

static __global__ void weigh(struct pf_cuda_weigh job)
{
    __shared__ float raw[ROWS + 2 * REACH][COLUMNS + 2 * REACH];
    __shared__ float columns[ROWS][COLUMNS + 2 * REACH]; /* smoothed down the columns */
    __shared__ int all_inside;
    int width = job.cells.width, height = job.cells.height, reach = job.reach;
    int left = blockIdx.x * COLUMNS, top = blockIdx.y * ROWS;
    int thread = threadIdx.y * COLUMNS + threadIdx.x;
    if (thread == 0)
        all_inside = 1;
    for (int j = threadIdx.y; j < ROWS + 2 * reach; j += RUNS)
        for (int i = threadIdx.x; i < COLUMNS + 2 * reach; i += COLUMNS)
            raw[j][i] = job.raw[(size_t)pf_within(top - reach + j, height) * job.cells.pitch +
                                pf_within(left - reach + i, width)];
    __syncthreads();
    /* Without a field the frame's outline is convex: a block whose corners lie inside lies inside. */
    if (thread < 4 && !job.covered &&
        (job.map.nodes ||
         !inside(job, left + (thread & 1 ? COLUMNS - 1 : 0), top + (thread & 2 ? ROWS - 1 : 0))))
        all_inside = 0;
    for (int j = threadIdx.y; j < ROWS; j += RUNS)
        for (int i = threadIdx.x; i < COLUMNS + 2 * reach; i += COLUMNS) {
            float sum = job.taps[reach] * raw[j + reach][i];
            for (int k = 0; k < reach; k++)
                sum += job.taps[k] * (raw[j + k][i] + raw[j + 2 * reach - k][i]);
            columns[j][i] = sum;
        }
    __syncthreads();
    int x = left + threadIdx.x;
    float removed = 0, least = 0;
    if (job.noise) {
        removed = job.noise_share * job.noise->frame;
        least = job.least_share * job.noise->reference;
        removed *= removed * removed * removed;
        least *= least * least * least;
    }
    for (int j = threadIdx.y; j < ROWS; j += RUNS) {
        int y = top + j;
        if (x >= width || y >= height)
            continue;
        size_t at = (size_t)y * job.cells.pitch + x;
        float value = job.taps[reach] * columns[j][threadIdx.x + reach];
        for (int k = 0; k < reach; k++)
            value += job.taps[k] *
                     (columns[j][threadIdx.x + k] + columns[j][threadIdx.x + 2 * reach - k]);
        float squared = value * value;
        value = fmaxf(squared * squared - removed, 0) + least;
        value = log2f(sqrtf(sqrtf(value)) + job.floor);
        if (job.finer_energy) {
            const struct pf_cuda_grid &finer = job.finer;
            const float *upper =
                job.finer_energy + (size_t)pf_within(2 * y, finer.height) * finer.pitch;
            const float *lower =
                job.finer_energy + (size_t)pf_within(2 * y + 1, finer.height) * finer.pitch;
            int near = pf_within(2 * x, finer.width), far = pf_within(2 * x + 1, finer.width);
            value += 0.25f * job.coupling * (upper[near] + upper[far] + lower[near] + lower[far]);
        }
        if (job.spill > 0) {
            int16_t most = 0;
            for (int k = -job.spill_reach; k <= job.spill_reach; k++) {
                const int16_t *row =
                    job.light + (size_t)pf_within(y + k, height) * job.light_size.pitch;
                for (int i = -job.spill_reach; i <= job.spill_reach; i++)
                    most = max(most, row[pf_within(x + i, width)]);
            }
            value -= job.spill * log2f(pf_spill_of(most));
        }
        if (job.energy)
            job.energy[at] = value;
        float weight = job.power * value;
        if (!job.covered && !all_inside && !inside(job, x, y))
            weight -= job.no_cover;
        if (job.best && weight > job.best[at]) {
            job.best[at] = weight;
            job.winner[at] = job.index;
        }
        job.share[at] = join(&job.log_total[at], weight);
    }
}

void pf_cuda_weigh(struct pf_cuda *cuda, const struct pf_cuda_weigh *job)
{
    PF_LAUNCH(weigh, dim3(pf_pieces(job->cells.width, COLUMNS), pf_pieces(job->cells.height, ROWS)),
              dim3(COLUMNS, RUNS), 0, cuda->lane[PF_CUDA_WORK], *job);
    pf_cuda_launched(cuda, "weights");
}
