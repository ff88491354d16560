/* An HTTP server for tests, which writes down what is posted to it: receiver DIR [OPTIONS]
 *
 *   --status A,B,...   what it answers, one after the other; the last one for all that come later [204]
 *   --retry-after S    with every answer that is no success
 *   --delay MS         before it answers; -1: never
 *   --flood            its answers do not end
 *   --tls CERT KEY     https (PEM files)
 *
 * Or a journal: receiver --journal SOCKET FILE (tests/receiver/journal.c).
 *
 * It listens on a port of 127.0.0.1 that the kernel chooses, and writes the number to DIR/port. Request
 * N makes DIR/N.head (request line and headers) and DIR/N.body, and at last DIR/N.
 */
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/receiver/receiver.h"

struct receiver {
    struct event_base *base;
    const char *directory, *status, *retry_after;
    long delay_ms;
    bool flood;
    int count;
    SSL_CTX *tls;
};

struct answer {
    struct receiver *receiver;
    struct evhttp_request *request;
    struct event *timer;
    int code;
};

static FILE *make(const struct receiver *receiver, const char *suffix)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%d%s", receiver->directory, receiver->count, suffix);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void write_down(struct receiver *receiver, struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    FILE *head = make(receiver, ".head"), *body = make(receiver, ".body");
    fprintf(head, "%s %s\n",
            evhttp_request_get_command(request) == EVHTTP_REQ_POST ? "POST" : "other",
            evhttp_request_get_uri(request));
    for (struct evkeyval *header = headers->tqh_first; header; header = header->next.tqe_next)
        fprintf(head, "%s: %s\n", header->key, header->value);
    size_t size = evbuffer_get_length(input);
    fwrite(evbuffer_pullup(input, -1), 1, size, body);
    fclose(head);
    fclose(body);
    fclose(make(receiver, ""));
}

/* The next of the list, or its last. */
static int next_status(struct receiver *receiver)
{
    int code = atoi(receiver->status);
    const char *comma = strchr(receiver->status, ',');
    if (comma)
        receiver->status = comma + 1;
    return code;
}

static void flood(struct evhttp_connection *connection, void *context)
{
    static const char chunk[65536] = "nothing that anybody wants";
    struct evhttp_request *request = context;
    struct evbuffer *bytes = evbuffer_new();
    (void)connection;
    evbuffer_add(bytes, chunk, sizeof(chunk));
    evhttp_send_reply_chunk_with_cb(request, bytes, flood, request);
    evbuffer_free(bytes);
}

static void reply(evutil_socket_t fd, short what, void *context)
{
    struct answer *answer = context;
    struct evbuffer *text = evbuffer_new();
    (void)fd, (void)what;
    if (answer->receiver->retry_after && answer->code >= 300)
        evhttp_add_header(evhttp_request_get_output_headers(answer->request), "Retry-After",
                          answer->receiver->retry_after);
    if (answer->receiver->flood) {
        evhttp_send_reply_start(answer->request, answer->code, "flood");
        flood(NULL, answer->request);
    } else {
        if (answer->code != 204)
            evbuffer_add_printf(text, "says the\nreceiver");
        evhttp_send_reply(answer->request, answer->code, "as told", text);
    }
    evbuffer_free(text);
    event_free(answer->timer);
    free(answer);
}

static void on_request(struct evhttp_request *request, void *context)
{
    struct receiver *receiver = context;
    receiver->count++;
    write_down(receiver, request);
    struct answer *answer = calloc(1, sizeof(*answer));
    answer->receiver = receiver;
    answer->request = request;
    answer->code = next_status(receiver);
    answer->timer = evtimer_new(receiver->base, reply, answer);
    struct timeval wait = {.tv_sec = receiver->delay_ms / 1000,
                           .tv_usec = receiver->delay_ms % 1000 * 1000};
    if (receiver->delay_ms >= 0)
        event_add(answer->timer, &wait);
}

static struct bufferevent *secure(struct event_base *base, void *context)
{
    return bufferevent_openssl_socket_new(base, -1, SSL_new(context), BUFFEREVENT_SSL_ACCEPTING,
                                          BEV_OPT_CLOSE_ON_FREE);
}

static void write_port(const struct receiver *receiver, int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    char path[4096], final[4096];
    getsockname(fd, (struct sockaddr *)&address, &size);
    snprintf(path, sizeof(path), "%s/port.new", receiver->directory);
    snprintf(final, sizeof(final), "%s/port", receiver->directory);
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file, "%d\n", ntohs(address.sin_port)) < 0 || fclose(file) ||
        rename(path, final) < 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "--journal"))
        return receive_journal(argv[2], argv[3]);
    struct receiver receiver = {.directory = argc > 1 ? argv[1] : ".", .status = "204"};
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--status") && i + 1 < argc) {
            receiver.status = argv[++i];
        } else if (!strcmp(argv[i], "--retry-after") && i + 1 < argc) {
            receiver.retry_after = argv[++i];
        } else if (!strcmp(argv[i], "--delay") && i + 1 < argc) {
            receiver.delay_ms = atol(argv[++i]);
        } else if (!strcmp(argv[i], "--flood")) {
            receiver.flood = true;
        } else if (!strcmp(argv[i], "--tls") && i + 2 < argc) {
            receiver.tls = SSL_CTX_new(TLS_server_method());
            if (SSL_CTX_use_certificate_chain_file(receiver.tls, argv[i + 1]) != 1 ||
                SSL_CTX_use_PrivateKey_file(receiver.tls, argv[i + 2], SSL_FILETYPE_PEM) != 1) {
                fprintf(stderr, "%s, %s: no certificate and key\n", argv[i + 1], argv[i + 2]);
                return 1;
            }
            i += 2;
        } else {
            fprintf(stderr, "receiver: %s is no option\n", argv[i]);
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    receiver.base = event_base_new();
    struct evhttp *http = evhttp_new(receiver.base);
    if (receiver.tls)
        evhttp_set_bevcb(http, secure, receiver.tls);
    evhttp_set_gencb(http, on_request, &receiver);
    struct evhttp_bound_socket *socket = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    if (!socket) {
        perror("listening");
        return 1;
    }
    write_port(&receiver, evhttp_bound_socket_get_fd(socket));
    event_base_dispatch(receiver.base);
    return 0;
}
