#include "process/room.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "process/machine.h"

#define ALIGNMENT        64
#define LEAST_BYTES      ((size_t)1 << 20) /* of a piece that counts */
#define HUGE_BYTES       ((size_t)2 << 20)
#define LEAST_FREE_BYTES ((size_t)64 << 20) /* left to others on the disk */

struct piece { /* in scratch */
    struct piece *next;
    void *at;
};

enum { SPARES = 3, CUT_MOST = 4 /* a spare is cut to no less than 1 / this */ };
struct spare { /* in memory; counts as given back */
    void *at;  /* NULL: none */
    size_t size_bytes;
};

static struct {
    pthread_mutex_t lock;
    int64_t wanted_bytes; /* by the setting; 0: as the machine has */
    int64_t total_bytes;  /* limit by that */
    const char *scratch;
    struct piece *pieces;
    struct spare spare[SPARES];
    int64_t memory, in_scratch, most_memory, most_scratch;
} room = {.lock = PTHREAD_MUTEX_INITIALIZER, .total_bytes = INT64_MAX};

void pf_room_set(int64_t memory_bytes, const char *scratch)
{
    struct pf_machine machine = pf_machine_look("");
    room.wanted_bytes = memory_bytes;
    room.total_bytes = memory_bytes                       ? memory_bytes
                       : machine.total_bytes == INT64_MAX ? INT64_MAX
                                                          : machine.total_bytes / 4 * 3;
    room.scratch = scratch;
}

static size_t spare_bytes(void)
{
    size_t sum = 0;
    for (int i = 0; i < SPARES; i++)
        sum += room.spare[i].at ? room.spare[i].size_bytes : 0;
    return sum;
}

/* Whether the process's address space would hold a piece if it had no other. The lock is held. */
static bool can_ever_fit(size_t size_bytes)
{
    struct rlimit limit;
    int64_t pages = pf_machine_number("/proc/self/statm", NULL);
    if (pages < 0 || getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return true;
    size_bytes += HUGE_BYTES; /* to align it */
    int64_t others =
        pages * sysconf(_SC_PAGESIZE) - room.memory - room.in_scratch - (int64_t)spare_bytes();
    return size_bytes < limit.rlim_cur && others < (int64_t)(limit.rlim_cur - size_bytes);
}

/* Whether a piece may be memory, of which new_bytes are to be had from the system, while kept_bytes stay as spares.
 * The lock is held. */
static bool fits(size_t size_bytes, size_t new_bytes, size_t kept_bytes)
{
    if ((int64_t)(size_bytes + kept_bytes) > room.total_bytes - room.memory)
        return false;
    return !room.scratch || room.wanted_bytes ||
           (int64_t)new_bytes < pf_machine_look("").available_bytes / 8 * 7;
}

/* ---- scratch ---- */

static int open_scratch(struct pf_error *err)
{
    struct statfs system;
    int fd = open(room.scratch, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
        char path[4096]; /* a file system without files that have no name */
        if (snprintf(path, sizeof(path), "%s/parfocal-XXXXXX", room.scratch) < (int)sizeof(path)) {
            fd = mkostemp(path, O_CLOEXEC);
            if (fd >= 0)
                unlink(path);
        }
    }
    if (fd < 0)
        return pf_fail_errno(err, errno, "making a file in the scratch directory %s", room.scratch);
    if (fstatfs(fd, &system) == 0 &&
        (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC)) {
        close(fd);
        return pf_fail(err, ENOTSUP, "the scratch directory %s lies in memory itself",
                       room.scratch);
    }
    return fd;
}

/* Allotting would fill the disk to the brim before it fails. */
static int check_space(int fd, size_t size_bytes, struct pf_error *err)
{
    struct statvfs system;
    if (fstatvfs(fd, &system) < 0)
        return 0;
    uint64_t free_bytes = (uint64_t)system.f_bavail * system.f_frsize;
    if (size_bytes + LEAST_FREE_BYTES <= free_bytes)
        return 0;
    bool ever = size_bytes + LEAST_FREE_BYTES <= (uint64_t)system.f_blocks * system.f_frsize;
    return pf_fail(err, ever ? ENOSPC : EFBIG, "the scratch directory %s has %llu MB left",
                   room.scratch, (unsigned long long)(free_bytes >> 20));
}

/* The lock is held. */
static int take_scratch(void **ret, size_t size_bytes, struct pf_error *err)
{
    struct piece *piece = calloc(1, sizeof(*piece));
    int fd = piece ? open_scratch(err) : pf_fail(err, ENOMEM, "out of memory");
    int r = fd < 0 ? fd : 0;
    if (r == 0)
        r = check_space(fd, size_bytes, err);
    if (r == 0 && (r = -posix_fallocate(fd, 0, (off_t)size_bytes)) < 0)
        pf_fail_errno(err, -r, "%zu MB in the scratch directory %s", size_bytes >> 20,
                      room.scratch);
    if (r == 0) {
        piece->at = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (piece->at == MAP_FAILED)
            r = pf_fail_errno(err, errno, "mapping %zu MB of the scratch directory %s",
                              size_bytes >> 20, room.scratch);
    }
    if (fd >= 0)
        close(fd);
    if (r < 0) {
        free(piece);
        return r;
    }
    madvise(piece->at, size_bytes, MADV_DONTDUMP);
    piece->next = room.pieces;
    room.pieces = piece;
    room.in_scratch += (int64_t)size_bytes;
    if (room.in_scratch > room.most_scratch)
        room.most_scratch = room.in_scratch;
    *ret = piece->at;
    return 0;
}

/* ---- pieces ---- */

static void *take_memory(size_t size_bytes)
{
    return aligned_alloc(ALIGNMENT, (size_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

/* Large pieces come from the system itself and go back to it: among others of malloc's, what is free
 * between them would stay the process's, a little more with each frame. Address sanitizer watches over
 * malloc's pieces alone. */
#if defined(__SANITIZE_ADDRESS__)
static void *take_large(size_t size_bytes)
{
    return take_memory(size_bytes);
}

static void give_large(void *at, size_t size_bytes)
{
    (void)size_bytes;
    free(at);
}

static void *resize_large(void *at, size_t size_bytes, size_t wanted_bytes)
{
    give_large(at, size_bytes);
    return take_large(wanted_bytes);
}
#else
static size_t whole_pages(size_t size_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size_bytes + page - 1) / page * page;
}

/* Aligned to huge pages: all is touched, at a cost by the page. */
static void *take_large(size_t size_bytes)
{
    size_t size = whole_pages(size_bytes);
    char *at =
        mmap(NULL, size + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)at & (HUGE_BYTES - 1);
    if (before)
        munmap(at, before);
    at += before;
    munmap(at + size, HUGE_BYTES - before);
    madvise(at, size, MADV_HUGEPAGE);
    return at;
}

static void give_large(void *at, size_t size_bytes)
{
    munmap(at, size_bytes);
}

/* What both have of it is not touched for the first time again. NULL: it is gone. */
static void *resize_large(void *at, size_t size_bytes, size_t wanted_bytes)
{
    size_t size = whole_pages(size_bytes), wanted = whole_pages(wanted_bytes);
    if (wanted == size)
        return at;
    /* Not to a place of ours: where that fails, what was there is gone, and another may have taken it. */
    void *moved = mremap(at, size, wanted, MREMAP_MAYMOVE);
    if (moved != MAP_FAILED)
        return moved;
    give_large(at, size_bytes);
    return take_large(wanted_bytes);
}
#endif

/* ---- spares: the planes of the last frame, for the next or for the result, whose first touch of new
 * memory would take a fifth of the time that decoding does. The lock is held. ---- */

static void drop_spares(void)
{
    for (int i = 0; i < SPARES; i++) {
        if (room.spare[i].at)
            give_large(room.spare[i].at, room.spare[i].size_bytes);
        room.spare[i] = (struct spare){0};
    }
}

/* Whether `a` suits better than `b`, of which one may be none: the least that holds it, or the largest. */
static bool suits_better(const struct spare *a, const struct spare *b, size_t size_bytes)
{
    if (!a->at || !b->at)
        return a->at;
    bool holds = a->size_bytes >= size_bytes;
    if (holds != (b->size_bytes >= size_bytes))
        return holds;
    return holds ? a->size_bytes < b->size_bytes : a->size_bytes > b->size_bytes;
}

/* One of about this size, cut or stretched to it. */
static void *take_spare(size_t size_bytes)
{
    struct spare *best = &room.spare[0];
    for (int i = 1; i < SPARES; i++)
        if (suits_better(&room.spare[i], best, size_bytes))
            best = &room.spare[i];
    struct spare spare = *best;
    if (!spare.at || spare.size_bytes / CUT_MOST > size_bytes)
        return NULL;
    size_t lacking = size_bytes > spare.size_bytes ? size_bytes - spare.size_bytes : 0;
    if (!fits(size_bytes, lacking, spare_bytes() - spare.size_bytes))
        return NULL;
    *best = (struct spare){0};
    return resize_large(spare.at, spare.size_bytes, size_bytes);
}

static bool keep_spare(void *at, size_t size_bytes)
{
    for (int i = 0; i < SPARES; i++) {
        if (!room.spare[i].at) {
            room.spare[i] = (struct spare){at, size_bytes};
            return true;
        }
    }
    return false;
}

void pf_room_trim(void)
{
    pthread_mutex_lock(&room.lock);
    drop_spares();
    pthread_mutex_unlock(&room.lock);
}

int pf_room_take(void **ret, size_t size_bytes, struct pf_error *err)
{
    struct pf_error why = {0};
    void *piece = NULL;
    int r = 0;
    if (size_bytes < LEAST_BYTES) {
        *ret = take_memory(size_bytes ? size_bytes : 1);
        return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for %zu bytes", size_bytes);
    }
    pthread_mutex_lock(&room.lock);
    piece = take_spare(size_bytes);
    if (!piece && !fits(size_bytes, size_bytes, spare_bytes()))
        drop_spares();
    if (!piece && fits(size_bytes, size_bytes, spare_bytes()))
        piece = take_large(size_bytes);
    bool in_memory = piece != NULL;
    if (!piece)
        r = room.scratch ? take_scratch(&piece, size_bytes, &why)
                         : pf_fail(&why, ENOMEM, "there is no scratch directory");
    if (!piece && !room.wanted_bytes) /* nobody forbids it, and there may be swap */
        in_memory = (piece = take_large(size_bytes)) != NULL;
    if (in_memory) {
        room.memory += (int64_t)size_bytes;
        room.most_memory = room.memory > room.most_memory ? room.memory : room.most_memory;
    }
    bool ever = piece || can_ever_fit(size_bytes);
    pthread_mutex_unlock(&room.lock);
    if (!piece)
        return pf_fail(err, ever && r != -EFBIG ? ENOBUFS : EFBIG,
                       "no room for %zu MB beside the %lld MB of memory that are taken: %s",
                       size_bytes >> 20, (long long)(room.memory >> 20), why.text);
    *ret = piece;
    return 0;
}

void pf_room_give(void *at, size_t size_bytes)
{
    if (!at || size_bytes < LEAST_BYTES) {
        free(at);
        return;
    }
    pthread_mutex_lock(&room.lock);
    struct piece **link = &room.pieces;
    while (*link && (*link)->at != at)
        link = &(*link)->next;
    struct piece *piece = *link;
    if (piece) {
        *link = piece->next;
        room.in_scratch -= (int64_t)size_bytes;
    } else {
        room.memory -= (int64_t)size_bytes;
    }
    bool kept = !piece && keep_spare(at, size_bytes);
    pthread_mutex_unlock(&room.lock);
    if (piece)
        munmap(at, size_bytes);
    else if (!kept)
        give_large(at, size_bytes);
    free(piece);
}

void pf_room_look(struct pf_room_state *ret)
{
    struct pf_machine machine = pf_machine_look("");
    pthread_mutex_lock(&room.lock);
    *ret = (struct pf_room_state){room.total_bytes, room.memory,       room.in_scratch,
                                  room.most_memory, room.most_scratch, room.scratch};
    int64_t now = room.memory + machine.available_bytes / 8 * 7;
    if (room.scratch && !room.wanted_bytes && machine.available_bytes != INT64_MAX &&
        now < ret->limit_bytes)
        ret->limit_bytes = now;
    pthread_mutex_unlock(&room.lock);
}
