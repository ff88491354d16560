/* Surfaces: textures, their relief under a lamp, and bodies cut out of them.
 *
 * Generator only; used by the scene builders, one thread, rows are shared out inside. The lamp is
 * at the upper left. Coordinates and units as in layer.h.
 */
#ifndef PF_GEN_SURFACE_H
#define PF_GEN_SURFACE_H

#include "tests/gen/scene.h"

enum pf_gen_texture {
    PF_GEN_SOIL,    /* fine litter with dark crevices */
    PF_GEN_GRANITE, /* grains of several colours */
    PF_GEN_BARK,    /* fibres along x */
    PF_GEN_BANDS,   /* layered like agate */
    PF_GEN_LEAF,    /* veins, x along the midrib of unit length `scale` */
    PF_GEN_FUR,     /* short strokes */
};

struct pf_gen_surface {
    enum pf_gen_texture texture;
    float colour[3][3]; /* dark, middle, light albedo */
    float scale;        /* px of the coarsest structure */
    float relief;       /* strength of the bump shading */
    float gloss;        /* strength of the specular highlight */
    float calm;         /* 0..1: how much of its contrast the surface loses in its calm patches */
    uint32_t seed;
    struct pf_gen_frame at; /* texture coordinates are relative to it */
};

enum pf_gen_outline { PF_GEN_ELLIPSE, PF_GEN_BLADE /* pointed at both ends */ };

struct pf_gen_body {
    enum pf_gen_outline outline;
    float cx, cy, rx, ry, angle;
    float ragged;         /* 0..0.2: unevenness of the outline */
    float depth;          /* of the rim at the centre's place */
    float bulge;          /* the middle is nearer by this */
    float tilt_x, tilt_y; /* depth at the rim's right and lower end (own axes) beyond `depth` */
    struct pf_gen_surface surface;
};

/* Distance from the body's rim in units of its radius: below 1 inside. */
float pf_gen_body_at(const struct pf_gen_body *body, float x, float y, float *u, float *v);

/* Fills the opaque layer with a surface; its depth must be set before. */
void pf_gen_surface_fill(struct pf_gen_layer *layer, const struct pf_gen_surface *surface);
/* New layer with the body, pushed on the scene. Shadows on the layers below are the caller's. */
struct pf_gen_layer *pf_gen_body_push(struct pf_gen_scene *scene, const struct pf_gen_body *body);
/* Darkens the layer where the body, `height` px above it, keeps the lamp's light away. */
void pf_gen_body_shadow(struct pf_gen_layer *layer, const struct pf_gen_body *body, float height);
/* Small bright spots, `count` of them, where the layer covers. */
void pf_gen_glints(struct pf_gen_scene *scene, struct pf_gen_layer *layer, int count);

#endif
