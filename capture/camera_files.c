#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "capture/camera_internal.h"
#include "capture/names.h"
#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "config/base/time.h"

enum {
    LISTING_MS = 600000, /* a card of thousands of files over a slow link */
    DEPTH_MAX = 8,
    BUSY_MS = 1000, /* until it is asked again to delete something */
};

static struct pf_camera_file *free_file(struct pf_camera_file *file)
{
    if (!file)
        return NULL;
    free(file->folder);
    free(file->name);
    free(file->path);
    free(file);
    return NULL;
}

void pf_camera_free_files(struct pf_camera *camera)
{
    while (camera->file_count)
        free_file(camera->files[--camera->file_count]);
    free(camera->files);
    camera->files = NULL;
    camera->file_capacity = 0;
}

void pf_camera_forget(struct pf_camera *camera, struct pf_camera_file *file)
{
    for (size_t i = 0; i < camera->file_count; i++)
        if (camera->files[i] == file) {
            memmove(&camera->files[i], &camera->files[i + 1],
                    (camera->file_count - i - 1) * sizeof(file));
            camera->file_count--;
            free_file(file);
            return;
        }
}

static struct pf_camera_file *find(const struct pf_camera *camera, const char *folder,
                                   const char *name)
{
    for (size_t i = 0; i < camera->file_count; i++)
        if (!strcmp(camera->files[i]->name, name) && !strcmp(camera->files[i]->folder, folder))
            return camera->files[i];
    return NULL;
}

static struct pf_camera_file *get(struct pf_camera *camera, const char *folder, const char *name)
{
    struct pf_camera_file *file = find(camera, folder, name);
    if (file)
        return file;
    struct pf_camera_file **files =
        pf_with_room(camera->files, &camera->file_capacity, camera->file_count, 1, sizeof(*files));
    if (files)
        camera->files = files;
    file = files ? calloc(1, sizeof(*file)) : NULL;
    if (!file || !(file->folder = strdup(folder)) || !(file->name = strdup(name))) {
        free_file(file);
        pf_camera_fail(camera, ENOMEM, name);
        return NULL;
    }
    file->due_ms = pf_monotonic_ms();
    if (camera->bracket.state != PF_BRACKET_NONE && camera->bracket.triggered)
        file->bracket = camera->bracket.id;
    file->focus_at = camera->bracket.focus_at;
    camera->files[camera->file_count++] = file;
    return file;
}

/* A picture that was not there before: another shot, unless it is the RAW or JPEG of the last one. */
static void count_shot(struct pf_camera *camera, const char *folder, const char *name)
{
    const char *dot = strrchr(name, '.');
    char *stem =
        pf_text("%s/%.*s", folder, (int)(dot ? dot - name : (ptrdiff_t)strlen(name)), name);
    if (!stem || !camera->last_stem || strcmp(stem, camera->last_stem) != 0)
        camera->shots_seen++;
    free(camera->last_stem);
    camera->last_stem = stem;
}

static bool in_memory(const struct pf_camera_file *file)
{
    return !strcmp(file->folder, "/");
}

struct pf_card_file pf_camera_card_file(const struct pf_camera *camera,
                                        const struct pf_camera_file *file)
{
    return (struct pf_card_file){.camera = camera->id,
                                 .folder = file->folder,
                                 .name = file->name,
                                 .time_s = file->time_s,
                                 .size_bytes = file->size_bytes};
}

/* libgphoto2 takes the camera's clock for local time; back to what the clock showed. */
static int64_t camera_clock(time_t time)
{
    struct tm tm;
    return time && localtime_r(&time, &tm) ? (int64_t)timegm(&tm) : 0;
}

int pf_camera_name(struct pf_camera *camera, struct pf_camera_file *file)
{
    struct pf_card_file of = pf_camera_card_file(camera, file);
    char *name = pf_card_name(camera->card, &of);
    free(file->path);
    file->path = name ? pf_path_join(camera->directory, name) : NULL;
    free(name);
    if (file->path)
        return 0;
    pf_camera_fail(camera, ENOMEM, file->name);
    return -ENOMEM;
}

/* It may be another picture now. */
static void want_again(struct pf_camera_file *file)
{
    file->state = PF_CAMERA_WANTED;
    file->incomplete_ms = 0;
    file->verify = file->placed = false;
    file->due_ms = pf_monotonic_ms();
    free(file->path);
    file->path = NULL;
}

/* What the card says of one that is wanted. A name, a time and a size are enough to leave a picture on the
 * card, and not to delete it: a card that we empty has its numbers again in seconds, and some cameras
 * have no clock. */
static void ask_card(struct pf_camera *camera, struct pf_camera_file *file)
{
    struct pf_card_file of = pf_camera_card_file(camera, file);
    enum pf_card_answer answer = pf_card_knows(camera->card, &of);
    file->verify = camera->settings->delete_from_card &&
                   (answer == PF_CARD_KNOWN || answer == PF_CARD_RECORDED);
    if (answer != PF_CARD_NEW && !file->verify)
        file->state = PF_CAMERA_SENT;
}

/* Not in the libgphoto2 of Ubuntu 22.04. */
__attribute__((weak)) int gp_filesystem_set_info_dirty(CameraFilesystem *fs, const char *folder,
                                                       const char *file, GPContext *context);

/* What libgphoto2 keeps of the file is asked for anew. */
static void forget_info(struct pf_camera *camera, struct pf_camera_file *file)
{
    CameraFilesystem *fs = camera->gp->fs;
    if (gp_filesystem_set_info_dirty)
        gp_filesystem_set_info_dirty(fs, file->folder, file->name, camera->context);
    else if (gp_filesystem_delete_file_noop(fs, file->folder, file->name, camera->context) == GP_OK)
        gp_filesystem_append(fs, file->folder, file->name, camera->context);
}

int pf_camera_refresh(struct pf_camera *camera, struct pf_camera_file *file)
{
    CameraFileInfo info = {0};
    int r = GP_OK;
    int64_t size_bytes = file->size_bytes, time_s = file->time_s;
    if (in_memory(file)) {
        if (!file->time_s)
            file->time_s = camera_clock(time(NULL));
    } else {
        /* With an event comes the time of its arrival; the camera is asked for the file's own. */
        forget_info(camera, file);
        r = gp_camera_file_get_info(camera->gp, file->folder, file->name, &info, camera->context);
        if (r < 0)
            return r;
        if (info.file.fields & GP_FILE_INFO_SIZE && file->size_bytes != (int64_t)info.file.size) {
            file->size_bytes = (int64_t)info.file.size;
            file->part_bytes = 0;
            file->placed = false;
        }
        int64_t size_kb = (file->size_bytes + 1023) / 1024;
        camera->explained_kb += size_kb - file->explained_kb;
        file->explained_kb = size_kb;
        if (info.file.fields & GP_FILE_INFO_MTIME)
            file->time_s = camera_clock(info.file.mtime);
        if (file->state != PF_CAMERA_WANTED &&
            (file->size_bytes != size_bytes || file->time_s != time_s))
            want_again(file);
        if (file->state == PF_CAMERA_WANTED)
            ask_card(camera, file);
    }
    if (!file->path && file->state == PF_CAMERA_WANTED && pf_camera_name(camera, file) < 0)
        return GP_ERROR_NO_MEMORY;
    return r;
}

void pf_camera_added(struct pf_camera *camera, const char *folder, const char *name)
{
    if (pf_name_kind(name) != PF_NAME_IMAGE) {
        pf_log_debug("%s/%s: no picture; it is left alone", folder, name);
        return;
    }
    bool is_new = !find(camera, folder, name);
    struct pf_camera_file *file = get(camera, folder, name);
    if (!file)
        return;
    if (is_new)
        count_shot(camera, folder, name);
    if ((file->state == PF_CAMERA_SENT || file->state == PF_CAMERA_RECORDED) &&
        pf_camera_refresh(camera, file) >= 0 && file->state != PF_CAMERA_WANTED && file->time_s)
        return;
    if (file->state != PF_CAMERA_WANTED)
        want_again(file);
    file->due_ms = pf_monotonic_ms();
    if (in_memory(file)) /* its bytes are here already, and nowhere else any more */
        pf_camera_fetch(camera, file);
}

struct pf_camera_file *pf_camera_next_wanted(struct pf_camera *camera)
{
    struct pf_camera_file *first = NULL;
    for (size_t i = 0; i < camera->file_count; i++) {
        struct pf_camera_file *file = camera->files[i];
        if (file->state == PF_CAMERA_WANTED &&
            (!first ||
             (file->verify == first->verify ? file->due_ms < first->due_ms : first->verify)))
            first = file;
    }
    return first;
}

size_t pf_camera_pending(const struct pf_camera *camera)
{
    size_t count = 0;
    for (size_t i = 0; i < camera->file_count; i++)
        count += camera->files[i]->state == PF_CAMERA_WANTED && !camera->files[i]->verify;
    return count;
}

/* ---- the card ---- */

struct listing {
    struct pf_camera *camera;
    FILE *before; /* names of what is there the first time; NULL: it is not the first time */
    char *text;
    size_t size;
    bool journal;     /* nothing is noted of it, but something was fetched from it: */
    int64_t newest_s; /* when the newest of that was shot, 0 unknown; what is newer is taken */
    bool has_kin,
        met; /* bodies like it are known; something that came from this camera before, at another place */
};

/* Than all that was fetched: so it was shot since. */
static bool is_newer(const struct listing *listing, const struct pf_camera_file *file)
{
    return listing->newest_s && file->time_s &&
           file->time_s + PF_CARD_TIME_SLACK_S >= listing->newest_s;
}

static int take_listed(struct listing *listing, const char *folder, const char *name)
{
    struct pf_camera *camera = listing->camera;
    if (pf_name_kind(name) != PF_NAME_IMAGE)
        return GP_OK;
    bool is_new = !find(camera, folder, name);
    struct pf_camera_file *file = get(camera, folder, name);
    if (!file)
        return GP_ERROR_NO_MEMORY;
    file->listed = true;
    if ((file->state == PF_CAMERA_SENT || file->state == PF_CAMERA_RECORDED) && !file->time_s)
        want_again(file); /* nothing tells it from one that came while the link was lost */
    int r = pf_camera_refresh(camera, file);
    if (r == GP_ERROR_CAMERA_BUSY)
        return GP_OK; /* it is wanted, and asked for again when it is fetched */
    if (r < 0)
        return r;
    struct pf_card_file of = pf_camera_card_file(camera, file);
    enum pf_card_answer answer = pf_card_knows(camera->card, &of);
    file->first = listing->before && answer == PF_CARD_NEW && is_new && !is_newer(listing, file);
    listing->met |= listing->has_kin && answer == PF_CARD_BEFORE;
    if (file->first)
        fprintf(listing->before, "%s\n", file->path);
    else if (answer == PF_CARD_NEW && is_new)
        count_shot(camera, folder, name);
    if (answer == PF_CARD_BEFORE || (answer != PF_CARD_NEW && !camera->settings->delete_from_card))
        pf_camera_forget(camera, file);
    return GP_OK;
}

static int list_folder(struct listing *listing, const char *folder, int depth)
{
    struct pf_camera *camera = listing->camera;
    CameraList *list;
    const char *name;
    int r = gp_list_new(&list);
    if (r < 0)
        return r;
    pf_camera_alive(camera, LISTING_MS);
    r = gp_camera_folder_list_files(camera->gp, folder, list, camera->context);
    for (int i = 0; r >= 0 && i < gp_list_count(list); i++) {
        gp_list_get_name(list, i, &name);
        r = take_listed(listing, folder, name);
    }
    if (r >= 0)
        r = gp_camera_folder_list_folders(camera->gp, folder, list, camera->context);
    for (int i = 0; r >= 0 && depth < DEPTH_MAX && i < gp_list_count(list); i++) {
        gp_list_get_name(list, i, &name);
        char *path = pf_path_join(folder, name);
        r = path ? list_folder(listing, path, depth + 1) : GP_ERROR_NO_MEMORY;
        free(path);
    }
    gp_list_free(list);
    return r;
}

/* The first listing has ended: what it has found was there before, unless the camera is one that was met
 * at another place; then it is new. Kept, so that a later start knows it as well. */
static int write_before(struct pf_camera *camera, struct listing *listing, const char *kin,
                        size_t kin_size)
{
    size_t count = 0;
    if (fclose(listing->before) == EOF) {
        pf_camera_fail(camera, ENOMEM, camera->directory);
        return GP_ERROR_NO_MEMORY;
    }
    for (char *line = listing->text, *end; !listing->met && (end = strchr(line, '\n'));
         line = end + 1) {
        *end = '\0';
        count++;
        if (pf_card_note(camera->card, line, -1, false) < 0)
            pf_camera_fail(camera, ENOMEM, line);
        *end = '\n';
    }
    if (pf_camera_write_before(camera, listing->met ? kin : listing->text,
                               listing->met ? kin_size : listing->size) < 0)
        return GP_ERROR_IO_WRITE;
    if (listing->met)
        pf_log_info("this camera was here before, at another place: its card tells");
    else if (count && camera->unwritten.is_fleeting)
        pf_log_warning(
            "the spool is a new one, and without a service nobody tells which of the %zu "
            "pictures on the card were fetched before: they are left alone",
            count);
    else if (count && listing->journal)
        pf_log_warning("nobody has noted what was on the card when it was first seen: %zu pictures "
                       "that are not newer than what came from it are left alone (card = all takes "
                       "them)",
                       count);
    else if (count)
        pf_log_info("%zu pictures were on the card when it was first seen; they are left alone "
                    "(card = all takes them)",
                    count);
    return GP_OK;
}

/* Those that the first listing has found: wanted, or forgotten. */
static void settle_first(struct pf_camera *camera, bool wanted)
{
    for (size_t i = camera->file_count; i-- > 0;) {
        struct pf_camera_file *file = camera->files[i];
        if (file->first && wanted)
            count_shot(camera, file->folder, file->name);
        else if (file->first)
            pf_camera_forget(camera, file);
    }
    for (size_t i = 0; i < camera->file_count; i++)
        camera->files[i]->first = false;
}

void pf_camera_forget_memory(struct pf_camera *camera)
{
    for (size_t i = camera->file_count; i-- > 0;) {
        struct pf_camera_file *file = camera->files[i];
        if (!in_memory(file))
            continue;
        if (file->state == PF_CAMERA_WANTED)
            pf_log_error("%s was in the camera's memory alone, and is lost with the link to it",
                         file->name);
        pf_camera_forget(camera, file);
    }
}

static void forget_unlisted(struct pf_camera *camera)
{
    for (size_t i = camera->file_count; i-- > 0;) {
        struct pf_camera_file *file = camera->files[i];
        if (file->listed)
            continue;
        if (file->state == PF_CAMERA_WANTED && !file->verify)
            pf_log_error("%s/%s is gone from the card before it could be fetched", file->folder,
                         file->name);
        pf_camera_forget(camera, file);
    }
}

/* Whether what its card had before is noted, or it is all one. -errno. */
static int is_seen(struct pf_camera *camera)
{
    return camera->settings->card == PF_CARD_SETTING_NEW ? pf_camera_read_before(camera) : 1;
}

int pf_camera_compare(struct pf_camera *camera)
{
    struct listing listing = {.camera = camera};
    int64_t start_ms = pf_monotonic_ms();
    char *kin = NULL;
    size_t kin_size = 0;
    int seen = is_seen(camera);
    if (seen < 0)
        return GP_ERROR_IO_READ;
    if (!seen) {
        /* Of one that something came from, old pictures may have been left alone, all may have been taken, and it may be
         * another body at the same socket. What is left alone is not lost. */
        listing.journal = pf_card_has_camera(camera->card, camera->id);
        listing.newest_s = pf_card_newest(camera->card, camera->id);
        kin = listing.journal || camera->unwritten.is_fleeting
                  ? NULL
                  : pf_camera_note_kin(camera, &kin_size);
        listing.has_kin = kin_size > 0;
        listing.before = open_memstream(&listing.text, &listing.size);
    }
    for (size_t i = 0; i < camera->file_count; i++)
        camera->files[i]->listed = false;
    int r = list_folder(&listing, "/", 0);
    if (listing.before && r >= 0)
        r = write_before(camera, &listing, kin, kin_size);
    else if (listing.before)
        fclose(listing.before);
    settle_first(camera, r >= 0 && listing.met);
    free(listing.text);
    free(kin);
    if (r >= 0)
        forget_unlisted(camera);
    camera->explained_kb = 0;
    camera->compare_took_ms = pf_monotonic_ms() - start_ms;
    pf_log_debug("card compared in %lld ms: %zu files to fetch", (long long)camera->compare_took_ms,
                 pf_camera_pending(camera));
    return r;
}

/* ---- deleting ---- */

void pf_camera_recorded(struct pf_camera *camera, const char *path)
{
    pf_card_record(camera->card, path);
    for (size_t i = 0; i < camera->file_count; i++)
        if (camera->files[i]->state == PF_CAMERA_SENT && camera->files[i]->path &&
            !strcmp(camera->files[i]->path, path)) {
            camera->files[i]->state = PF_CAMERA_RECORDED;
            camera->files[i]->due_ms = pf_monotonic_ms();
            return;
        }
}

/* Whether the card still has it. libgphoto2's answer to a deletion is no proof. */
static int still_there(struct pf_camera *camera, const struct pf_camera_file *file, bool *ret)
{
    CameraList *list;
    int index, r = gp_list_new(&list);
    if (r < 0)
        return r;
    gp_filesystem_reset(camera->gp->fs);
    r = gp_camera_folder_list_files(camera->gp, file->folder, list, camera->context);
    *ret = r >= 0 && gp_list_find_by_name(list, &index, file->name) == GP_OK;
    gp_list_free(list);
    return r;
}

bool pf_camera_delete_one(struct pf_camera *camera)
{
    struct pf_camera_file *file = NULL;
    for (size_t i = 0; i < camera->file_count && !file; i++)
        if (camera->files[i]->state == PF_CAMERA_RECORDED &&
            camera->files[i]->due_ms <= pf_monotonic_ms())
            file = camera->files[i];
    if (!file)
        return false;
    if (in_memory(file)) {
        pf_camera_forget(camera, file);
        return true;
    }
    bool there = true;
    int r = pf_camera_refresh(camera, file);
    if (r == GP_ERROR_CAMERA_BUSY) {
        file->due_ms = pf_monotonic_ms() + BUSY_MS;
        return true;
    }
    if (r >= 0 && file->state != PF_CAMERA_RECORDED)
        return true; /* it is another picture by now */
    if (r >= 0)
        r = gp_camera_file_delete(camera->gp, file->folder, file->name, camera->context);
    if (r >= 0)
        r = still_there(camera, file, &there);
    if (r < 0) {
        char doing[384];
        snprintf(doing, sizeof(doing), "deleting %.250s", file->name);
        pf_camera_lost(camera, r, doing);
        return true;
    }
    if (there) {
        if (!file->attempts++)
            pf_log_warning("%s/%s: the camera refuses to delete it (protected, or the card is "
                           "locked); it stays on the card",
                           file->folder, file->name);
        file->wait_ms = pf_back_off_ms(file->wait_ms, 30000, 3600000);
        file->due_ms = pf_monotonic_ms() + file->wait_ms;
        return true;
    }
    camera->explained_kb -= file->explained_kb;
    pf_log_debug("%s/%s: deleted on the camera, recorded here", file->folder, file->name);
    pf_camera_forget(camera, file);
    return true;
}
