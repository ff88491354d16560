/* The HTTP interface without memory: see without_memory.h. Whoever asks has his answer, or is told that there is no
 * memory, or his connection is closed; then he asks again and has it. What is told to be done is in the journal. (What
 * is done may have no memory left for saying so.) */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "config/base/time.h"
#include "service/asking.h"
#include "service/driving.h"
#include "service/http/api.h"
#include "service/metrics.h"
#include "tests/unit/service_world.h"

#define NAME "20260102-030405-12345-1" /* of the burst */

static char reply[1 << 20];

/* A burst of three frames that is out, one that has failed, and one that is open. */
static void begin(void)
{
    struct pf_error err = {0};
    int version;
    long left = allocations_hold();
    forget_state();
    struct pf_journal *journal = open_in(state_directory());
    for (int n = 1; n <= 3; n++)
        join(journal, 1, n, false);
    CHECK_OK(pf_journal_complete(journal, 1, "gap", &version, &err), &err);
    CHECK_OK(pf_journal_published(journal, 1, version, "/out/a", &err), &err);
    for (int n = 4; n <= 6; n++)
        join(journal, 2, n, false);
    CHECK_OK(pf_journal_complete(journal, 2, "gap", &version, &err), &err);
    CHECK_OK(pf_journal_failed(journal, 2, version, "no two frames fit", &err), &err);
    for (int n = 7; n <= 9; n++)
        join(journal, 3, n, false);
    pf_journal_close(journal);
    begin_service();
    free(service.settings.state);
    service.settings.state = copy(state_directory());
    CHECK_OK(pf_settings_set(&service.settings, "http", "off", &err), &err);
    CHECK_OK(pf_metrics_new(&service.metrics, &err), &err);
    CHECK_OK(pf_asking_new(&service.asking, &err), &err);
    CHECK_OK(pf_restore(&service, &err), &err);
    flush();
    allocations_go_on(left);
}

static void end(void)
{
    long left = allocations_hold();
    service.api = pf_api_free(service.api);
    pf_driving_free_all(&service);
    pf_asking_free(service.asking);
    pf_metrics_free(service.metrics);
    end_service();
    allocations_go_on(left);
}

/* The status of the answer, which is in `reply`; 0: there is none. */
static int ask(const char *method, const char *path, const char *body)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char request[1024];
    size_t used = 0;
    int status = 0;
    int64_t until_ms = pf_monotonic_ms() + 20000;
    snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", service.settings.state, PF_HTTP_SOCKET);
    int length = snprintf(request, sizeof(request),
                          "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          method, path, strlen(body), body);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    /* Where there was no memory to listen it is tried again. */
    while (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        if (pf_monotonic_ms() > until_ms)
            FAIL("%s %s: %s", method, path, strerror(errno));
        event_base_loop(service.base, EVLOOP_ONCE);
    }
    CHECK_EQ(send(fd, request, (size_t)length, MSG_NOSIGNAL), length);
    for (;;) {
        ssize_t n = recv(fd, reply + used, sizeof(reply) - 1 - used, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            break;
        used += n > 0 ? (size_t)n : 0;
        if (pf_monotonic_ms() > until_ms)
            FAIL("%s %s: no answer", method, path);
        event_base_loop(service.base, EVLOOP_NONBLOCK);
        if (n < 0)
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 1);
    }
    close(fd);
    reply[used] = '\0';
    sscanf(reply, "HTTP/1.%*d %d", &status);
    return status;
}

/* ---- what is only told ---- */

static const char *path;

static void begin_api(void)
{
    struct pf_error err = {0};
    begin();
    long left = allocations_hold();
    CHECK_OK(pf_api_new(&service.api, &service, &err), &err);
    allocations_go_on(left);
}

static int run_question(struct pf_error *err)
{
    (void)err;
    int status = ask("GET", path, "");
    if (status && status != 200 && status != 503)
        FAIL("GET %s: %s", path, reply);
    long left = allocations_hold();
    CHECK_EQ(ask("GET", path, ""), 200);
    allocations_go_on(left);
    return 0;
}

TEST(service_http_questions)
{
    char frame[100];
    snprintf(frame, sizeof(frame), "/api/v1/frames/%s", id_of(1).text);
    const char *const paths[] = {"/",
                                 "/healthz",
                                 "/metrics",
                                 "/api/v1/openapi.json",
                                 "/api/v1/session",
                                 "/api/v1/status",
                                 "/api/v1/bursts",
                                 "/api/v1/bursts/" NAME,
                                 "/api/v1/frames",
                                 frame,
                                 "/api/v1/sources",
                                 "/api/v1/settings",
                                 "/api/v1/deliveries"};
    take_libraries();
    begin_api();
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        path = paths[i];
        without_memory(run_question, false);
    }
    end();
}

static int run_api_new(struct pf_error *err)
{
    begin();
    int r = pf_api_new(&service.api, &service, err);
    long left = allocations_hold();
    if (!r)
        CHECK_EQ(ask("GET", "/api/v1/status", ""), 200);
    allocations_go_on(left);
    end();
    return r;
}

TEST(service_http_api)
{
    without_memory(run_api_new, true);
}

/* ---- what changes something ---- */

static const char *body;
static bool (*is_done)(void);

static bool is_discarded(void)
{
    struct pf_journal_frames frames = {0};
    struct pf_identity id = id_of(1);
    CHECK_EQ(pf_journal_frame(service.journal, &id, &frames, NULL), 0);
    bool is = json_is_true(json_object_get(frames.items[0].scores, "discarded"));
    pf_journal_frames_free(&frames);
    return is;
}

static bool is_wanted_again(void)
{
    return !strncmp(burst_text(service.journal, 1), "complete 2/1 ", 13);
}

static bool is_retried(void)
{
    return !strncmp(burst_text(service.journal, 2), "complete 1/0 ", 13);
}

static bool is_finished(void)
{
    return !strncmp(burst_text(service.journal, 3), "complete 1/0 ", 13);
}

static int run_action(struct pf_error *err)
{
    volatile int status = 0;
    (void)err;
    begin_api();
    bool goes_on = !setjmp(ended);
    if (goes_on) {
        status = ask("POST", path, body);
        flush();
    }
    long left = allocations_hold();
    bool done = is_done();
    if (status >= 300 && status != 503)
        FAIL("POST %s: %s", path, reply);
    if (status && status < 300 && !done)
        FAIL("POST %s: %d, and it is not done", path, status);
    allocations_go_on(left);
    end();
    return 0;
}

static void try_action(const char *of, const char *what, const char *with, bool (*done)(void))
{
    static char text[200];
    snprintf(text, sizeof(text), "%s%s", of, what);
    path = text;
    body = with;
    is_done = done;
    tries_part = 4;
    without_memory(run_action, false);
}

TEST(service_http_discard)
{
    char what[100];
    snprintf(what, sizeof(what), "/frames/%s/discard", id_of(1).text);
    try_action("/api/v1/bursts/" NAME, what, "", is_discarded);
}

TEST(service_http_restack)
{
    try_action("/api/v1/bursts/" NAME, "/restack", "{\"settings\": {\"fuse\": \"average\"}}",
               is_wanted_again);
}

TEST(service_http_retry)
{
    try_action("/api/v1", "/retry", "", is_retried);
}

TEST(service_http_finish)
{
    try_action("/api/v1", "/finish", "", is_finished);
}
