/* The part of the CUDA run-time interface that parfocal calls, for launches on fibers; see fibers.h.
 *
 * Device memory is the host's, but copies are checked for their direction. What a device does beside the host is
 * done when it is waited for (fibers_queue.h).
 */
#ifndef PF_FIBERS_RUNTIME_H
#define PF_FIBERS_RUNTIME_H

#include <stddef.h>

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidMemcpyDirection = 21,
    cudaErrorInsufficientDriver = 35,
    cudaErrorDevicesUnavailable = 46,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
    cudaErrorHostMemoryAlreadyRegistered = 712,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchFailure = 719,
    cudaErrorUnknown = 999,
};

enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault,
};

enum {
    cudaStreamDefault = 0,
    cudaStreamNonBlocking = 1,
    cudaEventDefault = 0,
    cudaEventBlockingSync = 1,
    cudaEventDisableTiming = 2,
    cudaHostAllocDefault = 0,
    cudaHostAllocPortable = 1,
    cudaHostAllocMapped = 2,
    cudaHostAllocWriteCombined = 4,
    cudaHostRegisterMapped = 2,
    cudaDeviceScheduleBlockingSync = 4,
    cudaDeviceMapHost = 8,
};

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount, l2CacheSize, memoryBusWidth;
    int integrated, canMapHostMemory, unifiedAddressing, maxThreadsPerBlock;
};

enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
};

typedef struct fibers_stream *cudaStream_t;
typedef struct fibers_event *cudaEvent_t;

/* For fibers.cpp and fibers_queue.cpp: counts a call, false when the device is lost; sets the last error; and what
 * cudaFuncSetAttribute has allowed. */
bool fibers_call(bool launch);
bool fibers_is_lost(void);
void fibers_fail(cudaError_t error);
size_t fibers_shared_limit(const void *kernel);

const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);

cudaError_t cudaGetDeviceCount(int *ret);
cudaError_t cudaGetDevice(int *ret);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaSetDeviceFlags(unsigned flags);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *ret, int device);
enum cudaDeviceAttr { cudaDevAttrIntegrated = 18, cudaDevAttrCanMapHostMemory = 19 };
cudaError_t cudaDeviceGetAttribute(int *ret, cudaDeviceAttr attribute, int device);
cudaError_t cudaDriverGetVersion(int *ret);
cudaError_t cudaRuntimeGetVersion(int *ret);
cudaError_t cudaMemGetInfo(size_t *ret_free, size_t *ret_total);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaDeviceReset(void);

cudaError_t fibers_malloc(void **ret, size_t bytes, bool host);
template <class T> static inline cudaError_t cudaMalloc(T **ret, size_t bytes)
{
    return fibers_malloc(reinterpret_cast<void **>(ret), bytes, false);
}
template <class T> static inline cudaError_t cudaMallocHost(T **ret, size_t bytes)
{
    return fibers_malloc(reinterpret_cast<void **>(ret), bytes, true);
}
template <class T> static inline cudaError_t cudaHostAlloc(T **ret, size_t bytes, unsigned flags)
{
    (void)flags;
    return fibers_malloc(reinterpret_cast<void **>(ret), bytes, true);
}
cudaError_t cudaFree(void *memory);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void *memory);
cudaError_t fibers_host_device_pointer(void **ret, void *host);
template <class T>
static inline cudaError_t cudaHostGetDevicePointer(T **ret, void *host, unsigned flags)
{
    (void)flags;
    return fibers_host_device_pointer(reinterpret_cast<void **>(ret), host);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width_bytes, size_t height, cudaMemcpyKind kind);
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width_bytes, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void *to, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream = nullptr);
cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width_bytes, size_t height,
                              cudaStream_t stream = nullptr);
cudaError_t fibers_copy_to_constant(void *to, size_t to_bytes, const void *from, size_t bytes);
/* A __constant__ is a static variable here, and belongs to no allocation. */
template <class T>
static inline cudaError_t cudaMemcpyToSymbol(T &symbol, const void *from, size_t bytes)
{
    return fibers_copy_to_constant(&symbol, sizeof(T), from, bytes);
}

cudaError_t cudaStreamCreate(cudaStream_t *ret);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *ret, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t *ret);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ret, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ret_ms, cudaEvent_t from, cudaEvent_t to);

cudaError_t fibers_allow_shared(const void *kernel, int bytes);
template <class Kernel>
static inline cudaError_t cudaFuncSetAttribute(Kernel *kernel, cudaFuncAttribute, int bytes)
{
    return fibers_allow_shared(reinterpret_cast<const void *>(kernel), bytes);
}

#endif
