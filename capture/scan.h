/* A walk through a folder and, if wanted, all folders beneath it.
 *
 * Capture process, one thread. Symbolic links to files are files; those to folders are not followed
 * (loops). No recursion and one open descriptor, however deep the tree is; order is the file
 * system's.
 */
#ifndef PF_SCAN_H
#define PF_SCAN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "capture/names.h"
#include "config/base/error.h"

struct pf_scan_handlers {
    /* A folder, opened and not yet read. False: leave it out. May be called again for the same. */
    bool (*folder)(void *context, const char *path, int fd, const struct stat *st);
    /* A regular file whose name is not foreign; `st` is the file's, not the link's. */
    void (*file)(void *context, const char *path, enum pf_name_kind kind, const struct stat *st);
    /* A folder or file that cannot be looked at; code is a positive errno. */
    void (*trouble)(void *context, const char *path, bool is_folder, int code);
};

/* Walks `root`, whose last component may be a symbolic link if `follow`. What vanishes meanwhile is
 * passed over. -ENOMEM; -ENOENT, -ENOTDIR, -ELOOP or -ESTALE when root itself is not there. */
int pf_scan(const char *root, bool follow, bool recursive, const struct pf_scan_handlers *handlers,
            void *context, struct pf_error *err);

#endif
