/* Print and strong edges on even surfaces: a circuit board with chips, labels and a ruler. */
#include <math.h>
#include <stdio.h>

#include "tests/gen/rows.h"
#include "tests/gen/surface.h"

static const float black[3] = {0.018f, 0.018f, 0.020f}, white[3] = {0.80f, 0.79f, 0.75f},
                   silk[3] = {0.66f, 0.68f, 0.64f}, gold[3] = {0.62f, 0.44f, 0.16f},
                   tin[3] = {0.62f, 0.62f, 0.64f}, mask[3] = {0.020f, 0.105f, 0.045f},
                   trace[3] = {0.032f, 0.165f, 0.070f}, dark[3] = {0.030f, 0.031f, 0.034f},
                   grey[3] = {0.42f, 0.42f, 0.42f};

static float pick(struct pf_gen_scene *scene, double low, double high)
{
    return (float)pf_gen_uniform(&scene->random, low, high);
}

static void code(struct pf_gen_scene *scene, char *text, int length)
{
    static const char letters[] = "0123456789ABCDEFGHJKLMNPRSTUVXYZ-/";
    for (int i = 0; i < length; i++)
        text[i] = letters[pf_gen_next(&scene->random) % (sizeof(letters) - 1)];
    text[length] = 0;
}

/* A plate: an even box at its own depth, tilted if asked; what is printed on it comes after. */
struct plate {
    struct pf_gen_layer *layer;
    struct pf_gen_frame at;
    float half_width, half_height;
};

static void cast_shadow(struct pf_gen_scene *scene, struct pf_gen_frame at, float half_width,
                        float half_height, float rise)
{
    float shift = 60 * rise * scene->unit + 1.5f * scene->unit, soft = shift * 0.9f;
    for (int l = 0; l < scene->layers; l++) {
        struct pf_gen_layer *layer = scene->layer[l];
        for (int y = 0; y < layer->height; y++) {
            for (int x = 0; x < layer->width; x++) {
                float dx = (float)(x + layer->x0) - at.x - 0.6f * shift;
                float dy = (float)(y + layer->y0) - at.y - 0.75f * shift;
                float u = fabsf(at.cosine * dx + at.sine * dy) - half_width;
                float v = fabsf(at.cosine * dy - at.sine * dx) - half_height;
                if (u > soft || v > soft)
                    continue;
                float d = hypotf(fmaxf(u + soft, 0), fmaxf(v + soft, 0)) / (2 * soft);
                float t = 1 - (d > 1 ? 1 : d);
                t = t * t * (3 - 2 * t);
                for (int c = 0; c < 3; c++)
                    layer->light[c][(size_t)y * (size_t)layer->width + (size_t)x] *= 1 - 0.55f * t;
            }
        }
    }
}

static struct plate push_plate(struct pf_gen_scene *scene, float x, float y, float half_width,
                               float half_height, float angle, float depth, float tilt,
                               const float colour[3])
{
    struct plate plate = {
        .at = pf_gen_frame_at(x, y, angle), .half_width = half_width, .half_height = half_height};
    cast_shadow(scene, plate.at, half_width, half_height, depth);
    float c = fabsf(cosf(angle)), s = fabsf(sinf(angle));
    int reach = pf_gen_scene_reach(scene);
    int hw = (int)ceilf(c * half_width + s * half_height) + reach;
    int hh = (int)ceilf(s * half_width + c * half_height) + reach;
    struct pf_gen_layer *layer =
        pf_gen_layer_new((int)x - hw, (int)y - hh, 2 * hw + 1, 2 * hh + 1, false);
    for (int j = 0; j < layer->height; j++) {
        for (int i = 0; i < layer->width; i++) {
            float dx = (float)(i + layer->x0) - x, dy = (float)(j + layer->y0) - y;
            float u = (plate.at.cosine * dx + plate.at.sine * dy) / half_width;
            u = u < -1.1f ? -1.1f : u > 1.1f ? 1.1f : u;
            layer->depth[(size_t)j * (size_t)layer->width + (size_t)i] = depth + tilt * u;
        }
    }
    pf_gen_paint_box(layer, plate.at, 0, 0, half_width, half_height, 2 * scene->unit, colour);
    pf_gen_scene_push(scene, layer);
    plate.layer = layer;
    return plate;
}

static void barcode(struct pf_gen_scene *scene, const struct plate *plate, float left, float right,
                    float top, float bottom, float module)
{
    for (float x = left; x < right;) {
        float bar = module * (float)(1 + pf_gen_next(&scene->random) % 3);
        float gap = module * (float)(1 + pf_gen_next(&scene->random) % 3);
        if (x + bar > right)
            break;
        pf_gen_paint_box(plate->layer, plate->at, x + bar / 2, (top + bottom) / 2, bar / 2,
                         (bottom - top) / 2, 0, black);
        x += bar + gap;
    }
}

static void label(struct pf_gen_scene *scene, float x, float y, float half_width, float angle,
                  float depth, float tilt)
{
    char text[32];
    float half_height = 0.55f * half_width, u = half_width / 100;
    struct plate plate =
        push_plate(scene, x, y, half_width, half_height, angle, depth, tilt, white);
    barcode(scene, &plate, -88 * u, 88 * u, -46 * u, -4 * u, 2.2f * u);
    code(scene, text, 12);
    pf_gen_paint_text(plate.layer, plate.at, -84 * u, 4 * u, 15 * u, 2.3f * u, text, black);
    code(scene, text, 18);
    pf_gen_paint_text(plate.layer, plate.at, -84 * u, 27 * u, 8 * u, 1.3f * u, text, black);
    code(scene, text, 22);
    pf_gen_paint_text(plate.layer, plate.at, -84 * u, 40 * u, 6 * u, 0.95f * u, text, black);
    static const float red[3] = {0.55f, 0.03f, 0.03f};
    pf_gen_paint_box(plate.layer, plate.at, 72 * u, 34 * u, 14 * u, 12 * u, 0, red);
}

static void chip(struct pf_gen_scene *scene, float x, float y, float half_width, float half_height,
                 float angle, float depth, float board_depth)
{
    char text[32];
    float u = half_width / 100, pitch = 16 * u;
    /* Its legs lie on the board. */
    struct plate legs = push_plate(scene, x, y, half_width * 0.96f, half_height * 0.9f, angle,
                                   board_depth + 0.02f, 0, dark);
    for (float px = -half_width + pitch; px < half_width - pitch / 2; px += pitch) {
        for (int side = -1; side <= 1; side += 2)
            pf_gen_paint_box(legs.layer, legs.at, px, (float)side * (half_height + 7 * u), 3.6f * u,
                             9 * u, 1 * u, tin);
    }
    struct plate body = push_plate(scene, x, y, half_width, half_height, angle, depth, 0, dark);
    pf_gen_paint_ring(body.layer, body.at, -half_width + 16 * u, half_height - 16 * u, 7 * u, 5 * u,
                      grey);
    for (int line = 0; line < 3; line++) {
        code(scene, text, 8 + line * 2);
        pf_gen_paint_text(body.layer, body.at, -70 * u, (-0.6f + 0.48f * (float)line) * half_height,
                          (17 - 3 * (float)line) * u, (2.4f - 0.4f * (float)line) * u, text, grey);
    }
}

static void ruler(struct pf_gen_scene *scene, float x, float y, float half_width, float angle,
                  float depth, float tilt)
{
    static const float steel[3] = {0.50f, 0.50f, 0.49f};
    float u = scene->unit, half_height = 34 * u, step = half_width / 60;
    struct plate plate =
        push_plate(scene, x, y, half_width, half_height, angle, depth, tilt, steel);
    for (int i = -58; i <= 58; i++) {
        float length = i % 10 == 0 ? 26 : i % 5 == 0 ? 19 : 13, px = (float)i * step;
        pf_gen_paint_line(plate.layer, plate.at, px, -half_height + 2 * u, px,
                          -half_height + length * u, 1.6f * u, black);
        if (i % 10)
            continue;
        char text[12];
        snprintf(text, sizeof(text), "%d", i / 10 + 6);
        pf_gen_paint_text(plate.layer, plate.at, px - 6 * u, 2 * u, 18 * u, 2.2f * u, text, black);
    }
}

static void patches(struct pf_gen_scene *scene, float x, float y, float half_width, float angle,
                    float depth, float tilt)
{
    static const float colours[12][3] = {
        {0.17f, 0.08f, 0.05f}, {0.54f, 0.30f, 0.22f}, {0.11f, 0.19f, 0.33f}, {0.10f, 0.15f, 0.05f},
        {0.68f, 0.20f, 0.03f}, {0.08f, 0.10f, 0.38f}, {0.53f, 0.08f, 0.12f}, {0.33f, 0.50f, 0.05f},
        {0.75f, 0.57f, 0.02f}, {0.03f, 0.24f, 0.36f}, {0.36f, 0.36f, 0.36f}, {0.09f, 0.09f, 0.09f},
    };
    float half_height = 0.7f * half_width, cell = half_width / 2;
    struct plate plate =
        push_plate(scene, x, y, half_width, half_height, angle, depth, tilt, black);
    for (int i = 0; i < 12; i++)
        pf_gen_paint_box(plate.layer, plate.at, ((float)(i % 4) - 1.5f) * cell,
                         ((float)(i / 4) - 1) * 0.9f * cell, 0.42f * cell, 0.38f * cell, 0,
                         colours[i]);
}

static void can(struct pf_gen_scene *scene, float x, float y, float radius, float depth)
{
    static const float top[3] = {0.55f, 0.55f, 0.56f};
    struct pf_gen_frame at = pf_gen_frame_at(x, y, pick(scene, 0, 6));
    int half = (int)ceilf(radius) + pf_gen_scene_reach(scene);
    cast_shadow(scene, at, 0.8f * radius, 0.8f * radius, depth);
    struct pf_gen_layer *layer =
        pf_gen_layer_new((int)x - half, (int)y - half, 2 * half + 1, 2 * half + 1, false);
    for (size_t i = 0; i < (size_t)layer->width * (size_t)layer->height; i++)
        layer->depth[i] = depth;
    pf_gen_paint_ring(layer, at, 0, 0, radius, 0, dark);
    pf_gen_paint_ring(layer, at, 0, 0, 0.88f * radius, 0, top);
    for (int k = 0; k < 3; k++) {
        float a = (float)k * 1.047f;
        pf_gen_paint_line(layer, at, -0.7f * radius * cosf(a), -0.7f * radius * sinf(a),
                          0.7f * radius * cosf(a), 0.7f * radius * sinf(a), 0.05f * radius, dark);
    }
    pf_gen_paint_text(layer, at, -0.5f * radius, 0.25f * radius, 0.3f * radius, 0.05f * radius,
                      "47-16", black);
    pf_gen_scene_push(scene, layer);
}

static float board_depth_at(const struct pf_gen_scene *scene, float x, float y)
{
    return 0.20f * x / (float)scene->canvas_width + 0.10f * y / (float)scene->canvas_height;
}

static void printed_board(struct pf_gen_scene *scene)
{
    float width = (float)scene->canvas_width, height = (float)scene->canvas_height, u = scene->unit;
    struct pf_gen_layer *layer =
        pf_gen_layer_new(0, 0, scene->canvas_width, scene->canvas_height, true);
    struct pf_gen_frame at = pf_gen_frame_at(width / 2, height / 2, 0.06f);
    for (int y = 0; y < layer->height; y++) {
        for (int x = 0; x < layer->width; x++) {
            size_t i = (size_t)y * (size_t)layer->width + (size_t)x;
            layer->depth[i] = board_depth_at(scene, (float)x, (float)y);
            for (int c = 0; c < 3; c++)
                layer->light[c][i] = mask[c];
        }
    }
    char text[16];
    for (int i = 0; i < 90; i++) {
        /* A bundle of conductors with a bend of 45 degrees, and vias at its ends. */
        float x = pick(scene, -0.55, 0.55) * width, y = pick(scene, -0.55, 0.55) * height;
        float run = pick(scene, 40, 260) * u, turn = pick(scene, 20, 90) * u;
        bool upright = pf_gen_next(&scene->random) & 1;
        int lanes = 1 + (int)(pf_gen_next(&scene->random) % 5);
        for (int k = 0; k < lanes; k++) {
            float shift = (float)k * 9 * u, ax = x + (upright ? shift : 0),
                  ay = y + (upright ? 0 : shift);
            float bx = ax + (upright ? 0 : run), by = ay + (upright ? run : 0);
            pf_gen_paint_line(layer, at, ax, ay, bx, by, 4 * u, trace);
            pf_gen_paint_line(layer, at, bx, by, bx + turn, by + turn, 4 * u, trace);
            pf_gen_paint_ring(layer, at, ax, ay, 7 * u, 0, gold);
            pf_gen_paint_ring(layer, at, ax, ay, 3 * u, 0, black);
        }
    }
    for (int i = 0; i < 70; i++) {
        float x = pick(scene, -0.55, 0.55) * width, y = pick(scene, -0.55, 0.55) * height;
        float size = pick(scene, 9, 15) * u;
        pf_gen_paint_box(layer, at, x - 14 * u, y, 7 * u, 10 * u, 1 * u, tin);
        pf_gen_paint_box(layer, at, x + 14 * u, y, 7 * u, 10 * u, 1 * u, tin);
        pf_gen_paint_box(layer, at, x, y, 12 * u, 9 * u, 0, i % 2 ? dark : gold);
        code(scene, text, 4);
        pf_gen_paint_text(layer, at, x - 22 * u, y + 15 * u, size, 1.7f * u, text, silk);
    }
    for (int i = 0; i < 5; i++) {
        char line[20];
        code(scene, line, 16);
        pf_gen_paint_text(layer, at, pick(scene, -0.5, 0.2) * width,
                          pick(scene, -0.48, 0.45) * height, 28 * u, 3.6f * u, line, silk);
    }
    pf_gen_scene_push(scene, layer);
}

/* A lamp from the upper left falls off; paper and lacquer have a breath of grain. */
static void light_rows(void *context, int begin, int end)
{
    struct pf_gen_scene *scene = context;
    for (int l = 0; l < scene->layers; l++) {
        struct pf_gen_layer *layer = scene->layer[l];
        for (int y = 0; y < layer->height; y++) {
            int cy = y + layer->y0;
            if (cy < begin || cy >= end)
                continue;
            for (int x = 0; x < layer->width; x++) {
                float fx = (float)(x + layer->x0) / (float)scene->canvas_width;
                float fy = (float)cy / (float)scene->canvas_height;
                float lit = 1.06f - 0.22f * fx - 0.16f * fy;
                lit *= 1 + 0.006f * pf_gen_noise((float)x / 2.7f, (float)y / 2.7f, (uint32_t)l);
                for (int c = 0; c < 3; c++)
                    layer->light[c][(size_t)y * (size_t)layer->width + (size_t)x] *= lit;
            }
        }
    }
}

void pf_gen_build_board(struct pf_gen_scene *scene)
{
    float width = (float)scene->width, height = (float)scene->height;
    float ox = (float)scene->margin, oy = (float)scene->margin;
    printed_board(scene);
    /* Two columns of wandering places by three rows, parts from low to high. */
    struct {
        float x, y;
    } place[9];
    for (int i = 0; i < 9; i++) {
        place[i].x = ox + width * ((float)(i % 3) * 0.31f + 0.19f + pick(scene, -0.05, 0.05));
        place[i].y = oy + height * ((float)(i / 3) * 0.31f + 0.19f + pick(scene, -0.05, 0.05));
    }
    for (int i = 8; i > 0; i--) {
        int k = (int)(pf_gen_next(&scene->random) % (unsigned)(i + 1));
        float x = place[i].x, y = place[i].y;
        place[i] = place[k];
        place[k].x = x;
        place[k].y = y;
    }
    /* Even parts lie in a focal plane of ten frames (ninths), tilted ones pass through several. */
    label(scene, place[0].x, place[0].y, 0.125f * width, pick(scene, -0.4, 0.4), 3 / 9.0f, 0);
    chip(scene, place[1].x, place[1].y, 0.085f * width, 0.065f * width, pick(scene, -0.1, 0.1),
         3 / 9.0f, board_depth_at(scene, place[1].x, place[1].y));
    chip(scene, place[2].x, place[2].y, 0.10f * width, 0.05f * width,
         1.57f + pick(scene, -0.1, 0.1), 4 / 9.0f, board_depth_at(scene, place[2].x, place[2].y));
    patches(scene, place[3].x, place[3].y, 0.09f * width, pick(scene, -0.5, 0.5), 5 / 9.0f, 0);
    label(scene, place[4].x, place[4].y, 0.11f * width, pick(scene, -0.6, 0.6), 0.55f, 0.12f);
    ruler(scene, place[5].x, place[5].y, 0.26f * width, pick(scene, -0.6, 0.6), 0.62f, 0.18f);
    can(scene, place[6].x, place[6].y, 0.05f * width, 8 / 9.0f);
    can(scene, place[7].x, place[7].y, 0.038f * width, 7 / 9.0f);
    label(scene, place[8].x, place[8].y, 0.08f * width, pick(scene, -0.7, 0.7), 1.0f, 0);
    pf_gen_rows(scene->canvas_height, light_rows, scene);
}
