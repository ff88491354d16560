/* What a picture carries beside its samples, through every format: EXIF, profiles, and what has none. */
#include <lcms2.h>
#include <libexif/exif-data.h>
#include <libexif/exif-utils.h>

#include "process/codec.h"
#include "process/codec_format.h"
#include "process/convert.h"
#include "process/exif.h"
#include "process/profile.h"
#include "tests/unit/encoded.h"

/* A profile that passes libpng's checks: header, one tag, and much of nothing (several segments). */
static struct bytes make_profile(bool colour)
{
    struct bytes icc = {calloc(1, 100000), 100000};
    static const uint8_t d50[12] = {0, 0, 0xf6, 0xd6, 0, 1, 0, 0, 0, 0, 0xd3, 0x2d};
    CHECK(icc.data);
    icc.data[1] = 1, icc.data[2] = 0x86, icc.data[3] = 0xa0;
    icc.data[8] = 2;
    memcpy(icc.data + 12, colour ? "mntrRGB XYZ " : "mntrGRAYXYZ ", 12);
    memcpy(icc.data + 36, "acsp", 4);
    memcpy(icc.data + 68, d50, 12);
    icc.data[131] = 1;
    memcpy(icc.data + 132, "desc\0\0\0\x90\0\1\x85\0", 12);
    for (size_t i = 144; i < icc.size; i++)
        icc.data[i] = (uint8_t)scramble((uint32_t)i);
    return icc;
}

static void put(ExifData *data, ExifIfd ifd, ExifTag tag, ExifFormat format, unsigned components,
                const void *bytes, unsigned size)
{
    ExifEntry *entry = exif_entry_new();
    entry->tag = tag;
    entry->format = format;
    entry->components = components;
    entry->size = size;
    entry->data = malloc(size);
    memcpy(entry->data, bytes, size);
    exif_content_add_entry(data->ifd[ifd], entry);
    exif_entry_unref(entry);
}

/* An APP1 payload with "Exif\0\0". Byte order: Intel. */
static struct bytes make_exif(int orientation)
{
    ExifData *data = exif_data_new();
    struct bytes exif = {0};
    unsigned size = 0;
    exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
    exif_data_set_byte_order(data, EXIF_BYTE_ORDER_INTEL);
    uint8_t turned[2] = {(uint8_t)orientation, 0}, iso[2] = {200, 0};
    uint8_t exposure[8] = {1, 0, 0, 0, 125, 0, 0, 0}, f_number[8] = {56, 0, 0, 0, 10, 0, 0, 0};
    uint8_t latitude[24] = {47, 0, 0, 0, 1, 0, 0, 0, 22, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1};
    put(data, EXIF_IFD_0, EXIF_TAG_MAKE, EXIF_FORMAT_ASCII, 5, "Acme", 5);
    put(data, EXIF_IFD_0, EXIF_TAG_MODEL, EXIF_FORMAT_ASCII, 7, "Camera", 7);
    put(data, EXIF_IFD_0, EXIF_TAG_ORIENTATION, EXIF_FORMAT_SHORT, 1, turned, 2);
    put(data, EXIF_IFD_0, EXIF_TAG_SOFTWARE, EXIF_FORMAT_ASCII, 4, "1.0", 4);
    put(data, EXIF_IFD_0, EXIF_TAG_IMAGE_WIDTH, EXIF_FORMAT_SHORT, 1, "\50\0", 2);
    put(data, EXIF_IFD_0, EXIF_TAG_COMPRESSION, EXIF_FORMAT_SHORT, 1, "\6\0", 2);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_EXPOSURE_TIME, EXIF_FORMAT_RATIONAL, 1, exposure, 8);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_FNUMBER, EXIF_FORMAT_RATIONAL, 1, f_number, 8);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_ISO_SPEED_RATINGS, EXIF_FORMAT_SHORT, 1, iso, 2);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, EXIF_FORMAT_ASCII, 20,
        "2026:01:02 03:04:05", 20);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_SUB_SEC_TIME_ORIGINAL, EXIF_FORMAT_ASCII, 4, "123", 4);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_FILE_SOURCE, EXIF_FORMAT_UNDEFINED, 1, "\003", 1);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_MAKER_NOTE, EXIF_FORMAT_UNDEFINED, 30,
        "SECRET with offsets of its own", 30);
    uint8_t area[8] = {20, 0, 15, 0, 10, 0, 8, 0}, depth[8] = {31, 0, 0, 0, 2, 0, 0, 0};
    put(data, EXIF_IFD_EXIF, EXIF_TAG_SUBJECT_AREA, EXIF_FORMAT_SHORT, 4, area, 8);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_SUBJECT_LOCATION, EXIF_FORMAT_SHORT, 2, area, 4);
    put(data, EXIF_IFD_GPS, (ExifTag)EXIF_TAG_GPS_VERSION_ID, EXIF_FORMAT_BYTE, 4, "\2\3\0\0", 4);
    put(data, EXIF_IFD_GPS, (ExifTag)EXIF_TAG_GPS_ALTITUDE_REF, EXIF_FORMAT_BYTE, 1, "\1", 1);
    put(data, EXIF_IFD_GPS, (ExifTag)EXIF_TAG_GPS_ALTITUDE, EXIF_FORMAT_RATIONAL, 1, depth, 8);
    put(data, EXIF_IFD_GPS, (ExifTag)EXIF_TAG_GPS_LATITUDE_REF, EXIF_FORMAT_ASCII, 2, "N", 2);
    put(data, EXIF_IFD_GPS, (ExifTag)EXIF_TAG_GPS_LATITUDE, EXIF_FORMAT_RATIONAL, 3, latitude, 24);
    data->size = 3000;
    data->data = calloc(1, 3000);
    exif_data_save_data(data, &exif.data, &size);
    exif.size = size;
    exif_data_unref(data);
    return exif;
}

static ExifData *parse(const struct pf_image *image)
{
    uint8_t *bytes = malloc(image->exif.size_bytes + 6);
    memcpy(bytes, "Exif\0\0", 6);
    memcpy(bytes + 6, image->exif.bytes, image->exif.size_bytes);
    ExifData *data = exif_data_new();
    exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
    exif_data_load_data(data, bytes, (unsigned)image->exif.size_bytes + 6);
    free(bytes);
    return data;
}

static const char *value(ExifData *data, ExifIfd ifd, ExifTag tag)
{
    static char text[200];
    ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], tag);
    return entry ? exif_entry_get_value(entry, text, sizeof(text)) : NULL;
}

/* Numbers that belong to an entry, in order; their count. */
static int shorts(ExifData *data, ExifIfd ifd, ExifTag tag, int ret[4])
{
    ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], tag);
    int count = entry ? (int)entry->components : 0;
    for (int i = 0; i < count && i < 4; i++)
        ret[i] = entry->format == EXIF_FORMAT_SHORT
                     ? exif_get_short(entry->data + 2 * i, exif_data_get_byte_order(data))
                     : entry->data[i];
    return count;
}

TEST(metadata_survives_in_every_format)
{
    struct raster raster = smooth_raster(40, 30, 3, 8);
    struct bytes icc = make_profile(true), exif = make_exif(6);
    struct jpeg_kind kind = {.h = 2,
                             .v = 2,
                             .exif = exif.data,
                             .exif_bytes = (unsigned)exif.size,
                             .icc = icc.data,
                             .icc_bytes = (unsigned)icc.size};
    write_jpeg(file_name("a.jpg"), &raster, &kind);
    struct pf_image *image = decode(file_name("a.jpg"));
    CHECK_EQ(image->orientation, 6);
    CHECK_EQ(image->icc.size_bytes, icc.size);
    CHECK_EQ(memcmp(image->icc.bytes, icc.data, icc.size), 0);

    for (int k = 0; k < 3; k++) {
        encode(image, file_name("out"), formats[k], formats[k] == PF_FORMAT_JPEG ? 8 : 16, 1);
        struct pf_image *again = decode(file_name("out"));
        CHECK_EQ(again->orientation, 1);
        CHECK_EQ(again->width, 30);
        CHECK_EQ(again->height, 40);
        CHECK_EQ(again->icc.size_bytes, icc.size);
        CHECK_EQ(memcmp(again->icc.bytes, icc.data, icc.size), 0);
        ExifData *data = parse(again);
        CHECK_STR(value(data, EXIF_IFD_0, EXIF_TAG_MAKE), "Acme");
        CHECK_STR(value(data, EXIF_IFD_0, EXIF_TAG_MODEL), "Camera");
        CHECK_STR(value(data, EXIF_IFD_0, EXIF_TAG_SOFTWARE), "parfocal");
        CHECK_STR(value(data, EXIF_IFD_EXIF, EXIF_TAG_EXPOSURE_TIME), "1/125 sec.");
        CHECK_STR(value(data, EXIF_IFD_EXIF, EXIF_TAG_FNUMBER), "f/5.6");
        CHECK_STR(value(data, EXIF_IFD_EXIF, EXIF_TAG_ISO_SPEED_RATINGS), "200");
        CHECK_STR(value(data, EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL), "2026:01:02 03:04:05");
        CHECK_STR(value(data, EXIF_IFD_EXIF, EXIF_TAG_SUB_SEC_TIME_ORIGINAL), "123");
        CHECK_STR(value(data, EXIF_IFD_EXIF, EXIF_TAG_FILE_SOURCE), "DSC");
        CHECK_STR(value(data, EXIF_IFD_EXIF, EXIF_TAG_PIXEL_X_DIMENSION), "30");
        CHECK_STR(value(data, EXIF_IFD_EXIF, EXIF_TAG_PIXEL_Y_DIMENSION), "40");
        if (formats[k] != PF_FORMAT_TIFF) { /* whose own these are */
            CHECK(value(data, EXIF_IFD_0, EXIF_TAG_IMAGE_WIDTH) == NULL);
            CHECK(value(data, EXIF_IFD_0, EXIF_TAG_COMPRESSION) == NULL);
        }
        CHECK(value(data, EXIF_IFD_GPS, (ExifTag)EXIF_TAG_GPS_LATITUDE) != NULL);
        int numbers[4] = {0};
        CHECK_EQ(shorts(data, EXIF_IFD_EXIF, EXIF_TAG_SUBJECT_AREA, numbers), 4);
        CHECK(numbers[0] == 20 && numbers[1] == 15 && numbers[2] == 10 && numbers[3] == 8);
        CHECK_EQ(shorts(data, EXIF_IFD_EXIF, EXIF_TAG_SUBJECT_LOCATION, numbers), 2);
        CHECK(numbers[0] == 20 && numbers[1] == 15);
        CHECK_EQ(shorts(data, EXIF_IFD_GPS, (ExifTag)EXIF_TAG_GPS_ALTITUDE_REF, numbers), 1);
        CHECK_EQ(numbers[0], 1); /* below the sea */
        CHECK_EQ(shorts(data, EXIF_IFD_GPS, (ExifTag)EXIF_TAG_GPS_VERSION_ID, numbers), 4);
        CHECK(numbers[0] == 2 && numbers[1] == 3);
        CHECK(value(data, EXIF_IFD_EXIF, EXIF_TAG_MAKER_NOTE) == NULL);
        CHECK_EQ(data->size, 0);
        CHECK_EQ(data->ifd[EXIF_IFD_1]->count, 0);
        exif_data_unref(data);
        struct bytes written = slurp(file_name("out"));
        CHECK(memmem(written.data, written.size, "SECRET", 6) == NULL);
        free(written.data);
        pf_image_free(again);
    }
    pf_image_free(image);
    free(raster.samples);
    free(icc.data);
    free(exif.data);
}

static struct bytes camera_exif(int space, const char *index)
{
    ExifData *data = exif_data_new();
    struct bytes exif = {0};
    unsigned size = 0;
    uint8_t number[2] = {(uint8_t)space, (uint8_t)(space >> 8)};
    exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
    exif_data_set_byte_order(data, EXIF_BYTE_ORDER_INTEL);
    put(data, EXIF_IFD_EXIF, EXIF_TAG_COLOR_SPACE, EXIF_FORMAT_SHORT, 1, number, 2);
    put(data, EXIF_IFD_INTEROPERABILITY, EXIF_TAG_INTEROPERABILITY_INDEX, EXIF_FORMAT_ASCII, 4,
        index, 4);
    exif_data_save_data(data, &exif.data, &size);
    exif.size = size;
    exif_data_unref(data);
    return exif;
}

/* What a PNG says of its colours in numbers: gamma 0 and light 0 are left out. */
struct numbers {
    double gamma, green[2];
    bool srgb;
};

static void write_numbered_png(const char *path, int planes, const struct numbers *numbers)
{
    FILE *file = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    uint8_t row[3 * 64];
    CHECK(file && png && info);
    png_init_io(png, file);
    png_set_IHDR(png, info, 64, 48, 8, planes == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (numbers->srgb)
        png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
    if (numbers->gamma > 0)
        png_set_gAMA(png, info, numbers->gamma);
    if (numbers->green[0] > 0)
        png_set_cHRM(png, info, 0.3127, 0.3290, 0.64, 0.33, numbers->green[0], numbers->green[1],
                     0.15, 0.06);
    png_write_info(png, info);
    for (int y = 0; y < 48; y++) {
        for (int i = 0; i < planes * 64; i++)
            row[i] = (uint8_t)(3 * i + 5 * y);
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

/* Of the profile's first curve; 0: there is no profile. */
static double exponent_of(const struct pf_blob *icc, int planes)
{
    if (!icc->size_bytes)
        return 0;
    cmsHPROFILE profile = cmsOpenProfileFromMem(icc->bytes, (cmsUInt32Number)icc->size_bytes);
    CHECK(profile);
    const cmsToneCurve *curve =
        cmsReadTag(profile, planes == 3 ? cmsSigRedTRCTag : cmsSigGrayTRCTag);
    CHECK(curve);
    double exponent = cmsEstimateGamma(curve, 0.01);
    cmsCloseProfile(profile);
    return exponent;
}

/* A PNG without a profile that is no sRGB, by its numbers, has one in every output. */
TEST(colours_that_a_png_tells_in_numbers_have_a_profile)
{
    static const struct {
        struct numbers numbers;
        int planes;
        double exponent; /* of the profile; 0: there is none */
    } cases[] = {
        {{.gamma = 0}, 3, 0},
        {{.gamma = 1}, 3, 1},
        {{.gamma = 1}, 1, 1},
        {{.gamma = 0.45455}, 3, 0},
        {{.gamma = 0.45455}, 1, 0},
        {{.gamma = 1 / 1.8}, 3, 1.8},
        {{.gamma = 0.45455, .srgb = true}, 3, 0},
        {{.gamma = 0.45455, .green = {0.21, 0.71}}, 3, 2.2},
        {{.gamma = 0.45455, .green = {0.30, 0.60}}, 3, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int planes = cases[i].planes;
        write_numbered_png(file_name("a.png"), planes, &cases[i].numbers);
        struct pf_image *image = decode(file_name("a.png"));
        CHECK_NEAR(exponent_of(&image->icc, planes), cases[i].exponent, 0.02);
        for (int k = 0; k < 3; k++) {
            encode(image, file_name("out"), formats[k], 8, 1);
            struct pf_image *again = decode(file_name("out"));
            CHECK_NEAR(exponent_of(&again->icc, planes), cases[i].exponent, 0.02);
            pf_image_free(again);
        }
        pf_image_free(image);
    }
}

/* Adobe RGB that only the camera's EXIF names has its profile in every output, and in small pictures. */
TEST(colours_that_the_camera_names_have_their_profile)
{
    static const struct {
        int space;
        const char *index;
        bool adobe;
    } cases[] = {
        {0xffff, "R03", true}, {0xffff, "R98", false}, {1, "R98", false}, {2, "R98", true}};
    struct raster raster = smooth_raster(400, 300, 3, 8);
    const struct pf_blob none = {NULL, 0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes exif = camera_exif(cases[i].space, cases[i].index);
        struct jpeg_kind kind = {
            .h = 2, .v = 2, .exif = exif.data, .exif_bytes = (unsigned)exif.size};
        struct pf_image *quick = NULL, *image;
        struct pf_error err = {0};
        write_jpeg(file_name("a.jpg"), &raster, &kind);
        image = decode(file_name("a.jpg"));
        CHECK_EQ(image->icc.size_bytes > 0, cases[i].adobe);
        CHECK_EQ(pf_profile_is_alike(&image->icc, &none), !cases[i].adobe);
        CHECK_OK(pf_image_decode_quickly(&quick, file_name("a.jpg"), 160, &limits, &err), &err);
        CHECK_EQ(quick->icc.size_bytes, image->icc.size_bytes);
        for (int k = 0; k < 3; k++) {
            encode(image, file_name("out"), formats[k], 8, 1);
            struct pf_image *again = decode(file_name("out"));
            CHECK(pf_profile_is_alike(&again->icc, &image->icc));
            CHECK_EQ(again->icc.size_bytes, image->icc.size_bytes);
            pf_image_free(again);
        }
        pf_image_free(quick);
        pf_image_free(image);
        free(exif.data);
    }
    free(raster.samples);
}

/* RAW is developed to sRGB, whatever the camera was set to. */
TEST(exif_of_a_developed_picture_says_srgb)
{
    struct bytes bytes = camera_exif(0xffff, "R03");
    struct pf_image image = {.exif = {malloc(bytes.size - 6), bytes.size - 6}};
    struct pf_error err = {0};
    memcpy(image.exif.bytes, bytes.data + 6, image.exif.size_bytes);
    CHECK(pf_exif_is_adobe_rgb(&image.exif));
    CHECK_OK(pf_exif_set_srgb(&image.exif, &err), &err);
    CHECK(!pf_exif_is_adobe_rgb(&image.exif));
    ExifData *data = parse(&image);
    int space[4] = {0};
    CHECK_EQ(shorts(data, EXIF_IFD_EXIF, EXIF_TAG_COLOR_SPACE, space), 1);
    CHECK_EQ(space[0], 1);
    CHECK(value(data, EXIF_IFD_INTEROPERABILITY, EXIF_TAG_INTEROPERABILITY_INDEX) == NULL);
    exif_data_unref(data);
    free(image.exif.bytes);
    free(bytes.data);
}

/* The green of sRGB in Adobe RGB, as tables have it: 144, 255, 60. */
TEST(colours_are_the_same_in_another_profile)
{
    struct pf_error err = {0};
    struct pf_image *image = NULL, *converted = NULL, *back = NULL;
    struct pf_blob adobe = {NULL, 0}, srgb = {NULL, 0};
    CHECK_OK(pf_profile_make(PF_PROFILE_ADOBE_RGB, &adobe, &err), &err);
    CHECK_OK(pf_profile_make(PF_PROFILE_SRGB, &srgb, &err), &err);
    CHECK_OK(pf_image_new(&image, 8, 8, 16, 3, 0, 0, &err), &err);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++) {
            uint16_t rgb[3] = {0, 65535, 0};
            pf_row_from_rgb(&rgb[0], &rgb[1], &rgb[2], 1);
            for (int c = 0; c < 3; c++)
                ((uint16_t *)image->plane[c])[(size_t)y * image->stride_bytes[c] / 2 + (size_t)x] =
                    rgb[c];
        }
    const struct pf_blob none = {NULL, 0};
    CHECK(pf_profile_is_alike(&srgb, &none));
    CHECK(!pf_profile_is_alike(&srgb, &adobe));
    CHECK_OK(pf_profile_convert(&converted, image, &adobe, &err), &err);
    CHECK(pf_profile_is_alike(&converted->icc, &adobe));
    CHECK_OK(pf_profile_convert(&back, converted, &srgb, &err), &err);
    static const int want[2][3] = {{144, 255, 60}, {0, 255, 0}};
    for (int k = 0; k < 2; k++) {
        uint8_t row[3 * 8];
        float scratch[200];
        CHECK(pf_row_scratch_floats(image) <= 200);
        pf_row_to_rgb(row, 8, k ? back : converted, 3, scratch);
        for (int c = 0; c < 3; c++)
            CHECK_NEAR(row[9 + c], want[k][c], 1.01);
    }
    free(adobe.bytes);
    free(srgb.bytes);
    pf_image_free(image);
    pf_image_free(converted);
    pf_image_free(back);
}

/* A depth map is grey and has the metadata of the reference; and profiles may be broken. */
TEST(profile_of_other_colours_stays_out)
{
    struct pf_error err = {0};
    for (int planes = 1; planes <= 3; planes += 2) {
        struct pf_image *image = NULL;
        CHECK_OK(pf_image_new(&image, 8, 8, 16, planes, 0, 0, &err), &err);
        for (int i = 0; i < planes; i++)
            memset(image->plane[i], 0x80, image->stride_bytes[i] * 8);
        image->orientation = 1;
        struct bytes icc = make_profile(planes == 1);
        image->icc = (struct pf_blob){icc.data, icc.size};
        for (int k = 0; k < 3; k++) {
            encode(image, file_name("out"), formats[k], formats[k] == PF_FORMAT_JPEG ? 8 : 16, 1);
            struct pf_image *again = decode(file_name("out"));
            CHECK_EQ(again->icc.size_bytes, 0);
            pf_image_free(again);
        }
        /* The right colours, and nonsense in the rest of its head. */
        memcpy(icc.data + 16, planes == 1 ? "GRAY" : "RGB ", 4);
        memset(icc.data, 0xff, 12);
        for (int k = 0; k < 3; k++) {
            encode(image, file_name("out"), formats[k], formats[k] == PF_FORMAT_JPEG ? 8 : 16, 1);
            pf_image_free(decode(file_name("out")));
        }
        pf_image_free(image); /* and its profile */
    }
}

/* Whatever makes the file long counts: sides, channels, bits, profile. 4000 MiB are the last that
 * fit, and 300 MP of 16 bits do. */
TEST(tiff_becomes_big_by_its_size)
{
    static const struct {
        int width, height, planes, bits;
        size_t profile;
        bool big;
    } cases[] = {
        {100, 100, 3, 16, 0, false},
        {17320, 17320, 3, 16, 0, false},
        {32000, 43690, 3, 8, 0, false},
        {32000, 43691, 3, 8, 0, true},
        {32000, 43691, 1, 8, 0, false},
        {32000, 43691, 1, 16, 0, false},
        {32000, 43691, 3, 16, 0, true},
        {1 << 16, 64000, 1, 8, 0, false}, /* 4000 MiB exactly */
        {1 << 16, 64000, 1, 8, 1, true},
        {1000, 1000, 1, 8, (size_t)4000 << 20, true},
        {INT32_MAX, INT32_MAX, 3, 16, 0, true}, /* more than 64 bits count */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pf_image image = {
            .width = cases[i].width, .height = cases[i].height, .planes = cases[i].planes};
        struct pf_encode_options options = {.format = PF_FORMAT_TIFF, .bits = cases[i].bits};
        struct pf_blob exif = {NULL, 0}, icc = {NULL, cases[i].profile};
        struct pf_encode_job job = {
            .image = &image, .exif = &exif, .icc = &icc, .options = &options};
        if (pf_encode_tiff_is_big(&job) != cases[i].big)
            FAIL("%d x %d, %d planes, %d bits", cases[i].width, cases[i].height, cases[i].planes,
                 cases[i].bits);
    }
}

TEST(picture_without_metadata_gets_only_ours)
{
    struct raster raster = noise_raster(9, 4, 1, 16);
    struct pf_image *image = image_of(&raster);
    CHECK(image->icc.bytes == NULL);
    for (int k = 0; k < 3; k++) {
        encode(image, file_name("out"), formats[k], formats[k] == PF_FORMAT_JPEG ? 8 : 16, 1);
        struct pf_image *again = decode(file_name("out"));
        ExifData *data = parse(again);
        CHECK(again->icc.bytes == NULL);
        CHECK_STR(value(data, EXIF_IFD_0, EXIF_TAG_SOFTWARE), "parfocal");
        CHECK(value(data, EXIF_IFD_EXIF, EXIF_TAG_EXPOSURE_TIME) == NULL);
        exif_data_unref(data);
        pf_image_free(again);
    }
    pf_image_free(image);
    free(raster.samples);
}

TEST(senseless_exif_does_no_harm)
{
    struct raster raster = smooth_raster(20, 16, 3, 8);
    struct bytes exif = make_exif(3);
    for (uint32_t seed = 1; seed <= 300; seed++) {
        struct bytes copy = {malloc(exif.size), exif.size};
        memcpy(copy.data, exif.data, exif.size);
        for (uint32_t k = 0; k < 1 + seed % 5; k++)
            copy.data[6 + scramble(seed * 8 + k) % 500] = (uint8_t)scramble(seed * 977 + k);
        struct pf_image *image = image_of(&raster);
        image->exif.bytes = copy.data;
        image->exif.size_bytes = copy.size;
        memmove(copy.data, copy.data + 6, copy.size - 6);
        encode(image, file_name("out"), formats[seed % 3], seed % 3 == 2 ? 8 : 16, 1);
        pf_image_free(decode(file_name("out")));
        pf_image_free(image);
    }
    free(exif.data);
    free(raster.samples);
}
