#include "tests/gen/ljpeg.h"

#include <stdlib.h>
#include <string.h>

#include "tests/gen/rows.h"

enum { CATEGORIES = 17, CODE_BITS = 5 };

struct stream {
    uint8_t *bytes;
    size_t count;
    uint32_t held; /* bits not written yet, the last `bits` of it */
    int bits;
};

static void put_bits(struct stream *stream, uint32_t value, int bits)
{
    stream->held = stream->held << bits | (value & ((1u << bits) - 1));
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
    put_bits(stream, (uint32_t)category, CODE_BITS);
    if (category && category < 16)
        put_bits(stream, (uint32_t)(value > 0 ? value : value - 1), category);
}

static void put_head(struct stream *stream, int width, int height)
{
    const uint8_t head[] = {0xff,
                            0xd8,
                            0xff,
                            0xc3,
                            0,
                            11,
                            16,
                            (uint8_t)(height >> 8),
                            (uint8_t)height,
                            (uint8_t)(width >> 8),
                            (uint8_t)width,
                            1,
                            1,
                            0x11,
                            0,
                            0xff,
                            0xc4,
                            0,
                            19 + CATEGORIES,
                            0,
                            /* codes of each length */ 0,
                            0,
                            0,
                            0,
                            CATEGORIES,
                            0,
                            0,
                            0,
                            0,
                            0,
                            0,
                            0,
                            0,
                            0,
                            0,
                            0};
    static const uint8_t scan[] = {0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0};
    memcpy(stream->bytes, head, sizeof(head));
    stream->count = sizeof(head);
    for (int i = 0; i < CATEGORIES; i++)
        stream->bytes[stream->count++] = (uint8_t)i;
    memcpy(stream->bytes + stream->count, scan, sizeof(scan));
    stream->count += sizeof(scan);
}

uint8_t *pf_gen_ljpeg(const uint16_t *samples, int width, int height, size_t *ret_bytes)
{
    /* At most 21 bits a sample, each byte stuffed. */
    size_t pixels = (size_t)width * (size_t)height;
    struct stream stream = {.bytes = pf_gen_alloc(6 * pixels + 256, 1)};
    put_head(&stream, width, height);
    for (int y = 0; y < height; y++) {
        const uint16_t *row = samples + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++) {
            uint16_t guess = x ? row[x - 1] : y ? row[-width] : 32768;
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
