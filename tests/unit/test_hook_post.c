/* Posts whose name is not found out: the resolver of this test waits until it is let go. */
#include <netdb.h>
#include <poll.h>

#include "config/base/time.h"
#include "service/hook_run.h"
#include "tests/unit/test.h"

static int gate[2]; /* a pipe: it opens with its first byte */

/* In the place of libc's, for libcurl as well. */
int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
    struct pollfd wait = {.fd = gate[0], .events = POLLIN};
    (void)node, (void)service, (void)hints, (void)ret;
    poll(&wait, 1, 20000);
    return EAI_AGAIN;
}

static char said[512];

static void on_ended(const struct pf_hook_outcome *outcome, void *context)
{
    snprintf(said, sizeof(said), "%s", outcome->text);
    event_base_loopbreak(context);
}

/* Neither its limit nor the end of the service waits for a name server. */
TEST(a_name_that_is_not_found_out_keeps_nobody_waiting)
{
    static const struct pf_secret secret;
    struct event_base *base = event_base_new();
    struct pf_hook_poster *poster = NULL;
    struct pf_hook_post *post = NULL;
    struct pf_error err = {0};
    CHECK_EQ(pipe(gate), 0);
    int64_t begun_ms = pf_monotonic_ms();
    CHECK_OK(pf_hook_poster_new(&poster, base, "", &secret, &err), &err);
    CHECK_OK(pf_hook_post_new(&post, poster, "http://nowhere.invalid/", "a", 1, "{}", 200, on_ended,
                              base, &err),
             &err);
    event_base_dispatch(base);
    CHECK(*said);
    pf_hook_post_free(post);
    CHECK_OK(pf_hook_post_new(&post, poster, "http://nowhere.invalid/", "b", 1, "{}", 60000,
                              on_ended, base, &err),
             &err);
    struct timeval soon = {.tv_usec = 200000};
    event_base_loopexit(base, &soon);
    event_base_dispatch(base);
    pf_hook_post_free(post);
    pf_hook_poster_free(poster);
    CHECK(pf_monotonic_ms() < begun_ms + 10000);
    CHECK_EQ(write(gate[1], "x", 1), 1);
    event_base_free(base);
}
