#include "service/http/stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "config/base/jsonl.h"
#include "config/base/time.h"
#include "config/base/version.h"
#include "service/timer.h"

#define PING_MS      15000
#define STALL_MS     120000 /* one that has taken nothing for so long is closed */
#define FILTER_CHARS 128

/* An event as it goes over the wire, for all clients. */
struct shared {
    int users;
    size_t count;
    char bytes[];
};

struct stream {
    struct stream *next;
    struct pf_streams *all;
    struct bufferevent *channel;
    struct evhttp_connection *connection;
    char burst[FILTER_CHARS], type[FILTER_CHARS]; /* "" any */
    bool behind;                                  /* it is told nothing until it has read all */
    int64_t behind_since_ms;
};

struct pf_streams {
    struct event_base *base;
    struct pf_events *events;
    struct pf_events_reader *reader;
    struct event *ping;
    struct stream *first;
    size_t count;
    char run[17];
};

/* ---- the wire ---- */

static void release(const void *bytes, size_t count, void *context)
{
    struct shared *shared = context;
    (void)bytes, (void)count;
    if (--shared->users == 0)
        free(shared);
}

static struct shared *format_event(const struct pf_streams *streams, uint64_t number,
                                   const char *type, const char *text, size_t text_bytes)
{
    size_t room = text_bytes + strlen(type) + 96;
    struct shared *shared = malloc(sizeof(*shared) + room);
    if (!shared)
        return NULL;
    shared->users = 1;
    int head = snprintf(shared->bytes, room, "id: %s-%llu\nevent: %s\ndata: ", streams->run,
                        (unsigned long long)number, type);
    memcpy(shared->bytes + head, text, text_bytes);
    memcpy(shared->bytes + head + text_bytes, "\n\n", 2);
    shared->count = (size_t)head + text_bytes + 2;
    return shared;
}

static void close_stream(struct stream *stream)
{
    struct stream **at = &stream->all->first;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    stream->all->count--;
    evhttp_connection_free(stream->connection); /* with the channel and what it still holds */
    free(stream);
}

static void fall_behind(struct stream *stream)
{
    stream->behind = true;
    stream->behind_since_ms = pf_monotonic_ms();
    /* Something must be on its way, so that its arrival is told: on_written(). */
    if (!evbuffer_get_length(bufferevent_get_output(stream->channel)))
        bufferevent_write(stream->channel, ": \n\n", 4);
}

/* False: it is behind. */
static bool give(struct stream *stream, struct shared *shared)
{
    struct evbuffer *output = bufferevent_get_output(stream->channel);
    if (stream->behind)
        return false;
    if (!shared || evbuffer_get_length(output) + shared->count > PF_STREAM_UNSENT ||
        evbuffer_add_reference(output, shared->bytes, shared->count, release, shared) < 0) {
        fall_behind(stream);
        return false;
    }
    shared->users++;
    return true;
}

static void give_own(struct stream *stream, const char *type, json_t *data)
{
    char *text = NULL;
    if (data) {
        json_object_set_new(data, "at_ms", json_integer(pf_wall_ms()));
        text = pf_json_text(data, JSON_COMPACT);
    }
    struct shared *shared = text ? format_event(stream->all, pf_events_last(stream->all->events),
                                                type, text, strlen(text))
                                 : NULL;
    give(stream, shared);
    if (shared)
        release(NULL, 0, shared);
    free(text);
    json_decref(data);
}

static void reset(struct stream *stream, const char *reason)
{
    give_own(stream, "reset", json_pack("{s:s}", "reason", reason));
}

static bool is_wanted(const struct stream *stream, const struct pf_event *event)
{
    return (!stream->type[0] || !strncmp(event->type, stream->type, strlen(stream->type))) &&
           (!stream->burst[0] || (event->burst && !strcmp(event->burst, stream->burst)));
}

static void on_event(const struct pf_event *event, void *context)
{
    struct pf_streams *streams = context;
    struct shared *shared = NULL;
    for (struct stream *stream = streams->first; stream; stream = stream->next) {
        if (stream->behind || !is_wanted(stream, event))
            continue;
        if (!shared)
            shared =
                format_event(streams, event->number, event->type, event->text, event->text_bytes);
        give(stream, shared);
    }
    if (shared)
        release(NULL, 0, shared);
}

/* ---- one client ---- */

static void on_read(struct bufferevent *channel, void *context)
{
    struct evbuffer *input = bufferevent_get_input(channel);
    (void)context;
    evbuffer_drain(input, evbuffer_get_length(input)); /* nothing is said here */
}

/* All has been taken. */
static void on_written(struct bufferevent *channel, void *context)
{
    struct stream *stream = context;
    if (!stream->behind || evbuffer_get_length(bufferevent_get_output(channel)))
        return;
    stream->behind = false;
    reset(stream, "slow");
}

static void on_end(struct bufferevent *channel, short what, void *context)
{
    (void)channel, (void)what;
    close_stream(context);
}

static void on_missed(const struct pf_event *event, void *context)
{
    struct stream *stream = context;
    if (stream->behind || !is_wanted(stream, event))
        return;
    struct shared *shared =
        format_event(stream->all, event->number, event->type, event->text, event->text_bytes);
    give(stream, shared);
    if (shared)
        release(NULL, 0, shared);
}

/* Tells what was missed since the event of this id; "": nothing was. */
static void catch_up(struct stream *stream, const char *id)
{
    struct pf_streams *streams = stream->all;
    size_t run = strlen(streams->run);
    char *end;
    if (!*id)
        return;
    if (strncmp(id, streams->run, run) != 0 || id[run] != '-') {
        reset(stream, "restarted");
        return;
    }
    errno = 0;
    unsigned long long number = strtoull(id + run + 1, &end, 10);
    if (*end || errno || pf_events_again(streams->events, number, on_missed, stream) < 0)
        reset(stream, "gone");
}

void pf_streams_add(struct pf_streams *streams, struct pf_http_request *request)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                               "X-Accel-Buffering: no\r\nConnection: close\r\n\r\n";
    const char *after = pf_http_header(request, "Last-Event-ID");
    const char *burst = pf_http_query(request, "burst"), *type = pf_http_query(request, "type");
    char id[64], last[64];
    int most = PF_STREAM_UNSENT / 2; /* the kernel takes it twice */
    if (streams->count >= PF_STREAMS_MAX) {
        pf_http_reply_error(request, 503, "too_many", "too many clients listen to events");
        return;
    }
    if (pf_http_is_head(request)) {
        pf_http_reply_text(request, 200, "text/event-stream", "");
        return;
    }
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream) {
        pf_http_reply_error(request, 503, "memory", "out of memory");
        return;
    }
    after = after ? after : pf_http_query(request, "after");
    snprintf(id, sizeof(id), "%s", after ? after : "");
    snprintf(stream->burst, sizeof(stream->burst), "%s", burst ? burst : "");
    snprintf(stream->type, sizeof(stream->type), "%s", type ? type : "");
    stream->channel = pf_http_take_over(request, &stream->connection);
    if (!stream->channel) {
        free(stream);
        return;
    }
    stream->all = streams;
    stream->next = streams->first;
    streams->first = stream;
    streams->count++;
    setsockopt(bufferevent_getfd(stream->channel), SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
    bufferevent_setcb(stream->channel, on_read, on_written, on_end, stream);
    bufferevent_enable(stream->channel, EV_READ | EV_WRITE);
    bufferevent_write(stream->channel, head, sizeof(head) - 1);
    give_own(stream, "hello",
             json_pack("{s:s, s:s}", "version", pf_version(), "last",
                       pf_streams_last_id(streams, last)));
    catch_up(stream, id);
}

/* Connections that are gone without a word are found by writing to them. */
static void on_ping(evutil_socket_t fd, short what, void *context)
{
    struct pf_streams *streams = context;
    int64_t now_ms = pf_monotonic_ms();
    (void)fd, (void)what;
    for (struct stream *stream = streams->first, *next; stream; stream = next) {
        next = stream->next;
        if (!stream->behind)
            bufferevent_write(stream->channel, ": \n\n", 4);
        else if (now_ms > stream->behind_since_ms + STALL_MS)
            close_stream(stream);
    }
    pf_timer_set(streams->ping, PING_MS);
}

size_t pf_streams_count(const struct pf_streams *streams)
{
    return streams->count;
}

const char *pf_streams_last_id(const struct pf_streams *streams, char to[64])
{
    snprintf(to, 64, "%s-%llu", streams->run, (unsigned long long)pf_events_last(streams->events));
    return to;
}

int pf_streams_new(struct pf_streams **ret, struct event_base *base, struct pf_events *events,
                   struct pf_error *err)
{
    struct pf_streams *streams = calloc(1, sizeof(*streams));
    uint64_t run = (uint64_t)pf_wall_ms();
    if (streams) {
        if (getrandom(&run, sizeof(run), GRND_NONBLOCK) < 0)
            run = (uint64_t)pf_wall_ms();
        snprintf(streams->run, sizeof(streams->run), "%012llx",
                 (unsigned long long)(run & 0xffffffffffff));
        streams->base = base;
        streams->events = events;
        streams->ping = evtimer_new(base, on_ping, streams);
        streams->reader = pf_events_read(events, on_event, streams);
    }
    if (!streams || !streams->ping || !streams->reader) {
        pf_streams_free(streams);
        return pf_fail(err, ENOMEM, "out of memory for events");
    }
    pf_timer_set(streams->ping, PING_MS);
    *ret = streams;
    return 0;
}

struct pf_streams *pf_streams_free(struct pf_streams *streams)
{
    if (!streams)
        return NULL;
    pf_events_stop(streams->reader);
    while (streams->first)
        close_stream(streams->first);
    if (streams->ping)
        event_free(streams->ping);
    free(streams);
    return NULL;
}
