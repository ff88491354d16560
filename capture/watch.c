#include "capture/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "config/base/array.h"
#include "config/base/file.h"

struct place {
    int wd;
    bool marked;
    char *path;
};

struct pf_watch {
    int fd;
    struct place *places; /* sorted by wd, which the kernel counts up */
    size_t count, capacity;
};

int pf_watch_new(struct pf_watch **ret, struct pf_error *err)
{
    struct pf_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return pf_fail(err, ENOMEM, "out of memory for watches");
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0) {
        int r = pf_fail_errno(err, errno, "inotify");
        free(watch);
        return r;
    }
    *ret = watch;
    return 0;
}

struct pf_watch *pf_watch_free(struct pf_watch *watch)
{
    if (!watch)
        return NULL;
    close(watch->fd);
    for (size_t i = 0; i < watch->count; i++)
        free(watch->places[i].path);
    free(watch->places);
    free(watch);
    return NULL;
}

int pf_watch_fd(const struct pf_watch *watch)
{
    return watch->fd;
}

size_t pf_watch_count(const struct pf_watch *watch)
{
    return watch->count;
}

/* Index of the first place with a wd not below `wd`. */
static size_t lower_bound(const struct pf_watch *watch, int wd)
{
    size_t low = 0, high = watch->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (watch->places[middle].wd < wd)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct place *find(const struct pf_watch *watch, int wd)
{
    size_t i = lower_bound(watch, wd);
    return i < watch->count && watch->places[i].wd == wd ? &watch->places[i] : NULL;
}

int pf_watch_add(struct pf_watch *watch, const char *path, bool follow)
{
    const uint32_t mask = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                          IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
    int wd = inotify_add_watch(watch->fd, path, mask | (follow ? 0 : IN_DONT_FOLLOW));
    if (wd < 0)
        return -errno;
    struct place *place = find(watch, wd);
    if (place && !strcmp(place->path, path)) {
        place->marked = true;
        return 0;
    }
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    if (place) {
        free(place->path);
        place->path = copy;
        place->marked = true;
        return 0;
    }
    struct place *places =
        pf_with_room(watch->places, &watch->capacity, watch->count, 1, sizeof(*places));
    if (!places) {
        free(copy);
        inotify_rm_watch(watch->fd, wd);
        return -ENOMEM;
    }
    watch->places = places;
    size_t i = lower_bound(watch, wd);
    memmove(watch->places + i + 1, watch->places + i, (watch->count - i) * sizeof(*watch->places));
    watch->places[i] = (struct place){.wd = wd, .marked = true, .path = copy};
    watch->count++;
    return 0;
}

/* Removes the watches beneath `root`, or, without one, those that are not marked. */
static void remove_places(struct pf_watch *watch, const char *root)
{
    size_t kept = 0;
    for (size_t i = 0; i < watch->count; i++) {
        struct place *place = &watch->places[i];
        if (root ? pf_path_beneath(place->path, root) != NULL : !place->marked) {
            inotify_rm_watch(watch->fd, place->wd);
            free(place->path);
        } else {
            watch->places[kept++] = *place;
        }
    }
    watch->count = kept;
}

void pf_watch_remove_tree(struct pf_watch *watch, const char *path)
{
    remove_places(watch, path);
}

void pf_watch_sweep_begin(struct pf_watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        watch->places[i].marked = false;
}

void pf_watch_sweep_end(struct pf_watch *watch)
{
    remove_places(watch, NULL);
}

int pf_watch_read(struct pf_watch *watch, pf_watch_handler *handler, void *context)
{
    enum { BUFFER_BYTES = 64 << 10 };
    _Alignas(struct inotify_event) char buffer[BUFFER_BYTES];
    ssize_t n = read(watch->fd, buffer, sizeof(buffer));
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    for (char *at = buffer; at < buffer + n;) {
        const struct inotify_event *event = (const struct inotify_event *)at;
        at += sizeof(*event) + event->len;
        if (event->mask & IN_Q_OVERFLOW) {
            handler(context, NULL, NULL, event->mask);
            continue;
        }
        struct place *place = find(watch, event->wd);
        if (!place)
            continue; /* removed while its last events were on their way */
        if (event->mask & IN_IGNORED) {
            size_t i = (size_t)(place - watch->places);
            free(place->path);
            watch->count--;
            memmove(place, place + 1, (watch->count - i) * sizeof(*place));
            continue;
        }
        handler(context, place->path, event->len ? event->name : NULL, event->mask);
    }
    return 0;
}
