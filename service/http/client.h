/* A client of the HTTP interface, for commands.
 *
 * Any process but the service, one thread; blocks. libcurl speaks the protocol.
 */
#ifndef PF_HTTP_CLIENT_H
#define PF_HTTP_CLIENT_H

#include <jansson.h>

#include "config/base/error.h"
#include "config/settings.h"

struct pf_client;

/* Asks through the socket in the state directory, or at the first address of `http` when there is none,
 * with http_token (http_read_token without). -ENOENT: neither is there; -ENOMEM, -EINVAL. */
int pf_client_new(struct pf_client **ret, const struct pf_settings *settings, struct pf_error *err);
struct pf_client *pf_client_free(struct pf_client *client); /* NULL-safe, returns NULL */

/* body: NULL for none; consumed. *ret: the JSON of the reply, the caller's. -ECONNREFUSED and others when
 * there is no reply; -EBADMSG when it says that it could not be done, with its message. */
int pf_client_ask(struct pf_client *client, const char *method, const char *path, json_t *body,
                  json_t **ret, struct pf_error *err);

/* Listens to events until `event` returns false, or the connection ends (0; the caller connects again
 * with the last id, which is kept). data is borrowed. */
int pf_client_listen(struct pf_client *client, const char *path,
                     bool (*event)(const char *type, const json_t *data, void *context),
                     void *context, struct pf_error *err);

#endif
