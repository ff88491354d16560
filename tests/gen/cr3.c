#include "tests/gen/cr3.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/gen/crx.h"
#include "tests/gen/makers.h"
#include "tests/gen/rows.h"

enum {
    TRACKS = 4,
    SECONDS_1904 = 2082844800, /* the boxes' epoch, before 1970 */
    MASKED = 12,           /* left and above: that far from what light falls on to the picture */
    MODEL_ID = 0x80000412, /* EOS M50 */
    COLOUR_DATA = 1820,    /* values */
    COLOUR_VERSION = 16,
    COLOUR_GAINS = 0x47, /* as shot, automatic, measured, with a temperature after each */
    COLOUR_BLACK = 0x149,
    COLOUR_WHITE = 0x31c, /* where it ends to be linear, and where it ends */
};

static const struct pf_gen_body body = {
    .from_xyz = {0.8532f, -0.0701f, -0.1167f, -0.4095f, 1.1879f, 0.2508f, -0.0797f, 0.2424f,
                 0.7010f},
    .gain = {2048, 1024, 1463},
    .black = 2048,
    .white = 14338,
    .period = 2,
    .filter = "\0\1\1\2",
};

static void put_text(struct pf_gen_bytes *to, const char *text)
{
    pf_gen_put(to, text, strlen(text));
}

/* Hexadecimal digits; spaces between bytes as one likes. */
static void put_hex(struct pf_gen_bytes *to, const char *digits)
{
    while (*digits) {
        unsigned byte;
        int length = 0;
        sscanf(digits, " %2x %n", &byte, &length);
        pf_gen_put_number(to, byte, 1);
        digits += length;
    }
}

static size_t begin(struct pf_gen_bytes *to, const char *type)
{
    size_t at = to->size;
    pf_gen_put_number(to, 0, 4);
    put_text(to, type);
    return at;
}

static void end(struct pf_gen_bytes *to, size_t at)
{
    pf_gen_set_number(to, at, (uint32_t)(to->size - at), 4);
}

static void put_box(struct pf_gen_bytes *to, const char *type, const char *digits)
{
    size_t at = begin(to, type);
    put_hex(to, digits);
    end(to, at);
}

/* ---- EXIF and maker note, TIFF structures in Intel's order ------------------------------------ */

static struct pf_gen_bytes tiff_of(struct pf_gen_directory *directory)
{
    struct pf_gen_bytes tiff = {.size = 0};
    pf_gen_put(&tiff, "II*\0\x08\0\0\0", 8);
    pf_gen_directory_write(&tiff, directory);
    return tiff;
}

static void put_tiff(struct pf_gen_bytes *to, const char *type, struct pf_gen_directory *directory)
{
    struct pf_gen_bytes tiff = tiff_of(directory);
    size_t at = begin(to, type);
    pf_gen_put(to, tiff.data, tiff.size);
    end(to, at);
    free(tiff.data);
}

/* There is no maker's note in the EXIF directory, it stands beside it. */
static void drop(struct pf_gen_directory *directory, uint16_t tag)
{
    int kept = 0;
    for (int i = 0; i < directory->entries; i++)
        if (directory->entry[i].tag != tag)
            directory->entry[kept++] = directory->entry[i];
    directory->entries = kept;
}

static void put_metadata(struct pf_gen_bytes *to, const struct pf_gen_cr3 *cr3)
{
    const struct pf_gen_exif *exif = cr3->exif;
    const struct pf_gen_cr3_jpeg *whole = &cr3->whole;
    struct pf_gen_directory directory = {.entries = 0};
    char time[20];
    pf_gen_exif_time(exif, time);
    pf_gen_short(&directory, 0x0100, (uint16_t)whole->width);
    pf_gen_short(&directory, 0x0101, (uint16_t)whole->height);
    pf_gen_shorts(&directory, 0x0102, (const uint16_t[]){8, 8, 8}, 3);
    pf_gen_short(&directory, 0x0103, 6);
    pf_gen_text(&directory, 0x010f, exif->make);
    pf_gen_text(&directory, 0x0110, exif->model);
    pf_gen_short(&directory, 0x0112, (uint16_t)exif->orientation);
    pf_gen_ratio(&directory, 0x011a, 72);
    pf_gen_ratio(&directory, 0x011b, 72);
    pf_gen_short(&directory, 0x0128, 2);
    pf_gen_text(&directory, 0x0132, time);
    put_tiff(to, "CMT1", &directory);

    pf_gen_exif_directory(&directory, exif, whole->width, whole->height, 2, true);
    drop(&directory, 0x927c);
    put_tiff(to, "CMT2", &directory);

    /* The borders of the picture: LibRaw takes its last column and row for the first outside. */
    const uint16_t sensor[17] = {34,
                                 (uint16_t)cr3->columns,
                                 (uint16_t)cr3->rows,
                                 1,
                                 1,
                                 PF_GEN_CR3_LEFT,
                                 PF_GEN_CR3_TOP,
                                 (uint16_t)(PF_GEN_CR3_LEFT + whole->width),
                                 (uint16_t)(PF_GEN_CR3_TOP + whole->height)};
    pf_gen_text(&directory, 0x0006, "Canon EOS M50");
    pf_gen_text(&directory, 0x0007, "Firmware Version 1.0.0");
    pf_gen_long(&directory, 0x0010, MODEL_ID);
    pf_gen_text(&directory, 0x0095, exif->lens);
    pf_gen_shorts(&directory, 0x00e0, sensor, 17);
    put_tiff(to, "CMT3", &directory);

    put_box(to, "CMT4", "49492a00 08000000 0100 0000 0100 04000000 02030000 00000000");
}

/* Canon's timed metadata: records in Intel's order. White balance and levels are in a part of the
 * maker note that comes in one of them. */
static void put_record(struct pf_gen_bytes *to, unsigned type, const char *digits, size_t more)
{
    pf_gen_put_number(to, (uint32_t)(12 + more), 4);
    pf_gen_put_number(to, type, 2);
    put_hex(to, digits);
}

/* A part of the maker note. */
static void put_note(struct pf_gen_bytes *to, unsigned type, struct pf_gen_directory *directory)
{
    struct pf_gen_bytes note = tiff_of(directory);
    put_record(to, type, "01010001 ffff", 8 + note.size);
    pf_gen_put_number(to, (uint32_t)(8 + note.size), 4);
    pf_gen_put_number(to, 0x927c, 4);
    pf_gen_put(to, note.data, note.size);
    free(note.data);
}

static struct pf_gen_bytes timed_of(const struct pf_gen_exif *exif)
{
    struct pf_gen_bytes to = {.size = 0};
    struct pf_gen_directory directory = {.entries = 0};
    uint16_t colour[COLOUR_DATA] = {COLOUR_VERSION};
    time_t seconds = (time_t)(exif->time_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    put_record(&to, 1, "00000001 0000 0000", 12);
    pf_gen_put_number(&to, (uint32_t)tm.tm_year + 1900, 2);
    const int clock[] = {tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                         tm.tm_min,     tm.tm_sec,  (int)(exif->time_ms % 1000 / 10)};
    for (int i = 0; i < 6; i++)
        pf_gen_put_number(&to, (uint32_t)clock[i], 1);
    pf_gen_put(&to, NULL, 2);
    put_record(&to, 4, "00000001 ffff", 12);
    pf_gen_put_number(&to, (uint32_t)lrint(exif->focal_mm), 2);
    put_hex(&to, "0100 ffff ffff ffff ffff");
    put_record(&to, 5, "00000001 ffff", 28);
    pf_gen_put_number(&to, (uint32_t)lrint(exif->f_number * 10), 2);
    put_hex(&to, "0a00 0100");
    pf_gen_put_number(&to, exif->exposure_s > 0 ? (uint32_t)lrint(1 / exif->exposure_s) : 1, 2);
    pf_gen_put_number(&to, (uint32_t)exif->iso, 4);
    put_hex(&to, "ffffffff 00000000 ffffffff 00000000");
    for (int i = 0; i < 4; i++) {
        for (int set = 0; set < 3; set++)
            colour[COLOUR_GAINS + 5 * set + i] = body.gain[(i + 1) / 2];
        colour[COLOUR_BLACK + i] = (uint16_t)body.black;
    }
    colour[COLOUR_WHITE] = (uint16_t)(body.white - 1300);
    colour[COLOUR_WHITE + 1] = (uint16_t)body.white;
    pf_gen_shorts(&directory, 0x4001, colour, COLOUR_DATA);
    put_note(&to, 8, &directory);
    uint8_t unknown[504];
    for (size_t i = 0; i < sizeof(unknown); i++)
        unknown[i] = (uint8_t)(i + 1);
    pf_gen_undefined(&directory, 0x4033, unknown, sizeof(unknown));
    put_note(&to, 9, &directory);
    return to;
}

/* ---- boxes ------------------------------------------------------------------------------------ */

/* One of what lies in "mdat". */
struct track {
    struct pf_gen_bytes data;
    int width, height;                    /* 0: no picture */
    int tile_width;                       /* 0: no CRX */
    size_t head_bytes;                    /* of CRX */
    const struct pf_gen_cr3_jpeg *within; /* the picture within its borders */
    size_t offset_at;                     /* where its place in the file is to be said */
};

static void put_corners(struct pf_gen_bytes *to, int left, int top, int right, int bottom)
{
    const int corners[4] = {left, top, right, bottom};
    for (int i = 0; i < 4; i++)
        pf_gen_put_number(to, (uint32_t)corners[i], 2);
}

static void put_crx(struct pf_gen_bytes *to, const struct track *track)
{
    const struct pf_gen_cr3_jpeg *within = track->within;
    int right = track->width - 1, bottom = track->height - 1;
    int left = PF_GEN_CR3_LEFT, top = PF_GEN_CR3_TOP;
    size_t at = begin(to, "CMP1"), inner;
    put_hex(to, "ff00 0030 0100 0000"); /* version 1 */
    pf_gen_put_number(to, (uint32_t)track->width, 4);
    pf_gen_put_number(to, (uint32_t)track->height, 4);
    pf_gen_put_number(to, (uint32_t)track->tile_width, 4);
    pf_gen_put_number(to, (uint32_t)track->height, 4);
    put_hex(to, "0e 40 00 00"); /* 14 bits; 4 planes, RGGB; no wavelet */
    pf_gen_put_number(to, (uint32_t)track->head_bytes, 4);
    put_hex(to, "00000000 01010000 01010000 01010000 01010000");
    end(to, at);
    at = begin(to, "CDI1");
    pf_gen_put(to, NULL, 4);
    inner = begin(to, "IAD1");
    pf_gen_put(to, NULL, 4);
    pf_gen_put_number(to, (uint32_t)track->width, 2);
    pf_gen_put_number(to, (uint32_t)track->height, 2);
    put_hex(to, within ? "0001 0002 0001 0000" : "0001 0000 0001 0000");
    if (within) { /* the picture; what is masked, to the left and above; all that sees light */
        put_corners(to, left, top, left + within->width - 1, top + within->height - 1);
        put_corners(to, 0, 0, left - MASKED - 1, bottom);
        put_corners(to, left - MASKED, 0, right, top - MASKED - 1);
        put_corners(to, left - MASKED, top - MASKED, right, bottom);
    } else {
        put_hex(to, "0001 0000");
        put_corners(to, 0, 0, right, bottom);
        put_corners(to, 0, 0, right, bottom);
    }
    end(to, inner);
    end(to, at);
}

static void put_sample_kind(struct pf_gen_bytes *to, const struct track *track)
{
    size_t at = begin(to, track->width ? "CRAW" : "CTMD");
    put_hex(to, "000000000000 0001");
    if (track->width) {
        pf_gen_put(to, NULL, 16);
        pf_gen_put_number(to, (uint32_t)track->width, 2);
        pf_gen_put_number(to, (uint32_t)track->height, 2);
        put_hex(to, "00480000 00480000 00000000 0001");
        pf_gen_put(to, NULL, 32);
        put_hex(to, track->tile_width ? "0018 ffff 0001 0001" : "0018 ffff 0003 0000");
        if (track->tile_width)
            put_crx(to, track);
        else
            put_box(to, "JPEG", "00000000");
        put_box(to, "free", "0000");
    } else { /* records: kind and size of each */
        size_t count_at = to->size, at_record = 0;
        pf_gen_put_number(to, 0, 4);
        for (uint32_t count = 1; at_record < track->data.size; count++) {
            const uint8_t *record = track->data.data + at_record;
            size_t size = record[0] | (size_t)record[1] << 8;
            pf_gen_put_number(to, record[4], 4);
            pf_gen_put_number(to, (uint32_t)size, 4);
            pf_gen_set_number(to, count_at, count, 4);
            at_record += size;
        }
    }
    end(to, at);
}

static void put_track(struct pf_gen_bytes *to, struct track *track, int number, uint32_t seconds)
{
    size_t trak = begin(to, "trak"), at = begin(to, "tkhd"), mdia, minf, dinf, stbl;
    put_hex(to, "00000007");
    pf_gen_put_number(to, seconds, 4);
    pf_gen_put_number(to, seconds, 4);
    pf_gen_put_number(to, (uint32_t)number, 4);
    put_hex(to, "00000000 00000001 0000000000000000 0000 0000 0000 0000"
                "00010000 00000000 00000000 00000000 00010000 00000000"
                "00000000 00000000 40000000");
    pf_gen_put_number(to, (uint32_t)track->width << 16, 4);
    pf_gen_put_number(to, (uint32_t)track->height << 16, 4);
    end(to, at);
    mdia = begin(to, "mdia");
    at = begin(to, "mdhd");
    pf_gen_put(to, NULL, 4);
    pf_gen_put_number(to, seconds, 4);
    pf_gen_put_number(to, seconds, 4);
    put_hex(to, "00000001 00000001 15c70000");
    end(to, at);
    put_box(to, "hdlr",
            track->width ? "0000000000000000 76696465 000000000000000000000000 00"
                         : "0000000000000000 6d657461 000000000000000000000000 00");
    minf = begin(to, "minf");
    if (track->width)
        put_box(to, "vmhd", "00000001 0000000000000000");
    else
        put_box(to, "nmhd", "00000000");
    dinf = begin(to, "dinf");
    at = begin(to, "dref");
    put_hex(to, "00000000 00000001");
    put_box(to, "url ", "00000001");
    end(to, at);
    end(to, dinf);
    stbl = begin(to, "stbl");
    at = begin(to, "stsd");
    put_hex(to, "00000000 00000001");
    put_sample_kind(to, track);
    end(to, at);
    put_box(to, "stts", "00000000 00000001 00000001 00000001");
    put_box(to, "stsc", "00000000 00000001 00000001 00000001 00000001");
    at = begin(to, "stsz");
    pf_gen_put(to, NULL, 4);
    pf_gen_put_number(to, track->data.size, 4);
    pf_gen_put_number(to, 1, 4);
    end(to, at);
    put_box(to, "free", "00000000000000");
    at = begin(to, "co64");
    put_hex(to, "00000000 00000001");
    track->offset_at = to->size;
    pf_gen_put(to, NULL, 8);
    end(to, at);
    end(to, stbl);
    end(to, minf);
    end(to, mdia);
    end(to, trak);
}

static void put_jpeg(struct pf_gen_bytes *to, const struct pf_gen_cr3_jpeg *jpeg, bool preview)
{
    size_t at = begin(to, preview ? "PRVW" : "THMB");
    put_hex(to, preview ? "00000000 0001" : "00000000");
    pf_gen_put_number(to, (uint32_t)jpeg->width, 2);
    pf_gen_put_number(to, (uint32_t)jpeg->height, 2);
    put_hex(to, preview ? "0001" : "");
    pf_gen_put_number(to, (uint32_t)jpeg->size, 4);
    put_hex(to, preview ? "" : "00010000");
    pf_gen_put(to, jpeg->bytes, jpeg->size);
    end(to, at);
}

/* Returns where the table of the three boxes behind "moov" is, a number, place and size of each. */
static size_t put_canon(struct pf_gen_bytes *to, const struct pf_gen_cr3 *cr3)
{
    size_t uuid = begin(to, "uuid"), at, table_at;
    put_hex(to, "85c0b687820f11e08111f4ce462b6a48");
    at = begin(to, "CNCV");
    put_text(to, "CanonCR3_001/00.09.00/00.00.00");
    end(to, at);
    at = begin(to, "CCTP");
    put_hex(to, "00000000 00000001 00000003");
    put_box(to, "CCDT", "0000000000000010 00000000 00000001");
    put_box(to, "CCDT", "0000000000000001 00000000 00000002");
    put_box(to, "CCDT", "0000000000000000 00000000 00000003");
    end(to, at);
    at = begin(to, "CTBO");
    pf_gen_put_number(to, 4, 4);
    table_at = to->size;
    for (uint32_t i = 1; i <= 4; i++) {
        pf_gen_put_number(to, i, 4);
        pf_gen_put(to, NULL, 16);
    }
    end(to, at);
    put_box(to, "free", "0000");
    put_metadata(to, cr3);
    put_jpeg(to, &cr3->thumbnail, false);
    end(to, uuid);
    return table_at;
}

static const char xmp[] =
    "<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>"
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">"
    "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">"
    "<rdf:Description rdf:about=\"\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\">"
    "<xmp:Rating>0</xmp:Rating></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>";

/* Every second place of two by two, as far as that is enough for a tile. */
static uint16_t *smaller(const struct pf_gen_cr3 *cr3, int *ret_width, int *ret_height)
{
    int width = cr3->columns / 4 * 2, height = cr3->rows / 4 * 2;
    width = width < PF_GEN_CRX_TILE_MIN ? PF_GEN_CRX_TILE_MIN : width;
    height = height < PF_GEN_CRX_TILE_MIN ? PF_GEN_CRX_TILE_MIN : height;
    uint16_t *small = pf_gen_alloc((size_t)width * (size_t)height, sizeof(*small));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int row = y / 2 * 4 % cr3->rows + y % 2, column = x / 2 * 4 % cr3->columns + x % 2;
            small[(size_t)y * (size_t)width + (size_t)x] =
                cr3->sensor[(size_t)row * (size_t)cr3->columns + (size_t)column];
        }
    *ret_width = width;
    *ret_height = height;
    return small;
}

static void compress(struct track *track, const uint16_t *sensor)
{
    track->data.data = pf_gen_crx(sensor, track->width, track->height, track->tile_width,
                                  &track->data.size, &track->head_bytes);
}

static void fill_tracks(struct track tracks[TRACKS], const struct pf_gen_cr3 *cr3)
{
    struct track *jpeg = &tracks[0], *small = &tracks[1], *whole = &tracks[2];
    *jpeg = (struct track){.width = cr3->whole.width, .height = cr3->whole.height};
    pf_gen_put(&jpeg->data, cr3->whole.bytes, cr3->whole.size);
    uint16_t *sensor = smaller(cr3, &small->width, &small->height);
    small->tile_width = small->width;
    compress(small, sensor);
    free(sensor);
    *whole = (struct track){.width = cr3->columns,
                            .height = cr3->rows,
                            .tile_width = cr3->tile_width,
                            .within = &cr3->whole};
    compress(whole, cr3->sensor);
    tracks[3].data = timed_of(cr3->exif);
}

uint8_t *pf_gen_cr3_wrap(const struct pf_gen_cr3 *cr3, size_t *ret_bytes)
{
    struct pf_gen_bytes file = {.big_endian = true};
    struct track tracks[TRACKS] = {0};
    uint32_t seconds = (uint32_t)(cr3->exif->time_ms / 1000 + SECONDS_1904);
    size_t table_at, places[4], at, inner;
    fill_tracks(tracks, cr3);
    at = begin(&file, "ftyp");
    pf_gen_put(&file, "crx \0\0\0\1crx isom", 16);
    end(&file, at);
    at = begin(&file, "moov");
    table_at = put_canon(&file, cr3);
    inner = begin(&file, "mvhd");
    pf_gen_put(&file, NULL, 4);
    pf_gen_put_number(&file, seconds, 4);
    pf_gen_put_number(&file, seconds, 4);
    put_hex(&file, "00000001 00000001 00010000 0100 0000 0000000000000000"
                   "00010000 00000000 00000000 00000000 00010000 00000000"
                   "00000000 00000000 40000000 000000000000000000000000"
                   "000000000000000000000000 00000005");
    end(&file, inner);
    for (int i = 0; i < TRACKS; i++)
        put_track(&file, &tracks[i], i + 1, seconds);
    end(&file, at);

    places[0] = begin(&file, "uuid");
    put_hex(&file, "be7acfcb97a942e89c71999491e3afac");
    put_text(&file, xmp);
    end(&file, places[0]);
    places[1] = begin(&file, "uuid");
    put_hex(&file, "eaf42b5e1c984b88b9fbb7dc406e4d16 00000000 00000001");
    put_jpeg(&file, &cr3->preview, true);
    end(&file, places[1]);
    places[2] = begin(&file, "mdat");
    pf_gen_set_number(&file, places[2], 1, 4); /* its size is one of 64 bits */
    pf_gen_put(&file, NULL, 8);
    for (int i = 0; i < TRACKS; i++) {
        pf_gen_set_number(&file, tracks[i].offset_at + 4, (uint32_t)file.size, 4);
        pf_gen_put(&file, tracks[i].data.data, tracks[i].data.size);
        free(tracks[i].data.data);
    }
    places[3] = file.size;
    pf_gen_set_number(&file, places[2] + 12, (uint32_t)(places[3] - places[2]), 4);
    for (size_t i = 0; i < 3; i++) {
        pf_gen_set_number(&file, table_at + 20 * i + 8, (uint32_t)places[i], 4);
        pf_gen_set_number(&file, table_at + 20 * i + 16, (uint32_t)(places[i + 1] - places[i]), 4);
    }
    *ret_bytes = file.size;
    return file.data;
}

uint8_t *pf_gen_cr3(const uint16_t *samples, int width, int height, const struct pf_gen_exif *exif,
                    size_t *ret_bytes)
{
    int columns = (PF_GEN_CR3_LEFT + width + PF_GEN_CR3_RIGHT + 1) & ~1;
    int rows = (PF_GEN_CR3_TOP + height + PF_GEN_CR3_BOTTOM + 1) & ~1;
    uint16_t *sensor = pf_gen_sensor(&body, samples, width, height, PF_GEN_CR3_LEFT, PF_GEN_CR3_TOP,
                                     columns, rows);
    uint8_t *jpeg[3];
    struct pf_gen_cr3 cr3 = {.sensor = sensor, .columns = columns, .rows = rows, .exif = exif};
    struct pf_gen_cr3_jpeg *to[3] = {&cr3.whole, &cr3.preview, &cr3.thumbnail};
    for (int i = 0; i < 3; i++) {
        int step = 1 << i;
        *to[i] = (struct pf_gen_cr3_jpeg){.width = width / step, .height = height / step};
        to[i]->bytes = jpeg[i] = pf_gen_preview(samples, width, height, step, NULL, &to[i]->size);
    }
    /* Two tiles side by side, as a camera has them. */
    cr3.tile_width = columns < 2 * PF_GEN_CRX_TILE_MIN ? columns : (columns / 2 + 1) & ~1;
    uint8_t *bytes = pf_gen_cr3_wrap(&cr3, ret_bytes);
    for (int i = 0; i < 3; i++)
        free(jpeg[i]);
    free(sensor);
    return bytes;
}
