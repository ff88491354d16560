#include "process/stack_target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/text.h"
#include "process/codec.h"

static int check_directory(const char *path, struct pf_error *err)
{
    struct stat st;
    char *directory = pf_path_directory(path);
    int r = directory ? 0 : pf_fail(err, ENOMEM, "out of memory for a name");
    if (r == 0 && stat(directory, &st) < 0)
        r = pf_fail_errno(err, errno, "%s cannot be written: directory %s", path, directory);
    if (r == 0 && !S_ISDIR(st.st_mode))
        r = pf_fail(err, ENOTDIR, "%s cannot be written: %s is no directory", path, directory);
    if (r == 0 && access(directory, W_OK | X_OK) < 0)
        r = pf_fail_errno(err, errno, "%s cannot be written: directory %s", path, directory);
    free(directory);
    return r;
}

int pf_target_check(const char *path, struct pf_error *err)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return pf_fail(err, EISDIR, "%s is a directory; name a file", path);
    if (exists && !S_ISREG(st.st_mode))
        return pf_fail(err, EINVAL, "%s is not a regular file", path);
    return check_directory(path, err);
}

int pf_target_refuse_input(const char *path, const char *input, struct pf_error *err)
{
    struct stat out, in;
    if (stat(path, &out) == 0 && stat(input, &in) == 0 && in.st_dev == out.st_dev &&
        in.st_ino == out.st_ino)
        return pf_fail(err, EEXIST, "%s is one of the frames and will not be overwritten", path);
    return 0;
}

bool pf_target_is_same(const char *a, const char *b)
{
    struct stat here, there;
    char *left = pf_path_directory(a), *right = pf_path_directory(b);
    bool same = left && right && strcmp(pf_base_name(a), pf_base_name(b)) == 0 &&
                stat(left, &here) == 0 && stat(right, &there) == 0 && here.st_dev == there.st_dev &&
                here.st_ino == there.st_ino;
    free(left);
    free(right);
    return same;
}

int pf_target_format(const char *path, enum pf_format otherwise, enum pf_format *ret,
                     struct pf_error *err)
{
    const char *name = pf_base_name(path), *dot = strrchr(name, '.');
    *ret = otherwise;
    return dot && dot > name ? pf_format_of_path(path, ret, err) : 0;
}

int pf_target_part(const char *path, char **ret, struct pf_error *err)
{
    const char *name = pf_base_name(path);
    if (!*name)
        return pf_fail(err, EINVAL, "%s: no name of a file", path);
    *ret = pf_text("%.*s.%s.%ld.part", (int)(name - path), path, name, (long)getpid());
    return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for a name");
}

int pf_target_put(const char *part, const char *path, struct pf_error *err)
{
    if (rename(part, path) < 0) {
        int code = errno;
        unlink(part);
        return pf_fail_errno(err, code, "writing %s", path);
    }
    return pf_sync_parent(path, err);
}
