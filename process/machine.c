#include "process/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

int64_t pf_machine_number(const char *path, const char *key)
{
    char text[8192];
    long long value = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    const char *at = key ? strstr(text, key) : text;
    return at && sscanf(at + (key ? strlen(key) : 0), "%lld", &value) == 1 ? value : -1;
}

static int64_t kilobytes(const char *root, const char *key)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    int64_t number = pf_machine_number(path, key);
    return number < 0 ? INT64_MAX : number << 10;
}

static void narrow(struct pf_machine *machine, int64_t limit, int64_t used, int64_t cache)
{
    if (limit < 0 || used < 0 || limit >= machine->total_bytes)
        return;
    machine->total_bytes = limit;
    int64_t left = limit - used + (cache > 0 ? cache : 0);
    machine->available_bytes = left < machine->available_bytes ? left : machine->available_bytes;
}

/* One version's files of a group. */
struct files {
    const char *mount, *limit, *used, *cache;
};

static void narrow_by(struct pf_machine *machine, const char *root, const struct files *files,
                      const char *group)
{
    char path[3 * PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s%s%s/", root, files->mount, group);
    char *name = path + length;
    size_t left = sizeof(path) - (size_t)length;
    snprintf(name, left, "%s", files->limit);
    int64_t limit = pf_machine_number(path, NULL);
    snprintf(name, left, "%s", files->used);
    int64_t used = pf_machine_number(path, NULL);
    snprintf(name, left, "memory.stat");
    narrow(machine, limit, used, pf_machine_number(path, files->cache));
}

/* The limits of the process's memory groups, and of all above them up to the mount. In a container without
 * a name space of groups the name is the host's, and only the mount itself is there: it is the container's. */
static void narrow_by_groups(struct pf_machine *machine, const char *root)
{
    static const struct files v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                    "memory.usage_in_bytes", "total_inactive_file "},
                              v2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                    "inactive_file "};
    char groups[PATH_BYTES], path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, groups, sizeof(groups) - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return;
    groups[size] = '\0';
    char *save = NULL;
    for (char *line = strtok_r(groups, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *named = strstr(line, ":memory:"); /* ID:CONTROLLERS:GROUP; it may hold a ':' */
        const struct files *files = named ? &v1 : &v2;
        char *group = named ? named + strlen(":memory:") : line + strlen("0::");
        if ((!named && strncmp(line, "0::/", 4) != 0) || *group != '/')
            continue;
        narrow_by(machine, root, files, group);
        for (char *end; (end = strrchr(group, '/'));) {
            *end = '\0';
            narrow_by(machine, root, files, group);
        }
    }
}

struct pf_machine pf_machine_look(const char *root)
{
    struct pf_machine machine = {kilobytes(root, "MemTotal:"), kilobytes(root, "MemAvailable:")};
    narrow_by_groups(&machine, root);
    return machine;
}
