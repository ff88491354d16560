/* A generated focus bracket in memory, frame by frame, as grey 8-bit pictures. */
#ifndef PF_TEST_BRACKET_H
#define PF_TEST_BRACKET_H

#include <stdlib.h>

#include "process/image.h"
#include "tests/gen/burst.h"

struct bracket {
    struct pf_gen_options options;
    struct pf_gen_scene *scene;
    struct pf_gen_canvas *canvas;
    struct pf_gen_shot *shots;
};

static inline struct bracket bracket_open(enum pf_gen_kind kind, int width, int height, int frames,
                                          uint64_t seed)
{
    struct bracket bracket = {.options = pf_gen_options_usual()};
    bracket.options.kind = kind;
    bracket.options.width = width;
    bracket.options.height = height;
    bracket.options.frames = frames;
    bracket.options.seed = seed;
    pf_gen_options_settle(&bracket.options);
    bracket.scene = pf_gen_burst_scene(&bracket.options);
    bracket.canvas = pf_gen_canvas_new(bracket.scene);
    bracket.shots = pf_gen_burst_shots(&bracket.options);
    return bracket;
}

/* Frame `index`; focused elsewhere when focus >= -9 (0 the first frame's plane, 1 the last one's),
 * and moved by `motion` pixels along x while it was exposed. */
static inline struct pf_image *bracket_frame(const struct bracket *bracket, int index, double focus,
                                             int motion)
{
    const struct pf_gen_scene *scene = bracket->scene;
    const struct pf_gen_shot *shot = &bracket->shots[index];
    int width = scene->width, height = scene->height;
    struct pf_gen_lens lens = {scene->blur_px, (float)(focus >= -9 ? focus : shot->focus), false};
    struct pf_image *image = NULL;
    pf_gen_scene_render(scene, &lens, bracket->canvas);
    uint16_t *samples = pf_gen_expose(scene, bracket->canvas, shot, 8);
    if (pf_image_new(&image, width, height, 8, 1, 0, 0, NULL) < 0)
        abort();
    image->orientation = 1;
    for (int y = 0; y < height; y++) {
        uint8_t *row = (uint8_t *)image->plane[0] + (size_t)y * image->stride_bytes[0];
        for (int x = 0; x < width; x++) {
            int sum = 0;
            for (int k = 0; k <= motion; k++) {
                int at = x + k < width ? x + k : width - 1;
                sum += samples[3 * ((size_t)y * (size_t)width + (size_t)at) + 1] / 257;
            }
            row[x] = (uint8_t)(sum / (motion + 1));
        }
    }
    free(samples);
    return image;
}

#define ITS_OWN_FOCUS (-10)

static inline void bracket_close(struct bracket *bracket)
{
    free(bracket->shots);
    pf_gen_canvas_free(bracket->canvas);
    pf_gen_scene_free(bracket->scene);
}

#endif
