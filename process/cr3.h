/* Canon's CR3 before LibRaw sees it: where its metadata are, and whether its pictures can be.
 *
 * Used by process/codec_raw.c, any thread. LibRaw 0.20 decodes the planes of a CR3 in parallel and
 * ends the process when one of them goes on beyond the end of the file, as it does when their headers
 * are senseless: so both are looked at before. Nothing in the file is trusted.
 * Sources: ISO/IEC 14496-12, github.com/lclevy/canon_cr3.
 */
#ifndef PF_CR3_H
#define PF_CR3_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/bytes.h"
#include "config/base/error.h"

struct pf_cr3 {
    /* Where the TIFF structures are whose first directory is what would be the first, the EXIF and
     * the GPS directory of an EXIF block; 0: there is none. */
    int64_t metadata_at[3];
    uint64_t width, height; /* of its largest picture; 0: it has none */
};

bool pf_cr3_is(const uint8_t head[12]);

/* `path`: for error texts. -EBADMSG: it breaks off or is damaged; -ENOTSUP: a kind of compression that
 * LibRaw does not know; errno of pread(2). */
int pf_cr3_look(struct pf_bytes *bytes, const char *path, struct pf_cr3 *ret, struct pf_error *err);

#endif
