/* Maps of a stack: depth, confidence, and which frame won where.
 *
 * The finest levels remember who had the highest weight in each cell. A level's word counts where
 * one frame stands out there (its confidence); elsewhere the next coarser level fills in, and so on
 * to the whole picture: push-pull, Gortler et al. 1996. A cell whose evidence is little beside what is
 * around it has no say of its own (PF_MAP_FAIR).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/cpu/fuse.h"
#include "process/room.h"

#define ROWS_PER_PIECE 32
#define DOUBT          0.1f /* confidence against which a level's own word is weighed */
#define MAX_LEVELS     24
#define BINS           32 /* of places, to find a median */
#define VOTE_BITS      10 /* bin and weight in 16 bits */
#define VOTE_MOST      ((1 << VOTE_BITS) - 1)
#define SPECK_REACH    6 /* cells */
#define SPECK_SHARE    4 /* a place for which less than 1 / this of its surroundings speak */

/* One level of the push-pull pyramid, on the grid of cells. */
struct map_level {
    struct pf_grid size;
    float *place;      /* sum of confidence times place, then the place, 0..1 */
    float *confidence; /* 0..1 */
    uint16_t *frame;   /* place of the winner in capture order; of a depth map, votes */
};

struct map_job {
    const struct pf_cpu_engine *engine;
    const int *rank;
    int highest, levels, level;
    struct map_level level_of[MAX_LEVELS];
    float
        *smooth; /* depth: the finest level's places, smoothed; before that, room of the next two */
    /* Of the level of the surroundings: the most that is shown there above noise, NULL in a picture
     * that is too small for any; the places of the round before, NULL in the first. */
    int around;
    float *crest;
    const float *settled;
    struct pf_image *image;
    enum pf_map map;
};

static bool has_winners(const struct map_job *job, int level)
{
    return level == 0 || (level == 1 && job->engine->parts > 1);
}

/* What the fine levels show at a cell of a level that has winners: log2. */
static float shown_at(const struct pf_cpu_engine *engine, int level, int x, int y)
{
    const struct pf_shares *finest = &engine->shares[PF_PART_FINEST];
    if (!engine->most)
        return finest->best[(size_t)y * (size_t)pf_half(engine->size[0][0]).width + (size_t)x] /
               engine->weighing.power;
    int half = level ? 0 : 1; /* the same place among the cells of level 1 */
    size_t width = (size_t)pf_half(engine->size[0][1]).width;
    return engine->most[(size_t)(y >> half) * width + (size_t)(x >> half)];
}

static float energy_of(float shown, float nothing)
{
    return exp2f(fminf(60, shown - nothing));
}

/* The most that is shown beneath each cell of the surroundings' level; then in the 3 x 3 around it. */
static void crest_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = job->level_of[job->around].size;
    int level = engine->most ? 1 : 0, shift = job->around - level;
    struct pf_grid cells = job->level_of[level].size;
    float nothing = pf_weights_nothing(engine, level);
    float *highest = job->crest + pf_samples_of(size);
    (void)thread;
    for (int y = begin; y < end; y++) {
        for (int x = 0; x < size.width; x++) {
            float most = nothing;
            for (int v = y << shift; v < (y + 1) << shift && v < cells.height; v++)
                for (int u = x << shift; u < (x + 1) << shift && u < cells.width; u++)
                    most = fmaxf(most, shown_at(engine, level, u, v));
            highest[(size_t)y * (size_t)size.width + (size_t)x] = energy_of(most, nothing) - 1;
        }
    }
}

static void spread_crest_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    struct pf_grid size = job->level_of[job->around].size;
    const float *highest = job->crest + pf_samples_of(size);
    (void)thread;
    for (int y = begin; y < end; y++) {
        for (int x = 0; x < size.width; x++) {
            float most = 0;
            for (int k = 0; k < 9; k++) {
                int v = pf_clamp(y + k / 3 - 1, 0, size.height - 1);
                int u = pf_clamp(x + k % 3 - 1, 0, size.width - 1);
                most = fmaxf(most, highest[(size_t)v * (size_t)size.width + (size_t)u]);
            }
            job->crest[(size_t)y * (size_t)size.width + (size_t)x] = most;
        }
    }
}

/* Cell-centred bilinear sample of a plane whose cells are 2^shift of the asking grid's wide. */
static float sample_coarse(const float *plane, struct pf_grid size, int shift, int x, int y)
{
    float scale = 1.0f / (float)(1 << shift);
    float u = fmaxf(((float)x + 0.5f) * scale - 0.5f, 0);
    float v = fmaxf(((float)y + 0.5f) * scale - 0.5f, 0);
    int x0 = pf_clamp((int)u, 0, size.width - 1), x1 = pf_clamp(x0 + 1, 0, size.width - 1);
    int y0 = pf_clamp((int)v, 0, size.height - 1), y1 = pf_clamp(y0 + 1, 0, size.height - 1);
    u -= (float)x0;
    v -= (float)y0;
    const float *upper = plane + (size_t)y0 * (size_t)size.width;
    const float *lower = plane + (size_t)y1 * (size_t)size.width;
    return (1 - v) * ((1 - u) * upper[x0] + u * upper[x1]) +
           v * ((1 - u) * lower[x0] + u * lower[x1]);
}

/* How much a cell's winner, at that place, has a say beside its surroundings. */
static float say_of(const struct map_job *job, float energy, float place, int x, int y)
{
    struct pf_grid size = job->level_of[job->around].size;
    int shift = job->around - job->level;
    float most = sample_coarse(job->crest, size, shift, x, y);
    float say = fminf(1, fmaxf(energy - 1, 0) / fmaxf(PF_MAP_FAIR * most, 1e-3f));
    say *= say;
    if (say == 1 || !job->settled)
        return say;
    float away = 1;
    for (int k = 0; k < 9; k++) {
        int v = pf_clamp((y >> shift) + k / 3 - 1, 0, size.height - 1);
        int u = pf_clamp((x >> shift) + k % 3 - 1, 0, size.width - 1);
        float settled = job->settled[(size_t)v * (size_t)size.width + (size_t)u];
        away = fminf(away, fabsf(place - settled));
    }
    away *= 1 / PF_MAP_AGREE;
    return fmaxf(say, 1 / (1 + away * away * away * away));
}

/* What a level's own winners say. */
static void winner_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct pf_cpu_engine *engine = job->engine;
    const struct map_level *level = &job->level_of[job->level];
    (void)thread;
    float nothing = pf_weights_nothing(engine, engine->most ? 1 : 0);
    int width = level->size.width;
    float trust = job->level || !engine->most ? 1 : PF_MAP_FINEST_TRUST;
    for (int y = begin; y < end; y++) {
        size_t row = (size_t)y * (size_t)width;
        if (job->level)
            pf_weights_sharp_row(engine, y, level->confidence + row);
        for (int x = 0; x < width; x++) {
            size_t i = row + (size_t)x;
            /* What the stack's rest mostly is there. */
            enum pf_part part = PF_PART_FINEST;
            if (job->level)
                part = level->confidence[i] > 0.5f ? PF_PART_SHARP : PF_PART_SOFT;
            const struct pf_shares *shares = &engine->shares[part];
            /* The winner's share of all weights (1 where one frame alone is sharp), and nothing where
             * the fine levels show no more than noise. */
            float share = exp2f(fminf(0, shares->best[i] - shares->log_total[i]));
            float energy = energy_of(shown_at(engine, job->level, x, y), nothing);
            float detail = energy > 1 ? (energy - 1) / (energy + 1) : 0;
            int rank = job->rank[shares->winner[i]];
            float place = (float)rank / (float)job->highest;
            float say = job->crest ? say_of(job, energy, place, x, y) : 1;
            level->confidence[i] = share * share * share * detail * trust * say;
            level->place[i] = level->confidence[i] * place;
            level->frame[i] = (uint16_t)rank;
        }
    }
}

/* Means of what the finer level knows, and the frame of its surest cell. */
static void reduce(const struct map_level *fine, struct map_level *coarse)
{
    for (int y = 0; y < coarse->size.height; y++) {
        for (int x = 0; x < coarse->size.width; x++) {
            float place = 0, confidence = 0, surest = -1;
            size_t at = (size_t)y * (size_t)coarse->size.width + (size_t)x;
            for (int k = 0; k < 4; k++) {
                int fx = 2 * x + (k & 1), fy = 2 * y + (k >> 1);
                if (fx >= fine->size.width || fy >= fine->size.height)
                    continue;
                size_t from = (size_t)fy * (size_t)fine->size.width + (size_t)fx;
                place += fine->place[from];
                confidence += fine->confidence[from];
                if (fine->confidence[from] > surest) {
                    surest = fine->confidence[from];
                    coarse->frame[at] = fine->frame[from];
                }
            }
            coarse->place[at] = 0.25f * place;
            coarse->confidence[at] = 0.25f * confidence;
        }
    }
}

/* Cell-centred bilinear sample of `plane` at twice its resolution. */
static float sample_twice(const float *plane, struct pf_grid size, int x, int y)
{
    int x0 = x / 2, x1 = pf_clamp(x & 1 ? x0 + 1 : x0 - 1, 0, size.width - 1);
    int y0 = y / 2, y1 = pf_clamp(y & 1 ? y0 + 1 : y0 - 1, 0, size.height - 1);
    x0 = pf_clamp(x0, 0, size.width - 1);
    y0 = pf_clamp(y0, 0, size.height - 1);
    const float *near_row = plane + (size_t)y0 * (size_t)size.width;
    const float *far_row = plane + (size_t)y1 * (size_t)size.width;
    return 0.5625f * near_row[x0] + 0.1875f * (near_row[x1] + far_row[x0]) + 0.0625f * far_row[x1];
}

/* Replaces sums by places, coarse to fine: what a level is unsure of it takes from the coarser. The
 * coarsest has nobody to ask. */
static void fill_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[job->level];
    const struct map_level *coarser = &job->level_of[job->level + 1];
    (void)thread;
    for (int y = begin; y < end; y++) {
        for (int x = 0; x < level->size.width; x++) {
            size_t at = (size_t)y * (size_t)level->size.width + (size_t)x;
            if (job->level == job->levels - 1) {
                level->place[at] /= level->confidence[at] + 1e-6f;
                continue;
            }
            size_t above = (size_t)(y / 2) * (size_t)coarser->size.width + (size_t)(x / 2);
            float coarse = sample_twice(coarser->place, coarser->size, x, y);
            level->place[at] =
                (level->place[at] + DOUBT * coarse) / (level->confidence[at] + DOUBT);
            if (level->confidence[at] < DOUBT)
                level->frame[at] = coarser->frame[above];
            /* A coarser level knows less well where: its word counts for less, and what is only the
             * mean of its surroundings for nothing. */
            float own = level->confidence[at];
            float lent = has_winners(job, job->level + 1)
                             ? 0.5f * sample_twice(coarser->confidence, coarser->size, x, y)
                             : 0;
            level->confidence[at] = own + (1 - own) * lent;
        }
    }
}

/* Weights of the places around a cell, each by the square of its confidence. */
struct bins {
    int32_t weight[BINS], total;
};

static int bin_of(float place)
{
    return (int)(fminf(fmaxf(place, 0), 1) * (BINS - 1) + 0.5f);
}

/* What a cell says in its bins: a depth map has no use for the frames themselves, so that their
 * plane holds bin and weight. */
static void vote_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[0];
    size_t width = (size_t)level->size.width;
    (void)thread;
    for (size_t i = (size_t)begin * width; i < (size_t)end * width; i++) {
        float sure = fminf(level->confidence[i], 1);
        level->frame[i] = (uint16_t)(bin_of(level->place[i]) << VOTE_BITS |
                                     (1 + (int)(sure * sure * (VOTE_MOST - 1))));
    }
}

static void count_column(const struct map_level *level, struct bins *bins, int x, int top,
                         int bottom, int sign)
{
    if (x < 0 || x >= level->size.width)
        return;
    for (int y = top; y <= bottom; y += 2) { /* every other one says enough */
        uint16_t vote = level->frame[(size_t)y * (size_t)level->size.width + (size_t)x];
        int32_t weight = sign * (vote & VOTE_MOST);
        bins->weight[vote >> VOTE_BITS] += weight;
        bins->total += weight;
    }
}

static float median_of(const struct bins *bins)
{
    int32_t sum = 0;
    int bin = 0;
    while (bin < BINS - 1 && 2 * (sum += bins->weight[bin]) < bins->total)
        bin++;
    return (float)bin / (BINS - 1);
}

/* Specks: a place that next to nothing around it speaks for, in the dark or where no frame is sharp
 * and noise decides, becomes the median of its surroundings, weighed by confidence. */
static void despeckle_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[0];
    int width = level->size.width, height = level->size.height;
    int near = (int)(1.5f * (BINS - 1) / (float)job->highest + 0.5f); /* a frame and a half */
    (void)thread;
    for (int y = begin; y < end; y++) {
        int top = pf_clamp(y - SPECK_REACH, 0, height - 1);
        int bottom = pf_clamp(y + SPECK_REACH, 0, height - 1);
        const float *place = level->place + (size_t)y * (size_t)width;
        float *out = job->smooth + (size_t)y * (size_t)width;
        struct bins bins = {0};
        for (int x = 0; x < SPECK_REACH; x++)
            count_column(level, &bins, x, top, bottom, 1);
        for (int x = 0; x < width; x++) {
            count_column(level, &bins, x + SPECK_REACH, top, bottom, 1);
            int own = bin_of(place[x]);
            int last = own + near < BINS ? own + near : BINS - 1;
            int32_t support = 0;
            for (int bin = own < near ? 0 : own - near; bin <= last; bin++)
                support += bins.weight[bin];
            out[x] = SPECK_SHARE * support < bins.total ? median_of(&bins) : place[x];
            count_column(level, &bins, x - SPECK_REACH, top, bottom, -1);
        }
    }
}

/* Evens out the places of neighbours whose frames are next to one another in the burst, which noise
 * decides between, and leaves alone what is further apart: a bilateral filter (Tomasi & Manduchi
 * 1998), in which a cell counts by its confidence. */
static void smooth_rows(void *context, int begin, int end, int thread)
{
    enum { REACH = 3 };
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[0];
    int width = level->size.width, height = level->size.height;
    float narrow = (float)job->highest / 1.5f; /* 1 / the distance at which the weight is a half */
    (void)thread;
    for (int y = begin; y < end; y++) {
        const float *here = level->place + (size_t)y * (size_t)width;
        float *out = job->smooth + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++) {
            float sum = 0, weights = 0;
            int left = x < REACH ? 0 : x - REACH;
            int right = x + REACH < width ? x + REACH : width - 1;
            for (int v = pf_clamp(y - REACH, 0, height - 1);
                 v <= pf_clamp(y + REACH, 0, height - 1); v++) {
                const float *place = level->place + (size_t)v * (size_t)width;
                const float *sure = level->confidence + (size_t)v * (size_t)width;
                for (int u = left; u <= right; u++) {
                    float far = (place[u] - here[x]) * narrow;
                    float weight = (sure[u] + 0.01f) / (1 + far * far * far * far);
                    sum += weight * place[u];
                    weights += weight;
                }
            }
            out[x] = sum / weights;
        }
    }
}

/* Steps of the depth map from first frame to last: at least eight from frame to frame, which is
 * more than any depth is known to; finer ones would only keep noise, and the file large. They
 * divide the whole range. */
int pf_map_depth_steps(int highest)
{
    static const int divisors[] = {15, 51, 85, 255, 771, 1285, 3855, 13107};
    for (size_t i = 0; i < sizeof(divisors) / sizeof(*divisors); i++)
        if (divisors[i] >= 8 * highest)
            return divisors[i];
    return 65535;
}

static void export_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[0];
    int steps = pf_map_depth_steps(job->highest);
    (void)thread;
    for (int y = begin; y < end; y++) {
        uint16_t *out =
            (uint16_t *)((char *)job->image->plane[0] + (size_t)y * job->image->stride_bytes[0]);
        for (int x = 0; x < job->image->width; x++) {
            size_t cell = (size_t)(y / 2) * (size_t)level->size.width + (size_t)(x / 2);
            if (job->map == PF_MAP_FRAME) {
                out[x] = (uint16_t)(level->frame[cell] + 1);
            } else if (job->map == PF_MAP_CONFIDENCE) {
                float sure = sample_twice(level->confidence, level->size, x, y);
                out[x] = (uint16_t)((int)(fminf(fmaxf(sure, 0), 1) * 255 + 0.5f) * 257);
            } else {
                float place = sample_twice(job->smooth, level->size, x, y);
                int step = (int)(fminf(fmaxf(place, 0), 1) * (float)steps + 0.5f);
                out[x] = (uint16_t)(step * (65535 / steps));
            }
        }
    }
}

static size_t level_bytes(struct pf_grid size)
{
    return pf_samples_of(size) * (2 * sizeof(float) + sizeof(uint16_t));
}

/* Sizes and memory of all levels, down to a single cell. */
static int make_levels(struct map_job *job, struct pf_error *err)
{
    struct pf_grid size = pf_half(job->engine->size[0][0]);
    void *room = NULL;
    int r = pf_room_take(&room, pf_samples_of(size) * sizeof(float), err);
    job->smooth = room;
    for (int l = 0; l < MAX_LEVELS && r == 0; l++) {
        struct map_level *level = &job->level_of[l];
        size_t cells = pf_samples_of(size);
        level->size = size;
        r = pf_room_take(&room, level_bytes(size), err);
        if (r < 0)
            break;
        level->place = room;
        level->confidence = level->place + cells;
        level->frame = (uint16_t *)(level->confidence + cells);
        job->levels = l + 1;
        if (cells == 1)
            break;
        size = pf_half(size);
    }
    return r;
}

/* Levels from `least` on get what they know, and all down to `last` what they lack. */
static void push_and_pull(struct map_job *job, int least, int last)
{
    struct pf_pool *pool = job->engine->pool;
    for (int l = least; l < job->levels; l++) {
        struct map_level *level = &job->level_of[l];
        job->level = l;
        if (has_winners(job, l))
            pf_pool_run(pool, level->size.height, ROWS_PER_PIECE, winner_rows, job);
        else
            reduce(&job->level_of[l - 1], level);
    }
    for (job->level = job->levels - 1; job->level >= last; job->level--)
        pf_pool_run(pool, job->level_of[job->level].size.height, ROWS_PER_PIECE, fill_rows, job);
}

/* What the finest level knows no coarser one asks for, if the next has winners of its own. */
static void settle(struct map_job *job)
{
    struct map_level *level = &job->level_of[job->around];
    size_t cells = pf_samples_of(level->size);
    job->crest = job->smooth;
    pf_pool_run(job->engine->pool, level->size.height, 1, crest_rows, job);
    pf_pool_run(job->engine->pool, level->size.height, 1, spread_crest_rows, job);
    for (int round = 1; round < PF_MAP_ROUNDS; round++) {
        push_and_pull(job, has_winners(job, 1) ? 1 : 0, job->around);
        job->settled = memcpy(job->crest + cells, level->place, cells * sizeof(float));
    }
}

static void fill(struct map_job *job)
{
    struct pf_pool *pool = job->engine->pool;
    job->around = job->levels - 1 - PF_MAP_AROUND;
    if (job->around >= 2)
        settle(job);
    push_and_pull(job, 0, 0);
    if (job->map != PF_MAP_DEPTH)
        return;
    struct map_level *finest = &job->level_of[0];
    pf_pool_run(pool, finest->size.height, ROWS_PER_PIECE, vote_rows, job);
    pf_pool_run(pool, finest->size.height, ROWS_PER_PIECE, despeckle_rows, job);
    memcpy(finest->place, job->smooth, pf_samples_of(finest->size) * sizeof(float));
    pf_pool_run(pool, finest->size.height, ROWS_PER_PIECE, smooth_rows, job);
}

int pf_cpu_map(void *opaque, enum pf_map map, const int *rank, int count, struct pf_image **ret,
               struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    struct map_job job = {.engine = engine, .rank = rank, .highest = 1, .map = map};
    for (int i = 0; i < count; i++)
        job.highest = rank[i] > job.highest ? rank[i] : job.highest;
    struct pf_error why = {0};
    int r = make_levels(&job, &why);
    if (r < 0)
        pf_fail(err, -r, "a map of the stack: %s", why.text);
    if (r == 0)
        r = pf_image_new(&job.image, engine->size[0][0].width, engine->size[0][0].height, 16, 1, 0,
                         0, err);
    if (r == 0) {
        fill(&job);
        pf_pool_run(engine->pool, job.image->height, ROWS_PER_PIECE, export_rows, &job);
        *ret = job.image;
    }
    for (int l = 0; l < MAX_LEVELS; l++)
        pf_room_give(job.level_of[l].place, level_bytes(job.level_of[l].size));
    pf_room_give(job.smooth, pf_samples_of(pf_half(engine->size[0][0])) * sizeof(float));
    return r;
}
