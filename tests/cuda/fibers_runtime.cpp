/* Memory, copies and errors of a device that is this machine; see fibers_runtime.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "tests/cuda/fibers.h"
#include "tests/cuda/fibers_queue.h"

static const size_t MEMORY_BYTES = (size_t)16 << 30;
static const size_t MOST_SHARED_BYTES = 99 << 10; /* of the smaller GPUs of today */

/* Around each allocation, so that a read past its end finds what nobody expects, and a write is
 * found when it is freed. AddressSanitizer has better ones of its own. */
#ifdef __SANITIZE_ADDRESS__
static const size_t MARGIN_BYTES = 0;
#else
static const size_t MARGIN_BYTES = 256;
#endif

struct Allocation {
    size_t bytes;
    bool host, registered;
};
static std::map<const char *, Allocation> allocations; /* by where they begin */
static std::map<const void *, size_t> shared_limits;
static cudaError_t last_error;
static bool lost; /* the context: every call fails from now on, as on a device */

/* ---- errors ------------------------------------------------------------------------------------ */
void fibers_fail(cudaError_t error)
{
    last_error = error;
    if (error == cudaErrorLaunchFailure)
        lost = true;
}

bool fibers_is_lost(void)
{
    return lost;
}

bool fibers_call(bool launch)
{
    fibers.calls++;
    fibers.launches += launch;
    if (fibers.fail_after > 0 && --fibers.fail_after == 0) {
        while (fibers.hangs)
            sleep(1000);
        if (fibers.crashes)
            __builtin_trap();
        fibers_fail(cudaErrorLaunchFailure);
    }
    if (lost)
        last_error = cudaErrorLaunchFailure;
    return !lost;
}

static cudaError_t fail(cudaError_t error)
{
    last_error = error;
    return error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorLaunchFailure:
        return "cudaErrorLaunchFailure";
    case cudaErrorInvalidMemcpyDirection:
        return "cudaErrorInvalidMemcpyDirection";
    case cudaErrorInvalidConfiguration:
        return "cudaErrorInvalidConfiguration";
    case cudaErrorDevicesUnavailable:
        return "cudaErrorDevicesUnavailable";
    default:
        return "cudaErrorInvalidValue";
    }
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    case cudaErrorInvalidMemcpyDirection:
        return "invalid copy direction for memcpy";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorDevicesUnavailable:
        return "all devices are busy or unavailable";
    default:
        return "invalid argument";
    }
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = lost ? cudaErrorLaunchFailure : cudaSuccess;
    return error;
}

/* ---- the device --------------------------------------------------------------------------------- */
static size_t memory_bytes(void)
{
    return fibers.memory_bytes ? fibers.memory_bytes : MEMORY_BYTES;
}

/* As a driver does at its first call: the addresses of all of the memory, and the host's as well. It keeps
 * them. */
static bool reserve_addresses(void)
{
    const size_t bytes = 4 * MEMORY_BYTES;
    static void *all = MAP_FAILED;
    if (all == MAP_FAILED)
        all = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return all != MAP_FAILED;
}

cudaError_t cudaGetDeviceCount(int *ret)
{
    *ret = !fibers.gone && !fibers.driver;
    if (fibers.driver)
        return fail(cudaErrorInsufficientDriver);
    if (!fibers.gone && !reserve_addresses())
        return fail(cudaErrorMemoryAllocation);
    return fibers.gone ? fail(cudaErrorNoDevice) : cudaSuccess;
}

cudaError_t cudaGetDevice(int *ret)
{
    *ret = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : fail(cudaErrorInvalidValue);
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
    (void)flags;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *ret, int device)
{
    if (device != 0)
        return fail(cudaErrorInvalidValue);
    *ret = {};
    strcpy(ret->name, "fibers");
    ret->totalGlobalMem = memory_bytes();
    ret->sharedMemPerBlock = 48 << 10;
    ret->sharedMemPerBlockOptin = MOST_SHARED_BYTES;
    ret->major = 8;
    ret->minor = 0;
    ret->multiProcessorCount = 2;
    ret->l2CacheSize = 4 << 20;
    ret->memoryBusWidth = 64;
    ret->integrated = fibers.shares_memory;
    ret->canMapHostMemory = 1;
    ret->unifiedAddressing = 1;
    ret->maxThreadsPerBlock = 1024;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *ret, cudaDeviceAttr attribute, int device)
{
    cudaDeviceProp properties;
    cudaError_t error = cudaGetDeviceProperties(&properties, device);
    if (error == cudaSuccess)
        *ret = attribute == cudaDevAttrIntegrated ? properties.integrated
                                                  : properties.canMapHostMemory;
    return error;
}

cudaError_t cudaDriverGetVersion(int *ret)
{
    *ret = fibers.driver ? fibers.driver : 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *ret)
{
    *ret = 13000;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *ret_free, size_t *ret_total)
{
    if (fibers.taken)
        return fail(cudaErrorDevicesUnavailable);
    *ret_total = memory_bytes();
    *ret_free = memory_bytes() - fibers.allocated_bytes;
    return fibers_call(false) ? cudaSuccess : last_error;
}

cudaError_t cudaDeviceReset(void)
{
    lost = false;
    last_error = cudaSuccess;
    fibers_forget_all();
    shared_limits.clear();
    fibers.resets++;
    return cudaSuccess;
}

cudaError_t fibers_allow_shared(const void *kernel, int bytes)
{
    if (bytes < 0 || (size_t)bytes > MOST_SHARED_BYTES)
        return fail(cudaErrorInvalidValue);
    shared_limits[kernel] = (size_t)bytes;
    return cudaSuccess;
}

size_t fibers_shared_limit(const void *kernel)
{
    auto found = shared_limits.find(kernel);
    return found == shared_limits.end() ? 0 : found->second;
}

/* ---- memory ------------------------------------------------------------------------------------- */
cudaError_t fibers_malloc(void **ret, size_t bytes, bool host)
{
    if (!fibers_call(false))
        return last_error;
    if (!bytes) {
        *ret = NULL;
        return cudaSuccess;
    }
    if (!host && bytes > memory_bytes() - fibers.allocated_bytes)
        return fail(cudaErrorMemoryAllocation);
    if (fibers.full_after && fibers.allocations >= fibers.full_after)
        return fail(cudaErrorMemoryAllocation);
    void *all = NULL;
    if (posix_memalign(&all, 256, bytes + 2 * MARGIN_BYTES) != 0)
        return fail(cudaErrorMemoryAllocation);
    memset(all, FIBERS_FRESH, bytes + 2 * MARGIN_BYTES);
    char *memory = static_cast<char *>(all) + MARGIN_BYTES;
    allocations[memory] = {bytes, host, false};
    fibers.allocations++;
    if (!host) {
        fibers.allocated_bytes += bytes;
        if (fibers.allocated_bytes > fibers.most_allocated_bytes)
            fibers.most_allocated_bytes = fibers.allocated_bytes;
    }
    *ret = memory;
    return cudaSuccess;
}

static cudaError_t release(void *memory, bool host)
{
    if (!memory)
        return cudaSuccess;
    auto found = allocations.find(static_cast<char *>(memory));
    if (found == allocations.end() || found->second.host != host || found->second.registered)
        return fail(cudaErrorInvalidValue);
    fibers_finish_all(); /* as a device does before it gives memory back */
    if (!host)
        fibers.allocated_bytes -= found->second.bytes;
    char *begin = static_cast<char *>(memory), *end = begin + found->second.bytes;
    bool spoiled = false;
    for (size_t i = 1; i <= MARGIN_BYTES; i++)
        spoiled |= begin[-i] != (char)FIBERS_FRESH || end[i - 1] != (char)FIBERS_FRESH;
    allocations.erase(found);
    free(begin - MARGIN_BYTES);
    if (spoiled) {
        snprintf(fibers.trouble, sizeof(fibers.trouble),
                 "written outside of an allocation of %zu bytes", (size_t)(end - begin));
        if (!fibers.quiet)
            fprintf(stderr, "fibers: %s\n", fibers.trouble);
        fibers_fail(cudaErrorLaunchFailure);
    }
    return lost ? last_error : cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    return release(memory, false);
}

cudaError_t cudaFreeHost(void *memory)
{
    return release(memory, true);
}

cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned flags)
{
    (void)flags;
    if (!fibers_call(false))
        return last_error;
    if (!memory || !bytes || allocations.count(static_cast<char *>(memory)))
        return fail(cudaErrorInvalidValue);
    /* Whole pages are registered, each once. */
    const uintptr_t page = 4095;
    uintptr_t begin = (uintptr_t)memory & ~page, end = ((uintptr_t)memory + bytes + page) & ~page;
    for (const auto &other : allocations)
        if (other.second.registered &&
            begin < (((uintptr_t)other.first + other.second.bytes + page) & ~page) &&
            ((uintptr_t)other.first & ~page) < end)
            return fail(cudaErrorHostMemoryAlreadyRegistered);
    allocations[static_cast<char *>(memory)] = {bytes, true, true};
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *memory)
{
    auto found = allocations.find(static_cast<char *>(memory));
    if (found == allocations.end() || !found->second.registered)
        return fail(cudaErrorInvalidValue);
    allocations.erase(found);
    return cudaSuccess;
}

/* The allocation in which `at` lies; NULL: in none, so it is plain host memory. */
static const Allocation *allocation_of(const void *at)
{
    const char *address = static_cast<const char *>(at);
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin())
        return NULL;
    --after;
    return address < after->first + after->second.bytes ? &after->second : NULL;
}

static bool on_device(const void *at)
{
    const Allocation *allocation = allocation_of(at);
    return allocation && !allocation->host;
}

cudaError_t fibers_host_device_pointer(void **ret, void *host)
{
    const Allocation *allocation = allocation_of(host);
    if (!allocation || !allocation->host)
        return fail(cudaErrorInvalidValue);
    *ret = host;
    return cudaSuccess;
}

/* ---- copies ------------------------------------------------------------------------------------- */
/* Rows of memory. */
struct Rows {
    char *at;
    size_t pitch, width, height;
};

static size_t extent(const Rows &rows)
{
    return (rows.height - 1) * rows.pitch + rows.width;
}

static void copy_rows(const Rows &to, const Rows &from)
{
    for (size_t y = 0; y < from.height; y++)
        memmove(to.at + y * to.pitch, from.at + y * from.pitch, from.width);
}

/* From memory that is not pinned: of what it was when the copy was asked for. */
static void copy_as_it_was(const Rows &to, const Rows &from, const std::vector<char> &as_it_was,
                           bool is_borrowed)
{
    bool same = true;
    for (size_t y = 0; y < from.height; y++) {
        const char *row = &as_it_was[y * from.width];
        same = same && (!is_borrowed || memcmp(from.at + y * from.pitch, row, from.width) == 0);
        memcpy(to.at + y * to.pitch, row, from.width);
    }
    if (same)
        return;
    snprintf(fibers.trouble, sizeof(fibers.trouble),
             "memory of the host changed before its copy had been waited for");
    if (!fibers.quiet)
        fprintf(stderr, "fibers: %s\n", fibers.trouble);
    fibers_fail(cudaErrorLaunchFailure);
}

/* waits: the host until it is done; but what comes from memory that is not pinned may still be on its way. */
static cudaError_t copy(const Rows &to, const Rows &from, cudaMemcpyKind kind, cudaStream_t stream,
                        bool waits)
{
    if (!fibers_call(false))
        return last_error;
    if (!from.width || !from.height)
        return cudaSuccess;
    if (from.height > 1 && (to.pitch < from.width || from.pitch < from.width))
        return fail(cudaErrorInvalidValue);
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind != cudaMemcpyDefault &&
        (to_device != on_device(to.at) || from_device != on_device(from.at)))
        return fail(cudaErrorInvalidMemcpyDirection);
    bool to_pinned = allocation_of(to.at), from_pinned = allocation_of(from.at);
    if (kind == cudaMemcpyDeviceToHost) {
        fibers.brought_bytes += from.width * from.height;
        fibers.unpinned_bytes += to_pinned ? 0 : from.width * from.height;
    }
    if (from_pinned) {
        if (kind == cudaMemcpyDeviceToHost && !fibers_is_read(to.at, extent(to)))
            for (size_t y = 0; y < to.height; y++)
                memset(to.at + y * to.pitch, FIBERS_FRESH, to.width);
        fibers_queue(stream, {[to, from]() { copy_rows(to, from); }, false,
                              on_device(from.at) ? NULL : from.at, extent(from)});
    } else {
        std::vector<char> as_it_was(from.width * from.height);
        copy_rows({as_it_was.data(), from.width, from.width, from.height}, from);
        fibers_queue(stream, {[to, from, as_it_was = std::move(as_it_was), waits]() {
                                  copy_as_it_was(to, from, as_it_was, !waits);
                              },
                              false, NULL, 0});
    }
    if (!to_pinned || (waits && from_pinned))
        fibers_finish(stream);
    return lost ? last_error : cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    return cudaMemcpy2D(to, bytes, from, bytes, bytes, 1, kind);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

static Rows rows_of(const void *at, size_t pitch, size_t width, size_t height)
{
    return {static_cast<char *>(const_cast<void *>(at)), pitch, width, height};
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width_bytes, size_t height, cudaMemcpyKind kind)
{
    return copy(rows_of(to, to_pitch, width_bytes, height),
                rows_of(from, from_pitch, width_bytes, height), kind, nullptr, true);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width_bytes, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    return copy(rows_of(to, to_pitch, width_bytes, height),
                rows_of(from, from_pitch, width_bytes, height), kind, stream, false);
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    return cudaMemset2DAsync(to, bytes, value, bytes, 1, nullptr);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    return cudaMemset2DAsync(to, bytes, value, bytes, 1, stream);
}

cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width_bytes, size_t height,
                              cudaStream_t stream)
{
    if (!fibers_call(false))
        return last_error;
    /* Pinned memory of the host may be filled, too. */
    if (width_bytes && height && !allocation_of(to))
        return fail(cudaErrorInvalidValue);
    Rows rows = rows_of(to, pitch, width_bytes, height);
    fibers_queue(stream, {[rows, value]() {
                              for (size_t y = 0; y < rows.height; y++)
                                  memset(rows.at + y * rows.pitch, value, rows.width);
                          },
                          false, NULL, 0});
    return lost ? last_error : cudaSuccess;
}

cudaError_t fibers_copy_to_constant(void *to, size_t to_bytes, const void *from, size_t bytes)
{
    if (!fibers_call(false))
        return last_error;
    if (bytes > to_bytes)
        return fail(cudaErrorInvalidValue);
    fibers_finish(nullptr);
    memcpy(to, from, bytes);
    return cudaSuccess;
}
