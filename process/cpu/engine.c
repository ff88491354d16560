#include "process/cpu/fuse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/homography.h"

static void cpu_close(void *opaque)
{
    struct pf_cpu_engine *engine = opaque;
    if (!engine)
        return;
    pf_ecc_free(engine->ecc);
    pf_ecc_pyramid_free(&engine->current);
    pf_ecc_pyramid_free(&engine->predecessor);
    pf_ecc_pyramid_free(&engine->stack_view);
    pf_features_free(engine->current_features);
    pf_features_free(engine->predecessor_features);
    free(engine->memory);
    free(engine);
}

static int cpu_open(void **ret, const struct pf_stack_settings *settings, struct pf_pool *pool,
                    struct pf_error *err)
{
    struct pf_cpu_engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return pf_fail(err, ENOMEM, "out of memory for the engine");
    engine->settings = *settings;
    engine->pool = pool;
    engine->kernels = pf_kernels(0);
    engine->fuser = pf_cpu_fuser(settings->fuse);
    int r = pf_ecc_new(&engine->ecc, engine->kernels, pool, err);
    if (r < 0) {
        cpu_close(engine);
        return r;
    }
    *ret = engine;
    return 0;
}

/* --- focus measure and light: one pass over the luma --- */

enum { LIGHT_ROWS = PF_CPU_LIGHT_GRID / PF_FOCUS_GRID };

struct measure_job {
    const struct pf_kernels *kernels;
    struct pf_source_plane luma;
    int16_t *rows; /* three per thread */
    struct pf_focus_sums (*cells)[PF_FOCUS_GRID];
    struct pf_light_grid *light;
};

static int cell_start(int cell, int cells, int length)
{
    return (int)((int64_t)cell * length / cells);
}

/* Adds a row of samples to its row of light cells. */
static void add_light(const struct measure_job *job, const int16_t *row, int y)
{
    int width = job->luma.width, height = job->luma.height;
    int cell_y = (int)(((int64_t)y * PF_CPU_LIGHT_GRID + PF_CPU_LIGHT_GRID - 1) / height);
    while (cell_y > 0 && cell_start(cell_y, PF_CPU_LIGHT_GRID, height) > y)
        cell_y--;
    int rows = cell_start(cell_y + 1, PF_CPU_LIGHT_GRID, height) -
               cell_start(cell_y, PF_CPU_LIGHT_GRID, height);
    for (int cell_x = 0; cell_x < PF_CPU_LIGHT_GRID; cell_x++) {
        int left = cell_start(cell_x, PF_CPU_LIGHT_GRID, width);
        int right = cell_start(cell_x + 1, PF_CPU_LIGHT_GRID, width);
        if (right > left)
            job->light->cell[cell_y][cell_x] +=
                job->kernels->light_sum(row + left, right - left) / (float)((right - left) * rows);
    }
}

/* begin..end are rows of focus cells, LIGHT_ROWS light cells each. */
static void measure_rows(void *context, int begin, int end, int thread)
{
    const struct measure_job *job = context;
    int width = job->luma.width, height = job->luma.height;
    int16_t *ring = job->rows + (size_t)thread * 3 * (size_t)width;
    for (int cell_y = begin; cell_y < end; cell_y++) {
        int first = cell_start(cell_y, PF_FOCUS_GRID, height);
        int last = cell_start(cell_y + 1, PF_FOCUS_GRID, height);
        for (int y = first - 1; y <= last && first < last; y++) {
            int16_t *row = ring + (size_t)((y + 3) % 3) * (size_t)width;
            if (y < 0 || y >= height)
                continue;
            job->kernels->convert_row(row, width, y, &job->luma);
            if (y >= first && y < last)
                add_light(job, row, y);
            if (y - 1 < first || y < 2)
                continue;
            const int16_t *const rows[3] = {ring + (size_t)((y + 1) % 3) * (size_t)width,
                                            ring + (size_t)((y + 2) % 3) * (size_t)width, row};
            for (int cell_x = 0; cell_x < PF_FOCUS_GRID; cell_x++) {
                int left = cell_start(cell_x, PF_FOCUS_GRID, width);
                int right = cell_start(cell_x + 1, PF_FOCUS_GRID, width);
                job->kernels->focus_row(&job->cells[cell_y][cell_x], rows, left < 1 ? 1 : left,
                                        right > width - 1 ? width - 1 : right);
            }
        }
    }
}

static int measure(struct pf_cpu_engine *engine, struct pf_focus *ret, struct pf_error *err)
{
    struct pf_focus_sums cells[PF_FOCUS_GRID][PF_FOCUS_GRID];
    memset(cells, 0, sizeof(cells));
    memset(&engine->light, 0, sizeof(engine->light));
    struct measure_job job = {.kernels = engine->kernels,
                              .luma = pf_cpu_source(engine->frame, 0, 1),
                              .cells = cells,
                              .light = &engine->light};
    int width = job.luma.width, height = job.luma.height;
    *ret = (struct pf_focus){0};
    job.rows = malloc((size_t)pf_pool_threads(engine->pool) * 3 * (size_t)width * sizeof(int16_t));
    if (!job.rows)
        return pf_fail(err, ENOMEM, "out of memory for the focus measure");
    pf_pool_run(engine->pool, PF_FOCUS_GRID, 1, measure_rows, &job);
    free(job.rows);
    if (width < 3 || height < 3)
        return 0;

    struct pf_focus_sums all = {0};
    double pixels = (double)(width - 2) * (height - 2);
    double cell_pixels = (double)width * height / (PF_FOCUS_GRID * PF_FOCUS_GRID);
    for (int i = 0; i < PF_FOCUS_GRID * PF_FOCUS_GRID; i++) {
        const struct pf_focus_sums *cell = &cells[i / PF_FOCUS_GRID][i % PF_FOCUS_GRID];
        all.laplacian += cell->laplacian;
        all.laplacian_squared += cell->laplacian_squared;
        all.tenengrad += cell->tenengrad;
        all.modified_laplacian += cell->modified_laplacian;
        ret->grid[i] = (float)(cell->modified_laplacian / cell_pixels);
        ret->gradient[i] = (float)sqrt(cell->tenengrad / cell_pixels);
        if (cell->tenengrad > 0) {
            ret->direction[0][i] = (float)(cell->along / cell->tenengrad);
            ret->direction[1][i] = (float)(cell->aslant / cell->tenengrad);
        }
    }
    double mean = all.laplacian / pixels;
    ret->laplacian_variance = all.laplacian_squared / pixels - mean * mean;
    ret->tenengrad = all.tenengrad / pixels;
    ret->modified_laplacian = all.modified_laplacian / pixels;
    return 0;
}

/* Light of a grid at cell coordinates, bilinear; false outside. */
static bool light_at(const struct pf_light_grid *grid, double x, double y, double *ret)
{
    int ix = (int)floor(x), iy = (int)floor(y);
    if (ix < 0 || iy < 0 || ix + 1 >= PF_CPU_LIGHT_GRID || iy + 1 >= PF_CPU_LIGHT_GRID)
        return false;
    double tx = x - ix, ty = y - iy;
    const float(*cell)[PF_CPU_LIGHT_GRID] = &grid->cell[iy];
    *ret = (1 - ty) * ((1 - tx) * (double)cell[0][ix] + tx * (double)cell[0][ix + 1]) +
           ty * ((1 - tx) * (double)cell[1][ix] + tx * (double)cell[1][ix + 1]);
    return true;
}

static double cpu_gain(void *opaque, const double h[9])
{
    struct pf_cpu_engine *engine = opaque;
    double cell_width = (double)engine->frame->width / PF_CPU_LIGHT_GRID;
    double cell_height = (double)engine->frame->height / PF_CPU_LIGHT_GRID;
    double reference = 0, here = 0;
    for (int y = 0; engine->memory && y < PF_CPU_LIGHT_GRID; y++) {
        for (int x = 0; x < PF_CPU_LIGHT_GRID; x++) {
            double px, py, value;
            pf_homography_apply(h, (x + 0.5) * cell_width - 0.5, (y + 0.5) * cell_height - 0.5, &px,
                                &py);
            if (!light_at(&engine->light, (px + 0.5) / cell_width - 0.5,
                          (py + 0.5) / cell_height - 0.5, &value))
                continue;
            here += value;
            reference += (double)engine->reference_light.cell[y][x];
        }
    }
    return here > 1e-9 && reference > 1e-9 ? pow(reference / here, 1 / 2.2) : 1;
}

/* --- the frame in hand --- */

static int cpu_load(void *opaque, const struct pf_image *frame, struct pf_focus *ret_focus,
                    double *ret_contrast, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    engine->frame = frame;
    pf_ecc_pyramid_free(&engine->current);
    engine->current_features = pf_features_free(engine->current_features);
    struct pf_source_plane luma = pf_cpu_source(frame, 0, 1);
    int r = pf_ecc_pyramid_of_source(&engine->current, &luma, engine->kernels, engine->pool, err);
    if (r < 0)
        return r;
    *ret_contrast = pf_ecc_contrast(&engine->current);
    return measure(engine, ret_focus, err);
}

static void cpu_keep(void *opaque)
{
    struct pf_cpu_engine *engine = opaque;
    pf_ecc_pyramid_free(&engine->predecessor);
    engine->predecessor = engine->current;
    memset(&engine->current, 0, sizeof(engine->current));
    pf_features_free(engine->predecessor_features);
    engine->predecessor_features = engine->current_features;
    engine->current_features = NULL;
    engine->frame = NULL;
}

/* --- alignment --- */

/* The stack's luma at the resolution of alignment, or the finest that the pyramid has. */
static int make_stack_view(struct pf_cpu_engine *engine, struct pf_error *err)
{
    int level = pf_ecc_halvings(engine->size[0][0].width);
    level = level > engine->levels ? engine->levels : level;
    struct pf_grid size = engine->size[0][level];
    int16_t *samples = malloc((size_t)size.width * (size_t)size.height * sizeof(*samples));
    if (!samples)
        return pf_fail(err, ENOMEM, "out of memory for alignment to the stack");
    pf_ecc_pyramid_free(&engine->stack_view);
    pf_cpu_collapse(engine, 0, level, samples);
    int r =
        pf_ecc_pyramid_of_samples(&engine->stack_view, samples, size.width, size.width, size.height,
                                  ldexp(1, level), 0, engine->kernels, engine->pool, err);
    free(samples);
    return r;
}

static int cpu_align(void *opaque, enum pf_target target, bool search, double h[9],
                     struct pf_fit *ret, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    if (r < 0)
        return r;
    const struct pf_ecc_pyramid *other =
        target == PF_TARGET_STACK ? &engine->stack_view : &engine->predecessor;
    enum pf_motion motion = engine->settings.motion;
    struct pf_ecc_fit fit, back_fit;
    r = pf_ecc_align(engine->ecc, other, &engine->current, motion, search,
                     target == PF_TARGET_STACK && !search ? 2 : 0, h, &fit, err);
    if (r < 0)
        return r;
    /* Between a sharp and a blurred picture the estimate leans a little to one side; the same the
     * other way round leans to the other. */
    double back[9], forth[9];
    if (pf_homography_invert(back, h)) {
        r = pf_ecc_align(engine->ecc, &engine->current, other, motion, false, 1, back, &back_fit,
                         err);
        if (r < 0)
            return r;
        if (back_fit.correlation > 0.9 * fit.correlation && pf_homography_invert(forth, back))
            for (int k = 0; k < 9; k++)
                h[k] = 0.5 * (h[k] + forth[k]);
    }
    *ret = (struct pf_fit){fit.correlation, fit.agreement, fit.overlap};
    return 0;
}

/* Where features are only a start for correlation, pictures of this width are enough: a quarter of
 * the time and, for SIFT, of several hundred megabytes. */
#define START_WIDTH 800

static const struct pf_ecc_level *feature_level(const struct pf_cpu_engine *engine,
                                                const struct pf_ecc_pyramid *pyramid)
{
    bool result = engine->settings.align == PF_ALIGN_ORB ||
                  engine->settings.align == PF_ALIGN_AKAZE ||
                  engine->settings.align == PF_ALIGN_SIFT;
    return &pyramid->level[result ? 0 : pf_ecc_level_of_width(pyramid, START_WIDTH)];
}

/* Features of what correlation sees. Light goes back to a code with even steps for the eye: in
 * light itself, shadows have next to no contrast. */
static int find_features(struct pf_cpu_engine *engine, const struct pf_ecc_pyramid *pyramid,
                         enum pf_features_kind kind, struct pf_features **ret, struct pf_error *err)
{
    const struct pf_ecc_level *level = feature_level(engine, pyramid);
    size_t count = (size_t)level->width * (size_t)level->height;
    uint8_t *grey = malloc(count);
    if (!grey)
        return pf_fail(err, ENOMEM, "out of memory for features");
    for (size_t i = 0; i < count; i++) {
        float light = level->pixels[i];
        grey[i] = (uint8_t)(light <= 0 ? 0 : light >= 255 ? 255 : sqrtf(255 * light) + 0.5f);
    }
    int r = pf_features_new(ret, kind, grey, level->width, level->height, engine->settings.equalise,
                            pf_pool_threads(engine->pool), err);
    free(grey);
    return r;
}

static int cpu_match(void *opaque, enum pf_features_kind kind, enum pf_target target, double h[9],
                     struct pf_fit *ret, struct pf_features_fit *ret_count, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    const struct pf_ecc_pyramid *other = &engine->predecessor;
    struct pf_features *stack_features = NULL, **features = &engine->predecessor_features;
    int r = 0;
    if (target == PF_TARGET_STACK) {
        r = make_stack_view(engine, err);
        other = &engine->stack_view;
        features = &stack_features;
    }
    if (r == 0 && !*features)
        r = find_features(engine, other, kind, features, err);
    if (r == 0 && !engine->current_features)
        r = find_features(engine, &engine->current, kind, &engine->current_features, err);
    if (r == 0)
        r = pf_features_match(*features, engine->current_features, engine->settings.motion,
                              pf_pool_threads(engine->pool), h, ret_count, err);
    pf_features_free(stack_features);
    if (r < 0)
        return r;
    struct pf_ecc_fit fit = {0};
    const struct pf_ecc_level *to = feature_level(engine, &engine->current);
    const struct pf_ecc_level *from = feature_level(engine, other);
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
        r = pf_ecc_judge(engine->ecc, other, &engine->current, h, &fit, err);
    *ret = (struct pf_fit){fit.correlation, fit.agreement, fit.overlap};
    return r;
}

const struct pf_backend pf_backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .load = cpu_load,
    .align = cpu_align,
    .match = cpu_match,
    .gain = cpu_gain,
    .fuse = pf_cpu_fuse,
    .keep = cpu_keep,
    .preview = pf_cpu_preview,
    .finish = pf_cpu_finish,
    .map = pf_cpu_map,
};
