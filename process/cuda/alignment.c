#include "process/cuda/alignment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pf_cuda_alignment_open(struct pf_cuda_alignment *alignment,
                           const struct pf_stack_settings *settings, struct pf_pool *pool,
                           struct pf_cuda *cuda, struct pf_error *err)
{
    memset(alignment, 0, sizeof(*alignment));
    alignment->settings = settings;
    alignment->pool = pool;
    alignment->cuda = cuda;
    int r = pf_alignment_open(&alignment->host, settings, pool, err);
    return r < 0 ? r : pf_cuda_ecc_new(&alignment->ecc, cuda, err);
}

void pf_cuda_alignment_close(struct pf_cuda_alignment *alignment)
{
    pf_alignment_close(&alignment->host);
    pf_cuda_ecc_free(alignment->ecc);
    if (alignment->cuda) {
        pf_cuda_pyramid_free(alignment->cuda, &alignment->current);
        pf_cuda_pyramid_free(alignment->cuda, &alignment->predecessor);
        pf_cuda_pyramid_free(alignment->cuda, &alignment->stack_view);
    }
    memset(alignment, 0, sizeof(*alignment));
}

int pf_cuda_alignment_take(struct pf_cuda_alignment *alignment, const float *light, int width,
                           int height, double scale, double offset, double *ret_contrast,
                           struct pf_error *err)
{
    pf_alignment_next(&alignment->host);
    int r = pf_cuda_pyramid_of_light(alignment->cuda, &alignment->current, light, width, height,
                                     scale, offset, err);
    return r < 0 ? r : pf_cuda_ecc_contrast(alignment->ecc, &alignment->current, ret_contrast, err);
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
    /* The predecessor's memory is for the next frame. */
    struct pf_cuda_pyramid next = alignment->predecessor;
    alignment->predecessor = alignment->current;
    alignment->current = next;
    pf_alignment_keep(&alignment->host);
}

struct both_pictures {
    struct pf_cuda_alignment *alignment;
    const struct pf_cuda_pyramid *target;
};

static int one_way(void *context, bool back, bool search, int levels, double h[9],
                   struct pf_ecc_fit *ret, struct pf_error *err)
{
    const struct both_pictures *both = context;
    const struct pf_cuda_alignment *alignment = both->alignment;
    return pf_cuda_ecc_align(alignment->ecc, back ? &alignment->current : both->target,
                             back ? both->target : &alignment->current, alignment->settings->motion,
                             search, levels, h, ret, err);
}

int pf_cuda_alignment_align(struct pf_cuda_alignment *alignment, enum pf_target target, bool search,
                            double h[9], struct pf_fit *ret, struct pf_error *err)
{
    struct both_pictures both = {alignment, target == PF_TARGET_STACK ? &alignment->stack_view
                                                                      : &alignment->predecessor};
    return pf_alignment_both_ways(one_way, &both, target, search, h, ret, err);
}

/* A picture that the device has and the host has not. */
static int bring(struct pf_cuda_alignment *alignment, struct pf_ecc_pyramid *to,
                 const struct pf_cuda_pyramid *from, struct pf_error *err)
{
    const struct pf_ecc_level *finest = &from->levels.level[0];
    if (to->count || !from->levels.count)
        return 0;
    size_t bytes = (size_t)finest->width * (size_t)finest->height * sizeof(float);
    float *light = malloc(bytes);
    if (!light)
        return pf_fail(err, ENOMEM, "out of memory for features");
    pf_cuda_download(alignment->cuda, light, finest->pixels, bytes);
    int r = pf_cuda_wait(alignment->cuda, err);
    if (r == 0)
        r = pf_ecc_pyramid_of_light(to, light, finest->width, finest->height, finest->scale,
                                    finest->offset, pf_kernels(0), alignment->pool, err);
    free(light);
    return r;
}

int pf_cuda_alignment_match(struct pf_cuda_alignment *alignment, enum pf_features_kind kind,
                            enum pf_target target, double h[9], struct pf_fit *ret,
                            struct pf_features_fit *ret_count, struct pf_error *err)
{
    struct pf_alignment *host = &alignment->host;
    int r = bring(alignment, &host->current, &alignment->current, err);
    if (r == 0 && target == PF_TARGET_STACK)
        r = bring(alignment, &host->stack_view, &alignment->stack_view, err);
    else if (r == 0)
        r = bring(alignment, &host->predecessor, &alignment->predecessor, err);
    return r < 0 ? r : pf_alignment_match(host, kind, target, h, ret, ret_count, err);
}
