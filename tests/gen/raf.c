/* RAF as Fujifilm writes it: a head with the places of three parts, a JPEG with the EXIF, a directory of Fujifilm's own
 * with the sensor's size, and the sensor's values, uncompressed, in a TIFF of one directory beneath another.
 *
 * The model says which body: X-T1 has the filter of 6 x 6, all others are an X-T100 with a Bayer filter. The
 * sensor is as large as the picture and a border, which LibRaw takes for even on both sides. Source: the
 * tag tables of ExifTool, LibRaw's reading.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/gen/makers.h"

enum {
    LEFT = 12, /* both multiples of six: the filter's pattern begins with the sensor */
    TOP = 6,
    HEAD_BYTES = 148,
    PARTS_AT = 84,
    BITS = 14,
};

static const struct pf_gen_body bayer = {
    .from_xyz = {1.1673f, -0.4760f, -0.1041f, -0.3988f, 1.2058f, 0.2166f, -0.0771f, 0.1417f,
                 0.5569f},
    .gain = {560, 302, 480},
    .black = 1024,
    .white = 16383,
    .period = 2,
    .filter = "\0\1\1\2",
};

static const struct pf_gen_body xtrans = {
    .from_xyz = {0.8458f, -0.2451f, -0.0855f, -0.4597f, 1.2447f, 0.2407f, -0.1475f, 0.2482f,
                 0.6526f},
    .gain = {560, 302, 480},
    .black = 1024,
    .white = 16383,
    .period = 6,
    .filter = "\1\2\1\1\0\1"
              "\0\1\0\2\1\2"
              "\1\2\1\1\0\1"
              "\1\0\1\1\2\1"
              "\2\1\2\0\1\0"
              "\1\0\1\1\2\1",
};

static void put_entry(struct pf_gen_bytes *to, uint16_t tag, const uint16_t *values, int count)
{
    pf_gen_put_number(to, tag, 2);
    pf_gen_put_number(to, (uint32_t)(2 * count), 2);
    for (int i = 0; i < count; i++)
        pf_gen_put_number(to, values[i], 2);
}

/* Its numbers have their high byte first, and heights come before widths. */
static void put_directory(struct pf_gen_bytes *to, const struct pf_gen_body *body, int width,
                          int height)
{
    uint16_t w = (uint16_t)width, h = (uint16_t)height;
    const uint16_t full[2] = {(uint16_t)(h + 2 * TOP), (uint16_t)(w + 2 * LEFT)};
    const uint16_t gain[4] = {body->gain[1], body->gain[0], body->gain[1], body->gain[2]};
    pf_gen_put_number(to, body->period == 6 ? 7 : 6, 4);
    put_entry(to, 0x0100, full, 2);
    put_entry(to, 0x0110, (const uint16_t[]){TOP, LEFT}, 2);
    put_entry(to, 0x0111, (const uint16_t[]){h, w}, 2);
    put_entry(to, 0x0121, (const uint16_t[]){h, w}, 2);
    put_entry(to, 0x0130, (const uint16_t[]){0x0c0c, 0x0c0c}, 2);
    if (body->period == 6) {
        pf_gen_put_number(to, 0x0131, 2);
        pf_gen_put_number(to, 36, 2);
        for (int i = 35; i >= 0; i--) /* the last first */
            pf_gen_put_number(to, (uint32_t)body->filter[i], 1);
    }
    put_entry(to, 0x2ff0, gain, 4);
}

static void put_data(struct pf_gen_bytes *to, const struct pf_gen_body *body,
                     const uint16_t *samples, int width, int height)
{
    struct pf_gen_directory directory = {.entries = 0};
    int columns = width + 2 * LEFT, rows = height + 2 * TOP;
    uint32_t black[36];
    for (int i = 0; i < 36; i++)
        black[i] = (uint32_t)body->black;
    to->base = to->size;
    pf_gen_put(to, "II*\0\x08\0\0\0", 8);
    pf_gen_long(&directory, 0xf000, 0);
    size_t first = pf_gen_directory_write(to, &directory);
    pf_gen_long(&directory, 0xf001, (uint32_t)columns);
    pf_gen_long(&directory, 0xf002, (uint32_t)rows);
    pf_gen_long(&directory, 0xf003, BITS);
    pf_gen_long(&directory, 0xf007, 0);
    pf_gen_long(&directory, 0xf008, (uint32_t)(2 * columns * rows));
    pf_gen_longs(&directory, 0xf00a, black, body->period * body->period);
    pf_gen_longs(&directory, 0xf00e,
                 (const uint32_t[]){body->gain[1], body->gain[0], body->gain[2]}, 3);
    size_t second = pf_gen_directory_write(to, &directory);
    pf_gen_point(to, first, 0xf000, 1, second);
    pf_gen_point(to, second, 0xf007, 1, to->size);
    uint16_t *sensor = pf_gen_sensor(body, samples, width, height, LEFT, TOP, columns, rows);
    for (int i = 0; i < columns * rows; i++)
        pf_gen_put_number(to, sensor[i], 2);
    free(sensor);
}

/* The JPEG's EXIF block; offsets in the note are its own. */
static void put_exif(struct pf_gen_bytes *to, const struct pf_gen_exif *exif, int width, int height)
{
    struct pf_gen_bytes note = {.size = 0};
    struct pf_gen_directory directory = {.entries = 0};
    size_t shot = pf_gen_exif_begin(to, exif, width, height, 2, true);
    pf_gen_put(&note, "FUJIFILM\x0c\0\0\0", 12);
    pf_gen_undefined(&directory, 0x0000, "0130", 4);
    pf_gen_text(&directory, 0x0010, "FPX 00000000 592D313134360702198C0020100A84");
    pf_gen_directory_write(&note, &directory);
    pf_gen_point(to, shot, 0x927c, (uint32_t)note.size, to->size);
    pf_gen_put(to, note.data, note.size);
    free(note.data);
}

uint8_t *pf_gen_raf(const uint16_t *samples, int width, int height, const struct pf_gen_exif *exif,
                    size_t *ret_bytes)
{
    struct pf_gen_bytes file = {.big_endian = true}, block = {.size = 0}, data = {.size = 0};
    const struct pf_gen_body *body = exif->model && !strcmp(exif->model, "X-T1") ? &xtrans : &bayer;
    size_t at[3], end[3], size;
    pf_gen_put(&file, "FUJIFILMCCD-RAW 0201FF129502", 28);
    pf_gen_put(&file, NULL, HEAD_BYTES - 28);
    if (exif->model)
        memcpy(file.data + 28, exif->model, strnlen(exif->model, 31));
    memcpy(file.data + 60, "0100", 4);

    put_exif(&block, exif, width, height);
    uint8_t *preview = pf_gen_preview(samples, width, height, 1, &block, &size);
    at[0] = file.size;
    pf_gen_put(&file, preview, size);
    end[0] = file.size;
    pf_gen_align(&file, 4);
    at[1] = file.size;
    put_directory(&file, body, width, height);
    end[1] = file.size;
    pf_gen_align(&file, 4);
    at[2] = file.size;
    put_data(&data, body, samples, width, height);
    pf_gen_put(&file, data.data, data.size);
    end[2] = file.size;
    for (size_t i = 0; i < 3; i++) {
        pf_gen_set_number(&file, PARTS_AT + 8 * i, (uint32_t)at[i], 4);
        pf_gen_set_number(&file, PARTS_AT + 8 * i + 4, (uint32_t)(end[i] - at[i]), 4);
    }
    free(data.data);
    free(preview);
    free(block.data);
    *ret_bytes = file.size;
    return file.data;
}
