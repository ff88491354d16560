#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "capture/camera_internal.h"
#include "capture/look.h"
#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "config/base/time.h"

enum {
    PART_BYTES = 1 << 20, /* what libgphoto2 asks a camera for at a time */
    AGAIN_MS = 250,       /* until an incomplete or busy file is asked for again, doubling */
    AGAIN_MAX_MS = 5000,
    PATIENT_MS = 60000,  /* most, for a file at which the link breaks again and again */
    PATIENT_AFTER = 3,   /* attempts */
    LATE_MS = 1000,      /* until what could not be told from the spool is tried again, doubling */
    UNCHANGED_MS = 1500, /* a size too small that no event corrects is asked for anew after this */
};

struct download {
    struct pf_camera *camera;
    int fd;
    int64_t done_bytes;
    int code; /* errno of writing */
};

static int write_part(struct download *download, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(download->fd, (const char *)bytes + done, size - done,
                           download->done_bytes + (int64_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            download->code = errno;
            return GP_ERROR_IO_WRITE;
        }
        done += (size_t)n;
    }
    download->done_bytes += (int64_t)size;
    pf_camera_alive(download->camera, 0);
    return GP_OK;
}

static int on_write(void *context, unsigned char *bytes, uint64_t *size)
{
    return write_part(context, bytes, (size_t)*size);
}

static int on_size(void *context, uint64_t *size)
{
    (void)context, (void)size;
    return GP_OK;
}

static int on_read(void *context, unsigned char *bytes, uint64_t *size)
{
    (void)context, (void)bytes;
    *size = 0;
    return GP_OK;
}

/* In parts that can be resumed. GP_ERROR_NOT_SUPPORTED where the camera gives whole files only. */
static int download_parts(struct pf_camera *camera, const struct pf_camera_file *file,
                          struct download *download)
{
    char *part = malloc(PART_BYTES);
    int r = part ? GP_OK : GP_ERROR_NO_MEMORY;
    while (!r && download->done_bytes < file->size_bytes) {
        uint64_t size = PART_BYTES;
        r = gp_camera_file_read(camera->gp, file->folder, file->name, GP_FILE_TYPE_NORMAL,
                                (uint64_t)download->done_bytes, part, &size, camera->context);
        if (!r && !size)
            break; /* it is shorter than it said */
        if (!r)
            r = write_part(download, part, (size_t)size);
    }
    free(part);
    return r;
}

static int download_whole(struct pf_camera *camera, const struct pf_camera_file *file,
                          struct download *download)
{
    static CameraFileHandler handler = {.size = on_size, .read = on_read, .write = on_write};
    CameraFile *to;
    download->done_bytes = 0;
    int r = gp_file_new_from_handler(&to, &handler, download);
    if (r < 0)
        return r;
    r = gp_camera_file_get(camera->gp, file->folder, file->name, GP_FILE_TYPE_NORMAL, to,
                           camera->context);
    gp_file_unref(to);
    return r;
}

static int download_file(struct pf_camera *camera, struct pf_camera_file *file,
                         struct download *download)
{
    int r = GP_ERROR_NOT_SUPPORTED;
    pf_camera_alive(camera, 0);
    if (file->size_bytes > PART_BYTES && strcmp(file->folder, "/") != 0)
        r = download_parts(camera, file, download);
    return r == GP_ERROR_NOT_SUPPORTED ? download_whole(camera, file, download) : r;
}

static void again(struct pf_camera_file *file, int64_t most_ms)
{
    file->wait_ms = pf_back_off_ms(file->wait_ms, AGAIN_MS, most_ms);
    file->due_ms = pf_monotonic_ms() + file->wait_ms;
}

static void report(struct pf_camera *camera, const char *event, const char *path,
                   const char *reason, int64_t size_bytes)
{
    json_t *object = json_object();
    if (json_object_set_new(object, "event", json_string(event)) |
        json_object_set_new(object, "path", pf_json_bytes(path)) |
        json_object_set_new(object, "reason", pf_json_bytes(reason)) |
        json_object_set_new(object, "size_bytes", json_integer(size_bytes)) |
        json_object_set_new(object, "mtime_ns", json_integer(0))) {
        json_decref(object);
        object = NULL;
    }
    pf_camera_send(camera, object);
}

/* The spool does not take it: that is said once, and tried with one file at a time, each in its turn. */
static void trouble(struct pf_camera *camera, struct pf_camera_file *file, const char *reason)
{
    if (strcmp(reason, camera->spool_trouble) != 0) {
        pf_log_warning("%s/%s: %s; it is tried again", file->folder, file->name, reason);
        report(camera, "trouble", file->path, reason, 0);
        snprintf(camera->spool_trouble, sizeof(camera->spool_trouble), "%s", reason);
    }
    camera->spool_wait_ms = pf_back_off_ms(camera->spool_wait_ms, AGAIN_MS, PATIENT_MS);
    file->due_ms = camera->spool_try_ms = pf_monotonic_ms() + camera->spool_wait_ms;
    pf_camera_end_if_confined(camera);
}

static void trouble_is_over(struct pf_camera *camera, const char *how)
{
    if (camera->spool_trouble[0])
        pf_log_info("%s %s", camera->spool, how);
    camera->spool_trouble[0] = '\0';
    camera->spool_try_ms = camera->spool_wait_ms = 0;
}

void pf_camera_trouble_without_pictures(struct pf_camera *camera)
{
    if (!pf_camera_next_wanted(camera))
        trouble_is_over(camera, "has no picture to take any more");
}

static void reject(struct pf_camera *camera, struct pf_camera_file *file, const char *reason)
{
    pf_log_warning("%s/%s: rejected: %s; it stays on the card", file->folder, file->name, reason);
    report(camera, "rejected", file->path, reason, file->size_bytes);
    file->state = PF_CAMERA_REJECTED;
    file->part_bytes = 0;
}

/* A file that is not whole yet: the camera may still be writing it. */
static void incomplete(struct pf_camera *camera, struct pf_camera_file *file, const char *reason)
{
    int64_t now_ms = pf_monotonic_ms();
    file->part_bytes = 0;
    if (!file->incomplete_ms)
        file->incomplete_ms = now_ms;
    if (now_ms - file->incomplete_ms >= (int64_t)(camera->settings->incomplete_after * 1000)) {
        reject(camera, file, reason);
        return;
    }
    pf_log_debug("%s/%s: %s; it is asked for again", file->folder, file->name, reason);
    again(file, AGAIN_MAX_MS);
    /* Its size is what the camera said first, for as long as no event says another. */
    if (now_ms - file->incomplete_ms >= UNCHANGED_MS && camera->compare_ms > file->due_ms)
        camera->compare_ms = file->due_ms;
}

static char *part_path(const struct pf_camera *camera, const struct pf_camera_file *file)
{
    return pf_text("%s/" PF_CAMERA_PART "%s", camera->directory, pf_base_name(file->path));
}

static void send_record(struct pf_camera *camera, struct pf_record *record, const char *path,
                        const struct stat *st)
{
    free(record->path);
    record->path = strdup(path);
    record->counter = pf_record_counter(path);
    struct pf_file_stamp stamp = pf_file_stamp_of(st);
    record->mtime_ns = stamp.mtime_ns;
    record->ctime_ns = stamp.ctime_ns;
    record->inode = stamp.inode;
    record->arrival_ms = pf_monotonic_ms();
    if (!record->path)
        pf_camera_fail(camera, ENOMEM, path);
    else
        pf_camera_send(camera, pf_record_to_json(record));
}

/* Pictures in the camera's memory are numbered one by one: those of one shot get one name here. */
static void name_by_partner(struct pf_camera *camera, struct pf_camera_file *file,
                            const struct pf_record *record)
{
    const char *last = camera->memory_path, *dot = last ? strrchr(last, '.') : NULL;
    const char *extension = strrchr(file->path, '.');
    char *path = NULL;
    if (dot && extension && strcasecmp(dot, extension) && record->capture_ms >= 0 &&
        record->capture_ms == camera->memory_capture_ms)
        path = pf_text("%.*s%s", (int)(dot - last), last, extension);
    if (path && !pf_card_has(camera->card, path)) {
        free(file->path);
        file->path = path;
        path = NULL;
    }
    free(path);
    free(camera->memory_path);
    camera->memory_path = strdup(file->path);
    camera->memory_capture_ms = record->capture_ms;
}

/* Whether there is a file of this content. */
static bool holds(const char *path, const struct pf_identity *id)
{
    struct pf_identity now;
    struct pf_error err = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool same = fd >= 0 && pf_identity_of_fd(fd, &now, &err) == 0 && !strcmp(now.text, id->text);
    if (fd >= 0)
        close(fd);
    return same;
}

/* Whether the spool has it already, as one of those that it looks like: it is that one then. */
static bool is_verified(struct pf_camera *camera, struct pf_camera_file *file,
                        const struct pf_identity *id)
{
    struct pf_card_file of = pf_camera_card_file(camera, file);
    const char *name;
    for (size_t i = 0; (name = pf_card_match(camera->card, &of, i)); i++) {
        char *path = pf_path_join(camera->directory, name);
        if (!path) {
            pf_camera_fail(camera, ENOMEM, name);
            return false;
        }
        if (holds(path, id)) {
            free(file->path);
            file->path = path;
            return true;
        }
        free(path);
    }
    return false;
}

/* Its name in the spool, for good. What stands there under that name is left by a process that died, or
 * by a power loss: it is noted, and another name taken. */
static int place(struct pf_camera *camera, struct pf_camera_file *file, const char *part,
                 const struct pf_identity *id, struct pf_error *err)
{
    int r = 0;
    while (!file->placed) {
        struct stat st;
        pf_error_clear(err);
        r = pf_rename_new(part, file->path, err);
        file->placed = !r || (r == -EEXIST && holds(file->path, id));
        if (r == -EEXIST && !file->placed) {
            int64_t size_bytes = stat(file->path, &st) < 0 ? 0 : st.st_size;
            int noted = pf_card_note(camera->card, file->path, size_bytes, false);
            if (noted < 0)
                pf_camera_fail(camera, ENOMEM, file->path);
            if (!noted && pf_card_has(camera->card, file->path))
                r = pf_camera_name(camera, file);
        }
        if (r < 0 && !file->placed)
            return r;
    }
    pf_error_clear(err);
    return pf_sync_parent(file->path, err);
}

/* The file is whole: it gets its name, for good, and is told. */
static void keep(struct pf_camera *camera, struct pf_camera_file *file, const char *part,
                 struct pf_record *record)
{
    struct pf_error err = {0};
    struct stat st;
    if (!strcmp(file->folder, "/"))
        name_by_partner(camera, file, record);
    bool verified = file->verify && is_verified(camera, file, &record->id);
    if (camera->failure)
        return;
    file->placed |= verified;
    if (place(camera, file, part, &record->id, &err) < 0) {
        if (!camera->failure)
            trouble(camera, file, strerror(err.code));
        return;
    }
    trouble_is_over(camera, "takes pictures again");
    if (stat(file->path, &st) < 0) {
        trouble(camera, file, strerror(errno));
        return;
    }
    /* Both sizes: the one on the card is compared with what the camera says, ours with the journal. */
    if (!verified && (pf_card_note(camera->card, file->path, st.st_size, false) < 0 ||
                      (st.st_size != file->size_bytes &&
                       pf_card_note(camera->card, file->path, file->size_bytes, false) < 0))) {
        pf_camera_fail(camera, ENOMEM, file->path);
        return;
    }
    pf_log_debug("%s/%s is here as %s", file->folder, file->name, file->path);
    file->state = PF_CAMERA_SENT;
    file->verify = file->placed = false;
    record->bracket = file->bracket;
    record->focus_at = file->focus_at;
    send_record(camera, record, file->path, &st);
    if (!camera->settings->delete_from_card)
        pf_camera_forget(camera, file);
}

/* As pf_look; the service hears of it before and after: who dies in between dies by it. */
static int look_at(struct pf_camera *camera, const char *of, const char *path,
                   const struct stat *st, struct pf_frame *ret, struct pf_error *err)
{
    struct pf_file_stamp stamp = pf_file_stamp_of(st);
    if (!camera->by_hand)
        pf_camera_send(camera, json_pack("{s:s, s:o, s:I}", "event", "looking", "path",
                                         pf_json_bytes(of), "size_bytes", (json_int_t)st->st_size));
    int r = pf_look(camera->settings, path, camera->source, &stamp, ret, err);
    if (!r && !camera->by_hand)
        pf_camera_send(camera, json_pack("{s:s}", "event", "looked"));
    return r;
}

static void look(struct pf_camera *camera, struct pf_camera_file *file, const char *part)
{
    struct pf_frame frame;
    struct pf_error err = {0};
    struct stat st;
    if (stat(part, &st) < 0) {
        trouble(camera, file, strerror(errno));
        return;
    }
    if (look_at(camera, file->path, part, &st, &frame, &err) < 0) {
        pf_camera_fail(camera, ENOMEM, err.text);
        return;
    }
    switch (frame.verdict) {
    case PF_FRAME_WHOLE:
        keep(camera, file, part, frame.record);
        break;
    case PF_FRAME_RESULT:
    case PF_FRAME_NEVER:
    case PF_FRAME_FOREIGN:
        reject(camera, file, frame.reason.text);
        break;
    case PF_FRAME_NOT_YET:
    case PF_FRAME_CHANGED:
    case PF_FRAME_GONE:
        incomplete(camera, file, frame.reason.code ? frame.reason.text : "it changes");
        break;
    case PF_FRAME_TROUBLE:
        trouble(camera, file, frame.reason.text);
        break;
    }
    pf_record_free(frame.record);
}

/* The camera has not given it. True when the part is worth keeping. */
static bool failed(struct pf_camera *camera, struct pf_camera_file *file,
                   const struct download *download, int r)
{
    char doing[384];
    snprintf(doing, sizeof(doing), "fetching %.250s", file->name);
    if (download->code) {
        trouble(camera, file, strerror(download->code));
        return false;
    }
    if (r == GP_ERROR_CAMERA_BUSY) {
        again(file, AGAIN_MAX_MS);
    } else {
        file->attempts++;
        file->incomplete_ms = 0;
        if (file->attempts >= PATIENT_AFTER)
            again(file, PATIENT_MS);
        pf_camera_lost(camera, r, doing);
    }
    return true;
}

/* Whether its rest has room in the spool. One that does not say how large it is is tried. */
static bool has_room(const struct pf_camera *camera, const struct pf_camera_file *file)
{
    struct statvfs fs;
    int64_t rest_bytes = file->size_bytes - file->part_bytes; /* < 0: more came than was said */
    return rest_bytes <= 0 || statvfs(camera->directory, &fs) < 0 || !fs.f_blocks ||
           (uint64_t)rest_bytes <= (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* Its folder was there when the link was opened; somebody may have emptied the spool since. */
static int open_part(struct pf_camera *camera, const char *part, int flags)
{
    struct pf_error ignored = {0};
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0666);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (pf_camera_make_folder(camera, camera->directory, &ignored) == 0)
        return open(part, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0666);
    errno = ENOENT;
    return -1;
}

void pf_camera_fetch(struct pf_camera *camera, struct pf_camera_file *file)
{
    struct stat st;
    int r = pf_camera_refresh(camera, file);
    struct download download = {.camera = camera, .done_bytes = file->part_bytes};
    if (r < 0 && r != GP_ERROR_NOT_SUPPORTED && strcmp(file->folder, "/") != 0) {
        failed(camera, file, &download, r);
        return;
    }
    if (file->state != PF_CAMERA_WANTED) { /* known, now that its true size and time are */
        pf_camera_forget(camera, file);
        return;
    }
    file->placed = file->placed && access(file->path, F_OK) == 0;
    if (file->placed) {
        look(camera, file, file->path); /* may forget the file */
        return;
    }
    if (!has_room(camera, file)) {
        trouble(camera, file, strerror(ENOSPC));
        return;
    }
    char *part = part_path(camera, file);
    if (!part) {
        pf_camera_fail(camera, ENOMEM, file->name);
        return;
    }
    if (stat(part, &st) < 0 || st.st_size < file->part_bytes)
        download.done_bytes = file->part_bytes = 0; /* what was there is gone */
    download.fd = open_part(camera, part, file->part_bytes ? 0 : O_TRUNC);
    if (download.fd < 0) {
        trouble(camera, file, strerror(errno));
        free(part);
        return;
    }
    if (file->part_bytes)
        pf_log_info("%s: resumed at %" PRId64 " of %" PRId64 " bytes", file->name, file->part_bytes,
                    file->size_bytes);
    r = download_file(camera, file, &download);
    bool keep_part = r < 0 && failed(camera, file, &download, r);
    if (r >= 0 && ftruncate(download.fd, download.done_bytes) < 0)
        r = -1, trouble(camera, file, strerror(errno));
    if (r >= 0 && fsync(download.fd) < 0)
        r = -1, trouble(camera, file, strerror(errno));
    close(download.fd);
    file->part_bytes = keep_part ? download.done_bytes : 0;
    camera->quiet_since_ms = pf_monotonic_ms();
    if (r >= 0 && download.done_bytes < file->size_bytes)
        incomplete(camera, file, "fewer bytes came than the camera has announced");
    else if (r >= 0)
        look(camera, file, part); /* may forget the file */
    if (!keep_part && unlink(part) < 0 && errno != ENOENT)
        pf_log_debug("%s: %s", part, strerror(errno));
    free(part);
}

/* Told when it can be read, and is durable. `again`: that was said before. */
static void tell_later(struct pf_camera *camera, const char *path, const char *reason, bool again)
{
    struct pf_camera_late *late = &camera->late;
    for (size_t i = 0; i < late->count; i++)
        if (!strcmp(late->paths[i], path))
            return;
    pf_log(again ? PF_LOG_DEBUG : PF_LOG_WARNING, "%s: %s; it is tried again", path, reason);
    char **paths = pf_with_room(late->paths, &late->capacity, late->count, 1, sizeof(*late->paths));
    if (paths)
        late->paths = paths;
    if (!paths || !(paths[late->count] = strdup(path)))
        pf_camera_fail(camera, ENOMEM, path);
    else
        late->count++;
}

static void tell(struct pf_camera *camera, const char *path, bool again)
{
    struct pf_frame frame;
    struct pf_error err = {0};
    struct stat st;
    if (stat(path, &st) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            tell_later(camera, path, strerror(errno), again);
        return;
    }
    if (!S_ISREG(st.st_mode))
        return;
    if (look_at(camera, path, path, &st, &frame, &err) < 0) {
        pf_camera_fail(camera, ENOMEM, err.text);
        return;
    }
    /* Who has put it there may have ended before its name was durable. */
    bool is_whole = frame.verdict == PF_FRAME_WHOLE;
    if (is_whole && (pf_sync_path(path, &err) < 0 || pf_sync_parent(path, &err) < 0)) {
        tell_later(camera, path, err.text, again);
    } else if (is_whole) {
        if (pf_card_note(camera->card, path, st.st_size, false) < 0)
            pf_camera_fail(camera, ENOMEM, path);
        send_record(camera, frame.record, path, &st);
    } else if (frame.verdict == PF_FRAME_TROUBLE) {
        tell_later(camera, path, frame.reason.text, again);
    }
    pf_record_free(frame.record);
}

void pf_camera_tell(struct pf_camera *camera, const char *path)
{
    tell(camera, path, false);
}

void pf_camera_tell_late(struct pf_camera *camera)
{
    struct pf_camera_late *late = &camera->late, tried = *late;
    late->paths = NULL;
    late->count = late->capacity = 0;
    for (size_t i = 0; i < tried.count; i++) {
        if (!camera->failure && !pf_card_has(camera->card, tried.paths[i]))
            tell(camera, tried.paths[i], true);
        free(tried.paths[i]);
    }
    free(tried.paths);
    late->wait_ms = late->count ? pf_back_off_ms(late->wait_ms, LATE_MS, PATIENT_MS) : 0;
    late->try_ms = pf_monotonic_ms() + late->wait_ms;
}
