/* RAW files with a shape of their own: Canon's CR3, boxes as in MP4, and Fujifilm's RAF. */
#include <errno.h>
#include <string.h>

#include "capture/box.h"
#include "capture/tiff.h"
#include "capture/whole_internal.h"

enum {
    BOXES_MAX = 4096,
    RAF_HEADER_BYTES = 108,
    RAF_PARTS_AT = 84, /* offset and size each: JPEG, directory, sensor data */
    RAF_PARTS = 3,
    RAF_ENTRIES_MAX = 1024,
    RAF_SIZE = 0x0121, /* height, width */
    RAF_LAYOUT = 0x0130,
    TAG_WIDTH = 0x0100,
    TAG_HEIGHT = 0x0101,
};

/* The first box of this type among those in [at, end); for "uuid" also with this uuid. */
static bool find_box(struct pf_bytes *bytes, int64_t at, int64_t end, const char *type,
                     const char *uuid, struct pf_box *ret)
{
    for (int i = 0; i < BOXES_MAX && at < end; i++) {
        char own[16];
        if (pf_box_read(bytes, at, end, ret) < 0 || ret->open_ended || ret->end > end)
            return false;
        at = ret->end;
        if (memcmp(ret->type, type, 4) != 0)
            continue;
        if (!uuid)
            return true;
        if (pf_bytes_read(bytes, ret->body_at, own, 16) == 0 && !memcmp(own, uuid, 16)) {
            ret->body_at += 16;
            return true;
        }
    }
    return false;
}

static int dimension(const struct pf_tiff *tiff, uint16_t tag)
{
    struct pf_tiff_entry entry;
    uint64_t value;
    return pf_tiff_find(tiff, tiff->first, tag, &entry) == 0 &&
                   pf_tiff_value(tiff, &entry, 0, &value) == 0 && value <= INT32_MAX
               ? (int)value
               : 0;
}

/* Canon keeps the EXIF block in pieces, each a TIFF structure: CMT1 is the first directory, CMT2
 * what would be its EXIF directory. */
static void find_metadata(struct pf_bytes *bytes, const struct pf_box *moov, struct pf_whole *whole)
{
    struct pf_box box, first, exif;
    struct pf_tiff tiff;
    if (!find_box(bytes, moov->body_at, moov->end, "uuid", PF_BOX_CANON, &box) ||
        !find_box(bytes, box.body_at, box.end, "CMT1", NULL, &first) ||
        pf_tiff_open(&tiff, bytes, first.body_at) < 0 || !tiff.first)
        return;
    whole->exif_at = first.body_at;
    whole->exif_size_bytes = first.end - first.body_at;
    whole->width = dimension(&tiff, TAG_WIDTH);
    whole->height = dimension(&tiff, TAG_HEIGHT);
    if (find_box(bytes, box.body_at, box.end, "CMT2", NULL, &exif))
        whole->exif_more_at = exif.body_at;
}

int pf_whole_cr3(struct pf_bytes *bytes, struct pf_whole *whole)
{
    struct pf_box moov = {.at = -1};
    struct pf_box data = {.at = -1}; /* the last of them */
    int64_t at = 0;
    whole->exif_scattered = true;
    for (int i = 0; at < bytes->size_bytes; i++) {
        struct pf_box box;
        int r = i < BOXES_MAX ? pf_box_read(bytes, at, bytes->size_bytes, &box) : -EBADMSG;
        if (r == -EBADMSG || r == -EFBIG)
            return pf_whole_say(whole, PF_WHOLE_NEVER, "corrupt CR3: a senseless box");
        if (r < 0 && r != -ENODATA)
            return r;
        if (r == -ENODATA || box.end > bytes->size_bytes)
            return pf_whole_say(whole, PF_WHOLE_NOT_YET, "the CR3 breaks off: a box is missing");
        if (!memcmp(box.type, "moov", 4) && moov.at < 0)
            moov = box;
        if (!memcmp(box.type, "mdat", 4) && box.end > box.body_at)
            data = box;
        whole->trailer_missing |= box.open_ended;
        at = box.end;
    }
    if (moov.at < 0 || data.at < 0)
        return pf_whole_say(whole, PF_WHOLE_NOT_YET, "the CR3 breaks off: its %s is missing",
                            moov.at < 0 ? "directory" : "picture data");
    int r = pf_whole_data(bytes, whole, data.body_at, data.end);
    if (r < 0)
        return r == -ENODATA ? pf_whole_say(whole, PF_WHOLE_NOT_YET, "the CR3 is shrinking") : r;
    find_metadata(bytes, &moov, whole);
    whole->state = PF_WHOLE_YES;
    return 0;
}

/* The picture's size, out of the directory: a count, then tag, size and value each. */
static void find_size(struct pf_bytes *bytes, int64_t at, struct pf_whole *whole)
{
    uint8_t head[8];
    bool tilted = false; /* a sensor of diamonds: two rows of the picture are told as one */
    if (pf_bytes_read(bytes, at, head, 4) < 0)
        return;
    uint64_t count = pf_big_endian(head, 4);
    at += 4;
    for (uint64_t i = 0; i < count && i < RAF_ENTRIES_MAX; i++) {
        if (pf_bytes_read(bytes, at, head, 8) < 0)
            break;
        uint64_t tag = pf_big_endian(head, 2), size = pf_big_endian(head + 2, 2);
        if (tag == RAF_SIZE && size == 4) {
            whole->height = (int)pf_big_endian(head + 4, 2);
            whole->width = (int)pf_big_endian(head + 6, 2);
        }
        tilted |= tag == RAF_LAYOUT && head[4] & 0x80;
        at += 4 + (int64_t)size;
    }
    if (tilted) {
        whole->height *= 2;
        whole->width /= 2;
    }
}

int pf_whole_raf(struct pf_bytes *bytes, struct pf_whole *whole)
{
    uint8_t head[RAF_HEADER_BYTES];
    int r = pf_bytes_read(bytes, 0, head, sizeof(head));
    if (r < 0)
        return r == -ENODATA
                   ? pf_whole_say(whole, PF_WHOLE_NOT_YET, "the RAF breaks off in its header")
                   : r;
    int64_t data_at = bytes->size_bytes, data_end = 0;
    for (int i = 0; i < RAF_PARTS; i++) {
        const uint8_t *part = head + RAF_PARTS_AT + (size_t)i * 8;
        uint64_t at = pf_big_endian(part, 4), size = pf_big_endian(part + 4, 4);
        if (!at || !size || at + size > (uint64_t)bytes->size_bytes)
            return pf_whole_say(whole, PF_WHOLE_NOT_YET, "the RAF breaks off: its %s is missing",
                                i == 0   ? "preview"
                                : i == 1 ? "directory"
                                         : "picture data");
        data_at = (int64_t)at < data_at ? (int64_t)at : data_at;
        data_end = (int64_t)(at + size) > data_end ? (int64_t)(at + size) : data_end;
    }
    r = pf_whole_data(bytes, whole, data_at, data_end);
    if (r < 0)
        return r == -ENODATA ? pf_whole_say(whole, PF_WHOLE_NOT_YET, "the RAF is shrinking") : r;
    pf_whole_jpeg_exif(bytes, (int64_t)pf_big_endian(head + RAF_PARTS_AT, 4), whole);
    find_size(bytes, (int64_t)pf_big_endian(head + RAF_PARTS_AT + 8, 4), whole);
    whole->state = PF_WHOLE_YES;
    return 0;
}
