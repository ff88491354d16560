/* EXIF of a whole image file, taken into the frame record.
 *
 * Capture process, any thread. libexif reads the block of a JPEG (APP1; also the one that a RAF
 * carries) or PNG (eXIf). A TIFF-shaped file is its own block: "Exif\0\0" is put before its head,
 * or, when its directories lie further behind than an EXIF block may be long, before a block made
 * of the tags that are wanted; so it is for ORF, RW2 and the pieces of a CR3. Only bounded pieces
 * of the file are read. What is absent or makes no sense stays unknown; metadata never keeps a
 * frame out.
 * Source: EXIF 2.32 (CIPA DC-008).
 */
#ifndef PF_METADATA_H
#define PF_METADATA_H

#include "capture/bytes.h"
#include "capture/record.h"
#include "capture/whole.h"
#include "config/base/error.h"

/* Sets orientation, capture time, camera, lens, exposure, sequence and made_here of `record`, all of
 * them, whatever they held (texts are freed first). -ENOMEM, or errno of pread(2). */
int pf_metadata_read(struct pf_bytes *bytes, const struct pf_whole *whole, struct pf_record *record,
                     struct pf_error *err);

#endif
