/* The mount that the outbox lies on: it is missed when it is not there.
 *
 * Below a mount point there is a directory as well. A share that is not there at boot must not leave stacks on the local
 * disk, hidden as soon as it is mounted, nor make those on it look as if they had not been published. So what the
 * outbox lay on when it could be written last, and where that was mounted, is kept in a file of the state directory; who
 * removes that file says that the outbox has moved. What a unit mounts onto its own place (ReadWritePaths=) is no mount
 * of this kind: it is there without the share, too.
 *
 * Service process, the outbox's thread, and the doctor; touches the outbox, which may block.
 */
#ifndef PF_OUTBOX_MOUNT_H
#define PF_OUTBOX_MOUNT_H

#include <stdbool.h>

#include "config/base/error.h"
#include "config/base/mount.h"

/* note: that file, NULL: none is kept. Paths absolute. -ENODEV: what the outbox lay on is not mounted. What cannot be found out is no error. */
int pf_outbox_mount_check(const char *outbox, const char *note, struct pf_error *err);
/* Which one that is; false: none is missed. */
bool pf_outbox_mount_missed(const char *outbox, const char *note, struct pf_mount *ret);
/* The outbox can be written where it is now. That it cannot be noted is passed over: it is tried again. */
void pf_outbox_mount_keep(const char *outbox, const char *note);

#endif
