#include "service/camera_command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/exit.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/options.h"
#include "config/settings.h"
#include "process/progress.h"
#include "service/control.h"

/* One question and its answers. */
struct talk {
    const struct pf_settings *settings;
    const char *source; /* NULL: the only camera */
    json_t *ask;
    void (*answered)(struct talk *talk, const json_t *answer); /* each, the last one too */
    struct pf_progress progress;
    bool is_bracket, begun;
    int fd, taken;
    pid_t child; /* 0: a service is asked */
    int status;
};

static const char *only_camera(const struct pf_settings *settings, struct pf_error *err, int *ret)
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

static int start_child(struct talk *talk, struct pf_error *err)
{
    static const char *const keys[] = {"outbox", "state"};
    struct pf_options options = {0};
    int pair[2];
    int r = pf_options_add(&options, "parfocal", err);
    if (!r)
        r = pf_options_add(&options, "capture", err);
    if (!r)
        r = pf_options_add(&options, talk->source ? talk->source : "camera", err);
    if (!r)
        r = pf_options_add_section(&options, talk->settings, "capture", err);
    for (size_t i = 0; !r && i < sizeof(keys) / sizeof(keys[0]); i++)
        r = pf_options_add_key(&options, talk->settings, keys[i], err);
    if (!r)
        r = pf_options_add(&options, "--log-level=error", err);
    if (!r && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        r = pf_fail_errno(err, errno, "socketpair");
    if (!r) {
        talk->child = fork();
        if (talk->child == 0) {
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            setpgid(0, 0); /* Ctrl-C is for us: we end it in order */
            if (dup2(pair[1], STDIN_FILENO) < 0 || dup2(pair[1], STDOUT_FILENO) < 0)
                _exit(127);
            execv("/proc/self/exe", options.items);
            _exit(127);
        }
        close(pair[1]);
        talk->fd = pair[0];
        if (talk->child < 0)
            r = pf_fail_errno(err, errno, "fork");
    }
    pf_options_free(&options);
    return r < 0 ? r : pf_jsonl_send(talk->fd, json_pack("{s:s}", "cmd", "start"), err);
}

static int say(struct talk *talk, struct pf_error *err)
{
    if (talk->child) { /* the camera's process itself */
        json_object_set_new(talk->ask, "cmd", json_string("ask"));
        json_object_set_new(talk->ask, "id", json_integer(1));
        return pf_jsonl_send(talk->fd, json_incref(talk->ask), err);
    }
    json_t *line = json_pack("{s:s, s:O}", "cmd", "ask", "ask", talk->ask);
    if (line && talk->source)
        json_object_set_new(line, "source", pf_json_bytes(talk->source));
    return pf_jsonl_send(talk->fd, line, err);
}

static void refused(const struct talk *talk, const json_t *answer)
{
    char *why = pf_json_bytes_value(json_object_get(answer, "error"));
    fprintf(stderr, "parfocal %s: %s\n", talk->is_bracket ? "bracket" : "camera", why ? why : "?");
    free(why);
}

/* 1 go on, 0 it has ended. */
static int take(struct talk *talk, const json_t *event, struct pf_error *err)
{
    const char *name = json_string_value(json_object_get(event, "event"));
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
static bool interrupted(struct talk *talk, int signals)
{
    struct signalfd_siginfo info;
    static bool before;
    if (read(signals, &info, sizeof(info)) != sizeof(info))
        return false;
    if (before || !talk->is_bracket)
        return true;
    before = true;
    pf_progress_say(&talk->progress, "stopping: the focus goes back, the burst is closed (Ctrl-C "
                                     "again: at once)");
    if (talk->child)
        pf_jsonl_send(talk->fd, json_pack("{s:s, s:i}", "cmd", "cancel", "id", 1), NULL);
    else
        pf_jsonl_send(talk->fd, json_pack("{s:s}", "cmd", "cancel"), NULL);
    return false;
}

static int listen_to(struct talk *talk, int signals, struct pf_error *err)
{
    struct pf_jsonl_reader *reader;
    char bytes[65536];
    int r = pf_jsonl_reader_new(&reader);
    if (r < 0)
        return pf_fail(err, ENOMEM, "out of memory");
    r = 1;
    while (r > 0) {
        struct pollfd fds[] = {{.fd = talk->fd, .events = POLLIN},
                               {.fd = signals, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            r = pf_fail_errno(err, errno, "waiting for the answer");
        if (r > 0 && fds[1].revents && interrupted(talk, signals))
            r = pf_fail(err, ECANCELED, "interrupted");
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

static int hold_talk(struct talk *talk, struct pf_error *err)
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
    int r = talk->fd < 0 ? start_child(talk, err) : say(talk, err);
    if (!r)
        r = listen_to(talk, signals, err);
    if (talk->fd >= 0)
        close(talk->fd); /* the end of its input ends the camera's process in order */
    if (talk->child > 0)
        while (waitpid(talk->child, NULL, 0) < 0 && errno == EINTR)
            ;
    if (signals >= 0)
        close(signals);
    return r;
}

static int finish(struct talk *talk, struct pf_settings *settings, int r, struct pf_error *err)
{
    if (r < 0)
        fprintf(stderr, "parfocal %s: %s\n", talk->is_bracket ? "bracket" : "camera", err->text);
    json_decref(talk->ask);
    pf_settings_free(settings);
    return r == -EINVAL ? PF_EXIT_USAGE : r < 0 ? PF_EXIT_FAILURE : talk->status;
}

/* ---- parfocal camera ---- */

static void print_value(const json_t *value)
{
    char *text = pf_json_bytes_value(value);
    if (text)
        printf("%s", text);
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%g", json_real_value(value));
    free(text);
}

static void print_setting(const json_t *setting)
{
    size_t i;
    json_t *choice, *lowest = json_object_get(setting, "lowest");
    print_value(json_object_get(setting, "value"));
    printf("%s\n", json_is_true(json_object_get(setting, "readonly")) ? "  (to be read only)" : "");
    json_array_foreach(json_object_get(setting, "choices"), i, choice)
    {
        printf("  ");
        print_value(choice);
        printf("\n");
    }
    if (lowest)
        printf("  from %g to %g\n", json_real_value(lowest),
               json_real_value(json_object_get(setting, "highest")));
}

static void on_camera_answer(struct talk *talk, const json_t *answer)
{
    size_t i;
    json_t *setting;
    (void)talk;
    json_array_foreach(json_object_get(answer, "settings"), i, setting)
    {
        print_value(json_object_get(setting, "name"));
        printf(" = ");
        print_setting(setting);
    }
    setting = json_object_get(answer, "setting");
    if (json_is_object(setting))
        print_setting(setting);
}

static int read_settings(struct pf_settings *settings, int *argc, char **argv, struct pf_error *err)
{
    int r = pf_settings_init(settings, err);
    if (!r && pf_settings_take_options(settings, argc, argv, err) < 0)
        r = err->code == ENOMEM ? -ENOMEM : -EINVAL;
    return r;
}

int pf_camera_main(int argc, char **argv)
{
    struct pf_settings settings = {0};
    struct pf_error err = {0};
    struct talk talk = {.settings = &settings, .answered = on_camera_answer};
    int r = read_settings(&settings, &argc, argv, &err);
    const char *what = argc > 1 ? argv[1] : "";
    static const struct {
        const char *what;
        int operands;
    } forms[] = {{"list", 0}, {"get", 1}, {"set", 2}, {"trigger", 0}};
    bool known = false;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        known |= !strcmp(forms[i].what, what) && argc == forms[i].operands + 2;
    if (!r && argc > 1 && what[0] == '-')
        r = pf_settings_unknown_option(what, &err);
    if (!r && !known)
        r = pf_fail(&err, EINVAL,
                    "it is: parfocal camera list | get NAME | set NAME VALUE | trigger");
    if (!r)
        talk.source = only_camera(&settings, &err, &r);
    if (!r) {
        talk.ask = json_pack("{s:s}", "do", what);
        if (argc > 2)
            json_object_set_new(talk.ask, "name", pf_json_bytes(argv[2]));
        if (argc > 3)
            json_object_set_new(talk.ask, "value", pf_json_bytes(argv[3]));
        r = hold_talk(&talk, &err);
    }
    return finish(&talk, &settings, r, &err);
}

/* ---- parfocal bracket ---- */

static void on_bracket_answer(struct talk *talk, const json_t *answer)
{
    int taken = (int)json_integer_value(json_object_get(answer, "taken"));
    const char *setting = json_string_value(json_object_get(answer, "setting"));
    if (setting) {
        printf("%s: %lld frames, %s by %lld before each but the first, and back again; nothing was "
               "shot\n",
               json_string_value(json_object_get(answer, "camera")),
               (long long)json_integer_value(json_object_get(talk->ask, "frames")), setting,
               (long long)json_integer_value(json_object_get(talk->ask, "step")));
        return;
    }
    while (talk->taken < taken) {
        char line[64];
        snprintf(line, sizeof(line), "frame %d of %d", ++talk->taken, talk->progress.total);
        pf_progress_frame(&talk->progress, 0, line);
    }
    if (json_is_true(json_object_get(answer, "done"))) {
        pf_progress_end(&talk->progress);
        if (json_object_get(answer, "taken"))
            printf("%d of %d frames\n", taken, talk->progress.total);
    }
}

static bool whole_number(const char *text, long low, long high, long *ret)
{
    char *end;
    errno = 0;
    *ret = text ? strtol(text, &end, 10) : 0;
    return text && *text && !*end && !errno && *ret >= low && *ret <= high;
}

struct bracket {
    long frames, step, settle_ms;
    bool dry_run;
};

/* Takes its own options out of argv, before the settings do: one of them is called settle as well. */
static int bracket_options(int *argc, char **argv, struct bracket *ret, struct pf_error *err)
{
    const struct {
        const char *name;
        long low, high, *to;
        const char *range;
    } options[] = {
        {"--frames", 2, 10000, &ret->frames, "2 to 10000"},
        {"--step", -32767, 32767, &ret->step, "1 to 32767, negative for near"},
        {"--settle", 0, 60000, &ret->settle_ms, "0 to 60000, in ms"},
    };
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        size_t at = 0, count = sizeof(options) / sizeof(options[0]), length = 0;
        if (!strcmp(argv[i], "--dry-run")) {
            ret->dry_run = true;
            continue;
        }
        for (; at < count; at++) {
            length = strlen(options[at].name);
            if (!strncmp(argv[i], options[at].name, length) &&
                (!argv[i][length] || argv[i][length] == '='))
                break;
        }
        if (at == count) {
            argv[kept++] = argv[i];
            continue;
        }
        const char *value = argv[i][length] ? argv[i] + length + 1 : argv[++i];
        if (!whole_number(value, options[at].low, options[at].high, options[at].to))
            return pf_fail(err, EINVAL, "option %s %.100s: must be a whole number from %s",
                           options[at].name, value ? value : "", options[at].range);
    }
    argv[kept] = NULL;
    *argc = kept;
    if (!ret->frames || !ret->step)
        return pf_fail(err, EINVAL, "--frames N and --step S are needed");
    return 0;
}

int pf_bracket_main(int argc, char **argv)
{
    struct pf_settings settings = {0};
    struct pf_error err = {0};
    struct talk talk = {.settings = &settings, .answered = on_bracket_answer, .is_bracket = true};
    struct bracket bracket = {.settle_ms = 500};
    int r = bracket_options(&argc, argv, &bracket, &err);
    if (!r)
        r = read_settings(&settings, &argc, argv, &err);
    if (!r && argc > 1)
        r = argv[1][0] == '-' ? pf_settings_unknown_option(argv[1], &err)
                              : pf_fail(&err, EINVAL, "unexpected argument %.200s", argv[1]);
    if (!r)
        talk.source = only_camera(&settings, &err, &r);
    if (!r) {
        talk.ask =
            json_pack("{s:s, s:I, s:I, s:I, s:b}", "do", "bracket", "frames",
                      (json_int_t)bracket.frames, "step", (json_int_t)bracket.step, "settle_ms",
                      (json_int_t)bracket.settle_ms, "dry_run", bracket.dry_run);
        pf_progress_begin(&talk.progress, (int)bracket.frames, bracket.dry_run);
        r = hold_talk(&talk, &err);
    }
    return finish(&talk, &settings, r, &err);
}
