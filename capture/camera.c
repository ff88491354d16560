#include "capture/camera.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "capture/camera_internal.h"
#include "capture/confine.h"
#include "capture/holder.h"
#include "capture/input.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/sandbox.h"
#include "config/base/text.h"
#include "config/base/time.h"

enum {
    EVENT_MS = 50,   /* one wait for an event; cameras that do not wait are made to */
    EVENTS_MAX = 64, /* in a row, before a file is fetched */
    TRY_MS = 500,    /* to connect again, doubling */
    TRY_MAX_MS = 30000,
    VAIN_OPENS = 256, /* of 110 kB each, which libgphoto2's drivers lose: a new process begins */
    BUSY_MS = 300,    /* to list a card again of which the camera was too busy to tell */
    BUSY_TRIES = 20,  /* in a row */
    SCAN_MS = 5000,   /* to look for a camera that is not there */
    ALIVE_MS = 1000,
    RETURN_MS = 60000, /* bursts wait for a link that was lost no longer than this */
    FINISH_MS = 8000,  /* in order; the service ends this process 2 s later */
    LAST_MS = 1000,    /* of what the camera says then, without a picture */
};

void pf_camera_fail(struct pf_camera *camera, int code, const char *what)
{
    if (!camera->failure)
        camera->failure = pf_fail_errno(&camera->failure_error, code, "%s", what);
}

void pf_camera_end_if_confined(struct pf_camera *camera)
{
    const char *device = pf_confine_stale(camera->source);
    if (pf_sandbox_is_stale(camera->spool))
        pf_camera_fail(camera, ESTALE, camera->spool);
    else if (pf_sandbox_is_stale(camera->cards))
        pf_camera_fail(camera, ESTALE, camera->cards);
    else if (device)
        pf_camera_fail(camera, ESTALE, device);
}

void pf_camera_send(struct pf_camera *camera, json_t *report)
{
    struct pf_error err = {0};
    int r = pf_jsonl_send(STDOUT_FILENO, report, &err);
    if (r < 0 && !camera->failure) {
        camera->failure = r;
        camera->failure_error = err;
    }
}

void pf_camera_alive(struct pf_camera *camera, int64_t patience_ms)
{
    int64_t now_ms = pf_monotonic_ms();
    if (!patience_ms && camera->alive_ms && now_ms - camera->alive_ms < ALIVE_MS)
        return;
    camera->alive_ms = now_ms;
    pf_camera_send(
        camera, json_pack("{s:s, s:I}", "event", "alive", "patience_ms", (json_int_t)patience_ms));
}

static bool is_pending(const struct pf_camera *camera)
{
    return pf_camera_pending(camera) || camera->bracket.state != PF_BRACKET_NONE ||
           (camera->lost_ms && pf_monotonic_ms() - camera->lost_ms < RETURN_MS);
}

static void send_status(struct pf_camera *camera)
{
    camera->reported_pending = is_pending(camera);
    json_t *object = json_object();
    if (json_object_set_new(object, "event", json_string("status")) |
        json_object_set_new(object, "source", pf_json_bytes(camera->source)) |
        json_object_set_new(object, "mode", json_string("camera")) |
        json_object_set_new(object, "state", json_string(camera->state)) |
        json_object_set_new(object, "reason", pf_json_bytes(camera->reason)) |
        json_object_set_new(object, "pending", json_boolean(camera->reported_pending)) |
        json_object_set_new(object, "model", pf_json_bytes(camera->model)) |
        json_object_set_new(object, "serial", pf_json_bytes(camera->serial)) |
        json_object_set_new(object, "port", pf_json_bytes(camera->port))) {
        json_decref(object);
        object = NULL;
    }
    pf_camera_send(camera, object);
}

void pf_camera_status(struct pf_camera *camera, const char *state, const char *format, ...)
{
    char reason[sizeof(camera->reason)] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    if (!strcmp(state, camera->state) && !strcmp(reason, camera->reason))
        return;
    snprintf(camera->state, sizeof(camera->state), "%s", state);
    memcpy(camera->reason, reason, sizeof(reason));
    pf_log(strcmp(state, "ok") ? PF_LOG_WARNING : PF_LOG_INFO, "%s", reason);
    send_status(camera);
}

/* Of all the spool, for what is asked is whether it is there: other cameras' pictures as well. */
static void announce(struct pf_camera *camera)
{
    if (!camera->announced)
        pf_camera_send(camera, json_pack("{s:s, s:I}", "event", "scanned", "files",
                                         (json_int_t)pf_camera_count_all(camera)));
    camera->announced = true;
}

/* Bursts wait for what is being fetched, and for a link that was lost a moment ago. */
static void tell_pending(struct pf_camera *camera)
{
    if (camera->state[0] && camera->reported_pending != is_pending(camera))
        send_status(camera);
}

void pf_camera_lost(struct pf_camera *camera, int gp_code, const char *doing)
{
    struct pf_error err = {0};
    if (!camera->gp)
        return;
    pf_camera_explain(camera, gp_code, doing, &err);
    camera->lost_ms = camera->lost_ms ? camera->lost_ms : pf_monotonic_ms();
    pf_camera_close(camera);
    camera->try_wait_ms = pf_back_off_ms(camera->try_wait_ms, TRY_MS, TRY_MAX_MS);
    camera->next_try_ms = pf_monotonic_ms() + camera->try_wait_ms;
    pf_camera_status(camera, "degraded", "%s; the link is opened again", err.text);
}

/* Before anything is heard of a camera. The directory of USB's devices comes with the first USB there is:
 * rules cannot name it before. */
static void confine(struct pf_camera *camera)
{
    struct pf_error err = {0};
    const char *const own[] = {camera->spool, getenv("HOME"), camera->cards, NULL};
    if (camera->settings->sandbox)
        pf_camera_make_folder(camera, camera->spool, &err); /* its removal is seen from here on */
    pf_error_clear(&err);
    int r = camera->settings->sandbox ? pf_confine_camera(camera->source, own, &err) : 0;
    camera->confined = r == 0;
    if (r < 0 && r != -ENODEV && !camera->failure) {
        camera->failure = r;
        camera->failure_error = err;
    }
}

/* No fault: the service starts another process. Who runs it by hand has none that does. */
static void begin_anew(struct pf_camera *camera, const char *why)
{
    struct pf_error told = {0};
    pf_fail(&told, EAGAIN, "%s; libgphoto2 loses memory with each of %d attempts, which go on anew",
            why, camera->vain_opens);
    if (camera->by_hand) {
        camera->failure = -told.code;
        camera->failure_error = told;
        return;
    }
    camera->ends = true;
    pf_camera_send(camera,
                   json_pack("{s:s, s:o}", "event", "anew", "reason", pf_json_bytes(told.text)));
    pf_log_info("%s", told.text);
}

static void connect(struct pf_camera *camera)
{
    struct pf_error err = {0};
    if (!camera->confined)
        confine(camera);
    if (camera->untold && camera->confined) {
        camera->untold = false;
        pf_camera_scan_all(camera);
    }
    if (camera->failure)
        return;
    pf_camera_forget_memory(camera);
    int r = pf_camera_open(camera, &err);
    int64_t now_ms = pf_monotonic_ms();
    if (r < 0) {
        bool waits = r == -ENODEV && !camera->lost_ms;
        camera->try_wait_ms = pf_back_off_ms(camera->try_wait_ms, TRY_MS, TRY_MAX_MS);
        camera->next_try_ms = now_ms + (waits ? SCAN_MS : camera->try_wait_ms);
        pf_camera_status(camera, "missing", "%s; it is looked for again", err.text);
        announce(camera);
        pf_camera_end_if_confined(camera);
        if (camera->vain_opens >= VAIN_OPENS && !camera->failure)
            begin_anew(camera, err.text);
        return;
    }
    pf_camera_scan_spool(camera);
    r = camera->failure ? GP_OK : pf_camera_compare(camera);
    if (r == GP_ERROR_CAMERA_BUSY && camera->busy_tries++ < BUSY_TRIES) {
        /* What it was busy for is missing in every list of this link; it is shooting, and soon has
         * time: no reason to back off. */
        camera->lost_ms = camera->lost_ms ? camera->lost_ms : pf_monotonic_ms();
        pf_camera_close(camera);
        camera->next_try_ms = pf_monotonic_ms() + BUSY_MS;
        return;
    }
    if (r < 0) {
        pf_camera_lost(camera, r, "listing the card");
        pf_camera_end_if_confined(camera); /* its lists of the spool cannot be read */
        return;
    }
    now_ms = pf_monotonic_ms();
    camera->try_wait_ms = 0;
    camera->busy_tries = 0;
    camera->lost_ms = 0;
    camera->free_kb = -1;
    camera->next_check_ms = camera->next_battery_ms = now_ms;
    camera->compare_ms = PF_CAMERA_NEVER_MS;
    camera->quiet_since_ms = now_ms;
    pf_camera_bracket_link(camera);
    pf_camera_trouble_without_pictures(camera);
    pf_camera_status_of_link(camera);
    announce(camera);
}

/* ---- what the camera says ---- */

/* True when one was there. */
static bool take_event(struct pf_camera *camera)
{
    CameraEventType type;
    void *data = NULL;
    int64_t start_ms = pf_monotonic_ms();
    int r = gp_camera_wait_for_event(camera->gp, EVENT_MS, &type, &data, camera->context);
    const CameraFilePath *path = data;
    if (r == GP_ERROR_CAMERA_BUSY) {
        /* What it was about is never said again: the card is to be compared. */
        pf_log_info("the camera was busy when it had something to say; its card is compared");
        camera->compare_ms = start_ms + PF_CAMERA_QUIET_MS;
        camera->quiet_since_ms = start_ms;
        free(data);
        return false;
    }
    if (r < 0) {
        free(data);
        pf_camera_lost(camera, r, "waiting for pictures");
        return false;
    }
    if (type != GP_EVENT_TIMEOUT)
        camera->quiet_since_ms = pf_monotonic_ms();
    if (type == GP_EVENT_FILE_ADDED && path)
        pf_camera_added(camera, path->folder, path->name);
    else if (type == GP_EVENT_FILE_CHANGED && path)
        pf_camera_added(camera, path->folder, path->name);
    else if (type == GP_EVENT_UNKNOWN && data && strstr(data, "PTP Event 400a"))
        camera->next_check_ms = 0; /* the card is full: it is asked */
    free(data);
    return type != GP_EVENT_TIMEOUT;
}

/* Waits for input for what is left of EVENT_MS, since many cameras do not wait. */
static int rest_ms(struct pf_camera *camera, int64_t since_ms)
{
    int64_t left_ms = EVENT_MS - (pf_monotonic_ms() - since_ms);
    const struct pf_camera_file *file = pf_camera_next_wanted(camera);
    int64_t due_ms = camera->spool_try_ms;
    if (file && file->due_ms > due_ms)
        due_ms = file->due_ms;
    if (file && due_ms - pf_monotonic_ms() < left_ms)
        left_ms = due_ms - pf_monotonic_ms();
    if (camera->bracket.state != PF_BRACKET_NONE && camera->bracket.state != PF_BRACKET_WAIT &&
        camera->bracket.state != PF_BRACKET_ASK &&
        camera->bracket.due_ms - pf_monotonic_ms() < left_ms)
        left_ms = camera->bracket.due_ms - pf_monotonic_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

/* In a pause: opened anew, so that the card shows all that it has. */
static void compare(struct pf_camera *camera)
{
    int64_t now_ms = pf_monotonic_ms();
    if (now_ms - camera->quiet_since_ms < PF_CAMERA_QUIET_MS)
        return;
    for (size_t i = 0; i < camera->file_count; i++)
        if (!strcmp(camera->files[i]->folder, "/"))
            return; /* it would be gone with the link */
    pf_camera_close(camera);
    connect(camera);
}

static void work(struct pf_camera *camera)
{
    int events = 0;
    while (camera->gp && !camera->failure && events < EVENTS_MAX && take_event(camera))
        events++;
    if (!camera->gp || camera->failure)
        return;
    if (pf_camera_bracket_go(camera) || !camera->gp || camera->failure)
        return;
    int64_t now_ms = pf_monotonic_ms();
    struct pf_camera_file *file = pf_camera_next_wanted(camera);
    if (file && file->due_ms <= now_ms && camera->spool_try_ms <= now_ms)
        pf_camera_fetch(camera, file);
    else if (!events && camera->next_check_ms <= now_ms)
        pf_camera_check(camera);
    else if (!events && camera->compare_ms <= now_ms)
        compare(camera);
    else if (!events && camera->settings->delete_from_card)
        pf_camera_delete_one(camera);
}

/* ---- what the service says ---- */

static void take_known(struct pf_camera *camera, const json_t *command)
{
    char *path = pf_json_bytes_value(json_object_get(command, "path"));
    if (path && pf_card_note(camera->card, path,
                             json_integer_value(json_object_get(command, "size_bytes")), true) < 0)
        pf_camera_fail(camera, ENOMEM, path);
    free(path);
}

/* A picture at which the process before this one died: left alone, as one that was there before. */
static void take_blamed(struct pf_camera *camera, const json_t *command)
{
    char *path = pf_json_bytes_value(json_object_get(command, "path"));
    if (path && json_is_true(json_object_get(command, "pass")) &&
        pf_card_note(camera->card, path, -1, false) < 0)
        pf_camera_fail(camera, ENOMEM, path);
    free(path);
}

/* There are more of us than cameras. */
static void rest(struct pf_camera *camera)
{
    if (camera->gp || camera->bracket.state != PF_BRACKET_NONE)
        return;
    camera->resting = true;
    camera->model[0] = camera->serial[0] = camera->port[0] = '\0';
    pf_camera_status(camera, "ok", "no further camera is there");
    announce(camera);
}

static void take_command(void *context, const char *name, const json_t *command)
{
    struct pf_camera *camera = context;
    if (!strcmp(name, "known")) {
        take_known(camera, command);
    } else if (!strcmp(name, "blamed")) {
        take_blamed(camera, command);
    } else if (!strcmp(name, "start")) {
        camera->started = true;
        camera->untold = json_is_true(json_object_get(command, "untold"));
        camera->has_journal = camera->untold;
    } else if (!strcmp(name, "scan")) {
        camera->announced = false;
        camera->late.try_ms = 0;
        if (camera->gp) /* the camera that was here may be another process's by now */
            pf_camera_scan_spool(camera);
        announce(camera);
    } else if (!strcmp(name, "look")) {
        camera->resting = false;
        if (!camera->gp)
            camera->next_try_ms = 0;
    } else if (!strcmp(name, "rest")) {
        rest(camera);
    } else if (!strcmp(name, "recorded")) {
        char *path = pf_json_bytes_value(json_object_get(command, "path"));
        if (path)
            pf_camera_recorded(camera, path);
        free(path);
    } else if (!strcmp(name, "ask")) {
        pf_camera_take_ask(camera, command);
    } else if (!strcmp(name, "next") || !strcmp(name, "enough")) {
        pf_camera_bracket_word(camera, command, !strcmp(name, "enough"));
    } else if (!strcmp(name, "cancel")) {
        pf_camera_bracket_cancel(camera, json_integer_value(json_object_get(command, "id")));
    } else {
        pf_log_warning("unknown command \"%s\"", name);
    }
}

static volatile sig_atomic_t stop_asked;

/* The second time at once: a call that hangs does not come back to end in order. */
static void on_stop(int signal)
{
    if (stop_asked)
        _exit(128 + signal);
    stop_asked = 1;
}

/* The words to stop are heard while the loop waits, so that no call of libgphoto2's is broken off. By hand they are
 * heard always, for nobody else ends what hangs; a call over the network may end with them. */
static void hold_stops(bool by_hand, sigset_t *ret_before)
{
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(by_hand ? SIG_UNBLOCK : SIG_BLOCK, &stops, ret_before);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

/* 1 input is there, 0 not, a negative errno. */
static int wait_for_input(int input_fd, int wait_ms, const sigset_t *heard)
{
    struct pollfd input = {.fd = input_fd, .events = POLLIN};
    struct timespec wait = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000L};
    if (ppoll(&input, 1, &wait, heard) < 0)
        return errno == EINTR ? 0 : -errno;
    return input.revents != 0;
}

/* The end, in order, as far as there is time: the focus goes back to where its bracket has begun, and what
 * is in the camera's memory alone is fetched. */
static void finish(struct pf_camera *camera)
{
    int64_t until_ms = pf_monotonic_ms() + FINISH_MS;
    bool awaits = camera->bracket.state == PF_BRACKET_WAIT;
    int before = camera->bracket.shots_before, seen = camera->shots_seen;
    int64_t seen_ms = pf_monotonic_ms();
    pf_camera_bracket_cancel(camera, camera->bracket.id);
    while (camera->gp && !camera->failure && pf_monotonic_ms() < until_ms) {
        int64_t begun_ms = pf_monotonic_ms();
        bool is_over = camera->bracket.state == PF_BRACKET_NONE, heard = false;
        if (is_over)
            heard = take_event(camera);
        else
            work(camera);
        int64_t now_ms = pf_monotonic_ms(); /* a picture that was heard of has taken its time */
        if (!is_over || camera->shots_seen != seen)
            seen_ms = now_ms;
        seen = camera->shots_seen;
        /* Some say without pause what has changed of their settings. */
        if (is_over && !(awaits && seen == before) && (!heard || now_ms - seen_ms >= LAST_MS))
            return;
        pf_camera_alive(camera, 0);
        if (!heard) /* what is due is not fetched any more, once the bracket is over */
            wait_for_input(-1, is_over ? EVENT_MS : rest_ms(camera, begun_ms), NULL);
    }
}

static int loop(struct pf_camera *camera, struct pf_jsonl_reader *reader, int input_fd,
                const sigset_t *heard, struct pf_error *err)
{
    int wait_ms = 0;
    while (!camera->failure && !camera->ends) {
        int r = wait_for_input(input_fd, wait_ms, heard);
        if (r < 0)
            return pf_fail_errno(err, -r, "waiting for input");
        r = stop_asked ? 0 : r ? pf_input_read(input_fd, reader, take_command, camera, err) : 1;
        if (!r)
            finish(camera);
        if (r <= 0)
            return r;
        int64_t now_ms = pf_monotonic_ms();
        pf_camera_alive(camera, 0);
        if (!camera->started) {
            wait_ms = ALIVE_MS;
            continue;
        }
        if (camera->gp)
            work(camera);
        else if (!camera->resting && camera->next_try_ms <= now_ms)
            connect(camera);
        if (!camera->gp)
            pf_camera_bracket_unlinked(camera);
        if (camera->late.count && camera->late.try_ms <= now_ms)
            pf_camera_tell_late(camera);
        tell_pending(camera);
        wait_ms = camera->gp ? rest_ms(camera, now_ms) : ALIVE_MS;
        int64_t try_ms = camera->next_try_ms - pf_monotonic_ms();
        if (!camera->gp && !camera->resting && try_ms < wait_ms)
            wait_ms = try_ms > 0 ? (int)try_ms : 0;
    }
    if (camera->failure == -EPIPE || !camera->failure)
        return 0; /* nobody listens any more, or another process goes on */
    *err = camera->failure_error;
    return camera->failure;
}

/* libgphoto2 2.5.30 closes descriptor 0 whenever it closes a PTP/IP camera (ptp_ptpip_disconnect: one
 * of three is never set): our input moves away from there. */
static int move_input(struct pf_error *err)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0)
        return pf_fail_errno(err, errno, "moving the input");
    close(STDIN_FILENO);
    pf_camera_fill_stdin();
    return fd;
}

/* Of the state directory. libgphoto2 keeps who we are to a PTP/IP camera, and what its drivers were told, in
 * HOME: a directory of this source alone, so that it is the same at every start. */
static int make_directories(struct pf_camera *camera, struct pf_error *err)
{
    char *state = pf_path_absolute(camera->settings->state);
    char *home = state ? pf_text("%s/gphoto/%016" PRIx64, state,
                                 (uint64_t)XXH3_64bits(camera->source, strlen(camera->source)))
                       : NULL;
    camera->cards = state ? pf_path_join(state, PF_CAMERA_CARDS) : NULL;
    int r = home && camera->cards ? pf_make_directories(home, err)
                                  : pf_fail(err, ENOMEM, "out of memory");
    if (!r)
        r = pf_make_directories(camera->cards, err);
    if (!r && setenv("HOME", home, 1) < 0)
        r = pf_fail_errno(err, errno, "setting HOME");
    free(home);
    free(state);
    return r;
}

int pf_camera_run(const struct pf_settings *settings, const char *source, struct pf_error *err)
{
    struct pf_camera camera = {.settings = settings,
                               .source = source,
                               .which = pf_settings_camera(source),
                               .compare_ms = PF_CAMERA_NEVER_MS,
                               .free_kb = -1,
                               .battery_percent = -1,
                               .holder_fd = -1};
    struct pf_jsonl_reader *reader = NULL;
    bool has_input;
    int input_fd = -1;
    sigset_t heard;
    camera.started = camera.by_hand = pf_input_is_by_hand(&has_input);
    hold_stops(camera.by_hand, &heard);
    setlocale(LC_MESSAGES, "C"); /* the words of settings are the camera's, not translations */
    int r = make_directories(&camera, err);
    if (r < 0)
        goto out;
    camera.spool = pf_path_absolute(settings->spool);
    if (!camera.spool || pf_card_new(&camera.card) < 0 || pf_jsonl_reader_new(&reader) < 0) {
        r = pf_fail(err, ENOMEM, "out of memory");
        goto out;
    }
    r = pf_camera_make_spool(&camera, err);
    if (r < 0)
        goto out;
    if (settings->sandbox)
        camera.holder_fd = pf_holder_start();
    if (has_input)
        r = input_fd = move_input(err);
    if (r >= 0)
        r = loop(&camera, reader, input_fd, &heard, err);
out:
    if (input_fd >= 0)
        close(input_fd);
    if (camera.holder_fd >= 0)
        close(camera.holder_fd);
    pf_camera_close(&camera);
    if (camera.context)
        gp_context_unref(camera.context);
    pf_camera_free_files(&camera);
    pf_card_free(camera.card);
    pf_jsonl_reader_free(reader);
    free(camera.spool);
    free(camera.cards);
    free(camera.unwritten.id);
    free(camera.unwritten.lines);
    free(camera.id);
    free(camera.directory);
    free(camera.memory_path);
    while (camera.late.count)
        free(camera.late.paths[--camera.late.count]);
    free(camera.late.paths);
    free(camera.last_stem);
    return r;
}
