/* Depth-dependent defocus: a sealed layer as a lens with a round aperture sees it.
 *
 * Generator and its test only. Every pixel is the mean of the layer over a disc of its own circle
 * of confusion (exact area weights), taken at full size up to a radius of about 12 px and from
 * halved images beyond. Light spreads over the layer's edge: its coverage gets soft, and what is
 * composited below shows through, so near blur bleeds over far sharpness and hides it.
 */
#ifndef PF_GEN_DEFOCUS_H
#define PF_GEN_DEFOCUS_H

#include "tests/gen/layer.h"

struct pf_gen_lens {
    float blur_px; /* radius of the disc for a depth difference of 1 */
    float focus;   /* depth in focus */
    bool truth;    /* all depths from 0 to 1 in focus, those beyond as from the nearest of them */
};

static inline float pf_gen_radius(const struct pf_gen_lens *lens, float depth)
{
    if (lens->truth)
        return lens->blur_px * (depth < 0 ? -depth : depth > 1 ? depth - 1 : 0);
    return lens->blur_px * (depth > lens->focus ? depth - lens->focus : lens->focus - depth);
}

/* Planes of the canvas, linear light. */
struct pf_gen_canvas {
    int width, height;
    float *light[3];
};

/* Composites the layer over the canvas. */
void pf_gen_defocus(const struct pf_gen_layer *layer, const struct pf_gen_lens *lens,
                    struct pf_gen_canvas *canvas);

#endif
