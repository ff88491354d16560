#include "config/base/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/base/file.h"

#define NAME_MOST 64
#define NEW       ".new" /* behind a socket's name, as long as nobody listens at it */

/* By the descriptor of its directory, which is returned. */
static int name_of(const char *path, struct sockaddr_un *ret, struct pf_error *err)
{
    char *directory = pf_path_directory(path);
    int fd = directory ? open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    free(directory);
    if (fd < 0)
        return pf_fail_errno(err, errno, "%s", path);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t length = (size_t)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%.64s",
                                     fd, pf_base_name(path));
    if (length + sizeof(NEW) > sizeof(ret->sun_path) || strlen(pf_base_name(path)) > NAME_MOST) {
        close(fd);
        return pf_fail(err, ENAMETOOLONG, "%s", path);
    }
    return fd;
}

int pf_local_connect(const char *path, struct pf_error *err)
{
    struct sockaddr_un name;
    int r = 0, directory = name_of(path, &name, err);
    if (directory < 0)
        return directory;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&name, sizeof(name)) < 0)
        r = pf_fail_errno(err, errno, "%s", path);
    close(directory);
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
}

/* Whether what lies there, if anything, may be replaced. */
static bool is_free(const char *path, const char *name, enum pf_local_socket_kind kind)
{
    struct stat st;
    if (lstat(name, &st) < 0)
        return true;
    if (!S_ISSOCK(st.st_mode))
        return false;
    int other = kind == PF_LOCAL_SHARED ? pf_local_connect(path, NULL) : -1;
    if (other >= 0)
        close(other);
    return other < 0;
}

int pf_local_listen(const char *path, enum pf_local_socket_kind kind, int backlog,
                    struct pf_error *err)
{
    struct sockaddr_un name, made;
    struct stat st;
    int r = 0, directory = name_of(path, &name, err);
    if (directory < 0)
        return directory;
    made = name;
    strcat(made.sun_path, NEW);
    if (lstat(made.sun_path, &st) == 0 &&
        S_ISSOCK(st.st_mode)) /* of one that ended before it listened */
        unlink(made.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t mask = umask(kind == PF_LOCAL_OURS ? 077 : 007);
    if (fd < 0)
        r = pf_fail_errno(err, errno, "%s", path);
    else if (!is_free(path, name.sun_path, kind))
        r = pf_fail_errno(err, EADDRINUSE, "%s", path);
    else if (bind(fd, (struct sockaddr *)&made, sizeof(made)) < 0 || listen(fd, backlog) < 0 ||
             rename(made.sun_path, name.sun_path) < 0)
        r = pf_fail_errno(err, errno, "%s", path);
    umask(mask);
    close(directory);
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
}
