/* Reading picture files back, for compare and the tests. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include <jpeglib.h>

#include "tests/gen/picture.h"

struct picture {
    uint16_t *samples;
    int width, height, channels;
};

struct jpeg_trap {
    struct jpeg_error_mgr manager;
    jmp_buf out;
};

static void jpeg_trapped(j_common_ptr info)
{
    longjmp(((struct jpeg_trap *)info->err)->out, 1);
}

static int room(struct picture *picture)
{
    picture->samples = malloc((size_t)picture->width * (size_t)picture->height *
                              (size_t)picture->channels * sizeof(uint16_t));
    return picture->samples ? 0 : -ENOMEM;
}

static int read_jpeg(FILE *file, struct picture *picture)
{
    struct jpeg_decompress_struct info;
    struct jpeg_trap trap;
    uint8_t *volatile row = NULL;
    info.err = jpeg_std_error(&trap.manager);
    trap.manager.error_exit = jpeg_trapped;
    if (setjmp(trap.out)) {
        jpeg_destroy_decompress(&info);
        free(row);
        return -EBADMSG;
    }
    jpeg_create_decompress(&info);
    jpeg_stdio_src(&info, file);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&info);
    picture->width = (int)info.output_width;
    picture->height = (int)info.output_height;
    picture->channels = info.output_components;
    size_t row_samples = (size_t)picture->width * (size_t)picture->channels;
    row = malloc(row_samples);
    if (!row || room(picture) < 0)
        longjmp(trap.out, 1);
    for (int y = 0; y < picture->height; y++) {
        JSAMPROW line = row;
        jpeg_read_scanlines(&info, &line, 1);
        for (size_t i = 0; i < row_samples; i++)
            picture->samples[(size_t)y * row_samples + i] = (uint16_t)(257 * row[i]);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    free(row);
    return 0;
}

static int read_png(FILE *file, struct picture *picture)
{
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    uint8_t *volatile row = NULL;
    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_read_struct(&png, &info, NULL);
        free(row);
        return -EBADMSG;
    }
    png_init_io(png, file);
    png_read_info(png, info);
    png_set_expand_16(png);
    png_set_strip_alpha(png);
    png_set_swap(png);
    png_read_update_info(png, info);
    picture->width = (int)png_get_image_width(png, info);
    picture->height = (int)png_get_image_height(png, info);
    picture->channels = png_get_channels(png, info);
    if (png_get_bit_depth(png, info) != 16 || room(picture) < 0)
        png_error(png, "unexpected samples");
    size_t row_bytes = png_get_rowbytes(png, info);
    for (int y = 0; y < picture->height; y++)
        png_read_row(png, (uint8_t *)picture->samples + (size_t)y * row_bytes, NULL);
    png_destroy_read_struct(&png, &info, NULL);
    return 0;
}

/* Contiguous samples of 8 or 16 bits; alpha, if any, is dropped. */
static int read_tiff(const char *path, struct picture *picture)
{
    TIFF *tiff = TIFFOpen(path, "r");
    if (!tiff)
        return -EBADMSG;
    uint32_t width = 0, height = 0;
    uint16_t bits = 8, samples = 1, planar = PLANARCONFIG_CONTIG;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
    int rc = 0;
    uint8_t *row = malloc((size_t)TIFFScanlineSize(tiff));
    picture->width = (int)width;
    picture->height = (int)height;
    picture->channels = samples >= 3 ? 3 : 1;
    if ((bits != 8 && bits != 16) || planar != PLANARCONFIG_CONTIG || TIFFIsTiled(tiff))
        rc = -ENOTSUP;
    else if (!row || room(picture) < 0)
        rc = -ENOMEM;
    for (uint32_t y = 0; y < height && rc == 0; y++) {
        if (TIFFReadScanline(tiff, row, y, 0) < 0)
            rc = -EBADMSG;
        for (uint32_t x = 0; x < width && rc == 0; x++) {
            for (int c = 0; c < picture->channels; c++) {
                size_t from = (size_t)x * samples + (size_t)c;
                uint16_t value;
                if (bits == 16)
                    memcpy(&value, row + 2 * from, 2);
                else
                    value = (uint16_t)(257 * row[from]);
                picture->samples[((size_t)y * width + x) * (size_t)picture->channels + (size_t)c] =
                    value;
            }
        }
    }
    free(row);
    TIFFClose(tiff);
    return rc;
}

int pf_gen_picture_read(const char *path, uint16_t **ret, int *ret_width, int *ret_height,
                        int *ret_channels, struct pf_error *err)
{
    struct picture picture = {0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return pf_fail_errno(err, errno, "%s", path);
    int first = getc(file);
    rewind(file);
    int rc;
    if (first == 0xff)
        rc = read_jpeg(file, &picture);
    else if (first == 0x89)
        rc = read_png(file, &picture);
    else
        rc = read_tiff(path, &picture);
    fclose(file);
    if (rc < 0) {
        free(picture.samples);
        return pf_fail(err, -rc, "%s: not a picture we can read", path);
    }
    *ret = picture.samples;
    *ret_width = picture.width;
    *ret_height = picture.height;
    *ret_channels = picture.channels;
    return 0;
}
