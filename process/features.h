/* Alignment by features: corners and blobs that are found again in another picture, wherever they
 * have moved to.
 *
 * For motions that correlation cannot find (large shifts, turns), as a result or as its start. A
 * picture's features are found once and matched with as many other pictures as one likes. Runs in
 * the worker, one thread at a time; OpenCV uses `threads` threads of its own inside a call. No type
 * and no exception of OpenCV's gets out. Given the same pictures, the results are the same.
 *
 * Sources: ORB, Rublee et al., ICCV 2011; AKAZE, Alcantarilla et al., BMVC 2013; SIFT, Lowe, IJCV
 * 2004, whose ratio test is used for all; RANSAC, Fischler & Bolles 1981; local contrast
 * equalisation (CLAHE), Zuiderveld, Graphics Gems IV, 1994. OpenCV features2d and calib3d.
 */
#ifndef PF_FEATURES_H
#define PF_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "config/base/error.h"
#include "config/settings.h"

/* Most features of a picture: the strongest are kept. */
#define PF_FEATURES_MAX 3000
/* Fewer features that agree are chance: of strangers, up to 5 were seen to agree. */
#define PF_FEATURES_LEAST_INLIERS 8
/* A smaller share of the matches that agree is chance, or a repeating pattern. */
#define PF_FEATURES_LEAST_SHARE 0.15

enum pf_features_kind { PF_FEATURES_ORB, PF_FEATURES_AKAZE, PF_FEATURES_SIFT };

struct pf_features;

/* Finds the features of a grey picture, rows without gaps; `pixels` is borrowed for the call. A
 * picture without any is no error. `equalise`: its local contrast is evened out first. *ret is the
 * caller's. -ENOMEM; -EIO when OpenCV could not do it. */
int pf_features_new(struct pf_features **ret, enum pf_features_kind kind, const uint8_t *pixels,
                    int width, int height, bool equalise, int threads, struct pf_error *err);
struct pf_features *pf_features_free(struct pf_features *features); /* NULL-safe, returns NULL */
int pf_features_count(const struct pf_features *features);

struct pf_features_fit {
    int matches; /* features of the target that were found again, with no rival nearly as alike */
    int inliers; /* of these, the ones that agree on the motion */
};

/* The motion that most matches agree on: h takes a pixel of `target` to one of `image` (both of one
 * kind, else -EINVAL). `h` is the identity when there is none (fit->inliers is 0 then).
 * -ENOMEM, -EIO. */
int pf_features_match(const struct pf_features *target, const struct pf_features *image,
                      enum pf_motion motion, int threads, double h[9], struct pf_features_fit *ret,
                      struct pf_error *err);

/* True when a fit is more than chance. */
static inline bool pf_features_agree(const struct pf_features_fit *fit)
{
    return fit->inliers >= PF_FEATURES_LEAST_INLIERS &&
           fit->inliers >= PF_FEATURES_LEAST_SHARE * fit->matches;
}

#ifdef __cplusplus
}
#endif

#endif
