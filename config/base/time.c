#include "config/base/time.h"

#include <time.h>

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t pf_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

double pf_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

int64_t pf_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}
