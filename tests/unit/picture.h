/* Small real pictures in memory, made with the image libraries; for the tests of capture/. */
#ifndef PF_TEST_PICTURE_H
#define PF_TEST_PICTURE_H

#include <stdio.h>

#include <jpeglib.h>
#include <png.h>
#include <tiffio.h>

#include "tests/unit/test.h"

struct picture {
    uint8_t *bytes;
    size_t size;
};

static inline void picture_append(struct picture *picture, const void *bytes, size_t size)
{
    picture->bytes = realloc(picture->bytes, picture->size + size + 1);
    CHECK(picture->bytes);
    memcpy(picture->bytes + picture->size, bytes, size);
    picture->size += size;
}

/* A sample with structure, so that the entropy-coded data holds 0xff bytes too. */
static inline uint8_t picture_sample(int x, int y)
{
    return (uint8_t)((x * x + 7 * y * y + 31 * x * y) >> 2);
}

/* app1: content of an APP1 segment, NULL none. */
static inline struct picture picture_jpeg(int width, int height, bool progressive, int restart,
                                          const void *app1, size_t app1_size)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &out, &size);
    jpeg.image_width = (unsigned)width;
    jpeg.image_height = (unsigned)height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 97, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg.restart_interval = (unsigned)restart;
    jpeg_start_compress(&jpeg, TRUE);
    if (app1)
        jpeg_write_marker(&jpeg, JPEG_APP0 + 1, app1, (unsigned)app1_size);
    uint8_t *row = malloc((size_t)width * 3);
    CHECK(row);
    while (jpeg.next_scanline < jpeg.image_height) {
        for (int i = 0; i < width * 3; i++)
            row[i] = picture_sample(i, (int)jpeg.next_scanline);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    return (struct picture){out, size};
}

static inline void picture_png_write(png_structp png, png_bytep bytes, png_size_t size)
{
    picture_append(png_get_io_ptr(png), bytes, size);
}

static inline struct picture picture_png(int width, int height, void *exif, size_t exif_size)
{
    struct picture picture = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    CHECK(png && info);
    png_set_write_fn(png, &picture, picture_png_write, NULL);
    png_set_IHDR(png, info, (unsigned)width, (unsigned)height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_buffer_size(png, 512); /* several IDAT chunks */
    if (exif)
        png_set_eXIf_1(png, info, (unsigned)exif_size, exif);
    png_write_info(png, info);
    uint8_t *row = malloc((size_t)width * 3);
    CHECK(row);
    for (int y = 0; y < height; y++) {
        for (int i = 0; i < width * 3; i++)
            row[i] = picture_sample(i, y);
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(row);
    return picture;
}

static inline struct picture picture_read(const char *path)
{
    struct picture picture = {0};
    char bytes[4096];
    FILE *file = fopen(path, "rb");
    CHECK(file);
    for (size_t n; (n = fread(bytes, 1, sizeof(bytes), file));)
        picture_append(&picture, bytes, n);
    fclose(file);
    return picture;
}

/* mode: as of TIFFOpen ("wl", "wb8", ...). */
static inline struct picture picture_tiff(const char *mode, int width, int height, int pages,
                                          bool tiled)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/picture.tif", test_directory());
    TIFF *tiff = TIFFOpen(path, mode);
    CHECK(tiff);
    for (int page = 0; page < pages; page++) {
        TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, width);
        TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, height);
        TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 3);
        TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
        TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
        TIFFSetField(tiff, TIFFTAG_MAKE, "Maker of pictures");
        size_t unit = tiled ? 16 * 16 * 3 : (size_t)width * 3;
        uint8_t *samples = malloc(unit);
        CHECK(samples);
        for (size_t i = 0; i < unit; i++)
            samples[i] = picture_sample((int)i, page);
        if (tiled) {
            TIFFSetField(tiff, TIFFTAG_TILEWIDTH, 16);
            TIFFSetField(tiff, TIFFTAG_TILELENGTH, 16);
            for (unsigned i = 0; i < TIFFNumberOfTiles(tiff); i++)
                CHECK(TIFFWriteEncodedTile(tiff, i, samples, (tmsize_t)unit) > 0);
        } else {
            TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 4);
            for (int y = 0; y < height; y++)
                CHECK(TIFFWriteScanline(tiff, samples, (unsigned)y, 0) > 0);
        }
        free(samples);
        CHECK(TIFFWriteDirectory(tiff));
    }
    TIFFClose(tiff);
    return picture_read(path);
}

/* Numbers that repeat: SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t picture_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
