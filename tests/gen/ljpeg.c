#include "tests/gen/ljpeg.h"

#include <stdlib.h>
#include <string.h>

#include "tests/gen/rows.h"

enum { CATEGORIES = 17, LENGTHS = 16 };

/* Codes of each length from 1 bit on, and the categories in the order of their codes: small differences are
 * the usual ones. The longest code is not all ones. */
static const uint8_t codes[LENGTHS] = {0, 1, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const uint8_t order[CATEGORIES] = {4, 5, 3, 6, 2, 7, 8, 1, 0, 9, 10, 11, 12, 13, 14, 15, 16};

struct stream {
    uint8_t *bytes;
    size_t count;
    uint64_t held; /* bits not written yet, the last `bits` of it */
    int bits;
    uint32_t code[CATEGORIES];
    int length[CATEGORIES];
};

static void put_bits(struct stream *stream, uint32_t value, int bits)
{
    stream->held = stream->held << bits | (value & ((UINT64_C(1) << bits) - 1));
    stream->bits += bits;
    while (stream->bits >= 8) {
        uint8_t byte = (uint8_t)(stream->held >> (stream->bits -= 8));
        stream->bytes[stream->count++] = byte;
        if (byte == 0xff)
            stream->bytes[stream->count++] = 0;
    }
}

/* A difference, modulo 65536: its category, then as many bits. */
static void put_difference(struct stream *stream, int16_t difference)
{
    int category = 0, value = difference;
    for (int rest = abs(value); rest; rest >>= 1)
        category++;
    put_bits(stream, stream->code[category], stream->length[category]);
    if (category && category < 16)
        put_bits(stream, (uint32_t)(value > 0 ? value : value - 1), category);
}

static void put(struct stream *stream, const void *bytes, size_t size)
{
    memcpy(stream->bytes + stream->count, bytes, size);
    stream->count += size;
}

static void put_head(struct stream *stream, int width, int height, int bits, int components)
{
    width /= components;
    const uint8_t frame[] = {0xff,
                             0xd8,
                             0xff,
                             0xc3,
                             0,
                             (uint8_t)(8 + 3 * components),
                             (uint8_t)bits,
                             (uint8_t)(height >> 8),
                             (uint8_t)height,
                             (uint8_t)(width >> 8),
                             (uint8_t)width,
                             (uint8_t)components};
    put(stream, frame, sizeof(frame));
    for (int i = 0; i < components; i++)
        put(stream, (const uint8_t[]){(uint8_t)(i + 1), 0x11, 0}, 3);
    /* A table for each, all the same, in one segment. */
    put(stream,
        (const uint8_t[]){0xff, 0xc4, 0, (uint8_t)(2 + components * (1 + LENGTHS + CATEGORIES))},
        4);
    for (int i = 0; i < components; i++) {
        stream->bytes[stream->count++] = (uint8_t)i;
        put(stream, codes, LENGTHS);
        put(stream, order, CATEGORIES);
    }
    put(stream,
        (const uint8_t[]){0xff, 0xda, 0, (uint8_t)(6 + 2 * components), (uint8_t)components}, 5);
    for (int i = 0; i < components; i++)
        put(stream, (const uint8_t[]){(uint8_t)(i + 1), (uint8_t)(i << 4)}, 2);
    put(stream, (const uint8_t[]){1, 0, 0}, 3);
}

static void make_codes(struct stream *stream)
{
    uint32_t code = 0;
    for (int length = 1, i = 0; length <= LENGTHS; length++, code <<= 1)
        for (int k = 0; k < codes[length - 1]; k++, i++) {
            stream->code[order[i]] = code++;
            stream->length[order[i]] = length;
        }
}

uint8_t *pf_gen_ljpeg(const uint16_t *samples, int width, int height, int bits, int components,
                      size_t *ret_bytes)
{
    /* At most 30 bits a sample, each byte stuffed. */
    size_t pixels = (size_t)width * (size_t)height;
    struct stream stream = {.bytes = pf_gen_alloc(8 * pixels + 256, 1)};
    make_codes(&stream);
    put_head(&stream, width, height, bits, components);
    for (int y = 0; y < height; y++) {
        const uint16_t *row = samples + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++) {
            int guess = x >= components ? row[x - components]
                        : y             ? row[x - width]
                                        : 1 << (bits - 1);
            put_difference(&stream, (int16_t)(uint16_t)(row[x] - guess));
        }
    }
    if (stream.bits)
        put_bits(&stream, 0xff, 8 - stream.bits);
    stream.bytes[stream.count++] = 0xff;
    stream.bytes[stream.count++] = 0xd9;
    *ret_bytes = stream.count;
    return stream.bytes;
}
