/* Pictures as the decoders give them: for tests of codecs. */
#ifndef PF_TEST_DECODED_H
#define PF_TEST_DECODED_H

#include "process/codec.h"
#include "process/convert.h"
#include "tests/unit/codec_files.h"

static const int usual_sizes[][2] = {{1, 1}, {7, 5}, {17, 33}, {64, 48}, {130, 31}};
#define SIZES (sizeof(usual_sizes) / sizeof(usual_sizes[0]))

static struct pf_decode_limits limits = {.max_pixels = 10000000};

static inline struct pf_image *decode(const char *path)
{
    struct pf_error err = {0};
    struct pf_image *image = NULL;
    CHECK_OK(pf_image_decode(&image, path, &limits, &err), &err);
    return image;
}

/* The error code, 0 when the file was read after all. */
static inline int refused(const char *path, struct pf_error *err)
{
    struct pf_image *image = NULL;
    pf_error_clear(err);
    int r = pf_image_decode(&image, path, &limits, err);
    if (r < 0) {
        CHECK(image == NULL);
        CHECK_EQ(err->code, -r);
        CHECK(strstr(err->text, path) || r == -ENOMEM);
    }
    pf_image_free(image);
    return -r;
}

static inline int plane_sample(const struct pf_image *image, int plane, int x, int y)
{
    const uint8_t *row =
        (const uint8_t *)image->plane[plane] + (size_t)y * image->stride_bytes[plane];
    return image->bits == 8 ? row[x] : ((const uint16_t *)row)[x];
}

/* The image's colours at 16 bits are those of the raster, within `within` of 65535. */
static inline void check_colours(const struct pf_image *image, const struct raster *raster,
                                 int within)
{
    int channels = image->planes;
    float *scratch = malloc(pf_row_scratch_floats(image) * sizeof(*scratch));
    uint16_t *row = malloc((size_t)image->width * 3 * 2);
    CHECK_EQ(image->width, raster->width);
    CHECK_EQ(image->height, raster->height);
    for (int y = 0; y < image->height; y++) {
        pf_row_to_rgb(row, 16, image, y, scratch);
        for (int x = 0; x < image->width; x++)
            for (int c = 0; c < channels; c++) {
                int got = row[x * channels + c], want = sample_at(raster, x, y, c);
                if (abs(got - want) > within)
                    FAIL("channel %d at %d, %d: %d instead of %d", c, x, y, got, want);
            }
    }
    free(row);
    free(scratch);
}

#endif
