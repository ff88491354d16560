#include "tests/unit/allocations.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_long count_down; /* 0: does not fail; n: the n-th from now fails */
static atomic_bool and_all_after;
static atomic_long own_allocations, *allocations = &own_allocations, failures;

long allocations_made(void)
{
    return atomic_load(allocations);
}

long allocations_failed(void)
{
    return atomic_load(&failures);
}

void fail_allocation(long n, bool all_after)
{
    atomic_store(&and_all_after, all_after);
    atomic_store(&count_down, n);
}

long allocations_hold(void)
{
    return atomic_exchange(&count_down, 0);
}

void allocations_go_on(long left)
{
    atomic_store(&count_down, left);
}

static bool fails(void)
{
    atomic_fetch_add(allocations, 1);
    long left = atomic_load(&count_down);
    if (left <= 0)
        return false;
    if (left > 1) {
        atomic_store(&count_down, left - 1);
        return false;
    }
    if (!atomic_load(&and_all_after))
        atomic_store(&count_down, 0);
    atomic_fetch_add(&failures, 1);
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **ret, size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);
int __real_vasprintf(char **ret, const char *format, va_list args);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
int __wrap_vasprintf(char **ret, const char *format, va_list args);
int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list args);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
    return fails() ? ENOMEM : __real_posix_memalign(ret, alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t most)
{
    return fails() ? NULL : __real_strndup(text, most);
}

/* What it leaves in *ret when it fails is undefined: something that nobody may use. */
int __wrap_vasprintf(char **ret, const char *format, va_list args)
{
    *ret = (char *)(intptr_t)-4096;
    return fails() ? -1 : __real_vasprintf(ret, format, args);
}

int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list args)
{
    (void)flag;
    return __wrap_vasprintf(ret, format, args);
}

static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int size)
{
    return fails() ? NULL : sqlite_memory.xMalloc(size);
}

static void *sqlite_realloc(void *old, int size)
{
    return fails() ? NULL : sqlite_memory.xRealloc(old, size);
}

void take_libraries(void)
{
    static bool taken;
    if (taken)
        return;
    taken = true;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    sqlite3_mem_methods ours = sqlite_memory;
    ours.xMalloc = sqlite_malloc;
    ours.xRealloc = sqlite_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
}

/* ---- a whole program without memory ---- */

/* The count lies in a file from now on, since a process may end in any way, and may open no file once it
 * is confined. */
static void count_in(const char *prefix, const char *role)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s.%s.%ld", prefix, role, (long)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || ftruncate(fd, sizeof(*allocations)) < 0)
        return;
    void *at = mmap(NULL, sizeof(*allocations), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        allocations = at;
}

__attribute__((constructor)) static void obey_environment(int argc, char **argv)
{
    const char *wanted = getenv("FAIL_ALLOCATION"), *prefix = getenv("ALLOCATIONS_LOG");
    const char *role = argc > 1 ? argv[1] : "";
    size_t length = strlen(role);
    if (!wanted && !prefix)
        return;
    take_libraries();
    if (prefix && length)
        count_in(prefix, role);
    if (wanted && length && !strncmp(wanted, role, length) && wanted[length] == ':') {
        char *end;
        long n = strtol(wanted + length + 1, &end, 10);
        fail_allocation(n, *end == '+');
    }
}
