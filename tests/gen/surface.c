#include "tests/gen/surface.h"

#include <math.h>
#include <stdlib.h>

#include "tests/gen/rows.h"

#define FINEST_PX 2.2f

static float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

static float smooth(float low, float high, float v)
{
    float t = clamp((v - low) / (high - low), 0, 1);
    return t * t * (3 - 2 * t);
}

/* Mixes the three colours by t in 0..1. */
static void mix(const struct pf_gen_surface *surface, float t, float colour[3])
{
    t = clamp(t, 0, 1) * 2;
    int i = t < 1 ? 0 : 1;
    t -= (float)i;
    for (int c = 0; c < 3; c++)
        colour[c] = surface->colour[i][c] + t * (surface->colour[i + 1][c] - surface->colour[i][c]);
}

static void tint(float colour[3], float factor)
{
    for (int c = 0; c < 3; c++)
        colour[c] *= factor;
}

/* Albedo and height (px, about) of the surface at texture coordinates, at its full contrast. */
static float full_texture(const struct pf_gen_surface *s, float x, float y, float colour[3])
{
    uint32_t seed = s->seed;
    float fine = pf_gen_octaves(x, y, fmaxf(s->scale / 4, 9), FINEST_PX, 0.85f, seed + 1);
    float coarse = pf_gen_octaves(x, y, s->scale, fmaxf(s->scale / 6, 3), 0.7f, seed + 2);
    struct pf_gen_cell cell;
    switch (s->texture) {
    case PF_GEN_GRANITE: {
        float grain = fmaxf(s->scale / 7, 5);
        cell = pf_gen_cells(x / grain + 0.25f * fine, y / grain + 0.25f * coarse, seed);
        float pick = (float)(cell.id & 0xff) / 255;
        mix(s, 0.75f * pick + 0.12f * coarse + 0.13f, colour);
        tint(colour, 1 + 0.16f * fine);
        return 1.2f * fine + 2.5f * coarse + 2 * pick -
               4 * smooth(0.1f, 0, cell.second - cell.nearest);
    }
    case PF_GEN_BARK: {
        float bend = 0.5f * s->scale * pf_gen_noise(x / s->scale, y / s->scale, seed + 3);
        float ridge = pf_gen_octaves(x / 5, y + bend, s->scale / 2, FINEST_PX, 0.8f, seed + 4);
        ridge = 1 - fabsf(ridge);
        mix(s, 0.5f + 0.28f * ridge + 0.12f * coarse + 0.06f * fine, colour);
        tint(colour, 1 + 0.15f * fine);
        return 5 * ridge + 1.2f * fine + 2 * coarse;
    }
    case PF_GEN_BANDS: {
        float level = 2.2f * coarse + 0.06f * fine + y / s->scale * 4;
        float band = 0.5f + 0.5f * sinf(3 * level);
        mix(s, 0.15f + 0.6f * band + 0.12f * fine, colour);
        tint(colour, 1 + 0.08f * fine);
        return 0.8f * fine + 1.5f * band;
    }
    case PF_GEN_LEAF: {
        float along = x / s->scale, side = fabsf(y) / s->scale;
        float ribs = fabsf(sinf(22 * (along - 0.8f * side)));
        float rib = smooth(0.16f, 0.02f, ribs) * smooth(0.0f, 0.03f, side);
        float middle = smooth(0.02f, 0.008f, side);
        cell = pf_gen_cells(x / fmaxf(s->scale / 45, 4), y / fmaxf(s->scale / 45, 4), seed);
        float net = smooth(0.12f, 0.02f, cell.second - cell.nearest);
        float vein = fmaxf(middle, fmaxf(0.7f * rib, 0.35f * net));
        mix(s, 0.32f + 0.45f * vein + 0.08f * coarse + 0.05f * fine, colour);
        tint(colour, 1 + 0.10f * fine);
        return -3 * vein + 0.7f * fine;
    }
    case PF_GEN_FUR: {
        float turn = 0.6f * pf_gen_noise(x / s->scale, y / s->scale, seed + 5);
        float sx = x * cosf(turn) - y * sinf(turn), sy = x * sinf(turn) + y * cosf(turn);
        float stroke = pf_gen_octaves(sx / 7, sy, 9, FINEST_PX, 0.9f, seed + 6);
        mix(s, 0.45f + 0.2f * stroke + 0.1f * coarse, colour);
        tint(colour, 1 + 0.12f * fine);
        return 3 * stroke + 2 * coarse;
    }
    default: {
        float size = fmaxf(s->scale / 9, 7);
        cell = pf_gen_cells(x / size + 0.3f * coarse, y / size + 0.2f * fine, seed);
        float gap = smooth(0.22f, 0.0f, cell.second - cell.nearest);
        float pick = (float)(cell.id & 0xff) / 255;
        mix(s, 0.38f + 0.3f * (pick - 0.5f) + 0.16f * coarse + 0.12f * fine - 0.35f * gap, colour);
        tint(colour, (1 + 0.18f * fine) * (1 - 0.45f * gap));
        return 3 * coarse + 1.6f * fine + 2 * pick - 5 * gap;
    }
    }
}

/* Contrast in nature differs from place to place: dust, wear, moisture. */
static float texture(const struct pf_gen_surface *s, float x, float y, float colour[3])
{
    float height = full_texture(s, x, y, colour);
    if (s->calm <= 0)
        return height;
    float patch = pf_gen_noise(x / (2.2f * s->scale), y / (2.2f * s->scale), s->seed + 11) +
                  0.35f * pf_gen_noise(x / (0.7f * s->scale), y / (0.7f * s->scale), s->seed + 12);
    float keep = 1 - s->calm * smooth(-0.25f, 0.45f, patch), tone[3];
    mix(s, 0.45f + 0.08f * pf_gen_noise(x / s->scale, y / s->scale, s->seed + 13), tone);
    for (int c = 0; c < 3; c++)
        colour[c] = tone[c] + keep * (colour[c] - tone[c]);
    return keep * height;
}

/* Ragged ends: the outline moves in and out with the direction. */
float pf_gen_body_at(const struct pf_gen_body *body, float x, float y, float *u, float *v)
{
    float c = cosf(body->angle), s = sinf(body->angle), dx = x - body->cx, dy = y - body->cy;
    *u = (c * dx + s * dy) / body->rx;
    *v = (c * dy - s * dx) / body->ry;
    float rho = sqrtf(*u * *u + *v * *v);
    if (body->outline == PF_GEN_BLADE) {
        float open = 1 - *u * *u;
        return fabsf(*u) >= 1 ? 2 + fabsf(*u) : fabsf(*v) / fmaxf(open, 1e-3f);
    }
    if (body->ragged > 0 && rho > 0) {
        float uu = *u / rho, vv = *v / rho;
        rho *= 1 + body->ragged * pf_gen_noise(1.7f * uu + 7, 1.7f * vv, body->surface.seed) +
               0.25f * body->ragged * pf_gen_noise(6 * uu, 6 * vv + 3, body->surface.seed);
    }
    return rho;
}

struct fill {
    struct pf_gen_layer *layer;
    const struct pf_gen_surface *surface;
    const struct pf_gen_body *body; /* NULL: everywhere, flat */
    float *height;
};

static void albedo_rows(void *context, int begin, int end)
{
    struct fill *fill = context;
    struct pf_gen_layer *layer = fill->layer;
    const struct pf_gen_surface *surface = fill->surface;
    const struct pf_gen_body *body = fill->body;
    for (int y = begin; y < end; y++) {
        for (int x = 0; x < layer->width; x++) {
            size_t i = (size_t)y * (size_t)layer->width + (size_t)x;
            float px = (float)(x + layer->x0), py = (float)(y + layer->y0);
            if (body) {
                float u, v, rho = pf_gen_body_at(body, px, py, &u, &v);
                float in = clamp(rho, 0, 1), tilt = body->tilt_x * clamp(u, -1.2f, 1.2f) +
                                                    body->tilt_y * clamp(v, -1.2f, 1.2f);
                layer->depth[i] = body->depth + tilt + body->bulge * sqrtf(1 - 0.97f * in * in);
                float step = 1 / sqrtf(body->rx * body->ry);
                if (rho > 1 + 3 * step * body->rx / body->ry)
                    continue;
                /* The distance to the rim in px, from the slope of rho. */
                float gx = pf_gen_body_at(body, px + 0.5f, py, &u, &v) -
                           pf_gen_body_at(body, px - 0.5f, py, &u, &v);
                float gy = pf_gen_body_at(body, px, py + 0.5f, &u, &v) -
                           pf_gen_body_at(body, px, py - 0.5f, &u, &v);
                float cover = clamp(0.5f + (1 - rho) / fmaxf(hypotf(gx, gy), 1e-4f), 0, 1);
                layer->cover[i] = cover;
                if (cover <= 0)
                    continue;
            }
            float dx = px - surface->at.x, dy = py - surface->at.y, colour[3];
            float tx = surface->at.cosine * dx + surface->at.sine * dy;
            float ty = surface->at.cosine * dy - surface->at.sine * dx;
            fill->height[i] = texture(surface, tx, ty, colour);
            for (int c = 0; c < 3; c++)
                layer->light[c][i] = colour[c];
        }
    }
}

static void shade_rows(void *context, int begin, int end)
{
    struct fill *fill = context;
    struct pf_gen_layer *layer = fill->layer;
    const struct pf_gen_surface *surface = fill->surface;
    const struct pf_gen_body *body = fill->body;
    for (int y = begin; y < end; y++) {
        for (int x = 0; x < layer->width; x++) {
            size_t i = (size_t)y * (size_t)layer->width + (size_t)x;
            float cover = layer->cover ? layer->cover[i] : 1;
            if (cover <= 0)
                continue;
            float h = fill->height[i];
            float hx = x + 1 < layer->width && (!layer->cover || layer->cover[i + 1] > 0)
                           ? fill->height[i + 1] - h
                           : 0;
            float hy = y + 1 < layer->height &&
                               (!layer->cover || layer->cover[i + (size_t)layer->width] > 0)
                           ? fill->height[i + (size_t)layer->width] - h
                           : 0;
            float nx = -surface->relief * hx, ny = -surface->relief * hy, nz = 1;
            float rim = 1;
            if (body && body->outline == PF_GEN_ELLIPSE) {
                float u, v;
                float rho =
                    pf_gen_body_at(body, (float)(x + layer->x0), (float)(y + layer->y0), &u, &v);
                float in = clamp(rho, 0, 1), c = cosf(body->angle), s = sinf(body->angle);
                nx += 0.8f * (c * u - s * v);
                ny += 0.8f * (s * u + c * v);
                nz = sqrtf(1 - 0.9f * in * in);
                rim = 1 - 0.45f * smooth(0.6f, 1, rho);
            }
            float norm = 1 / sqrtf(nx * nx + ny * ny + nz * nz);
            float lit = fmaxf((-0.45f * nx - 0.55f * ny + 0.70f * nz) * norm, 0);
            float half = fmaxf((-0.244f * nx - 0.298f * ny + 0.922f * nz) * norm, 0);
            float shine = surface->gloss * powf(half, 60);
            for (int c = 0; c < 3; c++) {
                float lamp = c == 0 ? 1.06f : c == 1 ? 1.0f : 0.92f;
                float sky = c == 0 ? 0.30f : c == 1 ? 0.34f : 0.40f;
                layer->light[c][i] =
                    cover * (layer->light[c][i] * (1.15f * lamp * lit + sky * rim) + shine * lamp);
            }
        }
    }
}

static void fill_layer(struct fill *fill)
{
    size_t pixels = (size_t)fill->layer->width * (size_t)fill->layer->height;
    fill->height = pf_gen_alloc(pixels, sizeof(float));
    pf_gen_rows(fill->layer->height, albedo_rows, fill);
    pf_gen_rows(fill->layer->height, shade_rows, fill);
    free(fill->height);
}

void pf_gen_surface_fill(struct pf_gen_layer *layer, const struct pf_gen_surface *surface)
{
    struct fill fill = {.layer = layer, .surface = surface};
    fill_layer(&fill);
}

struct pf_gen_layer *pf_gen_body_push(struct pf_gen_scene *scene, const struct pf_gen_body *body)
{
    float c = fabsf(cosf(body->angle)), s = fabsf(sinf(body->angle));
    float grow = 1 + 1.2f * body->ragged;
    int reach = pf_gen_scene_reach(scene);
    int half_width = (int)ceilf(grow * (c * body->rx + s * body->ry)) + reach;
    int half_height = (int)ceilf(grow * (s * body->rx + c * body->ry)) + reach;
    struct pf_gen_layer *layer =
        pf_gen_layer_new((int)body->cx - half_width, (int)body->cy - half_height,
                         2 * half_width + 1, 2 * half_height + 1, false);
    struct fill fill = {.layer = layer, .surface = &body->surface, .body = body};
    fill_layer(&fill);
    pf_gen_scene_push(scene, layer);
    return layer;
}

void pf_gen_body_shadow(struct pf_gen_layer *layer, const struct pf_gen_body *body, float height)
{
    struct pf_gen_body shadow = *body;
    float soft = clamp(0.15f + 1.2f * height / (body->rx + body->ry), 0.1f, 0.8f);
    shadow.cx += 0.6f * height;
    shadow.cy += 0.75f * height;
    shadow.ragged = 0;
    float reach = (1 + soft) * fmaxf(body->rx, body->ry) + 2;
    for (int y = 0; y < layer->height; y++) {
        float py = (float)(y + layer->y0);
        if (fabsf(py - shadow.cy) > reach)
            continue;
        for (int x = 0; x < layer->width; x++) {
            float px = (float)(x + layer->x0), u, v;
            if (fabsf(px - shadow.cx) > reach)
                continue;
            float rho = pf_gen_body_at(&shadow, px, py, &u, &v);
            float dark = 1 - 0.62f * smooth(1 + soft, 1 - soft, rho);
            for (int c = 0; c < 3; c++)
                layer->light[c][(size_t)y * (size_t)layer->width + (size_t)x] *= dark;
        }
    }
}

void pf_gen_glints(struct pf_gen_scene *scene, struct pf_gen_layer *layer, int count)
{
    float unit = fmaxf(scene->unit, 1);
    for (int i = 0; i < count; i++) {
        float x = (float)(layer->x0 + pf_gen_uniform(&scene->random, 0, layer->width));
        float y = (float)(layer->y0 + pf_gen_uniform(&scene->random, 0, layer->height));
        float sigma = (float)pf_gen_uniform(&scene->random, 0.7, 1.6) * unit;
        float light = (float)pf_gen_uniform(&scene->random, 0.5, 4);
        pf_gen_paint_glint(layer, x, y, sigma, light);
    }
}
