/* The scout: which cameras are connected, told at once when one comes or goes.
 *
 * Capture process of its own (`parfocal capture cameras`), main thread; opens no camera. USB devices
 * that udev calls cameras (ID_GPHOTO2, from libgphoto2's rules) are heard of as they come; all are looked
 * through now and then as well, for events get lost, and with libgphoto2's own detection, which is the
 * only way where no udev runs (a container). Cameras by PTP/IP are not found: they are named in the
 * configuration.
 * Tells {"event":"cameras", "found":[{"port":"usb:001,004","model":...}]} at first and at each change.
 * Source: libudev(3), libgphoto2 2.5.30.
 */
#ifndef PF_SCOUT_H
#define PF_SCOUT_H

#include "config/base/error.h"
#include "config/settings.h"

#define PF_SCOUT_SOURCE "cameras"

/* Until the input ends. */
int pf_scout_run(const struct pf_settings *settings, struct pf_error *err);

#endif
