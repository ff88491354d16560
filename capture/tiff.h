/* TIFF directories: the structure that TIFF, BigTIFF, EXIF blocks, MPF and maker notes share.
 *
 * Capture process, one thread per object; no I/O but through pf_bytes. Every number in the file is
 * taken as hostile: an entry is handed out only with its size checked against overflow, and
 * whoever walks from directory to directory bounds his own steps.
 * Errors: -ENODATA what is asked for lies beyond the end, -EBADMSG it makes no sense, else errno of
 * pread(2). Sources: TIFF 6.0 (Adobe 1992), BigTIFF (libtiff), EXIF 2.32.
 */
#ifndef PF_TIFF_H
#define PF_TIFF_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/bytes.h"

enum pf_tiff_type {
    PF_TIFF_BYTE = 1,
    PF_TIFF_ASCII = 2,
    PF_TIFF_SHORT = 3,
    PF_TIFF_LONG = 4,
    PF_TIFF_UNDEFINED = 7,
    PF_TIFF_IFD = 13,
    PF_TIFF_LONG8 = 16,
    PF_TIFF_IFD8 = 18,
};

struct pf_tiff {
    struct pf_bytes *bytes; /* borrowed */
    int64_t base;           /* offsets in the structure count from here */
    bool big_endian;
    bool big;      /* BigTIFF */
    bool odd;      /* ORF or RW2: a classic TIFF under another number */
    int64_t first; /* first directory, absolute; 0 when the header does not name one yet */
};

struct pf_tiff_entry {
    uint16_t tag, type;
    uint64_t count;      /* values */
    uint64_t size_bytes; /* of all values; 0 for a type that we do not know */
    int64_t value_at;    /* absolute; may lie beyond the end of the file */
};

/* Reads the header at `base`; those of ORF and RW2 count. -EBADMSG when there is none. */
int pf_tiff_open(struct pf_tiff *ret, struct pf_bytes *bytes, int64_t base);

/* Number of entries of the directory at `at` (absolute). */
int pf_tiff_count(const struct pf_tiff *tiff, int64_t at, uint64_t *ret);
int pf_tiff_entry(const struct pf_tiff *tiff, int64_t at, uint64_t index,
                  struct pf_tiff_entry *ret);
/* Absolute offset of the directory after it, 0 at the last one. */
int pf_tiff_next(const struct pf_tiff *tiff, int64_t at, int64_t *ret);
/* First entry with the tag among the first 4096. -ENOENT. */
int pf_tiff_find(const struct pf_tiff *tiff, int64_t at, uint16_t tag, struct pf_tiff_entry *ret);

/* One unsigned value of an entry of type BYTE, UNDEFINED, SHORT, LONG, LONG8 or IFD. -EBADMSG. */
int pf_tiff_value(const struct pf_tiff *tiff, const struct pf_tiff_entry *entry, uint64_t index,
                  uint64_t *ret);
/* An offset in the structure made absolute. -EBADMSG when it cannot be. */
int pf_tiff_offset(const struct pf_tiff *tiff, uint64_t offset, int64_t *ret);
bool pf_tiff_inside(const struct pf_tiff *tiff, int64_t at, uint64_t size_bytes);

#endif
