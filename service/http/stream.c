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

struct stream {
    struct stream *next;
    struct pf_streams *all;
    struct bufferevent *channel;
    struct evhttp_connection *connection;
    char burst[FILTER_CHARS], type[FILTER_CHARS]; /* "" any */
    bool behind;         /* it gets no more until it has read all that waits for it */
    uint64_t after;      /* then: the last event that it was given, or that is not for it */
    size_t behind_bytes; /* of what it has not been given since */
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

/* "id: ", "event: " and "data: ", the form of the standard (WHATWG HTML, 9.2). */
static bool put_event(const struct stream *stream, uint64_t number, const char *type,
                      const char *text, size_t text_bytes)
{
    struct evbuffer *output = bufferevent_get_output(stream->channel);
    size_t waiting = evbuffer_get_length(output);
    size_t count = text_bytes + strlen(type) + 64;
    /* One that is too large for all of it goes alone. */
    if (waiting && waiting + count > PF_STREAM_UNSENT)
        return false;
    return evbuffer_expand(output, count) == 0 &&
           evbuffer_add_printf(output, "id: %s-%llu\nevent: %s\ndata: ", stream->all->run,
                               (unsigned long long)number, type) > 0 &&
           evbuffer_add(output, text, text_bytes) == 0 && evbuffer_add(output, "\n\n", 2) == 0;
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

static void fall_behind(struct stream *stream, uint64_t after)
{
    stream->behind = true;
    stream->after = after;
    stream->behind_bytes = 0;
    stream->behind_since_ms = pf_monotonic_ms();
    /* Something must be on its way, so that its arrival is told: on_written(). */
    if (!evbuffer_get_length(bufferevent_get_output(stream->channel)))
        bufferevent_write(stream->channel, ": \n\n", 4);
}

static void give_own(struct stream *stream, const char *type, json_t *data)
{
    uint64_t last = pf_events_last(stream->all->events);
    char *text = NULL;
    if (data) {
        json_object_set_new(data, "at_ms", json_integer(pf_wall_ms()));
        text = pf_json_text(data, JSON_COMPACT);
    }
    if (!text || !put_event(stream, last, type, text, strlen(text)))
        fall_behind(stream, last);
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
    for (struct stream *stream = streams->first; stream; stream = stream->next) {
        if (!is_wanted(stream, event))
            continue;
        if (!stream->behind &&
            !put_event(stream, event->number, event->type, event->text, event->text_bytes))
            fall_behind(stream, event->number - 1);
        if (stream->behind)
            stream->behind_bytes += event->text_bytes;
    }
}

/* ---- what was missed ---- */

static bool on_missed(const struct pf_event *event, void *context)
{
    struct stream *stream = context;
    if (is_wanted(stream, event) &&
        !put_event(stream, event->number, event->type, event->text, event->text_bytes))
        return false;
    stream->after = event->number;
    return true;
}

/* More of it, as far as there is room: what was missed stays in the ring, and is no matter of the client's
 * buffer. -ENOENT: it is not there any more. */
static int give_missed(struct stream *stream)
{
    int r = pf_events_again(stream->all->events, stream->after, on_missed, stream);
    stream->behind = r == 0 && stream->after < pf_events_last(stream->all->events);
    stream->behind_bytes = 0;
    stream->behind_since_ms = pf_monotonic_ms();
    return r;
}

/* ---- one client ---- */

static void on_read(struct bufferevent *channel, void *context)
{
    struct evbuffer *input = bufferevent_get_input(channel);
    (void)context;
    evbuffer_drain(input, evbuffer_get_length(input)); /* nothing is said here */
}

/* All has been taken. Who is far behind skips to the newest state. */
static void on_written(struct bufferevent *channel, void *context)
{
    struct stream *stream = context;
    if (!stream->behind || evbuffer_get_length(bufferevent_get_output(channel)))
        return;
    if (stream->behind_bytes > PF_STREAM_BEHIND || give_missed(stream) < 0) {
        stream->behind = false;
        reset(stream, "slow");
    }
}

static void on_end(struct bufferevent *channel, short what, void *context)
{
    (void)channel, (void)what;
    close_stream(context);
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
    stream->after = strtoull(id + run + 1, &end, 10);
    if (*end || errno || give_missed(stream) < 0)
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
    int most = PF_STREAM_UNSENT; /* the kernel takes it twice */
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
