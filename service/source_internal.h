/* A source as its own files have it: its process (source.c), and what is to be known of it (source_view.c). */
#ifndef PF_SOURCE_INTERNAL_H
#define PF_SOURCE_INTERNAL_H

#include "service/blame.h"
#include "service/child.h"
#include "service/source.h"

#define SCAN_DELAY_MS    5000   /* to the next frame of a first scan, a camera, or a file at hand */
#define GROWING_DELAY_MS 600000 /* that a file of a folder may take which is on its way */

struct known;

struct pf_source {
    char *name, *root;
    struct pf_journal *journal;
    struct pf_disks *disks;
    struct pf_source_handlers handlers;
    void *context;
    struct pf_child *child;
    struct pf_blame blame; /* for the ends of its process */
    struct known *known;
    size_t known_count, known_capacity, known_told;
    bool started; /* it has been told everything, and "start" */
    bool present;
    int64_t scanned_ms, scanned_files; /* the last scan: when it ended, what it saw */
    bool scanned, polling;             /* since the child began */
    int64_t look_ms; /* between two looks when polling, and until a file has settled */

    json_t *status;          /* what it said last of itself; NULL: nothing yet */
    char *ended;             /* why its process has ended; NULL: it runs */
    char *anew;              /* why it ends, as planned; NULL: it does not */
    json_t *doing;           /* what it was asked, with how far it is; NULL nothing */
    bool is_camera, pending; /* frames are on their way */
    int64_t asked;           /* number of what it was asked and has not answered yet; 0 nothing */
    struct event *growing;   /* set while files of a folder are on their way */
    struct event *silence;   /* fires when it has said nothing for too long */
    int64_t silence_ms, patience_ms; /* as configured; as it has asked for last */
    bool syncs;                      /* a folder's: makes all of a disk durable, which takes long */
    bool paused;                     /* it is not heard, and may wait in a write */
    char silent[96];                 /* a folder's: that it is so; "": it is not */
};

#endif
