#include "capture/whole.h"

#include "tests/unit/picture.h"

static struct pf_whole check_bytes(const void *bytes, size_t size)
{
    /* A copy of exactly this size, so that a sanitizer sees any read behind it. */
    uint8_t *copy = malloc(size ? size : 1);
    struct pf_bytes *source = malloc(sizeof(*source));
    struct pf_whole whole;
    CHECK(copy && source);
    memcpy(copy, bytes, size);
    pf_bytes_of_memory(source, copy, size);
    CHECK_EQ(pf_whole_check(source, &whole), 0);
    CHECK((whole.state == PF_WHOLE_YES) == !whole.reason[0]);
    free(source);
    free(copy);
    return whole;
}

static void check_file_too(struct picture picture, struct pf_whole expected)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/whole", test_directory());
    FILE *file = fopen(path, "wb+");
    CHECK(file && fwrite(picture.bytes, 1, picture.size, file) == picture.size && !fflush(file));
    struct pf_bytes *source = malloc(sizeof(*source));
    struct pf_whole whole;
    CHECK(source);
    pf_bytes_of_file(source, fileno(file), (int64_t)picture.size);
    CHECK_EQ(pf_whole_check(source, &whole), 0);
    CHECK_EQ(whole.state, expected.state);
    CHECK_EQ(whole.width, expected.width);
    /* It shrinks after its size was taken: an answer, not a crash. */
    CHECK(ftruncate(fileno(file), (off_t)picture.size / 2) == 0);
    pf_bytes_of_file(source, fileno(file), (int64_t)picture.size);
    CHECK_EQ(pf_whole_check(source, &whole), 0);
    CHECK(whole.state != PF_WHOLE_YES);
    free(source);
    fclose(file);
}

/* No prefix shorter than `end` is whole, everything from there on is. */
static void check_prefixes(struct picture picture, size_t end, const char *format, int width,
                           int height)
{
    struct pf_whole whole = check_bytes(picture.bytes, picture.size);
    CHECK_STR(whole.reason, "");
    CHECK_STR(whole.format, format);
    CHECK_EQ(whole.width, width);
    CHECK_EQ(whole.height, height);
    for (size_t size = 0; size <= picture.size; size++) {
        whole = check_bytes(picture.bytes, size);
        if (size >= end)
            CHECK_EQ(whole.state, PF_WHOLE_YES);
        else if (whole.state != PF_WHOLE_NOT_YET)
            FAIL("%zu of %zu bytes: state %d, %s", size, picture.size, whole.state, whole.reason);
    }
    check_file_too(picture, check_bytes(picture.bytes, picture.size));
}

/* Space reserved and filled from its begin, by pieces of at least 8 bytes: the rest is zeros. */
static void check_reserved(struct picture picture, size_t until)
{
    uint8_t *zeros = calloc(1, picture.size);
    CHECK(zeros);
    for (size_t size = 0; size < until; size++) {
        struct pf_whole whole = check_bytes(zeros, picture.size);
        bool complete = !memcmp(zeros, picture.bytes, picture.size); /* it may end in zeros */
        bool passed = whole.state == PF_WHOLE_YES || whole.state == PF_WHOLE_FOREIGN;
        if ((size == 0 || size >= 8) && !complete && passed)
            FAIL("first %zu of %zu bytes: state %d", size, picture.size, whole.state);
        zeros[size] = picture.bytes[size];
    }
    free(zeros);
}

/* Random bytes changed, sometimes cut too: any answer, no crash, no endless loop. */
static void check_flips(struct picture picture, uint64_t seed, int rounds)
{
    uint8_t *copy = malloc(picture.size);
    CHECK(copy);
    for (int round = 0; round < rounds; round++) {
        memcpy(copy, picture.bytes, picture.size);
        int flips = 1 + (int)(picture_random(&seed) % 8);
        for (int i = 0; i < flips; i++) {
            /* Mostly near the ends, where the structure is. */
            size_t at = picture_random(&seed) % picture.size;
            if (picture_random(&seed) % 4)
                at = picture_random(&seed) % 2 ? at % 256 : picture.size - 1 - at % 256;
            copy[at % picture.size] = (uint8_t)picture_random(&seed);
        }
        size_t cut = picture_random(&seed) % 2 ? 0 : picture_random(&seed) % picture.size;
        check_bytes(copy, picture.size - cut);
    }
    free(copy);
}

TEST(whole_jpeg_prefixes)
{
    for (int progressive = 0; progressive < 2; progressive++)
        for (int restart = 0; restart < 3; restart += 2) {
            struct picture jpeg = picture_jpeg(40, 24, progressive, restart, NULL, 0);
            check_prefixes(jpeg, jpeg.size, "jpeg", 40, 24);
            check_reserved(jpeg, jpeg.size);
            free(jpeg.bytes);
        }
}

TEST(whole_jpeg_is_not_fooled_by_its_thumbnail)
{
    struct picture thumbnail = picture_jpeg(16, 16, false, 0, NULL, 0);
    struct picture exif = {0};
    picture_append(&exif, "Exif\0\0II*\0\10\0\0\0\0\0\0\0\0\0", 20);
    picture_append(&exif, thumbnail.bytes, thumbnail.size);
    struct picture jpeg = picture_jpeg(40, 24, false, 0, exif.bytes, exif.size);
    check_prefixes(jpeg, jpeg.size, "jpeg", 40, 24);
    struct pf_whole whole = check_bytes(jpeg.bytes, jpeg.size);
    CHECK_EQ(whole.exif_size_bytes, exif.size - 6);
    CHECK(!memcmp(jpeg.bytes + whole.exif_at, exif.bytes + 6, exif.size - 6));
    free(thumbnail.bytes);
    free(exif.bytes);
    free(jpeg.bytes);
}

TEST(whole_jpeg_trailers_are_allowed)
{
    struct picture jpeg = picture_jpeg(40, 24, false, 0, NULL, 0);
    struct picture second = picture_jpeg(32, 16, false, 0, NULL, 0);
    size_t end = jpeg.size;
    picture_append(&jpeg, second.bytes, second.size);
    picture_append(&jpeg, "SEFHe\0\0\0SEFT", 12);
    check_prefixes(jpeg, end, "jpeg", 40, 24);
    CHECK(!check_bytes(jpeg.bytes, jpeg.size).trailer_missing);
    free(second.bytes);
    free(jpeg.bytes);
}

TEST(whole_jpeg_mpf_names_what_follows)
{
    struct picture plain = picture_jpeg(40, 24, false, 0, NULL, 0);
    struct picture second = picture_jpeg(32, 16, false, 0, NULL, 0);
    /* SOI, APP2 with an index of two images, the rest of the first picture, the second one. */
    uint8_t index[4 + 4 + 8 + 2 + 12 + 4 + 32] = {0xff, 0xe2, 0, sizeof(index) - 2, 'M', 'P', 'F'};
    uint8_t *tiff = index + 8;
    memcpy(tiff, "MM\0*\0\0\0\10\0\1\xb0\2\0\7\0\0\0\40\0\0\0\32\0\0\0\0", 26);
    uint32_t offset = (uint32_t)(plain.size + sizeof(index) - (2 + 8));
    for (int b = 0; b < 4; b++) {
        tiff[26 + 16 + 4 + b] = (uint8_t)((uint32_t)second.size >> (24 - 8 * b));
        tiff[26 + 16 + 8 + b] = (uint8_t)(offset >> (24 - 8 * b));
    }
    struct picture jpeg = {0};
    picture_append(&jpeg, plain.bytes, 2);
    picture_append(&jpeg, index, sizeof(index));
    picture_append(&jpeg, plain.bytes + 2, plain.size - 2);
    size_t end = jpeg.size;
    picture_append(&jpeg, second.bytes, second.size);
    check_prefixes(jpeg, end, "jpeg", 40, 24);
    CHECK(check_bytes(jpeg.bytes, end).trailer_missing);
    CHECK(check_bytes(jpeg.bytes, jpeg.size - 1).trailer_missing);
    CHECK(!check_bytes(jpeg.bytes, jpeg.size).trailer_missing);

    /* There is one index: what others behind it name is not looked at, however many they are. */
    struct picture more = {0};
    uint8_t far_away[sizeof(index)];
    memcpy(far_away, index, sizeof(index));
    far_away[8 + 26 + 16 + 8] = 0x7f;
    picture_append(&more, jpeg.bytes, 2 + sizeof(index));
    picture_append(&more, far_away, sizeof(far_away));
    picture_append(&more, jpeg.bytes + 2 + sizeof(index), jpeg.size - 2 - sizeof(index));
    CHECK_EQ(check_bytes(more.bytes, more.size).state, PF_WHOLE_YES);
    CHECK(!check_bytes(more.bytes, more.size).trailer_missing);
    free(more.bytes);
    free(plain.bytes);
    free(second.bytes);
    free(jpeg.bytes);
}

TEST(whole_jpeg_corrupt)
{
    static const uint8_t no_picture[] = {0xff, 0xd8, 0xff, 0xd9};
    static const uint8_t no_marker[] = {0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 9, 9, 9, 9};
    static const uint8_t no_length[] = {0xff, 0xd8, 0xff, 0xe0, 0, 1, 1, 2};
    static const uint8_t no_size[] = {0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 0, 0, 8, 1, 1, 17, 0};
    static const uint8_t no_frame[] = {0xff, 0xd8, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0};
    CHECK_EQ(check_bytes(no_picture, sizeof(no_picture)).state, PF_WHOLE_NEVER);
    CHECK_EQ(check_bytes(no_marker, sizeof(no_marker)).state, PF_WHOLE_NEVER);
    CHECK_EQ(check_bytes(no_length, sizeof(no_length)).state, PF_WHOLE_NEVER);
    CHECK_EQ(check_bytes(no_size, sizeof(no_size)).state, PF_WHOLE_NEVER);
    CHECK_EQ(check_bytes(no_frame, sizeof(no_frame)).state, PF_WHOLE_NEVER);
}

TEST(whole_png_prefixes)
{
    struct picture png = picture_png(40, 24, NULL, 0);
    check_prefixes(png, png.size, "png", 40, 24);
    check_reserved(png, png.size);
    size_t end = png.size;
    picture_append(&png, "trailer", 7);
    check_prefixes(png, end, "png", 40, 24);
    free(png.bytes);
}

TEST(whole_png_every_changed_byte_is_seen)
{
    struct picture png = picture_png(20, 12, NULL, 0);
    for (size_t i = 8; i < png.size; i++) {
        png.bytes[i] ^= 0x11;
        if (check_bytes(png.bytes, png.size).state == PF_WHOLE_YES)
            FAIL("byte %zu of %zu changed and not seen", i, png.size);
        png.bytes[i] ^= 0x11;
    }
    free(png.bytes);
}

TEST(whole_tiff_prefixes)
{
    static const char *const modes[] = {"wl", "wb", "wl8", "wb8"};
    for (int i = 0; i < 4; i++)
        for (int tiled = 0; tiled < 2; tiled++)
            for (int pages = 1; pages < 3; pages++) {
                struct picture tiff = picture_tiff(modes[i], 36, 20, pages, tiled);
                check_prefixes(tiff, tiff.size, "tiff", 36, 20);
                if (i == 0) /* up to its directory; zeros in a text behind it cannot be told */
                    check_reserved(tiff, tiff.bytes[4] | (size_t)tiff.bytes[5] << 8);
                free(tiff.bytes);
            }
}

/* A little-endian TIFF whose directory stands before its picture; entries of 12 bytes each. */
static struct picture tiff_of(const char *entries, size_t count, uint32_t next)
{
    struct picture tiff = {0};
    uint8_t number[4] = {(uint8_t)count};
    picture_append(&tiff, "II*\0\10\0\0\0", 8);
    picture_append(&tiff, number, 2);
    picture_append(&tiff, entries, count * 12);
    for (int b = 0; b < 4; b++)
        number[b] = (uint8_t)(next >> 8 * b);
    picture_append(&tiff, number, 4);
    return tiff;
}

#define SHORT_ENTRY(tag, value) tag "\3\0\1\0\0\0" value "\0\0"
#define LONG_ENTRY(tag, value)  tag "\4\0\1\0\0\0" value
#define WIDTH                   SHORT_ENTRY("\0\1", "\4\0")
#define HEIGHT                  SHORT_ENTRY("\1\1", "\4\0")
#define STRIP(offset)           LONG_ENTRY("\21\1", offset)
#define STRIP_SIZE              LONG_ENTRY("\27\1", "\20\0\0\0")

TEST(whole_tiff_directory_first)
{
    struct picture tiff = tiff_of(WIDTH HEIGHT STRIP("\76\0\0\0") STRIP_SIZE, 4, 0);
    CHECK_EQ(tiff.size, 62);
    picture_append(&tiff, "0123456789abcdef", 16);
    check_prefixes(tiff, tiff.size, "tiff", 4, 4);
    free(tiff.bytes);
}

TEST(whole_tiff_hostile)
{
    /* The next directory is this one; is another one in a loop; lies behind the end. */
    struct picture tiff = tiff_of(WIDTH HEIGHT STRIP("\10\0\0\0") STRIP_SIZE, 4, 8);
    CHECK_EQ(check_bytes(tiff.bytes, tiff.size).state, PF_WHOLE_NEVER);
    free(tiff.bytes);
    tiff = tiff_of(WIDTH HEIGHT STRIP("\10\0\0\0") STRIP_SIZE, 4, 0xfffffff0);
    CHECK_EQ(check_bytes(tiff.bytes, tiff.size).state, PF_WHOLE_NOT_YET);
    free(tiff.bytes);
    /* Four thousand million strips. */
    tiff = tiff_of(WIDTH HEIGHT "\21\1\4\0\377\377\377\377\10\0\0\0"
                                "\27\1\4\0\377\377\377\377\10\0\0\0",
                   4, 0);
    CHECK_EQ(check_bytes(tiff.bytes, tiff.size).state, PF_WHOLE_NOT_YET);
    free(tiff.bytes);
    /* Strips without sizes; no picture at all. */
    tiff = tiff_of(WIDTH HEIGHT STRIP("\10\0\0\0"), 3, 0);
    CHECK_EQ(check_bytes(tiff.bytes, tiff.size).state, PF_WHOLE_NEVER);
    free(tiff.bytes);
    tiff = tiff_of(WIDTH HEIGHT, 2, 0);
    CHECK_EQ(check_bytes(tiff.bytes, tiff.size).state, PF_WHOLE_NEVER);
    free(tiff.bytes);
}

#define STRIP_DATA "0123456789abcdef"

/* Shaped as TIFF, each told by its own mark; the sensor's data stands behind the directory. */
TEST(whole_raw_shaped_as_tiff)
{
    struct picture dng =
        tiff_of(WIDTH HEIGHT STRIP("\112\0\0\0") STRIP_SIZE "\22\306\1\0\4\0\0\0\1\4\0\0", 5, 0);
    picture_append(&dng, STRIP_DATA, 16);
    check_prefixes(dng, dng.size, "dng", 4, 4);
    check_flips(dng, 9, 4000);
    free(dng.bytes);

    struct picture filter =
        tiff_of(WIDTH HEIGHT SHORT_ENTRY("\6\1", "\43\200") STRIP("\112\0\0\0") STRIP_SIZE, 5, 0);
    picture_append(&filter, STRIP_DATA, 16);
    check_prefixes(filter, filter.size, "raw", 4, 4);
    free(filter.bytes);

    /* A preview first, as NEF and ARW have it, and the picture beneath it, which is larger. */
    struct picture nef =
        tiff_of("\376\0\4\0\1\0\0\0\1\0\0\0" LONG_ENTRY("\112\1", "\46\0\0\0"), 2, 0);
    picture_append(&nef, "\4\0" WIDTH HEIGHT STRIP("\134\0\0\0") STRIP_SIZE "\0\0\0\0", 54);
    picture_append(&nef, STRIP_DATA, 16);
    check_prefixes(nef, nef.size, "raw", 4, 4);
    free(nef.bytes);

    struct picture orf = tiff_of(WIDTH HEIGHT STRIP("\76\0\0\0") STRIP_SIZE, 4, 0);
    memcpy(orf.bytes, "IIRO", 4);
    picture_append(&orf, STRIP_DATA, 16);
    check_prefixes(orf, orf.size, "orf", 4, 4);
    free(orf.bytes);

    /* Where the data of an RW2 ends nobody knows: whole from its first byte on, but not at once. */
    struct picture rw2 = tiff_of(STRIP("\377\377\377\377") LONG_ENTRY("\30\1", "\46\0\0\0"), 2, 0);
    memcpy(rw2.bytes, "IIU", 4);
    picture_append(&rw2, STRIP_DATA, 16);
    check_prefixes(rw2, rw2.size - 15, "rw2", 0, 0);
    CHECK(check_bytes(rw2.bytes, rw2.size).trailer_missing);
    free(rw2.bytes);

    CHECK_EQ(check_bytes("II*\0\20\0\0\0CR\2\0\0\0\0\0\1\0", 18).state, PF_WHOLE_NOT_YET);
    CHECK_STR(check_bytes("II*\0\20\0\0\0CR\2\0\0\0\0\0\1\0", 18).format, "cr2");
}

static void put_big(struct picture *to, size_t at, uint32_t number)
{
    for (int b = 0; b < 4; b++)
        to->bytes[at + (size_t)b] = (uint8_t)(number >> (24 - 8 * b));
}

TEST(whole_raf)
{
    static const char jpeg[] = "\xff\xd8\xff\xe1\0\x10"
                               "Exif\0\0II*\0\0\0\0\0";
    struct picture raf = {0};
    char header[108] = "FUJIFILMCCD-RAW 0201FF389501";
    picture_append(&raf, header, sizeof(header));
    picture_append(&raf, jpeg, sizeof(jpeg));
    /* RawImageSize, height first, and FujiLayout of a sensor of diamonds: twice as high, half as wide. */
    picture_append(&raf, "\0\0\0\2\1\41\0\4\0\3\0\14\1\60\0\4\200\2\1\0", 20);
    picture_append(&raf, STRIP_DATA, 16);
    put_big(&raf, 84, 108);
    put_big(&raf, 88, sizeof(jpeg));
    put_big(&raf, 92, 108 + sizeof(jpeg));
    put_big(&raf, 96, 20);
    put_big(&raf, 100, 108 + sizeof(jpeg) + 20);
    put_big(&raf, 104, 16);
    check_prefixes(raf, raf.size, "raf", 6, 6);
    CHECK_EQ(check_bytes(raf.bytes, raf.size).exif_at, 108 + 12);
    CHECK_EQ(check_bytes(raf.bytes, raf.size).exif_size_bytes, 8);
    check_flips(raf, 10, 4000);
    free(raf.bytes);
}

static size_t begin_box(struct picture *to, const char *type)
{
    picture_append(to, "\0\0\0\0", 4);
    picture_append(to, type, 4);
    return to->size - 8;
}

static void end_box(struct picture *to, size_t at)
{
    put_big(to, at, (uint32_t)(to->size - at));
}

TEST(whole_cr3)
{
    struct picture cr3 = {0};
    struct picture first = tiff_of(WIDTH HEIGHT, 2, 0);
    size_t box = begin_box(&cr3, "ftyp");
    picture_append(&cr3, "crx \0\0\0\1crx isom", 16);
    end_box(&cr3, box);
    size_t moov = begin_box(&cr3, "moov");
    size_t canon = begin_box(&cr3, "uuid");
    picture_append(&cr3, "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48", 16);
    size_t first_at = begin_box(&cr3, "CMT1");
    picture_append(&cr3, first.bytes, first.size);
    end_box(&cr3, first_at);
    size_t exif_at = begin_box(&cr3, "CMT2");
    picture_append(&cr3, first.bytes, first.size);
    end_box(&cr3, exif_at);
    end_box(&cr3, canon);
    end_box(&cr3, moov);
    picture_append(&cr3, "\0\0\0\1mdat\0\0\0\0\0\0\0\40" STRIP_DATA, 32);
    check_prefixes(cr3, cr3.size, "cr3", 4, 4);
    struct pf_whole whole = check_bytes(cr3.bytes, cr3.size);
    CHECK_EQ(whole.exif_at, (int64_t)first_at + 8);
    CHECK_EQ(whole.exif_more_at, (int64_t)exif_at + 8);
    CHECK(!whole.trailer_missing);
    check_flips(cr3, 11, 4000);

    /* A box that is larger than any file, or smaller than its head; data that reach to the end of the
     * file. */
    cr3.bytes[cr3.size - 24] = 0x40;
    CHECK_EQ(check_bytes(cr3.bytes, cr3.size).state, PF_WHOLE_NEVER);
    cr3.bytes[cr3.size - 24] = 0;
    put_big(&cr3, moov, 7);
    CHECK_EQ(check_bytes(cr3.bytes, cr3.size).state, PF_WHOLE_NEVER);
    end_box(&cr3, moov);
    cr3.bytes[moov + 3] = (uint8_t)(cr3.size - 32 - moov);
    put_big(&cr3, cr3.size - 32, 0);
    CHECK_EQ(check_bytes(cr3.bytes, cr3.size).state, PF_WHOLE_YES);
    CHECK(check_bytes(cr3.bytes, cr3.size).trailer_missing);
    free(first.bytes);
    free(cr3.bytes);
}

/* The structure of these stands in front: it says nothing of what follows it. */
TEST(whole_data_that_may_still_be_written)
{
    enum { HEAD = 62, DATA = 1 << 20 };
    struct picture tiff =
        tiff_of(WIDTH HEIGHT STRIP("\76\0\0\0") LONG_ENTRY("\27\1", "\0\0\20\0"), 4, 0);
    CHECK_EQ(tiff.size, HEAD);
    char *data = malloc(DATA);
    CHECK(data);
    memset(data, 'x', DATA);
    picture_append(&tiff, data, DATA);
    CHECK(!check_bytes(tiff.bytes, tiff.size).trailer_missing);
    memset(tiff.bytes + tiff.size - 256, 0, 256);
    CHECK_EQ(check_bytes(tiff.bytes, tiff.size).state, PF_WHOLE_YES);
    CHECK(check_bytes(tiff.bytes, tiff.size).trailer_missing);
    tiff.bytes[tiff.size - 1] = 'x';
    CHECK(!check_bytes(tiff.bytes, tiff.size).trailer_missing);

    /* A copier gives the file its size, and writes from the begin. */
    char path[4200];
    snprintf(path, sizeof(path), "%s/hollow", test_directory());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    struct pf_bytes *source = malloc(sizeof(*source));
    struct pf_whole whole;
    CHECK(fd >= 0 && source);
    CHECK_EQ(ftruncate(fd, (off_t)tiff.size), 0);
    if (lseek(fd, 0, SEEK_HOLE) != 0)
        SKIP("holes of files cannot be told here");
    for (size_t written = 0; written < tiff.size;) {
        size_t next = written ? written + (256 << 10) : HEAD;
        next = next < tiff.size ? next : tiff.size;
        CHECK_EQ(pwrite(fd, tiff.bytes + written, next - written, (off_t)written),
                 (ssize_t)(next - written));
        written = next;
        pf_bytes_of_file(source, fd, (int64_t)tiff.size);
        CHECK_EQ(pf_whole_check(source, &whole), 0);
        CHECK_EQ(whole.state, PF_WHOLE_YES);
        CHECK_EQ(whole.hollow, written < tiff.size);
        CHECK_EQ(whole.trailer_missing, written < tiff.size);
    }
    free(source);
    close(fd);
    free(data);
    free(tiff.bytes);
}

TEST(whole_foreign_content)
{
    CHECK_EQ(check_bytes("Hello, world, this is text\n", 27).state, PF_WHOLE_FOREIGN);
    CHECK(!check_bytes("Hello, world, this is text\n", 27).format);
    CHECK_EQ(check_bytes("GIF89a..............", 20).state, PF_WHOLE_FOREIGN);
    CHECK_EQ(check_bytes("\0\0\0\30ftypheic\0\0\0\0", 16).state, PF_WHOLE_FOREIGN);
    CHECK_EQ(check_bytes("", 0).state, PF_WHOLE_NOT_YET);
    CHECK_EQ(check_bytes("\0\0\0\0\0\0\0\0\0\0\0\0", 12).state, PF_WHOLE_NOT_YET);
}

TEST(whole_flipped_bytes)
{
    struct picture jpeg = picture_jpeg(40, 24, true, 2, NULL, 0);
    check_flips(jpeg, 1, 4000);
    free(jpeg.bytes);
    struct picture png = picture_png(40, 24, NULL, 0);
    check_flips(png, 2, 4000);
    free(png.bytes);
    static const char *const modes[] = {"wl", "wb", "wl8", "wb8"};
    for (int i = 0; i < 4; i++) {
        struct picture tiff = picture_tiff(modes[i], 36, 20, 2, false);
        check_flips(tiff, 3 + (uint64_t)i, 4000);
        free(tiff.bytes);
    }
}
