#include "service/worker_child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "config/options.h"
#include "service/child.h"
#include "service/timer.h"

#define LOSSES_MAX  2 /* times the GPU may fail before the processor takes over */
#define WITHOUT_GPU "--device=cpu"

struct pf_worker {
    const struct pf_settings *settings;
    struct pf_worker_handlers handlers;
    void *context;
    struct pf_child *child;
    struct event *watchdog;
    bool ready, stopping, hung;
    json_t *warming;     /* what it said last while it warms up, NULL nothing */
    json_t *facts;       /* of a worker that is ready, else NULL */
    char *ended;         /* why it has ended, NULL: it runs */
    int64_t retry_at_ms; /* when another one is started; CLOCK_MONOTONIC */
    bool lost;           /* the worker has said that its GPU failed */
    bool confined;       /* it has said that a directory is beyond its sandbox by now */
    int losses;          /* of the GPU, since a stack was finished on it */
    bool fell_back;      /* it has failed too often: the processor from now on */
    bool busy;           /* it has work, or is not ready for it */
    int64_t progress_ms; /* when it last said something of its work, or got busy */
    int64_t said_ms;     /* when it last said anything, was started or got busy */
};

/* ---- work, and whether it gets on with it ---- */

int pf_worker_tell(struct pf_worker *worker, json_t *command)
{
    int r = pf_child_send(worker->child, command);
    if (r == -ENOBUFS || r == -ENOMEM) {
        pf_log_error("the worker takes no commands (%s); it is ended", strerror(-r));
        if (r == -ENOMEM)
            pf_child_restart(worker->child);
        else
            pf_child_kill(worker->child);
    }
    return r;
}

void pf_worker_watch(struct pf_worker *worker, bool busy, int64_t pixels)
{
    int64_t now_ms = pf_monotonic_ms();
    busy = busy || !worker->ready;
    if (busy && !worker->busy)
        worker->progress_ms = worker->said_ms = now_ms;
    worker->busy = busy;
    if (!pf_child_running(worker->child) || !busy) {
        event_del(worker->watchdog);
        return;
    }
    int64_t timeout_ms = (int64_t)(worker->settings->worker_timeout * 1000) + pixels / 1000;
    pf_timer_set(worker->watchdog, worker->said_ms + timeout_ms - now_ms);
}

static void on_watchdog(evutil_socket_t fd, short what, void *context)
{
    struct pf_worker *worker = context;
    (void)fd, (void)what;
    worker->hung = true;
    pf_child_kill(worker->child);
}

void pf_worker_healthy(struct pf_worker *worker)
{
    pf_child_healthy(worker->child);
}

void pf_worker_stacked(struct pf_worker *worker)
{
    worker->losses = 0;
    pf_worker_healthy(worker);
}

int64_t pf_worker_stuck_ms(const struct pf_worker *worker)
{
    return worker->busy ? pf_monotonic_ms() - worker->progress_ms : 0;
}

/* ---- its life ---- */

static void on_child_started(void *context)
{
    struct pf_worker *worker = context;
    worker->ready = false;
    worker->said_ms = pf_monotonic_ms();
    json_decref(worker->warming);
    json_decref(worker->facts);
    free(worker->ended);
    worker->warming = worker->facts = NULL;
    worker->ended = NULL;
    worker->handlers.started(worker->context);
    worker->handlers.changed(worker->context);
}

static void on_warming(struct pf_worker *worker, const json_t *event)
{
    const char *step = json_string_value(json_object_get(event, "step"));
    const json_t *iteration = json_object_get(event, "iteration");
    json_decref(worker->warming);
    worker->warming = json_deep_copy(event);
    worker->handlers.changed(worker->context);
    if (json_is_integer(iteration))
        pf_log_info("worker: %s: iteration %d", step ? step : "warming up",
                    (int)json_integer_value(iteration));
    else
        pf_log_debug("worker warms up: %s", step ? step : "");
}

static void on_ready(struct pf_worker *worker, const json_t *event)
{
    const char *device = json_string_value(json_object_get(event, "device"));
    const char *gpu = json_string_value(json_object_get(event, "device_name"));
    char *reason = pf_json_bytes_value(json_object_get(event, "reason"));
    worker->ready = true;
    json_decref(worker->facts);
    worker->facts = json_deep_copy(event);
    worker->handlers.changed(worker->context);
    pf_log_info("worker ready: %s%s%s, %d threads", device ? device : "cpu",
                gpu && *gpu ? ": " : "", gpu ? gpu : "",
                (int)json_integer_value(json_object_get(event, "threads")));
    if (reason && *reason)
        pf_log_info("no GPU is used: %s; the processor does the work", reason);
    free(reason);
}

static void on_child_message(const json_t *event, void *context)
{
    struct pf_worker *worker = context;
    const char *name = json_string_value(json_object_get(event, "event"));
    if (!name)
        return;
    worker->said_ms = pf_monotonic_ms();
    if (strcmp(name, "warming") != 0)
        worker->progress_ms = worker->said_ms;
    if (!strcmp(name, "ready"))
        on_ready(worker, event);
    else if (!strcmp(name, "warming"))
        on_warming(worker, event);
    else if (!strcmp(name, "lost"))
        worker->lost = true;
    else if (!strcmp(name, "confined"))
        worker->confined = true;
    else
        worker->handlers.message(event, worker->context);
}

static void on_child_batch(void *context)
{
    struct pf_worker *worker = context;
    worker->handlers.batch(worker->context);
}

/* A GPU that hangs says nothing, and neither does a driver that crashes; while it is looked for, either. Who
 * kills a worker from outside (the kernel without memory, somebody by hand) is neither. */
static enum pf_worker_end how_it_ended(const struct pf_worker *worker, bool hung)
{
    const json_t *facts = worker->facts, *warming = worker->warming;
    const char *device = json_string_value(json_object_get(facts, "device"));
    bool had_one = facts ? device && !strcmp(device, "cuda")
                         : warming && !json_object_get(warming, "iteration");
    bool crashed =
        pf_child_ended_by_signal(worker->child) && !pf_child_ended_from_outside(worker->child);
    if (worker->lost || worker->confined || (!hung && !crashed))
        return PF_END_PLAIN;
    if (had_one)
        return PF_END_WITH_GPU;
    return device && !strcmp(device, "cpu") ? PF_END_WITHOUT_GPU : PF_END_PLAIN;
}

/* After a second failure of the GPU the processor does it all. */
static void count_loss(struct pf_worker *worker)
{
    if (++worker->losses != LOSSES_MAX)
        return;
    worker->fell_back = pf_child_add_argument(worker->child, WITHOUT_GPU) == 0;
    if (worker->fell_back)
        pf_log_warning("the GPU has failed %d times without a stack between: the processor does "
                       "the work until the service is started anew",
                       LOSSES_MAX);
}

void pf_worker_clear_gpu(struct pf_worker *worker)
{
    worker->losses = 0;
    if (!worker->fell_back)
        return;
    worker->fell_back = false;
    pf_child_remove_argument(worker->child, WITHOUT_GPU);
    pf_log_warning("the worker goes down at the same burst without the GPU as well: the GPU is "
                   "used again");
}

static void on_child_ended(const char *why, int retry_ms, void *context)
{
    struct pf_worker *worker = context;
    bool hung = worker->hung, blameless = worker->lost || worker->confined;
    enum pf_worker_end end = how_it_ended(worker, hung);
    worker->ready = worker->hung = false;
    event_del(worker->watchdog);
    if (hung)
        why = "it hung and was ended";
    free(worker->ended);
    worker->ended = strdup(why);
    worker->retry_at_ms = retry_ms < 0 ? INT64_MAX : pf_monotonic_ms() + retry_ms;
    if (!worker->stopping) {
        if (!worker->confined)
            pf_log_error("the worker has ended: %s; a new one starts in %.1f s", why,
                         retry_ms / 1e3);
        bool counts = worker->handlers.ended(blameless ? NULL : why, end, worker->context) &&
                      end == PF_END_WITH_GPU;
        if (counts)
            pf_log_warning("it was at work with the GPU, which may have caused that: it counts "
                           "as a failure of the GPU");
        if (counts || (worker->lost && !worker->confined))
            count_loss(worker);
    }
    worker->lost = worker->confined = false;
    if (!worker->stopping)
        worker->handlers.changed(worker->context);
}

void pf_worker_start(struct pf_worker *worker)
{
    pf_child_start(worker->child);
}

void pf_worker_stop(struct pf_worker *worker)
{
    worker->stopping = true;
    pf_child_stop(worker->child);
}

void pf_worker_reap(struct pf_worker *worker)
{
    pf_child_reap(worker->child);
}

bool pf_worker_running(const struct pf_worker *worker)
{
    return pf_child_running(worker->child);
}

bool pf_worker_leave(struct pf_worker *worker)
{
    return pf_child_leave(worker->child, "the worker");
}

bool pf_worker_ready(const struct pf_worker *worker)
{
    return worker->ready;
}

bool pf_worker_takes_work(const struct pf_worker *worker)
{
    return worker->ready && !worker->stopping;
}

static void copy_fact(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    const char *text = json_string_value(value);
    json_object_set(to, key, value && !(text && !*text) ? value : json_null());
}

json_t *pf_worker_facts(const struct pf_worker *worker)
{
    const json_t *facts = worker->facts, *warming = facts ? NULL : worker->warming;
    bool ended = worker->ended != NULL, waits = ended && worker->retry_at_ms != INT64_MAX;
    int64_t wall_ms = pf_wall_ms() - pf_monotonic_ms();
    json_t *told = json_object();
    const char *state = ended ? "ended" : facts ? "ready" : warming ? "warming" : "starting";
    json_object_set_new(told, "state", json_string(state));
    copy_fact(told, facts, "device");
    copy_fact(told, facts, "device_name");
    copy_fact(told, facts, "decoder");
    copy_fact(told, facts, "threads");
    copy_fact(told, facts, "reason");
    copy_fact(told, warming, "step");
    copy_fact(told, warming, "iteration");
    copy_fact(told, warming, "of");
    if (ended)
        json_object_set_new(told, "reason", pf_json_bytes(worker->ended));
    json_object_set_new(told, "losses", json_integer(worker->losses));
    json_object_set_new(told, "fell_back", json_boolean(worker->fell_back));
    json_object_set_new(told, "retry_at_ms",
                        waits ? json_integer(worker->retry_at_ms + wall_ms) : json_null());
    return told;
}

/* ---- its command line ---- */

/* Where the worker may write. */
static int add_directories(struct pf_options *options, const struct pf_settings *settings,
                           struct pf_error *err)
{
    static const char *const names[] = {"preview", "thumbnails"};
    int r = pf_options_add(options, settings->outbox, err);
    if (r == 0)
        r = pf_options_add(options, settings->scratch, err);
    for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = pf_path_join(settings->state, names[i]);
        r = path ? pf_options_add(options, path, err) : pf_fail(err, ENOMEM, "out of memory");
        free(path);
    }
    return r;
}

static int make_child(struct pf_worker *worker, struct event_base *base, struct pf_error *err)
{
    static const struct pf_child_handlers handlers = {
        .started = on_child_started,
        .message = on_child_message,
        .batch = on_child_batch,
        .ended = on_child_ended,
    };
    const struct pf_settings *settings = worker->settings;
    struct pf_options options = {0};
    int r = pf_options_add(&options, "process", err);
    if (!r)
        r = pf_options_add_section(&options, settings, "engine", err);
    if (!r)
        r = pf_options_add_keys(&options, settings, "worker_memory sandbox log_format log_level",
                                err);
    if (!r)
        r = add_directories(&options, settings, err);
    if (!r)
        r = pf_child_new(&worker->child, base, (const char *const *)options.items, &handlers,
                         worker, err);
    pf_options_free(&options);
    return r;
}

int pf_worker_new(struct pf_worker **ret, struct event_base *base,
                  const struct pf_settings *settings, const struct pf_worker_handlers *handlers,
                  void *context, struct pf_error *err)
{
    struct pf_worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return pf_fail(err, ENOMEM, "out of memory for the worker");
    worker->settings = settings;
    worker->handlers = *handlers;
    worker->context = context;
    worker->watchdog = evtimer_new(base, on_watchdog, worker);
    int r = worker->watchdog ? make_child(worker, base, err)
                             : pf_fail(err, ENOMEM, "out of memory for the worker");
    if (r < 0) {
        pf_worker_free(worker);
        return r;
    }
    *ret = worker;
    return 0;
}

struct pf_worker *pf_worker_free(struct pf_worker *worker)
{
    if (!worker)
        return NULL;
    pf_child_free(worker->child);
    json_decref(worker->warming);
    json_decref(worker->facts);
    free(worker->ended);
    if (worker->watchdog)
        event_free(worker->watchdog);
    free(worker);
    return NULL;
}
