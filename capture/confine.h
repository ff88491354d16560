/* The sandbox of a process that talks to cameras.
 *
 * Capture process, main thread, before anything of libgphoto2's is called.
 */
#ifndef PF_CAPTURE_CONFINE_H
#define PF_CAPTURE_CONFINE_H

#include "config/base/error.h"

/* `own`: directories that it writes to, NULL-terminated, borrowed. `source` as configured, "" for any USB
 * camera. -ENODEV: not yet, for this machine has no USB, and so no camera. */
int pf_confine_camera(const char *source, const char *const *own, struct pf_error *err);

/* The device or the directory of them that is another one by now, and beyond this process; NULL: none.
 * Borrowed from `source`. */
const char *pf_confine_stale(const char *source);

#endif
