/* Dense optical flow between two pictures, as a displacement field.
 *
 * Worker, one thread at a time; OpenCV uses `threads` threads of its own inside a call. No type and
 * no exception of OpenCV's gets out. Flow is sought in both directions, and believed where the two
 * agree; there the field is fitted, and goes on smoothly through the rest.
 *
 * Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016 (OpenCV video).
 */
#ifndef PF_FLOW_H
#define PF_FLOW_H

#include <stdint.h>

#include "process/field.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A smaller share of what has texture that is found alike both ways is chance. */
#define PF_FLOW_LEAST_AGREEMENT 0.5

/* Grey pictures of one size, rows without gaps; pixel (i, j) lies at scale * (i, j) + offset in
 * full-size pixels. moving(r + field(r)) looks like fixed(r). *ret is the caller's. *ret_agreement:
 * the share of what has texture that is found alike both ways. -EINVAL: too small; -ENODATA: too
 * little agrees, and *ret is not set; -ENOMEM; -EIO when OpenCV could not do it. */
int pf_flow_find(const uint8_t *fixed, const uint8_t *moving, int width, int height, double scale,
                 double offset, int threads, struct pf_field **ret, double *ret_agreement,
                 struct pf_error *err);

#ifdef __cplusplus
}
#endif

#endif
