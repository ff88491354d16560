#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/base/version.h"
#include "service/hook_run.h"
#include "service/timer.h"

#define ANSWER_MOST                                                                                \
    (1u << 20) /* bytes of an answer that are taken in; none is of use but the first */
#define ANSWER_KEPT 300
#define WAIT_MOST_S 86400 /* what a receiver may ask for */
#define HANDSHAKES  8     /* connections that are kept open between posts */

struct pf_hook_poster {
    CURLM *multi;
    struct event_base *base;
    struct event *timer;
    const struct pf_secret *secret;
    char *ca_file;
};

struct pf_hook_post {
    struct pf_hook_poster *poster;
    CURL *easy; /* NULL when it is done */
    struct curl_slist *headers;
    char *body;
    char error[CURL_ERROR_SIZE];
    size_t answer_bytes;
    char answer[ANSWER_KEPT + 1];
    pf_hook_ended ended;
    void *context;
};

/* ---- libcurl in the event loop (curl_multi_socket_action(3)) ---- */

/* 408, 425 and 429 are a matter of time, and so is what the server cannot do now. 404 and 401 may be
 * mended on the other side while we try. */
static bool is_for_good(long status)
{
    return status == 400 || status == 410 || status == 413 || status == 415 || status == 422;
}

static void finish(struct pf_hook_post *post, CURLcode code)
{
    struct pf_hook_outcome outcome = {0};
    long status = 0;
    curl_off_t wait_s = 0;
    curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(post->easy, CURLINFO_RETRY_AFTER, &wait_s);
    /* We stop listening to a long answer ourselves. */
    bool answered = status && (code == CURLE_OK || post->answer_bytes > ANSWER_MOST);
    outcome.ok = answered && status >= 200 && status < 300;
    outcome.for_good = answered && is_for_good(status);
    if (wait_s > 0)
        outcome.wait_ms = (wait_s < WAIT_MOST_S ? wait_s : WAIT_MOST_S) * 1000;
    if (!answered)
        snprintf(outcome.text, sizeof(outcome.text), "%s",
                 *post->error ? post->error : curl_easy_strerror(code));
    else if (!outcome.ok)
        snprintf(outcome.text, sizeof(outcome.text), "answered %ld%s%s", status,
                 *post->answer ? ": " : "", post->answer);
    curl_multi_remove_handle(post->poster->multi, post->easy);
    curl_easy_cleanup(post->easy);
    post->easy = NULL;
    post->ended(&outcome, post->context);
}

static void look_for_the_done(struct pf_hook_poster *poster)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(poster->multi, &left))) {
        struct pf_hook_post *post = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&post);
        finish(post, code);
    }
}

static void on_socket(evutil_socket_t fd, short what, void *context)
{
    struct pf_hook_poster *poster = context;
    int running;
    int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(poster->multi, fd, flags, &running);
    look_for_the_done(poster);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct pf_hook_poster *poster = context;
    int running;
    (void)fd, (void)what;
    curl_multi_socket_action(poster->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    look_for_the_done(poster);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context)
{
    struct pf_hook_poster *poster = context;
    struct event *event = socket_context;
    (void)easy;
    if (event)
        event_free(event);
    if (what == CURL_POLL_REMOVE)
        return 0;
    short kind = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
                         (what & CURL_POLL_OUT ? EV_WRITE : 0));
    event = event_new(poster->base, fd, kind, on_socket, poster);
    curl_multi_assign(poster->multi, fd, event);
    return event && event_add(event, NULL) == 0 ? 0 : -1;
}

static int watch_time(CURLM *multi, long wait_ms, void *context)
{
    struct pf_hook_poster *poster = context;
    (void)multi;
    if (wait_ms < 0)
        event_del(poster->timer);
    else
        pf_timer_set(poster->timer, wait_ms);
    return 0;
}

int pf_hook_poster_new(struct pf_hook_poster **ret, struct event_base *base, const char *ca_file,
                       const struct pf_secret *secret, struct pf_error *err)
{
    struct pf_hook_poster *poster = calloc(1, sizeof(*poster));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !poster) {
        free(poster);
        return pf_fail(err, ENOMEM, "out of memory for libcurl");
    }
    poster->base = base;
    poster->secret = secret;
    poster->ca_file = strdup(ca_file);
    poster->timer = evtimer_new(base, on_timer, poster);
    poster->multi = curl_multi_init();
    if (!poster->ca_file || !poster->timer || !poster->multi) {
        pf_hook_poster_free(poster);
        return pf_fail(err, ENOMEM, "out of memory for libcurl");
    }
    curl_multi_setopt(poster->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(poster->multi, CURLMOPT_SOCKETDATA, poster);
    curl_multi_setopt(poster->multi, CURLMOPT_TIMERFUNCTION, watch_time);
    curl_multi_setopt(poster->multi, CURLMOPT_TIMERDATA, poster);
    curl_multi_setopt(poster->multi, CURLMOPT_MAXCONNECTS, (long)HANDSHAKES);
    *ret = poster;
    return 0;
}

struct pf_hook_poster *pf_hook_poster_free(struct pf_hook_poster *poster)
{
    if (!poster)
        return NULL;
    if (poster->multi)
        curl_multi_cleanup(poster->multi);
    if (poster->timer)
        event_free(poster->timer);
    free(poster->ca_file);
    free(poster);
    curl_global_cleanup();
    return NULL;
}

/* ---- one post ---- */

static size_t on_answer(char *bytes, size_t one, size_t size, void *context)
{
    struct pf_hook_post *post = context;
    (void)one;
    for (size_t i = 0; i < size && post->answer_bytes + i < ANSWER_KEPT; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        post->answer[post->answer_bytes + i] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
    }
    post->answer_bytes += size;
    return post->answer_bytes > ANSWER_MOST ? 0 : size;
}

static int add_header(struct pf_hook_post *post, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int add_header(struct pf_hook_post *post, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    struct curl_slist *longer = curl_slist_append(post->headers, line);
    if (!longer)
        return -ENOMEM;
    post->headers = longer;
    return 0;
}

static int add_headers(struct pf_hook_post *post, const char *id, int attempt, struct pf_error *err)
{
    char signature[PF_SIGNATURE_CHARS + 1];
    const struct pf_secret *secret = post->poster->secret;
    int64_t now_s = time(NULL);
    int r = add_header(post, "Content-Type: application/json");
    if (!r)
        r = add_header(post, "Expect:"); /* no "100-continue", which many receivers do not know */
    if (!r)
        r = add_header(post, "webhook-id: %s", id);
    if (!r)
        r = add_header(post, "webhook-timestamp: %lld", (long long)now_s);
    if (!r)
        r = add_header(post, "parfocal-attempt: %d", attempt);
    if (!r && secret->size_bytes) {
        r = pf_sign(secret, id, now_s, post->body, signature, err);
        if (!r)
            r = add_header(post, "webhook-signature: %s", signature);
    }
    return r < 0 ? pf_fail(err, -r, "out of memory for a hook") : 0;
}

static bool set_up(struct pf_hook_post *post, const char *url, int64_t limit_ms)
{
    CURL *easy = post->easy;
    char agent[128];
    snprintf(agent, sizeof(agent), "parfocal/%s", pf_version());
    CURLcode r = curl_easy_setopt(easy, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    r |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    r |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    r |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Who is ended while its name is looked up does not wait for the resolver's thread, which a dead name
     * server keeps for half a minute: the thread ends by itself. Before 7.87 he waits. */
#if LIBCURL_VERSION_NUM >= 0x075700
    r |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    r |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)limit_ms);
    r |= curl_easy_setopt(easy, CURLOPT_USERAGENT, agent);
    r |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
    r |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, post->body);
    r |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(post->body));
    r |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, post->headers);
    r |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    r |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, post);
    r |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, post->error);
    r |= curl_easy_setopt(easy, CURLOPT_PRIVATE, post);
    if (*post->poster->ca_file)
        r |= curl_easy_setopt(easy, CURLOPT_CAINFO, post->poster->ca_file);
    return r == CURLE_OK;
}

int pf_hook_post_new(struct pf_hook_post **ret, struct pf_hook_poster *poster, const char *url,
                     const char *id, int attempt, const char *body, int64_t limit_ms,
                     pf_hook_ended ended, void *context, struct pf_error *err)
{
    struct pf_hook_post *post = calloc(1, sizeof(*post));
    if (!post)
        return pf_fail(err, ENOMEM, "out of memory for a hook");
    post->poster = poster;
    post->ended = ended;
    post->context = context;
    post->body = strdup(body);
    post->easy = curl_easy_init();
    int r = post->body && post->easy ? 0 : pf_fail(err, ENOMEM, "out of memory for a hook");
    if (!r)
        r = add_headers(post, id, attempt, err);
    if (!r && (!set_up(post, url, limit_ms) || curl_multi_add_handle(poster->multi, post->easy)))
        r = pf_fail(err, ENOMEM, "out of memory for a hook");
    if (r < 0) {
        pf_hook_post_free(post);
        return r;
    }
    *ret = post;
    return 0;
}

struct pf_hook_post *pf_hook_post_free(struct pf_hook_post *post)
{
    if (!post)
        return NULL;
    if (post->easy) {
        curl_multi_remove_handle(post->poster->multi, post->easy);
        curl_easy_cleanup(post->easy);
    }
    curl_slist_free_all(post->headers);
    free(post->body);
    free(post);
    return NULL;
}
