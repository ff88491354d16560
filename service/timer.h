/* Timers of the event loop, in milliseconds.
 *
 * Service process, event loop thread.
 */
#ifndef PF_TIMER_H
#define PF_TIMER_H

#include <event2/event.h>
#include <stdint.h>

/* The timer fires once in that time (at once when it is not positive), and not when it was set to
 * before. */
static inline void pf_timer_set(struct event *timer, int64_t ms)
{
    struct timeval wait = {0};
    if (ms > 0)
        wait = (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_add(timer, &wait);
}

#endif
