/* Non-rigid alignment on the device: the order of all; see deform.h. */
#include "process/cuda/deform.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/cpu/ecc_step.h"
#include "process/cuda/deform_flow.h"
#include "process/cuda/deform_syn.h"

enum {
    FLOW_CELL = 4,    /* pixels of the level */
    FLOW_PASSES = 5,  /* over the pixels of a level */
    FLOW_SWEEPS = 20, /* over the cells after each */
    MOST_STEPS = 10,  /* Gauss-Newton steps of a level */
    SYN_STEPS = 20,   /* of a level */
    STIFFER = 4,      /* rounds of making a field stiffer until it does not fold */
    LEAST_SIDE = 48,  /* pixels of the coarsest level that is used */
};
#define FOLDS 0.1 /* a field stretches by so much at the least */
/* Displacements of neighbouring cells of the flow differ by about so much, in pixels of the level. */
#define FLOW_ROUGHNESS 0.5f

/* ---- memory --------------------------------------------------------------------------------------- */

struct pf_cuda_deform {
    struct pf_cuda *cuda;
    struct pf_deform_state *state, *back_state; /* device */
    struct pf_deform_state *here;               /* pinned */
    void *memory;
    size_t capacity;
    struct pf_cell *cells[2];        /* forth, back */
    float2 *displacement[2], *spare; /* spare: of the next level */
    float2 *nodes;
    void *room;      /* of a solution */
    double *partial; /* of sums over cells */
    struct pf_syn_room syn;
    float *trust;     /* of syn's cells */
    float2 *begin[2]; /* of the host: displacements that a search begins with, forth and back */
};

int pf_cuda_deform_new(struct pf_cuda_deform **ret, struct pf_cuda *cuda, struct pf_error *err)
{
    struct pf_cuda_deform *deform = (struct pf_cuda_deform *)calloc(1, sizeof(*deform));
    if (!deform)
        return pf_fail(err, ENOMEM, "out of memory for alignment");
    deform->cuda = cuda;
    int r = pf_cuda_alloc(cuda, (void **)&deform->state, 2 * sizeof(*deform->state), err);
    if (r == 0)
        r = pf_cuda_alloc(cuda, (void **)&deform->partial, PF_DEFORM_PARTIALS * sizeof(double),
                          err);
    if (r == 0)
        r = pf_cuda_alloc_pinned(cuda, (void **)&deform->here, sizeof(*deform->here), err);
    if (r < 0) {
        pf_cuda_deform_free(deform);
        return r;
    }
    deform->back_state = deform->state + 1;
    *ret = deform;
    return 0;
}

struct pf_cuda_deform *pf_cuda_deform_free(struct pf_cuda_deform *deform)
{
    if (deform) {
        pf_cuda_release(deform->cuda, deform->state);
        pf_cuda_release(deform->cuda, deform->partial);
        pf_cuda_release(deform->cuda, deform->memory);
        pf_cuda_release_pinned(deform->cuda, deform->here);
        free(deform->begin[0]);
        free(deform->begin[1]);
    }
    free(deform);
    return NULL;
}

/* Room for the finest grid; of both directions for a flow. */
static int reserve(struct pf_cuda_deform *deform, const struct pf_cells *grid,
                   enum pf_cuda_deform_method method, struct pf_error *err)
{
    bool both = method == PF_CUDA_FLOW, syn = method == PF_CUDA_SYN;
    size_t cells = (size_t)grid->columns * (size_t)grid->rows;
    size_t nodes = (size_t)pf_node_columns(grid) * (size_t)pf_node_rows(grid);
    size_t ways = both ? 2 : 1;
    size_t pairs = (ways + 1) * cells + nodes;
    size_t bytes =
        pairs * sizeof(float2) + pf_cuda_solve_bytes(grid) + ways * cells * sizeof(struct pf_cell);
    if (syn)
        bytes += pf_syn_bytes(cells) + cells * sizeof(float);
    if (bytes > deform->capacity) {
        pf_cuda_release(deform->cuda, deform->memory);
        deform->capacity = 0;
        deform->memory = NULL;
        int r = pf_cuda_alloc(deform->cuda, &deform->memory, bytes, err);
        if (r < 0)
            return r;
        deform->capacity = bytes;
    }
    float2 *at = (float2 *)deform->memory;
    deform->spare = at;
    deform->displacement[0] = at += cells;
    deform->displacement[1] = both ? at += cells : NULL;
    deform->nodes = at += cells;
    deform->room = at + nodes;
    deform->cells[0] = (struct pf_cell *)((char *)deform->room + pf_cuda_solve_bytes(grid));
    deform->cells[1] = both ? deform->cells[0] + cells : NULL;
    if (syn) {
        void *after = deform->cells[0] + cells;
        pf_syn_lay_out(&deform->syn, cells, after);
        deform->trust = (float *)((char *)after + pf_syn_bytes(cells));
    }
    return 0;
}

/* ---- the order of all ------------------------------------------------------------------------------ */

static struct pf_ecc_scale scale_of(const struct pf_ecc_level *level)
{
    struct pf_ecc_scale scale = {level->scale, level->offset};
    return scale;
}

static struct pf_deform_pass pass_of(struct pf_cuda_deform *deform,
                                     const struct pf_ecc_level *target,
                                     const struct pf_ecc_level *image, const double h[9],
                                     const struct pf_cells *grid, int way)
{
    struct pf_deform_pass pass;
    memset(&pass, 0, sizeof(pass));
    double warp[9];
    pf_ecc_to_level(h, scale_of(target), scale_of(image), warp);
    pass.target = target->pixels;
    pass.image = image->pixels;
    pass.width = target->width;
    pass.height = target->height;
    pass.image_width = image->width;
    pass.image_height = image->height;
    pass.warp = pf_short_warp_of(warp, target->width, target->height);
    pass.grid = *grid;
    pass.cells = deform->cells[way];
    pass.displacement = deform->displacement[way];
    pass.state = way ? deform->back_state : deform->state;
    pass.partial = deform->partial;
    return pass;
}

static void look_at(struct pf_cuda_deform *deform, const struct pf_deform_pass &pass)
{
    pf_cuda_look(deform->cuda, &pass);
    pf_cuda_summarise(deform->cuda, &pass, false);
}

static void begin_pass(struct pf_cuda_deform *deform, const struct pf_deform_pass &pass)
{
    pf_cuda_begin_level(deform->cuda, &pass);
    look_at(deform, pass);
}

static struct pf_cells flow_grid(const struct pf_ecc_level *level)
{
    struct pf_cells grid = {
        (int)pf_pieces(level->width, FLOW_CELL * PF_CELLS_PER_NODE) * PF_CELLS_PER_NODE,
        (int)pf_pieces(level->height, FLOW_CELL * PF_CELLS_PER_NODE) * PF_CELLS_PER_NODE, FLOW_CELL,
        FLOW_CELL};
    return grid;
}

/* Nodes about spacing_px apart, the same on all levels. */
static struct pf_cells spline_grid(const struct pf_ecc_level *finest, double spacing_px)
{
    double width = finest->width * finest->scale, height = finest->height * finest->scale;
    int across = (int)fmax(1, ceil(width / spacing_px - 0.01));
    int down = (int)fmax(1, ceil(height / spacing_px - 0.01));
    struct pf_cells grid = {across * PF_CELLS_PER_NODE, down * PF_CELLS_PER_NODE, 0, 0};
    return grid;
}

/* Cells of the same grid in pixels of another level. */
static void scale_grid(struct pf_cells *grid, const struct pf_ecc_level *finest,
                       const struct pf_ecc_level *level)
{
    double zoom = finest->scale / level->scale;
    grid->width = (float)(zoom * finest->width / grid->columns);
    grid->height = (float)(zoom * finest->height / grid->rows);
}

static float flow_stiffness(void)
{
    return 1 / (FLOW_ROUGHNESS * FLOW_ROUGHNESS);
}

static int coarsest_of(const struct pf_cuda_pyramid *target, const struct pf_cuda_pyramid *image)
{
    int count =
        target->levels.count < image->levels.count ? target->levels.count : image->levels.count;
    while (count > 1 && (target->levels.level[count - 1].width < LEAST_SIDE ||
                         target->levels.level[count - 1].height < LEAST_SIDE))
        count--;
    return count - 1;
}

/* The cells of the coarsest level begin with a field, or (NULL) with nothing; on the way back with about
 * its opposite. */
static int begin_with(struct pf_cuda_deform *deform, const struct pf_field *field,
                      const struct pf_cells *grid, const struct pf_ecc_level *target,
                      const struct pf_ecc_level *image, int way, struct pf_error *err)
{
    size_t cells = (size_t)grid->columns * (size_t)grid->rows;
    if (!field) {
        pf_cuda_fill(deform->cuda, deform->displacement[way], 0, cells * sizeof(float2));
        return 0;
    }
    float2 *begin = (float2 *)realloc(deform->begin[way], cells * sizeof(float2));
    if (!begin)
        return pf_fail(err, ENOMEM, "out of memory for alignment");
    deform->begin[way] = begin;
    double zoom = (way ? -1 : 1) / image->scale;
    for (int j = 0; j < grid->rows; j++)
        for (int i = 0; i < grid->columns; i++) {
            double d[2];
            pf_field_at(
                field, target->scale * ((i + 0.5) * (double)grid->width - 0.5) + target->offset,
                target->scale * ((j + 0.5) * (double)grid->height - 0.5) + target->offset, d);
            begin[(size_t)j * grid->columns + i] =
                make_float2((float)(zoom * d[0]), (float)(zoom * d[1]));
        }
    pf_cuda_upload(deform->cuda, deform->displacement[way], begin, cells * sizeof(float2));
    return 0;
}

/* One direction of the flow, coarse to fine; the last pass is of the finest level. */
static int flow(struct pf_cuda_deform *deform, const struct pf_cuda_pyramid *target,
                const struct pf_cuda_pyramid *image, const double h[9],
                const struct pf_field *field, int way, struct pf_deform_pass *ret,
                struct pf_error *err)
{
    int coarsest = coarsest_of(target, image);
    struct pf_deform_pass pass;
    struct pf_cells grid = {0, 0, 0, 0};
    for (int number = coarsest; number >= 0; number--) {
        const struct pf_ecc_level *level = &target->levels.level[number];
        struct pf_cells before = grid;
        grid = flow_grid(level);
        if (number == coarsest) {
            int r = begin_with(deform, field, &grid, level, &image->levels.level[number], way, err);
            if (r < 0)
                return r;
        } else {
            pf_flow_refine(deform->cuda, deform->spare, &grid, deform->displacement[way], &before,
                           2);
            float2 *swap = deform->spare;
            deform->spare = deform->displacement[way];
            deform->displacement[way] = swap;
        }
        pass = pass_of(deform, level, &image->levels.level[number], h, &grid, way);
        begin_pass(deform, pass);
        for (int i = 0; i < FLOW_PASSES; i++) {
            look_at(deform, pass);
            for (int sweep = 0; sweep < 2 * FLOW_SWEEPS; sweep++)
                pf_flow_relax(deform->cuda, &pass, flow_stiffness(), sweep & 1);
        }
    }
    look_at(deform, pass);
    *ret = pass;
    return 0;
}

/* The field that the nodes are, in pixels of the full-size frame. */
static int field_of(struct pf_cuda_deform *deform, const struct pf_cells *grid,
                    const struct pf_ecc_level *target, const struct pf_ecc_level *image,
                    struct pf_field **ret, struct pf_error *err)
{
    struct pf_field *field = NULL;
    int r = pf_field_new_grid(&field, pf_node_columns(grid), pf_node_rows(grid), err);
    if (r < 0)
        return r;
    size_t nodes = (size_t)field->columns * (size_t)field->rows;
    field->spacing_x = target->scale * PF_CELLS_PER_NODE * (double)grid->width;
    field->spacing_y = target->scale * PF_CELLS_PER_NODE * (double)grid->height;
    field->origin_x = target->offset - 0.5 * target->scale - field->spacing_x;
    field->origin_y = target->offset - 0.5 * target->scale - field->spacing_y;
    pf_cuda_download(deform->cuda, field->nodes, deform->nodes, nodes * sizeof(*field->nodes));
    r = pf_cuda_wait(deform->cuda, err);
    if (r < 0) {
        pf_field_free(field);
        return r;
    }
    for (size_t i = 0; i < nodes; i++) {
        field->nodes[i][0] *= (float)image->scale;
        field->nodes[i][1] *= (float)image->scale;
    }
    *ret = field;
    return 0;
}

/* What the cells of the finest level say becomes the nodes that fit it best. */
static void fit_nodes(struct pf_cuda_deform *deform, const struct pf_cells *grid, float smoothness)
{
    pf_cuda_fill(deform->cuda, deform->nodes, 0,
                 sizeof(float2) * (size_t)pf_node_columns(grid) * (size_t)pf_node_rows(grid));
    pf_cuda_solve_nodes(deform->cuda, deform->nodes, deform->cells[0], grid, smoothness,
                        deform->room, deform->state);
    pf_cuda_spread_nodes(deform->cuda, deform->displacement[0], deform->nodes, grid, deform->state);
}

static int run_flow(struct pf_cuda_deform *deform, const struct pf_cuda_pyramid *target,
                    const struct pf_cuda_pyramid *image, const struct pf_warp *start,
                    float smoothness, struct pf_cells *ret_grid, struct pf_error *err)
{
    double inverse[9];
    if (!pf_homography_invert(inverse, start->h))
        return pf_fail(err, ENODATA, "the homography to start from has no inverse");
    struct pf_cells grid = flow_grid(&target->levels.level[0]);
    struct pf_cells back_grid = flow_grid(&image->levels.level[0]);
    struct pf_cells larger = {grid.columns > back_grid.columns ? grid.columns : back_grid.columns,
                              grid.rows > back_grid.rows ? grid.rows : back_grid.rows, 0, 0};
    int r = reserve(deform, &larger, PF_CUDA_FLOW, err);
    if (r < 0)
        return r;
    struct pf_deform_pass forth, back;
    r = flow(deform, target, image, start->h, start->field, 0, &forth, err);
    if (r == 0)
        r = flow(deform, image, target, inverse, start->field, 1, &back, err);
    if (r < 0)
        return r;
    pf_flow_agree(deform->cuda, &forth, &back, flow_stiffness());
    fit_nodes(deform, &grid, smoothness);
    *ret_grid = grid;
    return 0;
}

static int run_syn(struct pf_cuda_deform *deform, const struct pf_cuda_pyramid *target,
                   const struct pf_cuda_pyramid *image, const struct pf_warp *start,
                   float smoothness, struct pf_cells *ret_grid, struct pf_error *err)
{
    struct pf_cells grid = flow_grid(&target->levels.level[0]);
    int coarsest = coarsest_of(target, image), r = reserve(deform, &grid, PF_CUDA_SYN, err);
    if (r < 0)
        return r;
    struct pf_deform_pass pass;
    for (int number = coarsest; number >= 0; number--) {
        const struct pf_ecc_level *level = &target->levels.level[number];
        struct pf_cells before = grid;
        grid = flow_grid(level);
        pass = pass_of(deform, level, &image->levels.level[number], start->h, &grid, 0);
        if (number == coarsest) {
            r = begin_with(deform, start->field, &grid, level, &image->levels.level[number], 0,
                           err);
            if (r < 0)
                return r;
            pf_syn_begin(deform->cuda, &deform->syn, &pass);
        } else {
            pf_syn_refine(deform->cuda, &deform->syn, &pass, &before);
        }
        pf_syn_run(deform->cuda, &deform->syn, &pass, SYN_STEPS);
    }
    pf_syn_join(deform->cuda, &deform->syn, &pass, deform->trust);
    begin_pass(deform, pass);
    look_at(deform, pass);
    pf_syn_say(deform->cuda, &pass, deform->trust, flow_stiffness());
    *ret_grid = grid;
    /* Its cells do not fold, but a spline that passes them closely may, where they know little. */
    for (int round = 0; round < STIFFER; round++, smoothness *= 10) {
        fit_nodes(deform, &grid, smoothness);
        struct pf_field *field = NULL;
        r = field_of(deform, &grid, &target->levels.level[0], &image->levels.level[0], &field, err);
        if (r < 0)
            return r;
        const struct pf_ecc_level *finest = &target->levels.level[0];
        struct pf_field_shape shape = pf_field_look(field, (int)(finest->width * finest->scale),
                                                    (int)(finest->height * finest->scale));
        pf_field_free(field);
        if (shape.finite && shape.least_jacobian > FOLDS)
            break;
    }
    return 0;
}

static int run_spline(struct pf_cuda_deform *deform, const struct pf_cuda_pyramid *target,
                      const struct pf_cuda_pyramid *image, const struct pf_warp *start,
                      double spacing_px, float smoothness, struct pf_cells *ret_grid,
                      struct pf_error *err)
{
    const struct pf_ecc_level *finest = &target->levels.level[0];
    struct pf_cells grid = spline_grid(finest, spacing_px);
    int r = reserve(deform, &grid, PF_CUDA_BSPLINE, err);
    if (r < 0)
        return r;
    int nodes = pf_node_columns(&grid) * pf_node_rows(&grid);
    pf_cuda_fill(deform->cuda, deform->nodes, 0, sizeof(float2) * (size_t)nodes);
    int coarsest = coarsest_of(target, image);
    for (int number = coarsest; number >= 0; number--) {
        const struct pf_ecc_level *level = &target->levels.level[number];
        scale_grid(&grid, finest, level);
        struct pf_deform_pass pass =
            pass_of(deform, level, &image->levels.level[number], start->h, &grid, 0);
        if (number == coarsest) {
            r = begin_with(deform, start->field, &grid, level, &image->levels.level[number], 0,
                           err);
            if (r < 0)
                return r;
        } else {
            pf_cuda_scale_nodes(deform->cuda, deform->nodes, nodes, 2);
            pf_cuda_begin_level(deform->cuda, &pass);
            pf_cuda_spread_nodes(deform->cuda, pass.displacement, deform->nodes, &grid, pass.state);
        }
        begin_pass(deform, pass);
        for (int step = 0; step < MOST_STEPS; step++) {
            pf_cuda_look(deform->cuda, &pass);
            pf_cuda_solve_nodes(deform->cuda, deform->nodes, pass.cells, &grid, smoothness,
                                deform->room, pass.state);
            pf_cuda_spread_nodes(deform->cuda, pass.displacement, deform->nodes, &grid, pass.state);
            pf_cuda_summarise(deform->cuda, &pass, true);
        }
    }
    *ret_grid = grid;
    return 0;
}

/* How well homography and nodes fit on a level; the nodes are of the finest. */
static int judge(struct pf_cuda_deform *deform, const struct pf_cuda_pyramid *target,
                 const struct pf_cuda_pyramid *image, const double h[9],
                 const struct pf_cells *finest_grid, int number, struct pf_error *err)
{
    const struct pf_ecc_level *finest = &target->levels.level[0];
    const struct pf_ecc_level *level = &target->levels.level[number];
    int nodes = pf_node_columns(finest_grid) * pf_node_rows(finest_grid);
    float zoom = (float)(finest->scale / level->scale);
    struct pf_cells grid = *finest_grid;
    grid.width *= zoom;
    grid.height *= zoom;
    struct pf_deform_pass pass = pass_of(deform, level, &image->levels.level[number], h, &grid, 0);
    pf_cuda_scale_nodes(deform->cuda, deform->nodes, nodes, zoom);
    pf_cuda_begin_level(deform->cuda, &pass);
    pf_cuda_spread_nodes(deform->cuda, pass.displacement, deform->nodes, &grid, pass.state);
    look_at(deform, pass);
    pf_cuda_scale_nodes(deform->cuda, deform->nodes, nodes, 1 / zoom);
    pf_cuda_download(deform->cuda, deform->here, deform->state, sizeof(*deform->here));
    return pf_cuda_wait(deform->cuda, err);
}

int pf_cuda_deform_run(struct pf_cuda_deform *deform, const struct pf_cuda_pyramid *target,
                       const struct pf_cuda_pyramid *image, const struct pf_warp *start,
                       const struct pf_cuda_deform_options *options, struct pf_field **ret,
                       struct pf_cuda_deform_report *ret_report, struct pf_error *err)
{
    struct pf_cells grid;
    memset(deform->here, 0, sizeof(*deform->here));
    pf_cuda_fill(deform->cuda, deform->state, 0, 2 * sizeof(*deform->state));
    float smoothness = (float)(options->smoothness > 0 ? options->smoothness : 0.003);
    int r = 0;
    switch (options->method) {
    case PF_CUDA_FLOW:
        r = run_flow(deform, target, image, start, smoothness, &grid, err);
        break;
    case PF_CUDA_BSPLINE:
        r = run_spline(deform, target, image, start, options->spacing_px, smoothness, &grid, err);
        break;
    case PF_CUDA_SYN:
        r = run_syn(deform, target, image, start, smoothness, &grid, err);
        break;
    }
    if (r < 0)
        return r;
    struct pf_cuda_deform_report report;
    memset(&report, 0, sizeof(report));
    int coarse = pf_ecc_level_of_width(&target->levels, 400);
    coarse = coarse < image->levels.count ? coarse : image->levels.count - 1;
    r = judge(deform, target, image, start->h, &grid, coarse, err);
    if (r < 0)
        return r;
    report.fit.agreement = deform->here->correlation;
    report.steps = deform->here->steps;
    report.trusted = (double)deform->here->trusted / ((double)grid.columns * grid.rows);
    r = judge(deform, target, image, start->h, &grid, 0, err);
    if (r < 0)
        return r;
    report.fit.correlation = deform->here->correlation;
    report.fit.overlap = deform->here->overlap;
    if (!(report.fit.overlap > 0) || (options->method != PF_CUDA_BSPLINE && report.trusted == 0))
        return pf_fail(err, ENODATA, "the pictures have nothing in common");
    r = field_of(deform, &grid, &target->levels.level[0], &image->levels.level[0], ret, err);
    if (r == 0)
        *ret_report = report;
    return r;
}
