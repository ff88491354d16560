#include "process/cpu/alignment.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/homography.h"

int pf_alignment_open(struct pf_alignment *alignment, const struct pf_stack_settings *settings,
                      struct pf_pool *pool, struct pf_error *err)
{
    memset(alignment, 0, sizeof(*alignment));
    alignment->settings = settings;
    alignment->pool = pool;
    return pf_ecc_new(&alignment->ecc, pf_kernels(0), pool, err);
}

void pf_alignment_close(struct pf_alignment *alignment)
{
    pf_ecc_free(alignment->ecc);
    pf_ecc_pyramid_free(&alignment->current);
    pf_ecc_pyramid_free(&alignment->predecessor);
    pf_ecc_pyramid_free(&alignment->before);
    pf_ecc_pyramid_free(&alignment->stack_view);
    pf_features_free(alignment->current_features);
    pf_features_free(alignment->predecessor_features);
    memset(alignment, 0, sizeof(*alignment));
}

void pf_alignment_next(struct pf_alignment *alignment)
{
    pf_ecc_pyramid_free(&alignment->current);
    alignment->current_features = pf_features_free(alignment->current_features);
}

void pf_alignment_keep(struct pf_alignment *alignment)
{
    pf_ecc_pyramid_free(&alignment->before);
    if (alignment->predecessor.count && pf_ecc_by_blocks(&alignment->predecessor))
        alignment->before = alignment->predecessor;
    else
        pf_ecc_pyramid_free(&alignment->predecessor);
    alignment->predecessor = alignment->current;
    memset(&alignment->current, 0, sizeof(alignment->current));
    pf_features_free(alignment->predecessor_features);
    alignment->predecessor_features = alignment->current_features;
    alignment->current_features = NULL;
}

struct measure_job {
    const struct pf_kernels *kernels;
    const struct pf_ecc_level *level;
    float *rows; /* three per thread */
    float *cells;
};

/* begin..end are rows of focus cells. */
static void measure_rows(void *context, int begin, int end, int thread)
{
    const struct measure_job *job = context;
    int width = job->level->width, height = job->level->height;
    float *ring = job->rows + (size_t)thread * 3 * (size_t)width;
    for (int cell_y = begin; cell_y < end; cell_y++) {
        int first = cell_y * height / PF_FOCUS_GRID, last = (cell_y + 1) * height / PF_FOCUS_GRID;
        float *cells = job->cells + (size_t)cell_y * PF_FOCUS_GRID;
        first = first < 1 ? 1 : first;
        last = last > height - 1 ? height - 1 : last;
        for (int y = first - 1; y <= last; y++) {
            job->kernels->root_row(ring + (size_t)(y % 3) * (size_t)width,
                                   job->level->pixels + (size_t)y * (size_t)width, width);
            if (y <= first)
                continue;
            const float *const rows[3] = {ring + (size_t)((y + 1) % 3) * (size_t)width,
                                          ring + (size_t)((y + 2) % 3) * (size_t)width,
                                          ring + (size_t)(y % 3) * (size_t)width};
            for (int cell_x = 0; cell_x < PF_FOCUS_GRID; cell_x++) {
                int left = cell_x * width / PF_FOCUS_GRID;
                int right = (cell_x + 1) * width / PF_FOCUS_GRID;
                cells[cell_x] += job->kernels->bend_sum(rows, left < 1 ? 1 : left,
                                                        right > width - 1 ? width - 1 : right);
            }
        }
    }
}

int pf_alignment_measure(const struct pf_ecc_pyramid *pyramid, struct pf_pool *pool,
                         struct pf_focus *ret, struct pf_error *err)
{
    struct measure_job job = {.kernels = pf_kernels(0)};
    size_t row = 3 * (size_t)pyramid->level[0].width * sizeof(*job.rows);
    job.rows = malloc((size_t)pf_pool_threads(pool) * row);
    if (!job.rows)
        return pf_fail(err, ENOMEM, "out of memory for the focus measure");
    for (int k = 0; k < PF_FOCUS_REDUCED && k < pyramid->count; k++) {
        job.level = &pyramid->level[k];
        job.cells = ret->reduced[k];
        pf_pool_run(pool, PF_FOCUS_GRID, 1, measure_rows, &job);
        float pixels =
            (float)job.level->width * (float)job.level->height / PF_FOCUS_GRID / PF_FOCUS_GRID;
        for (int c = 0; c < PF_FOCUS_GRID * PF_FOCUS_GRID; c++)
            job.cells[c] /= pixels;
    }
    free(job.rows);
    return 0;
}

/* Where the predecessor is not the target, the chain of steps has given a start that the coarse levels
 * could not better; the frame before it is two of these steps away. */
int pf_alignment_levels(enum pf_target target, bool search)
{
    return target == PF_TARGET_PREDECESSOR || search ? 0 : target == PF_TARGET_BEFORE ? 1 : 2;
}

int pf_alignment_both_ways(pf_alignment_direction *direction, void *context, enum pf_target target,
                           bool search, double h[9], struct pf_fit *ret, struct pf_error *err)
{
    struct pf_ecc_fit fit, back_fit;
    int r = direction(context, false, search, pf_alignment_levels(target, search), h, &fit, err);
    if (r < 0)
        return r;
    /* Between a sharp and a blurred picture correlation leans a little to one side; the same the
     * other way round leans to the other. */
    double back[9], forth[9];
    if (pf_homography_invert(back, h)) {
        r = direction(context, true, false, 1, back, &back_fit, err);
        if (r < 0)
            return r;
        if (back_fit.correlation > 0.9 * fit.correlation && pf_homography_invert(forth, back))
            for (int k = 0; k < 9; k++)
                h[k] = 0.5 * (h[k] + forth[k]);
    }
    *ret = (struct pf_fit){fit.correlation, fit.agreement, fit.overlap};
    return 0;
}

static const struct pf_ecc_pyramid *picture_of(const struct pf_alignment *alignment,
                                               enum pf_target target)
{
    return target == PF_TARGET_STACK    ? &alignment->stack_view
           : target == PF_TARGET_BEFORE ? &alignment->before
                                        : &alignment->predecessor;
}

/* How alike the detail of the target and of the frame in hand is, the frame lying as h says. */
static int ask_likeness(struct pf_alignment *alignment, enum pf_target target, const double h[9],
                        double *ret, struct pf_error *err)
{
    return pf_ecc_likeness(alignment->ecc, picture_of(alignment, target), &alignment->current, h,
                           ret, err);
}

struct both_pictures {
    struct pf_alignment *alignment;
    const struct pf_ecc_pyramid *target;
};

static int one_way(void *context, bool back, bool search, int levels, double h[9],
                   struct pf_ecc_fit *ret, struct pf_error *err)
{
    const struct both_pictures *both = context;
    struct pf_alignment *alignment = both->alignment;
    return pf_ecc_align(alignment->ecc, back ? &alignment->current : both->target,
                        back ? both->target : &alignment->current, alignment->settings->motion,
                        search, levels, h, ret, err);
}

int pf_alignment_align(struct pf_alignment *alignment, enum pf_target target, bool search,
                       double h[9], struct pf_fit *ret, struct pf_error *err)
{
    struct both_pictures both = {alignment, picture_of(alignment, target)};
    struct pf_ecc_fit fit;
    int r;
    if (!pf_ecc_by_blocks(both.target)) {
        r = pf_alignment_both_ways(one_way, &both, target, search, h, ret, err);
    } else { /* blocks favour neither picture */
        r = one_way(&both, false, search, pf_alignment_levels(target, search), h, &fit, err);
        if (r == 0)
            *ret = (struct pf_fit){fit.correlation, fit.agreement, fit.overlap, fit.certainty, 0};
    }
    return r < 0 ? r : ask_likeness(alignment, target, h, &ret->likeness, err);
}

/* Where features are only a start for correlation, pictures of this width are enough: a quarter of
 * the time and, for SIFT, of several hundred megabytes. */
#define START_WIDTH 800

static const struct pf_ecc_level *feature_level(const struct pf_stack_settings *settings,
                                                const struct pf_ecc_pyramid *pyramid)
{
    bool result = settings->align == PF_ALIGN_ORB || settings->align == PF_ALIGN_AKAZE ||
                  settings->align == PF_ALIGN_SIFT;
    return &pyramid->level[result ? 0 : pf_ecc_level_of_width(pyramid, START_WIDTH)];
}

int pf_alignment_find_features(struct pf_features **ret, const struct pf_stack_settings *settings,
                               const struct pf_ecc_pyramid *pyramid, enum pf_features_kind kind,
                               int threads, struct pf_error *err)
{
    const struct pf_ecc_level *level = feature_level(settings, pyramid);
    size_t count = (size_t)level->width * (size_t)level->height;
    uint8_t *grey = malloc(count);
    if (!grey)
        return pf_fail(err, ENOMEM, "out of memory for features");
    for (size_t i = 0; i < count; i++) {
        float code = pf_ecc_code(level->pixels[i]); /* for the eye */
        grey[i] = (uint8_t)(code < 255 ? code + 0.5f : 255);
    }
    int r = pf_features_new(ret, kind, grey, level->width, level->height, settings->equalise,
                            threads, err);
    free(grey);
    return r;
}

int pf_alignment_match(struct pf_alignment *alignment, enum pf_features_kind kind,
                       enum pf_target target, double h[9], struct pf_fit *ret,
                       struct pf_features_fit *ret_count, struct pf_error *err)
{
    const struct pf_ecc_pyramid *other = picture_of(alignment, target);
    struct pf_features *stack_features = NULL, **features = &alignment->predecessor_features;
    int r = 0;
    if (target == PF_TARGET_STACK)
        features = &stack_features;
    const struct pf_stack_settings *settings = alignment->settings;
    int threads = pf_pool_threads(alignment->pool);
    if (r == 0 && !*features)
        r = pf_alignment_find_features(features, settings, other, kind, threads, err);
    if (r == 0 && !alignment->current_features)
        r = pf_alignment_find_features(&alignment->current_features, settings, &alignment->current,
                                       kind, threads, err);
    if (r == 0)
        r = pf_features_match(*features, alignment->current_features, settings->motion, threads, h,
                              ret_count, err);
    pf_features_free(stack_features);
    if (r < 0)
        return r;
    struct pf_ecc_fit fit = {0};
    const struct pf_ecc_level *to = feature_level(settings, &alignment->current);
    const struct pf_ecc_level *from = feature_level(settings, other);
    const double up[9] = {to->scale, 0, to->offset, 0, to->scale, to->offset, 0, 0, 1};
    const double down[9] = {1 / from->scale,
                            0,
                            -from->offset / from->scale,
                            0,
                            1 / from->scale,
                            -from->offset / from->scale,
                            0,
                            0,
                            1};
    pf_homography_compose(h, h, down);
    pf_homography_compose(h, up, h);
    if (ret_count->inliers)
        r = pf_ecc_judge(alignment->ecc, other, &alignment->current, h, &fit, err);
    *ret = (struct pf_fit){fit.correlation, fit.agreement, fit.overlap};
    if (r == 0 && ret_count->inliers)
        r = ask_likeness(alignment, target, h, &ret->likeness, err);
    return r;
}
