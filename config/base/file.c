#include "config/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "config/base/text.h"

static struct pf_identity identity_text(uint64_t size_bytes, XXH128_hash_t hash)
{
    struct pf_identity id;
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    int used = snprintf(id.text, sizeof(id.text), "%016llx-", (unsigned long long)size_bytes);
    for (size_t i = 0; i < sizeof(canonical.digest); i++)
        used +=
            snprintf(id.text + used, sizeof(id.text) - (size_t)used, "%02x", canonical.digest[i]);
    return id;
}

struct pf_identity pf_identity_of_memory(const void *bytes, size_t size_bytes)
{
    return identity_text(size_bytes, XXH3_128bits(bytes, size_bytes));
}

int pf_identity_of_fd(int fd, struct pf_identity *ret, struct pf_error *err)
{
    enum { CHUNK_BYTES = 1 << 20 };
    XXH3_state_t *state = XXH3_createState();
    char *chunk = malloc(CHUNK_BYTES);
    int r = 0;
    off_t offset = 0;
    if (!state || !chunk) {
        r = pf_fail(err, ENOMEM, "out of memory for hashing");
        goto out;
    }
    XXH3_128bits_reset(state);
    for (;;) {
        ssize_t n = pread(fd, chunk, CHUNK_BYTES, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            r = pf_fail_errno(err, errno, "reading for identity");
            goto out;
        }
        if (!n)
            break;
        XXH3_128bits_update(state, chunk, (size_t)n);
        offset += n;
    }
    *ret = identity_text((uint64_t)offset, XXH3_128bits_digest(state));
out:
    free(chunk);
    XXH3_freeState(state);
    return r;
}

/* Whoever cannot list the directory that holds it cannot sync that: all others can, or it is told. */
static int sync_name(const char *path, struct pf_error *err)
{
    struct pf_error why = {0};
    int r = pf_sync_parent(path, &why);
    return r == 0 || r == -EACCES ? 0 : pf_fail(err, why.code, "%s", why.text);
}

/* Without a name that may not last: a directory that is there is not synced again. */
static int make_directory(const char *path, struct pf_error *err)
{
    if (mkdir(path, 0777) < 0)
        return errno == EEXIST ? 0 : pf_fail_errno(err, errno, "creating directory %s", path);
    int r = sync_name(path, err);
    if (r < 0)
        rmdir(path);
    return r;
}

int pf_make_directories(const char *path, struct pf_error *err)
{
    char *partial = strdup(path);
    if (!partial)
        return pf_fail(err, ENOMEM, "out of memory");
    int r = 0;
    for (char *at = partial + 1; !r; at++) {
        if (*at && *at != '/')
            continue;
        char kept = *at;
        *at = '\0';
        r = make_directory(partial, err);
        *at = kept;
        if (!kept)
            break;
    }
    struct stat st;
    if (!r && stat(path, &st) < 0)
        r = pf_fail_errno(err, errno, "directory %s", path);
    else if (!r && !S_ISDIR(st.st_mode))
        r = pf_fail(err, ENOTDIR, "%s is not a directory", path);
    free(partial);
    return r;
}

int pf_sync_path(const char *path, struct pf_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pf_fail_errno(err, errno, "opening %s to sync it", path);
    int r = 0;
    if (fsync(fd) < 0 && errno != EINVAL)
        r = pf_fail_errno(err, errno, "fsync of %s", path);
    close(fd);
    return r;
}

int pf_sync_parent(const char *path, struct pf_error *err)
{
    char *directory = pf_path_directory(path);
    if (!directory)
        return pf_fail(err, ENOMEM, "out of memory");
    int r = pf_sync_path(directory, err);
    free(directory);
    return r;
}

int pf_rename_new(const char *from, const char *to, struct pf_error *err)
{
    /* RENAME_NOREPLACE is missing on some network file systems: there, look first. */
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0) {
        struct stat st;
        if (errno != EINVAL && errno != ENOSYS)
            return pf_fail_errno(err, errno, "renaming %s to %s", from, to);
        if (lstat(to, &st) == 0)
            return pf_fail_errno(err, EEXIST, "renaming %s to %s", from, to);
        if (rename(from, to) < 0)
            return pf_fail_errno(err, errno, "renaming %s to %s", from, to);
    }
    return 0;
}

int pf_rename_durable(const char *from, const char *to, struct pf_error *err)
{
    int r = pf_rename_new(from, to, err);
    return r < 0 ? r : pf_sync_parent(to, err);
}

int pf_write_file_durable(const char *path, const void *bytes, size_t size_bytes,
                          struct pf_error *err)
{
    char *temporary = pf_text("%s.tmp-%d", path, (int)getpid());
    if (!temporary)
        return pf_fail(err, ENOMEM, "out of memory");
    int r = 0;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        r = pf_fail_errno(err, errno, "creating %s", temporary);
        goto out;
    }
    for (size_t done = 0; done < size_bytes;) {
        ssize_t n = write(fd, (const char *)bytes + done, size_bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            r = pf_fail_errno(err, errno, "writing %s", temporary);
            break;
        }
        done += (size_t)n;
    }
    if (!r && fsync(fd) < 0)
        r = pf_fail_errno(err, errno, "fsync of %s", temporary);
    if (close(fd) < 0 && !r)
        r = pf_fail_errno(err, errno, "closing %s", temporary);
    if (!r && rename(temporary, path) < 0)
        r = pf_fail_errno(err, errno, "renaming %s to %s", temporary, path);
    if (r)
        unlink(temporary);
    else
        r = pf_sync_parent(path, err);
out:
    free(temporary);
    return r;
}

static int remove_at(int parent_fd, const char *name, struct pf_error *err)
{
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return pf_fail_errno(err, errno, "removing %s", name);
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return pf_fail_errno(err, errno, "opening directory %s", name);
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int r = pf_fail_errno(err, errno, "reading directory %s", name);
        close(fd);
        return r;
    }
    int r = 0;
    struct dirent *entry;
    while (!r && (entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            r = remove_at(dirfd(directory), entry->d_name, err);
    closedir(directory);
    if (!r && unlinkat(parent_fd, name, AT_REMOVEDIR) < 0)
        r = pf_fail_errno(err, errno, "removing directory %s", name);
    return r;
}

int pf_remove_tree(const char *path, struct pf_error *err)
{
    return remove_at(AT_FDCWD, path, err);
}

char *pf_path_join(const char *directory, const char *name)
{
    size_t length = strlen(directory);
    const char *separator = length && directory[length - 1] == '/' ? "" : "/";
    return pf_text("%s%s%s", directory, separator, name);
}

char *pf_path_absolute(const char *path)
{
    char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    if (path[0] != '/' && !here)
        return NULL;
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (!strcmp(path, "."))
        path = "";
    char *absolute = here ? (path[0] ? pf_path_join(here, path) : strdup(here)) : strdup(path);
    free(here);
    for (size_t n = absolute ? strlen(absolute) : 0; n > 1 && absolute[n - 1] == '/'; n--)
        absolute[n - 1] = '\0';
    return absolute;
}

char *pf_path_plain(const char *path)
{
    char *plain = pf_path_absolute(path), *to = plain;
    for (const char *from = plain; from && *from;) {
        size_t length = strcspn(from + 1, "/");
        if (length && !(length == 1 && from[1] == '.')) {
            memmove(to, from, length + 1);
            to += length + 1;
        }
        from += length + 1;
    }
    if (plain && to == plain)
        *to++ = '/';
    if (plain)
        *to = '\0';
    return plain;
}

char *pf_path_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

const char *pf_path_beneath(const char *path, const char *above)
{
    size_t length = strlen(above);
    if (!length)
        return NULL;
    while (length && above[length - 1] == '/')
        length--;
    const char *rest = !strncmp(path, above, length) ? path + length : NULL;
    return rest && (*rest == '/' || (!*rest && length)) ? rest + strspn(rest, "/") : NULL;
}

const char *pf_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
