/* What tests of kernels share: included first by each tests/cuda/test_cuda_X.cu, which is a program
 * on fibers (`make test`) and, made by nvcc, on a GPU (`make gpu-check`).
 *
 * Threads of a kernel take their turns in two orders on fibers:
 *     for (int order = 0; order < order_count(); order++) { take_order(order); ... }
 */
#ifndef PF_DEVICE_TEST_H
#define PF_DEVICE_TEST_H

#include "process/cuda/device.h"

#include "tests/unit/test.h"

/* On a GPU there is one order, its own. */
static inline int order_count(void)
{
#ifdef PF_FIBERS
    return 2;
#else
    return 1;
#endif
}

static inline void take_order(int order)
{
#ifdef PF_FIBERS
    fibers.descending = order == 1;
#else
    (void)order;
#endif
}

#define GPU(call)                                                                                  \
    do {                                                                                           \
        cudaError_t gpu_error = (call);                                                            \
        if (gpu_error != cudaSuccess)                                                              \
            FAIL("%s: %s", #call, cudaGetErrorString(gpu_error));                                  \
    } while (0)

/* Memory on the device, with `count` values of `from`, or fresh (NULL). */
template <class T> static inline T *device_copy(const T *from, size_t count)
{
    T *to;
    GPU(cudaMalloc(&to, count * sizeof(T)));
    if (from)
        GPU(cudaMemcpy(to, from, count * sizeof(T), cudaMemcpyHostToDevice));
    /* A short copy may still be on its way, and a queue of its own does not wait for it. */
    GPU(cudaDeviceSynchronize());
    return to;
}

/* Brings them back after a launch, and frees them. */
template <class T> static inline void fetch(T *to, T *from, size_t count)
{
    GPU(cudaGetLastError());
    GPU(cudaDeviceSynchronize());
    GPU(cudaMemcpy(to, from, count * sizeof(T), cudaMemcpyDeviceToHost));
    GPU(cudaFree(from));
}

#endif
