/* Pictures written and decoded again, for the tests of encoding. Each function is used by all who include it. */
#ifndef PF_TEST_ENCODED_H
#define PF_TEST_ENCODED_H

#include "tests/unit/decoded.h"

static const enum pf_format formats[] = {PF_FORMAT_TIFF, PF_FORMAT_PNG, PF_FORMAT_JPEG};

static void encode(const struct pf_image *image, const char *path, enum pf_format format, int bits,
                   int threads)
{
    struct pf_error err = {0};
    struct pf_encode_options options = {
        .format = format, .bits = bits, .jpeg_quality = 100, .threads = threads};
    CHECK_OK(pf_image_encode(image, path, &options, &err), &err);
}

static struct pf_image *image_of(const struct raster *raster)
{
    struct tiff_kind kind = {.photometric = -1};
    write_tiff(file_name("source.tif"), raster, &kind);
    return decode(file_name("source.tif"));
}

#endif
