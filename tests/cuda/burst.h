/* Generated bursts for the backends, and what two backends make of them. C++ and C alike. */
#ifndef PF_CUDA_BURST_H
#define PF_CUDA_BURST_H

extern "C" {
#include "process/backend.h"
#include "process/homography.h"
#include "process/stack.h"
#include "tests/unit/texture.h"
}

struct kind {
    int width, height, bits, planes, shift_x, shift_y, frames;
    bool holes; /* every frame has a transparent part, full of white */
    bool bicubic;
};

static inline void put(struct pf_image *image, int plane, int x, int y, double value)
{
    char *row = (char *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
    value = value < 0 ? 0 : value > 255 ? 255 : value;
    if (image->bits == 8)
        ((uint8_t *)row)[x] = (uint8_t)(value + 0.5);
    else
        ((uint16_t *)row)[x] = (uint16_t)(value * 257 + 0.5);
}

/* Frame `index` of a burst: sharp in its share of the columns, soft elsewhere; it moves, turns and
 * breathes a little, its light flickers and its white balance wanders. */
static inline struct pf_image *burst_frame(const struct kind *kind, int index)
{
    struct pf_image *frame = NULL;
    CHECK_EQ(pf_image_new(&frame, kind->width, kind->height, kind->bits, kind->planes,
                          kind->shift_x, kind->shift_y, NULL),
             0);
    double turn = 0.002 * index, zoom = 1 + 0.003 * index, gain = 1 + 0.02 * (index % 2);
    for (int plane = 0; plane < kind->planes; plane++) {
        int sx = plane && kind->shift_x ? 2 : 1, sy = plane && kind->shift_y ? 2 : 1;
        for (int y = 0; y < pf_image_plane_height(frame, plane); y++)
            for (int x = 0; x < pf_image_plane_width(frame, plane); x++) {
                double u = sx * x + (sx - 1) / 2.0, v = sy * y + (sy - 1) / 2.0;
                double px = zoom * u - turn * v + 0.9 * index;
                double py = turn * u + zoom * v - 0.4 * index;
                bool sharp = (int)(px * kind->frames / kind->width) == index;
                double value = texture_at(7u + plane, px, py, sharp ? 0 : 12);
                double warm = plane == 2 ? 6.0 * (index % 2) : 0;
                put(frame, plane, x, y, plane ? 128 + warm + (value - 128) * 0.5 : value * gain);
            }
    }
    if (kind->holes) {
        size_t row = (size_t)kind->width;
        frame->cover = (uint8_t *)malloc(row * (size_t)kind->height);
        memset(frame->cover, 255, row * (size_t)kind->height);
        for (int y = kind->height / 4; y < kind->height / 2; y++)
            for (int x = 10 * index; x < 10 * index + kind->width / 5; x++) {
                frame->cover[(size_t)y * row + (size_t)x] = (uint8_t)(x == 10 * index ? 128 : 0);
                put(frame, 0, x, y, 255);
            }
    }
    return frame;
}

static inline double sample_of(const struct pf_image *image, int plane, int x, int y)
{
    const char *row = (const char *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
    return image->bits == 8 ? ((const uint8_t *)row)[x] : ((const uint16_t *)row)[x] / 257.0;
}

/* dB between two images of one kind, all planes. */
static inline double psnr(const struct pf_image *a, const struct pf_image *b)
{
    double sum = 0, count = 0;
    CHECK_EQ(a->width, b->width);
    CHECK_EQ(a->height, b->height);
    CHECK_EQ(a->planes, b->planes);
    CHECK_EQ(a->bits, b->bits);
    for (int plane = 0; plane < a->planes; plane++)
        for (int y = 0; y < pf_image_plane_height(a, plane); y++)
            for (int x = 0; x < pf_image_plane_width(a, plane); x++) {
                double off = sample_of(a, plane, x, y) - sample_of(b, plane, x, y);
                sum += off * off;
                count++;
            }
    return sum ? 10 * log10(255.0 * 255.0 * count / sum) : 200;
}

struct outcome {
    struct pf_frame_result frames[16];
    struct pf_image *stack, *preview, *map[PF_MAP_COUNT];
    struct pf_image *early, *early_depth; /* after the first frames, where somebody has looked */
};

/* looks: at a preview and at the depth after each frame. */
static inline struct outcome stack_on(const struct pf_backend *backend, const struct kind *kind,
                                      enum pf_fuse fuse, void *kept = NULL, bool looks = false)
{
    struct outcome outcome = {};
    struct pf_stack_settings settings = {};
    struct pf_stack *stack = NULL;
    struct pf_error err = {};
    int rank[16];
    settings.backend = backend;
    settings.kept = kept;
    settings.align = kind->width < 100 ? PF_ALIGN_NONE : PF_ALIGN_ECC;
    settings.motion = PF_MOTION_SIMILARITY;
    settings.min_correlation = 0.5;
    settings.fuse = fuse;
    settings.clip = 3;
    settings.resample = kind->bicubic ? PF_RESAMPLE_BICUBIC : PF_RESAMPLE_LANCZOS;
    settings.focus_order = PF_FOCUS_ORDER_NEAR_TO_FAR;
    settings.depth = true;
    CHECK_OK(pf_stack_open(&stack, &settings, NULL, &err), &err);
    for (int i = 0; i < kind->frames; i++) {
        struct pf_image *frame = burst_frame(kind, i);
        CHECK_OK(pf_stack_add(stack, frame, &outcome.frames[i], &err), &err);
        pf_image_free(frame);
        rank[i] = i;
        if (!looks || i == kind->frames - 1)
            continue;
        pf_image_free(outcome.early);
        pf_image_free(outcome.early_depth);
        outcome.early = outcome.early_depth = NULL;
        CHECK_OK(pf_stack_preview(stack, kind->width - 10 * i, &outcome.early, &err), &err);
        if (pf_fuse_has_maps(fuse))
            CHECK_OK(pf_stack_map(stack, PF_MAP_DEPTH, rank, i + 1, &outcome.early_depth, &err),
                     &err);
    }
    CHECK(pf_stack_backend(stack) == backend);
    CHECK_OK(pf_stack_preview(stack, kind->width / 2 + 1, &outcome.preview, &err), &err);
    CHECK_OK(pf_stack_finish(stack, &outcome.stack, &err), &err);
    for (int i = 0; i < PF_MAP_COUNT && pf_fuse_has_maps(fuse); i++)
        CHECK_OK(pf_stack_map(stack, (enum pf_map)i, rank, kind->frames, &outcome.map[i], &err),
                 &err);
    pf_stack_free(stack);
    return outcome;
}

static inline void forget(struct outcome *outcome)
{
    pf_image_free(outcome->stack);
    pf_image_free(outcome->preview);
    pf_image_free(outcome->early);
    pf_image_free(outcome->early_depth);
    for (int i = 0; i < PF_MAP_COUNT; i++)
        pf_image_free(outcome->map[i]);
}

/* To the last bit. */
static inline bool is_same(const struct outcome *a, const struct outcome *b)
{
    bool same = psnr(a->stack, b->stack) == 200 && psnr(a->preview, b->preview) == 200;
    for (int i = 0; i < PF_MAP_COUNT; i++)
        same = same && (!a->map[i] || psnr(a->map[i], b->map[i]) == 200);
    return same;
}

/* Share of pixels whose frame is not the same. */
static inline double frames_apart(const struct pf_image *a, const struct pf_image *b)
{
    double count = 0;
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++)
            count += sample_of(a, 0, x, y) != sample_of(b, 0, x, y);
    return count / ((double)a->width * a->height);
}

/* Both backends on one burst: stacks and previews at least `db` from one another, frames judged alike,
 * transforms within a twentieth of a pixel at the corners. */
static inline void compare_backends(const struct kind *kind, enum pf_fuse fuse, double db)
{
    struct outcome here = stack_on(&pf_backend_cpu, kind, fuse);
    struct outcome there = stack_on(&pf_backend_cuda, kind, fuse);
    for (int i = 0; i < kind->frames; i++) {
        const struct pf_frame_result *a = &here.frames[i], *b = &there.frames[i];
        CHECK_EQ(a->verdict, b->verdict);
        CHECK_STR(a->reason, b->reason);
        CHECK_NEAR(
            pf_homography_corner_distance(a->transform, b->transform, kind->width, kind->height), 0,
            0.05);
        CHECK_NEAR(a->light.gain, b->light.gain, 1e-4);
        for (int k = 0; k < 3; k++)
            CHECK_NEAR(a->light.balance[k], b->light.balance[k], 1e-4);
        CHECK_NEAR(a->focus.laplacian_variance, b->focus.laplacian_variance,
                   1e-4 * a->focus.laplacian_variance);
        CHECK_NEAR(a->focus.tenengrad, b->focus.tenengrad, 1e-4 * a->focus.tenengrad);
        for (int k = 0; k < PF_FOCUS_GRID * PF_FOCUS_GRID; k++) {
            CHECK_NEAR(a->focus.grid[k], b->focus.grid[k], 1e-4 * (1 + a->focus.grid[k]));
            CHECK_NEAR(a->focus.direction[0][k], b->focus.direction[0][k], 1e-3);
            for (int m = 0; m < PF_FOCUS_REDUCED; m++)
                CHECK_NEAR(a->focus.reduced[m][k], b->focus.reduced[m][k],
                           1e-3 * (1 + a->focus.reduced[m][k]));
        }
    }
    double apart = psnr(here.stack, there.stack), small = psnr(here.preview, there.preview);
    printf("%d x %d x %d, method %d: stacks %.1f dB, previews %.1f dB from one another\n",
           kind->width, kind->height, kind->frames, fuse, apart, small);
    CHECK(apart >= db);
    CHECK(small >= db - 2); /* of 8 bits: rounding alone may be that far */
    if (pf_fuse_has_maps(fuse)) {
        CHECK(psnr(here.map[PF_MAP_DEPTH], there.map[PF_MAP_DEPTH]) >= 35);
        CHECK(psnr(here.map[PF_MAP_CONFIDENCE], there.map[PF_MAP_CONFIDENCE]) >= 40);
        /* Where two frames are as good as each other, the last bits of a transform decide. */
        CHECK_NEAR(frames_apart(here.map[PF_MAP_FRAME], there.map[PF_MAP_FRAME]), 0, 0.02);
    }
    forget(&here);
    forget(&there);
}

#endif
