/* What a stack gives: the picture and its previews. */
#include "process/cpu/fuse.h"

enum { ROWS_PER_PIECE = 32 };

void pf_cpu_collapse(struct pf_cpu_engine *engine, int plane, int level, int16_t *out)
{
    engine->fuser->collapse(engine, plane, level, out);
}

/* --- images --- */

/* Engine samples to the full range of an image's own. */
static void export_row(void *out, const int16_t *in, int count, int bits, bool chroma)
{
    float scale = (bits == 8 ? 255.0f : 65535.0f) / PF_WHITE;
    float top = bits == 8 ? 255.0f : 65535.0f;
    float zero = (chroma ? (bits == 8 ? 128.0f : 32768.0f) : 0) + 0.5f;
    for (int x = 0; x < count; x++) {
        float value = (float)in[x] * scale + zero;
        value = value < 0 ? 0 : value > top ? top : value;
        if (bits == 8)
            ((uint8_t *)out)[x] = (uint8_t)value;
        else
            ((uint16_t *)out)[x] = (uint16_t)value;
    }
}

struct export_job {
    const int16_t *samples;
    struct pf_image *image;
    int plane;
};

static void export_rows(void *context, int begin, int end, int thread)
{
    const struct export_job *job = context;
    (void)thread;
    int width = pf_image_plane_width(job->image, job->plane);
    for (int y = begin; y < end; y++)
        export_row((char *)job->image->plane[job->plane] +
                       (size_t)y * job->image->stride_bytes[job->plane],
                   job->samples + (size_t)y * (size_t)width, width, job->image->bits,
                   job->plane > 0);
}

/* The stack at a level as an image. */
static int collapse_to_image(struct pf_cpu_engine *engine, int level, int bits,
                             struct pf_image **ret, struct pf_error *err)
{
    struct pf_image *image = NULL;
    struct pf_grid size = engine->size[0][level];
    int r = pf_image_new(&image, size.width, size.height, bits, engine->planes,
                         engine->chroma_shift_x, engine->chroma_shift_y, err);
    if (r < 0)
        return r;
    for (int plane = 0; plane < engine->planes; plane++) {
        /* The frame's pyramid of level 0 .. is free now: collapse in there. */
        int16_t *samples = engine->work[level];
        pf_cpu_collapse(engine, plane, level, samples);
        struct export_job job = {samples, image, plane};
        /* Halving rounds up, so a chroma level always has the size that the image expects. */
        pf_pool_run(engine->pool, pf_image_plane_height(image, plane), ROWS_PER_PIECE, export_rows,
                    &job);
    }
    *ret = image;
    return 0;
}

int pf_cpu_finish(void *opaque, struct pf_image **ret, struct pf_error *err)
{
    return collapse_to_image(opaque, 0, 16, ret, err);
}

int pf_cpu_preview(void *opaque, int max_width, struct pf_image **ret, struct pf_error *err)
{
    struct pf_cpu_engine *engine = opaque;
    int level = 0;
    while (level < engine->levels && engine->size[0][level].width > max_width)
        level++;
    return collapse_to_image(engine, level, 8, ret, err);
}
