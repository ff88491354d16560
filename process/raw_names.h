/* Names of cameras that LibRaw has no room for.
 *
 * LibRaw 0.20 appends to the name of a camera, of which it has read up to 63 characters, in a buffer of 64: a
 * file whose name is as long as that ends the process. Names are seen here as LibRaw comes to them, wherever
 * in the file it does, and one that is longer than any camera's ends the opening of the file.
 *
 * Called by LibRaw in the thread that opens a file.
 */
#ifndef PF_RAW_NAMES_H
#define PF_RAW_NAMES_H

#include <libraw/libraw_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For libraw_set_exifparser_handler(); context: a bool, set when a name is too long. The opening then fails
 * with LIBRAW_IO_ERROR. */
void pf_raw_names(void *context, int tag, int type, int length, unsigned order, void *stream,
                  INT64 base);

#ifdef __cplusplus
}
#endif

#endif
