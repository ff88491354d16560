#include "capture/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "capture/folder_internal.h"
#include "capture/input.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "config/base/time.h"

enum { ALIVE_S = 10 };
/* Rest that is asked of a file after an event that says more than "it is there". One that got its name was
 * written under another: what may follow at once is a second name. */
enum { CLOSED_SHARE = 2, RENAMED_SHARE = 10 };

static void on_file_event(struct pf_folder *folder, const char *path, uint32_t mask)
{
    struct stat st;
    struct pf_file *file;
    if (!(mask & (IN_DELETE | IN_MOVED_FROM)) && stat(path, &st) == 0) {
        int64_t rest_ms = folder->settle_ms;
        if (mask & IN_MOVED_TO)
            rest_ms /= RENAMED_SHARE;
        else if (mask & IN_CLOSE_WRITE)
            rest_ms /= CLOSED_SHARE;
        if (S_ISREG(st.st_mode))
            pf_folder_found(folder, path, &st, rest_ms);
    } else if (mask & (IN_DELETE | IN_MOVED_FROM) || errno == ENOENT || errno == ELOOP) {
        file = pf_files_find(folder->files, path);
        if (file && mask & IN_MOVED_FROM)
            pf_folder_moved(folder, file);
        else if (file)
            pf_folder_gone(folder, file);
    } else {
        pf_folder_trouble(folder, path, false, errno);
    }
}

static void on_folder_event(struct pf_folder *folder, const char *path, uint32_t mask)
{
    if (mask & IN_MOVED_FROM) {
        pf_watch_remove_tree(folder->watch, path);
    } else if (mask & (IN_CREATE | IN_MOVED_TO)) {
        pf_folder_scan_beneath(folder, path);
    } else if (mask & IN_ATTRIB) {
        const struct pf_file *file = pf_files_find(folder->files, path);
        if (file && file->is_folder)
            pf_folder_scan_beneath(folder, path);
    }
}

static void on_event(void *context, const char *directory, const char *name, uint32_t mask)
{
    struct pf_folder *folder = context;
    if (mask & IN_Q_OVERFLOW) {
        pf_log_warning("%s: too many events at once, some are lost: scanning", folder->root);
        pf_folder_request_scan(folder);
        return;
    }
    if (!name) {
        if (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT) && !strcmp(directory, folder->root))
            folder->next_root_ms = 0;
        if (mask & IN_UNMOUNT)
            pf_folder_request_scan(folder);
        return;
    }
    bool is_folder = mask & IN_ISDIR;
    if (is_folder ? !folder->settings->recursive || !pf_name_is_folder(name)
                  : pf_name_kind(name) == PF_NAME_FOREIGN)
        return;
    char *path = pf_path_join(directory, name);
    if (!path)
        pf_folder_fail(folder, ENOMEM, name);
    else if (is_folder)
        on_folder_event(folder, path, mask);
    else
        on_file_event(folder, path, mask);
    free(path);
}

static int64_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The file has this verdict for as long as it is what the service says of it. */
static void take_stamp(struct pf_folder *folder, struct pf_file *file, const json_t *command,
                       enum pf_file_state state)
{
    pf_files_unqueue(folder->files, file);
    file->stamp = (struct pf_file_stamp){
        .size_bytes = number_of(command, "size_bytes"),
        .mtime_ns = number_of(command, "mtime_ns"),
        .ctime_ns = number_of(command, "ctime_ns"),
        .inode = (uint64_t)number_of(command, "inode"),
    };
    file->state = state;
    file->changed_ms = pf_monotonic_ms();
}

/* The file that a command is about; NULL: none, which has been told. */
static struct pf_file *file_of(struct pf_folder *folder, const char *name, const json_t *command)
{
    char *path = pf_json_bytes_value(json_object_get(command, "path"));
    struct pf_file *file = path ? pf_files_get(folder->files, path) : NULL;
    if (!path)
        pf_log_warning("command \"%s\" without a path", name);
    else if (!file)
        pf_folder_fail(folder, ENOMEM, path);
    free(path);
    return file;
}

static void take_known(struct pf_folder *folder, const json_t *command)
{
    struct pf_file *file = file_of(folder, "known", command);
    if (file)
        take_stamp(folder, file, command, PF_FILE_SENT);
}

/* Reading it has ended the process before this one. */
static void take_blamed(struct pf_folder *folder, const json_t *command)
{
    struct pf_file *file = file_of(folder, "blamed", command);
    if (!file)
        return;
    file->blamed = true;
    if (json_is_true(json_object_get(command, "pass")))
        take_stamp(folder, file, command, PF_FILE_REJECTED);
}

static void take_command(void *context, const char *name, const json_t *command)
{
    struct pf_folder *folder = context;
    if (!strcmp(name, "known")) {
        take_known(folder, command);
    } else if (!strcmp(name, "blamed")) {
        take_blamed(folder, command);
    } else if (!strcmp(name, "start")) {
        if (!folder->scan)
            folder->next_scan_ms = folder->next_root_ms = 0;
    } else if (!strcmp(name, "scan")) {
        folder->announce = folder->scan > 0;
        folder->next_scan_ms = 0;
    } else {
        pf_log_warning("unknown command \"%s\"", name);
    }
}

void pf_folder_alive(struct pf_folder *folder)
{
    int64_t now_ms = pf_monotonic_ms();
    if (folder->by_hand || now_ms - folder->alive_ms < folder->alive_every_ms)
        return;
    folder->alive_ms = now_ms;
    pf_folder_send(folder, json_pack("{s:s, s:i}", "event", "alive", "patience_ms", 0));
}

/* Whole ms until the next thing to do, at least 0, -1 never. */
static int next_timeout_ms(const struct pf_folder *folder)
{
    const struct pf_file *file = folder->scan ? pf_files_first(folder->files) : NULL;
    int64_t next_ms = folder->next_scan_ms;
    if (!folder->by_hand && folder->alive_ms + folder->alive_every_ms < next_ms)
        next_ms = folder->alive_ms + folder->alive_every_ms;
    if (folder->next_root_ms < next_ms)
        next_ms = folder->next_root_ms;
    if (folder->next_poll_ms < next_ms)
        next_ms = folder->next_poll_ms;
    if (file && file->due_ms < next_ms)
        next_ms = file->due_ms;
    if (next_ms == PF_FOLDER_NEVER_MS)
        return -1;
    int64_t wait_ms = next_ms - pf_monotonic_ms();
    return wait_ms < 0 ? 0 : wait_ms > 3600000 ? 3600000 : (int)wait_ms;
}

static void run_timers(struct pf_folder *folder)
{
    if (folder->next_scan_ms <= pf_monotonic_ms())
        pf_folder_scan(folder);
    if (folder->scan && folder->next_root_ms <= pf_monotonic_ms())
        pf_folder_check_root(folder);
    if (folder->next_poll_ms <= pf_monotonic_ms())
        pf_folder_poll_blind(folder);
    /* One file, then events and input again: hashing takes its time. */
    struct pf_file *file = folder->scan ? pf_files_first(folder->files) : NULL;
    if (file && file->due_ms <= pf_monotonic_ms())
        pf_folder_look(folder, file);
    if (pf_folder_is_growing(folder) != folder->told_growing)
        pf_folder_report_status(folder);
    if (folder->announce && !folder->awaited) {
        folder->announce = false;
        folder->announced = true;
        pf_folder_send(folder,
                       json_pack("{s:s, s:I, s:o, s:o}", "event", "scanned", "files",
                                 (json_int_t)folder->seen, "mounted", pf_folder_disks(folder, true),
                                 "away", pf_folder_disks(folder, false)));
    }
}

static int loop(struct pf_folder *folder, struct pf_jsonl_reader *reader, bool has_input,
                int mounts_fd, struct pf_error *err)
{
    enum { INPUT, EVENTS, MOUNTS, COUNT };
    while (!folder->failure) {
        pf_folder_alive(folder);
        struct pollfd fds[COUNT] = {
            [INPUT] = {.fd = has_input ? STDIN_FILENO : -1, .events = POLLIN},
            [EVENTS] = {.fd = folder->watch ? pf_watch_fd(folder->watch) : -1, .events = POLLIN},
            [MOUNTS] = {.fd = folder->scan ? mounts_fd : -1, .events = POLLPRI},
        };
        if (poll(fds, COUNT, next_timeout_ms(folder)) < 0 && errno != EINTR)
            return pf_fail_errno(err, errno, "waiting for events");
        int r = 0;
        if (fds[INPUT].revents) {
            r = pf_input_read(STDIN_FILENO, reader, take_command, folder, err);
            if (r <= 0)
                return r;
        }
        if (fds[MOUNTS].revents) {
            folder->next_root_ms = 0;
            pf_folder_request_scan(folder);
        }
        if (fds[EVENTS].revents) {
            folder->batch_ms = pf_monotonic_ms();
            r = pf_watch_read(folder->watch, on_event, folder);
            if (r < 0)
                return pf_fail_errno(err, -r, "reading events of %s", folder->root);
        }
        run_timers(folder);
    }
    if (folder->failure == -EPIPE)
        return 0; /* nobody listens any more */
    *err = folder->failure_error;
    return folder->failure;
}

static int check_own_folders(const struct pf_folder *folder, struct pf_error *err)
{
    struct stat root, own;
    if (stat(folder->root, &root) < 0)
        return 0;
    static const char *const names[] = {"outbox", "state directory", "spool"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (stat(folder->excluded[i].path, &own) == 0 && own.st_dev == root.st_dev &&
            own.st_ino == root.st_ino)
            return pf_fail(err, EINVAL, "%s cannot be both watched and written to: it is the %s",
                           folder->root, names[i]);
    return 0;
}

/* What lies in the folder of another source is that source's alone. */
static int find_others(struct pf_folder *folder, struct pf_error *err)
{
    const struct pf_list *sources = &folder->settings->source;
    char *root = pf_path_plain(folder->root);
    folder->others = calloc(sources->count + 1, sizeof(*folder->others));
    bool failed = !root || !folder->others;
    for (size_t i = 0; i < sources->count && !failed; i++) {
        const char *directory = pf_settings_folder(sources->items[i]);
        char *other = directory ? pf_path_plain(directory) : NULL;
        const char *rest = other ? pf_path_beneath(other, root) : NULL;
        if (rest && *rest) {
            char *path = pf_path_join(folder->root, rest);
            failed = !path;
            if (path)
                folder->others[folder->other_count++] = path;
            pf_log_info("%s: %s is left to a source of its own", folder->root, rest);
        }
        failed |= directory && !other;
        free(other);
    }
    free(root);
    return failed ? pf_fail(err, ENOMEM, "out of memory") : 0;
}

int pf_folder_run(const struct pf_settings *settings, const char *directory, struct pf_error *err)
{
    struct pf_folder folder = {
        .settings = settings,
        .settle_ms = (int64_t)(settings->settle * 1000),
        .alive_every_ms = (int64_t)(fmin(settings->folder_timeout / 4, ALIVE_S) * 1000),
        .next_scan_ms = PF_FOLDER_NEVER_MS,
        .next_root_ms = PF_FOLDER_NEVER_MS,
        .next_poll_ms = PF_FOLDER_NEVER_MS,
    };
    struct pf_jsonl_reader *reader = NULL;
    bool has_input;
    int mounts_fd = -1, r;
    folder.root = pf_path_absolute(directory);
    folder.source = pf_text("folder:%s", directory);
    folder.excluded[0].path = pf_path_absolute(settings->outbox);
    folder.excluded[1].path = pf_path_absolute(settings->state);
    folder.excluded[2].path = pf_path_absolute(settings->spool);
    if (!folder.root || !folder.source || !folder.excluded[0].path || !folder.excluded[1].path ||
        !folder.excluded[2].path || pf_files_new(&folder.files) < 0 ||
        pf_jsonl_reader_new(&reader) < 0) {
        r = pf_fail(err, ENOMEM, "out of memory");
        goto out;
    }
    r = check_own_folders(&folder, err);
    if (!r)
        r = find_others(&folder, err);
    if (r < 0)
        goto out;
    mounts_fd = pf_mounts_open();
    folder.by_hand = pf_input_is_by_hand(&has_input);
    if (folder.by_hand)
        folder.next_scan_ms = folder.next_root_ms = 0;
    r = loop(&folder, reader, has_input, mounts_fd, err);
out:
    if (mounts_fd >= 0)
        close(mounts_fd);
    pf_watch_free(folder.watch);
    pf_files_free(folder.files);
    pf_jsonl_reader_free(reader);
    while (folder.blind_count)
        free(folder.blind[--folder.blind_count]);
    free(folder.blind);
    while (folder.disk_count)
        free(folder.disks[--folder.disk_count].path);
    while (folder.other_count)
        free(folder.others[--folder.other_count]);
    free(folder.others);
    free(folder.fresh);
    free(folder.named);
    free(folder.root);
    free(folder.source);
    free(folder.excluded[0].path);
    free(folder.excluded[1].path);
    free(folder.excluded[2].path);
    return r;
}
