/* Enhanced correlation alignment on the CPU.
 *
 * Finds the map h (target point -> image point, both in full-size pixels) that maximises the
 * correlation of target and warped image, which ignores gain and offset of the brightness:
 * Evangelidis & Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient
 * Maximization", PAMI 2008, in its inverse compositional form (Baker & Matthews 2004): gradients
 * and Hessian belong to the target and are made once per level. That is the start; the finest levels
 * of all but small pictures are aligned by blocks from there, see ecc_blocks.h.
 *
 * Runs in the worker, one thread at a time per object; uses the pool. Everything is borrowed
 * except what a free function takes back.
 */
#ifndef PF_ECC_H
#define PF_ECC_H

#include <math.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "process/cpu/kernels.h"
#include "process/homography.h"
#include "process/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PF_ECC_MAX_WIDTH  1600 /* pixels of the finest level, where a frame is larger */
#define PF_ECC_MAX_LEVELS 12

/* Light (linear, not encoded values) 0..255 as float, finest first. Full-size x = scale * column + offset, y alike. */
struct pf_ecc_level {
    float *pixels;
    int width, height;
    double scale, offset;
};

struct pf_ecc_pyramid {
    int count;
    struct pf_ecc_level level[PF_ECC_MAX_LEVELS];
};

/* Makes the pyramid of a decoded luma plane by means of 2 x 2. -ENOMEM; `ret` is freed or empty
 * before the call (zeroed), and valid only on success. */
int pf_ecc_pyramid_of_source(struct pf_ecc_pyramid *ret, const struct pf_source_plane *luma,
                             const struct pf_kernels *kernels, struct pf_pool *pool,
                             struct pf_error *err);
/* Makes it of engine samples of a level with the given scale and offset. */
int pf_ecc_pyramid_of_samples(struct pf_ecc_pyramid *ret, const int16_t *samples, int stride,
                              int width, int height, double scale, double offset,
                              const struct pf_kernels *kernels, struct pf_pool *pool,
                              struct pf_error *err);
/* Makes it of light 0..255 that somebody else has made of a picture; `light` is borrowed. */
int pf_ecc_pyramid_of_light(struct pf_ecc_pyramid *ret, const float *light, int width, int height,
                            double scale, double offset, const struct pf_kernels *kernels,
                            struct pf_pool *pool, struct pf_error *err);
void pf_ecc_pyramid_free(struct pf_ecc_pyramid *pyramid); /* leaves it zeroed */
/* Number of halvings from full size to the finest level. */
int pf_ecc_halvings(int width);
/* How far a large shift is searched for on a level, in steps of two pixels each way: a fifth of it,
 * less of a strip's picture, whose coarsest level is large. */
void pf_ecc_search_reach(int width, int height, int *ret_x, int *ret_y);
/* The finest level that is at most `width` wide, or the coarsest there is. */
int pf_ecc_level_of_width(const struct pf_ecc_pyramid *pyramid, int width);
/* Light as a code with even steps for the eye, 0..255: in light itself, shadows have next to no
 * contrast. */
PF_ANYWHERE static inline float pf_ecc_code(float light)
{
    return sqrtf(255 * (light > 0 ? light : 0));
}
/* Standard deviation of that code at about 200 pixels' width. */
double pf_ecc_contrast(const struct pf_ecc_pyramid *pyramid);

/* Whether the finest levels are aligned by blocks (ecc_blocks.h), whichever picture is the target.
 * Small pictures, which alignment does not reduce, are not: to them defocus is wide beside a block. */
bool pf_ecc_by_blocks(const struct pf_ecc_pyramid *target);
/* And whether that is so of one of its levels. */
bool pf_ecc_level_by_blocks(const struct pf_ecc_pyramid *target, int level);

struct pf_ecc_fit {
    double correlation; /* at the finest level, -1..1 */
    double agreement;   /* the same at about 400 pixels' width, where noise plays no part */
    double overlap;     /* share of the target that the image covers */
    double certainty; /* what the blocks of the finest level say of the motion; 0: none was asked */
};

struct pf_ecc; /* scratch memory */
int pf_ecc_new(struct pf_ecc **ret, const struct pf_kernels *kernels, struct pf_pool *pool,
               struct pf_error *err);
struct pf_ecc *pf_ecc_free(struct pf_ecc *ecc);

/* h: start on entry, result on success. `search`: also try shifts of up to a fifth of the picture
 * at the coarsest level. `levels`: how many of the finest levels to use, 0 for all.
 * -ENOMEM. A result is always given; whether it can be believed is for the caller to judge by
 * the fit (a failure to converge shows as a low correlation). */
int pf_ecc_align(struct pf_ecc *ecc, const struct pf_ecc_pyramid *target,
                 const struct pf_ecc_pyramid *image, enum pf_motion motion, bool search, int levels,
                 double h[9], struct pf_ecc_fit *ret, struct pf_error *err);

/* How well a given map fits. -ENOMEM. */
int pf_ecc_judge(struct pf_ecc *ecc, const struct pf_ecc_pyramid *target,
                 const struct pf_ecc_pyramid *image, const double h[9], struct pf_ecc_fit *ret,
                 struct pf_error *err);

/* Whether they have the same detail under that map, see likeness.h. -ENOMEM. */
int pf_ecc_likeness(struct pf_ecc *ecc, const struct pf_ecc_pyramid *target,
                    const struct pf_ecc_pyramid *image, const double h[9], double *ret,
                    struct pf_error *err);

#ifdef __cplusplus
}
#endif

#endif
