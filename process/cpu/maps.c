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
#define LEAST_BORROWED 64 /* cells a side: three planes of the next level go into one of this */
#define SPECK_SHARE    4  /* a place for which less than 1 / this of its surroundings speak */

/* One level of the push-pull pyramid, on the grid of cells. */
struct map_level {
    struct pf_grid size;
    float *place;      /* sum of confidence times place, then the place, 0..1 */
    float *confidence; /* 0..1 */
    uint16_t *frame;   /* place of the winner in capture order; of a depth map, votes */
    void *own;         /* what they lie in; NULL: in what is the engine's */
};

/* What winners say: how much each stands out; how much it has a say; where it is. */
struct words {
    float *evidence, *say, *place;
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
    /* What the winners of level 1 say before anybody around them is heard, which is the same in all rounds: in
     * the room of level 0, whose turn is last. */
    struct words kept;
    bool has_kept;
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

static inline float least_of(float a, float b)
{
    return a < b ? a : b;
}

static inline float most_of(float a, float b)
{
    return a > b ? a : b;
}

/* Rows of a thread's own, each as wide as the picture. */
static float *line_of(const struct map_job *job, int thread, int index)
{
    const struct pf_cpu_engine *engine = job->engine;
    size_t pitch = ((size_t)engine->size[0][0].width + 15) / 16 * 16;
    return (float *)(engine->scratch + (size_t)thread * engine->scratch_bytes) +
           (size_t)index * pitch;
}

/* A row of a grid from one of half its resolution: cell-centred, bilinear. */
static void expand_row(const struct map_job *job, float *out, int count, const float *plane,
                       struct pf_grid size, int y)
{
    int near = pf_clamp(y / 2, 0, size.height - 1);
    int far = pf_clamp(y & 1 ? y / 2 + 1 : y / 2 - 1, 0, size.height - 1);
    size_t width = (size_t)size.width;
    job->engine->kernels->alpha_row(out, count, plane + (size_t)near * width,
                                    plane + (size_t)far * width, 0.25f, size.width, 2);
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
                    most = most_of(most, shown_at(engine, level, u, v));
            highest[(size_t)y * (size_t)size.width + (size_t)x] =
                exp2f(least_of(60, most - nothing)) - 1;
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
                most = most_of(most, highest[(size_t)v * (size_t)size.width + (size_t)u]);
            }
            job->crest[(size_t)y * (size_t)size.width + (size_t)x] = most;
        }
    }
}

/* A row of crests, between two rows of the surroundings, for row y of job->level. */
static void crest_row(const struct map_job *job, int y, float *out)
{
    struct pf_grid size = job->level_of[job->around].size;
    int cell = 1 << (job->around - job->level);
    float v = most_of(((float)y + 0.5f) / (float)cell - 0.5f, 0);
    int y0 = pf_clamp((int)v, 0, size.height - 1), y1 = pf_clamp(y0 + 1, 0, size.height - 1);
    const float *upper = job->crest + (size_t)y0 * (size_t)size.width;
    const float *lower = job->crest + (size_t)y1 * (size_t)size.width;
    v -= (float)y0;
    for (int x = 0; x < size.width; x++)
        out[x] = upper[x] + v * (lower[x] - upper[x]);
}

/* What the winners of row y of job->level say by themselves. */
static void hear_row(const struct map_job *job, int y, int thread, const struct words *words)
{
    const struct pf_cpu_engine *engine = job->engine;
    int level = job->level, width = job->level_of[level].size.width;
    size_t row = (size_t)y * (size_t)width;
    float *over = line_of(job, thread, 3), *sharp = line_of(job, thread, 4), *crest = sharp;
    if (level)
        pf_weights_sharp_row(engine, y, sharp);
    for (int x = 0; x < width; x++) {
        size_t i = row + (size_t)x;
        /* What the stack's rest mostly is there. */
        enum pf_part part = PF_PART_FINEST;
        if (level)
            part = sharp[x] > 0.5f ? PF_PART_SHARP : PF_PART_SOFT;
        const struct pf_shares *shares = &engine->shares[part];
        words->evidence[x] = shares->best[i] - shares->log_total[i];
        words->place[x] = (float)job->rank[shares->winner[i]] / (float)job->highest;
        over[x] = shown_at(engine, level, x, y);
        words->say[x] = 1;
    }
    engine->kernels->map_evidence_row(words->evidence, over, width,
                                      pf_weights_nothing(engine, engine->most ? 1 : 0),
                                      level || !engine->most ? 1 : PF_MAP_FINEST_TRUST);
    if (job->crest) {
        crest_row(job, y, crest);
        engine->kernels->map_say_row(words->say, over, width, crest,
                                     job->level_of[job->around].size.width, job->around - level);
    }
}

/* What a level's own winners say. */
static void winner_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[job->level];
    int width = level->size.width;
    bool kept = job->kept.place && job->level == 1;
    for (int y = begin; y < end; y++) {
        size_t row = (size_t)y * (size_t)width;
        struct words words = {line_of(job, thread, 0), line_of(job, thread, 1),
                              line_of(job, thread, 2)};
        if (kept)
            words = (struct words){job->kept.evidence + row, job->kept.say + row,
                                   job->kept.place + row};
        if (!kept || !job->has_kept)
            hear_row(job, y, thread, &words);
        const float *say = words.say;
        if (job->settled) {
            struct pf_grid around = job->level_of[job->around].size;
            int shift = job->around - job->level;
            const float *settled[3];
            for (int k = 0; k < 3; k++)
                settled[k] =
                    job->settled + (size_t)pf_clamp((y >> shift) + k - 1, 0, around.height - 1) *
                                       (size_t)around.width;
            float *heard = memcpy(line_of(job, thread, 3), say, (size_t)width * sizeof(float));
            job->engine->kernels->map_agree_row(heard, words.place, width, settled, around.width,
                                                shift);
            say = heard;
        }
        for (int x = 0; x < width; x++) {
            float confidence = words.evidence[x] * say[x];
            level->confidence[row + (size_t)x] = confidence;
            level->place[row + (size_t)x] = confidence * words.place[x];
        }
        for (int x = 0; x < width; x++)
            level->frame[row + (size_t)x] =
                (uint16_t)(int)(words.place[x] * (float)job->highest + 0.5f);
    }
}

/* Quarters of the sums of 2 x 2; what is beyond the edge counts as 0. lower: NULL beyond it. */
static void quarter_row(float *restrict out, int width, const float *restrict upper,
                        const float *restrict lower, int fine_width)
{
    int pairs = fine_width / 2;
    for (int x = 0; x < pairs && lower; x++)
        out[x] = 0.25f * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]);
    for (int x = 0; x < pairs && !lower; x++)
        out[x] = 0.25f * (upper[2 * x] + upper[2 * x + 1]);
    for (int x = pairs; x < width; x++)
        out[x] = 0.25f * (upper[2 * x] + (lower ? lower[2 * x] : 0));
}

/* The frame of the surest of 2 x 2 cells. */
static void surest_row(uint16_t *out, int width, const struct map_level *fine, int y)
{
    for (int x = 0; x < width; x++) {
        float surest = -1;
        for (int k = 0; k < 4; k++) {
            int fx = 2 * x + (k & 1), fy = 2 * y + (k >> 1);
            if (fx >= fine->size.width || fy >= fine->size.height)
                continue;
            size_t from = (size_t)fy * (size_t)fine->size.width + (size_t)fx;
            if (fine->confidence[from] > surest) {
                surest = fine->confidence[from];
                out[x] = fine->frame[from];
            }
        }
    }
}

/* Means of what the finer level knows, and the frame of its surest cell. */
static void reduce_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *fine = &job->level_of[job->level - 1];
    const struct map_level *coarse = &job->level_of[job->level];
    int width = coarse->size.width;
    (void)thread;
    for (int y = begin; y < end; y++) {
        size_t to = (size_t)y * (size_t)width;
        size_t upper = (size_t)(2 * y) * (size_t)fine->size.width;
        size_t lower = upper + (size_t)fine->size.width;
        bool whole = 2 * y + 1 < fine->size.height;
        quarter_row(coarse->place + to, width, fine->place + upper,
                    whole ? fine->place + lower : NULL, fine->size.width);
        quarter_row(coarse->confidence + to, width, fine->confidence + upper,
                    whole ? fine->confidence + lower : NULL, fine->size.width);
        if (job->map == PF_MAP_FRAME)
            surest_row(coarse->frame + to, width, fine, y);
    }
}

/* Replaces sums by places, coarse to fine: what a level is unsure of it takes from the coarser. The
 * coarsest has nobody to ask. */
static void fill_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[job->level];
    const struct map_level *coarser = &job->level_of[job->level + 1];
    int width = level->size.width;
    bool last = job->level == job->levels - 1;
    float *lent_place = line_of(job, thread, 0), *lent = line_of(job, thread, 1);
    for (int y = begin; y < end; y++) {
        float *place = level->place + (size_t)y * (size_t)width;
        float *confidence = level->confidence + (size_t)y * (size_t)width;
        if (last) {
            for (int x = 0; x < width; x++)
                place[x] /= confidence[x] + 1e-6f;
            continue;
        }
        expand_row(job, lent_place, width, coarser->place, coarser->size, y);
        for (int x = 0; x < width; x++)
            place[x] = (place[x] + DOUBT * lent_place[x]) / (confidence[x] + DOUBT);
        const uint16_t *above = coarser->frame + (size_t)(y / 2) * (size_t)coarser->size.width;
        uint16_t *frame = level->frame + (size_t)y * (size_t)width;
        for (int x = 0; x < width && job->map == PF_MAP_FRAME; x++)
            frame[x] = confidence[x] < DOUBT ? above[x / 2] : frame[x];
        /* A coarser level knows less well where: its word counts for less, and what is only the
         * mean of its surroundings for nothing. */
        if (!has_winners(job, job->level + 1))
            continue;
        expand_row(job, lent, width, coarser->confidence, coarser->size, y);
        for (int x = 0; x < width; x++)
            confidence[x] += (1 - confidence[x]) * 0.5f * lent[x];
    }
}

static int bin_of(float place)
{
    return (int)(least_of(most_of(place, 0), 1) * (PF_VOTE_BINS - 1) + 0.5f);
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
        float sure = least_of(level->confidence[i], 1);
        level->frame[i] = (uint16_t)(bin_of(level->place[i]) << PF_VOTE_BITS |
                                     (1 + (int)(sure * sure * (PF_VOTE_MOST - 1))));
    }
}

/* The median of what is said around a cell, every other row of it. */
static float median_around(const uint16_t *const *votes, int rows, int x, int width)
{
    int32_t weight[PF_VOTE_BINS] = {0}, total = 0;
    for (int v = 0; v < rows; v++) {
        int last = pf_clamp(x + PF_SPECK_REACH, 0, width - 1);
        for (int u = pf_clamp(x - PF_SPECK_REACH, 0, x); u <= last; u++) {
            weight[votes[v][u] >> PF_VOTE_BITS] += votes[v][u] & PF_VOTE_MOST;
            total += votes[v][u] & PF_VOTE_MOST;
        }
    }
    int32_t sum = 0;
    int bin = 0;
    while (bin < PF_VOTE_BINS - 1 && 2 * (sum += weight[bin]) < total)
        bin++;
    return (float)bin / (PF_VOTE_BINS - 1);
}

/* Specks: a place that next to nothing around it speaks for, in the dark or where no frame is sharp
 * and noise decides, becomes the median of its surroundings, weighed by confidence. */
static void despeckle_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[0];
    int width = level->size.width, height = level->size.height;
    /* A frame and a half. */
    int near = (int)(1.5f * (PF_VOTE_BINS - 1) / (float)job->highest + 0.5f);
    struct pf_vote_sums sums = {(uint32_t *)line_of(job, thread, 0),
                                (uint32_t *)line_of(job, thread, 1)};
    for (int y = begin; y < end; y++) {
        const uint16_t *votes[PF_SPECK_REACH + 1];
        int rows = 0, last = pf_clamp(y + PF_SPECK_REACH, 0, height - 1);
        for (int v = pf_clamp(y - PF_SPECK_REACH, 0, y); v <= last; v += 2) /* says enough */
            votes[rows++] = level->frame + (size_t)v * (size_t)width;
        size_t row = (size_t)y * (size_t)width;
        job->engine->kernels->map_support_row(&sums, level->frame + row, votes, rows, width, near);
        for (int x = 0; x < width; x++)
            job->smooth[row + (size_t)x] = SPECK_SHARE * sums.support[x] < sums.all[x]
                                               ? median_around(votes, rows, x, width)
                                               : level->place[row + (size_t)x];
    }
}

/* Evens out the places of neighbours whose frames are next to one another in the burst, which noise
 * decides between, and leaves alone what is further apart: a bilateral filter (Tomasi & Manduchi
 * 1998), in which a cell counts by its confidence. */
static void smooth_rows(void *context, int begin, int end, int thread)
{
    const struct map_job *job = context;
    const struct map_level *level = &job->level_of[0];
    size_t width = (size_t)level->size.width;
    float narrow = (float)job->highest / 1.5f; /* 1 / the distance at which the weight is a half */
    (void)thread;
    for (int y = begin; y < end; y++) {
        const float *place[2 * PF_MAP_REACH + 1], *sure[2 * PF_MAP_REACH + 1];
        int rows = 0, last = pf_clamp(y + PF_MAP_REACH, 0, level->size.height - 1);
        for (int v = pf_clamp(y - PF_MAP_REACH, 0, y); v <= last; v++) {
            place[rows] = level->place + (size_t)v * width;
            sure[rows++] = level->confidence + (size_t)v * width;
        }
        job->engine->kernels->map_smooth_row(job->smooth + (size_t)y * width,
                                             level->place + (size_t)y * width, place, sure, rows,
                                             level->size.width, narrow);
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
    int width = job->image->width;
    int steps = job->map == PF_MAP_DEPTH ? pf_map_depth_steps(job->highest) : 255;
    float *line = line_of(job, thread, 0);
    for (int y = begin; y < end; y++) {
        uint16_t *out =
            (uint16_t *)((char *)job->image->plane[0] + (size_t)y * job->image->stride_bytes[0]);
        if (job->map == PF_MAP_FRAME) {
            const uint16_t *frame = level->frame + (size_t)(y / 2) * (size_t)level->size.width;
            for (int x = 0; x < width; x++)
                out[x] = (uint16_t)(frame[x / 2] + 1);
            continue;
        }
        expand_row(job, line, width, job->map == PF_MAP_DEPTH ? job->smooth : level->confidence,
                   level->size, y);
        job->engine->kernels->map_steps_row(out, line, width, steps, 65535 / steps);
    }
}

static size_t level_bytes(struct pf_grid size)
{
    return pf_samples_of(size) * (2 * sizeof(float) + sizeof(uint16_t));
}

/* The levels of a large picture lie where the engine keeps the frame in hand: there is none now, and the first
 * touch of new memory is what costs a map most. */
static bool borrow(const struct map_job *job, int l, struct map_level *level)
{
    const struct pf_cpu_engine *engine = job->engine;
    struct pf_grid finest = job->level_of[0].size;
    if (finest.width < LEAST_BORROWED || finest.height < LEAST_BORROWED || l > PF_AROUND_LEVEL)
        return false;
    level->place = engine->evidence[l];
    level->confidence = l ? engine->fine_evidence[l] : (float *)engine->work[0];
    level->frame = (uint16_t *)engine->work[l + 1];
    return level->place && level->confidence && level->frame;
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
        if (!borrow(job, l, level)) {
            r = pf_room_take(&level->own, level_bytes(size), err);
            if (r < 0)
                break;
            level->place = level->own;
            level->confidence = level->place + cells;
            level->frame = (uint16_t *)(level->confidence + cells);
        }
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
    int won = has_winners(job, 1) ? 1 : 0;
    for (job->level = won; job->level >= least; job->level--)
        pf_pool_run(pool, job->level_of[job->level].size.height, ROWS_PER_PIECE, winner_rows, job);
    job->has_kept = job->kept.place != NULL;
    for (job->level = won + 1; job->level < job->levels; job->level++)
        pf_pool_run(pool, job->level_of[job->level].size.height, ROWS_PER_PIECE, reduce_rows, job);
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
    bool next = has_winners(job, 1);
    if (next) {
        float *room = job->level_of[0].place;
        size_t kept = pf_samples_of(job->level_of[1].size);
        job->kept = (struct words){room, room + kept, room + 2 * kept};
    }
    for (int round = 1; round < PF_MAP_ROUNDS; round++) {
        push_and_pull(job, next ? 1 : 0, job->around);
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
    /* First of all: the stack's luma, if it was given back, has its size. */
    int r = pf_image_new(&job.image, engine->size[0][0].width, engine->size[0][0].height, 16, 1, 0,
                         0, err);
    if (r == 0 && (r = make_levels(&job, &why)) < 0) {
        pf_fail(err, -r, "a map of the stack: %s", why.text);
        pf_image_free(job.image);
    }
    if (r == 0) {
        fill(&job);
        pf_pool_run(engine->pool, job.image->height, ROWS_PER_PIECE, export_rows, &job);
        *ret = job.image;
    }
    for (int l = 0; l < MAX_LEVELS; l++)
        pf_room_give(job.level_of[l].own, level_bytes(job.level_of[l].size));
    pf_room_give(job.smooth, pf_samples_of(pf_half(engine->size[0][0])) * sizeof(float));
    return r;
}
