#include "service/http/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/local_socket.h"
#include "service/http/server.h"

#define BACKLOG 512

static int parse_unix(struct pf_address *address, const char *path, struct pf_error *err)
{
    if (!*path)
        return pf_fail(err, EINVAL, "http = unix: needs a path behind it");
    if (strlen(path) >= sizeof(address->path))
        return pf_fail(err, EINVAL, "http = unix:%.100s...: the path is too long", path);
    snprintf(address->path, sizeof(address->path), "%s", path);
    address->is_unix = true;
    return 0;
}

/* "a:1", "[a]:1" -> host and port. */
static int split(const char *text, char *host, size_t size, int *ret_port)
{
    const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
    char *rest;
    if (!colon || colon == text || !colon[1])
        return -EINVAL;
    if (*text == '[') {
        if (colon[-1] != ']')
            return -EINVAL;
        begin++;
        end--;
    } else if (memchr(text, ':', (size_t)(colon - text))) {
        return -EINVAL; /* an IPv6 address has brackets */
    }
    long port = strtol(colon + 1, &rest, 10);
    if (*rest || port < 0 || port > 65535 || strspn(colon + 1, "0123456789") == 0 ||
        (size_t)(end - begin) >= size || end == begin)
        return -EINVAL;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *ret_port = (int)port;
    return 0;
}

int pf_address_parse(struct pf_address *ret, const char *text, struct pf_error *err)
{
    struct pf_address address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address.name;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address.name;
    char host[64];
    int port;
    snprintf(address.text, sizeof(address.text), "%s", text);
    if (!strncmp(text, "unix:", 5)) {
        int r = parse_unix(&address, text + 5, err);
        if (!r)
            *ret = address;
        return r;
    }
    if (split(text, host, sizeof(host), &port) < 0)
        return pf_fail(
            err, EINVAL,
            "http = %.100s: an address is ADDRESS:PORT, [ADDRESS]:PORT, unix:PATH, or off", text);
    if (!strcmp(host, "localhost"))
        snprintf(host, sizeof(host), "127.0.0.1");
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        address.name_bytes = sizeof(*v4);
        inet_ntop(AF_INET, &v4->sin_addr, address.host, sizeof(address.host));
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        address.name_bytes = sizeof(*v6);
        inet_ntop(AF_INET6, &v6->sin6_addr, address.host, sizeof(address.host));
    } else {
        return pf_fail(
            err, EINVAL,
            "http = %.100s: the address is neither one of IPv4 nor of IPv6; names are not "
            "looked up (0.0.0.0 and [::] are all addresses of this machine)",
            text);
    }
    *ret = address;
    return 0;
}

int pf_address_inside(struct pf_address *ret, const char *state, struct pf_error *err)
{
    struct pf_address address = {.is_unix = true, .is_inside = true};
    if ((size_t)snprintf(address.path, sizeof(address.path), "%s/" PF_HTTP_SOCKET, state) >=
        sizeof(address.path))
        return pf_fail(err, EINVAL, "state directory %.100s...: the path is too long", state);
    snprintf(address.text, sizeof(address.text), PF_HTTP_SOCKET);
    *ret = address;
    return 0;
}

int pf_address_listen(struct pf_address *address, struct pf_error *err)
{
    int on = 1, r = 0;
    if (address->is_unix)
        return pf_local_listen(address->path, address->is_inside ? PF_LOCAL_OURS : PF_LOCAL_SHARED,
                               BACKLOG, err);
    int fd = socket(address->name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pf_fail_errno(err, errno, "%s", pf_address_describe(address));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* those accepted have it, too */
    if (bind(fd, (struct sockaddr *)&address->name, address->name_bytes) < 0 ||
        listen(fd, BACKLOG) < 0)
        r = pf_fail_errno(err, errno, "%s", pf_address_describe(address));
    else
        getsockname(fd, (struct sockaddr *)&address->name, &address->name_bytes);
    if (r < 0)
        close(fd);
    return r < 0 ? r : fd;
}

void pf_address_forget(const struct pf_address *address)
{
    if (address->is_unix)
        unlink(address->path);
}

const char *pf_address_describe(const struct pf_address *address)
{
    static char text[PF_ADDRESS_CHARS + 32];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->name;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->name;
    if (address->is_unix)
        snprintf(text, sizeof(text), "%s", address->path);
    else if (address->name.ss_family == AF_INET)
        snprintf(text, sizeof(text), "http://%s:%d/", address->host, ntohs(v4->sin_port));
    else
        snprintf(text, sizeof(text), "http://[%s]:%d/", address->host, ntohs(v6->sin6_port));
    return text;
}
