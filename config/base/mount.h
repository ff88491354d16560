/* The file system that a path lies on.
 *
 * Callable from any process and thread; touches the path (may block on a dead mount). Linux only:
 * statx(2) with the mount's number, /proc/self/mountinfo.
 */
#ifndef PF_MOUNT_H
#define PF_MOUNT_H

#include <stdint.h>

#include "config/base/error.h"

struct pf_mount {
    uint64_t magic;   /* f_type of statfs(2) */
    char type[64];    /* as in mountinfo: "ext4", "nfs4", "fuse.sshfs"; "" unknown */
    char point[4096]; /* where it is mounted, "" unknown */
};

/* errno of open, statfs, statx. An unknown type is no error. */
int pf_mount_of(const char *path, struct pf_mount *ret, struct pf_error *err);

#endif
