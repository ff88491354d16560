#include "service/outbox_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/mount.h"

#define NOTE_BYTES 32768

/* Of the outbox, or of what of its path is there. False: not known. */
static bool find_mount(const char *outbox, struct pf_mount *ret)
{
    struct pf_error err = {0};
    int r = -ENOENT;
    char *path = strdup(outbox);
    while (path && r == -ENOENT) {
        int fd =
            open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* what is mounted on demand is now */
        if (fd >= 0)
            close(fd);
        pf_error_clear(&err);
        r = pf_mount_begin(path, ret, &err);
        char *above = r == -ENOENT && strcmp(path, "/") != 0 ? pf_path_directory(path) : NULL;
        free(path);
        path = above;
    }
    free(path);
    return r == 0 && ret->point[0];
}

static bool take(const json_t *object, const char *key, char *to, size_t size)
{
    char *text = pf_json_bytes_value(json_object_get(object, key));
    bool fits = text && (size_t)snprintf(to, size, "%s", text) < size;
    free(text);
    return fits;
}

/* False: nothing is noted of this outbox. */
static bool read_note(const char *outbox, const char *note, struct pf_mount *ret)
{
    json_t *object = NULL;
    struct pf_mount noted = {0};
    pf_json_read(note, NOTE_BYTES, &object, NULL);
    char *of = pf_json_bytes_value(json_object_get(object, "outbox"));
    bool is_noted = of && !strcmp(of, outbox) &&
                    take(object, "mount", noted.point, sizeof(noted.point)) &&
                    take(object, "root", noted.root, sizeof(noted.root)) &&
                    take(object, "type", noted.type, sizeof(noted.type)) &&
                    take(object, "source", noted.source, sizeof(noted.source));
    free(of);
    json_decref(object);
    if (is_noted)
        *ret = noted;
    return is_noted;
}

/* What was mounted further down is not there: and it is not seen from here as a part of this, as it is where only a
 * unit's own mounts have gone. What is mounted at the same place is taken for it whatever it is: a disk's source changes
 * its name. */
static bool is_missing(const struct pf_mount *noted, const struct pf_mount *now)
{
    const char *rest = pf_path_beneath(noted->point, now->point);
    return rest && *rest && !pf_mount_is_part(noted, now);
}

bool pf_outbox_mount_missed(const char *outbox, const char *note, struct pf_mount *ret)
{
    struct pf_mount noted, now;
    bool missed = note && read_note(outbox, note, &noted) && find_mount(outbox, &now) &&
                  is_missing(&noted, &now);
    if (missed)
        *ret = noted;
    return missed;
}

int pf_outbox_mount_check(const char *outbox, const char *note, struct pf_error *err)
{
    struct pf_mount noted;
    if (!pf_outbox_mount_missed(outbox, note, &noted))
        return 0;
    return pf_fail(err, ENODEV,
                   "%s: %s is not mounted, on which it was (%s, %s); if it is to be without that "
                   "from now on, remove %s",
                   outbox, noted.point, noted.type, noted.source, note);
}

static bool is_same(const struct pf_mount *a, const struct pf_mount *b)
{
    return !strcmp(a->point, b->point) && !strcmp(a->root, b->root) && !strcmp(a->type, b->type) &&
           !strcmp(a->source, b->source);
}

void pf_outbox_mount_keep(const char *outbox, const char *note)
{
    struct pf_mount noted, now;
    if (!note || !find_mount(outbox, &now))
        return;
    /* It may have gone since the check. */
    if (read_note(outbox, note, &noted) && (is_same(&noted, &now) || is_missing(&noted, &now)))
        return;
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o}", "outbox", pf_json_bytes(outbox), "mount",
                  pf_json_bytes(now.point), "root", pf_json_bytes(now.root), "type",
                  pf_json_bytes(now.type), "source", pf_json_bytes(now.source));
    char *text = object ? pf_json_text(object, JSON_COMPACT) : NULL;
    if (text)
        pf_write_file_durable(note, text, strlen(text), NULL);
    free(text);
    json_decref(object);
}
