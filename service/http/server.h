/* The HTTP server: libevent's evhttp behind an interface of ours.
 *
 * Service process, event loop thread. Every byte of a request passes the guard first (guard.h), then
 * Host, Origin and token are looked at (access.h); what remains goes to the handler of its route. A
 * handler replies once, now or later: the request is its own until then, and gone with the reply. A
 * client that goes away first is no concern of it.
 *
 * Listens on the Unix socket PF_HTTP_SOCKET in the state directory, which this user alone can open and
 * which needs no token, and on the addresses of the setting `http` (listener.h).
 */
#ifndef PF_HTTP_SERVER_H
#define PF_HTTP_SERVER_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "config/base/error.h"
#include "config/settings.h"
#include "service/http/access.h"
#include "service/troubles.h"

#define PF_HTTP_SOCKET "http" /* in the state directory */

struct pf_http;
struct pf_http_request;

struct pf_http_route {
    unsigned methods; /* enum evhttp_cmd_type; HEAD goes with GET */
    /* A segment "*" is any, "*.jpg" any that ends so; what they stand for is pf_http_argument(). A
     * pattern that ends with "/" has nothing behind it: "/" is that path alone. */
    const char *pattern;
    enum pf_access_kind access; /* that is needed */
    void (*handle)(struct pf_http_request *request, void *context);
};

/* What `http`, `http_token` and their like say: -EINVAL when an address cannot be one, or needs a token
 * that is not there; errno of a token file. */
int pf_http_check(const struct pf_settings *settings, struct pf_error *err);

/* routes: ends with a pattern of NULL; the first that fits counts. Borrowed and outliving it: base,
 * settings (state absolute), troubles, routes, context. Errors as pf_http_check(), and of the socket in
 * the state directory. */
int pf_http_new(struct pf_http **ret, struct event_base *base, const struct pf_settings *settings,
                struct pf_troubles *troubles, const struct pf_http_route *routes, void *context,
                struct pf_error *err);
/* Requests that have no reply yet are gone with it. NULL-safe, returns NULL. */
struct pf_http *pf_http_free(struct pf_http *http);

size_t pf_http_connections(const struct pf_http *http);
/* For tests: its connections. */
struct pf_connections *pf_http_guarded(const struct pf_http *http);
const struct pf_access *pf_http_tokens(const struct pf_http *http);

/* ---- a request; what is returned is borrowed from it ---- */

const char *pf_http_path(const struct pf_http_request *request);
const char *pf_http_argument(const struct pf_http_request *request, size_t number);
/* Decoded; NULL: it is not there. */
const char *pf_http_query(const struct pf_http_request *request, const char *name);
const char *pf_http_header(const struct pf_http_request *request, const char *name);
bool pf_http_is_head(const struct pf_http_request *request);
/* PF_ACCESS_FULL, or what its token is good for. */
enum pf_access_kind pf_http_access(const struct pf_http_request *request);
/* The JSON object in its body, NULL when it is empty; the caller's. -EBADMSG: it has been replied that it
 * is none. */
int pf_http_body(struct pf_http_request *request, json_t **ret);
/* An integer of the query between two others; `initial` when it is not there. -EINVAL: it has been
 * replied that it is none. */
int pf_http_query_integer(struct pf_http_request *request, const char *name, int64_t least,
                          int64_t most, int64_t initial, int64_t *ret);

/* ---- replies; each ends the request ---- */

/* Before the reply. Values must not hold line ends. */
void pf_http_add_header(struct pf_http_request *request, const char *name, const char *value);
/* object: consumed; NULL: no memory for it. */
void pf_http_reply_json(struct pf_http_request *request, int status, json_t *object);
/* {"error": {...}}; code: a word for programs. */
void pf_http_reply_error(struct pf_http_request *request, int status, const char *code,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Constant bytes, which outlive the server. etag: with its quotes, NULL none. */
void pf_http_reply_constant(struct pf_http_request *request, const char *type, const char *etag,
                            const void *bytes, size_t count);
/* A text of the caller's; copied. */
void pf_http_reply_text(struct pf_http_request *request, int status, const char *type,
                        const char *text);
/* Of a file as it is: its inode, size and time. */
#define PF_HTTP_ETAG 80
void pf_http_etag(const struct stat *st, char to[PF_HTTP_ETAG]);
/* A whole file on the local disk, with an ETag of its inode, size and time. 0, or -ENOENT and other
 * errno of open(2): then nothing has been replied. */
int pf_http_reply_local_file(struct pf_http_request *request, const char *path, const char *type);

/* ---- long replies ---- */

/* Whether the client has the version of this ETag already: then that has been replied. Else the header
 * is added. */
bool pf_http_is_known(struct pf_http_request *request, const char *etag);

/* Begins a reply with this status, of so many bytes. `more` is called when the bytes before have gone out, first of all
 * now, and gives more by pf_http_send() until all has been sent; `gone` in the end, whether all was
 * sent or the client has gone away: the request is no more then. */
void pf_http_begin(struct pf_http_request *request, int status, const char *type, int64_t count,
                   void (*more)(void *context), void (*gone)(void *context), void *context);
/* Bytes are copied. */
void pf_http_send(struct pf_http_request *request, const void *bytes, size_t count);
/* Ends before all has been sent: the connection is closed. */
void pf_http_abort(struct pf_http_request *request);

/* Takes the connection out of evhttp's hands, for a reply without end: the request is gone, the caller
 * sets the callbacks and ends it with evhttp_connection_free(*ret_connection). NULL: the client has
 * gone away, and so has the request. */
struct bufferevent *pf_http_take_over(struct pf_http_request *request,
                                      struct evhttp_connection **ret_connection);

#endif
