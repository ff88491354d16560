/* What one block of the picture says of an alignment (process/cpu/ecc_blocks.c has the method): from the
 * sums over its samples to its displacement. Shared by the CPU's pass over the blocks and the GPU's.
 *
 * Pure functions, any thread.
 */
#ifndef PF_ECC_BLOCK_H
#define PF_ECC_BLOCK_H

#include <math.h>

#include "process/cpu/ecc_step.h"
#include "process/cpu/kernels.h"
#include "process/homography.h"

#define PF_BLOCK_HALO        2    /* samples around a block that are looked at */
#define PF_BLOCK_LEAST_NOISE 0.05 /* variance of the light, in squared units of 255 */
#define PF_BLOCK_MODEL_ERROR 0.01

/* A step that moves no corner further, in samples of the level, is the last one: the next would move it
 * by a tenth of that. */
#define PF_ECC_BLOCKS_TOLERANCE_PX 0.03
/* Steps at most, where so many levels are used (0: all). The finest alone is for a start that is near. */
static inline int pf_ecc_blocks_steps(int levels)
{
    return levels == 1 ? 2 : 5;
}

#define PF_ECC_BLOCKS_LEAST 12 /* fewer say nothing that correlation has not said */
#define PF_ECC_BLOCKS_FAR   4.0
/* Rounds of weighing blocks by how far they are from what all agree on; `near`: the warp comes from such a
 * step. */
PF_ANYWHERE static inline int pf_ecc_blocks_rounds(bool near)
{
    return near ? 3 : 6;
}

/* What a block of the target asks for. */
struct pf_ecc_block {
    float d[2];      /* displacement of the image's point, in samples of the level */
    float weight[3]; /* inverse covariance of d: xx, xy, yy; all 0: the block has no say */
    float u, v;      /* the block's centre, normalised */
};

/* How many there are of a level; less than one where it is too small. */
PF_ANYWHERE static inline void pf_ecc_block_grid(int width, int height, int *ret_columns,
                                                 int *ret_rows)
{
    *ret_columns = (width - 2 * PF_BLOCK_HALO) / PF_BLOCK;
    *ret_rows = (height - 2 * PF_BLOCK_HALO) / PF_BLOCK;
}

/* True when the sample in a corner (0..3) of all that the block at (x0, y0) looks at has a picture. */
PF_ANYWHERE static inline bool pf_ecc_block_corner_has_picture(const double warp[9],
                                                               int image_width, int image_height,
                                                               int x0, int y0, int corner)
{
    double x, y;
    pf_homography_apply(warp, x0 + (corner & 1 ? PF_BLOCK - 1 + PF_BLOCK_HALO : -PF_BLOCK_HALO),
                        y0 + (corner & 2 ? PF_BLOCK - 1 + PF_BLOCK_HALO : -PF_BLOCK_HALO), &x, &y);
    return x >= 0 && y >= 0 && x < image_width - 1 && y < image_height - 1;
}

/* And when all samples have. */
PF_ANYWHERE static inline bool pf_ecc_block_has_picture(const double warp[9], int image_width,
                                                        int image_height, int x0, int y0)
{
    for (int corner = 0; corner < 4; corner++)
        if (!pf_ecc_block_corner_has_picture(warp, image_width, image_height, x0, y0, corner))
            return false;
    return true;
}

PF_ANYWHERE static inline void pf_ecc_block_place(const struct pf_ecc_frame *frame, int x0, int y0,
                                                  struct pf_ecc_block *block)
{
    double middle = 0.5 * (PF_BLOCK - 1);
    block->u = (float)((x0 + middle - frame->centre_x) / frame->radius);
    block->v = (float)((y0 + middle - frame->centre_y) / frame->radius);
}

/* Displacement and certainty from the sums of the products of (gx, gy, b, u b, v b, 1, m - centre,
 * error), see pf_kernels.block_row; symmetric, overwritten. The block's place is left alone. */
PF_ANYWHERE static inline void pf_ecc_block_ask(double a[8][8], struct pf_ecc_block *block)
{
    enum { ALL = 8, MOTION = 2, ERROR = 7 };
    const double pixels = PF_BLOCK * PF_BLOCK;
    /* All unknowns but the displacement are eliminated (Gauss). */
    for (int k = MOTION; k < ERROR; k++) {
        if (!(a[k][k] > 1e-3))
            continue;
        double inverse = 1 / (a[k][k] * (1 + 1e-6));
        for (int i = 0; i < ALL; i++) {
            if (i == k || (i >= MOTION && i < k))
                continue;
            double share = a[i][k] * inverse;
            for (int j = 0; j < ALL; j++)
                if (j < MOTION || j >= k)
                    a[i][j] -= share * a[k][j];
        }
    }
    double ridge = 1e-6 * (a[0][0] + a[1][1]) + 1e-3;
    double xx = a[0][0] + ridge, xy = a[0][1], yy = a[1][1] + ridge,
           determinant = xx * yy - xy * xy;
    if (!(determinant > 0))
        return;
    double dx = (yy * a[0][ERROR] - xy * a[1][ERROR]) / determinant;
    double dy = (xx * a[1][ERROR] - xy * a[0][ERROR]) / determinant;
    double rest = a[ERROR][ERROR] - dx * a[0][ERROR] - dy * a[1][ERROR];
    double variance = (rest > 0 ? rest : 0) / pixels + PF_BLOCK_LEAST_NOISE;
    double cxx = variance * yy / determinant + PF_BLOCK_MODEL_ERROR * PF_BLOCK_MODEL_ERROR;
    double cyy = variance * xx / determinant + PF_BLOCK_MODEL_ERROR * PF_BLOCK_MODEL_ERROR;
    double cxy = -variance * xy / determinant;
    double inverse = 1 / (cxx * cyy - cxy * cxy);
    block->d[0] = (float)dx;
    block->d[1] = (float)dy;
    block->weight[0] = (float)(cyy * inverse);
    block->weight[1] = (float)(-cxy * inverse);
    block->weight[2] = (float)(cxx * inverse);
}

#endif
