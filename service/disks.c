#include "service/disks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"

#define DISKS_MAX  1024       /* of more the oldest that are not there are forgotten */
#define FILE_BYTES (64 << 20) /* so many of the longest names, as JSON writes what is no UTF-8 */

struct disk {
    char *source, *path;
    bool there;
};

struct pf_disks {
    char *file;
    struct disk *disk;
    size_t count, capacity;
    bool unwritten; /* the file lacks something: the next scan writes it */
    bool said;      /* that it cannot be written */
};

static bool is_of(const struct disk *disk, const char *source)
{
    return !strcmp(disk->source, source);
}

static struct disk *find(const struct pf_disks *disks, const char *source, const char *path)
{
    for (size_t i = 0; i < disks->count; i++)
        if (is_of(&disks->disk[i], source) && !strcmp(disks->disk[i].path, path))
            return &disks->disk[i];
    return NULL;
}

static void forget(struct pf_disks *disks, size_t i)
{
    free(disks->disk[i].source);
    free(disks->disk[i].path);
    disks->count--;
    memmove(&disks->disk[i], &disks->disk[i + 1], (disks->count - i) * sizeof(disks->disk[0]));
}

static void forget_oldest(struct pf_disks *disks)
{
    size_t i = 0;
    while (i < disks->count && disks->disk[i].there)
        i++;
    if (i < disks->count)
        forget(disks, i);
}

/* source and path are consumed. 1: it was not known. */
static int add(struct pf_disks *disks, char *source, char *path, bool there)
{
    struct disk *known = source && path ? find(disks, source, path) : NULL;
    struct disk *more = NULL;
    int r = source && path ? 0 : -ENOMEM;
    if (!known && disks->count == DISKS_MAX)
        forget_oldest(disks);
    if (known) {
        known->there = there;
    } else if (r == 0 && disks->count < DISKS_MAX) {
        more = pf_with_room(disks->disk, &disks->capacity, disks->count, 1, sizeof(*more));
        r = more ? 1 : -ENOMEM;
    }
    if (more) {
        disks->disk = more;
        disks->disk[disks->count++] = (struct disk){source, path, there};
    } else {
        free(source);
        free(path);
    }
    return r;
}

/* ---- the file ---- */

static int read_file(struct pf_disks *disks, struct pf_error *err)
{
    struct pf_error why = {0};
    json_t *all = NULL;
    const json_t *item;
    size_t i;
    int r = pf_json_read(disks->file, FILE_BYTES, &all, &why);
    if (r < 0 && r != -ENOENT && r != -ENOMEM)
        pf_log_warning("%s; which disks lay within the sources is found out anew", why.text);
    r = r == -ENOMEM ? r : 0;
    json_array_foreach(all, i, item)
    {
        const json_t *source = json_object_get(item, "source"), *path;
        size_t k;
        json_array_foreach(json_object_get(item, "disks"), k, path)
        {
            if (r >= 0 && json_is_string(source) && json_is_string(path))
                r = add(disks, pf_json_bytes_value(source), pf_json_bytes_value(path), false);
        }
    }
    json_decref(all);
    return r < 0 ? pf_fail(err, ENOMEM, "out of memory for disks") : 0;
}

static json_t *of_source(const struct pf_disks *disks, const char *source)
{
    json_t *paths = json_array();
    int failed = 0;
    for (size_t i = 0; i < disks->count; i++)
        if (is_of(&disks->disk[i], source))
            failed |= json_array_append_new(paths, pf_json_bytes(disks->disk[i].path));
    if (failed) {
        json_decref(paths);
        return NULL;
    }
    return json_pack("{s:o, s:o}", "source", pf_json_bytes(source), "disks", paths);
}

static void write_file(struct pf_disks *disks)
{
    struct pf_error err = {0};
    json_t *all = json_array();
    int failed = 0;
    for (size_t i = 0; i < disks->count; i++) {
        const char *source = disks->disk[i].source;
        size_t first = 0;
        while (!is_of(&disks->disk[first], source))
            first++;
        if (first == i)
            failed |= json_array_append_new(all, of_source(disks, source));
    }
    char *text = failed ? NULL : pf_json_text(all, JSON_INDENT(1));
    int r = text ? pf_write_file_durable(disks->file, text, strlen(text), &err)
                 : pf_fail(&err, ENOMEM, "%s: out of memory", disks->file);
    if (r < 0 && !disks->said)
        pf_log_warning("%s; a disk that is pulled is not waited for after a restart", err.text);
    disks->said = disks->unwritten = r < 0;
    free(text);
    json_decref(all);
}

/* ---- */

int pf_disks_new(struct pf_disks **ret, const char *file, struct pf_error *err)
{
    struct pf_disks *disks = calloc(1, sizeof(*disks));
    if (disks)
        disks->file = strdup(file);
    int r = disks && disks->file ? read_file(disks, err)
                                 : pf_fail(err, ENOMEM, "out of memory for disks");
    if (r < 0) {
        pf_disks_free(disks);
        return r;
    }
    *ret = disks;
    return 0;
}

struct pf_disks *pf_disks_free(struct pf_disks *disks)
{
    if (!disks)
        return NULL;
    for (size_t i = 0; i < disks->count; i++) {
        free(disks->disk[i].source);
        free(disks->disk[i].path);
    }
    free(disks->disk);
    free(disks->file);
    free(disks);
    return NULL;
}

/* Also what comes after one that there is no memory for. -ENOMEM. */
static int take(struct pf_disks *disks, const char *source, const json_t *paths, bool there)
{
    int failure = 0;
    const json_t *path;
    size_t i;
    json_array_foreach(paths, i, path)
    {
        if (!json_is_string(path))
            continue;
        int r = add(disks, strdup(source), pf_json_bytes_value(path), there);
        if (r < 0)
            failure = r;
        disks->unwritten |= r > 0;
    }
    return failure;
}

void pf_disks_scanned(struct pf_disks *disks, const char *source, const json_t *mounted,
                      const json_t *away)
{
    /* What a new process does not speak of it has not seen. */
    for (size_t i = 0; i < disks->count; i++)
        if (is_of(&disks->disk[i], source))
            disks->disk[i].there = false;
    int gone = take(disks, source, away, false), there = take(disks, source, mounted, true);
    if (gone < 0 || there < 0)
        pf_log_error("source %s: out of memory for its disks", source);
    if (disks->unwritten)
        write_file(disks);
}

/* Whether path lies where something was mounted that none of the sources sees now. */
static bool is_away(const struct pf_disks *disks, const struct disk *disk, const char *path)
{
    const char *rest = pf_path_beneath(path, disk->path);
    for (size_t i = 0; rest && i < disks->count; i++)
        if (disks->disk[i].there && !strcmp(disks->disk[i].path, disk->path))
            return false;
    return rest && *rest;
}

void pf_disks_used(struct pf_disks *disks, const char *path)
{
    size_t before = disks->count;
    for (size_t i = disks->count; i-- > 0;)
        if (is_away(disks, &disks->disk[i], path))
            forget(disks, i);
    if (disks->count < before)
        write_file(disks);
}

bool pf_disks_lack(const struct pf_disks *disks, const char *path, size_t root_length)
{
    for (size_t i = 0; i < disks->count; i++)
        if (strlen(disks->disk[i].path) > root_length && is_away(disks, &disks->disk[i], path))
            return true;
    return false;
}
