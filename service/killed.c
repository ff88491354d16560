#include "service/killed.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/time.h"

#define PAUSE_MS 10 /* between two looks where nothing waits with a limit */

bool pf_killed_reap(pid_t pid, int64_t until_ms)
{
    int64_t left_ms;
    pid_t reaped;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    while (!(reaped = waitpid(pid, NULL, WNOHANG)) && (left_ms = until_ms - pf_monotonic_ms()) > 0)
        /* Without such a descriptor (a kernel before 5.3, none left) it is a pause. */
        poll(&end, 1, fd < 0 && left_ms > PAUSE_MS ? PAUSE_MS : (int)left_ms);
    if (fd >= 0)
        close(fd);
    return reaped != 0;
}

/* Of a thread, as proc(5) has it; '?' unknown. */
static char state_of(const char *path)
{
    char line[512] = "", state = '?';
    FILE *from = fopen(path, "re");
    if (!from)
        return state;
    /* Its name stands in brackets and may hold any. */
    const char *after = fgets(line, sizeof(line), from) ? strrchr(line, ')') : NULL;
    if (after && after[1])
        state = after[2];
    fclose(from);
    return state;
}

const char *pf_killed_does(pid_t pid, char *ret, size_t size)
{
    char path[320], state = '?';
    const struct dirent *thread;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    while (threads && state != 'D' && (thread = readdir(threads))) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid, thread->d_name);
        if (thread->d_name[0] != '.')
            state = state_of(path);
    }
    if (threads)
        closedir(threads);
    if (state == 'D')
        snprintf(ret, size,
                 "waits in the kernel for a disk or a mount that does not answer (state D)");
    else
        snprintf(ret, size, "is in state %c", state);
    return ret;
}
