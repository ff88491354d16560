/* Enhanced correlation alignment on the device: what process/cpu/ecc.h does, in one launch an iteration.
 *
 * Called by the CUDA backend and its tests, one thread at a time per queue. Pictures of light, sums,
 * the solution of each step and the decision whether another is needed stay on the device; the host
 * queues as many steps as there may be and waits once, at the end. Sums are added in a fixed order:
 * results are the same every time, and on every card.
 *
 * The finest levels are aligned by blocks, as on the CPU (ecc_refine.cu).
 *
 * Coordinates, meanings and defaults are those of the CPU's; results differ by the rounding of sums,
 * about 0.001 px. Errors: -ENOMEM, -EREMOTEIO (see runtime.h). No CUDA type is seen here.
 */
#ifndef PF_CUDA_ECC_H
#define PF_CUDA_ECC_H

#include "process/cpu/ecc.h"
#include "process/cpu/ecc_block.h"
#include "process/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A pyramid of light in device memory: the pixels of `levels` are device pointers into `memory`.
 * Zeroed before its first use; made anew in place, it keeps its memory. */
struct pf_cuda_pyramid {
    struct pf_ecc_pyramid levels;
    float *memory;
    size_t capacity; /* floats */
};

/* From a picture of light on the device (see fuse.h), whose rows have no gaps; its full-size x =
 * scale * column + offset, y alike. Only queued. */
int pf_cuda_pyramid_of_light(struct pf_cuda *cuda, struct pf_cuda_pyramid *pyramid,
                             const float *light, int width, int height, double scale, double offset,
                             struct pf_error *err);
void pf_cuda_pyramid_free(struct pf_cuda *cuda,
                          struct pf_cuda_pyramid *pyramid); /* leaves it zeroed */

/* The mean modified Laplacian of a level's coded light, in grid x grid equal cells; as
 * pf_alignment_measure(). Only queued. cells.cu */
void pf_cuda_measure_bends(struct pf_cuda *cuda, const struct pf_ecc_level *level, int grid,
                           float *cells);

struct pf_cuda_ecc; /* state on the device */
int pf_cuda_ecc_new(struct pf_cuda_ecc **ret, struct pf_cuda *cuda /* borrowed */,
                    struct pf_error *err);
struct pf_cuda_ecc *pf_cuda_ecc_free(struct pf_cuda_ecc *ecc); /* NULL-safe, returns NULL */

/* As pf_ecc_align, pf_ecc_likeness (of the map that is found, where it is asked for: NULL) and pf_ecc_judge. They wait
 * for the result. */
int pf_cuda_ecc_align(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                      const struct pf_cuda_pyramid *image, enum pf_motion motion, bool search,
                      int levels, double h[9], struct pf_ecc_fit *ret, double *ret_likeness,
                      struct pf_error *err);
int pf_cuda_ecc_likeness(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                         const struct pf_cuda_pyramid *image, const double h[9], double *ret,
                         struct pf_error *err);
int pf_cuda_ecc_judge(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *target,
                      const struct pf_cuda_pyramid *image, const double h[9],
                      struct pf_ecc_fit *ret, struct pf_error *err);
/* As pf_ecc_contrast. Waits for the result. */
int pf_cuda_ecc_contrast(struct pf_cuda_ecc *ecc, const struct pf_cuda_pyramid *pyramid,
                         double *ret, struct pf_error *err);

#ifdef __cplusplus
}
#endif

#endif
