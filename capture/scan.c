#include "capture/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/array.h"
#include "config/base/file.h"

struct walk {
    const struct pf_scan_handlers *handlers;
    void *context;
    bool recursive;
    char **folders; /* still to be walked; owned */
    size_t count, capacity;
};

static int push(struct walk *walk, char *path)
{
    char **folders = pf_with_room(walk->folders, &walk->capacity, walk->count, 1, sizeof(*folders));
    if (!folders)
        return -ENOMEM;
    walk->folders = folders;
    walk->folders[walk->count++] = path;
    return 0;
}

static bool has_vanished(int code)
{
    return code == ENOENT || code == ENOTDIR || code == ELOOP || code == ESTALE;
}

static int visit_entry(struct walk *walk, const char *folder, int fd, const struct dirent *entry)
{
    const char *name = entry->d_name;
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return 0;
    bool may_be_folder = (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) &&
                         walk->recursive && pf_name_is_folder(name);
    bool may_be_file =
        entry->d_type == DT_REG || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
    enum pf_name_kind kind = pf_name_kind(name);
    if (!may_be_folder && (!may_be_file || kind == PF_NAME_FOREIGN))
        return 0;

    char *path = pf_path_join(folder, name);
    if (!path)
        return -ENOMEM;
    struct stat st = {.st_mode = 0};
    int r = 0;
    if (entry->d_type != DT_DIR) {
        int flags = entry->d_type == DT_LNK ? 0 : AT_SYMLINK_NOFOLLOW;
        if (fstatat(fd, name, &st, flags) < 0 ||
            (S_ISLNK(st.st_mode) && fstatat(fd, name, &st, 0) < 0)) {
            if (!has_vanished(errno) && kind != PF_NAME_FOREIGN)
                walk->handlers->trouble(walk->context, path, false, errno);
            st.st_mode = 0;
        } else if (entry->d_type == DT_LNK && S_ISDIR(st.st_mode)) {
            st.st_mode = 0;
        }
    }
    if (may_be_folder && (entry->d_type == DT_DIR || S_ISDIR(st.st_mode))) {
        r = push(walk, path);
        if (!r)
            return 0;
    } else if (S_ISREG(st.st_mode) && kind != PF_NAME_FOREIGN) {
        walk->handlers->file(walk->context, path, kind, &st);
    }
    free(path);
    return r;
}

/* 0, -ENOMEM, or the errno that kept the folder closed. */
static int visit_folder(struct walk *walk, const char *path, bool follow)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    if (!walk->handlers->folder(walk->context, path, fd, &st)) {
        close(fd);
        return 0;
    }
    DIR *directory = fdopendir(fd);
    if (!directory) {
        close(fd);
        return -ENOMEM;
    }
    int r = 0;
    const struct dirent *entry;
    errno = 0;
    while (!r && (entry = readdir(directory))) {
        r = visit_entry(walk, path, dirfd(directory), entry);
        errno = 0;
    }
    if (!r && errno)
        r = -errno;
    closedir(directory);
    return r;
}

int pf_scan(const char *root, bool follow, bool recursive, const struct pf_scan_handlers *handlers,
            void *context, struct pf_error *err)
{
    struct walk walk = {.handlers = handlers, .context = context, .recursive = recursive};
    int r = visit_folder(&walk, root, follow);
    if (r == -ENOMEM)
        pf_fail(err, ENOMEM, "out of memory for a scan of %s", root);
    else if (r < 0 && has_vanished(-r))
        pf_fail_errno(err, -r, "folder %s", root);
    else if (r < 0) {
        handlers->trouble(context, root, true, -r);
        r = 0;
    }
    while (walk.count) {
        char *path = walk.folders[--walk.count];
        int one = r ? 0 : visit_folder(&walk, path, false);
        if (one == -ENOMEM)
            r = pf_fail(err, ENOMEM, "out of memory for a scan of %s", path);
        else if (one < 0 && !has_vanished(-one))
            handlers->trouble(context, path, true, -one);
        free(path);
    }
    free(walk.folders);
    return r;
}
