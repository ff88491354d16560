#include "service/events.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"

struct item {
    struct item *next;
    struct pf_event event;
    char *type, *burst, *text;
    json_t *data; /* until it has been told: a tree takes many times the memory of its text */
};

struct pf_events_reader {
    struct pf_events_reader *next;
    struct pf_events *events;
    void (*read)(const struct pf_event *event, void *context);
    void *context;
    uint64_t from; /* events before this one were before its time */
    bool ended;    /* to be taken out when nobody walks the list */
};

struct pf_events {
    struct pf_events_reader *readers;
    struct item *first, *last; /* those that are kept, oldest first */
    struct item *told; /* the last of them that readers have been told; NULL: none is kept */
    size_t count, bytes;
    uint64_t number;
    bool telling;
};

int pf_events_new(struct pf_events **ret, struct pf_error *err)
{
    struct pf_events *events = calloc(1, sizeof(*events));
    if (!events)
        return pf_fail(err, ENOMEM, "out of memory for events");
    *ret = events;
    return 0;
}

static void free_item(struct item *item)
{
    free(item->type);
    free(item->burst);
    free(item->text);
    json_decref(item->data);
    free(item);
}

static void forget_first(struct pf_events *events)
{
    struct item *item = events->first;
    events->first = item->next;
    if (!events->first)
        events->last = NULL;
    if (events->told == item)
        events->told = NULL;
    events->count--;
    events->bytes -= item->event.text_bytes;
    free_item(item);
}

struct pf_events *pf_events_free(struct pf_events *events)
{
    if (!events)
        return NULL;
    while (events->first)
        forget_first(events);
    for (struct pf_events_reader *reader = events->readers, *next; reader; reader = next) {
        next = reader->next;
        free(reader);
    }
    free(events);
    return NULL;
}

static void take_out_ended(struct pf_events *events)
{
    for (struct pf_events_reader **at = &events->readers; *at;) {
        struct pf_events_reader *reader = *at;
        if (!reader->ended) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        free(reader);
    }
}

/* What has been told may go. */
static void prune(struct pf_events *events)
{
    while (events->first && events->first != events->told &&
           (events->count > PF_EVENTS_KEPT || events->bytes > PF_EVENTS_KEPT_BYTES))
        forget_first(events);
}

static void tell(struct pf_events *events)
{
    struct item *item;
    if (events->telling)
        return;
    events->telling = true;
    while ((item = events->told ? events->told->next : events->first)) {
        events->told = item;
        for (struct pf_events_reader *reader = events->readers; reader; reader = reader->next)
            if (!reader->ended && item->event.number >= reader->from)
                reader->read(&item->event, reader->context);
        json_decref(item->data);
        item->data = NULL;
        item->event.data = NULL;
        prune(events);
    }
    events->telling = false;
    take_out_ended(events);
}

/* The data is consumed. */
static struct item *make(struct pf_events *events, const char *type, json_t *data)
{
    struct item *item = calloc(1, sizeof(*item));
    const char *burst = json_string_value(json_object_get(data, "burst"));
    if (item) {
        item->data = data;
        item->type = strdup(type);
        item->burst = burst ? strdup(burst) : NULL;
        item->text = pf_json_text(data, JSON_COMPACT);
    } else {
        json_decref(data);
    }
    if (!item || !item->type || !item->text || (burst && !item->burst)) {
        if (item)
            free_item(item);
        return NULL;
    }
    item->event = (struct pf_event){
        .number = ++events->number,
        .type = item->type,
        .burst = item->burst,
        .data = item->data,
        .text = item->text,
        .text_bytes = strlen(item->text),
    };
    return item;
}

void pf_events_publish(struct pf_events *events, const char *type, json_t *data)
{
    if (!events || !data) {
        json_decref(data);
        return;
    }
    json_object_set_new(data, "at_ms", json_integer(pf_wall_ms()));
    struct item *item = make(events, type, data);
    if (!item) {
        /* Whoever counts them sees that one is missing. */
        events->number++;
        pf_log_error("out of memory: an event (%s) is lost", type);
        return;
    }
    if (events->last)
        events->last->next = item;
    else
        events->first = item;
    events->last = item;
    events->count++;
    events->bytes += item->event.text_bytes;
    tell(events);
}

struct pf_events_reader *pf_events_read(struct pf_events *events,
                                        void (*read)(const struct pf_event *event, void *context),
                                        void *context)
{
    struct pf_events_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return NULL;
    *reader = (struct pf_events_reader){events->readers,    events, read, context,
                                        events->number + 1, false};
    events->readers = reader;
    return reader;
}

struct pf_events_reader *pf_events_stop(struct pf_events_reader *reader)
{
    if (reader) {
        reader->ended = true;
        if (!reader->events->telling)
            take_out_ended(reader->events);
    }
    return NULL;
}

uint64_t pf_events_last(const struct pf_events *events)
{
    return events->number;
}

int pf_events_again(struct pf_events *events, uint64_t after,
                    void (*read)(const struct pf_event *event, void *context), void *context)
{
    uint64_t expected = after + 1;
    if (after > events->number)
        return -ENOENT;
    for (struct item *item = events->first; item; item = item->next) {
        if (item->event.number <= after)
            continue;
        if (item->event.number != expected)
            return -ENOENT;
        expected++;
    }
    if (expected != events->number + 1)
        return -ENOENT;
    for (struct item *item = events->first; item; item = item->next)
        if (item->event.number > after)
            read(&item->event, context);
    return 0;
}
