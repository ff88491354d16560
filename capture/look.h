/* Looking at a stranger's file (capture/frame.h) within memory and time that fit its size.
 *
 * Capture process, any thread.
 */
#ifndef PF_LOOK_H
#define PF_LOOK_H

#include "capture/frame.h"
#include "config/settings.h"

/* As pf_frame_look(). A file that leads its reader astray is refused memory, or ends the process by
 * SIGXCPU; not with `sandbox = no`. */
int pf_look(const struct pf_settings *settings, const char *path, const char *source,
            const struct pf_file_stamp *stamp, struct pf_frame *ret, struct pf_error *err);

#endif
