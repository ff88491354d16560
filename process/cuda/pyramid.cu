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
    __shared__ int16_t tile[TILE_HEIGHT][TILE_WIDTH + 1];
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

/* A cell is centred between its samples: weights 3/4 and 1/4 where it has two of them. Fills in the
 * shares of samples 2x, 2x + 1 in rows 2y, 2y + 1 of a plane with factors 2, 2 ... */
static __device__ __forceinline__ float share_at(const float *shares,
                                                 const struct pf_cuda_grid &cells, int x, int y,
                                                 int factor_x, int factor_y)
{
    int upper = y, lower = y, near = x, far = x;
    float mix_y = 0, mix_x = 0;
    if (factor_y == 2) {
        upper = y & 1 ? y / 2 : y / 2 - 1;
        lower = upper + 1;
        mix_y = y & 1 ? 0.25f : 0.75f;
    }
    if (factor_x == 2) {
        near = x / 2;
        far = x & 1 ? near + 1 : near - 1;
        mix_x = 0.25f;
    }
    const float *above = shares + (size_t)pf_within(upper, cells.height) * cells.pitch;
    const float *below = shares + (size_t)pf_within(lower, cells.height) * cells.pitch;
    near = pf_within(near, cells.width);
    far = pf_within(far, cells.width);
    float here = above[near] + mix_y * (below[near] - above[near]);
    float beside = above[far] + mix_y * (below[far] - above[far]);
    return (1 - mix_x) * here + mix_x * beside;
}

/* ---- blending ---- */

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
    for (int k = 0; k < 4; k++) {
        int column = 2 * x + (k & 1), row = 2 * y + (k >> 1);
        if (column >= fine.size.width || row >= fine.size.height)
            continue;
        size_t at = (size_t)row * fine.size.pitch + column;
        float share = share_at(shares, cells, column, row, factor_x, factor_y);
        float old = (float)pf_plane(average)[at];
        float detail = (float)pf_plane(fine)[at] - (float)expanded[k] * (1.0f / 64);
        pf_plane(average)[at] = pf_round_to_sample(old + share * (detail - old));
    }
}

static __global__ void blend(struct pf_cuda_planes average, struct pf_cuda_planes sample,
                             const float *shares, struct pf_cuda_grid cells, int factor_x,
                             int factor_y)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= sample.size.width || y >= sample.size.height)
        return;
    float share = share_at(shares, cells, x, y, factor_x, factor_y);
    size_t at = (size_t)y * sample.size.pitch + x;
    float old = (float)pf_plane(average)[at];
    pf_plane(average)[at] = pf_round_to_sample(old + share * ((float)pf_plane(sample)[at] - old));
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

/* ---- collapse and export ---- */

static __global__ void collapse(struct pf_cuda_planes out, struct pf_cuda_planes detail,
                                struct pf_cuda_planes coarse, int low, int high)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= coarse.size.width || y >= coarse.size.height)
        return;
    int expanded[4];
    pf_expand(expanded, pf_plane(coarse), coarse.size, x, y);
    for (int k = 0; k < 4; k++) {
        int column = 2 * x + (k & 1), row = 2 * y + (k >> 1);
        if (column >= detail.size.width || row >= detail.size.height)
            continue;
        size_t at = (size_t)row * detail.size.pitch + column;
        int value = pf_plane(detail)[at] + ((expanded[k] + 32) >> 6);
        pf_plane(out)[at] = (int16_t)min(max(value, low), high);
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
