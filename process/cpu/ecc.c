#include "process/cpu/ecc.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/cpu/ecc_blocks.h"
#include "process/cpu/ecc_step.h"
#include "process/cpu/likeness.h"

/* Levels up to this width are aligned by correlation, larger ones by blocks. */
#define CORRELATION_WIDTH 400

enum { ROWS_PER_PIECE = 16, PARAMETERS = PF_ECC_PARAMETERS };

struct pf_ecc {
    const struct pf_kernels *kernels;
    struct pf_pool *pool;
    float *memory;   /* sample, valid, gx, gy */
    size_t capacity; /* pixels of each */
    float *sample, *valid, *gx, *gy;
    /* Sums per piece of rows, added up in order: the result does not depend on the threads. */
    struct piece {
        struct pf_fit_sums fit;
        double step[PARAMETERS];
        double hessian[PARAMETERS * PARAMETERS];
    } * pieces;
    int piece_capacity;
    struct pf_ecc_blocks *blocks;
};

int pf_ecc_new(struct pf_ecc **ret, const struct pf_kernels *kernels, struct pf_pool *pool,
               struct pf_error *err)
{
    struct pf_ecc *ecc = calloc(1, sizeof(*ecc));
    if (!ecc)
        return pf_fail(err, ENOMEM, "out of memory for alignment");
    ecc->kernels = kernels;
    ecc->pool = pool;
    int r = pf_ecc_blocks_new(&ecc->blocks, err);
    if (r < 0) {
        pf_ecc_free(ecc);
        return r;
    }
    *ret = ecc;
    return 0;
}

struct pf_ecc *pf_ecc_free(struct pf_ecc *ecc)
{
    if (ecc) {
        free(ecc->memory);
        free(ecc->pieces);
        pf_ecc_blocks_free(ecc->blocks);
    }
    free(ecc);
    return NULL;
}

static int reserve(struct pf_ecc *ecc, int width, int height, struct pf_error *err)
{
    size_t pixels = (size_t)width * (size_t)height;
    int pieces = (height + ROWS_PER_PIECE - 1) / ROWS_PER_PIECE;
    if (pixels > ecc->capacity) {
        free(ecc->memory);
        ecc->capacity = 0;
        ecc->memory = malloc(4 * pixels * sizeof(float));
        if (!ecc->memory)
            return pf_fail(err, ENOMEM, "out of memory for alignment of %d x %d", width, height);
        ecc->capacity = pixels;
    }
    if (pieces > ecc->piece_capacity) {
        free(ecc->pieces);
        ecc->piece_capacity = 0;
        ecc->pieces = malloc((size_t)pieces * sizeof(*ecc->pieces));
        if (!ecc->pieces)
            return pf_fail(err, ENOMEM, "out of memory for alignment of %d x %d", width, height);
        ecc->piece_capacity = pieces;
    }
    ecc->sample = ecc->memory;
    ecc->valid = ecc->sample + ecc->capacity;
    ecc->gx = ecc->valid + ecc->capacity;
    ecc->gy = ecc->gx + ecc->capacity;
    return 0;
}

/* One level's work, shared by the row functions. */
struct level_job {
    struct pf_ecc *ecc;
    const struct pf_ecc_level *target, *image;
    double warp[9]; /* target column, row -> image column, row */
    float gain, sample_mean, target_mean;
    struct pf_ecc_frame frame;
};

static void gradient_rows(void *context, int begin, int end, int thread)
{
    const struct level_job *job = context;
    (void)thread;
    int width = job->target->width, height = job->target->height;
    float half_radius = 0.5f * (float)job->frame.radius;
    struct piece *piece = &job->ecc->pieces[begin / ROWS_PER_PIECE];
    memset(piece->hessian, 0, sizeof(piece->hessian));
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)width;
        float *gx = job->ecc->gx + at, *gy = job->ecc->gy + at;
        if (y < 1 || y > height - 2 || width < 3) {
            memset(gx, 0, (size_t)width * sizeof(float));
            memset(gy, 0, (size_t)width * sizeof(float));
            continue;
        }
        const float *row = job->target->pixels + at;
        for (int x = 1; x < width - 1; x++) {
            gx[x] = half_radius * (row[x + 1] - row[x - 1]);
            gy[x] = half_radius * (row[x + width] - row[x - width]);
        }
        gx[0] = gy[0] = gx[width - 1] = gy[width - 1] = 0;

        struct pf_hessian_sums sums = {0};
        job->ecc->kernels->hessian_row(&sums, gx, gy, width,
                                       (float)(-job->frame.centre_x / job->frame.radius),
                                       (float)(1 / job->frame.radius));
        /* The eight steepest descent images are gx * p + gy * q with p, q = sign u^a v^b. */
        static const struct {
            int sign, u, v;
        } p[PARAMETERS] = {{1, 0, 0}, {1, 1, 0}, {1, 0, 1},  {0, 0, 0},
                           {0, 0, 0}, {0, 0, 0}, {-1, 2, 0}, {-1, 1, 1}},
          q[PARAMETERS] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0},  {1, 0, 0},
                           {1, 1, 0}, {1, 0, 1}, {-1, 1, 1}, {-1, 0, 2}};
        double v = (y - job->frame.centre_y) / job->frame.radius;
        double powers[5] = {1, v, v * v, v * v * v, v * v * v * v};
        for (int i = 0; i < PARAMETERS; i++)
            for (int j = 0; j <= i; j++)
                piece->hessian[i * PARAMETERS + j] +=
                    p[i].sign * p[j].sign * powers[p[i].v + p[j].v] * sums.g[0][p[i].u + p[j].u] +
                    p[i].sign * q[j].sign * powers[p[i].v + q[j].v] * sums.g[1][p[i].u + q[j].u] +
                    q[i].sign * p[j].sign * powers[q[i].v + p[j].v] * sums.g[1][q[i].u + p[j].u] +
                    q[i].sign * q[j].sign * powers[q[i].v + q[j].v] * sums.g[2][q[i].u + q[j].u];
    }
}

static void fit_rows(void *context, int begin, int end, int thread)
{
    const struct level_job *job = context;
    (void)thread;
    const struct pf_kernels *kernels = job->ecc->kernels;
    int width = job->target->width;
    struct piece *piece = &job->ecc->pieces[begin / ROWS_PER_PIECE];
    memset(&piece->fit, 0, sizeof(piece->fit));
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)width;
        float *sample = job->ecc->sample + at, *valid = job->ecc->valid + at;
        kernels->sample_row(sample, valid, width, y, job->warp, job->image->pixels,
                            job->image->width, job->image->width, job->image->height);
        kernels->fit_row(&piece->fit, job->target->pixels + at, sample, valid, width);
    }
}

static void step_rows(void *context, int begin, int end, int thread)
{
    const struct level_job *job = context;
    (void)thread;
    int width = job->target->width;
    struct piece *piece = &job->ecc->pieces[begin / ROWS_PER_PIECE];
    double *step = piece->step;
    memset(piece->step, 0, sizeof(piece->step));
    for (int y = begin; y < end; y++) {
        size_t at = (size_t)y * (size_t)width;
        struct pf_step_sums sums = {0};
        job->ecc->kernels->step_row(&sums, job->target->pixels + at, job->ecc->sample + at,
                                    job->ecc->valid + at, job->ecc->gx + at, job->ecc->gy + at,
                                    width, job->gain, job->sample_mean, job->target_mean,
                                    (float)(-job->frame.centre_x / job->frame.radius),
                                    (float)(1 / job->frame.radius));
        double v = (y - job->frame.centre_y) / job->frame.radius;
        step[0] += sums.g[0][0];
        step[1] += sums.g[0][1];
        step[2] += v * sums.g[0][0];
        step[3] += sums.g[1][0];
        step[4] += sums.g[1][1];
        step[5] += v * sums.g[1][0];
        step[6] -= sums.g[0][2] + v * sums.g[1][1];
        step[7] -= v * sums.g[0][1] + v * v * sums.g[1][0];
    }
}

static int piece_count(const struct level_job *job)
{
    return (job->target->height + ROWS_PER_PIECE - 1) / ROWS_PER_PIECE;
}

static struct pf_ecc_fit_numbers measure_fit(struct level_job *job)
{
    pf_pool_run(job->ecc->pool, job->target->height, ROWS_PER_PIECE, fit_rows, job);
    struct pf_fit_sums sum = {0};
    for (int i = 0; i < piece_count(job); i++) {
        const struct pf_fit_sums *part = &job->ecc->pieces[i].fit;
        sum.count += part->count;
        sum.t += part->t;
        sum.i += part->i;
        sum.tt += part->tt;
        sum.ii += part->ii;
        sum.ti += part->ti;
    }
    return pf_ecc_fit_of(&sum, (double)job->target->width * job->target->height);
}

/* One step of the target's coordinates, as a map in columns and rows; false when there is none. */
static bool next_step(struct level_job *job, const struct pf_ecc_normal *normal,
                      const struct pf_ecc_fit_numbers *fit, double ret[9])
{
    job->gain = (float)fit->slope;
    job->sample_mean = (float)fit->sample_mean;
    job->target_mean = (float)fit->target_mean;
    pf_pool_run(job->ecc->pool, job->target->height, ROWS_PER_PIECE, step_rows, job);
    double sum[PARAMETERS] = {0};
    for (int i = 0; i < piece_count(job); i++)
        for (int k = 0; k < PARAMETERS; k++)
            sum[k] += job->ecc->pieces[i].step[k];
    return pf_ecc_next_step(normal, sum, &job->frame, ret);
}

static struct pf_ecc_scale scale_of(const struct pf_ecc_level *level)
{
    return (struct pf_ecc_scale){level->scale, level->offset};
}

/* Tries shifts; keeps the start unless another is clearly better. */
static void search_shift(struct level_job *job)
{
    double start[9], best[9];
    memcpy(start, job->warp, sizeof(start));
    memcpy(best, job->warp, sizeof(best));
    double most = measure_fit(job).correlation + 0.1;
    int reach_x, reach_y;
    pf_ecc_search_reach(job->target->width, job->target->height, &reach_x, &reach_y);
    for (int dy = -reach_y; dy <= reach_y; dy += 2) {
        for (int dx = -reach_x; dx <= reach_x; dx += 2) {
            const double shift[9] = {1, 0, dx, 0, 1, dy, 0, 0, 1};
            pf_homography_compose(job->warp, shift, start);
            struct pf_ecc_fit_numbers fit = measure_fit(job);
            if (fit.correlation > most) {
                most = fit.correlation;
                memcpy(best, job->warp, sizeof(best));
            }
        }
    }
    memcpy(job->warp, best, sizeof(best));
}

static struct pf_ecc_fit_numbers align_level(struct level_job *job, enum pf_motion motion,
                                             int most_steps, double tolerance_px)
{
    struct pf_ecc *ecc = job->ecc;
    double hessian[PARAMETERS * PARAMETERS] = {0};
    pf_pool_run(ecc->pool, job->target->height, ROWS_PER_PIECE, gradient_rows, job);
    for (int i = 0; i < piece_count(job); i++)
        for (int k = 0; k < PARAMETERS * PARAMETERS; k++)
            hessian[k] += ecc->pieces[i].hessian[k];
    struct pf_ecc_normal normal;
    pf_ecc_normal_of(&normal, hessian, motion);

    double best[9];
    memcpy(best, job->warp, sizeof(best));
    struct pf_ecc_fit_numbers best_fit = measure_fit(job), fit = best_fit;
    for (int step = 0; step < most_steps; step++) {
        double delta[9], inverse[9], before[9];
        if (!next_step(job, &normal, &fit, delta) || !pf_homography_invert(inverse, delta))
            break;
        memcpy(before, job->warp, sizeof(before));
        pf_homography_compose(job->warp, job->warp, inverse);
        double moved = pf_homography_corner_distance(before, job->warp, job->target->width,
                                                     job->target->height);
        if (!(moved < job->target->width))
            break;
        fit = measure_fit(job);
        if (fit.correlation > best_fit.correlation) {
            best_fit = fit;
            memcpy(best, job->warp, sizeof(best));
        }
        if (moved < tolerance_px || fit.correlation < best_fit.correlation - 0.05)
            break;
    }
    memcpy(job->warp, best, sizeof(best));
    return best_fit;
}

/* Moves job->warp to where the blocks of the level want it; back when correlation speaks against it.
 * ret: of the last warp that was measured, which is the result's but for less than the tolerance. */
static int refine_level(struct level_job *job, enum pf_motion motion, int most_steps,
                        struct pf_ecc_fit_numbers *ret, double *certainty, struct pf_error *err)
{
    struct pf_ecc *ecc = job->ecc;
    struct pf_ecc_blocks_view view = {.kernels = ecc->kernels,
                                      .pool = ecc->pool,
                                      .target = job->target,
                                      .image = job->image,
                                      .sample = ecc->sample,
                                      .frame = job->frame,
                                      .motion = motion};
    struct pf_ecc_fit_numbers first = measure_fit(job);
    *ret = first;
    for (int step = 0; step < most_steps; step++) {
        double delta[9], before[9];
        memcpy(before, job->warp, sizeof(before));
        memcpy(view.warp, job->warp, sizeof(before));
        int r = pf_ecc_blocks_step(ecc->blocks, &view, step > 0, delta, certainty, err);
        if (r <= 0)
            return r;
        pf_homography_compose(job->warp, job->warp, delta);
        double moved = pf_homography_corner_distance(before, job->warp, job->target->width,
                                                     job->target->height);
        if (moved < PF_ECC_BLOCKS_TOLERANCE_PX)
            return 0;
        struct pf_ecc_fit_numbers fit = measure_fit(job);
        if (!(fit.correlation > first.correlation - 0.02)) {
            memcpy(job->warp, before, sizeof(before));
            return 0;
        }
        *ret = fit;
    }
    return 0;
}

static struct pf_ecc_fit_numbers judge_level(struct pf_ecc *ecc,
                                             const struct pf_ecc_pyramid *target,
                                             const struct pf_ecc_pyramid *image, int level,
                                             const double h[9])
{
    struct level_job job = {
        .ecc = ecc, .target = &target->level[level], .image = &image->level[level]};
    pf_ecc_to_level(h, scale_of(job.target), scale_of(job.image), job.warp);
    return measure_fit(&job);
}

int pf_ecc_judge(struct pf_ecc *ecc, const struct pf_ecc_pyramid *target,
                 const struct pf_ecc_pyramid *image, const double h[9], struct pf_ecc_fit *ret,
                 struct pf_error *err)
{
    int r = reserve(ecc, target->level[0].width, target->level[0].height, err);
    if (r < 0)
        return r;
    struct pf_ecc_fit_numbers fit = judge_level(ecc, target, image, 0, h);
    ret->correlation = fit.correlation;
    ret->overlap = fit.overlap;
    int judge = pf_ecc_level_of_width(target, 400);
    judge = judge < image->count ? judge : image->count - 1;
    ret->agreement = judge_level(ecc, target, image, judge, h).correlation;
    return 0;
}

int pf_ecc_likeness(struct pf_ecc *ecc, const struct pf_ecc_pyramid *target,
                    const struct pf_ecc_pyramid *image, const double h[9], double *ret,
                    struct pf_error *err)
{
    int level = pf_ecc_level_of_width(target, PF_LIKENESS_WIDTH);
    level = level < image->count ? level : image->count - 1;
    int width = target->level[level].width, height = target->level[level].height;
    int r = reserve(ecc, width, height, err);
    if (r < 0)
        return r;
    judge_level(ecc, target, image, level, h);
    r = pf_likeness(target->level[level].pixels, ecc->sample, ecc->valid, width, height, ret);
    return r < 0 ? pf_fail(err, -r, "out of memory for comparing frames") : 0;
}

bool pf_ecc_by_blocks(const struct pf_ecc_pyramid *target)
{
    return target->level[0].scale > 1 && target->level[0].width > CORRELATION_WIDTH;
}

bool pf_ecc_level_by_blocks(const struct pf_ecc_pyramid *target, int level)
{
    return pf_ecc_by_blocks(target) && target->level[level].width > CORRELATION_WIDTH;
}

int pf_ecc_align(struct pf_ecc *ecc, const struct pf_ecc_pyramid *target,
                 const struct pf_ecc_pyramid *image, enum pf_motion motion, bool search, int levels,
                 double h[9], struct pf_ecc_fit *ret, struct pf_error *err)
{
    int r = reserve(ecc, target->level[0].width, target->level[0].height, err);
    if (r < 0)
        return r;
    int count = target->count < image->count ? target->count : image->count;
    int coarsest = levels && levels < count ? levels - 1 : count - 1;
    int judge = pf_ecc_level_of_width(target, 400);
    struct pf_ecc_fit_numbers fit = {0};
    *ret = (struct pf_ecc_fit){0};
    for (int level = coarsest; level >= 0; level--) {
        struct level_job job = {
            .ecc = ecc, .target = &target->level[level], .image = &image->level[level]};
        job.frame.centre_x = 0.5 * (job.target->width - 1);
        job.frame.centre_y = 0.5 * (job.target->height - 1);
        job.frame.radius = 0.5 * job.target->width;
        pf_ecc_to_level(h, scale_of(job.target), scale_of(job.image), job.warp);
        if (level == coarsest && search)
            search_shift(&job);
        /* The coarse levels carry too little to hold all of a large motion's parameters. */
        enum pf_motion here = level == count - 1 && count > 2 && motion > PF_MOTION_SIMILARITY
                                  ? PF_MOTION_SIMILARITY
                                  : motion;
        bool by_blocks = pf_ecc_level_by_blocks(target, level);
        if (!by_blocks || level == count - 1)
            fit = align_level(&job, here, level ? 30 : 10, level ? 0.01 : 0.004);
        if (by_blocks)
            r = refine_level(&job, here, pf_ecc_blocks_steps(levels), &fit, &ret->certainty, err);
        if (r < 0)
            return r;
        pf_ecc_to_full(job.warp, scale_of(job.target), scale_of(job.image), h);
        if (level == judge)
            ret->agreement = fit.correlation;
    }
    if (judge > coarsest)
        ret->agreement = judge_level(ecc, target, image, judge, h).correlation;
    ret->correlation = fit.correlation;
    ret->overlap = fit.overlap;
    return 0;
}
