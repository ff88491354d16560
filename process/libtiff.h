/* What libtiff before 4.5 (Ubuntu 22.04) does otherwise: a TIFF is opened through callbacks, and what libtiff says
 * of it is told to whom it belongs.
 *
 * Worker process and `parfocal stack`; any thread, which reads or writes the file until it is closed and has no
 * other one open. The older one has handlers of the whole process alone, which know the file by its handle, and
 * no limit of a single allocation.
 */
#ifndef PF_LIBTIFF_H
#define PF_LIBTIFF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <tiffio.h>

struct pf_libtiff_calls {
    TIFFReadWriteProc read, write;
    TIFFSeekProc seek;
    TIFFCloseProc close;
    TIFFSizeProc size;
    void (*error)(thandle_t handle, const char *format, va_list args);
    void (*warning)(thandle_t handle, const char *module, const char *format,
                    va_list args); /* module may be NULL */
};

/* handle: what the callbacks get, borrowed until TIFFClose(); its first member is a pointer to `calls`. largest:
 * of one allocation, in bytes; 0: no limit. Returns 0 with *ret NULL where libtiff does not open it, which
 * `error` has been told; -ENOMEM. */
int pf_libtiff_open(TIFF **ret, const char *path, const char *mode, thandle_t handle,
                    int64_t largest);

/* Whether TIFFSetField() takes several rationals of such a field as double; else as float. */
bool pf_libtiff_is_wide(const TIFFField *field);

#endif
