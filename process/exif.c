#include "process/exif.h"

#include <errno.h>
#include <libexif/exif-utils.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/version.h"
#include "process/exif_entry.h"

static const char header[6] = {'E', 'x', 'i', 'f', 0, 0};
#define BLOCK_MAX (65533 - sizeof(header)) /* what fits into one APP1 segment */

ExifData *pf_exif_parse(const struct pf_blob *exif)
{
    ExifData *data = exif_data_new();
    if (!data)
        return NULL;
    /* libexif would otherwise add tags it thinks are missing and drop those it does not know. */
    exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
    exif_data_unset_option(data, EXIF_DATA_OPTION_IGNORE_UNKNOWN_TAGS);
    if (exif->bytes && exif->size_bytes >= 8 && exif->size_bytes <= UINT32_MAX - sizeof(header)) {
        uint8_t *with_header = malloc(sizeof(header) + exif->size_bytes);
        if (!with_header) {
            exif_data_unref(data);
            return NULL;
        }
        memcpy(with_header, header, sizeof(header));
        memcpy(with_header + sizeof(header), exif->bytes, exif->size_bytes);
        exif_data_load_data(data, with_header, (unsigned)(sizeof(header) + exif->size_bytes));
        free(with_header);
    }
    return data;
}

/* The first SHORT of an entry; -1 none. */
static int short_of(ExifData *data, ExifIfd ifd, ExifTag tag)
{
    const ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], tag);
    if (!entry || entry->format != EXIF_FORMAT_SHORT || entry->components < 1 || entry->size < 2)
        return -1;
    return exif_get_short(entry->data, exif_data_get_byte_order(data));
}

int pf_exif_orientation(const struct pf_blob *exif)
{
    ExifData *data = exif->bytes ? pf_exif_parse(exif) : NULL;
    int value = data ? short_of(data, EXIF_IFD_0, EXIF_TAG_ORIENTATION) : 1;
    if (data)
        exif_data_unref(data);
    return value >= 1 && value <= 8 ? value : 1;
}

bool pf_exif_is_adobe_rgb(const struct pf_blob *exif)
{
    enum { UNCALIBRATED = 0xffff, ADOBE_RGB = 2 };
    ExifData *data = exif->bytes ? pf_exif_parse(exif) : NULL;
    if (!data)
        return false;
    int space = short_of(data, EXIF_IFD_EXIF, EXIF_TAG_COLOR_SPACE);
    const ExifEntry *index = exif_content_get_entry(data->ifd[EXIF_IFD_INTEROPERABILITY],
                                                    EXIF_TAG_INTEROPERABILITY_INDEX);
    bool optional = index && index->size >= 3 && memcmp(index->data, "R03", 3) == 0;
    exif_data_unref(data);
    return space == ADOBE_RGB || (space == UNCALIBRATED && optional);
}

bool pf_exif_put(ExifData *data, ExifIfd ifd, ExifTag tag, ExifFormat format, uint32_t components,
                 const void *bytes, size_t size)
{
    ExifContent *content = data->ifd[ifd];
    ExifEntry *old = exif_content_get_entry(content, tag);
    if (old)
        exif_content_remove_entry(content, old);

    ExifMem *memory = exif_mem_new_default();
    ExifEntry *entry = memory ? exif_entry_new_mem(memory) : NULL;
    void *copy = entry ? exif_mem_alloc(memory, (ExifLong)size) : NULL;
    if (copy) {
        memcpy(copy, bytes, size);
        entry->tag = tag;
        entry->format = format;
        entry->components = components;
        entry->data = copy;
        entry->size = (unsigned)size;
        exif_content_add_entry(content, entry);
    }
    if (entry)
        exif_entry_unref(entry);
    if (memory)
        exif_mem_unref(memory);
    return copy != NULL;
}

static bool put_short(ExifData *data, ExifIfd ifd, ExifTag tag, uint16_t value)
{
    unsigned char bytes[2];
    exif_set_short(bytes, exif_data_get_byte_order(data), value);
    return pf_exif_put(data, ifd, tag, EXIF_FORMAT_SHORT, 1, bytes, sizeof(bytes));
}

static bool put_long(ExifData *data, ExifIfd ifd, ExifTag tag, uint32_t value)
{
    unsigned char bytes[4];
    exif_set_long(bytes, exif_data_get_byte_order(data), value);
    return pf_exif_put(data, ifd, tag, EXIF_FORMAT_LONG, 1, bytes, sizeof(bytes));
}

static void remove_tag(ExifData *data, ExifIfd ifd, ExifTag tag)
{
    ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], tag);
    if (entry)
        exif_content_remove_entry(data->ifd[ifd], entry);
}

static void remove_thumbnail(ExifData *data)
{
    if (data->data) {
        ExifMem *memory = exif_mem_new_default();
        if (memory) {
            exif_mem_free(memory, data->data);
            exif_mem_unref(memory);
        }
        data->data = NULL;
        data->size = 0;
    }
    ExifContent *content = data->ifd[EXIF_IFD_1];
    while (content->count)
        exif_content_remove_entry(content, content->entries[0]);
}

/* Serialises; a block over the limit of an APP1 segment is tried again without its maker note.
 * Returns an empty block when it cannot be made to fit. */
int pf_exif_save(ExifData *data, struct pf_blob *ret, struct pf_error *err)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        unsigned char *bytes = NULL;
        unsigned size = 0;
        exif_data_save_data(data, &bytes, &size);
        if (bytes && size > sizeof(header) && size <= BLOCK_MAX) {
            ret->size_bytes = size - sizeof(header);
            ret->bytes = malloc(ret->size_bytes);
            if (ret->bytes)
                memcpy(ret->bytes, bytes + sizeof(header), ret->size_bytes);
            else
                ret->size_bytes = 0;
            free(bytes);
            return ret->bytes ? 0 : pf_fail(err, ENOMEM, "out of memory for an EXIF block");
        }
        free(bytes);
        remove_tag(data, EXIF_IFD_EXIF, EXIF_TAG_MAKER_NOTE);
    }
    ret->bytes = NULL;
    ret->size_bytes = 0;
    return 0;
}

int pf_exif_set_srgb(struct pf_blob *exif, struct pf_error *err)
{
    enum { SRGB = 1 };
    ExifData *data = exif->bytes ? pf_exif_parse(exif) : NULL;
    struct pf_blob with = {0};
    int r = exif->bytes && !data ? pf_fail(err, ENOMEM, "out of memory for an EXIF block") : 0;
    if (!data || short_of(data, EXIF_IFD_EXIF, EXIF_TAG_COLOR_SPACE) < 0)
        goto end;
    remove_tag(data, EXIF_IFD_INTEROPERABILITY, EXIF_TAG_INTEROPERABILITY_INDEX);
    r = put_short(data, EXIF_IFD_EXIF, EXIF_TAG_COLOR_SPACE, SRGB)
            ? pf_exif_save(data, &with, err)
            : pf_fail(err, ENOMEM, "out of memory for an EXIF block");
    if (r == 0 && with.bytes) {
        free(exif->bytes);
        *exif = with;
    }
end:
    if (data)
        exif_data_unref(data);
    return r;
}

/* Of a picture stored otherwise, and often turned otherwise, than the output. */
static void remove_layout(ExifData *data)
{
    static const ExifTag layout[] = {
        EXIF_TAG_NEW_SUBFILE_TYPE,     EXIF_TAG_IMAGE_WIDTH,
        EXIF_TAG_IMAGE_LENGTH,         EXIF_TAG_BITS_PER_SAMPLE,
        EXIF_TAG_COMPRESSION,          EXIF_TAG_PHOTOMETRIC_INTERPRETATION,
        EXIF_TAG_STRIP_OFFSETS,        EXIF_TAG_SAMPLES_PER_PIXEL,
        EXIF_TAG_ROWS_PER_STRIP,       EXIF_TAG_STRIP_BYTE_COUNTS,
        EXIF_TAG_PLANAR_CONFIGURATION, EXIF_TAG_SUB_IFDS,
    };
    for (size_t i = 0; i < sizeof(layout) / sizeof(layout[0]); i++)
        remove_tag(data, EXIF_IFD_0, layout[i]);
}

int pf_exif_for_output(const struct pf_blob *exif, int width, int height, struct pf_blob *ret,
                       struct pf_error *err)
{
    static const char software[] = PF_SOFTWARE;
    ExifData *data = pf_exif_parse(exif);
    if (!data)
        return pf_fail(err, ENOMEM, "out of memory for an EXIF block");

    remove_thumbnail(data);
    remove_layout(data);
    /* Most maker notes hold offsets into the file they came from; libexif moves those it knows. */
    if (!exif_data_get_mnote_data(data))
        remove_tag(data, EXIF_IFD_EXIF, EXIF_TAG_MAKER_NOTE);

    bool ok = put_short(data, EXIF_IFD_0, EXIF_TAG_ORIENTATION, 1) &&
              pf_exif_put(data, EXIF_IFD_0, EXIF_TAG_SOFTWARE, EXIF_FORMAT_ASCII, sizeof(software),
                          software, sizeof(software)) &&
              put_long(data, EXIF_IFD_EXIF, EXIF_TAG_PIXEL_X_DIMENSION, (uint32_t)width) &&
              put_long(data, EXIF_IFD_EXIF, EXIF_TAG_PIXEL_Y_DIMENSION, (uint32_t)height);
    int r = ok ? pf_exif_save(data, ret, err) : pf_fail(err, ENOMEM, "out of memory for EXIF");
    exif_data_unref(data);
    return r;
}
