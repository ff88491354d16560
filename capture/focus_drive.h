/* Driving the focus of a camera: the settings that libgphoto2 2.5.30 has for it, maker by maker.
 *
 * Capture process, the thread that owns the camera. There is no absolute position: a step is
 * relative, and the way back is as many steps the other way. A step is in the maker's own measure:
 * the number of motor steps for Nikon, the size 1 to 3 (1 to 2 for Panasonic) of a step for those
 * who have sizes, 1 to 7 for Sony. Positive is towards far.
 */
#ifndef PF_FOCUS_DRIVE_H
#define PF_FOCUS_DRIVE_H

#include <gphoto2/gphoto2.h>
#include <stdbool.h>

#include "config/base/error.h"

struct pf_focus_maker;

/* How this camera's focus is driven. -ENOTSUP: it cannot be. */
int pf_focus_drive_find(Camera *camera, GPContext *context, const struct pf_focus_maker **ret,
                        struct pf_error *err);
/* -ERANGE: not by such a step; the text says which there are. */
int pf_focus_drive_check(const struct pf_focus_maker *maker, int step, struct pf_error *err);
const char *pf_focus_drive_name(const struct pf_focus_maker *maker); /* "manualfocusdrive", ... */
/* Whether a step is a number of motor steps, or one of some sizes; both go from 1 to *ret_most. */
bool pf_focus_drive_counts(const struct pf_focus_maker *maker, int *ret_most);

/* How many units of the maker's measure a step is: motor steps, or 1 where steps have sizes. */
int pf_focus_drive_units(const struct pf_focus_maker *maker, int step);

/* One step. A code of libgphoto2; GP_ERROR_CAMERA_ERROR at the end of the way. */
int pf_focus_drive_step(Camera *camera, GPContext *context, const struct pf_focus_maker *maker,
                        int step);

/* Live view on or off, where the camera has that setting and needs it for its focus. */
int pf_focus_drive_live_view(Camera *camera, GPContext *context, bool on);

#endif
