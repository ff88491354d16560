/* Maps of a stack: depth, confidence, and which frame won where; as process/cpu/maps.c. */
#include "process/cuda/samples.h"

enum {
    COLUMNS = 32,
    ROWS = 8,
    REACH = 3,
    BINS = 32, /* of places, to find a median */
    VOTE_MOST = 1023,
    SPECK_REACH = 6, /* cells */
    SPECK_SHARE = 4, /* a place for which less than 1 / this of its surroundings speak */
};

#define DOUBT 0.1f /* confidence against which a level's own word is weighed */

static dim3 blocks_for(int width, int height)
{
    return dim3(pf_pieces(width, COLUMNS), pf_pieces(height, ROWS));
}

/* What the fine levels show at a cell: log2. best: the cell's. */
static __device__ __forceinline__ float shown_at(const struct pf_cuda_map_winners &job, float best,
                                                 int x, int y)
{
    int half = job.level ? 0 : 1;
    return job.most ? job.most[(size_t)(y >> half) * job.most_size.pitch + (x >> half)]
                    : best / job.power;
}

static __device__ __forceinline__ float energy_of(float shown, float nothing)
{
    return exp2f(fminf(60, shown - nothing));
}

/* The most that is shown beneath each cell of the surroundings' level; then in the 3 x 3 around it. */
static __global__ void crest(float *highest, struct pf_cuda_map_around around,
                             struct pf_cuda_grid cells, struct pf_cuda_map_winners job)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= around.size.width || y >= around.size.height)
        return;
    float nothing = pf_nothing(job.nothing), most = nothing;
    int right = min((x + 1) << around.shift, cells.width);
    int bottom = min((y + 1) << around.shift, cells.height);
    for (int v = y << around.shift; v < bottom; v++)
        for (int u = x << around.shift; u < right; u++) {
            float best = job.most ? 0 : job.part.best[(size_t)v * cells.pitch + u];
            most = fmaxf(most, shown_at(job, best, u, v));
        }
    highest[(size_t)y * around.size.pitch + x] = energy_of(most, nothing) - 1;
}

static __global__ void spread_crest(struct pf_cuda_map_around around, const float *highest)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= around.size.width || y >= around.size.height)
        return;
    float most = 0;
    for (int k = 0; k < 9; k++) {
        int v = pf_within(y + k / 3 - 1, around.size.height);
        int u = pf_within(x + k % 3 - 1, around.size.width);
        most = fmaxf(most, highest[(size_t)v * around.size.pitch + u]);
    }
    around.crest[(size_t)y * around.size.pitch + x] = most;
}

void pf_cuda_map_crest(struct pf_cuda *cuda, const struct pf_cuda_map_around *around,
                       float *highest, const struct pf_cuda_grid *cells,
                       const struct pf_cuda_map_winners *job)
{
    dim3 blocks = blocks_for(around->size.width, around->size.height);
    PF_LAUNCH(crest, blocks, dim3(COLUMNS, ROWS), 0, cuda->lane[PF_CUDA_WORK], highest, *around,
              *cells, *job);
    PF_LAUNCH(spread_crest, blocks, dim3(COLUMNS, ROWS), 0, cuda->lane[PF_CUDA_WORK], *around,
              highest);
    pf_cuda_launched(cuda, "what is around the cells of a map");
}

/* Cell-centred bilinear sample of the crest. */
static __device__ float crest_at(const struct pf_cuda_map_around &around, int x, int y)
{
    float scale = 1.0f / (float)(1 << around.shift);
    float u = fmaxf(((float)x + 0.5f) * scale - 0.5f, 0);
    float v = fmaxf(((float)y + 0.5f) * scale - 0.5f, 0);
    int x0 = pf_within((int)u, around.size.width), x1 = pf_within(x0 + 1, around.size.width);
    int y0 = pf_within((int)v, around.size.height), y1 = pf_within(y0 + 1, around.size.height);
    u -= (float)x0;
    v -= (float)y0;
    const float *upper = around.crest + (size_t)y0 * around.size.pitch;
    const float *lower = around.crest + (size_t)y1 * around.size.pitch;
    return (1 - v) * ((1 - u) * upper[x0] + u * upper[x1]) +
           v * ((1 - u) * lower[x0] + u * lower[x1]);
}

/* How much a cell's winner, at that place, has a say beside its surroundings. */
static __device__ float say_of(const struct pf_cuda_map_around &around, float energy, float place,
                               int x, int y)
{
    float most = crest_at(around, x, y);
    float say = fminf(1, fmaxf(energy - 1, 0) / fmaxf(PF_MAP_FAIR * most, 1e-3f));
    say *= say;
    if (say == 1 || !around.settled)
        return say;
    float away = 1;
    for (int k = 0; k < 9; k++) {
        int v = pf_within((y >> around.shift) + k / 3 - 1, around.size.height);
        int u = pf_within((x >> around.shift) + k % 3 - 1, around.size.width);
        away = fminf(away, fabsf(place - around.settled[(size_t)v * around.size.pitch + u]));
    }
    away *= 1 / PF_MAP_AGREE;
    return fmaxf(say, 1 / (1 + away * away * away * away));
}

static __global__ void winners_say(struct pf_cuda_map_level level, struct pf_cuda_map_winners job)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= level.size.width || y >= level.size.height)
        return;
    size_t at = (size_t)y * level.size.pitch + x;
    /* What the stack's rest mostly is there. */
    struct pf_cuda_winners part = job.sharp && !(job.sharp[at] > 0.5f) ? job.soft : job.part;
    /* The winner's share of all weights (1 where one frame alone is sharp), and nothing where the
     * fine levels show no more than noise. */
    float best = part.best[at];
    float share = exp2f(fminf(0, best - part.log_total[at]));
    float energy = energy_of(shown_at(job, best, x, y), pf_nothing(job.nothing));
    float detail = energy > 1 ? (energy - 1) / (energy + 1) : 0;
    int rank = job.rank[part.winner[at]];
    float trust = job.level || !job.most ? 1 : PF_MAP_FINEST_TRUST;
    float place = (float)rank / (float)job.highest;
    float say = job.around.crest ? say_of(job.around, energy, place, x, y) : 1;
    float confidence = share * share * share * detail * trust * say;
    level.confidence[at] = confidence;
    level.place[at] = confidence * place;
    level.frame[at] = (uint16_t)rank;
}

void pf_cuda_map_winners(struct pf_cuda *cuda, const struct pf_cuda_map_level *level,
                         const struct pf_cuda_map_winners *job)
{
    PF_LAUNCH(winners_say, blocks_for(level->size.width, level->size.height), dim3(COLUMNS, ROWS),
              0, cuda->lane[PF_CUDA_WORK], *level, *job);
    pf_cuda_launched(cuda, "winners of a map");
}

static __global__ void reduce(struct pf_cuda_map_level fine, struct pf_cuda_map_level coarse)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= coarse.size.width || y >= coarse.size.height)
        return;
    float place = 0, confidence = 0, surest = -1;
    uint16_t frame = 0;
    for (int k = 0; k < 4; k++) {
        int fx = 2 * x + (k & 1), fy = 2 * y + (k >> 1);
        if (fx >= fine.size.width || fy >= fine.size.height)
            continue;
        size_t from = (size_t)fy * fine.size.pitch + fx;
        place += fine.place[from];
        confidence += fine.confidence[from];
        if (fine.confidence[from] > surest) {
            surest = fine.confidence[from];
            frame = fine.frame[from];
        }
    }
    size_t at = (size_t)y * coarse.size.pitch + x;
    coarse.place[at] = 0.25f * place;
    coarse.confidence[at] = 0.25f * confidence;
    coarse.frame[at] = frame;
}

void pf_cuda_map_reduce(struct pf_cuda *cuda, const struct pf_cuda_map_level *fine,
                        const struct pf_cuda_map_level *coarse)
{
    PF_LAUNCH(reduce, blocks_for(coarse->size.width, coarse->size.height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], *fine, *coarse);
    pf_cuda_launched(cuda, "reduction of a map");
}

/* Cell-centred bilinear sample of `plane` at twice its resolution. */
static __device__ float sample_twice(const float *plane, const struct pf_cuda_grid &size, int x,
                                     int y)
{
    int x0 = pf_within(x / 2, size.width),
        x1 = pf_within(x & 1 ? x / 2 + 1 : x / 2 - 1, size.width);
    int y0 = pf_within(y / 2, size.height);
    int y1 = pf_within(y & 1 ? y / 2 + 1 : y / 2 - 1, size.height);
    const float *near_row = plane + (size_t)y0 * size.pitch;
    const float *far_row = plane + (size_t)y1 * size.pitch;
    return 0.5625f * near_row[x0] + 0.1875f * (near_row[x1] + far_row[x0]) + 0.0625f * far_row[x1];
}

static __global__ void fill(struct pf_cuda_map_level level, struct pf_cuda_map_level coarser,
                            bool coarsest, bool borrow)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= level.size.width || y >= level.size.height)
        return;
    size_t at = (size_t)y * level.size.pitch + x;
    float own = level.confidence[at];
    if (coarsest) {
        level.place[at] /= own + 1e-6f;
        return;
    }
    float coarse = sample_twice(coarser.place, coarser.size, x, y);
    level.place[at] = (level.place[at] + DOUBT * coarse) / (own + DOUBT);
    if (own < DOUBT)
        level.frame[at] = coarser.frame[(size_t)(y / 2) * coarser.size.pitch + x / 2];
    float lent = borrow ? 0.5f * sample_twice(coarser.confidence, coarser.size, x, y) : 0;
    level.confidence[at] = own + (1 - own) * lent;
}

void pf_cuda_map_fill(struct pf_cuda *cuda, const struct pf_cuda_map_level *level,
                      const struct pf_cuda_map_level *coarser, bool borrow)
{
    PF_LAUNCH(fill, blocks_for(level->size.width, level->size.height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], *level, coarser ? *coarser : *level, !coarser, borrow);
    pf_cuda_launched(cuda, "filling of a map");
}

/* What a cell says: the bin of its place, and how much it counts. */
static __device__ __forceinline__ int bin_of(float place)
{
    return (int)(fminf(fmaxf(place, 0), 1) * (BINS - 1) + 0.5f);
}

/* Weight of the votes for bins low..high among the surroundings of a cell. */
static __device__ int votes(const struct pf_cuda_map_level &level, int x, int y, int low, int high)
{
    int sum = 0, bottom = pf_within(y + SPECK_REACH, level.size.height);
    int left = pf_within(x - SPECK_REACH, level.size.width);
    int right = pf_within(x + SPECK_REACH, level.size.width);
    for (int v = pf_within(y - SPECK_REACH, level.size.height); v <= bottom; v += 2)
        for (int u = left; u <= right; u++) {
            size_t at = (size_t)v * level.size.pitch + u;
            float sure = fminf(level.confidence[at], 1);
            int bin = bin_of(level.place[at]);
            if (bin >= low && bin <= high)
                sum += 1 + (int)(sure * sure * (VOTE_MOST - 1));
        }
    return sum;
}

/* Specks become the median of their surroundings: the first bin that half of the votes do not exceed,
 * sought by halving. */
static __global__ void despeckle(float *out, struct pf_cuda_map_level level, int near)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= level.size.width || y >= level.size.height)
        return;
    size_t at = (size_t)y * level.size.pitch + x;
    float place = level.place[at];
    int own = bin_of(place), total = votes(level, x, y, 0, BINS - 1);
    if (SPECK_SHARE * votes(level, x, y, own - near, own + near) < total) {
        int low = 0, high = BINS - 1;
        while (low < high) {
            int middle = (low + high) / 2;
            if (2 * votes(level, x, y, 0, middle) < total)
                low = middle + 1;
            else
                high = middle;
        }
        place = (float)low / (BINS - 1);
    }
    out[at] = place;
}

void pf_cuda_map_despeckle(struct pf_cuda *cuda, float *out, const struct pf_cuda_map_level *level,
                           int highest)
{
    PF_LAUNCH(despeckle, blocks_for(level->size.width, level->size.height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], out, *level,
              (int)(1.5f * (BINS - 1) / (float)highest + 0.5f));
    pf_cuda_launched(cuda, "specks of a map");
}

static __global__ void smooth(float *out, struct pf_cuda_map_level level, float narrow)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    int width = level.size.width, height = level.size.height;
    if (x >= width || y >= height)
        return;
    size_t at = (size_t)y * level.size.pitch + x;
    float here = level.place[at], sum = 0, weights = 0;
    for (int v = max(y - REACH, 0); v <= min(y + REACH, height - 1); v++)
        for (int u = max(x - REACH, 0); u <= min(x + REACH, width - 1); u++) {
            size_t from = (size_t)v * level.size.pitch + u;
            float away = (level.place[from] - here) * narrow;
            float weight = (level.confidence[from] + 0.01f) / (1 + away * away * away * away);
            sum += weight * level.place[from];
            weights += weight;
        }
    out[at] = sum / weights;
}

void pf_cuda_map_smooth(struct pf_cuda *cuda, float *out, const struct pf_cuda_map_level *level,
                        int highest)
{
    PF_LAUNCH(smooth, blocks_for(level->size.width, level->size.height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], out, *level, (float)highest / 1.5f);
    pf_cuda_launched(cuda, "smoothing of a map");
}

static __global__ void export_frames(char *out, size_t stride_bytes, int width, int height,
                                     struct pf_cuda_map_level level)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x < width && y < height)
        ((uint16_t *)(out + (size_t)y * stride_bytes))[x] =
            (uint16_t)(level.frame[(size_t)(y / 2) * level.size.pitch + x / 2] + 1);
}

void pf_cuda_map_frames(struct pf_cuda *cuda, void *out, size_t stride_bytes, int width, int height,
                        const struct pf_cuda_map_level *level)
{
    PF_LAUNCH(export_frames, blocks_for(width, height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], (char *)out, stride_bytes, width, height, *level);
    pf_cuda_launched(cuda, "export of a map");
}

static __global__ void export_values(char *out, size_t stride_bytes, int width, int height,
                                     const float *plane, struct pf_cuda_grid size, int steps)
{
    int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= width || y >= height)
        return;
    float value = sample_twice(plane, size, x, y);
    int step = (int)(fminf(fmaxf(value, 0), 1) * (float)steps + 0.5f);
    ((uint16_t *)(out + (size_t)y * stride_bytes))[x] = (uint16_t)(step * (65535 / steps));
}

void pf_cuda_map_values(struct pf_cuda *cuda, void *out, size_t stride_bytes, int width, int height,
                        const float *plane, const struct pf_cuda_grid *size, int steps)
{
    PF_LAUNCH(export_values, blocks_for(width, height), dim3(COLUMNS, ROWS), 0,
              cuda->lane[PF_CUDA_WORK], (char *)out, stride_bytes, width, height, plane, *size,
              steps);
    pf_cuda_launched(cuda, "export of a map");
}
