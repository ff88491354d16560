/* NVIDIA's decoder of JPEGs, nvJPEG, where its run-time library is found on the machine: the file goes
 * to the device, and the planes are made there. The program is not linked with it.
 *
 * The CUDA backend's (process/cuda/engine.c), in the worker. pf_nvjpeg_find() once per process, before
 * there are other threads that use it; a decoder belongs to a queue and its thread, and is as good for the stacks
 * that come after in it. What it takes of
 * the device's memory, and of pinned memory, has a limit. Declared here is what of its interface is
 * used, as NVIDIA documents it (docs.nvidia.com/cuda/nvjpeg, versions 11.7 or 11.8 to 13).
 */
#ifndef PF_CUDA_NVJPEG_H
#define PF_CUDA_NVJPEG_H

#include "process/cuda/runtime.h"
#include "process/image.h"

/* Loads the library; *ret_name: "nvJPEG 12.3". -ENOTSUP: there is none, or none that can be used. */
int pf_nvjpeg_find(char *ret_name, size_t size, struct pf_error *err);

struct pf_nvjpeg;

/* The queue is borrowed. -ENOTSUP: the library was not found, or refuses; -ENOMEM. */
int pf_nvjpeg_new(struct pf_nvjpeg **ret, struct pf_cuda *cuda, size_t most_bytes,
                  struct pf_error *err);
struct pf_nvjpeg *pf_nvjpeg_free(struct pf_nvjpeg *nvjpeg); /* NULL-safe, returns NULL */

/* What it may take from now on, for pictures of another size. */
void pf_nvjpeg_limit(struct pf_nvjpeg *nvjpeg, size_t most_bytes);
/* Gives back what it holds between pictures; the next one takes longer for it. The queue has been waited for. NULL
 * allowed. */
void pf_nvjpeg_rest(struct pf_nvjpeg *nvjpeg);
/* Bytes that it holds, of the device's memory or pinned. NULL: none. */
size_t pf_nvjpeg_holds(const struct pf_nvjpeg *nvjpeg, bool pinned);
/* A picture, at any time: who knows in which state that has left it. NULL allowed. */
bool pf_nvjpeg_has_refused(const struct pf_nvjpeg *nvjpeg);

/* Queues among the copies what turns a coded picture into planes of the device, whose rows are
 * stride_bytes apart. Its bytes must stay until that has been waited for; so must the caller on
 * failure. -ENOTSUP: it is to be decoded elsewhere; the reason. */
int pf_nvjpeg_decode(struct pf_nvjpeg *nvjpeg, const struct pf_image *frame, void *const plane[3],
                     const size_t stride_bytes[3], struct pf_error *err);

#endif
