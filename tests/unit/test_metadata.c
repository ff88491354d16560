#include "capture/metadata.h"

#include <errno.h>
#include <libexif/exif-data.h>
#include <string.h>
#include <unistd.h>

#include "config/base/version.h"
#include "tests/unit/picture.h"

static void put(ExifData *data, ExifIfd ifd, int tag, ExifFormat format, const void *bytes,
                unsigned size)
{
    ExifEntry *entry = exif_entry_new();
    entry->tag = (ExifTag)tag;
    entry->format = format;
    entry->components = size / exif_format_get_size(format);
    entry->size = size;
    entry->data = malloc(size); /* freed by libexif, whose allocator is the C library's */
    CHECK(entry->data);
    memcpy(entry->data, bytes, size);
    exif_content_add_entry(data->ifd[ifd], entry);
    exif_entry_unref(entry);
}

static void put_text(ExifData *data, ExifIfd ifd, int tag, const char *text)
{
    put(data, ifd, tag, EXIF_FORMAT_ASCII, text, (unsigned)strlen(text) + 1);
}

static void put_ratio(ExifData *data, ExifIfd ifd, int tag, uint32_t above, uint32_t below)
{
    unsigned char bytes[8];
    exif_set_rational(bytes, exif_data_get_byte_order(data), (ExifRational){above, below});
    put(data, ifd, tag, EXIF_FORMAT_RATIONAL, bytes, 8);
}

static void put_short(ExifData *data, ExifIfd ifd, int tag, uint16_t number)
{
    unsigned char bytes[2];
    exif_set_short(bytes, exif_data_get_byte_order(data), number);
    put(data, ifd, tag, EXIF_FORMAT_SHORT, bytes, 2);
}

static ExifData *new_exif(ExifByteOrder order)
{
    ExifData *data = exif_data_new();
    CHECK(data);
    exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
    exif_data_set_byte_order(data, order);
    return data;
}

/* The block with its "Exif\0\0"; consumes data. */
static struct picture block_of(ExifData *data)
{
    struct picture block = {0};
    unsigned size = 0;
    exif_data_save_data(data, &block.bytes, &size);
    CHECK(block.bytes && size > 14);
    block.size = size;
    exif_data_unref(data);
    return block;
}

static ExifData *usual_exif(ExifByteOrder order)
{
    ExifData *data = new_exif(order);
    put_text(data, EXIF_IFD_0, 0x010f, "Maker Inc.  ");
    put_text(data, EXIF_IFD_0, 0x0110, "Model X");
    put_short(data, EXIF_IFD_0, 0x0112, 8);
    put_text(data, EXIF_IFD_EXIF, 0x9003, "2026:01:02 03:04:05");
    put_text(data, EXIF_IFD_EXIF, 0x9291, "07");
    put_text(data, EXIF_IFD_EXIF, 0x9011, "+05:30");
    put_text(data, EXIF_IFD_EXIF, 0xa431, "S-123");
    put_text(data, EXIF_IFD_EXIF, 0xa434, "Macro 100mm");
    put_ratio(data, EXIF_IFD_EXIF, 0x920a, 1055, 10);
    put_ratio(data, EXIF_IFD_EXIF, 0x829d, 56, 10);
    put_ratio(data, EXIF_IFD_EXIF, 0x829a, 1, 125);
    put_short(data, EXIF_IFD_EXIF, 0x8827, 400);
    return data;
}

static struct pf_record *read_picture(struct picture picture)
{
    struct pf_bytes *bytes = malloc(sizeof(*bytes));
    struct pf_record *record = calloc(1, sizeof(*record));
    struct pf_whole whole;
    struct pf_error err = {0};
    CHECK(bytes && record);
    pf_bytes_of_memory(bytes, picture.bytes, picture.size);
    CHECK_EQ(pf_whole_check(bytes, &whole), 0);
    CHECK_STR(whole.reason, "");
    CHECK_OK(pf_metadata_read(bytes, &whole, record, &err), &err);
    free(bytes);
    return record;
}

static struct pf_record *read_in_jpeg(struct picture block)
{
    struct picture jpeg = picture_jpeg(16, 16, false, 0, block.bytes, block.size);
    struct pf_record *record = read_picture(jpeg);
    free(jpeg.bytes);
    free(block.bytes);
    return record;
}

/* 2026-01-02 03:04:05 as UTC. */
#define SHOT_MS INT64_C(1767323045000)

static void check_usual(const struct pf_record *record)
{
    CHECK_STR(record->make, "Maker Inc.");
    CHECK_STR(record->model, "Model X");
    CHECK_STR(record->serial, "S-123");
    CHECK_STR(record->lens, "Macro 100mm");
    CHECK_EQ(record->orientation, 8);
    CHECK_EQ(record->capture_ms, SHOT_MS + 70 - (5 * 60 + 30) * 60000);
    CHECK(record->has_subsec && record->has_offset);
    CHECK_NEAR(record->focal_mm, 105.5, 1e-4);
    CHECK_NEAR(record->f_number, 5.6, 1e-4);
    CHECK_NEAR(record->exposure_s, 0.008, 1e-6);
    CHECK_EQ(record->iso, 400);
    CHECK_STR(record->burst_id, NULL);
    CHECK_EQ(record->sequence, -1);
}

TEST(metadata_of_jpeg_and_png)
{
    static const ExifByteOrder orders[] = {EXIF_BYTE_ORDER_INTEL, EXIF_BYTE_ORDER_MOTOROLA};
    for (int i = 0; i < 2; i++) {
        struct pf_record *record = read_in_jpeg(block_of(usual_exif(orders[i])));
        check_usual(record);
        pf_record_free(record);

        struct picture block = block_of(usual_exif(orders[i]));
        struct picture png = picture_png(16, 16, block.bytes + 6, block.size - 6);
        record = read_picture(png);
        check_usual(record);
        pf_record_free(record);
        free(block.bytes);
        free(png.bytes);
    }
}

static bool made_here(const char *software)
{
    ExifData *data = usual_exif(EXIF_BYTE_ORDER_INTEL);
    put_text(data, EXIF_IFD_0, 0x0131, software);
    struct pf_record *record = read_in_jpeg(block_of(data));
    bool is = record->made_here;
    check_usual(record);
    pf_record_free(record);
    return is;
}

TEST(results_are_told_by_their_software)
{
    static const char *const others[] = {"Firmware 1.0", "parfocal 2", "Parfocal", "not parfocal",
                                         ""};
    CHECK(made_here(PF_SOFTWARE));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (made_here(others[i]))
            FAIL("\"%s\"", others[i]);
}

static void write_tiff(const char *path, const char *mode, int size)
{
    TIFF *tiff = TIFFOpen(path, mode);
    CHECK(tiff);
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, size);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, size);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    TIFFSetField(tiff, TIFFTAG_MAKE, "Maker Inc.  ");
    TIFFSetField(tiff, TIFFTAG_MODEL, "Model X");
    TIFFSetField(tiff, TIFFTAG_SOFTWARE, PF_SOFTWARE);
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, 8);
    uint8_t *row = calloc(1, (size_t)size);
    CHECK(row);
    for (int y = 0; y < size; y++)
        CHECK(TIFFWriteScanline(tiff, row, (unsigned)y, 0) > 0);
    free(row);
    CHECK(TIFFWriteDirectory(tiff));

    uint64_t exif_at = 0;
    uint16_t iso = 400;
    CHECK(TIFFCreateEXIFDirectory(tiff) == 0);
    TIFFSetField(tiff, EXIFTAG_DATETIMEORIGINAL, "2026:01:02 03:04:05");
    TIFFSetField(tiff, EXIFTAG_SUBSECTIMEORIGINAL, "07");
    TIFFSetField(tiff, EXIFTAG_OFFSETTIMEORIGINAL, "+05:30");
    TIFFSetField(tiff, EXIFTAG_BODYSERIALNUMBER, "S-123");
    TIFFSetField(tiff, EXIFTAG_LENSMODEL, "Macro 100mm");
    TIFFSetField(tiff, EXIFTAG_FOCALLENGTH, 105.5);
    TIFFSetField(tiff, EXIFTAG_FNUMBER, 5.6);
    TIFFSetField(tiff, EXIFTAG_EXPOSURETIME, 0.008);
    TIFFSetField(tiff, EXIFTAG_ISOSPEEDRATINGS, 1, &iso);
    CHECK(TIFFWriteCustomDirectory(tiff, &exif_at));
    TIFFSetDirectory(tiff, 0);
    TIFFSetField(tiff, TIFFTAG_EXIFIFD, exif_at);
    CHECK(TIFFRewriteDirectory(tiff));
    TIFFClose(tiff);
}

/* Small: the directories lie in the first 64 KiB and the head serves; 300 x 300: behind it. */
TEST(metadata_of_tiff)
{
    static const char *const modes[] = {"wl", "wb", "wl8", "wb8"};
    static const int sizes[] = {20, 300};
    char path[4200];
    snprintf(path, sizeof(path), "%s/exif.tif", test_directory());
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++) {
            write_tiff(path, modes[i], sizes[j]);
            struct picture tiff = picture_read(path);
            struct pf_record *record = read_picture(tiff);
            check_usual(record);
            CHECK(record->made_here);
            pf_record_free(record);
            free(tiff.bytes);
        }
}

TEST(metadata_absent)
{
    struct picture jpeg = picture_jpeg(16, 16, false, 0, NULL, 0);
    struct pf_record *record = read_picture(jpeg);
    CHECK_EQ(record->orientation, 1);
    CHECK_EQ(record->capture_ms, -1);
    CHECK_EQ(record->sequence, -1);
    CHECK(!record->make && !record->lens && !record->iso);
    pf_record_free(record);
    free(jpeg.bytes);
}

static int64_t shot_ms(const char *time, const char *subsec, const char *offset, bool *ret_subsec,
                       bool *ret_offset)
{
    ExifData *data = new_exif(EXIF_BYTE_ORDER_INTEL);
    put_text(data, EXIF_IFD_EXIF, 0x9003, time);
    if (subsec)
        put_text(data, EXIF_IFD_EXIF, 0x9291, subsec);
    if (offset)
        put_text(data, EXIF_IFD_EXIF, 0x9011, offset);
    struct pf_record *record = read_in_jpeg(block_of(data));
    int64_t ms = record->capture_ms;
    *ret_subsec = record->has_subsec;
    *ret_offset = record->has_offset;
    pf_record_free(record);
    return ms;
}

TEST(metadata_times)
{
    bool subsec, offset;
    CHECK_EQ(shot_ms("2026:01:02 03:04:05", NULL, NULL, &subsec, &offset), SHOT_MS);
    CHECK(!subsec && !offset);
    CHECK_EQ(shot_ms("2026:01:02 03:04:05", "5", NULL, &subsec, &offset), SHOT_MS + 500);
    CHECK_EQ(shot_ms("2026:01:02 03:04:05", "123456", NULL, &subsec, &offset), SHOT_MS + 123);
    CHECK_EQ(shot_ms("2026:01:02 03:04:05", "004 ", NULL, &subsec, &offset), SHOT_MS + 4);
    CHECK(subsec);
    CHECK_EQ(shot_ms("2026:01:02 03:04:05", "  ", "", &subsec, &offset), SHOT_MS);
    CHECK(!subsec && !offset);
    CHECK_EQ(shot_ms("2026:01:02 03:04:05", NULL, "-08:00", &subsec, &offset),
             SHOT_MS + 8 * 3600000);
    CHECK(offset);
    CHECK_EQ(shot_ms("2026:01:02 03:04:05", NULL, "+99:00", &subsec, &offset), SHOT_MS);
    CHECK(!offset);
    static const char *const senseless[] = {
        "0000:00:00 00:00:00", "    :  :     :  :  ", "2026", "2026:13:02 03:04:05",
        "2026:01:02T",         "2026:01:02 03:0x:05", ""};
    for (size_t i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++)
        if (shot_ms(senseless[i], "1", "+01:00", &subsec, &offset) != -1 || subsec || offset)
            FAIL("\"%s\" is a time", senseless[i]);
}

TEST(metadata_senseless_numbers)
{
    ExifData *data = new_exif(EXIF_BYTE_ORDER_MOTOROLA);
    put_short(data, EXIF_IFD_0, 0x0112, 9);
    put_ratio(data, EXIF_IFD_EXIF, 0x829d, 5, 0);
    put_text(data, EXIF_IFD_EXIF, 0x829a, "1/125");
    put_short(data, EXIF_IFD_EXIF, 0x8827, 65535);
    put(data, EXIF_IFD_EXIF, 0x8832, EXIF_FORMAT_LONG, "\0\1\220\0", 4);
    struct pf_record *record = read_in_jpeg(block_of(data));
    CHECK_EQ(record->orientation, 1);
    CHECK(record->f_number == 0 && record->exposure_s == 0);
    CHECK_EQ(record->iso, 102400);
    pf_record_free(record);
}

static void put_big(uint8_t *at, size_t number)
{
    for (int b = 0; b < 4; b++)
        at[b] = (uint8_t)(number >> (24 - 8 * b));
}

/* An ORF is a TIFF under another number; a CR3 keeps the first and the EXIF directory in boxes. */
TEST(metadata_of_raw)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/exif.tif", test_directory());
    write_tiff(path, "wl", 20);
    struct picture tiff = picture_read(path), cr3 = {0};

    static const uint8_t exif_tag[2] = {0x69, 0x87}, one[4] = {1, 0, 0, 0};
    size_t at = tiff.size - 12; /* libtiff has written the directory twice: the last one */
    while (at && (memcmp(tiff.bytes + at, exif_tag, 2) || memcmp(tiff.bytes + at + 4, one, 4)))
        at--;
    CHECK(at);
    struct picture exif = {0};
    picture_append(&exif, tiff.bytes, tiff.size);
    memcpy(exif.bytes + 4, tiff.bytes + at + 8, 4);
    memset(tiff.bytes + at, 0, 2); /* so that the time can come from the second box alone */
    picture_append(&cr3,
                   "\0\0\0\20ftypcrx \0\0\0\1\0\0\0\0moov\0\0\0\0uuid"
                   "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48\0\0\0\0CMT1",
                   56);
    picture_append(&cr3, tiff.bytes, tiff.size);
    picture_append(&cr3, "\0\0\0\0CMT2", 8);
    picture_append(&cr3, exif.bytes, exif.size);
    put_big(cr3.bytes + 16, cr3.size - 16);
    put_big(cr3.bytes + 24, cr3.size - 24);
    put_big(cr3.bytes + 48, 8 + tiff.size);
    put_big(cr3.bytes + 56 + tiff.size, 8 + exif.size);
    picture_append(&cr3, "\0\0\0\12mdat..", 10);
    struct pf_record *record = read_picture(cr3);
    check_usual(record);
    pf_record_free(record);

    memcpy(tiff.bytes + at, exif_tag, 2);
    memcpy(tiff.bytes, "IIRO", 4);
    record = read_picture(tiff);
    check_usual(record);
    pf_record_free(record);
    free(tiff.bytes);
    free(exif.bytes);
    free(cr3.bytes);
}

static struct pf_record *read_note(const char *make, const void *note, size_t note_size)
{
    ExifData *data = new_exif(EXIF_BYTE_ORDER_INTEL);
    put_text(data, EXIF_IFD_0, 0x010f, make);
    put(data, EXIF_IFD_EXIF, 0x927c, EXIF_FORMAT_UNDEFINED, note, (unsigned)note_size);
    return read_in_jpeg(block_of(data));
}

#define NOTE(bytes) bytes, sizeof(bytes) - 1

TEST(metadata_of_maker_notes)
{
    struct pf_record *record = read_note("Apple", NOTE("Apple iOS\0\0\1MM\0\1"
                                                       "\0\13\0\2\0\0\0\11\0\0\0\40"
                                                       "\0\0\0\0UUID-678\0"));
    CHECK_STR(record->burst_id, "UUID-678");
    pf_record_free(record);

    record = read_note("FUJIFILM", NOTE("FUJIFILM\14\0\0\0\1\0\1\21\3\0\1\0\0\0\7\0\0\0\0\0\0\0"));
    CHECK_EQ(record->sequence, 7);
    pf_record_free(record);
    record = read_note("FUJIFILM", NOTE("FUJIFILM\14\0\0\0\1\0\1\21\3\0\1\0\0\0\0\0\0\0\0\0\0\0"));
    CHECK_EQ(record->sequence, -1); /* a single shot */
    pf_record_free(record);

    /* One entry that points to CameraSettings at 30; there DriveMode = 5 (focus), shot 4. */
    static const char olympus[] = "OLYMPUS\0II\3\0\1\0\40\40\4\0\1\0\0\0\36\0\0\0\0\0\0\0"
                                  "\1\0\0\6\3\0\2\0\0\0\5\0\4\0\0\0\0\0";
    record = read_note("OLYMPUS", NOTE(olympus));
    CHECK_EQ(record->sequence, 4);
    pf_record_free(record);

    record = read_note("Panasonic", NOTE("Panasonic\0\0\0\2\0*\0\3\0\1\0\0\0\3\0\0\0"
                                         "+\0\4\0\1\0\0\0\11\0\0\0\0\0\0\0"));
    CHECK_EQ(record->sequence, 9);
    pf_record_free(record);

    record = read_note("Canon", NOTE("\1\0\14\0\4\0\1\0\0\0\25\315\133\7\0\0\0\0\0\0"));
    CHECK_STR(record->serial, "0123456789");
    pf_record_free(record);

    for (int old = 0; old < 2; old++) {
        char nikon[] = "Nikon\0\2\20\0\0MM\0*\0\0\0\10"
                       "\0\1\0\35\0\2\0\0\0\10\0\0\0\32\0\0\0\0"
                       "6012345\0";
        nikon[21] = old ? '\240' : '\35';
        record = read_note("NIKON CORPORATION", nikon, sizeof(nikon) - 1);
        CHECK_STR(record->serial, "6012345");
        pf_record_free(record);
    }

    record = read_note("SONY", NOTE("SONY DSC \0\0\0\1\0\112\260\3\0\1\0\0\0\2\0\0\0\0\0\0\0"));
    CHECK_EQ(record->sequence, 2);
    pf_record_free(record);
}

/* Byte flips in block, note and directories: any record, no crash, no endless loop. */
/* A tag that could not be read is none that is not there. */
TEST(metadata_that_could_not_all_be_read)
{
    struct picture block = block_of(usual_exif(EXIF_BYTE_ORDER_INTEL));
    struct picture jpeg = picture_jpeg(16, 16, false, 0, block.bytes, block.size);
    struct pf_bytes *bytes = malloc(sizeof(*bytes));
    struct pf_record *record = calloc(1, sizeof(*record));
    struct pf_whole whole;
    struct pf_error err = {0};
    const uint8_t *view;
    int ends[2];
    CHECK(bytes && record && pipe(ends) == 0);
    pf_bytes_of_memory(bytes, jpeg.bytes, jpeg.size);
    CHECK_EQ(pf_whole_check(bytes, &whole), 0);

    /* The file's begin is in the window, and reading what is further on has failed. */
    CHECK(jpeg.size <= PF_BYTES_WINDOW);
    pf_bytes_of_file(bytes, ends[0], 2 * PF_BYTES_WINDOW);
    memcpy(bytes->window, jpeg.bytes, jpeg.size);
    bytes->window_bytes = jpeg.size;
    CHECK_OK(pf_metadata_read(bytes, &whole, record, &err), &err);
    CHECK_STR(record->serial, "S-123");
    pf_record_free(record);
    record = calloc(1, sizeof(*record));
    CHECK(record);
    CHECK_EQ(pf_bytes_view(bytes, PF_BYTES_WINDOW, 1, &view), -ESPIPE);
    bytes->window_at = 0;
    bytes->window_bytes = jpeg.size;
    CHECK_EQ(pf_metadata_read(bytes, &whole, record, &err), -ESPIPE);

    pf_record_free(record);
    close(ends[0]);
    close(ends[1]);
    free(bytes);
    free(jpeg.bytes);
    free(block.bytes);
}

TEST(metadata_hostile)
{
    uint64_t seed = 11;
    char path[4200];
    snprintf(path, sizeof(path), "%s/exif.tif", test_directory());
    write_tiff(path, "wb8", 20);
    ExifData *data = usual_exif(EXIF_BYTE_ORDER_INTEL);
    put(data, EXIF_IFD_EXIF, 0x927c, EXIF_FORMAT_UNDEFINED,
        NOTE("Panasonic\0\0\0\2\0*\0\3\0\1\0\0\0\3\0\0\0+\0\4\0\1\0\0\0\11\0\0\0\0\0\0\0"));
    struct picture block = block_of(data);
    struct picture pictures[] = {picture_jpeg(8, 8, false, 0, block.bytes, block.size),
                                 picture_png(8, 8, block.bytes + 6, block.size - 6),
                                 picture_read(path)};
    struct pf_bytes *bytes = malloc(sizeof(*bytes));
    CHECK(bytes);
    for (int kind = 0; kind < 3; kind++) {
        struct picture original = pictures[kind];
        struct pf_whole whole;
        pf_bytes_of_memory(bytes, original.bytes, original.size);
        CHECK_EQ(pf_whole_check(bytes, &whole), 0);
        CHECK_EQ(whole.state, PF_WHOLE_YES);
        uint8_t *copy = malloc(original.size);
        CHECK(copy);
        for (int round = 0; round < 3000; round++) {
            memcpy(copy, original.bytes, original.size);
            for (uint64_t i = picture_random(&seed) % 12 + 1; i; i--)
                copy[(uint64_t)whole.exif_at +
                     picture_random(&seed) % (uint64_t)whole.exif_size_bytes] =
                    (uint8_t)picture_random(&seed);
            struct pf_record *record = calloc(1, sizeof(*record));
            CHECK(record);
            pf_bytes_of_memory(bytes, copy, original.size);
            CHECK_EQ(pf_metadata_read(bytes, &whole, record, NULL), 0);
            CHECK(record->orientation >= 1 && record->orientation <= 8);
            pf_record_free(record);
        }
        free(copy);
        free(original.bytes);
    }
    free(block.bytes);
    free(bytes);
}
