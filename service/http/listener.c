#include "service/http/listener.h"

#include <errno.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/log.h"
#include "config/base/time.h"
#include "service/http/access.h"
#include "service/timer.h"

#define RETRY_MS     1000
#define RETRY_MAX_MS 30000

struct listener {
    struct listener *next;
    struct pf_listeners *all;
    struct evhttp *server;
    struct pf_address address;
    struct event *retry;
    int64_t backoff_ms;
    bool listening;
};

struct pf_listeners {
    struct event_base *base;
    struct pf_troubles *troubles;
    struct pf_listener_handlers handlers;
    void *context;
    struct listener *first;
};

static void try_to_listen(struct listener *listener)
{
    struct pf_listeners *all = listener->all;
    struct pf_error err = {0};
    char id[PF_ADDRESS_CHARS + 8];
    snprintf(id, sizeof(id), "http.%s", listener->address.text);
    int fd = pf_address_listen(&listener->address, &err);
    struct evconnlistener *bound =
        fd < 0 ? NULL
               : evconnlistener_new(all->base, NULL, NULL,
                                    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (bound && evhttp_bind_listener(listener->server, bound)) {
        listener->listening = true;
        pf_log_info("http: %s", pf_address_describe(&listener->address));
        pf_trouble_off(all->troubles, id);
        return;
    }
    if (bound)
        evconnlistener_free(bound);
    else if (fd >= 0)
        close(fd);
    if (!listener->backoff_ms)
        pf_log_warning("http: %s; it is tried again, and the service goes on without",
                       fd < 0 ? err.text : "out of memory");
    listener->backoff_ms = pf_back_off_ms(listener->backoff_ms, RETRY_MS, RETRY_MAX_MS);
    pf_trouble_on(all->troubles, true, id, NULL, "%s", fd < 0 ? err.text : "out of memory");
    pf_timer_set(listener->retry, listener->backoff_ms);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    try_to_listen(context);
}

static void on_request(struct evhttp_request *raw, void *context)
{
    const struct listener *listener = context;
    const struct pf_listeners *all = listener->all;
    all->handlers.request(raw, &listener->address, all->context);
}

static int add_listener(struct pf_listeners *all, const struct pf_address *address,
                        struct pf_error *err)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return pf_fail(err, ENOMEM, "out of memory for the HTTP interface");
    listener->next = all->first;
    all->first = listener;
    listener->all = all;
    listener->address = *address;
    listener->retry = evtimer_new(all->base, on_retry, listener);
    listener->server = evhttp_new(all->base);
    if (!listener->retry || !listener->server)
        return pf_fail(err, ENOMEM, "out of memory for the HTTP interface");
    evhttp_set_gencb(listener->server, on_request, listener);
    all->handlers.made(listener->server, all->context);
    return 0;
}

/* Calls `take` for each address of the setting. */
static int each_address(const struct pf_settings *settings, bool has_token,
                        int (*take)(struct pf_listeners *all, const struct pf_address *address,
                                    struct pf_error *err),
                        struct pf_listeners *all, struct pf_error *err)
{
    char text[PF_ADDRESS_CHARS];
    int r = 0;
    if (!strcmp(settings->http, "off"))
        return 0;
    for (const char *at = settings->http; !r && *(at += strspn(at, ", "));
         at += strcspn(at, ", ")) {
        struct pf_address address;
        size_t length = strcspn(at, ", ");
        if (length >= sizeof(text))
            return pf_fail(err, EINVAL, "http: an address is too long");
        memcpy(text, at, length);
        text[length] = '\0';
        r = pf_address_parse(&address, text, err);
        if (!r && !has_token && !address.is_unix && !pf_access_is_loopback(address.host))
            r = pf_fail(err, EINVAL,
                        "http = %s: others can reach this address, so http_token must be set (for "
                        "example: openssl rand -hex 24 >FILE, and http_token = /FILE)",
                        text);
        if (!r && take)
            r = take(all, &address, err);
    }
    return r;
}

int pf_listeners_check(const struct pf_settings *settings, bool has_token, struct pf_error *err)
{
    return each_address(settings, has_token, NULL, NULL, err);
}

int pf_listeners_new(struct pf_listeners **ret, struct event_base *base,
                     const struct pf_settings *settings, bool has_token,
                     struct pf_troubles *troubles, const struct pf_listener_handlers *handlers,
                     void *context, struct pf_error *err)
{
    struct pf_listeners *listeners = calloc(1, sizeof(*listeners));
    struct pf_address inside;
    if (!listeners)
        return pf_fail(err, ENOMEM, "out of memory for the HTTP interface");
    listeners->base = base;
    listeners->troubles = troubles;
    listeners->handlers = *handlers;
    listeners->context = context;
    int r = pf_address_inside(&inside, settings->state, err);
    if (!r)
        r = add_listener(listeners, &inside, err);
    if (!r)
        r = each_address(settings, has_token, add_listener, listeners, err);
    if (r < 0) {
        pf_listeners_free(listeners);
        return r;
    }
    for (struct listener *listener = listeners->first; listener; listener = listener->next)
        try_to_listen(listener);
    *ret = listeners;
    return 0;
}

struct pf_listeners *pf_listeners_free(struct pf_listeners *listeners)
{
    if (!listeners)
        return NULL;
    while (listeners->first) {
        struct listener *listener = listeners->first;
        if (listener->server)
            evhttp_free(listener->server); /* with its connections, and what they were sending */
        if (listener->retry)
            event_free(listener->retry);
        if (listener->listening)
            pf_address_forget(&listener->address);
        listeners->first = listener->next;
        free(listener);
    }
    free(listeners);
    return NULL;
}
