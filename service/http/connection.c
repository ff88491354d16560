#include "service/http/connection.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/time.h"
#include "service/http/guard.h"
#include "service/timer.h"

#define SWEEP_MS     250
#define HEAD_MS      30000 /* in which the head of a request is to come */
#define LINGER_S     5
#define LINGER_BYTES (256u << 10) /* that one who was refused may still send */
#define AHEAD_BYTES  (128u << 10) /* that are read before their turn: more than a request may be */

struct connection {
    struct connection *next;
    struct pf_connections *all;
    struct bufferevent *channel; /* a reference of ours */
    struct evbuffer_cb_entry *watch;
    struct pf_guard guard;
    int64_t head_since_ms; /* 0: no head is being read */
    bool asked;            /* a request came whole, or its head */
    bool released, refused, ended;
    size_t heard_bytes;         /* since it was refused */
    bufferevent_event_cb event; /* evhttp's, as it was refused */
    void *context;
};

struct pf_connections {
    struct event_base *base;
    struct event *sweep;
    struct connection *first; /* the newest */
    size_t count, most;
    bool (*has_request)(const struct bufferevent *channel, const void *context);
    const void *context;
};

static void end(struct connection *connection, short what)
{
    if (connection->ended)
        return;
    connection->ended = true;
    /* As if the client had gone away: evhttp frees what is its own. */
    connection->event(connection->channel, what, connection->context);
}

/* ---- one that is refused ---- */

static const char *phrase_of(int status)
{
    switch (status) {
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Bad Request";
    }
}

static void on_refused_read(struct bufferevent *channel, void *context)
{
    struct connection *connection = context;
    struct evbuffer *input = bufferevent_get_input(channel);
    connection->heard_bytes += evbuffer_get_length(input);
    evbuffer_drain(input, evbuffer_get_length(input));
    if (connection->heard_bytes > LINGER_BYTES)
        end(connection, BEV_EVENT_EOF | BEV_EVENT_READING);
}

static void on_refused_written(struct bufferevent *channel, void *context)
{
    (void)context;
    /* What it still sends is read, lest a reset take our answer away before it is read there. */
    shutdown(bufferevent_getfd(channel), SHUT_WR);
}

static void on_refused_event(struct bufferevent *channel, short what, void *context)
{
    (void)channel, (void)what;
    end(context, BEV_EVENT_EOF | BEV_EVENT_READING);
}

static bool is_replying(const struct connection *connection)
{
    const struct pf_connections *all = connection->all;
    return evbuffer_get_length(bufferevent_get_output(connection->channel)) ||
           all->has_request(connection->channel, all->context);
}

/* why: static text, or NULL: it is closed, and told nothing. */
static void refuse(struct connection *connection, int status, const char *why)
{
    bufferevent_data_cb read, written;
    struct timeval linger = {.tv_sec = LINGER_S};
    char body[256], head[512];
    connection->refused = true;
    bufferevent_getcb(connection->channel, &read, &written, &connection->event,
                      &connection->context);
    bufferevent_setcb(connection->channel, on_refused_read, on_refused_written, on_refused_event,
                      connection);
    /* What we said would be taken for a part of the reply that is under way, and evhttp, whose turn comes with the rest
     * of it, would go on with the connection as if we had said nothing. */
    if (!why || is_replying(connection)) {
        end(connection, BEV_EVENT_EOF | BEV_EVENT_READING);
        return;
    }
    bufferevent_set_timeouts(connection->channel, &linger, &linger);
    int length = snprintf(body, sizeof(body),
                          "{\"error\":{\"status\":%d,\"code\":\"refused\",\"message\":\"%s\"}}\n",
                          status, why);
    int head_length = snprintf(head, sizeof(head),
                               "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                               "Content-Length: %d\r\nConnection: close\r\n\r\n",
                               status, phrase_of(status), length);
    bufferevent_enable(connection->channel, EV_READ | EV_WRITE);
    bufferevent_write(connection->channel, head, (size_t)head_length);
    bufferevent_write(connection->channel, body, (size_t)length);
}

/* ---- the guard at work ---- */

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *context)
{
    struct connection *connection = context;
    struct evbuffer_iovec pieces[16];
    struct evbuffer_ptr from;
    if (!info->n_added || connection->released || connection->refused || connection->guard.status ||
        evbuffer_ptr_set(input, &from, evbuffer_get_length(input) - info->n_added,
                         EVBUFFER_PTR_SET) < 0)
        return;
    int count = evbuffer_peek(input, -1, &from, pieces, 16);
    for (int i = 0; i < count && i < 16; i++)
        pf_guard_feed(&connection->guard, pieces[i].iov_base, pieces[i].iov_len);
    if (count > 16 && !connection->guard.status) {
        connection->guard.status = 400;
        connection->guard.why = "the request came in too many pieces";
    }
    if (!connection->guard.in_head) {
        connection->asked = true;
        connection->head_since_ms = 0;
    } else if (!connection->head_since_ms)
        connection->head_since_ms = pf_monotonic_ms();
    if (connection->guard.status)
        refuse(connection, connection->guard.status, connection->guard.why);
}

struct bufferevent *pf_connections_make(struct event_base *base, void *context)
{
    struct pf_connections *all = context;
    struct bufferevent *channel = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct connection *connection = calloc(1, sizeof(*connection));
    if (channel && connection)
        connection->watch = evbuffer_add_cb(bufferevent_get_input(channel), on_input, connection);
    if (!channel || !connection || !connection->watch) {
        if (channel)
            bufferevent_free(channel);
        free(connection);
        return NULL; /* evhttp makes one of its own; its first request finds no connection of ours */
    }
    bufferevent_setwatermark(channel, EV_READ, 0, AHEAD_BYTES);
    pf_guard_init(&connection->guard);
    bufferevent_incref(channel);
    connection->channel = channel;
    connection->all = all;
    connection->next = all->first;
    all->first = connection;
    if (all->count++ == 0)
        pf_timer_set(all->sweep, SWEEP_MS);
    return channel;
}

/* Whether evhttp, or who took it over, has let go of it. */
static bool is_left(const struct connection *connection)
{
    bufferevent_data_cb read, written;
    bufferevent_event_cb event;
    void *context;
    bufferevent_getcb(connection->channel, &read, &written, &event, &context);
    return !read && !written && !event;
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
    struct pf_connections *all = context;
    int64_t now_ms = pf_monotonic_ms();
    size_t staying = 0;
    (void)fd, (void)what;
    for (const struct connection *connection = all->first; connection;
         connection = connection->next)
        staying += !connection->refused && !is_left(connection);
    for (struct connection **at = &all->first, *connection; (connection = *at);) {
        bool late = connection->head_since_ms && now_ms > connection->head_since_ms + HEAD_MS;
        if ((late || staying > all->most) && !connection->refused && !connection->released &&
            !is_left(connection)) {
            /* Who was answered and asks nothing more takes a refusal for an answer to what it asks next;
             * closed, the connection is made again. */
            refuse(connection, 503,
                   late                ? "the head of the request took too long"
                   : connection->asked ? NULL
                                       : "there are too many connections");
            staying--;
        }
        if (!is_left(connection)) {
            at = &connection->next;
            continue;
        }
        *at = connection->next;
        all->count--;
        evbuffer_remove_cb_entry(bufferevent_get_input(connection->channel), connection->watch);
        bufferevent_decref(connection->channel);
        pf_guard_end(&connection->guard);
        free(connection);
    }
    if (all->first)
        pf_timer_set(all->sweep, SWEEP_MS);
}

static struct connection *find(const struct pf_connections *connections,
                               const struct bufferevent *channel)
{
    struct connection *connection = connections->first;
    while (connection && connection->channel != channel)
        connection = connection->next;
    return connection;
}

bool pf_connections_have(const struct pf_connections *connections,
                         const struct bufferevent *channel)
{
    return find(connections, channel) != NULL;
}

void pf_connections_release(struct pf_connections *connections, struct bufferevent *channel)
{
    struct connection *connection = find(connections, channel);
    if (connection)
        connection->released = true;
}

size_t pf_connections_count(const struct pf_connections *connections)
{
    return connections->count;
}

int pf_connections_new(struct pf_connections **ret, struct event_base *base, size_t most,
                       bool (*has_request)(const struct bufferevent *channel, const void *context),
                       const void *context, struct pf_error *err)
{
    struct pf_connections *all = calloc(1, sizeof(*all));
    if (all)
        all->sweep = evtimer_new(base, on_sweep, all);
    if (!all || !all->sweep) {
        free(all);
        return pf_fail(err, ENOMEM, "out of memory for connections");
    }
    all->base = base;
    all->most = most;
    all->has_request = has_request;
    all->context = context;
    *ret = all;
    return 0;
}

struct pf_connections *pf_connections_free(struct pf_connections *all)
{
    if (!all)
        return NULL;
    on_sweep(-1, 0, all); /* evhttp has freed them all */
    while (all->first) {
        struct connection *connection = all->first;
        all->first = connection->next;
        evbuffer_remove_cb_entry(bufferevent_get_input(connection->channel), connection->watch);
        bufferevent_decref(connection->channel);
        pf_guard_end(&connection->guard);
        free(connection);
    }
    event_free(all->sweep);
    free(all);
    return NULL;
}
