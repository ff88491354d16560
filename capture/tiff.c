#include "capture/tiff.h"

#include <errno.h>

/* What ORF and RW2 have in place of 42. */
enum { ORF_1 = 0x4f52, ORF_2 = 0x5352, RW2 = 85 };

/* 0 unknown */
static uint32_t type_bytes(uint16_t type)
{
    static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8};
    return type < sizeof(sizes) ? sizes[type] : 0;
}

static int read_number(const struct pf_tiff *tiff, int64_t at, unsigned size_bytes, uint64_t *ret)
{
    uint8_t raw[8];
    int r = pf_bytes_read(tiff->bytes, at, raw, size_bytes);
    if (r < 0)
        return r;
    uint64_t number = 0;
    for (unsigned i = 0; i < size_bytes; i++)
        number = number << 8 | raw[tiff->big_endian ? i : size_bytes - 1 - i];
    *ret = number;
    return 0;
}

int pf_tiff_offset(const struct pf_tiff *tiff, uint64_t offset, int64_t *ret)
{
    if (offset > (uint64_t)INT64_MAX / 2 || tiff->base > INT64_MAX / 2)
        return -EBADMSG;
    *ret = tiff->base + (int64_t)offset;
    return 0;
}

bool pf_tiff_inside(const struct pf_tiff *tiff, int64_t at, uint64_t size_bytes)
{
    return at >= 0 && at <= tiff->bytes->size_bytes &&
           size_bytes <= (uint64_t)(tiff->bytes->size_bytes - at);
}

int pf_tiff_open(struct pf_tiff *ret, struct pf_bytes *bytes, int64_t base)
{
    struct pf_tiff tiff = {.bytes = bytes, .base = base};
    uint8_t order[2];
    uint64_t magic, number, first = 0;
    int r = pf_bytes_read(bytes, base, order, sizeof(order));
    if (r < 0)
        return r;
    if (order[0] != order[1] || (order[0] != 'I' && order[0] != 'M'))
        return -EBADMSG;
    tiff.big_endian = order[0] == 'M';
    r = read_number(&tiff, base + 2, 2, &magic);
    if (r < 0)
        return r;
    if (magic == 43) {
        tiff.big = true;
        r = read_number(&tiff, base + 4, 4, &number);
        if (!r && number != (tiff.big_endian ? 0x80000u : 8u))
            return -EBADMSG;
        if (!r)
            r = read_number(&tiff, base + 8, 8, &first);
    } else if (magic == 42 || magic == ORF_1 || magic == ORF_2 || magic == RW2) {
        tiff.odd = magic != 42;
        r = read_number(&tiff, base + 4, 4, &first);
    } else {
        return -EBADMSG;
    }
    if (r < 0)
        return r;
    if (first) {
        r = pf_tiff_offset(&tiff, first, &tiff.first);
        if (r < 0)
            return r;
    }
    *ret = tiff;
    return 0;
}

int pf_tiff_count(const struct pf_tiff *tiff, int64_t at, uint64_t *ret)
{
    return read_number(tiff, at, tiff->big ? 8 : 2, ret);
}

/* Where entry `index` stands; the entry after the last one is the link to the next directory. */
static int entry_offset(const struct pf_tiff *tiff, int64_t at, uint64_t index, int64_t *ret)
{
    unsigned head = tiff->big ? 8 : 2, size = tiff->big ? 20 : 12;
    if (index > (uint64_t)tiff->bytes->size_bytes / size)
        return -ENODATA;
    *ret = at + head + (int64_t)(index * size);
    return 0;
}

int pf_tiff_entry(const struct pf_tiff *tiff, int64_t at, uint64_t index, struct pf_tiff_entry *ret)
{
    struct pf_tiff_entry entry;
    int64_t entry_at;
    uint64_t tag = 0, type = 0, offset = 0;
    unsigned width = tiff->big ? 8 : 4;
    int r = entry_offset(tiff, at, index, &entry_at);
    if (!r)
        r = read_number(tiff, entry_at, 2, &tag);
    if (!r)
        r = read_number(tiff, entry_at + 2, 2, &type);
    if (!r)
        r = read_number(tiff, entry_at + 4, width, &entry.count);
    if (r < 0)
        return r;
    entry.tag = (uint16_t)tag;
    entry.type = (uint16_t)type;
    uint64_t unit = type_bytes(entry.type);
    if (unit && entry.count > UINT64_MAX / unit)
        return -EBADMSG;
    entry.size_bytes = entry.count * unit;
    entry.value_at = entry_at + 4 + width;
    if (entry.size_bytes > width) {
        r = read_number(tiff, entry.value_at, width, &offset);
        if (!r)
            r = pf_tiff_offset(tiff, offset, &entry.value_at);
        if (r < 0)
            return r;
    }
    *ret = entry;
    return 0;
}

int pf_tiff_next(const struct pf_tiff *tiff, int64_t at, int64_t *ret)
{
    uint64_t count, next;
    int64_t next_at;
    int r = pf_tiff_count(tiff, at, &count);
    if (!r)
        r = entry_offset(tiff, at, count, &next_at);
    if (!r)
        r = read_number(tiff, next_at, tiff->big ? 8 : 4, &next);
    if (r < 0)
        return r;
    if (!next) {
        *ret = 0;
        return 0;
    }
    return pf_tiff_offset(tiff, next, ret);
}

int pf_tiff_find(const struct pf_tiff *tiff, int64_t at, uint16_t tag, struct pf_tiff_entry *ret)
{
    uint64_t count;
    int r = pf_tiff_count(tiff, at, &count);
    for (uint64_t i = 0; !r && i < count && i < 4096; i++) {
        struct pf_tiff_entry entry;
        r = pf_tiff_entry(tiff, at, i, &entry);
        if (r == -EBADMSG) {
            r = 0; /* one senseless entry does not hide the others */
            continue;
        }
        if (!r && entry.tag == tag) {
            *ret = entry;
            return 0;
        }
    }
    return r ? r : -ENOENT;
}

int pf_tiff_value(const struct pf_tiff *tiff, const struct pf_tiff_entry *entry, uint64_t index,
                  uint64_t *ret)
{
    unsigned size;
    switch (entry->type) {
    case PF_TIFF_BYTE:
    case PF_TIFF_UNDEFINED:
        size = 1;
        break;
    case PF_TIFF_SHORT:
        size = 2;
        break;
    case PF_TIFF_LONG:
    case PF_TIFF_IFD:
        size = 4;
        break;
    case PF_TIFF_LONG8:
    case PF_TIFF_IFD8:
        size = 8;
        break;
    default:
        return -EBADMSG;
    }
    if (index >= entry->count)
        return -EBADMSG;
    if (!pf_tiff_inside(tiff, entry->value_at, entry->size_bytes))
        return -ENODATA;
    return read_number(tiff, entry->value_at + (int64_t)(index * size), size, ret);
}
