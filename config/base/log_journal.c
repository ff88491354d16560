#include "config/base/log_journal.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

bool pf_log_is_journal(int fd, const char *stream)
{
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(fd, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

int pf_log_journal_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

struct entry {
    char *to;
    size_t used, size;
};

/* NAME, a new line, the length in 8 bytes with the lowest first, the value: that form takes any bytes.
 * A value that finds too little room is cut. */
static void add(struct entry *entry, const char *name, const char *value)
{
    size_t length = value ? strlen(value) : 0, name_length = strlen(name);
    if (!value || entry->used + name_length + 10 > entry->size)
        return;
    size_t room = entry->size - entry->used - name_length - 10;
    length = length < room ? length : room;
    char *at = entry->to + entry->used;
    memcpy(at, name, name_length);
    at += name_length;
    *at++ = '\n';
    for (int i = 0; i < 8; i++)
        *at++ = (char)((uint64_t)length >> 8 * i & 0xff);
    memcpy(at, value, length);
    at[length] = '\n';
    entry->used = (size_t)(at + length + 1 - entry->to);
}

size_t pf_log_journal_entry(char *to, size_t size, int priority, const char *role,
                            const struct pf_log_about *about, const char *message)
{
    struct entry entry = {.to = to, .size = size};
    char digit[4];
    snprintf(digit, sizeof(digit), "%d", priority);
    add(&entry, "PRIORITY", digit);
    add(&entry, "SYSLOG_IDENTIFIER", "parfocal");
    add(&entry, "PF_ROLE", role);
    if (about) {
        add(&entry, "PF_BURST", about->burst);
        add(&entry, "PF_FRAME", about->frame);
        add(&entry, "PF_SOURCE", about->source);
        add(&entry, "PF_HOOK", about->hook);
    }
    add(&entry, "MESSAGE", message);
    return entry.used;
}
