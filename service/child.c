#include "service/child.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "service/killed.h"
#include "service/timer.h"

#define STOP_GRACE_MS 2000
#define MINOR_NICE    10
#define READ_BYTES    (256u << 10) /* taken in one turn of the loop: about 300 frame records */

struct pf_child {
    struct event_base *base;
    char **argv;
    struct pf_child_handlers handlers;
    void *context;

    pid_t pid; /* 0 when it does not run */
    struct bufferevent *channel;
    struct pf_jsonl_reader *reader;
    struct event *retry, *deadline;
    int64_t backoff_ms; /* the last one, 0 none */
    int64_t grace_ms;   /* to end in order */
    size_t longest;     /* line among those that it has not read yet, bytes */
    bool stopping, paused;
    bool killed, from_outside; /* by us; its last end was another's doing */
    bool by_signal;            /* it was no exit */
    bool minor;
};

static void close_channel(struct pf_child *child)
{
    if (child->channel)
        bufferevent_free(child->channel); /* closes the socket */
    child->channel = NULL;
    child->reader = pf_jsonl_reader_free(child->reader);
}

static void ended(struct pf_child *child, const char *why)
{
    close_channel(child);
    event_del(child->deadline);
    child->pid = 0;
    int retry_ms = -1;
    if (!child->stopping) {
        child->backoff_ms =
            pf_back_off_ms(child->backoff_ms, PF_CHILD_BACKOFF_MS, PF_CHILD_BACKOFF_MAX_MS);
        retry_ms = (int)child->backoff_ms;
        pf_timer_set(child->retry, retry_ms);
    }
    child->handlers.ended(why, retry_ms, child->context);
}

static void deliver(struct pf_child *child, const void *bytes, size_t size_bytes)
{
    struct pf_error err = {0};
    int fed = pf_jsonl_reader_feed(child->reader, bytes, size_bytes, &err);
    if (fed < 0) {
        pf_log_error("%s: %s; it is ended", child->argv[1], err.text);
        (fed == -ENOMEM ? pf_child_restart : pf_child_kill)(child);
        return;
    }
    for (;;) {
        json_t *object = NULL;
        pf_error_clear(&err);
        int r = pf_jsonl_reader_next(child->reader, &object, &err);
        if (!r)
            return;
        if (r == -ENOMEM) { /* nothing may be passed over; a new one says again what counts */
            pf_log_error("%s: %s; it is ended", child->argv[1], err.text);
            pf_child_restart(child);
            return;
        }
        if (r < 0) {
            pf_log_warning("%s: %s", child->argv[1], err.text);
            continue;
        }
        child->handlers.message(object, child->context);
        json_decref(object);
    }
}

static void on_read(struct bufferevent *channel, void *context)
{
    struct pf_child *child = context;
    struct evbuffer *input = bufferevent_get_input(channel);
    size_t length = evbuffer_get_length(input);
    unsigned char *bytes = length ? evbuffer_pullup(input, -1) : NULL;
    if (bytes) {
        deliver(child, bytes, length);
        evbuffer_drain(input, length);
    }
    child->handlers.batch(child->context);
}

static void on_drained(struct bufferevent *channel, void *context)
{
    struct pf_child *child = context;
    (void)channel;
    if (child->handlers.drained)
        child->handlers.drained(child->context);
}

/* End of file or an error on the socket: the child ends or has lost its mind. It has a moment to
 * exit by itself; what it is reaped with is the better reason. */
static void on_channel_event(struct bufferevent *channel, short what, void *context)
{
    struct pf_child *child = context;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
        bufferevent_disable(channel, EV_READ | EV_WRITE);
        if (child->pid && !event_pending(child->deadline, EV_TIMEOUT, NULL))
            pf_timer_set(child->deadline, STOP_GRACE_MS);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    pf_child_kill(context);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    pf_child_start(context);
}

int pf_child_new(struct pf_child **ret, struct event_base *base, const char *const *arguments,
                 const struct pf_child_handlers *handlers, void *context, struct pf_error *err)
{
    size_t count = 0;
    while (arguments[count])
        count++;
    struct pf_child *child = calloc(1, sizeof(*child));
    if (!child)
        goto fail;
    child->base = base;
    child->handlers = *handlers;
    child->context = context;
    child->grace_ms = STOP_GRACE_MS;
    child->argv = calloc(count + 2, sizeof(*child->argv));
    child->retry = evtimer_new(base, on_retry, child);
    child->deadline = evtimer_new(base, on_deadline, child);
    if (!child->argv || !child->retry || !child->deadline)
        goto fail;
    for (size_t i = 0; i <= count; i++) {
        child->argv[i] = strdup(i ? arguments[i - 1] : "parfocal");
        if (!child->argv[i])
            goto fail;
    }
    *ret = child;
    return 0;
fail:
    pf_child_free(child);
    return pf_fail(err, ENOMEM, "out of memory for a child process");
}

int pf_child_add_argument(struct pf_child *child, const char *argument)
{
    size_t count = 0;
    while (child->argv[count])
        count++;
    char *copy = strdup(argument);
    char **grown = copy ? realloc(child->argv, (count + 2) * sizeof(*grown)) : NULL;
    if (!grown) {
        free(copy);
        return -ENOMEM;
    }
    child->argv = grown;
    grown[count] = copy;
    grown[count + 1] = NULL;
    return 0;
}

void pf_child_remove_argument(struct pf_child *child, const char *argument)
{
    size_t count = 0;
    while (child->argv[count])
        count++;
    size_t last = count;
    while (last && strcmp(child->argv[last - 1], argument) != 0)
        last--;
    if (!last)
        return;
    free(child->argv[last - 1]);
    memmove(&child->argv[last - 1], &child->argv[last], (count - last + 1) * sizeof(*child->argv));
}

void pf_child_set_minor(struct pf_child *child)
{
    child->minor = true;
}

void pf_child_set_grace(struct pf_child *child, int64_t grace_ms)
{
    child->grace_ms = grace_ms;
}

struct pf_child *pf_child_free(struct pf_child *child)
{
    if (!child)
        return NULL;
    if (child->pid) {
        kill(child->pid, SIGKILL);
        if (!pf_killed_reap(child->pid, pf_monotonic_ms() + PF_KILLED_PATIENCE_MS))
            pf_child_leave(child, child->argv[1]);
    }
    close_channel(child);
    if (child->retry)
        event_free(child->retry);
    if (child->deadline)
        event_free(child->deadline);
    for (char **argument = child->argv; argument && *argument; argument++)
        free(*argument);
    free(child->argv);
    free(child);
    return NULL;
}

/* When memory runs out, a child is to die and not the service: it can be started again. */
static void volunteer(bool minor)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t ignored = fd < 0 ? 0 : write(fd, minor ? "800" : "500", 3);
    (void)ignored;
    if (fd >= 0)
        close(fd);
}

/* In the new process: only async-signal-safe calls. */
static _Noreturn void become(char *const *argv, int socket, pid_t parent, bool minor)
{
    static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGPIPE};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        signal(defaults[i], SIG_DFL);
    /* Words for the service; `systemctl kill` sends them to its children as well. */
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* the service died before the line above took effect */
        _exit(1);
    setpgid(0, 0);
    if (minor)
        setpriority(PRIO_PROCESS, 0, MINOR_NICE);
    volunteer(minor);
    if (dup2(socket, STDIN_FILENO) < 0 || dup2(socket, STDOUT_FILENO) < 0)
        _exit(127);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static int spawn(struct pf_child *child, struct pf_error *err)
{
    int pair[2] = {-1, -1};
    int r = pf_jsonl_reader_new(&child->reader);
    if (r < 0)
        return pf_fail(err, -r, "out of memory for a child process");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        r = pf_fail_errno(err, errno, "socketpair");
        goto fail;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    child->channel = bufferevent_socket_new(child->base, pair[0], BEV_OPT_CLOSE_ON_FREE);
    if (!child->channel) {
        r = pf_fail(err, ENOMEM, "out of memory for a child process");
        goto fail;
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(child->argv, pair[1], parent, child->minor);
    if (pid < 0) {
        r = pf_fail_errno(err, errno, "fork");
        goto fail;
    }
    close(pair[1]);
    child->pid = pid;
    bufferevent_setcb(child->channel, on_read, on_drained, on_channel_event, child);
    bufferevent_set_max_single_read(child->channel, READ_BYTES);
    bufferevent_priority_set(child->channel, 0); /* what has arrived goes before timers */
    bufferevent_enable(child->channel, EV_WRITE | (child->paused ? 0 : EV_READ));
    return 0;
fail:
    if (!child->channel && pair[0] >= 0)
        close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
    close_channel(child);
    return r;
}

void pf_child_start(struct pf_child *child)
{
    struct pf_error err = {0};
    if (child->stopping || child->pid)
        return;
    event_del(child->retry);
    child->by_signal = child->from_outside = false; /* one that cannot be started has none of it */
    if (spawn(child, &err) < 0)
        ended(child, err.text);
    else
        child->handlers.started(child->context);
}

int pf_child_send(struct pf_child *child, json_t *object)
{
    int r = 0;
    char *line = NULL;
    if (!object)
        return -ENOMEM;
    size_t queued = pf_child_queued_bytes(child);
    if (!queued)
        child->longest = 0;
    if (!child->pid || !child->channel) {
        r = -ENOTCONN;
    } else if (queued > PF_CHILD_QUEUE_MAX + child->longest) {
        r = -ENOBUFS;
    } else {
        struct evbuffer *output = bufferevent_get_output(child->channel);
        line = pf_json_text(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
        size_t length = line ? strlen(line) : 0;
        if (line)
            line[length] = '\n'; /* replaces the NUL */
        if (length >= PF_JSONL_LINE_MAX)
            r = -EMSGSIZE;
        else if (!line || evbuffer_add(output, line, length + 1) < 0)
            r = -ENOMEM;
        else if (length > child->longest)
            child->longest = length;
    }
    free(line);
    json_decref(object);
    return r;
}

size_t pf_child_queued_bytes(const struct pf_child *child)
{
    return child->channel ? evbuffer_get_length(bufferevent_get_output(child->channel)) : 0;
}

void pf_child_pause(struct pf_child *child, bool paused)
{
    if (child->paused == paused)
        return;
    child->paused = paused;
    if (child->channel && paused)
        bufferevent_disable(child->channel, EV_READ);
    else if (child->channel)
        bufferevent_enable(child->channel, EV_READ);
}

/* What a dead process has written lies whole in the socket: take it before saying that it ended. */
static void take_the_rest(struct pf_child *child)
{
    static char chunk[65536];
    ssize_t n;
    if (!child->channel)
        return;
    struct evbuffer *input = bufferevent_get_input(child->channel);
    size_t length = evbuffer_get_length(input);
    if (length)
        deliver(child, evbuffer_pullup(input, -1), length);
    evbuffer_drain(input, length);
    int fd = bufferevent_getfd(child->channel);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            deliver(child, chunk, (size_t)n);
    child->handlers.batch(child->context);
}

void pf_child_reap(struct pf_child *child)
{
    int status;
    char why[128];
    if (!child->pid || waitpid(child->pid, &status, WNOHANG) != child->pid)
        return;
    child->pid = 0;
    take_the_rest(child);
    child->by_signal = WIFSIGNALED(status);
    child->from_outside = WIFSIGNALED(status) && !child->killed &&
                          (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
    child->killed = false;
    if (WIFSIGNALED(status))
        snprintf(why, sizeof(why), "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(why, sizeof(why), "exited with status %d", WEXITSTATUS(status));
    ended(child, why);
}

bool pf_child_ended_by_signal(const struct pf_child *child)
{
    return child->by_signal;
}

bool pf_child_ended_from_outside(const struct pf_child *child)
{
    return child->from_outside;
}

void pf_child_healthy(struct pf_child *child)
{
    child->backoff_ms = 0;
}

void pf_child_kill(struct pf_child *child)
{
    if (child->pid) {
        child->killed = true;
        kill(child->pid, SIGKILL);
    }
}

void pf_child_restart(struct pf_child *child)
{
    if (child->pid)
        kill(child->pid, SIGKILL);
}

void pf_child_stop(struct pf_child *child)
{
    child->stopping = true;
    event_del(child->retry);
    if (child->pid) {
        kill(child->pid, SIGTERM);
        pf_timer_set(child->deadline, child->grace_ms);
    }
}

bool pf_child_leave(struct pf_child *child, const char *whose)
{
    char does[128];
    if (!child->pid)
        return false;
    pf_log_error("%s: its process %d has been killed and does not end: it %s; it is left behind",
                 whose, (int)child->pid, pf_killed_does(child->pid, does, sizeof(does)));
    child->pid = 0;
    return true;
}

bool pf_child_running(const struct pf_child *child)
{
    return child->pid != 0;
}
