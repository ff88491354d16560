#include "tests/gen/scene.h"

#include <math.h>
#include <stdlib.h>

#include "tests/gen/rows.h"

#define LENS_SIGMA 0.5f /* px; what optics and pixel add to a drawn edge */

void pf_gen_scene_push(struct pf_gen_scene *scene, struct pf_gen_layer *layer)
{
    struct pf_gen_layer **larger =
        pf_gen_alloc((size_t)scene->layers + 1, sizeof(struct pf_gen_layer *));
    for (int i = 0; i < scene->layers; i++)
        larger[i] = scene->layer[i];
    free(scene->layer);
    scene->layer = larger;
    scene->layer[scene->layers++] = layer;
}

struct pf_gen_hair *pf_gen_scene_add_hair(struct pf_gen_scene *scene)
{
    struct pf_gen_hair *larger = pf_gen_alloc((size_t)scene->hairs + 1, sizeof(*larger));
    for (int i = 0; i < scene->hairs; i++)
        larger[i] = scene->hair[i];
    free(scene->hair);
    scene->hair = larger;
    return &scene->hair[scene->hairs++];
}

int pf_gen_scene_reach(const struct pf_gen_scene *scene)
{
    return (int)ceilf(scene->blur_px) + 6;
}

static float hair_depth(const struct pf_gen_hair *hair)
{
    return hair->point[hair->count / 2].depth;
}

static int by_depth(const void *a, const void *b)
{
    float da = hair_depth(a), db = hair_depth(b);
    return da < db ? -1 : da > db;
}

struct pf_gen_scene *pf_gen_scene_new(enum pf_gen_kind kind, int width, int height, int margin,
                                      float blur_px, uint64_t seed)
{
    static const float usual_blur[] = {14, 14, 30, 12, 14};
    struct pf_gen_scene *scene = pf_gen_alloc(1, sizeof(*scene));
    scene->kind = kind;
    scene->width = width;
    scene->height = height;
    scene->margin = margin;
    scene->canvas_width = width + 2 * margin;
    scene->canvas_height = height + 2 * margin;
    scene->unit = (float)sqrt((double)width * height / 2e6);
    scene->blur_px = blur_px >= 0 ? blur_px : usual_blur[kind] * scene->unit;
    scene->random.state = seed * 0x9e3779b97f4a7c15ull + 12345;
    scene->seed = (uint32_t)pf_gen_next(&scene->random);
    if (kind == PF_GEN_TEXTURED || kind == PF_GEN_BRISTLES)
        pf_gen_build_textured(scene);
    if (kind == PF_GEN_BRISTLES)
        pf_gen_build_bristles(scene);
    if (kind == PF_GEN_BOARD)
        pf_gen_build_board(scene);
    if (kind == PF_GEN_BACKDROP)
        pf_gen_build_backdrop(scene);
    if (kind == PF_GEN_GLARE)
        pf_gen_build_glare(scene);
    if (scene->hairs)
        qsort(scene->hair, (size_t)scene->hairs, sizeof(*scene->hair), by_depth);
    for (int i = 0; i < scene->layers; i++)
        pf_gen_layer_seal(scene->layer[i], LENS_SIGMA, PF_GEN_LEVELS);
    return scene;
}

struct pf_gen_scene *pf_gen_scene_free(struct pf_gen_scene *scene)
{
    if (!scene)
        return NULL;
    for (int i = 0; i < scene->layers; i++)
        pf_gen_layer_free(scene->layer[i]);
    free(scene->layer);
    free(scene->hair);
    free(scene);
    return NULL;
}

struct pf_gen_canvas *pf_gen_canvas_new(const struct pf_gen_scene *scene)
{
    struct pf_gen_canvas *canvas = pf_gen_alloc(1, sizeof(*canvas));
    canvas->width = scene->canvas_width;
    canvas->height = scene->canvas_height;
    for (int c = 0; c < 3; c++)
        canvas->light[c] =
            pf_gen_alloc((size_t)canvas->width * (size_t)canvas->height, sizeof(float));
    return canvas;
}

struct pf_gen_canvas *pf_gen_canvas_free(struct pf_gen_canvas *canvas)
{
    if (!canvas)
        return NULL;
    for (int c = 0; c < 3; c++)
        free(canvas->light[c]);
    free(canvas);
    return NULL;
}

struct hair_work {
    const struct pf_gen_scene *scene;
    const struct pf_gen_lens *lens;
    struct pf_gen_canvas *canvas;
};

static void hair_rows(void *context, int begin, int end)
{
    struct hair_work *work = context;
    pf_gen_hairs_draw(work->scene, work->lens, work->canvas, begin, end);
}

void pf_gen_scene_render(const struct pf_gen_scene *scene, const struct pf_gen_lens *lens,
                         struct pf_gen_canvas *canvas)
{
    for (int i = 0; i < scene->layers; i++)
        pf_gen_defocus(scene->layer[i], lens, canvas);
    struct hair_work work = {scene, lens, canvas};
    if (scene->hairs)
        pf_gen_rows(canvas->height, hair_rows, &work);
}

float *pf_gen_scene_depth(const struct pf_gen_scene *scene)
{
    float *depth =
        pf_gen_alloc((size_t)scene->canvas_width * (size_t)scene->canvas_height, sizeof(float));
    for (int i = 0; i < scene->layers; i++) {
        const struct pf_gen_layer *layer = scene->layer[i];
        const struct pf_gen_level *level = &layer->level[0];
        for (int y = 0; y < level->height; y++) {
            int cy = y + layer->y0;
            if (cy < 0 || cy >= scene->canvas_height)
                continue;
            for (int x = 0; x < level->width; x++) {
                int cx = x + layer->x0;
                if (cx < 0 || cx >= scene->canvas_width)
                    continue;
                const uint32_t *sums = level->sums[3];
                if (sums) {
                    sums += (size_t)y * (size_t)level->stride + PF_GEN_PAD + (size_t)x;
                    if (sums[1] - sums[0] < 1u << (PF_GEN_FIXED - 1))
                        continue;
                }
                depth[(size_t)cy * (size_t)scene->canvas_width + (size_t)cx] =
                    level->depth[(size_t)y * (size_t)level->width + (size_t)x];
            }
        }
    }
    pf_gen_hairs_depth(scene, depth);
    return depth;
}
