/* Pyramids of light for alignment; see ecc.h. */
#include "process/cpu/ecc.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_PER_PIECE = 16, COARSEST_SIDE = 40, MOST_HALVINGS = 24, MOST_SEARCHED = 1 << 28 };

struct halving {
    const struct pf_kernels *kernels;
    const struct pf_ecc_level *from;
    struct pf_ecc_level *to;
};

static void halve_rows(void *context, int begin, int end, int thread)
{
    const struct halving *job = context;
    (void)thread;
    int width = job->from->width, height = job->from->height;
    for (int y = begin; y < end; y++) {
        const float *upper = job->from->pixels + (size_t)(2 * y) * (size_t)width;
        job->kernels->halve_row(job->to->pixels + (size_t)y * (size_t)job->to->width,
                                job->to->width, upper, 2 * y + 1 < height ? upper + width : upper,
                                width);
    }
}

static int new_level(struct pf_ecc_level *level, int width, int height, double scale, double offset,
                     struct pf_error *err)
{
    level->pixels = malloc((size_t)width * (size_t)height * sizeof(float));
    if (!level->pixels)
        return pf_fail(err, ENOMEM, "out of memory for a %d x %d alignment level", width, height);
    level->width = width;
    level->height = height;
    level->scale = scale;
    level->offset = offset;
    return 0;
}

/* One mean of 2 x 2 further. */
static int halve(struct pf_ecc_level *to, const struct pf_ecc_level *from,
                 const struct pf_kernels *kernels, struct pf_pool *pool, struct pf_error *err)
{
    int r = new_level(to, (from->width + 1) / 2, (from->height + 1) / 2, 2 * from->scale,
                      from->offset + from->scale / 2, err);
    if (r < 0)
        return r;
    struct halving job = {kernels, from, to};
    pf_pool_run(pool, to->height, ROWS_PER_PIECE, halve_rows, &job);
    return 0;
}

/* From a decoded plane to the finest level, several halvings at once: what lies between is as large as a
 * frame, so a thread keeps two rows of each. */
struct reduction {
    const struct pf_kernels *kernels;
    const struct pf_source_plane *source;
    int halvings;
    int width[MOST_HALVINGS + 1], height[MOST_HALVINGS + 1]; /* by halvings */
    struct pf_ecc_level *to;
    float *rows;
    size_t row_floats; /* of a thread's */
};

/* `rows`: two for each halving from the first to the one before. */
static void reduced_row(const struct reduction *job, int halvings, int y, float *out, float *rows)
{
    if (halvings == 1) {
        job->kernels->halve_source_row(out, job->width[1], y, job->source);
        return;
    }
    int width = job->width[halvings - 1];
    float *upper = rows, *lower = upper + width;
    reduced_row(job, halvings - 1, 2 * y, upper, rows + 2 * (size_t)width);
    if (2 * y + 1 < job->height[halvings - 1])
        reduced_row(job, halvings - 1, 2 * y + 1, lower, rows + 2 * (size_t)width);
    else
        lower = upper;
    job->kernels->halve_row(out, job->width[halvings], upper, lower, width);
}

static void reduced_rows(void *context, int begin, int end, int thread)
{
    const struct reduction *job = context;
    for (int y = begin; y < end; y++)
        reduced_row(job, job->halvings, y, job->to->pixels + (size_t)y * (size_t)job->to->width,
                    job->rows + (size_t)thread * job->row_floats);
}

static int reduce(struct pf_ecc_level *to, const struct pf_source_plane *source, int halvings,
                  const struct pf_kernels *kernels, struct pf_pool *pool, struct pf_error *err)
{
    struct reduction job = {.kernels = kernels, .source = source, .halvings = halvings, .to = to};
    job.width[0] = source->width;
    job.height[0] = source->height;
    for (int i = 1; i <= halvings; i++) {
        job.width[i] = (job.width[i - 1] + 1) / 2;
        job.height[i] = (job.height[i - 1] + 1) / 2;
        job.row_floats += i < halvings ? 2 * (size_t)job.width[i] : 0;
    }
    double scale = ldexp(1, halvings);
    int r = new_level(to, job.width[halvings], job.height[halvings], scale, 0.5 * (scale - 1), err);
    if (r < 0)
        return r;
    if (halvings > 1) {
        job.rows = malloc((size_t)pf_pool_threads(pool) * job.row_floats * sizeof(*job.rows));
        if (!job.rows)
            return pf_fail(err, ENOMEM, "out of memory for an alignment level");
    }
    pf_pool_run(pool, to->height, ROWS_PER_PIECE, reduced_rows, &job);
    free(job.rows);
    return 0;
}

int pf_ecc_halvings(int width)
{
    int halvings = width >= 640;
    while (width >> halvings > PF_ECC_MAX_WIDTH)
        halvings++;
    return halvings;
}

void pf_ecc_search_reach(int width, int height, int *ret_x, int *ret_y)
{
    int64_t pixels = (int64_t)width * height;
    *ret_x = width / 5;
    *ret_y = height / 5;
    while ((*ret_x || *ret_y) && (*ret_x + 1ll) * (*ret_y + 1ll) * pixels > MOST_SEARCHED)
        *(*ret_x > *ret_y ? ret_x : ret_y) /= 2;
}

/* Adds coarser levels below the first one. */
static int complete(struct pf_ecc_pyramid *pyramid, const struct pf_kernels *kernels,
                    struct pf_pool *pool, struct pf_error *err)
{
    while (pyramid->count < PF_ECC_MAX_LEVELS) {
        const struct pf_ecc_level *last = &pyramid->level[pyramid->count - 1];
        if (last->width < 2 * COARSEST_SIDE || last->height < 2 * COARSEST_SIDE)
            break;
        int r = halve(&pyramid->level[pyramid->count], last, kernels, pool, err);
        if (r < 0)
            return r;
        pyramid->count++;
    }
    return 0;
}

struct conversion {
    const struct pf_kernels *kernels;
    const struct pf_source_plane *source;
    const int16_t *samples;
    int stride;
    int16_t *row; /* one row of samples, for a source */
    struct pf_ecc_level *to;
};

/* A source is converted in one piece: it is small, or it would be halved. */
static void convert_rows(void *context, int begin, int end, int thread)
{
    const struct conversion *job = context;
    (void)thread;
    int width = job->to->width;
    for (int y = begin; y < end; y++) {
        if (job->source)
            job->kernels->convert_row(job->row, width, y, job->source);
        job->kernels->light_row(
            job->to->pixels + (size_t)y * (size_t)width,
            job->source ? job->row : job->samples + (size_t)y * (size_t)job->stride, width);
    }
}

int pf_ecc_pyramid_of_source(struct pf_ecc_pyramid *ret, const struct pf_source_plane *luma,
                             const struct pf_kernels *kernels, struct pf_pool *pool,
                             struct pf_error *err)
{
    struct pf_ecc_pyramid pyramid = {0};
    int halvings = pf_ecc_halvings(luma->width), r;
    if (halvings == 0) {
        r = new_level(&pyramid.level[0], luma->width, luma->height, 1, 0, err);
        if (r < 0)
            goto fail;
        struct conversion job = {.kernels = kernels, .source = luma, .to = &pyramid.level[0]};
        job.row = malloc((size_t)luma->width * sizeof(*job.row));
        if (!job.row) {
            r = pf_fail(err, ENOMEM, "out of memory for an alignment level");
            goto fail;
        }
        pf_pool_run(NULL, luma->height, ROWS_PER_PIECE, convert_rows, &job);
        free(job.row);
    } else {
        r = reduce(&pyramid.level[0], luma, halvings, kernels, pool, err);
        if (r < 0)
            goto fail;
    }
    pyramid.count = 1;
    r = complete(&pyramid, kernels, pool, err);
    if (r < 0)
        goto fail;
    *ret = pyramid;
    return 0;
fail:
    pyramid.count = PF_ECC_MAX_LEVELS;
    pf_ecc_pyramid_free(&pyramid);
    return r;
}

int pf_ecc_pyramid_of_samples(struct pf_ecc_pyramid *ret, const int16_t *samples, int stride,
                              int width, int height, double scale, double offset,
                              const struct pf_kernels *kernels, struct pf_pool *pool,
                              struct pf_error *err)
{
    struct pf_ecc_pyramid pyramid = {0};
    int r = new_level(&pyramid.level[0], width, height, scale, offset, err);
    if (r < 0)
        return r;
    pyramid.count = 1;
    struct conversion job = {
        .kernels = kernels, .samples = samples, .stride = stride, .to = &pyramid.level[0]};
    pf_pool_run(pool, height, ROWS_PER_PIECE, convert_rows, &job);
    r = complete(&pyramid, kernels, pool, err);
    if (r < 0) {
        pf_ecc_pyramid_free(&pyramid);
        return r;
    }
    *ret = pyramid;
    return 0;
}

int pf_ecc_pyramid_of_light(struct pf_ecc_pyramid *ret, const float *light, int width, int height,
                            double scale, double offset, const struct pf_kernels *kernels,
                            struct pf_pool *pool, struct pf_error *err)
{
    struct pf_ecc_pyramid pyramid = {0};
    int r = new_level(&pyramid.level[0], width, height, scale, offset, err);
    if (r < 0)
        return r;
    memcpy(pyramid.level[0].pixels, light, (size_t)width * (size_t)height * sizeof(*light));
    pyramid.count = 1;
    r = complete(&pyramid, kernels, pool, err);
    if (r < 0) {
        pf_ecc_pyramid_free(&pyramid);
        return r;
    }
    *ret = pyramid;
    return 0;
}

void pf_ecc_pyramid_free(struct pf_ecc_pyramid *pyramid)
{
    for (int i = 0; i < pyramid->count; i++)
        free(pyramid->level[i].pixels);
    memset(pyramid, 0, sizeof(*pyramid));
}

int pf_ecc_level_of_width(const struct pf_ecc_pyramid *pyramid, int width)
{
    int level = 0;
    while (level + 1 < pyramid->count && pyramid->level[level].width > width)
        level++;
    return level;
}

double pf_ecc_contrast(const struct pf_ecc_pyramid *pyramid)
{
    const struct pf_ecc_level *level = &pyramid->level[pf_ecc_level_of_width(pyramid, 200)];
    size_t count = (size_t)level->width * (size_t)level->height;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double code = (double)pf_ecc_code(level->pixels[i]);
        sum += code;
        squares += code * code;
    }
    double mean = sum / (double)count;
    return sqrt(fmax(0, squares / (double)count - mean * mean));
}
