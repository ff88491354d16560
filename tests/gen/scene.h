/* A scene: surfaces and hairs at their depths, and how it looks through a lens.
 *
 * Generator and its test only; one thread drives it, rows are shared out inside. The scene owns its
 * layers and hairs. Coordinates and units as in layer.h.
 */
#ifndef PF_GEN_SCENE_H
#define PF_GEN_SCENE_H

#include "tests/gen/defocus.h"
#include "tests/gen/noise.h"

enum pf_gen_kind { PF_GEN_TEXTURED, PF_GEN_BRISTLES, PF_GEN_BOARD, PF_GEN_BACKDROP, PF_GEN_GLARE };

/* A long thin body in front of the layers: a chain of points, drawn by the exact profile of a bar
 * seen through a disc, at any defocus. */
#define PF_GEN_HAIR_POINTS 64
struct pf_gen_hair {
    int count;
    struct {
        float x, y, depth, half_width;
    } point[PF_GEN_HAIR_POINTS];
    float edge[3], core[3]; /* light at its rim and along its middle */
};

struct pf_gen_scene {
    enum pf_gen_kind kind;
    int width, height; /* of a frame */
    int margin;        /* of the canvas, every side */
    int canvas_width, canvas_height;
    float unit;    /* px of this size for one at 2 megapixels */
    float blur_px; /* see struct pf_gen_lens */
    struct pf_gen_random random;
    uint32_t seed;
    int layers, hairs;
    struct pf_gen_layer **layer; /* back to front; the first is opaque */
    struct pf_gen_hair *hair;    /* back to front, before all layers */
};

/* blur_px < 0: what suits the kind (14 px textured, 30 px board at 2 MP, scaled with the size). */
struct pf_gen_scene *pf_gen_scene_new(enum pf_gen_kind kind, int width, int height, int margin,
                                      float blur_px, uint64_t seed);
struct pf_gen_scene *pf_gen_scene_free(struct pf_gen_scene *scene); /* NULL-safe, returns NULL */

/* The scene through the lens, in the first frame's geometry, on the whole canvas. */
struct pf_gen_canvas *pf_gen_canvas_new(const struct pf_gen_scene *scene);
struct pf_gen_canvas *pf_gen_canvas_free(struct pf_gen_canvas *canvas);
void pf_gen_scene_render(const struct pf_gen_scene *scene, const struct pf_gen_lens *lens,
                         struct pf_gen_canvas *canvas);

/* Depth of what is seen in the all-in-focus picture; canvas-sized, the caller frees. */
float *pf_gen_scene_depth(const struct pf_gen_scene *scene);

/* For the builders: takes the layer in (on top), sealed when the scene is complete. */
void pf_gen_scene_push(struct pf_gen_scene *scene, struct pf_gen_layer *layer);
struct pf_gen_hair *pf_gen_scene_add_hair(struct pf_gen_scene *scene);
/* A margin around a layer's shape, wide enough for its defocus. */
int pf_gen_scene_reach(const struct pf_gen_scene *scene);

void pf_gen_build_textured(struct pf_gen_scene *scene);
void pf_gen_build_bristles(struct pf_gen_scene *scene); /* the hairs alone */
void pf_gen_build_board(struct pf_gen_scene *scene);
void pf_gen_build_backdrop(struct pf_gen_scene *scene);
void pf_gen_build_glare(struct pf_gen_scene *scene);

/* Hairs over rows [begin, end) of the canvas. */
void pf_gen_hairs_draw(const struct pf_gen_scene *scene, const struct pf_gen_lens *lens,
                       struct pf_gen_canvas *canvas, int begin, int end);
/* Writes the hairs' depth where they cover at least half a pixel. */
void pf_gen_hairs_depth(const struct pf_gen_scene *scene, float *depth);

#endif
