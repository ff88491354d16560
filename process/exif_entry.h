/* Building an EXIF block entry by entry with libexif. Used by process/exif*.c only. */
#ifndef PF_EXIF_ENTRY_H
#define PF_EXIF_ENTRY_H

#include <libexif/exif-data.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"
#include "process/image.h"

/* Sets or replaces an entry; `bytes` are copied, in the block's byte order. false: no memory. */
bool pf_exif_put(ExifData *data, ExifIfd ifd, ExifTag tag, ExifFormat format, uint32_t components,
                 const void *bytes, size_t size);

/* Serialises into ret (the caller frees ret->bytes; empty when it cannot fit). -ENOMEM. */
int pf_exif_save(ExifData *data, struct pf_blob *ret, struct pf_error *err);

#endif
