/* Encoding: what was written, as the formats' own libraries read it; turning, metadata, failures. */
#include <libexif/exif-data.h>
#include <libexif/exif-utils.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "process/codec.h"
#include "process/codec_format.h"
#include "process/convert.h"
#include "process/profile.h"
#include "process/upright.h"
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

static struct raster read_back(const char *path, enum pf_format format)
{
    return format == PF_FORMAT_TIFF  ? read_tiff(path)
           : format == PF_FORMAT_PNG ? read_png(path)
                                     : read_jpeg(path, JCS_RGB, true);
}

static void check_same(const struct raster *got, const struct raster *want, int within)
{
    CHECK_EQ(got->width, want->width);
    CHECK_EQ(got->height, want->height);
    CHECK_EQ(got->channels, want->channels);
    for (int y = 0; y < got->height; y++)
        for (int x = 0; x < got->width; x++)
            for (int c = 0; c < got->channels; c++)
                if (abs(sample_at(got, x, y, c) - sample_at(want, x, y, c)) > within)
                    FAIL("channel %d at %d, %d: %d instead of %d", c, x, y, sample_at(got, x, y, c),
                         sample_at(want, x, y, c));
}

static struct pf_image *image_of(const struct raster *raster)
{
    struct tiff_kind kind = {.photometric = -1};
    write_tiff(file_name("source.tif"), raster, &kind);
    return decode(file_name("source.tif"));
}

TEST(tiff_and_png_keep_every_sample)
{
    static const int sizes[][2] = {{1, 1}, {7, 5}, {17, 33}, {300, 200}};
    for (size_t s = 0; s < 4; s++)
        for (int channels = 1; channels <= 3; channels += 2)
            for (int source_bits = 8; source_bits <= 16; source_bits += 8)
                for (int bits = 8; bits <= 16; bits += 8)
                    for (int k = 0; k < 4; k++) {
                        enum pf_format format = formats[k % 2];
                        struct raster raster =
                            noise_raster(sizes[s][0], sizes[s][1], channels, source_bits);
                        struct pf_image *image = image_of(&raster);
                        encode(image, file_name("out"), format, bits, 1 + k / 2);
                        struct raster got = read_back(file_name("out"), format);
                        CHECK_EQ(got.bits, bits);
                        /* 16 bits within one step; 8 bits exactly what rounding gives. */
                        int within = bits == 16 ? channels == 3 : 0;
                        if (bits == 8 && source_bits == 16) {
                            within = 257; /* a colour may round to either side */
                            for (int i = 0; i < raster.width * raster.height * channels; i++)
                                raster.samples[i] =
                                    (uint16_t)((raster.samples[i] + 128) / 257 * 257);
                        }
                        check_same(&got, &raster, within);
                        free(got.samples);
                        free(raster.samples);
                        pf_image_free(image);
                    }
}

TEST(jpeg_keeps_planes_and_sampling)
{
    static const int samplings[][2] = {{2, 2}, {2, 1}, {1, 2}, {1, 1}};
    static const int sizes[][2] = {{1, 1}, {7, 5}, {17, 33}, {64, 48}};
    for (int s = 0; s < 4; s++)
        for (int k = 0; k < 4; k++) {
            struct raster raster = smooth_raster(sizes[s][0], sizes[s][1], 3, 8);
            struct jpeg_kind kind = {.h = samplings[k][0], .v = samplings[k][1]};
            write_jpeg(file_name("a.jpg"), &raster, &kind);
            struct pf_image *image = decode(file_name("a.jpg"));
            encode(image, file_name("b.jpg"), PF_FORMAT_JPEG, 8, 1);
            struct pf_image *again = decode(file_name("b.jpg"));
            CHECK_EQ(again->chroma_shift_x, image->chroma_shift_x);
            CHECK_EQ(again->chroma_shift_y, image->chroma_shift_y);
            struct raster first = read_jpeg(file_name("a.jpg"), JCS_YCbCr, false);
            struct raster second = read_jpeg(file_name("b.jpg"), JCS_YCbCr, false);
            check_same(&second, &first, 2 * 257);
            free(first.samples);
            free(second.samples);
            free(raster.samples);
            pf_image_free(image);
            pf_image_free(again);
        }
}

TEST(jpeg_of_16_bits_has_the_colours_of_the_picture)
{
    for (int channels = 1; channels <= 3; channels += 2) {
        struct raster raster = smooth_raster(61, 43, channels, 16);
        struct pf_image *image = image_of(&raster);
        encode(image, file_name("a.jpg"), PF_FORMAT_JPEG, 8, 1);
        struct raster got =
            read_jpeg(file_name("a.jpg"), channels == 3 ? JCS_RGB : JCS_GRAYSCALE, true);
        check_same(&got, &raster, 5 * 257);
        free(got.samples);
        free(raster.samples);
        pf_image_free(image);
    }
}

TEST(halved_chroma_is_interpolated_linearly_and_grey_stays_grey)
{
    struct pf_error err = {0};
    struct pf_image *image = NULL;
    const int width = 41, height = 31;
    CHECK_OK(pf_image_new(&image, width, height, 16, 3, 1, 1, &err), &err);
    for (int plane = 0; plane < 3; plane++)
        for (int y = 0; y < pf_image_plane_height(image, plane); y++) {
            uint16_t *row = (uint16_t *)((uint8_t *)image->plane[plane] +
                                         (size_t)y * image->stride_bytes[plane]);
            for (int x = 0; x < pf_image_plane_width(image, plane); x++)
                row[x] = (uint16_t)(plane == 0   ? 30000
                                    : plane == 1 ? 32768
                                                 : 32768 + 200 * x + 100 * y);
        }
    float *scratch = malloc(pf_row_scratch_floats(image) * sizeof(*scratch));
    uint16_t rgb[41 * 3];
    for (int y = 1; y < height - 1; y++) {
        pf_row_to_rgb(rgb, 16, image, y, scratch);
        for (int x = 1; x < width - 1; x++) {
            /* The sample k lies between pixels 2k and 2k + 1. */
            double cr = 200 * (x - 0.5) / 2 + 100 * (y - 0.5) / 2;
            CHECK_NEAR(rgb[3 * x], 30000 + 1.402 * cr, 0.51);
            CHECK_NEAR(rgb[3 * x + 2], 30000, 0.51);
        }
    }
    pf_image_free(image);

    CHECK_OK(pf_image_new(&image, 256, 1, 8, 3, 0, 0, &err), &err);
    for (int x = 0; x < 256; x++) {
        ((uint8_t *)image->plane[0])[x] = (uint8_t)x;
        ((uint8_t *)image->plane[1])[x] = ((uint8_t *)image->plane[2])[x] = 128;
    }
    scratch = realloc(scratch, pf_row_scratch_floats(image) * sizeof(*scratch));
    uint16_t grey[256 * 3];
    pf_row_to_rgb(grey, 16, image, 0, scratch);
    for (int i = 0; i < 256 * 3; i++)
        CHECK_EQ(grey[i], i / 3 * 257);
    free(scratch);
    pf_image_free(image);
}

/* Column and row of the stored picture that the pixel at x, y of the upright one shows (the
 * wording of EXIF 2.32, tag 0x0112). */
static void stored_place(int orientation, int width, int height, int x, int y, int *u, int *v)
{
    switch (orientation) {
    case 2:
        *u = width - 1 - x, *v = y;
        break;
    case 3:
        *u = width - 1 - x, *v = height - 1 - y;
        break;
    case 4:
        *u = x, *v = height - 1 - y;
        break;
    case 5:
        *u = y, *v = x;
        break;
    case 6:
        *u = y, *v = height - 1 - x;
        break;
    case 7:
        *u = width - 1 - y, *v = height - 1 - x;
        break;
    case 8:
        *u = width - 1 - y, *v = x;
        break;
    default:
        *u = x, *v = y;
    }
}

TEST(pixels_are_turned_upright)
{
    static const int sizes[][2] = {{36, 28}, {37, 29}, {70, 41}};
    for (int s = 0; s < 3; s++)
        for (int sampling = 1; sampling <= 2; sampling++)
            for (int orientation = 1; orientation <= 8; orientation++)
                for (int k = 0; k < 3; k++) {
                    int width = sizes[s][0], height = sizes[s][1];
                    struct raster raster = smooth_raster(width, height, 3, 8);
                    struct jpeg_kind kind = {.h = sampling, .v = sampling};
                    write_jpeg(file_name("a.jpg"), &raster, &kind);
                    struct pf_image *image = decode(file_name("a.jpg"));
                    encode(image, file_name("plain.tif"), PF_FORMAT_TIFF, 16, 1);
                    image->orientation = orientation;
                    encode(image, file_name("out"), formats[k],
                           formats[k] == PF_FORMAT_JPEG ? 8 : 16, 2);
                    struct raster plain = read_tiff(file_name("plain.tif"));
                    struct raster got = read_back(file_name("out"), formats[k]);
                    struct raster want = noise_raster(orientation < 5 ? width : height,
                                                      orientation < 5 ? height : width, 3, 16);
                    for (int y = 0; y < want.height; y++)
                        for (int x = 0; x < want.width; x++) {
                            int u, v;
                            double place_x, place_y;
                            stored_place(orientation, width, height, x, y, &u, &v);
                            pf_upright_place(orientation, width, height, x, y, &place_x, &place_y);
                            CHECK(place_x == u && place_y == v);
                            for (int c = 0; c < 3; c++)
                                want.samples[((size_t)y * (size_t)want.width + (size_t)x) * 3 +
                                             (size_t)c] = sample_at(&plain, u, v, c);
                        }
                    /* An odd side of 8 bits has its chroma rounded to 8 bits in turning. */
                    bool odd = sampling == 2 && (width % 2 || height % 2);
                    int within = formats[k] == PF_FORMAT_JPEG ? 5 * 257 : odd ? 300 : 1;
                    check_same(&got, &want, within);
                    if (formats[k] != PF_FORMAT_JPEG) {
                        struct pf_image *again = decode(file_name("out"));
                        CHECK_EQ(again->orientation, 1);
                        pf_image_free(again);
                    }
                    free(plain.samples);
                    free(got.samples);
                    free(want.samples);
                    free(raster.samples);
                    pf_image_free(image);
                }
}

/* ---- metadata ---- */

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

/* ---- failures ---- */

TEST(full_disk_is_named)
{
    struct raster raster = noise_raster(200, 100, 3, 8);
    struct pf_image *image = image_of(&raster);
    for (int k = 0; k < 3; k++) {
        struct pf_error err = {0};
        struct pf_encode_options options = {.format = formats[k],
                                            .bits = formats[k] == PF_FORMAT_JPEG ? 8 : 16,
                                            .jpeg_quality = 90,
                                            .threads = 1};
        /* A link, so that nothing of ours could remove the device. */
        unlink(file_name("full"));
        CHECK_EQ(symlink("/dev/full", file_name("full")), 0);
        CHECK_EQ(pf_image_encode(image, file_name("full"), &options, &err), -ENOSPC);
        CHECK(strstr(err.text, "No space left"));
        pf_error_clear(&err);
        CHECK_EQ(pf_image_encode(image, file_name("no/such"), &options, &err), -ENOENT);
    }
    struct stat st;
    CHECK(stat("/dev/full", &st) == 0 && S_ISCHR(st.st_mode));
    pf_image_free(image);
    free(raster.samples);
}

TEST(partial_file_is_removed)
{
    struct raster raster = noise_raster(300, 200, 3, 8);
    struct pf_image *image = image_of(&raster);
    signal(SIGXFSZ, SIG_IGN);
    for (int k = 0; k < 3; k++) {
        struct pf_error err = {0};
        struct rlimit small = {20000, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
        struct pf_encode_options options = {.format = formats[k],
                                            .bits = formats[k] == PF_FORMAT_JPEG ? 8 : 16,
                                            .jpeg_quality = 90,
                                            .threads = 2};
        CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        int r = pf_image_encode(image, file_name("out"), &options, &err);
        setrlimit(RLIMIT_FSIZE, &none);
        CHECK_EQ(r, -EFBIG);
        CHECK_EQ(access(file_name("out"), F_OK), -1);
    }
    pf_image_free(image);
    free(raster.samples);
}
