/* Bounded reads from a stranger's file or from memory.
 *
 * Capture, and process before LibRaw; one thread per object. The descriptor or the memory is borrowed and outlives the
 * object. Files are read with pread(2) and never mapped: a file on a network share may shrink under
 * us, and that must be an answer, not a SIGBUS. Memory does not depend on what the file says.
 */
#ifndef PF_BYTES_H
#define PF_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PF_BYTES_WINDOW (64 << 10) /* bytes */

struct pf_bytes {
    int fd;                /* -1: memory */
    const uint8_t *memory; /* NULL: file */
    int64_t size_bytes;
    int error; /* the last one that pread(2) gave, as -errno: what was found is not all; 0: none */
    int64_t window_at;
    size_t window_bytes;
    uint8_t window[PF_BYTES_WINDOW];
};

void pf_bytes_of_file(struct pf_bytes *bytes, int fd, int64_t size_bytes);
void pf_bytes_of_memory(struct pf_bytes *bytes, const void *memory, size_t size_bytes);

/* *ret points to what is at `at`, valid until the next call; returns how many bytes are there: at
 * least `wanted` (at most PF_BYTES_WINDOW) unless the end comes first, 0 at the end.
 * Negative: errno of pread(2). */
ssize_t pf_bytes_view(struct pf_bytes *bytes, int64_t at, size_t wanted, const uint8_t **ret);

/* Copies exactly `count` bytes. -ENODATA when they do not all exist, else errno of pread(2). */
int pf_bytes_read(struct pf_bytes *bytes, int64_t at, void *to, size_t count);

/* The number in these bytes, at most eight. */
uint64_t pf_big_endian(const uint8_t *bytes, int count);

#endif
