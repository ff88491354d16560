#include "config/base/limits.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Data and stack, the sixth number of statm, in pages; -1 unknown. */
static int64_t data_bytes(void)
{
    char text[160];
    long long pages = -1;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    if (sscanf(text, "%*s %*s %*s %*s %*s %lld", &pages) != 1 || pages < 0)
        return -1;
    return pages * (int64_t)sysconf(_SC_PAGESIZE);
}

/* value < 0: as far as the hard limit. */
static void set(int resource, int64_t value)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (value >= 0 && (limit.rlim_max == RLIM_INFINITY || (rlim_t)value < limit.rlim_max))
        limit.rlim_cur = (rlim_t)value;
    setrlimit(resource, &limit);
}

void pf_limits_allow(int64_t more_bytes, int64_t more_cpu_s)
{
    struct rusage used;
    int64_t have = data_bytes();
    if (SANITIZED)
        return;
    set(RLIMIT_DATA, have < 0 ? -1 : have + more_bytes);
    if (getrusage(RUSAGE_SELF, &used) == 0)
        set(RLIMIT_CPU, (int64_t)used.ru_utime.tv_sec + used.ru_stime.tv_sec + 1 + more_cpu_s);
}

void pf_limits_lift(void)
{
    if (SANITIZED)
        return;
    set(RLIMIT_DATA, -1);
    set(RLIMIT_CPU, -1);
}
