#include "service/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/exit.h"
#include "config/base/file.h"
#include "config/base/log.h"
#include "config/base/sandbox.h"
#include "config/base/time.h"
#include "config/base/version.h"
#include "service/disks.h"
#include "service/http/api.h"
#include "service/service.h"
#include "service/timer.h"

#define TAG_CHARS      8
#define HEALTH_MS      10000
#define OUTBOX_WAIT_MS 2000
#define STOP_MOST_MS                                                                               \
    15000 /* children are killed after 2 s, cameras after 10 s; hooks are waited for 10 s */
#define LARGE_BYTES 100000000 /* of a journal: a person waits for it */

static void end_when_stopped(struct pf_service *service)
{
    bool stopped = service->stopping && pf_scheduler_stopped(service->scheduler) &&
                   pf_hooks_stopped(service->hooks) && pf_cameras_stopped(service->cameras);
    for (size_t i = 0; i < service->source_count; i++)
        stopped = stopped && pf_source_stopped(service->sources[i]);
    if (stopped)
        event_base_loopbreak(service->base);
}

static void on_child(evutil_socket_t signal, short what, void *context)
{
    struct pf_service *service = context;
    (void)signal, (void)what;
    for (size_t i = 0; i < service->source_count; i++)
        pf_source_reap(service->sources[i]);
    if (service->scheduler)
        pf_scheduler_reap(service->scheduler);
    if (service->hooks)
        pf_hooks_reap(service->hooks);
    pf_api_reap(service->api);
    pf_cameras_reap(service->cameras);
    end_when_stopped(service);
}

static void on_hooks_stopped(void *context)
{
    end_when_stopped(context);
}

/* What the kernel does not let end is not waited for: what it was at is in the journal. */
static void on_stop_limit(evutil_socket_t fd, short what, void *context)
{
    struct pf_service *service = context;
    (void)fd, (void)what;
    service->left_behind =
        pf_scheduler_leave(service->scheduler) | pf_cameras_leave(service->cameras);
    for (size_t i = 0; i < service->source_count; i++)
        service->left_behind |= pf_source_leave(service->sources[i]);
    event_base_loopbreak(service->base);
}

/* Half-built bursts are left to the journal: the next start goes on with them. */
static void on_stop(evutil_socket_t signal, short what, void *context)
{
    struct pf_service *service = context;
    (void)what;
    if (service->stopping)
        return;
    service->stopping = true;
    pf_notify_stopping(service->notify);
    pf_log_info("stopping (%s)", strsignal(signal));
    event_del(service->grouper_timer);
    pf_timer_set(service->stop_timer, STOP_MOST_MS);
    for (size_t i = 0; i < service->source_count; i++)
        pf_source_stop(service->sources[i]);
    pf_cameras_stop(service->cameras);
    pf_scheduler_stop(service->scheduler);
    pf_alarms_stop(service->alarms);
    pf_hooks_stop(service->hooks, on_hooks_stopped, service);
    end_when_stopped(service);
}

static void on_finish(evutil_socket_t signal, short what, void *context)
{
    struct pf_service *service = context;
    (void)signal, (void)what;
    if (!service->stopping)
        pf_intake_finish(service);
}

static void on_retry_failed(evutil_socket_t signal, short what, void *context)
{
    struct pf_service *service = context;
    (void)signal, (void)what;
    if (!service->stopping)
        pf_stacking_retry_failed(service);
}

static void on_grouper_timer(evutil_socket_t fd, short what, void *context)
{
    struct pf_service *service = context;
    (void)fd, (void)what;
    if (service->stopping)
        return;
    /* What has been read is fed before time is let pass; while the journal cannot be written, time
     * stands still for bursts, whose frames wait in the ledger. */
    pf_ledger_flush(service->ledger);
    if (pf_ledger_count(service->ledger)) {
        pf_timer_set(service->grouper_timer, 1000);
        return;
    }
    pf_intake_advance(service);
}

static void on_outbox_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    pf_publishing_find_again(context);
}

/* Whether an outbox that nothing is written to can be written is known before the next burst. */
static void on_health_timer(evutil_socket_t fd, short what, void *context)
{
    struct pf_service *service = context;
    (void)fd, (void)what;
    pf_publishing_check(service);
    pf_waiting_check(service);
    pf_timer_set(service->health_timer, HEALTH_MS);
}

static void on_event(const struct pf_event *event, void *context)
{
    pf_metrics_observe(context, event->type, event->data);
}

static void on_committed(struct pf_entry *entry, void *context)
{
    struct pf_service *service = context;
    pf_intake_committed(service, entry);
    pf_stacking_committed(service, entry);
    pf_hooks_committed(service->hooks, entry);
}

/* What cannot be recorded is not taken: the children wait in their writes. */
static void on_blocked(bool blocked, void *context)
{
    struct pf_service *service = context;
    service->blocked = blocked;
    for (size_t i = 0; i < service->source_count; i++)
        pf_source_pause(service->sources[i], blocked);
    if (blocked)
        pf_trouble_on(service->troubles, true, "journal", NULL,
                      "the journal cannot be written; frames wait until it can");
    else
        pf_trouble_off(service->troubles, "journal");
}

/* Opening the journal takes its time. */
static void on_busy(const char *doing, int64_t bytes, void *context)
{
    struct pf_service *service = context;
    pf_log(bytes < LARGE_BYTES ? PF_LOG_DEBUG : PF_LOG_INFO, "%s: %lld MB", doing,
           (long long)bytes / 1000000);
    pf_notify_busy(service->notify, doing, bytes);
}

/* ---- building up and taking down ---- */

static int make_absolute(char **path, struct pf_error *err)
{
    char *absolute = pf_path_absolute(*path);
    if (!absolute)
        return pf_fail_errno(err, errno, "%s: the current directory", *path);
    free(*path);
    *path = absolute;
    return 0;
}

/* Both would tell each file. By name: who looked would wait for a mount that is dead. */
static int check_folders(const char *a, const char *b, struct pf_error *err)
{
    const char *folder_a = pf_settings_folder(a), *folder_b = pf_settings_folder(b);
    if (!folder_a || !folder_b)
        return 0;
    char *plain_a = pf_path_plain(folder_a), *plain_b = pf_path_plain(folder_b);
    int r = !plain_a || !plain_b ? pf_fail(err, ENOMEM, "out of memory for sources")
            : !strcmp(plain_a, plain_b)
                ? pf_fail(err, EINVAL, "sources %s and %s are one folder", a, b)
                : 0;
    free(plain_a);
    free(plain_b);
    return r;
}

static int check_sources(const struct pf_settings *settings, struct pf_error *err)
{
    const struct pf_list *list = &settings->source;
    if (!list->count)
        return pf_fail(err, EINVAL,
                       "no source of frames is given; for example: parfocal serve --source "
                       "folder:inbox, or --source camera");
    int r = 0;
    for (size_t i = 0; i < list->count; i++)
        for (size_t j = 0; j < i && !r; j++)
            r = !strcmp(list->items[i], list->items[j])
                    ? pf_fail(err, EINVAL, "source %s is given twice", list->items[i])
                    : check_folders(list->items[j], list->items[i], err);
    return r;
}

static int check(const struct pf_settings *settings, struct pf_grouper_settings *ret_grouper,
                 struct pf_error *err)
{
    int r = check_sources(settings, err);
    if (!r)
        r = pf_intake_grouper_settings(settings, ret_grouper, err);
    if (!r)
        r = pf_http_check(settings, err);
    if (!r)
        r = pf_hooks_check(settings, err);
    return r < 0 ? r : pf_mqtt_check(settings, err);
}

int pf_serve_check(const struct pf_settings *settings, struct pf_error *err)
{
    struct pf_grouper_settings grouper;
    return check(settings, &grouper, err);
}

static int take_arguments(struct pf_service *service, int argc, char **argv, struct pf_error *err)
{
    struct pf_settings *settings = &service->settings;
    int r = pf_settings_take_options(settings, &argc, argv, err);
    if (r < 0)
        return r;
    if (argc > 1 && argv[1][0] == '-')
        return pf_settings_unknown_option(argv[1], err);
    if (argc > 1)
        return pf_fail(err, EINVAL, "unexpected argument %s (a source is given with --source)",
                       argv[1]);
    r = make_absolute(&settings->outbox, err);
    if (!r)
        r = make_absolute(&settings->spool, err);
    if (!r && *settings->scratch)
        r = make_absolute(&settings->scratch, err);
    return r < 0 ? r : make_absolute(&settings->state, err);
}

static int watch_signal(struct pf_service *service, size_t slot, int signal,
                        event_callback_fn handler, struct pf_error *err)
{
    service->signals[slot] = evsignal_new(service->base, signal, handler, service);
    if (!service->signals[slot] || event_priority_set(service->signals[slot], 0) < 0 ||
        event_add(service->signals[slot], NULL) < 0)
        return pf_fail(err, ENOMEM, "out of memory for the event loop");
    return 0;
}

static int build_loop(struct pf_service *service, struct pf_error *err)
{
    service->base = event_base_new();
    if (!service->base)
        return pf_fail(err, ENOMEM, "the event loop cannot be made");
    /* 0: what has arrived; 1: timers, which then see everything that has arrived. */
    event_base_priority_init(service->base, 2);
    service->grouper_timer = evtimer_new(service->base, on_grouper_timer, service);
    service->outbox_timer = evtimer_new(service->base, on_outbox_timer, service);
    service->health_timer = evtimer_new(service->base, on_health_timer, service);
    service->stop_timer = evtimer_new(service->base, on_stop_limit, service);
    if (!service->grouper_timer || !service->outbox_timer || !service->health_timer ||
        !service->stop_timer)
        return pf_fail(err, ENOMEM, "out of memory for the event loop");
    int r = watch_signal(service, 0, SIGCHLD, on_child, err);
    if (!r)
        r = watch_signal(service, 1, SIGTERM, on_stop, err);
    if (!r)
        r = watch_signal(service, 2, SIGINT, on_stop, err);
    if (!r)
        r = watch_signal(service, 3, SIGHUP, on_stop, err);
    if (!r)
        r = watch_signal(service, 4, SIGUSR1, on_finish, err);
    if (!r)
        r = watch_signal(service, 5, SIGUSR2, on_retry_failed, err);
    return r;
}

/* Tells our partial directories from those of another service with the same outbox. Made once and kept with the
 * journal: the machine's name is a container's, which changes, or that of two machines. */
static int make_tag(const struct pf_service *service, char tag[TAG_CHARS + 1], struct pf_error *err)
{
    struct pf_error trouble = {0};
    uint32_t number = 0;
    char *path = pf_path_join(service->settings.state, "outbox-tag");
    if (!path)
        return pf_fail(err, ENOMEM, "out of memory");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, tag, TAG_CHARS);
    if (fd >= 0)
        close(fd);
    tag[TAG_CHARS] = '\0';
    if (size != TAG_CHARS || strspn(tag, "0123456789abcdef") != TAG_CHARS) {
        if (getrandom(&number, sizeof(number), 0) < 0)
            number = (uint32_t)pf_wall_ms();
        snprintf(tag, TAG_CHARS + 1, "%08x", number);
        if (pf_write_file_durable(path, tag, TAG_CHARS, &trouble) < 0)
            pf_log_warning("%s; what is half written now may be left in the outbox", trouble.text);
    }
    free(path);
    return 0;
}

static int make_outbox(struct pf_service *service, struct pf_error *err)
{
    const struct pf_settings *settings = &service->settings;
    char tag[TAG_CHARS + 1], former_tag[PF_OUTBOX_FORMER_CHARS + 1], host[256] = "";
    char *note = pf_path_join(settings->state, "outbox-mount");
    gethostname(host, sizeof(host) - 1);
    pf_outbox_former_tag(host, settings->state, former_tag);
    int r = note ? make_tag(service, tag, err) : pf_fail(err, ENOMEM, "out of memory");
    if (!r)
        r = pf_outbox_new(&service->outbox, service->base, settings->outbox, tag, former_tag, note,
                          pf_publishing_answer, service, err);
    free(note);
    return r;
}

static int make_disks(struct pf_service *service, struct pf_error *err)
{
    char *path = pf_path_join(service->settings.state, "disks");
    int r = path ? pf_disks_new(&service->disks, path, err) : pf_fail(err, ENOMEM, "out of memory");
    free(path);
    return r;
}

/* After the journal has made the state directory. Nothing in it is kept, so that its name need not be either. */
static int make_preview_directory(const struct pf_service *service, struct pf_error *err)
{
    char *path = pf_path_join(service->settings.state, "preview");
    if (!path)
        return pf_fail(err, ENOMEM, "out of memory");
    int r = pf_remove_tree(path, err);
    if (!r && mkdir(path, 0777) < 0)
        r = pf_fail_errno(err, errno, "creating directory %s", path);
    free(path);
    return r;
}

/* Once, and not by each child that is started. */
static void tell_sandbox(const struct pf_settings *settings)
{
    struct pf_sandbox_probe probe;
    char words[160];
    pf_sandbox_probe(&probe);
    pf_sandbox_words(&probe, words, sizeof(words));
    if (!settings->sandbox)
        pf_log_warning(
            "sandbox = no: a picture that takes over its decoder can do what this user can");
    else if (!probe.seccomp || !probe.landlock)
        pf_log_warning("the sandbox has gaps here: %s", words);
    else
        pf_log_debug("sandbox: %s", words);
}

static int build(struct pf_service *service, const struct pf_grouper_settings *grouper,
                 struct pf_error *err)
{
    const struct pf_settings *settings = &service->settings;
    const struct pf_pairs_settings pairs = pf_pairing_settings(settings, grouper);
    const struct pf_journal_busy busy = {on_busy, service};
    int64_t first_burst;
    int r = pf_events_new(&service->events, err);
    if (!r)
        r = pf_metrics_new(&service->metrics, err);
    if (!r) {
        service->metrics_reader = pf_events_read(service->events, on_event, service->metrics);
        r = service->metrics_reader ? 0 : pf_fail(err, ENOMEM, "out of memory for metrics");
    }
    if (!r)
        r = pf_troubles_new(&service->troubles, service->events, err);
    if (!r)
        r = pf_notify_new(&service->notify, service, err);
    if (!r)
        r = pf_journal_open(&service->journal, settings->state, &busy, err);
    if (!r)
        r = make_disks(service, err);
    if (!r)
        r = make_preview_directory(service, err);
    if (!r)
        r = pf_thumbnails_new(&service->thumbnails, settings->state, "thumbnails",
                              settings->thumbnails, err);
    if (!r)
        r = build_loop(service, err);
    if (!r)
        r = pf_notify_begin(service->notify, service->base, err);
    if (!r)
        r = pf_journal_next_burst(service->journal, &first_burst, err);
    if (!r)
        r = pf_grouper_new(&service->grouper, grouper, first_burst, err);
    if (!r)
        r = pf_pairs_new(&service->pairs, &pairs, err);
    if (!r)
        r = pf_ledger_new(&service->ledger, service->base, service->journal, on_committed,
                          on_blocked, service, err);
    if (!r)
        r = pf_hooks_new(&service->hooks, service->base, settings, service->journal,
                         service->ledger, service->events, service->troubles, err);
    if (!r)
        r = make_outbox(service, err);
    /* Before there is a worker, whose sandbox knows only directories that are there. */
    if (!r) {
        on_health_timer(-1, 0, service);
        pf_outbox_await(service->outbox, OUTBOX_WAIT_MS);
    }
    if (!r)
        r = pf_scheduler_new(&service->scheduler, service->base, settings, &pf_stacking_handlers,
                             service, err);
    if (r < 0)
        return r;
    r = pf_asking_new(&service->asking, err);
    if (!r)
        r = pf_control_new(&service->control, service->base, settings->state, service, err);
    if (r < 0)
        return r;
    service->started_ms = pf_monotonic_ms();
    service->starts_elastix = settings->align == PF_ALIGN_BSPLINE;
    pf_log_info("parfocal %s; results go to %s", pf_version(), settings->outbox);
    tell_sandbox(settings);
    r = pf_restore(service, err);
    service->sources = calloc(settings->source.count, sizeof(*service->sources));
    if (!r && !service->sources)
        r = pf_fail(err, ENOMEM, "out of memory for the sources");
    for (size_t i = 0; !r && i < settings->source.count; i++) {
        r = pf_source_new(&service->sources[i], service->base, service->journal, service->disks,
                          settings, settings->source.items[i], &pf_intake_handlers, service, err);
        service->source_count += r == 0;
    }
    if (!r)
        r = pf_cameras_new(&service->cameras, service, err);
    if (!r)
        r = pf_api_new(&service->api, service, err);
    if (!r)
        r = pf_alarms_new(&service->alarms, service->base, settings, service->events,
                          service->troubles, service->hooks, service->ledger, err);
    if (!r)
        r = pf_mqtt_new(&service->mqtt, service, err);
    return r;
}

static void take_down(struct pf_service *service)
{
    pf_notify_free(service->notify);
    pf_mqtt_free(service->mqtt);
    pf_alarms_free(service->alarms);
    service->api = pf_api_free(service->api);
    pf_control_free(service->control);
    service->asking = pf_asking_free(service->asking);
    pf_driving_free_all(service);
    pf_cameras_free(service->cameras);
    for (size_t i = 0; i < service->source_count; i++)
        pf_source_free(service->sources[i]);
    free(service->sources);
    pf_scheduler_free(service->scheduler);
    pf_outbox_free(service->outbox);
    pf_hooks_free(service->hooks);
    pf_thumbnails_free(service->thumbnails);
    pf_ledger_free(service->ledger);
    pf_pairs_free(service->pairs);
    pf_grouper_free(service->grouper);
    pf_journal_close(service->journal);
    pf_disks_free(service->disks);
    pf_troubles_free(service->troubles);
    pf_events_stop(service->metrics_reader);
    pf_metrics_free(service->metrics);
    pf_events_free(service->events);
    for (size_t i = 0; i < service->held_count; i++)
        pf_record_free(service->held[i]);
    free(service->held);
    if (service->grouper_timer)
        event_free(service->grouper_timer);
    if (service->outbox_timer)
        event_free(service->outbox_timer);
    if (service->health_timer)
        event_free(service->health_timer);
    if (service->stop_timer)
        event_free(service->stop_timer);
    for (size_t i = 0; i < sizeof(service->signals) / sizeof(service->signals[0]); i++)
        if (service->signals[i])
            event_free(service->signals[i]);
    if (service->base)
        event_base_free(service->base);
    libevent_global_shutdown();
}

int pf_serve_main(int argc, char **argv)
{
    struct pf_service service = {0};
    struct pf_grouper_settings grouper;
    struct pf_error err = {0};
    int status = PF_EXIT_FAILURE;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN); /* until they are watched: too early a word must not end us */
    signal(SIGUSR2, SIG_IGN);
    pf_log_setup("service", PF_LOG_INFO);
    if (pf_settings_init(&service.settings, &err) < 0) {
        pf_log_error("%s", err.text);
        return PF_EXIT_FAILURE;
    }
    int r = take_arguments(&service, argc, argv, &err);
    bool wrong = r < 0 && err.code != ENOMEM;
    if (!r) {
        r = check(&service.settings, &grouper, &err);
        /* A file that cannot be read now may be there in a moment: its mount, or who writes it, comes later. */
        wrong = r < 0 && err.code == EINVAL;
    }
    if (r < 0) {
        fprintf(stderr, "parfocal serve: %s\n", err.text);
        pf_settings_free(&service.settings);
        return wrong ? PF_EXIT_USAGE : PF_EXIT_FAILURE;
    }
    pf_log_setup("service", (enum pf_log_level)service.settings.log_level);
    pf_log_setup_format((enum pf_log_format)service.settings.log_format);
    if (build(&service, &grouper, &err) < 0) {
        pf_log_error("%s", err.text);
    } else if (event_base_dispatch(service.base) < 0) {
        pf_log_error("the event loop has failed");
    } else {
        pf_ledger_flush(service.ledger);
        service.left_behind |= pf_hooks_leave(service.hooks);
        status = service.left_behind ? PF_EXIT_LEFT : PF_EXIT_OK;
    }
    take_down(&service);
    if (status == PF_EXIT_OK)
        pf_log_info("stopped");
    else if (status == PF_EXIT_LEFT)
        pf_log_warning(
            "stopped, but for what was left behind; the next start goes on with all of it");
    pf_settings_free(&service.settings);
    return status;
}
