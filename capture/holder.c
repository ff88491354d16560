#include "capture/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/sandbox.h"

#define DEVICE_FORMAT "/dev/bus/usb/%03u/%03u"

bool pf_holder_device(const char *port, char *ret, size_t size)
{
    unsigned bus, device;
    int used = 0;
    if (sscanf(port, "usb:%3u,%3u%n", &bus, &device, &used) != 2 || port[used])
        return false;
    snprintf(ret, size, DEVICE_FORMAT, bus, device);
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

/* By its program, which is not what it calls itself. */
static bool is_ours(const char *pid)
{
    char path[64];
    struct stat own, other;
    snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
    return stat("/proc/self/exe", &own) == 0 && stat(path, &other) == 0 &&
           own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

/* A process other than `self`, of ours only if there is no other. */
static pid_t find(const char *path, pid_t self, bool *ret_ours, char *ret, size_t size)
{
    struct stat device;
    if (stat(path, &device) < 0)
        return 0;
    DIR *stream = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;
    bool ours = true;
    while (stream && ours && (entry = readdir(stream))) {
        pid_t pid = atoi(entry->d_name);
        if (!isdigit((unsigned char)entry->d_name[0]) || pid == self ||
            !holds(entry->d_name, path, &device))
            continue;
        ours = is_ours(entry->d_name);
        if (found && ours)
            continue;
        describe(entry->d_name, ret, size);
        found = pid;
    }
    if (stream)
        closedir(stream);
    if (found && ret_ours)
        *ret_ours = ours;
    return found;
}

pid_t pf_holder_find(const char *path, bool *ret_ours, char *ret, size_t size)
{
    return find(path, getpid(), ret_ours, ret, size);
}

/* ---- for one that cannot see ---- */

enum { ASKED_MAX = 64 };

struct answer {
    bool ours;
    char text[256]; /* "": nobody */
};

/* What is asked may come from a process that a camera has taken over: a number of a device, nothing else. */
static _Noreturn void answer_all(int fd, pid_t asker)
{
    static const struct pf_sandbox sandbox = {.role = PF_SANDBOX_HOLDER};
    unsigned device[2];
    int nothing = open("/dev/null", O_RDWR);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 ||
        pf_sandbox_files(&sandbox, NULL) < 0 || pf_sandbox_calls(&sandbox, NULL) < 0)
        _exit(1);
    while (recv(fd, device, sizeof(device), 0) == (ssize_t)sizeof(device)) {
        char path[ASKED_MAX];
        struct answer answer = {0};
        snprintf(path, sizeof(path), DEVICE_FORMAT, device[0], device[1]);
        find(path, asker, &answer.ours, answer.text, sizeof(answer.text));
        if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

int pf_holder_start(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    pid_t asker = getpid(), pid = fork();
    if (pid == 0) {
        close(ends[0]);
        answer_all(ends[1], asker);
    }
    int code = errno;
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return -code;
    }
    return ends[0];
}

bool pf_holder_ask(int fd, const char *path, bool *ret_ours, char *ret, size_t size)
{
    unsigned device[2];
    struct answer answer;
    if (sscanf(path, "/dev/bus/usb/%3u/%3u", &device[0], &device[1]) != 2 ||
        send(fd, device, sizeof(device), MSG_NOSIGNAL) < 0)
        return false;
    if (recv(fd, &answer, sizeof(answer), 0) != (ssize_t)sizeof(answer) || !answer.text[0])
        return false;
    *ret_ours = answer.ours;
    snprintf(ret, size, "%s", answer.text);
    return true;
}
