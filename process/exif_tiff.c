/* EXIF out of a TIFF file: its directories are walked here, because libtiff turns rationals into
 * floating point and libexif needs the whole file in memory. */
#include <errno.h>
#include <libexif/exif-utils.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process/exif.h"
#include "process/exif_entry.h"

#define ENTRIES_MAX 512
#define VALUE_MAX   16384 /* bytes of one value; larger ones are not descriptive */
#define TOTAL_MAX   49152 /* bytes of all values */

struct walk {
    int fd;
    int64_t at, size_bytes; /* of the structure in the file, which offsets count from */
    bool big;               /* BigTIFF */
    ExifByteOrder order;
    ExifData *data;
    uint64_t exif, gps, interoperability; /* where those directories are; 0 nowhere */
    size_t total_bytes;
    bool no_memory;
};

static bool read_at(const struct walk *walk, uint64_t offset, void *bytes, size_t size)
{
    if (offset > (uint64_t)walk->size_bytes || size > (uint64_t)walk->size_bytes - offset)
        return false;
    size_t got = 0;
    while (got < size) {
        ssize_t n = pread(walk->fd, (char *)bytes + got, size - got,
                          (off_t)((uint64_t)walk->at + offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

static uint64_t get_long8(const struct walk *walk, const uint8_t *bytes)
{
    uint64_t first = exif_get_long(bytes, walk->order);
    uint64_t second = exif_get_long(bytes + 4, walk->order);
    return walk->order == EXIF_BYTE_ORDER_INTEL ? first | second << 32 : first << 32 | second;
}

/* Tags of the first directory that describe the picture and not how it is stored. */
static bool is_descriptive(unsigned tag)
{
    switch (tag) {
    case EXIF_TAG_IMAGE_DESCRIPTION:
    case EXIF_TAG_MAKE:
    case EXIF_TAG_MODEL:
    case EXIF_TAG_X_RESOLUTION:
    case EXIF_TAG_Y_RESOLUTION:
    case EXIF_TAG_RESOLUTION_UNIT:
    case EXIF_TAG_SOFTWARE:
    case EXIF_TAG_DATE_TIME:
    case EXIF_TAG_ARTIST:
    case EXIF_TAG_COPYRIGHT:
    case EXIF_TAG_ORIENTATION:
        return true;
    default:
        return false;
    }
}

/* One directory into `ifd`; sub-directories' offsets are noted. */
static void walk_directory(struct walk *walk, uint64_t offset, ExifIfd ifd)
{
    size_t entry_bytes = walk->big ? 20 : 12;
    size_t count_bytes = walk->big ? 8 : 2;
    size_t inline_bytes = walk->big ? 8 : 4;
    uint8_t raw[20];

    if (!read_at(walk, offset, raw, count_bytes))
        return;
    uint64_t count = walk->big ? get_long8(walk, raw) : exif_get_short(raw, walk->order);
    if (count > ENTRIES_MAX)
        return;
    for (uint64_t i = 0; i < count; i++) {
        if (!read_at(walk, offset + count_bytes + i * entry_bytes, raw, entry_bytes))
            return;
        unsigned tag = exif_get_short(raw, walk->order);
        ExifFormat format = exif_get_short(raw + 2, walk->order);
        uint64_t components =
            walk->big ? get_long8(walk, raw + 4) : exif_get_long(raw + 4, walk->order);
        const uint8_t *value = raw + (walk->big ? 12 : 8);
        uint64_t position = walk->big ? get_long8(walk, value) : exif_get_long(value, walk->order);

        if (tag == EXIF_TAG_EXIF_IFD_POINTER && ifd == EXIF_IFD_0) {
            walk->exif = position;
            continue;
        }
        if (tag == EXIF_TAG_GPS_INFO_IFD_POINTER && ifd == EXIF_IFD_0) {
            walk->gps = position;
            continue;
        }
        if (tag == EXIF_TAG_INTEROPERABILITY_IFD_POINTER && ifd == EXIF_IFD_EXIF) {
            walk->interoperability = position;
            continue;
        }
        if (tag == EXIF_TAG_MAKER_NOTE || tag == EXIF_TAG_INTEROPERABILITY_IFD_POINTER)
            continue; /* offsets inside would be wrong */
        if (ifd == EXIF_IFD_0 && !is_descriptive(tag))
            continue;
        unsigned unit = exif_format_get_size(format);
        if (!unit || !components || components > VALUE_MAX / unit)
            continue;
        size_t size = (size_t)components * unit;
        if (walk->total_bytes + size > TOTAL_MAX)
            continue;
        uint8_t far[VALUE_MAX];
        if (size > inline_bytes) {
            if (!read_at(walk, position, far, size))
                continue;
            value = far;
        }
        if (!pf_exif_put(walk->data, ifd, tag, format, (uint32_t)components, value, size)) {
            walk->no_memory = true;
            return;
        }
        walk->total_bytes += size;
    }
}

/* Begins the structure at walk->at; false: there is none. */
static bool open_structure(struct walk *walk, uint64_t *ret_first)
{
    uint8_t head[16];
    if (!read_at(walk, 0, head, 8))
        return false;
    walk->order = head[0] == 'I' ? EXIF_BYTE_ORDER_INTEL : EXIF_BYTE_ORDER_MOTOROLA;
    walk->big = exif_get_short(head + 2, walk->order) == 43;
    if (walk->big && !read_at(walk, 0, head, 16))
        return false;
    *ret_first = walk->big ? get_long8(walk, head + 8) : exif_get_long(head + 4, walk->order);
    return true;
}

static int begin_block(struct walk *walk, struct pf_blob *ret, struct pf_error *err)
{
    *ret = (struct pf_blob){NULL, 0};
    walk->data = pf_exif_parse(ret);
    return walk->data ? 0 : pf_fail(err, ENOMEM, "out of memory for an EXIF block");
}

static int end_block(struct walk *walk, struct pf_blob *ret, struct pf_error *err)
{
    int r = 0;
    if (walk->no_memory)
        r = pf_fail(err, ENOMEM, "out of memory for an EXIF block");
    else if (walk->total_bytes)
        r = pf_exif_save(walk->data, ret, err);
    exif_data_unref(walk->data);
    return r;
}

int pf_exif_of_tiff(int fd, int64_t size_bytes, struct pf_blob *ret, struct pf_error *err)
{
    struct walk walk = {.fd = fd, .size_bytes = size_bytes};
    uint64_t first;
    int r = begin_block(&walk, ret, err);
    if (r < 0)
        return r;
    if (open_structure(&walk, &first)) {
        exif_data_set_byte_order(walk.data, walk.order);
        walk_directory(&walk, first, EXIF_IFD_0);
        if (walk.exif)
            walk_directory(&walk, walk.exif, EXIF_IFD_EXIF);
        if (walk.gps)
            walk_directory(&walk, walk.gps, EXIF_IFD_GPS);
        if (walk.interoperability)
            walk_directory(&walk, walk.interoperability, EXIF_IFD_INTEROPERABILITY);
    }
    return end_block(&walk, ret, err);
}

int pf_exif_of_parts(int fd, int64_t size_bytes, const int64_t part_at[3], struct pf_blob *ret,
                     struct pf_error *err)
{
    static const ExifIfd directories[3] = {EXIF_IFD_0, EXIF_IFD_EXIF, EXIF_IFD_GPS};
    struct walk walk = {.fd = fd};
    ExifByteOrder order = EXIF_BYTE_ORDER_INTEL;
    bool first_seen = false;
    int r = begin_block(&walk, ret, err);
    if (r < 0)
        return r;
    for (int i = 0; i < 3; i++) {
        uint64_t directory;
        walk.at = part_at[i];
        walk.size_bytes = size_bytes - part_at[i];
        if (!part_at[i] || !open_structure(&walk, &directory))
            continue;
        if (!first_seen) {
            order = walk.order;
            exif_data_set_byte_order(walk.data, order);
            first_seen = true;
        }
        if (walk.order == order) /* a block has one */
            walk_directory(&walk, directory, directories[i]);
    }
    return end_block(&walk, ret, err);
}
