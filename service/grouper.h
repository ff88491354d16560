/* The grouper: which frames belong to which burst.
 *
 * A pure function of frame records and a clock that the caller hands in: no I/O, no clock reads, no
 * globals, no pixels. One thread at a time; the service's loop owns it. It borrows every argument
 * for the call and keeps its own copies.
 *
 * How it thinks. Frames are told apart by body serial (else make, model and source), pixel size
 * and time base (UTC, camera's local time, or arrival where EXIF has no time; then also by folder):
 * one stream each. The camera's clock orders frames; the host's monotonic clock closes bursts.
 *   - A frame that fits a burst of its stream (gap, lens, focal length, f-number, maker's burst id
 *     and sequence) joins at once the nearest one in capture time, also one that is complete: the
 *     decision then says `late`, and the burst completes once more later (a new version).
 *   - A frame that fits none, while a burst is open, is held for `hold_ms`, so that earlier frames
 *     may still come; then held frames are taken in capture order and open new bursts. A burst that
 *     is followed by a newer one is over: it completes after `hold_ms` without a frame of its own.
 *   - Otherwise a burst completes when no frame of it came for its limit + its exposure time.
 *   - The limit is gap_ms until two gaps are known, then clamp(3 * median gap + 1 s, 1.5 s, 30 s),
 *     unless gap_fixed (and not less than gap_ms where EXIF has no time). When frames come more
 *     slowly than they were shot (a radio link, a copy, polling), a burst waits longer for silence,
 *     by twice the delay seen or by what pf_grouper_expect_delay() says.
 *
 * How the service uses it:
 *     for every frame that can be read now: pf_grouper_feed(g, record, now)
 *     pf_grouper_advance(g, now)           (after feeding: a stalled loop must not close too early)
 *     while (pf_grouper_next(g, &decision)) ... journal it, drive the worker ...
 *     wait for pf_grouper_deadline(g) or the next frame
 * A recorded frame for which no JOINED came yet (it is held) is to be fed again after a restart.
 *
 * Errors: -ENOMEM leaves the grouper usable; the frame fed is then not taken.
 * Source: measured facts on EXIF of real bursts; DC-008 (EXIF 2.32) for the tags.
 */
#ifndef PF_GROUPER_H
#define PF_GROUPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/record.h"
#include "config/base/error.h"

/* No gap that a burst has by itself (one that adapts) is longer. */
#define PF_GROUPER_GAP_MOST_MS 30000

struct pf_grouper_settings {
    int64_t gap_ms;      /* pf_settings_gap(): limit until two gaps are known */
    bool gap_fixed;      /* pf_settings_gap(): the limit never adapts */
    int64_t hold_ms;     /* setting `hold` */
    int min_frames;      /* fewer are not a stack */
    int expected_frames; /* a burst completes at this count; 0 unknown. A frame whose file is written
                          * again counts once */
};

/* Why a burst ended. Names (pf_grouper_reason_name) are for the journal and for people. */
enum pf_burst_reason {
    PF_BURST_OPEN,     /* "open": it has not ended */
    PF_BURST_GAP,      /* "gap": no frame within its limit */
    PF_BURST_SETTINGS, /* "settings changed": lens, focal length or f-number */
    PF_BURST_SEQUENCE, /* "sequence restarted": maker's counter or burst id */
    PF_BURST_EXPECTED, /* "expected count": takes no further frame */
    PF_BURST_BY_HAND,  /* "finished by hand": takes only frames shot before its last one */
};

const char *pf_grouper_reason_name(enum pf_burst_reason reason);
/* -ENOENT for a name that is none. */
int pf_grouper_reason_of_name(const char *name, enum pf_burst_reason *ret);

enum pf_decision_kind {
    PF_DECISION_JOINED,      /* `frame` belongs to `burst`; said once for every frame fed */
    PF_DECISION_COMPLETE,    /* `burst` has ended: make (or remake) its stack */
    PF_DECISION_NOT_A_STACK, /* `burst` has ended and is none: `why`; also in place of COMPLETE */
};

struct pf_decision {
    enum pf_decision_kind kind;
    int64_t burst;               /* number of the burst, > 0, never used twice */
    size_t frames;               /* in the burst now, with those whose files were written again */
    struct pf_identity frame;    /* JOINED */
    bool opened;                 /* JOINED: this frame opened the burst */
    bool late;                   /* JOINED: the burst was already complete; it is open again */
    enum pf_burst_reason reason; /* COMPLETE, NOT_A_STACK */
    char why[120]; /* NOT_A_STACK: "exposure bracket: ...", "2 frames, fewer than 3" */
};

struct pf_grouper;

/* Bursts are numbered from first_burst (> 0; pf_journal_next_burst()). -ENOMEM, -EINVAL. */
int pf_grouper_new(struct pf_grouper **ret, const struct pf_grouper_settings *settings,
                   int64_t first_burst, struct pf_error *err);
struct pf_grouper *pf_grouper_free(struct pf_grouper *grouper); /* NULL-safe, returns NULL */

/* Other settings from now on. */
void pf_grouper_set(struct pf_grouper *grouper, const struct pf_grouper_settings *settings);

/* Frames of this source may come so late, whatever the camera does (one that is polled: its interval; 0:
 * they do not): bursts whose last frame is of it wait that much longer for silence. True when that has
 * changed. */
bool pf_grouper_expect_delay(struct pf_grouper *grouper, const char *source, int64_t delay_ms);

/* A focus bracket of `frames` (0: as many as it will be) is under way: its frames make a burst of
 * their own, which no pause closes until the drive has ended, and
 * which completes with the last of them. Ended: it is a burst like others. -ENOMEM: it is so from the
 * start. */
int pf_grouper_drive(struct pf_grouper *grouper, int64_t bracket, int frames);
/* The open burst that its frames have made; 0: none, or it has ended. */
int64_t pf_grouper_drive_burst(const struct pf_grouper *grouper, int64_t bracket);
void pf_grouper_drive_ended(struct pf_grouper *grouper, int64_t bracket);

/* Takes a frame. now_ms: CLOCK_MONOTONIC, never running back. May make decisions; never completes
 * a burst by time. -EEXIST when this content is already held or in a remembered burst (nothing
 * happens), -ENOMEM. */
int pf_grouper_feed(struct pf_grouper *grouper, const struct pf_record *record, int64_t now_ms,
                    struct pf_error *err);

/* The content of a frame that was fed or restored (another one: nothing happens) is in this file now, as
 * well or again. A frame without a capture time goes by its newest name: where another one has taken its
 * file it counts again. May complete the burst; one that is complete stays so. -ENOMEM. */
int pf_grouper_rename(struct pf_grouper *grouper, const struct pf_identity *frame, const char *path,
                      struct pf_error *err);

/* Lets time pass: places held frames, completes bursts. -ENOMEM: call it again later. */
int pf_grouper_advance(struct pf_grouper *grouper, int64_t now_ms, struct pf_error *err);

/* When advance() has something to do next; INT64_MAX: nothing is waiting. */
int64_t pf_grouper_deadline(const struct pf_grouper *grouper);

/* When an open burst completes by silence unless another frame comes; INT64_MAX: it is unknown or not
 * open. */
int64_t pf_grouper_closes_at(const struct pf_grouper *grouper, int64_t burst);

/* Takes the next decision off the queue, oldest first; false when there is none. */
bool pf_grouper_next(struct pf_grouper *grouper, struct pf_decision *ret);

/* Someone says that the burst is finished (0: every open one); held frames of the stream are placed
 * first. -ENOENT when it is unknown or not open, -ENOMEM. */
int pf_grouper_finish(struct pf_grouper *grouper, int64_t burst, int64_t now_ms,
                      struct pf_error *err);

/* After a restart: puts back a burst as the journal knows it (open: PF_BURST_OPEN, else the reason
 * it ended for), with all its frames in any order. Makes no JOINED decisions; an open burst waits
 * its whole limit from now_ms on, one that has its expected count completes at once. Restore before
 * feeding; bursts that may still get late frames are the most recent PF_GROUPER_REMEMBERS ones.
 * -EEXIST number known, -EINVAL no frames, -ENOMEM: nothing restored. */
int pf_grouper_restore(struct pf_grouper *grouper, int64_t burst, enum pf_burst_reason reason,
                       const struct pf_record *const *frames, size_t count, int64_t now_ms,
                       struct pf_error *err);

/* Complete bursts that are remembered for late frames; the least recently fed are forgotten. */
#define PF_GROUPER_REMEMBERS 256

/* Puts the frames of one burst in order, in place. Those of a driven bracket, when all are, by their
 * focus, for one may have been shot again between two others. Else in capture order: capture time, then sub-second presence,
 * then file-name counter (9999 is followed by 0000 or 0001), then arrival. Where EXIF has no time
 * the counter decides if all frames have one, else arrival. */
void pf_grouper_sort(const struct pf_record **frames, size_t count);

#endif
