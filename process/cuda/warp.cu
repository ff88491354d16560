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

/* Weights of the six samples around a point that lies `aside` of the middle between the third and the
 * fourth, see pf_resampling. All indices are known when this is compiled, so that the coefficients are
 * operands and nothing is loaded. */
static __device__ __forceinline__ void weights_at(const struct pf_resampling &resampling,
                                                  float aside, float w[PF_LANCZOS_TAPS])
{
    float square = aside * aside;
#pragma unroll
    for (int pair = 0; pair < PF_LANCZOS_TAPS / 2; pair++) {
        const float *e = resampling.even[pair], *o = resampling.odd[pair];
        float even = e[0] + square * (e[1] + square * (e[2] + square * e[3]));
        float odd = aside * (o[0] + square * (o[1] + square * (o[2] + square * o[3])));
        w[pair] = even + odd;
        w[PF_LANCZOS_TAPS - 1 - pair] = even - odd;
    }
}

/* The weighted sum of 6 x 6 samples. All have the same columns, so a row is summed first, then the rows;
 * borders replicate, and away from them a row is six neighbours. */
template <class T>
static __device__ __forceinline__ float sum_around(const struct pf_source_plane &source, int left,
                                                   int top, const float wx[PF_LANCZOS_TAPS],
                                                   const float wy[PF_LANCZOS_TAPS])
{
    enum { TAPS = PF_LANCZOS_TAPS };
    const char *samples = (const char *)source.samples;
    float sum = 0;
    if (left >= 0 && top >= 0 && left <= source.width - TAPS && top <= source.height - TAPS) {
        const char *row = samples + (size_t)top * source.stride_bytes + (size_t)left * sizeof(T);
#pragma unroll
        for (int j = 0; j < TAPS; j++) {
            const T *at = (const T *)row;
            float line = wx[0] * (float)at[0];
#pragma unroll
            for (int k = 1; k < TAPS; k++)
                line += wx[k] * (float)at[k];
            sum += wy[j] * line;
            row += source.stride_bytes;
        }
        return sum;
    }
    for (int j = 0; j < TAPS; j++) {
        const T *at =
            (const T *)(samples + (size_t)pf_within(top + j, source.height) * source.stride_bytes);
        float line = 0;
#pragma unroll
        for (int k = 0; k < TAPS; k++)
            line += wx[k] * (float)at[pf_within(left + k, source.width)];
        sum += wy[j] * line;
    }
    return sum;
}

/* Pieces of a row are 1 << shift samples. */
template <class T>
static __global__ void __launch_bounds__(SEGMENT *RUNS)
    warp(struct sources sources, struct pf_cuda_map map, struct pf_cuda_planes out,
         struct pf_resampling resampling, int shift, struct joining joining)
{
    PF_DYNAMIC_SHARED(struct segment, segments); /* row by row of the block's */
    int pieces = SEGMENT >> shift;
    const struct pf_source_plane source = source_of(sources);
    int16_t *samples = pf_plane(out);
    int thread = threadIdx.y * SEGMENT + threadIdx.x;
    for (int i = thread; i < ROWS * pieces; i += RUNS * SEGMENT)
        segments[i] = segment_at(map, blockIdx.x * SEGMENT + (i % pieces << shift),
                                 blockIdx.y * ROWS + i / pieces, 1 << shift);
    __syncthreads();
    int x = blockIdx.x * SEGMENT + threadIdx.x;
    for (int row = threadIdx.y; row < ROWS; row += RUNS) {
        int y = blockIdx.y * ROWS + row;
        if (x >= out.size.width || y >= out.size.height)
            continue;
        const struct segment &segment = segments[row * pieces + ((int)threadIdx.x >> shift)];
        float along = (float)((int)threadIdx.x & ((1 << shift) - 1));
        float px = segment.offset_x + segment.step_x * along;
        float py = segment.offset_y + segment.step_y * along;
        px = fminf(fmaxf(px, -1e8f), 1e8f);
        py = fminf(fmaxf(py, -1e8f), 1e8f);
        float whole_x = floorf(px), whole_y = floorf(py);
        int left = segment.x + (int)whole_x - 2, top = segment.y + (int)whole_y - 2;
        float wx[PF_LANCZOS_TAPS], wy[PF_LANCZOS_TAPS];
        weights_at(resampling, px - whole_x - 0.5f, wx);
        weights_at(resampling, py - whole_y - 0.5f, wy);
        put(&samples[(size_t)y * out.size.pitch + x],
            pf_to_sample(source, sum_around<T>(source, left, top, wx, wy)), joining);
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
                   const struct pf_resampling *resampling, struct joining joining)
{
    const struct pf_source_plane *second = &source[out->count - 1];
    struct sources sources = {source[0], second->samples, second->scale};
    unsigned columns = pf_pieces(out->size.width, SEGMENT);
    if (map) {
        int shift = 0;
        while (SEGMENT >> shift > 1 && (!map->nodes || 2 << shift <= map->straight))
            shift++;
        dim3 blocks(columns, pf_pieces(out->size.height, ROWS), out->count), threads(SEGMENT, RUNS);
        size_t bytes = ROWS * (SEGMENT >> shift) * sizeof(struct segment);
        if (source->bits == 8)
            PF_LAUNCH((warp<uint8_t>), blocks, threads, bytes, cuda->lane[PF_CUDA_WORK], sources,
                      *map, *out, *resampling, shift, joining);
        else
            PF_LAUNCH((warp<uint16_t>), blocks, threads, bytes, cuda->lane[PF_CUDA_WORK], sources,
                      *map, *out, *resampling, shift, joining);
    } else {
        PF_LAUNCH(convert, dim3(columns, pf_pieces(out->size.height, RUNS), out->count),
                  dim3(SEGMENT, RUNS), 0, cuda->lane[PF_CUDA_WORK], sources, *out, joining);
    }
    pf_cuda_launched(cuda, "warp");
}

void pf_cuda_warp(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                  const struct pf_source_plane *source, const struct pf_cuda_map *map,
                  const struct pf_resampling *resampling)
{
    launch(cuda, out, source, map, resampling, {0, 0});
}

void pf_cuda_warp_share(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                        const struct pf_source_plane *source, const struct pf_cuda_map *map,
                        const struct pf_resampling *resampling, float share, int low)
{
    launch(cuda, out, source, map, resampling, {share, (float)low});
}
