/* A camera as a source of frames: owns one camera through libgphoto2, fetches what is shot.
 *
 * Capture process, main thread; everything libgphoto2 does happens here, in one thread, since a
 * second one on the same camera is refused, and so that a library that hangs takes nothing with it:
 * the service ends this process when it has been silent for too long.
 *
 * How it thinks. Events are hints, the card is the truth. An event names a file, which is fetched
 * into the spool: under a temporary name, synced, looked at (capture/frame.h), renamed, its
 * directory synced, and then told as a frame record like that of a folder. After every error the
 * link is closed and opened anew, and the card is listed and compared with what is known
 * (capture/card.h): libgphoto2 2.5.30 keeps its lists for as long as a camera is open, so that
 * opening anew is the only way to see what an event has not said. The free space of the card tells
 * cheaply when that is worth it: it shrinks by more than the files that were announced.
 *
 *     not connected -> connected, card compared -> not connected ...    back-off 0.5 to 30 s
 *
 * Files stay on the card unless `delete_from_card` is set; then one is deleted after the service has
 * said that it is recorded, and the card is asked whether it is gone. Only what this process has fetched is
 * deleted: what looks like a picture that the spool has is fetched once more and compared with it.
 * Sources: libgphoto2 2.5.30 (gphoto2-camera.h, camlibs/ptp2).
 */
#ifndef PF_CAMERA_H
#define PF_CAMERA_H

#include <stddef.h>

#include "config/base/error.h"
#include "config/settings.h"

/* Runs until the input ends or SIGTERM or SIGINT comes (0: it has ended in order), or it cannot go on. `source`: as configured, "camera[:WHICH]". */
int pf_camera_run(const struct pf_settings *settings, const char *source, struct pf_error *err);

#endif
