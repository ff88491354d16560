/* Sockets of this machine (AF_UNIX, stream) by their path, which may be of any length; a name is of 64 bytes at most.
 *
 * Callable from any process and thread but those of a program whose other threads make files: umask(2) is
 * changed for a moment. Descriptors are the caller's, and closed on exec.
 */
#ifndef PF_LOCAL_SOCKET_H
#define PF_LOCAL_SOCKET_H

#include <stdbool.h>

#include "config/base/error.h"

enum pf_local_socket_kind {
    PF_LOCAL_OURS, /* for this user, in a directory that one process alone holds: one that lies there is replaced */
    PF_LOCAL_SHARED, /* for the user's group as well; one that somebody answers at stays (-EADDRINUSE) */
};

/* A socket that listens and does not block. It has its name only when it listens: who sees it may connect. What lies at
 * `path` and is no socket stays (-EADDRINUSE). Errors else: -ENAMETOOLONG, those of open, bind and rename. */
int pf_local_listen(const char *path, enum pf_local_socket_kind kind, int backlog,
                    struct pf_error *err);

/* A connected socket, which blocks. Errors: those of open and connect. */
int pf_local_connect(const char *path, struct pf_error *err);

#endif
