/* A plant before a far background that no frame has in focus. */
#include <math.h>
#include <string.h>

#include "tests/gen/rows.h"
#include "tests/gen/surface.h"

#define FAR_DEPTH -2.6f

static float pick(struct pf_gen_scene *scene, double low, double high)
{
    return (float)pf_gen_uniform(&scene->random, low, high);
}

static void background(struct pf_gen_scene *scene)
{
    struct pf_gen_layer *layer =
        pf_gen_layer_new(0, 0, scene->canvas_width, scene->canvas_height, true);
    float width = (float)scene->canvas_width, height = (float)scene->canvas_height, u = scene->unit;
    static const float tones[5][3] = {{0.02f, 0.05f, 0.02f},
                                      {0.06f, 0.16f, 0.04f},
                                      {0.20f, 0.30f, 0.07f},
                                      {0.30f, 0.22f, 0.12f},
                                      {0.35f, 0.42f, 0.48f}};
    for (int y = 0; y < layer->height; y++) {
        float down = (float)y / height;
        for (int x = 0; x < layer->width; x++) {
            size_t i = (size_t)y * (size_t)layer->width + (size_t)x;
            for (int c = 0; c < 3; c++)
                layer->light[c][i] = tones[4][c] * (1 - down) + tones[1][c] * down;
            layer->depth[i] = FAR_DEPTH;
        }
    }
    /* Foliage: strokes and discs, dark ones first, lights between the leaves last. */
    for (int i = 0; i < 420; i++) {
        const float *tone = tones[i < 160 ? 0 : i % 4];
        float x = pick(scene, -0.05, 1.05) * width, y = pick(scene, -0.05, 1.05) * height;
        struct pf_gen_frame at = pf_gen_frame_at(x, y, pick(scene, 0, 3.14));
        float colour[3];
        for (int c = 0; c < 3; c++)
            colour[c] = tone[c] * pick(scene, 0.6, 1.4);
        if (i % 3)
            pf_gen_paint_box(layer, at, 0, 0, pick(scene, 15, 60) * u, pick(scene, 8, 30) * u,
                             8 * u, colour);
        else
            pf_gen_paint_line(layer, at, -pick(scene, 40, 200) * u, 0, pick(scene, 40, 200) * u, 0,
                              pick(scene, 4, 14) * u, colour);
    }
    for (int i = 0; i < 40; i++) {
        struct pf_gen_frame at =
            pf_gen_frame_at(pick(scene, 0, 1) * width, pick(scene, 0, 0.7) * height, 0);
        float light = pick(scene, 1.5, 7), colour[3] = {light, light * 0.95f, light * 0.8f};
        pf_gen_paint_ring(layer, at, 0, 0, pick(scene, 3, 7) * u, 0, colour);
    }
    pf_gen_scene_push(scene, layer);
}

static const float leaf_colours[2][3][3] = {
    {{0.02f, 0.06f, 0.01f}, {0.12f, 0.28f, 0.05f}, {0.48f, 0.60f, 0.22f}},
    {{0.06f, 0.05f, 0.01f}, {0.34f, 0.30f, 0.05f}, {0.68f, 0.60f, 0.25f}},
};

/* A leaf from (x, y) outwards. */
static void leaf(struct pf_gen_scene *scene, float x, float y, float angle, float length,
                 float depth, int colour)
{
    struct pf_gen_body body = {.outline = PF_GEN_BLADE, .rx = length / 2, .angle = angle};
    body.ry = body.rx * pick(scene, 0.3, 0.45);
    body.cx = x + cosf(angle) * body.rx;
    body.cy = y + sinf(angle) * body.rx;
    body.depth = depth;
    body.tilt_x = pick(scene, -0.2, 0.2);
    body.tilt_y = pick(scene, -0.08, 0.08);
    body.surface = (struct pf_gen_surface){.texture = PF_GEN_LEAF,
                                           .scale = length,
                                           .relief = 0.16f,
                                           .gloss = 0.05f,
                                           .calm = 0.6f,
                                           .seed = (uint32_t)pf_gen_next(&scene->random)};
    memcpy(body.surface.colour, leaf_colours[colour], sizeof(body.surface.colour));
    body.surface.at = pf_gen_frame_at(body.cx, body.cy, angle);
    for (int l = 1; l < scene->layers; l++)
        pf_gen_body_shadow(scene->layer[l], &body, 14 * scene->unit);
    pf_gen_glints(scene, pf_gen_body_push(scene, &body), 6);
}

static void berry(struct pf_gen_scene *scene, float x, float y, float radius, float depth)
{
    static const float red[3][3] = {
        {0.10f, 0.01f, 0.01f}, {0.50f, 0.04f, 0.03f}, {0.75f, 0.25f, 0.15f}};
    struct pf_gen_body body = {.outline = PF_GEN_ELLIPSE,
                               .cx = x,
                               .cy = y,
                               .rx = radius,
                               .ry = radius * 0.94f,
                               .ragged = 0.03f,
                               .bulge = 0.16f};
    body.depth = depth;
    body.surface = (struct pf_gen_surface){.texture = PF_GEN_GRANITE,
                                           .scale = radius,
                                           .relief = 0.12f,
                                           .gloss = 0.9f,
                                           .seed = (uint32_t)pf_gen_next(&scene->random)};
    memcpy(body.surface.colour, red, sizeof(red));
    body.surface.at = pf_gen_frame_at(x, y, 0.5f);
    for (int l = 1; l < scene->layers; l++)
        pf_gen_body_shadow(scene->layer[l], &body, 18 * scene->unit);
    pf_gen_glints(scene, pf_gen_body_push(scene, &body), 2);
}

static void stem(struct pf_gen_scene *scene, float x0, float y0, float x1, float y1, float bend,
                 float z0, float z1, float half_width)
{
    struct pf_gen_hair *hair = pf_gen_scene_add_hair(scene);
    float dx = x1 - x0, dy = y1 - y0;
    hair->count = PF_GEN_HAIR_POINTS;
    for (int i = 0; i < hair->count; i++) {
        float t = (float)i / (float)(hair->count - 1), arc = 4 * bend * t * (1 - t);
        hair->point[i].x = x0 + dx * t - dy * arc;
        hair->point[i].y = y0 + dy * t + dx * arc;
        hair->point[i].depth = z0 + (z1 - z0) * t;
        hair->point[i].half_width = half_width * (1 - 0.6f * t);
    }
    static const float edge[3] = {0.10f, 0.11f, 0.03f}, core[3] = {0.34f, 0.38f, 0.14f};
    memcpy(hair->edge, edge, sizeof(edge));
    memcpy(hair->core, core, sizeof(core));
}

void pf_gen_build_backdrop(struct pf_gen_scene *scene)
{
    float width = (float)scene->width, height = (float)scene->height, u = scene->unit;
    float cx = (float)scene->margin + 0.5f * width, cy = (float)scene->margin + 0.55f * height;
    float size = 0.30f * height;
    background(scene);
    /* A rosette of leaves, the rear ones first, and berries before it. */
    for (int i = 0; i < 13; i++) {
        float depth = 0.08f + 0.60f * (float)i / 12,
              angle = (float)i * 2.399f + pick(scene, -0.2, 0.2);
        float length = size * pick(scene, 0.85, 1.35) * (1.15f - 0.35f * (float)i / 12);
        leaf(scene, cx + 0.15f * size * cosf(angle), cy + 0.15f * size * sinf(angle), angle, length,
             depth, i % 3 == 1);
    }
    for (int i = 0; i < 9; i++) {
        float angle = (float)i * 2.399f, r = size * 0.16f * sqrtf((float)i);
        berry(scene, cx + r * cosf(angle), cy + r * sinf(angle), size * pick(scene, 0.13, 0.18),
              0.62f + 0.024f * (float)i);
    }
    /* Fine stalks towards the camera. */
    for (int i = 0; i < 12; i++) {
        float angle = pick(scene, -2.9, -0.2), length = size * pick(scene, 0.8, 1.7);
        stem(scene, cx, cy, cx + length * cosf(angle), cy + length * sinf(angle),
             pick(scene, -0.25, 0.25), 0.7f, pick(scene, 0.75, 1), pick(scene, 1, 2.6) * u);
    }
}
