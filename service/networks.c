#include "service/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct pf_networks *networks, const char *text)
{
    char host[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "/");
    if (networks->count == sizeof(networks->items) / sizeof(*networks->items) ||
        length >= sizeof(host))
        return;
    snprintf(host, sizeof(host), "%.*s", (int)length, text);
    int family = strchr(host, ':') ? AF_INET6 : AF_INET;
    unsigned most = family == AF_INET6 ? 128 : 32, bits = most;
    char *end = "";
    if (text[length])
        bits = (unsigned)strtoul(text + length + 1, &end, 10);
    if (*end || bits > most ||
        inet_pton(family, host, networks->items[networks->count].address) != 1)
        return;
    networks->items[networks->count].family = family;
    networks->items[networks->count++].prefix_bits = bits;
}

void pf_networks_add(struct pf_networks *networks, const char *list)
{
    char word[INET6_ADDRSTRLEN + 5];
    for (const char *at = list; *(at += strspn(at, " ")); at += strcspn(at, " ")) {
        size_t length = strcspn(at, " ");
        if (length >= sizeof(word))
            continue;
        snprintf(word, sizeof(word), "%.*s", (int)length, at);
        add(networks, word);
    }
}

static bool begins_alike(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned rest = bits % 8;
    return !memcmp(a, b, bits / 8) && (!rest || !((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)));
}

bool pf_networks_have(const struct pf_networks *networks, const struct sockaddr *address)
{
    const void *bytes = address->sa_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                        : address->sa_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
                            : NULL;
    for (size_t i = 0; bytes && i < networks->count; i++)
        if (networks->items[i].family == address->sa_family &&
            begins_alike(bytes, networks->items[i].address, networks->items[i].prefix_bits))
            return true;
    return false;
}
