#include "process/align.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "process/homography.h"

/* Re-registration to the stack may correct a chained transform by this share of the width; more
 * means that it has locked onto something else. */
#define MOST_DRIFT 0.01
/* Beyond these a fit is no picture of the same thing, whatever its correlation. */
#define LEAST_OVERLAP 0.6
#define MOST_ZOOM     1.3
/* With less likeness of their detail two pictures have their layout in common alone: likeness.h of
 * process/cpu has what was measured. Who asks for less correlation is content with less of this too. */
#define LEAST_LIKENESS 0.45
/* Many features that agree speak for themselves where correlation sees only a part: 15 % of the
 * frame and 20 degrees leave so much. */
#define LEAST_OVERLAP_BY_FEATURES 0.45
/* Whose features a hybrid uses: those that defocus harms least. */
#define HYBRID_FEATURES PF_FEATURES_SIFT

struct aligner {
    const struct pf_backend *backend;
    void *engine;
    const struct pf_stack_settings *settings;
    const struct pf_place *place;
    enum pf_align method;
};

#define REASON_SIZE sizeof(((struct pf_frame_result *)NULL)->reason)

/* An estimate of a map, from the target's points to those of the frame in hand. */
struct estimate {
    double h[9];
    double correlation, certainty;
    bool believed;
    char reason[REASON_SIZE]; /* why it is not */
};

static void believe(const struct aligner *aligner, struct estimate *estimate,
                    const struct pf_fit *fit, double least_overlap)
{
    char *reason = estimate->reason;
    double least = aligner->settings->min_correlation, zoom = hypot(estimate->h[0], estimate->h[3]);
    estimate->correlation = fmax(fit->correlation, fit->agreement);
    estimate->certainty = fit->certainty;
    if (!(estimate->correlation >= least))
        snprintf(reason, REASON_SIZE, "does not match the stack: correlation %.2f is below %.2f",
                 estimate->correlation, least);
    else if (fit->likeness != 0 && !(fit->likeness >= fmin(LEAST_LIKENESS, least)))
        snprintf(reason, REASON_SIZE,
                 "does not match the stack: its detail is another's, correlation %.2f of %.2f",
                 fit->likeness, fmin(LEAST_LIKENESS, least));
    else if (!(fit->overlap >= least_overlap))
        snprintf(reason, REASON_SIZE, "does not match the stack: covers only %.0f %% of it",
                 100 * fit->overlap);
    else if (!(zoom < MOST_ZOOM && zoom > 1 / MOST_ZOOM))
        snprintf(reason, REASON_SIZE, "does not match the stack: would need a zoom of %.2f", zoom);
    else
        estimate->believed = true;
}

static int by_correlation(const struct aligner *aligner, enum pf_target target, bool search,
                          double least_overlap, struct estimate *estimate, struct pf_error *err)
{
    struct pf_fit fit;
    int r = aligner->backend->align(aligner->engine, target, search, estimate->h, &fit, err);
    if (r == 0)
        believe(aligner, estimate, &fit, least_overlap);
    return r;
}

/* What is no finding about this frame, but ends the burst or the worker. */
static bool is_trouble(int r)
{
    return r == -ENOMEM || r == -EREMOTEIO;
}

static int by_features(const struct aligner *aligner, enum pf_features_kind kind,
                       enum pf_target target, struct estimate *estimate, struct pf_error *err)
{
    struct pf_fit fit;
    struct pf_features_fit count;
    struct pf_error trouble = {0};
    int r =
        aligner->backend->match(aligner->engine, kind, target, estimate->h, &fit, &count, &trouble);
    if (is_trouble(r))
        return pf_fail(err, -r, "%s", trouble.text);
    if (r < 0) /* what the library could not do with this picture ends no burst */
        snprintf(estimate->reason, REASON_SIZE, "cannot be aligned: %.200s", trouble.text);
    else if (!pf_features_agree(&count))
        snprintf(estimate->reason, REASON_SIZE,
                 "does not match the stack: %d of %d features agree, %d and %.0f %% are needed",
                 count.inliers, count.matches, PF_FEATURES_LEAST_INLIERS,
                 100 * PF_FEATURES_LEAST_SHARE);
    else
        believe(aligner, estimate, &fit, LEAST_OVERLAP_BY_FEATURES);
    return 0;
}

bool pf_align_wants_features(enum pf_align align, enum pf_features_kind *ret)
{
    switch (align) {
    case PF_ALIGN_ORB:
        *ret = PF_FEATURES_ORB;
        return true;
    case PF_ALIGN_AKAZE:
        *ret = PF_FEATURES_AKAZE;
        return true;
    case PF_ALIGN_SIFT:
        *ret = PF_FEATURES_SIFT;
        return true;
    case PF_ALIGN_HYBRID:
        *ret = HYBRID_FEATURES;
        return true;
    case PF_ALIGN_AUTO:
    case PF_ALIGN_ECC:
    case PF_ALIGN_FLOW:
    case PF_ALIGN_BSPLINE:
    case PF_ALIGN_SYN:
    case PF_ALIGN_NONE:
        break;
    }
    return false;
}

/* `known`: estimate->h is near already. */
static int find(const struct aligner *aligner, enum pf_target target, bool known,
                struct estimate *estimate, struct pf_error *err)
{
    enum pf_features_kind kind;
    estimate->believed = false;
    estimate->correlation = estimate->certainty = 0;
    if (!pf_align_wants_features(aligner->method, &kind))
        return by_correlation(aligner, target, !known, LEAST_OVERLAP, estimate, err);
    if (aligner->method != PF_ALIGN_HYBRID)
        return by_features(aligner, kind, target, estimate, err);
    if (!known) {
        int r = by_features(aligner, kind, target, estimate, err);
        if (r < 0 || !estimate->believed)
            return r;
        estimate->believed = false;
    }
    return by_correlation(aligner, target, false, LEAST_OVERLAP_BY_FEATURES, estimate, err);
}

/* A second chain, over every other frame, joins the first: their errors have little in common, and
 * where the frames are far apart in focus it says less than the steps between neighbours. On generated
 * bursts this was more exact than the stack, which compares sharp with blurred in all that was not sharp
 * yet. The model's own errors grow faster with the blur than the certainty tells, hence its square.
 * 1 joined, 0 there is nothing to join. */
static int join_before(const struct aligner *aligner, const struct estimate *step, double chain[9],
                       struct pf_error *err)
{
    const struct pf_place *place = aligner->place;
    struct estimate wide = {.correlation = 0};
    struct pf_fit fit;
    double back[9];
    if (!(step->certainty > 0) || !place->before || !pf_homography_invert(back, place->before))
        return 0;
    pf_homography_compose(wide.h, chain, back);
    int r = aligner->backend->align(aligner->engine, PF_TARGET_BEFORE, false, wide.h, &fit, err);
    if (r < 0)
        return r;
    believe(aligner, &wide, &fit, LEAST_OVERLAP_BY_FEATURES);
    pf_homography_compose(wide.h, wide.h, place->before);
    if (!wide.believed ||
        !(pf_homography_corner_distance(chain, wide.h, place->width, place->height) <
          MOST_DRIFT * place->width))
        return 1; /* it says nothing, and the steps between neighbours hold */
    double weight = wide.certainty / step->certainty,
           share = weight * weight / (1 + weight * weight);
    for (int i = 0; i < 9; i++)
        chain[i] = (1 - share) * chain[i] + share * wide.h[i];
    return 1;
}

/* First against the predecessor, then as pf_place says. The chain's estimate compares like with
 * like but its errors add up; the stack's compares sharp with blurred but does not drift. Their mean
 * halves whatever has drifted at each step. 1 accepted, 0 refused. */
static int align_by(const struct aligner *aligner, struct pf_frame_result *result,
                    struct pf_error *err)
{
    const struct pf_place *place = aligner->place;
    struct estimate step, direct;
    double chain[9];
    pf_homography_identity(step.h);
    int r = find(aligner, PF_TARGET_PREDECESSOR, false, &step, err);
    if (r < 0)
        return r;
    bool chained = step.believed;
    if (chained)
        pf_homography_compose(chain, step.h, place->predecessor->h);
    else
        memcpy(chain, place->predecessor->h, sizeof(chain));
    result->correlation = step.correlation;
    if (chained && place->fused == 1) { /* the predecessor is the stack */
        memcpy(result->transform, chain, sizeof(chain));
        return 1;
    }

    if (chained) {
        r = join_before(aligner, &step, chain, err);
        if (r < 0)
            return r;
        memcpy(result->transform, chain, sizeof(chain));
        if (r > 0)
            return 1;
    }

    /* Features find in the stack what they found in its only frame. */
    if (!chained && place->fused == 1 && aligner->method != PF_ALIGN_ECC) {
        memcpy(result->reason, step.reason, sizeof(step.reason));
        return 0;
    }
    memcpy(direct.h, chain, sizeof(chain));
    r = find(aligner, PF_TARGET_STACK, chained, &direct, err);
    if (r < 0)
        return r;
    bool registered = direct.believed;
    if (registered && chained)
        registered = pf_homography_corner_distance(chain, direct.h, place->width, place->height) <
                     MOST_DRIFT * place->width;
    if (!chained && !registered) {
        memcpy(result->reason, step.reason, sizeof(step.reason));
        return 0;
    }
    double share = !registered ? 0 : !chained ? 1 : 0.5; /* of the estimate from the stack */
    for (int i = 0; i < 9; i++)
        result->transform[i] = (1 - share) * chain[i] + share * direct.h[i];
    if (registered)
        result->correlation = direct.correlation;
    return 1;
}

/* A displacement field over what correlation has found; over the predecessor's transform where it
 * has found nothing: a deformation may be all that there is. 1 accepted, 0 refused. */
static int align_deforming(struct aligner *aligner, struct pf_frame_result *result,
                           struct pf_field **ret_field, struct pf_error *err)
{
    const struct pf_place *place = aligner->place;
    struct pf_warp start = {.field = place->predecessor->field};
    struct pf_field *field = NULL;
    struct pf_error trouble = {0};
    struct pf_fit fit = {0};
    struct estimate estimate = {.correlation = 0};
    aligner->method = PF_ALIGN_ECC;
    int r = align_by(aligner, result, err);
    if (r < 0)
        return r;
    memcpy(start.h, r ? result->transform : place->predecessor->h, sizeof(start.h));
    aligner->method = aligner->settings->align;
    if (aligner->method == PF_ALIGN_SYN && !aligner->backend->has_syn)
        aligner->method = PF_ALIGN_FLOW;
    r = aligner->backend->deform(aligner->engine,
                                 place->fused == 1 ? PF_TARGET_PREDECESSOR : PF_TARGET_STACK,
                                 &start, &field, &fit, &trouble);
    if (is_trouble(r))
        return pf_fail(err, -r, "%s", trouble.text);
    memcpy(result->transform, start.h, sizeof(start.h));
    if (r < 0) {
        bool unlike = r == -ENODATA || r == -EINVAL;
        result->cause = unlike ? PF_CAUSE_UNLIKE : PF_CAUSE_FAILED;
        snprintf(result->reason, REASON_SIZE, "%s: %.200s",
                 unlike ? "does not match the stack" : "cannot be aligned", trouble.text);
        return 0;
    }
    memcpy(estimate.h, start.h, sizeof(start.h));
    believe(aligner, &estimate, &fit, LEAST_OVERLAP_BY_FEATURES);
    result->correlation = estimate.correlation;
    if (!estimate.believed) {
        memcpy(result->reason, estimate.reason, REASON_SIZE);
        pf_field_free(field);
        return 0;
    }
    *ret_field = field;
    return 1;
}

int pf_align_frame(const struct pf_backend *backend, void *engine,
                   const struct pf_stack_settings *settings, const struct pf_place *place,
                   struct pf_frame_result *result, struct pf_field **ret_field,
                   struct pf_error *err)
{
    struct aligner aligner = {backend, engine, settings, place, settings->align};
    int r;
    *ret_field = NULL;
    result->cause = PF_CAUSE_UNLIKE;
    if (settings->align == PF_ALIGN_AUTO)
        aligner.method = PF_ALIGN_ECC;
    r = pf_align_is_non_rigid(settings->align) ? align_deforming(&aligner, result, ret_field, err)
                                               : align_by(&aligner, result, err);
    if (r == 0 && settings->align == PF_ALIGN_AUTO) {
        struct pf_frame_result first = *result;
        aligner.method = PF_ALIGN_HYBRID;
        r = align_by(&aligner, result, err);
        if (r == 0) {
            char both[2 * REASON_SIZE + sizeof("ecc: ; hybrid: ")];
            snprintf(both, sizeof(both), "ecc: %s; hybrid: %s", first.reason, result->reason);
            snprintf(result->reason, REASON_SIZE, "%.*s", (int)REASON_SIZE - 1, both);
            result->correlation = fmax(result->correlation, first.correlation);
        }
    }
    if (r <= 0)
        return r;
    result->aligned_by = aligner.method;
    result->cause = PF_CAUSE_NONE;
    result->reason[0] = '\0';
    return 1;
}
