#include "process/cuda/alignment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/align.h"
#include "process/cpu/deform.h"

#define NODES_ACROSS 20 /* of a B-spline, along the longer side */
/* Pixels of the finest picture of a deformation: a quarter of the frame's width, or better. */
#define DEFORM_MAX_WIDTH 5000
/* A smaller share of the cells that flow finds alike both ways is chance. */
#define LEAST_TRUSTED 0.5

enum { CELLS = PF_FOCUS_GRID * PF_FOCUS_GRID, BENDS = PF_FOCUS_REDUCED * CELLS };

int pf_cuda_alignment_open(struct pf_cuda_alignment *alignment,
                           const struct pf_stack_settings *settings, struct pf_pool *pool,
                           struct pf_cuda *cuda, struct pf_error *err)
{
    memset(alignment, 0, sizeof(*alignment));
    alignment->settings = settings;
    alignment->pool = pool;
    alignment->cuda = cuda;
    int r = pf_alignment_open(&alignment->host, settings, pool, err);
    if (r == 0)
        r = pf_cuda_ecc_new(&alignment->ecc, cuda, err);
    if (r == 0)
        r = pf_cuda_alloc(cuda, (void **)&alignment->bends, BENDS * sizeof(float), err);
    if (r == 0)
        r = pf_cuda_alloc_pinned(cuda, (void **)&alignment->bends_here, BENDS * sizeof(float), err);
    return r;
}

void pf_cuda_alignment_close(struct pf_cuda_alignment *alignment)
{
    pf_alignment_close(&alignment->host);
    pf_cuda_ecc_free(alignment->ecc);
    pf_cuda_deform_free(alignment->deform);
    if (alignment->cuda) {
        pf_cuda_release(alignment->cuda, alignment->bends);
        pf_cuda_release_pinned(alignment->cuda, alignment->bends_here);
        pf_cuda_pyramid_free(alignment->cuda, &alignment->current);
        pf_cuda_pyramid_free(alignment->cuda, &alignment->predecessor);
        pf_cuda_pyramid_free(alignment->cuda, &alignment->before);
        pf_cuda_pyramid_free(alignment->cuda, &alignment->stack_view);
    }
    memset(alignment, 0, sizeof(*alignment));
}

int pf_cuda_alignment_halvings(struct pf_cuda_alignment *alignment, int width)
{
    int rigid = pf_ecc_halvings(width), halvings = rigid;
    if (pf_align_is_non_rigid(alignment->settings->align))
        while (halvings > 1 && width >> (halvings - 1) <= DEFORM_MAX_WIDTH)
            halvings--;
    alignment->finer = rigid - halvings;
    return halvings;
}

/* What correlation sees of a picture. Borrows its memory. */
static struct pf_cuda_pyramid rigid(const struct pf_cuda_alignment *alignment,
                                    const struct pf_cuda_pyramid *picture)
{
    struct pf_cuda_pyramid part = *picture;
    int skip = part.levels.count - 1 < alignment->finer ? part.levels.count - 1 : alignment->finer;
    if (skip < 0)
        skip = 0;
    part.levels.count -= skip;
    memmove(part.levels.level, part.levels.level + skip,
            (size_t)part.levels.count * sizeof(part.levels.level[0]));
    return part;
}

int pf_cuda_alignment_take(struct pf_cuda_alignment *alignment, const float *light, int width,
                           int height, double scale, double offset, double *ret_contrast,
                           struct pf_error *err)
{
    pf_alignment_next(&alignment->host);
    int r = pf_cuda_pyramid_of_light(alignment->cuda, &alignment->current, light, width, height,
                                     scale, offset, err);
    if (r < 0)
        return r;
    struct pf_cuda_pyramid seen = rigid(alignment, &alignment->current);
    pf_cuda_fill(alignment->cuda, alignment->bends, 0, BENDS * sizeof(float));
    for (int k = 0; k < PF_FOCUS_REDUCED && k < seen.levels.count; k++)
        pf_cuda_measure_bends(alignment->cuda, &seen.levels.level[k], PF_FOCUS_GRID,
                              alignment->bends + (size_t)k * CELLS);
    pf_cuda_download(alignment->cuda, alignment->bends_here, alignment->bends,
                     BENDS * sizeof(float));
    return pf_cuda_ecc_contrast(alignment->ecc, &alignment->current, ret_contrast, err);
}

int pf_cuda_alignment_view(struct pf_cuda_alignment *alignment, const float *light, int width,
                           int height, double scale, double offset, struct pf_error *err)
{
    pf_ecc_pyramid_free(&alignment->host.stack_view);
    return pf_cuda_pyramid_of_light(alignment->cuda, &alignment->stack_view, light, width, height,
                                    scale, offset, err);
}

void pf_cuda_alignment_keep(struct pf_cuda_alignment *alignment)
{
    /* The memory of the oldest is for the next frame. */
    struct pf_cuda_pyramid next = alignment->before;
    alignment->before = alignment->predecessor;
    alignment->predecessor = alignment->current;
    alignment->current = next;
    pf_alignment_keep(&alignment->host);
}

/* A picture that the device has and the host has not. */
static int bring(struct pf_cuda_alignment *alignment, struct pf_ecc_pyramid *to,
                 const struct pf_cuda_pyramid *from, struct pf_error *err)
{
    struct pf_cuda_pyramid seen = rigid(alignment, from);
    const struct pf_ecc_level *finest = &seen.levels.level[0];
    if (to->count || !seen.levels.count)
        return 0;
    size_t bytes = (size_t)finest->width * (size_t)finest->height * sizeof(float);
    float *light = malloc(bytes);
    if (!light)
        return pf_fail(err, ENOMEM, "out of memory for a picture of light");
    pf_cuda_download(alignment->cuda, light, finest->pixels, bytes);
    int r = pf_cuda_wait(alignment->cuda, err);
    if (r == 0)
        r = pf_ecc_pyramid_of_light(to, light, finest->width, finest->height, finest->scale,
                                    finest->offset, pf_kernels(0), alignment->pool, err);
    free(light);
    return r;
}

/* The same, of the target and of the frame in hand. */
static int bring_both(struct pf_cuda_alignment *alignment, enum pf_target target,
                      struct pf_error *err)
{
    struct pf_alignment *host = &alignment->host;
    int r = bring(alignment, &host->current, &alignment->current, err);
    if (r < 0)
        return r;
    return target == PF_TARGET_STACK
               ? bring(alignment, &host->stack_view, &alignment->stack_view, err)
               : bring(alignment, &host->predecessor, &alignment->predecessor, err);
}

struct both_pictures {
    struct pf_cuda_alignment *alignment;
    struct pf_cuda_pyramid *target;
    double *ret_likeness; /* of the map that is found; NULL: not of that one */
};

static int one_way(void *context, bool back, bool search, int levels, double h[9],
                   struct pf_ecc_fit *ret, struct pf_error *err)
{
    const struct both_pictures *both = context;
    const struct pf_cuda_alignment *alignment = both->alignment;
    struct pf_cuda_pyramid target = rigid(alignment, back ? &alignment->current : both->target);
    struct pf_cuda_pyramid image = rigid(alignment, back ? both->target : &alignment->current);
    return pf_cuda_ecc_align(alignment->ecc, &target, &image, alignment->settings->motion, search,
                             levels, h, ret, both->ret_likeness, err);
}

int pf_cuda_alignment_align(struct pf_cuda_alignment *alignment, enum pf_target target, bool search,
                            double h[9], struct pf_fit *ret, struct pf_error *err)
{
    struct both_pictures both = {alignment,
                                 target == PF_TARGET_STACK    ? &alignment->stack_view
                                 : target == PF_TARGET_BEFORE ? &alignment->before
                                                              : &alignment->predecessor,
                                 NULL};
    struct pf_cuda_pyramid there = rigid(alignment, both.target);
    struct pf_cuda_pyramid here = rigid(alignment, &alignment->current);
    if (!pf_ecc_by_blocks(&there.levels)) {
        int r = pf_alignment_both_ways(one_way, &both, target, search, h, ret, err);
        return r < 0 ? r
                     : pf_cuda_ecc_likeness(alignment->ecc, &there, &here, h, &ret->likeness, err);
    }
    /* Blocks favour neither picture. */
    struct pf_ecc_fit fit;
    double likeness;
    both.ret_likeness = &likeness;
    int r = one_way(&both, false, search, pf_alignment_levels(target, search), h, &fit, err);
    if (r == 0)
        *ret =
            (struct pf_fit){fit.correlation, fit.agreement, fit.overlap, fit.certainty, likeness};
    return r;
}

void pf_cuda_alignment_measure(const struct pf_cuda_alignment *alignment, struct pf_focus *ret)
{
    memcpy(ret->reduced, alignment->bends_here, sizeof(ret->reduced));
}

int pf_cuda_alignment_match(struct pf_cuda_alignment *alignment, enum pf_features_kind kind,
                            enum pf_target target, double h[9], struct pf_fit *ret,
                            struct pf_features_fit *ret_count, struct pf_error *err)
{
    int r = bring_both(alignment, target, err);
    return r < 0 ? r : pf_alignment_match(&alignment->host, kind, target, h, ret, ret_count, err);
}

int pf_cuda_alignment_deform(struct pf_cuda_alignment *alignment, enum pf_target target, int width,
                             int height, const struct pf_warp *start, struct pf_field **ret_field,
                             struct pf_fit *ret, struct pf_error *err)
{
    const struct pf_cuda_pyramid *other =
        target == PF_TARGET_STACK ? &alignment->stack_view : &alignment->predecessor;
    static const enum pf_cuda_deform_method methods[] = {[PF_ALIGN_FLOW] = PF_CUDA_FLOW,
                                                         [PF_ALIGN_BSPLINE] = PF_CUDA_BSPLINE,
                                                         [PF_ALIGN_SYN] = PF_CUDA_SYN};
    enum pf_cuda_deform_method method = methods[alignment->settings->align];
    struct pf_cuda_deform_options options = {
        .method = method, .spacing_px = (double)(width > height ? width : height) / NODES_ACROSS};
    struct pf_cuda_deform_report report;
    struct pf_field *field = NULL;
    struct pf_ecc_fit before;
    int r = alignment->deform ? 0 : pf_cuda_deform_new(&alignment->deform, alignment->cuda, err);
    if (r == 0)
        r = pf_cuda_ecc_judge(alignment->ecc, other, &alignment->current, start->h, &before, err);
    if (r == 0)
        r = pf_cuda_deform_run(alignment->deform, other, &alignment->current, start, &options,
                               &field, &report, err);
    if (r == 0 && method != PF_CUDA_BSPLINE && !(report.trusted >= LEAST_TRUSTED))
        r = pf_fail(err, ENODATA, "only %.0f %% of it is found alike forth and back",
                    100 * report.trusted);
    if (r == 0)
        r = pf_deformation_check(field, width, height, err);
    if (r == 0 && !(report.fit.correlation > before.correlation - 0.01))
        r = pf_fail(err, ENODATA,
                    "the displacement that was found makes it worse: correlation %.3f after %.3f",
                    report.fit.correlation, before.correlation);
    if (r < 0) {
        pf_field_free(field);
        return r;
    }
    *ret_field = field;
    *ret = (struct pf_fit){report.fit.correlation, report.fit.agreement, report.fit.overlap};
    return 0;
}
