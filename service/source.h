/* A source of frames: one capture child, told what is known, and what it says.
 *
 * Service process, event loop thread. The child is started at once and again whenever it ends; each
 * time it is first told the files that the journal knows, in portions as it takes them. It logs its
 * state and the trouble with its files itself; here only its end is logged. A file whose reading has
 * ended it twice is rejected and passed over (service/blame.h). One that owns a camera is ended when
 * it has been silent for `camera_timeout`: the library in it hangs. One of a folder that is silent for
 * `folder_timeout` is in trouble until it says something: its mount hangs.
 */
#ifndef PF_SOURCE_H
#define PF_SOURCE_H

#include <event2/event.h>
#include <stdbool.h>

#include "capture/record.h"
#include "config/base/error.h"
#include "config/settings.h"
#include "service/journal.h"

struct pf_source;
struct pf_disks;

struct pf_source_handlers {
    /* A whole frame; the record is handed over. */
    void (*frame)(struct pf_record *record, void *context);
    void (*rejected)(const char *source, const char *path, int64_t size_bytes, int64_t mtime_ns,
                     const char *reason, void *context); /* borrowed */
    void (*batch)(void *context); /* all that has arrived so far has been told */
    void (*changed)(struct pf_source *source, void *context); /* pf_source_json() */
    /* What was asked under this number: an answer (borrowed), NULL: its process has ended. */
    void (*answer)(struct pf_source *source, int64_t id, const json_t *answer, void *context);
};

/* name: as configured, "folder:DIR" or "camera[:WHICH]". Borrowed and outliving it: base, journal, disks, settings (outbox
 * and state absolute), context. -ENOMEM. */
int pf_source_new(struct pf_source **ret, struct event_base *base, struct pf_journal *journal,
                  struct pf_disks *disks, const struct pf_settings *settings, const char *name,
                  const struct pf_source_handlers *handlers, void *context, struct pf_error *err);
struct pf_source *pf_source_free(struct pf_source *source); /* NULL-safe, returns NULL */

const char *pf_source_name(const struct pf_source *source);
/* What its files lie beneath, absolute: the folder, or the spool. */
const char *pf_source_root(const struct pf_source *source);
/* The journal has what this file holds: a camera's card may give it up. */
void pf_source_recorded(struct pf_source *source, const char *path);
bool pf_source_is_camera(const struct pf_source *source);
/* Asks a camera; `ask` is consumed. One thing at a time: -EBUSY, -ENOTCONN while it is started. */
int pf_source_ask(struct pf_source *source, int64_t id, json_t *ask);
/* What it was asked and has not answered yet; 0 nothing. */
int64_t pf_source_asked(const struct pf_source *source);
/* How it is, as service/http/openapi.json has Source, without its number; new, NULL on out of memory. */
json_t *pf_source_json(const struct pf_source *source);
/* What keeps it from working well, borrowed; NULL: nothing. */
const char *pf_source_trouble(const struct pf_source *source);
void pf_source_cancel(struct pf_source *source, int64_t id);
/* Sends a command to its process; consumed. What cannot be sent is dropped. */
void pf_source_say(struct pf_source *source, json_t *command);
/* Whether a person means this source by that: its name, or of a camera its serial number or port, with
 * "camera:" before it or without. */
bool pf_source_is(const struct pf_source *source, const char *called);
/* Whether its process has a camera now. */
bool pf_source_has_camera(const struct pf_source *source);
/* What one could call it; of several cameras of one name, by its serial number or port. */
const char *pf_source_called(const struct pf_source *source, char *ret, size_t size);
/* Asks it to look again at everything. */
void pf_source_scan(struct pf_source *source);
/* A scan since then has found files: one that is missing there is gone, and not its whole mount. */
bool pf_source_has_files(const struct pf_source *source, int64_t since_ms);
/* There has been no scan since then, and there will be one. */
bool pf_source_has_to_look(const struct pf_source *source, int64_t since_ms);

/* How much later than it came a frame may be told now: by a first scan that has not ended, by the
 * pause between two looks of a source that is polled, by the camera that still has it, or because its
 * file is being written, or read and made durable, alone or with all that is on its disk; 0 when it is
 * told at once. What is being written counts as long as its folder answers, and where its process has
 * ended until the next one has looked at everything, for a while. */
int64_t pf_source_delay_ms(const struct pf_source *source);
/* The same but for files that are being written. */
int64_t pf_source_look_ms(const struct pf_source *source);
/* There are frames that it has not told yet, or may be. */
bool pf_source_is_pending(const struct pf_source *source);

/* Stops or resumes listening to it, when frames cannot be recorded. */
void pf_source_pause(struct pf_source *source, bool paused);
void pf_source_reap(struct pf_source *source); /* for every SIGCHLD */
void pf_source_stop(struct pf_source *source);
bool pf_source_stopped(const struct pf_source *source);
bool pf_source_leave(struct pf_source *source); /* pf_child_leave() of its process */

#endif
