#include "config/base/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Undoes the octal escapes of mountinfo (proc(5)): "\040" is a space. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at;) {
        if (at[0] == '\\' && at[1] && at[2] && at[3]) {
            *to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
            at += 4;
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
}

/* "36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/root rw" */
static bool take_line(char *line, uint64_t id, struct pf_mount *mount)
{
    char *save = NULL, *field = strtok_r(line, " ", &save);
    if (!field || strtoull(field, NULL, 10) != id)
        return false;
    for (int i = 1; field && i <= 4; i++)
        field = strtok_r(NULL, " ", &save);
    if (!field)
        return false;
    unescape(field);
    snprintf(mount->point, sizeof(mount->point), "%s", field);
    while (field && strcmp(field, "-") != 0)
        field = strtok_r(NULL, " ", &save);
    field = field ? strtok_r(NULL, " ", &save) : NULL;
    if (field)
        snprintf(mount->type, sizeof(mount->type), "%s", field);
    return true;
}

int pf_mount_of(const char *path, struct pf_mount *ret, struct pf_error *err)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return pf_fail_errno(err, errno, "%s", path);
    struct pf_mount mount = {0};
    struct statfs fs;
    struct statx stx;
    int r = 0;
    if (fstatfs(fd, &fs) < 0)
        r = pf_fail_errno(err, errno, "file system of %s", path);
    else if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &stx) < 0)
        r = pf_fail_errno(err, errno, "mount of %s", path);
    close(fd);
    if (r < 0)
        return r;
    mount.magic = (uint64_t)fs.f_type;
    FILE *table = stx.stx_mask & STATX_MNT_ID ? fopen("/proc/self/mountinfo", "re") : NULL;
    char *line = NULL;
    size_t capacity = 0;
    while (table && getline(&line, &capacity, table) > 0)
        if (take_line(line, stx.stx_mnt_id, &mount))
            break;
    free(line);
    if (table)
        fclose(table);
    *ret = mount;
    return 0;
}
