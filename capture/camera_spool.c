/* The folders of cameras in the spool: what was never told, and what was on a card before. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/camera_internal.h"
#include "capture/names.h"
#include "config/base/file.h"

#define PART_LENGTH strlen(PF_CAMERA_PART)

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

/* Notes what .before says; false when there is none yet. kin: it is of another folder, and what it says
 * goes there. */
static bool read_lines(struct pf_camera *camera, const char *path, FILE *kin)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while ((length = getline(&line, &size, file)) > 0) {
        line[length - 1] = '\0';
        if (kin)
            note_as_own(camera, pf_base_name(line), kin);
        else if (pf_card_note(camera->card, line, -1, false) < 0)
            pf_camera_fail(camera, ENOMEM, path);
    }
    free(line);
    fclose(file);
    return true;
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
    if (pf_name_kind(name) == PF_NAME_IMAGE && name[0] != '.')
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

bool pf_camera_read_before(struct pf_camera *camera, const char *path)
{
    return read_lines(camera, path, NULL);
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

static bool is_picture(const char *name)
{
    return pf_name_kind(name) == PF_NAME_IMAGE && strncmp(name, PF_CAMERA_PART, PART_LENGTH) != 0;
}

static void take_picture(struct pf_camera *camera, const char *path, const char *name,
                         void *context)
{
    (void)context;
    if (!is_picture(name))
        return;
    pf_camera_alive(camera, 0);
    camera->spool_files++;
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

static void take_camera(struct pf_camera *camera, const char *path, const char *name, void *context)
{
    if (name[0] != '.')
        walk(camera, path, take_picture, context);
}

void pf_camera_scan_spool(struct pf_camera *camera)
{
    camera->spool_files = 0;
    walk(camera, camera->directory, take_own, NULL);
}

void pf_camera_scan_all(struct pf_camera *camera)
{
    camera->spool_files = 0;
    walk(camera, camera->spool, take_camera, NULL);
}

static void count_picture(struct pf_camera *camera, const char *path, const char *name,
                          void *context)
{
    (void)path, (void)context;
    camera->spool_files += is_picture(name);
}

static void count_camera(struct pf_camera *camera, const char *path, const char *name,
                         void *context)
{
    (void)context;
    if (name[0] != '.')
        walk(camera, path, count_picture, NULL);
}

void pf_camera_count_all(struct pf_camera *camera)
{
    camera->spool_files = 0;
    walk(camera, camera->spool, count_camera, NULL);
}
