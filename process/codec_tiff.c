/* TIFF, read by libtiff: grey or RGB of 8 or 16 bits, strips or tiles, any compression it knows. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/alpha.h"
#include "process/codec_format.h"
#include "process/convert.h"
#include "process/exif.h"
#include "process/libtiff.h"
#include "process/profile.h"

#define SAMPLES_MAX 8
#define LINEAR_RAW  34892 /* photometric of DNG */
#define RAW         1     /* in place of 0: not for libtiff */

struct reader {
    const struct pf_libtiff_calls *calls;
    TIFF *tiff;
    struct pf_source *source;
    struct pf_error *err;
    char text[300]; /* libtiff's first complaint */
    bool cut;       /* a value of the directory lies beyond the end of the file */
    bool repaired;  /* a decompressor warned: pixels were invented */
    struct pf_image *image;
    uint8_t *buffer; /* a scanline or a tile */
    uint32_t width, height;
    uint16_t bits, samples, photometric, planar;
    int components; /* read from the file: 1 or 3; further samples are alpha or unknown */
    uint8_t *alpha; /* NULL: none; a byte a pixel, from the sample behind the components */
    bool associated;
};

static void on_error(thandle_t handle, const char *format, va_list args)
{
    struct reader *reader = handle;
    if (!reader->text[0])
        vsnprintf(reader->text, sizeof(reader->text), format, args);
}

static void on_warning(thandle_t handle, const char *module, const char *format, va_list args)
{
    struct reader *reader = handle;
    if (strstr(format, "IO error during reading"))
        reader->cut = true;
    /* libtiff warns of every private tag; only its decompressors' warnings are about pixels. */
    if (module && (strstr(module, "JPEG") || strstr(module, "LZW") || strstr(module, "ZIP"))) {
        reader->repaired = true;
        if (!reader->text[0])
            vsnprintf(reader->text, sizeof(reader->text), format, args);
    }
}

static tmsize_t on_read(thandle_t handle, void *bytes, tmsize_t size)
{
    struct reader *reader = handle;
    return (tmsize_t)pf_source_read(reader->source, bytes, (size_t)size);
}

static tmsize_t on_write(thandle_t handle, void *bytes, tmsize_t size)
{
    (void)handle;
    (void)bytes;
    (void)size;
    return -1;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct reader *reader = handle;
    int64_t base = whence == SEEK_CUR   ? reader->source->offset
                   : whence == SEEK_END ? reader->source->size_bytes
                                        : 0;
    int64_t to;
    if (__builtin_add_overflow(base, (int64_t)offset, &to) || to < 0)
        return (toff_t)-1;
    reader->source->offset = to;
    return (toff_t)to;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    struct reader *reader = handle;
    return (toff_t)reader->source->size_bytes;
}

/* What libtiff could not do, as an error of ours. */
static int describe(struct reader *reader)
{
    const char *path = reader->source->path;
    const char *text = reader->text[0] ? reader->text : "damaged";
    if (reader->source->error)
        return pf_fail_errno(reader->err, reader->source->error, "reading %s", path);
    bool memory =
        (strstr(text, "memory") || strstr(text, "No space for")) && !strstr(text, "beyond the");
    return pf_fail(reader->err, memory ? ENOMEM : EBADMSG, "%s: %s", path, text);
}

static int refuse(struct reader *reader, const char *what)
{
    return pf_fail(reader->err, ENOTSUP, "%s: a TIFF %s, which is not read", reader->source->path,
                   what);
}

/* 0, RAW or an error. */
static int check_kind(struct reader *reader)
{
    TIFF *tiff = reader->tiff;
    uint16_t format = SAMPLEFORMAT_UINT, compression = COMPRESSION_NONE;
    uint32_t subfile = 0;
    void *version;

    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &reader->bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &reader->samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &reader->planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
    TIFFGetField(tiff, TIFFTAG_SUBFILETYPE, &subfile);
    if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &reader->photometric))
        return pf_fail(reader->err, EBADMSG, "%s: does not say how its colours are stored",
                       reader->source->path);
    /* Other TIFF-shaped RAW files begin with a reduced preview. */
    if (TIFFGetField(tiff, TIFFTAG_DNGVERSION, &version) ||
        reader->photometric == PHOTOMETRIC_CFA || reader->photometric == LINEAR_RAW ||
        (subfile & FILETYPE_REDUCEDIMAGE))
        return RAW;

    switch (reader->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
        reader->components = 1;
        break;
    case PHOTOMETRIC_RGB:
        reader->components = 3;
        break;
    case PHOTOMETRIC_YCBCR:
        if (compression == COMPRESSION_OJPEG)
            return refuse(reader, "of old-style JPEG");
        if (compression != COMPRESSION_JPEG)
            return refuse(reader, "of uncompressed YCbCr");
        TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        reader->components = 3;
        break;
    case PHOTOMETRIC_PALETTE:
        return refuse(reader, "with a palette");
    case PHOTOMETRIC_SEPARATED:
        return refuse(reader, "in CMYK");
    default:
        return refuse(reader, "of an unusual colour space");
    }
    if (format == SAMPLEFORMAT_IEEEFP)
        return refuse(reader, "of floating point");
    if (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID)
        return refuse(reader, "of signed samples");
    if (reader->bits != 8 && reader->bits != 16)
        return refuse(reader, "with neither 8 nor 16 bits a sample");
    if (reader->samples < reader->components || reader->samples > SAMPLES_MAX)
        return refuse(reader, "with an unusual number of samples a pixel");
    if (!TIFFIsCODECConfigured(compression))
        return refuse(reader, "of an unknown compression");
    return 0;
}

/* `count` pixels at (x, y) from interleaved samples, or one component of separate ones (-1: all). */
static void store(struct reader *reader, const uint8_t *from, int component, uint32_t x, uint32_t y,
                  uint32_t count)
{
    struct pf_image *image = reader->image;
    bool separate = component >= 0;
    size_t bytes = reader->bits / 8u;
    int step = separate ? 1 : reader->samples;

    if (reader->alpha && (!separate || component == reader->components)) {
        uint8_t *row = reader->alpha + (size_t)y * reader->width + x;
        const uint8_t *in = separate ? from : from + (size_t)reader->components * bytes;
        if (__BYTE_ORDER == __LITTLE_ENDIAN)
            in += bytes - 1; /* the upper byte says enough */
        for (uint32_t k = 0; k < count; k++)
            row[k] = in[(size_t)k * (size_t)step * bytes];
    }
    if (component == reader->components)
        return;
    for (int i = separate ? component : 0; i < (separate ? component + 1 : image->planes); i++) {
        uint8_t *row = (uint8_t *)image->plane[i] + (size_t)y * image->stride_bytes[i];
        const uint8_t *in = separate ? from : from + (size_t)i * bytes;
        if (image->bits == 16) {
            pf_row_unpack((uint16_t *)row + x, in, reader->bits, step, (int)count);
        } else {
            for (uint32_t k = 0; k < count; k++)
                row[x + k] = in[(size_t)k * (size_t)step];
        }
    }
}

/* Rows whose components are all there: into the image's own colour space. */
static void finish_rows(struct reader *reader, uint32_t begin, uint32_t end)
{
    struct pf_image *image = reader->image;
    for (uint32_t y = begin; y < end; y++) {
        uint16_t *row[3] = {NULL};
        for (int i = 0; i < image->planes; i++)
            row[i] = (uint16_t *)((uint8_t *)image->plane[i] + (size_t)y * image->stride_bytes[i]);
        if (image->planes == 3) {
            pf_row_from_rgb(row[0], row[1], row[2], image->width);
        } else if (reader->photometric == PHOTOMETRIC_MINISWHITE) {
            for (int x = 0; x < image->width; x++) {
                if (image->bits == 16)
                    row[0][x] = (uint16_t)(65535 - row[0][x]);
                else
                    ((uint8_t *)row[0])[x] = (uint8_t)(255 - ((uint8_t *)row[0])[x]);
            }
        }
    }
}

static int new_buffer(struct reader *reader, uint64_t size, uint64_t needed)
{
    /* The largest thing libtiff may hand us is a tile: bounded like a picture. */
    if (size < needed || size > (uint64_t)reader->source->limits->max_pixels * 2 * SAMPLES_MAX)
        return pf_fail(reader->err, EBADMSG, "%s: its strips or tiles have a senseless size",
                       reader->source->path);
    reader->buffer = malloc((size_t)size);
    return reader->buffer ? 0
                          : pf_fail(reader->err, ENOMEM, "%s: out of memory for decoding",
                                    reader->source->path);
}

static int separate_components(const struct reader *reader)
{
    return reader->components + (reader->alpha != NULL);
}

static int read_strips(struct reader *reader)
{
    bool separate = reader->planar == PLANARCONFIG_SEPARATE && reader->samples > 1;
    uint64_t needed =
        (uint64_t)reader->width * (reader->bits / 8u) * (separate ? 1u : reader->samples);
    int r = new_buffer(reader, TIFFScanlineSize64(reader->tiff), needed);
    if (r < 0)
        return r;
    for (int component = 0; component < (separate ? separate_components(reader) : 1); component++) {
        for (uint32_t y = 0; y < reader->height; y++) {
            if (TIFFReadScanline(reader->tiff, reader->buffer, y, (uint16_t)component) != 1)
                return describe(reader);
            store(reader, reader->buffer, separate ? component : -1, 0, y, reader->width);
            if (!separate)
                finish_rows(reader, y, y + 1);
        }
    }
    if (separate)
        finish_rows(reader, 0, reader->height);
    return 0;
}

static int read_tile(struct reader *reader, uint32_t x, uint32_t y, uint32_t tile_width,
                     uint32_t tile_height, int component)
{
    bool separate = component >= 0;
    size_t row_bytes = (size_t)tile_width * (reader->bits / 8u) * (separate ? 1u : reader->samples);
    uint32_t columns = reader->width - x < tile_width ? reader->width - x : tile_width;
    uint32_t rows = reader->height - y < tile_height ? reader->height - y : tile_height;
    uint16_t sample = (uint16_t)(separate ? component : 0);

    uint32_t tile = TIFFComputeTile(reader->tiff, x, y, 0, sample);
    if (TIFFReadEncodedTile(reader->tiff, tile, reader->buffer, (tmsize_t)-1) < 0)
        return describe(reader);
    for (uint32_t k = 0; k < rows; k++)
        store(reader, reader->buffer + k * row_bytes, component, x, y + k, columns);
    return 0;
}

static int read_tiles(struct reader *reader)
{
    bool separate = reader->planar == PLANARCONFIG_SEPARATE && reader->samples > 1;
    uint32_t width = 0, height = 0;
    uint64_t needed;

    TIFFGetField(reader->tiff, TIFFTAG_TILEWIDTH, &width);
    TIFFGetField(reader->tiff, TIFFTAG_TILELENGTH, &height);
    if (!width || !height || __builtin_mul_overflow((uint64_t)width, (uint64_t)height, &needed) ||
        __builtin_mul_overflow(needed, (uint64_t)(reader->bits / 8u * reader->samples), &needed))
        return pf_fail(reader->err, EBADMSG, "%s: its tiles have a senseless size",
                       reader->source->path);
    if (separate)
        needed /= reader->samples;
    int r = new_buffer(reader, TIFFTileSize64(reader->tiff), needed);
    for (uint64_t y = 0; r == 0 && y < reader->height; y += height) {
        for (uint64_t x = 0; r == 0 && x < reader->width; x += width) {
            if (!separate)
                r = read_tile(reader, (uint32_t)x, (uint32_t)y, width, height, -1);
            for (int i = 0; separate && r == 0 && i < separate_components(reader); i++)
                r = read_tile(reader, (uint32_t)x, (uint32_t)y, width, height, i);
        }
        uint64_t end = y + height < reader->height ? y + height : reader->height;
        if (r == 0)
            finish_rows(reader, (uint32_t)y, (uint32_t)end);
    }
    return r;
}

static int keep_metadata(struct reader *reader)
{
    struct pf_image *image = reader->image;
    uint32_t size = 0;
    uint16_t orientation = 1;
    void *bytes = NULL;

    if (TIFFGetField(reader->tiff, TIFFTAG_ICCPROFILE, &size, &bytes) && size) {
        image->icc.bytes = malloc(size);
        if (!image->icc.bytes)
            return pf_fail(reader->err, ENOMEM, "%s: out of memory for its colour profile",
                           reader->source->path);
        memcpy(image->icc.bytes, bytes, size);
        image->icc.size_bytes = size;
    }
    TIFFGetFieldDefaulted(reader->tiff, TIFFTAG_ORIENTATION, &orientation);
    image->orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
    int r =
        pf_exif_of_tiff(reader->source->fd, reader->source->size_bytes, &image->exif, reader->err);
    return r < 0 ? r : pf_profile_of_camera(image, &image->exif, reader->err);
}

/* Other extra samples, such as a depth, are left alone. */
static int expect_alpha(struct reader *reader)
{
    uint16_t count = 0, *kinds = NULL;
    if (reader->samples <= reader->components ||
        !TIFFGetField(reader->tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) || !count ||
        (kinds[0] != EXTRASAMPLE_ASSOCALPHA && kinds[0] != EXTRASAMPLE_UNASSALPHA))
        return 0;
    reader->associated = kinds[0] == EXTRASAMPLE_ASSOCALPHA;
    reader->alpha = malloc((size_t)reader->width * reader->height);
    return reader->alpha ? 0
                         : pf_fail(reader->err, ENOMEM, "%s: out of memory for decoding",
                                   reader->source->path);
}

static int read_picture(struct reader *reader)
{
    if (!TIFFGetField(reader->tiff, TIFFTAG_IMAGEWIDTH, &reader->width) ||
        !TIFFGetField(reader->tiff, TIFFTAG_IMAGELENGTH, &reader->height))
        return pf_fail(reader->err, EBADMSG, "%s: does not say its size", reader->source->path);
    int r = pf_source_check_size(reader->source, reader->width, reader->height, reader->err);
    if (r == 0)
        r = check_kind(reader);
    if (r == RAW)
        return r;
    if (r == 0)
        r = pf_image_new(&reader->image, (int)reader->width, (int)reader->height,
                         reader->components == 3 ? 16 : reader->bits, reader->components, 0, 0,
                         reader->err);
    if (r == 0)
        r = expect_alpha(reader);
    if (r < 0)
        return r;
    reader->image->source_bits = reader->bits;
    r = TIFFIsTiled(reader->tiff) ? read_tiles(reader) : read_strips(reader);
    if (r == 0 && reader->repaired)
        r = describe(reader);
    if (r == 0 && reader->alpha)
        r = pf_alpha_fill(reader->image, &reader->alpha, reader->associated, reader->source->path,
                          reader->err);
    return r < 0 ? r : keep_metadata(reader);
}

int pf_decode_tiff(struct pf_image **ret, struct pf_source *source, struct pf_error *err)
{
    static const struct pf_libtiff_calls calls = {on_read, on_write, on_seek,   on_close,
                                                  on_size, on_error, on_warning};
    struct reader reader = {.calls = &calls, .source = source, .err = err};
    int64_t largest = source->limits->max_pixels * 2 * SAMPLES_MAX + (64 << 20);
    /* "m": no memory mapping; a file that shrinks under a mapping would kill the process. */
    if (pf_libtiff_open(&reader.tiff, source->path, "rm", &reader, largest) < 0)
        return pf_fail(err, ENOMEM, "%s: out of memory for decoding", source->path);

    int r = reader.tiff ? read_picture(&reader) : describe(&reader);
    if (r == 0) {
        *ret = reader.image;
        reader.image = NULL;
    }
    pf_image_free(reader.image);
    free(reader.buffer);
    free(reader.alpha);
    if (reader.tiff)
        TIFFClose(reader.tiff);
    if (r != RAW)
        return r;
    /* LibRaw would go on without the value, be it the black level or the white balance. */
    if (reader.cut)
        return pf_fail(err, EBADMSG, "%s: the RAW picture breaks off", source->path);
    return pf_decode_raw(ret, source, err);
}
