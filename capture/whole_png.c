#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "capture/whole_internal.h"

static bool is_type(const uint8_t *type)
{
    for (int i = 0; i < 4; i++)
        if (!((type[i] >= 'A' && type[i] <= 'Z') || (type[i] >= 'a' && type[i] <= 'z')))
            return false;
    return true;
}

/* CRC of type and data of the chunk at `at`, which lies within the file. */
static int chunk_crc(struct pf_bytes *bytes, int64_t at, uint32_t length, uint32_t *ret)
{
    int64_t from = at + 4, end = at + 8 + (int64_t)length;
    uLong crc = crc32(0, NULL, 0);
    while (from < end) {
        const uint8_t *view;
        ssize_t n = pf_bytes_view(bytes, from, 1, &view);
        if (n <= 0)
            return n < 0 ? (int)n : -ENODATA;
        if (n > end - from)
            n = (ssize_t)(end - from);
        crc = crc32(crc, view, (uInt)n);
        from += n;
    }
    *ret = (uint32_t)crc;
    return 0;
}

int pf_whole_png(struct pf_bytes *bytes, struct pf_whole *whole)
{
    bool have_header = false, have_data = false;
    for (int64_t at = 8;;) {
        uint8_t head[8], tail[4], header[13];
        uint32_t crc = 0;
        int r = pf_bytes_read(bytes, at, head, sizeof(head));
        if (r == -ENODATA)
            return pf_whole_say(whole, PF_WHOLE_NOT_YET, "the PNG breaks off before its end");
        if (r < 0)
            return r;
        uint32_t length = (uint32_t)pf_big_endian(head, 4);
        const uint8_t *type = head + 4;
        if (!length && !pf_big_endian(type, 4))
            return pf_whole_say(whole, PF_WHOLE_NOT_YET, "zeros where a PNG chunk belongs");
        if (length > INT32_MAX || !is_type(type))
            return pf_whole_say(whole, PF_WHOLE_NEVER, "corrupt PNG: no chunk where one belongs");
        if (!have_header && (memcmp(type, "IHDR", 4) || length != sizeof(header)))
            return pf_whole_say(whole, PF_WHOLE_NEVER, "corrupt PNG: it does not begin with IHDR");
        r = pf_bytes_read(bytes, at + 8 + (int64_t)length, tail, sizeof(tail));
        if (!r)
            r = chunk_crc(bytes, at, length, &crc);
        if (r == -ENODATA)
            return pf_whole_say(whole, PF_WHOLE_NOT_YET, "the PNG breaks off in chunk %.4s", type);
        if (r < 0)
            return r;
        if (crc != pf_big_endian(tail, 4))
            /* Parts of a file may arrive out of order: this can still come right. */
            return pf_whole_say(whole, PF_WHOLE_NOT_YET, "chunk %.4s does not match its checksum",
                                type);

        if (!memcmp(type, "IHDR", 4)) {
            r = pf_bytes_read(bytes, at + 8, header, sizeof(header));
            if (r < 0 && r != -ENODATA)
                return r;
            uint64_t width = pf_big_endian(header, 4), height = pf_big_endian(header + 4, 4);
            if (r || have_header || !width || !height || width > INT32_MAX || height > INT32_MAX)
                return pf_whole_say(whole, PF_WHOLE_NEVER, "corrupt PNG: senseless IHDR");
            have_header = true;
            whole->width = (int)width;
            whole->height = (int)height;
        } else if (!memcmp(type, "IDAT", 4)) {
            have_data = true;
        } else if (!memcmp(type, "eXIf", 4) && whole->exif_at < 0) {
            whole->exif_at = at + 8;
            whole->exif_size_bytes = length;
        } else if (!memcmp(type, "IEND", 4)) {
            if (!have_data)
                return pf_whole_say(whole, PF_WHOLE_NEVER, "corrupt PNG: it has no picture");
            whole->state = PF_WHOLE_YES;
            return 0;
        }
        at += 12 + (int64_t)length;
    }
}
