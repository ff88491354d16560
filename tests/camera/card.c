/* The card: shots become objects, and what the camera says of them. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "tests/camera/camera.h"

enum {
    FORMAT_FOLDER = 0x3001,
    FORMAT_RAW = 0x3000,
    FORMAT_JPEG = 0x3801,
    FORMAT_CR2 = 0xb103,
    EVENT_OBJECT_ADDED = 0x4002,
    EVENT_OBJECT_INFO_CHANGED = 0x4007,
    EVENT_STORE_FULL = 0x400a,
    EVENT_CAPTURE_COMPLETE = 0x400d,
    EVENT_ADDED_IN_MEMORY = 0xc101,
    EVENT_OLYMPUS_ADDED = 0xc102,
    EVENT_PANASONIC_ADDED = 0xc108,
    SETTLE_MS = 400, /* from a size that is too small to the one that is right */
};

uint64_t card_random(struct camera *camera, uint64_t below)
{
    /* xorshift64: Marsaglia 2003 */
    uint64_t x = camera->faults.random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    camera->faults.random = x;
    return x % below;
}

bool card_chance(struct camera *camera)
{
    return camera->faults.percent && card_random(camera, 100) < (uint64_t)camera->faults.percent;
}

static struct object *add(struct camera *camera, uint32_t parent, const char *name, unsigned format)
{
    camera->objects =
        realloc(camera->objects, (camera->object_count + 1) * sizeof(*camera->objects));
    if (!camera->objects)
        die("out of memory");
    struct object *object = &camera->objects[camera->object_count++];
    *object = (struct object){.handle = camera->next_handle++,
                              .parent = parent,
                              .format = format,
                              .time_s = camera->clock_s};
    snprintf(object->name, sizeof(object->name), "%s", name);
    return object;
}

struct object *card_object(struct camera *camera, uint32_t handle)
{
    for (size_t i = 0; i < camera->object_count; i++)
        if (camera->objects[i].handle == handle && !camera->objects[i].deleted)
            return &camera->objects[i];
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void card_begin(struct camera *camera, const char *directory)
{
    struct dirent *entry;
    DIR *stream = opendir(directory);
    if (!stream)
        die(directory);
    while ((entry = readdir(stream))) {
        if (entry->d_name[0] == '.')
            continue;
        camera->files = realloc(camera->files, (camera->file_count + 1) * sizeof(char *));
        if (!camera->files ||
            asprintf(&camera->files[camera->file_count++], "%s/%s", directory, entry->d_name) < 0)
            die("out of memory");
    }
    closedir(stream);
    qsort(camera->files, camera->file_count, sizeof(char *), by_name);
    camera->next_handle = 1;
    uint32_t dcim = add(camera, 0, "DCIM", FORMAT_FOLDER)->handle;
    add(camera, dcim, "100TESTC", FORMAT_FOLDER);
    camera->next_handle = 0x1001;
}

static void tell(struct camera *camera, unsigned code, uint32_t parameter)
{
    if (camera->profile == PROFILE_OLYMPUS && code == EVENT_OBJECT_ADDED)
        ptpip_event(camera, EVENT_OLYMPUS_ADDED, parameter);
    else if (camera->profile == PROFILE_PANASONIC && code == EVENT_OBJECT_ADDED)
        ptpip_event(camera, EVENT_PANASONIC_ADDED, parameter);
    else if (camera->profile == PROFILE_SONY)
        ; /* its properties tell */
    else if (camera->profile == PROFILE_GENERIC || camera->profile > PROFILE_CANON)
        ptpip_event(camera, code, parameter);
    else if (camera->event_count < sizeof(camera->events) / sizeof(camera->events[0]))
        camera->events[camera->event_count++] = (struct event){code, parameter};
}

static void add_file(struct camera *camera, const char *file, bool lost)
{
    struct stat st;
    const char *dot = strrchr(file, '.');
    char name[32];
    if (stat(file, &st) < 0)
        die(file);
    bool jpeg = dot && (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
    bool canon = camera->profile == PROFILE_CANON;
    snprintf(name, sizeof(name), "TEST%04u.%s", camera->counter % 10000,
             jpeg  ? "JPG"
             : dot ? dot + 1
                   : "DAT");
    for (char *at = name; *at; at++)
        *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
    struct object *object = add(camera, 2, name,
                                jpeg    ? FORMAT_JPEG
                                : canon ? FORMAT_CR2
                                        : FORMAT_RAW);
    object->file = strdup(file);
    object->size = object->served_size = (uint64_t)st.st_size;
    if (camera->faults.shorts > 0 || (card_chance(camera) && card_random(camera, 2))) {
        camera->faults.shorts -= camera->faults.shorts > 0;
        object->served_size = object->size * 6 / 10;
        object->complete_ms = now_ms() + SETTLE_MS;
    }
    object->in_memory = camera->to_memory;
    if (!lost)
        tell(camera, object->in_memory ? EVENT_ADDED_IN_MEMORY : EVENT_OBJECT_ADDED,
             object->handle);
}

/* Index of the picture that the focus chooses. */
static size_t focused(const struct camera *camera)
{
    int at = camera->focus / camera->steps_per_file;
    if (at < 0)
        at = 0;
    return (size_t)at < camera->file_count ? (size_t)at : camera->file_count - 1;
}

void card_shoot(struct camera *camera)
{
    if (camera->full) {
        tell(camera, EVENT_STORE_FULL, 0x00010001);
        return;
    }
    camera->counter++;
    camera->clock_s++;
    bool lost = camera->faults.lose > 0 || (card_chance(camera) && !card_random(camera, 3));
    camera->faults.lose -= camera->faults.lose > 0;
    if (card_chance(camera) && !camera->faults.busy)
        camera->faults.busy = 1;
    for (int i = 0; i < (camera->pairs ? 2 : 1); i++) {
        if (i && camera->chatters)
            tell(camera, EVENT_PROPERTY_CHANGED, PROPERTY_BATTERY);
        size_t index = camera->steps_per_file ? focused(camera) : camera->next_file++;
        if (index < camera->file_count)
            add_file(camera, camera->files[index], lost);
    }
    if (!lost)
        tell(camera, EVENT_CAPTURE_COMPLETE, 0);
}

void card_expose(struct camera *camera)
{
    if (!camera->expose_ms) {
        card_shoot(camera);
        camera->to_memory = false;
        return;
    }
    camera->shots_due++;
    camera->next_shot_ms = now_ms() + camera->expose_ms;
}

void card_tick(struct camera *camera)
{
    while (camera->shots_due > 0 && camera->next_shot_ms <= now_ms()) {
        camera->shots_due--;
        camera->next_shot_ms += camera->shot_every_ms;
        card_shoot(camera);
        camera->to_memory = false;
    }
    for (size_t i = 0; i < camera->object_count; i++) {
        struct object *object = &camera->objects[i];
        if (object->complete_ms && object->complete_ms <= now_ms()) {
            object->complete_ms = 0;
            object->served_size = object->size;
            tell(camera, EVENT_OBJECT_INFO_CHANGED, object->handle);
        }
    }
}

int64_t card_deadline(struct camera *camera)
{
    int64_t deadline_ms = camera->shots_due > 0 ? camera->next_shot_ms : INT64_MAX;
    for (size_t i = 0; i < camera->object_count; i++)
        if (camera->objects[i].complete_ms && camera->objects[i].complete_ms < deadline_ms)
            deadline_ms = camera->objects[i].complete_ms;
    return deadline_ms;
}
