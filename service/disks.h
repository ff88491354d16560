/* Disks that are mounted within the folders of sources: one that is not there now is waited for.
 *
 * A file that is missing is gone, unless what it lay on is not mounted. A capture process tells what it sees mounted
 * beneath its root; that something was mounted there before, neither it nor a service that has begun anew can know. So
 * it is kept in a file of the state directory, from process to process and from start to start. It is forgotten when a
 * frame comes from there while nothing is mounted: that is an ordinary folder now.
 *
 * Service process, event loop thread. Paths are absolute.
 */
#ifndef PF_DISKS_H
#define PF_DISKS_H

#include <jansson.h>
#include <stdbool.h>

#include "config/base/error.h"

struct pf_disks;

/* file: where it is kept; copied. One that cannot be read is begun anew, which is logged. -ENOMEM. */
int pf_disks_new(struct pf_disks **ret, const char *file, struct pf_error *err);
struct pf_disks *pf_disks_free(struct pf_disks *disks); /* NULL-safe, returns NULL */

/* What a full scan of `source` has found: arrays of paths, of what is mounted, and of what was mounted before and is not;
 * borrowed, and NULL when memory ran out there. Kept durably where it is new; that it cannot be is logged, and tried
 * again with the next scan. */
void pf_disks_scanned(struct pf_disks *disks, const char *source, const json_t *mounted,
                      const json_t *away);

/* A source has a frame of this path. */
void pf_disks_used(struct pf_disks *disks, const char *path);

/* Whether path lies where something was mounted that is not there now: as far as any source has told, the same under
 * another name, too. root_length: of the folder of the source that speaks for the path, 0 none; whether that itself is
 * there is for it to say. */
bool pf_disks_lack(const struct pf_disks *disks, const char *path, size_t root_length);

#endif
