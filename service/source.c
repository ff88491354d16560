#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "config/options.h"
#include "service/disks.h"
#include "service/source_internal.h"
#include "service/timer.h"

#define PF_ABOUT_SOURCE(source) (&(struct pf_log_about){.source = (source)->name})
#define FEED_BYTES              (1u << 20) /* known files queued at a time */
#define RESTART_DELAY_MS        120000 /* that its process may be silent before it says again what grows */

#define CAMERA_GRACE_MS 10000 /* to end a bracket; pf_camera_run() takes 8 s for it */

struct known {
    char *path;
    int64_t size_bytes, mtime_ns, ctime_ns;
    uint64_t inode;
};

static void forget_known(struct pf_source *source)
{
    for (size_t i = 0; i < source->known_count; i++)
        free(source->known[i].path);
    free(source->known);
    source->known = NULL;
    source->known_count = source->known_capacity = source->known_told = 0;
}

static int keep_known(void *context, const struct pf_journal_file *file)
{
    struct pf_source *source = context;
    struct known *all =
        pf_with_room(source->known, &source->known_capacity, source->known_count, 1, sizeof(*all));
    if (!all)
        return -ENOMEM;
    source->known = all;
    struct known known = {
        .path = strdup(file->path),
        .size_bytes = file->size_bytes,
        .mtime_ns = file->mtime_ns,
        .ctime_ns = file->ctime_ns,
        .inode = file->inode,
    };
    if (!known.path)
        return -ENOMEM;
    source->known[source->known_count++] = known;
    return 0;
}

/* How long it may say nothing. */
static int64_t silence_of(const struct pf_source *source)
{
    return source->patience_ms > source->silence_ms ? source->patience_ms : source->silence_ms;
}

static void watch_silence(struct pf_source *source, int64_t patience_ms)
{
    source->patience_ms = patience_ms;
    if (source->silence && !source->paused)
        pf_timer_set(source->silence, silence_of(source));
}

static void on_silence(evutil_socket_t fd, short what, void *context)
{
    struct pf_source *source = context;
    (void)fd, (void)what;
    if (!pf_child_running(source->child))
        return;
    if (!source->is_camera) {
        /* A call of the system that does not come back: there is nothing to kill, and nothing to be won
         * by another process. */
        snprintf(source->silent, sizeof(source->silent),
                 "it has not answered for %.0f s: does its mount hang?",
                 (double)silence_of(source) / 1e3);
        pf_log_about(PF_LOG_ERROR, PF_ABOUT_SOURCE(source), "source %s: %s", source->name,
                     source->silent);
        event_del(source->growing);
        source->handlers.changed(source, source->context);
        source->handlers.batch(source->context);
        return;
    }
    pf_log_about(PF_LOG_ERROR, PF_ABOUT_SOURCE(source),
                 "source %s has said nothing for %.0f s: libgphoto2 hangs, its process is ended",
                 source->name, (double)silence_of(source) / 1e3);
    pf_child_kill(source->child);
}

/* It is at work: what it has said of files on their way holds for as long again. Of one whose process has
 * begun anew what was said before does, until it has looked at everything. */
static void watch_growing(struct pf_source *source)
{
    if (source->is_camera)
        return;
    if (source->pending)
        pf_timer_set(source->growing, GROWING_DELAY_MS);
    else if (source->scanned)
        event_del(source->growing);
    else if (event_pending(source->growing, EV_TIMEOUT, NULL))
        pf_timer_set(source->growing, RESTART_DELAY_MS);
}

static void on_grown(evutil_socket_t fd, short what, void *context)
{
    struct pf_source *source = context;
    (void)fd, (void)what;
    source->handlers.batch(source->context);
}

/* Tells known files until enough are queued; the rest follows when these are taken. */
static void feed(struct pf_source *source)
{
    if (source->started)
        return;
    while (source->known_told < source->known_count) {
        if (pf_child_queued_bytes(source->child) > FEED_BYTES)
            return;
        const struct known *known = &source->known[source->known_told];
        json_t *object = json_pack(
            "{s:s, s:o, s:I, s:I, s:I, s:I}", "cmd", "known", "path", pf_json_bytes(known->path),
            "size_bytes", (json_int_t)known->size_bytes, "mtime_ns", (json_int_t)known->mtime_ns,
            "ctime_ns", (json_int_t)known->ctime_ns, "inode", (json_int_t)known->inode);
        /* What is not told is read once more: no harm. */
        pf_child_send(source->child, object);
        source->known_told++;
    }
    for (size_t i = 0; i < source->blame.count; i++)
        pf_child_send(source->child, pf_blame_command(&source->blame, i));
    if (pf_child_send(source->child,
                      json_pack("{s:s, s:b}", "cmd", "start", "untold", source->is_camera)) < 0)
        pf_child_restart(source->child);
    source->started = true;
    forget_known(source);
}

static void on_started(void *context)
{
    struct pf_source *source = context;
    struct pf_error err = {0};
    forget_known(source);
    source->started = source->scanned = source->pending = false;
    json_decref(source->status);
    free(source->ended);
    source->status = NULL;
    source->ended = NULL;
    source->silent[0] = '\0';
    watch_silence(source, 0);
    int r = pf_journal_known(source->journal, source->name, keep_known, source, &err);
    if (r < 0)
        pf_log_warning("%s: the journal cannot tell the known files, all are read again: %s",
                       source->name, err.code ? err.text : strerror(-r));
    feed(source);
}

static void on_drained(void *context)
{
    feed(context);
}

static void on_status(struct pf_source *source, const json_t *event)
{
    const char *state = json_string_value(json_object_get(event, "state"));
    const char *mode = json_string_value(json_object_get(event, "mode"));
    /* What a camera has shot lies in the spool, whatever becomes of the camera. */
    source->present = source->is_camera || (state && strcmp(state, "missing") != 0);
    bool pending = source->present && json_is_true(json_object_get(event, "pending"));
    if (!source->present || (source->pending && !pending))
        event_del(source->growing);
    source->pending = pending;
    source->polling = mode && !strcmp(mode, "polling");
    json_decref(source->status);
    source->status = json_deep_copy(event);
    source->handlers.changed(source, source->context);
}

static void on_rejected(struct pf_source *source, const json_t *event)
{
    const char *reason = json_string_value(json_object_get(event, "reason"));
    char *path = pf_json_bytes_value(json_object_get(event, "path"));
    if (path)
        source->handlers.rejected(source->name, path,
                                  json_integer_value(json_object_get(event, "size_bytes")),
                                  json_integer_value(json_object_get(event, "mtime_ns")),
                                  reason ? reason : "not a frame", source->context);
    free(path);
}

static void on_answer(struct pf_source *source, const json_t *event)
{
    int64_t id = json_integer_value(json_object_get(event, "id"));
    if (id != source->asked)
        return;
    if (json_is_true(json_object_get(event, "done"))) {
        source->asked = 0;
        json_decref(source->doing);
        source->doing = NULL;
    } else if (source->doing) {
        json_object_set(source->doing, "taken", json_object_get(event, "taken"));
        json_object_set(source->doing, "frames", json_object_get(event, "frames"));
    }
    source->handlers.answer(source, id, event, source->context);
}

static void take_frame(struct pf_source *source, struct pf_record *record)
{
    pf_disks_used(source->disks, record->path);
    source->handlers.frame(record, source->context);
}

static void on_message(const json_t *event, void *context)
{
    struct pf_source *source = context;
    const char *name = json_string_value(json_object_get(event, "event"));
    struct pf_error err = {0};
    if (!name)
        return;
    int64_t patience_ms = json_integer_value(json_object_get(event, "patience_ms"));
    watch_silence(source, patience_ms);
    source->syncs = !source->is_camera && !strcmp(name, "alive") && patience_ms > 0;
    if (source->silent[0]) {
        source->silent[0] = '\0';
        pf_log_about(PF_LOG_INFO, PF_ABOUT_SOURCE(source), "source %s answers again", source->name);
        source->handlers.changed(source, source->context);
    }
    if (!strcmp(name, "frame")) {
        struct pf_record *record = NULL;
        int r = pf_record_from_json(event, &record, &err);
        if (r < 0)
            pf_log_about(PF_LOG_ERROR, PF_ABOUT_SOURCE(source), "source %s: %s", source->name,
                         err.text);
        else
            take_frame(source, record);
        if (r == -ENOMEM) /* no frame may be passed over; a new process tells it again */
            pf_child_restart(source->child);
    } else if (!strcmp(name, "looking")) {
        pf_blame_looking(&source->blame, event);
    } else if (!strcmp(name, "looked")) {
        pf_blame_looked(&source->blame);
    } else if (!strcmp(name, "rejected")) {
        on_rejected(source, event);
    } else if (!strcmp(name, "anew")) {
        free(source->anew);
        source->anew = pf_json_bytes_value(json_object_get(event, "reason"));
    } else if (!strcmp(name, "answer")) {
        on_answer(source, event);
    } else if (!strcmp(name, "status")) {
        on_status(source, event);
    } else if (!strcmp(name, "scanned")) {
        source->scanned_ms = pf_monotonic_ms();
        source->scanned_files = json_integer_value(json_object_get(event, "files"));
        pf_disks_scanned(source->disks, source->name, json_object_get(event, "mounted"),
                         json_object_get(event, "away"));
        pf_child_healthy(source->child);
        source->scanned = true;
    }
    watch_growing(source);
}

static void on_batch(void *context)
{
    struct pf_source *source = context;
    source->handlers.batch(source->context);
}

/* Its process has died, by a file if it was at one: said with its name, and twice is enough. */
static void blame(struct pf_source *source, const char *why, int retry_ms)
{
    bool of_itself = !pf_child_ended_from_outside(source->child);
    const struct pf_blamed *blamed = pf_blame_death(&source->blame, of_itself);
    char *path = blamed ? pf_json_bytes_value(json_object_get(blamed->file, "path")) : NULL;
    pf_log_about(PF_LOG_ERROR, PF_ABOUT_SOURCE(source),
                 "source %s has ended: %s%s%s; it starts again in %.1f s", source->name, why,
                 path ? ", while it was reading " : "", path ? path : "", retry_ms / 1e3);
    if (path && of_itself && blamed->deaths == PF_BLAME_DEATHS) {
        char reason[256];
        snprintf(reason, sizeof(reason),
                 "reading it has ended the process of its source %d times: %s", PF_BLAME_DEATHS,
                 why);
        pf_log_about(PF_LOG_ERROR, PF_ABOUT_SOURCE(source), "%s: rejected: %s", path, reason);
        source->handlers.rejected(
            source->name, path, json_integer_value(json_object_get(blamed->file, "size_bytes")),
            json_integer_value(json_object_get(blamed->file, "mtime_ns")), reason, source->context);
    }
    free(path);
}

static void on_ended(const char *why, int retry_ms, void *context)
{
    struct pf_source *source = context;
    int64_t asked = source->asked;
    if (source->pending && event_pending(source->growing, EV_TIMEOUT, NULL))
        pf_timer_set(source->growing, RESTART_DELAY_MS);
    source->present = source->pending = source->syncs = false;
    source->asked = 0;
    json_decref(source->doing);
    json_decref(source->status);
    source->doing = source->status = NULL;
    free(source->ended);
    bool planned = source->anew != NULL; /* which its process has logged */
    source->ended = planned ? source->anew : strdup(why);
    source->anew = NULL;
    if (asked)
        source->handlers.answer(source, asked, NULL, source->context);
    if (source->silence)
        event_del(source->silence);
    if (retry_ms >= 0) {
        if (!planned)
            blame(source, why, retry_ms);
        source->handlers.changed(source, source->context);
    }
}

int pf_source_new(struct pf_source **ret, struct event_base *base, struct pf_journal *journal,
                  struct pf_disks *disks, const struct pf_settings *settings, const char *name,
                  const struct pf_source_handlers *handlers, void *context, struct pf_error *err)
{
    static const struct pf_child_handlers child_handlers = {
        .started = on_started,
        .message = on_message,
        .batch = on_batch,
        .drained = on_drained,
        .ended = on_ended,
    };
    /* The outbox and the state directory may lie inside the folder: the child leaves them out. */
    struct pf_options options = {0};
    int r = 0;
    struct pf_source *source = calloc(1, sizeof(*source));
    if (source) {
        const char *folder = pf_settings_folder(name);
        source->name = strdup(name);
        source->root = pf_path_absolute(folder ? folder : settings->spool);
    }
    if (!source || !source->name || !source->root) {
        pf_source_free(source);
        return pf_fail(err, ENOMEM, "out of memory for source %s", name);
    }
    source->journal = journal;
    source->disks = disks;
    source->look_ms = (int64_t)((settings->poll_interval + settings->settle) * 1000);
    source->handlers = *handlers;
    source->context = context;
    source->is_camera = pf_settings_camera(name);
    source->silence_ms =
        (int64_t)((source->is_camera ? settings->camera_timeout : settings->folder_timeout) * 1000);
    source->silence = evtimer_new(base, on_silence, source);
    source->growing = evtimer_new(base, on_grown, source);
    if (!source->silence || !source->growing)
        r = pf_fail(err, ENOMEM, "out of memory for source %s", name);
    if (!r)
        r = pf_options_add(&options, "capture", err);
    if (!r)
        r = pf_options_add(&options, name, err);
    if (!r)
        r = pf_options_add_section(&options, settings, "capture", err);
    if (!r && source->is_camera)
        r = pf_options_add_list(&options, settings, "capture_target_of", err);
    if (!r) /* a camera that takes any leaves those that are named, a folder those that lie in it */
        r = pf_options_add_list(&options, settings, "source", err);
    if (!r)
        r = pf_options_add_keys(&options, settings,
                                "outbox state sandbox max_megapixels log_format log_level", err);
    if (!r)
        r = pf_child_new(&source->child, base, (const char *const *)options.items, &child_handlers,
                         source, err);
    pf_options_free(&options);
    if (r < 0) {
        pf_source_free(source);
        return r;
    }
    if (source->is_camera)
        pf_child_set_grace(source->child, CAMERA_GRACE_MS);
    pf_child_start(source->child);
    *ret = source;
    return 0;
}

struct pf_source *pf_source_free(struct pf_source *source)
{
    if (!source)
        return NULL;
    pf_child_free(source->child);
    forget_known(source);
    pf_blame_free(&source->blame);
    if (source->silence)
        event_free(source->silence);
    if (source->growing)
        event_free(source->growing);
    json_decref(source->status);
    json_decref(source->doing);
    free(source->ended);
    free(source->anew);
    free(source->name);
    free(source->root);
    free(source);
    return NULL;
}

void pf_source_recorded(struct pf_source *source, const char *path)
{
    if (source->is_camera && source->started)
        pf_child_send(source->child,
                      json_pack("{s:s, s:o}", "cmd", "recorded", "path", pf_json_bytes(path)));
}

int pf_source_ask(struct pf_source *source, int64_t id, json_t *ask)
{
    int r = source->asked ? -EBUSY : !source->started ? -ENOTCONN : 0;
    json_t *doing = json_deep_copy(ask);
    if (!r && ask &&
        !(json_object_set_new(ask, "cmd", json_string("ask")) |
          json_object_set_new(ask, "id", json_integer(id))))
        r = pf_child_send(source->child, ask);
    else
        json_decref(ask);
    if (r < 0) {
        json_decref(doing);
        return r;
    }
    source->asked = id;
    json_decref(source->doing);
    source->doing = doing;
    return 0;
}

void pf_source_cancel(struct pf_source *source, int64_t id)
{
    if (source->asked == id)
        pf_child_send(source->child,
                      json_pack("{s:s, s:I}", "cmd", "cancel", "id", (json_int_t)id));
}

void pf_source_say(struct pf_source *source, json_t *command)
{
    if (source->started)
        pf_child_send(source->child, command);
    else
        json_decref(command);
}

void pf_source_scan(struct pf_source *source)
{
    if (source->started)
        pf_child_send(source->child, json_pack("{s:s}", "cmd", "scan"));
}

void pf_source_pause(struct pf_source *source, bool paused)
{
    source->paused = paused;
    pf_child_pause(source->child, paused);
    if (source->silence && paused)
        event_del(source->silence);
    else if (!paused)
        watch_silence(source, source->patience_ms);
}

void pf_source_reap(struct pf_source *source)
{
    pf_child_reap(source->child);
}

void pf_source_stop(struct pf_source *source)
{
    if (source->silence)
        event_del(source->silence);
    pf_child_stop(source->child);
}

bool pf_source_leave(struct pf_source *source)
{
    char whose[256];
    snprintf(whose, sizeof(whose), "source %s", source->name);
    return pf_child_leave(source->child, whose);
}
