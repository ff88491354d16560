/* One file looked at: is it a whole frame, and what is known of it?
 *
 * Capture process, any thread. The file is opened read-only, never blocks as a FIFO would, and is
 * checked by fstat before and after: a verdict holds for the stamp it was asked for.
 */
#ifndef PF_FRAME_H
#define PF_FRAME_H

#include "capture/files.h"
#include "capture/record.h"
#include "capture/whole.h"
#include "config/base/error.h"

enum pf_frame_verdict {
    PF_FRAME_WHOLE,
    PF_FRAME_RESULT, /* whole, but parfocal has made it: stacks and maps are no frames */
    PF_FRAME_NOT_YET,
    PF_FRAME_NEVER,   /* an image that cannot be a frame as it stands */
    PF_FRAME_FOREIGN, /* no image that we know */
    PF_FRAME_CHANGED, /* while it was looked at, or since `stamp` was taken */
    PF_FRAME_GONE,
    PF_FRAME_TROUBLE, /* it cannot be read now */
};

struct pf_frame {
    enum pf_frame_verdict verdict;
    struct pf_error reason;       /* for RESULT, NOT_YET, NEVER, FOREIGN, TROUBLE */
    const char *format;           /* what it claims to be: static, NULL nothing that we know */
    bool trailer_missing, hollow; /* see pf_whole */
    struct pf_record *record;     /* for WHOLE: the caller's, without arrival_ms; RESULT: nor id */
};

/* 0 with *ret filled, or -ENOMEM. `path` is absolute. What is larger than most_bytes (0: whatever it is) is no
 * picture, and no more of it is read than its beginning. */
int pf_frame_look(const char *path, const char *source, const struct pf_file_stamp *stamp,
                  int64_t most_bytes, struct pf_frame *ret, struct pf_error *err);

#endif
