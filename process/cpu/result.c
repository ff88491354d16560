/* What a stack gives: collapsed pyramids, previews, the depth map. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/cpu/engine.h"

enum { ROWS_PER_PIECE = 32 };

/* --- collapse --- */

struct collapse_job {
    struct pf_cpu_engine *engine;
    int plane, level;
    struct pf_grid coarse_size;
    const int16_t *coarse;
    int16_t *out;
    int low, high;
};

static void collapse_rows(void *context, int begin, int end, int thread)
{
    const struct collapse_job *job = context;
    struct pf_cpu_engine *engine = job->engine;
    struct pf_grid size = engine->size[job->plane][job->level], coarse = job->coarse_size;
    size_t pitch = ((size_t)engine->size[0][0].width + 31) / 16 * 16;
    int32_t *line = (int32_t *)(engine->scratch + (size_t)thread * engine->scratch_bytes);
    int32_t *expanded = line + pitch;
    for (int y = begin; y < end; y++) {
        const int16_t *rows[3];
        for (int k = 0; k < 3; k++)
            rows[k] = job->coarse +
                      (size_t)pf_clamp(y / 2 - 1 + k, 0, coarse.height - 1) * (size_t)coarse.width;
        size_t at = (size_t)y * (size_t)size.width;
        engine->kernels->expand_row(expanded, size.width, rows, coarse.width, y & 1, line);
        engine->kernels->collapse_row(job->out + at, engine->average[job->plane][job->level] + at,
                                      expanded, size.width, job->low, job->high);
    }
}

void pf_cpu_collapse(struct pf_cpu_engine *engine, int plane, int level, int16_t *out)
{
    struct collapse_job job = {
        .engine = engine, .plane = plane, .low = INT16_MIN, .high = INT16_MAX};
    struct pf_grid rest = engine->size[plane][engine->levels];
    if (level == engine->levels) {
        memcpy(out, engine->average[plane][level],
               (size_t)rest.width * (size_t)rest.height * sizeof(*out));
        return;
    }
    /* Two buffers in turn hold the levels between; the last one is `out`. The frame's own pyramid
     * is not in use now, but belongs to luma sizes, which chroma never exceeds. */
    const int16_t *coarse = engine->average[plane][engine->levels];
    for (job.level = engine->levels - 1; job.level >= level; job.level--) {
        job.coarse = coarse;
        job.coarse_size = engine->size[plane][job.level + 1];
        job.out = job.level == level ? out : engine->work[job.level];
        if (job.level == 0) {
            job.low = plane ? -PF_WHITE : 0;
            job.high = PF_WHITE;
        }
        pf_pool_run(engine->pool, engine->size[plane][job.level].height, ROWS_PER_PIECE,
                    collapse_rows, &job);
        coarse = job.out;
    }
}

/* --- images --- */

/* Engine samples to the full range of an image's own. */
static void export_row(void *out, const int16_t *in, int count, int bits, bool chroma)
{
    float scale = (bits == 8 ? 255.0f : 65535.0f) / PF_WHITE;
    float top = bits == 8 ? 255.0f : 65535.0f;
    float zero = (chroma ? (bits == 8 ? 128.0f : 32768.0f) : 0) + 0.5f;
    for (int x = 0; x < count; x++) {
        float value = (float)in[x] * scale + zero;
        value = value < 0 ? 0 : value > top ? top : value;
        if (bits == 8)
            ((uint8_t *)out)[x] = (uint8_t)value;
        else
            ((uint16_t *)out)[x] = (uint16_t)value;
    }
}

struct export_job {
    const int16_t *samples;
    struct pf_image *image;
    int plane;
};

static void export_rows(void *context, int begin, int end, int thread)
{
    const struct export_job *job = context;
    (void)thread;
    int width = pf_image_plane_width(job->image, job->plane);
    for (int y = begin; y < end; y++)
        export_row((char *)job->image->plane[job->plane] +
                       (size_t)y * job->image->stride_bytes[job->plane],
                   job->samples + (size_t)y * (size_t)width, width, job->image->bits,
                   job->plane > 0);
}

/* The stack at a level as an image. */
static int collapse_to_image(struct pf_cpu_engine *engine, int level, int bits,
                             struct pf_image **ret, struct pf_error *err)
{
    struct pf_image *image = NULL;
    struct pf_grid size = engine->size[0][level];
    int r = pf_image_new(&image, size.width, size.height, bits, engine->planes,
                         engine->chroma_shift_x, engine->chroma_shift_y, err);
    if (r < 0)
        return r;
    for (int plane = 0; plane < engine->planes; plane++) {
        /* The frame's pyramid of level 0 .. is free now: collapse in there. */
        int16_t *samples = engine->work[level];
        pf_cpu_collapse(engine, plane, level, samples);
        struct export_job job = {samples, image, plane};
        /* Halving rounds up, so a chroma level always has the size that the image expects. */
        pf_pool_run(engine->pool, pf_image_plane_height(image, plane), ROWS_PER_PIECE, export_rows,
                    &job);
    }
    *ret = image;
    return 0;
}

int pf_cpu_finish(void *opaque, struct pf_image **ret, struct pf_error *err)
{
    return collapse_to_image(opaque, 0, 16, ret, err);
}

int pf_cpu_preview(void *opaque, int max_width, struct pf_image **ret, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    int level = 0;
    while (level < engine->levels && engine->size[0][level].width > max_width)
        level++;
    return collapse_to_image(engine, level, 8, ret, err);
}

/* --- depth --- */

/* Sums of confidence and of confidence times place, one level of a push-pull pyramid. */
struct depth_level {
    struct pf_grid size;
    float *place, *confidence;
};

/* What a level's own winners say. */
static void depth_of_winners(const struct pf_cpu_engine *engine, int l, const int *rank,
                             int highest, struct depth_level *level)
{
    size_t cells = (size_t)level->size.width * (size_t)level->size.height;
    /* A level's energy holds the logarithms of all finer ones. */
    float noise = log2f(PF_ENERGY_FLOOR) * (float)(l + 1);
    for (size_t i = 0; i < cells; i++) {
        /* The winner's share of all weights (1 where one frame alone is sharp), and nothing where
         * even the winner shows no more than noise. */
        float share = exp2f(fminf(0, engine->best[l][i] - engine->log_total[l][i]));
        float energy = exp2f(fminf(60, engine->best[l][i] / PF_ENERGY_POWER - noise));
        float detail = energy > 1 ? (energy - 1) / (energy + 1) : 0;
        level->confidence[i] = share * share * share * detail;
        level->place[i] = level->confidence[i] * (float)rank[engine->winner[l][i]] / (float)highest;
    }
}

/* Means of what the finer level knows. */
static void depth_reduce(const struct depth_level *fine, struct depth_level *coarse)
{
    for (int y = 0; y < coarse->size.height; y++) {
        for (int x = 0; x < coarse->size.width; x++) {
            float place = 0, confidence = 0;
            for (int k = 0; k < 4; k++) {
                int fx = 2 * x + (k & 1), fy = 2 * y + (k >> 1);
                if (fx >= fine->size.width || fy >= fine->size.height)
                    continue;
                size_t at = (size_t)fy * (size_t)fine->size.width + (size_t)fx;
                place += fine->place[at];
                confidence += fine->confidence[at];
            }
            size_t at = (size_t)y * (size_t)coarse->size.width + (size_t)x;
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

/* Replaces sums by places, coarse to fine: what a level is unsure of it takes from the coarser. */
static void depth_fill(struct depth_level *levels, int count)
{
    const float doubt = 0.1f;
    for (int l = count - 1; l >= 0; l--) {
        struct depth_level *level = &levels[l];
        for (int y = 0; y < level->size.height; y++) {
            for (int x = 0; x < level->size.width; x++) {
                size_t at = (size_t)y * (size_t)level->size.width + (size_t)x;
                if (l == count - 1) {
                    level->place[at] /= level->confidence[at] + 1e-6f;
                    continue;
                }
                float coarse = sample_twice(levels[l + 1].place, levels[l + 1].size, x, y);
                level->place[at] =
                    (level->place[at] + doubt * coarse) / (level->confidence[at] + doubt);
            }
        }
    }
}

struct depth_export {
    const struct depth_level *level;
    struct pf_image *image;
};

static void depth_export_rows(void *context, int begin, int end, int thread)
{
    const struct depth_export *job = context;
    (void)thread;
    for (int y = begin; y < end; y++) {
        uint16_t *out =
            (uint16_t *)((char *)job->image->plane[0] + (size_t)y * job->image->stride_bytes[0]);
        for (int x = 0; x < job->image->width; x++) {
            float place = sample_twice(job->level->place, job->level->size, x, y);
            place = place < 0 ? 0 : place > 1 ? 1 : place;
            out[x] = (uint16_t)(place * 65535.0f + 0.5f);
        }
    }
}

int pf_cpu_depth(void *opaque, const int *rank, int count, struct pf_image **ret,
                 struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    struct depth_level levels[24] = {{.size = pf_half(engine->size[0][0])}};
    struct pf_image *image = NULL;
    int level_total = 0, highest = 1, r = 0;
    for (int l = 0; l < 24; l++) {
        if (l)
            levels[l].size = pf_half(levels[l - 1].size);
        size_t cells = (size_t)levels[l].size.width * (size_t)levels[l].size.height;
        levels[l].place = malloc(2 * cells * sizeof(float));
        if (!levels[l].place) {
            r = pf_fail(err, ENOMEM, "out of memory for the depth map");
            goto out;
        }
        levels[l].confidence = levels[l].place + cells;
        level_total = l + 1;
        if (cells == 1)
            break;
    }
    for (int i = 0; i < count; i++)
        highest = rank[i] > highest ? rank[i] : highest;
    for (int l = 0; l < level_total; l++) {
        if (l < PF_CPU_DEPTH_LEVELS && l < engine->levels)
            depth_of_winners(engine, l, rank, highest, &levels[l]);
        else
            depth_reduce(&levels[l - 1], &levels[l]);
    }
    depth_fill(levels, level_total);
    r = pf_image_new(&image, engine->size[0][0].width, engine->size[0][0].height, 16, 1, 0, 0, err);
    if (r < 0)
        goto out;
    struct depth_export job = {&levels[0], image};
    pf_pool_run(engine->pool, image->height, ROWS_PER_PIECE, depth_export_rows, &job);
    *ret = image;
out:
    for (int l = 0; l < 24; l++)
        free(levels[l].place);
    return r;
}
