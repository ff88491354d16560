#include "service/http/range.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define DIGITS "0123456789"

/* Digits to a number; one that is too large is the largest. NULL: there are none. */
static const char *number_at(const char *text, int64_t *ret)
{
    size_t count = strspn(text, DIGITS);
    *ret = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, text[i] - '0', ret)) {
            *ret = INT64_MAX;
            break;
        }
    return count ? text + count : NULL;
}

int pf_range_of(const char *range, const char *if_range, const char *etag, int64_t bytes,
                int64_t *ret_from, int64_t *ret_count)
{
    int64_t from, to;
    if (!range || strncasecmp(range, "bytes=", 6) != 0 || (if_range && strcmp(if_range, etag) != 0))
        return 0;
    const char *at = range + 6 + strspn(range + 6, " \t"), *dash = number_at(at, &from);
    if (*(dash ? dash : at) != '-')
        return 0;
    const char *end = number_at((dash ? dash : at) + 1, &to);
    if ((!dash && !end) || (dash && end && to < from))
        return 0;
    if (!end)
        end = dash + 1;
    else if (!dash) { /* the last so many */
        from = to < bytes ? bytes - to : 0;
        bytes = to ? bytes : 0;
    }
    if (end[strspn(end, " \t")])
        return 0;
    if (from >= bytes)
        return -ERANGE;
    *ret_from = from;
    *ret_count = dash && end != dash + 1 && to < bytes ? to - from + 1 : bytes - from;
    return 1;
}
