#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/log.h"
#include "service/hook_run.h"
#include "service/killed.h"
#include "service/timer.h"

#define FINDER     "/usr/bin/env"
#define GRACE_MS   2000
#define TURN_BYTES 65536u     /* of its output, read in one turn of the loop: what a pipe holds */
#define SAID_MOST  (1u << 20) /* a program that says more is read with rests between */
#define REST_MS    4
#define SAID_KEPT  400 /* bytes of the end of it */

struct pf_hook_program {
    pid_t pid;     /* 0: reaped */
    int output_fd; /* what it says; -1 closed */
    struct event *output, *rest, *limit;
    bool late, killed;
    size_t said_bytes;
    char said[SAID_KEPT + 1]; /* the last of it */
    int64_t limit_ms;
    pf_hook_ended ended;
    void *context;
};

static void stop_listening(struct pf_hook_program *program)
{
    if (program->output)
        event_free(program->output);
    if (program->rest)
        event_free(program->rest);
    program->output = program->rest = NULL;
    if (program->output_fd >= 0)
        close(program->output_fd);
    program->output_fd = -1;
}

static void keep(struct pf_hook_program *program, const char *bytes, size_t size)
{
    size_t have = strlen(program->said);
    program->said_bytes += size;
    if (size > SAID_KEPT) {
        bytes += size - SAID_KEPT;
        size = SAID_KEPT;
    }
    if (have + size > SAID_KEPT) {
        size_t drop = have + size - SAID_KEPT;
        memmove(program->said, program->said + drop, have - drop);
        have -= drop;
    }
    for (size_t i = 0; i < size; i++) /* a text: no NUL in it */
        program->said[have + i] = bytes[i] ? bytes[i] : ' ';
    program->said[have + size] = '\0';
}

/* More than 0: it said something. 0: nothing now. -1: nothing any more. */
static int listen_once(struct pf_hook_program *program)
{
    char bytes[TURN_BYTES];
    ssize_t size = read(program->output_fd, bytes, sizeof(bytes));
    if (size > 0)
        keep(program, bytes, (size_t)size);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return size > 0 ? 1 : -1;
}

/* It is heard to its end, however much it says: a pipe that is closed would kill it. */
static void on_output(evutil_socket_t fd, short what, void *context)
{
    struct pf_hook_program *program = context;
    (void)fd, (void)what;
    if (listen_once(program) < 0) {
        stop_listening(program);
    } else if (program->said_bytes > SAID_MOST) {
        event_del(program->output);
        pf_timer_set(program->rest, REST_MS);
    }
}

static void on_rested(evutil_socket_t fd, short what, void *context)
{
    const struct pf_hook_program *program = context;
    (void)fd, (void)what;
    event_add(program->output, NULL);
}

static void on_limit(evutil_socket_t fd, short what, void *context)
{
    struct pf_hook_program *program = context;
    (void)fd, (void)what;
    program->killed = program->late;
    program->late = true;
    if (program->pid)
        kill(-program->pid, program->killed ? SIGKILL : SIGTERM);
    if (!program->killed)
        pf_timer_set(program->limit, GRACE_MS);
}

/* ---- starting ---- */

/* The event, whole, so that no program that does not read keeps anybody waiting. */
static int input_of(const char *text, struct pf_error *err)
{
    size_t size = strlen(text), done = 0;
    int fd = memfd_create("parfocal-event", MFD_CLOEXEC);
    if (fd < 0)
        return pf_fail_errno(err, errno, "memory for an event");
    while (done < size) {
        ssize_t written = write(fd, text + done, size - done);
        if (written < 0 && errno != EINTR) {
            int r = pf_fail_errno(err, errno, "memory for an event");
            close(fd);
            return r;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int spawn(struct pf_hook_program *program, char *const *argv, char *const *environment,
                 int input_fd, int output_fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int code = posix_spawn_file_actions_adddup2(&actions, input_fd, STDIN_FILENO);
    if (!code)
        code = posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
    if (!code)
        code = posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
    if (!code)
        code = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    if (!code)
        code = posix_spawn(&program->pid, FINDER, &actions, &attributes, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (code)
        program->pid = 0;
    return code;
}

int pf_hook_program_new(struct pf_hook_program **ret, struct event_base *base, char *const *argv,
                        char *const *environment, const char *input, int64_t limit_ms,
                        pf_hook_ended ended, void *context, struct pf_error *err)
{
    int pair[2] = {-1, -1}, input_fd = -1, code = 0, r = 0;
    size_t count = 0;
    while (argv[count])
        count++;
    struct pf_hook_program *program = calloc(1, sizeof(*program));
    char **found = calloc(count + 3, sizeof(*found));
    if (!program || !found) {
        free(program);
        free(found);
        return pf_fail(err, ENOMEM, "out of memory for a hook");
    }
    program->output_fd = -1;
    program->ended = ended;
    program->context = context;
    program->limit_ms = limit_ms;
    found[0] = "env";
    found[1] = "--";
    memcpy(found + 2, argv, count * sizeof(*argv));
    program->limit = evtimer_new(base, on_limit, program);
    input_fd = input_of(input, err);
    if (input_fd < 0)
        r = input_fd;
    else if (strchr(argv[0], '=')) /* env would take it for a variable */
        r = pf_fail(err, EINVAL, "%s: a program's name must have no '='", argv[0]);
    else if (pipe2(pair, O_CLOEXEC) < 0)
        r = pf_fail_errno(err, errno, "pipe");
    program->output_fd = pair[0];
    if (!r)
        r = fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? pf_fail_errno(err, errno, "pipe") : 0;
    if (!r)
        program->output =
            event_new(base, program->output_fd, EV_READ | EV_PERSIST, on_output, program);
    program->rest = evtimer_new(base, on_rested, program);
    if (!r && (!program->output || !program->rest || !program->limit ||
               event_add(program->output, NULL) < 0))
        r = pf_fail(err, ENOMEM, "out of memory for a hook");
    if (!r && (code = spawn(program, found, environment, input_fd, pair[1])))
        r = pf_fail_errno(err, code, "starting %s", argv[0]);
    free(found);
    if (input_fd >= 0)
        close(input_fd);
    if (pair[1] >= 0)
        close(pair[1]);
    if (r < 0) {
        pf_hook_program_free(program);
        return r;
    }
    pf_timer_set(program->limit, limit_ms);
    *ret = program;
    return 0;
}

/* ---- its end ---- */

/* What it said last, on one line. */
static void quote(const struct pf_hook_program *program, char *text, size_t size)
{
    char line[SAID_KEPT + 1];
    size_t used = 0;
    for (const char *from = program->said; *from; from++) {
        bool blank = *from == '\n' || *from == '\r' || *from == '\t' || *from == ' ';
        if (!blank)
            line[used++] = *from;
        else if (used && line[used - 1] != ' ')
            line[used++] = ' ';
    }
    while (used && line[used - 1] == ' ')
        used--;
    line[used] = '\0';
    size_t have = strlen(text);
    if (used)
        snprintf(text + have, size - have, "%s%s", have ? ": " : "", line);
}

void pf_hook_program_reap(struct pf_hook_program *program)
{
    siginfo_t info = {0};
    struct pf_hook_outcome outcome = {0};
    if (!program->pid ||
        waitid(P_PID, (id_t)program->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
        return;
    /* Before it is reaped, while the number of its group is its own. */
    if (program->late)
        kill(-program->pid, SIGKILL);
    waitid(P_PID, (id_t)program->pid, &info, WEXITED);
    program->pid = 0;
    event_del(program->limit);
    /* What is in the pipe, and no more of what goes on writing into it. */
    for (size_t bytes = 0; program->output_fd >= 0 && bytes < SAID_MOST; bytes += TURN_BYTES)
        if (listen_once(program) <= 0)
            break;
    stop_listening(program);
    outcome.ok = !program->late && info.si_code == CLD_EXITED && info.si_status == 0;
    if (program->late)
        snprintf(outcome.text, sizeof(outcome.text), "not done after %.6g s, ended",
                 (double)program->limit_ms / 1e3);
    else if (info.si_code != CLD_EXITED)
        snprintf(outcome.text, sizeof(outcome.text), "killed by signal %d (%s)", info.si_status,
                 strsignal(info.si_status));
    else if (info.si_status)
        snprintf(outcome.text, sizeof(outcome.text), "status %d", info.si_status);
    quote(program, outcome.text, sizeof(outcome.text));
    program->ended(&outcome, program->context);
}

void pf_hook_program_kill(struct pf_hook_program *program)
{
    if (program->pid)
        kill(-program->pid, SIGKILL);
}

bool pf_hook_program_leave(struct pf_hook_program *program, const char *whose, int64_t until_ms)
{
    char does[128];
    bool ends = !program->pid || pf_killed_reap(program->pid, until_ms);
    if (!ends)
        pf_log_error(
            "%s: its process %d has been killed and does not end: it %s; it is left behind", whose,
            (int)program->pid, pf_killed_does(program->pid, does, sizeof(does)));
    program->pid = 0;
    return !ends;
}

struct pf_hook_program *pf_hook_program_free(struct pf_hook_program *program)
{
    if (!program)
        return NULL;
    stop_listening(program);
    if (program->limit)
        event_free(program->limit);
    free(program);
    return NULL;
}
