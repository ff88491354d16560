#include "service/http/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "service/http/connection.h"
#include "service/http/guard.h"
#include "service/http/listener.h"

#define CONNECTIONS_MAX 2048
#define SPARE_FILES     256 /* descriptors that are not for connections */
#define IDLE_S          75
#define ARGUMENTS_MAX   6

struct pf_http {
    const struct pf_http_route *routes;
    void *context;
    struct pf_access access;
    struct pf_connections *connections;
    struct pf_listeners *listeners;
    struct pf_http_request *requests; /* without a reply yet */
};

struct pf_http_request {
    struct pf_http_request *next;
    struct pf_http *http;
    const struct pf_address *address; /* where it was asked */
    struct evhttp_request *raw;
    enum pf_access_kind access;
    char *path;
    char *arguments[ARGUMENTS_MAX];
    bool lacks_memory; /* for one of them */
    struct evkeyvalq query;
    /* of a long reply */
    int64_t left;
    void (*more)(void *context);
    void (*gone)(void *context);
    void *context;
};

/* ---- a request comes and goes ---- */

static void forget_request(struct pf_http_request *request)
{
    struct pf_http_request **at = &request->http->requests;
    while (*at && *at != request)
        at = &(*at)->next;
    if (*at)
        *at = request->next;
    evhttp_clear_headers(&request->query);
    for (size_t i = 0; i < ARGUMENTS_MAX; i++)
        free(request->arguments[i]);
    free(request->path);
    free(request);
}

/* For pf_connections_new(). */
static bool has_request(const struct bufferevent *channel, const void *context)
{
    const struct pf_http *http = context;
    for (const struct pf_http_request *request = http->requests; request; request = request->next) {
        struct evhttp_connection *connection = evhttp_request_get_connection(request->raw);
        if (connection && evhttp_connection_get_bufferevent(connection) == channel)
            return true;
    }
    return false;
}

static void add_common_headers(struct pf_http_request *request)
{
    pf_http_add_header(request, "X-Content-Type-Options", "nosniff");
    pf_http_add_header(request, "Cross-Origin-Resource-Policy", "same-origin");
    pf_http_add_header(request, "Referrer-Policy", "no-referrer");
}

/* One segment of a pattern; what "*" stands for is kept. */
static bool segment_fits(struct pf_http_request *request, size_t *arguments, const char *pattern,
                         size_t pattern_bytes, const char *text, size_t bytes)
{
    if (!pattern_bytes || pattern[0] != '*')
        return pattern_bytes == bytes && !memcmp(pattern, text, bytes);
    size_t tail = pattern_bytes - 1;
    if (bytes <= tail || memcmp(text + bytes - tail, pattern + 1, tail) != 0 ||
        *arguments == ARGUMENTS_MAX)
        return false;
    free(request->arguments[*arguments]);
    request->arguments[*arguments] = strndup(text, bytes - tail);
    request->lacks_memory |= !request->arguments[*arguments];
    return request->arguments[(*arguments)++] != NULL;
}

static bool route_fits(struct pf_http_request *request, const char *pattern)
{
    const char *path = request->path;
    size_t arguments = 0;
    for (;;) {
        size_t a = strcspn(pattern, "/"), b = strcspn(path, "/");
        if (!segment_fits(request, &arguments, pattern, a, path, b))
            return false;
        pattern += a;
        path += b;
        if (!*pattern || !*path)
            return !*pattern && !*path;
        pattern++, path++;
    }
}

static unsigned method_of(const struct evhttp_request *raw)
{
    unsigned method = evhttp_request_get_command(raw);
    return method == EVHTTP_REQ_HEAD ? EVHTTP_REQ_GET : method;
}

static void refuse_method(struct pf_http_request *request, unsigned methods)
{
    char allowed[64];
    snprintf(allowed, sizeof(allowed), "%s%s%s%s", methods & EVHTTP_REQ_GET ? "GET, HEAD, " : "",
             methods & EVHTTP_REQ_POST ? "POST, " : "", methods & EVHTTP_REQ_PATCH ? "PATCH, " : "",
             methods & EVHTTP_REQ_DELETE ? "DELETE, " : "");
    allowed[strlen(allowed) - 2] = '\0';
    pf_http_add_header(request, "Allow", allowed);
    pf_http_reply_error(request, 405, "method", "this takes %s", allowed);
}

static void dispatch(struct pf_http_request *request)
{
    struct pf_http *http = request->http;
    unsigned method = method_of(request->raw), methods = 0;
    for (const struct pf_http_route *route = http->routes; route->pattern; route++) {
        bool fits = route_fits(request, route->pattern);
        if (request->lacks_memory) {
            pf_http_reply_error(request, 503, "memory", "out of memory");
            return;
        }
        if (!fits)
            continue;
        methods |= route->methods;
        if (!(route->methods & method))
            continue;
        if (request->access >= route->access) {
            route->handle(request, http->context);
        } else if (request->access == PF_ACCESS_NONE) {
            pf_http_add_header(request, "WWW-Authenticate", "Bearer realm=\"parfocal\"");
            pf_http_reply_error(request, 401, "token", "a token is needed (http_token)");
        } else {
            pf_http_reply_error(request, 403, "read_only", "this token may only look");
        }
        return;
    }
    if (methods)
        refuse_method(request, methods);
    else
        pf_http_reply_error(request, 404, "not_found", "there is no such thing here");
}

/* Names, sites and tokens; true when it may go on. */
static bool may_enter(struct pf_http_request *request)
{
    const struct pf_address *address = request->address;
    bool changes = method_of(request->raw) != EVHTTP_REQ_GET;
    const char *host = pf_http_header(request, "Host");
    const char *origin = pf_http_header(request, "Origin");
    bool inside = address->is_unix;
    request->access =
        inside ? PF_ACCESS_FULL
               : pf_access_of(&request->http->access, pf_http_header(request, "Authorization"),
                              pf_http_header(request, "Cookie"));
    if (!inside && !pf_access_host_is_ours(&request->http->access, host, address->host)) {
        pf_http_reply_error(request, 403, "host",
                            "this is not the name of this machine; http_host lists its names");
        return false;
    }
    if (!pf_access_origin_is_ours(origin, pf_http_header(request, "Sec-Fetch-Site"), host,
                                  changes)) {
        pf_http_reply_error(request, 403, "origin", "a page of another site asks");
        return false;
    }
    return true;
}

static int take_target(struct pf_http_request *request)
{
    const char *uri = evhttp_request_get_uri(request->raw);
    if (!uri || !pf_guard_target_is_plain(uri, strlen(uri)))
        return -EINVAL;
    const char *mark = strchr(uri, '?');
    request->path = mark ? strndup(uri, (size_t)(mark - uri)) : strdup(uri);
    if (!request->path)
        return -ENOMEM;
    return !mark || evhttp_parse_query_str(mark + 1, &request->query) == 0 ? 0 : -EINVAL;
}

static void on_request(struct evhttp_request *raw, const struct pf_address *address, void *context)
{
    struct pf_http *http = context;
    struct evhttp_connection *connection = evhttp_request_get_connection(raw);
    struct pf_http_request *request =
        pf_connections_have(http->connections, evhttp_connection_get_bufferevent(connection))
            ? calloc(1, sizeof(*request))
            : NULL;
    if (!request) {
        evhttp_send_error(raw, 503, "out of memory");
        return;
    }
    TAILQ_INIT(&request->query);
    request->http = http;
    request->address = address;
    request->raw = raw;
    request->next = http->requests;
    http->requests = request;
    add_common_headers(request);
    int r = take_target(request);
    if (r == -ENOMEM)
        pf_http_reply_error(request, 503, "memory", "out of memory");
    else if (r < 0)
        pf_http_reply_error(request, 400, "target", "the target or its query is not understood");
    else if (may_enter(request))
        dispatch(request);
}

/* ---- what a request asks ---- */

const char *pf_http_path(const struct pf_http_request *request)
{
    return request->path;
}

const char *pf_http_argument(const struct pf_http_request *request, size_t number)
{
    return number < ARGUMENTS_MAX && request->arguments[number] ? request->arguments[number] : "";
}

const char *pf_http_query(const struct pf_http_request *request, const char *name)
{
    return evhttp_find_header(&request->query, name);
}

const char *pf_http_header(const struct pf_http_request *request, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(request->raw), name);
}

bool pf_http_is_head(const struct pf_http_request *request)
{
    return evhttp_request_get_command(request->raw) == EVHTTP_REQ_HEAD;
}

enum pf_access_kind pf_http_access(const struct pf_http_request *request)
{
    return request->access;
}

int pf_http_body(struct pf_http_request *request, json_t **ret)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request->raw);
    size_t count = evbuffer_get_length(input);
    const char *type = pf_http_header(request, "Content-Type");
    json_error_t why;
    *ret = NULL;
    if (!count)
        return 0;
    if (!type || strncasecmp(type, "application/json", 16) != 0 || (type[16] && type[16] != ';')) {
        pf_http_reply_error(request, 415, "type", "a body is of Content-Type application/json");
        return -EBADMSG;
    }
    if (pf_json_parse((const char *)evbuffer_pullup(input, -1), count, JSON_REJECT_DUPLICATES, ret,
                      &why) == -ENOMEM) {
        pf_http_reply_error(request, 503, "memory", "out of memory for the body");
        return -ENOMEM;
    }
    if (json_is_object(*ret))
        return 0;
    json_decref(*ret);
    *ret = NULL;
    pf_http_reply_error(request, 400, "body", "the body is no JSON object%s%s",
                        why.text[0] ? ": " : "", why.text);
    return -EBADMSG;
}

int pf_http_query_integer(struct pf_http_request *request, const char *name, int64_t least,
                          int64_t most, int64_t initial, int64_t *ret)
{
    const char *text = pf_http_query(request, name);
    char *end;
    *ret = initial;
    if (!text)
        return 0;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < least || value > most) {
        pf_http_reply_error(request, 422, "value", "%s is a whole number from %lld to %lld", name,
                            (long long)least, (long long)most);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

/* ---- replies ---- */

void pf_http_add_header(struct pf_http_request *request, const char *name, const char *value)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request->raw);
    evhttp_remove_header(headers, name);
    evhttp_add_header(headers, name, value);
}

/* `body` (consumed, NULL none) is the reply. */
static void reply(struct pf_http_request *request, int status, struct evbuffer *body)
{
    struct evhttp_request *raw = request->raw;
    forget_request(request);
    evhttp_send_reply(raw, status, NULL, body);
    if (body)
        evbuffer_free(body);
}

static void reply_bytes(struct pf_http_request *request, int status, const char *type,
                        const char *text, size_t count)
{
    struct evbuffer *body = evbuffer_new();
    if (!body || evbuffer_add(body, text, count) < 0)
        status = 503;
    pf_http_add_header(request, "Content-Type", type);
    if (!evhttp_find_header(evhttp_request_get_output_headers(request->raw), "Cache-Control"))
        pf_http_add_header(request, "Cache-Control", "no-store");
    reply(request, status, body);
}

void pf_http_reply_text(struct pf_http_request *request, int status, const char *type,
                        const char *text)
{
    reply_bytes(request, status, type, text, strlen(text));
}

void pf_http_reply_json(struct pf_http_request *request, int status, json_t *object)
{
    char *text = object ? pf_json_text(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text)
        reply_bytes(request, status, "application/json", text, strlen(text));
    else
        reply(request, 503, NULL);
    free(text);
}

void pf_http_reply_error(struct pf_http_request *request, int status, const char *code,
                         const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    pf_http_reply_json(request, status,
                       json_pack("{s:{s:i, s:s, s:o}}", "error", "status", status, "code", code,
                                 "message", pf_json_bytes(text)));
}

bool pf_http_is_known(struct pf_http_request *request, const char *etag)
{
    const char *known = pf_http_header(request, "If-None-Match");
    pf_http_add_header(request, "ETag", etag);
    pf_http_add_header(request, "Cache-Control", "private, no-cache");
    if (!known || (strcmp(known, "*") != 0 && !strstr(known, etag)))
        return false;
    reply(request, 304, NULL);
    return true;
}

void pf_http_reply_constant(struct pf_http_request *request, const char *type, const char *etag,
                            const void *bytes, size_t count)
{
    if (etag && pf_http_is_known(request, etag))
        return;
    struct evbuffer *body = evbuffer_new();
    bool well = body && evbuffer_add_reference(body, bytes, count, NULL, NULL) == 0;
    pf_http_add_header(request, "Content-Type", type);
    reply(request, well ? 200 : 503, body);
}

void pf_http_etag(const struct stat *st, char to[PF_HTTP_ETAG])
{
    snprintf(to, PF_HTTP_ETAG, "\"%llx-%llx-%llx\"", (unsigned long long)st->st_ino,
             (unsigned long long)st->st_size,
             (unsigned long long)st->st_mtim.tv_sec * 1000000000 +
                 (unsigned long long)st->st_mtim.tv_nsec);
}

int pf_http_reply_local_file(struct pf_http_request *request, const char *path, const char *type)
{
    struct stat st;
    char etag[PF_HTTP_ETAG];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -ENOENT;
    }
    pf_http_etag(&st, etag);
    if (pf_http_is_known(request, etag)) {
        close(fd);
        return 0;
    }
    struct evbuffer *body = evbuffer_new();
    bool well = body && evbuffer_add_file(body, fd, 0, st.st_size) == 0; /* the file is its own */
    if (!well)
        close(fd);
    pf_http_add_header(request, "Content-Type", type);
    reply(request, well ? 200 : 503, body);
    return 0;
}

/* ---- long replies ---- */

/* The request of evhttp is no more, or about to be. */
static void end_long(struct pf_http_request *request)
{
    void (*gone)(void *context) = request->gone;
    void *context = request->context;
    forget_request(request);
    gone(context);
}

static void on_gone(struct evhttp_connection *connection, void *context)
{
    struct pf_http_request *request = context;
    struct evhttp_request *raw = request->raw;
    (void)connection;
    end_long(request);
    /* evhttp has let go of it where the connection failed in the midst of the reply; else it goes with the connection. */
    if (!evhttp_request_get_connection(raw))
        evhttp_send_reply_end(raw); /* frees it */
}

static void on_sent(struct evhttp_connection *connection, void *context)
{
    struct pf_http_request *request = context;
    if (request->left > 0) {
        request->more(request->context);
        return;
    }
    struct evhttp_request *raw = request->raw;
    evhttp_connection_set_closecb(connection, NULL, NULL);
    end_long(request);
    evhttp_send_reply_end(raw);
}

void pf_http_begin(struct pf_http_request *request, int status, const char *type, int64_t count,
                   void (*more)(void *context), void (*gone)(void *context), void *context)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request->raw);
    char text[24];
    request->more = more;
    request->gone = gone;
    request->context = context;
    request->left = pf_http_is_head(request) ? 0 : count;
    snprintf(text, sizeof(text), "%lld", (long long)count);
    pf_http_add_header(request, "Content-Length", text);
    pf_http_add_header(request, "Content-Type", type);
    if (!connection || !request->left) {
        struct evhttp_request *raw = request->raw;
        end_long(request);
        evhttp_send_reply(raw, status, NULL, NULL);
        return;
    }
    evhttp_connection_set_closecb(connection, on_gone, request);
    evhttp_send_reply_start(request->raw, status, NULL);
    more(context);
}

void pf_http_send(struct pf_http_request *request, const void *bytes, size_t count)
{
    struct evbuffer *body = evbuffer_new();
    if (!body || evbuffer_add(body, bytes, count) < 0) {
        if (body)
            evbuffer_free(body);
        pf_http_abort(request);
        return;
    }
    request->left -= (int64_t)count;
    evhttp_send_reply_chunk_with_cb(request->raw, body, on_sent, request);
    evbuffer_free(body);
}

void pf_http_abort(struct pf_http_request *request)
{
    evhttp_connection_free(evhttp_request_get_connection(request->raw)); /* calls on_gone() */
}

struct bufferevent *pf_http_take_over(struct pf_http_request *request,
                                      struct evhttp_connection **ret_connection)
{
    struct pf_http *http = request->http;
    struct evhttp_request *raw = request->raw;
    struct evhttp_connection *connection = evhttp_request_get_connection(raw);
    forget_request(request);
    if (!connection) {
        evhttp_send_reply(raw, 200, NULL, NULL); /* frees it */
        return NULL;
    }
    struct bufferevent *channel = evhttp_connection_get_bufferevent(connection);
    pf_connections_release(http->connections, channel);
    bufferevent_set_timeouts(channel, NULL, NULL);
    *ret_connection = connection;
    return channel;
}

/* ---- the whole ---- */

/* Each that listens is like this. */
static void on_made(struct evhttp *server, void *context)
{
    struct pf_http *http = context;
    evhttp_set_bevcb(server, pf_connections_make, http->connections);
    evhttp_set_allowed_methods(server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                           EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE |
                                           EVHTTP_REQ_OPTIONS);
    /* The guard has refused what is larger; these are for what it might let through. */
    evhttp_set_max_headers_size(server, PF_GUARD_HEAD_MAX);
    evhttp_set_max_body_size(server, PF_GUARD_BODY_MAX);
    evhttp_set_timeout(server, IDLE_S);
}

int pf_http_check(const struct pf_settings *settings, struct pf_error *err)
{
    struct pf_access access;
    int r = pf_access_init(&access, settings, err);
    if (r < 0)
        return r;
    r = pf_listeners_check(settings, access.token != NULL, err);
    pf_access_free(&access);
    return r;
}

/* How many connections there may be; their descriptors are asked for. */
static size_t connections_most(void)
{
    struct rlimit limit;
    rlim_t wanted = CONNECTIONS_MAX + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return CONNECTIONS_MAX / 4;
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted) {
        limit.rlim_cur =
            limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted ? limit.rlim_max : wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= wanted)
        return CONNECTIONS_MAX;
    return limit.rlim_cur > 2 * SPARE_FILES ? limit.rlim_cur - SPARE_FILES : limit.rlim_cur / 2;
}

int pf_http_new(struct pf_http **ret, struct event_base *base, const struct pf_settings *settings,
                struct pf_troubles *troubles, const struct pf_http_route *routes, void *context,
                struct pf_error *err)
{
    static const struct pf_listener_handlers handlers = {.made = on_made, .request = on_request};
    struct pf_http *http = calloc(1, sizeof(*http));
    if (!http)
        return pf_fail(err, ENOMEM, "out of memory for the HTTP interface");
    http->routes = routes;
    http->context = context;
    int r = pf_access_init(&http->access, settings, err);
    if (!r)
        r = pf_connections_new(&http->connections, base, connections_most(), has_request, http,
                               err);
    if (!r)
        r = pf_listeners_new(&http->listeners, base, settings, http->access.token != NULL, troubles,
                             &handlers, http, err);
    if (r < 0) {
        pf_http_free(http);
        return r;
    }
    *ret = http;
    return 0;
}

struct pf_http *pf_http_free(struct pf_http *http)
{
    if (!http)
        return NULL;
    pf_listeners_free(http->listeners);
    while (http->requests)
        forget_request(http->requests);
    pf_connections_free(http->connections);
    pf_access_free(&http->access);
    free(http);
    return NULL;
}

size_t pf_http_connections(const struct pf_http *http)
{
    return pf_connections_count(http->connections);
}

struct pf_connections *pf_http_guarded(const struct pf_http *http)
{
    return http->connections;
}

const struct pf_access *pf_http_tokens(const struct pf_http *http)
{
    return &http->access;
}
