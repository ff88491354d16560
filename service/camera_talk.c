#include "service/camera_talk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/exit.h"
#include "config/base/jsonl.h"
#include "config/base/time.h"
#include "config/options.h"
#include "service/control.h"
#include "service/installed.h"

enum { ENDING_MS = 10000 }; /* as the service gives it */

const char *pf_talk_camera(const struct pf_settings *settings, struct pf_error *err, int *ret)
{
    const char *found = NULL;
    for (size_t i = 0; i < settings->source.count; i++) {
        if (!pf_settings_camera(settings->source.items[i]))
            continue;
        if (found)
            *ret = pf_fail(err, EINVAL,
                           "several cameras are given: --source= clears the list, and "
                           "--source %s says which",
                           settings->source.items[i]);
        found = settings->source.items[i];
    }
    return found;
}

pid_t pf_talk_start(char *const *arguments, int *ret_fd, struct pf_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return pf_fail_errno(err, errno, "socketpair");
    pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0); /* Ctrl-C is for us: we end it in order */
        if (dup2(pair[1], STDIN_FILENO) < 0 || dup2(pair[1], STDOUT_FILENO) < 0)
            _exit(127);
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    int code = errno;
    close(pair[1]);
    if (child < 0) {
        close(pair[0]);
        return pf_fail_errno(err, code, "fork");
    }
    *ret_fd = pair[0];
    return child;
}

static int start_child(struct pf_talk *talk, struct pf_error *err)
{
    struct pf_options options = {0};
    int r = pf_options_add(&options, "parfocal", err);
    if (!r)
        r = pf_options_add(&options, "capture", err);
    if (!r)
        r = pf_options_add(&options, talk->source ? talk->source : "camera", err);
    if (!r)
        r = pf_options_add_section(&options, talk->settings, "capture", err);
    if (!r)
        r = pf_options_add_list(&options, talk->settings, "capture_target_of", err);
    if (!r)
        r = pf_options_add_keys(&options, talk->settings, "outbox state sandbox", err);
    if (!r)
        r = pf_options_add(&options, "--log-level=error", err);
    if (!r) {
        pid_t child = pf_talk_start(options.items, &talk->fd, err);
        talk->child = child > 0 ? child : 0;
        r = child < 0 ? (int)child : 0;
    }
    pf_options_free(&options);
    return r < 0 ? r : pf_jsonl_send(talk->fd, json_pack("{s:s}", "cmd", "start"), err);
}

/* What a service is at is ended: there is nothing to ask a camera itself. */
static bool is_stop(const struct pf_talk *talk)
{
    const char *what = json_string_value(json_object_get(talk->ask, "do"));
    return what && !strcmp(what, "stop");
}

static int say(struct pf_talk *talk, struct pf_error *err)
{
    if (talk->child) { /* the camera's process itself */
        json_object_set_new(talk->ask, "cmd", json_string("ask"));
        talk->id = pf_wall_ms(); /* brackets are known by it, in the records of their frames */
        json_object_set_new(talk->ask, "id", json_integer(talk->id));
        return pf_jsonl_send(talk->fd, json_incref(talk->ask), err);
    }
    json_t *line = is_stop(talk) ? json_pack("{s:s}", "cmd", "stop")
                                 : json_pack("{s:s, s:O}", "cmd", "ask", "ask", talk->ask);
    if (line && talk->source)
        json_object_set_new(line, "source", pf_json_bytes(talk->source));
    return pf_jsonl_send(talk->fd, line, err);
}

static void refused(const struct pf_talk *talk, const json_t *answer)
{
    char *why = pf_json_bytes_value(json_object_get(answer, "error"));
    fprintf(stderr, "parfocal %s: %s\n", talk->is_bracket ? "bracket" : "camera", why ? why : "?");
    free(why);
}

/* 1 go on, 0 it has ended. */
static int take(struct pf_talk *talk, const json_t *event, struct pf_error *err)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    if (talk->child && talk->told)
        talk->told(talk, event);
    if (talk->child && name && !strcmp(name, "scanned") && !talk->begun) {
        talk->begun = true;
        return say(talk, err) < 0 ? -1 : 1;
    }
    bool is_answer = (name && !strcmp(name, "answer")) || json_object_get(event, "done");
    if (!is_answer)
        return 1;
    talk->answered(talk, event);
    if (!json_is_true(json_object_get(event, "done")))
        return 1;
    if (json_object_get(event, "error")) {
        refused(talk, event);
        talk->status = PF_EXIT_FAILURE;
    } else {
        talk->status = PF_EXIT_OK;
    }
    return 0;
}

/* The first Ctrl-C ends it in order: the focus goes back, the burst is closed. */
static bool interrupted(struct pf_talk *talk, int signals)
{
    struct signalfd_siginfo info;
    static bool before;
    if (read(signals, &info, sizeof(info)) != sizeof(info))
        return false;
    talk->at_once = before;
    if (before || !talk->is_bracket)
        return true;
    before = true;
    pf_progress_say(&talk->progress, "stopping: the focus goes back, the burst is closed (Ctrl-C "
                                     "again: at once)");
    if (talk->child)
        pf_jsonl_send(talk->fd,
                      json_pack("{s:s, s:I}", "cmd", "cancel", "id", (json_int_t)talk->id), NULL);
    else
        pf_jsonl_send(talk->fd, json_pack("{s:s}", "cmd", "cancel"), NULL);
    return false;
}

static int listen_to(struct pf_talk *talk, int signals, struct pf_error *err)
{
    struct pf_jsonl_reader *reader;
    char bytes[65536];
    int r = pf_jsonl_reader_new(&reader);
    if (r < 0)
        return pf_fail(err, ENOMEM, "out of memory");
    r = 1;
    while (r > 0) {
        struct pollfd fds[] = {{.fd = talk->fd, .events = POLLIN},
                               {.fd = signals, .events = POLLIN},
                               {.fd = talk->other_fd, .events = POLLIN}};
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            r = pf_fail_errno(err, errno, "waiting for the answer");
        if (r > 0 && fds[1].revents && interrupted(talk, signals))
            r = pf_fail(err, ECANCELED, "interrupted");
        if (r > 0 && talk->other_fd >= 0 && fds[2].revents)
            talk->other_read(talk);
        if (r <= 0 || !fds[0].revents)
            continue;
        ssize_t n = read(talk->fd, bytes, sizeof(bytes));
        if (n <= 0)
            r = pf_fail(err, EPIPE, "%s has ended without an answer",
                        talk->child ? "the camera's process" : "the service");
        else
            r = pf_jsonl_reader_feed(reader, bytes, (size_t)n, err) < 0 ? -1 : r;
        json_t *event;
        while (r > 0 && pf_jsonl_reader_next(reader, &event, err) > 0) {
            r = take(talk, event, err);
            json_decref(event);
        }
    }
    pf_jsonl_reader_free(reader);
    return r;
}

/* The end of its input ends the camera's process in order; one that hangs is killed after a while, or when
 * the user says so. */
static void end_child(const struct pf_talk *talk, int signals)
{
    int pidfd = (int)syscall(SYS_pidfd_open, talk->child, 0);
    struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    if (pidfd >= 0)
        while (poll(fds, 2, talk->at_once ? 0 : ENDING_MS) < 0 && errno == EINTR)
            ;
    if (pidfd >= 0 && !fds[0].revents)
        kill(talk->child, SIGKILL);
    while (waitpid(talk->child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (pidfd >= 0)
        close(pidfd);
}

int pf_talk_hold(struct pf_talk *talk, struct pf_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    struct pf_error absent = {0};
    talk->status = PF_EXIT_FAILURE;
    talk->fd = pf_control_connect(talk->settings->state, &absent);
    int r = talk->fd >= 0   ? say(talk, err)
            : is_stop(talk) ? pf_fail(err, absent.code, "no service is there: %s", absent.text)
                            : start_child(talk, err);
    if (!r)
        r = listen_to(talk, signals, err);
    if (talk->fd >= 0)
        close(talk->fd);
    if (talk->child > 0)
        end_child(talk, signals);
    if (signals >= 0)
        close(signals);
    return r;
}

int pf_talk_end(struct pf_talk *talk, struct pf_settings *settings, int r, struct pf_error *err)
{
    if (r < 0)
        fprintf(stderr, "parfocal %s: %s\n", talk->is_bracket ? "bracket" : "camera", err->text);
    json_decref(talk->ask);
    pf_settings_free(settings);
    return r == -EINVAL ? PF_EXIT_USAGE : r < 0 ? PF_EXIT_FAILURE : talk->status;
}

static bool has_cameras(const struct pf_settings *settings)
{
    for (size_t i = 0; i < settings->source.count; i++)
        if (pf_settings_camera(settings->source.items[i]))
            return true;
    return false;
}

/* 1: it has cameras, and answers; 0: it has none, or does not run. */
static int ask_installed(struct pf_error *err)
{
    struct pf_settings installed;
    int r = pf_settings_init(&installed, err);
    if (r < 0)
        return r;
    r = pf_settings_read(&installed, PF_INSTALLED_FILE, err);
    if (!r && has_cameras(&installed)) {
        r = pf_control_connect(installed.state, err);
        if (r >= 0)
            close(r);
        if (r != -EACCES) {
            r = r >= 0;
            pf_error_clear(err);
        }
    }
    pf_settings_free(&installed);
    return r;
}

int pf_talk_settings(struct pf_settings *settings, int *argc, char **argv, struct pf_error *err)
{
    int r = pf_settings_init(settings, err), asks = 0;
    if (!r && pf_installed_is_meant(*argc, argv)) {
        asks = ask_installed(err);
        if (asks < 0)
            pf_installed_advise(argv[0], err);
        r = asks < 0 ? asks : 0;
    }
    if (!r && asks)
        r = pf_settings_read(settings, PF_INSTALLED_FILE, err);
    if (!r && pf_settings_take_options(settings, argc, argv, err) < 0)
        r = err->code == ENOMEM ? -ENOMEM : -EINVAL;
    return r;
}
