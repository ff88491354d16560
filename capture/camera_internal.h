/* The state of a camera source, shared by capture/camera*.c only. One thread.
 *
 *   camera.c         the loop: input, timers, events, status
 *   camera_check.c   what it is asked now and then: its card's room, its battery
 *   camera_link.c    finding, opening and closing the camera; what its errors mean
 *   camera_files.c   files on the card: wanted, compared, deleted
 *   camera_spool.c   its folder, and those of others
 *   camera_fetch.c   one file: from the card to a frame record
 *   camera_ask.c     what the service asks of the camera: settings, one shot
 *   camera_bracket.c a focus bracket, driven
 *
 * A function that cannot go on (no memory, reader gone) leaves the reason in `failure`, which ends
 * the loop. Times are CLOCK_MONOTONIC in ms.
 */
#ifndef PF_CAMERA_INTERNAL_H
#define PF_CAMERA_INTERNAL_H

#include <gphoto2/gphoto2.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/card.h"
#include "config/base/error.h"
#include "config/settings.h"

#define PF_CAMERA_NEVER_MS INT64_MAX
#define PF_CAMERA_QUIET_MS                                                                         \
    1000 /* without an event, before a card is compared for what may have been lost */
#define PF_CAMERA_PART ".part-" /* what the name of a download begins with, in the spool */
#define PF_CAMERA_BEFORE                                                                           \
    ".before" /* what was on the card when the camera was first seen, one a line */
#define PF_CAMERA_CARDS  "cards"   /* the same of each camera, in the state directory */
#define PF_CAMERA_SOURCE ".source" /* which source has had the camera last */

enum pf_camera_file_state {
    PF_CAMERA_WANTED,
    PF_CAMERA_SENT,     /* fetched and told; kept here only while it may have to be deleted */
    PF_CAMERA_RECORDED, /* the service has it in its journal: it may be deleted */
    PF_CAMERA_REJECTED, /* no frame as it stands; looked at again when it changes */
};

struct pf_camera_file {
    enum pf_camera_file_state state;
    char *folder, *name; /* on the card; folder "/": in the camera's memory alone */
    char *path;          /* in the spool, NULL not chosen yet */
    int64_t time_s, size_bytes;
    int64_t explained_kb;  /* of it that pf_camera::explained_kb has counted */
    int64_t part_bytes;    /* of it that are in the spool from an earlier try */
    int64_t bracket;       /* that it was shot in, 0 none; */
    double focus_at;       /* then */
    int64_t incomplete_ms; /* since when it comes whole and is not, 0: it does not */
    int64_t due_ms, wait_ms;
    bool listed; /* by the comparison under way */
    bool first;  /* by one in which its camera is seen for the first time */
    bool verify; /* it looks like one in the spool, and would be deleted: fetched to compare it */
    bool placed; /* it has its name in the spool, which is not synced yet */
    int attempts;
};

enum pf_bracket_state {
    PF_BRACKET_NONE,
    PF_BRACKET_MOVE, /* towards `to`, then a picture */
    PF_BRACKET_TRIGGER,
    PF_BRACKET_WAIT,  /* for the picture */
    PF_BRACKET_AHEAD, /* until covered: one step on, while the engine looks at the picture */
    PF_BRACKET_ASK,   /* for the word, what comes next */
    PF_BRACKET_RETURN,
};

/* Where the focus is, is counted in the maker's units from the start, in the bracket's direction: motor
 * steps, or steps of the one size. */
struct pf_camera_bracket {
    enum pf_bracket_state state;
    int64_t id;       /* of the ask */
    int frames, step; /* frames: the most there may be when it goes on until covered */
    int64_t settle_ms;
    const struct pf_focus_maker *maker;
    int unit; /* units of one step of the bracket */
    int at, to;
    int low;            /* the least it was at: behind it nothing is known of the way */
    int by_way_of;      /* where it turns round on its way back; INT_MAX: it does not */
    double focus_at;    /* of the picture to come, or just taken; in steps */
    bool triggered;     /* pictures that appear are of this bracket */
    int taken;          /* shots seen */
    int64_t due_ms;     /* nothing is done before */
    int64_t settled_ms; /* after the last move */
    int64_t since_ms;   /* what is waited for is waited for since then */
    int shots_before;   /* pf_camera::shots_seen when it was triggered */
    bool live_view;     /* is on */
    bool compared;      /* the card was, for the shot that is waited for */
    bool cancelled;
    bool stuck;      /* the way back has failed */
    char error[256]; /* why it ends early */

    bool until_covered;
    int turn;        /* of asking for the word */
    double furthest; /* focus_at that was highest */
    bool covered;    /* the word was: enough */
};

/* Pictures of the spool that could not be read, or made durable, when they were to be told. */
struct pf_camera_late {
    char **paths; /* owned */
    size_t count, capacity;
    int64_t try_ms, wait_ms; /* when they are tried again; the last pause */
};

/* What the first listing of a card has found, for as long as it is written nowhere: what is shot meanwhile is
 * none of it. */
struct pf_camera_unwritten {
    char *id, *lines; /* of which camera; owned */
    size_t size;
    bool is_fleeting; /* the next one is not to be written: see pf_camera_read_before() */
};

struct pf_camera {
    const struct pf_settings *settings; /* borrowed */
    const char *source, *which;         /* borrowed; "" any, else port or serial number */
    int failure;                        /* -errno, described in failure_error */
    struct pf_error failure_error;

    Camera *gp; /* NULL: not connected */
    GPContext *context;
    char gp_error[256]; /* what libgphoto2 said last */
    char port[256], model[128], serial[128];
    char *id;        /* of this camera: name of its directory in the spool */
    char *directory; /* of this camera in the spool */
    char kin[256];   /* what the ids of bodies like it begin with; "": a serial number tells it */
    char *spool;     /* absolute */
    dev_t spool_dev; /* of the disk that it is on */
    char *cards;     /* what was on them before, where it outlives a spool; absolute */
    char last_serial[128]; /* of the camera that was here, to find it again on another port */

    struct pf_card *card;
    struct pf_camera_unwritten unwritten;
    struct pf_camera_file **files;
    size_t file_count, file_capacity;

    bool started, by_hand;
    bool ends;                           /* as it has told: another process goes on */
    bool has_journal;                    /* the service has told what it has */
    bool confined;                       /* or not to be: from then on cameras are looked for */
    int holder_fd;                       /* see pf_holder_start(); -1 none */
    int64_t next_try_ms, try_wait_ms;    /* to connect */
    int vain_opens;                      /* of each of which libgphoto2 keeps memory */
    bool resting;                        /* without a camera, until one comes */
    int busy_tries;                      /* to list the card, in a row */
    int64_t lost_ms;                     /* when a link was lost that is not back; 0 none */
    int64_t compare_ms, compare_took_ms; /* when the card is to be compared */
    int64_t next_check_ms;               /* of free space and battery */
    int64_t explained_kb;                /* announced since the last check */
    int64_t free_kb;                     /* at the last check, -1 unknown */
    bool card_full;
    int battery_percent; /* -1 unknown */
    int64_t next_battery_ms;
    int64_t quiet_since_ms; /* the last event or fetch */
    bool announced;         /* `scanned` was told */
    bool untold;            /* what lies in the spool is to be told, when it is confined */
    struct pf_camera_late late;
    char spool_trouble[128];             /* why nothing can be written there; "": it can */
    int64_t spool_try_ms, spool_wait_ms; /* nothing is fetched before; the last pause */
    int shots_seen;                      /* pictures, RAW and JPEG of a shot counted once */
    char *last_stem;
    struct pf_camera_bracket bracket;
    char *memory_path; /* the last picture from the camera's memory, for its RAW or JPEG */
    int64_t memory_capture_ms;

    int64_t alive_ms; /* when `alive` was told last */
    char state[16];   /* as reported: "ok", "degraded", "missing" */
    char reason[768];
    bool reported_pending;
};

/* camera.c */
void pf_camera_fail(struct pf_camera *camera, int code, const char *what);
void pf_camera_send(struct pf_camera *camera, json_t *report); /* consumed; NULL: out of memory */
/* Says that this process lives, at most every second; patience_ms: how long it may now be silent,
 * 0 as usual. */
void pf_camera_alive(struct pf_camera *camera, int64_t patience_ms);
/* State as the service shows it; logged when it changes. */
void pf_camera_status(struct pf_camera *camera, const char *state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A spool or a directory of lists that was removed, made anew, mounted over or mounted again since this process confined itself is beyond it, and so are
 * USB's devices when they have gone all and come back: another one can use them. */
void pf_camera_end_if_confined(struct pf_camera *camera);
/* The link has failed: it is closed, and opened again after a while. */
void pf_camera_lost(struct pf_camera *camera, int gp_code, const char *doing);

/* camera_check.c */
/* A connected camera's state: its own, or what the spool lacks. */
void pf_camera_status_of_link(struct pf_camera *camera);
void pf_camera_check(struct pf_camera *camera);
/* Of all stores together; `full` where they say so. */
struct pf_camera_room {
    int64_t free_kb;
    bool full;
};
struct pf_camera_room pf_camera_room_of(const CameraStorageInformation *stores, int count);

/* camera_link.c */
/* Finds and opens it; on success port, model, serial, id and directory are set. -ENODEV: none is there,
 * or only what other processes of ours have. */
int pf_camera_open(struct pf_camera *camera, struct pf_error *err);
void pf_camera_close(struct pf_camera *camera);
/* Gives descriptor 0 back what libgphoto2 has closed, before anything else gets that number. */
void pf_camera_fill_stdin(void);
/* Describes an error of libgphoto2, with what can be done about it. Returns a negative errno: -EBUSY where another
 * program holds the camera, -EALREADY where another process of this one does. */
int pf_camera_explain(const struct pf_camera *camera, int gp_code, const char *doing,
                      struct pf_error *err);
/* The value of a setting of the camera as text, or false. */
bool pf_camera_text(struct pf_camera *camera, const char *widget, char *ret, size_t size);

/* camera_files.c */
/* A file that an event has named, as new or as changed. */
void pf_camera_added(struct pf_camera *camera, const char *folder, const char *name);
/* Brings size and time up to date. A code of libgphoto2. */
int pf_camera_refresh(struct pf_camera *camera, struct pf_camera_file *file);
/* Lists the card of a camera just opened and wants what is not known. A code of libgphoto2. */
int pf_camera_compare(struct pf_camera *camera);
/* Earliest due, those to be verified last, or NULL. */
struct pf_camera_file *pf_camera_next_wanted(struct pf_camera *camera);
size_t pf_camera_pending(const struct pf_camera *camera); /* those to be verified not counted */
struct pf_card_file pf_camera_card_file(const struct pf_camera *camera,
                                        const struct pf_camera_file *file); /* borrows from both */
/* A name in the spool that no other has, in file->path. -ENOMEM. */
int pf_camera_name(struct pf_camera *camera, struct pf_camera_file *file);
void pf_camera_forget(struct pf_camera *camera, struct pf_camera_file *file);
/* What was never on a card is gone with the link. */
void pf_camera_forget_memory(struct pf_camera *camera);
/* The service has recorded the frame of this path of the spool. */
void pf_camera_recorded(struct pf_camera *camera, const char *path);
/* Deletes one file that may go; false when there is none. */
bool pf_camera_delete_one(struct pf_camera *camera);
void pf_camera_free_files(struct pf_camera *camera);

/* camera_spool.c */
/* Tells what was never told, after a crash: of this camera, and of all that this source has had. What no source
 * of the configuration has had is told by the first. Where a source has several processes, each of them does. */
void pf_camera_scan_spool(struct pf_camera *camera);
void pf_camera_scan_all(struct pf_camera *camera);
/* The spool, at the start; later it and a folder in it, though somebody may have removed the spool: but not below
 * the mount point of a disk that is gone. -errno */
int pf_camera_make_spool(struct pf_camera *camera, struct pf_error *err);
int pf_camera_make_folder(struct pf_camera *camera, const char *path, struct pf_error *err);
/* Notes in the camera's folder that this source has it. */
void pf_camera_note_source(struct pf_camera *camera);
/* How many pictures all of it has. */
int64_t pf_camera_count_all(struct pf_camera *camera);
/* Notes what its list of what was there before says: 1, 0 there is none yet, -errno it cannot be read. There
 * are two, in its folder and in the state directory, which a new spool has not; one that is missing is made
 * anew. Where no service tells what was fetched before, a new spool is one for which there is none yet: what is on
 * the card then is left alone by this process, and nothing is written. */
int pf_camera_read_before(struct pf_camera *camera);
/* One that is written will do. -errno: neither is, and pf_camera_read_before() tries again. */
int pf_camera_write_before(struct pf_camera *camera, const char *lines, size_t size);
/* A body without a serial number goes by where it is plugged in. When it is seen at another place, its
 * card tells that it is the same: what came from one like it, or was there before, is noted as there
 * before. Lines of such a list, heap; NULL: there is none like it, or no memory. */
char *pf_camera_note_kin(struct pf_camera *camera, size_t *ret_size);

/* camera_ask.c */
/* Takes a picture, which is told as others are. A code of libgphoto2. */
int pf_camera_trigger(struct pf_camera *camera);
void pf_camera_take_ask(struct pf_camera *camera, const json_t *ask);
/* Answers what was asked; consumed. "done" is true in the last one. */
void pf_camera_answer(struct pf_camera *camera, int64_t id, json_t *answer);
void pf_camera_refuse(struct pf_camera *camera, int64_t id, const char *why);

/* camera_bracket.c */
void pf_camera_bracket_begin(struct pf_camera *camera, const json_t *ask);
void pf_camera_bracket_cancel(struct pf_camera *camera, int64_t id);
/* The word for a bracket until covered: `next` or `enough`. */
void pf_camera_bracket_word(struct pf_camera *camera, const json_t *word, bool enough);
/* The link is there anew, the card was compared. */
void pf_camera_bracket_link(struct pf_camera *camera);
/* There is no link: it does not wait for one for ever. */
void pf_camera_bracket_unlinked(struct pf_camera *camera);
/* Does what is due; false when there is nothing. */
bool pf_camera_bracket_go(struct pf_camera *camera);

/* camera_fetch.c */
/* Fetches a wanted file that is due; what becomes of it is in its state. */
void pf_camera_fetch(struct pf_camera *camera, struct pf_camera_file *file);
/* The spool's trouble is over when the pictures that it could not take are gone, or not wanted any more. */
void pf_camera_trouble_without_pictures(struct pf_camera *camera);
/* Tells a file of the spool as a frame if it is one; later, where that fails. */
void pf_camera_tell(struct pf_camera *camera, const char *path);
void pf_camera_tell_late(struct pf_camera *camera);

#endif
