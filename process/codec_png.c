/* PNG, read by libpng. */
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "process/alpha.h"
#include "process/codec_format.h"
#include "process/convert.h"
#include "process/exif.h"
#include "process/profile.h"

/* Numbers of colours: by how much they may be off those of sRGB, and what is none. */
#define MOST_LIGHT  0.005
#define MOST_GAMMA  0.05 /* of 1 */
#define LEAST_GAMMA 0.1

struct reader {
    png_structp png;
    png_infop info;
    struct pf_source *source;
    struct pf_error *err;
    int result;
    bool ended;     /* the file ended before the picture did */
    char text[256]; /* libpng's own words */
    struct pf_image *image;
    uint8_t *rows; /* one row, or all of an interlaced picture */
    png_bytep *pointers;
    int bits, channels;
    uint8_t *alpha; /* NULL: none; a byte a pixel, from the last channel */
};

static void on_error(png_structp png, png_const_charp text)
{
    struct reader *reader = png_get_error_ptr(png);
    snprintf(reader->text, sizeof(reader->text), "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep bytes, size_t size)
{
    struct reader *reader = png_get_io_ptr(png);
    if (pf_source_read(reader->source, bytes, size) < size) {
        reader->ended = true;
        png_error(png, "read error");
    }
}

/* Leaves libpng by longjmp with a result of our own. */
static _Noreturn void leave(struct reader *reader, int code, const char *text)
{
    reader->result = pf_fail(reader->err, code, "%s: %s", reader->source->path, text);
    png_longjmp(reader->png, 1);
}

static int describe(struct reader *reader)
{
    const char *path = reader->source->path;
    if (reader->result < 0)
        return reader->result;
    if (reader->source->error)
        return pf_fail_errno(reader->err, reader->source->error, "reading %s", path);
    if (reader->ended)
        return pf_fail(reader->err, EBADMSG, "%s: the file ends early (truncated)", path);
    if (strstr(reader->text, "memory"))
        return pf_fail(reader->err, ENOMEM, "%s: %s", path, reader->text);
    return pf_fail(reader->err, EBADMSG, "%s: %s", path, reader->text);
}

static void store_row(struct reader *reader, const uint8_t *row, size_t y)
{
    struct pf_image *image = reader->image;
    uint8_t *out[3] = {NULL};
    int bytes = reader->bits / 8;

    for (int i = 0; i < image->planes; i++)
        out[i] = (uint8_t *)image->plane[i] + y * image->stride_bytes[i];
    if (reader->alpha) {
        const uint8_t *in = row + image->planes * bytes;
        if (__BYTE_ORDER == __LITTLE_ENDIAN)
            in += bytes - 1; /* the upper byte says enough */
        for (int x = 0; x < image->width; x++)
            reader->alpha[y * (size_t)image->width + (size_t)x] =
                in[(size_t)x * (size_t)(reader->channels * bytes)];
    }
    if (image->planes == 3) {
        for (int i = 0; i < 3; i++)
            pf_row_unpack((uint16_t *)out[i], row + i * bytes, reader->bits, reader->channels,
                          image->width);
        pf_row_from_rgb((uint16_t *)out[0], (uint16_t *)out[1], (uint16_t *)out[2], image->width);
    } else if (reader->channels == 1) {
        memcpy(out[0], row, (size_t)image->width * (size_t)bytes);
    } else if (bytes == 2) {
        pf_row_unpack((uint16_t *)out[0], row, 16, reader->channels, image->width);
    } else {
        for (int x = 0; x < image->width; x++)
            out[0][x] = row[(size_t)x * (size_t)reader->channels];
    }
}

/* Of lights that are not those of sRGB by more than rounding. */
static bool find_lights(const struct reader *reader, struct pf_chromaticities *ret)
{
    static const double usual[8] = {0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06};
    double found[8], most = 0;
    if (!png_get_cHRM(reader->png, reader->info, &found[0], &found[1], &found[2], &found[3],
                      &found[4], &found[5], &found[6], &found[7]))
        return false;
    for (int i = 0; i < 8; i++)
        most = fmax(most, fabs(found[i] - usual[i]));
    memcpy(ret->white, found, sizeof(ret->white));
    memcpy(ret->primary, found + 2, sizeof(ret->primary));
    return most > MOST_LIGHT;
}

/* What a file without a profile says of its colours in numbers, unless that is sRGB or as good as it. */
static void keep_numbers(struct reader *reader)
{
    struct pf_chromaticities lights;
    double gamma = 0; /* samples are light to this power */
    if (png_get_valid(reader->png, reader->info, PNG_INFO_sRGB))
        return;
    if (!png_get_gAMA(reader->png, reader->info, &gamma) || gamma < LEAST_GAMMA ||
        gamma > 1 / LEAST_GAMMA)
        gamma = 0;
    bool coloured = reader->image->planes == 3 && find_lights(reader, &lights);
    bool curved = gamma > 0 && fabs(gamma * 2.2 - 1) > MOST_GAMMA;
    if (coloured || curved)
        reader->result = pf_profile_of_numbers(reader->image, gamma > 0 ? 1 / gamma : 0,
                                               coloured ? &lights : NULL, reader->err);
    if (reader->result < 0)
        png_longjmp(reader->png, 1);
}

static void keep_metadata(struct reader *reader)
{
    struct pf_image *image = reader->image;
    png_charp name;
    int method;
    png_bytep bytes = NULL;
    png_uint_32 size = 0;

    if (png_get_iCCP(reader->png, reader->info, &name, &method, &bytes, &size) && size) {
        image->icc.bytes = malloc(size);
        if (!image->icc.bytes)
            leave(reader, ENOMEM, "out of memory for its colour profile");
        memcpy(image->icc.bytes, bytes, size);
        image->icc.size_bytes = size;
    } else {
        keep_numbers(reader);
    }
    if (png_get_eXIf_1(reader->png, reader->info, &size, &bytes) && size) {
        image->exif.bytes = malloc(size);
        if (!image->exif.bytes)
            leave(reader, ENOMEM, "out of memory for its EXIF block");
        memcpy(image->exif.bytes, bytes, size);
        image->exif.size_bytes = size;
    }
    image->orientation = pf_exif_orientation(&image->exif);
    reader->result = pf_profile_of_camera(image, &image->exif, reader->err);
    if (reader->result < 0)
        png_longjmp(reader->png, 1);
}

static void read_picture(struct reader *reader)
{
    png_structp png = reader->png;
    png_infop info = reader->info;

    png_read_info(png, info);
    png_uint_32 width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    reader->result = pf_source_check_size(reader->source, width, height, reader->err);
    if (reader->result < 0)
        png_longjmp(png, 1);

    int type = png_get_color_type(png, info);
    bool colour = type & PNG_COLOR_MASK_COLOR;
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (png_get_valid(png, info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    if (type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (__BYTE_ORDER == __LITTLE_ENDIAN && png_get_bit_depth(png, info) == 16)
        png_set_swap(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    reader->bits = png_get_bit_depth(png, info);
    reader->channels = png_get_channels(png, info);

    reader->result = pf_image_new(&reader->image, (int)width, (int)height,
                                  colour ? 16 : reader->bits, colour ? 3 : 1, 0, 0, reader->err);
    if (reader->result < 0)
        png_longjmp(png, 1);
    reader->image->source_bits = reader->bits;
    if (reader->channels > reader->image->planes) {
        reader->alpha = malloc((size_t)width * height);
        if (!reader->alpha)
            leave(reader, ENOMEM, "out of memory for decoding");
    }

    size_t row_bytes = png_get_rowbytes(png, info), rows = passes > 1 ? height : 1, all;
    if (__builtin_mul_overflow(row_bytes, rows, &all))
        leave(reader, ENOMEM, "too large for the memory");
    reader->rows = malloc(all);
    if (!reader->rows)
        leave(reader, ENOMEM, "out of memory for its rows");
    if (passes == 1) {
        for (size_t y = 0; y < height; y++) {
            png_read_row(png, reader->rows, NULL);
            store_row(reader, reader->rows, y);
        }
    } else {
        reader->pointers = malloc(height * sizeof(*reader->pointers));
        if (!reader->pointers)
            leave(reader, ENOMEM, "out of memory for its rows");
        for (size_t y = 0; y < height; y++)
            reader->pointers[y] = reader->rows + y * row_bytes;
        png_read_image(png, reader->pointers);
        for (size_t y = 0; y < height; y++)
            store_row(reader, reader->pointers[y], y);
    }
    png_read_end(png, info);
    if (reader->alpha)
        reader->result =
            pf_alpha_fill(reader->image, &reader->alpha, false, reader->source->path, reader->err);
    if (reader->result < 0)
        png_longjmp(png, 1);
    keep_metadata(reader);
}

int pf_decode_png(struct pf_image **ret, struct pf_source *source, struct pf_error *err)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return pf_fail(err, ENOMEM, "%s: out of memory for decoding", source->path);
    reader->source = source;
    reader->err = err;
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning);
    reader->info = reader->png ? png_create_info_struct(reader->png) : NULL;

    int r;
    if (!reader->info) {
        r = pf_fail(err, ENOMEM, "%s: out of memory for decoding", source->path);
    } else if (setjmp(png_jmpbuf(reader->png)) == 0) {
        png_set_read_fn(reader->png, reader, on_read);
        /* Our own limit counts; libpng's default of a million a side would refuse panoramas. */
        png_set_user_limits(reader->png, 0x7fffffff, 0x7fffffff);
        png_set_crc_action(reader->png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
        read_picture(reader);
        r = 0;
    } else {
        r = describe(reader);
    }

    if (r == 0) {
        *ret = reader->image;
        reader->image = NULL;
    }
    pf_image_free(reader->image);
    free(reader->rows);
    free(reader->alpha);
    free(reader->pointers);
    if (reader->png)
        png_destroy_read_struct(&reader->png, &reader->info, NULL);
    free(reader);
    return r;
}
