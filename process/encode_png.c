/* PNG: chunks by libpng, pixel data deflated by zlib on all threads.
 *
 * A stack is wanted soon after the last exposure, and deflating is by far the slowest part of a
 * PNG. So bands of rows are deflated independently, each closed by a sync flush, and put one after
 * another: together they are one valid zlib stream (as pigz does it, RFC 1950 and 1951). Z_RLE
 * halves the time for a tenth more bytes: the low half of 16 bits is noise, with nothing to find.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

#include "config/base/version.h"
#include "process/codec_format.h"
#include "process/convert.h"

#define BAND_BYTES (1 << 20) /* of pixel data; a band starts without history, so not too small */
#define LEVEL      1
#define FILTER_SUB 1

struct band {
    uint8_t *packed;
    size_t packed_bytes, plain_bytes;
    uLong adler;
    int error; /* errno */
};

struct writer {
    png_structp png;
    png_infop info;
    const struct pf_encode_job *job;
    struct pf_error *err;
    char text[256];
    int result;
    size_t row_bytes, pixel_bytes, capacity;
    int band_rows, bands, group; /* group: bands packed together; the first one's number follows */
    int first;
    struct band *band;
    struct lane {
        z_stream stream;
        uint8_t *row, *filtered;
        float *scratch;
        bool ready;
    } * lane; /* one per thread */
    int lanes;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct writer *writer = png_get_error_ptr(png);
    snprintf(writer->text, sizeof(writer->text), "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_write(png_structp png, png_bytep bytes, size_t size)
{
    struct writer *writer = png_get_io_ptr(png);
    if (!pf_sink_write(writer->job->sink, bytes, size))
        png_error(png, "write error");
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* PNG is big-endian, and each row begins with the number of its filter. */
static void filter_row(uint8_t *restrict out, const uint8_t *restrict row, size_t row_bytes,
                       size_t pixel_bytes)
{
    out[0] = FILTER_SUB;
    memcpy(out + 1, row, pixel_bytes);
    for (size_t i = pixel_bytes; i < row_bytes; i++)
        out[1 + i] = (uint8_t)(row[i] - row[i - pixel_bytes]);
}

static int pack_band(struct writer *writer, struct lane *lane, struct band *band, int number)
{
    const struct pf_image *image = writer->job->image;
    int begin = number * writer->band_rows;
    int end = image->height - begin < writer->band_rows ? image->height : begin + writer->band_rows;
    int bits = writer->job->options->bits;
    z_stream *stream = &lane->stream;

    if (deflateReset(stream) != Z_OK)
        return EINVAL;
    stream->next_out = band->packed;
    stream->avail_out = (uInt)writer->capacity;
    band->adler = adler32(0, NULL, 0);
    band->plain_bytes = 0;
    for (int y = begin; y < end; y++) {
        pf_row_to_rgb(lane->row, bits, image, y, lane->scratch);
        if (bits == 16) {
            uint16_t *samples = (uint16_t *)lane->row;
            for (size_t i = 0; i < writer->row_bytes / 2; i++)
                samples[i] = htobe16(samples[i]);
        }
        filter_row(lane->filtered, lane->row, writer->row_bytes, writer->pixel_bytes);
        band->adler = adler32(band->adler, lane->filtered, (uInt)writer->row_bytes + 1);
        band->plain_bytes += writer->row_bytes + 1;
        stream->next_in = lane->filtered;
        stream->avail_in = (uInt)writer->row_bytes + 1;
        bool last_row = y + 1 == end;
        int flush = !last_row ? Z_NO_FLUSH : number + 1 == writer->bands ? Z_FINISH : Z_SYNC_FLUSH;
        int z = deflate(stream, flush);
        if ((z != Z_OK && z != Z_STREAM_END) || stream->avail_in || !stream->avail_out)
            return EIO; /* cannot be: the buffer has room for incompressible data */
    }
    band->packed_bytes = writer->capacity - stream->avail_out;
    return 0;
}

static void pack_bands(void *context, int begin, int end, int thread)
{
    struct writer *writer = context;
    struct lane *lane = &writer->lane[thread];
    for (int i = begin; i < end; i++)
        writer->band[i].error = pack_band(writer, lane, &writer->band[i], writer->first + i);
}

static int prepare(struct writer *writer)
{
    const struct pf_encode_job *job = writer->job;
    const struct pf_image *image = job->image;
    size_t samples = image->planes == 3 ? 3 : 1;

    writer->pixel_bytes = samples * (size_t)(job->options->bits / 8);
    writer->row_bytes = writer->pixel_bytes * (size_t)image->width;
    writer->band_rows = writer->row_bytes < BAND_BYTES ? (int)(BAND_BYTES / writer->row_bytes) : 1;
    if (writer->band_rows > image->height)
        writer->band_rows = image->height;
    writer->bands = (image->height + writer->band_rows - 1) / writer->band_rows;
    writer->lanes = pf_pool_threads(job->pool);
    writer->group = 2 * writer->lanes < writer->bands ? 2 * writer->lanes : writer->bands;

    writer->lane = calloc((size_t)writer->lanes, sizeof(*writer->lane));
    writer->band = calloc((size_t)writer->group, sizeof(*writer->band));
    if (!writer->lane || !writer->band)
        return -ENOMEM;
    size_t floats = pf_row_scratch_floats(image);
    for (int i = 0; i < writer->lanes; i++) {
        struct lane *lane = &writer->lane[i];
        lane->row = malloc(writer->row_bytes);
        lane->filtered = malloc(writer->row_bytes + 1);
        lane->scratch = malloc(floats * sizeof(*lane->scratch));
        lane->ready = deflateInit2(&lane->stream, LEVEL, Z_DEFLATED, -MAX_WBITS, 9, Z_RLE) == Z_OK;
        if (!lane->row || !lane->filtered || !lane->scratch || !lane->ready)
            return -ENOMEM;
    }
    size_t plain = (writer->row_bytes + 1) * (size_t)writer->band_rows;
    if (plain > UINT32_MAX / 2)
        return -EFBIG; /* zlib counts in 32 bits; a single row of 2 GiB is not a picture */
    writer->capacity = deflateBound(&writer->lane[0].stream, (uLong)plain) + 64;
    for (int i = 0; i < writer->group; i++) {
        writer->band[i].packed = malloc(writer->capacity);
        if (!writer->band[i].packed)
            return -ENOMEM;
    }
    return 0;
}

static void write_pixels(struct writer *writer)
{
    static const uint8_t head[2] = {0x78, 0x01};
    uLong adler = adler32(0, NULL, 0);

    png_write_chunk(writer->png, (png_const_bytep) "IDAT", head, sizeof(head));
    for (int first = 0; first < writer->bands; first += writer->group) {
        int count = writer->bands - first < writer->group ? writer->bands - first : writer->group;
        writer->first = first;
        pf_pool_run(writer->job->pool, count, 1, pack_bands, writer);
        for (int i = 0; i < count; i++) {
            struct band *band = &writer->band[i];
            if (band->error) {
                writer->result = pf_fail_errno(writer->err, band->error, "%s: deflating",
                                               writer->job->sink->path);
                png_longjmp(writer->png, 1);
            }
            adler = adler32_combine(adler, band->adler, (z_off_t)band->plain_bytes);
            png_write_chunk(writer->png, (png_const_bytep) "IDAT", band->packed,
                            band->packed_bytes);
        }
    }
    uint32_t tail = htobe32((uint32_t)adler);
    png_write_chunk(writer->png, (png_const_bytep) "IDAT", (png_const_bytep)&tail, sizeof(tail));
    png_write_chunk(writer->png, (png_const_bytep) "IEND", NULL, 0);
}

static void write_picture(struct writer *writer)
{
    const struct pf_encode_job *job = writer->job;
    const struct pf_image *image = job->image;
    png_structp png = writer->png;
    png_text software = {.compression = PNG_TEXT_COMPRESSION_NONE,
                         .key = (char *)"Software",
                         .text = (char *)PF_SOFTWARE};

    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_set_IHDR(png, writer->info, (png_uint_32)image->width, (png_uint_32)image->height,
                 job->options->bits, image->planes == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_benign_errors(png, 1); /* a profile that libpng finds fault with stays out */
    if (job->icc->size_bytes && job->icc->size_bytes <= UINT32_MAX)
        png_set_iCCP(png, writer->info, "icc", PNG_COMPRESSION_TYPE_BASE, job->icc->bytes,
                     (png_uint_32)job->icc->size_bytes);
    png_set_benign_errors(png, 0);
    if (job->exif->size_bytes)
        png_set_eXIf_1(png, writer->info, (png_uint_32)job->exif->size_bytes, job->exif->bytes);
    png_set_text(png, writer->info, &software, 1);
    png_write_info(png, writer->info);
    write_pixels(writer);
}

int pf_encode_png(const struct pf_encode_job *job, struct pf_error *err)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return pf_fail(err, ENOMEM, "%s: out of memory for encoding", job->sink->path);
    writer->job = job;
    writer->err = err;
    writer->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, writer, on_error, on_warning);
    writer->info = writer->png ? png_create_info_struct(writer->png) : NULL;

    int r = writer->info ? prepare(writer) : -ENOMEM;
    if (r < 0) {
        r = pf_fail_errno(err, -r, "%s: preparing to encode", job->sink->path);
    } else if (setjmp(png_jmpbuf(writer->png)) == 0) {
        png_set_write_fn(writer->png, writer, on_write, on_flush);
        write_picture(writer);
    } else {
        r = writer->result < 0 ? writer->result
                               : pf_fail(err, strstr(writer->text, "memory") ? ENOMEM : ENOTSUP,
                                         "%s: %s", job->sink->path, writer->text);
    }

    for (int i = 0; writer->lane && i < writer->lanes; i++) {
        struct lane *lane = &writer->lane[i];
        if (lane->ready)
            deflateEnd(&lane->stream);
        free(lane->row);
        free(lane->filtered);
        free(lane->scratch);
    }
    for (int i = 0; writer->band && i < writer->group; i++)
        free(writer->band[i].packed);
    free(writer->lane);
    free(writer->band);
    if (writer->png)
        png_destroy_write_struct(&writer->png, &writer->info);
    free(writer);
    return r;
}
