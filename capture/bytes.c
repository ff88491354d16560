#include "capture/bytes.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void pf_bytes_of_file(struct pf_bytes *bytes, int fd, int64_t size_bytes)
{
    bytes->fd = fd;
    bytes->memory = NULL;
    bytes->size_bytes = size_bytes;
    bytes->error = 0;
    bytes->window_at = 0;
    bytes->window_bytes = 0;
}

void pf_bytes_of_memory(struct pf_bytes *bytes, const void *memory, size_t size_bytes)
{
    pf_bytes_of_file(bytes, -1, (int64_t)size_bytes);
    bytes->memory = memory;
}

ssize_t pf_bytes_view(struct pf_bytes *bytes, int64_t at, size_t wanted, const uint8_t **ret)
{
    if (at < 0 || at >= bytes->size_bytes)
        return 0;
    int64_t left = bytes->size_bytes - at;
    if (bytes->fd < 0) {
        *ret = bytes->memory + at;
        return left < PF_BYTES_WINDOW ? (ssize_t)left : PF_BYTES_WINDOW;
    }
    int64_t window_end = bytes->window_at + (int64_t)bytes->window_bytes;
    bool inside = at >= bytes->window_at && at < window_end;
    if (!inside || (window_end - at < (int64_t)wanted && window_end - at < left)) {
        size_t size = left < PF_BYTES_WINDOW ? (size_t)left : PF_BYTES_WINDOW, done = 0;
        bytes->window_at = at;
        bytes->window_bytes = 0;
        while (done < size) {
            ssize_t n = pread(bytes->fd, bytes->window + done, size - done, at + (off_t)done);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return bytes->error = -errno;
            if (!n)
                break; /* it has shrunk since its size was taken */
            done += (size_t)n;
        }
        bytes->window_bytes = done;
    }
    *ret = bytes->window + (at - bytes->window_at);
    return (ssize_t)(bytes->window_at + (int64_t)bytes->window_bytes - at);
}

int pf_bytes_read(struct pf_bytes *bytes, int64_t at, void *to, size_t count)
{
    if (at < 0 || (uint64_t)count > (uint64_t)INT64_MAX - (uint64_t)at ||
        at + (int64_t)count > bytes->size_bytes)
        return -ENODATA;
    for (size_t done = 0; done < count;) {
        const uint8_t *from;
        size_t wanted = count - done < PF_BYTES_WINDOW ? count - done : PF_BYTES_WINDOW;
        ssize_t n = pf_bytes_view(bytes, at + (int64_t)done, wanted, &from);
        if (n <= 0)
            return n < 0 ? (int)n : -ENODATA;
        size_t part = (size_t)n < wanted ? (size_t)n : wanted;
        memcpy((uint8_t *)to + done, from, part);
        done += part;
    }
    return 0;
}

uint64_t pf_big_endian(const uint8_t *bytes, int count)
{
    uint64_t number = 0;
    for (int i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return number;
}
