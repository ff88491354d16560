/* Glossy things on dark ground: a beetle, wet berries, coins, steel balls and wires. Lamps mirror in
 * them many times brighter than white: clipped with sharp edges where in focus, bright discs over
 * darker neighbours where not. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/gen/surface.h"

static const float lamp[3] = {1.0f, 0.97f, 0.90f};

static float pick(struct pf_gen_scene *scene, double low, double high)
{
    return (float)pf_gen_uniform(&scene->random, low, high);
}

static float ground_depth(const struct pf_gen_scene *scene, float x, float y)
{
    float across = x / (float)scene->canvas_width, down = y / (float)scene->canvas_height;
    float d =
        0.02f + 0.42f * down + 0.10f * pf_gen_noise(2.2f * across, 1.8f * down, scene->seed + 9);
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
        .texture = PF_GEN_BARK,
        .colour = {{0.006f, 0.005f, 0.005f}, {0.030f, 0.022f, 0.017f}, {0.105f, 0.082f, 0.062f}},
        .scale = 120 * scene->unit,
        .relief = 0.16f,
        .calm = 0.6f,
        .seed = scene->seed + 1,
        .at = pf_gen_frame_at(0, 0, 0.5f)};
    pf_gen_surface_fill(layer, &surface);
    pf_gen_scene_push(scene, layer);
    float unit = fmaxf(scene->unit, 1);
    for (int i = 0; i < 70; i++) /* drops */
        pf_gen_paint_glint(layer, pick(scene, 0, scene->canvas_width),
                           pick(scene, 0, scene->canvas_height), pick(scene, 0.7, 1.5) * unit,
                           pick(scene, 1, 20));
}

/* The lamp's mirror image: a bent window, `light` times as bright as white. */
static void window(struct pf_gen_layer *layer, struct pf_gen_frame at, float x, float y,
                   float half_width, float half_height, float light)
{
    float colour[3];
    for (int c = 0; c < 3; c++)
        colour[c] = light * lamp[c];
    pf_gen_paint_box(layer, at, x, y, half_width, half_height,
                     0.6f * fminf(half_width, half_height), colour);
}

/* Pushes the body after its shadow on all that lies below it. */
static struct pf_gen_layer *push(struct pf_gen_scene *scene, struct pf_gen_body *body, float height,
                                 const float colours[3][3])
{
    body->surface.seed = (uint32_t)pf_gen_next(&scene->random);
    body->surface.at = pf_gen_frame_at(body->cx, body->cy, body->angle);
    memcpy(body->surface.colour, colours, sizeof(body->surface.colour));
    for (int l = 0; l < scene->layers; l++)
        pf_gen_body_shadow(scene->layer[l], body, height * scene->unit);
    return pf_gen_body_push(scene, body);
}

/* A ball that mirrors the lamp near its upper left, and less of it opposite. */
static void ball(struct pf_gen_scene *scene, float x, float y, float radius, float depth,
                 enum pf_gen_texture texture, const float colours[3][3], float light)
{
    struct pf_gen_body body = {.outline = PF_GEN_ELLIPSE,
                               .cx = x,
                               .cy = y,
                               .rx = radius,
                               .ry = radius * pick(scene, 0.92, 1),
                               .depth = depth,
                               .bulge = 0.10f};
    body.surface.texture = texture;
    body.surface.scale = 0.9f * radius;
    body.surface.relief = 0.10f;
    body.surface.gloss = 0.8f;
    struct pf_gen_layer *layer = push(scene, &body, 16, colours);
    struct pf_gen_frame at = pf_gen_frame_at(x, y, -0.5f + pick(scene, -0.2, 0.2));
    window(layer, at, -0.05f * radius, -0.48f * radius, 0.17f * radius, 0.10f * radius, light);
    window(layer, at, 0.30f * radius, -0.42f * radius, 0.06f * radius, 0.05f * radius, light / 2);
    window(layer, at, 0.10f * radius, 0.68f * radius, 0.20f * radius, 0.025f * radius, light / 8);
}

static void coin(struct pf_gen_scene *scene, float x, float y, float radius, float depth)
{
    static const float brass[3][3] = {
        {0.05f, 0.035f, 0.012f}, {0.20f, 0.15f, 0.055f}, {0.42f, 0.33f, 0.15f}};
    static const float bright[3] = {4.5f, 4.0f, 2.6f}, dark[3] = {0.03f, 0.02f, 0.01f};
    struct pf_gen_body body = {.outline = PF_GEN_ELLIPSE,
                               .cx = x,
                               .cy = y,
                               .rx = radius,
                               .ry = radius * pick(scene, 0.86, 1),
                               .angle = pick(scene, 0, 3.14),
                               .depth = depth,
                               .tilt_x = pick(scene, -0.10, 0.10),
                               .tilt_y = pick(scene, -0.10, 0.10)};
    body.surface.texture = PF_GEN_GRANITE;
    body.surface.scale = 0.35f * radius;
    body.surface.relief = 0.20f;
    body.surface.calm = 0.5f;
    struct pf_gen_layer *layer = push(scene, &body, 10, brass);
    struct pf_gen_frame at = pf_gen_frame_at(x, y, pick(scene, -0.6, 0.6));
    pf_gen_paint_ring(layer, at, 0, 0, 0.80f * radius, 0.78f * radius, dark);
    pf_gen_paint_ring(layer, at, 0, 0, 0.78f * radius, 0.765f * radius, bright);
    char text[8];
    snprintf(text, sizeof(text), "%d", 10 + (int)(pf_gen_next(&scene->random) % 90));
    float high = 0.62f * radius, shade = 0.02f * radius;
    pf_gen_paint_text(layer, at, -0.46f * radius + shade, -0.36f * radius + shade, high,
                      0.05f * radius, text, dark);
    pf_gen_paint_text(layer, at, -0.46f * radius, -0.36f * radius, high, 0.028f * radius, text,
                      bright);
}

static void beetle(struct pf_gen_scene *scene, float x, float y, float length, float depth)
{
    static const float shell[3][3] = {
        {0.004f, 0.010f, 0.008f}, {0.012f, 0.050f, 0.035f}, {0.05f, 0.16f, 0.10f}};
    static const float seam[3] = {0.002f, 0.003f, 0.003f}, pit[3] = {0.09f, 0.24f, 0.15f};
    float angle = pick(scene, -0.5, 0.5);
    struct pf_gen_frame at = pf_gen_frame_at(x, y, angle);
    struct pf_gen_body head = {.outline = PF_GEN_ELLIPSE,
                               .cx = x + 0.60f * length * at.cosine,
                               .cy = y + 0.60f * length * at.sine,
                               .rx = 0.20f * length,
                               .ry = 0.22f * length,
                               .angle = angle,
                               .depth = depth - 0.10f,
                               .bulge = 0.08f};
    head.surface.texture = PF_GEN_GRANITE;
    head.surface.scale = 0.12f * length;
    head.surface.relief = 0.2f;
    struct pf_gen_layer *layer = push(scene, &head, 20, shell);
    struct pf_gen_frame on_head = pf_gen_frame_at(head.cx, head.cy, angle);
    window(layer, on_head, -0.02f * length, -0.09f * length, 0.06f * length, 0.02f * length, 18);

    struct pf_gen_body back = {.outline = PF_GEN_ELLIPSE,
                               .cx = x,
                               .cy = y,
                               .rx = 0.55f * length,
                               .ry = 0.34f * length,
                               .angle = angle,
                               .depth = depth,
                               .bulge = 0.20f};
    back.surface.texture = PF_GEN_BANDS;
    back.surface.scale = 0.25f * length;
    back.surface.relief = 0.14f;
    back.surface.gloss = 0.25f;
    back.surface.calm = 0.5f;
    layer = push(scene, &back, 26, shell);
    pf_gen_paint_line(layer, at, -0.52f * length, 0, 0.40f * length, 0, 0.008f * length, seam);
    for (int row = -4; row <= 4; row++) {
        for (int i = -9; row && i <= 9; i++) {
            float u = 0.050f * (float)i * length;
            float v = 0.066f * (float)row * length * sqrtf(1 - 0.0085f * (float)(i * i));
            pf_gen_paint_ring(layer, at, u, v, 0.0060f * length, 0, i & 1 ? seam : pit);
        }
    }
    /* Long windows on the wings, broken where the rows of pits are. */
    for (int i = 0; i < 5; i++) {
        float u = (-0.30f + 0.13f * (float)i) * length;
        window(layer, at, u, -0.165f * length, 0.052f * length, 0.016f * length,
               pick(scene, 14, 40));
        if (i % 2)
            window(layer, at, u, 0.095f * length, 0.030f * length, 0.008f * length,
                   pick(scene, 4, 12));
    }
}

/* A wire whose side towards the lamp is a bright line. */
static void wire(struct pf_gen_scene *scene, float light)
{
    struct pf_gen_hair *hair = pf_gen_scene_add_hair(scene);
    float width = (float)scene->canvas_width, height = (float)scene->canvas_height;
    float x = pick(scene, 0.05, 0.95) * width, y = pick(scene, 0.2, 1.0) * height;
    float angle = pick(scene, -2.6, -0.5), length = pick(scene, 0.2, 0.4) * width;
    float bend = pick(scene, -0.25, 0.25) * length, root = ground_depth(scene, x, y) + 0.08f;
    float tip = root + pick(scene, 0.1, 0.5),
          half = fmaxf(pick(scene, 1.2, 2.4) * scene->unit, 0.8f);
    hair->count = PF_GEN_HAIR_POINTS;
    for (int i = 0; i < hair->count; i++) {
        float t = (float)i / (float)(hair->count - 1), arc = 4 * bend * t * (1 - t);
        hair->point[i].x = x + cosf(angle) * length * t - sinf(angle) * arc;
        hair->point[i].y = y + sinf(angle) * length * t + cosf(angle) * arc;
        hair->point[i].depth = root + (fminf(tip, 1) - root) * t;
        hair->point[i].half_width = half;
    }
    for (int c = 0; c < 3; c++) {
        hair->edge[c] = 0.012f;
        hair->core[c] = light * lamp[c];
    }
}

void pf_gen_build_glare(struct pf_gen_scene *scene)
{
    static const float berry[3][3] = {
        {0.020f, 0.002f, 0.006f}, {0.085f, 0.008f, 0.020f}, {0.26f, 0.04f, 0.06f}};
    static const float steel[3][3] = {
        {0.02f, 0.02f, 0.022f}, {0.10f, 0.10f, 0.105f}, {0.40f, 0.41f, 0.42f}};
    static const float leaf[3][3] = {
        {0.010f, 0.025f, 0.006f}, {0.06f, 0.13f, 0.03f}, {0.28f, 0.38f, 0.13f}};
    float width = (float)scene->width, height = (float)scene->height;
    float left = (float)scene->margin, top = (float)scene->margin;
    ground(scene);
    for (int i = 0; i < 4; i++) {
        struct pf_gen_body body = {.outline = PF_GEN_BLADE, .rx = width * pick(scene, 0.10, 0.17)};
        body.cx = left + width * (0.14f + 0.24f * (float)i + pick(scene, -0.06, 0.06));
        body.cy = top + height * pick(scene, 0.08, 0.92);
        body.ry = body.rx * pick(scene, 0.25, 0.4);
        body.angle = pick(scene, 0, 3.14);
        body.depth = ground_depth(scene, body.cx, body.cy) + 0.14f;
        body.tilt_x = pick(scene, -0.10, 0.10);
        body.surface = (struct pf_gen_surface){
            .texture = PF_GEN_LEAF, .scale = 2 * body.rx, .relief = 0.16f, .calm = 0.4f};
        struct pf_gen_layer *layer = push(scene, &body, 18, leaf);
        for (int k = 0; k < 5; k++) { /* drops on it */
            float along = pick(scene, -0.6, 0.6) * body.rx, r = pick(scene, 2, 5) * scene->unit;
            struct pf_gen_frame at = pf_gen_frame_at(body.cx, body.cy, body.angle);
            window(layer, at, along, pick(scene, -0.3, 0.3) * body.ry, r, 0.6f * r,
                   pick(scene, 6, 30));
        }
    }
    for (int i = 0; i < 4; i++) {
        float x = left + width * (0.15f + 0.25f * (float)i + pick(scene, -0.05, 0.05));
        float y = top + height * pick(scene, 0.15, 0.85);
        coin(scene, x, y, width * pick(scene, 0.045, 0.07), ground_depth(scene, x, y) + 0.16f);
    }
    for (int i = 0; i < 4; i++) {
        float x = left + width * pick(scene, 0.05, 0.95), y = top + height * pick(scene, 0.1, 0.9);
        ball(scene, x, y, width * pick(scene, 0.018, 0.035),
             ground_depth(scene, x, y) + pick(scene, 0.12, 0.26), PF_GEN_BANDS, steel,
             pick(scene, 20, 50));
    }
    beetle(scene, left + width * pick(scene, 0.25, 0.42), top + height * pick(scene, 0.3, 0.5),
           0.26f * width, 0.62f);
    float cx = left + width * pick(scene, 0.62, 0.80), cy = top + height * pick(scene, 0.45, 0.7);
    for (int i = 0; i < 11; i++) {
        float around = (float)i * 2.399f, r = 0.042f * width * sqrtf((float)(10 - i));
        ball(scene, cx + r * cosf(around), cy + 0.8f * r * sinf(around),
             width * pick(scene, 0.032, 0.045), 0.50f + 0.035f * (float)i, PF_GEN_GRANITE, berry,
             pick(scene, 8, 40));
    }
    for (int i = 0; i < 8; i++)
        wire(scene, i % 2 ? pick(scene, 2, 8) : pick(scene, 0.3, 0.9));
}
