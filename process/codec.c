#include "process/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/codec_format.h"

#define MAGIC_BYTES   12
#define JPEG_SIDE_MAX 65500 /* libjpeg's; the format itself has 65535 */

size_t pf_source_read(struct pf_source *source, void *bytes, size_t size)
{
    size_t got = 0;
    if (source->bytes) {
        int64_t left = source->size_bytes - source->offset;
        got = left <= 0 ? 0 : (uint64_t)left < size ? (size_t)left : size;
        memcpy(bytes, source->bytes + source->offset, got);
        source->offset += (int64_t)got;
        return got;
    }
    while (got < size) {
        ssize_t n = pread(source->fd, (char *)bytes + got, size - got, source->offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && !source->error)
            source->error = errno;
        if (n <= 0)
            break;
        got += (size_t)n;
        source->offset += n;
    }
    return got;
}

int pf_source_check_size(const struct pf_source *source, uint64_t width, uint64_t height,
                         struct pf_error *err)
{
    uint64_t pixels;
    if (width < 1 || height < 1)
        return pf_fail(err, EBADMSG, "%s: declares %llu x %llu pixels", source->path,
                       (unsigned long long)width, (unsigned long long)height);
    if (__builtin_mul_overflow(width, height, &pixels) ||
        pixels > (uint64_t)source->limits->max_pixels)
        return pf_fail(err, EFBIG, "%s: declares %llu x %llu pixels, more than the limit of %lld",
                       source->path, (unsigned long long)width, (unsigned long long)height,
                       (long long)source->limits->max_pixels);
    if (source->limits->declared)
        source->limits->declared(source->limits->context, (int64_t)pixels);
    return 0;
}

static bool is_tiff(const uint8_t *magic)
{
    return memcmp(magic, "II*\0", 4) == 0 || memcmp(magic, "MM\0*", 4) == 0 ||
           memcmp(magic, "II+\0", 4) == 0 || memcmp(magic, "MM\0+", 4) == 0;
}

/* RAW by its first bytes: CR2, CR3, RAF, ORF, RW2. DNG, NEF and ARW begin as any TIFF does. */
static bool is_raw(const uint8_t *magic)
{
    return (is_tiff(magic) && memcmp(magic + 8, "CR", 2) == 0) ||
           memcmp(magic + 4, "ftypcrx ", 8) == 0 || memcmp(magic, "FUJIFILMCCD-", 12) == 0 ||
           memcmp(magic, "IIRO", 4) == 0 || memcmp(magic, "IIRS", 4) == 0 ||
           memcmp(magic, "MMOR", 4) == 0 || memcmp(magic, "IIU\0", 4) == 0;
}

static int decode(struct pf_image **ret, struct pf_source *source, struct pf_error *err)
{
    uint8_t magic[MAGIC_BYTES] = {0};
    size_t got = pf_source_read(source, magic, sizeof(magic));
    source->offset = 0;

    if (source->error)
        return pf_fail_errno(err, source->error, "reading %s", source->path);
    if (source->size_bytes == 0)
        return pf_fail(err, EBADMSG, "%s: the file is empty", source->path);
    if (got >= 3 && memcmp(magic, "\xff\xd8\xff", 3) == 0)
        return pf_decode_jpeg(ret, source, err);
    if (got >= 8 && memcmp(magic, "\x89PNG\r\n\x1a\n", 8) == 0)
        return pf_decode_png(ret, source, err);
    if (got == sizeof(magic) && is_raw(magic))
        return pf_decode_raw(ret, source, err);
    if (got >= 8 && is_tiff(magic))
        return pf_decode_tiff(ret, source, err);
    return pf_fail(err, ENOTSUP, "%s: not a JPEG, TIFF, PNG or RAW picture", source->path);
}

int pf_source_open(struct pf_source *source, const char *path,
                   const struct pf_decode_limits *limits, struct pf_error *err)
{
    /* O_NONBLOCK: a named pipe in the place of a picture must not block for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r = 0;
    struct stat st = {0};
    if (fd < 0)
        return pf_fail_errno(err, errno, "opening %s", path);
    if (fstat(fd, &st) < 0)
        r = pf_fail_errno(err, errno, "reading %s", path);
    else if (S_ISDIR(st.st_mode))
        r = pf_fail(err, EISDIR, "%s: a directory, not a picture", path);
    else if (!S_ISREG(st.st_mode))
        r = pf_fail(err, ENOTSUP, "%s: not a regular file", path);
    if (r < 0) {
        close(fd);
        return r;
    }
    *source =
        (struct pf_source){.fd = fd, .path = path, .size_bytes = st.st_size, .limits = limits};
    return 0;
}

int pf_source_memory(const void *bytes, size_t size_bytes, struct pf_error *err)
{
    struct pf_sink sink = {.fd = memfd_create("preview", MFD_CLOEXEC)};
    if (sink.fd < 0)
        return pf_fail_errno(err, errno, "a file in memory");
    if (pf_sink_write(&sink, bytes, size_bytes))
        return sink.fd;
    close(sink.fd);
    return pf_fail_errno(err, sink.error, "a file in memory");
}

int pf_image_decode(struct pf_image **ret, const char *path, const struct pf_decode_limits *limits,
                    struct pf_error *err)
{
    struct pf_source source;
    int r = pf_source_open(&source, path, limits, err);
    if (r < 0)
        return r;
    posix_fadvise(source.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    r = decode(ret, &source, err);
    close(source.fd);
    return r;
}

int pf_image_as_jpeg(struct pf_image **ret, const struct pf_image *image, struct pf_error *err)
{
    const struct pf_decode_limits limits = {.max_pixels = INT64_MAX, .coded_side = 1};
    const struct pf_encode_options options = {.format = PF_FORMAT_JPEG, .jpeg_quality = 95};
    const struct pf_blob none = {0};
    struct pf_sink sink = {.fd = pf_source_memory("", 0, err), .path = "a JPEG in memory"};
    struct pf_encode_job job = {
        .image = image, .exif = &none, .icc = &none, .options = &options, .sink = &sink};
    if (sink.fd < 0)
        return sink.fd;
    int r = pf_encode_jpeg(&job, err);
    struct pf_source source = {
        .fd = sink.fd, .path = sink.path, .size_bytes = sink.offset, .limits = &limits};
    if (r == 0)
        r = pf_decode_jpeg(ret, &source, err);
    else if (sink.error)
        pf_fail_errno(err, sink.error, "%s", sink.path);
    close(sink.fd);
    return r;
}

int pf_format_of_path(const char *path, enum pf_format *ret, struct pf_error *err)
{
    static const struct {
        const char *extension;
        enum pf_format format;
    } known[] = {{".tif", PF_FORMAT_TIFF},
                 {".tiff", PF_FORMAT_TIFF},
                 {".png", PF_FORMAT_PNG},
                 {".jpg", PF_FORMAT_JPEG},
                 {".jpeg", PF_FORMAT_JPEG}};
    const char *name = strrchr(path, '/');
    const char *dot = strrchr(name ? name : path, '.');

    for (size_t i = 0; dot && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcasecmp(dot, known[i].extension) == 0) {
            *ret = known[i].format;
            return 0;
        }
    }
    return pf_fail(err, ENOTSUP,
                   "%s: pictures are written as .tif, .tiff, .png, .jpg or .jpeg only", path);
}

int pf_format_holds(enum pf_format format, int width, int height, struct pf_error *err)
{
    return format == PF_FORMAT_JPEG && (width > JPEG_SIDE_MAX || height > JPEG_SIDE_MAX)
               ? pf_fail(err, EFBIG, "a JPEG has at most %d pixels a side, and this is %d x %d",
                         JPEG_SIDE_MAX, width, height)
               : 0;
}

const char *pf_format_extension(enum pf_format format)
{
    switch (format) {
    case PF_FORMAT_PNG:
        return "png";
    case PF_FORMAT_JPEG:
        return "jpg";
    case PF_FORMAT_TIFF:
        break;
    }
    return "tif";
}
