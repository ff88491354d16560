/* The command line of a child process, and whose doing its end is. */
#include "service/child.c" /* who holds it alone */

#include <sys/socket.h>

#include "tests/unit/test.h"

static void check_arguments(const struct pf_child *child, const char *const *expected)
{
    size_t i = 0;
    for (; expected[i] && child->argv[i]; i++)
        CHECK_STR(child->argv[i], expected[i]);
    CHECK(!expected[i] && !child->argv[i]);
}
#define ARGUMENTS(...) check_arguments(child, (const char *const[]){"parfocal", __VA_ARGS__, NULL})

/* Its own stays, where the one that was added is the same. */
TEST(an_argument_that_was_added_can_be_taken_back)
{
    static const char *const own[] = {"process", "--device=cpu", "--threads=1", NULL};
    static const struct pf_child_handlers handlers = {0};
    struct event_base *base = event_base_new();
    struct pf_child *child = NULL;
    struct pf_error err = {0};
    CHECK_OK(pf_child_new(&child, base, own, &handlers, NULL, &err), &err);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pf_child_add_argument(child, "--device=cpu"), 0);
        ARGUMENTS("process", "--device=cpu", "--threads=1", "--device=cpu");
        pf_child_remove_argument(child, "--device=cpu");
        ARGUMENTS("process", "--device=cpu", "--threads=1");
    }
    pf_child_remove_argument(child, "--none");
    ARGUMENTS("process", "--device=cpu", "--threads=1");
    pf_child_free(child);
    event_base_free(base);
}

static void on_started(void *context)
{
    (void)context;
}

static void on_batch(void *context)
{
    (void)context;
}

static void on_ended(const char *why, int retry_ms, void *context)
{
    CHECK(strstr(why, "signal 9"));
    (void)retry_ms, (void)context;
}

/* One that hangs is killed for what it does; one that is started anew for our own lack of memory is not. */
TEST(a_child_that_is_started_anew_has_done_nothing)
{
    static const char *const own[] = {"process", NULL};
    static const struct pf_child_handlers handlers = {
        .started = on_started, .batch = on_batch, .ended = on_ended};
    struct event_base *base = event_base_new();
    struct pf_error err = {0};
    for (int anew = 0; anew < 2; anew++) {
        struct pf_child *child = NULL;
        CHECK_OK(pf_child_new(&child, base, own, &handlers, NULL, &err), &err);
        child->pid = fork();
        if (child->pid == 0)
            for (;;)
                pause();
        CHECK(child->pid > 0);
        (anew ? pf_child_restart : pf_child_kill)(child);
        siginfo_t info;
        CHECK_EQ(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT), 0);
        pf_child_reap(child);
        CHECK(pf_child_ended_by_signal(child) && !pf_child_running(child));
        CHECK_EQ(pf_child_ended_from_outside(child), anew);
        pf_child_free(child);
    }
    event_base_free(base);
}

/* An object whose line has so many bytes. */
static json_t *line_of(size_t size_bytes)
{
    size_t length = size_bytes - sizeof("{\"a\":\"\"}");
    char *text = malloc(length + 1);
    CHECK(text);
    memset(text, 'x', length);
    text[length] = '\0';
    json_t *object = json_pack("{s:s}", "a", text);
    free(text);
    return object;
}

/* A child that reads, and is at a long line, takes others; one that does not read takes no more for ever. */
TEST(a_long_line_keeps_no_others_out)
{
    static const char *const own[] = {"process", NULL};
    static const struct pf_child_handlers handlers = {
        .started = on_started, .batch = on_batch, .ended = on_ended};
    struct event_base *base = event_base_new();
    struct pf_error err = {0};
    struct pf_child *child = NULL;
    int pair[2];
    CHECK_OK(pf_child_new(&child, base, own, &handlers, NULL, &err), &err);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    child->channel = bufferevent_socket_new(base, pair[0], BEV_OPT_CLOSE_ON_FREE);
    child->pid = fork();
    if (child->pid == 0)
        for (;;)
            pause();
    CHECK(child->pid > 0 && child->channel);
    CHECK_EQ(pf_child_send(child, line_of(PF_JSONL_LINE_MAX + 1)), -EMSGSIZE);
    CHECK_EQ(pf_child_queued_bytes(child), 0);
    CHECK_EQ(pf_child_send(child, line_of(PF_JSONL_LINE_MAX)), 0);
    CHECK_EQ(pf_child_queued_bytes(child), PF_JSONL_LINE_MAX);
    CHECK_EQ(pf_child_send(child, line_of(100)), 0);
    CHECK_EQ(pf_child_send(child, line_of(PF_CHILD_QUEUE_MAX)), 0);
    CHECK_EQ(pf_child_send(child, line_of(100)), -ENOBUFS);
    pf_child_free(child);
    close(pair[1]);
    event_base_free(base);
}
