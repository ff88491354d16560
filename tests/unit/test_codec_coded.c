/* JPEGs that stay coded until their samples are wanted: they are what the decoded ones are, and are judged
 * as they are. */
#include <unistd.h>

#include "tests/unit/decoded.h"

static struct pf_decode_limits coded_limits = {.max_pixels = 100000000, .coded_side = 20};

static struct pf_image *decode_coded(const char *path)
{
    struct pf_error err = {0};
    struct pf_image *image = NULL;
    CHECK_OK(pf_image_decode(&image, path, &coded_limits, &err), &err);
    return image;
}

/* All that is known of it is what is known of the decoded one, and so are its samples. */
static void check_coded(const struct pf_image *coded, const struct pf_image *whole)
{
    const struct pf_image *samples = NULL, *again = NULL;
    struct pf_error err = {0};
    CHECK(coded->coded && !coded->plane[0] && !coded->coded->refused[0]);
    CHECK_OK(pf_image_samples(coded, &samples, &err), &err);
    CHECK_OK(pf_image_samples(coded, &again, &err), &err);
    CHECK(samples == again && !samples->coded);
    for (int i = 0; i < 2; i++) {
        const struct pf_image *image = i ? samples : coded;
        CHECK_EQ(image->width, whole->width);
        CHECK_EQ(image->height, whole->height);
        CHECK_EQ(image->bits, whole->bits);
        CHECK_EQ(image->planes, whole->planes);
        CHECK_EQ(image->chroma_shift_x, whole->chroma_shift_x);
        CHECK_EQ(image->chroma_shift_y, whole->chroma_shift_y);
        CHECK_EQ(image->source_bits, whole->source_bits);
        CHECK_EQ(image->orientation, whole->orientation);
        CHECK_EQ(image->icc.size_bytes, whole->icc.size_bytes);
        CHECK_EQ(image->exif.size_bytes, whole->exif.size_bytes);
        CHECK(!image->exif.size_bytes ||
              memcmp(image->exif.bytes, whole->exif.bytes, whole->exif.size_bytes) == 0);
    }
    for (int plane = 0; plane < whole->planes; plane++)
        for (int y = 0; y < pf_image_plane_height(whole, plane); y++)
            for (int x = 0; x < pf_image_plane_width(whole, plane); x++)
                CHECK_EQ(plane_sample(samples, plane, x, y), plane_sample(whole, plane, x, y));
    const struct pf_image *reduced = coded->coded->reduced;
    int side = reduced->width > reduced->height ? reduced->width : reduced->height;
    CHECK(side >= coded_limits.coded_side || reduced->width == whole->width);
    CHECK(pf_image_samples(whole, &again, &err) == 0 && again == whole);
}

TEST(jpeg_that_stays_coded_is_the_same_picture)
{
    static const int samplings[][2] = {{2, 2}, {2, 1}, {1, 2}, {1, 1}, {0, 0}};
    static const uint8_t exif[] = "Exif\0\0II*\0\x8\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0";
    const char *path = file_name("a.jpg");
    for (size_t s = 0; s < SIZES; s++)
        for (int k = 0; k < 5; k++) {
            struct raster raster =
                noise_raster(usual_sizes[s][0], usual_sizes[s][1], samplings[k][0] ? 3 : 1, 8);
            struct jpeg_kind kind = {.h = samplings[k][0],
                                     .v = samplings[k][1],
                                     .exif = exif,
                                     .exif_bytes = sizeof(exif) - 1};
            write_jpeg(path, &raster, &kind);
            struct bytes file = slurp(path);
            /* What follows the picture, as in files with several, is none of it. */
            file.data = realloc(file.data, file.size + 4);
            CHECK(file.data);
            memcpy(file.data + file.size, "\xff\xd8\xff\xd9", 4);
            spit(path, file.data, file.size + 4);
            struct pf_image *coded = decode_coded(path), *whole = decode(path);
            CHECK_EQ(whole->orientation, 6);
            CHECK_EQ(coded->coded->size_bytes, file.size);
            CHECK(memcmp(coded->coded->bytes, file.data, file.size) == 0);
            check_coded(coded, whole);
            pf_image_free(coded);
            pf_image_free(whole);
            free(raster.samples);
            free(file.data);
        }
    struct raster raster = smooth_raster(67, 41, 3, 8);
    struct jpeg_kind kind = {.h = 2, .v = 2};
    write_jpeg(path, &raster, &kind);
    struct pf_image *whole = decode(path), *coded = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_image_as_jpeg(&coded, whole, &err), &err);
    CHECK(coded->coded && coded->width == 67 && coded->chroma_shift_x == 1);
    pf_image_free(coded);
    pf_image_free(whole);
    free(raster.samples);
}

/* What other decoders know less well is decoded here, whoever asks. */
TEST(jpeg_of_an_unusual_kind_does_not_stay_coded)
{
    struct raster raster = noise_raster(67, 41, 3, 8), ink = noise_raster(20, 20, 4, 8);
    struct jpeg_kind kinds[] = {{.progressive = true}, {.h = 4, .v = 1}, {.space = JCS_RGB}};
    struct jpeg_kind cmyk = {.space = JCS_CMYK}, plain = {.h = 2, .v = 2};
    const char *path = file_name("a.jpg");
    struct pf_error err = {0};
    struct pf_image *image = NULL;
    for (int i = 0; i < 3; i++) {
        write_jpeg(path, &raster, &kinds[i]);
        image = decode_coded(path);
        CHECK(!image->coded && image->plane[0]);
        pf_image_free(image);
    }
    write_jpeg(path, &ink, &cmyk);
    image = NULL;
    CHECK_EQ(pf_image_decode(&image, path, &coded_limits, &err), -ENOTSUP);
    /* Nor does a file that is mostly something else: it would be kept in memory. */
    write_jpeg(path, &raster, &plain);
    CHECK_EQ(truncate(path, 2 << 20), 0);
    image = decode_coded(path);
    CHECK(!image->coded);
    pf_image_free(image);
    write_png(path, &raster, PNG_COLOR_TYPE_RGB, 8, false);
    image = decode_coded(path);
    CHECK(!image->coded);
    pf_image_free(image);
    free(raster.samples);
    free(ink.samples);
}

/* Cut or damaged at any place: what is said against a file is the same, word by word. */
TEST(jpeg_that_stays_coded_is_judged_as_one_that_is_decoded)
{
    struct raster raster = noise_raster(90, 70, 3, 8);
    struct jpeg_kind kind = {.h = 2, .v = 1};
    const char *path = file_name("a.jpg");
    write_jpeg(path, &raster, &kind);
    struct bytes whole = slurp(path);
    int refusals = 0;
    for (uint32_t seed = 1; seed <= 600; seed++) {
        uint8_t *copy = malloc(whole.size);
        size_t size = whole.size;
        memcpy(copy, whole.data, size);
        if (seed % 3 == 0)
            size = 12 + scramble(seed) % (size - 12);
        else if (seed % 3 == 1)
            copy[scramble(seed) % size] ^= (uint8_t)(1 + scramble(seed + 7) % 255);
        else
            memset(copy + scramble(seed) % (size - 40), 0, 40);
        spit(path, copy, size);
        free(copy);
        struct pf_image *coded = NULL, *image = NULL;
        struct pf_error err[2] = {{0}, {0}};
        int r = pf_image_decode(&image, path, &limits, &err[0]);
        CHECK_EQ(pf_image_decode(&coded, path, &coded_limits, &err[1]), r);
        CHECK_STR(err[1].text, err[0].text);
        if (r == 0 && coded->coded)
            check_coded(coded, image);
        refusals += r < 0;
        pf_image_free(coded);
        pf_image_free(image);
    }
    CHECK(refusals > 300);
    free(whole.data);
    free(raster.samples);
}
