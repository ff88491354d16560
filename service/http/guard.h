/* The guard: looks at every byte of a connection before evhttp does, and says what is to be refused.
 *
 * Service process; pure, no I/O; one guard for each connection. evhttp of libevent 2.1.12 takes bare
 * line feeds, NUL in a target, empty header names, spaces before a colon, folded lines, two lengths and
 * chunked bodies in silence; here none of them passes. What passes is a request of RFC 9112 with a
 * known method, an origin-form target of plain characters and at most PF_GUARD_BODY_MAX bytes of body
 * that are announced by Content-Length.
 * Source: RFC 9110, RFC 9112; http.c of libevent 2.1.12.
 */
#ifndef PF_HTTP_GUARD_H
#define PF_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PF_GUARD_HEAD_MAX   (16u << 10) /* request line and header fields */
#define PF_GUARD_TARGET_MAX (4u << 10)
#define PF_GUARD_FIELDS_MAX 64
#define PF_GUARD_BODY_MAX   (64u << 10)

struct pf_guard {
    char *line; /* of the head that is being read, without its end; NULL between requests */
    size_t line_bytes, head_bytes;
    int64_t length;    /* of the body, as the head that is being read says */
    int64_t body_left; /* of the body that is being read */
    int fields, hosts, lengths;
    bool carriage;      /* the last byte was a carriage return */
    bool in_head;       /* bytes of a head have come, and not its end */
    bool first, is_1_1; /* the request line is to come; of HTTP/1.1 */
    int status;         /* what it was refused with; nothing more is looked at */
    const char *why;    /* static text */
};

void pf_guard_init(struct pf_guard *guard);
void pf_guard_end(struct pf_guard *guard); /* frees what it holds */

/* 0, or the status with which the connection is to be refused and closed (guard->why says why). */
int pf_guard_feed(struct pf_guard *guard, const void *bytes, size_t count);

/* Whether a target ("/api/v1/bursts?limit=3") is one that we look at: a path of segments of
 * A-Z a-z 0-9 . _ ~ - (none of them empty but the last, none "." or ".."), and a query of printable
 * characters with whole escapes and no NUL. */
bool pf_guard_target_is_plain(const char *target, size_t count);

#endif
