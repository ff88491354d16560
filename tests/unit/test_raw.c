/* RAW: a DNG that our generator's camera makes of a known picture, read back through LibRaw. */
#include <math.h>

#include "process/exif.h"
#include "tests/unit/raw_files.h"

static void write_dng(const char *path, const struct raster *raster, int orientation)
{
    struct pf_gen_encoding encoding = {PF_GEN_DNG, 16, 3, 0, 0, 0};
    struct pf_gen_exif exif = usual_exif(orientation);
    struct pf_error err = {0};
    CHECK_OK(pf_gen_picture_write(path, raster->samples, raster->width, raster->height, &encoding,
                                  &exif, &err),
             &err);
}

/* White balance, black and white level and the curve are right, or it could not be near. The dark
 * picture would be brightened by a reader that looks at its histogram. */
TEST(raw_gives_the_picture_back)
{
    const char *path = file_name("a.dng");
    for (int dark = 0; dark < 2; dark++) {
        struct raster raster = smooth_raster(200, 150, 3, 16);
        for (int i = 0; dark && i < 200 * 150 * 3; i++)
            raster.samples[i] /= 4;
        write_dng(path, &raster, 6);
        struct pf_image *image = decode(path);
        CHECK_EQ(image->bits, 16);
        CHECK_EQ(image->source_bits, 16);
        CHECK_EQ(image->orientation, 6);
        double psnr = psnr_db(image, &raster);
        printf("# %s picture: %.1f dB\n", dark ? "dark" : "bright", psnr);
        CHECK(psnr > 44);
        pf_image_free(image);
        free(raster.samples);
    }
}

/* The picture as another camera writes it. */
static struct pf_image *through(enum pf_gen_format format, const char *make, const char *model,
                                const struct raster *raster, const char *path)
{
    struct pf_gen_encoding encoding = {format, 16, 3, 0, 0, 0};
    struct pf_gen_exif exif = usual_exif(1);
    struct pf_error err = {0};
    exif.make = make;
    exif.model = model;
    CHECK_OK(pf_gen_picture_write(path, raster->samples, raster->width, raster->height, &encoding,
                                  &exif, &err),
             &err);
    return decode(path);
}

/* Root of the mean squared difference of two pictures' luma, after the mean of each is taken off. */
static double apart(const struct pf_image *a, const struct pf_image *b)
{
    double sum = 0, squares = 0, count = (double)a->width * a->height;
    CHECK_EQ(a->width, b->width);
    CHECK_EQ(a->height, b->height);
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++) {
            const char *row_a = (const char *)a->plane[0] + (size_t)y * a->stride_bytes[0];
            const char *row_b = (const char *)b->plane[0] + (size_t)y * b->stride_bytes[0];
            double off = ((const uint16_t *)row_a)[x] - (double)((const uint16_t *)row_b)[x];
            sum += off;
            squares += off * off;
        }
    return sqrt(squares / count - sum / count * sum / count) / 257;
}

/* Lossless JPEG, which most cameras and converters put into DNG, gives the same to the bit; a strip
 * that breaks off is no picture. */
TEST(raw_in_lossless_jpeg_is_the_same)
{
    struct raster raster = smooth_raster(160, 120, 3, 16);
    struct pf_image *plain =
        through(PF_GEN_DNG, "Parfocal", "Generator", &raster, file_name("a.dng"));
    struct pf_image *lossless =
        through(PF_GEN_LDNG, "Parfocal", "Generator", &raster, file_name("b.dng"));
    CHECK_NEAR(apart(plain, lossless), 0, 1e-9);
    pf_image_free(plain);
    pf_image_free(lossless);
    struct bytes bytes = slurp(file_name("b.dng"));
    struct pf_error err = {0};
    spit(file_name("b.dng"), bytes.data, bytes.size / 2);
    CHECK_EQ(refused(file_name("b.dng"), &err), EBADMSG);
    free(bytes.data);
    free(raster.samples);
}

/* ORF: a head and a packing of its own. Black and white level are what LibRaw knows of the body. */
TEST(raw_of_olympus)
{
    struct raster raster = smooth_raster(160, 120, 3, 16);
    struct pf_image *nef = through(PF_GEN_NEF, "NIKON", "D750", &raster, file_name("a.nef"));
    struct pf_image *orf =
        through(PF_GEN_ORF, "OLYMPUS IMAGING CORP.", "E-M1", &raster, file_name("a.orf"));
    CHECK(apart(nef, orf) < 8);
    pf_image_free(nef);
    pf_image_free(orf);
    free(raster.samples);
}

TEST(raw_keeps_exif_and_names_its_colours)
{
    const char *path = file_name("a.dng");
    struct raster raster = smooth_raster(64, 48, 3, 16);
    write_dng(path, &raster, 1);
    struct pf_image *image = decode(path);
    ExifData *data = pf_exif_parse(&image->exif);
    char text[64];
    static const struct {
        ExifIfd ifd;
        ExifTag tag;
        const char *value;
    } wanted[] = {{EXIF_IFD_0, EXIF_TAG_MAKE, "Parfocal"},
                  {EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, "2026:01:02 03:04:05"},
                  {EXIF_IFD_EXIF, EXIF_TAG_EXPOSURE_TIME, "1/125 sec."}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        ExifEntry *entry = exif_content_get_entry(data->ifd[wanted[i].ifd], wanted[i].tag);
        CHECK(entry);
        CHECK_STR(exif_entry_get_value(entry, text, sizeof(text)), wanted[i].value);
    }
    exif_data_unref(data);
    CHECK(image->icc.size_bytes > 128 && !memcmp(image->icc.bytes + 16, "RGB XYZ ", 8));

    /* The same file gives the same bytes. */
    struct pf_image *again = decode(path);
    CHECK_EQ(again->icc.size_bytes, image->icc.size_bytes);
    CHECK(!memcmp(again->icc.bytes, image->icc.bytes, image->icc.size_bytes));
    pf_image_free(again);
    pf_image_free(image);
    free(raster.samples);
}

/* LibRaw has room for 63 characters of a name, and appends to some. */
TEST(raw_of_a_camera_with_an_endless_name)
{
    static const char *const makes[] = {"HASSELBLAD", "Acme"};
    const char *path = file_name("a.nef");
    struct raster raster = smooth_raster(64, 48, 3, 16);
    for (int length = 40; length <= 63; length += 23)
        for (int i = 0; i < 2; i++) {
            char model[64] = "";
            memset(model, 'X', (size_t)length);
            struct pf_gen_encoding encoding = {PF_GEN_NEF, 16, 3, 0, 0, 0};
            struct pf_gen_exif exif = usual_exif(1);
            struct pf_error err = {0};
            exif.make = makes[i];
            exif.model = model;
            CHECK_OK(pf_gen_picture_write(path, raster.samples, 64, 48, &encoding, &exif, &err),
                     &err);
            CHECK_EQ(refused(path, &err), length > 56 ? EBADMSG : 0);
            CHECK(length <= 56 || strstr(err.text, "the name of its camera"));
        }
    free(raster.samples);
}

TEST(raw_over_the_limit)
{
    const char *path = file_name("a.dng");
    struct raster raster = smooth_raster(64, 48, 3, 16);
    struct pf_error err = {0};
    write_dng(path, &raster, 1);
    const int64_t usual = limits.max_pixels;
    limits.max_pixels = 64 * 48 - 1;
    CHECK_EQ(refused(path, &err), EFBIG);
    CHECK(strstr(err.text, "64 x 48"));
    limits.max_pixels = 64 * 48;
    CHECK_EQ(refused(path, &err), 0);
    limits.max_pixels = usual;
    free(raster.samples);
}

/* Where `pattern` stands in the file for the last time: libtiff has written the directory twice. */
static size_t find(const struct bytes *bytes, const void *pattern, size_t size)
{
    for (size_t at = bytes->size - size; at > 0; at--)
        if (!memcmp(bytes->data + at, pattern, size))
            return at;
    FAIL("the DNG does not have its strips where libtiff puts them");
    return 0;
}

TEST(raw_cut_off)
{
    const char *path = file_name("a.dng");
    struct raster raster = smooth_raster(64, 48, 3, 16);
    struct pf_error err = {0};
    write_dng(path, &raster, 1);
    struct bytes bytes = slurp(path);
    for (size_t size = 0; size < bytes.size; size += 131) {
        spit(path, bytes.data, size);
        if (refused(path, &err) == 0)
            FAIL("%zu of %zu bytes passed for a picture", size, bytes.size);
    }
    /* Its directory is there and part of its picture is not. */
    static const uint8_t strip[12] = {0x11, 0x01, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0};
    size_t at = find(&bytes, strip, sizeof(strip)) + 8;
    uint32_t begin = (uint32_t)bytes.size - 1000;
    for (int b = 0; b < 4; b++)
        bytes.data[at + (size_t)b] = (uint8_t)(begin >> 8 * b);
    spit(path, bytes.data, bytes.size);
    CHECK_EQ(refused(path, &err), EBADMSG);
    free(bytes.data);
    free(raster.samples);
}

TEST(raw_hostile)
{
    const char *path = file_name("a.dng");
    struct raster raster = smooth_raster(64, 48, 3, 16);
    struct pf_error err = {0};
    write_dng(path, &raster, 1);
    struct bytes bytes = slurp(path);
    const char *seed = getenv("PF_TEST_SEED");
    uint32_t random = seed ? (uint32_t)atoi(seed) : 1;
    size_t directory = bytes.size - (size_t)64 * 48 * 2;
    for (int round = 0; round < 200; round++) {
        uint8_t *copy = malloc(bytes.size);
        CHECK(copy);
        memcpy(copy, bytes.data, bytes.size);
        for (int i = 0; i < 1 + round % 6; i++) {
            random = scramble(random + 0x9e3779b9u);
            copy[bytes.size - 1 - random % directory] = (uint8_t)(random >> 24);
        }
        spit(path, copy, bytes.size);
        refused(path, &err); /* or read: the picture's own values may be anything */
        free(copy);
    }
    free(bytes.data);
    free(raster.samples);
}

/* What ended LibRaw, each found by a fuzzer. */
TEST(raw_of_no_camera)
{
    static const struct {
        const char *name, *said;
    } files[] = {{"hasselblad", "the name of its camera is longer than any is"},
                 {"slices", "its picture lies in slices of no width"}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct pf_error err = {0};
        char path[64];
        snprintf(path, sizeof(path), "tests/fuzz/corpus/raw/%s", files[i].name);
        CHECK(refused(path, &err));
        if (!strstr(err.text, files[i].said))
            FAIL("%s: %s", files[i].name, err.text);
    }
}

TEST(raw_of_other_makers_is_told_by_its_content)
{
    static const struct {
        const char *bytes;
        size_t size;
    } heads[] = {{"II*\0\x10\0\0\0CR\2\0\0\0\0\0", 16},
                 {"\0\0\0\x18"
                  "ftypcrx \0\0\0\1crx isom",
                  24},
                 {"FUJIFILMCCD-RAW 0201", 20},
                 {"IIRO\x08\0\0\0\0\0\0\0\0\0", 14},
                 {"IIU\0\x18\0\0\0\0\0\0\0\0\0", 14}};
    struct pf_error err = {0};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        spit(file_name("a.jpg"), heads[i].bytes, heads[i].size);
        int code = refused(file_name("a.jpg"), &err);
        if ((code != ENOTSUP && code != EBADMSG) || !strstr(err.text, "RAW"))
            FAIL("%zu: %s", i, err.text);
    }
}
