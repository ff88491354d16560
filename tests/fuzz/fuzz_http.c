/* What a client may send to the HTTP interface: the guard, evhttp behind it, routes, queries and JSON bodies.
 *
 * The input goes over a real socket to a real server. Whatever it is, the server answers the next one
 * who asks properly, and what the guard takes at once it takes byte by byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/local_socket.h"
#include "service/acting.c"
#include "service/http/address.h"
#include "service/http/connection.c"
#include "service/http/guard.h"
#include "service/http/server.h"
#include "tests/fuzz/fuzz.h"

static struct event_base *base;
static struct pf_http *server;
static struct pf_settings settings;
static struct pf_address inside;

static void on_get(struct pf_http_request *request, void *context)
{
    int64_t limit;
    (void)context;
    if (pf_http_query_integer(request, "limit", 1, 200, 50, &limit) < 0)
        return;
    FUZZ_CHECK(limit >= 1 && limit <= 200);
    FUZZ_CHECK(!strchr(pf_http_argument(request, 0), '/'));
    FUZZ_CHECK(strcmp(pf_http_argument(request, 0), "..") != 0);
    pf_http_reply_json(request, 200, json_pack("{s:s}", "argument", pf_http_argument(request, 0)));
}

static void on_patch(struct pf_http_request *request, void *context)
{
    struct pf_settings trial;
    struct pf_error err = {0};
    json_t *body;
    (void)context;
    if (pf_http_body(request, &body) < 0)
        return;
    FUZZ_CHECK(pf_settings_init(&trial, &err) == 0);
    int r = body ? apply(&trial, body, changeable, &err) : 0;
    pf_settings_free(&trial);
    json_decref(body);
    if (r < 0) {
        FUZZ_CHECK(err.text[0]);
        pf_http_reply_error(request, 422, "value", "%s", err.text);
    } else {
        pf_http_reply_text(request, 200, "text/plain", "well");
    }
}

static const struct pf_http_route routes[] = {
    {EVHTTP_REQ_GET, "/", PF_ACCESS_READ, on_get},
    {EVHTTP_REQ_GET, "/api/v1/bursts/*", PF_ACCESS_READ, on_get},
    {EVHTTP_REQ_GET, "/api/v1/bursts/*/tiles/*/*/*/*.jpg", PF_ACCESS_READ, on_get},
    {EVHTTP_REQ_PATCH | EVHTTP_REQ_POST, "/api/v1/settings", PF_ACCESS_FULL, on_patch},
    {0},
};

/* The connections of the server, as they are made. */
static struct pf_connections *made;

static void set_up(void)
{
    struct pf_error err = {0};
    if (server)
        return;
    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    FUZZ_CHECK(base && pf_settings_init(&settings, &err) == 0);
    FUZZ_CHECK(pf_settings_set(&settings, "http", "off", &err) == 0);
    FUZZ_CHECK(pf_settings_set(&settings, "state", fuzz_directory(), &err) == 0);
    FUZZ_CHECK(pf_http_new(&server, base, &settings, NULL, routes, NULL, &err) == 0);
    made = pf_http_guarded(server);
    FUZZ_CHECK(pf_address_inside(&inside, settings.state, &err) == 0);
}

/* Says this, and reads until the server has no more to say for now. What it said first is in `to`. */
static void talk(const uint8_t *data, size_t size, char *to, size_t room)
{
    struct pf_error err = {0};
    char bytes[4096];
    size_t said = 0, heard = 0;
    ssize_t n;
    int fd = pf_local_connect(inside.path, &err);
    FUZZ_CHECK(fd >= 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (int idle = 0; idle < 4;) {
        n = said < size ? send(fd, data + said, size - said, MSG_NOSIGNAL) : 0;
        said += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        event_base_loop(base, EVLOOP_NONBLOCK);
        while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
            size_t take = (size_t)n < room - 1 - heard ? (size_t)n : room - 1 - heard;
            memcpy(to + heard, bytes, take);
            heard += take;
            idle = 0;
        }
        if (n == 0)
            break;
    }
    to[heard] = '\0';
    close(fd);
    for (int i = 0; i < 3; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

static int judge(const uint8_t *data, size_t size, size_t piece)
{
    struct pf_guard guard;
    int status = 0;
    pf_guard_init(&guard);
    for (size_t at = 0; at < size; at += piece)
        status = pf_guard_feed(&guard, data + at, size - at < piece ? size - at : piece);
    FUZZ_CHECK((status != 0) == (guard.why != NULL));
    pf_guard_end(&guard);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char asks[] = "GET /api/v1/bursts/a HTTP/1.1\r\nHost: a\r\n\r\n";
    char answer[1024];
    fuzz_quiet();
    set_up();
    int status = judge(data, size, size ? size : 1);
    FUZZ_CHECK(judge(data, size, 1) == status);
    FUZZ_CHECK(judge(data, size, 7) == status);
    talk(data, size, answer, sizeof(answer));
    FUZZ_CHECK(!*answer || !strncmp(answer, "HTTP/1.", 7));
    talk((const uint8_t *)asks, sizeof(asks) - 1, answer, sizeof(answer));
    FUZZ_CHECK(!strncmp(answer, "HTTP/1.1 200 ", 13));
    /* What has been closed is let go of now, and not in a quarter of a second. */
    on_sweep(-1, 0, made);
    return 0;
}
