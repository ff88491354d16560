/* What a burst will need of memory. */
#include "process/cpu/ecc.h"
#include "process/cpu/engine.h"
#include "process/stack.h"

/* Alignment: pyramids of pictures of light of three frames, of the next one and of the stack, a third more
 * than their finest level each, and four pictures to work with. */
static int64_t align_bytes(const struct pf_image *like)
{
    int halvings = pf_ecc_halvings(like->width);
    int64_t pixels = (int64_t)like->width * like->height;
    int64_t finest = (pixels >> (2 * halvings)) * (int64_t)sizeof(float);
    return finest * 32 / 3;
}

/* Of a picture with these bits; full: with chroma of luma's size. */
static int64_t image_bytes(const struct pf_image *like, int bits, bool full)
{
    int64_t sum = 0;
    for (int plane = 0; plane < like->planes; plane++) {
        int64_t width = full ? like->width : pf_image_plane_width(like, plane);
        int64_t height = full ? like->height : pf_image_plane_height(like, plane);
        sum += (width * bits / 8 + 63) / 64 * 64 * height;
    }
    return sum;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void pf_stack_needs(const struct pf_stack_settings *settings, struct pf_pool *pool,
                    const struct pf_image *like, struct pf_needs *ret)
{
    int64_t pixels = (int64_t)like->width * like->height;
    bool subsampled = like->planes == 3 && (like->chroma_shift_x || like->chroma_shift_y);
    /* The smoothed cells, coarser ones with their confidences and winners; the picture. */
    int64_t maps = settings->depth && pf_fuse_has_maps(settings->fuse)
                       ? pixels / 4 * 4 + pixels / 4 * 10 / 3 + pixels * 2
                       : 0;
    int64_t result = image_bytes(like, 16, false);
    if (like->orientation > 1) /* turned upright in a copy, its chroma in full before */
        result += image_bytes(like, 16, true) * (subsampled ? 2 : 1);
    *ret = (struct pf_needs){
        .stack = (int64_t)pf_cpu_stack_bytes(settings, pool, like),
        .frame = image_bytes(like, like->bits, false) + (like->cover ? pixels : 0),
        .align = settings->align == PF_ALIGN_NONE ? 0 : align_bytes(like),
        .finish = larger(result, maps),
    };
    ret->most = ret->stack + ret->align + larger(2 * ret->frame, ret->finish);
}
