#include <libexif/exif-data.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/gen/picture.h"

void pf_gen_exif_time(const struct pf_gen_exif *exif, char text[20])
{
    time_t seconds = (time_t)(exif->time_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, 20, "%Y:%m:%d %H:%M:%S", &parts);
}

/* An entry with room for `size` bytes; libexif frees them with the default allocator. */
static ExifEntry *add(ExifData *data, ExifIfd ifd, ExifTag tag, ExifFormat format,
                      unsigned components, unsigned size)
{
    ExifEntry *entry = exif_entry_new();
    if (!entry)
        return NULL;
    entry->tag = tag;
    exif_content_add_entry(data->ifd[ifd], entry);
    entry->format = format;
    entry->components = components;
    entry->size = size;
    entry->data = calloc(1, size ? size : 1);
    if (!entry->data)
        entry->size = entry->components = 0;
    exif_entry_unref(entry);
    return entry->data ? entry : NULL;
}

static void add_text(ExifData *data, ExifIfd ifd, ExifTag tag, const char *text)
{
    if (!text)
        return;
    unsigned size = (unsigned)strlen(text) + 1;
    ExifEntry *entry = add(data, ifd, tag, EXIF_FORMAT_ASCII, size, size);
    if (entry)
        memcpy(entry->data, text, size);
}

static void add_short(ExifData *data, ExifIfd ifd, ExifTag tag, int value)
{
    ExifEntry *entry = add(data, ifd, tag, EXIF_FORMAT_SHORT, 1, 2);
    if (entry)
        exif_set_short(entry->data, exif_data_get_byte_order(data), (ExifShort)value);
}

static void add_long(ExifData *data, ExifIfd ifd, ExifTag tag, int value)
{
    ExifEntry *entry = add(data, ifd, tag, EXIF_FORMAT_LONG, 1, 4);
    if (entry)
        exif_set_long(entry->data, exif_data_get_byte_order(data), (ExifLong)value);
}

static void add_ratio(ExifData *data, ExifTag tag, double value)
{
    if (value <= 0)
        return;
    ExifEntry *entry = add(data, EXIF_IFD_EXIF, tag, EXIF_FORMAT_RATIONAL, 1, 8);
    ExifRational ratio = {(ExifLong)lrint(value * 10), 10};
    if (value < 1 && fabs(1 / value - round(1 / value)) < 1e-3)
        ratio = (ExifRational){1, (ExifLong)lrint(1 / value)};
    else if (value < 1)
        ratio = (ExifRational){(ExifLong)lrint(value * 1e6), 1000000};
    if (entry)
        exif_set_rational(entry->data, exif_data_get_byte_order(data), ratio);
}

uint8_t *pf_gen_exif_block(const struct pf_gen_exif *exif, int width, int height,
                           unsigned *ret_size_bytes)
{
    ExifData *data = exif_data_new();
    if (!data)
        return NULL;
    exif_data_set_byte_order(data, EXIF_BYTE_ORDER_INTEL);
    char time[20], subsec[8];
    pf_gen_exif_time(exif, time);
    snprintf(subsec, sizeof(subsec), "%03d", (int)(exif->time_ms % 1000));
    add_text(data, EXIF_IFD_0, EXIF_TAG_MAKE, exif->make);
    add_text(data, EXIF_IFD_0, EXIF_TAG_MODEL, exif->model);
    add_short(data, EXIF_IFD_0, EXIF_TAG_ORIENTATION, exif->orientation);
    add_text(data, EXIF_IFD_0, EXIF_TAG_DATE_TIME, time);
    add_ratio(data, EXIF_TAG_EXPOSURE_TIME, exif->exposure_s);
    add_ratio(data, EXIF_TAG_FNUMBER, exif->f_number);
    if (exif->iso > 0)
        add_short(data, EXIF_IFD_EXIF, EXIF_TAG_ISO_SPEED_RATINGS, exif->iso);
    add_text(data, EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, time);
    add_text(data, EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_DIGITIZED, time);
    add_text(data, EXIF_IFD_EXIF, EXIF_TAG_OFFSET_TIME_ORIGINAL, exif->offset);
    if (exif->subsec)
        add_text(data, EXIF_IFD_EXIF, EXIF_TAG_SUB_SEC_TIME_ORIGINAL, subsec);
    add_ratio(data, EXIF_TAG_FOCAL_LENGTH, exif->focal_mm);
    add_long(data, EXIF_IFD_EXIF, EXIF_TAG_PIXEL_X_DIMENSION, width);
    add_long(data, EXIF_IFD_EXIF, EXIF_TAG_PIXEL_Y_DIMENSION, height);
    add_text(data, EXIF_IFD_EXIF, EXIF_TAG_BODY_SERIAL_NUMBER, exif->serial);
    add_text(data, EXIF_IFD_EXIF, EXIF_TAG_LENS_MODEL, exif->lens);
    uint8_t *bytes = NULL;
    exif_data_save_data(data, &bytes, ret_size_bytes);
    exif_data_unref(data);
    return bytes;
}
