/* The formats behind pf_whole_check(); used by capture/whole*.c only.
 *
 * Each is called with the format's signature in place, fills the result and returns 0, or errno of
 * pread(2).
 */
#ifndef PF_WHOLE_INTERNAL_H
#define PF_WHOLE_INTERNAL_H

#include "capture/whole.h"

/* Sets state and reason; returns 0. */
int pf_whole_say(struct pf_whole *whole, enum pf_whole_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The picture's data, from the first of them to the last, lie in [at, end): notes whether they look as if
 * they were still to be written. -ENODATA: they are not all there; errno of pread(2). */
int pf_whole_data(struct pf_bytes *bytes, struct pf_whole *whole, int64_t at, int64_t end);

/* The EXIF segment of a JPEG that stands in another file: notes where it is. False when there is none. */
bool pf_whole_jpeg_exif(struct pf_bytes *bytes, int64_t at, struct pf_whole *whole);

int pf_whole_jpeg(struct pf_bytes *bytes, struct pf_whole *whole);
int pf_whole_png(struct pf_bytes *bytes, struct pf_whole *whole);
int pf_whole_tiff(struct pf_bytes *bytes, struct pf_whole *whole); /* and RAW of that shape */
int pf_whole_cr3(struct pf_bytes *bytes, struct pf_whole *whole);
int pf_whole_raf(struct pf_bytes *bytes, struct pf_whole *whole);

#endif
