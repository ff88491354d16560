#include "process/cpu/look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/align.h"
#include "process/cpu/engine.h"

struct pf_look {
    const struct pf_image *frame; /* borrowed; compared, not looked at again */
    enum pf_align align;          /* for which the features are */
    bool equalise;
    struct pf_light_grid light;
    struct pf_focus focus;
    double contrast;
    struct pf_ecc_pyramid pyramid;
    struct pf_features *features; /* NULL where none are always wanted */
};

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

/* Focus measure and light, in one pass over the luma. */
static int measure(struct pf_look *look, const struct pf_source_plane *luma, struct pf_pool *pool,
                   struct pf_error *err)
{
    struct pf_focus_sums cells[PF_FOCUS_GRID][PF_FOCUS_GRID];
    memset(cells, 0, sizeof(cells));
    struct measure_job job = {
        .kernels = pf_kernels(0), .luma = *luma, .cells = cells, .light = &look->light};
    job.rows = malloc((size_t)pf_pool_threads(pool) * 3 * (size_t)luma->width * sizeof(int16_t));
    if (!job.rows)
        return pf_fail(err, ENOMEM, "out of memory for the focus measure");
    pf_pool_run(pool, PF_FOCUS_GRID, 1, measure_rows, &job);
    free(job.rows);
    pf_light_see(&look->light, look->frame);
    pf_focus_of_cells(&look->focus, cells, luma->width, luma->height);
    return 0;
}

int pf_look_new(struct pf_look **ret, const struct pf_stack_settings *settings,
                const struct pf_image *frame, struct pf_pool *pool, int threads,
                struct pf_error *err)
{
    struct pf_look *look = calloc(1, sizeof(*look));
    if (!look)
        return pf_fail(err, ENOMEM, "out of memory for the focus measure");
    *look =
        (struct pf_look){.frame = frame, .align = settings->align, .equalise = settings->equalise};
    struct pf_source_plane luma = pf_cpu_source(frame, 0, 1);
    int r = pf_ecc_pyramid_of_source(&look->pyramid, &luma, pf_kernels(0), pool, err);
    if (r == 0) {
        look->contrast = pf_ecc_contrast(&look->pyramid);
        r = measure(look, &luma, pool, err);
    }
    if (r == 0)
        r = pf_alignment_measure(&look->pyramid, pool, &look->focus, err);
    enum pf_features_kind kind;
    struct pf_error trouble = {0};
    /* A picture in which the library finds none is told of when they are asked for. */
    if (r == 0 && threads && pf_align_wants_features(settings->align, &kind) &&
        pf_alignment_find_features(&look->features, settings, &look->pyramid, kind, threads,
                                   &trouble) == -ENOMEM)
        r = pf_fail(err, ENOMEM, "%s", trouble.text);
    if (r < 0) {
        pf_look_free(look);
        return r;
    }
    *ret = look;
    return 0;
}

struct pf_look *pf_look_free(struct pf_look *look)
{
    if (!look)
        return NULL;
    pf_ecc_pyramid_free(&look->pyramid);
    pf_features_free(look->features);
    free(look);
    return NULL;
}

bool pf_look_is_of(const struct pf_look *look, const struct pf_image *frame,
                   const struct pf_stack_settings *settings)
{
    return look->frame == frame && look->pyramid.count &&
           (!look->features ||
            (look->align == settings->align && look->equalise == settings->equalise));
}

void pf_look_take(struct pf_look *look, struct pf_alignment *alignment,
                  struct pf_light_grid *ret_light, struct pf_focus *ret_focus, double *ret_contrast)
{
    alignment->current = look->pyramid;
    alignment->current_features = look->features;
    look->pyramid = (struct pf_ecc_pyramid){0};
    look->features = NULL;
    *ret_light = look->light;
    *ret_focus = look->focus;
    *ret_contrast = look->contrast;
}
