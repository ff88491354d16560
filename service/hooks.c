#include "service/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "config/base/time.h"
#include "config/base/words.h"
#include "service/deliveries.h"
#include "service/hook_event.h"
#include "service/hook_run.h"
#include "service/hook_targets.h"
#include "service/killed.h"
#include "service/timer.h"

#define PAUSE_MOST_MS   3600000 /* between two tries */
#define STOP_MOST_MS    10000   /* that the end of the service waits for hooks */
#define JOURNAL_WAIT_MS 5000    /* before it is read again, when it could not be */

/* A delivery that is being told, or has been and waits for the journal to have the result. */
struct running {
    struct pf_hooks *hooks;
    bool taken, ended;
    struct pf_delivery_list delivery; /* of one */
    struct pf_hook_program *program;
    struct pf_hook_post *post;
};

struct pf_hooks {
    const struct pf_settings *settings;
    struct pf_journal *journal;
    struct pf_ledger *ledger;
    struct pf_events *events;
    struct pf_troubles *troubles;
    struct event_base *base;
    struct event *turn, *stop_limit;
    struct pf_hook_poster *poster;
    struct pf_secret secret;
    struct pf_hook_targets targets;
    struct running *running; /* hook_parallel of them */
    size_t slots;
    bool journal_trouble, stopping, given_up, left_behind;
    void (*stopped)(void *context);
    void *stopped_context;
};

/* ---- showing ---- */

static char *shown_program(const char *command)
{
    char **words = NULL, *shown = NULL;
    struct pf_error err = {0};
    int r = pf_words(command, &words, &err);
    /* A line of the shell may begin with a variable, or with more than a name. */
    if (r == -EINVAL || (!r && strpbrk(words[0], "=;|&<>()$`")))
        shown = strdup("…");
    else if (!r)
        shown = pf_text("%s%s", words[0], words[1] ? " …" : "");
    pf_words_free(words);
    return shown;
}

char *pf_hook_shown(const char *target)
{
    if (!pf_settings_is_url(target))
        return shown_program(target);
    const char *host = strstr(target, "://") + 3;
    const char *end = host + strcspn(host, "/?#");
    const char *at = memrchr(host, '@', (size_t)(end - host));
    size_t scheme = (size_t)(host - target);
    host = at ? at + 1 : host;
    const char *name = end + strspn(end, "/");
    const char *rest = *end == '/' ? name + strcspn(name, "/?#") : end;
    return pf_text("%.*s%s%.*s%s", (int)scheme, target, at ? "…@" : "", (int)(rest - host), host,
                   *rest && strcmp(rest, "/") ? "/…" : "");
}

static struct running *find_running(struct pf_hooks *hooks, int64_t number)
{
    for (size_t i = 0; i < hooks->slots; i++)
        if (hooks->running[i].taken && hooks->running[i].delivery.items[0].number == number)
            return &hooks->running[i];
    return NULL;
}

/* What it tells; NULL where there is no memory for it. The caller's. */
static json_t *event_of(const struct pf_delivery *delivery)
{
    json_t *event = NULL;
    pf_json_parse(delivery->event, strlen(delivery->event), 0, &event, NULL);
    return event;
}

static json_t *object_of(struct pf_hooks *hooks, const struct pf_delivery *delivery)
{
    const struct running *running = find_running(hooks, delivery->number);
    bool runs = running && !running->ended && delivery->state == PF_DELIVERY_DUE;
    json_t *event = event_of(delivery);
    char *shown = pf_hook_shown(delivery->target);
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:O?, s:O?, s:O?, s:s, s:i, s:o, s:I, s:I}", "id", delivery->id, "hook",
        delivery->hook, "target", pf_json_bytes(shown ? shown : ""), "event",
        json_object_get(event, "event"), "burst", json_object_get(event, "burst"), "version",
        json_object_get(event, "version"), "state",
        runs ? "running" : pf_delivery_state_name(delivery->state), "tries", delivery->tries,
        "error", delivery->error ? pf_json_bytes(delivery->error) : json_null(), "created_ms",
        (json_int_t)delivery->created_wall_ms, "changed_ms", (json_int_t)delivery->changed_wall_ms);
    if (object && delivery->state == PF_DELIVERY_DUE && !runs)
        json_object_set_new(object, "next_ms", json_integer(delivery->due_wall_ms));
    json_decref(event);
    free(shown);
    return object;
}

static void announce(struct pf_hooks *hooks, const struct pf_delivery *delivery)
{
    json_t *object = object_of(hooks, delivery);
    if (object)
        pf_events_publish(hooks->events, "delivery", json_pack("{s:o}", "delivery", object));
}

/* ---- telling ---- */

static void check_stopped(struct pf_hooks *hooks)
{
    if (hooks->stopping && pf_hooks_stopped(hooks) && hooks->stopped)
        hooks->stopped(hooks->stopped_context);
}

static void vacate(struct running *running)
{
    running->program = pf_hook_program_free(running->program);
    running->post = pf_hook_post_free(running->post);
    pf_deliveries_free(&running->delivery);
    running->taken = running->ended = false;
}

static int64_t pause_ms(const struct pf_settings *settings, int failures)
{
    double pause = settings->hook_backoff * 1000;
    while (failures-- > 1 && pause < PAUSE_MOST_MS)
        pause *= 2;
    return pause < PAUSE_MOST_MS ? (int64_t)pause : PAUSE_MOST_MS;
}

/* Into the journal with it; the place is free again when it is there. */
static void note(struct running *running, enum pf_delivery_state state, bool tried,
                 int64_t due_wall_ms, const char *error)
{
    struct pf_entry *entry = pf_ledger_add(running->hooks->ledger, PF_ENTRY_TOLD);
    running->ended = true;
    entry->delivery = running->delivery.items[0].number;
    entry->delivery_state = state;
    entry->tried = tried;
    entry->due_wall_ms = due_wall_ms;
    entry->reason = error && *error ? strdup(error) : NULL;
}

static void on_ended(const struct pf_hook_outcome *outcome, void *context)
{
    struct running *running = context;
    const struct pf_hooks *hooks = running->hooks;
    const struct pf_delivery *delivery = &running->delivery.items[0];
    char *shown = pf_hook_shown(delivery->target);
    const char *target = shown ? shown : delivery->hook;
    int failures = delivery->failures + 1;
    json_t *event = event_of(delivery);
    struct pf_log_about about = {.hook = delivery->hook,
                                 .burst = json_string_value(json_object_get(event, "burst"))};
    if (outcome->ok) {
        pf_log_about(PF_LOG_INFO, &about, "%s: %s done%s", delivery->hook, target,
                     delivery->tries ? ", after it had failed" : "");
        note(running, PF_DELIVERY_DONE, true, pf_wall_ms(), NULL);
    } else if (outcome->for_good || failures > hooks->settings->hook_retries) {
        pf_log_about(PF_LOG_ERROR, &about,
                     "%s: %s failed: %s; it is given up after %d tries (`parfocal hooks retry` "
                     "tells it again)",
                     delivery->hook, target, outcome->text, delivery->tries + 1);
        note(running, PF_DELIVERY_GIVEN_UP, true, pf_wall_ms(), outcome->text);
    } else {
        int64_t wait_ms = pause_ms(hooks->settings, failures);
        if (wait_ms < outcome->wait_ms)
            wait_ms = outcome->wait_ms < PAUSE_MOST_MS ? outcome->wait_ms : PAUSE_MOST_MS;
        pf_log_about(PF_LOG_WARNING, &about, "%s: %s failed: %s; it is tried again in %.1f s",
                     delivery->hook, target, outcome->text, (double)wait_ms / 1e3);
        note(running, PF_DELIVERY_DUE, true, pf_wall_ms() + wait_ms, outcome->text);
    }
    json_decref(event);
    free(shown);
}

static int run_program(struct running *running, struct pf_error *err)
{
    struct pf_hooks *hooks = running->hooks;
    const struct pf_delivery *delivery = &running->delivery.items[0];
    char *shell[] = {"/bin/sh", "-c", delivery->target, NULL};
    char **words = NULL, **environment = NULL;
    json_t *event = NULL;
    int r = hooks->settings->hook_shell ? 0 : pf_words(delivery->target, &words, err);
    if (!r && pf_json_parse(delivery->event, strlen(delivery->event), 0, &event, NULL) == -ENOMEM)
        r = pf_fail(err, ENOMEM, "out of memory for a hook");
    if (!r) {
        environment = pf_hook_environment(environ, event, delivery->tries + 1);
        r = environment ? 0 : pf_fail(err, ENOMEM, "out of memory for a hook");
    }
    if (!r)
        r = pf_hook_program_new(&running->program, hooks->base, words ? words : shell, environment,
                                delivery->event, (int64_t)(hooks->settings->hook_timeout * 1000),
                                on_ended, running, err);
    json_decref(event);
    pf_words_free(words);
    pf_hook_environment_free(environment);
    return r;
}

/* The delivery moves into the place. */
static void begin(struct running *running, struct pf_delivery *from)
{
    struct pf_hooks *hooks = running->hooks;
    struct pf_delivery *delivery = malloc(sizeof(*delivery));
    struct pf_error err = {0};
    if (!delivery)
        return; /* it stays due */
    *delivery = *from;
    *from = (struct pf_delivery){0};
    running->delivery = (struct pf_delivery_list){.items = delivery, .count = 1};
    running->taken = true;
    int r = 0;
    struct pf_hook_target *target = pf_hook_targets_find(&hooks->targets, delivery);
    if (!target) {
        note(running, PF_DELIVERY_GIVEN_UP, false, pf_wall_ms(), "it is no longer configured");
        return;
    }
    pf_hook_targets_begun(&hooks->targets, target);
    if (pf_settings_is_url(delivery->target))
        r = pf_hook_post_new(&running->post, hooks->poster, delivery->target, delivery->id,
                             delivery->tries + 1, delivery->event,
                             (int64_t)(hooks->settings->hook_timeout * 1000), on_ended, running,
                             &err);
    else
        r = run_program(running, &err);
    if (r < 0) {
        struct pf_hook_outcome outcome = {0};
        snprintf(outcome.text, sizeof(outcome.text), "%.511s", err.text);
        on_ended(&outcome, running);
        return;
    }
    announce(hooks, delivery);
}

static struct running *free_place(struct pf_hooks *hooks)
{
    for (size_t i = 0; i < hooks->slots; i++)
        if (!hooks->running[i].taken)
            return &hooks->running[i];
    return NULL;
}

static size_t places_of(const struct pf_hooks *hooks, const char *target)
{
    size_t places = 0;
    for (size_t i = 0; i < hooks->slots; i++)
        places +=
            hooks->running[i].taken && !strcmp(hooks->running[i].delivery.items[0].target, target);
    return places;
}

/* The one to begin: to a target that has not all the places it may have, and of these to the one that
 * waits longest for its turn. NULL: none. */
static struct pf_delivery *choose(struct pf_hooks *hooks, const struct pf_delivery_list *due)
{
    size_t share = pf_hook_targets_share(&hooks->targets, hooks->slots, hooks->stopping);
    struct pf_delivery *chosen = NULL;
    uint64_t chosen_begun = 0;
    for (size_t i = 0; i < due->count; i++) {
        struct pf_delivery *delivery = &due->items[i];
        if (!delivery->target || find_running(hooks, delivery->number) ||
            places_of(hooks, delivery->target) >= share)
            continue;
        const struct pf_hook_target *target = pf_hook_targets_find(&hooks->targets, delivery);
        uint64_t begun = target ? target->begun : 0;
        if (!chosen || begun < chosen_begun) {
            chosen = delivery;
            chosen_begun = begun;
        }
    }
    return chosen;
}

static void journal_trouble(struct pf_hooks *hooks, const struct pf_error *err)
{
    if (!hooks->journal_trouble)
        pf_log_error("what hooks are due cannot be read: %s; it is tried again", err->text);
    hooks->journal_trouble = true;
    pf_timer_set(hooks->turn, JOURNAL_WAIT_MS);
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    struct pf_hooks *hooks = context;
    struct pf_delivery_list due = {0};
    struct pf_error err = {0};
    struct running *place = free_place(hooks);
    int64_t now_ms = pf_wall_ms(), next_ms = INT64_MAX;
    (void)fd, (void)what;
    if (!place || hooks->given_up)
        return;
    /* Twice, since those that run are among them. on_stop is behind all that waits. */
    int r =
        pf_journal_deliveries_due(hooks->journal, now_ms, PAUSE_MOST_MS,
                                  hooks->stopping ? "on_stop" : NULL, 2 * hooks->slots, &due, &err);
    if (!r)
        r = pf_journal_deliveries_next(hooks->journal, now_ms, &next_ms, &err);
    if (r < 0) {
        pf_deliveries_free(&due);
        journal_trouble(hooks, &err);
        return;
    }
    hooks->journal_trouble = false;
    struct pf_delivery *next;
    while ((place = free_place(hooks)) && (next = choose(hooks, &due))) {
        begin(place, next);
        if (place->taken)
            continue;
        next_ms = now_ms + JOURNAL_WAIT_MS; /* no memory: it stays due */
        break;
    }
    pf_deliveries_free(&due);
    if (next_ms != INT64_MAX)
        pf_timer_set(hooks->turn, next_ms - now_ms);
}

/* ---- for the owner ---- */

static int take_secret(const struct pf_settings *settings, struct pf_secret *ret,
                       struct pf_error *err)
{
    return *settings->hook_secret_file ? pf_secret_of_file(settings->hook_secret_file, ret, err)
                                       : 0;
}

int pf_hooks_check(const struct pf_settings *settings, struct pf_error *err)
{
    struct pf_secret secret;
    int r = take_secret(settings, &secret, err);
    explicit_bzero(&secret, sizeof(secret));
    return r;
}

int pf_hooks_new(struct pf_hooks **ret, struct event_base *base, const struct pf_settings *settings,
                 struct pf_journal *journal, struct pf_ledger *ledger, struct pf_events *events,
                 struct pf_troubles *troubles, struct pf_error *err)
{
    int r = 0;
    struct pf_hooks *hooks = calloc(1, sizeof(*hooks));
    if (!hooks)
        return pf_fail(err, ENOMEM, "out of memory for hooks");
    hooks->base = base;
    hooks->settings = settings;
    hooks->journal = journal;
    hooks->ledger = ledger;
    hooks->events = events;
    hooks->troubles = troubles;
    hooks->slots = (size_t)settings->hook_parallel;
    hooks->running = calloc(hooks->slots, sizeof(*hooks->running));
    hooks->turn = evtimer_new(base, on_turn, hooks);
    if (!hooks->running || !hooks->turn)
        r = pf_fail(err, ENOMEM, "out of memory for hooks");
    if (!r)
        r = pf_hook_targets_make(&hooks->targets, settings, err);
    for (size_t i = 0; !r && i < hooks->slots; i++)
        hooks->running[i].hooks = hooks;
    if (!r)
        r = take_secret(settings, &hooks->secret, err);
    if (!r)
        r = pf_hook_poster_new(&hooks->poster, base, settings->hook_ca_file, &hooks->secret, err);
    if (r < 0) {
        pf_hooks_free(hooks);
        return r;
    }
    pf_timer_set(hooks->turn, 0);
    *ret = hooks;
    return 0;
}

bool pf_hooks_leave(struct pf_hooks *hooks)
{
    int64_t until_ms = pf_monotonic_ms() + PF_KILLED_PATIENCE_MS;
    for (size_t i = 0; hooks->running && i < hooks->slots; i++)
        if (hooks->running[i].program)
            pf_hook_program_kill(hooks->running[i].program);
    for (size_t i = 0; hooks->running && i < hooks->slots; i++) {
        struct running *running = &hooks->running[i];
        if (running->program)
            hooks->left_behind |=
                pf_hook_program_leave(running->program, running->delivery.items[0].hook, until_ms);
        vacate(running);
    }
    return hooks->left_behind;
}

struct pf_hooks *pf_hooks_free(struct pf_hooks *hooks)
{
    if (!hooks)
        return NULL;
    pf_hooks_leave(hooks);
    free(hooks->running);
    pf_hook_targets_clear(&hooks->targets);
    pf_hook_poster_free(hooks->poster);
    if (hooks->turn)
        event_free(hooks->turn);
    if (hooks->stop_limit)
        event_free(hooks->stop_limit);
    free(hooks);
    return NULL;
}

void pf_hooks_order(const struct pf_hooks *hooks, struct pf_entry *entry, const char *setting,
                    json_t *event)
{
    const struct pf_settings *settings = hooks->settings;
    entry->hook = setting;
    entry->targets = !strcmp(setting, "on_burst")     ? &settings->on_burst
                     : !strcmp(setting, "on_failure") ? &settings->on_failure
                                                      : &settings->on_stop;
    entry->event = entry->targets->count ? pf_ledger_json(event) : event;
}

void pf_hooks_committed(struct pf_hooks *hooks, const struct pf_entry *entry)
{
    struct running *running;
    if ((entry->targets && entry->targets->count && !entry->refused) ||
        entry->kind == PF_ENTRY_TELL_AGAIN) {
        pf_timer_set(hooks->turn, 0);
        pf_hook_targets_review(&hooks->targets, hooks->journal, hooks->troubles);
    }
    if (entry->kind != PF_ENTRY_TOLD || !(running = find_running(hooks, entry->delivery)))
        return;
    struct pf_delivery *delivery = &running->delivery.items[0];
    delivery->state = entry->delivery_state;
    delivery->tries += entry->tried;
    delivery->due_wall_ms = entry->due_wall_ms;
    delivery->changed_wall_ms = pf_wall_ms();
    free(delivery->error);
    delivery->error = entry->reason ? strdup(entry->reason) : NULL;
    announce(hooks, delivery);
    if (entry->tried)
        pf_hook_targets_tried(&hooks->targets, delivery, hooks->troubles);
    pf_hook_targets_review(&hooks->targets, hooks->journal, hooks->troubles);
    vacate(running);
    on_turn(-1, 0, hooks);
    check_stopped(hooks);
}

void pf_hooks_reap(struct pf_hooks *hooks)
{
    for (size_t i = 0; i < hooks->slots; i++)
        if (hooks->running[i].program && !hooks->running[i].ended)
            pf_hook_program_reap(hooks->running[i].program);
}

/* ---- stopping ---- */

static void on_stop_limit(evutil_socket_t fd, short what, void *context)
{
    struct pf_hooks *hooks = context;
    (void)fd, (void)what;
    for (size_t i = 0; i < hooks->slots; i++)
        if (hooks->running[i].taken)
            pf_log_warning("%s is not done; it is due at the next start",
                           hooks->running[i].delivery.items[0].hook);
    pf_hooks_leave(hooks);
    hooks->given_up = true;
    check_stopped(hooks);
}

void pf_hooks_stop(struct pf_hooks *hooks, void (*stopped)(void *context), void *context)
{
    hooks->stopping = true;
    hooks->stopped = stopped;
    hooks->stopped_context = context;
    if (hooks->settings->on_stop.count)
        pf_hooks_order(hooks, pf_ledger_add(hooks->ledger, PF_ENTRY_TELL), "on_stop",
                       pf_hook_event_stopping());
    pf_ledger_flush(hooks->ledger);
    on_turn(-1, 0, hooks);
    hooks->stop_limit = evtimer_new(hooks->base, on_stop_limit, hooks);
    if (hooks->stop_limit)
        pf_timer_set(hooks->stop_limit, STOP_MOST_MS);
}

bool pf_hooks_stopped(const struct pf_hooks *hooks)
{
    for (size_t i = 0; i < hooks->slots; i++)
        if (hooks->running[i].taken)
            return false;
    return true;
}

/* ---- asking ---- */

json_t *pf_hooks_list(struct pf_hooks *hooks, size_t limit, struct pf_error *err)
{
    struct pf_delivery_list recent = {0};
    if (pf_journal_deliveries_recent(hooks->journal, limit, &recent, err) < 0)
        return NULL;
    json_t *list = json_array();
    int failed = !list;
    for (size_t i = 0; !failed && i < recent.count; i++)
        failed = json_array_append_new(list, object_of(hooks, &recent.items[i]));
    pf_deliveries_free(&recent);
    if (failed) {
        json_decref(list);
        pf_fail(err, ENOMEM, "out of memory for deliveries");
        return NULL;
    }
    return list;
}

int pf_hooks_retry(struct pf_hooks *hooks, const char *id, struct pf_error *err)
{
    struct pf_delivery_list found = {0};
    int r = pf_journal_delivery(hooks->journal, id, &found, err);
    if (r < 0)
        return r;
    bool done = found.items[0].state == PF_DELIVERY_DONE;
    bool runs = find_running(hooks, found.items[0].number) != NULL;
    pf_deliveries_free(&found);
    if (done || runs)
        return pf_fail(err, EINVAL, "delivery %.40s is %s", id, done ? "done" : "running");
    struct pf_entry *entry = pf_ledger_add(hooks->ledger, PF_ENTRY_TELL_AGAIN);
    snprintf(entry->name, sizeof(entry->name), "%s", id);
    return 0;
}
