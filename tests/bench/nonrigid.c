/* nonrigid: a pair of pictures with a known smooth deformation, aligned in memory.
 *
 *   nonrigid --side PX [--reach PX] [--seed S] [--align flow|bspline] [--runs N] [--threads N]
 *            [--write DIR]     writes the pair as fixed.mhd and moving.mhd, for elastix itself
 *            [--judge FILE]    judges the TransformParameters file of an elastix of one's own
 *
 * One line a run: wall and CPU seconds from two decoded pictures to the field (pyramids of both,
 * anchors of the first, alignment; processes of ours included), mean and largest error in pixels. The
 * pictures are a texture that is known at every point, so the second one is not resampled.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "config/base/time.h"
#include "process/align.h"
#include "process/backend.h"
#include "process/cpu/anchors.h"
#include "process/cpu/engine.h"
#include "process/elastix.h"
#include "tests/gen/deform.h"
#include "tests/gen/noise.h"
#include "tests/gen/rows.h"

enum { TILE = 1024 };

static float tile[TILE][TILE]; /* random, smooth over three pixels or so */

static void make_tile(uint64_t seed)
{
    struct pf_gen_random random = {seed};
    float(*raw)[TILE] = malloc(sizeof(tile));
    if (!raw)
        exit(1);
    for (int y = 0; y < TILE; y++)
        for (int x = 0; x < TILE; x++)
            raw[y][x] = (float)pf_gen_normal(&random);
    for (int y = 0; y < TILE; y++)
        for (int x = 0; x < TILE; x++) {
            float sum = 0;
            for (int j = -2; j <= 2; j++)
                for (int i = -2; i <= 2; i++)
                    sum += expf(-0.5f * (float)(i * i + j * j) / 1.2f) *
                           raw[(y + j + TILE) % TILE][(x + i + TILE) % TILE];
            tile[y][x] = sum / 2.2f;
        }
    free(raw);
}

/* Cubic B-spline of the tile, repeated: known everywhere, with two derivatives. */
static float tile_at(double x, double y)
{
    double fx = floor(x), fy = floor(y);
    float t[2] = {(float)(x - fx), (float)(y - fy)}, w[2][4];
    for (int k = 0; k < 2; k++) {
        float s = 1 - t[k];
        w[k][0] = s * s * s / 6;
        w[k][1] = (4 - 3 * t[k] * t[k] * (1 + s)) / 6;
        w[k][2] = (4 - 3 * s * s * (1 + t[k])) / 6;
        w[k][3] = t[k] * t[k] * t[k] / 6;
    }
    int ix = (int)fx & (TILE - 1), iy = (int)fy & (TILE - 1);
    float sum = 0;
    for (int j = 0; j < 4; j++) {
        const float *row = tile[(iy + j + TILE - 1) & (TILE - 1)];
        sum +=
            w[1][j] * (w[0][0] * row[(ix + TILE - 1) & (TILE - 1)] + w[0][1] * row[ix] +
                       w[0][2] * row[(ix + 1) & (TILE - 1)] + w[0][3] * row[(ix + 2) & (TILE - 1)]);
    }
    return sum;
}

struct picture {
    struct pf_image *image;
    const struct pf_gen_deform *deform; /* NULL: the reference */
    uint32_t seed;
};

static void paint_rows(void *context, int begin, int end)
{
    const struct picture *picture = context;
    struct pf_image *image = picture->image;
    for (int y = begin; y < end; y++) {
        uint8_t *row = (uint8_t *)image->plane[0] + (size_t)y * image->stride_bytes[0];
        double d[3][2] = {{0}};
        for (int x = 0; x < image->width; x++) {
            /* The deformation runs straight between points 16 pixels apart, to 1e-4 px at this
             * size: a tenth of the time. */
            if (picture->deform && x % 16 == 0) {
                pf_gen_deform_at(picture->deform, x, y, d[0]);
                pf_gen_deform_at(picture->deform, x + 16, y, d[1]);
            }
            double share = x % 16 / 16.0;
            double rx = x + d[0][0] + share * (d[1][0] - d[0][0]);
            double ry = y + d[0][1] + share * (d[1][1] - d[0][1]);
            /* Fine, middle and coarse detail, the fine one not everywhere. */
            float coarse = tile_at(rx / 61 + 200, ry / 67 + 100),
                  middle = tile_at(rx / 7.3, ry / 7.7);
            float fine = tile_at(rx, ry) * (0.6f + 0.4f * (coarse > 1    ? 1
                                                           : coarse < -1 ? -1
                                                                         : coarse));
            uint32_t grain = pf_gen_hash2(x, y, picture->seed);
            float noise = ((float)(grain & 0xffff) + (float)(grain >> 16)) / 65536 - 1;
            float value = 120 + 22 * coarse + 20 * middle + 26 * fine + 2.4f * noise;
            row[x] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + 0.5f);
        }
    }
}

static struct pf_image *paint(int side, const struct pf_gen_deform *deform, uint32_t seed)
{
    struct picture picture = {.deform = deform, .seed = seed};
    if (pf_image_new(&picture.image, side, side, 8, 1, 0, 0, NULL) < 0)
        exit(1);
    picture.image->orientation = 1;
    picture.image->source_bits = 8;
    pf_gen_rows(side, paint_rows, &picture);
    return picture.image;
}

/* Error of a warp on an even grid of points, the outermost 1 % left out. */
static void judge(const struct pf_warp *warp, const struct pf_gen_deform *deform, int side,
                  double *ret_mean, double *ret_most)
{
    enum { POINTS = 100 };
    double identity[9], sum = 0, most = 0;
    pf_homography_identity(identity);
    for (int j = 0; j < POINTS; j++)
        for (int i = 0; i < POINTS; i++) {
            double x = (0.01 + 0.98 * (i + 0.5) / POINTS) * side;
            double y = (0.01 + 0.98 * (j + 0.5) / POINTS) * side, truth[2], px, py;
            pf_gen_deform_find(deform, identity, x, y, truth);
            pf_warp_apply(warp, x, y, &px, &py);
            double error = hypot(px - truth[0], py - truth[1]);
            sum += error;
            most = fmax(most, error);
        }
    *ret_mean = sum / (POINTS * POINTS);
    *ret_most = most;
}

static double cpu_s(void)
{
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
                    children.ru_stime.tv_sec) +
           1e-6 * (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
                           children.ru_stime.tv_usec);
}

static int fail(const struct pf_error *err)
{
    fprintf(stderr, "nonrigid: %s\n", err->text);
    return 1;
}

/* What the engine does with a reference and its successor, without fusing them. */
static int align(const struct pf_image *fixed, const struct pf_image *moving,
                 const struct pf_stack_settings *settings, struct pf_pool *pool,
                 struct pf_warp *ret, struct pf_error *err)
{
    double contrast, identity[9], begin_ms = pf_now_ms(), loaded_ms, anchored_ms;
    struct pf_focus focus;
    struct pf_cpu_engine *engine = NULL;
    const struct pf_backend *backend = &pf_backend_cpu;
    struct pf_warp start = {.field = NULL};
    struct pf_frame_result result = {.reason = ""};
    pf_homography_identity(identity);
    pf_homography_identity(start.h);
    int r = backend->open((void **)&engine, settings, pool, err);
    if (r == 0)
        r = backend->load(engine, fixed, NULL, &focus, &contrast, err);
    loaded_ms = pf_now_ms();
    if (r == 0)
        r = pf_anchors_new(&engine->anchors, fixed->width, fixed->height, engine->kernels, pool,
                           err);
    if (r == 0) {
        struct pf_source_plane luma = pf_cpu_source(fixed, 0, 1);
        pf_anchors_take(engine->anchors, &luma, &start);
        anchored_ms = pf_now_ms();
        backend->keep(engine);
        r = backend->load(engine, moving, NULL, &focus, &contrast, err);
        double ready_ms = pf_now_ms();
        struct pf_place place = {
            .width = fixed->width, .height = fixed->height, .fused = 1, .predecessor = &start};
        if (r == 0)
            r = pf_align_frame(backend, engine, settings, &place, &result, &ret->field, err);
        fprintf(stderr, "pyramids %.0f + %.0f ms, anchors %.0f ms, alignment %.0f ms\n",
                loaded_ms - begin_ms, ready_ms - anchored_ms, anchored_ms - loaded_ms,
                pf_now_ms() - ready_ms);
        if (r == 0)
            r = pf_fail(err, ENODATA, "refused: %s", result.reason);
        memcpy(ret->h, result.transform, sizeof(ret->h));
    }
    backend->close(engine);
    return r < 0 ? r : 0;
}

static int write_raw(const char *dir, const char *name, const struct pf_image *image)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.mhd", dir, name);
    FILE *file = fopen(path, "w");
    if (!file)
        return -errno;
    fprintf(file,
            "ObjectType = Image\nNDims = 2\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
            "ElementSpacing = 1 1\nOffset = 0 0\nDimSize = %d %d\nElementType = MET_UCHAR\n"
            "ElementDataFile = %s.raw\n",
            image->width, image->height, name);
    fclose(file);
    snprintf(path, sizeof(path), "%s/%s.raw", dir, name);
    file = fopen(path, "w");
    bool good = file != NULL;
    for (int y = 0; good && y < image->height; y++)
        good = fwrite((char *)image->plane[0] + (size_t)y * image->stride_bytes[0], 1,
                      (size_t)image->width, file) == (size_t)image->width;
    if (file)
        good &= fclose(file) == 0;
    return good ? 0 : -EIO;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"side", 1, NULL, 's'},  {"reach", 1, NULL, 'r'}, {"seed", 1, NULL, 'e'},
        {"align", 1, NULL, 'a'}, {"runs", 1, NULL, 'n'},  {"threads", 1, NULL, 't'},
        {"write", 1, NULL, 'w'}, {"judge", 1, NULL, 'j'}, {NULL, 0, NULL, 0}};
    struct pf_stack_settings settings = {.align = PF_ALIGN_BSPLINE,
                                         .motion = PF_MOTION_SIMILARITY,
                                         .min_correlation = 0.55,
                                         .align_timeout_s = 60};
    int side = 17320, runs = 1, threads = 0;
    double reach = 0, mean, most;
    uint64_t seed = 1;
    const char *dir = NULL, *file = NULL;
    for (int key; (key = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (key) {
        case 's':
            side = atoi(optarg);
            break;
        case 'r':
            reach = atof(optarg);
            break;
        case 'e':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 'a':
            settings.align = strcmp(optarg, "flow") ? PF_ALIGN_BSPLINE : PF_ALIGN_FLOW;
            break;
        case 'n':
            runs = atoi(optarg);
            break;
        case 't':
            threads = atoi(optarg);
            break;
        case 'w':
            dir = optarg;
            break;
        case 'j':
            file = optarg;
            break;
        default:
            return 2;
        }
    }
    if (reach <= 0) /* 11 px at 300 MP */
        reach = 11.0 * side / 17320;
    struct pf_gen_deform deform = pf_gen_deform_new(side, side, reach, seed);
    struct pf_error err = {0};
    if (file) {
        struct pf_warp warp = {.field = NULL};
        pf_homography_identity(warp.h);
        if (pf_elastix_read(file, &warp.field, &err) < 0)
            return fail(&err);
        judge(&warp, &deform, side, &mean, &most);
        printf("mean_px %.4f most_px %.4f\n", mean, most);
        pf_field_free(warp.field);
        return 0;
    }
    make_tile(seed);
    struct pf_image *fixed = paint(side, NULL, (uint32_t)seed), *moving = NULL;
    moving = paint(side, &deform, (uint32_t)seed + 77);
    if (dir && (write_raw(dir, "fixed", fixed) < 0 || write_raw(dir, "moving", moving) < 0)) {
        fprintf(stderr, "nonrigid: %s: cannot be written\n", dir);
        return 1;
    }
    struct pf_pool *pool = NULL;
    int r = pf_pool_new(&pool, threads, &err);
    for (int run = 0; r == 0 && run < runs && !dir; run++) {
        struct pf_warp warp = {.field = NULL};
        double begin_ms = pf_now_ms(), begin_cpu_s = cpu_s();
        r = align(fixed, moving, &settings, pool, &warp, &err);
        double wall_s = (pf_now_ms() - begin_ms) / 1e3, used_s = cpu_s() - begin_cpu_s;
        if (r == 0) {
            judge(&warp, &deform, side, &mean, &most);
            printf("wall_s %.3f cpu_s %.3f mean_px %.4f most_px %.4f\n", wall_s, used_s, mean,
                   most);
            fflush(stdout);
        }
        pf_field_free(warp.field);
    }
    pf_pool_free(pool);
    pf_image_free(fixed);
    pf_image_free(moving);
    return r < 0 ? fail(&err) : 0;
}
