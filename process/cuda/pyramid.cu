/* Burt-Adelson pyramids, the running averages of their Laplacian levels, and what they collapse to. */
#include "process/cuda/samples.h"

enum { COLUMNS = 32, ROWS = 8 };

/* ---- reduce, and the modified Laplacian of the finer level ---- */

enum { TILE_WIDTH = 2 * COLUMNS + 3, TILE_HEIGHT = 2 * ROWS + 3 };

static __device__ __forceinline__ int modified_laplacian(const int16_t (*tile)[TILE_WIDTH + 1],
                                                         int left, int x, int right, int y)
{
    int twice = 2 * tile[y][x];
    return abs(twice - tile[y][left] - tile[y][right]) +
           abs(twice - tile[y - 1][x] - tile[y + 1][x]);
}

static __global__ void reduce(struct pf_cuda_planes fine, struct pf_cuda_planes coarse,
                              float *energy)
{
    /* Finer columns from 2 * x - 2 of the block's first x, rows alike; borders replicated. */
    PF_SHARED(int16_t, tile, [TILE_HEIGHT][TILE_WIDTH + 1]);
    const int16_t *samples = pf_plane(fine);
    int first_x = 2 * (int)(blockIdx.x * COLUMNS) - 2, first_y = 2 * (int)(blockIdx.y * ROWS) - 2;
    for (int j = threadIdx.y; j < TILE_HEIGHT; j += ROWS) {
        const int16_t *row =
            samples + (size_t)pf_within(first_y + j, fine.size.height) * fine.size.pitch;
        for (int i = threadIdx.x; i < TILE_WIDTH; i += COLUMNS)
            tile[j][i] = row[pf_within(first_x + i, fine.size.width)];
    }
    __syncthreads();
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= coarse.size.width || y >= coarse.size.height)
        return;
    const int weight[5] = {1, 4, 6, 4, 1};
    int sum = 128, i = 2 * threadIdx.x, j = 2 * threadIdx.y;
    for (int v = 0; v < 5; v++)
        for (int u = 0; u < 5; u++)
            sum += weight[v] * weight[u] * tile[j + v][i + u];
    pf_plane(coarse)[(size_t)y * coarse.size.pitch + x] = (int16_t)(sum >> 8);
    if (!energy)
        return;
    int cell = 0;
    for (int u = 0; u < 2; u++) {
        int at = min(2 * x + u, fine.size.width - 1);
        int left = max(at - 1, 0) - first_x, right = min(at + 1, fine.size.width - 1) - first_x;
        for (int v = 0; v < 2; v++)
            cell += modified_laplacian(tile, left, at - first_x, right, j + 2 + v);
    }
    energy[(size_t)y * coarse.size.pitch + x] = (float)cell * (1.0f / (4 * PF_GREY));
}

void pf_cuda_reduce(struct pf_cuda *cuda, const struct pf_cuda_planes *fine,
                    const struct pf_cuda_planes *coarse, float *energy)
{
    PF_LAUNCH(reduce,
              dim3(pf_pieces(coarse->size.width, COLUMNS), pf_pieces(coarse->size.height, ROWS),
                   fine->count),
              dim3(COLUMNS, ROWS), 0, cuda->lane[PF_CUDA_WORK], *fine, *coarse, energy);
    pf_cuda_launched(cuda, "reduce");
}

/* ---- shares of cells at samples ---- */

/* Where a sample takes its share from, whatever shares they are. A cell is centred between its samples: weights
 * 3/4 and 1/4 where it has two of them. */
struct place {
    size_t above, below; /* the cells of two rows */
    int near, far;
    float mix_x, mix_y;
};

static __device__ __forceinline__ struct place place_of(const struct pf_cuda_grid &cells, int x,
                                                        int y, int factor_x, int factor_y)
{
    struct place place;
    int upper = y, lower = y, near = x, far = x;
    place.mix_y = place.mix_x = 0;
    if (factor_y == 2) {
        upper = y & 1 ? y / 2 : y / 2 - 1;
        lower = upper + 1;
        place.mix_y = y & 1 ? 0.25f : 0.75f;
    }
    if (factor_x == 2) {
        near = x / 2;
        far = x & 1 ? near + 1 : near - 1;
        place.mix_x = 0.25f;
    }
    place.above = (size_t)pf_within(upper, cells.height) * cells.pitch;
    place.below = (size_t)pf_within(lower, cells.height) * cells.pitch;
    place.near = pf_within(near, cells.width);
    place.far = pf_within(far, cells.width);
    return place;
}

static __device__ __forceinline__ float share_at(const float *shares, const struct place &place)
{
    const float *above = shares + place.above, *below = shares + place.below;
    float here = above[place.near] + place.mix_y * (below[place.near] - above[place.near]);
    float beside = above[place.far] + place.mix_y * (below[place.far] - above[place.far]);
    return (1 - place.mix_x) * here + place.mix_x * beside;
}

/* ---- blending ---- */

static __device__ __forceinline__ int16_t joined(int16_t old, float value, float share)
{
    return pf_round_to_sample((float)old + share * (value - (float)old));
}

/* Two samples of a row, of which the second may be beyond the picture: an even column, rows an even number
 * of samples apart. */
static __device__ __forceinline__ short2 load_pair(const int16_t *at, bool both)
{
    return both ? *(const short2 *)at : make_short2(at[0], 0);
}

static __device__ __forceinline__ void store_pair(int16_t *at, short2 pair, bool both)
{
    if (both)
        *(short2 *)at = pair;
    else
        at[0] = pair.x;
}

/* A thread does the 2 x 2 samples that one coarse sample expands to. */
static __global__ void blend_laplacian(struct pf_cuda_planes average, struct pf_cuda_planes fine,
                                       struct pf_cuda_planes coarse, const float *shares,
                                       struct pf_cuda_grid cells, int factor_x, int factor_y)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= coarse.size.width || y >= coarse.size.height)
        return;
    int expanded[4];
    pf_expand(expanded, pf_plane(coarse), coarse.size, x, y);
    bool both = 2 * x + 1 < fine.size.width;
#pragma unroll
    for (int k = 0; k < 2; k++) {
        int column = 2 * x, row = 2 * y + k;
        if (row >= fine.size.height)
            continue;
        size_t at = (size_t)row * fine.size.pitch + column;
        struct place left = place_of(cells, column, row, factor_x, factor_y);
        struct place right = place_of(cells, column + 1, row, factor_x, factor_y);
        short2 own = load_pair(pf_plane(fine) + at, both);
        short2 old = load_pair(pf_plane(average) + at, both);
        old.x = joined(old.x, (float)own.x - (float)expanded[2 * k] * (1.0f / 64),
                       share_at(shares, left));
        old.y = joined(old.y, (float)own.y - (float)expanded[2 * k + 1] * (1.0f / 64),
                       share_at(shares, right));
        store_pair(pf_plane(average) + at, old, both);
    }
}

static __global__ void blend(struct pf_cuda_planes average, struct pf_cuda_planes sample,
                             const float *shares, struct pf_cuda_grid cells, int factor_x,
                             int factor_y)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= sample.size.width || y >= sample.size.height)
        return;
    size_t at = (size_t)y * sample.size.pitch + x;
    int16_t *to = pf_plane(average) + at;
    *to = joined(*to, (float)pf_plane(sample)[at],
                 share_at(shares, place_of(cells, x, y, factor_x, factor_y)));
}

/* Two stacks of one sample. */
static __global__ void blend_both(struct pf_cuda_planes first, struct pf_cuda_planes second,
                                  struct pf_cuda_planes sample, const float *first_shares,
                                  const float *second_shares, struct pf_cuda_grid cells,
                                  int factor_x, int factor_y)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= sample.size.width || y >= sample.size.height)
        return;
    size_t at = (size_t)y * sample.size.pitch + x;
    struct place place = place_of(cells, x, y, factor_x, factor_y);
    float value = (float)pf_plane(sample)[at];
    int16_t *one = pf_plane(first) + at, *other = pf_plane(second) + at;
    *one = joined(*one, value, share_at(first_shares, place));
    *other = joined(*other, value, share_at(second_shares, place));
}

static dim3 blocks_for(const struct pf_cuda_grid *size, int count)
{
    return dim3(pf_pieces(size->width, COLUMNS), pf_pieces(size->height, ROWS), count);
}

void pf_cuda_blend_laplacian(struct pf_cuda *cuda, const struct pf_cuda_planes *average,
                             const struct pf_cuda_planes *fine, const struct pf_cuda_planes *coarse,
                             const float *shares, const struct pf_cuda_grid *cells, int factor_x,
                             int factor_y)
{
    PF_LAUNCH(blend_laplacian, blocks_for(&coarse->size, fine->count), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], *average, *fine, *coarse, shares, *cells, factor_x,
              factor_y);
    pf_cuda_launched(cuda, "blend of a Laplacian level");
}

void pf_cuda_blend(struct pf_cuda *cuda, const struct pf_cuda_planes *average,
                   const struct pf_cuda_planes *sample, const float *shares,
                   const struct pf_cuda_grid *cells, int factor_x, int factor_y)
{
    PF_LAUNCH(blend, blocks_for(&sample->size, sample->count), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], *average, *sample, shares, *cells, factor_x, factor_y);
    pf_cuda_launched(cuda, "blend");
}

void pf_cuda_blend_both(struct pf_cuda *cuda, const struct pf_cuda_planes average[2],
                        const struct pf_cuda_planes *sample, const float *const shares[2],
                        const struct pf_cuda_grid *cells, int factor_x, int factor_y)
{
    PF_LAUNCH(blend_both, blocks_for(&sample->size, sample->count), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], average[0], average[1], *sample, shares[0], shares[1],
              *cells, factor_x, factor_y);
    pf_cuda_launched(cuda, "blend of two parts");
}

/* ---- collapse and export ---- */

static __global__ void collapse(struct pf_cuda_planes out, struct pf_cuda_planes detail,
                                struct pf_cuda_planes coarse, int low, int high)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= coarse.size.width || y >= coarse.size.height)
        return;
    int expanded[4];
    pf_expand(expanded, pf_plane(coarse), coarse.size, x, y);
    bool both = 2 * x + 1 < detail.size.width;
#pragma unroll
    for (int k = 0; k < 2; k++) {
        int row = 2 * y + k;
        if (row >= detail.size.height)
            continue;
        size_t at = (size_t)row * detail.size.pitch + 2 * x;
        short2 pair = load_pair(pf_plane(detail) + at, both);
        pair.x = (int16_t)min(max(pair.x + ((expanded[2 * k] + 32) >> 6), low), high);
        pair.y = (int16_t)min(max(pair.y + ((expanded[2 * k + 1] + 32) >> 6), low), high);
        store_pair(pf_plane(out) + at, pair, both);
    }
}

void pf_cuda_collapse(struct pf_cuda *cuda, const struct pf_cuda_planes *out,
                      const struct pf_cuda_planes *detail, const struct pf_cuda_planes *coarse,
                      int low, int high)
{
    PF_LAUNCH(collapse, blocks_for(&coarse->size, detail->count), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], *out, *detail, *coarse, low, high);
    pf_cuda_launched(cuda, "collapse");
}

static __global__ void export_samples(char *out, size_t stride_bytes, int bits, float zero,
                                      const int16_t *samples, struct pf_cuda_grid size)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= size.width || y >= size.height)
        return;
    float top = bits == 8 ? 255.0f : 65535.0f;
    float value = (float)samples[(size_t)y * size.pitch + x] * (top / PF_WHITE) + zero;
    value = fminf(fmaxf(value, 0), top);
    char *row = out + (size_t)y * stride_bytes;
    if (bits == 8)
        ((uint8_t *)row)[x] = (uint8_t)value;
    else
        ((uint16_t *)row)[x] = (uint16_t)value;
}

void pf_cuda_export(struct pf_cuda *cuda, void *out, size_t stride_bytes, int bits, bool chroma,
                    const int16_t *samples, const struct pf_cuda_grid *size)
{
    float zero = (chroma ? (bits == 8 ? 128.0f : 32768.0f) : 0) + 0.5f;
    PF_LAUNCH(export_samples, blocks_for(size, 1), dim3(COLUMNS, ROWS), 0, cuda->lane[PF_CUDA_WORK],
              (char *)out, stride_bytes, bits, zero, samples, *size);
    pf_cuda_launched(cuda, "export");
}
