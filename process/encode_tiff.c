/* TIFF, written by libtiff: uncompressed strips (latency), rows converted on all threads. */
#include <errno.h>
#include <libexif/exif-utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process/codec_format.h"
#include "process/convert.h"
#include "process/exif.h"
#include "process/libtiff.h"

#define STRIP_BYTES (1 << 20)
#define SHORTS_MAX  64                     /* of one entry; EXIF's longest has four */
#define BAND_STRIPS 8                      /* strips converted together, then written */
#define CLASSIC_MAX (UINT64_C(4000) << 20) /* the rest to 4 GiB is for directories and tables */

struct writer {
    const struct pf_libtiff_calls *calls;
    TIFF *tiff;
    const struct pf_encode_job *job;
    char text[300];
    uint8_t *band;
    float *scratch; /* one piece per thread */
    size_t scratch_floats, row_bytes;
    int band_begin;
};

static void on_error(thandle_t handle, const char *format, va_list args)
{
    struct writer *writer = handle;
    if (!writer->text[0])
        vsnprintf(writer->text, sizeof(writer->text), format, args);
}

static void on_warning(thandle_t handle, const char *module, const char *format, va_list args)
{
    (void)handle;
    (void)module;
    (void)format;
    (void)args;
}

static tmsize_t on_read(thandle_t handle, void *bytes, tmsize_t size)
{
    struct writer *writer = handle;
    struct pf_sink *sink = writer->job->sink;
    struct pf_source back = {.fd = sink->fd, .path = sink->path, .offset = sink->offset};
    size_t got = pf_source_read(&back, bytes, (size_t)size);
    sink->offset = back.offset;
    if (back.error)
        sink->error = back.error;
    return (tmsize_t)got;
}

static tmsize_t on_write(thandle_t handle, void *bytes, tmsize_t size)
{
    struct writer *writer = handle;
    return pf_sink_write(writer->job->sink, bytes, (size_t)size) ? size : -1;
}

static toff_t on_size(thandle_t handle)
{
    struct writer *writer = handle;
    off_t end = lseek(writer->job->sink->fd, 0, SEEK_END);
    return end < 0 ? 0 : (toff_t)end;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct writer *writer = handle;
    struct pf_sink *sink = writer->job->sink;
    int64_t base = whence == SEEK_CUR   ? sink->offset
                   : whence == SEEK_END ? (int64_t)on_size(handle)
                                        : 0;
    int64_t to;
    if (__builtin_add_overflow(base, (int64_t)offset, &to) || to < 0)
        return (toff_t)-1;
    sink->offset = to;
    return (toff_t)to;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static double number_of(const ExifEntry *entry, ExifByteOrder order, unsigned index)
{
    const unsigned char *at = entry->data + (size_t)index * exif_format_get_size(entry->format);
    switch (entry->format) {
    case EXIF_FORMAT_BYTE:
    case EXIF_FORMAT_UNDEFINED:
        return *at;
    case EXIF_FORMAT_SHORT:
        return exif_get_short(at, order);
    case EXIF_FORMAT_LONG:
        return exif_get_long(at, order);
    case EXIF_FORMAT_SLONG:
        return exif_get_slong(at, order);
    case EXIF_FORMAT_RATIONAL: {
        ExifRational value = exif_get_rational(at, order);
        return value.denominator ? (double)value.numerator / value.denominator : 0.0;
    }
    case EXIF_FORMAT_SRATIONAL: {
        ExifSRational value = exif_get_srational(at, order);
        return value.denominator ? (double)value.numerator / value.denominator : 0.0;
    }
    default:
        return 0.0;
    }
}

static bool is_text(const ExifEntry *entry)
{
    return entry->format == EXIF_FORMAT_ASCII && entry->size && memchr(entry->data, 0, entry->size);
}

/* One entry into libtiff's current directory. libtiff knows the types; tags it does not know, and
 * shapes that differ from what it expects, stay out. */
static void put_entry(TIFF *tiff, const ExifEntry *entry, ExifByteOrder order)
{
    const TIFFField *field = TIFFFindField(tiff, entry->tag, TIFF_ANY);
    if (!field || !entry->data || !entry->components ||
        (uint64_t)entry->components * exif_format_get_size(entry->format) > entry->size)
        return;
    int wanted = TIFFFieldWriteCount(field);
    switch (TIFFFieldDataType(field)) {
    case TIFF_ASCII:
        if (is_text(entry) && !TIFFFieldPassCount(field))
            TIFFSetField(tiff, entry->tag, (const char *)entry->data);
        break;
    case TIFF_BYTE:
    case TIFF_UNDEFINED: {
        ExifFormat format =
            TIFFFieldDataType(field) == TIFF_BYTE ? EXIF_FORMAT_BYTE : EXIF_FORMAT_UNDEFINED;
        if (entry->tag == EXIF_TAG_MAKER_NOTE || entry->format != format)
            break;
        if (TIFFFieldPassCount(field))
            TIFFSetField(tiff, entry->tag, (int)entry->components, entry->data);
        else if (wanted > 1 && entry->components == (unsigned long)wanted)
            TIFFSetField(tiff, entry->tag, entry->data);
        else if (wanted == 1 && entry->components == 1)
            TIFFSetField(tiff, entry->tag, (int)entry->data[0]);
        break;
    }
    case TIFF_SHORT: {
        uint16_t values[SHORTS_MAX];
        if (entry->components > SHORTS_MAX)
            break;
        for (unsigned i = 0; i < entry->components; i++)
            values[i] = (uint16_t)number_of(entry, order, i);
        if (TIFFFieldPassCount(field))
            TIFFSetField(tiff, entry->tag, (int)entry->components, values);
        else if (wanted > 1 && entry->components == (unsigned long)wanted)
            TIFFSetField(tiff, entry->tag, values);
        else if (wanted == 1)
            TIFFSetField(tiff, entry->tag, (uint32_t)values[0]);
        break;
    }
    case TIFF_LONG:
        if (!TIFFFieldPassCount(field) && wanted == 1)
            TIFFSetField(tiff, entry->tag, (uint32_t)number_of(entry, order, 0));
        break;
    case TIFF_RATIONAL:
    case TIFF_SRATIONAL:
        if (TIFFFieldPassCount(field) || entry->components != (unsigned long)wanted)
            break;
        if (wanted == 1) {
            TIFFSetField(tiff, entry->tag, number_of(entry, order, 0));
        } else if (wanted <= 4) {
            double wide[4];
            float narrow[4];
            for (int i = 0; i < wanted; i++) {
                wide[i] = number_of(entry, order, (unsigned)i);
                narrow[i] = (float)wide[i];
            }
            TIFFSetField(tiff, entry->tag,
                         pf_libtiff_is_wide(field) ? (void *)wide : (void *)narrow);
        }
        break;
    default:
        break;
    }
}

/* Writes an EXIF or GPS directory; 0 when there is nothing to write or libtiff would not. */
static uint64_t write_sub_directory(TIFF *tiff, const ExifData *data, ExifIfd ifd)
{
    const ExifContent *content = data->ifd[ifd];
    uint64_t offset = 0;
    if (!content->count)
        return 0;
    TIFFFreeDirectory(tiff);
    int created =
        ifd == EXIF_IFD_GPS ? TIFFCreateGPSDirectory(tiff) : TIFFCreateEXIFDirectory(tiff);
    if (created != 0)
        return 0;
    for (unsigned i = 0; i < content->count; i++)
        put_entry(tiff, content->entries[i], exif_data_get_byte_order((ExifData *)data));
    return TIFFWriteCustomDirectory(tiff, &offset) ? offset : 0;
}

/* The sub-directories come first in the file, so that the main one is written once. */
static int write_directory(struct writer *writer, struct pf_error *err)
{
    const struct pf_encode_job *job = writer->job;
    TIFF *tiff = writer->tiff;
    ExifData *data = pf_exif_parse(job->exif);
    if (!data)
        return pf_fail(err, ENOMEM, "%s: out of memory for encoding", job->sink->path);
    uint64_t exif = write_sub_directory(tiff, data, EXIF_IFD_EXIF);
    uint64_t gps = write_sub_directory(tiff, data, EXIF_IFD_GPS);

    TIFFFreeDirectory(tiff); /* creating one forgets what the last one held */
    TIFFCreateDirectory(tiff);
    const ExifContent *content = data->ifd[EXIF_IFD_0];
    for (unsigned i = 0; i < content->count; i++) {
        ExifTag tag = content->entries[i]->tag;
        if (tag == EXIF_TAG_MAKE || tag == EXIF_TAG_MODEL || tag == EXIF_TAG_DATE_TIME ||
            tag == EXIF_TAG_ARTIST || tag == EXIF_TAG_COPYRIGHT || tag == EXIF_TAG_SOFTWARE ||
            tag == EXIF_TAG_IMAGE_DESCRIPTION || tag == EXIF_TAG_X_RESOLUTION ||
            tag == EXIF_TAG_Y_RESOLUTION || tag == EXIF_TAG_RESOLUTION_UNIT)
            put_entry(tiff, content->entries[i], exif_data_get_byte_order(data));
    }
    exif_data_unref(data);
    if (exif)
        TIFFSetField(tiff, TIFFTAG_EXIFIFD, exif);
    if (gps)
        TIFFSetField(tiff, TIFFTAG_GPSIFD, gps);

    const struct pf_image *image = job->image;
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, (uint32_t)image->width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, (uint32_t)image->height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, job->options->bits);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, image->planes);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC,
                 image->planes == 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
    if (job->icc->size_bytes && job->icc->size_bytes <= UINT32_MAX)
        TIFFSetField(tiff, TIFFTAG_ICCPROFILE, (uint32_t)job->icc->size_bytes, job->icc->bytes);
    return 0;
}

static void convert_rows(void *context, int begin, int end, int thread)
{
    struct writer *writer = context;
    for (int y = begin; y < end; y++)
        pf_row_to_rgb(writer->band + (size_t)y * writer->row_bytes, writer->job->options->bits,
                      writer->job->image, writer->band_begin + y,
                      writer->scratch + (size_t)thread * writer->scratch_floats);
}

static int write_strips(struct writer *writer, struct pf_error *err)
{
    const struct pf_encode_job *job = writer->job;
    int height = job->image->height;
    int rows = writer->row_bytes < STRIP_BYTES ? (int)(STRIP_BYTES / writer->row_bytes) : 1;
    if (rows > height)
        rows = height;
    TIFFSetField(writer->tiff, TIFFTAG_ROWSPERSTRIP, (uint32_t)rows);

    int threads = pf_pool_threads(job->pool);
    writer->scratch_floats = pf_row_scratch_floats(job->image);
    writer->scratch = malloc((size_t)threads * writer->scratch_floats * sizeof(*writer->scratch));
    int band_rows = height / BAND_STRIPS < rows ? height : rows * BAND_STRIPS;
    writer->band = malloc((size_t)band_rows * writer->row_bytes);
    if (!writer->scratch || !writer->band)
        return pf_fail(err, ENOMEM, "%s: out of memory for encoding", job->sink->path);

    uint32_t strip = 0;
    for (int y = 0; y < height; y += rows * BAND_STRIPS) {
        int count = height - y < rows * BAND_STRIPS ? height - y : rows * BAND_STRIPS;
        writer->band_begin = y;
        pf_pool_run(job->pool, count, 16, convert_rows, writer);
        for (int k = 0; k < count; k += rows, strip++) {
            size_t size = (size_t)(count - k < rows ? count - k : rows) * writer->row_bytes;
            if (TIFFWriteEncodedStrip(writer->tiff, strip,
                                      writer->band + (size_t)k * writer->row_bytes,
                                      (tmsize_t)size) < 0)
                return pf_fail(err, ENOTSUP, "%s: %s", job->sink->path, writer->text);
        }
    }
    return 0;
}

bool pf_encode_tiff_is_big(const struct pf_encode_job *job)
{
    const struct pf_image *image = job->image;
    uint64_t row_bytes =
        (uint64_t)image->width * (uint64_t)(image->planes * job->options->bits / 8);
    uint64_t bytes;
    return __builtin_mul_overflow(row_bytes, (uint64_t)image->height, &bytes) ||
           __builtin_add_overflow(bytes, job->icc->size_bytes + job->exif->size_bytes, &bytes) ||
           bytes > CLASSIC_MAX;
}

int pf_encode_tiff(const struct pf_encode_job *job, struct pf_error *err)
{
    static const struct pf_libtiff_calls calls = {on_read, on_write, on_seek,   on_close,
                                                  on_size, on_error, on_warning};
    struct writer writer = {.calls = &calls, .job = job};
    writer.row_bytes =
        (size_t)job->image->width * (size_t)job->image->planes * (size_t)(job->options->bits / 8);
    if (pf_libtiff_open(&writer.tiff, job->sink->path, pf_encode_tiff_is_big(job) ? "w8m" : "wm",
                        &writer, 0) < 0)
        return pf_fail(err, ENOMEM, "%s: out of memory for encoding", job->sink->path);

    int r = writer.tiff ? write_directory(&writer, err)
                        : pf_fail(err, ENOTSUP, "%s: %s", job->sink->path, writer.text);
    if (r == 0)
        r = write_strips(&writer, err);
    if (r == 0 && !TIFFWriteDirectory(writer.tiff))
        r = pf_fail(err, ENOTSUP, "%s: %s", job->sink->path, writer.text);
    if (writer.tiff)
        TIFFClose(writer.tiff);
    free(writer.band);
    free(writer.scratch);
    return r;
}
