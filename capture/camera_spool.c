/* The folders of cameras in the spool: what was never told, and what was on a card before. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/camera_internal.h"
#include "capture/names.h"
#include "config/base/file.h"
#include "config/base/log.h"
#include "config/base/text.h"

#define PART_LENGTH strlen(PF_CAMERA_PART)

enum { SOURCE_MAX = 512 };

/* ---- directories ---- */

static int note_disk(struct pf_camera *camera, struct pf_error *err)
{
    struct stat st;
    if (stat(camera->spool, &st) < 0)
        return pf_fail_errno(err, errno, "%s", camera->spool);
    camera->spool_dev = st.st_dev;
    return 0;
}

int pf_camera_make_spool(struct pf_camera *camera, struct pf_error *err)
{
    int r = pf_make_directories(camera->spool, err);
    return r ? r : note_disk(camera, err);
}

/* What is left of the spool's path is on another disk, or it was a mount point and is none any more. */
static bool is_disk_gone(const struct pf_camera *camera)
{
    struct stat st, up;
    char *above = pf_text("%s/..", camera->spool), *slash;
    int r = above ? stat(camera->spool, &st) : -1;
    if (!r) {
        bool is_mount = stat(above, &up) < 0 || up.st_dev != st.st_dev;
        free(above);
        return st.st_dev != camera->spool_dev && !is_mount;
    }
    if (above)
        above[strlen(above) - strlen("/..")] = '\0';
    while (above && r < 0 && errno == ENOENT && (slash = strrchr(above, '/')) && above[1]) {
        slash[slash == above] = '\0';
        r = stat(above, &st);
    }
    free(above);
    return r < 0 || st.st_dev != camera->spool_dev;
}

int pf_camera_make_folder(struct pf_camera *camera, const char *path, struct pf_error *err)
{
    if (is_disk_gone(camera))
        return pf_fail(err, ENOENT, "the disk of %s is not there", camera->spool);
    int r = pf_make_directories(path, err);
    return r ? r : note_disk(camera, err);
}

/* ---- what was on the card before ---- */

/* As if it had been there before, in its own folder. */
static void note_as_own(struct pf_camera *camera, const char *name, FILE *lines)
{
    char *path = pf_path_join(camera->directory, name);
    if (!path || pf_card_note(camera->card, path, -1, false) < 0)
        pf_camera_fail(camera, ENOMEM, name);
    else
        fprintf(lines, "%s\n", path);
    free(path);
}

/* Notes what such a list says, in `lines` as well. 1, 0 when there is none yet, -errno. */
static int read_lines(struct pf_camera *camera, const char *path, FILE *lines)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? 0 : -errno;
    while ((length = getline(&line, &size, file)) > 0) {
        line[length - 1] = '\0';
        note_as_own(camera, pf_base_name(line), lines);
    }
    int r = ferror(file) ? -errno : 1;
    free(line);
    fclose(file);
    return r;
}

/* Calls for each entry, in the order of names. */
static void walk(struct pf_camera *camera, const char *directory,
                 void (*take)(struct pf_camera *camera, const char *path, const char *name,
                              void *context),
                 void *context)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char *path = pf_path_join(directory, entries[i]->d_name);
        if (!path)
            pf_camera_fail(camera, ENOMEM, directory);
        else if (!camera->failure)
            take(camera, path, entries[i]->d_name, context);
        free(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void take_kin_picture(struct pf_camera *camera, const char *path, const char *name,
                             void *context)
{
    (void)path;
    if (pf_name_kind(name) == PF_NAME_IMAGE)
        note_as_own(camera, name, context);
}

static void take_kin(struct pf_camera *camera, const char *path, const char *name, void *context)
{
    size_t length = strlen(camera->kin);
    if (strncmp(name, camera->kin, length) != 0 || !name[length] || !strchr("-_", name[length]) ||
        !strcmp(name, camera->id))
        return;
    char *before = pf_path_join(path, PF_CAMERA_BEFORE);
    if (!before)
        pf_camera_fail(camera, ENOMEM, path);
    else
        read_lines(camera, before, context);
    free(before);
    walk(camera, path, take_kin_picture, context);
}

/* Its lists: in its folder of the spool, and where it outlives that. */
static bool list_paths(struct pf_camera *camera, char *ret[2])
{
    ret[0] = pf_path_join(camera->directory, PF_CAMERA_BEFORE);
    ret[1] = pf_path_join(camera->cards, camera->id);
    if (!ret[0] || !ret[1])
        pf_camera_fail(camera, ENOMEM, camera->directory);
    return ret[0] && ret[1];
}

/* How many of the two were written, or -errno when none was. */
static int write_lists(struct pf_camera *camera, const char *lines, size_t size)
{
    char *paths[2];
    int written = 0, r = list_paths(camera, paths) ? 0 : -ENOMEM;
    for (int i = 2; r != -ENOMEM && i-- > 0;) {
        struct pf_error err = {0};
        r = pf_write_file_durable(paths[i], lines, size, &err);
        if (r < 0)
            pf_log_error("%s", err.text);
        else
            written++;
    }
    free(paths[0]);
    free(paths[1]);
    if (written < 2)
        pf_camera_end_if_confined(camera);
    return written ? written : r;
}

static void forget_unwritten(struct pf_camera_unwritten *unwritten)
{
    free(unwritten->id);
    free(unwritten->lines);
    *unwritten = (struct pf_camera_unwritten){0};
}

int pf_camera_read_before(struct pf_camera *camera)
{
    struct pf_error err = {0};
    char *text = NULL, *paths[2];
    size_t size = 0;
    int there[2] = {0}, r = list_paths(camera, paths) ? 0 : -ENOMEM;
    FILE *lines = r ? NULL : open_memstream(&text, &size);
    if (!r && !lines)
        r = -ENOMEM;
    for (int i = 0; i < 2 && r >= 0; i++) {
        r = there[i] = read_lines(camera, paths[i], lines);
        if (r < 0)
            pf_log_error("%s: %s", paths[i], strerror(-r));
    }
    if (lines && fclose(lines) == EOF)
        r = -ENOMEM;
    struct pf_camera_unwritten *unwritten = &camera->unwritten;
    bool is_kept = unwritten->id && !strcmp(unwritten->id, camera->id);
    unwritten->is_fleeting = !camera->has_journal && !there[0] && there[1];
    /* One will do where the other cannot be made. */
    if (r >= 0 && there[0] != there[1] && !unwritten->is_fleeting &&
        pf_write_file_durable(paths[there[0]], text, size, &err) < 0) {
        pf_log_warning("%s", err.text);
        pf_camera_end_if_confined(camera);
    }
    if (unwritten->is_fleeting)
        there[1] = is_kept;
    free(text);
    free(paths[0]);
    free(paths[1]);
    if (r >= 0 && !there[0] && !there[1] && is_kept) {
        r = write_lists(camera, unwritten->lines, unwritten->size);
        there[0] = r > 0;
    }
    if (r >= 0 && (there[0] || there[1]) && !unwritten->is_fleeting)
        forget_unwritten(unwritten);
    return r < 0 ? r : there[0] || there[1];
}

int pf_camera_write_before(struct pf_camera *camera, const char *lines, size_t size)
{
    struct pf_camera_unwritten *unwritten = &camera->unwritten;
    bool is_fleeting = unwritten->is_fleeting;
    int r = is_fleeting ? 0 : write_lists(camera, lines, size);
    if (r > 0)
        return 0;
    forget_unwritten(unwritten);
    unwritten->is_fleeting = is_fleeting;
    unwritten->id = strdup(camera->id);
    unwritten->lines = pf_text("%.*s", (int)size, lines);
    unwritten->size = size;
    if (!unwritten->id || !unwritten->lines)
        pf_camera_fail(camera, ENOMEM, camera->directory);
    return r;
}

char *pf_camera_note_kin(struct pf_camera *camera, size_t *ret_size)
{
    char *text = NULL;
    FILE *lines = camera->kin[0] ? open_memstream(&text, ret_size) : NULL;
    if (!lines)
        return NULL;
    walk(camera, camera->spool, take_kin, lines);
    if (fclose(lines) != EOF)
        return text;
    pf_camera_fail(camera, ENOMEM, camera->spool);
    free(text);
    return NULL;
}

/* ---- what was never told ---- */

/* A download that goes on with the link that was opened again. */
static bool is_resumed(const struct pf_camera *camera, const char *part)
{
    for (size_t i = 0; i < camera->file_count; i++) {
        const struct pf_camera_file *file = camera->files[i];
        if (file->state == PF_CAMERA_WANTED && file->part_bytes && file->path &&
            !strcmp(pf_base_name(file->path), part + strlen(PF_CAMERA_PART)))
            return true;
    }
    return false;
}

static void take_picture(struct pf_camera *camera, const char *path, const char *name,
                         void *context)
{
    (void)context;
    if (pf_name_kind(name) != PF_NAME_IMAGE)
        return;
    pf_camera_alive(camera, 0);
    if (!pf_card_has(camera->card, path))
        pf_camera_tell(camera, path);
}

static void take_own(struct pf_camera *camera, const char *path, const char *name, void *context)
{
    /* A part of a process that is gone: what a power loss left of it is unknown. */
    if (!strncmp(name, PF_CAMERA_PART, PART_LENGTH) && !is_resumed(camera, name))
        unlink(path);
    take_picture(camera, path, name, context);
}

/* What a folder of the spool says whose it is; "": nothing. */
static void read_source(const char *folder, char *ret, size_t size)
{
    char *path = pf_path_join(folder, PF_CAMERA_SOURCE);
    FILE *file = path ? fopen(path, "re") : NULL;
    size_t length = file ? fread(ret, 1, size - 1, file) : 0;
    ret[length] = '\0';
    if (file)
        fclose(file);
    free(path);
}

void pf_camera_note_source(struct pf_camera *camera)
{
    char noted[SOURCE_MAX];
    struct pf_error err = {0};
    read_source(camera->directory, noted, sizeof(noted));
    if (!strcmp(noted, camera->source))
        return;
    char *path = pf_path_join(camera->directory, PF_CAMERA_SOURCE);
    if (!path)
        pf_camera_fail(camera, ENOMEM, camera->directory);
    else if (pf_write_file_durable(path, camera->source, strlen(camera->source), &err) < 0)
        pf_log_debug("%s", err.text); /* what can do no more than this fails with more to say */
    free(path);
}

/* Whether it is for this process to tell what that source has had. What none has is for the first; one over a
 * network before those that may have to wait for USB. */
static bool tells_for(const struct pf_camera *camera, const char *source)
{
    const char *first = NULL;
    if (!strcmp(source, camera->source))
        return true;
    for (size_t i = 0; i < camera->settings->source.count; i++) {
        const char *other = camera->settings->source.items[i];
        if (!pf_settings_camera(other))
            continue;
        if (!strcmp(source, other))
            return false;
        if (!first || (strstr(other, "ptpip:") && !strstr(first, "ptpip:")))
            first = other;
    }
    return !first || !strcmp(first, camera->source);
}

static void take_camera(struct pf_camera *camera, const char *path, const char *name, void *context)
{
    char source[SOURCE_MAX];
    if (name[0] == '.')
        return;
    read_source(path, source, sizeof(source));
    if (tells_for(camera, source))
        walk(camera, path, take_picture, context);
}

void pf_camera_scan_spool(struct pf_camera *camera)
{
    walk(camera, camera->directory, take_own, NULL);
}

void pf_camera_scan_all(struct pf_camera *camera)
{
    walk(camera, camera->spool, take_camera, NULL);
}

static void count_picture(struct pf_camera *camera, const char *path, const char *name,
                          void *context)
{
    int64_t *count = context;
    (void)camera, (void)path;
    *count += pf_name_kind(name) == PF_NAME_IMAGE;
}

static void count_camera(struct pf_camera *camera, const char *path, const char *name,
                         void *context)
{
    if (name[0] != '.')
        walk(camera, path, count_picture, context);
}

int64_t pf_camera_count_all(struct pf_camera *camera)
{
    int64_t count = 0;
    walk(camera, camera->spool, count_camera, &count);
    return count;
}
