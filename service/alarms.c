#include "service/alarms.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"
#include "config/base/time.h"
#include "service/hook_event.h"
#include "service/timer.h"

struct alarm {
    struct alarm *next;
    char *id;
    json_t *trouble;                     /* as it is, or was last */
    bool on, told;                       /* told: this time */
    int64_t since_ms, ended_ms, told_ms; /* CLOCK_MONOTONIC; 0 never */
    bool awaited;                        /* the last that was told of it is that it is there */
    int times; /* that it came since it was told, without a long rest between */
};

struct pf_alarms {
    const struct pf_settings *settings;
    struct pf_hooks *hooks;
    struct pf_ledger *ledger;
    struct pf_events_reader *reader;
    struct event *timer;
    struct alarm *first;
};

static int64_t after_ms(const struct pf_alarms *alarms)
{
    return (int64_t)(alarms->settings->trouble_after * 1000);
}

static int64_t pause_ms(const struct pf_alarms *alarms)
{
    return (int64_t)(alarms->settings->trouble_pause * 1000);
}

/* When it, or its end, is to be told, if nothing changes; INT64_MAX: not. */
static int64_t due_ms(const struct pf_alarms *alarms, const struct alarm *alarm)
{
    if (!alarm->on)
        return alarm->awaited ? alarm->ended_ms + after_ms(alarms) : INT64_MAX;
    if (alarm->told)
        return INT64_MAX;
    int64_t due = alarm->since_ms + (alarm->times < PF_ALARM_TIMES ? after_ms(alarms) : 0);
    int64_t earliest = alarm->told_ms ? alarm->told_ms + pause_ms(alarms) : due;
    return due > earliest ? due : earliest;
}

static void tell(struct pf_alarms *alarms, struct alarm *alarm, int64_t now_ms)
{
    struct pf_entry *entry = pf_ledger_add(alarms->ledger, PF_ENTRY_TELL);
    pf_hooks_order(alarms->hooks, entry, "on_failure",
                   alarm->on ? pf_hook_event_degraded(alarm->trouble, alarm->times)
                             : pf_hook_event_recovered(alarm->trouble));
    alarm->awaited = alarm->on;
    if (!alarm->on)
        return;
    alarm->told = true;
    alarm->told_ms = now_ms;
    alarm->times = 0;
}

static void advance(struct pf_alarms *alarms)
{
    int64_t now_ms = pf_monotonic_ms(), next_ms = INT64_MAX;
    for (struct alarm *alarm = alarms->first; alarm; alarm = alarm->next) {
        if (due_ms(alarms, alarm) <= now_ms)
            tell(alarms, alarm, now_ms);
        int64_t due = due_ms(alarms, alarm);
        next_ms = due < next_ms ? due : next_ms;
    }
    if (next_ms == INT64_MAX)
        event_del(alarms->timer);
    else
        pf_timer_set(alarms->timer, next_ms - now_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    advance(context);
}

/* Their ids are a fixed set, and one for each source. */
static struct alarm *find(struct pf_alarms *alarms, const char *id)
{
    struct alarm *alarm = alarms->first;
    while (alarm && strcmp(alarm->id, id) != 0)
        alarm = alarm->next;
    if (alarm)
        return alarm;
    alarm = calloc(1, sizeof(*alarm));
    if (alarm)
        alarm->id = strdup(id);
    if (!alarm || !alarm->id) {
        free(alarm);
        return NULL;
    }
    alarm->next = alarms->first;
    return alarms->first = alarm;
}

static void take(struct pf_alarms *alarms, bool on, json_t *trouble)
{
    const char *id = json_string_value(json_object_get(trouble, "id"));
    int64_t now_ms = pf_monotonic_ms();
    if (!id || !json_is_true(json_object_get(trouble, "degrades")))
        return;
    struct alarm *alarm = find(alarms, id);
    json_t *copy = alarm ? json_deep_copy(trouble) : NULL;
    if (!copy) {
        pf_log_error("out of memory: a trouble is not told to on_failure");
        return;
    }
    json_decref(alarm->trouble);
    alarm->trouble = copy;
    if (on && !alarm->on) {
        if (alarm->ended_ms && now_ms - alarm->ended_ms > pause_ms(alarms))
            alarm->times = 0;
        alarm->times++;
        alarm->since_ms = now_ms;
        alarm->told = false;
    }
    if (!on)
        alarm->ended_ms = now_ms;
    alarm->on = on;
}

static void on_event(const struct pf_event *event, void *context)
{
    if (strcmp(event->type, "trouble") != 0)
        return;
    take(context, json_is_true(json_object_get(event->data, "on")),
         json_object_get(event->data, "trouble"));
    advance(context);
}

int pf_alarms_new(struct pf_alarms **ret, struct event_base *base,
                  const struct pf_settings *settings, struct pf_events *events,
                  const struct pf_troubles *troubles, struct pf_hooks *hooks,
                  struct pf_ledger *ledger, struct pf_error *err)
{
    *ret = NULL;
    if (!settings->on_failure.count)
        return 0;
    struct pf_alarms *alarms = calloc(1, sizeof(*alarms));
    if (alarms) {
        alarms->settings = settings;
        alarms->hooks = hooks;
        alarms->ledger = ledger;
        alarms->timer = evtimer_new(base, on_timer, alarms);
        alarms->reader = pf_events_read(events, on_event, alarms);
    }
    if (!alarms || !alarms->timer || !alarms->reader) {
        pf_alarms_free(alarms);
        return pf_fail(err, ENOMEM, "out of memory for on_failure");
    }
    size_t i;
    json_t *all = pf_troubles_json(troubles), *trouble;
    json_array_foreach(all, i, trouble)
    {
        take(alarms, true, trouble);
    }
    json_decref(all);
    advance(alarms);
    *ret = alarms;
    return 0;
}

void pf_alarms_stop(struct pf_alarms *alarms)
{
    if (!alarms)
        return;
    alarms->reader = pf_events_stop(alarms->reader);
    event_del(alarms->timer);
}

struct pf_alarms *pf_alarms_free(struct pf_alarms *alarms)
{
    if (!alarms)
        return NULL;
    pf_events_stop(alarms->reader);
    if (alarms->timer)
        event_free(alarms->timer);
    for (struct alarm *alarm = alarms->first, *next; alarm; alarm = next) {
        next = alarm->next;
        free(alarm->id);
        json_decref(alarm->trouble);
        free(alarm);
    }
    free(alarms);
    return NULL;
}
