#include "service/blame.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"

enum {
    FILES_MAX = 256, /* the oldest are forgotten first */
    PATH_CHARS_MAX = 4 * PATH_MAX,
};

void pf_blame_looking(struct pf_blame *blame, const json_t *looking)
{
    static const char *const keys[] = {"path", "size_bytes", "mtime_ns", "ctime_ns", "inode"};
    json_decref(blame->reading);
    blame->reading = NULL;
    if (!json_is_string(json_object_get(looking, "path")) ||
        json_string_length(json_object_get(looking, "path")) > PATH_CHARS_MAX)
        return;
    blame->reading = json_object();
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        json_t *value = json_object_get(looking, keys[i]);
        if (i == 0 || json_is_integer(value))
            json_object_set(blame->reading, keys[i], value);
    }
}

/* The one of this path, whatever it holds; NULL: none. */
static struct pf_blamed *find(const struct pf_blame *blame, const json_t *file)
{
    for (size_t i = 0; i < blame->count; i++)
        if (json_equal(json_object_get(blame->files[i].file, "path"),
                       json_object_get(file, "path")))
            return &blame->files[i];
    return NULL;
}

static void remove_file(struct pf_blame *blame, size_t index)
{
    json_decref(blame->files[index].file);
    memmove(&blame->files[index], &blame->files[index + 1],
            (--blame->count - index) * sizeof(*blame->files));
}

void pf_blame_looked(struct pf_blame *blame)
{
    struct pf_blamed *blamed = blame->reading ? find(blame, blame->reading) : NULL;
    if (blamed)
        remove_file(blame, (size_t)(blamed - blame->files));
    json_decref(blame->reading);
    blame->reading = NULL;
}

const struct pf_blamed *pf_blame_death(struct pf_blame *blame, bool of_itself)
{
    json_t *file = blame->reading;
    blame->reading = NULL;
    if (!file)
        return NULL;
    struct pf_blamed *blamed = find(blame, file);
    if (!blamed) {
        if (blame->count == FILES_MAX)
            remove_file(blame, 0);
        struct pf_blamed *files =
            pf_with_room(blame->files, &blame->capacity, blame->count, 1, sizeof(*files));
        if (!files) {
            json_decref(file);
            return NULL;
        }
        blame->files = files;
        blamed = &files[blame->count++];
        *blamed = (struct pf_blamed){0};
    }
    if (!blamed->file || !json_equal(blamed->file, file))
        blamed->deaths = 0;
    json_decref(blamed->file);
    blamed->file = file;
    blamed->deaths += of_itself;
    return blamed;
}

json_t *pf_blame_command(const struct pf_blame *blame, size_t index)
{
    const struct pf_blamed *blamed = &blame->files[index];
    json_t *command = json_deep_copy(blamed->file);
    if (command &&
        (json_object_set_new(command, "cmd", json_string("blamed")) |
         json_object_set_new(command, "pass", json_boolean(blamed->deaths >= PF_BLAME_DEATHS)))) {
        json_decref(command);
        command = NULL;
    }
    return command;
}

void pf_blame_free(struct pf_blame *blame)
{
    for (size_t i = 0; i < blame->count; i++)
        json_decref(blame->files[i].file);
    free(blame->files);
    json_decref(blame->reading);
    *blame = (struct pf_blame){0};
}
