/* A baseline JPEG of a picture, by the letter of ITU-T T.81 and without any library: 8 bits, all planes
 * in one scan, the same tables for each. What the library of a GPU is timed and checked with. */
#ifndef PF_GPU_JPEG_H
#define PF_GPU_JPEG_H

#include <math.h>
#include <stdint.h>

#include <vector>

extern "C" {
#include "process/image.h"
}

namespace jpeg
{
enum { STEP = 3 }; /* of every coefficient */

static const uint8_t ZIGZAG[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                   12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                   35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                   58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* Codes by their length, and what they stand for: tables K.3 and K.5. */
static const uint8_t DC_COUNTS[16] = {0, 1, 5, 1, 1, 1, 1, 1, 1};
static const uint8_t DC_VALUES[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const uint8_t AC_COUNTS[16] = {0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125};
static const uint8_t AC_VALUES[] = {
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61,
    0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52,
    0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25,
    0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45,
    0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64,
    0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6,
    0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3,
    0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8,
    0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa};

struct codes {
    uint16_t code[256];
    uint8_t length[256];
    codes(const uint8_t counts[16], const uint8_t *values)
    {
        unsigned next = 0;
        for (int bits = 1; bits <= 16; bits++, next <<= 1)
            for (int i = 0; i < counts[bits - 1]; i++, values++, next++) {
                code[*values] = (uint16_t)next;
                length[*values] = (uint8_t)bits;
            }
    }
};

struct writer {
    std::vector<uint8_t> file;
    uint64_t bits = 0;
    int pending = 0;

    void byte(int value)
    {
        file.push_back((uint8_t)value);
    }
    void word(int value)
    {
        byte(value >> 8);
        byte(value & 255);
    }
    void put(unsigned value, int count)
    {
        bits = bits << count | value;
        for (pending += count; pending >= 8; pending -= 8) {
            uint8_t out = (uint8_t)(bits >> (pending - 8));
            byte(out);
            if (out == 0xff)
                byte(0);
        }
    }
    void number(const codes &table, int run, int value)
    {
        int size = 0;
        for (int rest = value < 0 ? -value : value; rest; rest >>= 1)
            size++;
        int symbol = run << 4 | size;
        put(table.code[symbol], table.length[symbol]);
        if (size)
            put((unsigned)(value < 0 ? value - 1 : value) & ((1u << size) - 1), size);
    }
};

/* The quantized coefficients of a block whose upper left sample is at (x, y); beyond the plane its last
 * samples go on. */
static inline void transform(const struct pf_image *image, int plane, int x, int y, int out[64])
{
    static float cosine[8][8];
    int right = pf_image_plane_width(image, plane) - 1;
    int bottom = pf_image_plane_height(image, plane) - 1;
    float in[8][8], half[8][8];
    if (cosine[0][0] == 0)
        for (int k = 0; k < 8; k++)
            for (int i = 0; i < 8; i++)
                cosine[k][i] =
                    (float)(cos((2 * i + 1) * k * M_PI / 16) * (k ? 0.5 : 0.5 / sqrt(2.0)));
    for (int j = 0; j < 8; j++) {
        const uint8_t *row = (const uint8_t *)image->plane[plane] +
                             (size_t)(y + j < bottom ? y + j : bottom) * image->stride_bytes[plane];
        for (int i = 0; i < 8; i++)
            in[j][i] = (float)row[x + i < right ? x + i : right] - 128;
    }
    for (int j = 0; j < 8; j++)
        for (int k = 0; k < 8; k++) {
            half[j][k] = 0;
            for (int i = 0; i < 8; i++)
                half[j][k] += cosine[k][i] * in[j][i];
        }
    for (int k = 0; k < 8; k++)
        for (int l = 0; l < 8; l++) {
            float sum = 0;
            for (int j = 0; j < 8; j++)
                sum += cosine[k][j] * half[j][l];
            out[8 * k + l] = (int)lrintf(sum / STEP);
        }
}

static inline void put_block(writer *to, const int block[64], int *last)
{
    static const codes dc(DC_COUNTS, DC_VALUES), ac(AC_COUNTS, AC_VALUES);
    to->number(dc, 0, block[0] - *last);
    *last = block[0];
    int run = 0;
    for (int i = 1; i < 64; i++) {
        int value = block[ZIGZAG[i]];
        if (!value) {
            run++;
            continue;
        }
        for (; run > 15; run -= 16)
            to->put(ac.code[0xf0], ac.length[0xf0]);
        to->number(ac, run, value);
        run = 0;
    }
    if (run)
        to->put(ac.code[0], ac.length[0]);
}

static inline void put_tables(writer *to, int kind, const uint8_t counts[16], const uint8_t *values)
{
    int total = 0;
    for (int i = 0; i < 16; i++)
        total += counts[i];
    to->word(0xffc4);
    to->word(19 + total);
    to->byte(kind << 4);
    to->file.insert(to->file.end(), counts, counts + 16);
    to->file.insert(to->file.end(), values, values + total);
}

static inline std::vector<uint8_t> of(const struct pf_image *image)
{
    writer to;
    int columns = 1 << image->chroma_shift_x, rows = 1 << image->chroma_shift_y;
    to.word(0xffd8);
    to.word(0xffdb);
    to.word(67);
    to.byte(0);
    to.file.insert(to.file.end(), 64, (uint8_t)STEP);
    to.word(0xffc0);
    to.word(8 + 3 * image->planes);
    to.byte(8);
    to.word(image->height);
    to.word(image->width);
    to.byte(image->planes);
    for (int plane = 0; plane < image->planes; plane++) {
        to.byte(plane + 1);
        to.byte(plane ? 0x11 : columns << 4 | rows);
        to.byte(0);
    }
    put_tables(&to, 0, DC_COUNTS, DC_VALUES);
    put_tables(&to, 1, AC_COUNTS, AC_VALUES);
    to.word(0xffda);
    to.word(6 + 2 * image->planes);
    to.byte(image->planes);
    for (int plane = 0; plane < image->planes; plane++) {
        to.byte(plane + 1);
        to.byte(0);
    }
    to.byte(0);
    to.byte(63);
    to.byte(0);
    int last[3] = {0}, block[64];
    for (int y = 0; y < image->height; y += 8 * rows)
        for (int x = 0; x < image->width; x += 8 * columns)
            for (int plane = 0; plane < image->planes; plane++)
                for (int j = 0; j < (plane ? 1 : rows); j++)
                    for (int i = 0; i < (plane ? 1 : columns); i++) {
                        transform(image, plane, (plane ? x / columns : x) + 8 * i,
                                  (plane ? y / rows : y) + 8 * j, block);
                        put_block(&to, block, &last[plane]);
                    }
    to.put(127, 7);
    to.word(0xffd9);
    return to.file;
}
} // namespace jpeg

#endif
