/* Which file systems inotify can see, and word of changed mounts.
 *
 * Capture process, one thread per object. inotify reports what this kernel does to its own inodes:
 * what another machine writes to a share, or what happens in the lower layers of FUSE and overlay
 * file systems, raises no event there.
 * Sources: statfs(2), linux/magic.h, proc_pid_mountinfo(5) (a change of mounts raises POLLPRI).
 */
#ifndef PF_MOUNTS_H
#define PF_MOUNTS_H

#include <sys/types.h>

/* Answers by device, so that a scan asks statfs once per file system. */
struct pf_mounts {
    struct {
        dev_t device;
        const char *blind;
    } known[16];
    int count;
};

/* Name of the kind of file system (static) if inotify is blind there, else NULL. fd is an open
 * directory on `device`. When it cannot be told, inotify is trusted. */
const char *pf_mounts_blind(struct pf_mounts *mounts, dev_t device, int fd);

/* Descriptor that polls POLLPRI whenever a mount has changed; -1 where there is none. */
int pf_mounts_open(void);

#endif
