/* The camera: geometry of a frame, exposure, noise, tone curve, samples of 8 or 16 bits.
 *
 * Generator and its test only. The frame is resampled from the canvas in linear light by a
 * Lanczos kernel of 10 taps a direction, in two passes; the scene is filtered before, so that
 * nothing visible is lost. The first frame's geometry is the canvas itself and is not resampled.
 */
#ifndef PF_GEN_CAMERA_H
#define PF_GEN_CAMERA_H

#include "tests/gen/deform.h"
#include "tests/gen/scene.h"

struct pf_gen_shot {
    double focus;                /* depth in focus */
    double transform[9];         /* frame point ~ transform * reference point, row by row */
    struct pf_gen_deform deform; /* after the transform; reach 0: none */
    double exposure;             /* light of this frame / light of the first */
    double colour[3];            /* the same of red, green and blue beside it */
    double noise;                /* standard deviation at middle grey, levels of 255 */
    uint32_t seed;               /* of the noise */
};

/* Similarity about the frame's centre: scale, angle in radians, then shift in px. */
void pf_gen_similarity(double transform[9], int width, int height, double scale, double angle,
                       double shift_x, double shift_y);

/* Coded sRGB samples of 16 bits (3 a pixel, width * height); the caller frees. With bits = 8 every
 * sample is one of the 256 levels, times 257. */
uint16_t *pf_gen_expose(const struct pf_gen_scene *scene, const struct pf_gen_canvas *canvas,
                        const struct pf_gen_shot *shot, int bits);

#endif
