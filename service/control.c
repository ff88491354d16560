#include "service/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/local_socket.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "service/asking.h"

#define CLIENTS_MAX 16

struct client {
    struct client *next;
    struct pf_control *control;
    struct bufferevent *channel;
    struct pf_jsonl_reader *reader;
    int64_t id;  /* of what it has asked; 0 nothing yet */
    bool ending; /* it goes when it has read its answer */
};

struct pf_control {
    struct evconnlistener *listener;
    struct pf_service *service;
    struct client *clients;
    size_t client_count;
    char *path;
};

static void free_client(struct client *client)
{
    struct client **at = &client->control->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    client->control->client_count--;
    if (client->id > 0)
        pf_asking_forget(client->control->service, client->id);
    bufferevent_free(client->channel);
    pf_jsonl_reader_free(client->reader);
    free(client);
}

static void say(struct client *client, const json_t *object)
{
    char *line = pf_json_text(object, JSON_COMPACT);
    if (line) {
        bufferevent_write(client->channel, line, strlen(line));
        bufferevent_write(client->channel, "\n", 1);
    }
    free(line);
    client->ending |= json_is_true(json_object_get(object, "done"));
}

/* why NULL: it is done. */
static void close_with(struct client *client, const char *why)
{
    json_t *answer = json_object();
    json_object_set_new(answer, "done", json_true());
    if (why)
        json_object_set_new(answer, "error", pf_json_bytes(why));
    say(client, answer);
    json_decref(answer);
}

static void on_answer(struct pf_service *service, int64_t id, const json_t *answer, void *context)
{
    struct pf_control *control = context;
    (void)service;
    for (struct client *client = control->clients; client; client = client->next) {
        if (client->id != id || client->ending)
            continue;
        if (answer)
            say(client, answer);
        else
            close_with(client, "the process of the source has ended; it is started again");
    }
}

static void take(struct client *client, const json_t *command)
{
    struct pf_control *control = client->control;
    char why[PF_ASKING_WHY] = "unknown command", *source;
    const char *name = json_string_value(json_object_get(command, "cmd"));
    json_t *ask = json_object_get(command, "ask");
    if (client->id) { /* one at a time */
        if (name && !strcmp(name, "cancel"))
            pf_asking_cancel(control->service, client->id);
        return;
    }
    source = pf_json_bytes_value(json_object_get(command, "source"));
    if (name && !strcmp(name, "stop")) {
        close_with(client, pf_asking_stop(control->service, source, why) < 0 ? why : NULL);
        free(source);
        return;
    }
    if (name && !strcmp(name, "ask") && json_is_object(ask))
        client->id =
            pf_asking_ask(control->service, source, json_incref(ask), on_answer, control, why);
    if (client->id <= 0)
        close_with(client, why);
    free(source);
}

static void on_read(struct bufferevent *channel, void *context)
{
    struct client *client = context;
    struct pf_error err = {0};
    char bytes[4096];
    size_t n;
    while ((n = bufferevent_read(channel, bytes, sizeof(bytes))) > 0) {
        if (pf_jsonl_reader_feed(client->reader, bytes, n, &err) < 0) {
            free_client(client);
            return;
        }
    }
    json_t *command;
    int r;
    while ((r = pf_jsonl_reader_next(client->reader, &command, &err))) {
        if (r == -ENOMEM) {
            free_client(client);
            return;
        }
        if (r < 0)
            continue;
        take(client, command);
        json_decref(command);
    }
}

static void on_written(struct bufferevent *channel, void *context)
{
    struct client *client = context;
    if (client->ending && !evbuffer_get_length(bufferevent_get_output(channel)))
        free_client(client);
}

static void on_end(struct bufferevent *channel, short what, void *context)
{
    struct client *client = context;
    struct pf_control *control = client->control;
    (void)channel;
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    if (client->id > 0 && !client->ending)
        pf_asking_cancel(control->service, client->id);
    free_client(client);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *context)
{
    struct pf_control *control = context;
    struct client *client = control->client_count < CLIENTS_MAX ? calloc(1, sizeof(*client)) : NULL;
    (void)address, (void)length;
    if (!client || pf_jsonl_reader_new(&client->reader) < 0) {
        free(client);
        close(fd);
        return;
    }
    client->channel =
        bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
    if (!client->channel) {
        pf_jsonl_reader_free(client->reader);
        free(client);
        close(fd);
        return;
    }
    client->control = control;
    client->next = control->clients;
    control->clients = client;
    control->client_count++;
    bufferevent_setcb(client->channel, on_read, on_written, on_end, client);
    bufferevent_enable(client->channel, EV_READ | EV_WRITE);
}

int pf_control_new(struct pf_control **ret, struct event_base *base, const char *state,
                   struct pf_service *service, struct pf_error *err)
{
    struct pf_control *control = calloc(1, sizeof(*control));
    int fd = -1;
    if (!control || !(control->path = pf_text("%s/" PF_CONTROL_NAME, state))) {
        pf_control_free(control);
        return pf_fail(err, ENOMEM, "out of memory for the control socket");
    }
    control->service = service;
    fd = pf_local_listen(control->path, PF_LOCAL_OURS, CLIENTS_MAX, err);
    if (fd >= 0)
        control->listener =
            evconnlistener_new(base, on_accept, control, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    if (!control->listener) {
        int r = fd < 0 ? fd : pf_fail(err, ENOMEM, "out of memory for the control socket");
        if (fd >= 0)
            close(fd);
        pf_control_free(control);
        return r;
    }
    *ret = control;
    return 0;
}

struct pf_control *pf_control_free(struct pf_control *control)
{
    if (!control)
        return NULL;
    while (control->clients)
        free_client(control->clients);
    if (control->listener) {
        evconnlistener_free(control->listener);
        unlink(control->path);
    }
    free(control->path);
    free(control);
    return NULL;
}

int pf_control_connect(const char *state, struct pf_error *err)
{
    char *path = pf_text("%s/" PF_CONTROL_NAME, state);
    int r = path ? pf_local_connect(path, err) : pf_fail(err, ENOMEM, "out of memory");
    free(path);
    return r;
}
