/* Scenes of natural surfaces: pebbles and leaves on the ground; hairs in front of them. */
#include <math.h>
#include <string.h>

#include "tests/gen/surface.h"

static const struct {
    enum pf_gen_texture texture;
    float colour[3][3];
    float gloss;
} materials[] = {
    {PF_GEN_GRANITE, {{0.05f, 0.05f, 0.06f}, {0.30f, 0.27f, 0.25f}, {0.70f, 0.66f, 0.60f}}, 0.10f},
    {PF_GEN_BANDS, {{0.16f, 0.06f, 0.03f}, {0.45f, 0.22f, 0.10f}, {0.75f, 0.62f, 0.45f}}, 0.35f},
    {PF_GEN_BARK, {{0.03f, 0.02f, 0.015f}, {0.16f, 0.10f, 0.06f}, {0.42f, 0.33f, 0.24f}}, 0.02f},
    {PF_GEN_GRANITE, {{0.10f, 0.03f, 0.02f}, {0.38f, 0.16f, 0.11f}, {0.66f, 0.48f, 0.40f}}, 0.12f},
    {PF_GEN_FUR, {{0.03f, 0.05f, 0.01f}, {0.14f, 0.22f, 0.04f}, {0.38f, 0.46f, 0.12f}}, 0.0f},
    {PF_GEN_BANDS, {{0.04f, 0.06f, 0.08f}, {0.18f, 0.24f, 0.28f}, {0.60f, 0.64f, 0.66f}}, 0.4f},
};

static const float leaf_colours[3][3][3] = {
    {{0.02f, 0.05f, 0.01f}, {0.10f, 0.24f, 0.04f}, {0.45f, 0.58f, 0.20f}},
    {{0.10f, 0.03f, 0.01f}, {0.42f, 0.17f, 0.03f}, {0.75f, 0.48f, 0.16f}},
    {{0.09f, 0.06f, 0.02f}, {0.40f, 0.30f, 0.08f}, {0.70f, 0.62f, 0.30f}},
};

static float ground_depth(const struct pf_gen_scene *scene, float x, float y)
{
    float across = x / (float)scene->canvas_width, down = y / (float)scene->canvas_height;
    float swell = pf_gen_noise(2.6f * across, 2.0f * down, scene->seed + 9);
    float d = 0.04f + 0.50f * down + 0.06f * across + 0.10f * swell;
    return d < 0 ? 0 : d;
}

static void ground(struct pf_gen_scene *scene)
{
    struct pf_gen_layer *layer =
        pf_gen_layer_new(0, 0, scene->canvas_width, scene->canvas_height, true);
    for (int y = 0; y < layer->height; y++)
        for (int x = 0; x < layer->width; x++)
            layer->depth[(size_t)y * (size_t)layer->width + (size_t)x] =
                ground_depth(scene, (float)x, (float)y);
    struct pf_gen_surface surface = {
        .texture = PF_GEN_SOIL,
        .colour = {{0.03f, 0.02f, 0.015f}, {0.20f, 0.15f, 0.10f}, {0.55f, 0.46f, 0.34f}},
        .scale = 130 * scene->unit,
        .relief = 0.22f,
        .calm = 0.8f,
        .seed = scene->seed + 1,
        .at = pf_gen_frame_at(0, 0, 0.3f)};
    pf_gen_surface_fill(layer, &surface);
    pf_gen_scene_push(scene, layer);
    pf_gen_glints(scene, layer, 22);
}

static struct pf_gen_body random_body(struct pf_gen_scene *scene, int index, int count)
{
    struct pf_gen_random *random = &scene->random;
    float width = (float)scene->width, height = (float)scene->height;
    struct pf_gen_body body = {.outline = index % 3 == 2 ? PF_GEN_BLADE : PF_GEN_ELLIPSE};
    /* Strewn over a grid, so that no part stays empty. */
    int place = index * 5 % 12, column = place % 4, line = place / 4;
    body.cx = (float)scene->margin +
              width * ((float)column + (float)pf_gen_uniform(random, 0.15, 0.85)) / 4;
    body.cy = (float)scene->margin +
              height * ((float)line + (float)pf_gen_uniform(random, 0.15, 0.85)) / 3;
    body.angle = (float)pf_gen_uniform(random, 0, 3.14);
    float under = ground_depth(scene, body.cx, body.cy);
    float rise = (float)pf_gen_uniform(random, 0.02, 0.22) * (1 + (float)index / (float)count);
    body.surface.seed = (uint32_t)pf_gen_next(random);
    if (body.outline == PF_GEN_BLADE) {
        body.rx = width * (float)pf_gen_uniform(random, 0.09, 0.19);
        body.ry = body.rx * (float)pf_gen_uniform(random, 0.22, 0.40);
        body.depth = under + 0.12f + rise;
        body.tilt_x = (float)pf_gen_uniform(random, -0.14, 0.14);
        body.tilt_y = (float)pf_gen_uniform(random, -0.06, 0.06);
        body.surface.texture = PF_GEN_LEAF;
        memcpy(body.surface.colour, leaf_colours[index / 3 % 3], sizeof(body.surface.colour));
        body.surface.scale = 2 * body.rx;
        body.surface.gloss = 0.05f;
        body.surface.relief = 0.16f;
        body.surface.calm = 0.6f;
    } else {
        const int material = index % (int)(sizeof(materials) / sizeof(*materials));
        body.rx = width * (float)pf_gen_uniform(random, 0.045, 0.13);
        body.ry = body.rx * (float)pf_gen_uniform(random, 0.6, 0.95);
        body.ragged = 0.10f;
        body.bulge = 0.05f + 1.6f * body.ry / width;
        body.depth = under + rise;
        body.surface.texture = materials[material].texture;
        memcpy(body.surface.colour, materials[material].colour, sizeof(body.surface.colour));
        body.surface.scale = (float)pf_gen_uniform(random, 40, 90) * scene->unit;
        body.surface.gloss = materials[material].gloss;
        body.surface.relief = 0.18f;
        body.surface.calm = index % 4 ? (float)pf_gen_uniform(random, 0.5, 0.95) : 0;
    }
    float top = body.depth + body.bulge + fabsf(body.tilt_x) + fabsf(body.tilt_y);
    if (top > 1)
        body.depth -= top - 1;
    body.surface.at = pf_gen_frame_at(body.cx, body.cy, body.angle);
    return body;
}

#define BODIES 14

void pf_gen_build_textured(struct pf_gen_scene *scene)
{
    struct pf_gen_body bodies[BODIES] = {0};
    ground(scene);
    for (int i = 0; i < BODIES; i++) {
        struct pf_gen_body body = random_body(scene, i, BODIES);
        int place = i;
        for (; place > 0 && bodies[place - 1].depth > body.depth; place--)
            bodies[place] = bodies[place - 1];
        bodies[place] = body;
    }
    for (int i = 0; i < BODIES; i++) {
        for (int below = 0; below < scene->layers; below++) {
            float gap = bodies[i].depth - (below ? bodies[below - 1].depth
                                                 : ground_depth(scene, bodies[i].cx, bodies[i].cy));
            pf_gen_body_shadow(scene->layer[below], &bodies[i],
                               (8 + 260 * (gap > 0 ? gap : 0)) * scene->unit);
        }
        struct pf_gen_layer *layer = pf_gen_body_push(scene, &bodies[i]);
        if (bodies[i].surface.gloss > 0.04f)
            pf_gen_glints(scene, layer, 4);
    }
}

#define BRISTLES 120

void pf_gen_build_bristles(struct pf_gen_scene *scene)
{
    struct pf_gen_random *random = &scene->random;
    float width = (float)scene->canvas_width, height = (float)scene->canvas_height;
    for (int h = 0; h < BRISTLES; h++) {
        struct pf_gen_hair *hair = pf_gen_scene_add_hair(scene);
        /* Along a parabola from just above the ground, rising towards the camera. */
        float x0 = (float)pf_gen_uniform(random, -0.05, 1.05) * width;
        float y0 = (float)pf_gen_uniform(random, 0.15, 1.15) * height;
        float angle = (float)pf_gen_uniform(random, -2.7, -0.45);
        float length = (float)pf_gen_uniform(random, 0.15, 0.5) * width;
        float bend = (float)pf_gen_uniform(random, -0.3, 0.3) * length;
        float dx = cosf(angle), dy = sinf(angle);
        float root = ground_depth(scene, x0, y0 < height ? y0 : height);
        float start = root + (float)pf_gen_uniform(random, 0.04, 0.25);
        float tip = start + (float)pf_gen_uniform(random, 0, 0.4);
        float half = (float)pf_gen_uniform(random, 0.7, 1.7) * scene->unit;
        half = half < 0.6f ? 0.6f : half;
        float tone = h % 5 < 3 ? (float)pf_gen_uniform(random, 0.012, 0.05)
                               : (float)pf_gen_uniform(random, 0.4, 0.85);
        start = start > 0.9f ? 0.9f : start;
        tip = tip > 1 ? 1 : tip;
        hair->count = PF_GEN_HAIR_POINTS;
        for (int i = 0; i < hair->count; i++) {
            float t = (float)i / (float)(hair->count - 1), arc = 4 * bend * t * (1 - t);
            hair->point[i].x = x0 + dx * length * t - dy * arc;
            hair->point[i].y = y0 + dy * length * t + dx * arc;
            hair->point[i].depth = start + (tip - start) * t;
            hair->point[i].half_width = half * (1 - 0.65f * t);
        }
        static const float warm[3] = {1.0f, 0.86f, 0.66f};
        for (int c = 0; c < 3; c++) {
            hair->edge[c] = tone * warm[c] * 0.6f;
            hair->core[c] = tone * (tone < 0.1f ? 1.8f : 1.15f) * (0.5f + 0.5f * warm[c]);
        }
    }
}
