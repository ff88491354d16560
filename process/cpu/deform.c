#include "process/cpu/deform.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "process/elastix.h"
#include "process/flow.h"

enum { ROWS_PER_PIECE = 16 };
#define NODES_ACROSS   14  /* cells of elastix' grid along the longer side */
#define MOST_REACH     0.1 /* of the longer side: a larger displacement is no deformation */
#define LEAST_JACOBIAN 0.1 /* below it the field folds, or as good as */
#define LEAST_OVERLAP  0.3 /* of the target; with less nothing is compared */

/* The frame in the target's geometry, on the grid of one of its levels. */
struct bring {
    const struct pf_ecc_level *target, *image;
    const struct pf_warp *warp;
    float *pixels; /* of target's size; where `valid` is 0 the target's own */
    uint8_t *valid;
};

static void bring_rows(void *context, int begin, int end, int thread)
{
    const struct bring *job = context;
    enum { PIECE = 64 };
    const struct pf_ecc_level *target = job->target, *image = job->image;
    (void)thread;
    for (int y = begin; y < end; y++) {
        size_t row = (size_t)y * (size_t)target->width;
        for (int first = 0; first < target->width; first += PIECE) {
            double at[PIECE][2];
            int count = target->width - first < PIECE ? target->width - first : PIECE;
            pf_warp_row(job->warp, target->scale * first + target->offset, target->scale,
                        target->scale * y + target->offset, count, at);
            for (int i = 0; i < count; i++) {
                double px = (at[i][0] - image->offset) / image->scale;
                double py = (at[i][1] - image->offset) / image->scale;
                size_t here = row + (size_t)(first + i);
                job->valid[here] =
                    px >= 0 && py >= 0 && px < image->width - 1 && py < image->height - 1;
                if (!job->valid[here])
                    continue;
                int ix = (int)px, iy = (int)py;
                float tx = (float)(px - ix), ty = (float)(py - iy);
                const float *r0 = image->pixels + (size_t)iy * (size_t)image->width + ix;
                const float *r1 = r0 + image->width;
                float a = r0[0] + tx * (r0[1] - r0[0]), b = r1[0] + tx * (r1[1] - r1[0]);
                job->pixels[here] = a + ty * (b - a);
            }
        }
    }
}

/* Gives the frame the target's brightness and fills its gaps. Returns the correlation of both where
 * the frame has picture. */
static double match_brightness(const struct bring *job, double *ret_overlap)
{
    size_t count = (size_t)job->target->width * (size_t)job->target->height;
    const float *target = job->target->pixels;
    double n = 0, t = 0, i = 0, tt = 0, ii = 0, ti = 0;
    for (size_t k = 0; k < count; k++) {
        if (!job->valid[k])
            continue;
        double a = (double)target[k], b = (double)job->pixels[k];
        n++;
        t += a;
        i += b;
        tt += a * a;
        ii += b * b;
        ti += a * b;
    }
    *ret_overlap = n / (double)count;
    double vt = n > 0 ? tt / n - t / n * (t / n) : 0, vi = n > 0 ? ii / n - i / n * (i / n) : 0;
    bool usable = vt > 1e-9 && vi > 1e-9;
    float gain = usable ? (float)sqrt(vt / vi) : 1;
    float level = n > 0 ? (float)(t / n - (double)gain * i / n) : 0;
    for (size_t k = 0; k < count; k++)
        job->pixels[k] = job->valid[k] ? gain * job->pixels[k] + level : target[k];
    return usable ? (ti / n - t / n * (i / n)) / sqrt(vt * vi) : 0;
}

/* Brings the frame to level `level` of the target by the warp; the correlation of both. */
static double bring(const struct pf_alignment *alignment, const struct pf_ecc_pyramid *target,
                    int level, const struct pf_warp *warp, float *pixels, uint8_t *valid,
                    double *ret_overlap)
{
    int last = alignment->current.count - 1;
    struct bring job = {.target = &target->level[level],
                        .image = &alignment->current.level[level < last ? level : last],
                        .warp = warp,
                        .pixels = pixels,
                        .valid = valid};
    pf_pool_run(alignment->pool, job.target->height, ROWS_PER_PIECE, bring_rows, &job);
    return match_brightness(&job, ret_overlap);
}

/* --- by flow, by elastix: the displacement that is left --- */

static int by_flow(const struct pf_alignment *alignment, const struct pf_ecc_level *target,
                   const float *frame, struct pf_field **ret, struct pf_error *err)
{
    size_t count = (size_t)target->width * (size_t)target->height;
    uint8_t *grey = malloc(2 * count);
    double agreement;
    if (!grey)
        return pf_fail(err, ENOMEM, "out of memory for flow");
    for (size_t k = 0; k < 2 * count; k++) { /* back to a code with even steps for the eye */
        float light = k < count ? target->pixels[k] : frame[k - count];
        grey[k] = (uint8_t)(light <= 0 ? 0 : light >= 255 ? 255 : sqrtf(255 * light) + 0.5f);
    }
    int r = pf_flow_find(grey, grey + count, target->width, target->height, target->scale,
                         target->offset, pf_pool_threads(alignment->pool), ret, &agreement, err);
    free(grey);
    return r;
}

static int by_elastix(const struct pf_alignment *alignment, const struct pf_ecc_level *target,
                      const float *frame, struct pf_field **ret, struct pf_error *err)
{
    struct pf_reduced fixed = {target->pixels, target->width, target->height, target->scale,
                               target->offset},
                      moving = fixed;
    int longer = target->width > target->height ? target->width : target->height;
    struct pf_elastix_options options = {.spacing_px = target->scale * longer / NODES_ACROSS,
                                         .limit_s = alignment->settings->align_timeout_s,
                                         .threads = pf_pool_threads(alignment->pool),
                                         .step = "bspline",
                                         .call = alignment->settings->iterated};
    struct pf_elastix_report report;
    moving.pixels = frame;
    return pf_elastix_run(&fixed, &moving, &options, ret, &report, err);
}

/* --- together --- */

int pf_deformation_check(const struct pf_field *field, int width, int height, struct pf_error *err)
{
    struct pf_field_shape shape = pf_field_look(field, width, height);
    int longer = width > height ? width : height;
    if (!shape.finite)
        return pf_fail(err, ENODATA, "the displacement that was found is no number");
    if (!(shape.most_px <= MOST_REACH * longer))
        return pf_fail(err, ENODATA, "would need a displacement of %.0f px", shape.most_px);
    if (!(shape.least_jacobian >= LEAST_JACOBIAN))
        return pf_fail(err, ENODATA, "the displacement that was found folds");
    return 0;
}

/* warp->field becomes what was found on top of it. */
static int extend(struct pf_warp *warp, const struct pf_field *more,
                  const struct pf_source_plane *luma, struct pf_error *err)
{
    struct pf_field *field = NULL;
    int r = pf_warp_extend(warp, more, luma->width, luma->height, &field, err);
    if (r < 0)
        return r;
    pf_field_free(warp->field);
    warp->field = field;
    return 0;
}

struct room {
    float *pixels;
    uint8_t *valid;
};

/* The better of two beginnings: with the field that is expected, and without one. */
static double begin(const struct pf_alignment *alignment, const struct pf_ecc_pyramid *target,
                    struct pf_warp *warp, const struct room *room, double *ret_overlap)
{
    struct pf_warp plain = *warp;
    plain.field = NULL;
    double with = -2, overlap = 0;
    if (warp->field)
        with = bring(alignment, target, 0, warp, room->pixels, room->valid, &overlap);
    double without = bring(alignment, target, 0, &plain, room->pixels, room->valid, ret_overlap);
    if (with <= without) {
        warp->field = pf_field_free(warp->field);
        return without;
    }
    return bring(alignment, target, 0, warp, room->pixels, room->valid, ret_overlap);
}

static int find(struct pf_alignment *alignment, const struct pf_ecc_pyramid *target,
                struct pf_anchors *anchors, const struct pf_source_plane *luma,
                const struct room *room, struct pf_warp *warp, struct pf_fit *fit,
                struct pf_error *err)
{
    struct pf_field *more = NULL;
    struct pf_anchors_fit anchored;
    double overlap, before = begin(alignment, target, warp, room, &overlap);
    if (!(overlap >= LEAST_OVERLAP))
        return pf_fail(err, ENODATA, "covers only %.0f %% of it", 100 * overlap);
    int r = alignment->settings->align == PF_ALIGN_BSPLINE
                ? by_elastix(alignment, &target->level[0], room->pixels, &more, err)
                : by_flow(alignment, &target->level[0], room->pixels, &more, err);
    if (r == 0)
        r = extend(warp, more, luma, err);
    pf_field_free(more);
    if (r == 0)
        r = pf_deformation_check(warp->field, luma->width, luma->height, err);
    if (r == 0)
        r = pf_anchors_refine(anchors, luma, warp, &anchored, err);
    if (r == 0)
        r = pf_deformation_check(warp->field, luma->width, luma->height, err);
    if (r < 0)
        return r;
    fit->correlation = bring(alignment, target, 0, warp, room->pixels, room->valid, &fit->overlap);
    if (!(fit->correlation > before - 0.01))
        return pf_fail(
            err, ENODATA,
            "the displacement that was found makes it worse: correlation %.3f after %.3f",
            fit->correlation, before);
    int coarse = pf_ecc_level_of_width(target, 400);
    fit->agreement =
        coarse ? bring(alignment, target, coarse, warp, room->pixels, room->valid, &overlap)
               : fit->correlation;
    return 0;
}

int pf_alignment_deform(struct pf_alignment *alignment, enum pf_target aim,
                        struct pf_anchors *anchors, const struct pf_source_plane *luma,
                        const struct pf_warp *start, struct pf_field **ret_field,
                        struct pf_fit *ret, struct pf_error *err)
{
    const struct pf_ecc_pyramid *target =
        aim == PF_TARGET_STACK ? &alignment->stack_view : &alignment->predecessor;
    size_t count = (size_t)target->level[0].width * (size_t)target->level[0].height;
    struct room room = {malloc(count * sizeof(float)), malloc(count)};
    struct pf_warp warp = {.field = NULL};
    struct pf_fit fit = {0};
    memcpy(warp.h, start->h, sizeof(warp.h));
    int r = room.pixels && room.valid ? 0 : pf_fail(err, ENOMEM, "out of memory for alignment");
    if (r == 0 && start->field)
        r = pf_field_copy(&warp.field, start->field, err);
    if (r == 0)
        r = find(alignment, target, anchors, luma, &room, &warp, &fit, err);
    free(room.pixels);
    free(room.valid);
    if (r < 0) {
        pf_field_free(warp.field);
        return r;
    }
    *ret_field = warp.field;
    *ret = fit;
    return 0;
}
