#include "process/cpu/deform.h"
#include "process/cpu/fuse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/homography.h"
#include "process/room.h"

static void cpu_close(void *opaque)
{
    struct pf_cpu_engine *engine = opaque;
    if (!engine)
        return;
    pf_alignment_close(&engine->alignment);
    pf_anchors_free(engine->anchors);
    pf_room_give(engine->memory, engine->memory_bytes);
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
    int r = pf_alignment_open(&engine->alignment, &engine->settings, pool, err);
    if (r < 0) {
        cpu_close(engine);
        return r;
    }
    *ret = engine;
    return 0;
}

/* --- focus measure and light: one pass over the luma --- */

enum { LIGHT_ROWS = PF_LIGHT_GRID / PF_FOCUS_GRID };

struct measure_job {
    const struct pf_kernels *kernels;
    struct pf_source_plane luma;
    int16_t *rows; /* three per thread */
    struct pf_focus_sums (*cells)[PF_FOCUS_GRID];
    struct pf_light_grid *light;
};

/* Adds a row of samples to its row of light cells. */
static void add_light(const struct measure_job *job, const int16_t *row, int y)
{
    int width = job->luma.width, height = job->luma.height;
    int cell_y = (int)(((int64_t)y * PF_LIGHT_GRID + PF_LIGHT_GRID - 1) / height);
    while (cell_y > 0 && pf_light_cell(cell_y, PF_LIGHT_GRID, height) > y)
        cell_y--;
    int rows = pf_light_cell(cell_y + 1, PF_LIGHT_GRID, height) -
               pf_light_cell(cell_y, PF_LIGHT_GRID, height);
    for (int cell_x = 0; cell_x < PF_LIGHT_GRID; cell_x++) {
        int left = pf_light_cell(cell_x, PF_LIGHT_GRID, width);
        int right = pf_light_cell(cell_x + 1, PF_LIGHT_GRID, width);
        if (right > left)
            job->light->cell[PF_LIGHT_LUMA][cell_y][cell_x] +=
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
        int first = pf_light_cell(cell_y, PF_FOCUS_GRID, height);
        int last = pf_light_cell(cell_y + 1, PF_FOCUS_GRID, height);
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
                int left = pf_light_cell(cell_x, PF_FOCUS_GRID, width);
                int right = pf_light_cell(cell_x + 1, PF_FOCUS_GRID, width);
                job->kernels->focus_row(&job->cells[cell_y][cell_x], rows, left < 1 ? 1 : left,
                                        right > width - 1 ? width - 1 : right);
            }
        }
    }
}

void pf_focus_of_cells(struct pf_focus *ret,
                       const struct pf_focus_sums cells[PF_FOCUS_GRID][PF_FOCUS_GRID], int width,
                       int height)
{
    *ret = (struct pf_focus){0};
    if (width < 3 || height < 3)
        return;
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
        if (cell->tenengrad > 0) {
            ret->direction[0][i] = (float)(cell->along / cell->tenengrad);
            ret->direction[1][i] = (float)(cell->aslant / cell->tenengrad);
        }
    }
    double mean = all.laplacian / pixels;
    ret->laplacian_variance = all.laplacian_squared / pixels - mean * mean;
    ret->tenengrad = all.tenengrad / pixels;
    ret->modified_laplacian = all.modified_laplacian / pixels;
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
    job.rows = malloc((size_t)pf_pool_threads(engine->pool) * 3 * (size_t)width * sizeof(int16_t));
    if (!job.rows)
        return pf_fail(err, ENOMEM, "out of memory for the focus measure");
    pf_pool_run(engine->pool, PF_FOCUS_GRID, 1, measure_rows, &job);
    free(job.rows);
    pf_light_see(&engine->light, engine->frame);
    pf_focus_of_cells(ret, cells, width, height);
    return 0;
}

static int cpu_compare_light(void *opaque, const double h[9], struct pf_light_match *ret,
                             struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    const struct pf_image *frame = engine->frame;
    *ret = (struct pf_light_match){1, {1, 1, 1}};
    if (!engine->memory)
        return 0;
    return pf_light_compare(&engine->reference_light, &engine->light, h, frame->width,
                            frame->height, frame->planes == 3, ret, err);
}

/* --- the frame in hand --- */

static int cpu_load(void *opaque, const struct pf_image *frame, struct pf_focus *ret_focus,
                    double *ret_contrast, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    engine->frame = frame;
    pf_alignment_next(&engine->alignment);
    struct pf_source_plane luma = pf_cpu_source(frame, 0, 1);
    int r = pf_ecc_pyramid_of_source(&engine->alignment.current, &luma, engine->kernels,
                                     engine->pool, err);
    if (r < 0)
        return r;
    *ret_contrast = pf_ecc_contrast(&engine->alignment.current);
    r = measure(engine, ret_focus, err);
    return r < 0 ? r : pf_alignment_measure(&engine->alignment, ret_focus, err);
}

static void cpu_keep(void *opaque)
{
    struct pf_cpu_engine *engine = opaque;
    pf_alignment_keep(&engine->alignment);
    engine->frame = NULL;
}

static void cpu_drop(void *opaque)
{
    struct pf_cpu_engine *engine = opaque;
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
    pf_ecc_pyramid_free(&engine->alignment.stack_view);
    pf_cpu_collapse(engine, 0, level, samples);
    int r = pf_ecc_pyramid_of_samples(&engine->alignment.stack_view, samples, size.width,
                                      size.width, size.height, ldexp(1, level), 0, engine->kernels,
                                      engine->pool, err);
    free(samples);
    return r;
}

static int cpu_align(void *opaque, enum pf_target target, bool search, double h[9],
                     struct pf_fit *ret, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0 ? r : pf_alignment_align(&engine->alignment, target, search, h, ret, err);
}

static int cpu_match(void *opaque, enum pf_features_kind kind, enum pf_target target, double h[9],
                     struct pf_fit *ret, struct pf_features_fit *ret_count, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0 ? r : pf_alignment_match(&engine->alignment, kind, target, h, ret, ret_count, err);
}

static int cpu_deform(void *opaque, enum pf_target target, const struct pf_warp *start,
                      struct pf_field **ret_field, struct pf_fit *ret, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    struct pf_source_plane luma = pf_cpu_source(engine->frame, 0, 1);
    int r = target == PF_TARGET_STACK ? make_stack_view(engine, err) : 0;
    return r < 0 ? r
                 : pf_alignment_deform(&engine->alignment, target, engine->anchors, &luma, start,
                                       ret_field, ret, err);
}

const struct pf_backend pf_backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .load = cpu_load,
    .align = cpu_align,
    .match = cpu_match,
    .deform = cpu_deform,
    .compare_light = cpu_compare_light,
    .fuse = pf_cpu_fuse,
    .keep = cpu_keep,
    .drop = cpu_drop,
    .preview = pf_cpu_preview,
    .finish = pf_cpu_finish,
    .map = pf_cpu_map,
};
