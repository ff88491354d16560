/* The state of a folder source, shared by capture/folder*.c only. One thread.
 *
 *   folder.c        the loop: input, events, timers
 *   folder_scan.c   scans, watches, the root, status
 *   folder_file.c   what becomes of one file
 *   folder_durable.c   what is told stays, whatever happens to the power
 *
 * A function that cannot go on (no memory, reader gone) leaves the reason in `failure`, which ends
 * the loop. Times are CLOCK_MONOTONIC in ms.
 */
#ifndef PF_FOLDER_INTERNAL_H
#define PF_FOLDER_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "capture/files.h"
#include "capture/frame.h"
#include "capture/mounts.h"
#include "capture/names.h"
#include "capture/watch.h"
#include "config/base/error.h"
#include "config/settings.h"

#define PF_FOLDER_NEVER_MS INT64_MAX

struct pf_folder_excluded {
    char *path;
    bool found; /* device and inode are set, for this scan */
    dev_t device;
    ino_t inode;
};

/* A file system that is mounted beneath the root: a card, an automount. */
struct pf_folder_disk {
    char *path;
    dev_t device;
    bool there; /* the last full scan has seen it */
};
#define PF_FOLDER_DISKS 64 /* more are not told from folders */

struct pf_folder {
    const struct pf_settings *settings; /* borrowed */
    char *root, *source;
    int64_t settle_ms;
    struct pf_folder_excluded excluded[3]; /* our own directories */
    char **others; /* folders beneath the root that are sources of their own; owned */
    size_t other_count;
    struct pf_files *files;
    int failure; /* -errno, described in failure_error */
    struct pf_error failure_error;

    struct pf_watch *watch; /* NULL: polling everything */
    struct pf_error watch_error;
    size_t unwatched; /* folders for which no watch was left */
    struct pf_mounts mounts;
    char **blind; /* topmost folders on file systems that inotify cannot see into; owned */
    size_t blind_count;
    const char *blind_name; /* kind of the first of them */

    bool root_read; /* by the last full scan, to its end */
    int root_code;  /* why not, positive errno */
    dev_t root_device;
    ino_t root_inode;
    struct pf_folder_disk disks[PF_FOLDER_DISKS]; /* all that have been seen; paths are owned */
    size_t disk_count;

    struct pf_file **fresh; /* found by the scan under way; borrowed from files */
    size_t fresh_count, fresh_capacity;
    int64_t batch_ms; /* when the events at hand were read */
    bool full_scan;   /* one is under way */
    uint32_t scan;    /* number of the last full scan */
    size_t seen;      /* files it found */
    bool found_new;
    bool announce;  /* `scanned` is due when no file is awaited */
    bool announced; /* it was told */
    size_t awaited; /* files of a full scan without a verdict */
    size_t growing; /* pictures that are on their way: being written, or not whole yet */
    size_t unseen;  /* those that have not been looked at since they changed */
    bool told_growing;
    uint64_t results_hash; /* of the directory last said to hold results, 0 none */
    bool by_hand;          /* nobody wants to know what is being looked at, nor that we live */
    int64_t alive_ms, alive_every_ms; /* when `alive` was told last, and how often it is */
    bool scan_requested;
    int64_t next_scan_ms, next_root_ms, next_poll_ms;
    int64_t request_wait_ms, last_request_ms;

    int64_t
        synced_ms; /* when the last sync of a whole file system began: files seen before are durable */
    dev_t synced_device;
    bool one_by_one;   /* that has failed */
    bool said_syncing; /* that the file at hand is made durable */
    char *named; /* the folder whose names, and its own above it, were made durable last; owned */
    int64_t named_ms; /* when that began: names that were seen before then are durable */

    char status[512]; /* as last reported */
};

/* folder.c */
/* Says that this process lives, now and then: to be called between any two calls of the system that a
 * mount without an answer may keep. */
void pf_folder_alive(struct pf_folder *folder);

/* folder_scan.c */
void pf_folder_scan(struct pf_folder *folder); /* full */
void pf_folder_scan_beneath(struct pf_folder *folder, const char *path);
/* Beneath the root, what is mounted there, or what was and is not: files that are missing then are not gone. Array of
 * paths; NULL on out of memory. */
json_t *pf_folder_disks(const struct pf_folder *folder, bool there);
void pf_folder_poll_blind(struct pf_folder *folder);
void pf_folder_check_root(struct pf_folder *folder);
/* Sends a status where it is not as last reported. Not while a scan is under way. */
void pf_folder_report_status(struct pf_folder *folder);
/* A full scan soon: requests that come in a row become one, at growing intervals. */
void pf_folder_request_scan(struct pf_folder *folder);

/* folder_file.c */
/* Seen by an event that asks for rest_ms of rest if it has changed. */
void pf_folder_found(struct pf_folder *folder, const char *path, const struct stat *st,
                     int64_t rest_ms);
/* Seen by a scan. What has changed is queued by pf_folder_queue_fresh, called when the scan ends:
 * all at one time, so that they are reported in order of time and name. */
void pf_folder_scanned(struct pf_folder *folder, const char *path, const struct stat *st);
void pf_folder_queue_fresh(struct pf_folder *folder);
void pf_folder_gone(struct pf_folder *folder, struct pf_file *file);
/* It has another name now, which may be told in the next batch of events: what grows counts until it is
 * looked for. */
void pf_folder_moved(struct pf_folder *folder, struct pf_file *file);
/* Whether pictures are on their way. Once that was told, also one that nobody has looked at yet: it may be
 * the one that grew under another name. */
bool pf_folder_is_growing(const struct pf_folder *folder);
void pf_folder_trouble(struct pf_folder *folder, const char *path, bool is_folder, int code);
/* Looks at a queued file that is due. It may be removed. */
void pf_folder_look(struct pf_folder *folder, struct pf_file *file);
/* Sends a report, consumed; NULL is out of memory. */
void pf_folder_send(struct pf_folder *folder, json_t *report);
void pf_folder_fail(struct pf_folder *folder, int code, const char *what);

/* folder_durable.c */
/* Before a whole frame is told. The verdict becomes TROUBLE where that fails: what is then looked at again
 * is what the disk has; CHANGED where there is another file by now. May wait as long as the disk is slow. */
void pf_folder_make_durable(struct pf_folder *folder, const struct pf_file *file,
                            struct pf_frame *frame);

#endif
