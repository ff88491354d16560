/* Addresses of the HTTP interface: ADDRESS:PORT, [ADDRESS]:PORT, unix:PATH.
 *
 * Service process.
 */
#ifndef PF_HTTP_ADDRESS_H
#define PF_HTTP_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "config/base/error.h"

#define PF_ADDRESS_CHARS 512

struct pf_address {
    char text[PF_ADDRESS_CHARS]; /* as it was given */
    char host[64];               /* numeric; "" of a Unix socket */
    bool is_unix;
    bool is_inside;               /* of the state directory: for this user alone */
    struct sockaddr_storage name; /* unless it is a Unix socket */
    socklen_t name_bytes;
    char path[PF_ADDRESS_CHARS]; /* of a Unix socket; may be longer than sun_path */
};

/* "localhost" is 127.0.0.1; other names are not looked up. -EINVAL. */
int pf_address_parse(struct pf_address *ret, const char *text, struct pf_error *err);
/* The socket in a state directory. -EINVAL: its path is too long. */
int pf_address_inside(struct pf_address *ret, const char *state, struct pf_error *err);

/* A listening, non-blocking socket; a port of 0 becomes the real one in `address`. A Unix socket that
 * nobody listens to is replaced. errno of socket(2), bind(2), listen(2); of a Unix socket those of pf_local_listen(). */
int pf_address_listen(struct pf_address *address, struct pf_error *err);
/* Removes what a Unix socket has left in the file system. */
void pf_address_forget(const struct pf_address *address);

/* "http://127.0.0.1:8420/" or the path; static, until the next call. */
const char *pf_address_describe(const struct pf_address *address);

#endif
