#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "capture/folder_internal.h"
#include "capture/look.h"
#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"

enum {
    LOOK_AGAIN_MS = 250, /* at an incomplete file, doubling */
    LOOK_AGAIN_MAX_MS = 5000,
    TROUBLE_MS = 1000, /* between two tries, doubling */
    TROUBLE_MAX_MS = 60000,
    BLAMED_MS = 2000,         /* what may take us down waits until all else at hand has been told */
    GROWING_MOST_MS = 600000, /* that a file counts as one on its way */
    TRAILER_RESTS = 10, /* settling times granted to what may still be written behind the picture */
    LOOK_BYTES_PER_MS = 1000, /* of a slow share */
};

void pf_folder_fail(struct pf_folder *folder, int code, const char *what)
{
    if (!folder->failure)
        folder->failure = pf_fail_errno(&folder->failure_error, code, "%s", what);
}

void pf_folder_send(struct pf_folder *folder, json_t *report)
{
    struct pf_error err = {0};
    int r = pf_jsonl_send(STDOUT_FILENO, report, &err);
    if (r < 0 && !folder->failure) {
        folder->failure = r;
        folder->failure_error = err;
    }
}

static void queue(struct pf_folder *folder, struct pf_file *file, int64_t due_ms)
{
    if (file->blamed)
        due_ms += BLAMED_MS;
    if (pf_files_queue(folder->files, file, due_ms) < 0)
        pf_folder_fail(folder, ENOMEM, file->path);
}

static void has_verdict(struct pf_folder *folder, struct pf_file *file)
{
    if (file->awaited) {
        file->awaited = false;
        folder->awaited--;
    }
}

static void seen_growing(struct pf_file *file)
{
    if (!file->grows_ms)
        file->grows_ms = pf_monotonic_ms();
}

static void count(bool is, bool *counted, size_t *of)
{
    *of += (size_t)is - (size_t)*counted;
    *counted = is;
}

/* After whatever may have changed what it counts as. */
static void count_growing(struct pf_folder *folder, struct pf_file *file)
{
    bool decided = file->state != PF_FILE_PENDING && file->state != PF_FILE_TROUBLE;
    if (decided || file->gone || file->is_folder ||
        pf_name_kind(pf_base_name(file->path)) != PF_NAME_IMAGE)
        file->grows_ms = file->unseen_ms = 0;
    bool tired = file->grows_ms && pf_monotonic_ms() - file->grows_ms >= GROWING_MOST_MS;
    count(file->grows_ms && !tired, &file->growing, &folder->growing);
    count(file->unseen_ms && !tired, &file->unseen, &folder->unseen);
}

bool pf_folder_is_growing(const struct pf_folder *folder)
{
    return folder->growing || (folder->told_growing && folder->unseen);
}

/* Taken as changed at `now_ms`: it has to rest again. */
static void rest_again(struct pf_folder *folder, struct pf_file *file, int64_t now_ms,
                       int64_t rest_ms)
{
    /* While it was waiting for a look, and not within the moment that a quick copy takes. */
    if (file->queue_index && (!file->unseen_ms || now_ms - file->unseen_ms >= folder->settle_ms))
        seen_growing(file);
    if (!file->unseen_ms)
        file->unseen_ms = now_ms;
    file->state = PF_FILE_PENDING;
    file->changed_ms = now_ms;
    file->wait_ms = 0;
    queue(folder, file, now_ms + rest_ms);
    count_growing(folder, file);
}

/* The file with its stamp brought up to date; *ret_changed if it is new or another one now. */
static struct pf_file *take_stamp(struct pf_folder *folder, const char *path, const struct stat *st,
                                  bool *ret_changed)
{
    struct pf_file *file = pf_files_get(folder->files, path);
    if (!file) {
        pf_folder_fail(folder, ENOMEM, path);
        return NULL;
    }
    struct pf_file_stamp stamp = pf_file_stamp_of(st);
    *ret_changed = !file->changed_ms || !pf_file_stamp_equal(&stamp, &file->stamp);
    if (*ret_changed)
        folder->found_new = true;
    file->stamp = stamp;
    file->gone = file->is_folder = false;
    return file;
}

void pf_folder_found(struct pf_folder *folder, const char *path, const struct stat *st,
                     int64_t rest_ms)
{
    bool changed;
    struct pf_file *file = take_stamp(folder, path, st, &changed);
    if (!file)
        return;
    int64_t due_ms = folder->batch_ms + (file->state == PF_FILE_TROUBLE ? 0 : rest_ms);
    if (changed)
        rest_again(folder, file, folder->batch_ms, rest_ms);
    else if (file->state == PF_FILE_PENDING || file->state == PF_FILE_TROUBLE)
        if (!file->queue_index || due_ms < file->due_ms)
            queue(folder, file, due_ms);
}

static bool make_fresh(struct pf_folder *folder, struct pf_file *file)
{
    struct pf_file **fresh = pf_with_room(folder->fresh, &folder->fresh_capacity,
                                          folder->fresh_count, 1, sizeof(struct pf_file *));
    if (!fresh) {
        pf_folder_fail(folder, ENOMEM, file->path);
        return false;
    }
    folder->fresh = fresh;
    folder->fresh[folder->fresh_count++] = file;
    return true;
}

void pf_folder_scanned(struct pf_folder *folder, const char *path, const struct stat *st)
{
    bool changed;
    struct pf_file *file = take_stamp(folder, path, st, &changed);
    if (!file)
        return;
    if (folder->full_scan)
        file->scan = folder->scan;
    if (changed || (!file->queue_index && file->state == PF_FILE_PENDING)) {
        file->state = PF_FILE_PENDING;
        file->changed_ms = pf_monotonic_ms(); /* until it is queued */
        if (!make_fresh(folder, file))
            return;
    } else if (!file->queue_index && file->state == PF_FILE_TROUBLE) {
        queue(folder, file, pf_monotonic_ms());
    }
    if (folder->full_scan && file->state == PF_FILE_PENDING && !file->awaited) {
        file->awaited = true;
        folder->awaited++;
    }
}

void pf_folder_queue_fresh(struct pf_folder *folder)
{
    int64_t now_ms = pf_monotonic_ms();
    for (size_t i = 0; i < folder->fresh_count; i++)
        rest_again(folder, folder->fresh[i], now_ms, folder->settle_ms);
    folder->fresh_count = 0;
}

/* After it was looked at: what is not whole, or cannot be read, and was written a moment ago is on its
 * way, too: some lock what they write. */
static void judge_growing(struct pf_folder *folder, struct pf_file *file)
{
    int64_t age_ms = pf_wall_ms() - file->stamp.mtime_ns / 1000000;
    if (age_ms < (int64_t)(folder->settings->incomplete_after * 1000))
        seen_growing(file);
    else if (file->state == PF_FILE_TROUBLE)
        file->grows_ms = 0;
    count_growing(folder, file);
}

void pf_folder_gone(struct pf_folder *folder, struct pf_file *file)
{
    has_verdict(folder, file);
    pf_files_unqueue(folder->files, file);
    file->gone = true;
    count_growing(folder, file);
}

void pf_folder_moved(struct pf_folder *folder, struct pf_file *file)
{
    if (file->growing)
        queue(folder, file, folder->batch_ms + folder->settle_ms);
    else
        pf_folder_gone(folder, file);
}

static json_t *report(const char *event, const char *path, const char *reason)
{
    json_t *object = json_object();
    if (json_object_set_new(object, "event", json_string(event)) |
        json_object_set_new(object, "path", pf_json_bytes(path)) |
        json_object_set_new(object, "reason", pf_json_bytes(reason))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* Whether this was not yet said of the file; and that it is said now. */
static bool say_once(struct pf_file *file, const char *reason, const struct pf_file_stamp *stamp)
{
    uint64_t hash = XXH3_64bits(reason, strlen(reason));
    if (stamp)
        hash = XXH3_64bits_withSeed(stamp, offsetof(struct pf_file_stamp, ctime_ns), hash);
    hash |= 1;
    bool is_new = hash != file->said_hash;
    file->said_hash = hash;
    return is_new;
}

static void trouble(struct pf_folder *folder, struct pf_file *file, const char *reason)
{
    if (say_once(file, reason, NULL)) {
        pf_log_warning("%s: %s", file->path, reason);
        pf_folder_send(folder, report("trouble", file->path, reason));
    }
    file->state = PF_FILE_TROUBLE;
    file->wait_ms = pf_back_off_ms(file->wait_ms, TROUBLE_MS, TROUBLE_MAX_MS);
    queue(folder, file, pf_monotonic_ms() + file->wait_ms);
}

void pf_folder_trouble(struct pf_folder *folder, const char *path, bool is_folder, int code)
{
    struct pf_file *file = pf_files_get(folder->files, path);
    if (!file) {
        pf_folder_fail(folder, ENOMEM, path);
        return;
    }
    if (!file->changed_ms || file->state != PF_FILE_TROUBLE)
        file->wait_ms = 0;
    file->changed_ms = pf_monotonic_ms();
    file->is_folder = is_folder;
    file->gone = false;
    if (folder->full_scan)
        file->scan = folder->scan;
    has_verdict(folder, file);
    trouble(folder, file, strerror(code));
    judge_growing(folder, file);
}

static void reject(struct pf_folder *folder, struct pf_file *file, const char *reason)
{
    file->state = PF_FILE_REJECTED;
    file->sent_hash = 0; /* the frame that it was is news when it is one again */
    if (!say_once(file, reason, &file->stamp))
        return;
    pf_log_warning("%s: rejected: %s", file->path, reason);
    json_t *object = report("rejected", file->path, reason);
    if (object && (json_object_set_new(object, "size_bytes", json_integer(file->stamp.size_bytes)) |
                   json_object_set_new(object, "mtime_ns", json_integer(file->stamp.mtime_ns)))) {
        json_decref(object);
        object = NULL;
    }
    pf_folder_send(folder, object);
}

static void send_frame(struct pf_folder *folder, struct pf_file *file, struct pf_record *record)
{
    uint64_t hash = XXH3_64bits(record->id.text, strlen(record->id.text)) | 1;
    file->state = PF_FILE_SENT;
    file->said_hash = 0;
    if (hash == file->sent_hash)
        return; /* touched, linked or chmod'ed: still the frame that was sent */
    file->sent_hash = hash;
    record->arrival_ms = pf_monotonic_ms();
    pf_folder_send(folder, pf_record_to_json(record));
}

static void look_again(struct pf_folder *folder, struct pf_file *file, int64_t deadline_ms)
{
    file->wait_ms = pf_back_off_ms(file->wait_ms, LOOK_AGAIN_MS, LOOK_AGAIN_MAX_MS);
    int64_t due_ms = pf_monotonic_ms() + file->wait_ms;
    queue(folder, file, due_ms < deadline_ms ? due_ms : deadline_ms);
}

/* Until when a whole one waits for what may still be written behind its picture or into it; 0: it does
 * not. */
static int64_t waits_until_ms(const struct pf_folder *folder, const struct pf_file *file,
                              const struct pf_frame *frame)
{
    int64_t wait_ms = frame->hollow ? (int64_t)(folder->settings->incomplete_after * 1000)
                      : frame->trailer_missing ? folder->settle_ms * TRAILER_RESTS
                                               : 0;
    int64_t until_ms = file->changed_ms + wait_ms;
    return wait_ms && pf_monotonic_ms() < until_ms ? until_ms : 0;
}

/* A stack that came back would join the burst that it was made of. Said once of a directory. */
static void leave_result(struct pf_folder *folder, struct pf_file *file)
{
    size_t length = (size_t)(pf_base_name(file->path) - file->path);
    uint64_t hash = XXH3_64bits(file->path, length) | 1;
    if (hash != folder->results_hash)
        pf_log_info("%.*s: results of parfocal are left alone", (int)length, file->path);
    folder->results_hash = hash;
    file->state = PF_FILE_LEFT;
    file->sent_hash = 0;
}

static void decide(struct pf_folder *folder, struct pf_file *file, const struct pf_frame *frame)
{
    /* Without an image's name only content that claims to be one is worth a word. */
    bool claims = frame->format || pf_name_kind(pf_base_name(file->path)) == PF_NAME_IMAGE;
    int64_t now_ms = pf_monotonic_ms(), deadline_ms = file->changed_ms;

    switch (frame->verdict) {
    case PF_FRAME_WHOLE:
        send_frame(folder, file, frame->record);
        break;
    case PF_FRAME_RESULT:
        leave_result(folder, file);
        break;
    case PF_FRAME_NOT_YET:
        deadline_ms += (int64_t)(folder->settings->incomplete_after * 1000);
        if (!claims)
            file->state = PF_FILE_LEFT;
        else if (now_ms < deadline_ms)
            look_again(folder, file, deadline_ms);
        else
            reject(folder, file, frame->reason.text);
        break;
    case PF_FRAME_NEVER:
        reject(folder, file, frame->reason.text);
        break;
    case PF_FRAME_FOREIGN:
        if (claims && !frame->format) {
            reject(folder, file, frame->reason.text);
            break;
        }
        file->state = PF_FILE_LEFT;
        if (frame->format)
            pf_log_info("%s: left alone: %s", file->path, frame->reason.text);
        break;
    case PF_FRAME_CHANGED:
        seen_growing(file);
        rest_again(folder, file, pf_monotonic_ms(), folder->settle_ms);
        break;
    case PF_FRAME_GONE:
        pf_folder_gone(folder, file);
        break;
    case PF_FRAME_TROUBLE:
        trouble(folder, file, frame->reason.text);
        break;
    }
}

/* Before a file is read, and after what came of it was told: who dies in between dies by it, and bursts
 * wait for it. */
static void say_looking(struct pf_folder *folder, const struct pf_file *file)
{
    json_t *object = json_object();
    int64_t patience_ms = (int64_t)(folder->settings->folder_timeout * 1000) +
                          file->stamp.size_bytes / LOOK_BYTES_PER_MS;
    if (folder->by_hand) {
        json_decref(object);
        return;
    }
    if (json_object_set_new(object, "event", json_string("looking")) |
        json_object_set_new(object, "path", pf_json_bytes(file->path)) |
        json_object_set_new(object, "patience_ms", json_integer(patience_ms)) |
        json_object_set_new(object, "size_bytes", json_integer(file->stamp.size_bytes)) |
        json_object_set_new(object, "mtime_ns", json_integer(file->stamp.mtime_ns)) |
        json_object_set_new(object, "ctime_ns", json_integer(file->stamp.ctime_ns)) |
        json_object_set_new(object, "inode", json_integer((json_int_t)file->stamp.inode))) {
        json_decref(object);
        object = NULL;
    }
    pf_folder_send(folder, object);
}

static void say_looked(struct pf_folder *folder)
{
    if (!folder->by_hand)
        pf_folder_send(folder, json_pack("{s:s}", "event", "looked"));
}

static void look_at_file(struct pf_folder *folder, struct pf_file *file)
{
    struct stat st;
    if (stat(file->path, &st) < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
            pf_folder_gone(folder, file);
        else
            trouble(folder, file, strerror(errno));
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        pf_folder_gone(folder, file);
        return;
    }
    struct pf_file_stamp stamp = pf_file_stamp_of(&st);
    if (!pf_file_stamp_equal(&stamp, &file->stamp)) {
        file->stamp = stamp;
        seen_growing(file);
        rest_again(folder, file, pf_monotonic_ms(), folder->settle_ms);
        return;
    }
    struct pf_frame frame;
    struct pf_error err = {0};
    say_looking(folder, file);
    int r = pf_look(folder->settings, file->path, folder->source, &stamp, &frame, &err);
    if (r < 0) {
        pf_folder_fail(folder, -r, err.text);
        return;
    }
    file->blamed = false;
    bool is_whole = frame.verdict == PF_FRAME_WHOLE;
    int64_t until_ms = is_whole ? waits_until_ms(folder, file, &frame) : 0;
    if (is_whole && !until_ms)
        pf_folder_make_durable(folder, file, &frame);
    if (until_ms)
        look_again(folder, file, until_ms);
    else
        decide(folder, file, &frame);
    say_looked(folder);
    pf_record_free(frame.record);
}

void pf_folder_look(struct pf_folder *folder, struct pf_file *file)
{
    pf_files_unqueue(folder->files, file);
    if (file->is_folder) {
        /* Said again only if the reason is another one; removed when it can be read, and its path
         * with it. */
        char *path = strdup(file->path);
        if (path)
            pf_folder_scan_beneath(folder, path);
        else
            pf_folder_fail(folder, ENOMEM, file->path);
        free(path);
        return;
    }
    file->unseen_ms = 0;
    look_at_file(folder, file);
    has_verdict(folder, file);
    judge_growing(folder, file);
}
