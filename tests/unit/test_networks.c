/* Which addresses are in networks as systemd tells of them. */
#include "service/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "test.h"

static bool have(const struct pf_networks *networks, const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return pf_networks_have(networks, (const struct sockaddr *)&v4);
    CHECK(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    return pf_networks_have(networks, (const struct sockaddr *)&v6);
}

TEST(an_address_is_in_its_network_alone)
{
    struct pf_networks networks = {0};
    CHECK(!have(&networks, "127.0.0.1"));
    pf_networks_add(&networks, "127.0.0.0/8 ::1/128  172.16.0.0/12 fc00::/7 203.0.113.7 ");
    CHECK_EQ(networks.count, 5);
    static const char *const within[] = {"127.0.0.1",  "127.255.255.255", "::1",
                                         "172.16.0.0", "172.31.255.255",  "fdff::1",
                                         "fc00::2",    "203.0.113.7"};
    static const char *const outside[] = {
        "128.0.0.1",      "126.255.255.255", "::2",         "::",      "172.32.0.0",
        "172.15.255.255", "fe00::1",         "203.0.113.6", "7f00::1", "8.8.8.8"};
    for (size_t i = 0; i < sizeof(within) / sizeof(*within); i++)
        CHECK(have(&networks, within[i]));
    for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++)
        CHECK(!have(&networks, outside[i]));
}

TEST(all_addresses_of_one_family)
{
    struct pf_networks networks = {0};
    pf_networks_add(&networks, "::/0");
    CHECK(have(&networks, "2001:db8::1"));
    CHECK(!have(&networks, "203.0.113.7"));
    pf_networks_add(&networks, "0.0.0.0/0");
    CHECK(have(&networks, "203.0.113.7"));
}

TEST(what_is_no_network_is_passed_over)
{
    struct pf_networks networks = {0};
    struct sockaddr_storage local = {.ss_family = AF_UNIX};
    pf_networks_add(&networks, "any 1.2.3/8 1.2.3.4/33 ::/129 ::/x 1.2.3.4/8x "
                               "0123456789012345678901234567890123456789012345678901234567890 /8 "
                               "[infinity] \t 10.0.0.0/8");
    CHECK_EQ(networks.count, 1);
    CHECK(!pf_networks_have(&networks, (const struct sockaddr *)&local));
    for (int i = 0; i < 100; i++)
        pf_networks_add(&networks, "192.0.2.1");
    CHECK_EQ(networks.count, 64);
    CHECK(!have(&networks, "192.0.2.2"));
}
