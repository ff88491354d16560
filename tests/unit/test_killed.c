/* Waiting for a process that was killed, and does not end. */
#include "service/killed.h"

#include <sys/resource.h>

#include "config/base/time.h"
#include "tests/unit/test.h"

static pid_t begin(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    while (!pid) /* like one in state D: it is not ended by what has been sent to it */
        pause();
    return pid;
}

static void check_patience(void)
{
    pid_t pid = begin();
    int64_t since_ms = pf_monotonic_ms();
    CHECK(!pf_killed_reap(pid, pf_monotonic_ms() + 500));
    CHECK(pf_monotonic_ms() - since_ms >= 500);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK(pf_killed_reap(pid, pf_monotonic_ms() + 500));
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), -1);
    CHECK(pf_killed_reap(pid, pf_monotonic_ms() + 500)); /* nothing to wait for */
}

TEST(patience_has_an_end)
{
    check_patience();
}

TEST(patience_has_an_end_without_a_descriptor)
{
    struct rlimit limit;
    int next = dup(STDIN_FILENO);
    CHECK(next > 0);
    close(next);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {(rlim_t)next, limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(dup(STDIN_FILENO), -1);
    check_patience();
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit),
             0); /* the sanitizer's search for leaks opens files */
}
