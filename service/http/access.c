#include "service/http/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static int read_token(const char *path, char **ret, struct pf_error *err)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    int r = n < 0 ? pf_fail_errno(err, errno, "token file %s", path) : 0;
    if (fd >= 0)
        close(fd);
    if (r < 0)
        return r;
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    *ret = strdup(text);
    return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for a token");
}

static int take_token(const char *setting, const char *key, char **ret, struct pf_error *err)
{
    int r = 0;
    if (!*setting)
        return 0;
    if (*setting == '/')
        r = read_token(setting, ret, err);
    else if (!(*ret = strdup(setting)))
        r = pf_fail(err, ENOMEM, "out of memory for a token");
    if (r < 0)
        return r;
    size_t length = strlen(*ret);
    for (size_t i = 0; i < length; i++)
        if ((*ret)[i] <= ' ' || (*ret)[i] >= 0x7f || strchr("\",;\\", (*ret)[i]))
            return pf_fail(err, EINVAL,
                           "%s: a token has printable characters only, without spaces, quotes, "
                           "backslashes, commas and semicolons",
                           key);
    if (length < PF_TOKEN_LEAST)
        return pf_fail(err, EINVAL,
                       "%s: a token has at least %d characters (for example: openssl rand -hex 24)",
                       key, PF_TOKEN_LEAST);
    return 0;
}

int pf_access_init(struct pf_access *access, const struct pf_settings *settings,
                   struct pf_error *err)
{
    *access = (struct pf_access){.names = strdup(settings->http_host)};
    int r = access->names ? take_token(settings->http_token, "http_token", &access->token, err)
                          : pf_fail(err, ENOMEM, "out of memory");
    if (!r)
        r = take_token(settings->http_read_token, "http_read_token", &access->read_token, err);
    if (!r && access->read_token && !access->token)
        r = pf_fail(err, EINVAL,
                    "http_read_token is of use beside http_token only: without that, everybody who "
                    "reaches the address has full access");
    if (r < 0)
        pf_access_free(access);
    return r;
}

void pf_access_free(struct pf_access *access)
{
    free(access->token);
    free(access->read_token);
    free(access->names);
    *access = (struct pf_access){0};
}

bool pf_token_is(const char *token, const char *given)
{
    size_t length = strlen(token), given_length = strlen(given);
    volatile unsigned char differ = length != given_length;
    for (size_t i = 0; i < given_length; i++)
        differ = differ | (unsigned char)(given[i] ^ token[length ? i % length : 0]);
    return !differ;
}

enum pf_access_kind pf_access_of_token(const struct pf_access *access, const char *given)
{
    bool full = access->token && pf_token_is(access->token, given);
    bool look = access->read_token && pf_token_is(access->read_token, given);
    return full ? PF_ACCESS_FULL : look ? PF_ACCESS_READ : PF_ACCESS_NONE;
}

/* The value of our cookie into `to`. */
static bool take_cookie(const char *cookie, char *to, size_t size)
{
    static const char name[] = "parfocal=";
    for (const char *at = cookie; at && *at; at = strchr(at, ';')) {
        at += strspn(at, "; ");
        if (strncmp(at, name, sizeof(name) - 1) != 0)
            continue;
        at += sizeof(name) - 1;
        size_t length = strcspn(at, "; ");
        if (length >= size)
            return false;
        memcpy(to, at, length);
        to[length] = '\0';
        return true;
    }
    return false;
}

enum pf_access_kind pf_access_of(const struct pf_access *access, const char *authorization,
                                 const char *cookie)
{
    char given[4096];
    if (!access->token)
        return PF_ACCESS_FULL;
    if (authorization && !strncasecmp(authorization, "Bearer ", 7))
        return pf_access_of_token(access, authorization + 7 + strspn(authorization + 7, " "));
    if (take_cookie(cookie, given, sizeof(given)))
        return pf_access_of_token(access, given);
    return PF_ACCESS_NONE;
}

/* The name in "name:port" or "[address]:port", without brackets. False: it is none. */
static bool take_name(const char *host, char *to, size_t size)
{
    const char *begin = host, *rest;
    size_t length;
    if (*host == '[') {
        begin = host + 1;
        length = strcspn(begin, "]");
        if (begin[length] != ']')
            return false;
        rest = begin + length + 1;
    } else {
        length = strcspn(begin, ":");
        rest = begin + length;
    }
    if (!length || length >= size || (*rest && *rest != ':'))
        return false;
    if (*rest && strspn(rest + 1, "0123456789") != strlen(rest + 1))
        return false;
    memcpy(to, begin, length);
    to[length] = '\0';
    return true;
}

bool pf_access_is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool is_listed(const char *names, const char *name)
{
    size_t wanted = strlen(name);
    for (const char *at = names; *(at += strspn(at, ", ")); at += strcspn(at, ", "))
        if (strcspn(at, ", ") == wanted && !strncasecmp(at, name, wanted))
            return true;
    return false;
}

bool pf_access_host_is_ours(const struct pf_access *access, const char *host, const char *address)
{
    char name[256];
    if (!host || !take_name(host, name, sizeof(name)))
        return false;
    if (!strcasecmp(name, "localhost") || is_listed(access->names, name))
        return true;
    if (!is_address(name))
        return false;
    /* Nobody can make a name of a stranger out of an address. */
    bool any = !strcmp(address, "0.0.0.0") || !strcmp(address, "::");
    return any || pf_access_is_loopback(name) || !strcmp(name, address);
}

bool pf_access_origin_is_ours(const char *origin, const char *site, const char *host, bool changes)
{
    if (site && changes && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return false;
    if (!origin)
        return true;
    const char *rest = !strncmp(origin, "http://", 7)    ? origin + 7
                       : !strncmp(origin, "https://", 8) ? origin + 8
                                                         : NULL;
    return rest && host && !strcasecmp(rest, host);
}
