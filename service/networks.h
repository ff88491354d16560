/* Networks by their address and the length of its prefix: whether an address is in one of them.
 *
 * Callable from any process and thread; pure. Zeroed there are none.
 * Source: systemd.resource-control(5), IPAddressAllow=.
 */
#ifndef PF_NETWORKS_H
#define PF_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct pf_networks {
    struct {
        int family; /* AF_INET, AF_INET6 */
        unsigned prefix_bits;
        uint8_t address[16]; /* as many of it as the family has */
    } items[64];
    size_t count;
};

/* Adds those of a list that blanks part: "10.0.0.0/8 ::1". What is no network, or one too many, is passed over. */
void pf_networks_add(struct pf_networks *networks, const char *list);

/* False for an address of another family than these. */
bool pf_networks_have(const struct pf_networks *networks, const struct sockaddr *address);

#endif
