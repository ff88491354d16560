/* Whether two pictures that lie over one another have the same detail.
 *
 * Correlation over the whole picture is that of its layout: two coins, stamps or insects in the same
 * place before the same background correlate at 0.6 to 0.98, and two textures in the same discs too.
 * So small blocks are asked one by one, each for the correlation of what is left in it beside an even
 * slope, and the middle one's word counts: edges of the layout cross the fewer of them. Asked are those
 * in which both pictures have detail beyond noise, and about as much of it as one another, beside
 * their light: where one is much more blurred they have no scale in common (and the blur of a disc
 * turns finer detail over).
 *
 * Pure; used by process/cpu/ecc.c, and by process/cuda/likeness.cu, whose blocks are looked at on the device. Meant for
 * about 200 pixels' width: at twice that, the first and last frame of a bracket have little in common, at half of it
 * layout is most of the detail.
 *
 * Measured on brackets of the generator (0.15 to 6 MP, seeds 1 to 3, all scenes): neighbours of six or
 * ten frames 0.84 and more, whether noisy (8 grey levels), shifted or deforming; first against last
 * 0.79 and more, 0.66 with twice to four times the blur, 0.52 where 25 px (2 MP) of deformation lie
 * between; fs_pcb, mcg and newto 0.68. The same stones and leaves with other textures on them: 0.16 to
 * 0.42; more where nothing else is to be seen: 0.67 where four times the blur hides the textures, 0.52
 * with the same bristles before them.
 */
#ifndef PF_CPU_LIKENESS_H
#define PF_CPU_LIKENESS_H

#include <math.h>
#include <stdbool.h>

#include "process/homography.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PF_LIKENESS_WIDTH 320 /* the largest level that suits, px */

enum { PF_LIKENESS_SIDE = 8, PF_LIKENESS_PIXELS = PF_LIKENESS_SIDE * PF_LIKENESS_SIDE };

struct pf_likeness_block {
    double detail[2], light[2], correlation; /* of the target, of the image */
    bool has_picture;                        /* nothing else is known where it has none */
};

/* A picture's code (pf_ecc_code) in a block, summed over its pixels: by itself, times column and times row from the
 * block's middle, and squared. */
struct pf_likeness_sums {
    double code, along, down, light;
};

PF_ANYWHERE static inline void pf_likeness_add(struct pf_likeness_sums *sums, int pixel,
                                               double code)
{
    const double middle = 0.5 * (PF_LIKENESS_SIDE - 1);
    sums->code += code;
    sums->along += (pixel % PF_LIKENESS_SIDE - middle) * code;
    sums->down += (pixel / PF_LIKENESS_SIDE - middle) * code;
    sums->light += code * code;
}

/* What of the code at a pixel is mean and slopes. */
PF_ANYWHERE static inline double pf_likeness_even(const struct pf_likeness_sums *sums, int pixel)
{
    const double middle = 0.5 * (PF_LIKENESS_SIDE - 1);
    const double spread = PF_LIKENESS_PIXELS * (PF_LIKENESS_PIXELS - 1) / 12.0;
    return sums->code / PF_LIKENESS_PIXELS + ((pixel % PF_LIKENESS_SIDE - middle) * sums->along +
                                              (pixel / PF_LIKENESS_SIDE - middle) * sums->down) /
                                                 spread;
}

/* rest: squares of what is left beside that, of both pictures; product: of the one by the other. All summed. */
PF_ANYWHERE static inline void pf_likeness_block_of(struct pf_likeness_block *ret,
                                                    const double light[2], const double rest[2],
                                                    double product)
{
    for (int i = 0; i < 2; i++) {
        ret->detail[i] = rest[i] / PF_LIKENESS_PIXELS;
        ret->light[i] = light[i] / PF_LIKENESS_PIXELS + 1;
    }
    ret->correlation = product / PF_LIKENESS_PIXELS / sqrt(ret->detail[0] * ret->detail[1] + 1e-12);
    ret->has_picture = true;
}

/* How many blocks a picture has, in rows of width / PF_LIKENESS_SIDE. */
static inline int pf_likeness_count(int width, int height)
{
    return (width / PF_LIKENESS_SIDE) * (height / PF_LIKENESS_SIDE);
}

/* Middle of the blocks' correlations, -1..1; 0 where too few can be asked; -ENOMEM. */
int pf_likeness_of_blocks(const struct pf_likeness_block *blocks, int count, double *ret);

/* The same of pictures of light (see ecc.h) without gaps between rows; valid: above 0.5 where `image` has a
 * picture. */
int pf_likeness(const float *target, const float *image, const float *valid, int width, int height,
                double *ret);

#ifdef __cplusplus
}
#endif

#endif
