#include <errno.h>
#include <string.h>

#include "capture/tiff.h"
#include "capture/whole_internal.h"

enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda, APP1 = 0xe1, APP2 = 0xe2, TEM = 0x01 };

struct walk {
    struct pf_bytes *bytes;
    struct pf_whole *whole;
    int64_t at;
    int64_t trailer_end; /* last byte that an MPF index names, + 1 */
    bool have_index; /* the one that a picture may have: each costs a walk through a directory */
    bool have_frame, have_scan;
};

static bool is_restart(uint8_t marker)
{
    return marker >= 0xd0 && marker <= 0xd7;
}

static bool is_frame_header(uint8_t marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static int cut(struct walk *walk, const char *where)
{
    return pf_whole_say(walk->whole, PF_WHOLE_NOT_YET, "the JPEG breaks off in %s", where);
}

static int corrupt(struct walk *walk, const char *what)
{
    return pf_whole_say(walk->whole, PF_WHOLE_NEVER, "corrupt JPEG: %s", what);
}

/* MPF (CIPA DC-007): the end of the furthest image that the index at `at` names. */
static void note_trailer(struct walk *walk, int64_t at)
{
    enum { MP_ENTRY = 0xb002, ENTRY_BYTES = 16, MAX_IMAGES = 64 };
    struct pf_tiff tiff;
    struct pf_tiff_entry entry;
    if (pf_tiff_open(&tiff, walk->bytes, at) < 0 || !tiff.first ||
        pf_tiff_find(&tiff, tiff.first, MP_ENTRY, &entry) < 0 || entry.type != PF_TIFF_UNDEFINED)
        return;
    for (uint64_t i = 0; i < entry.count / ENTRY_BYTES && i < MAX_IMAGES; i++) {
        uint8_t raw[ENTRY_BYTES];
        if (pf_bytes_read(walk->bytes, entry.value_at + (int64_t)(i * ENTRY_BYTES), raw,
                          sizeof(raw)) < 0)
            return;
        uint32_t size = 0, offset = 0;
        for (int b = 0; b < 4; b++) {
            size = size << 8 | raw[tiff.big_endian ? 4 + b : 7 - b];
            offset = offset << 8 | raw[tiff.big_endian ? 8 + b : 11 - b];
        }
        int64_t end = at + offset + (int64_t)size;
        if (offset && end > walk->trailer_end)
            walk->trailer_end = end;
    }
}

/* A marker segment whose length field stands at walk->at. 1: go on, 0: decided. */
static int segment(struct walk *walk, uint8_t marker)
{
    uint8_t head[19];
    int r = pf_bytes_read(walk->bytes, walk->at, head, 2);
    if (r < 0)
        return r == -ENODATA ? cut(walk, "a marker segment") : r;
    int length = head[0] << 8 | head[1];
    if (length < 2)
        return corrupt(walk, "a marker segment without length");
    if (walk->at + length > walk->bytes->size_bytes)
        return cut(walk, "a marker segment");

    if (is_frame_header(marker)) {
        if (length < 11)
            return corrupt(walk, "short frame header");
        r = pf_bytes_read(walk->bytes, walk->at, head, 8);
        if (r < 0)
            return r == -ENODATA ? cut(walk, "its frame header") : r;
        if (walk->have_frame)
            return corrupt(walk, "two frame headers");
        walk->have_frame = true;
        walk->whole->height = head[3] << 8 | head[4];
        walk->whole->width = head[5] << 8 | head[6];
        if (!walk->whole->height || !walk->whole->width || length != 8 + 3 * head[7])
            return corrupt(walk, "senseless frame header");
    } else if (marker == APP1 && length > 16 && walk->whole->exif_at < 0) {
        r = pf_bytes_read(walk->bytes, walk->at, head, 8);
        if (r < 0)
            return r == -ENODATA ? cut(walk, "its EXIF block") : r;
        if (!memcmp(head + 2, "Exif\0", 6)) {
            walk->whole->exif_at = walk->at + 8;
            walk->whole->exif_size_bytes = length - 8;
        }
    } else if (marker == APP2 && length > 14 && !walk->have_index) {
        r = pf_bytes_read(walk->bytes, walk->at, head, 6);
        if (r < 0)
            return r == -ENODATA ? cut(walk, "a marker segment") : r;
        walk->have_index = !memcmp(head + 2, "MPF", 4);
        if (walk->have_index)
            note_trailer(walk, walk->at + 6);
    }
    walk->at += length;
    return 1;
}

/* Entropy-coded data: up to the next marker that is neither stuffing nor a restart. 1: go on. */
static int scan(struct walk *walk)
{
    for (;;) {
        const uint8_t *view;
        ssize_t n = pf_bytes_view(walk->bytes, walk->at, 2, &view);
        if (n < 0)
            return (int)n;
        if (n < 2)
            return cut(walk, "its picture data");
        const uint8_t *found = memchr(view, 0xff, (size_t)n - 1);
        if (!found) {
            walk->at += n - 1;
            continue;
        }
        walk->at += found - view;
        if (found[1] == 0xff)
            walk->at += 1; /* fill byte */
        else if (found[1] == 0 || is_restart(found[1]))
            walk->at += 2;
        else
            return 1;
    }
}

/* The code of the marker at walk->at, which moves behind it. 1: go on. */
static int marker_code(struct walk *walk, uint8_t *ret)
{
    uint8_t byte;
    int r = pf_bytes_read(walk->bytes, walk->at, &byte, 1);
    if (!r && byte != 0xff) {
        if (!byte)
            return pf_whole_say(walk->whole, PF_WHOLE_NOT_YET, "zeros where a JPEG marker belongs");
        return corrupt(walk, "no marker where one belongs");
    }
    while (!r && byte == 0xff)
        r = pf_bytes_read(walk->bytes, ++walk->at, &byte, 1);
    if (r < 0)
        return r == -ENODATA ? cut(walk, walk->have_scan ? "its picture data" : "its header") : r;
    walk->at++;
    *ret = byte;
    return 1;
}

int pf_whole_jpeg(struct pf_bytes *bytes, struct pf_whole *whole)
{
    struct walk walk = {.bytes = bytes, .whole = whole, .at = 2};
    for (;;) {
        uint8_t marker = 0;
        int r = marker_code(&walk, &marker);
        if (r <= 0)
            return r;
        if (marker == EOI) {
            if (!walk.have_frame || !walk.have_scan)
                return corrupt(&walk, "it ends before its picture");
            whole->trailer_missing = walk.trailer_end > bytes->size_bytes;
            whole->state = PF_WHOLE_YES;
            return 0;
        }
        if (marker == SOI || marker == 0)
            return corrupt(&walk, "a marker that does not belong here");
        if (marker == TEM || is_restart(marker))
            continue;
        if (marker == SOS && !walk.have_frame)
            return corrupt(&walk, "picture data before the frame header");
        r = segment(&walk, marker);
        if (r == 1 && marker == SOS) {
            walk.have_scan = true;
            r = scan(&walk);
        }
        if (r <= 0)
            return r;
    }
}

bool pf_whole_jpeg_exif(struct pf_bytes *bytes, int64_t at, struct pf_whole *whole)
{
    uint8_t head[10];
    at += 2;
    for (int i = 0; i < 16; i++) {
        if (pf_bytes_read(bytes, at, head, sizeof(head)) < 0 || head[0] != 0xff || head[1] < 0xe0)
            return false;
        int64_t length = head[2] << 8 | head[3];
        if (head[1] == APP1 && length > 8 && !memcmp(head + 4, "Exif\0", 6)) {
            whole->exif_at = at + 10;
            whole->exif_size_bytes = length - 8;
            return true;
        }
        at += 2 + length;
    }
    return false;
}
