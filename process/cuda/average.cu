/* `average`: a running mean per sample, as process/cpu/fuse_average.c. */
#include "process/cuda/samples.h"

enum { COLUMNS = 32, ROWS = 8 };

static __device__ bool has_picture(const struct pf_cuda_mean &job, int x, int y)
{
    double px, py;
    pf_map_sample(job.map, x, y, &px, &py);
    return px >= 0 && py >= 0 && px <= job.size.width - 1 && py <= job.size.height - 1;
}

/* All four pixels around the place are covered. */
static __device__ bool is_shown(const struct pf_cuda_mean &job, int x, int y)
{
    double px, py;
    pf_map_sample(job.pixels, x, y, &px, &py);
    int left = (int)floor(px), top = (int)floor(py);
    bool shown = true;
    for (int corner = 0; corner < 4; corner++) {
        int column = pf_within(left + (corner & 1), job.frame_width);
        int row = pf_within(top + (corner >> 1), job.frame_height);
        shown = shown && job.cover[(size_t)row * job.frame_width + column] == 255;
    }
    return shown;
}

static __global__ void mean_join(struct pf_cuda_mean job, const int16_t *samples)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= job.size.width || y >= job.size.height)
        return;
    if (!job.covered && !has_picture(job, x, y))
        return;
    size_t at = (size_t)y * job.size.pitch + x;
    unsigned frames = job.frames[at];
    float mean = job.mean[at], sample = (float)samples[at], before = sample - mean;
    float deviations = 0;
    if (job.cover && !is_shown(job, x, y)) {
        if (!frames)
            job.mean[at] = sample;
        return;
    }
    if (job.deviations) {
        deviations = job.deviations[at];
        float variance = fmaxf(deviations / fmaxf((float)frames - 1, 1),
                               job.least_deviation * job.least_deviation);
        if ((int)frames >= job.seed_frames && before * before > job.clip * job.clip * variance)
            return;
    }
    float count = (float)(job.deviations ? frames + 1 : min(frames + 1, (unsigned)UINT16_MAX));
    mean += before / count;
    job.mean[at] = mean;
    job.frames[at] = (uint16_t)min(frames + 1, (unsigned)UINT16_MAX);
    if (job.deviations)
        job.deviations[at] = deviations + before * (sample - mean);
}

void pf_cuda_mean_join(struct pf_cuda *cuda, const struct pf_cuda_mean *job, const int16_t *samples)
{
    PF_LAUNCH(mean_join,
              dim3(pf_pieces(job->size.width, COLUMNS), pf_pieces(job->size.height, ROWS)),
              dim3(COLUMNS, ROWS), 0, cuda->lane[PF_CUDA_WORK], *job, samples);
    pf_cuda_launched(cuda, "average");
}

static __global__ void mean_round(int16_t *out, const float *mean, struct pf_cuda_grid size)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x < size.width && y < size.height)
        out[(size_t)y * size.pitch + x] = pf_round_to_sample(mean[(size_t)y * size.pitch + x]);
}

void pf_cuda_mean_round(struct pf_cuda *cuda, int16_t *out, const float *mean,
                        const struct pf_cuda_grid *size)
{
    PF_LAUNCH(mean_round, dim3(pf_pieces(size->width, COLUMNS), pf_pieces(size->height, ROWS)),
              dim3(COLUMNS, ROWS), 0, cuda->lane[PF_CUDA_WORK], out, mean, *size);
    pf_cuda_launched(cuda, "average");
}
