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

#include "config/base/file.h"

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

static void take_field(char *field, char *to, size_t size)
{
    unescape(field);
    snprintf(to, size, "%s", field);
}

/* "36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/root rw" */
static bool take_line(char *line, uint64_t id, struct pf_mount *mount)
{
    char *save = NULL, *fields[5];
    for (int i = 0; i < 5; i++)
        if (!(fields[i] = strtok_r(i ? NULL : line, " ", &save)) ||
            (!i && strtoull(fields[i], NULL, 10) != id))
            return false;
    mount->id = id;
    mount->above = strtoull(fields[1], NULL, 10);
    take_field(fields[2], mount->device, sizeof(mount->device));
    take_field(fields[3], mount->root, sizeof(mount->root));
    take_field(fields[4], mount->point, sizeof(mount->point));
    char *field = fields[4];
    while (field && strcmp(field, "-") != 0)
        field = strtok_r(NULL, " ", &save);
    if (field && (field = strtok_r(NULL, " ", &save)))
        take_field(field, mount->type, sizeof(mount->type));
    if (field && (field = strtok_r(NULL, " ", &save)))
        take_field(field, mount->source, sizeof(mount->source));
    return true;
}

static bool find(const char *table, uint64_t id, struct pf_mount *mount)
{
    bool found = false;
    while (!found && *table) {
        size_t length = strcspn(table, "\n");
        char *line = strndup(table, length);
        found = line && take_line(line, id, mount);
        free(line);
        table += length + (table[length] == '\n');
    }
    return found;
}

bool pf_mount_is_part(const struct pf_mount *mount, const struct pf_mount *above)
{
    const char *place = pf_path_beneath(mount->point, above->point);
    const char *part = pf_path_beneath(mount->root, above->root);
    bool is_nfs = !strncmp(mount->type, "nfs", 3);
    return place && *place && part && !strcmp(mount->type, above->type) &&
           !strcmp(mount->source, above->source) && (!strcmp(part, place) || (is_nfs && !*part));
}

/* The same mounted once more at its own place. */
static bool is_again(const struct pf_mount *mount, const struct pf_mount *above)
{
    return !strcmp(mount->root, above->root) && !strcmp(mount->point, above->point);
}

bool pf_mount_begin_in(const char *table, uint64_t id, struct pf_mount *ret)
{
    struct pf_mount mount = {.magic = ret->magic}, above = {0};
    if (!find(table, id, &mount))
        return false;
    while (mount.above != mount.id && find(table, mount.above, &above) &&
           !strcmp(mount.device, above.device) &&
           (pf_mount_is_part(&mount, &above) || is_again(&mount, &above))) {
        above.magic = mount.magic;
        mount = above;
    }
    *ret = mount;
    return true;
}

/* Heap; NULL: it cannot be read. */
static char *read_table(void)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *table = NULL;
    size_t capacity = 0;
    ssize_t n = file ? getdelim(&table, &capacity, '\0', file) : -1;
    if (file)
        fclose(file);
    if (n >= 0)
        return table;
    free(table);
    return NULL;
}

static int look_up(const char *path, bool begin, struct pf_mount *ret, struct pf_error *err)
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
    char *table = stx.stx_mask & STATX_MNT_ID ? read_table() : NULL;
    if (table && begin)
        pf_mount_begin_in(table, stx.stx_mnt_id, &mount);
    else if (table)
        find(table, stx.stx_mnt_id, &mount);
    free(table);
    *ret = mount;
    return 0;
}

int pf_mount_of(const char *path, struct pf_mount *ret, struct pf_error *err)
{
    return look_up(path, false, ret, err);
}

int pf_mount_begin(const char *path, struct pf_mount *ret, struct pf_error *err)
{
    return look_up(path, true, ret, err);
}
