#include "tests/gen/picture.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>
#include <unistd.h>

#include <jpeglib.h>

#include "tests/gen/cr3.h"
#include "tests/gen/dng.h"
#include "tests/gen/ljpeg.h"
#include "tests/gen/makers.h"
#include "tests/gen/rows.h"

struct jpeg_trap {
    struct jpeg_error_mgr manager;
    jmp_buf out;
    char text[JMSG_LENGTH_MAX];
};

static void jpeg_trapped(j_common_ptr info)
{
    struct jpeg_trap *trap = (struct jpeg_trap *)info->err;
    info->err->format_message(info, trap->text);
    longjmp(trap->out, 1);
}

static int write_jpeg(const char *path, const uint16_t *samples, int width, int height,
                      const struct pf_gen_encoding *encoding, const struct pf_gen_exif *exif,
                      struct pf_error *err)
{
    size_t row_samples = (size_t)width * (size_t)encoding->channels;
    uint8_t *volatile row = malloc(row_samples);
    FILE *file = fopen(path, "wb");
    struct jpeg_compress_struct info;
    struct jpeg_trap trap;
    if (!row || !file) {
        int code = file ? ENOMEM : errno;
        free(row);
        if (file)
            fclose(file);
        return pf_fail_errno(err, code, "%s", path);
    }
    info.err = jpeg_std_error(&trap.manager);
    trap.manager.error_exit = jpeg_trapped;
    if (setjmp(trap.out)) {
        jpeg_destroy_compress(&info);
        fclose(file);
        free(row);
        return pf_fail(err, EIO, "%s: %s", path, trap.text);
    }
    jpeg_create_compress(&info);
    jpeg_stdio_dest(&info, file);
    info.image_width = (JDIMENSION)width;
    info.image_height = (JDIMENSION)height;
    info.input_components = encoding->channels;
    info.in_color_space = encoding->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, encoding->quality, TRUE);
    if (encoding->channels == 3) {
        info.comp_info[0].h_samp_factor =
            encoding->subsampling == 444 || encoding->subsampling == 440 ? 1 : 2;
        info.comp_info[0].v_samp_factor =
            encoding->subsampling == 420 || encoding->subsampling == 440 ? 2 : 1;
    }
    jpeg_start_compress(&info, TRUE);
    if (exif && exif->present) {
        unsigned size = 0;
        uint8_t *block = pf_gen_exif_block(exif, width, height, &size);
        if (block && size)
            jpeg_write_marker(&info, JPEG_APP0 + 1, block, size);
        free(block);
    }
    for (int y = 0; y < height; y++) {
        for (size_t i = 0; i < row_samples; i++)
            row[i] = (uint8_t)((samples[(size_t)y * row_samples + i] + 128u) / 257u);
        JSAMPROW line = row;
        jpeg_write_scanlines(&info, &line, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    free(row);
    if (fclose(file) != 0)
        return pf_fail_errno(err, errno, "%s", path);
    return 0;
}

static void tiff_exif(TIFF *tiff, const struct pf_gen_exif *exif)
{
    char time[20], subsec[8];
    pf_gen_exif_time(exif, time);
    snprintf(subsec, sizeof(subsec), "%03d", (int)(exif->time_ms % 1000));
    uint64_t offset = 0;
    TIFFCreateEXIFDirectory(tiff);
    TIFFSetField(tiff, EXIFTAG_DATETIMEORIGINAL, time);
    if (exif->subsec)
        TIFFSetField(tiff, EXIFTAG_SUBSECTIMEORIGINAL, subsec);
    if (exif->offset)
        TIFFSetField(tiff, EXIFTAG_OFFSETTIMEORIGINAL, exif->offset);
    if (exif->serial)
        TIFFSetField(tiff, EXIFTAG_BODYSERIALNUMBER, exif->serial);
    if (exif->lens)
        TIFFSetField(tiff, EXIFTAG_LENSMODEL, exif->lens);
    if (exif->focal_mm > 0)
        TIFFSetField(tiff, EXIFTAG_FOCALLENGTH, exif->focal_mm);
    if (exif->f_number > 0)
        TIFFSetField(tiff, EXIFTAG_FNUMBER, exif->f_number);
    if (exif->exposure_s > 0)
        TIFFSetField(tiff, EXIFTAG_EXPOSURETIME, exif->exposure_s);
    if (exif->iso > 0) {
        uint16_t iso = (uint16_t)exif->iso;
        TIFFSetField(tiff, EXIFTAG_ISOSPEEDRATINGS, 1, &iso);
    }
    TIFFWriteCustomDirectory(tiff, &offset);
    TIFFSetDirectory(tiff, 0);
    TIFFSetField(tiff, TIFFTAG_EXIFIFD, offset);
    TIFFRewriteDirectory(tiff);
}

/* 12 bits each, eight to three words of 32 bits, the first in the highest of them. */
static void pack(uint8_t *to, const uint16_t *from, size_t count)
{
    uint64_t held = 0;
    int bits = 0;
    for (size_t i = 0; i < count; i++) {
        held = held << 12 | from[i] >> 4;
        for (bits += 12; bits >= 32; bits -= 32, to += 4)
            for (int k = 0; k < 4; k++)
                to[k] = (uint8_t)(held >> (bits - 32 + 8 * k));
    }
}

/* All that the sensor has seen, in one strip of the maker's kind. */
static bool write_sensor(TIFF *tiff, const uint16_t *samples, int width, int height,
                         enum pf_gen_format format)
{
    size_t pixels = (size_t)width * (size_t)height, size = pixels * 3 / 2;
    uint16_t *sensor = pf_gen_alloc(pixels, sizeof(*sensor));
    for (int y = 0; y < height; y++)
        pf_gen_dng_row(sensor + (size_t)y * (size_t)width, samples + 3 * (size_t)y * (size_t)width,
                       width, y, format == PF_GEN_LDNG);
    uint8_t *strip = format == PF_GEN_LDNG ? pf_gen_ljpeg(sensor, width, height, 16, 1, &size)
                                           : pf_gen_alloc(size, 1);
    if (format == PF_GEN_ORF)
        pack(strip, sensor, pixels);
    bool good = TIFFWriteRawStrip(tiff, 0, strip, (tmsize_t)size) == (tmsize_t)size;
    free(strip);
    free(sensor);
    return good;
}

/* What tells an ORF from a TIFF. */
static bool sign_orf(const char *path)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    bool good = file >= 0 && pwrite(file, "IIRO", 4, 0) == 4;
    if (file >= 0)
        close(file);
    return good;
}

static int write_tiff(const char *path, const uint16_t *samples, int width, int height,
                      const struct pf_gen_encoding *encoding, const struct pf_gen_exif *exif,
                      struct pf_error *err)
{
    bool raw = encoding->format >= PF_GEN_DNG;
    bool dng = encoding->format == PF_GEN_DNG || encoding->format == PF_GEN_LDNG;
    size_t row_samples = (size_t)width * (size_t)encoding->channels;
    uint8_t *row = malloc(2 * row_samples);
    TIFF *tiff = row ? TIFFOpen(path, "w") : NULL;
    if (!tiff) {
        free(row);
        return pf_fail(err, EIO, "%s: cannot be written", path);
    }
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, (uint32_t)width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, (uint32_t)height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, encoding->format == PF_GEN_ORF ? 12 : encoding->bits);
    if (encoding->format == PF_GEN_LDNG)
        TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_JPEG);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, raw ? 1 : encoding->channels);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    if (raw)
        pf_gen_dng_fields(tiff, exif && exif->model ? exif->model : "Generator", dng);
    else
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC,
                     encoding->channels == 1 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB);
    bool whole = encoding->format == PF_GEN_LDNG || encoding->format == PF_GEN_ORF;
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, whole ? height : 64);
    if (exif && exif->present) {
        char time[20];
        pf_gen_exif_time(exif, time);
        TIFFSetField(tiff, TIFFTAG_ORIENTATION, exif->orientation);
        TIFFSetField(tiff, TIFFTAG_DATETIME, time);
        if (exif->make)
            TIFFSetField(tiff, TIFFTAG_MAKE, exif->make);
        if (exif->model)
            TIFFSetField(tiff, TIFFTAG_MODEL, exif->model);
    }
    bool good = !whole || write_sensor(tiff, samples, width, height, encoding->format);
    for (int y = 0; y < height && good && !whole; y++) {
        const uint16_t *from = samples + (size_t)y * row_samples;
        if (raw)
            pf_gen_dng_row((uint16_t *)(void *)row, from, width, y, dng);
        else if (encoding->bits == 16)
            memcpy(row, from, 2 * row_samples);
        else
            for (size_t i = 0; i < row_samples; i++)
                row[i] = (uint8_t)((from[i] + 128u) / 257u);
        good = TIFFWriteScanline(tiff, row, (uint32_t)y, 0) >= 0;
    }
    if (good && exif && exif->present) {
        good = TIFFWriteDirectory(tiff) == 1;
        if (good)
            tiff_exif(tiff, exif);
    }
    TIFFClose(tiff);
    free(row);
    if (good && encoding->format == PF_GEN_ORF)
        good = sign_orf(path);
    return good ? 0 : pf_fail(err, EIO, "%s: cannot be written", path);
}

static int write_png(const char *path, const uint16_t *samples, int width, int height,
                     const struct pf_gen_encoding *encoding, const struct pf_gen_exif *exif,
                     struct pf_error *err)
{
    size_t row_samples = (size_t)width * (size_t)encoding->channels;
    uint8_t *row = malloc(2 * row_samples);
    FILE *file = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!row || !file || !info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        free(row);
        if (file)
            fclose(file);
        return pf_fail(err, EIO, "%s: cannot be written", path);
    }
    png_init_io(png, file);
    png_set_compression_level(png, encoding->compression);
    png_set_filter(png, 0, encoding->compression > 1 ? PNG_ALL_FILTERS : PNG_FILTER_SUB);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, encoding->bits,
                 encoding->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    uint8_t *block = NULL;
    unsigned size = 0;
    if (exif && exif->present)
        block = pf_gen_exif_block(exif, width, height, &size);
    if (block && size > 6)
        png_set_eXIf_1(png, info, size - 6, block + 6);
    png_write_info(png, info);
    for (int y = 0; y < height; y++) {
        const uint16_t *from = samples + (size_t)y * row_samples;
        for (size_t i = 0; i < row_samples; i++) {
            if (encoding->bits == 16) {
                row[2 * i] = (uint8_t)(from[i] >> 8);
                row[2 * i + 1] = (uint8_t)from[i];
            } else {
                row[i] = (uint8_t)((from[i] + 128u) / 257u);
            }
        }
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(block);
    free(row);
    if (fclose(file) != 0)
        return pf_fail_errno(err, errno, "%s", path);
    return 0;
}

static int write_maker(const char *path, const uint16_t *samples, int width, int height,
                       const struct pf_gen_encoding *encoding, const struct pf_gen_exif *exif,
                       struct pf_error *err)
{
    size_t size = 0;
    uint8_t *bytes = NULL;
    if (encoding->format == PF_GEN_CR2)
        bytes = pf_gen_cr2(samples, width, height, exif, &size);
    else if (encoding->format == PF_GEN_RW2)
        bytes = pf_gen_rw2(samples, width, height, exif, &size);
    else if (encoding->format == PF_GEN_CR3)
        bytes = pf_gen_cr3(samples, width, height, exif, &size);
    else if (encoding->format == PF_GEN_RAF)
        bytes = pf_gen_raf(samples, width, height, exif, &size);
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file) != 0)
        good = false;
    free(bytes);
    return good ? 0 : pf_fail(err, EIO, "%s: cannot be written", path);
}

int pf_gen_picture_write(const char *path, const uint16_t *samples, int width, int height,
                         const struct pf_gen_encoding *encoding, const struct pf_gen_exif *exif,
                         struct pf_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *part = NULL;
    if (asprintf(&part, "%.*s.%s.part", (int)(name - path), path, name) < 0)
        return pf_fail(err, ENOMEM, "out of memory");
    int rc;
    if (encoding->format == PF_GEN_JPEG)
        rc = write_jpeg(part, samples, width, height, encoding, exif, err);
    else if (encoding->format >= PF_GEN_CR2)
        rc = write_maker(part, samples, width, height, encoding, exif, err);
    else if (encoding->format == PF_GEN_TIFF || encoding->format >= PF_GEN_DNG)
        rc = write_tiff(part, samples, width, height, encoding, exif, err);
    else
        rc = write_png(part, samples, width, height, encoding, exif, err);
    if (rc == 0 && rename(part, path) != 0)
        rc = pf_fail_errno(err, errno, "%s", path);
    if (rc < 0)
        unlink(part);
    free(part);
    return rc;
}
