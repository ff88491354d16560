#include "process/cr3.h"

#include <errno.h>
#include <string.h>

#include <libraw/libraw.h>

#include "capture/box.h"

enum {
    BOXES_MAX = 4096,
    DEPTH_MAX = 16,
    BEFORE_CMP1 = 82, /* bytes of "CRAW" */
    CMP1_BYTES = 32,
    SIDE_MIN = 22, /* of a plane of a tile */
    SIDE_MAX = 0x7fff,
    TILES_MAX = 255, /* either way */
    HEADER_BYTES = 12,
    PLANES = 4,
};

struct walk {
    struct pf_bytes *bytes;
    const char *path;
    struct pf_cr3 *cr3;
    struct pf_error *err;
    int boxes, depth;
    /* The track that it is in. */
    uint8_t cmp1[CMP1_BYTES];
    bool has_cmp1;
    uint64_t data_at, data_bytes;
};

bool pf_cr3_is(const uint8_t head[12])
{
    return memcmp(head + 4, "ftypcrx ", 8) == 0;
}

static bool read_at(struct walk *walk, int64_t at, void *to, size_t size)
{
    return pf_bytes_read(walk->bytes, at, to, size) == 0;
}

static int damaged(struct walk *walk, const char *how)
{
    if (walk->bytes->error)
        return pf_fail_errno(walk->err, -walk->bytes->error, "reading %s", walk->path);
    return pf_fail(walk->err, EBADMSG, "%s: the RAW picture %s", walk->path, how);
}

/* A header of the compressed data: 0xff01 of a tile, 0xff02 of a plane, 0xff03 of a band. */
static bool read_header(struct walk *walk, int64_t *at, int64_t end, unsigned kind,
                        uint32_t *ret_bytes, uint32_t *ret_rest)
{
    uint8_t header[HEADER_BYTES];
    if (*at + HEADER_BYTES > end || !read_at(walk, *at, header, sizeof(header)) ||
        pf_big_endian(header, 4) != (kind << 16 | 8))
        return false;
    *ret_bytes = (uint32_t)pf_big_endian(header + 4, 4);
    *ret_rest = (uint32_t)pf_big_endian(header + 8, 4);
    *at += HEADER_BYTES;
    return true;
}

/* Every stream is where the headers say, within the data. */
static bool streams_are_there(struct walk *walk, int tiles, int planes, int levels,
                              uint64_t head_bytes)
{
    int64_t at = (int64_t)walk->data_at, end = at + (int64_t)head_bytes;
    uint64_t size = walk->data_bytes - head_bytes, tile_at = 0;
    uint32_t tile_bytes, plane_bytes, band_bytes, rest;
    for (int t = 0; t < tiles; t++, tile_at += tile_bytes) {
        uint64_t plane_at = tile_at;
        if (!read_header(walk, &at, end, 0xff01, &tile_bytes, &rest) || (int)(rest >> 16) != t)
            return false;
        for (int p = 0; p < planes; p++, plane_at += plane_bytes) {
            uint64_t band_at = plane_at;
            if (!read_header(walk, &at, end, 0xff02, &plane_bytes, &rest) || (int)(rest >> 28) != p)
                return false;
            bool predicted = rest >> 27 & 1, rounded = rest >> 25 & 3;
            if (rounded && (levels || !predicted))
                return false;
            for (int b = 0; b < 3 * levels + 1; b++, band_at += band_bytes)
                if (!read_header(walk, &at, end, 0xff03, &band_bytes, &rest) ||
                    (int)(rest >> 28) != b || band_bytes < (rest & 0x7ff) ||
                    band_at + band_bytes > size)
                    return false;
        }
    }
    return true;
}

static int check_crx(struct walk *walk)
{
    const uint8_t *cmp1 = walk->cmp1;
    uint64_t width = pf_big_endian(cmp1 + 8, 4), height = pf_big_endian(cmp1 + 12, 4);
    uint64_t tile_width = pf_big_endian(cmp1 + 16, 4), tile_height = pf_big_endian(cmp1 + 20, 4);
    uint64_t head_bytes = pf_big_endian(cmp1 + 28, 4), version = pf_big_endian(cmp1 + 4, 2);
    int bits = cmp1[24], planes = cmp1[25] >> 4, kind = cmp1[26] >> 4, levels = cmp1[26] & 15;
    if (version == 0x200)
        return pf_fail(walk->err, ENOTSUP,
                       "%s: a RAW picture in Canon's newer compression, which "
                       "LibRaw %s cannot decode",
                       walk->path, libraw_version());
    if (version != 0x100 || bits < 1 || bits > (kind == 1 ? 15 : 14) || levels > 3 ||
        (kind != 0 && kind != 1 && kind != 3) || (planes != 1 && planes != PLANES) ||
        (planes == 1) != (bits == 8) || (planes == 1 && kind))
        return damaged(walk, "is of no kind that there is");
    if (planes == PLANES) {
        if ((width | height | tile_width | tile_height) & 1)
            return damaged(walk, "has a senseless size");
        width /= 2;
        height /= 2;
        tile_width /= 2;
        tile_height /= 2;
    }
    if (width > SIDE_MAX || height > SIDE_MAX || tile_width < SIDE_MIN || tile_height < SIDE_MIN ||
        tile_width > width || tile_height > height)
        return damaged(walk, "has a senseless size");
    uint64_t across = (width + tile_width - 1) / tile_width;
    uint64_t down = (height + tile_height - 1) / tile_height;
    if (across > TILES_MAX || down > TILES_MAX || width - (across - 1) * tile_width < SIDE_MIN ||
        height - (down - 1) * tile_height < SIDE_MIN)
        return damaged(walk, "has tiles of a senseless size");
    if (head_bytes > walk->data_bytes ||
        !streams_are_there(walk, (int)(across * down), planes, levels, head_bytes))
        return damaged(walk, "has senseless headers");
    width = pf_big_endian(cmp1 + 8, 4);
    height = pf_big_endian(cmp1 + 12, 4);
    if (width * height > walk->cr3->width * walk->cr3->height) {
        walk->cr3->width = width;
        walk->cr3->height = height;
    }
    return 0;
}

static int check_track(struct walk *walk)
{
    if (walk->data_at > (uint64_t)walk->bytes->size_bytes ||
        walk->data_bytes > (uint64_t)walk->bytes->size_bytes - walk->data_at)
        return damaged(walk, "breaks off");
    return walk->has_cmp1 ? check_crx(walk) : 0;
}

/* How far into a box those are that it contains; -1: they are none of our business. */
static int inner_offset(struct walk *walk, const struct pf_box *box)
{
    static const struct {
        char type[5];
        int offset;
    } containers[] = {{"moov", 0}, {"trak", 0}, {"mdia", 0},          {"minf", 0},
                      {"stbl", 0}, {"stsd", 8}, {"CRAW", BEFORE_CMP1}};
    char uuid[16];
    for (size_t i = 0; i < sizeof(containers) / sizeof(containers[0]); i++)
        if (!memcmp(box->type, containers[i].type, 4))
            return containers[i].offset;
    if (!memcmp(box->type, "uuid", 4) && read_at(walk, box->body_at, uuid, 16) &&
        !memcmp(uuid, PF_BOX_CANON, 16))
        return 16;
    return -1;
}

static void take_number(struct walk *walk, int64_t at, int bytes, uint64_t *ret)
{
    uint8_t number[8];
    if (read_at(walk, at, number, (size_t)bytes))
        *ret = pf_big_endian(number, bytes);
}

static void take_leaf(struct walk *walk, const struct pf_box *box)
{
    static const char metadata[3][5] = {"CMT1", "CMT2", "CMT4"};
    int64_t at = box->body_at, size = box->end - at;
    for (int i = 0; i < 3; i++)
        if (!memcmp(box->type, metadata[i], 4))
            walk->cr3->metadata_at[i] = at;
    if (!memcmp(box->type, "CMP1", 4))
        walk->has_cmp1 |= size >= CMP1_BYTES && read_at(walk, at, walk->cmp1, CMP1_BYTES);
    else if (!memcmp(box->type, "stsz", 4)) /* of all samples, or a table of one */
        take_number(walk, at + (size == 16 ? 12 : 4), 4, &walk->data_bytes);
    else if (!memcmp(box->type, "co64", 4))
        take_number(walk, at + 8, 8, &walk->data_at);
}

static int walk_boxes(struct walk *walk, int64_t at, int64_t end)
{
    struct pf_box box;
    for (; at + 8 <= end; at = box.end, walk->boxes++) {
        int r = walk->boxes > BOXES_MAX ? -ENODATA : pf_box_read(walk->bytes, at, end, &box);
        if (r == -EBADMSG)
            return damaged(walk, "has a senseless box");
        if (r < 0 || box.end > end)
            return damaged(walk, "breaks off");
        int offset = inner_offset(walk, &box);
        bool is_track = !memcmp(box.type, "trak", 4);
        if (is_track)
            walk->has_cmp1 = false, walk->data_at = walk->data_bytes = 0;
        if (offset < 0) {
            take_leaf(walk, &box);
        } else if (walk->depth < DEPTH_MAX) {
            walk->depth++;
            r = walk_boxes(walk, box.body_at + offset, box.end);
            walk->depth--;
        }
        if (r == 0 && is_track)
            r = check_track(walk);
        if (r < 0)
            return r;
    }
    return 0;
}

int pf_cr3_look(struct pf_bytes *bytes, const char *path, struct pf_cr3 *ret, struct pf_error *err)
{
    struct walk walk = {.bytes = bytes, .path = path, .cr3 = ret, .err = err};
    *ret = (struct pf_cr3){.width = 0};
    return walk_boxes(&walk, 0, bytes->size_bytes);
}
