#include "service/outbox_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/mount.h"

#define NOTE_BYTES 16384

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
        r = pf_mount_of(path, ret, &err);
        char *above = r == -ENOENT && strcmp(path, "/") != 0 ? pf_path_directory(path) : NULL;
        free(path);
        path = above;
    }
    free(path);
    return r == 0 && ret->point[0];
}

/* Where this outbox was mounted; heap, NULL: nothing is noted of it. */
static char *noted_point(const char *outbox, const char *note)
{
    char text[NOTE_BYTES];
    json_t *object = NULL;
    int fd = open(note, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (fd >= 0)
        close(fd);
    if (size > 0)
        pf_json_parse(text, (size_t)size, 0, &object, NULL);
    char *of = pf_json_bytes_value(json_object_get(object, "outbox"));
    char *point =
        of && !strcmp(of, outbox) ? pf_json_bytes_value(json_object_get(object, "mount")) : NULL;
    free(of);
    json_decref(object);
    return point;
}

static bool lies_beneath(const char *point, const char *above)
{
    size_t length = strcmp(above, "/") != 0 ? strlen(above) : 0;
    return strcmp(point, above) != 0 && !strncmp(point, above, length) && point[length] == '/';
}

int pf_outbox_mount_check(const char *outbox, const char *note, struct pf_error *err)
{
    struct pf_mount mount;
    int r = 0;
    char *point = note ? noted_point(outbox, note) : NULL;
    if (point && find_mount(outbox, &mount) && lies_beneath(point, mount.point))
        r = pf_fail(err, ENODEV,
                    "%s: %s is not mounted, on which it was; if it is to be without that from now "
                    "on, remove %s",
                    outbox, point, note);
    free(point);
    return r;
}

void pf_outbox_mount_keep(const char *outbox, const char *note)
{
    struct pf_mount mount;
    if (!note || !find_mount(outbox, &mount))
        return;
    char *point = noted_point(outbox, note);
    bool is_news = !point || (strcmp(point, mount.point) != 0 && !lies_beneath(point, mount.point));
    json_t *object = is_news ? json_pack("{s:o, s:o}", "outbox", pf_json_bytes(outbox), "mount",
                                         pf_json_bytes(mount.point))
                             : NULL;
    char *text = object ? pf_json_text(object, JSON_COMPACT) : NULL;
    if (text)
        pf_write_file_durable(note, text, strlen(text), NULL);
    free(text);
    json_decref(object);
    free(point);
}
