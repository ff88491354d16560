/* Decoded planes into engine samples: through a map of the plane, or as they lie. */
#include "process/cuda/samples.h"

enum { SEGMENT = PF_WARP_SEGMENT, ROWS = 32, RUNS = 8, EACH = ROWS / RUNS };

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

/* What a plane has from now on where it has `there` now, and `sample` joins. */
static __device__ __forceinline__ int16_t joined(int16_t there, int16_t sample,
                                                 struct joining joining)
{
    if (joining.share == 0)
        return sample;
    return (int16_t)rintf(
        fminf(fmaxf((float)there + joining.share * (float)sample, joining.low), (float)PF_WHITE));
}

static __device__ __forceinline__ void put(int16_t *at, int16_t sample, struct joining joining)
{
    *at = joined(joining.share == 0 ? 0 : *at, sample, joining);
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

/* A place in the source: of the 6 x 6 samples around it the first, and how far it lies from their middle. */
struct place {
    int left, top;
    float aside_x, aside_y;
};

static __device__ __forceinline__ struct place place_on(const struct segment &segment, float along)
{
    float x = segment.offset_x + segment.step_x * along;
    float y = segment.offset_y + segment.step_y * along;
    float whole_x = floorf(x), whole_y = floorf(y);
    return {segment.x + (int)whole_x - 2, segment.y + (int)whole_y - 2, x - whole_x - 0.5f,
            y - whole_y - 0.5f};
}

/* Whether the samples around it, and around those up to `more` rows below, are all in the source. */
static __device__ __forceinline__ bool inside(const struct pf_source_plane &source,
                                              const struct place &place, int more)
{
    return place.left >= 0 && place.top >= 0 && place.left <= source.width - PF_LANCZOS_TAPS &&
           place.top <= source.height - PF_LANCZOS_TAPS - more;
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

/* The weighted sums of the 6 x 6 samples around each of COUNT places under one another: those around the
 * first, and a row further down with every other. All of a place have the same columns, so a row is summed
 * first, then the rows. A row is read and converted once, for as many places as it is around. */
template <class T, int COUNT>
static __device__ __forceinline__ void
sum_around(float sums[COUNT], const struct pf_source_plane &source,
           const struct place (&places)[COUNT], const struct pf_resampling &resampling)
{
    enum { TAPS = PF_LANCZOS_TAPS };
    float wx[COUNT][TAPS], wy[COUNT][TAPS];
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        weights_at(resampling, places[i].aside_x, wx[i]);
        weights_at(resampling, places[i].aside_y, wy[i]);
        sums[i] = 0;
    }
    const char *row = (const char *)source.samples + (size_t)places[0].top * source.stride_bytes +
                      (size_t)places[0].left * sizeof(T);
#pragma unroll
    for (int j = 0; j < TAPS + COUNT - 1; j++) {
        float samples[TAPS];
#pragma unroll
        for (int k = 0; k < TAPS; k++)
            samples[k] = (float)((const T *)row)[k];
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            if (j < i || j >= i + TAPS)
                continue;
            float line = wx[i][0] * samples[0];
#pragma unroll
            for (int k = 1; k < TAPS; k++)
                line += wx[i][k] * samples[k];
            sums[i] += wy[i][j - i] * line;
        }
        row += source.stride_bytes;
    }
}

/* The same for one place at a border, which replicates. */
template <class T>
static __device__ __forceinline__ float sum_at_border(const struct pf_source_plane &source,
                                                      const struct place &place,
                                                      const struct pf_resampling &resampling)
{
    enum { TAPS = PF_LANCZOS_TAPS };
    float wx[TAPS], wy[TAPS], sum = 0;
    weights_at(resampling, place.aside_x, wx);
    weights_at(resampling, place.aside_y, wy);
#pragma unroll
    for (int j = 0; j < TAPS; j++) {
        const T *row =
            (const T *)((const char *)source.samples +
                        (size_t)pf_within(place.top + j, source.height) * source.stride_bytes);
        float line = 0;
#pragma unroll
        for (int k = 0; k < TAPS; k++)
            line += wx[k] * (float)row[pf_within(place.left + k, source.width)];
        sum += wy[j] * line;
    }
    return sum;
}

/* Pieces of a row are 1 << shift samples. A thread does EACH samples under one another. A map that hardly
 * turns or scales, as most do, has them under one another in the source as well. */
template <class T>
static __global__ void __launch_bounds__(SEGMENT *RUNS)
    warp(struct sources sources, struct pf_cuda_map map, struct pf_cuda_planes out,
         struct pf_resampling resampling, int shift, struct joining joining)
{
    PF_DYNAMIC_SHARED(struct segment, segments); /* row by row of the block's */
    int pieces = SEGMENT >> shift;
    const struct pf_source_plane source = source_of(sources);
    int thread = threadIdx.y * SEGMENT + threadIdx.x;
    for (int i = thread; i < ROWS * pieces; i += RUNS * SEGMENT)
        segments[i] = segment_at(map, blockIdx.x * SEGMENT + (i % pieces << shift),
                                 blockIdx.y * ROWS + i / pieces, 1 << shift);
    __syncthreads();
    int x = blockIdx.x * SEGMENT + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y * EACH;
    const struct segment *segment =
        &segments[threadIdx.y * EACH * pieces + ((int)threadIdx.x >> shift)];
    float along = (float)((int)threadIdx.x & ((1 << shift) - 1));
    struct place places[EACH];
    places[0] = place_on(segment[0], along);
    bool together = inside(source, places[0], EACH - 1);
#pragma unroll
    for (int i = 1; i < EACH; i++) {
        places[i] = place_on(segment[i * pieces], along);
        together =
            together && places[i].left == places[0].left && places[i].top == places[0].top + i;
    }
    int rows = x < out.size.width ? min(out.size.height - y, (int)EACH) : 0;
    int16_t *to = pf_plane(out) + (size_t)y * out.size.pitch + x;
    /* A warp whose lanes part goes both ways, which is longer than the second. */
    if (__all_sync(0xffffffff, together || rows <= 0)) {
        if (rows <= 0)
            return;
        float sums[EACH];
        sum_around<T, EACH>(sums, source, places, resampling);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            if (i < rows)
                put(to, pf_to_sample(source, sums[i]), joining);
            to += out.size.pitch;
        }
        return;
    }
#pragma unroll 1
    for (int i = 0; i < rows; i++) {
        const struct place place[1] = {place_on(segment[i * pieces], along)};
        float sum;
        if (inside(source, place[0], 0))
            sum_around<T, 1>(&sum, source, place, resampling);
        else
            sum = sum_at_border<T>(source, place[0], resampling);
        put(to, pf_to_sample(source, sum), joining);
        to += out.size.pitch;
    }
}

/* A thread does four samples, of which the last ones may lie beyond the plane's width. */
template <class T>
static __global__ void convert(struct sources sources, struct pf_cuda_planes out,
                               struct joining joining)
{
    int x = 4 * (blockIdx.x * SEGMENT + threadIdx.x), y = blockIdx.y * RUNS + threadIdx.y;
    if (x >= out.size.width || y >= out.size.height)
        return;
    const struct pf_source_plane source = source_of(sources);
    struct pf_four<T> from = pf_load_four<T>(source, x, y);
    struct pf_four<int16_t> *at =
        (struct pf_four<int16_t> *)&pf_plane(out)[(size_t)y * out.size.pitch + x];
    struct pf_four<int16_t> samples = {
        {
            0, 0, 0, 0
        }
    };
    if (joining.share != 0)
        samples = *at;
#pragma unroll
    for (int k = 0; k < 4; k++)
        samples.at[k] = joined(samples.at[k], pf_to_sample(source, (float)from.at[k]), joining);
    *at = samples;
}

static void launch(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                   const struct pf_source_plane *source, const struct pf_cuda_map *map,
                   const struct pf_resampling *resampling, struct joining joining)
{
    const struct pf_source_plane *second = &source[out->count - 1];
    struct sources sources = {source[0], second->samples, second->scale};
    const dim3 threads(SEGMENT, RUNS);
    if (map) {
        int shift = 0;
        while (SEGMENT >> shift > 1 && (!map->nodes || 2 << shift <= map->straight))
            shift++;
        dim3 blocks(pf_pieces(out->size.width, SEGMENT), pf_pieces(out->size.height, ROWS),
                    out->count);
        size_t bytes = ROWS * (SEGMENT >> shift) * sizeof(struct segment);
        if (source->bits == 8)
            PF_LAUNCH((warp<uint8_t>), blocks, threads, bytes, cuda->lane[PF_CUDA_WORK], sources,
                      *map, *out, *resampling, shift, joining);
        else
            PF_LAUNCH((warp<uint16_t>), blocks, threads, bytes, cuda->lane[PF_CUDA_WORK], sources,
                      *map, *out, *resampling, shift, joining);
    } else {
        dim3 blocks(pf_pieces(out->size.width, 4 * SEGMENT), pf_pieces(out->size.height, RUNS),
                    out->count);
        if (source->bits == 8)
            PF_LAUNCH((convert<uint8_t>), blocks, threads, 0, cuda->lane[PF_CUDA_WORK], sources,
                      *out, joining);
        else
            PF_LAUNCH((convert<uint16_t>), blocks, threads, 0, cuda->lane[PF_CUDA_WORK], sources,
                      *out, joining);
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
