/* What LibRaw 0.20 takes from a file without a look, and ends the process by.
 *
 * It appends to the name of a camera, of which it has read up to 63 characters, in a buffer of 64. And it divides
 * by the widths of the slices of a Canon's picture. Both are seen here as LibRaw comes to them, wherever in the
 * file it does: what no camera writes ends the opening of the file.
 *
 * Called by LibRaw in the thread that opens a file.
 */
#ifndef PF_RAW_GUARD_H
#define PF_RAW_GUARD_H

#include <libraw/libraw_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For libraw_set_exifparser_handler(); context: a const char *, set to what is wrong, a static text. The opening
 * then fails with LIBRAW_IO_ERROR. */
void pf_raw_guard(void *context, int tag, int type, int length, unsigned order, void *stream,
                  INT64 base);

#ifdef __cplusplus
}
#endif

#endif
