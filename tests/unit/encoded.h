/* Pictures written and decoded again, for the tests of encoding. Each function is used by all who include it. */
#ifndef PF_TEST_ENCODED_H
#define PF_TEST_ENCODED_H

#include "process/codec.h"
#include "tests/unit/codec_files.h"

static const struct pf_decode_limits limits = {.max_pixels = 100000000};
static const enum pf_format formats[] = {PF_FORMAT_TIFF, PF_FORMAT_PNG, PF_FORMAT_JPEG};

static struct pf_image *decode(const char *path)
{
    struct pf_error err = {0};
    struct pf_image *image = NULL;
    CHECK_OK(pf_image_decode(&image, path, &limits, &err), &err);
    return image;
}

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
