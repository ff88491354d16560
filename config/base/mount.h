/* The file system that a path lies on.
 *
 * Callable from any process and thread; touches the path (may block on a dead mount). Linux only:
 * statx(2) with the mount's number, /proc/self/mountinfo.
 */
#ifndef PF_MOUNT_H
#define PF_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"

struct pf_mount {
    uint64_t magic;     /* f_type of statfs(2) */
    char type[64];      /* as in mountinfo: "ext4", "nfs4", "fuse.sshfs"; "" unknown */
    char point[4096];   /* where it is mounted, "" unknown */
    char root[4096];    /* what of its file system is mounted there; "/" for all of NFS */
    char source[1024];  /* "/dev/sda2", "server:/export" */
    char device[32];    /* the file system's number, until it is mounted anew */
    uint64_t id, above; /* the mount's number, and that of the one that the point lies in */
};

/* errno of open, statfs, statx. An unknown type is no error. */
int pf_mount_of(const char *path, struct pf_mount *ret, struct pf_error *err);

/* The same; the mount is where the file system begins: what is mounted onto its own place in another mount of the same
 * file system, as ReadWritePaths= of systemd.exec(5) does it, changes nothing of what lies there. */
int pf_mount_begin(const char *path, struct pf_mount *ret, struct pf_error *err);

/* That, for the mount of this number. table: as mountinfo. Pure; false: it is not in the table, or memory has run out. */
bool pf_mount_begin_in(const char *table, uint64_t id, struct pf_mount *ret);

/* The directory that is mounted here is seen there as well, at the same path: of a directory of NFS,
 * which tells "/" of each, that is taken for granted. Device and numbers are not compared. */
bool pf_mount_is_part(const struct pf_mount *mount, const struct pf_mount *above);

#endif
