/* CR3: Canon's compression there and back, what its boxes tell, and what no camera would write. */
#include <libraw/libraw.h>
#include <unistd.h>

#include "process/cr3.h"
#include "process/exif.h"
#include "tests/gen/cr3.h"
#include "tests/gen/crx.h"
#include "tests/unit/raw_files.h"

void omp_set_num_threads(int threads);

enum { LEVELS = 1 << PF_GEN_CRX_BITS, MIDDLE = LEVELS / 2 };

static const struct pf_gen_exif m50 = {.present = true,
                                       .make = "Canon",
                                       .model = "Canon EOS M50",
                                       .time_ms = 1767323045670,
                                       .orientation = 1};

/* Sensor values of kinds that the coder treats differently. */
static int value_of(int kind, int x, int y, uint32_t random)
{
    switch (kind) {
    case 0: /* nothing but runs */
        return MIDDLE;
    case 1:
        return 2048;
    case 2: /* codes that escape */
        return (int)(random % LEVELS);
    case 3:
        return random & 1 ? LEVELS - 1 : 0;
    case 4:
        return (x * 40 + y * 20) % LEVELS;
    case 5: /* long runs that end */
        return 2048 + (random % 100 == 0);
    case 6:
        return random % 300 ? MIDDLE : (int)(random >> 8) % LEVELS;
    case 7: /* runs and edges */
        return (x / 7 + y / 5) % 2 ? 3000 : 9000;
    default: /* a picture's noise */
        return (MIDDLE + (int)(random % 7) + 4 * x) % LEVELS;
    }
}

static uint16_t *new_sensor(int kind, int columns, int rows)
{
    uint16_t *sensor = malloc((size_t)columns * (size_t)rows * sizeof(*sensor));
    CHECK(sensor);
    for (int i = 0; i < columns * rows; i++)
        sensor[i] = (uint16_t)value_of(kind, i % columns, i / columns, scramble((uint32_t)i + 1));
    return sensor;
}

static void write_sensor(const char *path, const uint16_t *sensor, int columns, int rows,
                         int tile_width)
{
    const struct pf_gen_cr3_jpeg jpeg = {(const uint8_t *)"\xff\xd8\xff\xd9", 4, 160, 120};
    struct pf_gen_cr3 cr3 = {.sensor = sensor,
                             .columns = columns,
                             .rows = rows,
                             .tile_width = tile_width,
                             .exif = &m50,
                             .whole = jpeg,
                             .preview = jpeg,
                             .thumbnail = jpeg};
    size_t size;
    cr3.whole.width = columns - PF_GEN_CR3_LEFT - PF_GEN_CR3_RIGHT;
    cr3.whole.height = rows - PF_GEN_CR3_TOP - PF_GEN_CR3_BOTTOM;
    uint8_t *bytes = pf_gen_cr3_wrap(&cr3, &size);
    spit(path, bytes, size);
    free(bytes);
}

/* What LibRaw makes of each value, before it develops them. */
TEST(cr3_gives_each_sensor_value_back)
{
    static const int sizes[][3] = {{96, 64, 96},   {96, 64, 48},    {70, 54, 70},  {66, 50, 66},
                                   {200, 150, 68}, {202, 150, 102}, {300, 70, 300}};
    const char *path = file_name("a.cr3");
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (int kind = 0; kind < 9; kind++) {
            int columns = sizes[s][0], rows = sizes[s][1], wrong = 0;
            uint16_t *sensor = new_sensor(kind, columns, rows);
            write_sensor(path, sensor, columns, rows, sizes[s][2]);
            libraw_data_t *raw = libraw_init(0);
            CHECK(raw);
            CHECK_EQ(libraw_open_file(raw, path), LIBRAW_SUCCESS);
            CHECK_EQ(raw->sizes.raw_width, columns);
            CHECK_EQ(raw->sizes.raw_height, rows);
            omp_set_num_threads(1); /* as process/codec_raw.c */
            CHECK_EQ(libraw_unpack(raw), LIBRAW_SUCCESS);
            for (int i = 0; i < columns * rows; i++)
                wrong += raw->rawdata.raw_image[i] != sensor[i];
            if (wrong)
                FAIL("%d x %d, kind %d: %d values differ", columns, rows, kind, wrong);
            libraw_close(raw);
            free(sensor);
        }
}

/* It is no TIFF, but what it says of the shot is as complete. */
TEST(cr3_keeps_all_of_exif)
{
    const char *path = file_name("a.cr3");
    struct raster raster = smooth_raster(64, 48, 3, 16);
    struct pf_gen_encoding encoding = {PF_GEN_CR3, 16, 3, 0, 0, 0};
    struct pf_gen_exif exif = usual_exif(3);
    struct pf_error err = {0};
    exif.make = "Canon";
    exif.model = "Canon EOS M50";
    exif.time_ms += 670;
    exif.offset = "+01:00";
    CHECK_OK(pf_gen_picture_write(path, raster.samples, 64, 48, &encoding, &exif, &err), &err);
    struct pf_image *image = decode(path);
    ExifData *data = pf_exif_parse(&image->exif);
    static const struct {
        ExifIfd ifd;
        ExifTag tag;
        const char *value;
    } wanted[] = {{EXIF_IFD_0, EXIF_TAG_MODEL, "Canon EOS M50"},
                  {EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, "2026:01:02 03:04:05"},
                  {EXIF_IFD_EXIF, EXIF_TAG_SUB_SEC_TIME_ORIGINAL, "67"},
                  {EXIF_IFD_EXIF, EXIF_TAG_OFFSET_TIME_ORIGINAL, "+01:00"},
                  {EXIF_IFD_EXIF, EXIF_TAG_BODY_SERIAL_NUMBER, "PF-0001"},
                  {EXIF_IFD_EXIF, EXIF_TAG_LENS_MODEL, "Macro 100mm F2.8"},
                  {EXIF_IFD_EXIF, EXIF_TAG_FOCAL_LENGTH, "100.0 mm"}};
    CHECK_EQ(image->orientation, 3);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        char text[64] = "";
        ExifEntry *entry = exif_content_get_entry(data->ifd[wanted[i].ifd], wanted[i].tag);
        if (!entry || strcmp(exif_entry_get_value(entry, text, sizeof(text)), wanted[i].value) != 0)
            FAIL("tag %#x is \"%s\"", wanted[i].tag, text);
    }
    exif_data_unref(data);
    pf_image_free(image);
    free(raster.samples);
}

/* The sensor ends before its 14 bits do. */
TEST(cr3_overexposed_is_white)
{
    const char *path = file_name("a.cr3");
    struct raster raster = smooth_raster(64, 48, 3, 16);
    struct pf_gen_encoding encoding = {PF_GEN_CR3, 16, 3, 0, 0, 0};
    struct pf_error err = {0};
    for (int i = 0; i < 64 * 48 * 3; i++)
        raster.samples[i] = 65535;
    CHECK_OK(pf_gen_picture_write(path, raster.samples, 64, 48, &encoding, &m50, &err), &err);
    struct pf_image *image = decode(path);
    double psnr = psnr_db(image, &raster);
    printf("# %.1f dB\n", psnr);
    CHECK(psnr > 60);
    pf_image_free(image);
    free(raster.samples);
}

/* Where `text` stands in the file for the last time but `skip` times. */
static size_t find(const struct bytes *bytes, const char *text, int skip)
{
    for (size_t at = bytes->size - 4; at > 0; at--)
        if (!memcmp(bytes->data + at, text, 4) && skip-- == 0)
            return at;
    FAIL("no %s in the CR3", text);
    return 0;
}

/* Bodies since the EOS R5 compress in another way. Their previews are as they were. */
TEST(cr3_of_a_newer_body)
{
    const char *path = file_name("a.cr3");
    struct raster raster = smooth_raster(64, 48, 3, 16);
    struct pf_gen_encoding encoding = {PF_GEN_CR3, 16, 3, 0, 0, 0};
    struct pf_error err = {0};
    CHECK_OK(pf_gen_picture_write(path, raster.samples, 64, 48, &encoding, &m50, &err), &err);
    struct bytes bytes = slurp(path);
    for (int skip = 0; skip < 2; skip++)
        bytes.data[find(&bytes, "CMP1", skip) + 8] = 2;
    spit(path, bytes.data, bytes.size);
    CHECK_EQ(refused(path, &err), ENOTSUP);
    CHECK(strstr(err.text, "newer compression"));
    struct pf_image *preview = NULL;
    CHECK_OK(pf_image_decode_quickly(&preview, path, 32, &limits, &err), &err);
    pf_image_free(preview);
    free(bytes.data);
    free(raster.samples);
}

/* Streams that end with the file: its boxes are whole, but say less than the headers. */
TEST(cr3_with_a_stream_beyond_its_end)
{
    const char *path = file_name("a.cr3");
    struct pf_error err = {0};
    uint16_t *sensor = new_sensor(8, 96, 96);
    write_sensor(path, sensor, 96, 96, 48);
    struct bytes bytes = slurp(path);
    size_t mdat = find(&bytes, "mdat", 0) - 4;
    for (size_t cut = 1; cut < bytes.size - mdat - 16; cut += 251) {
        uint32_t left = (uint32_t)(bytes.size - cut - mdat);
        for (size_t b = 0; b < 4; b++)
            bytes.data[mdat + 12 + b] = (uint8_t)(left >> (24 - 8 * b));
        spit(path, bytes.data, bytes.size - cut);
        int code = refused(path, &err);
        if (code != EBADMSG || !strstr(err.text, "breaks off"))
            FAIL("%zu bytes less: %d, %s", cut, code, err.text);
    }
    free(bytes.data);
    free(sensor);
}

/* No size that a box has is believed, and a disk that fails is not taken for an end. */
TEST(cr3_with_boxes_that_lie)
{
    static const struct {
        const char *size, *large, *why;
    } lies[] = {{"\0\0\0\7", NULL, "senseless box"},
                {"\0\0\0\1", "\0\0\0\0\0\0\0\17", "senseless box"},
                {"\0\0\0\1", "\x3f\xff\xff\xff\xff\xff\xff\xff", "breaks off"},
                {"\0\0\0\1", "\xff\xff\xff\xff\xff\xff\xff\xff", "breaks off"},
                {"\xff\xff\xff\xff", NULL, "breaks off"}};
    struct pf_bytes *source = malloc(sizeof(*source));
    struct pf_error err = {0};
    struct pf_cr3 cr3;
    int ends[2];
    uint16_t *sensor = new_sensor(7, 96, 64);
    write_sensor(file_name("a.cr3"), sensor, 96, 64, 48);
    struct bytes bytes = slurp(file_name("a.cr3"));
    CHECK(source && pipe(ends) == 0);
    pf_bytes_of_memory(source, bytes.data, bytes.size);
    CHECK_OK(pf_cr3_look(source, "a.cr3", &cr3, &err), &err);
    CHECK_EQ(cr3.width, 96);
    /* The last box may leave open where it ends. */
    uint8_t *mdat = bytes.data + find(&bytes, "mdat", 0) - 4;
    memset(mdat, 0, 4);
    CHECK_OK(pf_cr3_look(source, "a.cr3", &cr3, &err), &err);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        memcpy(mdat, lies[i].size, 4);
        if (lies[i].large)
            memcpy(mdat + 8, lies[i].large, 8);
        int r = pf_cr3_look(source, "a.cr3", &cr3, &err);
        if (r != -EBADMSG || !strstr(err.text, lies[i].why))
            FAIL("lie %zu: %d, %s", i, r, err.text);
        pf_error_clear(&err);
    }
    pf_bytes_of_file(source, ends[0], (int64_t)bytes.size);
    CHECK_EQ(pf_cr3_look(source, "a.cr3", &cr3, &err), -ESPIPE);
    CHECK(strstr(err.text, "reading a.cr3"));
    close(ends[0]);
    close(ends[1]);
    free(source);
    free(bytes.data);
    free(sensor);
}

/* Every byte of the headers, changed: refused or read. Whatever they say, no stream is
 * read from beyond the file, and no tile is written beyond the picture. */
TEST(cr3_with_hostile_headers)
{
    const char *path = file_name("a.cr3");
    static const uint8_t changes[2] = {0xff, 0x09};
    struct pf_error err = {0};
    uint16_t *sensor = new_sensor(7, 96, 64);
    write_sensor(path, sensor, 96, 64, 48);
    struct bytes bytes = slurp(path);
    size_t box = find(&bytes, "CMP1", 0), data = 0;
    static const uint8_t second_tile[] = {0xff, 0x01, 0, 8};
    for (size_t at = box; !data; at++)
        if (!memcmp(bytes.data + at, second_tile, 4) && bytes.data[at + 9] == 1)
            data = at - 108; /* of a tile's headers: its own, and two for each of four planes */
    for (size_t i = 0; i < 40 + 216; i++)
        for (size_t k = 0; k < (i < 40 ? 2 : 1); k++) {
            uint8_t *byte = bytes.data + (i < 40 ? box + i : data + i - 40), before = *byte;
            *byte ^= changes[k];
            spit(path, bytes.data, bytes.size);
            int code = refused(path, &err);
            if (code && code != EBADMSG && code != ENOTSUP && code != EFBIG)
                FAIL("byte %zu: %d, %s", i, code, err.text);
            *byte = before;
        }
    free(bytes.data);
    free(sensor);
}

/* The streams themselves: any bits are a picture or damage. */
TEST(cr3_with_hostile_streams)
{
    const char *path = file_name("a.cr3");
    const char *seed = getenv("PF_TEST_SEED");
    uint32_t random = seed ? (uint32_t)atoi(seed) : 1;
    struct pf_error err = {0};
    uint16_t *sensor = new_sensor(5, 96, 64);
    write_sensor(path, sensor, 96, 64, 48);
    struct bytes bytes = slurp(path), copy = slurp(path);
    size_t begin = find(&bytes, "mdat", 0) + 12 + 4;
    for (int round = 0; round < 200; round++) {
        memcpy(copy.data, bytes.data, bytes.size);
        for (int i = 0; i < 1 + round % 20; i++) {
            random = scramble(random + 0x9e3779b9u);
            copy.data[begin + random % (bytes.size - begin)] = (uint8_t)(random >> 24);
        }
        spit(path, copy.data, copy.size);
        refused(path, &err);
    }
    free(copy.data);
    free(bytes.data);
    free(sensor);
}
