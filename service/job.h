/* A job: one version of a burst on its way to a stack, with what is known of each of its frames.
 *
 * Service process, event loop thread; memory only (the journal has what must last). No I/O.
 * A job owns its records and results; pointers to frames hold until the next pf_job_add().
 */
#ifndef PF_JOB_H
#define PF_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/record.h"
#include "config/base/error.h"
#include "config/settings.h"
#include "process/stray.h"

enum pf_job_step {
    PF_STEP_WAITING, /* to be sent to the worker (again) */
    PF_STEP_SENT,    /* in the worker's hands */
    PF_STEP_DONE,    /* `result` is there, or it is excluded */
};

#define PF_JOB_REPLACED_REASON "its file has been replaced by another one"

#define PF_JOB_FUSED_MIN 2 /* one frame is not a stack, however many were set aside */

struct pf_job_frame {
    struct pf_record *record;
    char *path; /* file that is sent to the worker when it is not the record's, else NULL */
    enum pf_job_step step;
    uint64_t order; /* when it was sent: the worker begins what has a smaller one before */
    bool decoding;  /* the worker has named it as one in hand */
    bool excluded;  /* set aside by the service: not sent again */
    bool discarded; /* excluded by hand */
    bool replaced;  /* excluded because another one has its file; it comes back with the content */
    bool stray;     /* excluded because process/stray.h says so */
    bool taken; /* back by hand after that: it says no more of this one, and goes by others alone */
    bool no_room; /* the worker had no room for it last time */
    int group;
    char reason[256];   /* why it is excluded, or what the trouble with it was last time */
    int64_t trouble_ms; /* since when its file cannot be read; 0: it could */
    size_t files_known, files_failed; /* of its files in this round (pf_job_other_file()) */
    int64_t read_ms;                  /* when its file was read last; 0: it was not yet */
    bool there;                       /* one of these is not gone, but cannot be read */
    int attempts;                     /* times it took the worker down */
    int64_t progress_ms;              /* how long the worker was at it when it said so last */
    char told;                        /* the verdict that was logged last: 'f' fused, 'a' aside */
    char *companion; /* path of the RAW or JPEG of the same shot, NULL none known */
    json_t *result;  /* the worker's "frame" event, NULL before */
};

enum pf_job_stage {
    PF_JOB_WAITING,   /* no place in the worker yet */
    PF_JOB_ACTIVE,    /* open in the worker */
    PF_JOB_FINISHING, /* the worker writes the result */
};

/* Where its result is. */
enum pf_job_out {
    PF_OUT_NOWHERE,
    PF_OUT_FINDING,    /* it may be published already: not for the worker yet */
    PF_OUT_PREPARING,  /* a directory is being made */
    PF_OUT_FILLING,    /* the worker writes into the directory */
    PF_OUT_PUBLISHING, /* the directory gets its name, and the journal the news */
    PF_OUT_FAILED,     /* there will be none; the journal gets the news */
};

/* What of its result is written before it is complete, while nothing else is to be done. */
enum pf_job_ahead {
    PF_AHEAD_NONE,
    PF_AHEAD_ASKED,   /* the owner: for a directory */
    PF_AHEAD_WRITING, /* the worker */
    PF_AHEAD_WRITTEN, /* stack and maps of `ahead_count` frames are there, in `ahead_dir` */
};

struct pf_job {
    struct pf_job *next; /* the scheduler's list */
    int64_t burst;       /* number in the journal */
    int version;         /* to be published, 0 while it is open */
    int stays; /* published version that stays if this one, asked for by hand, is not to be had; 0: none */
    char *name;     /* of the burst: its directory */
    char *complete; /* why it is complete; NULL: frames may still come */
    struct pf_stray stray;
    int64_t last_arrival_ms, complete_ms;
    int64_t longest_pause_ms; /* between two arrivals */

    json_t *settings; /* in place of those in force, NULL none */
    json_t *in_force; /* those that it was opened with in the worker, NULL: it was not yet */

    enum pf_job_out out;
    int out_version;             /* the version at the outbox; a late frame may have come since */
    size_t out_fused, out_aside; /* frames of it */
    int find_version; /* an earlier run may have published it, the outbox is asked; 0 none */

    /* In the worker. Every opening has a key of its own, so that answers to an earlier one are
     * told apart. */
    enum pf_job_stage stage;
    char *key;
    int openings;
    int failures;       /* times the worker died or gave up in opening or finishing it */
    int spared;         /* times that was taken for the GPU's doing */
    bool no_gpu;        /* the processor does it: the GPU has no room for it, or is not to blame */
    bool no_room;       /* it waits until there is room for its pictures */
    int64_t no_room_ms; /* since when that is tried without success; 0 */
    int64_t backoff_ms; /* last pause after a failure */
    int64_t hold_until_ms; /* not sent to the worker before */
    int64_t moved_ms;      /* since when files of it are known to lie elsewhere; 0: they are not */
    bool preview_wanted, preview_asked;
    bool no_preview;      /* one took the worker down */
    int previews;         /* how many have been made: the number of the one that is there */
    uint64_t write_order; /* of the result or preview that was asked for last; as a frame's */
    bool
        alone; /* the worker died at that and something else: nothing is sent beside the next one */

    enum pf_job_ahead ahead;
    size_t ahead_count; /* frames that it had when that was begun */
    int ahead_number;   /* of the question for the directory */
    char *ahead_dir;    /* the last one that was made, NULL none, or it is used up */
    bool ahead_used;    /* its result is being filled into that */
    int ahead_in_vain;  /* times that something else was to be done: mostly, another frame */
    bool no_ahead;      /* it could not be done, or took the worker down */

    const char *stage_told;   /* static text, NULL none */
    int64_t deadline_told_ms; /* CLOCK_MONOTONIC */

    json_t *coverage;      /* what the worker found last, NULL before */
    double finish_ms;      /* that the worker took for writing the result last */
    int64_t publish_at_ms; /* since when the result is on its way out */
    json_t *files; /* array of {`name` `size_bytes`} that the worker wrote last, NULL before */
    json_t *coverage_told; /* object whose keys say what of it was logged; NULL: nothing */

    struct pf_job_frame *frames;
    size_t count, capacity;
    size_t first_undone; /* all frames before it are done */
    size_t sent;         /* how many are in the worker's hands */
    size_t found;        /* where pf_job_find() was last: the next one asked for is near */
};

/* -ENOMEM. */
int pf_job_new(struct pf_job **ret, int64_t burst, const char *name, struct pf_error *err);
struct pf_job *pf_job_free(struct pf_job *job); /* NULL-safe, returns NULL */

/* Those of the settings named in `keys` (as in pf_options_json()) that the job has: what it was opened
 * with, else its own over those of the service. New; NULL on out of memory. */
json_t *pf_job_settings(const struct pf_job *job, const struct pf_settings *settings,
                        const char *keys);
/* All that a stack is made with. */
#define PF_JOB_ENGINE_KEYS                                                                         \
    "align equalise motion min_correlation align_timeout judge coverage fuse focus_order "         \
    "resample clip "                                                                               \
    "depth_map confidence_map frame_map"
#define PF_JOB_RESULT_KEYS "format jpeg_quality depth_map confidence_map frame_map"
#define PF_JOB_KEYS                                                                                \
    "align equalise motion min_correlation align_timeout judge coverage fuse focus_order "         \
    "resample clip "                                                                               \
    "format jpeg_quality depth_map confidence_map frame_map"

/* Takes the record over, also on failure. 1 when it was added, 0 when the job has this content
 * already, -ENOMEM. */
int pf_job_add(struct pf_job *job, struct pf_record *record, struct pf_error *err);

/* The one way to set a frame's step. */
void pf_job_set_step(struct pf_job *job, struct pf_job_frame *frame, enum pf_job_step step);

/* The first frame that is to be sent to the worker, those that were taken back by hand last: none of them
 * is to be the reference. NULL none. */
struct pf_job_frame *pf_job_next_waiting(const struct pf_job *job);

/* By identity text; NULL none. */
struct pf_job_frame *pf_job_find(struct pf_job *job, const char *identity);

bool pf_job_fused(const struct pf_job_frame *frame);
/* "" when fused or without a result. */
const char *pf_job_reason(const struct pf_job_frame *frame);
size_t pf_job_fused_count(const struct pf_job *job);
bool pf_job_has_fused(const struct pf_job *job,
                      size_t least); /* so many; quicker than to count all */
size_t pf_job_aside_count(const struct pf_job *job);
bool pf_job_settled(const struct pf_job *job); /* every frame is done */

/* Whether an errno is trouble of a file that may be over later (a mount is away), and none of the
 * picture. */
bool pf_job_waits_for_file(int code);

/* Whether what has been written ahead is of all frames. */
bool pf_job_is_ahead(const struct pf_job *job);
/* When to begin with that unless a frame comes: after a pause longer than those that there were, and twice
 * as long for each time that it was in vain. */
int64_t pf_job_ahead_at(const struct pf_job *job);

/* The worker has lost the stack: all frames that are not excluded go to it again. */
void pf_job_forget_stack(struct pf_job *job);

/* The records in capture order (borrowed; the array is the caller's, free()), `count` of them;
 * NULL on out of memory or without frames. */
const struct pf_record **pf_job_order(const struct pf_job *job);

/* Of the frames that the worker has or has had the one that comes right before this one in capture
 * order; borrowed, NULL: none does. */
const struct pf_record *pf_job_before(const struct pf_job *job, const struct pf_job_frame *frame);

/* The file that the frame is read from. */
const char *pf_job_file(const struct pf_job_frame *frame);
/* The file of the frame has failed (`gone`: it is not there). Another one with the same content serves as well, the newest
 * (last) of `paths` best: the one to go by now, of these; NULL: each of them has failed, and the next call begins
 * another round. */
const char *pf_job_other_file(struct pf_job_frame *frame, char *const *paths, size_t count,
                              bool gone);

/* All frames are done: true when the burst is to be stacked again, without the frames whose group
 * pf_stray_is_out() then. Those that had been left out and are not any more come back with this.
 * False on out of memory, too. */
bool pf_job_regroup(struct pf_job *job);
/* There are other frames than those that it was found of: which are left out is found anew, from all of them. */
void pf_job_forget_groups(struct pf_job *job);

#endif
