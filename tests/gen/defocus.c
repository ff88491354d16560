#include "tests/gen/defocus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen/rows.h"

#define STEPS      8     /* disc sizes per pixel of radius */
#define RADIUS_LO  9.0f  /* from here on the halved image is mixed in ... */
#define RADIUS_HI  13.0f /* ... and from here on it is used alone */
#define RADIUS_MAX 19    /* of the last level; must stay below PF_GEN_PAD */
#define TILE       16

struct disc {
    int rows; /* -rows..rows */
    float half[RADIUS_MAX + 2];
    float scale;
};

/* Area of the part of a disc's half plane up to y. */
static double segment(double r, double y)
{
    y = y > r ? r : y < -r ? -r : y;
    return y * sqrt(r * r - y * y) + r * r * asin(y / r);
}

static struct disc *make_discs(void)
{
    struct disc *discs = pf_gen_alloc(RADIUS_MAX * STEPS + 1, sizeof(*discs));
    for (int q = 1; q <= RADIUS_MAX * STEPS; q++) {
        double r = (double)q / STEPS;
        struct disc *disc = &discs[q];
        disc->rows = (int)ceil(r - 0.5);
        for (int k = 0; k <= disc->rows; k++)
            disc->half[k] = (float)((segment(r, k + 0.5) - segment(r, k - 0.5)) / 2);
        disc->scale = (float)(1 / (M_PI * r * r) / (1 << PF_GEN_FIXED));
    }
    return discs;
}

/* One level's result. */
struct picture {
    float *plane[4];
};

struct work {
    const struct pf_gen_layer *layer;
    const struct pf_gen_lens *lens;
    const struct disc *discs;
    int index;             /* of the level */
    const uint8_t *wanted; /* by tile; NULL: all */
    bool mixes;            /* the next level's result is in `coarse` */
    struct picture coarse;
    struct picture *result;
    struct pf_gen_canvas *canvas; /* level 0 goes here */
};

/* Mean over the disc, for the pixels x0..x1 of a row, which share one disc. */
static void disc_run(const struct work *work, const struct disc *disc, int y, int x0, int x1,
                     float *const out[4])
{
    const struct pf_gen_level *level = &work->layer->level[work->index];
    for (int c = 0; c < 4; c++) {
        const uint32_t *sums = level->sums[c];
        if (!sums)
            continue;
        float *restrict to = out[c];
        memset(to + x0, 0, (size_t)(x1 - x0) * sizeof(float));
        for (int k = -disc->rows; k <= disc->rows; k++) {
            int sy = y + k;
            if (sy < 0 || sy >= level->height) {
                if (level->sums[3])
                    continue;
                sy = sy < 0 ? 0 : level->height - 1;
            }
            float half = disc->half[abs(k)];
            int b = (int)floorf(0.5f + half), a = (int)floorf(0.5f - half);
            float fb = 0.5f + half - (float)b, fa = 0.5f - half - (float)a;
            const uint32_t *row = sums + (size_t)sy * (size_t)level->stride + PF_GEN_PAD;
            const uint32_t *pa = row + a, *pb = row + b;
            for (int x = x0; x < x1; x++)
                to[x] += (float)(int32_t)(pb[x] - pa[x]) +
                         fb * (float)(int32_t)(pb[x + 1] - pb[x]) -
                         fa * (float)(int32_t)(pa[x + 1] - pa[x]);
        }
        for (int x = x0; x < x1; x++)
            to[x] *= disc->scale;
    }
}

static void sharp_run(const struct pf_gen_level *level, int y, int x0, int x1, float *const out[4])
{
    for (int c = 0; c < 4; c++) {
        if (!level->sums[c])
            continue;
        const uint32_t *row = level->sums[c] + (size_t)y * (size_t)level->stride + PF_GEN_PAD;
        for (int x = x0; x < x1; x++)
            out[c][x] = (float)(row[x + 1] - row[x]) * (1.0f / (1 << PF_GEN_FIXED));
    }
}

/* Row y of a twice larger image, by a Catmull-Rom spline. */
static void enlarge_row(const float *plane, int width, int height, int y, int out_width, float *to)
{
    static const float taps[2][4] = {{-0.0234375f, 0.2265625f, 0.8671875f, -0.0703125f},
                                     {-0.0703125f, 0.8671875f, 0.2265625f, -0.0234375f}};
    int base = y / 2 - (y & 1 ? 1 : 2);
    const float *rows[4];
    for (int k = 0; k < 4; k++) {
        int sy = base + k < 0 ? 0 : base + k >= height ? height - 1 : base + k;
        rows[k] = plane + (size_t)sy * (size_t)width;
    }
    const float *w = taps[y & 1];
    for (int x = 0; x < out_width; x++) {
        int left = x / 2 - (x & 1 ? 1 : 2);
        float sum = 0;
        for (int i = 0; i < 4; i++) {
            int sx = left + i < 0 ? 0 : left + i >= width ? width - 1 : left + i;
            sum += taps[x & 1][i] * (w[0] * rows[0][sx] + w[1] * rows[1][sx] + w[2] * rows[2][sx] +
                                     w[3] * rows[3][sx]);
        }
        to[x] = sum;
    }
}

/* Radius in px of this level, and the share of the next level in the result. */
static float level_radius(const struct work *work, float depth)
{
    return pf_gen_radius(work->lens, depth) / (float)(1 << work->index);
}

static float coarse_share(float radius)
{
    float t = (radius - RADIUS_LO) / (RADIUS_HI - RADIUS_LO);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

static void put_row(const struct work *work, int y, float *const row[4])
{
    const struct pf_gen_layer *layer = work->layer;
    int width = layer->level[work->index].width;
    if (work->result) {
        for (int c = 0; c < 4; c++) {
            if (work->result->plane[c])
                memcpy(work->result->plane[c] + (size_t)y * (size_t)width, row[c],
                       (size_t)width * sizeof(float));
        }
        return;
    }
    int cy = y + layer->y0;
    if (cy < 0 || cy >= work->canvas->height)
        return;
    int begin = layer->x0 < 0 ? -layer->x0 : 0;
    int end = layer->x0 + width > work->canvas->width ? work->canvas->width - layer->x0 : width;
    bool opaque = !layer->level[0].sums[3];
    for (int c = 0; c < 3; c++) {
        float *to = work->canvas->light[c] + (size_t)cy * (size_t)work->canvas->width + layer->x0;
        for (int x = begin; x < end; x++)
            to[x] = opaque ? row[c][x] : row[c][x] + (1 - row[3][x]) * to[x];
    }
}

static void level_rows(void *context, int begin, int end)
{
    const struct work *work = context;
    const struct pf_gen_level *level = &work->layer->level[work->index];
    int width = level->width, tiles = (width + TILE - 1) / TILE;
    size_t row_size = (size_t)width;
    float *buffer = pf_gen_alloc(9 * row_size, sizeof(float));
    int *size = pf_gen_alloc(row_size, sizeof(int));
    float *row[4], *coarse[4], *share = buffer + 8 * row_size;
    for (int c = 0; c < 4; c++) {
        row[c] = buffer + (size_t)c * row_size;
        coarse[c] = buffer + (size_t)(c + 4) * row_size;
    }
    for (int y = begin; y < end; y++) {
        const float *depth = level->depth + (size_t)y * (size_t)width;
        bool mixed = false;
        for (int x = 0; x < width; x++) {
            if (work->wanted &&
                !work->wanted[(size_t)(y / TILE) * (size_t)tiles + (size_t)(x / TILE)]) {
                size[x] = -1;
                share[x] = 0;
                continue;
            }
            float r = level_radius(work, depth[x]);
            share[x] = work->mixes ? coarse_share(r) : 0;
            mixed |= share[x] > 0;
            r = r < RADIUS_MAX ? r : RADIUS_MAX;
            size[x] = share[x] >= 1 ? -1 : (int)lrintf(r * STEPS);
        }
        for (int x = 0, next; x < width; x = next) {
            for (next = x + 1; next < width && size[next] == size[x];)
                next++;
            if (size[x] == 0)
                sharp_run(level, y, x, next, row);
            else if (size[x] > 0)
                disc_run(work, &work->discs[size[x]], y, x, next, row);
            else
                for (int c = 0; c < 4; c++)
                    memset(row[c] + x, 0, (size_t)(next - x) * sizeof(float));
        }
        for (int c = 0; c < 4 && mixed; c++) {
            if (!level->sums[c])
                continue;
            enlarge_row(work->coarse.plane[c], level[1].width, level[1].height, y, width,
                        coarse[c]);
            for (int x = 0; x < width; x++) {
                if (share[x] > 0)
                    row[c][x] = share[x] >= 1 ? coarse[c][x]
                                              : row[c][x] + share[x] * (coarse[c][x] - row[c][x]);
            }
        }
        put_row(work, y, row);
    }
    free(size);
    free(buffer);
}

/* Tiles of a level that the finer level will ask for; NULL when none. */
static uint8_t *wanted_tiles(const struct work *work)
{
    const struct pf_gen_level *level = &work->layer->level[work->index];
    int across = (level->width + TILE - 1) / TILE, down = (level->height + TILE - 1) / TILE;
    uint8_t *wanted = pf_gen_alloc((size_t)across * (size_t)down, 1);
    bool any = false;
    for (int y = 0; y < level->height; y++) {
        for (int x = 0; x < level->width; x++) {
            float depth = level->depth[(size_t)y * (size_t)level->width + (size_t)x];
            if (level_radius(work, depth) < RADIUS_LO / 2 - 0.5f)
                continue;
            int tx = x / TILE, ty = y / TILE;
            if (any && wanted[(size_t)ty * (size_t)across + (size_t)tx] == 2)
                continue;
            any = true;
            for (int k = 0; k < 9; k++) {
                int nx = tx + k % 3 - 1, ny = ty + k / 3 - 1;
                if (nx >= 0 && ny >= 0 && nx < across && ny < down) {
                    uint8_t *tile = &wanted[(size_t)ny * (size_t)across + (size_t)nx];
                    *tile = k == 4 ? 2 : *tile ? *tile : 1;
                }
            }
        }
    }
    if (any)
        return wanted;
    free(wanted);
    return NULL;
}

static void run_level(struct work *work)
{
    struct work coarser = *work;
    uint8_t *wanted = NULL;
    coarser.index++;
    work->mixes = false;
    work->coarse = (struct picture){{NULL}};
    if (coarser.index < work->layer->levels && (wanted = wanted_tiles(&coarser))) {
        const struct pf_gen_level *level = &work->layer->level[coarser.index];
        for (int c = 0; c < 4; c++)
            if (level->sums[c])
                work->coarse.plane[c] =
                    pf_gen_alloc((size_t)level->width * (size_t)level->height, sizeof(float));
        coarser.wanted = wanted;
        coarser.result = &work->coarse;
        run_level(&coarser);
        work->mixes = true;
    }
    pf_gen_rows(work->layer->level[work->index].height, level_rows, work);
    for (int c = 0; c < 4; c++)
        free(work->coarse.plane[c]);
    free(wanted);
}

void pf_gen_defocus(const struct pf_gen_layer *layer, const struct pf_gen_lens *lens,
                    struct pf_gen_canvas *canvas)
{
    struct disc *discs = make_discs();
    struct work work = {.layer = layer, .lens = lens, .discs = discs, .canvas = canvas};
    run_level(&work);
    free(discs);
}
