/* The frame record: all that a source knows of one whole frame; no pixels.
 *
 * Made by a capture process, sent as one JSON line, kept by the service. Strings and the record are
 * owned by the record (pf_record_free); functions borrow their arguments. No I/O here.
 * EXIF names and units follow EXIF 2.32 (CIPA DC-008).
 */
#ifndef PF_RECORD_H
#define PF_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"
#include "config/base/file.h"

/* Either way; any few of them can be added. */
#define PF_RECORD_ARRIVAL_MAX_MS (INT64_C(1) << 53)

struct pf_record {
    char *path;            /* bytes, absolute */
    char *source;          /* as configured: "folder:DIR" */
    struct pf_identity id; /* of the content */
    int64_t size_bytes, mtime_ns, ctime_ns;
    uint64_t inode;
    int64_t arrival_ms; /* CLOCK_MONOTONIC when the frame was found whole */
    char *format;       /* "jpeg", "tiff", "png"; of RAW "dng", "cr2", ... (capture/whole.h) */
    int width, height;  /* as stored, before orientation; 0 unknown */
    int orientation;    /* EXIF 1..8, 1 when absent */
    int64_t capture_ms; /* DateTimeOriginal + sub-seconds in ms since 1970; UTC when has_offset,
                               else the camera's local time read as UTC; -1 unknown */
    bool has_subsec, has_offset;
    char *make, *model, *serial, *lens;    /* NULL unknown */
    double focal_mm, f_number, exposure_s; /* 0 unknown */
    int64_t iso;                           /* 0 unknown */
    char *burst_id;                        /* maker's burst id (Apple BurstUUID, ...), NULL none */
    int64_t sequence;                      /* maker's shot number within the sequence, -1 none */
    int64_t bracket; /* number of the driven bracket that it was shot in, 0 none; and then */
    double focus_at; /* its place in the order of depth, in steps from the bracket's start */
    int64_t counter; /* last run of digits in the file's stem (IMG_0042 -> 42), -1 none */
    bool made_here;  /* a result of parfocal, by its Software: never sent, nor kept */
};

/* New JSON object {"event":"frame", ...}, owned by the caller; NULL on out of memory. */
json_t *pf_record_to_json(const struct pf_record *record);
/* -EBADMSG when a field is missing or of the wrong type; *ret only on success. */
int pf_record_from_json(const json_t *object, struct pf_record **ret, struct pf_error *err);
struct pf_record *pf_record_copy(const struct pf_record *record); /* NULL on out of memory */
struct pf_record *pf_record_free(struct pf_record *record);       /* NULL-safe, returns NULL */

/* Whether `now` in the file of `before` is the same shot anew: that was told before all of it was
 * written, or has been written into since. Where no capture time tells shots apart the file does. */
bool pf_record_replaces(const struct pf_record *now, const struct pf_record *before);

/* Whether `serial` tells bodies apart: "", "0000000" and the like are what a body writes that has
 * none. */
bool pf_record_has_serial(const struct pf_record *record);

/* How many bytes of its path name the folder in the spool of the camera that it was fetched from, which
 * tells bodies apart as their sources do not; 0: it was found in a folder. */
size_t pf_record_camera_bytes(const struct pf_record *record);

/* "2026-01-02T03:04:05.060", with Z when the offset is known; NULL when the time is unknown. */
#define PF_RECORD_CAPTURED_CHARS 40
const char *pf_record_captured(const struct pf_record *record, char to[PF_RECORD_CAPTURED_CHARS]);

/* File name counter of a path, -1 none. */
int64_t pf_record_counter(const char *path);

#endif
