/* The harness of the C unit tests; supplies main(). Included once, by each tests/unit/test_X.c
 * and tests/cuda/test_X.cu.
 *
 *     TEST(name) { ... }         registers itself; runs in its own process, in the file's order
 *     CHECK(condition)           the first failing check ends the test
 *     CHECK_EQ(a, b)             integers; both values are printed
 *     CHECK_STR(a, b)            strings, NULL allowed
 *     CHECK_NEAR(a, b, within)   |a - b| <= within
 *     CHECK_OK(call, &err)       the call returns >= 0, else the text of err is printed
 *     FAIL("format", ...)        ends the test
 *     SKIP("why", ...)           ends the test; counts as skipped, visibly
 *     test_directory()           an empty directory of this test's own, removed afterwards
 *
 * A test prints one line: "ok NAME", "FAIL NAME: why" or "skip NAME: why". A test that crashes,
 * leaks (under a sanitizer) or takes longer than TEST_SECONDS (environment, 120) has failed.
 * Arguments are parts of names: only tests whose name contains one of them run. TEST_FORK=0 runs
 * the tests in one process, for a debugger. Checks may be used in functions that a test calls,
 * but in the test's own process and first thread only.
 */
#ifndef PF_TEST_H
#define PF_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static int test_report_fd = -1;        /* the child's end: 'F' or 'S', then the reason */
static char test_directory_path[4096]; /* made by the parent, empty without one */
static volatile sig_atomic_t test_child, test_timed_out;

#define TEST(title)                                                                                \
    static void test_body_of_##title(void);                                                        \
    static struct test_case test_case_of_##title = {#title, test_body_of_##title, NULL};           \
    __attribute__((constructor)) static void test_register_of_##title(void)                        \
    {                                                                                              \
        *test_last = &test_case_of_##title;                                                        \
        test_last = &test_case_of_##title.next;                                                    \
    }                                                                                              \
    static void test_body_of_##title(void)

__attribute__((noreturn, format(printf, 2, 3))) static inline void test_end(char kind,
                                                                            const char *format, ...)
{
    char text[4096] = {kind};
    va_list args;
    va_start(args, format);
    vsnprintf(text + 1, sizeof(text) - 1, format, args);
    va_end(args);
    if (test_report_fd < 0) {
        printf("%s %s\n", kind == 'S' ? "skip" : "FAIL", text + 1);
        fflush(NULL);
        if (kind == 'F')
            abort();
        _exit(0);
    }
    fflush(NULL);
    if (write(test_report_fd, text, strlen(text)) < 0)
        _exit(99);
    _exit(kind == 'S' ? 0 : 1);
}

#define TEST_FAIL_AT(file, line, format, ...)                                                      \
    test_end('F', "%s:%d: " format, file, line, ##__VA_ARGS__)
#define FAIL(...) TEST_FAIL_AT(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(...) test_end('S', __VA_ARGS__)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            FAIL("%s", #condition);                                                                \
    } while (0)

#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long test_a = (long long)(a), test_b = (long long)(b);                                \
        if (test_a != test_b)                                                                      \
            FAIL("%s == %s: %lld != %lld", #a, #b, test_a, test_b);                                \
    } while (0)

#define CHECK_STR(a, b)                                                                            \
    do {                                                                                           \
        const char *test_a = (a), *test_b = (b);                                                   \
        if (!test_a != !test_b || (test_a && strcmp(test_a, test_b)))                              \
            FAIL("%s == %s: \"%s\" != \"%s\"", #a, #b, test_a ? test_a : "(null)",                 \
                 test_b ? test_b : "(null)");                                                      \
    } while (0)

#define CHECK_NEAR(a, b, within)                                                                   \
    do {                                                                                           \
        double test_a = (double)(a), test_b = (double)(b), test_within = (double)(within);         \
        if (!(fabs(test_a - test_b) <= test_within))                                               \
            FAIL("%s near %s: %.9g, %.9g, allowed %.3g", #a, #b, test_a, test_b, test_within);     \
    } while (0)

#define CHECK_OK(call, err)                                                                        \
    do {                                                                                           \
        long long test_r = (long long)(call);                                                      \
        if (test_r < 0)                                                                            \
            FAIL("%s: %lld: %s", #call, test_r, (err)->text);                                      \
    } while (0)

static inline bool test_make_directory(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(test_directory_path, sizeof(test_directory_path), "%s/test-XXXXXX",
             base && base[0] == '/' ? base : "/tmp");
    return mkdtemp(test_directory_path) != NULL;
}

/* Empty, unique to the running test, absolute; removed when the test has ended. */
static inline const char *test_directory(void)
{
    if (!test_directory_path[0] && !test_make_directory())
        FAIL("mkdtemp %s: %s", test_directory_path, strerror(errno));
    return test_directory_path;
}

static inline void test_alarm(int signal)
{
    (void)signal;
    test_timed_out = 1;
    if (test_child > 0)
        kill(-test_child, SIGKILL);
}

/* By rm(1), in a process of its own: a test may have left anything there. */
static inline void test_remove_directory(const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

static inline bool test_execute(const struct test_case *test, int seconds)
{
    int report[2];
    fflush(NULL);
    if (!test_make_directory() || pipe(report) < 0) {
        printf("FAIL %s: preparing: %s\n", test->name, strerror(errno));
        return false;
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(99);
        signal(SIGALRM, SIG_DFL);
        close(report[0]);
        test_report_fd = fcntl(report[1], F_DUPFD_CLOEXEC, 100);
        close(report[1]);
        test->run();
        exit(0); /* not _exit: the leak check runs at exit */
    }
    close(report[1]);
    if (pid < 0) {
        printf("FAIL %s: fork: %s\n", test->name, strerror(errno));
        close(report[0]);
        return false;
    }
    setpgid(pid, pid);
    test_timed_out = 0;
    test_child = pid;
    alarm((unsigned)seconds);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    alarm(0);
    test_child = 0;
    kill(-pid, SIGKILL); /* what it left running */

    char text[4096] = "";
    fcntl(report[0], F_SETFL, O_NONBLOCK);
    ssize_t n = read(report[0], text, sizeof(text) - 1);
    close(report[0]);
    text[n > 0 ? n : 0] = '\0';
    for (char *at = text; *at; at++)
        if (*at == '\n')
            *at = ' ';
    test_remove_directory(test_directory_path);

    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (text[0] == 'F')
        printf("FAIL %s: %s\n", test->name, text + 1);
    else if (test_timed_out)
        printf("FAIL %s: still running after %d s\n", test->name, seconds);
    else if (WIFSIGNALED(status))
        printf("FAIL %s: killed by signal %d (%s)\n", test->name, WTERMSIG(status),
               strsignal(WTERMSIG(status)));
    else if (!clean)
        printf("FAIL %s: ended with status %d\n", test->name, WEXITSTATUS(status));
    else if (text[0] == 'S')
        printf("skip %s: %s\n", test->name, text + 1);
    else
        printf("ok %s\n", test->name);
    fflush(stdout);
    return clean && text[0] != 'F';
}

int main(int argc, char **argv)
{
    const char *fork_text = getenv("TEST_FORK"), *seconds_text = getenv("TEST_SECONDS");
    bool forks = !fork_text || strcmp(fork_text, "0") != 0;
    int seconds = seconds_text ? atoi(seconds_text) : 120;
    bool all_well = true;
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = test_alarm;
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* as in parfocal itself */

    for (const struct test_case *test = test_first; test; test = test->next) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted |= strstr(test->name, argv[i]) != NULL;
        if (!wanted)
            continue;
        if (forks) {
            all_well &= test_execute(test, seconds);
        } else {
            printf("run %s\n", test->name);
            test->run();
            printf("ok %s\n", test->name);
        }
    }
    return all_well ? 0 : 1;
}

#endif
