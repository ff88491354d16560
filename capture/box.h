/* The boxes that ISO base media files consist of, Canon's CR3 among them.
 *
 * Capture and process, any thread. Nothing that a box says of itself is trusted.
 * Source: ISO/IEC 14496-12.
 */
#ifndef PF_BOX_H
#define PF_BOX_H

#include "capture/bytes.h"

/* The uuid of the box in which Canon keeps the metadata. */
#define PF_BOX_CANON "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48"

struct pf_box {
    char type[4];
    int64_t at, body_at, end; /* end: may be beyond what is there */
    bool open_ended;          /* does not say where it ends */
};

/* The box at `at`; one that is open-ended ends with what contains it, at `end`. -ENODATA: its head is
 * not all there; -EBADMSG: it says that it is smaller than its head; -EFBIG: larger than any file;
 * errno of pread(2). */
int pf_box_read(struct pf_bytes *bytes, int64_t at, int64_t end, struct pf_box *ret);

#endif
