#include "capture/box.h"

#include <errno.h>
#include <string.h>

int pf_box_read(struct pf_bytes *bytes, int64_t at, int64_t end, struct pf_box *ret)
{
    uint8_t head[16];
    int r = pf_bytes_read(bytes, at, head, 8);
    if (r < 0)
        return r;
    uint64_t size = pf_big_endian(head, 4);
    struct pf_box box = {.at = at, .body_at = at + 8, .open_ended = size == 0};
    memcpy(box.type, head + 4, 4);
    if (size == 1) {
        r = pf_bytes_read(bytes, at + 8, head + 8, 8);
        if (r < 0)
            return r;
        size = pf_big_endian(head + 8, 8);
        box.body_at += 8;
    } else if (box.open_ended) {
        size = (uint64_t)(end - at);
    }
    if (size < (uint64_t)(box.body_at - at))
        return -EBADMSG;
    if (size > (uint64_t)INT64_MAX / 2 || __builtin_add_overflow(at, (int64_t)size, &box.end))
        return -EFBIG;
    *ret = box;
    return 0;
}
