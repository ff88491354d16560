/* The EXIF block of a file as libexif wants it: "Exif\0\0", then a TIFF structure below 64 KiB.
 *
 * Capture process, any thread. The block is the caller's to free.
 */
#ifndef PF_EXIF_BLOCK_H
#define PF_EXIF_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "capture/bytes.h"
#include "capture/whole.h"
#include "config/base/error.h"

/* -ENODATA when the file has none that can be read, -ENOMEM, errno of pread(2). */
int pf_exif_block_read(struct pf_bytes *bytes, const struct pf_whole *whole, uint8_t **ret,
                       size_t *ret_bytes, struct pf_error *err);

#endif
