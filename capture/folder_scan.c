#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/folder_internal.h"
#include "capture/scan.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"

enum {
    REQUEST_MS = 100,       /* from a request to its scan, doubling while they come in a row */
    REQUEST_MAX_MS = 10000, /* a pause this long takes it back to the start */
    SCAN_SHARE = 4,         /* polling waits this many times as long as it takes */
    GONE_KEPT = 1000, /* vanished files remembered beyond the number of those that are there */
};

static void forget_excluded(struct pf_folder *folder)
{
    for (size_t i = 0; i < sizeof(folder->excluded) / sizeof(folder->excluded[0]); i++)
        folder->excluded[i].found = false;
}

static bool is_excluded(struct pf_folder *folder, const struct stat *st)
{
    for (size_t i = 0; i < sizeof(folder->excluded) / sizeof(folder->excluded[0]); i++) {
        struct pf_folder_excluded *own = &folder->excluded[i];
        struct stat now;
        /* It may be made at any time: look until it is there. */
        if (!own->found && own->path && stat(own->path, &now) == 0) {
            own->found = true;
            own->device = now.st_dev;
            own->inode = now.st_ino;
        }
        if (own->found && own->device == st->st_dev && own->inode == st->st_ino)
            return true;
    }
    return false;
}

/* By name: one that is looked at may lie on a mount that is dead. */
static bool is_another(const struct pf_folder *folder, const char *path)
{
    for (size_t i = 0; i < folder->other_count; i++)
        if (!strcmp(folder->others[i], path))
            return true;
    return false;
}

static void add_blind(struct pf_folder *folder, const char *path, const char *kind)
{
    for (size_t i = 0; i < folder->blind_count; i++)
        if (pf_path_beneath(path, folder->blind[i]))
            return;
    char **blind = realloc(folder->blind, (folder->blind_count + 1) * sizeof(*blind));
    if (blind)
        folder->blind = blind;
    char *copy = blind ? strdup(path) : NULL;
    if (!copy) {
        pf_folder_fail(folder, ENOMEM, path);
        return;
    }
    if (!folder->blind_count)
        folder->blind_name = kind;
    folder->blind[folder->blind_count++] = copy;
}

static void clear_blind(struct pf_folder *folder)
{
    while (folder->blind_count)
        free(folder->blind[--folder->blind_count]);
}

static void see_disk(struct pf_folder *folder, const char *path, dev_t device)
{
    for (size_t i = 0; i < folder->disk_count; i++) {
        struct pf_folder_disk *disk = &folder->disks[i];
        bool same = !strcmp(path, disk->path);
        if (!same && (disk->device != device || !pf_path_beneath(path, disk->path)))
            continue;
        disk->device = device;
        disk->there = true;
        return;
    }
    if (folder->disk_count == PF_FOLDER_DISKS)
        return;
    char *copy = strdup(path);
    if (copy)
        folder->disks[folder->disk_count++] = (struct pf_folder_disk){copy, device, true};
    else
        pf_folder_fail(folder, ENOMEM, path);
}

json_t *pf_folder_disks(const struct pf_folder *folder, bool there)
{
    json_t *disks = json_array();
    int failed = 0;
    for (size_t i = 0; i < folder->disk_count; i++)
        if (folder->disks[i].there == there)
            failed |= json_array_append_new(disks, pf_json_bytes(folder->disks[i].path));
    if (!failed)
        return disks;
    json_decref(disks);
    return NULL;
}

static bool on_folder(void *context, const char *path, int fd, const struct stat *st)
{
    struct pf_folder *folder = context;
    pf_folder_alive(folder);
    bool is_root = !strcmp(path, folder->root);
    if (folder->failure || (!is_root && (is_another(folder, path) || is_excluded(folder, st))))
        return false;
    struct pf_file *trouble = pf_files_find(folder->files, path);
    if (trouble && trouble->is_folder)
        pf_files_remove(folder->files, trouble);
    if (is_root) {
        folder->root_read = true;
        folder->root_device = st->st_dev;
        folder->root_inode = st->st_ino;
    } else if (st->st_dev != folder->root_device) {
        see_disk(folder, path, st->st_dev);
    }
    if (!folder->watch)
        return true;
    if (folder->settings->poll == PF_POLL_AUTO) {
        const char *blind = pf_mounts_blind(&folder->mounts, st->st_dev, fd);
        if (blind) {
            add_blind(folder, path, blind);
            return true;
        }
    }
    int r = pf_watch_add(folder->watch, path, is_root);
    if (r == -ENOSPC)
        folder->unwatched++;
    else if (r == -ENOMEM)
        pf_folder_fail(folder, ENOMEM, path);
    return true;
}

static void on_file(void *context, const char *path, enum pf_name_kind kind, const struct stat *st)
{
    struct pf_folder *folder = context;
    (void)kind;
    pf_folder_alive(folder);
    folder->seen++;
    if (!folder->failure)
        pf_folder_scanned(folder, path, st);
}

/* It is not there, or can be opened but not listed to its end; the status says it. */
static void root_unread(struct pf_folder *folder, int code)
{
    folder->root_read = false;
    folder->root_code = code;
}

static void on_trouble(void *context, const char *path, bool is_folder, int code)
{
    struct pf_folder *folder = context;
    if (!strcmp(path, folder->root))
        root_unread(folder, code);
    else if (!folder->failure)
        pf_folder_trouble(folder, path, is_folder, code);
}

static const struct pf_scan_handlers handlers = {
    .folder = on_folder, .file = on_file, .trouble = on_trouble};

static bool polls_everything(const struct pf_folder *folder)
{
    if (folder->settings->poll == PF_POLL_NEVER)
        return false;
    return !folder->watch || folder->unwatched ||
           (folder->blind_count && !strcmp(folder->blind[0], folder->root));
}

void pf_folder_report_status(struct pf_folder *folder)
{
    bool polling = polls_everything(folder);
    const char *state = "ok";
    char reason[300] = "";
    if (!folder->root_read) {
        state = "missing";
        snprintf(reason, sizeof(reason), "%s", strerror(folder->root_code));
    } else if (!folder->watch && folder->settings->poll != PF_POLL_ALWAYS) {
        state = "degraded";
        snprintf(reason, sizeof(reason),
                 "%.160s: no watch can be set up (fs.inotify.max_user_instances)%s",
                 folder->watch_error.text, polling ? "; polling" : ", and polling is switched off");
    } else if (folder->unwatched) {
        state = "degraded";
        snprintf(reason, sizeof(reason),
                 "watch limit reached (fs.inotify.max_user_watches), some folders have no watch%s",
                 polling ? "; polling" : ", and polling is switched off");
    } else if (folder->settings->poll == PF_POLL_ALWAYS) {
        snprintf(reason, sizeof(reason), "poll = always");
    } else if (folder->blind_count) {
        snprintf(
            reason, sizeof(reason), "%.160s is %s, where changes may raise no event; polling%s",
            polling ? "the folder" : folder->blind[0], folder->blind_name, polling ? "" : " there");
    }
    const char *mode = polling ? "polling" : "inotify";
    char status[sizeof(folder->status)];
    snprintf(status, sizeof(status), "%s, %s%s%s", mode, state, reason[0] ? ": " : "", reason);
    bool same = !strcmp(status, folder->status), growing = pf_folder_is_growing(folder);
    if (same && growing == folder->told_growing)
        return;
    memcpy(folder->status, status, sizeof(status));
    folder->told_growing = growing;
    if (!same && strcmp(state, "ok"))
        pf_log_warning("%s: %s", folder->root, status);
    else if (!same)
        pf_log_info("%s: %s", folder->root, status);

    json_t *object = json_object();
    size_t watches = folder->watch ? pf_watch_count(folder->watch) : 0;
    if (json_object_set_new(object, "event", json_string("status")) |
        json_object_set_new(object, "source", pf_json_bytes(folder->source)) |
        json_object_set_new(object, "mode", json_string(mode)) |
        json_object_set_new(object, "state", json_string(state)) |
        json_object_set_new(object, "reason", pf_json_bytes(reason)) |
        json_object_set_new(object, "pending", json_boolean(growing)) |
        json_object_set_new(object, "watches", json_integer((json_int_t)watches))) {
        json_decref(object);
        object = NULL;
    }
    pf_folder_send(folder, object);
}

struct census {
    struct pf_folder *folder;
    size_t there, gone;
};

static void count_file(void *context, struct pf_file *file)
{
    struct census *census = context;
    if (!file->gone && file->scan != census->folder->scan)
        pf_folder_gone(census->folder, file);
    census->gone += file->gone;
    census->there += !file->gone;
}

static void open_watch(struct pf_folder *folder)
{
    if (folder->watch || folder->settings->poll == PF_POLL_ALWAYS)
        return;
    struct pf_error err = {0};
    if (pf_watch_new(&folder->watch, &err) < 0)
        folder->watch_error = err;
}

static int64_t seconds_to_ms(double seconds)
{
    return (int64_t)(seconds * 1000);
}

static int64_t poll_wait_ms(const struct pf_folder *folder, int64_t took_ms)
{
    int64_t interval_ms = seconds_to_ms(folder->settings->poll_interval);
    return took_ms * SCAN_SHARE > interval_ms ? took_ms * SCAN_SHARE : interval_ms;
}

void pf_folder_scan(struct pf_folder *folder)
{
    int64_t start_ms = pf_monotonic_ms();
    struct pf_error err = {0};
    open_watch(folder);
    folder->scan++;
    folder->full_scan = true;
    folder->root_read = folder->found_new = folder->scan_requested = false;
    folder->seen = folder->unwatched = 0;
    folder->mounts.count = 0;
    for (size_t i = 0; i < folder->disk_count; i++)
        folder->disks[i].there = false;
    forget_excluded(folder);
    clear_blind(folder);
    if (folder->watch)
        pf_watch_sweep_begin(folder->watch);

    int r = pf_scan(folder->root, true, folder->settings->recursive, &handlers, folder, &err);
    if (r == -ENOMEM)
        pf_folder_fail(folder, ENOMEM, err.text);
    else if (r < 0)
        root_unread(folder, -r);
    folder->full_scan = false;
    pf_folder_queue_fresh(folder);
    if (folder->watch)
        pf_watch_sweep_end(folder->watch);
    if (folder->root_read) {
        /* A root that is missing says nothing about its files; one that was read does. */
        struct census census = {.folder = folder};
        pf_files_each(folder->files, count_file, &census);
        if (census.gone > census.there + GONE_KEPT)
            pf_files_forget_gone(folder->files);
    }
    pf_folder_report_status(folder);
    folder->announce |= folder->root_read && (folder->found_new || !folder->announced);

    int64_t now_ms = pf_monotonic_ms(), wait_ms = poll_wait_ms(folder, now_ms - start_ms);
    bool polling = polls_everything(folder);
    folder->next_scan_ms =
        now_ms + (polling ? wait_ms : seconds_to_ms(folder->settings->rescan_interval));
    folder->next_poll_ms = !polling && folder->blind_count ? now_ms + wait_ms : PF_FOLDER_NEVER_MS;
}

void pf_folder_scan_beneath(struct pf_folder *folder, const char *path)
{
    struct pf_error err = {0};
    size_t unwatched = folder->unwatched;
    forget_excluded(folder); /* they may be new ones */
    int r = pf_scan(path, false, true, &handlers, folder, &err);
    pf_folder_queue_fresh(folder);
    if (r == -ENOMEM) {
        pf_folder_fail(folder, ENOMEM, err.text);
    } else if (r < 0) {
        struct pf_file *file = pf_files_find(folder->files, path);
        if (file)
            pf_folder_gone(folder, file);
    }
    if (folder->unwatched != unwatched) {
        pf_folder_report_status(folder);
        if (polls_everything(folder))
            pf_folder_request_scan(folder);
    }
}

void pf_folder_poll_blind(struct pf_folder *folder)
{
    int64_t start_ms = pf_monotonic_ms();
    /* The list may grow meanwhile; its strings stay where they are. */
    for (size_t i = 0, count = folder->blind_count; i < count; i++)
        pf_folder_scan_beneath(folder, folder->blind[i]);
    int64_t now_ms = pf_monotonic_ms();
    folder->next_poll_ms = now_ms + poll_wait_ms(folder, now_ms - start_ms);
}

void pf_folder_check_root(struct pf_folder *folder)
{
    struct stat st;
    bool there = stat(folder->root, &st) == 0;
    bool changed = there && folder->root_read &&
                   (st.st_dev != folder->root_device || st.st_ino != folder->root_inode);
    if (changed)
        pf_log_info("%s: another folder is there now", folder->root);
    if (there != folder->root_read || changed)
        pf_folder_scan(folder);
    double interval = folder->settings->poll_interval < folder->settings->rescan_interval
                          ? folder->settings->poll_interval
                          : folder->settings->rescan_interval;
    folder->next_root_ms = pf_monotonic_ms() + seconds_to_ms(interval);
}

void pf_folder_request_scan(struct pf_folder *folder)
{
    if (folder->scan_requested)
        return;
    int64_t now_ms = pf_monotonic_ms();
    bool in_a_row = folder->request_wait_ms &&
                    now_ms - folder->last_request_ms < folder->request_wait_ms + REQUEST_MAX_MS;
    folder->request_wait_ms =
        pf_back_off_ms(in_a_row ? folder->request_wait_ms : 0, REQUEST_MS, REQUEST_MAX_MS);
    folder->last_request_ms = now_ms;
    folder->scan_requested = true;
    if (folder->next_scan_ms > now_ms + folder->request_wait_ms)
        folder->next_scan_ms = now_ms + folder->request_wait_ms;
}
