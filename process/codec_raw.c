/* Camera RAW, read by LibRaw: white balance of the camera, AHD demosaic, sRGB of 16 bits.
 *
 * All that LibRaw would choose by looking at the picture is turned off, so that the frames of a
 * burst stay comparable: no brightening, no white point from the histogram, no automatic white
 * balance. Highlights are clipped where the first channel saturates.
 */
#include <errno.h>
#include <libexif/exif-utils.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libraw/libraw.h>

#include "capture/whole.h"
#include "config/base/log.h"
#include "process/codec_format.h"
#include "process/convert.h"
#include "process/cr3.h"
#include "process/exif.h"
#include "process/exif_entry.h"
#include "process/profile.h"
#include "process/raw_guard.h"

/* GCC's OpenMP, which LibRaw is built with; no header of it where the compiler is another. */
int omp_get_max_threads(void);
void omp_set_num_threads(int threads);

#define LEVELS 65536
/* LibRaw's numbers. A frame of 24 MP costs 1.4 s of one core and 374 MB with AHD, 0.8 s with PPG,
 * which shows more false colour at fine detail; and a stack consists of every frame's finest. */
#define DEMOSAIC_AHD 3
#define COLOUR_SRGB  1
#define CLIPPED      0
#define RAW_BYTES    16 /* a pixel, of the samples as they come out of the file */
#define OVERHEAD_MB  64
#define CHECK_BYTES  (1 << 16)

struct reader {
    libraw_data_t *raw;
    struct pf_source *source;
    struct pf_error *err;
    struct pf_image *image;
    uint16_t *encoded;      /* by light */
    const char *impossible; /* pf_raw_guard() */
    bool damaged;           /* LibRaw met data that cannot be, and would go on */
    uint8_t *memory;        /* the file, of a CR3; else NULL */
    struct pf_bytes *bytes; /* through which it is looked at before */
    struct pf_cr3 cr3;
    struct pf_whole whole;
};

static void on_damage(void *context, const char *file, const int offset)
{
    struct reader *reader = context;
    (void)file;
    (void)offset;
    reader->damaged = true;
}

static void on_no_memory(void *context, const char *file, const char *where)
{
    (void)context;
    (void)file;
    (void)where; /* it is returned as well */
}

/* LibRaw does not tell a disk that fails from a file that ends: after a failure it is read again. */
static bool can_be_read(struct pf_source *source)
{
    uint8_t bytes[CHECK_BYTES];
    source->offset = 0;
    while (pf_source_read(source, bytes, sizeof(bytes)) == sizeof(bytes))
        ;
    return !source->error;
}

static int describe(struct reader *reader, int code)
{
    struct pf_source *source = reader->source;
    const char *path = source->path;
    if (code > 0)
        return pf_fail_errno(reader->err, code, "reading %s", path);
    if (code == LIBRAW_UNSUFFICIENT_MEMORY || code == LIBRAW_MEMPOOL_OVERFLOW)
        return pf_fail(reader->err, ENOMEM, "%s: out of memory for decoding", path);
    if (code == LIBRAW_TOO_BIG)
        return pf_fail(reader->err, EFBIG, "%s: declares more data than its limit allows", path);
    if (!can_be_read(source))
        return pf_fail_errno(reader->err, source->error, "reading %s", path);
    if (code == LIBRAW_FILE_UNSUPPORTED)
        return pf_fail(reader->err, ENOTSUP,
                       "%s: a RAW picture or a preview that LibRaw %s "
                       "cannot decode",
                       path, libraw_version());
    if (code == LIBRAW_IO_ERROR)
        return pf_fail(reader->err, EBADMSG, "%s: the RAW picture breaks off", path);
    return pf_fail(reader->err, EBADMSG, "%s: damaged RAW picture (%s)", path,
                   code ? libraw_strerror(code) : "senseless data");
}

static void set_up(struct reader *reader)
{
    libraw_output_params_t *params = &reader->raw->params;
    int64_t memory_mb = (reader->source->limits->max_pixels >> 20) * RAW_BYTES + OVERHEAD_MB;
    libraw_set_dataerror_handler(reader->raw, on_damage, reader);
    libraw_set_memerror_handler(reader->raw, on_no_memory, reader);
    libraw_set_exifparser_handler(reader->raw, pf_raw_guard, &reader->impossible);
    params->max_raw_memory_mb = (unsigned)(memory_mb < INT32_MAX ? memory_mb : INT32_MAX);
    params->use_camera_wb = 1;
    params->output_color = COLOUR_SRGB;
    params->output_bps = 16;
    params->user_flip = 0; /* the output is turned, not the frame */
    params->user_qual = DEMOSAIC_AHD;
    params->highlight = CLIPPED;
    params->no_auto_bright = 1;
    params->bright = 1.0f;
    params->adjust_maximum_thr = 0.0f;
}

/* LibRaw's turn (1 mirrored, 2 upside down, 4 transposed) as EXIF has it. */
static int orientation_of(int flip)
{
    static const int orientations[8] = {1, 2, 4, 3, 5, 8, 6, 7};
    return flip >= 0 && flip < 8 ? orientations[flip] : 1;
}

static bool put_text(ExifData *data, ExifIfd ifd, ExifTag tag, const char *text, size_t room)
{
    char copy[80];
    size_t length = strnlen(text, room < sizeof(copy) ? room : sizeof(copy) - 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return !length ||
           pf_exif_put(data, ifd, tag, EXIF_FORMAT_ASCII, (uint32_t)length + 1, copy, length + 1);
}

/* value = above / below, to six digits; nothing is put for what is unknown. */
static bool put_ratio(ExifData *data, ExifTag tag, double value)
{
    unsigned char bytes[8];
    if (!(value > 0 && value < 1e6))
        return true;
    ExifRational ratio = value < 1 ? (ExifRational){1000000, (ExifLong)lrint(1e6 / value)}
                                   : (ExifRational){(ExifLong)lrint(value * 1000), 1000};
    if (value < 1e-3)
        ratio = (ExifRational){(ExifLong)lrint(value * 1e9), 1000000000};
    exif_set_rational(bytes, exif_data_get_byte_order(data), ratio);
    return pf_exif_put(data, EXIF_IFD_EXIF, tag, EXIF_FORMAT_RATIONAL, 1, bytes, sizeof(bytes));
}

static bool put_iso(ExifData *data, const libraw_data_t *raw)
{
    unsigned char bytes[2];
    if (!(raw->other.iso_speed >= 1 && raw->other.iso_speed < 65535))
        return true;
    exif_set_short(bytes, exif_data_get_byte_order(data), (ExifShort)raw->other.iso_speed);
    return pf_exif_put(data, EXIF_IFD_EXIF, EXIF_TAG_ISO_SPEED_RATINGS, EXIF_FORMAT_SHORT, 1, bytes,
                       sizeof(bytes));
}

/* The EXIF block of the JPEG that RAF and RW2 carry, which tells more than LibRaw keeps. */
static int embedded_exif(struct reader *reader)
{
    const struct pf_whole *whole = &reader->whole;
    struct pf_blob *exif = &reader->image->exif;
    size_t size = (size_t)whole->exif_size_bytes;
    exif->bytes = malloc(size);
    if (!exif->bytes)
        return pf_fail(reader->err, ENOMEM, "out of memory for an EXIF block");
    reader->source->offset = whole->exif_at;
    exif->size_bytes = pf_source_read(reader->source, exif->bytes, size);
    return reader->source->error ? pf_fail_errno(reader->err, reader->source->error, "reading %s",
                                                 reader->source->path)
                                 : 0;
}

/* EXIF of a file that is no TIFF: what LibRaw has found. */
static int exif_of_facts(struct reader *reader)
{
    const libraw_data_t *raw = reader->raw;
    struct pf_blob none = {NULL, 0};
    struct tm tm;
    ExifData *data = pf_exif_parse(&none);
    bool ok = data;
    if (ok) {
        exif_data_set_byte_order(data, EXIF_BYTE_ORDER_INTEL);
        ok = put_text(data, EXIF_IFD_0, EXIF_TAG_MAKE, raw->idata.make, sizeof(raw->idata.make)) &&
             put_text(data, EXIF_IFD_0, EXIF_TAG_MODEL, raw->idata.model,
                      sizeof(raw->idata.model)) &&
             put_ratio(data, EXIF_TAG_EXPOSURE_TIME, raw->other.shutter) &&
             put_ratio(data, EXIF_TAG_FNUMBER, raw->other.aperture) &&
             put_ratio(data, EXIF_TAG_FOCAL_LENGTH, raw->other.focal_len) && put_iso(data, raw);
    }
    /* LibRaw has read the camera's clock as this machine's local time. */
    if (ok && raw->other.timestamp > 0 && localtime_r(&raw->other.timestamp, &tm)) {
        char text[20];
        size_t length = strftime(text, sizeof(text), "%Y:%m:%d %H:%M:%S", &tm);
        ok = put_text(data, EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, text, length);
    }
    int r = ok ? pf_exif_save(data, &reader->image->exif, reader->err)
               : pf_fail(reader->err, ENOMEM, "out of memory for an EXIF block");
    if (data)
        exif_data_unref(data);
    return r;
}

static int keep_metadata(struct reader *reader, int flip)
{
    struct pf_source *source = reader->source;
    char order[2];
    int r = 0;
    reader->image->orientation = orientation_of(flip);
    if (reader->image->planes == 3)
        r = pf_profile_make(PF_PROFILE_SRGB, &reader->image->icc, reader->err);
    source->offset = 0;
    bool tiff = pf_source_read(source, order, 2) == 2 && order[0] == order[1];
    bool embedded = reader->whole.exif_size_bytes > 0 && !reader->whole.exif_scattered;
    if (r == 0 && reader->memory)
        r = pf_exif_of_parts(source->fd, source->size_bytes, reader->cr3.metadata_at,
                             &reader->image->exif, reader->err);
    else if (r == 0 && embedded)
        r = embedded_exif(reader);
    else if (r == 0 && tiff)
        r = pf_exif_of_tiff(source->fd, source->size_bytes, &reader->image->exif, reader->err);
    if (r == 0 && reader->image->planes == 3)
        r = pf_exif_set_srgb(&reader->image->exif, reader->err);
    if (r == 0 && !reader->image->exif.size_bytes)
        r = exif_of_facts(reader);
    return r;
}

/* The sRGB transfer function (IEC 61966-2-1) for every level of light. */
static int new_encoding(struct reader *reader)
{
    reader->encoded = malloc(LEVELS * sizeof(*reader->encoded));
    if (!reader->encoded)
        return pf_fail(reader->err, ENOMEM, "%s: out of memory for decoding", reader->source->path);
    for (int i = 0; i < LEVELS; i++) {
        float light = (float)i / (LEVELS - 1);
        float value =
            light <= 0.0031308f ? 12.92f * light : 1.055f * powf(light, 1.0f / 2.4f) - 0.055f;
        reader->encoded[i] = (uint16_t)lrintf(value * (LEVELS - 1));
    }
    return 0;
}

static int store(struct reader *reader)
{
    const libraw_data_t *raw = reader->raw;
    int width = raw->sizes.width, height = raw->sizes.height;
    int r = pf_source_check_size(reader->source, (uint64_t)width, (uint64_t)height, reader->err);
    if (r == 0)
        r = new_encoding(reader);
    if (r == 0)
        r = pf_image_new(&reader->image, width, height, 16, raw->idata.colors == 1 ? 1 : 3, 0, 0,
                         reader->err);
    if (r < 0)
        return r;
    struct pf_image *image = reader->image;
    image->source_bits = 16;
    for (int y = 0; y < height; y++) {
        const ushort(*from)[4] = raw->image + (size_t)y * (size_t)width;
        uint16_t *row[3] = {NULL};
        for (int i = 0; i < image->planes; i++) {
            row[i] = (uint16_t *)((uint8_t *)image->plane[i] + (size_t)y * image->stride_bytes[i]);
            for (int x = 0; x < width; x++)
                row[i][x] = reader->encoded[from[x][i]];
        }
        if (image->planes == 3)
            pf_row_from_rgb(row[0], row[1], row[2], width);
    }
    return 0;
}

/* What capture would say of the file. LibRaw does not see that Panasonic's compressed data break off: it goes
 * on with what it read before. */
static int look(struct reader *reader)
{
    struct pf_source *source = reader->source;
    pf_bytes_of_file(reader->bytes, source->fd, source->size_bytes);
    int r = pf_whole_check(reader->bytes, &reader->whole);
    if (r == -ENOMEM)
        return pf_fail(reader->err, ENOMEM, "%s: out of memory for decoding", source->path);
    if (r < 0)
        return pf_fail_errno(reader->err, -r, "reading %s", source->path);
    const char *format = reader->whole.format;
    return reader->whole.state == PF_WHOLE_NOT_YET && format && !strcmp(format, "rw2")
               ? pf_fail(reader->err, EBADMSG, "%s: the RAW picture breaks off", source->path)
               : 0;
}

/* A CR3 is looked at before and is then read from memory, where it can neither end early nor fail:
 * LibRaw would end the process. */
static int load_cr3(struct reader *reader)
{
    struct pf_source *source = reader->source;
    const struct pf_cr3 *cr3 = &reader->cr3;
    pf_bytes_of_file(reader->bytes, source->fd, source->size_bytes);
    int r = pf_cr3_look(reader->bytes, source->path, &reader->cr3, reader->err);
    if (r == 0 && cr3->width)
        r = pf_source_check_size(source, cr3->width, cr3->height, reader->err);
    if (r < 0)
        return r;
    size_t size = (size_t)source->size_bytes;
    if (size > cr3->width * cr3->height * RAW_BYTES + ((size_t)OVERHEAD_MB << 20))
        return pf_fail(reader->err, EBADMSG, "%s: far larger than its picture", source->path);
    reader->memory = malloc(size);
    if (!reader->memory)
        return pf_fail(reader->err, ENOMEM, "%s: out of memory for decoding", source->path);
    if (pf_source_read(source, reader->memory, size) != size)
        return source->error
                   ? pf_fail_errno(reader->err, source->error, "reading %s", source->path)
                   : pf_fail(reader->err, EBADMSG, "%s: the RAW picture breaks off", source->path);
    pf_bytes_of_memory(reader->bytes, reader->memory, size);
    return pf_cr3_look(reader->bytes, source->path, &reader->cr3, reader->err);
}

/* Where the sensor ends the camera itself says; LibRaw knows only what its bits could hold, and what
 * is overexposed would not be white. */
static void set_white(libraw_data_t *raw)
{
    libraw_colordata_t *color = &raw->rawdata.color;
    long white = color->linear_max[0];
    if (white > (long)color->maximum / 2 && white < (long)color->maximum)
        color->maximum = (unsigned)white;
}

static int open_raw(struct reader *reader)
{
    struct pf_source *source = reader->source;
    uint8_t head[12] = {0};
    char path[32];
    set_up(reader);
    source->offset = 0;
    bool is_cr3 = pf_source_read(source, head, sizeof(head)) == sizeof(head) && pf_cr3_is(head);
    source->offset = 0;
    if (is_cr3) {
        int r = load_cr3(reader);
        if (r < 0)
            return r;
    }
    /* The file that was opened, whatever its name says by now. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", source->fd);
    int code = is_cr3 ? libraw_open_buffer(reader->raw, reader->memory, (size_t)source->size_bytes)
                      : libraw_open_file(reader->raw, path);
    if (reader->impossible)
        return pf_fail(reader->err, EBADMSG, "%s: %s", source->path, reader->impossible);
    return code == LIBRAW_SUCCESS ? 0 : describe(reader, code);
}

/* Of a body that is newer than LibRaw its files alone speak: said once, a burst is of one. */
static void tell_unknown(const struct reader *reader)
{
    static atomic_bool told;
    const libraw_data_t *raw = reader->raw;
    bool known = raw->idata.dng_version || raw->idata.colors != 3 || raw->color.cam_xyz[0][0] != 0;
    if (!known && !atomic_exchange(&told, true))
        pf_log_warning(
            "%s: LibRaw %s does not know the %s %s: its colours and borders may be wrong; "
            "converted to DNG, a file tells them itself",
            reader->source->path, libraw_version(), raw->idata.make, raw->idata.model);
}

/* The planes of a CR3 are decoded by threads of OpenMP, which forget in LibRaw's list of its memory what another
 * has just written there: it is never given back. So by one, which is this thread's setting alone. */
static int unpack(struct reader *reader)
{
    int threads = omp_get_max_threads();
    if (reader->memory)
        omp_set_num_threads(1);
    int code = libraw_unpack(reader->raw);
    omp_set_num_threads(threads);
    return code;
}

static int read_picture(struct reader *reader)
{
    libraw_data_t *raw = reader->raw;
    struct pf_source *source = reader->source;
    int r = open_raw(reader);
    if (r < 0)
        return r;
    tell_unknown(reader);
    int flip = raw->sizes.flip;
    r = look(reader);
    if (r == 0)
        r = pf_source_check_size(source, raw->sizes.raw_width, raw->sizes.raw_height, reader->err);
    if (r == 0)
        r = pf_source_check_size(source, raw->sizes.width, raw->sizes.height, reader->err);
    if (r < 0)
        return r;
    int code = unpack(reader);
    if (code != LIBRAW_SUCCESS || reader->damaged)
        return describe(reader, code);
    if (reader->memory)
        set_white(raw);
    /* Without the camera's white balance LibRaw would make one from this frame's picture; daylight
     * is the same for all. */
    if (!(raw->color.cam_mul[0] > 0.0f))
        raw->params.use_camera_wb = 0;
    code = libraw_dcraw_process(raw);
    if (code != LIBRAW_SUCCESS || reader->damaged || !raw->image)
        return describe(reader, code);
    r = store(reader);
    return r < 0 ? r : keep_metadata(reader, flip);
}

int pf_decode_raw(struct pf_image **ret, struct pf_source *source, struct pf_error *err)
{
    struct reader reader = {.source = source,
                            .err = err,
                            .raw = libraw_init(0),
                            .bytes = malloc(sizeof(*reader.bytes))};
    int r = reader.raw && reader.bytes
                ? read_picture(&reader)
                : pf_fail(err, ENOMEM, "%s: out of memory for decoding", source->path);
    if (r == 0) {
        *ret = reader.image;
        reader.image = NULL;
    }
    pf_image_free(reader.image);
    free(reader.encoded);
    libraw_close(reader.raw);
    free(reader.memory);
    free(reader.bytes);
    return r;
}

int pf_raw_preview(struct pf_source *source, int *ret_fd, int *ret_orientation,
                   struct pf_error *err)
{
    struct reader reader = {.source = source, .err = err, .raw = libraw_init(0)};
    char path[32];
    int r = reader.raw ? 0 : pf_fail(err, ENOMEM, "%s: out of memory", source->path), fd = -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", source->fd);
    if (r == 0) {
        const libraw_thumbnail_t *preview = &reader.raw->thumbnail;
        set_up(&reader);
        if (libraw_open_file(reader.raw, path) != LIBRAW_SUCCESS ||
            libraw_unpack_thumb(reader.raw) != LIBRAW_SUCCESS || reader.damaged ||
            preview->tformat != LIBRAW_THUMBNAIL_JPEG || !preview->tlength)
            r = pf_fail(err, ENODATA, "%s: has no preview", source->path);
        else
            fd = pf_source_memory(preview->thumb, preview->tlength, err);
        if (r == 0 && fd < 0)
            r = fd;
    }
    if (r == 0) {
        *ret_fd = fd;
        *ret_orientation = orientation_of(reader.raw->sizes.flip);
    }
    libraw_close(reader.raw);
    return r;
}
