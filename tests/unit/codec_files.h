/* Picture files of every kind for the tests of the codecs, made by the libraries themselves, and
 * read back by them: so that our code is compared with theirs and not with itself. */
#ifndef PF_TEST_CODEC_FILES_H
#define PF_TEST_CODEC_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <tiffio.h>

#include "tests/unit/test.h"

/* Interleaved samples, 16 bits each; with bits = 8 all are multiples of 257. */
struct raster {
    int width, height, channels, bits;
    uint16_t *samples;
};

static inline uint32_t scramble(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x7feb352du;
    h ^= h >> 15;
    h *= 0x846ca68bu;
    return h ^ h >> 16;
}

/* Noise over the whole range, its corners included; a fourth or second channel is alpha, opaque. */
static inline struct raster noise_raster(int width, int height, int channels, int bits)
{
    struct raster raster = {width, height, channels, bits, NULL};
    size_t count = (size_t)width * (size_t)height * (size_t)channels;
    raster.samples = malloc(count * 2);
    CHECK(raster.samples);
    for (size_t i = 0; i < count; i++) {
        uint32_t value = scramble((uint32_t)i + 1);
        uint32_t pick = value >> 28;
        uint32_t sample = pick == 0 ? 0 : pick == 1 ? 65535 : value & 65535;
        raster.samples[i] = (uint16_t)(bits == 8 ? (sample >> 8) * 257 : sample);
        if (channels % 2 == 0 && (int)(i % (size_t)channels) == channels - 1)
            raster.samples[i] = 65535;
    }
    return raster;
}

/* Slow gradients, different in every channel and direction: survives JPEG, and shows a turn. */
static inline struct raster smooth_raster(int width, int height, int channels, int bits)
{
    struct raster raster = noise_raster(width, height, channels, bits);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                double u = width > 1 ? (double)x / (width - 1) : 0.5;
                double v = height > 1 ? (double)y / (height - 1) : 0.5;
                double value = c == 0 ? u : c == 1 ? v : 1 - (u + v) / 2;
                int grey = (int)(20 + 215 * value + 0.5);
                raster.samples[((size_t)y * (size_t)width + (size_t)x) * (size_t)channels +
                               (size_t)c] = (uint16_t)(bits == 8 ? grey * 257 : grey * 256 + x);
            }
    return raster;
}

static inline uint16_t sample_at(const struct raster *raster, int x, int y, int c)
{
    return raster
        ->samples[((size_t)y * (size_t)raster->width + (size_t)x) * (size_t)raster->channels +
                  (size_t)c];
}

/* A row in the bytes of a file: 8 bits, or 16 in the machine's order. */
static inline void pack_row(const struct raster *raster, int y, void *to)
{
    size_t count = (size_t)raster->width * (size_t)raster->channels;
    const uint16_t *from = raster->samples + (size_t)y * count;
    for (size_t i = 0; i < count; i++) {
        if (raster->bits == 8)
            ((uint8_t *)to)[i] = (uint8_t)(from[i] >> 8);
        else
            ((uint16_t *)to)[i] = from[i];
    }
}

static inline const char *file_name(const char *name)
{
    static char path[4200];
    snprintf(path, sizeof(path), "%s/%s", test_directory(), name);
    return path;
}

struct bytes {
    uint8_t *data;
    size_t size;
};

static inline struct bytes slurp(const char *path)
{
    struct bytes bytes = {0};
    FILE *file = fopen(path, "rb");
    CHECK(file);
    fseek(file, 0, SEEK_END);
    bytes.size = (size_t)ftell(file);
    rewind(file);
    bytes.data = malloc(bytes.size + 1);
    CHECK(fread(bytes.data, 1, bytes.size, file) == bytes.size);
    fclose(file);
    return bytes;
}

static inline void spit(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    CHECK(file);
    CHECK(fwrite(data, 1, size, file) == size);
    fclose(file);
}

/* ---- JPEG ---- */

struct jpeg_kind {
    int h, v; /* luma's sampling factors; 0: as they come */
    J_COLOR_SPACE space;
    bool progressive;
    const uint8_t *exif, *icc;
    unsigned exif_bytes, icc_bytes;
};

static inline void write_jpeg(const char *path, const struct raster *raster,
                              const struct jpeg_kind *kind)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "wb");
    uint8_t *row = malloc((size_t)raster->width * 4);
    CHECK(file && row);
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_stdio_dest(&info, file);
    info.image_width = (JDIMENSION)raster->width;
    info.image_height = (JDIMENSION)raster->height;
    info.input_components = raster->channels;
    info.in_color_space = raster->channels == 1   ? JCS_GRAYSCALE
                          : raster->channels == 3 ? JCS_RGB
                                                  : JCS_CMYK;
    jpeg_set_defaults(&info);
    if (kind->space != JCS_UNKNOWN)
        jpeg_set_colorspace(&info, kind->space);
    jpeg_set_quality(&info, 97, TRUE);
    if (kind->h) {
        info.comp_info[0].h_samp_factor = kind->h;
        info.comp_info[0].v_samp_factor = kind->v;
    }
    if (kind->progressive)
        jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    if (kind->exif)
        jpeg_write_marker(&info, JPEG_APP0 + 1, kind->exif, kind->exif_bytes);
    if (kind->icc)
        jpeg_write_icc_profile(&info, kind->icc, kind->icc_bytes);
    for (int y = 0; y < raster->height; y++) {
        pack_row(raster, y, row);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    free(row);
    fclose(file);
}

/* As libjpeg reads it: each pixel with its nearest chroma sample, or interpolated. */
static inline struct raster read_jpeg(const char *path, J_COLOR_SPACE space, bool interpolated)
{
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "rb");
    CHECK(file);
    info.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&info);
    jpeg_stdio_src(&info, file);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = space;
    info.do_fancy_upsampling = interpolated;
    jpeg_start_decompress(&info);
    struct raster raster = {(int)info.output_width, (int)info.output_height, info.output_components,
                            8, NULL};
    size_t count = (size_t)raster.width * (size_t)raster.channels;
    raster.samples = malloc(count * (size_t)raster.height * 2);
    uint8_t *row = malloc(count);
    CHECK(raster.samples && row);
    while (info.output_scanline < info.output_height) {
        uint16_t *to = raster.samples + info.output_scanline * count;
        jpeg_read_scanlines(&info, &row, 1);
        for (size_t i = 0; i < count; i++)
            to[i] = (uint16_t)(row[i] * 257);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    free(row);
    fclose(file);
    return raster;
}

/* ---- TIFF ---- */

struct tiff_kind {
    const char *mode; /* of TIFFOpen; NULL: "w" */
    int compression, predictor, photometric, planar, tile, orientation, rows_per_strip;
    bool floating, associated;
};

static inline void write_tiff(const char *path, const struct raster *raster,
                              const struct tiff_kind *kind)
{
    TIFF *tiff = TIFFOpen(path, kind->mode ? kind->mode : "w");
    size_t bytes = (size_t)raster->bits / 8;
    bool separate = kind->planar == PLANARCONFIG_SEPARATE;
    CHECK(tiff);
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, raster->width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, raster->height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, raster->bits);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, raster->channels);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, separate ? kind->planar : PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION,
                 kind->compression ? kind->compression : COMPRESSION_NONE);
    if (kind->predictor)
        TIFFSetField(tiff, TIFFTAG_PREDICTOR, kind->predictor);
    if (kind->orientation)
        TIFFSetField(tiff, TIFFTAG_ORIENTATION, kind->orientation);
    if (kind->floating)
        TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_IEEEFP);
    int photometric = kind->photometric >= 0  ? kind->photometric
                      : raster->channels >= 3 ? PHOTOMETRIC_RGB
                                              : PHOTOMETRIC_MINISBLACK;
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, photometric);
    int colours = photometric == PHOTOMETRIC_RGB ? 3 : photometric == PHOTOMETRIC_SEPARATED ? 4 : 1;
    uint16_t extra = kind->associated ? EXTRASAMPLE_ASSOCALPHA : EXTRASAMPLE_UNASSALPHA;
    if (raster->channels == colours + 1)
        TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &extra);
    if (photometric == PHOTOMETRIC_PALETTE) {
        static uint16_t map[256];
        TIFFSetField(tiff, TIFFTAG_COLORMAP, map, map, map);
    }

    size_t row_bytes = (size_t)raster->width * (size_t)raster->channels * bytes;
    uint8_t *all = malloc(row_bytes * (size_t)raster->height);
    CHECK(all);
    for (int y = 0; y < raster->height; y++)
        pack_row(raster, y, all + (size_t)y * row_bytes);
    size_t pixel = bytes * (size_t)raster->channels;
    if (kind->tile) {
        TIFFSetField(tiff, TIFFTAG_TILEWIDTH, kind->tile);
        TIFFSetField(tiff, TIFFTAG_TILELENGTH, kind->tile);
        uint8_t *tile = calloc(1, (size_t)kind->tile * (size_t)kind->tile * pixel);
        for (int c = 0; c < (separate ? raster->channels : 1); c++)
            for (int ty = 0; ty < raster->height; ty += kind->tile)
                for (int tx = 0; tx < raster->width; tx += kind->tile) {
                    size_t unit = separate ? bytes : pixel;
                    for (int y = ty; y < raster->height && y < ty + kind->tile; y++)
                        for (int x = tx; x < raster->width && x < tx + kind->tile; x++)
                            memcpy(
                                tile + ((size_t)(y - ty) * (size_t)kind->tile + (size_t)(x - tx)) *
                                           unit,
                                all + (size_t)y * row_bytes + (size_t)x * pixel + (size_t)c * bytes,
                                unit);
                    CHECK(TIFFWriteTile(tiff, tile, (uint32_t)tx, (uint32_t)ty, 0, (uint16_t)c) >
                          0);
                }
        free(tile);
    } else {
        TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, kind->rows_per_strip ? kind->rows_per_strip : 3);
        uint8_t *row = malloc(row_bytes);
        for (int c = 0; c < (separate ? raster->channels : 1); c++)
            for (int y = 0; y < raster->height; y++) {
                memcpy(row, all + (size_t)y * row_bytes, row_bytes);
                for (int x = 0; separate && x < raster->width; x++)
                    memcpy(row + (size_t)x * bytes,
                           all + (size_t)y * row_bytes + (size_t)x * pixel + (size_t)c * bytes,
                           bytes);
                CHECK_EQ(TIFFWriteScanline(tiff, row, (uint32_t)y, (uint16_t)c), 1);
            }
        free(row);
    }
    free(all);
    TIFFClose(tiff);
}

static inline struct raster read_tiff(const char *path)
{
    TIFF *tiff = TIFFOpen(path, "r");
    uint16_t bits = 0, channels = 0;
    uint32_t width = 0, height = 0;
    CHECK(tiff);
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetField(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetField(tiff, TIFFTAG_SAMPLESPERPIXEL, &channels);
    struct raster raster = {(int)width, (int)height, channels, bits, NULL};
    size_t count = (size_t)width * channels;
    raster.samples = malloc(count * height * 2);
    void *row = malloc(count * 2);
    CHECK(raster.samples && row);
    for (uint32_t y = 0; y < height; y++) {
        CHECK_EQ(TIFFReadScanline(tiff, row, y, 0), 1);
        for (size_t i = 0; i < count; i++)
            raster.samples[y * count + i] =
                bits == 8 ? (uint16_t)(((uint8_t *)row)[i] * 257) : ((uint16_t *)row)[i];
    }
    free(row);
    TIFFClose(tiff);
    return raster;
}

/* ---- PNG ---- */

static inline void write_png(const char *path, const struct raster *raster, int type, int depth,
                             bool interlaced)
{
    FILE *file = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color palette[256];
    CHECK(file && png && info);
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)raster->width, (png_uint_32)raster->height, depth, type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    for (int i = 0; i < 256; i++)
        palette[i] = (png_color){(png_byte)i, (png_byte)(255 - i), (png_byte)(i / 2)};
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 256);
    png_write_info(png, info);
    if (depth == 16)
        png_set_swap(png);
    if (depth < 8)
        png_set_packing(png);
    size_t row_bytes = (size_t)raster->width * (size_t)raster->channels * 2;
    png_bytep *rows = malloc((size_t)raster->height * sizeof(*rows));
    for (int y = 0; y < raster->height; y++) {
        rows[y] = malloc(row_bytes);
        pack_row(raster, y, rows[y]);
        for (int x = 0; depth < 8 && x < raster->width; x++)
            rows[y][x] = (png_byte)(rows[y][x] >> (8 - depth));
    }
    png_write_image(png, rows);
    png_write_end(png, info);
    for (int y = 0; y < raster->height; y++)
        free(rows[y]);
    free(rows);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static inline struct raster read_png(const char *path)
{
    FILE *file = fopen(path, "rb");
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    CHECK(file && png && info);
    png_init_io(png, file);
    png_read_info(png, info);
    struct raster raster = {(int)png_get_image_width(png, info),
                            (int)png_get_image_height(png, info), png_get_channels(png, info),
                            png_get_bit_depth(png, info), NULL};
    if (raster.bits == 16)
        png_set_swap(png);
    size_t count = (size_t)raster.width * (size_t)raster.channels;
    raster.samples = malloc(count * (size_t)raster.height * 2);
    void *row = malloc(count * 2);
    CHECK(raster.samples && row);
    for (int y = 0; y < raster.height; y++) {
        png_read_row(png, row, NULL);
        for (size_t i = 0; i < count; i++)
            raster.samples[(size_t)y * count + i] =
                raster.bits == 8 ? (uint16_t)(((uint8_t *)row)[i] * 257) : ((uint16_t *)row)[i];
    }
    png_read_end(png, info);
    png_destroy_read_struct(&png, &info, NULL);
    free(row);
    fclose(file);
    return raster;
}

#endif
