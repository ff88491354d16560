/* RAW as makers' own cameras write it: our generator's files, whole, through capture and LibRaw. */
#include "capture/metadata.h"
#include "capture/whole.h"
#include "process/exif.h"
#include "process/thumbnail.h"
#include "tests/unit/raw_files.h"

enum { WIDTH = 200, HEIGHT = 152 };

static const struct kind {
    enum pf_gen_format format;
    const char *name, *extension, *make, *model, *serial;
    double least_db;
    int subsec_ms;  /* the least that the file tells */
    size_t padding; /* bytes after the data */
} kinds[] = {
    {PF_GEN_CR2, "cr2", "cr2", "Canon", "Canon EOS 5D Mark II", "0123456789", 44, 10, 0},
    {PF_GEN_RW2, "rw2", "rw2", "Panasonic", "DMC-G7", "123456789", 44, 1,
     0x2008 - 15 * HEIGHT * 16 % 0x4000},
    {PF_GEN_CR3, "cr3", "cr3", "Canon", "Canon EOS M50", "123456789", 44, 10, 0},
    {PF_GEN_RAF, "raf", "raf", "FUJIFILM", "X-T100", "123456789", 44, 10, 0},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const char *write_kind(const struct kind *kind, const struct raster *raster, int orientation)
{
    static char name[32];
    struct pf_gen_encoding encoding = {kind->format, 16, 3, 0, 0, 0};
    struct pf_gen_exif exif = usual_exif(orientation);
    struct pf_error err = {0};
    exif.make = kind->make;
    exif.model = kind->model;
    exif.serial = "123456789";
    exif.time_ms += 678;
    snprintf(name, sizeof(name), "a.%s", kind->extension);
    const char *path = file_name(name);
    CHECK_OK(pf_gen_picture_write(path, raster->samples, raster->width, raster->height, &encoding,
                                  &exif, &err),
             &err);
    return path;
}

/* White balance, levels, colours, borders, packing and the places of the filter's colours are those of the
 * body, or it could not be near. */
TEST(raw_of_makers_gives_the_picture_back)
{
    for (size_t k = 0; k < KINDS; k++)
        for (int dark = 0; dark < 2; dark++) {
            struct raster raster = smooth_raster(WIDTH, HEIGHT, 3, 16);
            for (int i = 0; dark && i < WIDTH * HEIGHT * 3; i++)
                raster.samples[i] /= 4;
            struct pf_image *image = decode(write_kind(&kinds[k], &raster, 6));
            CHECK_EQ(image->source_bits, 16);
            CHECK_EQ(image->orientation, 6);
            double psnr = psnr_db(image, &raster);
            printf("# %s, %s picture: %.1f dB\n", kinds[k].name, dark ? "dark" : "bright", psnr);
            CHECK(psnr > kinds[k].least_db);
            pf_image_free(image);
            free(raster.samples);
        }
}

static void check_comes_back(const struct kind *kind, int width, int height, int orientation)
{
    struct raster raster = smooth_raster(width, height, 3, 16);
    struct pf_image *image = decode(write_kind(kind, &raster, orientation));
    CHECK_EQ(image->orientation, orientation);
    double psnr = psnr_db(image, &raster);
    printf("# %s: %.1f dB\n", kind->model, psnr);
    CHECK(psnr > 44);
    pf_image_free(image);
    free(raster.samples);
}

/* As a real body's: by its size LibRaw knows the border, and takes black from what was kept dark there. */
TEST(raw_of_canon_at_its_sensors_size)
{
    static const struct kind kind = {.format = PF_GEN_CR2,
                                     .extension = "cr2",
                                     .make = "Canon",
                                     .model = "Canon EOS 350D DIGITAL"};
    check_comes_back(&kind, 3474, 2314, 3);
}

/* The filter of 6 x 6, which LibRaw takes from 512 pixels on. */
TEST(raw_of_fujifilm_xtrans)
{
    static const struct kind kind = {PF_GEN_RAF, "", "raf", "FUJIFILM", "X-T1", "", 0, 0, 0};
    check_comes_back(&kind, 640, 520, 8);
}

TEST(raw_of_makers_keeps_exif)
{
    for (size_t k = 0; k < KINDS; k++) {
        struct raster raster = smooth_raster(WIDTH, HEIGHT, 3, 16);
        struct pf_image *image = decode(write_kind(&kinds[k], &raster, 1));
        ExifData *data = pf_exif_parse(&image->exif);
        const struct {
            ExifIfd ifd;
            ExifTag tag;
            const char *value;
        } wanted[] = {{EXIF_IFD_0, EXIF_TAG_MAKE, kinds[k].make},
                      {EXIF_IFD_0, EXIF_TAG_MODEL, kinds[k].model},
                      {EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, "2026:01:02 03:04:05"},
                      {EXIF_IFD_EXIF, EXIF_TAG_EXPOSURE_TIME, "1/125 sec."},
                      {EXIF_IFD_EXIF, EXIF_TAG_FNUMBER, "f/5.6"},
                      {EXIF_IFD_EXIF, EXIF_TAG_ISO_SPEED_RATINGS, "200"},
                      {EXIF_IFD_EXIF, EXIF_TAG_FOCAL_LENGTH, "100.0 mm"},
                      {EXIF_IFD_EXIF, EXIF_TAG_LENS_MODEL, "Macro 100mm F2.8"}};
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
            char text[64] = "";
            ExifEntry *entry = exif_content_get_entry(data->ifd[wanted[i].ifd], wanted[i].tag);
            if (!entry || strcmp(exif_entry_get_value(entry, text, sizeof(text)), wanted[i].value))
                FAIL("%s: tag %#x is \"%s\"", kinds[k].name, wanted[i].tag, text);
        }
        exif_data_unref(data);
        pf_image_free(image);
        free(raster.samples);
    }
}

/* The mean of the luma about a place in 0..1, of 255. */
static double luma_at(const struct pf_image *image, double u, double v)
{
    double sum = 0;
    int x = (int)(u * image->width), y = (int)(v * image->height);
    for (int j = -2; j <= 2; j++) {
        const char *row = (const char *)image->plane[0] + (size_t)(y + j) * image->stride_bytes[0];
        for (int i = -2; i <= 2; i++)
            sum += image->bits == 8 ? ((const uint8_t *)row)[x + i]
                                    : ((const uint16_t *)row)[x + i] / 257.0;
    }
    return sum / 25;
}

/* The preview that the camera has put into the file, upright. */
TEST(raw_of_makers_has_a_preview)
{
    for (size_t k = 0; k < KINDS; k++) {
        struct raster raster = smooth_raster(640, 480, 3, 16);
        const char *path = strdup(write_kind(&kinds[k], &raster, 6));
        struct pf_error err = {0};
        json_t *facts = NULL;
        CHECK(path);
        CHECK_EQ(pf_thumbnail_before(path, file_name("p"), &limits, &facts, &err), 1);
        CHECK_EQ(json_integer_value(json_object_get(facts, "width")), 120);
        CHECK_EQ(json_integer_value(json_object_get(facts, "height")), 160);
        const char *made = json_string_value(json_object_get(facts, "path"));
        struct pf_image *preview = decode(made), *image = decode(path);
        for (int i = 0; i < 9; i++) {
            double u = 0.1 + 0.4 * (i % 3), v = 0.1 + 0.4 * (i / 3);
            CHECK_NEAR(luma_at(preview, 1 - v, u), luma_at(image, u, v), 6);
        }
        unlink(made);
        pf_image_free(preview);
        pf_image_free(image);
        json_decref(facts);
        free((void *)path);
        free(raster.samples);
    }
}

static struct pf_whole whole_of(struct pf_bytes *source, const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that a sanitizer sees any read behind it. */
    struct pf_whole whole;
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy);
    memcpy(copy, data, size);
    pf_bytes_of_memory(source, copy, size);
    CHECK_EQ(pf_whole_check(source, &whole), 0);
    free(copy);
    return whole;
}

TEST(raw_of_makers_is_whole_when_all_is_there)
{
    struct pf_bytes *source = malloc(sizeof(*source));
    CHECK(source);
    for (size_t k = 0; k < KINDS; k++) {
        struct raster raster = smooth_raster(WIDTH, HEIGHT, 3, 16);
        struct bytes bytes = slurp(write_kind(&kinds[k], &raster, 1));
        struct pf_whole whole = whole_of(source, bytes.data, bytes.size);
        CHECK_STR(whole.reason, "");
        CHECK_STR(whole.format, kinds[k].extension);
        CHECK_EQ(whole.width, WIDTH);
        CHECK_EQ(whole.height, HEIGHT);
        CHECK(!whole.trailer_missing && !whole.hollow);
        size_t end = bytes.size - kinds[k].padding;
        for (size_t size = 0; size < end; size += size < 600 || size + 100 > end ? 1 : 83) {
            whole = whole_of(source, bytes.data, size);
            if (whole.state != PF_WHOLE_NOT_YET)
                FAIL("%s: %zu of %zu bytes: state %d, %s", kinds[k].name, size, bytes.size,
                     whole.state, whole.reason);
        }
        CHECK_EQ(whole_of(source, bytes.data, end).state, PF_WHOLE_YES);
        free(bytes.data);
        free(raster.samples);
    }
    free(source);
}

/* Older bodies have a small preview, and the sensor's directory does not say its size. */
TEST(raw_of_canon_with_a_small_preview)
{
    struct raster raster = smooth_raster(WIDTH, HEIGHT, 3, 16);
    struct bytes bytes = slurp(write_kind(&kinds[0], &raster, 1));
    struct pf_bytes *source = malloc(sizeof(*source));
    CHECK(source);
    bytes.data[16 + 2 + 8] = 96; /* ImageWidth and ImageLength, the first in the first directory */
    bytes.data[16 + 2 + 12 + 8] = 64;
    struct pf_whole whole = whole_of(source, bytes.data, bytes.size);
    CHECK_EQ(whole.width, WIDTH);
    CHECK_EQ(whole.height, HEIGHT);
    free(source);
    free(bytes.data);
    free(raster.samples);
}

/* What Panasonic has in tags of its own: where the picture lies within the sensor, and the ISO speed, which
 * otherwise comes from the EXIF of the JPEG within. */
TEST(raw_of_panasonic_by_its_own_tags)
{
    static const int speeds[] = {200, 102400};
    struct pf_bytes *source = malloc(sizeof(*source));
    CHECK(source);
    for (int i = 0; i < 2; i++) {
        struct raster raster = smooth_raster(WIDTH, HEIGHT, 3, 16);
        struct pf_record *record = calloc(1, sizeof(*record));
        struct pf_gen_encoding encoding = {PF_GEN_RW2, 16, 3, 0, 0, 0};
        struct pf_gen_exif exif = usual_exif(1);
        struct pf_error err = {0};
        struct pf_whole whole;
        CHECK(record);
        exif.iso = speeds[i];
        CHECK_OK(pf_gen_picture_write(file_name("a.rw2"), raster.samples, WIDTH, HEIGHT, &encoding,
                                      &exif, &err),
                 &err);
        struct bytes bytes = slurp(file_name("a.rw2"));
        uint8_t *block = memmem(bytes.data, bytes.size, "Exif\0", 6);
        CHECK(block);
        block[0] = '_';
        for (int k = 0; k < 2; k++) /* SensorTopBorder, SensorLeftBorder */
            bytes.data[24 + 2 + 12 * (3 + k) + 8] = (uint8_t)(4 + 2 * k);
        pf_bytes_of_memory(source, bytes.data, bytes.size);
        CHECK_EQ(pf_whole_check(source, &whole), 0);
        CHECK_EQ(whole.width, WIDTH - 6);
        CHECK_EQ(whole.height, HEIGHT - 4);
        CHECK_OK(pf_metadata_read(source, &whole, record, &err), &err);
        CHECK_EQ(record->iso, speeds[i]);
        CHECK_EQ(record->capture_ms, 1767323045000);
        pf_record_free(record);
        free(bytes.data);
        free(raster.samples);
    }
    free(source);
}

TEST(raw_of_makers_tells_its_record)
{
    struct pf_bytes *source = malloc(sizeof(*source));
    CHECK(source);
    for (size_t k = 0; k < KINDS; k++) {
        struct raster raster = smooth_raster(WIDTH, HEIGHT, 3, 16);
        struct bytes bytes = slurp(write_kind(&kinds[k], &raster, 8));
        struct pf_record *record = calloc(1, sizeof(*record));
        struct pf_error err = {0};
        struct pf_whole whole;
        CHECK(record);
        pf_bytes_of_memory(source, bytes.data, bytes.size);
        CHECK_EQ(pf_whole_check(source, &whole), 0);
        CHECK_OK(pf_metadata_read(source, &whole, record, &err), &err);
        CHECK_STR(record->make, kinds[k].make);
        CHECK_STR(record->model, kinds[k].model);
        CHECK_STR(record->serial, kinds[k].serial);
        CHECK_STR(record->lens, "Macro 100mm F2.8");
        CHECK_EQ(record->orientation, 8);
        CHECK_EQ(record->capture_ms, 1767323045678 / kinds[k].subsec_ms * kinds[k].subsec_ms);
        CHECK_EQ(record->iso, 200);
        CHECK_NEAR(record->focal_mm, 100, 1e-6);
        CHECK_NEAR(record->f_number, 5.6, 1e-6);
        CHECK_NEAR(record->exposure_s, 1 / 125.0, 1e-6);
        pf_record_free(record);
        free(bytes.data);
        free(raster.samples);
    }
    free(source);
}

TEST(raw_of_makers_cut_off)
{
    for (size_t k = 0; k < KINDS; k++) {
        struct raster raster = smooth_raster(WIDTH, HEIGHT, 3, 16);
        const char *path = write_kind(&kinds[k], &raster, 1);
        struct bytes bytes = slurp(path);
        struct pf_error err = {0};
        size_t end = bytes.size - kinds[k].padding - 2;
        for (size_t size = 0; size < end; size += bytes.size / 61) {
            spit(path, bytes.data, size);
            if (refused(path, &err) == 0)
                FAIL("%s: %zu of %zu bytes passed for a picture", kinds[k].name, size, bytes.size);
        }
        free(bytes.data);
        free(raster.samples);
    }
}

/* Changed in its structure or among the first of its data: read or refused, no crash. */
TEST(raw_of_makers_hostile)
{
    const char *seed = getenv("PF_TEST_SEED");
    uint32_t random = seed ? (uint32_t)atoi(seed) : 1;
    struct pf_bytes *source = malloc(sizeof(*source));
    CHECK(source);
    for (size_t k = 0; k < KINDS; k++) {
        struct raster raster = smooth_raster(64, 64, 3, 16);
        const char *path = write_kind(&kinds[k], &raster, 1);
        struct bytes bytes = slurp(path), copy = slurp(path);
        struct pf_error err = {0};
        for (int round = 0; round < 80; round++) {
            memcpy(copy.data, bytes.data, bytes.size);
            for (int i = 0; i < 1 + round % 6; i++) {
                random = scramble(random + 0x9e3779b9u);
                size_t reach = round % 2 ? bytes.size : 700;
                copy.data[random % reach] = (uint8_t)(random >> 24);
            }
            spit(path, copy.data, copy.size);
            refused(path, &err);
            struct pf_record *record = calloc(1, sizeof(*record));
            struct pf_whole whole = whole_of(source, copy.data, copy.size);
            pf_bytes_of_memory(source, copy.data, copy.size);
            CHECK(record);
            CHECK_OK(pf_metadata_read(source, &whole, record, &err), &err);
            pf_record_free(record);
        }
        free(copy.data);
        free(bytes.data);
        free(raster.samples);
    }
    free(source);
}
