#include "service/http/guard.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_token(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("._~-", c));
}

static int hex(unsigned char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool path_is_plain(const char *path, size_t count)
{
    if (!count || path[0] != '/')
        return false;
    for (size_t begin = 1, at = 1; at <= count; at++) {
        if (at < count && path[at] != '/') {
            if (!is_plain((unsigned char)path[at]))
                return false;
            continue;
        }
        size_t length = at - begin;
        if ((!length && at < count) || (length == 1 && path[begin] == '.') ||
            (length == 2 && path[begin] == '.' && path[begin + 1] == '.'))
            return false;
        begin = at + 1;
    }
    return true;
}

static bool query_is_plain(const char *query, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)query[i];
        if (c <= ' ' || c >= 0x7f || c == '#')
            return false;
        if (c != '%')
            continue;
        if (i + 2 >= count || hex((unsigned char)query[i + 1]) < 0 ||
            hex((unsigned char)query[i + 2]) < 0 || (query[i + 1] == '0' && query[i + 2] == '0'))
            return false;
        i += 2;
    }
    return true;
}

bool pf_guard_target_is_plain(const char *target, size_t count)
{
    const char *mark = memchr(target, '?', count);
    size_t path = mark ? (size_t)(mark - target) : count;
    return path_is_plain(target, path) && (!mark || query_is_plain(mark + 1, count - path - 1));
}

static void next_request(struct pf_guard *guard)
{
    free(guard->line);
    guard->line = NULL;
    guard->line_bytes = guard->head_bytes = 0;
    guard->fields = guard->hosts = guard->lengths = 0;
    guard->length = guard->body_left = 0;
    guard->carriage = guard->in_head = guard->is_1_1 = false;
    guard->first = true;
}

void pf_guard_init(struct pf_guard *guard)
{
    *guard = (struct pf_guard){0};
    next_request(guard);
}

void pf_guard_end(struct pf_guard *guard)
{
    free(guard->line);
    guard->line = NULL;
}

static int refuse(struct pf_guard *guard, int status, const char *why)
{
    guard->status = status;
    guard->why = why;
    return status;
}

static bool is_method(const char *text, size_t count)
{
    static const char *const methods[] = {"GET",    "HEAD", "POST",   "PATCH",
                                          "DELETE", "PUT",  "OPTIONS"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
        if (strlen(methods[i]) == count && !memcmp(methods[i], text, count))
            return true;
    return false;
}

static int take_request_line(struct pf_guard *guard)
{
    const char *line = guard->line;
    const char *end = line + guard->line_bytes;
    const char *target = memchr(line, ' ', guard->line_bytes);
    if (!target)
        return refuse(guard, 400, "the request line is not one of HTTP/1.1");
    const char *version = memchr(target + 1, ' ', (size_t)(end - target - 1));
    if (!version)
        return refuse(guard, 400, "the request line is not one of HTTP/1.1");
    size_t length = (size_t)(version - target - 1), rest = (size_t)(end - version - 1);
    guard->is_1_1 = rest == 8 && !memcmp(version + 1, "HTTP/1.1", 8);
    if (!guard->is_1_1 && !(rest == 8 && !memcmp(version + 1, "HTTP/1.0", 8)))
        return refuse(guard, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (!is_method(line, (size_t)(target - line)))
        return refuse(guard, 501, "the method is not known");
    if (length > PF_GUARD_TARGET_MAX)
        return refuse(guard, 414, "the target is too long");
    if (!pf_guard_target_is_plain(target + 1, length))
        return refuse(guard, 400, "the target has characters or segments that no path here has");
    return 0;
}

static int take_length(struct pf_guard *guard, const char *value, size_t count)
{
    int64_t length = 0;
    if (guard->lengths++)
        return refuse(guard, 400, "Content-Length is given twice");
    if (!count || count > 18)
        return refuse(guard, count ? 413 : 400, "Content-Length is no number");
    for (size_t i = 0; i < count; i++) {
        if (value[i] < '0' || value[i] > '9')
            return refuse(guard, 400, "Content-Length is no number");
        length = length * 10 + (value[i] - '0');
    }
    if (length > PF_GUARD_BODY_MAX)
        return refuse(guard, 413, "the body is too large");
    guard->length = length;
    return 0;
}

static bool is_field(const char *name, size_t count, const char *wanted)
{
    return strlen(wanted) == count && !strncasecmp(name, wanted, count);
}

static int take_field(struct pf_guard *guard)
{
    const char *line = guard->line, *end = line + guard->line_bytes;
    const char *colon = memchr(line, ':', guard->line_bytes);
    size_t name = colon ? (size_t)(colon - line) : 0;
    if (++guard->fields > PF_GUARD_FIELDS_MAX)
        return refuse(guard, 431, "there are too many header fields");
    if (!name)
        return refuse(guard, 400, "a header field has no name");
    for (size_t i = 0; i < name; i++)
        if (!is_token((unsigned char)line[i]))
            return refuse(guard, 400, "the name of a header field has characters that none has");
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    for (const char *at = value; at < end; at++)
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
            return refuse(guard, 400, "a header field has a control character");
    if (is_field(line, name, "Content-Length"))
        return take_length(guard, value, (size_t)(end - value));
    if (is_field(line, name, "Transfer-Encoding"))
        return refuse(guard, 411, "a body needs Content-Length; no other coding is taken");
    if (is_field(line, name, "Expect"))
        return refuse(guard, 417, "nothing is expected here");
    if (is_field(line, name, "Host") && guard->hosts++)
        return refuse(guard, 400, "Host is given twice");
    return 0;
}

/* A line of the head has ended. */
static int take_line(struct pf_guard *guard)
{
    if (guard->first) {
        guard->first = false;
        return take_request_line(guard);
    }
    if (guard->line_bytes)
        return take_field(guard);
    if (guard->is_1_1 && !guard->hosts)
        return refuse(guard, 400, "Host is missing");
    int64_t length = guard->length;
    next_request(guard);
    guard->body_left = length;
    return 0;
}

static int take_byte(struct pf_guard *guard, char c)
{
    if (!guard->line && !(guard->line = malloc(PF_GUARD_HEAD_MAX)))
        return refuse(guard, 503, "out of memory");
    guard->in_head = true;
    if (++guard->head_bytes > PF_GUARD_HEAD_MAX)
        return refuse(guard, 431, "the head of the request is too large");
    if (c == '\n') {
        if (!guard->carriage)
            return refuse(guard, 400, "a line feed stands alone");
        guard->carriage = false;
        int r = take_line(guard);
        guard->line_bytes = 0;
        return r;
    }
    if (guard->carriage)
        return refuse(guard, 400, "a carriage return stands alone");
    if (!c)
        return refuse(guard, 400, "there is a NUL in the head of the request");
    if (c == '\r')
        guard->carriage = true;
    else
        guard->line[guard->line_bytes++] = c;
    return 0;
}

int pf_guard_feed(struct pf_guard *guard, const void *bytes, size_t count)
{
    const char *at = bytes, *end = at + count;
    while (at < end && !guard->status) {
        if (guard->body_left) {
            size_t take = (size_t)(end - at);
            if ((int64_t)take > guard->body_left)
                take = (size_t)guard->body_left;
            guard->body_left -= (int64_t)take;
            at += take;
        } else {
            take_byte(guard, *at++);
        }
    }
    return guard->status;
}
