#include <math.h>
#include <stdlib.h>

#include "tests/gen/rows.h"
#include "tests/gen/scene.h"

#define LENS_RADIUS 1.06f /* px: the disc whose spread equals what optics and pixel add */

/* Share of a disc of radius 1 that lies left of u. */
static float left_of(float u)
{
    if (u <= -1)
        return 0;
    if (u >= 1)
        return 1;
    return 0.5f + (u * sqrtf(1 - u * u) + asinf(u)) * (float)(1 / M_PI);
}

/* What of a bar of half width w a disc of radius r sees at distance d from its middle line. */
static float bar(float d, float w, float r)
{
    return left_of((d + w) / r) - left_of((d - w) / r);
}

struct trace {
    float *square, *depth, *half_width; /* nearest point of the chain, rows begin..end */
    int *left, *right;                  /* touched part of a row */
    int width, begin, end;
};

static struct trace trace_new(int width, int begin, int end)
{
    size_t pixels = (size_t)width * (size_t)(end - begin);
    struct trace trace = {.width = width, .begin = begin, .end = end};
    trace.square = pf_gen_alloc(pixels, sizeof(float));
    trace.depth = pf_gen_alloc(pixels, sizeof(float));
    trace.half_width = pf_gen_alloc(pixels, sizeof(float));
    trace.left = pf_gen_alloc((size_t)(end - begin), sizeof(int));
    trace.right = pf_gen_alloc((size_t)(end - begin), sizeof(int));
    for (size_t i = 0; i < pixels; i++)
        trace.square[i] = INFINITY;
    return trace;
}

static void trace_free(struct trace *trace)
{
    free(trace->square);
    free(trace->depth);
    free(trace->half_width);
    free(trace->left);
    free(trace->right);
}

static void trace_hair(struct trace *trace, const struct pf_gen_hair *hair,
                       const struct pf_gen_lens *lens)
{
    for (int y = 0; y < trace->end - trace->begin; y++) {
        trace->left[y] = trace->width;
        trace->right[y] = -1;
    }
    for (int s = 0; s + 1 < hair->count; s++) {
        float ax = hair->point[s].x, ay = hair->point[s].y, az = hair->point[s].depth;
        float aw = hair->point[s].half_width;
        float ux = hair->point[s + 1].x - ax, uy = hair->point[s + 1].y - ay;
        float uz = hair->point[s + 1].depth - az, uw = hair->point[s + 1].half_width - aw;
        float r = fmaxf(pf_gen_radius(lens, az), pf_gen_radius(lens, az + uz));
        float reach = r + fmaxf(aw, aw + uw) + LENS_RADIUS + 1;
        float length = fmaxf(ux * ux + uy * uy, 1e-6f);
        int left = (int)floorf(fminf(ax, ax + ux) - reach),
            right = (int)ceilf(fmaxf(ax, ax + ux) + reach);
        int top = (int)floorf(fminf(ay, ay + uy) - reach),
            bottom = (int)ceilf(fmaxf(ay, ay + uy) + reach);
        left = left < 0 ? 0 : left;
        right = right >= trace->width ? trace->width - 1 : right;
        top = top < trace->begin ? trace->begin : top;
        bottom = bottom >= trace->end ? trace->end - 1 : bottom;
        for (int y = top; y <= bottom; y++) {
            int row = y - trace->begin;
            if (left < trace->left[row])
                trace->left[row] = left;
            if (right > trace->right[row])
                trace->right[row] = right;
            size_t at = (size_t)row * (size_t)trace->width;
            for (int x = left; x <= right; x++) {
                float px = (float)x - ax, py = (float)y - ay;
                float t = (px * ux + py * uy) / length;
                t = t < 0 ? 0 : t > 1 ? 1 : t;
                float dx = px - t * ux, dy = py - t * uy, d = dx * dx + dy * dy;
                if (d < trace->square[at + (size_t)x]) {
                    trace->square[at + (size_t)x] = d;
                    trace->depth[at + (size_t)x] = az + t * uz;
                    trace->half_width[at + (size_t)x] = aw + t * uw;
                }
            }
        }
    }
}

void pf_gen_hairs_draw(const struct pf_gen_scene *scene, const struct pf_gen_lens *lens,
                       struct pf_gen_canvas *canvas, int begin, int end)
{
    struct trace trace = trace_new(canvas->width, begin, end);
    for (int h = 0; h < scene->hairs; h++) {
        const struct pf_gen_hair *hair = &scene->hair[h];
        trace_hair(&trace, hair, lens);
        for (int y = begin; y < end; y++) {
            int row = y - begin;
            for (int x = trace.left[row]; x <= trace.right[row]; x++) {
                size_t i = (size_t)row * (size_t)trace.width + (size_t)x;
                if (trace.square[i] == INFINITY)
                    continue;
                float d = sqrtf(trace.square[i]), r = pf_gen_radius(lens, trace.depth[i]);
                float w = trace.half_width[i];
                trace.square[i] = INFINITY;
                r = sqrtf(r * r + LENS_RADIUS * LENS_RADIUS);
                if (d > w + r)
                    continue;
                float all = bar(d, w, r), core = bar(d, 0.45f * w, r);
                size_t at = (size_t)y * (size_t)canvas->width + (size_t)x;
                for (int c = 0; c < 3; c++) {
                    float *light = &canvas->light[c][at];
                    *light =
                        *light * (1 - all) + hair->edge[c] * (all - core) + hair->core[c] * core;
                }
            }
        }
    }
    trace_free(&trace);
}

void pf_gen_hairs_depth(const struct pf_gen_scene *scene, float *depth)
{
    if (!scene->hairs)
        return;
    struct pf_gen_lens lens = {.truth = true};
    struct trace trace = trace_new(scene->canvas_width, 0, scene->canvas_height);
    for (int h = 0; h < scene->hairs; h++) {
        trace_hair(&trace, &scene->hair[h], &lens);
        for (int y = 0; y < scene->canvas_height; y++) {
            for (int x = trace.left[y]; x <= trace.right[y]; x++) {
                size_t i = (size_t)y * (size_t)trace.width + (size_t)x;
                if (trace.square[i] == INFINITY)
                    continue;
                if (bar(sqrtf(trace.square[i]), trace.half_width[i], LENS_RADIUS) >= 0.5f)
                    depth[i] = trace.depth[i];
                trace.square[i] = INFINITY;
            }
        }
    }
    trace_free(&trace);
}
