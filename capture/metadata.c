#include "capture/metadata.h"

#include <ctype.h>
#include <errno.h>
#include <libexif/exif-data.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/exif_block.h"
#include "capture/makernote.h"
#include "config/base/version.h"

enum {
    TAG_RW2_ISO = 0x0017,      /* in the first directory of an RW2, and in the next what */
    TAG_RW2_LONG_ISO = 0x0037, /* does not fit into its 16 bits */
    TAG_MAKE = 0x010f,
    TAG_MODEL = 0x0110,
    TAG_ORIENTATION = 0x0112,
    TAG_SOFTWARE = 0x0131,
    TAG_EXPOSURE_TIME = 0x829a,
    TAG_F_NUMBER = 0x829d,
    TAG_ISO = 0x8827,
    TAG_EXPOSURE_INDEX = 0x8832, /* holds what does not fit into ISO's 16 bits */
    TAG_TIME_ORIGINAL = 0x9003,
    TAG_TIME_DIGITIZED = 0x9004,
    TAG_OFFSET_ORIGINAL = 0x9011,
    TAG_OFFSET_DIGITIZED = 0x9012,
    TAG_SUBSEC_ORIGINAL = 0x9291,
    TAG_SUBSEC_DIGITIZED = 0x9292,
    TAG_FOCAL_LENGTH = 0x920a,
    TAG_BODY_SERIAL = 0xa431,
    TAG_LENS_MODEL = 0xa434,
    TEXT_MAX = 128,
};

static const ExifEntry *find(const ExifData *data, int tag)
{
    for (int ifd = EXIF_IFD_EXIF; ifd >= 0; ifd = ifd == EXIF_IFD_EXIF ? EXIF_IFD_0 : -1) {
        const ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], (ExifTag)tag);
        if (entry && entry->data)
            return entry;
    }
    return NULL;
}

/* Text up to its NUL, without blanks at the ends. False when there is none. */
static bool text_of(const ExifData *data, int tag, char to[TEXT_MAX])
{
    const ExifEntry *entry = find(data, tag);
    to[0] = '\0';
    if (!entry || entry->format != EXIF_FORMAT_ASCII)
        return false;
    size_t size = strnlen((const char *)entry->data, entry->size), start = 0;
    while (start < size && isspace(entry->data[start]))
        start++;
    while (size > start && isspace(entry->data[size - 1]))
        size--;
    size = size - start < TEXT_MAX - 1 ? size - start : TEXT_MAX - 1;
    memcpy(to, entry->data + start, size);
    to[size] = '\0';
    return size > 0;
}

static bool number_of(ExifData *data, int tag, double *ret)
{
    const ExifEntry *entry = find(data, tag);
    if (!entry || !entry->components || entry->size < exif_format_get_size(entry->format))
        return false;
    ExifByteOrder order = exif_data_get_byte_order(data);
    ExifRational ratio;
    switch (entry->format) {
    case EXIF_FORMAT_BYTE:
        *ret = entry->data[0];
        return true;
    case EXIF_FORMAT_SHORT:
        *ret = exif_get_short(entry->data, order);
        return true;
    case EXIF_FORMAT_LONG:
        *ret = exif_get_long(entry->data, order);
        return true;
    case EXIF_FORMAT_RATIONAL:
        ratio = exif_get_rational(entry->data, order);
        if (!ratio.denominator)
            return false;
        *ret = (double)ratio.numerator / ratio.denominator;
        return true;
    default:
        return false;
    }
}

/* Exactly `digits` decimal digits at `text`, -1 otherwise. */
static int digits_of(const char *text, int digits)
{
    int number = 0;
    for (int i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* "YYYY:MM:DD HH:MM:SS" read as UTC, ms since 1970; -1 for anything else. */
static int64_t time_of(const char *text)
{
    if (strlen(text) < 19 || !strchr(":-/", text[4]) || !strchr(":-/", text[7]) ||
        text[13] != ':' || text[16] != ':')
        return -1;
    struct tm tm = {
        .tm_year = digits_of(text, 4) - 1900,
        .tm_mon = digits_of(text + 5, 2) - 1,
        .tm_mday = digits_of(text + 8, 2),
        .tm_hour = digits_of(text + 11, 2),
        .tm_min = digits_of(text + 14, 2),
        .tm_sec = digits_of(text + 17, 2),
    };
    if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
        tm.tm_sec > 60)
        return -1;
    return (int64_t)timegm(&tm) * 1000;
}

/* Decimal fraction of a second as text: "5" is 500 ms, "0123" is 12 ms. -1 unknown. */
static int subsec_of(const char *text)
{
    int ms = 0, unit = 100;
    if (!isdigit((unsigned char)text[0]))
        return -1;
    for (; isdigit((unsigned char)*text) && unit; text++, unit /= 10)
        ms += (*text - '0') * unit;
    return ms;
}

/* "+HH:MM" or "-HH:MM". */
static bool offset_of(const char *text, int64_t *ret_ms)
{
    if (strlen(text) < 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':')
        return false;
    int hours = digits_of(text + 1, 2), minutes = digits_of(text + 4, 2);
    if (hours < 0 || hours > 15 || minutes < 0 || minutes > 59)
        return false;
    *ret_ms = (text[0] == '-' ? -1 : 1) * (hours * 60 + minutes) * INT64_C(60000);
    return true;
}

static void take_time(const ExifData *data, struct pf_record *record)
{
    static const int tags[2][3] = {
        {TAG_TIME_ORIGINAL, TAG_SUBSEC_ORIGINAL, TAG_OFFSET_ORIGINAL},
        {TAG_TIME_DIGITIZED, TAG_SUBSEC_DIGITIZED, TAG_OFFSET_DIGITIZED},
    };
    for (int i = 0; i < 2; i++) {
        char text[TEXT_MAX];
        int64_t time_ms, offset_ms;
        if (!text_of(data, tags[i][0], text) || (time_ms = time_of(text)) < 0)
            continue;
        record->capture_ms = time_ms;
        int ms = text_of(data, tags[i][1], text) ? subsec_of(text) : -1;
        if (ms >= 0) {
            record->has_subsec = true;
            record->capture_ms += ms;
        }
        if (text_of(data, tags[i][2], text) && offset_of(text, &offset_ms)) {
            record->has_offset = true;
            record->capture_ms -= offset_ms;
        }
        return;
    }
}

static int set_text(char **to, const char *text, struct pf_error *err)
{
    if (!text[0])
        return 0;
    *to = strdup(text);
    return *to ? 0 : pf_fail(err, ENOMEM, "out of memory for a frame record");
}

static int take_exif(ExifData *data, struct pf_record *record, struct pf_error *err)
{
    static const struct {
        int tag;
        size_t member;
    } texts[] = {
        {TAG_MAKE, offsetof(struct pf_record, make)},
        {TAG_MODEL, offsetof(struct pf_record, model)},
        {TAG_BODY_SERIAL, offsetof(struct pf_record, serial)},
        {TAG_LENS_MODEL, offsetof(struct pf_record, lens)},
    };
    char software[TEXT_MAX];
    record->made_here = text_of(data, TAG_SOFTWARE, software) && !strcmp(software, PF_SOFTWARE);
    take_time(data, record);
    double number;
    if (number_of(data, TAG_ORIENTATION, &number) && number >= 1 && number <= 8)
        record->orientation = (int)number;
    if (number_of(data, TAG_FOCAL_LENGTH, &number))
        record->focal_mm = number;
    if (number_of(data, TAG_F_NUMBER, &number))
        record->f_number = number;
    if (number_of(data, TAG_EXPOSURE_TIME, &number))
        record->exposure_s = number;
    if (number_of(data, TAG_ISO, &number) || number_of(data, TAG_RW2_ISO, &number))
        record->iso = (int64_t)number;
    if (record->iso == 65535 && (number_of(data, TAG_EXPOSURE_INDEX, &number) ||
                                 number_of(data, TAG_RW2_LONG_ISO, &number)))
        record->iso = (int64_t)number;
    int r = 0;
    for (size_t i = 0; !r && i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[TEXT_MAX];
        if (text_of(data, texts[i].tag, text))
            r = set_text((char **)((char *)record + texts[i].member), text, err);
    }
    return r;
}

static void reset(struct pf_record *record)
{
    char **texts[] = {&record->make, &record->model, &record->serial, &record->lens,
                      &record->burst_id};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
    record->orientation = 1;
    record->capture_ms = record->sequence = -1;
    record->has_subsec = record->has_offset = record->made_here = false;
    record->focal_mm = record->f_number = record->exposure_s = 0;
    record->iso = 0;
}

int pf_metadata_read(struct pf_bytes *bytes, const struct pf_whole *whole, struct pf_record *record,
                     struct pf_error *err)
{
    reset(record);
    if (whole->exif_at < 0)
        return 0;
    uint8_t *block = NULL;
    size_t block_bytes = 0;
    int r = pf_exif_block_read(bytes, whole, &block, &block_bytes, err);
    if (r == -ENODATA)
        return 0; /* none that could be read */
    if (r < 0)
        return r;
    ExifData *data = exif_data_new();
    if (!data) {
        r = pf_fail(err, ENOMEM, "out of memory for EXIF");
    } else {
        /* As they stand: no tags added, dropped or put right by the library. */
        exif_data_unset_option(data, EXIF_DATA_OPTION_IGNORE_UNKNOWN_TAGS);
        exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
        exif_data_load_data(data, block, (unsigned)block_bytes);
        r = take_exif(data, record, err);
        exif_data_unref(data);
    }
    free(block);

    struct pf_makernote note;
    pf_makernote_read(bytes, whole->exif_at, &note);
    record->sequence = note.sequence;
    if (!r)
        r = set_text(&record->burst_id, note.burst_id, err);
    if (!r && !record->lens)
        r = set_text(&record->lens, note.lens, err);
    if (!r && !record->serial)
        r = set_text(&record->serial, note.serial, err);
    /* Tags that could not be read are no tags that are not there: the frame would join another burst. */
    if (!r && bytes->error)
        r = pf_fail_errno(err, -bytes->error, "reading EXIF");
    return r;
}
