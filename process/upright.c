#include "process/upright.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "process/convert.h"

/* Orientation as: swap x and y, then mirror x, then mirror y (of the result). */
struct turn {
    bool swap, mirror_x, mirror_y;
};

static const struct turn turns[9] = {
    [1] = {false, false, false}, [2] = {false, true, false}, [3] = {false, true, true},
    [4] = {false, false, true},  [5] = {true, false, false}, [6] = {true, true, false},
    [7] = {true, true, true},    [8] = {true, false, true},
};

static struct turn turn_of(int orientation)
{
    return turns[orientation >= 1 && orientation <= 8 ? orientation : 1];
}

void pf_upright_place(int orientation, int width, int height, double x, double y, double *ret_x,
                      double *ret_y)
{
    struct turn turn = turn_of(orientation);
    double u = turn.mirror_x ? (turn.swap ? height : width) - 1 - x : x;
    double v = turn.mirror_y ? (turn.swap ? width : height) - 1 - y : y;
    *ret_x = turn.swap ? v : u;
    *ret_y = turn.swap ? u : v;
}

#define TILE                                                                                       \
    32 /* both the rows read and the rows written of a tile stay in the first-level cache */

struct plane_job {
    const uint8_t *from;
    size_t from_stride;
    uint8_t *to;
    size_t to_stride;
    int width, height; /* of the result */
    int bytes;
    struct turn turn;
};

#define COPY_TILE(type)                                                                            \
    for (int y = y0; y < y1; y++) {                                                                \
        type *out = (type *)(job->to + (size_t)y * job->to_stride);                                \
        int v = job->turn.mirror_y ? job->height - 1 - y : y;                                      \
        for (int x = x0; x < x1; x++) {                                                            \
            int u = job->turn.mirror_x ? job->width - 1 - x : x;                                   \
            int row = job->turn.swap ? u : v, column = job->turn.swap ? v : u;                     \
            out[x] = ((const type *)(job->from + (size_t)row * job->from_stride))[column];         \
        }                                                                                          \
    }

static void turn_rows(void *context, int begin, int end, int thread)
{
    const struct plane_job *job = context;
    (void)thread;
    for (int y0 = begin; y0 < end; y0 += TILE) {
        int y1 = end - y0 < TILE ? end : y0 + TILE;
        for (int x0 = 0; x0 < job->width; x0 += TILE) {
            int x1 = job->width - x0 < TILE ? job->width : x0 + TILE;
            if (job->bytes == 2) {
                COPY_TILE(uint16_t)
            } else {
                COPY_TILE(uint8_t)
            }
        }
    }
}

/* The same picture with chroma at full size. */
static int with_full_chroma(const struct pf_image *image, struct pf_image **ret,
                            struct pf_error *err)
{
    struct pf_image *full;
    int r = pf_image_new(&full, image->width, image->height, image->bits, 3, 0, 0, err);
    if (r < 0)
        return r;
    float *scratch = malloc(pf_row_scratch_floats(image) * sizeof(*scratch));
    if (!scratch) {
        pf_image_free(full);
        return pf_fail(err, ENOMEM, "out of memory for turning a picture");
    }
    size_t row_bytes = (size_t)image->width * (size_t)(image->bits / 8);
    for (int y = 0; y < image->height; y++) {
        memcpy((uint8_t *)full->plane[0] + (size_t)y * full->stride_bytes[0],
               (const uint8_t *)image->plane[0] + (size_t)y * image->stride_bytes[0], row_bytes);
        for (int plane = 1; plane < 3; plane++)
            pf_row_upsampled((uint8_t *)full->plane[plane] + (size_t)y * full->stride_bytes[plane],
                             image, plane, y, scratch);
    }
    free(scratch);
    *ret = full;
    return 0;
}

int pf_image_upright(const struct pf_image *image, struct pf_pool *pool, struct pf_image **ret,
                     struct pf_error *err)
{
    struct turn turn = turn_of(image->orientation);
    struct pf_image *full = NULL, *out = NULL;

    bool odd_x = image->chroma_shift_x && image->width % 2;
    bool odd_y = image->chroma_shift_y && image->height % 2;
    bool mirrored_x = turn.swap ? turn.mirror_y : turn.mirror_x; /* along the stored axes */
    bool mirrored_y = turn.swap ? turn.mirror_x : turn.mirror_y;
    if ((odd_x && mirrored_x) || (odd_y && mirrored_y)) {
        int r = with_full_chroma(image, &full, err);
        if (r < 0)
            return r;
        image = full;
    }

    int r = pf_image_new(&out, turn.swap ? image->height : image->width,
                         turn.swap ? image->width : image->height, image->bits, image->planes,
                         turn.swap ? image->chroma_shift_y : image->chroma_shift_x,
                         turn.swap ? image->chroma_shift_x : image->chroma_shift_y, err);
    for (int i = 0; r == 0 && i < image->planes; i++) {
        struct plane_job job = {
            .from = image->plane[i],
            .from_stride = image->stride_bytes[i],
            .to = out->plane[i],
            .to_stride = out->stride_bytes[i],
            .width = pf_image_plane_width(out, i),
            .height = pf_image_plane_height(out, i),
            .bytes = image->bits / 8,
            .turn = turn,
        };
        pf_pool_run(pool, job.height, 4 * TILE, turn_rows, &job);
    }
    pf_image_free(full);
    if (r == 0)
        *ret = out;
    return r;
}
