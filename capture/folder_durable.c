/* What others have written into a folder, made durable before it is told: whoever dropped it (cp, a
 * browser, an SMB server) did not sync it, and with delayed allocation a power loss leaves a name and
 * nothing behind it. First what the files hold, then their names, by fsync of the folders.
 *
 * On a share there is nothing of this machine's to sync: what others wrote there is as durable as its
 * server makes it.
 *
 * A sync waits for the disk, also for a file that has long been on it (1 to 5 ms on a fast one). Where many
 * files wait for theirs, as at the first start on a full folder, one of the whole file system does for all of
 * them. Its errors are told since Linux 5.8, but not of which file: after one, each file is synced alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "capture/folder_internal.h"
#include "config/base/file.h"
#include "config/base/time.h"

enum {
    MANY = 16,        /* files that wait for a sync */
    SYNC_MS = 600000, /* for a disk, with all that others have written there */
    TICK_MS = 20,     /* a second write within a tick of the clock may not show in a file's stamp */
};

/* Whether the file system says that it cannot, rather than that it has failed. One that has shut itself
 * up after an error (ext4) says EROFS, too, where nobody has mounted it so. */
static bool cannot_sync(int fd, int code)
{
    struct statvfs fs;
    switch (code) {
    case EINVAL:
    case EBADF: /* SMB, of a file that is open to be read alone */
    case EACCES:
    case EPERM:
    case ENOTSUP:
    case ENOSYS:
        return true;
    case EROFS:
        return fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_RDONLY;
    default:
        return false;
    }
}

/* Once for a file, before the first sync of a disk of this machine: also that of one file may wait for all that
 * others have written. A share's server answers, or it hangs. */
static void say_syncing(struct pf_folder *folder, int fd)
{
    struct stat st;
    if (folder->by_hand || folder->said_syncing || fstat(fd, &st) < 0 ||
        pf_mounts_blind(&folder->mounts, st.st_dev, fd))
        return;
    folder->said_syncing = true;
    pf_folder_send(folder, json_pack("{s:s, s:i}", "event", "alive", "patience_ms", (int)SYNC_MS));
}

/* 0 or -errno. */
static int sync_fd(struct pf_folder *folder, int fd)
{
    int r;
    say_syncing(folder, fd);
    do
        r = fsync(fd);
    while (r < 0 && errno == EINTR);
    return r == 0 || cannot_sync(fd, errno) ? 0 : -errno;
}

/* 0, or -errno as well of opening it. */
static int sync_folder(struct pf_folder *folder, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) /* one that may be entered but not listed: so it has been found by its name */
        return errno == EACCES ? 0 : -errno;
    int r = sync_fd(folder, fd);
    close(fd);
    return r;
}

/* Of the file's folder and those above it, which may be as new, up to the root. */
static int sync_names(struct pf_folder *folder, const struct pf_file *file)
{
    int64_t now_ms = pf_monotonic_ms();
    char *path = pf_path_directory(file->path), *at = path ? strdup(path) : NULL;
    int r = at ? 0 : -ENOMEM;
    /* Its name was there when they were last synced, for another one. */
    if (!r && folder->named && !strcmp(folder->named, path) && file->changed_ms < folder->named_ms)
        goto out;
    while (!r && !(r = sync_folder(folder, at)) && strlen(at) > strlen(folder->root)) {
        char *slash = strrchr(at, '/');
        slash[slash == at] = '\0';
    }
    if (!r) {
        free(folder->named);
        folder->named = path;
        folder->named_ms = now_ms;
        path = NULL;
    }
out:
    free(at);
    free(path);
    return r;
}

/* All that was there before it began. False where it failed, or may not be all. */
static bool sync_file_system(struct pf_folder *folder, int fd, dev_t device)
{
    int64_t now_ms = pf_monotonic_ms();
    /* In user space (FUSE), for instance, it does not reach the disk. */
    if (folder->one_by_one || pf_mounts_blind(&folder->mounts, device, fd))
        return false;
    say_syncing(folder, fd);
    folder->one_by_one = syncfs(fd) < 0;
    if (folder->one_by_one)
        return false;
    folder->synced_ms = now_ms;
    folder->synced_device = device;
    return true;
}

static bool is_synced(const struct pf_folder *folder, const struct pf_file *file, dev_t device)
{
    return file->changed_ms + TICK_MS < folder->synced_ms && device == folder->synced_device;
}

/* *ret_same: it is still the file that was looked at. */
static int sync_file(struct pf_folder *folder, const struct pf_file *file, bool *ret_same)
{
    struct stat st;
    int fd = open(file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    if (!r) {
        struct pf_file_stamp stamp = pf_file_stamp_of(&st);
        *ret_same = pf_file_stamp_equal(&stamp, &file->stamp);
    }
    if (!r && *ret_same && !is_synced(folder, file, st.st_dev)) {
        bool many = pf_files_due(folder->files, folder->synced_ms, MANY) >= MANY;
        if (!many || !sync_file_system(folder, fd, st.st_dev))
            r = sync_fd(folder, fd);
        if (r <
            0) /* the kernel keeps what it could not write, and takes it for written from now on */
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    close(fd);
    return r;
}

void pf_folder_make_durable(struct pf_folder *folder, const struct pf_file *file,
                            struct pf_frame *frame)
{
    bool same = true;
    const char *doing = "fsync";
    folder->said_syncing = false;
    int r = sync_file(folder, file, &same);
    if (!r && same) {
        doing = "fsync of its folder";
        r = sync_names(folder, file);
    }
    if (r == -ENOMEM) {
        pf_folder_fail(folder, ENOMEM, file->path);
    } else if (r == -ENOENT || r == -ENOTDIR || !same) {
        frame->verdict = PF_FRAME_CHANGED;
    } else if (r < 0) {
        pf_fail_errno(&frame->reason, -r, "%s", doing);
        frame->verdict = PF_FRAME_TROUBLE;
    }
}
