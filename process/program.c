#include "process/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/time.h"

#define LINE_BYTES 4096 /* of a longer line the rest is left out */

struct run {
    const char *name;
    pid_t pid;
    int output, pidfd; /* -1 when closed */
    double deadline_ms;
    char line[LINE_BYTES], last[200]; /* last: the last line that is no blank one */
    size_t length;
    enum pf_program_next (*told)(void *context, const char *text);
    void *context;
};

/* Signal state: the program that runs, for pf_program_end(); 0 none. */
static volatile sig_atomic_t running;

void pf_program_end(void)
{
    pid_t pid = (pid_t)running;
    if (pid <= 0)
        return;
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

bool pf_program_is_there(const char *name)
{
    const char *path = getenv("PATH");
    char full[PATH_MAX];
    while (path && *path) {
        size_t length = strcspn(path, ":");
        snprintf(full, sizeof(full), "%.*s/%s", (int)length, path, name);
        if (length && access(full, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

/* In the new process, which borrows our memory until it is another program: system calls alone. */
static void become(const char *const argv[], int output, pid_t parent)
{
    static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        signal(defaults[i], SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above took effect */
        return;
    setpgid(0, 0);
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0)
        return;
    execvp(argv[0], (char *const *)argv);
}

/* posix_spawn has no word for the parent's death, and a fork would copy the page tables of a worker
 * that holds gigabytes. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wclobbered"
static int spawn(const char *const argv[], int output, pid_t *ret, struct pf_error *err)
{
    volatile int failure = 0;
    pid_t parent = getpid();
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* no handler of ours runs in the child */
    pid_t pid = vfork();
    if (pid == 0) {
        become(argv, output, parent);
        failure = errno;
        _exit(127);
    }
    int code = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return pf_fail_errno(err, code, "starting %s", argv[0]);
    if (failure) {
        waitpid(pid, NULL, 0);
        return pf_fail_errno(err, failure, "starting %s", argv[0]);
    }
    *ret = pid;
    return 0;
}
#pragma GCC diagnostic pop

static enum pf_program_next tell(struct run *run)
{
    run->line[run->length] = '\0';
    run->length = 0;
    if (run->line[strspn(run->line, " \t-=")])
        snprintf(run->last, sizeof(run->last), "%.*s", (int)sizeof(run->last) - 1, run->line);
    return run->told(run->context, run->line);
}

static enum pf_program_next take(struct run *run, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\n') {
            if (tell(run) == PF_PROGRAM_STOP)
                return PF_PROGRAM_STOP;
        } else if (run->length + 1 < sizeof(run->line)) {
            run->line[run->length++] = bytes[i];
        }
    }
    return PF_PROGRAM_GO_ON;
}

/* Until it says nothing more: 1 go on waiting, 0 to be stopped. */
static int drain(struct run *run)
{
    char bytes[8192];
    for (;;) {
        ssize_t n = read(run->output, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 1;
        if (n <= 0) {
            close(run->output);
            run->output = -1;
            return 1;
        }
        if (take(run, bytes, (size_t)n) == PF_PROGRAM_STOP)
            return 0;
    }
}

/* 1 it has ended by itself, 0 it was told to stop, -ETIMEDOUT. */
static int attend(struct run *run)
{
    for (;;) {
        struct pollfd ends[2] = {{.fd = run->pidfd, .events = POLLIN},
                                 {.fd = run->output, .events = POLLIN}};
        double left_ms = ceil(run->deadline_ms - pf_now_ms());
        if (left_ms <= 0)
            return -ETIMEDOUT;
        int n = poll(ends, 2, left_ms < 1e9 ? (int)left_ms : 1000000000);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            continue;
        if (ends[1].revents && drain(run) == 0)
            return 0;
        if (ends[0].revents) {
            if (run->output >= 0 && drain(run) == 0) /* what it said last */
                return 0;
            return 1;
        }
    }
}

static int verdict(const struct run *run, int status, struct pf_error *err)
{
    if (WIFSIGNALED(status))
        return pf_fail(err, EIO, "%s was killed by signal %d (%s)", run->name, WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == 127)
        return pf_fail(err, EIO, "%s cannot run: %s", run->name, run->last);
    if (WEXITSTATUS(status))
        return pf_fail(err, EIO, "%s failed with status %d: %s", run->name, WEXITSTATUS(status),
                       run->last);
    return 0;
}

int pf_program_run(const char *const argv[], double limit_s,
                   enum pf_program_next (*line)(void *context, const char *text), void *context,
                   bool *ret_stopped, struct pf_error *err)
{
    struct run run = {.name = argv[0],
                      .output = -1,
                      .pidfd = -1,
                      .deadline_ms = pf_now_ms() + 1000 * limit_s,
                      .told = line,
                      .context = context};
    int ends[2];
    if (!pf_program_is_there(argv[0]))
        return pf_fail(err, ENOENT, "%s is not installed", argv[0]);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return pf_fail_errno(err, errno, "starting %s", argv[0]);
    run.output = ends[0];
    fcntl(run.output, F_SETFL, O_NONBLOCK);
    int r = spawn(argv, ends[1], &run.pid, err);
    close(ends[1]);
    if (r < 0) {
        close(run.output);
        return r;
    }
    running = (sig_atomic_t)run.pid;
    run.pidfd = (int)syscall(SYS_pidfd_open, run.pid, 0);
    int ended = run.pidfd < 0 ? -errno : attend(&run), status = 0;
    running = 0;
    kill(-run.pid, SIGKILL); /* it, when it still runs, and what it has started */
    kill(run.pid, SIGKILL);
    while (waitpid(run.pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (run.pidfd >= 0)
        close(run.pidfd);
    if (run.output >= 0)
        close(run.output);
    *ret_stopped = ended == 0;
    if (ended == -ETIMEDOUT)
        return pf_fail(err, ETIMEDOUT, "%s took longer than %.1f s and was stopped", argv[0],
                       limit_s);
    if (ended < 0)
        return pf_fail_errno(err, -ended, "waiting for %s", argv[0]);
    return ended ? verdict(&run, status, err) : 0;
}
