#include "tests/gen/crx.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen/rows.h"

enum {
    PLANES = 4,
    MEDIAN = 1 << (PF_GEN_CRX_BITS - 1), /* what is coded is how far values are from it */
    ESCAPE = 41,                         /* as many zeros: the code follows as it is */
    ESCAPE_BITS = 21,
    K_MAX = 15,
    RUN_STATES = 32,
    ALIGNED = 8, /* bytes, every stream */
    TILE_BYTES = 12,
    PLANE_BYTES = 24, /* the plane's header and that of its one band */
};

/* A run is counted in steps of 1 << this many; long ones make the steps longer (T.87's J). */
static const uint8_t run_bits[RUN_STATES] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,  2,  3,  3,  3,  3,
                                             4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15};

struct stream {
    uint8_t *bytes;
    size_t count, room;
    uint64_t held; /* bits not written yet, the last `bits` of it */
    int bits;
    int k, run; /* the states of the two codes; they go on from line to line */
};

static void put_bits(struct stream *stream, uint32_t value, int bits)
{
    stream->held = stream->held << bits | value;
    for (stream->bits += bits; stream->bits >= 8; stream->bits -= 8) {
        if (stream->count == stream->room) {
            stream->room = stream->room ? 2 * stream->room : 4096;
            uint8_t *grown = pf_gen_alloc(stream->room, 1);
            if (stream->count)
                memcpy(grown, stream->bytes, stream->count);
            free(stream->bytes);
            stream->bytes = grown;
        }
        stream->bytes[stream->count++] = (uint8_t)(stream->held >> (stream->bits - 8));
    }
}

static void adapt(struct stream *stream, uint32_t code)
{
    uint32_t above = code >> stream->k;
    stream->k += (above > 2) + (above > 5) - (code < (1u << stream->k) >> 1);
    if (stream->k > K_MAX)
        stream->k = K_MAX;
}

static uint32_t put_error(struct stream *stream, int error)
{
    uint32_t code = error < 0 ? ~((uint32_t)error << 1) : (uint32_t)error << 1;
    uint32_t above = code >> stream->k;
    bool escaped = above >= ESCAPE;
    put_bits(stream, 0, (int)(escaped ? ESCAPE : above));
    put_bits(stream, 1, 1);
    if (escaped)
        put_bits(stream, code, ESCAPE_BITS);
    else
        put_bits(stream, code & ((1u << stream->k) - 1), stream->k);
    return code;
}

/* `count` values of a line are as the one before; `room`: as many as the line has left. */
static void put_run(struct stream *stream, int count, int room)
{
    put_bits(stream, count > 0, 1);
    if (!count)
        return;
    int done = 1;
    while (done < room && (count == room || done + (1 << run_bits[stream->run]) <= count)) {
        put_bits(stream, 1, 1);
        done += 1 << run_bits[stream->run];
        if (done <= room && stream->run < RUN_STATES - 1)
            stream->run++;
    }
    if (count == room)
        return;
    put_bits(stream, 0, 1);
    put_bits(stream, (uint32_t)(count - done), run_bits[stream->run]);
    stream->run -= stream->run > 0;
}

static int run_length(const int *line, int left, int x, int width)
{
    int count = 0;
    while (x + count < width && line[x + count] == left)
        count++;
    return count;
}

static int median(int left, int above, int corner)
{
    int low = left < above ? left : above, high = left < above ? above : left;
    return corner >= high ? low : corner <= low ? high : left + above - corner;
}

static void put_first_line(struct stream *stream, const int *line, int width)
{
    int left = 0;
    for (int x = 0; x < width; x++) {
        if (!left && x < width - 1) {
            int count = run_length(line, 0, x, width);
            put_run(stream, count, width - x);
            x += count;
            if (x == width)
                return;
        }
        adapt(stream, put_error(stream, line[x] - left));
        left = line[x];
    }
}

/* corner: what stands left of the line above. */
static void put_line(struct stream *stream, const int *line, const int *above, int corner,
                     int width)
{
    for (int x = 0; x < width; x++) {
        int left = x ? line[x - 1] : above[0];
        int guess = median(left, above[x], x ? above[x - 1] : corner);
        if (x < width - 1 && left == above[x] && left == above[x + 1]) {
            int count = run_length(line, left, x, width);
            put_run(stream, count, width - x);
            x += count;
            if (x == width)
                return;
            guess = above[x];
        }
        uint32_t code = put_error(stream, line[x] - guess);
        if (x < width - 1)
            code = (code + 2 * (uint32_t)abs(above[x + 1] - above[x])) >> 1;
        adapt(stream, code);
    }
}

/* One plane of one tile: every second value of every second row from `from` on. */
static struct stream code_plane(const uint16_t *from, size_t row_values, int width, int height)
{
    struct stream stream = {0};
    int *lines[2] = {pf_gen_alloc((size_t)width, sizeof(int)),
                     pf_gen_alloc((size_t)width, sizeof(int))};
    for (int y = 0; y < height; y++) {
        int *line = lines[y & 1], *above = lines[~y & 1];
        int corner = y > 1 ? line[0] : 0; /* left of a line stands what the one above begins with */
        for (int x = 0; x < width; x++)
            line[x] = from[(size_t)y * 2 * row_values + 2 * (size_t)x] - MEDIAN;
        if (y)
            put_line(&stream, line, above, corner, width);
        else
            put_first_line(&stream, line, width);
    }
    free(lines[0]);
    free(lines[1]);
    return stream;
}

/* Ends the stream; returns the bytes that are there for its length alone. */
static uint32_t pad(struct stream *stream)
{
    if (stream->bits)
        put_bits(stream, 0, 8 - stream->bits);
    uint32_t padding = 0;
    /* A reader takes four bytes at a time. */
    for (int i = 0; i < 4; i++)
        put_bits(stream, 0, 8);
    for (; stream->count % ALIGNED; padding++)
        put_bits(stream, 0, 8);
    return padding;
}

static uint8_t *put_header(uint8_t *to, uint32_t kind, size_t size, uint32_t rest)
{
    const uint32_t words[3] = {0xff000008 | kind << 16, (uint32_t)size, rest};
    for (int i = 0; i < TILE_BYTES; i++)
        to[i] = (uint8_t)(words[i / 4] >> (24 - i % 4 * 8));
    return to + TILE_BYTES;
}

uint8_t *pf_gen_crx(const uint16_t *sensor, int width, int height, int tile_width,
                    size_t *ret_bytes, size_t *ret_head_bytes)
{
    int tiles = (width + tile_width - 1) / tile_width;
    struct stream *streams = pf_gen_alloc((size_t)tiles * PLANES, sizeof(*streams));
    uint32_t *padding = pf_gen_alloc((size_t)tiles * PLANES, sizeof(*padding));
    size_t head_bytes = (size_t)tiles * (TILE_BYTES + PLANES * PLANE_BYTES), size = 0;
    head_bytes = (head_bytes + ALIGNED - 1) / ALIGNED * ALIGNED;
    for (int i = 0; i < tiles * PLANES; i++) {
        int at = i / PLANES * tile_width, plane = i % PLANES;
        int own = width - at < tile_width ? width - at : tile_width;
        streams[i] = code_plane(sensor + (plane / 2) * (size_t)width + at + plane % 2,
                                (size_t)width, own / 2, height / 2);
        padding[i] = pad(&streams[i]);
        size += streams[i].count;
    }
    uint8_t *bytes = pf_gen_alloc(head_bytes + size, 1), *head = bytes;
    memset(bytes, 0, head_bytes);
    size_t at = head_bytes;
    for (int t = 0; t < tiles; t++) {
        size_t tile_bytes = 0;
        for (int p = 0; p < PLANES; p++)
            tile_bytes += streams[t * PLANES + p].count;
        head = put_header(head, 1, tile_bytes, (uint32_t)t << 16);
        for (int p = 0; p < PLANES; p++) {
            struct stream *stream = &streams[t * PLANES + p];
            /* 8: lines are predicted from those above. 4: quantised by one. */
            head = put_header(head, 2, stream->count, (uint32_t)p << 28 | 8u << 24);
            head = put_header(head, 3, stream->count, 4u << 19 | padding[t * PLANES + p]);
            memcpy(bytes + at, stream->bytes, stream->count);
            at += stream->count;
            free(stream->bytes);
        }
    }
    free(streams);
    free(padding);
    *ret_bytes = head_bytes + size;
    *ret_head_bytes = head_bytes;
    return bytes;
}
