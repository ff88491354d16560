/* Work of the device that was asked for and is not done yet; see fibers.h. For fibers.cpp and fibers_runtime.cpp.
 *
 * Nothing is done before somebody waits for it: the host for a stream, an event or the device, or another
 * stream, of which something is waited for, for an event. What is done is done in the order of its stream, by
 * the thread that waits. In the other of the two orders (fibers.descending) copies are made as early as they may
 * be, where no launch in their stream is before them. After a failure what is left is not done at all.
 */
#ifndef PF_FIBERS_QUEUE_H
#define PF_FIBERS_QUEUE_H

#include <functional>

#include "tests/cuda/fibers_runtime.h"

struct FibersWork {
    std::function<void()> run;
    bool is_launch;
    const char *from; /* pinned memory of the host that it is going to read; NULL: none */
    size_t bytes;
};

/* Queues and launches: one thread at a time, which may take it more than once. */
void fibers_lock(void);
void fibers_unlock(void);

void fibers_queue(cudaStream_t stream, FibersWork work);
void fibers_finish(cudaStream_t stream); /* does what is queued */
void fibers_finish_all(void);
void fibers_forget_all(void); /* what is queued, with a context that is taken away */
bool fibers_is_read(const void *memory, size_t bytes); /* by work that is queued */

#endif
