/* Colour profiles: those that pictures should have and do not name, and from one to another.
 *
 * Used by the codecs and by process/stack.c, any thread. Profiles come from strangers: lcms2 parses them,
 * and what it cannot read says nothing. A picture in colour without a profile is sRGB. Sources: ICC.1,
 * DCF 2.0 (Adobe RGB is EXIF ColorSpace 65535 with the interoperability index R03), Adobe RGB (1998).
 */
#ifndef PF_PROFILE_H
#define PF_PROFILE_H

#include <stdbool.h>

#include "config/base/error.h"
#include "process/image.h"

enum pf_profile { PF_PROFILE_SRGB, PF_PROFILE_ADOBE_RGB };

/* The same bytes every day; the caller frees ret->bytes. -ENOMEM. */
int pf_profile_make(enum pf_profile which, struct pf_blob *ret, struct pf_error *err);

/* Gives a picture in colour that has no profile the one that its camera's EXIF block means; `exif` is
 * the picture's own, or of the file that it lay in. -ENOMEM. */
int pf_profile_of_camera(struct pf_image *image, const struct pf_blob *exif, struct pf_error *err);

/* x and y of the light of white, and of red, green and blue. */
struct pf_chromaticities {
    double white[2], primary[3][2];
};

/* Gives a picture the profile of what its file says in numbers: light is a sample to the power of `exponent`
 * (0: it says nothing; that is sRGB's curve), and in colour the lights (NULL: those of sRGB). Numbers that
 * make no profile say nothing. -ENOMEM. */
int pf_profile_of_numbers(struct pf_image *image, double exponent,
                          const struct pf_chromaticities *lights, struct pf_error *err);

/* Whether colours look alike with both, whatever the bytes. */
bool pf_profile_is_alike(const struct pf_blob *a, const struct pf_blob *b);

/* A picture in colour, in the colours of another profile: 16 bits, chroma as large as luma, with that
 * profile; the rest is the same. For profiles that are not alike. Errors as of pf_image_new(). */
int pf_profile_convert(struct pf_image **ret, const struct pf_image *image,
                       const struct pf_blob *profile, struct pf_error *err);

#endif
