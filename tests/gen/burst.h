/* A burst: the shots of one focus bracket over a scene, and the truth about them.
 *
 * Generator and its test; one thread.
 */
#ifndef PF_GEN_BURST_H
#define PF_GEN_BURST_H

#include <jansson.h>

#include "tests/gen/camera.h"
#include "tests/gen/picture.h"

struct pf_gen_options {
    enum pf_gen_kind kind;
    int width, height, frames;
    uint64_t seed;
    double breathing;    /* change of scale from the first to the last frame */
    double shift_px;     /* drift from the first to the last frame; jitter is a seventh of it */
    double rotation_deg; /* the same for the angle */
    double noise;        /* see struct pf_gen_shot */
    double flicker;      /* greatest change of brightness, as coded: 0.01 is one percent */
    double misfire;      /* brightness of the first frame, as coded, beside what it should be: 1 */
    double drift;        /* change of brightness from frame to frame, as coded */
    double white_drift;  /* the same of red and of blue beside green */
    double deform_px;    /* reach of the last frame's deformation, growing from 0 */
    double blur_px;      /* see pf_gen_scene_new; < 0 what suits the scene */
    double focus_from, focus_to; /* of the first and last frame; the scene lies from 0 to 1 */
};

/* 2 megapixels, ten frames, textured, seed 1, and motion scaled to the size: for shift_px < 0
 * pf_gen_options_settle fills in 5 px at 2 MP. */
struct pf_gen_options pf_gen_options_usual(void);
void pf_gen_options_settle(struct pf_gen_options *options);

struct pf_gen_scene *pf_gen_burst_scene(const struct pf_gen_options *options);
/* The shots, `frames` of them; the caller frees. The first one is the reference: identity, and
 * of the light of 1 unless it misfires. */
struct pf_gen_shot *pf_gen_burst_shots(const struct pf_gen_options *options);

/* Truth about a shot as JSON: file, transform, focus, gain as the engine defines them, and of a
 * deformed one `displacement`: beside the transform, at the centres of 16 x 16 cells of the
 * reference, as the engine's. */
json_t *pf_gen_shot_json(const struct pf_gen_shot *shot, const char *file);

/* All-in-focus picture in the first frame's geometry, 16-bit RGB; the caller frees. */
uint16_t *pf_gen_burst_truth(const struct pf_gen_scene *scene, struct pf_gen_canvas *canvas);
/* Depth of what it shows: 0 the first frame's focal plane, 65535 the last one's. */
uint16_t *pf_gen_burst_depth(const struct pf_gen_scene *scene);

#endif
