/* In place of what the engine takes from OpenCV, lcms2 and elastix, where only a compiler and the CUDA
 * Toolkit are there (`make gpu-check`): it says that it is not there. */
#include <errno.h>

#include "process/elastix.h"
#include "process/features.h"
#include "process/flow.h"
#include "process/profile.h"

int pf_features_new(struct pf_features **ret, enum pf_features_kind kind, const uint8_t *pixels,
                    int width, int height, bool equalise, int threads, struct pf_error *err)
{
    (void)ret, (void)kind, (void)pixels, (void)width, (void)height, (void)equalise, (void)threads;
    return pf_fail(err, ENOSYS, "made without OpenCV");
}

struct pf_features *pf_features_free(struct pf_features *features)
{
    (void)features;
    return NULL;
}

int pf_features_match(const struct pf_features *target, const struct pf_features *image,
                      enum pf_motion motion, int threads, double h[9], struct pf_features_fit *ret,
                      struct pf_error *err)
{
    (void)target, (void)image, (void)motion, (void)threads, (void)h, (void)ret;
    return pf_fail(err, ENOSYS, "made without OpenCV");
}

int pf_flow_find(const uint8_t *fixed, const uint8_t *moving, int width, int height, double scale,
                 double offset, int threads, struct pf_field **ret, double *ret_agreement,
                 struct pf_error *err)
{
    (void)fixed, (void)moving, (void)width, (void)height, (void)scale, (void)offset, (void)threads;
    (void)ret, (void)ret_agreement;
    return pf_fail(err, ENOSYS, "made without OpenCV");
}

bool pf_profile_is_alike(const struct pf_blob *a, const struct pf_blob *b)
{
    (void)a, (void)b;
    return true;
}

int pf_profile_convert(struct pf_image **ret, const struct pf_image *image,
                       const struct pf_blob *profile, struct pf_error *err)
{
    (void)ret, (void)image, (void)profile;
    return pf_fail(err, ENOSYS, "made without lcms2");
}

int pf_elastix_run(const struct pf_reduced *fixed, const struct pf_reduced *moving,
                   const struct pf_elastix_options *options, struct pf_field **ret,
                   struct pf_elastix_report *ret_report, struct pf_error *err)
{
    (void)fixed, (void)moving, (void)options, (void)ret, (void)ret_report;
    return pf_fail(err, ENOSYS, "made without elastix");
}
