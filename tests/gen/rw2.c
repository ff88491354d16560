/* RW2 as a Panasonic DMC-G7 writes it: a TIFF under another number with tags of its own, a JPEG in one of
 * them whose EXIF is the fuller one, and the sensor's values of 12 bits in Panasonic's compression.
 *
 * There 14 values of a row take 16 bytes: the first of each parity in full, the others as differences to the
 * one two before, three under one shift; it keeps them exactly unless they change fast. 1024 such
 * groups make a block, which is stored with its rear part first. Source: the tag tables of ExifTool, LibRaw's
 * reading of the data.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/gen/makers.h"
#include "tests/gen/rows.h"

enum {
    GROUP = 14,
    GROUP_BYTES = 16,
    BLOCK_BYTES = 0x4000,
    REAR = 0x2008,    /* what of a block is stored first, to its end */
    ADDED_BLACK = 15, /* in this compression, beyond what the file tells */
    BGGR = 4,
    COMPRESSION = 34316,
};

static const struct pf_gen_body body = {
    .from_xyz = {0.7610f, -0.2780f, -0.0576f, -0.4614f, 1.2195f, 0.2733f, -0.1375f, 0.2393f,
                 0.6490f},
    .gain = {570, 256, 438},
    .black = 128 + ADDED_BLACK,
    .white = 4095,
    .period = 2,
    .filter = "\2\1\1\0",
};

struct group {
    uint8_t bytes[GROUP_BYTES];
    int free; /* bits, from the last byte's highest down */
    int guess[2], started[2];
};

static void put_bits(struct group *group, unsigned value, int bits)
{
    for (int i = bits - 1; i >= 0; i--)
        if (group->free-- && value >> i & 1)
            group->bytes[group->free / 8] |= (uint8_t)(1 << group->free % 8);
}

/* The value after one of the same parity -> what is written for it; *ret_near: what is read back. */
static unsigned difference(int value, int guess, int shift, int *ret_near)
{
    int base = guess - (0x80 << shift);
    if (base < 0 || shift == 4)
        base &= (1 << shift) - 1;
    int code = value == guess ? 0 : (value - base + (1 << shift >> 1)) >> shift;
    code = value == guess ? 0 : code < 1 ? 1 : code > 255 ? 255 : code;
    *ret_near = code ? base + (code << shift) : guess;
    return (unsigned)code;
}

/* The shift under which the next three come back best. */
static int best_shift(const struct group *group, const uint16_t *values)
{
    static const int shifts[] = {0, 1, 2, 4};
    int best = 0, least = -1;
    for (int s = 0; s < 4; s++) {
        int guess[2] = {group->guess[0], group->guess[1]}, off = 0, near;
        for (int i = 0; i < 3; i++) {
            difference(values[i], guess[i & 1], shifts[s], &near);
            off += abs(near - values[i]);
            guess[i & 1] = near;
        }
        if (least < 0 || off < least) {
            least = off;
            best = s;
        }
    }
    return best;
}

static void put_group(uint8_t to[GROUP_BYTES], const uint16_t values[GROUP])
{
    struct group group = {.free = 8 * GROUP_BYTES};
    int shift = 0;
    for (int i = 0; i < GROUP; i++) {
        int k = i & 1, value = values[i];
        if (i % 3 == 2) {
            struct group order = group;
            if (k) { /* the three begin with the odd parity */
                order.guess[0] = group.guess[1];
                order.guess[1] = group.guess[0];
            }
            int code = best_shift(&order, values + i);
            put_bits(&group, (unsigned)code, 2);
            shift = code == 3 ? 4 : code;
        }
        if (group.started[k]) {
            put_bits(&group, difference(value, group.guess[k], shift, &group.guess[k]), 8);
            continue;
        }
        /* A value below 16 is read as 0 and does not count as the first, but at the end. */
        put_bits(&group, (unsigned)value >> 4, 8);
        group.started[k] = value >> 4;
        if (group.started[k] || i > 11) {
            put_bits(&group, value & 15, 4);
            group.guess[k] = value;
        }
    }
    memcpy(to, group.bytes, GROUP_BYTES);
}

static void put_data(struct pf_gen_bytes *file, const uint16_t *sensor, size_t count)
{
    uint8_t block[BLOCK_BYTES];
    for (size_t at = 0; at < count;) {
        memset(block, 0, sizeof(block));
        for (size_t i = 0; i < BLOCK_BYTES && at < count; i += GROUP_BYTES, at += GROUP)
            put_group(block + i, sensor + at);
        pf_gen_put(file, block + REAR, BLOCK_BYTES - REAR);
        pf_gen_put(file, block, REAR);
    }
}

/* The JPEG's EXIF block, with the maker's note, whose offsets are the block's. */
static void put_exif(struct pf_gen_bytes *to, const struct pf_gen_exif *exif, int width, int height)
{
    struct pf_gen_directory directory = {.entries = 0};
    uint8_t serial[16] = "";
    if (exif->serial)
        memcpy(serial, exif->serial, strnlen(exif->serial, sizeof(serial)));
    size_t shot = pf_gen_exif_begin(to, exif, width, height, 3, false);
    size_t note = to->size;
    pf_gen_put(to, "Panasonic\0\0\0", 12);
    pf_gen_undefined(&directory, 0x0025, serial, sizeof(serial));
    pf_gen_text(&directory, 0x0051, exif->lens);
    pf_gen_directory_write(to, &directory);
    pf_gen_point(to, shot, 0x927c, (uint32_t)(to->size - note), note);
}

uint8_t *pf_gen_rw2(const uint16_t *samples, int width, int height, const struct pf_gen_exif *exif,
                    size_t *ret_bytes)
{
    struct pf_gen_bytes file = {.size = 0}, block = {.size = 0};
    struct pf_gen_directory directory = {.entries = 0};
    int columns = (width + GROUP - 1) / GROUP * GROUP;
    char time[20];
    pf_gen_exif_time(exif, time);
    pf_gen_put(&file,
               "IIU\0\x18\0\0\0\x88\xe7\x74\xd8\xf8\x25\x1d\x4d\x94\x7a\x6e\x77\x82\x2b\x5d\x6a",
               24);
    pf_gen_undefined(&directory, 0x0001, "0320", 4);
    pf_gen_short(&directory, 0x0002, (uint16_t)columns);
    pf_gen_short(&directory, 0x0003, (uint16_t)height);
    pf_gen_short(&directory, 0x0004, 0); /* the picture within the sensor */
    pf_gen_short(&directory, 0x0005, 0);
    pf_gen_short(&directory, 0x0006, (uint16_t)height);
    pf_gen_short(&directory, 0x0007, (uint16_t)width);
    pf_gen_short(&directory, 0x0008, 1);
    pf_gen_short(&directory, 0x0009, BGGR);
    pf_gen_short(&directory, 0x000a, 12);
    pf_gen_short(&directory, 0x000b, COMPRESSION);
    for (uint16_t i = 0; i < 3; i++)
        pf_gen_short(&directory, 0x000e + i, (uint16_t)body.white);
    pf_gen_short(&directory, 0x0017, exif->iso < 65535 ? (uint16_t)exif->iso : 65535);
    for (uint16_t i = 0; i < 3; i++)
        pf_gen_short(&directory, 0x001c + i, (uint16_t)body.black - ADDED_BLACK);
    for (uint16_t i = 0; i < 3; i++)
        pf_gen_short(&directory, 0x0024 + i, body.gain[i]);
    pf_gen_short(&directory, 0x002d, 4);
    pf_gen_undefined(&directory, 0x002e, NULL, 0);
    if (exif->iso >= 65535)
        pf_gen_long(&directory, 0x0037, (uint32_t)exif->iso);
    pf_gen_text(&directory, 0x010f, exif->make);
    pf_gen_text(&directory, 0x0110, exif->model);
    pf_gen_long(&directory, 0x0111, 0xffffffff);
    pf_gen_short(&directory, 0x0112, (uint16_t)exif->orientation);
    pf_gen_short(&directory, 0x0116, (uint16_t)height);
    pf_gen_long(&directory, 0x0117, (uint32_t)(2 * columns * height));
    pf_gen_long(&directory, 0x0118, 0);
    pf_gen_long(&directory, 0x8769, 0);
    size_t first = pf_gen_directory_write(&file, &directory);

    pf_gen_ratio(&directory, 0x829a, exif->exposure_s);
    pf_gen_ratio(&directory, 0x829d, exif->f_number);
    pf_gen_undefined(&directory, 0x9000, "0230", 4);
    pf_gen_text(&directory, 0x9003, time);
    pf_gen_text(&directory, 0x9004, time);
    pf_gen_ratio(&directory, 0x920a, exif->focal_mm);
    pf_gen_point(&file, first, 0x8769, 1, pf_gen_directory_write(&file, &directory));

    size_t size;
    put_exif(&block, exif, width, height);
    uint8_t *preview = pf_gen_preview(samples, width, height, 1, &block, &size);
    pf_gen_point(&file, first, 0x002e, (uint32_t)size, file.size);
    pf_gen_put(&file, preview, size);
    pf_gen_align(&file, 2);

    uint16_t *sensor = pf_gen_sensor(&body, samples, width, height, 0, 0, columns, height);
    pf_gen_point(&file, first, 0x0118, 1, file.size);
    put_data(&file, sensor, (size_t)columns * (size_t)height);
    free(sensor);
    free(preview);
    free(block.data);
    *ret_bytes = file.size;
    return file.data;
}
