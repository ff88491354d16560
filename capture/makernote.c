#include "capture/makernote.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "capture/tiff.h"

enum {
    TAG_MAKE = 0x010f,
    TAG_EXIF = 0x8769,
    TAG_MAKER_NOTE = 0x927c,
    APPLE_BURST_UUID = 0x000b,
    CANON_SERIAL = 0x000c,
    CANON_LENS_MODEL = 0x0095,
    FUJI_SERIAL = 0x0010,
    FUJI_SEQUENCE = 0x1101,
    NIKON_SERIAL = 0x001d,
    NIKON_OLD_SERIAL = 0x00a0,
    OLYMPUS_EQUIPMENT = 0x2010,
    OLYMPUS_EQUIPMENT_SERIAL = 0x0101,
    OLYMPUS_EQUIPMENT_LENS = 0x0203,
    OLYMPUS_CAMERA_SETTINGS = 0x2020,
    OLYMPUS_DRIVE_MODE = 0x0600,
    PANASONIC_SERIAL = 0x0025,
    PANASONIC_BURST_MODE = 0x002a,
    PANASONIC_SEQUENCE = 0x002b,
    PANASONIC_LENS = 0x0051,
    SONY_SEQUENCE = 0xb04a,
};

static void take_text(const struct pf_tiff *tiff, int64_t at, uint16_t tag, char *to,
                      size_t to_bytes)
{
    struct pf_tiff_entry entry;
    if (pf_tiff_find(tiff, at, tag, &entry) < 0 ||
        (entry.type != PF_TIFF_ASCII && entry.type != PF_TIFF_UNDEFINED))
        return;
    size_t size = entry.size_bytes < to_bytes - 1 ? (size_t)entry.size_bytes : to_bytes - 1;
    if (pf_bytes_read(tiff->bytes, entry.value_at, to, size) < 0)
        size = 0;
    to[size] = '\0';
    size = strlen(to);
    while (size && to[size - 1] == ' ')
        to[--size] = '\0';
}

static bool take_number(const struct pf_tiff *tiff, int64_t at, uint16_t tag, uint64_t index,
                        uint64_t *ret)
{
    struct pf_tiff_entry entry;
    return pf_tiff_find(tiff, at, tag, &entry) == 0 && pf_tiff_value(tiff, &entry, index, ret) == 0;
}

/* Makers write 0 for "not in a sequence", Sony 65535 too. */
static int64_t sequence_of(uint64_t number)
{
    return number > 0 && number < 65535 ? (int64_t)number : -1;
}

/* A directory that an entry of the note points to: an IFD offset, or its bytes in place. */
static bool sub_directory(const struct pf_tiff *note, int64_t at, uint16_t tag, int64_t *ret)
{
    struct pf_tiff_entry entry;
    uint64_t offset;
    if (pf_tiff_find(note, at, tag, &entry) < 0)
        return false;
    if (entry.type == PF_TIFF_UNDEFINED) {
        *ret = entry.value_at;
        return true;
    }
    return pf_tiff_value(note, &entry, 0, &offset) == 0 && pf_tiff_offset(note, offset, ret) == 0;
}

static void read_olympus(const struct pf_tiff *note, int64_t at, struct pf_makernote *ret)
{
    int64_t sub;
    uint64_t mode, shot;
    if (sub_directory(note, at, OLYMPUS_CAMERA_SETTINGS, &sub) &&
        take_number(note, sub, OLYMPUS_DRIVE_MODE, 0, &mode) && mode != 0 &&
        take_number(note, sub, OLYMPUS_DRIVE_MODE, 1, &shot))
        ret->sequence = sequence_of(shot);
    if (sub_directory(note, at, OLYMPUS_EQUIPMENT, &sub)) {
        take_text(note, sub, OLYMPUS_EQUIPMENT_LENS, ret->lens, sizeof(ret->lens));
        take_text(note, sub, OLYMPUS_EQUIPMENT_SERIAL, ret->serial, sizeof(ret->serial));
    }
}

void pf_makernote_read(struct pf_bytes *bytes, int64_t exif_at, struct pf_makernote *ret)
{
    struct pf_tiff exif;
    struct pf_tiff_entry entry;
    uint64_t offset, number;
    int64_t exif_directory;
    uint8_t head[17] = "";
    char make[16] = "";
    *ret = (struct pf_makernote){.sequence = -1};
    if (pf_tiff_open(&exif, bytes, exif_at) < 0 || !exif.first ||
        pf_tiff_find(&exif, exif.first, TAG_EXIF, &entry) < 0 ||
        pf_tiff_value(&exif, &entry, 0, &offset) < 0 ||
        pf_tiff_offset(&exif, offset, &exif_directory) < 0 ||
        pf_tiff_find(&exif, exif_directory, TAG_MAKER_NOTE, &entry) < 0 || entry.size_bytes < 20 ||
        pf_bytes_read(bytes, entry.value_at, head, 16) < 0)
        return;
    take_text(&exif, exif.first, TAG_MAKE, make, sizeof(make));

    const int64_t at = entry.value_at;
    struct pf_tiff note = exif; /* offsets from the EXIF header, its byte order */
    note.big = false;
    struct pf_tiff own = note; /* offsets from the note's begin */
    own.base = at;
    if (!memcmp(head, "Apple iOS", 10)) {
        own.big_endian = head[12] == 'M';
        take_text(&own, at + 14, APPLE_BURST_UUID, ret->burst_id, sizeof(ret->burst_id));
    } else if (!memcmp(head, "FUJIFILM", 8)) {
        own.big_endian = false;
        int64_t directory = at + (head[8] | head[9] << 8);
        if (take_number(&own, directory, FUJI_SEQUENCE, 0, &number))
            ret->sequence = sequence_of(number);
        take_text(&own, directory, FUJI_SERIAL, ret->serial, sizeof(ret->serial));
    } else if (!memcmp(head, "OLYMPUS", 8)) {
        own.big_endian = head[8] == 'M';
        read_olympus(&own, at + 12, ret);
    } else if (!memcmp(head, "OM SYSTEM", 10)) {
        own.big_endian = head[12] == 'M';
        read_olympus(&own, at + 16, ret);
    } else if (!memcmp(head, "OLYMP", 6)) {
        read_olympus(&note, at + 8, ret);
    } else if (!memcmp(head, "Nikon\0\2", 7)) { /* a TIFF structure of its own */
        if (pf_tiff_open(&own, bytes, at + 10) == 0 && own.first) {
            take_text(&own, own.first, NIKON_OLD_SERIAL, ret->serial, sizeof(ret->serial));
            take_text(&own, own.first, NIKON_SERIAL, ret->serial, sizeof(ret->serial));
        }
    } else if (!memcmp(head, "Panasonic", 10)) {
        if (take_number(&note, at + 12, PANASONIC_BURST_MODE, 0, &number) && number != 0 &&
            take_number(&note, at + 12, PANASONIC_SEQUENCE, 0, &number))
            ret->sequence = sequence_of(number);
        take_text(&note, at + 12, PANASONIC_SERIAL, ret->serial, sizeof(ret->serial));
        take_text(&note, at + 12, PANASONIC_LENS, ret->lens, sizeof(ret->lens));
    } else if (!memcmp(head, "SONY DSC ", 9) || !memcmp(head, "SONY CAM ", 9)) {
        if (take_number(&note, at + 12, SONY_SEQUENCE, 0, &number))
            ret->sequence = sequence_of(number);
    } else if (!strncmp(make, "Canon", 5)) {
        take_text(&note, at, CANON_LENS_MODEL, ret->lens, sizeof(ret->lens));
        if (take_number(&note, at, CANON_SERIAL, 0, &number) && number)
            snprintf(ret->serial, sizeof(ret->serial), "%010" PRIu64, number);
    }
}
