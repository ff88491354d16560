/* What a maker's note says of a shot's place in a sequence, and of lens and body.
 *
 * Capture process, any thread. libexif loads some of these notes, but gives their values out as text
 * rendered for people, and nothing for the tags wanted here; so the few tags are read directly, with
 * bounded reads, and a note that makes no sense says nothing.
 * Source for layouts and tags: the tag tables of ExifTool.
 */
#ifndef PF_MAKERNOTE_H
#define PF_MAKERNOTE_H

#include <stdint.h>

#include "capture/bytes.h"

struct pf_makernote {
    char lens[128], serial[64]; /* empty: unknown */
    char burst_id[64];          /* Apple BurstUUID; empty: none */
    int64_t sequence;           /* shot number within the sequence, from 1; -1: none */
};

/* exif_at: where the TIFF header of the EXIF block stands in the file. */
void pf_makernote_read(struct pf_bytes *bytes, int64_t exif_at, struct pf_makernote *ret);

#endif
