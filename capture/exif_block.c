#include "capture/exif_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/tiff.h"

enum {
    HEAD_BYTES = 6,            /* "Exif\0\0" */
    BLOCK_BYTES = 0xfffe,      /* libexif looks no further */
    VALUE_BYTES_MAX = 1 << 10, /* of one value in a block that is made here */
    TAG_EXIF = 0x8769,
};

/* What a made block carries, in ascending order as TIFF wants it; all that metadata.c asks for. */
static const uint16_t wanted_first[] = {0x0017, 0x0037, 0x010f, 0x0110, 0x0112, 0x0131, TAG_EXIF};
static const uint16_t wanted_exif[] = {0x829a, 0x829d, 0x8827, 0x8832, 0x9003, 0x9004, 0x9011,
                                       0x9012, 0x920a, 0x9291, 0x9292, 0xa431, 0xa434};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void put(uint8_t *to, const struct pf_tiff *tiff, uint64_t number, int size_bytes)
{
    for (int i = 0; i < size_bytes; i++)
        to[tiff->big_endian ? size_bytes - 1 - i : i] = (uint8_t)(number >> 8 * i);
}

/* Writes a classic directory at `at` of the TIFF structure `to` with the wanted tags of the one at
 * `from`, values behind it. Byte order stays, so values are copied. Returns where it ends. */
static size_t copy_directory(const struct pf_tiff *tiff, int64_t from, const uint16_t *tags,
                             size_t tag_count, bool has_exif, uint8_t *to, size_t at)
{
    size_t count = 0, end = at + 2 + tag_count * 12 + 4;
    for (size_t i = 0; i < tag_count; i++) {
        struct pf_tiff_entry entry;
        uint8_t *slot = to + at + 2 + count * 12;
        if (tags[i] == TAG_EXIF) {
            if (!has_exif)
                continue;
            entry = (struct pf_tiff_entry){.tag = TAG_EXIF, .type = PF_TIFF_LONG, .count = 1};
            put(slot + 8, tiff, 0, 4); /* filled in when that directory is made */
        } else {
            if (pf_tiff_find(tiff, from, tags[i], &entry) < 0 || !entry.size_bytes ||
                entry.size_bytes > VALUE_BYTES_MAX)
                continue;
            size_t size = (size_t)entry.size_bytes;
            uint8_t *value = size > 4 ? to + end : slot + 8;
            if (pf_bytes_read(tiff->bytes, entry.value_at, value, size) < 0)
                continue;
            if (size > 4) {
                put(slot + 8, tiff, end, 4);
                end += size + (size & 1);
            }
        }
        put(slot, tiff, entry.tag, 2);
        put(slot + 2, tiff, entry.type, 2);
        put(slot + 4, tiff, entry.count, 4);
        count++;
    }
    put(to + at, tiff, count, 2);
    put(to + at + 2 + count * 12, tiff, 0, 4); /* no directory after it */
    return end;
}

/* `exif_directory` is one of `exif_tiff`, 0 none; both in the same byte order. */
static size_t make_block(const struct pf_tiff *tiff, const struct pf_tiff *exif_tiff,
                         int64_t exif_directory, uint8_t *to)
{
    memset(to, 0, BLOCK_BYTES - HEAD_BYTES);
    memcpy(to, tiff->big_endian ? "MM" : "II", 2);
    put(to + 2, tiff, 42, 2);
    put(to + 4, tiff, 8, 4);
    size_t end = copy_directory(tiff, tiff->first, wanted_first, COUNT(wanted_first),
                                exif_directory != 0, to, 8);
    if (!exif_directory)
        return end;
    size_t exif_at = end;
    end = copy_directory(exif_tiff, exif_directory, wanted_exif, COUNT(wanted_exif), false, to,
                         exif_at);
    for (size_t i = 0; i < COUNT(wanted_first); i++) {
        uint8_t tag[2], *slot = to + 8 + 2 + i * 12;
        put(tag, tiff, TAG_EXIF, 2);
        if (!memcmp(slot, tag, 2))
            put(slot + 8, tiff, exif_at, 4);
    }
    return end;
}

/* Whether the directory and its link end within the head that libexif sees. */
static bool in_head(const struct pf_tiff *tiff, int64_t at)
{
    uint64_t count;
    return pf_tiff_count(tiff, at, &count) == 0 && count < 4096 &&
           at + 2 + (int64_t)count * 12 + 4 <= BLOCK_BYTES - HEAD_BYTES;
}

int pf_exif_block_read(struct pf_bytes *bytes, const struct pf_whole *whole, uint8_t **ret,
                       size_t *ret_bytes, struct pf_error *err)
{
    uint8_t *block = malloc(BLOCK_BYTES);
    if (!block)
        return pf_fail(err, ENOMEM, "out of memory for EXIF");
    memcpy(block, "Exif\0", HEAD_BYTES);
    int64_t size = whole->exif_size_bytes;
    int64_t exif_directory = 0;
    int r = 0;
    if (whole->exif_scattered) {
        struct pf_tiff tiff, more;
        struct pf_tiff_entry entry;
        uint64_t offset;
        r = pf_tiff_open(&tiff, bytes, whole->exif_at);
        if (!r && !tiff.first)
            r = -ENODATA;
        if (r < 0)
            goto out;
        if (pf_tiff_find(&tiff, tiff.first, TAG_EXIF, &entry) < 0 ||
            pf_tiff_value(&tiff, &entry, 0, &offset) < 0 ||
            pf_tiff_offset(&tiff, offset, &exif_directory) < 0)
            exif_directory = 0;
        const struct pf_tiff *exif_tiff = &tiff;
        if (whole->exif_more_at && pf_tiff_open(&more, bytes, whole->exif_more_at) == 0 &&
            more.first && more.big_endian == tiff.big_endian) {
            exif_tiff = &more;
            exif_directory = more.first;
        }
        if (tiff.big || tiff.odd || exif_tiff == &more || !in_head(&tiff, tiff.first) ||
            (exif_directory && !in_head(&tiff, exif_directory))) {
            *ret_bytes =
                HEAD_BYTES + make_block(&tiff, exif_tiff, exif_directory, block + HEAD_BYTES);
            goto out;
        }
    }
    if (size > BLOCK_BYTES - HEAD_BYTES)
        size = BLOCK_BYTES - HEAD_BYTES;
    r = pf_bytes_read(bytes, whole->exif_at, block + HEAD_BYTES, (size_t)size);
    *ret_bytes = (size_t)size + HEAD_BYTES;
out:
    if (r < 0) {
        free(block);
        if (r == -EBADMSG)
            return -ENODATA;
        return r == -ENODATA ? r : pf_fail_errno(err, -r, "reading EXIF");
    }
    *ret = block;
    return 0;
}
