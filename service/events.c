#include "service/events.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"

/* One that is published and not told yet. */
struct item {
    struct item *next;
    struct pf_event event;
    char *type;
    json_t *data;
    char *text;
};

struct pf_events_reader {
    struct pf_events_reader *next;
    struct pf_events *events;
    void (*read)(const struct pf_event *event, void *context);
    void *context;
    uint64_t from; /* events before this one were before its time */
    bool ended;    /* to be taken out when nobody walks the list */
};

/* One that is kept: type, burst and text lie one behind the other, each with its NUL. */
struct kept {
    uint64_t number;
    uint32_t at, burst_at, text_at; /* in the ring's bytes */
    uint32_t text_bytes;
};

struct pf_events {
    struct pf_events_reader *readers;
    struct item *first, *last; /* to be told, the one that is being told among them */
    struct kept *kept;         /* a ring of PF_EVENTS_KEPT; oldest at kept_first */
    size_t kept_first, kept_count;
    char *bytes; /* a ring of PF_EVENTS_KEPT_BYTES; none lies across its end */
    size_t bytes_end;
    uint64_t number;
    bool telling;
};

int pf_events_new(struct pf_events **ret, struct pf_error *err)
{
    struct pf_events *events = calloc(1, sizeof(*events));
    if (events) {
        events->kept = malloc(PF_EVENTS_KEPT * sizeof(*events->kept));
        events->bytes = malloc(PF_EVENTS_KEPT_BYTES);
    }
    if (!events || !events->kept || !events->bytes) {
        pf_events_free(events);
        return pf_fail(err, ENOMEM, "out of memory for events");
    }
    /* Touched now, or it would come to be while the service runs, and look like a leak. */
    memset(events->kept, 0x55, PF_EVENTS_KEPT * sizeof(*events->kept));
    memset(events->bytes, 0x55, PF_EVENTS_KEPT_BYTES);
    *ret = events;
    return 0;
}

static void free_item(struct item *item)
{
    free(item->type);
    free(item->text);
    json_decref(item->data);
    free(item);
}

static void free_first(struct pf_events *events)
{
    struct item *item = events->first;
    events->first = item->next;
    if (!events->first)
        events->last = NULL;
    free_item(item);
}

struct pf_events *pf_events_free(struct pf_events *events)
{
    if (!events)
        return NULL;
    while (events->first)
        free_first(events);
    for (struct pf_events_reader *reader = events->readers, *next; reader; reader = next) {
        next = reader->next;
        free(reader);
    }
    free(events->kept);
    free(events->bytes);
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

/* ---- those that are kept ---- */

static struct kept *kept_at(const struct pf_events *events, size_t i)
{
    return &events->kept[(events->kept_first + i) % PF_EVENTS_KEPT];
}

static void forget_oldest(struct pf_events *events)
{
    events->kept_first = (events->kept_first + 1) % PF_EVENTS_KEPT;
    events->kept_count--;
}

static uint32_t put(struct pf_events *events, const char *text, size_t count)
{
    uint32_t at = (uint32_t)events->bytes_end;
    memcpy(events->bytes + at, text, count);
    events->bytes[at + count] = '\0';
    events->bytes_end += count + 1;
    return at;
}

/* Puts it behind the others; the oldest go until there is room. */
static void keep(struct pf_events *events, const struct pf_event *event)
{
    const char *burst = event->burst ? event->burst : "";
    size_t needed = strlen(event->type) + strlen(burst) + event->text_bytes + 3;
    if (needed > PF_EVENTS_KEPT_BYTES) { /* then none before it can be told again either */
        events->kept_count = 0;
        return;
    }
    if (events->kept_count == PF_EVENTS_KEPT)
        forget_oldest(events);
    if (events->bytes_end + needed > PF_EVENTS_KEPT_BYTES) {
        /* Those behind the end are the oldest: they go before it begins anew. */
        while (events->kept_count && kept_at(events, 0)->at >= events->bytes_end)
            forget_oldest(events);
        events->bytes_end = 0;
    }
    while (events->kept_count && kept_at(events, 0)->at >= events->bytes_end &&
           kept_at(events, 0)->at < events->bytes_end + needed)
        forget_oldest(events);
    struct kept *kept = kept_at(events, events->kept_count++);
    kept->number = event->number;
    kept->at = put(events, event->type, strlen(event->type));
    kept->burst_at = put(events, burst, strlen(burst));
    kept->text_at = put(events, event->text, event->text_bytes);
    kept->text_bytes = (uint32_t)event->text_bytes;
}

static struct pf_event event_of(const struct pf_events *events, const struct kept *kept)
{
    const char *burst = events->bytes + kept->burst_at;
    return (struct pf_event){.number = kept->number,
                             .type = events->bytes + kept->at,
                             .burst = *burst ? burst : NULL,
                             .text = events->bytes + kept->text_at,
                             .text_bytes = kept->text_bytes};
}

/* ---- telling ---- */

static void tell(struct pf_events *events)
{
    if (events->telling)
        return;
    events->telling = true;
    while (events->first) {
        const struct pf_event *event = &events->first->event;
        for (struct pf_events_reader *reader = events->readers; reader; reader = reader->next)
            if (!reader->ended && event->number >= reader->from)
                reader->read(event, reader->context);
        keep(events, event);
        free_first(events);
    }
    events->telling = false;
    take_out_ended(events);
}

/* The data is consumed. */
static struct item *make(struct pf_events *events, const char *type, json_t *data)
{
    struct item *item = calloc(1, sizeof(*item));
    if (item) {
        item->data = data;
        item->type = strdup(type);
        /* What has 9 digits where it is measured is not told with 17. */
        item->text = pf_json_text(data, JSON_COMPACT | JSON_REAL_PRECISION(15));
    } else {
        json_decref(data);
    }
    if (!item || !item->type || !item->text) {
        if (item)
            free_item(item);
        return NULL;
    }
    const char *burst = json_string_value(json_object_get(item->data, "burst"));
    item->event = (struct pf_event){
        .number = ++events->number,
        .type = item->type,
        .burst = burst,
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
                    bool (*read)(const struct pf_event *event, void *context), void *context)
{
    uint64_t expected = after + 1;
    if (after > events->number)
        return -ENOENT;
    for (size_t i = 0; i < events->kept_count; i++)
        expected += kept_at(events, i)->number == expected;
    for (struct item *item = events->first; item; item = item->next)
        expected += item->event.number == expected;
    if (expected != events->number + 1)
        return -ENOENT;
    for (size_t i = 0; i < events->kept_count; i++) {
        struct pf_event event = event_of(events, kept_at(events, i));
        if (event.number > after && !read(&event, context))
            return 0;
    }
    for (struct item *item = events->first; item; item = item->next) {
        struct pf_event event = item->event;
        event.data = NULL;
        if (event.number > after && !read(&event, context))
            return 0;
    }
    return 0;
}
