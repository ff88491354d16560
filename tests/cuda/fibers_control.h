/* What a test says to the fibers that run its kernels, and what they say to it; see fibers.h.
 *
 * One for the program, used by its one thread that launches. On a GPU there are none of it.
 */
#ifndef PF_FIBERS_CONTROL_H
#define PF_FIBERS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fibers_control {
    bool descending;     /* threads of a block, and blocks, take their turns from the last one; and
                            copies are early, not late (fibers_queue.h) */
    bool quiet;          /* troubles are kept in `trouble` but not printed */
    bool gone;           /* there is no device */
    bool shares_memory;  /* with the host, as small boards have it */
    int driver;          /* > 0: for CUDA 11.4 it is 11040, and too old */
    bool taken;          /* somebody else has the device for himself */
    long unready;        /* so many queries find work that is still under way */
    long full_after;     /* > 0: no more allocations than these are made */
    size_t memory_bytes; /* of the device; 0: 16 GB. cudaMalloc beyond it fails */
    long fail_after;     /* > 0: the call that counts it down to 0 fails, and all after it, as on a
                            device whose context is lost */
    bool hangs, crashes; /* ... does not return, or ends the process, instead */
    const char
        *fails_in; /* NULL, or the kernel whose first launch is that call instead; borrowed */
    /* Said by the fibers. */
    size_t allocated_bytes, most_allocated_bytes;
    long allocations;      /* made so far, of the device and of pinned memory */
    long resets;           /* contexts taken away */
    size_t brought_bytes;  /* copied from the device to the host */
    size_t unpinned_bytes; /* of them to memory that is not pinned: such a copy is waited for */
    long calls, launches;  /* run-time calls that may fail; launches among them */
    char trouble[512];     /* what was wrong with the last launch that failed */
    void (*on_kernel)(const char *name); /* NULL, or told of each kernel at its first launch */
};
extern struct fibers_control fibers;

#ifdef __cplusplus
}
#endif

#endif
