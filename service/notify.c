#include "service/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/base/log.h"
#include "config/base/time.h"
#include "service/service.h"
#include "service/timer.h"

enum {
    LOOK_MS = 100,      /* until it is ready */
    STATUS_MS = 2000,   /* between two looks at how it is */
    SOURCES_MS = 20000, /* that a source has to say how it is: its mount may hang */
    EXTEND_MS = 30000,  /* a GPU that warms up may take longer than systemd waits */
    BUSY_MS = 60000,    /* and so may a large journal */
    MEGABYTE = 1000000,
    STUCK_TIMEOUTS = 3 /* of the worker: two restarts have brought nothing */
};

struct pf_notify {
    struct pf_service *service;
    int fd;
    struct sockaddr_un address;
    socklen_t address_bytes;
    struct event *timer;
    bool ready, stopping, starved;
    int64_t begun_ms, watchdog_ms, fed_ms; /* watchdog_ms: between two words to it, 0 none */
    char status[200];
};

static void say(struct pf_notify *notify, const char *text)
{
    /* Nothing can be done about a failure, and the watchdog sees the silence. */
    (void)sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                 (const struct sockaddr *)&notify->address, notify->address_bytes);
}

/* ---- how it is ---- */

static bool sources_are_up(const struct pf_notify *notify, size_t *ret_well)
{
    const struct pf_service *service = notify->service;
    size_t up = 0;
    *ret_well = 0;
    for (size_t i = 0; i < service->source_count; i++) {
        json_t *source = pf_source_json(service->sources[i]);
        const char *state = json_string_value(json_object_get(source, "state"));
        up += state && strcmp(state, "starting") && strcmp(state, "ended");
        *ret_well += state && !strcmp(state, "ok");
        json_decref(source);
    }
    return up == service->source_count;
}

static void describe(const struct pf_notify *notify, char *text, size_t size)
{
    const struct pf_service *service = notify->service;
    json_t *worker = pf_scheduler_worker(service->scheduler);
    const char *state = json_string_value(json_object_get(worker, "state"));
    const char *device = json_string_value(json_object_get(worker, "device"));
    size_t bursts = 0, well;
    for (struct pf_job *job = pf_scheduler_jobs(service->scheduler); job; job = job->next)
        bursts++;
    sources_are_up(notify, &well);
    snprintf(text, size, "%zu of %zu sources well; worker %s%s%s; %zu burst%s in work", well,
             service->source_count, state ? state : "?", device ? ", " : "", device ? device : "",
             bursts, bursts == 1 ? "" : "s");
    json_decref(worker);
}

static void tell_status(struct pf_notify *notify)
{
    char status[sizeof(notify->status)], line[sizeof(status) + 16];
    describe(notify, status, sizeof(status));
    if (!strcmp(status, notify->status))
        return;
    memcpy(notify->status, status, sizeof(status));
    snprintf(line, sizeof(line), "STATUS=%s", status);
    say(notify, line);
}

static void tell_ready(struct pf_notify *notify)
{
    size_t well;
    int64_t since_ms = pf_monotonic_ms() - notify->begun_ms;
    bool sources = sources_are_up(notify, &well) || since_ms > SOURCES_MS;
    if (!pf_scheduler_ready(notify->service->scheduler)) {
        char line[64];
        snprintf(line, sizeof(line), "EXTEND_TIMEOUT_USEC=%lld", EXTEND_MS * 1000ll);
        if (!pf_scheduler_stuck_ms(notify->service->scheduler, NULL) ||
            since_ms < (int64_t)(notify->service->settings.worker_timeout * 2000))
            say(notify, line);
    } else if (sources) {
        notify->ready = true;
        say(notify, "READY=1");
    }
}

static void feed_watchdog(struct pf_notify *notify)
{
    int64_t pixels, now_ms = pf_monotonic_ms();
    int64_t stuck_ms = pf_scheduler_stuck_ms(notify->service->scheduler, &pixels);
    int64_t limit_ms =
        ((int64_t)(notify->service->settings.worker_timeout * 1000) + pixels / 1000) *
        STUCK_TIMEOUTS;
    bool starved = stuck_ms > limit_ms;
    if (starved && !notify->starved)
        pf_log_error("the worker has made no progress for %lld s: systemd's watchdog is left to "
                     "start the service anew",
                     (long long)stuck_ms / 1000);
    notify->starved = starved;
    if (starved || now_ms - notify->fed_ms < notify->watchdog_ms)
        return;
    notify->fed_ms = now_ms;
    say(notify, "WATCHDOG=1");
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct pf_notify *notify = context;
    int64_t next_ms = notify->ready ? STATUS_MS : LOOK_MS;
    (void)fd, (void)what;
    if (notify->stopping)
        return;
    if (!notify->ready)
        tell_ready(notify);
    tell_status(notify);
    if (notify->watchdog_ms)
        feed_watchdog(notify);
    if (notify->watchdog_ms && notify->watchdog_ms < next_ms)
        next_ms = notify->watchdog_ms;
    pf_timer_set(notify->timer, next_ms);
}

/* ---- for the owner ---- */

/* A path, or the name of an abstract socket behind '@'. */
static bool take_address(struct pf_notify *notify, const char *path)
{
    size_t length = strlen(path);
    if ((*path != '/' && *path != '@') || length >= sizeof(notify->address.sun_path))
        return false;
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, path, length);
    if (*path == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_bytes =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*path == '/'));
    return true;
}

int pf_notify_new(struct pf_notify **ret, struct pf_service *service, struct pf_error *err)
{
    const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    struct pf_notify *notify = NULL;
    int r = 0;
    if (path && *path) {
        notify = calloc(1, sizeof(*notify));
        if (!notify)
            return pf_fail(err, ENOMEM, "out of memory for systemd's notifications");
        notify->service = service;
        notify->begun_ms = pf_monotonic_ms();
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (usec && (!pid || atol(pid) == (long)getpid()))
            notify->watchdog_ms = atoll(usec) / 2000;
        if (notify->fd < 0)
            r = pf_fail(err, ENOMEM, "out of memory for systemd's notifications");
        else if (!take_address(notify, path))
            r = pf_fail(err, EINVAL, "NOTIFY_SOCKET = %.200s is no socket's address", path);
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    if (r < 0) {
        pf_notify_free(notify);
        return r;
    }
    *ret = notify;
    return 0;
}

int pf_notify_begin(struct pf_notify *notify, struct event_base *base, struct pf_error *err)
{
    if (!notify)
        return 0;
    notify->timer = evtimer_new(base, on_timer, notify);
    if (!notify->timer)
        return pf_fail(err, ENOMEM, "out of memory for systemd's notifications");
    pf_timer_set(notify->timer, 0);
    return 0;
}

void pf_notify_busy(struct pf_notify *notify, const char *doing, int64_t bytes)
{
    char line[sizeof(notify->status) + 64];
    if (!notify)
        return;
    if (bytes >= MEGABYTE)
        snprintf(notify->status, sizeof(notify->status), "%s (%lld MB)", doing,
                 (long long)(bytes / MEGABYTE));
    else
        snprintf(notify->status, sizeof(notify->status), "%s", doing);
    /* No disk is so slow that it would take a microsecond for a byte. */
    snprintf(line, sizeof(line), "EXTEND_TIMEOUT_USEC=%lld\nSTATUS=%s",
             BUSY_MS * 1000ll + (long long)bytes, notify->status);
    say(notify, line);
}

void pf_notify_stopping(struct pf_notify *notify)
{
    if (!notify)
        return;
    notify->stopping = true;
    say(notify, "STOPPING=1\nSTATUS=stopping");
}

struct pf_notify *pf_notify_free(struct pf_notify *notify)
{
    if (!notify)
        return NULL;
    if (notify->timer)
        event_free(notify->timer);
    if (notify->fd >= 0)
        close(notify->fd);
    free(notify);
    return NULL;
}
