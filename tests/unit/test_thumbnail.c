/* Thumbnails: by which way they come, that they show the picture, and the right way up. */
#include "process/thumbnail.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <libexif/exif-data.h>
#include <libexif/exif-mem.h>

#include "config/base/jsonl.h"
#include "tests/gen/picture.h"
#include "tests/unit/decoded.h"

static void write_jpeg_of(const char *path, const struct raster *raster)
{
    struct jpeg_kind kind = {.h = raster->channels == 3 ? 2 : 1,
                             .v = raster->channels == 3 ? 2 : 1};
    write_jpeg(path, raster, &kind);
}

static int luma(const struct pf_image *image, double x, double y)
{
    int column = (int)(x * (image->width - 1)), row = (int)(y * (image->height - 1));
    const uint8_t *at = (const uint8_t *)image->plane[0] + (size_t)row * image->stride_bytes[0];
    return image->bits == 8 ? at[column] : ((const uint16_t *)(const void *)at)[column] >> 8;
}

/* The JPEG at `path` of that size shows what `whole` does; it goes. */
static void check_shows(const char *path, int width, int height, const struct pf_image *whole)
{
    struct pf_image *image = decode(path);
    CHECK_EQ(image->width, width);
    CHECK_EQ(image->height, height);
    CHECK_EQ(image->orientation, 1);
    for (int k = 0; k < 9; k++) {
        double x = 0.1 + 0.4 * (k % 3), y = 0.1 + 0.4 * (k / 3);
        CHECK_NEAR(luma(image, x, y), luma(whole, x, y), 8);
    }
    CHECK_EQ(image->planes, whole->planes);
    pf_image_free(image);
    CHECK_EQ(unlink(path), 0);
}

/* "before" comes with `expected`, 1 or -ENODATA. */
static void check_both(const char *path, int expected, int small_width, int small_height,
                       int large_width, int large_height)
{
    struct pf_error err = {0};
    json_t *facts = NULL;
    char prefix[4096], small[4200], large[4200];
    snprintf(prefix, sizeof(prefix), "%s-thumb", path);
    snprintf(small, sizeof(small), "%s.small.jpg", prefix);
    snprintf(large, sizeof(large), "%s.jpg", prefix);
    struct pf_image *whole = decode(path);
    CHECK_EQ(pf_thumbnail_before(path, prefix, &limits, &facts, &err), expected);
    if (expected < 0)
        CHECK_EQ(pf_thumbnail_after(whole, prefix, PF_THUMBNAIL_IS_SMALL, &facts, &err), 1);
    CHECK_STR(json_string_value(json_object_get(facts, "path")), small);
    CHECK_EQ(json_integer_value(json_object_get(facts, "width")), small_width);
    CHECK_EQ(json_integer_value(json_object_get(facts, "height")), small_height);
    json_decref(facts);
    CHECK_EQ(pf_thumbnail_before(path, prefix, &limits, &facts, &err), 0); /* it is there */
    CHECK_EQ(pf_thumbnail_after(whole, prefix, PF_THUMBNAIL_IS_LARGE, &facts, &err), 1);
    CHECK_STR(json_string_value(json_object_get(facts, "size")), "large");
    json_decref(facts);
    check_shows(small, small_width, small_height, whole);
    check_shows(large, large_width, large_height, whole);
    /* One that stays coded has brought a small picture for it. */
    struct pf_decode_limits coding = limits;
    struct pf_image *coded = NULL;
    coding.coded_side = PF_THUMBNAIL_LARGE;
    CHECK_OK(pf_image_decode(&coded, path, &coding, &err), &err);
    CHECK_EQ(pf_thumbnail_after(coded, prefix, PF_THUMBNAIL_IS_LARGE, &facts, &err), 1);
    json_decref(facts);
    check_shows(large, large_width, large_height, whole);
    CHECK(!coded->coded || !coded->coded->decoded);
    pf_image_free(coded);
    pf_image_free(whole);
}

TEST(thumbnails_of_every_kind)
{
    struct raster colour = smooth_raster(1200, 900, 3, 8), grey = smooth_raster(1200, 900, 1, 8);
    struct raster deep = smooth_raster(900, 1200, 3, 16), tiny = smooth_raster(90, 50, 3, 8);
    const char *jpeg = strdup(file_name("a.jpg"));
    write_jpeg_of(jpeg, &colour);
    check_both(jpeg, 1, 160, 120, 800, 600);
    write_jpeg_of(jpeg, &grey);
    check_both(jpeg, 1, 160, 120, 800, 600);
    write_jpeg_of(jpeg, &tiny); /* nothing is enlarged */
    check_both(jpeg, 1, 90, 50, 90, 50);
    const char *png = strdup(file_name("a.png"));
    write_png(png, &deep, PNG_COLOR_TYPE_RGB, 16, false);
    check_both(png, -ENODATA, 120, 160, 600, 800);
    const char *tiff = strdup(file_name("a.tif"));
    struct tiff_kind kind = {.photometric = -1};
    write_tiff(tiff, &deep, &kind);
    check_both(tiff, -ENODATA, 120, 160, 600, 800);
    free((char *)jpeg);
    free((char *)png);
    free((char *)tiff);
    free(colour.samples);
    free(grey.samples);
    free(deep.samples);
    free(tiny.samples);
}

/* Writes the picture with an EXIF block that has this thumbnail and orientation. */
static void write_with_thumbnail(const char *path, const struct raster *raster,
                                 const char *thumbnail, int orientation)
{
    struct bytes small = slurp(thumbnail);
    ExifMem *mem = exif_mem_new_default();
    ExifData *data = exif_data_new();
    ExifEntry *entry = exif_entry_new();
    unsigned char *block = NULL;
    unsigned size = 0;
    exif_data_set_byte_order(data, EXIF_BYTE_ORDER_INTEL);
    exif_content_add_entry(data->ifd[EXIF_IFD_0], entry);
    exif_entry_initialize(entry, EXIF_TAG_ORIENTATION);
    exif_set_short(entry->data, EXIF_BYTE_ORDER_INTEL, (ExifShort)orientation);
    exif_entry_unref(entry);
    data->data = exif_mem_alloc(mem, (ExifLong)small.size);
    memcpy(data->data, small.data, small.size);
    data->size = (unsigned)small.size;
    exif_data_save_data(data, &block, &size);
    struct jpeg_kind kind = {.h = 2, .v = 2, .exif = block, .exif_bytes = size};
    write_jpeg(path, raster, &kind);
    free(block);
    exif_data_unref(data);
    exif_mem_unref(mem);
    free(small.data);
}

/* The thumbnail in the EXIF is taken when it has the picture's shape and size enough. */
TEST(thumbnail_of_the_exif_is_taken_if_it_is_sane)
{
    static const struct {
        int width, height;
        bool taken;
    } cases[] = {{160, 120, true}, {320, 240, true}, {160, 107, false}, {80, 60, false}};
    struct raster picture = smooth_raster(1200, 900, 3, 8);
    char path[4200], thumbnail[4200];
    snprintf(path, sizeof(path), "%s", file_name("a.jpg"));
    snprintf(thumbnail, sizeof(thumbnail), "%s", file_name("t.jpg"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct raster dark = smooth_raster(cases[i].width, cases[i].height, 3, 8);
        size_t count = (size_t)dark.width * (size_t)dark.height * 3;
        memset(dark.samples, 0, count * 2); /* told from the picture by being black */
        write_jpeg_of(thumbnail, &dark);
        write_with_thumbnail(path, &picture, thumbnail, 6);
        struct pf_image *image = NULL;
        struct pf_error err = {0};
        CHECK_OK(pf_image_decode_quickly(&image, path, PF_THUMBNAIL_SMALL, &limits, &err), &err);
        CHECK_EQ(luma(image, 0.5, 0.5) < 8, cases[i].taken);
        CHECK_EQ(image->orientation, 6);
        CHECK(image->width >= 160 && image->width <= 320);
        pf_image_free(image);
        json_t *facts = NULL;
        CHECK_EQ(pf_thumbnail_before(path, file_name("p"), &limits, &facts, &err), 1);
        CHECK_EQ(json_integer_value(json_object_get(facts, "width")), 120);
        CHECK_EQ(json_integer_value(json_object_get(facts, "height")), 160);
        unlink(json_string_value(json_object_get(facts, "path")));
        json_decref(facts);
        free(dark.samples);
    }
    free(picture.samples);
}

static void put_number(FILE *file, uint32_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        fputc((int)(number >> 8 * i & 255), file);
}

static uint32_t number_at(const uint8_t *at, int bytes)
{
    return bytes ? number_at(at + 1, bytes - 1) << 8 | at[0] : 0;
}

/* Chains a directory with a preview behind the only one of a RAW file that is shaped like a TIFF. */
static void add_preview(const char *path, const char *preview)
{
    static const uint32_t tags[4][2] = {{254, 1}, {259, 6}, {513, 0}, {514, 0}};
    struct bytes raw = slurp(path), small = slurp(preview);
    uint32_t first = number_at(raw.data + 4, 4);
    uint32_t next = first + 2 + 12 * number_at(raw.data + first, 2);
    uint32_t at = (uint32_t)(raw.size + small.size);
    for (int i = 0; i < 4; i++)
        raw.data[next + (uint32_t)i] = (uint8_t)(at >> 8 * i);
    FILE *file = fopen(path, "wb");
    fwrite(raw.data, 1, raw.size, file);
    fwrite(small.data, 1, small.size, file);
    put_number(file, 4, 2);
    for (int i = 0; i < 4; i++) {
        put_number(file, tags[i][0], 2);
        put_number(file, 4, 2);
        put_number(file, 1, 4);
        put_number(file,
                   i == 2   ? (uint32_t)raw.size
                   : i == 3 ? (uint32_t)small.size
                            : tags[i][1],
                   4);
    }
    put_number(file, 0, 4);
    CHECK_EQ(fclose(file), 0);
    free(raw.data);
    free(small.data);
}

/* NEF and ARW: the preview of the file, which is told from its picture by being black, turned as the
 * camera was held; without one there is no short way. */
TEST(thumbnail_of_a_raw_is_its_preview)
{
    static const enum pf_gen_format formats[] = {PF_GEN_NEF, PF_GEN_ARW};
    struct raster picture = smooth_raster(640, 480, 3, 16), dark = smooth_raster(320, 240, 3, 8);
    char path[4200], preview[4200];
    snprintf(path, sizeof(path), "%s", file_name("a.nef"));
    snprintf(preview, sizeof(preview), "%s", file_name("p.jpg"));
    memset(dark.samples, 0, (size_t)320 * 240 * 3 * 2);
    write_jpeg_of(preview, &dark);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct pf_gen_encoding encoding = {formats[i], 16, 3, 0, 0, 0};
        struct pf_gen_exif exif = {.present = true,
                                   .orientation = 6,
                                   .make = formats[i] == PF_GEN_NEF ? "NIKON CORPORATION" : "SONY",
                                   .model = formats[i] == PF_GEN_NEF ? "NIKON D850" : "ILCE-7M2"};
        struct pf_error err = {0};
        json_t *facts = NULL;
        CHECK_OK(pf_gen_picture_write(path, picture.samples, 640, 480, &encoding, &exif, &err),
                 &err);
        CHECK_EQ(pf_thumbnail_before(path, file_name("p"), &limits, &facts, &err), -ENODATA);
        add_preview(path, preview);
        struct pf_error none = {0};
        int r = pf_thumbnail_before(path, file_name("p"), &limits, &facts, &none);
        CHECK_OK(r < 0 ? r : 0, &none);
        CHECK_EQ(json_integer_value(json_object_get(facts, "width")), 120);
        CHECK_EQ(json_integer_value(json_object_get(facts, "height")), 160);
        const char *made = json_string_value(json_object_get(facts, "path"));
        struct pf_image *image = decode(made), *whole = decode(path);
        CHECK(luma(image, 0.5, 0.5) < 8);
        CHECK(luma(whole, 0.5, 0.5) > 60);
        CHECK_EQ(whole->orientation, 6);
        CHECK_EQ(whole->width, 640);
        pf_image_free(image);
        pf_image_free(whole);
        unlink(made);
        json_decref(facts);
    }
    free(picture.samples);
    free(dark.samples);
}

/* It takes the memory that decoding does, and is decoded at the same time. */
TEST(progressive_jpeg_has_no_short_way)
{
    struct raster picture = smooth_raster(600, 400, 3, 8);
    struct pf_error err = {0};
    json_t *facts = NULL;
    for (int progressive = 0; progressive < 2; progressive++) {
        struct jpeg_kind kind = {.progressive = progressive};
        write_jpeg(file_name("a.jpg"), &picture, &kind);
        CHECK_EQ(pf_thumbnail_before(file_name("a.jpg"), file_name("p"), &limits, &facts, &err),
                 progressive ? -ENODATA : 1);
        if (facts)
            unlink(json_string_value(json_object_get(facts, "path")));
    }
    json_decref(facts);
    free(picture.samples);
}

TEST(thumbnail_of_what_is_no_picture)
{
    struct pf_error err = {0};
    json_t *facts = NULL;
    struct raster picture = smooth_raster(600, 400, 3, 8);
    char path[4200];
    snprintf(path, sizeof(path), "%s", file_name("a.jpg"));
    write_jpeg_of(path, &picture);
    struct bytes whole = slurp(path);
    spit(path, whole.data, whole.size / 2);
    CHECK_EQ(pf_thumbnail_before(path, file_name("p"), &limits, &facts, &err), -EBADMSG);
    spit(path, "no picture", 10);
    CHECK_EQ(pf_thumbnail_before(path, file_name("p"), &limits, &facts, &err), -ENODATA);
    spit(path, "", 0);
    CHECK(pf_thumbnail_before(path, file_name("p"), &limits, &facts, &err) < 0);
    CHECK(!facts);
    free(whole.data);
    free(picture.samples);
}
