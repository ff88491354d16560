/* Memory, copies, waiting and errors of a CUDA device; see runtime.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process/cuda/queue.h"

extern "C" {
#include "config/base/time.h"
}

/* A frame's waits take 0.3 to 1.5 ms each, and who sleeps is awake again some 50 us late, several times a frame. To
 * ask meanwhile costs a core no more than those few milliseconds of each frame, of which there are a few a second:
 * longer waits, for frames of 300 MP or a deformation, leave it to those who decode pictures. */
#define POLL_MS 2

static int fail(struct pf_error *err, cudaError_t error, const char *what)
{
    int code = error == cudaErrorMemoryAllocation ? ENOMEM : EREMOTEIO;
    return pf_fail(err, code, "CUDA: %s: %s (%s)", what, cudaGetErrorString(error),
                   cudaGetErrorName(error));
}

bool pf_cuda_note(struct pf_cuda *cuda, cudaError_t error, const char *what)
{
    if (error != cudaSuccess && cuda->error == cudaSuccess) {
        cuda->error = error;
        snprintf(cuda->what, sizeof(cuda->what), "%s", what);
    }
    return cuda->error == cudaSuccess;
}

/* ---- devices ---- */

const char *pf_cuda_driver_least(void)
{
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    switch (runtime / 1000) {
    case 11:
        return "450.80.02";
    case 12:
        return "525.60.13";
    case 13:
        return "580.65.06";
    default:
        return "";
    }
}

int pf_cuda_device_find(struct pf_cuda_device *ret, struct pf_error *err)
{
    int count = 0;
    /* All kernels are loaded with the context: not each when a frame first needs it. */
    setenv("CUDA_MODULE_LOADING", "EAGER", 0);
    cudaError_t error = cudaGetDeviceCount(&count);
    cudaGetLastError(); /* having none is no error that should stay */
    if (error == cudaErrorInsufficientDriver) {
        int driver = 0, runtime = 0;
        cudaDriverGetVersion(&driver);
        cudaRuntimeGetVersion(&runtime);
        cudaGetLastError();
        if (driver == 0)
            return pf_fail(err, ENODEV, "no NVIDIA driver is installed");
        return pf_fail(err, ENXIO, "the NVIDIA driver is for CUDA %d.%d, CUDA %d.%d is needed",
                       driver / 1000, driver % 100 / 10, runtime / 1000, runtime % 100 / 10);
    }
    if (error == cudaErrorUnknown && access("/dev/nvidiactl", F_OK) == 0 &&
        access("/dev/nvidia-uvm", F_OK) < 0)
        return pf_fail(
            err, ENXIO,
            "the NVIDIA driver's part for computing is not loaded: nvidia-modprobe -u -c 0");
    if (error != cudaSuccess && error != cudaErrorNoDevice)
        return pf_fail(err, ENXIO, "the NVIDIA driver does not answer: %s",
                       cudaGetErrorString(error));
    if (error == cudaErrorNoDevice || count == 0)
        return pf_fail(err, ENODEV, "no NVIDIA GPU is there");
    cudaDeviceProp properties;
    memset(&properties, 0, sizeof(properties));
    error = cudaGetDeviceProperties(&properties, 0);
    /* The host sleeps while it waits: its cores have pictures to decode. */
    if (error == cudaSuccess)
        error = cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync);
    if (error == cudaSuccess)
        error = cudaSetDevice(0);
    size_t free_bytes = 0, total_bytes = 0;
    if (error == cudaSuccess)
        error = cudaMemGetInfo(&free_bytes, &total_bytes); /* makes the context */
    cudaGetLastError();
    if (error != cudaSuccess)
        return pf_fail(err, ENXIO, "the GPU %s cannot be used: %s", properties.name,
                       cudaGetErrorString(error));
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->name, sizeof(ret->name), "%s", properties.name);
    ret->major = properties.major;
    ret->minor = properties.minor;
    ret->memory_bytes = total_bytes;
    ret->free_bytes = free_bytes;
    ret->shares_memory = properties.integrated && properties.canMapHostMemory;
    return 0;
}

void pf_cuda_device_close(void)
{
    cudaDeviceReset();
    cudaGetLastError(); /* a device that has failed says so again */
}

/* ---- a queue ---- */

int pf_cuda_new(struct pf_cuda **ret, struct pf_cuda_store *store, struct pf_error *err)
{
    struct pf_cuda *cuda = (struct pf_cuda *)calloc(1, sizeof(*cuda));
    if (!cuda)
        return pf_fail(err, ENOMEM, "out of memory for a queue of the GPU");
    int integrated = 0, maps = 0;
    cuda->store = store;
    /* Not all properties: some of them take a driver much longer. */
    pf_cuda_note(cuda, cudaDeviceGetAttribute(&integrated, cudaDevAttrIntegrated, 0),
                 "asking for the device");
    pf_cuda_note(cuda, cudaDeviceGetAttribute(&maps, cudaDevAttrCanMapHostMemory, 0),
                 "asking for the device");
    cuda->shares_memory = integrated && maps;
    for (int i = 0; i < PF_CUDA_LANES && cuda->error == cudaSuccess; i++)
        pf_cuda_note(cuda, cudaStreamCreateWithFlags(&cuda->lane[i], cudaStreamNonBlocking),
                     "making a stream");
    for (int i = 0; i < PF_CUDA_MARKS && cuda->error == cudaSuccess; i++)
        pf_cuda_note(cuda,
                     cudaEventCreateWithFlags(&cuda->mark[i],
                                              cudaEventDisableTiming | cudaEventBlockingSync),
                     "making an event");
    if (cuda->error != cudaSuccess) {
        int r = fail(err, cuda->error, cuda->what);
        pf_cuda_free(cuda);
        return r;
    }
    *ret = cuda;
    return 0;
}

struct pf_cuda *pf_cuda_free(struct pf_cuda *cuda)
{
    if (!cuda)
        return NULL;
    for (int i = 0; i < PF_CUDA_LANES; i++)
        if (cuda->lane[i]) {
            cudaStreamSynchronize(cuda->lane[i]);
            cudaStreamDestroy(cuda->lane[i]);
        }
    for (int i = 0; i < PF_CUDA_MARKS; i++)
        if (cuda->mark[i])
            cudaEventDestroy(cuda->mark[i]);
    free(cuda);
    return NULL;
}

/* ---- memory ---- */

bool pf_cuda_shares_memory(const struct pf_cuda *cuda)
{
    return cuda->shares_memory;
}

static void give_back(void *memory, bool pinned)
{
    if (pinned)
        cudaFreeHost(memory);
    else
        cudaFree(memory);
}

void pf_cuda_give_back(struct pf_cuda_store *store)
{
    bool pinned;
    void *memory;
    while (store && (memory = pf_cuda_store_drop(store, &pinned)) != NULL)
        give_back(memory, pinned);
}

size_t pf_cuda_free_bytes(void)
{
    size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    return free_bytes;
}

static cudaError_t obtain(void **ret, bool pinned, size_t size_bytes)
{
    cudaError_t error =
        pinned ? cudaHostAlloc(ret, size_bytes, cudaHostAllocDefault) : cudaMalloc(ret, size_bytes);
    if (error != cudaSuccess)
        cudaGetLastError(); /* no room is no failure of the device */
    return error;
}

/* Of the store, else of the device or the host; `error` says what came of that. NULL: nothing came. */
static void *take(struct pf_cuda *cuda, bool pinned, size_t size_bytes, cudaError_t *error,
                  struct pf_error *err)
{
    size_bytes += !size_bytes; /* of nothing, CUDA gives NULL */
    void *memory = cuda->store ? pf_cuda_store_take(cuda->store, pinned, size_bytes) : NULL;
    *error = cudaSuccess;
    if (memory)
        return memory;
    *error = obtain(&memory, pinned, size_bytes);
    if (*error == cudaErrorMemoryAllocation && cuda->store) {
        pf_cuda_give_back(cuda->store);
        *error = obtain(&memory, pinned, size_bytes);
    }
    if (*error != cudaSuccess && *error != cudaErrorMemoryAllocation)
        pf_cuda_note(cuda, *error, pinned ? "taking pinned memory" : "taking memory");
    if (*error != cudaSuccess)
        return NULL;
    if (cuda->store && pf_cuda_store_add(cuda->store, pinned, memory, size_bytes, err) < 0) {
        give_back(memory, pinned);
        return NULL;
    }
    return memory;
}

int pf_cuda_alloc(struct pf_cuda *cuda, void **ret, size_t size_bytes, struct pf_error *err)
{
    cudaError_t error;
    void *memory = take(cuda, false, size_bytes, &error, err);
    if (memory) {
        *ret = memory;
        return 0;
    }
    if (error == cudaSuccess)
        return -ENOMEM;
    if (error != cudaErrorMemoryAllocation)
        return fail(err, error, "taking memory");
    size_t free_bytes = 0, total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    return pf_fail(err, ENOMEM, "the GPU has no room: %zu MiB are needed, %zu of %zu MiB are free",
                   (size_bytes >> 20) + 1, free_bytes >> 20, total_bytes >> 20);
}

/* Asks for a short while, and sleeps if that was not enough. */
template <class Query, class Wait> static cudaError_t wait_until_done(Query query, Wait wait)
{
    double until_ms = pf_now_ms() + POLL_MS;
    cudaError_t error;
    while ((error = query()) == cudaErrorNotReady) {
        cudaGetLastError(); /* to be under way is no error that should stay */
        if (pf_now_ms() >= until_ms)
            return wait();
    }
    return error;
}

static void wait_for_lanes(struct pf_cuda *cuda)
{
    for (int i = 0; i < PF_CUDA_LANES; i++) {
        cudaStream_t lane = cuda->lane[i];
        pf_cuda_note(cuda,
                     wait_until_done([lane]() { return cudaStreamQuery(lane); },
                                     [lane]() { return cudaStreamSynchronize(lane); }),
                     "waiting");
    }
}

/* What is under way may still be at it. */
static void release(struct pf_cuda *cuda, void *memory, bool pinned)
{
    if (!memory)
        return;
    wait_for_lanes(cuda);
    if (cuda->store)
        pf_cuda_store_put(cuda->store, memory);
    else
        give_back(memory, pinned);
}

void pf_cuda_release(struct pf_cuda *cuda, void *memory)
{
    release(cuda, memory, false);
}

int pf_cuda_alloc_pinned(struct pf_cuda *cuda, void **ret, size_t size_bytes, struct pf_error *err)
{
    cudaError_t error;
    void *memory = take(cuda, true, size_bytes, &error, err);
    if (memory) {
        *ret = memory;
        return 0;
    }
    return error == cudaSuccess ? -ENOMEM : fail(err, error, "taking pinned memory");
}

void pf_cuda_release_pinned(struct pf_cuda *cuda, void *memory)
{
    release(cuda, memory, true);
}

int pf_cuda_share(struct pf_cuda *cuda, void **ret_device, void *memory, size_t size_bytes,
                  struct pf_error *err)
{
    if (cuda->error != cudaSuccess)
        return fail(err, cuda->error, cuda->what);
    cudaError_t error = cudaHostRegister(memory, size_bytes, cudaHostRegisterMapped);
    if (error == cudaSuccess) {
        error = cudaHostGetDevicePointer(ret_device, memory, 0);
        if (error != cudaSuccess)
            cudaHostUnregister(memory);
    }
    if (error == cudaSuccess)
        return 0;
    cudaGetLastError(); /* a device that has failed says so again */
    return pf_fail(err, EAGAIN, "memory cannot be shared with the GPU: %s",
                   cudaGetErrorString(error));
}

void pf_cuda_unshare(struct pf_cuda *cuda, void *memory)
{
    wait_for_lanes(cuda);
    pf_cuda_note(cuda, cudaHostUnregister(memory), "sharing memory no more");
}

/* ---- copies ---- */

static void copy(struct pf_cuda *cuda, void *to, const void *from, size_t size_bytes,
                 enum cudaMemcpyKind kind, const char *what)
{
    pf_cuda_note(cuda, cudaMemcpyAsync(to, from, size_bytes, kind, cuda->lane[PF_CUDA_WORK]), what);
}

void pf_cuda_upload(struct pf_cuda *cuda, void *to, const void *from, size_t size_bytes)
{
    copy(cuda, to, from, size_bytes, cudaMemcpyHostToDevice, "copying to the device");
}

void pf_cuda_download(struct pf_cuda *cuda, void *to, const void *from, size_t size_bytes)
{
    copy(cuda, to, from, size_bytes, cudaMemcpyDeviceToHost, "copying from the device");
}

void pf_cuda_copy(struct pf_cuda *cuda, void *to, const void *from, size_t size_bytes)
{
    /* Of pinned memory the device knows where it lies. */
    copy(cuda, to, from, size_bytes, cudaMemcpyDefault, "copying on the device");
}

void pf_cuda_fill(struct pf_cuda *cuda, void *to, int byte, size_t size_bytes)
{
    pf_cuda_note(cuda, cudaMemsetAsync(to, byte, size_bytes, cuda->lane[PF_CUDA_WORK]),
                 "filling memory");
}

void pf_cuda_upload_rows(struct pf_cuda *cuda, enum pf_cuda_lane lane, void *to, size_t to_stride,
                         const void *from, size_t from_stride, size_t row_bytes, size_t rows)
{
    pf_cuda_note(cuda,
                 cudaMemcpy2DAsync(to, to_stride, from, from_stride, row_bytes, rows,
                                   cudaMemcpyHostToDevice, cuda->lane[lane]),
                 "copying a plane to the device");
}

void pf_cuda_download_rows(struct pf_cuda *cuda, void *to, size_t to_stride, const void *from,
                           size_t from_stride, size_t row_bytes, size_t rows)
{
    pf_cuda_note(cuda,
                 cudaMemcpy2DAsync(to, to_stride, from, from_stride, row_bytes, rows,
                                   cudaMemcpyDeviceToHost, cuda->lane[PF_CUDA_WORK]),
                 "copying a plane from the device");
}

void *pf_cuda_lane_of(const struct pf_cuda *cuda, enum pf_cuda_lane lane)
{
    return cuda->lane[lane];
}

void pf_cuda_wait_for_stream(struct pf_cuda *cuda, void *stream)
{
    pf_cuda_note(cuda, cudaStreamSynchronize((cudaStream_t)stream), "waiting for a stream");
}

void pf_cuda_mark(struct pf_cuda *cuda, enum pf_cuda_lane lane, int mark)
{
    pf_cuda_note(cuda, cudaEventRecord(cuda->mark[mark], cuda->lane[lane]), "marking");
}

void pf_cuda_wait_in(struct pf_cuda *cuda, enum pf_cuda_lane lane, int mark)
{
    pf_cuda_note(cuda, cudaStreamWaitEvent(cuda->lane[lane], cuda->mark[mark], 0), "ordering");
}

int pf_cuda_wait_for(struct pf_cuda *cuda, int mark, struct pf_error *err)
{
    cudaEvent_t event = cuda->mark[mark];
    if (cuda->error == cudaSuccess)
        pf_cuda_note(cuda,
                     wait_until_done([event]() { return cudaEventQuery(event); },
                                     [event]() { return cudaEventSynchronize(event); }),
                     "waiting");
    return cuda->error == cudaSuccess ? 0 : fail(err, cuda->error, cuda->what);
}

int pf_cuda_wait(struct pf_cuda *cuda, struct pf_error *err)
{
    if (cuda->error == cudaSuccess)
        wait_for_lanes(cuda);
    return cuda->error == cudaSuccess ? 0 : fail(err, cuda->error, cuda->what);
}
