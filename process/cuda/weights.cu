/* Weights: each frame's sharpness in cells of every level, and what share of the stack it earns; as
 * process/cpu/fuse_weights.c. Sums over cells are small beside the evidence of the finest level: their
 * grids have a quarter of its cells and less. */
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
    PF_SHARED(int, sums, [THREADS]);
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

/* ---- evidence ---- */

enum {
    COLUMNS = 32,
    RUNS = 8,
    ROWS = 16,
    REACH = PF_CUDA_MOST_REACH,
};

/* A launch's taps where all threads of a block can index them: an array among parameters would be copied
 * to memory by each (samples.h). A barrier follows. */
static __device__ __forceinline__ void share_taps(float shared[REACH + 1],
                                                  const float (&taps)[2 * REACH + 1])
{
    if (threadIdx.x || threadIdx.y)
        return;
#pragma unroll
    for (int k = 0; k <= REACH; k++)
        shared[k] = taps[k];
}

/* Smooths a tile down its columns; along a row of what that gave. */
static __device__ __forceinline__ void
smooth_columns(float columns[ROWS][COLUMNS + 2 * REACH],
               const float raw[ROWS + 2 * REACH][COLUMNS + 2 * REACH], const float *taps, int reach)
{
    for (int j = threadIdx.y; j < ROWS; j += RUNS)
        for (int i = threadIdx.x; i < COLUMNS + 2 * reach; i += COLUMNS) {
            float sum = taps[reach] * raw[j + reach][i];
            for (int k = 0; k < reach; k++)
                sum += taps[k] * (raw[j + k][i] + raw[j + 2 * reach - k][i]);
            columns[j][i] = sum;
        }
}

static __device__ __forceinline__ float smooth_row(const float *row, const float *taps, int reach)
{
    int x = threadIdx.x;
    float sum = taps[reach] * row[x + reach];
    for (int k = 0; k < reach; k++)
        sum += taps[k] * (row[x + k] + row[x + 2 * reach - k]);
    return sum;
}

static __global__ void evidence(struct pf_cuda_evidence job)
{
    PF_SHARED(float, raw, [ROWS + 2 * REACH][COLUMNS + 2 * REACH]);
    PF_SHARED(float, columns, [ROWS][COLUMNS + 2 * REACH]); /* smoothed down the columns */
    PF_SHARED(float, taps, [REACH + 1]);
    share_taps(taps, job.taps);
    int width = job.cells.width, height = job.cells.height, reach = job.reach;
    int left = blockIdx.x * COLUMNS, top = blockIdx.y * ROWS;
    for (int j = threadIdx.y; j < ROWS + 2 * reach; j += RUNS)
        for (int i = threadIdx.x; i < COLUMNS + 2 * reach; i += COLUMNS)
            raw[j][i] = job.raw[(size_t)pf_within(top - reach + j, height) * job.cells.pitch +
                                pf_within(left - reach + i, width)];
    __syncthreads();
    smooth_columns(columns, raw, taps, reach);
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
        float value = smooth_row(columns[j], taps, reach);
        float squared = value * value;
        value = fmaxf(squared * squared - removed, 0) + least;
        job.evidence[(size_t)y * job.cells.pitch + x] =
            job.counts * log2f(sqrtf(sqrtf(value)) + job.floor);
    }
}

void pf_cuda_evidence(struct pf_cuda *cuda, const struct pf_cuda_evidence *job)
{
    PF_LAUNCH(evidence,
              dim3(pf_pieces(job->cells.width, COLUMNS), pf_pieces(job->cells.height, ROWS)),
              dim3(COLUMNS, RUNS), 0, cuda->lane[PF_CUDA_WORK], *job);
    pf_cuda_launched(cuda, "evidence");
}

/* ---- sums over levels ---- */

/* A cell's centre lies an eighth or three of a coarse cell beside the nearest coarse centre. */
static __device__ __forceinline__ float laid_over(const float *coarse,
                                                  const struct pf_cuda_grid &cells, int x, int y)
{
    int near_x = pf_within(x / 2, cells.width), near_y = pf_within(y / 2, cells.height);
    int far_x = pf_within(x & 1 ? x / 2 + 1 : x / 2 - 1, cells.width);
    int far_y = pf_within(y & 1 ? y / 2 + 1 : y / 2 - 1, cells.height);
    float tx = x & 1 ? 0.375f : 0.125f, ty = y & 1 ? 0.375f : 0.125f;
    const float *near_row = coarse + (size_t)near_y * cells.pitch;
    const float *far_row = coarse + (size_t)far_y * cells.pitch;
    float here = near_row[near_x] + ty * (far_row[near_x] - near_row[near_x]);
    float beside = near_row[far_x] + ty * (far_row[far_x] - near_row[far_x]);
    return here + tx * (beside - here);
}

static __device__ __forceinline__ float mean_of_four(const float *fine,
                                                     const struct pf_cuda_grid &cells, int x, int y)
{
    const float *upper = fine + (size_t)pf_within(2 * y, cells.height) * cells.pitch;
    const float *lower = fine + (size_t)pf_within(2 * y + 1, cells.height) * cells.pitch;
    int left = pf_within(2 * x, cells.width), right = pf_within(2 * x + 1, cells.width);
    return 0.25f * (upper[left] + upper[right] + lower[left] + lower[right]);
}

static __global__ void gather(float *out, const float *base, struct pf_cuda_grid cells,
                              const float *coarse, struct pf_cuda_grid coarse_cells, float share)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * RUNS + threadIdx.y;
    if (x >= cells.width || y >= cells.height)
        return;
    size_t at = (size_t)y * cells.pitch + x;
    out[at] = (base ? base[at] : 0) + share * laid_over(coarse, coarse_cells, x, y);
}

static dim3 blocks_for(const struct pf_cuda_grid *cells)
{
    return dim3(pf_pieces(cells->width, COLUMNS), pf_pieces(cells->height, RUNS));
}

void pf_cuda_gather(struct pf_cuda *cuda, float *out, const float *base,
                    const struct pf_cuda_grid *cells, const float *coarse,
                    const struct pf_cuda_grid *coarse_cells, float share)
{
    PF_LAUNCH(gather, blocks_for(cells), dim3(COLUMNS, RUNS), 0, cuda->lane[PF_CUDA_WORK], out,
              base, *cells, coarse, *coarse_cells, share);
    pf_cuda_launched(cuda, "sum over levels");
}

static __global__ void halve_cells(float *out, struct pf_cuda_grid cells, const float *fine,
                                   struct pf_cuda_grid fine_cells)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * RUNS + threadIdx.y;
    if (x < cells.width && y < cells.height)
        out[(size_t)y * cells.pitch + x] = mean_of_four(fine, fine_cells, x, y);
}

void pf_cuda_halve_cells(struct pf_cuda *cuda, float *out, const struct pf_cuda_grid *cells,
                         const float *fine, const struct pf_cuda_grid *fine_cells)
{
    PF_LAUNCH(halve_cells, blocks_for(cells), dim3(COLUMNS, RUNS), 0, cuda->lane[PF_CUDA_WORK], out,
              *cells, fine, *fine_cells);
    pf_cuda_launched(cuda, "means of cells");
}

static __global__ void spill_over(float *evidence, struct pf_cuda_grid cells, const int16_t *light,
                                  int light_pitch, float spill)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * RUNS + threadIdx.y;
    if (x >= cells.width || y >= cells.height)
        return;
    int most = INT16_MIN;
    for (int j = -1; j <= 1; j++)
        for (int i = -1; i <= 1; i++)
            most = max(most, (int)light[(size_t)pf_within(y + j, cells.height) * light_pitch +
                                        pf_within(x + i, cells.width)]);
    evidence[(size_t)y * cells.pitch + x] -= spill * log2f(pf_spill_of((int16_t)most));
}

void pf_cuda_spill(struct pf_cuda *cuda, float *evidence, const struct pf_cuda_grid *cells,
                   const int16_t *light, int light_pitch, float spill)
{
    PF_LAUNCH(spill_over, blocks_for(cells), dim3(COLUMNS, RUNS), 0, cuda->lane[PF_CUDA_WORK],
              evidence, *cells, light, light_pitch, spill);
    pf_cuda_launched(cuda, "brightness around");
}

static __global__ void spill_finest(float *evidence, struct pf_cuda_glare job)
{
    PF_SHARED(float, raw, [ROWS + 2 * REACH][COLUMNS + 2 * REACH]);
    PF_SHARED(float, columns, [ROWS][COLUMNS + 2 * REACH]);
    PF_SHARED(float, taps, [REACH + 1]);
    share_taps(taps, job.taps);
    int width = job.cells.width, height = job.cells.height, reach = job.reach;
    int left = blockIdx.x * COLUMNS, top = blockIdx.y * ROWS;
    for (int j = threadIdx.y; j < ROWS + 2 * reach; j += RUNS)
        for (int i = threadIdx.x; i < COLUMNS + 2 * reach; i += COLUMNS)
            raw[j][i] =
                job.strength *
                pf_glare_of(job.light[(size_t)pf_within(top - reach + j, height) * job.light_pitch +
                                      pf_within(left - reach + i, width)]);
    __syncthreads();
    smooth_columns(columns, raw, taps, reach);
    __syncthreads();
    int x = left + threadIdx.x;
    for (int j = threadIdx.y; j < ROWS; j += RUNS) {
        int y = top + j;
        if (x >= width || y >= height)
            continue;
        float around = smooth_row(columns[j], taps, reach);
        int16_t own = job.light[(size_t)y * job.light_pitch + x];
        evidence[(size_t)y * job.cells.pitch + x] -=
            job.spill * log2f(pf_spill_of(own) * (1 + around));
    }
}

void pf_cuda_spill_finest(struct pf_cuda *cuda, float *evidence, const struct pf_cuda_glare *glare)
{
    PF_LAUNCH(spill_finest,
              dim3(pf_pieces(glare->cells.width, COLUMNS), pf_pieces(glare->cells.height, ROWS)),
              dim3(COLUMNS, RUNS), 0, cuda->lane[PF_CUDA_WORK], evidence, *glare);
    pf_cuda_launched(cuda, "light around");
}

/* One block per lamp cell. Sums are whole numbers, so that their order does not matter. */
static __global__ void see_lamps(struct pf_cuda_lamps lamps, const int16_t *samples,
                                 struct pf_cuda_grid size, float half_share)
{
    enum { PARTS = 16 };
    PF_SHARED(int, sums, [THREADS]);
    int side = 1 << lamps.level, left = blockIdx.x * side, top = blockIdx.y * side;
    int width = min(side, size.width - left), height = min(side, size.height - top), sum = 0;
    for (int i = threadIdx.x; i < width * height; i += (int)blockDim.x)
        sum += pf_lamp_of(samples[(size_t)(top + i / width) * size.pitch + left + i % width]);
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < PARTS) {
        for (int i = threadIdx.x + PARTS; i < (int)blockDim.x; i += PARTS)
            sum += sums[i];
        sums[threadIdx.x] = sum;
    }
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    sum = 0;
    for (int i = 0; i < PARTS; i++)
        sum += sums[i];
    float share = (float)sum / ((float)(width * height) * PF_LAMP_WHOLE);
    float *near = &lamps.near[(size_t)blockIdx.y * lamps.cells.pitch + blockIdx.x];
    *near = fmaxf(*near, share / (share + half_share));
}

void pf_cuda_see_lamps(struct pf_cuda *cuda, const struct pf_cuda_lamps *lamps,
                       const int16_t *samples, const struct pf_cuda_grid *size, float half_share)
{
    /* No more threads than samples, in whole warps. */
    int side = 1 << lamps->level, threads = min(max(side * side, 32), (int)THREADS);
    PF_LAUNCH(see_lamps, dim3(lamps->cells.width, lamps->cells.height), threads, 0,
              cuda->lane[PF_CUDA_WORK], *lamps, samples, *size, half_share);
    pf_cuda_launched(cuda, "clipped light");
}

static __global__ void sums(struct pf_cuda_sums job)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * RUNS + threadIdx.y;
    if (x >= job.cells.width || y >= job.cells.height)
        return;
    size_t at = (size_t)y * job.cells.pitch + x;
    float own = job.evidence[at], value = own + mean_of_four(job.finest, job.fine_cells, x, y);
    if (job.before)
        job.before[at] = own;
    if (job.most.said && value > job.most.said[at]) {
        job.most.said[at] = value;
        job.most.light[at] = job.light[(size_t)y * job.light_pitch + x];
    }
    if (job.coarse)
        value += laid_over(job.coarse, job.coarse_cells, x, y);
    job.evidence[at] = value;
}

void pf_cuda_sums(struct pf_cuda *cuda, const struct pf_cuda_sums *job)
{
    PF_LAUNCH(sums, blocks_for(&job->cells), dim3(COLUMNS, RUNS), 0, cuda->lane[PF_CUDA_WORK],
              *job);
    pf_cuda_launched(cuda, "sums of evidence");
}

/* ---- shares ---- */

static __device__ bool inside(const struct pf_cuda_weigh &job, int x, int y)
{
    double px, py, margin = job.scale;
    return pf_map_sample(job.map, job.scale * (2 * x + 0.5), job.scale * (2 * y + 0.5), &px, &py) &&
           px >= margin && py >= margin && px <= job.right - margin && py <= job.bottom - margin;
}

/* The frame's outline among the cells: four sides and the horizon, which are straight without a field. There is a
 * picture wherever x * column + y * row + rest is above 0 for all of them, in float as well: what it may be
 * off by is taken off. Cells that are nearer to a side than that, and those outside, are not decided. */
struct outline {
    float x[5], y[5], rest[5];
};

static struct outline outline_of(const struct pf_cuda_weigh *job)
{
    const struct pf_cuda_siting *here = &job->map.here, *there = &job->map.there;
    const double *h = job->map.h, margin = job->scale;
    /* Pixels of the reference: so many a cell, from the first cell's on. */
    double each_x = 2 * job->scale * here->scale_x, each_y = 2 * job->scale * here->scale_y;
    double first_x = each_x / 4 + here->offset_x, first_y = each_y / 4 + here->offset_y;
    const double sides[5][3] = {{1, 0, -(margin * there->scale_x + there->offset_x)},
                                {-1, 0, (job->right - margin) * there->scale_x + there->offset_x},
                                {0, 1, -(margin * there->scale_y + there->offset_y)},
                                {0, -1, (job->bottom - margin) * there->scale_y + there->offset_y},
                                {0, 0, 1}};
    struct outline outline;
    for (int k = 0; k < 5; k++) {
        const double *side = sides[k];
        double u = side[0] * h[0] + side[1] * h[3] + side[2] * h[6];
        double v = side[0] * h[1] + side[1] * h[4] + side[2] * h[7];
        double x = each_x * u, y = each_y * v;
        double rest = side[0] * h[2] + side[1] * h[5] + side[2] * h[8] + first_x * u + first_y * v;
        /* Six roundings of at most 2^-24 of all that is added. */
        double off =
            ldexp(fabs(x) * job->cells.width + fabs(y) * job->cells.height + fabs(rest), -20);
        outline.x[k] = (float)x;
        outline.y[k] = (float)y;
        outline.rest[k] = job->map.nodes ? -INFINITY : (float)(rest - off);
    }
    return outline;
}

static __device__ __forceinline__ bool surely_inside(const struct outline &outline, int x, int y)
{
    bool all = true;
#pragma unroll
    for (int k = 0; k < 5; k++)
        all &= outline.x[k] * (float)x + (outline.y[k] * (float)y + outline.rest[k]) > 0;
    return all;
}

/* The weight joins the logarithm of the sum of all; its share of the new sum comes back. */
static __device__ __forceinline__ float join(float *log_total, float weight)
{
    float total = *log_total, difference = weight - total;
    float t = exp2f(fmaxf(-fabsf(difference), -126.0f));
    *log_total = fmaxf(weight, total) + log2f(1 + t);
    return (difference < 0 ? t : 1) / (1 + t);
}

static __global__ void weigh(struct pf_cuda_weigh job, struct outline outline)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * RUNS + threadIdx.y;
    if (x >= job.cells.width || y >= job.cells.height)
        return;
    size_t at = (size_t)y * job.cells.pitch + x;
    float evidence = job.share[at];
    if (job.coarse)
        evidence += job.coarse_share * laid_over(job.coarse, job.coarse_cells, x, y);
    float weight = job.power * evidence - job.behind;
    if (!job.covered && !surely_inside(outline, x, y) && !inside(job, x, y))
        weight -= job.no_cover;
    if (job.best && weight > job.best[at]) {
        job.best[at] = weight;
        job.winner[at] = job.index;
    }
    job.share[at] = join(&job.log_total[at], weight);
}

void pf_cuda_weigh(struct pf_cuda *cuda, const struct pf_cuda_weigh *job)
{
    PF_LAUNCH(weigh, blocks_for(&job->cells), dim3(COLUMNS, RUNS), 0, cuda->lane[PF_CUDA_WORK],
              *job, outline_of(job));
    pf_cuda_launched(cuda, "weights");
}

/* ---- which part the stack has ---- */

/* The most of the 3 x 3 lamp cells around one; one beyond the edge is the one at the edge. */
static __device__ float lamp_around(const struct pf_cuda_lamps &lamps, int x, int y)
{
    float most = 0;
    x = pf_within(x, lamps.cells.width);
    y = pf_within(y, lamps.cells.height);
    for (int v = max(y - 1, 0); v <= y + 1 && v < lamps.cells.height; v++)
        for (int u = max(x - 1, 0); u <= x + 1 && u < lamps.cells.width; u++)
            most = fmaxf(most, lamps.near[(size_t)v * lamps.cells.pitch + u]);
    return most;
}

/* At a cell of level 1: between the lamp cells around it. */
static __device__ float nearness(const struct pf_cuda_lamps &lamps, int x, int y)
{
    int whole = 1 << lamps.level, offset = 1 - whole / 2;
    int way_x = (2 * x + offset) & (whole - 1), way_y = (2 * y + offset) & (whole - 1);
    int u = (2 * x + offset - way_x) / whole, v = (2 * y + offset - way_y) / whole;
    float across = (float)way_x / (float)whole, down = (float)way_y / (float)whole;
    float upper = lamp_around(lamps, u, v), lower = lamp_around(lamps, u, v + 1);
    float left = upper + down * (lower - upper);
    upper = lamp_around(lamps, u + 1, v);
    lower = lamp_around(lamps, u + 1, v + 1);
    return left + across * (upper + down * (lower - upper) - left);
}

struct bounds {
    float from, to;
};

static __global__ void sharp_cells(float *out, struct pf_cuda_most most,
                                   struct pf_cuda_nothing nothing, struct bounds far,
                                   struct bounds near, struct pf_cuda_lamps lamps)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * RUNS + threadIdx.y;
    if (x >= most.cells.width || y >= most.cells.height)
        return;
    size_t at = (size_t)y * most.cells.pitch + x;
    float share = nearness(lamps, x, y) * pf_darkness_of(most.light[at]);
    float from = far.from + share * (near.from - far.from);
    float to = far.to + share * (near.to - far.to);
    out[at] = fminf(fmaxf((most.said[at] - pf_nothing(nothing) - from) / (to - from), 0), 1);
}

void pf_cuda_sharp(struct pf_cuda *cuda, float *out, const struct pf_cuda_most *most,
                   const struct pf_cuda_nothing *nothing, const float sharp[2],
                   const float lamp_sharp[2], const struct pf_cuda_lamps *lamps)
{
    struct bounds far = {sharp[0], sharp[1]};
    struct bounds near = {lamp_sharp[0], lamp_sharp[1]};
    PF_LAUNCH(sharp_cells, blocks_for(&most->cells), dim3(COLUMNS, RUNS), 0,
              cuda->lane[PF_CUDA_WORK], out, *most, *nothing, far, near, *lamps);
    pf_cuda_launched(cuda, "choice of parts");
}
