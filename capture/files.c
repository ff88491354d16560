#include "capture/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "capture/names.h"
#include "config/base/array.h"
#include "config/base/time.h"

struct pf_files {
    struct pf_file **slots; /* open addressing, linear probing; capacity is a power of two */
    size_t capacity, count;
    struct pf_file **queue; /* binary heap in [1, queued] */
    size_t queued, queue_capacity;
};

struct pf_file_stamp pf_file_stamp_of(const struct stat *st)
{
    return (struct pf_file_stamp){
        .size_bytes = st->st_size,
        .mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec,
        .ctime_ns = st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec,
        .inode = st->st_ino,
    };
}

bool pf_file_stamp_equal(const struct pf_file_stamp *a, const struct pf_file_stamp *b)
{
    return a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns && a->inode == b->inode;
}

int pf_files_new(struct pf_files **ret)
{
    enum { FIRST_CAPACITY = 1024 };
    struct pf_files *files = calloc(1, sizeof(*files));
    if (files)
        files->slots = calloc(FIRST_CAPACITY, sizeof(struct pf_file *));
    if (!files || !files->slots) {
        free(files);
        return -ENOMEM;
    }
    files->capacity = FIRST_CAPACITY;
    *ret = files;
    return 0;
}

static void free_file(struct pf_file *file)
{
    free(file->path);
    free(file);
}

struct pf_files *pf_files_free(struct pf_files *files)
{
    if (!files)
        return NULL;
    for (size_t i = 0; i < files->capacity; i++)
        if (files->slots[i])
            free_file(files->slots[i]);
    free(files->slots);
    free(files->queue);
    free(files);
    return NULL;
}

/* The slot that holds the path, or the free one where it belongs. */
static size_t slot_of(struct pf_file *const *slots, size_t capacity, const char *path,
                      uint64_t hash)
{
    size_t i = hash & (capacity - 1);
    while (slots[i] && (slots[i]->path_hash != hash || strcmp(slots[i]->path, path)))
        i = (i + 1) & (capacity - 1);
    return i;
}

struct pf_file *pf_files_find(struct pf_files *files, const char *path)
{
    uint64_t hash = XXH3_64bits(path, strlen(path));
    return files->slots[slot_of(files->slots, files->capacity, path, hash)];
}

static int grow(struct pf_files *files)
{
    size_t capacity = files->capacity * 2;
    struct pf_file **slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < files->capacity; i++)
        if (files->slots[i])
            slots[slot_of(slots, capacity, files->slots[i]->path, files->slots[i]->path_hash)] =
                files->slots[i];
    free(files->slots);
    files->slots = slots;
    files->capacity = capacity;
    return 0;
}

struct pf_file *pf_files_get(struct pf_files *files, const char *path)
{
    struct pf_file *file = pf_files_find(files, path);
    if (file)
        return file;
    if ((files->count + 1) * 4 > files->capacity * 3 && grow(files) < 0)
        return NULL;
    file = calloc(1, sizeof(*file));
    if (!file || !(file->path = strdup(path))) {
        free(file);
        return NULL;
    }
    file->path_hash = XXH3_64bits(path, strlen(path));
    files->slots[slot_of(files->slots, files->capacity, path, file->path_hash)] = file;
    files->count++;
    return file;
}

void pf_files_remove(struct pf_files *files, struct pf_file *file)
{
    pf_files_unqueue(files, file);
    size_t hole = slot_of(files->slots, files->capacity, file->path, file->path_hash);
    size_t mask = files->capacity - 1;
    files->slots[hole] = NULL;
    files->count--;
    free_file(file);
    /* Whoever was pushed past the hole moves back into it. */
    for (size_t i = (hole + 1) & mask; files->slots[i]; i = (i + 1) & mask) {
        size_t home = files->slots[i]->path_hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            files->slots[hole] = files->slots[i];
            files->slots[i] = NULL;
            hole = i;
        }
    }
}

void pf_files_each(struct pf_files *files, void (*visit)(void *context, struct pf_file *file),
                   void *context)
{
    for (size_t i = 0; i < files->capacity; i++)
        if (files->slots[i])
            visit(context, files->slots[i]);
}

void pf_files_forget_gone(struct pf_files *files)
{
    /* A removal moves later ones back into its slot, which is then looked at again; one that wraps
     * round to the end was looked at before. */
    for (size_t i = 0; i < files->capacity; i++)
        while (files->slots[i] && files->slots[i]->gone)
            pf_files_remove(files, files->slots[i]);
}

static bool before(const struct pf_file *a, const struct pf_file *b)
{
    if (a->due_ms != b->due_ms)
        return a->due_ms < b->due_ms;
    if (a->stamp.mtime_ns != b->stamp.mtime_ns)
        return a->stamp.mtime_ns < b->stamp.mtime_ns;
    return pf_name_compare(a->path, b->path) < 0;
}

static void place(struct pf_files *files, size_t index, struct pf_file *file)
{
    files->queue[index] = file;
    file->queue_index = index;
}

/* Moves `file` from the free place `index` to where it belongs. */
static void settle(struct pf_files *files, size_t index, struct pf_file *file)
{
    while (index > 1 && before(file, files->queue[index / 2])) {
        place(files, index, files->queue[index / 2]);
        index /= 2;
    }
    for (size_t child; (child = index * 2) <= files->queued; index = child) {
        if (child < files->queued && before(files->queue[child + 1], files->queue[child]))
            child++;
        if (!before(files->queue[child], file))
            break;
        place(files, index, files->queue[child]);
    }
    place(files, index, file);
}

int pf_files_queue(struct pf_files *files, struct pf_file *file, int64_t due_ms)
{
    pf_files_unqueue(files, file);
    struct pf_file **queue = pf_with_room(files->queue, &files->queue_capacity, files->queued + 1,
                                          1, sizeof(struct pf_file *));
    if (!queue)
        return -ENOMEM;
    files->queue = queue;
    file->due_ms = due_ms;
    settle(files, ++files->queued, file);
    return 0;
}

void pf_files_unqueue(struct pf_files *files, struct pf_file *file)
{
    size_t index = file->queue_index;
    if (!index)
        return;
    file->queue_index = 0;
    struct pf_file *last = files->queue[files->queued--];
    if (last != file)
        settle(files, index, last);
}

struct pf_file *pf_files_first(const struct pf_files *files)
{
    return files->queued ? files->queue[1] : NULL;
}

/* Of the part of the heap beneath `index`, where none is due before the one above it. */
static size_t count_due(const struct pf_files *files, size_t index, int64_t now_ms,
                        int64_t since_ms, size_t most)
{
    if (index > files->queued || files->queue[index]->due_ms > now_ms)
        return 0;
    size_t count = files->queue[index]->changed_ms >= since_ms;
    for (size_t child = index * 2; child <= index * 2 + 1 && count < most; child++)
        count += count_due(files, child, now_ms, since_ms, most - count);
    return count;
}

size_t pf_files_due(const struct pf_files *files, int64_t since_ms, size_t most)
{
    return count_due(files, 1, pf_monotonic_ms(), since_ms, most);
}
