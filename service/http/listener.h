/* Where the HTTP server listens: the Unix socket in the state directory and the addresses of the setting
 * `http`, each with an evhttp of its own.
 *
 * Service process, event loop thread; used by server.c only, which says what each evhttp is like and takes
 * the requests. An address that is taken is said, and tried again; the service goes on meanwhile.
 */
#ifndef PF_HTTP_LISTENER_H
#define PF_HTTP_LISTENER_H

#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "service/http/address.h"
#include "service/troubles.h"

struct pf_listener_handlers {
    /* Sets it up, before it listens; borrowed. */
    void (*made)(struct evhttp *server, void *context);
    /* address: where it was asked; borrowed, as long as the listeners. */
    void (*request)(struct evhttp_request *raw, const struct pf_address *address, void *context);
};

struct pf_listeners;

/* -EINVAL: an address of `http` cannot be one, or others can reach it and there is no token. */
int pf_listeners_check(const struct pf_settings *settings, bool has_token, struct pf_error *err);

/* Borrowed and outliving it: base, settings (state absolute), troubles, context. Errors as
 * pf_listeners_check(), of the socket in the state directory, -ENOMEM; not that one cannot listen now. */
int pf_listeners_new(struct pf_listeners **ret, struct event_base *base,
                     const struct pf_settings *settings, bool has_token,
                     struct pf_troubles *troubles, const struct pf_listener_handlers *handlers,
                     void *context, struct pf_error *err);
/* Connections and what they were sending go with it. NULL-safe, returns NULL. */
struct pf_listeners *pf_listeners_free(struct pf_listeners *listeners);

#endif
