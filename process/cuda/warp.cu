/* Decoded planes into engine samples: through a map of the plane, or as they lie. */
#include "process/cuda/samples.h"

enum { SEGMENT = PF_WARP_SEGMENT, ROWS = 32, RUNS = 8 };

/* Planes that are alike but for their scale. */
struct sources {
    struct pf_source_plane first;
    const void *second;
    float second_scale;
};

/* What becomes of a sample: it is the plane's, or a share of it joins what is there. */
struct joining {
    float share; /* 0: it is the plane's */
    float low;
};

static __device__ __forceinline__ struct pf_source_plane source_of(const struct sources &sources)
{
    struct pf_source_plane source = sources.first;
    source.samples = blockIdx.z ? sources.second : source.samples;
    source.scale = blockIdx.z ? sources.second_scale : source.scale;
    return source;
}

static __device__ __forceinline__ void put(int16_t *at, int16_t sample, struct joining joining)
{
    if (joining.share != 0)
        sample = (int16_t)rintf(
            fminf(fmaxf((float)*at + joining.share * (float)sample, joining.low), (float)PF_WHITE));
    *at = sample;
}

/* Where a piece of a row begins in the source, and its step: straight between its exact ends, as on
 * the CPU. Whole and broken part apart, so that float carries it at any size. */
struct segment {
    int x, y;
    float offset_x, offset_y, step_x, step_y;
};

static __device__ struct segment segment_at(const struct pf_cuda_map &map, int x, int y, int count)
{
    double from_x, from_y, to_x, to_y;
    pf_map_sample(map, x, y, &from_x, &from_y);
    pf_map_sample(map, x + count, y, &to_x, &to_y);
    /* Far outside only the border matters; fmin and fmax give a number for what is none. */
    const double far = 1 << 24;
    struct segment segment;
    segment.step_x = (float)fmax(-far, fmin(far, (to_x - from_x) / count));
    segment.step_y = (float)fmax(-far, fmin(far, (to_y - from_y) / count));
    from_x = fmax(-far, fmin(far, from_x));
    from_y = fmax(-far, fmin(far, from_y));
    segment.x = (int)floor(from_x);
    segment.y = (int)floor(from_y);
    segment.offset_x = (float)(from_x - segment.x);
    segment.offset_y = (float)(from_y - segment.y);
    return segment;
}

/* Weights of the six samples around a point that lies `t` (0..1) behind the third of them. */
static __device__ __forceinline__ void weights_at(const float *table, float t,
                                                  float w[PF_LANCZOS_TAPS])
{
    float at = (t - PF_LANCZOS_FROM) * PF_LANCZOS_STEPS;
    int index = (int)at;
    float share = at - (float)index;
    const float *below = table + index * PF_LANCZOS_ROW, *above = below + PF_LANCZOS_ROW;
    for (int k = 0; k < PF_LANCZOS_TAPS; k++)
        w[k] = below[k] + share * (above[k] - below[k]);
}

/* Six source columns are all one weight's worth apart, so a row is summed first, then the rows. */
static __global__ void warp(struct sources sources, struct pf_cuda_map map,
                            struct pf_cuda_planes out, const float *table, int step,
                            struct joining joining)
{
    PF_DYNAMIC_SHARED(struct segment, segments); /* row by row of the block's */
    int pieces = SEGMENT / step;
    const struct pf_source_plane source = source_of(sources);
    int16_t *samples = pf_plane(out);
    int thread = threadIdx.y * SEGMENT + threadIdx.x;
    for (int i = thread; i < ROWS * pieces; i += RUNS * SEGMENT)
        segments[i] = segment_at(map, blockIdx.x * SEGMENT + i % pieces * step,
                                 blockIdx.y * ROWS + i / pieces, step);
    __syncthreads();
    int x = blockIdx.x * SEGMENT + threadIdx.x;
    for (int row = threadIdx.y; row < ROWS; row += RUNS) {
        int y = blockIdx.y * ROWS + row;
        if (x >= out.size.width || y >= out.size.height)
            continue;
        const struct segment &segment = segments[row * pieces + (int)threadIdx.x / step];
        float along = (float)((int)threadIdx.x % step);
        float px = segment.offset_x + segment.step_x * along;
        float py = segment.offset_y + segment.step_y * along;
        px = fminf(fmaxf(px, -1e8f), 1e8f);
        py = fminf(fmaxf(py, -1e8f), 1e8f);
        float whole_x = floorf(px), whole_y = floorf(py);
        int left = segment.x + (int)whole_x - 2, top = segment.y + (int)whole_y - 2;
        float wx[PF_LANCZOS_TAPS], wy[PF_LANCZOS_TAPS], sum = 0;
        weights_at(table, px - whole_x, wx);
        weights_at(table, py - whole_y, wy);
        int column[PF_LANCZOS_TAPS];
        for (int k = 0; k < PF_LANCZOS_TAPS; k++)
            column[k] = pf_within(left + k, source.width);
        for (int j = 0; j < PF_LANCZOS_TAPS; j++) {
            int from = pf_within(top + j, source.height);
            float line = 0;
            for (int k = 0; k < PF_LANCZOS_TAPS; k++)
                line += wx[k] * pf_load(source, column[k], from);
            sum += wy[j] * line;
        }
        put(&samples[(size_t)y * out.size.pitch + x], pf_to_sample(source, sum), joining);
    }
}

static __global__ void convert(struct sources sources, struct pf_cuda_planes out,
                               struct joining joining)
{
    int x = blockIdx.x * SEGMENT + threadIdx.x, y = blockIdx.y * RUNS + threadIdx.y;
    if (x >= out.size.width || y >= out.size.height)
        return;
    const struct pf_source_plane source = source_of(sources);
    put(&pf_plane(out)[(size_t)y * out.size.pitch + x], pf_to_sample(source, pf_load(source, x, y)),
        joining);
}

static void launch(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                   const struct pf_source_plane *source, const struct pf_cuda_map *map,
                   const float *table, struct joining joining)
{
    const struct pf_source_plane *second = &source[out->count - 1];
    struct sources sources = {source[0], second->samples, second->scale};
    unsigned columns = pf_pieces(out->size.width, SEGMENT);
    if (map) {
        int step = SEGMENT;
        while (map->nodes && step > 1 && step > map->straight)
            step /= 2;
        PF_LAUNCH(warp, dim3(columns, pf_pieces(out->size.height, ROWS), out->count),
                  dim3(SEGMENT, RUNS), ROWS * (SEGMENT / step) * sizeof(struct segment),
                  cuda->lane[PF_CUDA_WORK], sources, *map, *out, table, step, joining);
    } else {
        PF_LAUNCH(convert, dim3(columns, pf_pieces(out->size.height, RUNS), out->count),
                  dim3(SEGMENT, RUNS), 0, cuda->lane[PF_CUDA_WORK], sources, *out, joining);
    }
    pf_cuda_launched(cuda, "warp");
}

void pf_cuda_warp(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                  const struct pf_source_plane *source, const struct pf_cuda_map *map,
                  const float *table)
{
    launch(cuda, out, source, map, table, {0, 0});
}

void pf_cuda_warp_share(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                        const struct pf_source_plane *source, const struct pf_cuda_map *map,
                        const float *table, float share, int low)
{
    launch(cuda, out, source, map, table, {share, (float)low});
}
