/* Which part of a file a request asks for: a single range of bytes (RFC 9110, 14).
 *
 * Pure; callable from any thread.
 */
#ifndef PF_HTTP_RANGE_H
#define PF_HTTP_RANGE_H

#include <stdint.h>

/* range, if_range: the headers, NULL none; etag: of the file as it is now, with its quotes.
 * 0: the whole file, as without the header: for several ranges, other units, what is not understood, and
 * where the file is another one than If-Range says. 1: *ret_from and *ret_count (at least 1) lie within
 * `bytes`. -ERANGE: there is nothing of the file there. */
int pf_range_of(const char *range, const char *if_range, const char *etag, int64_t bytes,
                int64_t *ret_from, int64_t *ret_count);

#endif
