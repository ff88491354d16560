/* Stands in for systemd's journal: takes datagrams of its native protocol, and writes each down as a JSON
 * object a line. One that is no entry ends it with a message. */
#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/receiver/receiver.h"

static void fail(const char *what)
{
    fprintf(stderr, "journal: %s\n", what);
    exit(1);
}

/* NAME=value, or NAME, 8 bytes of length and the value; each with a new line behind it. */
static json_t *decode(const unsigned char *at, size_t size)
{
    json_t *entry = json_object();
    const unsigned char *end = at + size;
    while (at < end) {
        char name[64];
        size_t length = 0;
        while (at < end && *at != '=' && *at != '\n' && length < sizeof(name) - 1)
            name[length++] = (char)*at++;
        name[length] = '\0';
        if (!length || at == end)
            fail("a field without a name or value");
        uint64_t value = 0;
        if (*at++ == '\n') {
            if (end - at < 9)
                fail("a length that is cut off");
            for (int i = 0; i < 8; i++)
                value |= (uint64_t)at[i] << 8 * i;
            at += 8;
        } else {
            const unsigned char *line = memchr(at, '\n', (size_t)(end - at));
            value = line ? (uint64_t)(line - at) : 0;
        }
        if (value >= (uint64_t)(end - at) || at[value] != '\n')
            fail("a value that is cut off");
        json_t *text = json_stringn((const char *)at, value);
        json_object_set_new(entry, name, text ? text : json_string("no UTF-8"));
        at += value + 1;
    }
    return entry;
}

int receive_journal(const char *path, const char *to)
{
    static unsigned char bytes[1 << 20];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    FILE *file = fopen(to, "w");
    if (fd < 0 || !file || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail(strerror(errno));
    for (;;) {
        ssize_t size = recv(fd, bytes, sizeof(bytes), 0);
        if (size < 0)
            fail(strerror(errno));
        json_t *entry = decode(bytes, (size_t)size);
        json_dumpf(entry, file, JSON_COMPACT);
        fputc('\n', file);
        fflush(file);
        json_decref(entry);
    }
}
