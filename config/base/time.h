/* Clocks, and how long to wait before something is tried again.
 *
 * Callable from any process and thread.
 */
#ifndef PF_TIME_H
#define PF_TIME_H

#include <stdint.h>

/* CLOCK_MONOTONIC and CLOCK_REALTIME in milliseconds. */
int64_t pf_monotonic_ms(void);
int64_t pf_wall_ms(void);
/* CLOCK_MONOTONIC with its fractions: for measuring. */
double pf_now_ms(void);

/* The pause after one of `last_ms` (0: there was none): `first_ms`, doubling up to `most_ms`. */
static inline int64_t pf_back_off_ms(int64_t last_ms, int64_t first_ms, int64_t most_ms)
{
    int64_t next_ms = last_ms ? last_ms * 2 : first_ms;
    return next_ms < most_ms ? next_ms : most_ms;
}

#endif
