#include "capture/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/metadata.h"
#include "config/base/file.h"

#define HEAD_BYTES 16 /* tell what it claims to be */

static int look_open(int fd, const char *path, const char *source,
                     const struct pf_file_stamp *stamp, int64_t most_bytes, struct pf_bytes *bytes,
                     struct pf_frame *ret, struct pf_error *err)
{
    struct pf_whole whole;
    bool too_large = most_bytes && stamp->size_bytes > most_bytes;
    pf_bytes_of_file(bytes, fd, too_large ? HEAD_BYTES : stamp->size_bytes);
    int r = pf_whole_check(bytes, &whole);
    if (r == -ENOMEM)
        return pf_fail(err, ENOMEM, "out of memory for %s", path);
    if (r < 0) {
        pf_fail_errno(&ret->reason, -r, "reading");
        ret->verdict = PF_FRAME_TROUBLE;
        return 0;
    }
    ret->format = whole.format;
    if (too_large) {
        ret->verdict = whole.format ? PF_FRAME_NEVER : PF_FRAME_FOREIGN;
        pf_fail(&ret->reason, EFBIG, "%.1f GB are more than any picture of max_megapixels takes",
                (double)stamp->size_bytes / 1e9);
        return 0;
    }
    ret->trailer_missing = whole.trailer_missing;
    ret->hollow = whole.hollow;
    if (whole.state != PF_WHOLE_YES) {
        ret->verdict = whole.state == PF_WHOLE_NOT_YET ? PF_FRAME_NOT_YET
                       : whole.state == PF_WHOLE_NEVER ? PF_FRAME_NEVER
                                                       : PF_FRAME_FOREIGN;
        pf_fail(&ret->reason, EBADMSG, "%s", whole.reason);
        return 0;
    }

    struct pf_record *record = calloc(1, sizeof(*record));
    if (!record || !(record->path = strdup(path)) || !(record->source = strdup(source)) ||
        !(record->format = strdup(whole.format))) {
        pf_record_free(record);
        return pf_fail(err, ENOMEM, "out of memory for the record of %s", path);
    }
    record->size_bytes = stamp->size_bytes;
    record->mtime_ns = stamp->mtime_ns;
    record->ctime_ns = stamp->ctime_ns;
    record->inode = stamp->inode;
    record->width = whole.width;
    record->height = whole.height;
    record->counter = pf_record_counter(path);
    r = pf_metadata_read(bytes, &whole, record, &ret->reason);
    bool is_frame = !record->made_here;
    if (!r && is_frame)
        r = pf_identity_of_fd(fd, &record->id, &ret->reason);
    if (r) {
        pf_record_free(record);
        ret->verdict = PF_FRAME_TROUBLE;
        return r == -ENOMEM ? pf_fail(err, ENOMEM, "%s", ret->reason.text) : 0;
    }
    ret->record = record;
    ret->verdict = is_frame ? PF_FRAME_WHOLE : PF_FRAME_RESULT;
    if (!is_frame)
        pf_fail(&ret->reason, EINVAL, "a result of parfocal");
    return 0;
}

/* Whether the open file is still the one that has `stamp`. */
static bool is_same(int fd, const struct pf_file_stamp *stamp, struct pf_frame *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        pf_fail_errno(&ret->reason, errno, "reading");
        ret->verdict = PF_FRAME_TROUBLE;
        return false;
    }
    struct pf_file_stamp now = pf_file_stamp_of(&st);
    ret->verdict = PF_FRAME_CHANGED;
    return S_ISREG(st.st_mode) && pf_file_stamp_equal(&now, stamp);
}

int pf_frame_look(const char *path, const char *source, const struct pf_file_stamp *stamp,
                  int64_t most_bytes, struct pf_frame *ret, struct pf_error *err)
{
    *ret = (struct pf_frame){.verdict = PF_FRAME_GONE};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return 0;
        pf_fail_errno(&ret->reason, errno, "opening");
        ret->verdict = PF_FRAME_TROUBLE;
        return 0;
    }
    int r = 0;
    struct pf_bytes *bytes = NULL;
    if (!is_same(fd, stamp, ret))
        goto out;
    bytes = malloc(sizeof(*bytes));
    r = bytes ? look_open(fd, path, source, stamp, most_bytes, bytes, ret, err)
              : pf_fail(err, ENOMEM, "out of memory for %s", path);
    if (!r && ret->verdict != PF_FRAME_TROUBLE) {
        enum pf_frame_verdict verdict = ret->verdict;
        if (is_same(fd, stamp, ret))
            ret->verdict = verdict;
        else
            ret->record = pf_record_free(ret->record);
    }
out:
    free(bytes);
    close(fd);
    return r;
}
