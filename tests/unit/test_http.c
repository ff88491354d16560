/* What guards the HTTP interface: odd requests, tokens, names, origins, addresses. */
#include "service/http/access.h"
#include "service/http/address.h"
#include "service/http/guard.h"
#include "tests/unit/test.h"

#define HOST "Host: localhost\r\n"

/* The status with which these bytes are refused, 0: they are not; given at once and byte by byte. */
static int judge(const char *bytes, size_t count)
{
    struct pf_guard guard;
    int status = 0;
    pf_guard_init(&guard);
    int at_once = pf_guard_feed(&guard, bytes, count);
    pf_guard_end(&guard);
    pf_guard_init(&guard);
    for (size_t i = 0; i < count; i++)
        status = pf_guard_feed(&guard, bytes + i, 1);
    pf_guard_end(&guard);
    CHECK_EQ(status, at_once);
    return status;
}

static int judge_text(const char *text)
{
    return judge(text, strlen(text));
}

/* A head with this line after the request line and Host. */
static int judge_field(const char *line)
{
    char text[1024];
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "%s\r\n\r\n", line);
    return judge_text(text);
}

static int judge_target(const char *target)
{
    char text[1024];
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", target);
    return judge_text(text);
}

TEST(plain_requests_pass)
{
    CHECK_EQ(judge_text("GET / HTTP/1.1\r\n" HOST "\r\n"), 0);
    CHECK_EQ(judge_text("GET / HTTP/1.0\r\n\r\n"), 0);
    CHECK_EQ(judge_text("GET /api/v1/bursts?from=2026-01-02&camera=a%20b HTTP/1.1\r\n" HOST
                        "Accept: */*\r\nCookie:\tparfocal=abc; x=y \r\n\r\n"),
             0);
    /* The length may stand anywhere in the head, and what follows the body is a head again. */
    CHECK_EQ(judge_text("POST /a HTTP/1.1\r\nContent-Length: 4\r\n" HOST
                        "Content-Type: application/json\r\n\r\n\n\n\r\n"
                        "PATCH /b HTTP/1.1\r\n" HOST "content-length: 0\r\n\r\n"
                        "DELETE /b HTTP/1.1\r\n" HOST "\r\n"),
             0);
}

TEST(lines_end_with_both_characters)
{
    CHECK_EQ(judge_text("GET / HTTP/1.1\n" HOST "\r\n"), 400);
    CHECK_EQ(judge_text("GET / HTTP/1.1\r\nHost: localhost\n\r\n"), 400);
    CHECK_EQ(judge_text("GET / HTTP/1.1\r\n" HOST "\n"), 400);
    CHECK_EQ(judge_text("GET / HTTP/1.1\rHost: localhost\r\n\r\n"), 400);
    CHECK_EQ(judge_text("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), 400);
    CHECK_EQ(judge_text("GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n"), 400);
}

TEST(odd_fields_are_refused)
{
    CHECK_EQ(judge_field("X: y"), 0);
    CHECK_EQ(judge_field(": y"), 400);
    CHECK_EQ(judge_field("X"), 400);
    CHECK_EQ(judge_field("X : y"), 400);
    CHECK_EQ(judge_field(" folded: y"), 400);
    CHECK_EQ(judge_field("X: a\x01"), 400);
    CHECK_EQ(judge_field("X\xc3\xa4: a"), 400);
    CHECK_EQ(judge_field("Host: other"), 400);
    CHECK_EQ(judge_field("Transfer-Encoding: chunked"), 411);
    CHECK_EQ(judge_field("transfer-encoding: identity"), 411);
    CHECK_EQ(judge_field("Expect: 100-continue"), 417);
    CHECK_EQ(judge_field("Content-Length: 1\r\nContent-Length: 1"), 400);
    CHECK_EQ(judge_field("Content-Length: -1"), 400);
    CHECK_EQ(judge_field("Content-Length: +1"), 400);
    CHECK_EQ(judge_field("Content-Length: 1, 1"), 400);
    CHECK_EQ(judge_field("Content-Length:"), 400);
    CHECK_EQ(judge_field("Content-Length: 65536"), 0);
    CHECK_EQ(judge_field("Content-Length: 65537"), 413);
    CHECK_EQ(judge_field("Content-Length: 99999999999999999999"), 413);
    CHECK_EQ(judge_text("GET / HTTP/1.1\r\n\r\n"), 400); /* Host is missing */
    CHECK_EQ(judge("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n", 42), 400);
}

TEST(odd_request_lines_are_refused)
{
    CHECK_EQ(judge_text("GET /\r\n" HOST "\r\n"), 400);
    CHECK_EQ(judge_text("GET / HTTP/2.0\r\n" HOST "\r\n"), 505);
    CHECK_EQ(judge_text("GET / HTTP/1.1 \r\n" HOST "\r\n"), 505);
    CHECK_EQ(judge_text("get / HTTP/1.1\r\n" HOST "\r\n"), 501);
    CHECK_EQ(judge_text("TRACE / HTTP/1.1\r\n" HOST "\r\n"), 501);
    CHECK_EQ(judge_text("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"), 501);
    CHECK_EQ(judge("GET /\0 HTTP/1.1\r\n" HOST "\r\n", 36), 400);
    CHECK_EQ(judge_target("http://localhost/"), 400);
    CHECK_EQ(judge_target("*"), 400);
    CHECK_EQ(judge_target("//a"), 400);
    CHECK_EQ(judge_target("/a//b"), 400);
    CHECK_EQ(judge_target("/../etc/passwd"), 400);
    CHECK_EQ(judge_target("/a/.."), 400);
    CHECK_EQ(judge_target("/a/./b"), 400);
    CHECK_EQ(judge_target("/..."), 0);
    CHECK_EQ(judge_target("/%2e%2e/a"), 400);
    CHECK_EQ(judge_target("/a%00"), 400);
    CHECK_EQ(judge_target("/a\\b"), 400);
    CHECK_EQ(judge_target("/a;b"), 400);
    CHECK_EQ(judge_target("/a?b=%00"), 400);
    CHECK_EQ(judge_target("/a?b=%2"), 400);
    CHECK_EQ(judge_target("/a?b=%zz"), 400);
    CHECK_EQ(judge_target("/a?b=\x80"), 400);
    CHECK_EQ(judge_target("/a?../b"), 0);
}

TEST(heads_have_limits)
{
    char *text = malloc(2 * PF_GUARD_HEAD_MAX);
    size_t used = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST "X: ");
    memset(text + used, 'x', 2 * PF_GUARD_HEAD_MAX - used);
    CHECK_EQ(judge(text, PF_GUARD_HEAD_MAX), 0);
    CHECK_EQ(judge(text, PF_GUARD_HEAD_MAX + 1), 431);
    used = (size_t)sprintf(text, "GET /");
    memset(text + used, 'x', PF_GUARD_TARGET_MAX);
    sprintf(text + used + PF_GUARD_TARGET_MAX, " HTTP/1.1\r\n" HOST "\r\n");
    CHECK_EQ(judge_text(text), 414);
    used = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < PF_GUARD_FIELDS_MAX; i++)
        used += (size_t)sprintf(text + used, "A: b\r\n");
    CHECK_EQ(judge(text, used), 431);
    free(text);
}

TEST(tokens_are_compared_as_a_whole)
{
    CHECK(pf_token_is("abcdefgh", "abcdefgh"));
    CHECK(!pf_token_is("abcdefgh", "abcdefg"));
    CHECK(!pf_token_is("abcdefgh", "abcdefghi"));
    CHECK(!pf_token_is("abcdefgh", "abcdefghabcdefgh"));
    CHECK(!pf_token_is("abcdefgh", "bbcdefgh"));
    CHECK(!pf_token_is("abcdefgh", ""));
    CHECK(!pf_token_is("", "a"));
}

TEST(who_may_what)
{
    struct pf_access access = {.token = "0123456789abcdef", .read_token = "fedcba9876543210"};
    CHECK_EQ(pf_access_of(&access, NULL, NULL), PF_ACCESS_NONE);
    CHECK_EQ(pf_access_of(&access, "Bearer 0123456789abcdef", NULL), PF_ACCESS_FULL);
    CHECK_EQ(pf_access_of(&access, "bearer  0123456789abcdef", NULL), PF_ACCESS_FULL);
    CHECK_EQ(pf_access_of(&access, "Bearer fedcba9876543210", NULL), PF_ACCESS_READ);
    CHECK_EQ(pf_access_of(&access, "Bearer ", NULL), PF_ACCESS_NONE);
    CHECK_EQ(pf_access_of(&access, "Basic 0123456789abcdef", NULL), PF_ACCESS_NONE);
    CHECK_EQ(pf_access_of(&access, NULL, "a=b; parfocal=0123456789abcdef; c=d"), PF_ACCESS_FULL);
    CHECK_EQ(pf_access_of(&access, NULL, "xparfocal=0123456789abcdef"), PF_ACCESS_NONE);
    CHECK_EQ(pf_access_of(&access, NULL, "parfocal=; parfocal=0123456789abcdef"), PF_ACCESS_NONE);
    access = (struct pf_access){0};
    CHECK_EQ(pf_access_of(&access, NULL, NULL), PF_ACCESS_FULL);
}

TEST(names_of_ours)
{
    struct pf_access access = {.names = "studio.example, box"};
    CHECK(pf_access_host_is_ours(&access, "localhost:8420", "127.0.0.1"));
    CHECK(pf_access_host_is_ours(&access, "127.0.0.1", "127.0.0.1"));
    CHECK(pf_access_host_is_ours(&access, "[::1]:80", "::1"));
    CHECK(pf_access_host_is_ours(&access, "BOX:1", "127.0.0.1"));
    CHECK(pf_access_host_is_ours(&access, "studio.example", "127.0.0.1"));
    CHECK(pf_access_host_is_ours(&access, "192.168.1.7:80", "192.168.1.7"));
    CHECK(pf_access_host_is_ours(&access, "192.168.1.7:80", "0.0.0.0"));
    CHECK(!pf_access_host_is_ours(&access, "192.168.1.8:80", "192.168.1.7"));
    CHECK(!pf_access_host_is_ours(&access, "evil.example", "0.0.0.0"));
    CHECK(!pf_access_host_is_ours(&access, "localhost.evil.example", "127.0.0.1"));
    CHECK(!pf_access_host_is_ours(&access, "localhost:8420x", "127.0.0.1"));
    CHECK(!pf_access_host_is_ours(&access, "", "127.0.0.1"));
    CHECK(!pf_access_host_is_ours(&access, "[::1", "::1"));
    CHECK(!pf_access_host_is_ours(&access, NULL, "127.0.0.1"));
}

TEST(sites_of_ours)
{
    CHECK(pf_access_origin_is_ours(NULL, NULL, "localhost:1", true));
    CHECK(pf_access_origin_is_ours("http://localhost:1", "same-origin", "localhost:1", true));
    CHECK(pf_access_origin_is_ours("https://box", NULL, "box", true));
    CHECK(pf_access_origin_is_ours(NULL, "cross-site", "localhost:1", false)); /* a link */
    CHECK(!pf_access_origin_is_ours(NULL, "cross-site", "localhost:1", true));
    CHECK(!pf_access_origin_is_ours(NULL, "same-site", "localhost:1", true));
    CHECK(!pf_access_origin_is_ours("http://localhost:2", NULL, "localhost:1", true));
    CHECK(!pf_access_origin_is_ours("null", NULL, "localhost:1", false));
    CHECK(!pf_access_origin_is_ours("http://evil", NULL, NULL, true));
}

static int parse(const char *text)
{
    struct pf_address address;
    return pf_address_parse(&address, text, NULL);
}

TEST(addresses)
{
    struct pf_address address;
    struct pf_error err = {0};
    CHECK_OK(pf_address_parse(&address, "localhost:80", &err), &err);
    CHECK_STR(address.host, "127.0.0.1");
    CHECK_STR(pf_address_describe(&address), "http://127.0.0.1:80/");
    CHECK_OK(pf_address_parse(&address, "[::1]:8420", &err), &err);
    CHECK_STR(pf_address_describe(&address), "http://[::1]:8420/");
    CHECK_OK(pf_address_parse(&address, "unix:/run/a", &err), &err);
    CHECK(address.is_unix);
    CHECK_EQ(parse("80"), -EINVAL);
    CHECK_EQ(parse(":80"), -EINVAL);
    CHECK_EQ(parse("127.0.0.1:"), -EINVAL);
    CHECK_EQ(parse("127.0.0.1:65536"), -EINVAL);
    CHECK_EQ(parse("127.0.0.1:8o"), -EINVAL);
    CHECK_EQ(parse("::1:80"), -EINVAL);
    CHECK_EQ(parse("example.com:80"), -EINVAL);
    CHECK_EQ(parse("unix:"), -EINVAL);
    CHECK(pf_access_is_loopback("127.9.9.9"));
    CHECK(pf_access_is_loopback("::1"));
    CHECK(!pf_access_is_loopback("0.0.0.0"));
    CHECK(!pf_access_is_loopback("::"));
}

static int check(const char *http, const char *token, const char *read_token)
{
    struct pf_settings settings;
    struct pf_error err = {0};
    CHECK_OK(pf_settings_init(&settings, &err), &err);
    CHECK_OK(pf_settings_set(&settings, "http", http, &err), &err);
    CHECK_OK(pf_settings_set(&settings, "http_token", token, &err), &err);
    CHECK_OK(pf_settings_set(&settings, "http_read_token", read_token, &err), &err);
    struct pf_access access;
    int r = pf_access_init(&access, &settings, &err);
    if (!r)
        pf_access_free(&access);
    pf_settings_free(&settings);
    return r;
}

TEST(tokens_that_can_be)
{
    CHECK_EQ(check("off", "", ""), 0);
    CHECK_EQ(check("off", "0123456789abcdef", ""), 0);
    CHECK_EQ(check("off", "0123456789abcde", ""), -EINVAL);
    CHECK_EQ(check("off", "0123456789;abcdef", ""), -EINVAL);
    CHECK_EQ(check("off", "", "0123456789abcdef"), -EINVAL); /* of use beside the other one only */
    CHECK_EQ(check("off", "/nowhere/token", ""), -ENOENT);
}
