/* Who may ask what: tokens, Host and Origin.
 *
 * Service process; pure but for reading the tokens at start. Two secrets at most: one that may do
 * everything, one that may look. An address that is neither a loopback one nor a Unix socket needs the
 * first. Host must be a name of ours (against DNS rebinding), and a page that asks must come from here
 * (against posts across sites); a Unix socket has no names to check.
 */
#ifndef PF_HTTP_ACCESS_H
#define PF_HTTP_ACCESS_H

#include <stdbool.h>

#include "config/base/error.h"
#include "config/settings.h"

#define PF_TOKEN_LEAST 16 /* characters */

struct pf_access {
    char *token, *read_token; /* NULL: none */
    char *names;              /* setting http_host, for Host */
};

enum pf_access_kind { PF_ACCESS_NONE, PF_ACCESS_READ, PF_ACCESS_FULL };

/* A setting that begins with '/' names a file, whose first line is the token. -EINVAL: shorter than
 * PF_TOKEN_LEAST, or with characters outside of the printable ones; errno of the file. */
int pf_access_init(struct pf_access *access, const struct pf_settings *settings,
                   struct pf_error *err);
void pf_access_free(struct pf_access *access);

/* Whether both are the same text; how long it takes says nothing of where they differ. */
bool pf_token_is(const char *token, const char *given);

/* authorization, cookie: header fields, NULL absent. Without tokens everybody has full access. */
enum pf_access_kind pf_access_of(const struct pf_access *access, const char *authorization,
                                 const char *cookie);
enum pf_access_kind pf_access_of_token(const struct pf_access *access, const char *given);

/* host: header field, NULL absent. address: what the request came to ("127.0.0.1", "::1"), for a host
 * that is that very address; "0.0.0.0" and "::" have any address for a name. */
bool pf_access_host_is_ours(const struct pf_access *access, const char *host, const char *address);

/* origin: header field, NULL absent. site: Sec-Fetch-Site, NULL absent. changes: the request is other
 * than GET and HEAD. */
bool pf_access_origin_is_ours(const char *origin, const char *site, const char *host, bool changes);

/* Whether an address ("127.0.0.1", "::1") is of this machine alone. */
bool pf_access_is_loopback(const char *address);

#endif
