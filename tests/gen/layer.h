/* A layer of a scene: one surface with colour, coverage and its own smooth depth.
 *
 * Generator and its test only; a layer belongs to its scene. It is drawn in linear light, then
 * sealed: filtered as lens and sensor do (a little), and kept as running sums for fast defocus.
 *
 * Coordinates: pixels of the canvas (the first frame's pixels with a margin on every side), pixel
 * centres at integers. Depth: 0 is the focal plane of the first frame, 1 that of the last one,
 * larger is nearer to the camera. Light: linear, 1 is the sensor's white; more is allowed.
 */
#ifndef PF_GEN_LAYER_H
#define PF_GEN_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#define PF_GEN_LEVELS    6  /* halvings kept for wide defocus, the full size included */
#define PF_GEN_PAD       24 /* pixels beside a row, so that a disc may reach over its ends */
#define PF_GEN_FIXED     18 /* fraction bits of a sample in the running sums */
#define PF_GEN_LIGHT_MAX 60.0f

struct pf_gen_level {
    int width, height;
    /* Running sums of each row: sums[c][y * stride + PF_GEN_PAD + x] is the sum left of x. */
    uint32_t *sums[4]; /* red, green, blue, coverage (NULL: opaque) */
    int stride;
    float *depth;
};

struct pf_gen_layer {
    int x0, y0, width, height; /* place on the canvas */
    float *light[3];           /* while drawn: premultiplied by coverage */
    float *cover;              /* while drawn; NULL: opaque everywhere */
    float *depth;
    int levels; /* 0 while drawn */
    struct pf_gen_level level[PF_GEN_LEVELS];
};

/* Opaque, or empty with a coverage of 0. */
struct pf_gen_layer *pf_gen_layer_new(int x0, int y0, int width, int height, bool opaque);
struct pf_gen_layer *pf_gen_layer_free(struct pf_gen_layer *layer); /* NULL-safe, returns NULL */

/* Ends drawing: filters by a Gaussian of sigma px and builds `levels` levels. */
void pf_gen_layer_seal(struct pf_gen_layer *layer, float sigma, int levels);

/* Shapes, by their signed distance with a soft edge of one pixel; canvas coordinates. `frame`
 * turns and places them: its origin is (x, y), its angle in radians. */
struct pf_gen_frame {
    float x, y, cosine, sine;
};
struct pf_gen_frame pf_gen_frame_at(float x, float y, float angle);

/* `over` paints colour over what is there (and covers); light and coverage. */
void pf_gen_paint_box(struct pf_gen_layer *layer, struct pf_gen_frame at, float cx, float cy,
                      float half_width, float half_height, float corner, const float colour[3]);
void pf_gen_paint_line(struct pf_gen_layer *layer, struct pf_gen_frame at, float ax, float ay,
                       float bx, float by, float line_width, const float colour[3]);
void pf_gen_paint_ring(struct pf_gen_layer *layer, struct pf_gen_frame at, float cx, float cy,
                       float radius, float hole, const float colour[3]);
/* Text of 0-9 A-Z - . / : in strokes; (x, y) is its upper left corner, returns its width in px. */
float pf_gen_paint_text(struct pf_gen_layer *layer, struct pf_gen_frame at, float x, float y,
                        float height, float stroke, const char *text, const float colour[3]);

/* Adds a bright spot (light) of sigma px where the layer covers. */
void pf_gen_paint_glint(struct pf_gen_layer *layer, float x, float y, float sigma, float light);

#endif
