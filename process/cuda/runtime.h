/* The CUDA device as the backend's C code sees it: memory, copies, waiting, errors.
 *
 * Used in the worker, by one thread at a time per queue. A queue (struct pf_cuda) does its work in
 * the order in which it was given; copies to the device may run beside it. Functions that return int
 * give 0 or -errno: -ENOMEM when the device has no room, -EREMOTEIO when the device or its driver has
 * failed. After -EREMOTEIO nothing of CUDA works any more in this process: it is to end.
 * Launches and copies only queue; a failure is remembered with the name of what failed first, and told
 * by the next call that returns int.
 */
#ifndef PF_CUDA_RUNTIME_H
#define PF_CUDA_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

#include "process/cuda/store.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pf_cuda_device {
    char name[256];
    int major, minor; /* compute capability */
    size_t memory_bytes, free_bytes;
    bool shares_memory; /* with the host: no copies are needed */
};

/* Looks for a device that can be used; makes its context with all kernels in it, which takes a while. Sets
 * the environment: before other threads read it. The reason in one
 * line: -ENODEV, there is no GPU or no driver; -ENXIO, it is not to be used (too old a driver, busy). */
int pf_cuda_device_find(struct pf_cuda_device *ret, struct pf_error *err);

/* The first driver with which what this toolkit has built runs, whatever the minor version: "525.60.13", static;
 * "" where it is not known. Asks no driver.
 * Source: NVIDIA, CUDA Compatibility, "Minor Version Compatibility". */
const char *pf_cuda_driver_least(void);

/* Takes the process's context away, with all that it holds of the device's memory: nothing of it is used any
 * more. Without one, too. */
void pf_cuda_device_close(void);

struct pf_cuda;
/* store: borrowed, outlives it; memory is taken from there and stays there. NULL: of the device, each time. */
int pf_cuda_new(struct pf_cuda **ret, struct pf_cuda_store *store, struct pf_error *err);
struct pf_cuda *pf_cuda_free(struct pf_cuda *cuda); /* waits; NULL-safe, returns NULL */

bool pf_cuda_shares_memory(const struct pf_cuda *cuda);

/* What is free in a store goes back to the device and the host. NULL allowed. */
void pf_cuda_give_back(struct pf_cuda_store *store);
/* What could be had, as the device has it; where it shares the host's memory there may be more. */
size_t pf_cuda_free_bytes(void);

/* Memory has any content. There is a piece of 0 bytes, too. */
int pf_cuda_alloc(struct pf_cuda *cuda, void **ret, size_t size_bytes, struct pf_error *err);
void pf_cuda_release(struct pf_cuda *cuda, void *memory); /* waits; NULL allowed */
/* Host memory that is pinned: what is copied from or to it is copied in the background. */
int pf_cuda_alloc_pinned(struct pf_cuda *cuda, void **ret, size_t size_bytes, struct pf_error *err);
void pf_cuda_release_pinned(struct pf_cuda *cuda, void *memory); /* waits; NULL allowed */
/* Where device and host share their memory: the caller's memory as the device sees it, without a
 * copy, until it is let go. -EAGAIN: it cannot be shared (whole pages are, each once). */
int pf_cuda_share(struct pf_cuda *cuda, void **ret_device, void *memory, size_t size_bytes,
                  struct pf_error *err);
void pf_cuda_unshare(struct pf_cuda *cuda, void *memory); /* waits */

/* Queued behind all that was given before. Host memory must be pinned or stay as it is until the queue
 * has been waited for. */
void pf_cuda_upload(struct pf_cuda *cuda, void *to, const void *from, size_t size_bytes);
void pf_cuda_download(struct pf_cuda *cuda, void *to, const void *from, size_t size_bytes);
void pf_cuda_download_rows(struct pf_cuda *cuda, void *to, size_t to_stride, const void *from,
                           size_t from_stride, size_t row_bytes, size_t rows);
void pf_cuda_copy(struct pf_cuda *cuda, void *to, const void *from, size_t size_bytes);
void pf_cuda_fill(struct pf_cuda *cuda, void *to, int byte, size_t size_bytes);

/* Beside the queue: copies to the device that do not wait for its work, and marks in either. */
enum pf_cuda_lane { PF_CUDA_WORK, PF_CUDA_COPIES, PF_CUDA_LANES };
enum { PF_CUDA_MARKS = 8 };
void *pf_cuda_lane_of(const struct pf_cuda *cuda, enum pf_cuda_lane lane); /* a cudaStream_t */
void pf_cuda_wait_for_stream(struct pf_cuda *cuda, void *stream); /* of another library's */
void pf_cuda_upload_rows(struct pf_cuda *cuda, enum pf_cuda_lane lane, void *to, size_t to_stride,
                         const void *from, size_t from_stride, size_t row_bytes, size_t rows);
void pf_cuda_mark(struct pf_cuda *cuda, enum pf_cuda_lane lane, int mark);
void pf_cuda_wait_in(struct pf_cuda *cuda, enum pf_cuda_lane lane, int mark); /* the lane waits */
int pf_cuda_wait_for(struct pf_cuda *cuda, int mark, struct pf_error *err);   /* the caller waits */

/* Waits until all is done. */
int pf_cuda_wait(struct pf_cuda *cuda, struct pf_error *err);

#ifdef __cplusplus
}
#endif

#endif
