/* `average`: each sample of the stack is the mean of the frames' samples, with those left out that
 * lie more than `clip` standard deviations from the mean so far (0: none are).
 *
 * Mean and variance run along per sample (Welford 1962), so memory does not grow with the frames.
 * What that cannot do, where a clipped mean over all frames at hand can: a frame is judged by those
 * before it, so the first few always count, an outlier among them stays in and widens what
 * is let in after it, and another order of the frames may give a slightly different picture. A plain
 * mean has none of this. What is transparent in a frame is no sample of it; where no frame has shown
 * anything yet, the last one's filling stands in. There are no weights, and so neither depth nor any other map.
 */
#include <math.h>

#include "process/cpu/fuse.h"

static void lay_out(struct pf_cpu_engine *engine, struct pf_arena *arena)
{
    for (int plane = 0; plane < engine->planes; plane++) {
        size_t samples = pf_samples_of(engine->size[plane][0]);
        engine->mean[plane] = pf_arena_take(arena, samples, sizeof(float));
        if (engine->settings.clip > 0)
            engine->deviations[plane] = pf_arena_take(arena, samples, sizeof(float));
        engine->frames[plane] = pf_arena_take(arena, samples, sizeof(uint16_t));
    }
}

static void clear(struct pf_cpu_engine *engine)
{
    for (int plane = 0; plane < engine->planes; plane++) {
        size_t samples = pf_samples_of(engine->size[plane][0]);
        pf_fuse_fill(engine, engine->mean[plane], samples * sizeof(float), 0);
        if (engine->deviations[plane])
            pf_fuse_fill(engine, engine->deviations[plane], samples * sizeof(float), 0);
        pf_fuse_fill(engine, engine->frames[plane], samples * sizeof(uint16_t), 0);
    }
}

static bool has_picture(const struct pf_fuse_job *job, int x, int y)
{
    double at[1][2];
    pf_fuse_path(job, job->plane, x, y, 0, 1, at);
    return at[0][0] >= 0 && at[0][1] >= 0 && at[0][0] <= job->source.width - 1 &&
           at[0][1] <= job->source.height - 1;
}

/* Columns [*ret_left, *ret_right) of row y that the frame has; a row of a convex outline. */
static void covered_columns(const struct pf_fuse_job *job, int y, int width, int *ret_left,
                            int *ret_right)
{
    int left = 0, right = width;
    while (!job->covered && left < right && !has_picture(job, left, y))
        left++;
    while (!job->covered && right > left && !has_picture(job, right - 1, y))
        right--;
    *ret_left = left;
    *ret_right = right;
}

static void average_row(float *restrict mean, uint16_t *restrict frames,
                        const int16_t *restrict sample, int count)
{
    for (int x = 0; x < count; x++) {
        frames[x] = (uint16_t)(frames[x] + (frames[x] < UINT16_MAX));
        mean[x] += ((float)sample[x] - mean[x]) / (float)frames[x];
    }
}

static void clipped_row(float *restrict mean, float *restrict deviations, uint16_t *restrict frames,
                        const int16_t *restrict sample, int count, float clip)
{
    for (int x = 0; x < count; x++) {
        float n = (float)frames[x], before = (float)sample[x] - mean[x];
        float variance = fmaxf(deviations[x] / fmaxf(n - 1, 1),
                               PF_AVERAGE_LEAST_DEVIATION * PF_AVERAGE_LEAST_DEVIATION);
        if (frames[x] >= PF_AVERAGE_SEED_FRAMES && before * before > clip * clip * variance)
            continue;
        n += 1;
        frames[x] = (uint16_t)(frames[x] + (frames[x] < UINT16_MAX));
        mean[x] += before / n;
        deviations[x] += before * ((float)sample[x] - mean[x]);
    }
}

static void filled_row(float *restrict mean, const uint16_t *restrict frames,
                       const int16_t *restrict sample, int count)
{
    for (int x = 0; x < count; x++)
        mean[x] = frames[x] ? mean[x] : (float)sample[x];
}

/* Columns [left, right) of row y. */
static void join(const struct pf_fuse_job *job, int y, int left, int right, bool shown)
{
    struct pf_cpu_engine *engine = job->engine;
    size_t at = (size_t)y * (size_t)engine->size[job->plane][0].width + (size_t)left;
    float *mean = engine->mean[job->plane] + at;
    uint16_t *frames = engine->frames[job->plane] + at;
    const int16_t *sample = engine->work[0] + at;
    if (!shown)
        filled_row(mean, frames, sample, right - left);
    else if (engine->deviations[job->plane])
        clipped_row(mean, engine->deviations[job->plane] + at, frames, sample, right - left,
                    (float)engine->settings.clip);
    else
        average_row(mean, frames, sample, right - left);
}

/* Which of the columns the frame shows something in: all four pixels around the place are covered. */
static void look_at_cover(const struct pf_fuse_job *job, int y, int left, int right, bool *shown)
{
    enum { PIECE = 64 };
    const struct pf_image *frame = job->engine->frame;
    double at[PIECE][2];
    for (int begin = left; begin < right; begin += PIECE) {
        int count = right - begin < PIECE ? right - begin : PIECE;
        pf_fuse_path(job, 0, begin, y, 1, count, at);
        for (int i = 0; i < count; i++) {
            shown[begin + i] = true;
            for (int corner = 0; corner < 4; corner++) {
                int px = pf_clamp((int)floor(at[i][0]) + (corner & 1), 0, frame->width - 1);
                int py = pf_clamp((int)floor(at[i][1]) + (corner >> 1), 0, frame->height - 1);
                shown[begin + i] &=
                    frame->cover[(size_t)py * (size_t)frame->width + (size_t)px] == 255;
            }
        }
    }
}

static void join_rows(void *context, int begin, int end, int thread)
{
    const struct pf_fuse_job *job = context;
    int width = job->engine->size[job->plane][0].width;
    bool *shown = pf_fuse_scratch(job, thread);
    for (int y = begin; y < end; y++) {
        int left, right;
        covered_columns(job, y, width, &left, &right);
        if (!job->engine->frame->cover) {
            join(job, y, left, right, true);
            continue;
        }
        look_at_cover(job, y, left, right, shown);
        for (int run = left; left < right; left = run) {
            while (run < right && shown[run] == shown[left])
                run++;
            join(job, y, left, run, shown[left]);
        }
    }
}

static void fuse_plane(struct pf_fuse_job *job)
{
    pf_pool_run(job->engine->pool, job->engine->size[job->plane][0].height, PF_FUSE_ROWS_PER_PIECE,
                join_rows, job);
}

static void collapse(struct pf_cpu_engine *engine, int plane, int level, int16_t *out)
{
    size_t samples = pf_samples_of(engine->size[plane][0]);
    int16_t *full = level ? engine->work[0] : out;
    for (size_t i = 0; i < samples; i++)
        full[i] = (int16_t)((int)(engine->mean[plane][i] + 65536.5f) - 65536);
    if (level)
        pf_fuse_reduce_between(engine, plane, 0, level, out);
}

const struct pf_fuser pf_fuser_average = {
    .lay_out = lay_out, .clear = clear, .fuse_plane = fuse_plane, .collapse = collapse};
