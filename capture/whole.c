#include "capture/whole.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture/whole_internal.h"

#define HEAD_BYTES 12

int pf_whole_say(struct pf_whole *whole, enum pf_whole_state state, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(whole->reason, sizeof(whole->reason), format, args);
    va_end(args);
    whole->state = state;
    return 0;
}

int pf_whole_data(struct pf_bytes *bytes, struct pf_whole *whole, int64_t at, int64_t end)
{
    enum { TAIL_BYTES = 256 };
    static const uint8_t zeros[TAIL_BYTES];
    uint8_t tail[TAIL_BYTES];
    size_t size = end - at < TAIL_BYTES ? (size_t)(end - at) : TAIL_BYTES;
    int r = pf_bytes_read(bytes, end - (int64_t)size, tail, size);
    if (r < 0)
        return r;
    off_t hole = bytes->fd < 0 ? -1 : lseek(bytes->fd, at, SEEK_HOLE);
    whole->trailer_missing |= !memcmp(tail, zeros, size);
    whole->hollow =
        hole >= 0 && hole < end; /* where holes cannot be told, the end is the only one */
    return 0;
}

static bool begins_like(const uint8_t *head, size_t head_bytes, const char *signature,
                        size_t signature_bytes)
{
    return !memcmp(head, signature, head_bytes < signature_bytes ? head_bytes : signature_bytes);
}

int pf_whole_check(struct pf_bytes *bytes, struct pf_whole *ret)
{
    *ret = (struct pf_whole){.exif_at = -1};
    if (!bytes->size_bytes)
        return pf_whole_say(ret, PF_WHOLE_NOT_YET, "the file is empty");
    const uint8_t *view;
    ssize_t n = pf_bytes_view(bytes, 0, HEAD_BYTES, &view);
    if (n < 0)
        return (int)n;
    if (!n)
        return pf_whole_say(ret, PF_WHOLE_NOT_YET, "the file is shrinking");
    uint8_t head[HEAD_BYTES];
    size_t head_bytes = n < HEAD_BYTES ? (size_t)n : HEAD_BYTES;
    memcpy(head, view, head_bytes);

    static const char jpeg[] = "\xff\xd8\xff", png[] = "\x89PNG\r\n\x1a\n";
    static const char *const tiff[] = {"II*\0", "MM\0*", "II+\0", "MM\0+",
                                       "IIRO",  "IIRS",  "MMOR",  "IIU\0"};
    static const char raf[] = "FUJIFILMCCD-", cr3[] = "ftypcrx ";
    if (begins_like(head, head_bytes, jpeg, 3)) {
        ret->format = "jpeg";
        return head_bytes < 3
                   ? pf_whole_say(ret, PF_WHOLE_NOT_YET, "only its first bytes are there")
                   : pf_whole_jpeg(bytes, ret);
    }
    if (begins_like(head, head_bytes, png, 8)) {
        ret->format = "png";
        return head_bytes < 8
                   ? pf_whole_say(ret, PF_WHOLE_NOT_YET, "only its first bytes are there")
                   : pf_whole_png(bytes, ret);
    }
    if (begins_like(head, head_bytes, raf, HEAD_BYTES)) {
        ret->format = "raf";
        return pf_whole_raf(bytes, ret);
    }
    if (head_bytes <= 4 && begins_like(head, head_bytes, "\0\0\0", 3))
        return pf_whole_say(ret, PF_WHOLE_NOT_YET, "only its first bytes are there");
    if (head_bytes > 4 && !head[0] && begins_like(head + 4, head_bytes - 4, cr3, 8)) {
        ret->format = "cr3";
        return pf_whole_cr3(bytes, ret);
    }
    for (size_t i = 0; i < sizeof(tiff) / sizeof(tiff[0]); i++) {
        if (begins_like(head, head_bytes, tiff[i], 4)) {
            ret->format = "tiff";
            return pf_whole_tiff(bytes, ret);
        }
    }
    /* Space that was reserved before the content is written reads as zeros. */
    if (begins_like(head, head_bytes, "\0\0\0\0\0\0\0", 8))
        return pf_whole_say(ret, PF_WHOLE_NOT_YET, "the file begins with zeros");
    return pf_whole_say(ret, PF_WHOLE_FOREIGN, "not a JPEG, PNG, TIFF or RAW picture");
}
