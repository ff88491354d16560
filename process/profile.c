#include "process/profile.h"

#include <errno.h>
#include <lcms2.h>
#include <stdlib.h>
#include <string.h>

#include "process/convert.h"
#include "process/exif.h"

#define DATE_AT    24  /* in a profile's header: 12 bytes */
#define ALIKE_MOST 512 /* of 65535: half a grey level of 255, and what curves of tables differ by */

static cmsHPROFILE adobe_rgb(void)
{
    static const cmsCIExyY white = {0.3127, 0.3290, 1};
    static const cmsCIExyYTRIPLE primaries = {{0.64, 0.33, 1}, {0.21, 0.71, 1}, {0.15, 0.06, 1}};
    cmsToneCurve *curve = cmsBuildGamma(NULL, 2.19921875);
    cmsToneCurve *const curves[3] = {curve, curve, curve};
    cmsHPROFILE profile = curve ? cmsCreateRGBProfile(&white, &primaries, curves) : NULL;
    cmsMLU *name = profile ? cmsMLUalloc(NULL, 1) : NULL;
    if (name && cmsMLUsetASCII(name, "en", "US", "Compatible with Adobe RGB (1998)"))
        cmsWriteTag(profile, cmsSigProfileDescriptionTag, name);
    cmsMLUfree(name);
    cmsFreeToneCurve(curve);
    return profile;
}

/* The profile, which is closed, as bytes. */
static int save_profile(cmsHPROFILE profile, struct pf_blob *ret, struct pf_error *err)
{
    /* The same frame gives the same bytes on every day. */
    static const uint8_t date[12] = {0x07, 0xea, 0, 1, 0, 1};
    cmsUInt32Number size = 0;
    uint8_t *bytes = NULL;
    if (profile && cmsSaveProfileToMem(profile, NULL, &size) && size >= DATE_AT + sizeof(date))
        bytes = malloc(size);
    bool made = bytes && cmsSaveProfileToMem(profile, bytes, &size);
    if (profile)
        cmsCloseProfile(profile);
    if (!made) {
        free(bytes);
        return pf_fail(err, ENOMEM, "out of memory for a colour profile");
    }
    memcpy(bytes + DATE_AT, date, sizeof(date));
    *ret = (struct pf_blob){bytes, size};
    return 0;
}

int pf_profile_make(enum pf_profile which, struct pf_blob *ret, struct pf_error *err)
{
    return save_profile(which == PF_PROFILE_SRGB ? cmsCreate_sRGBProfile() : adobe_rgb(), ret, err);
}

static cmsHPROFILE profile_of_lights(const struct pf_chromaticities *lights, cmsToneCurve *curve)
{
    cmsCIExyY white = {lights->white[0], lights->white[1], 1}, primary[3];
    cmsToneCurve *const curves[3] = {curve, curve, curve};
    for (int i = 0; i < 3; i++)
        primary[i] = (cmsCIExyY){lights->primary[i][0], lights->primary[i][1], 1};
    const cmsCIExyYTRIPLE primaries = {primary[0], primary[1], primary[2]};
    return cmsCreateRGBProfile(&white, &primaries, curves);
}

int pf_profile_of_numbers(struct pf_image *image, double exponent,
                          const struct pf_chromaticities *lights, struct pf_error *err)
{
    static const double srgb[5] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
    static const struct pf_chromaticities usual = {{0.3127, 0.3290},
                                                   {{0.64, 0.33}, {0.30, 0.60}, {0.15, 0.06}}};
    cmsToneCurve *curve =
        exponent > 0 ? cmsBuildGamma(NULL, exponent) : cmsBuildParametricToneCurve(NULL, 4, srgb);
    if (!curve)
        return pf_fail(err, ENOMEM, "out of memory for a colour profile");
    cmsHPROFILE profile = image->planes == 3 ? profile_of_lights(lights ? lights : &usual, curve)
                                             : cmsCreateGrayProfile(cmsD50_xyY(), curve);
    cmsFreeToneCurve(curve);
    return profile ? save_profile(profile, &image->icc, err) : 0;
}

int pf_profile_of_camera(struct pf_image *image, const struct pf_blob *exif, struct pf_error *err)
{
    if (image->planes != 3 || image->icc.size_bytes || !pf_exif_is_adobe_rgb(exif))
        return 0;
    return pf_profile_make(PF_PROFILE_ADOBE_RGB, &image->icc, err);
}

/* NULL: unreadable, or of other colours than those of a picture. */
static cmsHPROFILE open_profile(const struct pf_blob *blob)
{
    cmsHPROFILE profile = NULL;
    if (blob->size_bytes && blob->size_bytes <= UINT32_MAX)
        profile = cmsOpenProfileFromMem(blob->bytes, (cmsUInt32Number)blob->size_bytes);
    if (profile && cmsGetColorSpace(profile) != cmsSigRgbData) {
        cmsCloseProfile(profile);
        profile = NULL;
    }
    return profile ? profile : cmsCreate_sRGBProfile();
}

/* From one to the other, 16 bits, exact: what lcms2 precalculates is off by several grey levels of 255
 * near black. NULL: not possible. */
static cmsHTRANSFORM transform_of(const struct pf_blob *from, const struct pf_blob *to)
{
    cmsHPROFILE source = open_profile(from), target = open_profile(to);
    cmsHTRANSFORM transform = NULL;
    if (source && target)
        transform = cmsCreateTransform(source, TYPE_RGB_16, target, TYPE_RGB_16,
                                       INTENT_RELATIVE_COLORIMETRIC,
                                       cmsFLAGS_NOCACHE | cmsFLAGS_NOOPTIMIZE);
    if (source)
        cmsCloseProfile(source);
    if (target)
        cmsCloseProfile(target);
    return transform;
}

bool pf_profile_is_alike(const struct pf_blob *a, const struct pf_blob *b)
{
    enum { STEPS = 5, COLOURS = STEPS * STEPS * STEPS };
    uint16_t before[COLOURS][3], after[COLOURS][3];
    if (a->size_bytes == b->size_bytes &&
        (!a->size_bytes || memcmp(a->bytes, b->bytes, a->size_bytes) == 0))
        return true;
    cmsHTRANSFORM transform = transform_of(a, b);
    if (!transform)
        return true; /* it says nothing */
    for (int i = 0; i < COLOURS; i++)
        for (int c = 0, rest = i; c < 3; c++, rest /= STEPS)
            before[i][c] = (uint16_t)(rest % STEPS * 65535 / (STEPS - 1));
    cmsDoTransform(transform, before, after, COLOURS);
    cmsDeleteTransform(transform);
    for (int i = 0; i < COLOURS; i++)
        for (int c = 0; c < 3; c++)
            if (abs(before[i][c] - after[i][c]) > ALIKE_MOST)
                return false;
    return true;
}

static void convert_row(cmsHTRANSFORM transform, struct pf_image *to, const struct pf_image *from,
                        int y, uint16_t *rgb, float *scratch)
{
    uint16_t *rows[3];
    for (int plane = 0; plane < 3; plane++)
        rows[plane] = (void *)((uint8_t *)to->plane[plane] + (size_t)y * to->stride_bytes[plane]);
    pf_row_to_rgb(rgb, 16, from, y, scratch);
    cmsDoTransform(transform, rgb, rgb, (cmsUInt32Number)from->width);
    for (int x = 0; x < from->width; x++)
        for (int plane = 0; plane < 3; plane++)
            rows[plane][x] = rgb[3 * x + plane];
    pf_row_from_rgb(rows[0], rows[1], rows[2], from->width);
}

int pf_profile_convert(struct pf_image **ret, const struct pf_image *image,
                       const struct pf_blob *profile, struct pf_error *err)
{
    struct pf_image *made = NULL;
    cmsHTRANSFORM transform = transform_of(&image->icc, profile);
    if (!transform)
        return pf_fail(err, ENOMEM, "out of memory for other colours");
    uint16_t *rgb = malloc(3 * (size_t)image->width * sizeof(*rgb));
    float *scratch = malloc(pf_row_scratch_floats(image) * sizeof(*scratch));
    int r = rgb && scratch ? pf_image_new(&made, image->width, image->height, 16, 3, 0, 0, err)
                           : pf_fail(err, ENOMEM, "out of memory for other colours");
    if (r == 0)
        r = pf_image_copy_metadata(made, image, err);
    if (r == 0)
        r = pf_image_copy_cover(made, image, err);
    if (r == 0)
        r = pf_blob_copy(&made->icc, profile, err);
    for (int y = 0; r == 0 && y < image->height; y++)
        convert_row(transform, made, image, y, rgb, scratch);
    cmsDeleteTransform(transform);
    free(rgb);
    free(scratch);
    if (r < 0) {
        pf_image_free(made);
        return r;
    }
    *ret = made;
    return 0;
}
