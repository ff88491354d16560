/* The journal: what must survive a crash or a power loss. SQLite in the state directory.
 *
 * One writer: the service's loop, one thread; nobody else opens it (an exclusive lock on the
 * directory sees to that). Functions borrow their arguments. What they return by pointer is the
 * caller's, with the destructor named beside it; nothing needs freeing after a failure.
 *
 * Durability: WAL with synchronous=FULL. A function that returns 0 outside pf_journal_begin() has
 * its change on disk. Between begin and commit many changes share one fsync and count only when
 * pf_journal_commit() returned 0. A function that fails leaves nothing of its own behind; the
 * batch around it lives on, except after a failure of the disk: commit then reports it.
 *
 * Times: *_wall_ms are CLOCK_REALTIME. Records come back with arrival_ms rebased to the present
 * boot's CLOCK_MONOTONIC (it may be negative: before this boot).
 *
 * States of a frame: recorded -> in burst -> fused | aside, and recorded -> aside for a companion. Of
 * a burst:
 *     open -> complete -> published     complete -> failed -> complete (retry)
 *     open -> not a stack               any but open -> open (late frame)
 *     published | failed -> complete (stacked again, with other settings)
 * Versions: every completion asks for the next version (`wanted`); `published` is the last one that
 * is out. Work is left while state is complete.
 *
 * Errors, all described with file and cause: -ENOSPC, -EIO, -EROFS as the disk says, -EUCLEAN for a
 * damaged or foreign database (never recreated silently), -ENOENT for a frame or burst that is not
 * there, -EEXIST, -EINVAL for a step that the state does not allow, -ENOMEM.
 * Source: sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous.
 */
#ifndef PF_JOURNAL_H
#define PF_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/record.h"
#include "config/base/error.h"

struct pf_journal;

/* Who wants to know that opening takes its time: all of the file is read, unless it was closed in order
 * (journal_note.c), and an older one is copied and brought up to date. */
struct pf_journal_busy {
    /* What is done from now on, to so many bytes. */
    void (*tell)(const char *doing, int64_t bytes, void *context);
    void *context;
};

/* Opens DIRECTORY/journal.sqlite, creating both when missing. busy: NULL: nobody. -EBUSY: another
 * service uses the directory (the text names its process), -EREMOTE: it lies on a network file system,
 * -EUCLEAN, -ENOTSUP: written by a newer parfocal. */
int pf_journal_open(struct pf_journal **ret, const char *directory,
                    const struct pf_journal_busy *busy, struct pf_error *err);
struct pf_journal *pf_journal_close(struct pf_journal *journal); /* NULL-safe, returns NULL */

/* NULL when a file system of this statfs(2) type can hold a journal, else its name for people.
 * `mount_type`: type as in /proc/self/mountinfo ("ext4", "fuse.sshfs"), NULL unknown. Pure. */
const char *pf_journal_refuses(uint64_t statfs_type, const char *mount_type);

/* A batch. begin: -EBUSY when one is already open. A failed commit has rolled everything back. */
int pf_journal_begin(struct pf_journal *journal, struct pf_error *err);
int pf_journal_commit(struct pf_journal *journal, struct pf_error *err);
void pf_journal_rollback(struct pf_journal *journal); /* no batch: nothing happens */

/* ---- frames and files ---- */

enum pf_frame_state { PF_FRAME_RECORDED, PF_FRAME_IN_BURST, PF_FRAME_FUSED, PF_FRAME_ASIDE };

enum pf_journal_seen {
    PF_JOURNAL_NEW,   /* content never seen: feed it to the grouper */
    PF_JOURNAL_AGAIN, /* this content at this path is known */
    PF_JOURNAL_COPY,  /* this content is known; the path is new to it: one frame, two names */
};

/* Records a frame and the file that holds it. The promise "recorded" of the design: after this (and
 * commit) nothing forgets it. A path that held other content before now belongs to the new one. */
int pf_journal_record_frame(struct pf_journal *journal, const struct pf_record *record,
                            enum pf_journal_seen *ret, struct pf_error *err);

/* An image file that cannot be a frame. Replaces what was known of the path. */
int pf_journal_reject(struct pf_journal *journal, const char *source, const char *path,
                      int64_t size_bytes, int64_t mtime_ns, const char *reason,
                      struct pf_error *err);

struct pf_journal_file {
    const char *path; /* bytes; borrowed, valid during the call */
    int64_t size_bytes, mtime_ns, ctime_ns;
    uint64_t inode;
    const char *frame; /* identity */
};

/* Calls visit for each file of the source that holds a frame, to tell the capture child as `known`; to one
 * of a camera those of all cameras, as it looks at all of the spool.
 * A negative return ends the walk and is returned. visit must not call the journal. */
int pf_journal_known(struct pf_journal *journal, const char *source,
                     int (*visit)(void *context, const struct pf_journal_file *file), void *context,
                     struct pf_error *err);

struct pf_journal_frame {
    struct pf_record *record; /* as first recorded */
    enum pf_frame_state state;
    int64_t burst;     /* 0: in none yet */
    int attempts;      /* times the worker died with it in hand */
    bool late;         /* joined after its burst had been complete once */
    char *reason;      /* why aside, else NULL */
    json_t *scores;    /* as given to pf_journal_frame_result, NULL none yet */
    char **paths;      /* files that held the content when last seen, oldest first */
    size_t path_count; /* 0: all were replaced by other content since */
};

struct pf_journal_frames {
    struct pf_journal_frame *items;
    size_t count;
};
void pf_journal_frames_free(struct pf_journal_frames *frames);
/* The file that a frame goes by: its first one as long as that holds it, else the newest (borrowed); NULL none. */
const char *pf_journal_frame_file(const struct pf_journal_frame *frame);

/* Recorded frames that are in no burst, as they arrived: to be fed to the grouper at start. */
int pf_journal_loose_frames(struct pf_journal *journal, struct pf_journal_frames *ret,
                            struct pf_error *err);
/* Frames of files in the same folder whose names begin as that of `path` does up to its extension,
 * dot included; that of `path` is one of them. */
int pf_journal_namesakes(struct pf_journal *journal, const char *source, const char *path,
                         struct pf_journal_frames *ret, struct pf_error *err);
/* Frames of a burst as they joined (capture order: pf_grouper_sort). */
int pf_journal_burst_frames(struct pf_journal *journal, int64_t burst,
                            struct pf_journal_frames *ret, struct pf_error *err);
int pf_journal_frame(struct pf_journal *journal, const struct pf_identity *frame,
                     struct pf_journal_frames *ret /* one item */, struct pf_error *err);

/* The worker died with this frame in hand: counts it; *ret_attempts is the new number. */
int pf_journal_frame_attempt(struct pf_journal *journal, const struct pf_identity *frame,
                             int *ret_attempts, struct pf_error *err);

/* What the engine said of a frame of a burst (fused, or aside with its reason). `scores` is kept as
 * it is (NULL allowed). May be said again after a replay: the last word counts. */
int pf_journal_frame_result(struct pf_journal *journal, int64_t burst,
                            const struct pf_identity *frame, bool fused, const char *reason,
                            const json_t *scores, struct pf_error *err);

/* The frame is set aside without a burst: it is of the same shot as `of`, which is stacked. Its
 * scores name that frame as PF_JOURNAL_COMPANION_OF. -ENOENT, also when it is in a burst. */
#define PF_JOURNAL_COMPANION_OF "companion_of"
int pf_journal_companion(struct pf_journal *journal, const struct pf_identity *frame,
                         const struct pf_identity *of, struct pf_error *err);

/* ---- bursts ---- */

enum pf_burst_state {
    PF_BURST_STATE_OPEN,
    PF_BURST_STATE_COMPLETE,
    PF_BURST_STATE_PUBLISHED,
    PF_BURST_STATE_FAILED,
    PF_BURST_STATE_NOT_A_STACK,
};
const char *pf_burst_state_name(enum pf_burst_state state); /* "open" ... "not a stack" */

#define PF_BURST_ID_MAX 96

struct pf_journal_burst {
    int64_t number; /* the grouper's */
    char id
        [PF_BURST_ID_MAX]; /* 20260102-030405-<serial or source>-<number>: unique, file-name safe */
    enum pf_burst_state state;
    int wanted, published; /* versions; 0 none */
    size_t frames;
    char *reason;     /* why it ended (pf_grouper_reason_name), NULL open */
    char *detail;     /* why it failed or is not a stack, else NULL */
    char *directory;  /* of the last published version, NULL none */
    json_t *settings; /* that it is stacked with in place of those in force, NULL none */
    bool dismissed;   /* failed: it is not to be spoken of any more */
    int64_t opened_wall_ms, changed_wall_ms;
};

struct pf_journal_bursts {
    struct pf_journal_burst *items;
    size_t count;
};
void pf_journal_bursts_free(struct pf_journal_bursts *bursts);

/* First number that no burst has: for pf_grouper_new. */
int pf_journal_next_burst(struct pf_journal *journal, int64_t *ret, struct pf_error *err);

/* A new burst, state open, with the id made from the first frame; ret_id may be NULL. Its first
 * frame joins with pf_journal_join. -EEXIST. */
int pf_journal_open_burst(struct pf_journal *journal, int64_t number, const struct pf_record *first,
                          char ret_id[PF_BURST_ID_MAX], struct pf_error *err);

/* The frame becomes part of the burst. -EEXIST when it is in a burst already (a frame is in one
 * burst only). late: the burst is open again. */
int pf_journal_join(struct pf_journal *journal, int64_t burst, const struct pf_identity *frame,
                    bool late, struct pf_error *err);

/* The burst has ended. *ret_version (may be NULL): the version to be published now. -EINVAL unless
 * open. */
int pf_journal_complete(struct pf_journal *journal, int64_t burst, const char *reason,
                        int *ret_version, struct pf_error *err);
int pf_journal_not_a_stack(struct pf_journal *journal, int64_t burst, const char *reason,
                           const char *why, struct pf_error *err);

/* The version is in its directory, synced. The burst becomes published, unless a late frame has
 * joined or a further version is wanted since: then it stays as it is.
 * -EEXIST when this version (or a later one) is published already: nothing changes. */
int pf_journal_published(struct pf_journal *journal, int64_t burst, int version,
                         const char *directory, struct pf_error *err);

/* The version could not be made: complete -> failed. -EEXIST when the burst is open again, or another version
 * is wanted since: nothing changes. */
int pf_journal_failed(struct pf_journal *journal, int64_t burst, int version, const char *reason,
                      struct pf_error *err);
/* failed -> complete, same version. -EINVAL unless failed. Of its frames those that the service has excluded,
 * and nobody has discarded, are to be tried again (`excluded` of their scores is gone); so in the next one. */
int pf_journal_retry(struct pf_journal *journal, int64_t burst, struct pf_error *err);

/* Who has failed is known by now; it stays failed, until it is tried again. -EINVAL unless failed. */
int pf_journal_dismiss(struct pf_journal *journal, int64_t burst, struct pf_error *err);

/* published or failed -> complete, with these settings (NULL: those it has) in place of the ones in
 * force. *ret_version: the version to be published. -EINVAL in other states. */
int pf_journal_restack(struct pf_journal *journal, int64_t burst, const json_t *settings,
                       int *ret_version, struct pf_error *err);

/* One burst, as an array of one. -ENOENT. */
int pf_journal_burst(struct pf_journal *journal, int64_t number, struct pf_journal_bursts *ret,
                     struct pf_error *err);
/* Bursts in a state, oldest first. */
int pf_journal_bursts_in(struct pf_journal *journal, enum pf_burst_state state,
                         struct pf_journal_bursts *ret, struct pf_error *err);
/* The `limit` bursts that changed last, whatever their state, most recent first. */
int pf_journal_recent_bursts(struct pf_journal *journal, size_t limit,
                             struct pf_journal_bursts *ret, struct pf_error *err);

/* ---- what people ask (journal_view.c) ---- */

/* As pf_journal_burst(), by id. */
int pf_journal_burst_by_id(struct pf_journal *journal, const char *id,
                           struct pf_journal_bursts *ret, struct pf_error *err);

struct pf_journal_search {
    int64_t before;         /* numbers below this one */
    int state;              /* enum pf_burst_state; -1: any */
    int64_t from_ms, to_ms; /* its first frame was shot in between; INT64_MIN and INT64_MAX: any */
    const char *camera;     /* part of make, model, serial number or lens in any case; NULL: any */
    int aside;              /* 1: with frames that were set aside, 0: without, -1: any */
    size_t limit;
};
/* Newest first. */
int pf_journal_search_bursts(struct pf_journal *journal, const struct pf_journal_search *search,
                             struct pf_journal_bursts *ret, struct pf_error *err);

struct pf_journal_shot {
    int64_t capture_ms; /* as in a record; -1 also without frames */
    bool has_offset;
};

struct pf_journal_facts {
    size_t fused, aside;
    struct pf_journal_shot first, last; /* in capture time */
    json_t *
        camera; /* make, model, serial and lens of the first one, those it has; NULL without frames */
    char middle[PF_IDENTITY_CHARS + 1]; /* a fused frame about the middle, "" none */
};
void pf_journal_facts_free(struct pf_journal_facts *facts);
int pf_journal_burst_facts(struct pf_journal *journal, int64_t burst, struct pf_journal_facts *ret,
                           struct pf_error *err);

struct pf_journal_version {
    int version;
    const char *directory; /* bytes; borrowed, valid during the call */
    int64_t published_wall_ms;
};
/* Published versions, oldest first. What visit returns, when it is not 0, ends the walk and is
 * returned; it must not call the journal. */
int pf_journal_versions(struct pf_journal *journal, int64_t burst,
                        int (*visit)(void *context, const struct pf_journal_version *version),
                        void *context, struct pf_error *err);

/* The frames that were recorded last before number `before`, in a state (-1: any), newest first; their
 * scores lack the grids.
 * *ret_next: what to ask for the next page with; 0: there is none. */
int pf_journal_recent_frames(struct pf_journal *journal, int state, int64_t before, size_t limit,
                             struct pf_journal_frames *ret, int64_t *ret_next,
                             struct pf_error *err);

#endif
