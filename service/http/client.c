#include "service/http/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "service/http/access.h"
#include "service/http/address.h"
#include "service/http/server.h"

#define REPLY_MAX      (64u << 20)
#define LINE_MAX_BYTES (8u << 20)

struct text {
    char *bytes;
    size_t count, most;
};

struct pf_client {
    CURL *curl;
    struct curl_slist *headers;
    char base[PF_ADDRESS_CHARS + 32];
    int directory; /* of the socket; -1: none */
    char last[80]; /* id of the last event */
};

static size_t collect(char *bytes, size_t size, size_t count, void *context)
{
    struct text *text = context;
    size_t more = size * count;
    if (text->count + more > text->most)
        return 0;
    char *grown = realloc(text->bytes, text->count + more + 1);
    if (!grown)
        return 0;
    memcpy(grown + text->count, bytes, more);
    text->bytes = grown;
    text->count += more;
    grown[text->count] = '\0';
    return more;
}

static int choose(struct pf_client *client, const struct pf_settings *settings,
                  struct pf_error *err)
{
    char path[64], first[PF_ADDRESS_CHARS] = "";
    struct pf_address address;
    snprintf(client->base, sizeof(client->base), "http://localhost");
    client->directory = open(settings->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* By the descriptor of its directory a path of any length fits. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d/" PF_HTTP_SOCKET, client->directory);
    bool open_to_us = client->directory >= 0 && access(path, W_OK) == 0;
    bool closed = !open_to_us && errno == EACCES;
    if (open_to_us) {
        curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, path);
        return 0;
    }
    sscanf(settings->http, "%511[^, ]", first);
    if ((!*first || !strcmp(first, "off")) && closed)
        return pf_fail_errno(err, EACCES, "the socket in the state directory %s, and http is off",
                             settings->state);
    if (!*first || !strcmp(first, "off"))
        return pf_fail(err, ENOENT, "no service runs on the state directory %s, and http is off",
                       settings->state);
    int r = pf_address_parse(&address, first, err);
    if (r < 0)
        return r;
    if (address.is_unix) {
        curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, address.path);
    } else {
        snprintf(client->base, sizeof(client->base), "%s", pf_address_describe(&address));
        client->base[strlen(client->base) - 1] = '\0'; /* the slash */
    }
    return 0;
}

static int add_header(struct pf_client *client, const char *text, struct pf_error *err)
{
    struct curl_slist *headers = curl_slist_append(client->headers, text);
    if (!headers)
        return pf_fail(err, ENOMEM, "out of memory");
    client->headers = headers;
    return 0;
}

int pf_client_new(struct pf_client **ret, const struct pf_settings *settings, struct pf_error *err)
{
    struct pf_client *client = calloc(1, sizeof(*client));
    struct pf_access access = {0};
    char header[4200];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (client) {
        client->directory = -1;
        client->curl = curl_easy_init();
    }
    int r = client && client->curl ? 0 : pf_fail(err, ENOMEM, "out of memory");
    if (!r) {
        curl_easy_setopt(client->curl, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT, 10L);
        r = pf_access_init(&access, settings, err);
    }
    if (!r)
        r = choose(client, settings, err);
    if (!r && access.token) {
        snprintf(header, sizeof(header), "Authorization: Bearer %s", access.token);
        r = add_header(client, header, err);
    }
    if (!r)
        r = add_header(client, "Expect:", err);
    pf_access_free(&access);
    if (r < 0) {
        pf_client_free(client);
        return r;
    }
    *ret = client;
    return 0;
}

struct pf_client *pf_client_free(struct pf_client *client)
{
    if (!client)
        return NULL;
    curl_slist_free_all(client->headers);
    curl_easy_cleanup(client->curl);
    if (client->directory >= 0)
        close(client->directory);
    free(client);
    return NULL;
}

static int no_reply(CURLcode code, struct pf_error *err)
{
    int as_errno = code == CURLE_COULDNT_CONNECT      ? ECONNREFUSED
                   : code == CURLE_OUT_OF_MEMORY      ? ENOMEM
                   : code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT
                                                      : EIO;
    return pf_fail(err, as_errno, "the service does not answer: %s%s", curl_easy_strerror(code),
                   code == CURLE_COULDNT_CONNECT ? " (is it running? --state and --http say where)"
                                                 : "");
}

int pf_client_ask(struct pf_client *client, const char *method, const char *path, json_t *body,
                  json_t **ret, struct pf_error *err)
{
    char *url = pf_text("%s%s", client->base, path);
    char *said = body ? pf_json_text(body, JSON_COMPACT) : NULL;
    struct text text = {.most = REPLY_MAX};
    struct curl_slist *headers = NULL;
    long status = 0;
    bool posts = strcmp(method, "GET") != 0;
    json_decref(body);
    if (!url) {
        free(said);
        return pf_fail(err, ENOMEM, "out of memory");
    }
    for (const struct curl_slist *at = client->headers; at; at = at->next)
        headers = curl_slist_append(headers, at->data);
    if (said)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    curl_easy_setopt(client->curl, CURLOPT_URL, url);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    if (posts) {
        curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE, said ? (long)strlen(said) : 0L);
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, said ? said : "");
    }
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT, 120L);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &text);
    CURLcode code = curl_easy_perform(client->curl);
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    json_t *reply = NULL;
    if (text.bytes)
        pf_json_parse(text.bytes, text.count, 0, &reply, NULL);
    int r = 0;
    if (code != CURLE_OK) {
        r = no_reply(code, err);
    } else if (status >= 400 || !reply) {
        char *why =
            pf_json_bytes_value(json_object_get(json_object_get(reply, "error"), "message"));
        r = pf_fail(err, EBADMSG, "%s", why ? why : "the service gave no reply that is understood");
        free(why);
    }
    if (r < 0)
        json_decref(reply);
    else
        *ret = reply;
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    free(text.bytes);
    free(url);
    free(said);
    return r;
}

/* ---- events ---- */

struct hearing {
    struct pf_client *client;
    bool (*event)(const char *type, const json_t *data, void *context);
    void *context;
    char type[64];
    char *line;
    size_t count, capacity;
    json_t *data;
    bool ended;
};

static bool take_line(struct hearing *hearing, char *line)
{
    if (!strncmp(line, "id: ", 4)) {
        snprintf(hearing->client->last, sizeof(hearing->client->last), "%s", line + 4);
    } else if (!strncmp(line, "event: ", 7)) {
        snprintf(hearing->type, sizeof(hearing->type), "%s", line + 7);
    } else if (!strncmp(line, "data: ", 6)) {
        json_decref(hearing->data);
        hearing->data = NULL;
        pf_json_parse(line + 6, strlen(line + 6), 0, &hearing->data, NULL);
    } else if (!*line && hearing->data) {
        bool more = hearing->event(hearing->type, hearing->data, hearing->context);
        json_decref(hearing->data);
        hearing->data = NULL;
        return more;
    }
    return true;
}

static size_t hear(char *bytes, size_t size, size_t count, void *context)
{
    struct hearing *hearing = context;
    size_t more = size * count;
    for (size_t i = 0; i < more; i++) {
        if (hearing->count + 1 >= hearing->capacity) {
            size_t capacity = hearing->capacity ? hearing->capacity * 2 : 4096;
            char *grown = capacity <= LINE_MAX_BYTES ? realloc(hearing->line, capacity) : NULL;
            if (!grown)
                return 0;
            hearing->line = grown;
            hearing->capacity = capacity;
        }
        if (bytes[i] != '\n') {
            hearing->line[hearing->count++] = bytes[i];
            continue;
        }
        hearing->line[hearing->count] = '\0';
        hearing->count = 0;
        if (!take_line(hearing, hearing->line)) {
            hearing->ended = true;
            return 0;
        }
    }
    return more;
}

int pf_client_listen(struct pf_client *client, const char *path,
                     bool (*event)(const char *type, const json_t *data, void *context),
                     void *context, struct pf_error *err)
{
    struct hearing hearing = {.client = client, .event = event, .context = context};
    struct curl_slist *headers = NULL;
    char *url = pf_text("%s%s", client->base, path), header[128];
    long status = 0;
    if (!url)
        return pf_fail(err, ENOMEM, "out of memory");
    for (const struct curl_slist *at = client->headers; at; at = at->next)
        headers = curl_slist_append(headers, at->data);
    if (*client->last) {
        snprintf(header, sizeof(header), "Last-Event-ID: %s", client->last);
        headers = curl_slist_append(headers, header);
    }
    curl_easy_setopt(client->curl, CURLOPT_URL, url);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT, 0L);
    curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_LIMIT, 1L); /* it is pinged every 15 s */
    curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, hear);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &hearing);
    CURLcode code = curl_easy_perform(client->curl);
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    free(url);
    free(hearing.line);
    json_decref(hearing.data);
    if (hearing.ended)
        return 1;
    if (status >= 400)
        return pf_fail(err, EBADMSG, "the service refuses: status %ld%s", status,
                       status == 401 ? " (http_token)" : "");
    return code == CURLE_COULDNT_CONNECT ? no_reply(code, err) : 0;
}
