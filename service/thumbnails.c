#include "service/thumbnails.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/text.h"

struct pf_thumbnails {
    char *directory;
    int64_t most_bytes, bytes;
};

struct item {
    char name[128];
    int64_t bytes;
    struct timespec made;
};

static int by_age(const void *first, const void *second)
{
    const struct timespec *a = &((const struct item *)first)->made;
    const struct timespec *b = &((const struct item *)second)->made;
    if (a->tv_sec != b->tv_sec)
        return a->tv_sec < b->tv_sec ? -1 : 1;
    return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

/* All that is there, the oldest first; `bytes` is brought up to date. Before there is a worker, parts of one that was
 * killed go. The array is the caller's; NULL: nothing, or no memory. */
static struct item *list(struct pf_thumbnails *thumbnails, bool is_start, size_t *ret_count)
{
    struct item *items = NULL;
    size_t capacity = 0, count = 0;
    DIR *directory = opendir(thumbnails->directory);
    thumbnails->bytes = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct stat st;
        size_t length = strlen(entry->d_name);
        if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode) || length >= sizeof(items->name))
            continue;
        if (length > 5 && strcmp(entry->d_name + length - 5, ".part") == 0) {
            if (is_start)
                unlinkat(dirfd(directory), entry->d_name, 0);
            continue;
        }
        struct item *grown = pf_with_room(items, &capacity, count, 1, sizeof(*items));
        if (!grown)
            break;
        items = grown;
        items[count] = (struct item){.bytes = st.st_size, .made = st.st_mtim};
        memcpy(items[count++].name, entry->d_name, length + 1);
        thumbnails->bytes += st.st_size;
    }
    if (directory)
        closedir(directory);
    if (count)
        qsort(items, count, sizeof(*items), by_age);
    *ret_count = count;
    return items;
}

static void prune(struct pf_thumbnails *thumbnails, bool is_start)
{
    size_t count = 0, removed = 0;
    struct item *items = list(thumbnails, is_start, &count);
    int64_t wanted = thumbnails->most_bytes / 10 * 9;
    for (; thumbnails->bytes > thumbnails->most_bytes ||
           (removed && removed < count && thumbnails->bytes > wanted);
         removed++) {
        if (removed == count)
            break;
        char *path = pf_path_join(thumbnails->directory, items[removed].name);
        if (path)
            unlink(path);
        free(path);
        thumbnails->bytes -= items[removed].bytes;
    }
    free(items);
    if (removed)
        pf_log_debug("thumbnails: the oldest %zu of %zu are removed", removed, count);
}

int pf_thumbnails_new(struct pf_thumbnails **ret, const char *state, const char *name,
                      int64_t most_mb, struct pf_error *err)
{
    struct pf_thumbnails *thumbnails = calloc(1, sizeof(*thumbnails));
    if (thumbnails)
        thumbnails->directory = pf_path_join(state, name);
    int r = thumbnails && thumbnails->directory ? 0 : pf_fail(err, ENOMEM, "out of memory");
    *ret = NULL;
    if (r == 0 && !most_mb) {
        r = pf_remove_tree(thumbnails->directory, err);
        pf_thumbnails_free(thumbnails);
        return r;
    }
    if (r == 0)
        r = pf_make_directories(thumbnails->directory, err);
    if (r < 0) {
        pf_thumbnails_free(thumbnails);
        return r;
    }
    thumbnails->most_bytes = most_mb << 20;
    prune(thumbnails, true);
    *ret = thumbnails;
    return 0;
}

struct pf_thumbnails *pf_thumbnails_free(struct pf_thumbnails *thumbnails)
{
    if (thumbnails)
        free(thumbnails->directory);
    free(thumbnails);
    return NULL;
}

void pf_thumbnails_ask(const struct pf_settings *settings, const char *identity, json_t *command)
{
    char *prefix =
        settings->thumbnails ? pf_text("%s/thumbnails/%s", settings->state, identity) : NULL;
    if (!prefix)
        return;
    json_object_set_new(command, "thumbnails", pf_json_bytes(prefix));
    free(prefix);
}

void pf_thumbnails_note(struct pf_thumbnails *thumbnails, const char *path)
{
    struct stat st;
    if (!thumbnails || stat(path, &st) < 0)
        return;
    thumbnails->bytes += st.st_size;
    if (thumbnails->bytes > thumbnails->most_bytes)
        prune(thumbnails, false);
}
