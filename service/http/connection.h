/* The connections of the server: counted, guarded, and refused where the guard says so.
 *
 * Service process, event loop thread; used by server.c only.
 *
 * evhttp tells nobody when it frees a connection, so we hold a reference of each bufferevent and look now
 * and then whether evhttp has let go of it.
 */
#ifndef PF_HTTP_CONNECTION_H
#define PF_HTTP_CONNECTION_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/base/error.h"

struct pf_connections;

/* most: of more the newest are refused. has_request: whether something was asked there that has not been replied
 * whole. -ENOMEM. */
int pf_connections_new(struct pf_connections **ret, struct event_base *base, size_t most,
                       bool (*has_request)(const struct bufferevent *channel, const void *context),
                       const void *context, struct pf_error *err);
struct pf_connections *pf_connections_free(struct pf_connections *connections);

/* For evhttp_set_bevcb(); context: struct pf_connections. */
struct bufferevent *pf_connections_make(struct event_base *base, void *context);

/* Somebody else reads it from now on; it is not guarded any more. */
void pf_connections_release(struct pf_connections *connections, struct bufferevent *channel);
/* Whether it is one of ours, and so has been guarded. */
bool pf_connections_have(const struct pf_connections *connections,
                         const struct bufferevent *channel);
size_t pf_connections_count(const struct pf_connections *connections);

#endif
