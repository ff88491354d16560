#include "capture/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool pf_holder_device(const char *port, char *ret, size_t size)
{
    unsigned bus, device;
    int used = 0;
    if (sscanf(port, "usb:%3u,%3u%n", &bus, &device, &used) != 2 || port[used])
        return false;
    snprintf(ret, size, "/dev/bus/usb/%03u/%03u", bus, device);
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && !strcmp(text + length - end_length, end);
}

/* By name first, which asks no file system, then by the file itself: a container may call it otherwise
 * further up. */
static bool holds(const char *pid, const char *path, const struct stat *device)
{
    char directory[64], link[320], target[4096];
    snprintf(directory, sizeof(directory), "/proc/%.20s/fd", pid);
    DIR *stream = opendir(directory);
    struct dirent *entry;
    bool found = false;
    while (stream && !found && (entry = readdir(stream))) {
        snprintf(link, sizeof(link), "%s/%s", directory, entry->d_name);
        ssize_t length = readlink(link, target, sizeof(target) - 1);
        if (length > 0)
            target[length] = '\0';
        struct stat st;
        found = length > 0 && ends_with(target, path) && stat(link, &st) == 0 &&
                st.st_dev == device->st_dev && st.st_ino == device->st_ino;
    }
    if (stream)
        closedir(stream);
    return found;
}

static void describe(const char *pid, char *ret, size_t size)
{
    char path[64], name[256] = "";
    snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (file) {
        size_t length = fread(name, 1, sizeof(name) - 1, file);
        name[length] = '\0'; /* up to the first NUL it is the program */
        fclose(file);
    }
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    if (!strncmp(base, "gvfs", 4))
        snprintf(ret, size, "%s (process %s): systemctl --user stop %s", base, pid, base);
    else
        snprintf(ret, size, "%s (process %s): end it, or take the camera from it", base, pid);
}

bool pf_holder_find(const char *path, char *ret, size_t size)
{
    struct stat device;
    if (stat(path, &device) < 0)
        return false;
    DIR *stream = opendir("/proc");
    struct dirent *entry;
    bool found = false;
    while (stream && !found && (entry = readdir(stream)))
        if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != (int)getpid() &&
            holds(entry->d_name, path, &device)) {
            describe(entry->d_name, ret, size);
            found = true;
        }
    if (stream)
        closedir(stream);
    return found;
}
