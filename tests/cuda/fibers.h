/* CUDA for g++: a launch runs on fibers (ucontext), one per CUDA thread, on the calling thread.
 *
 * Included by process/cuda/device.h in place of the CUDA Toolkit. It has the part of CUDA C++ and of
 * its run-time interface that parfocal's kernels and launchers use, with the same names, so that
 * they can be checked without a GPU and under sanitizers. What it finds:
 *   - a barrier that not all threads of a block reach, or that they reach at different lines;
 *   - a missing barrier, as wrong results: a thread runs until it has to wait, and in two orders
 *     (fibers.descending), so that what it reads too early is not there yet;
 *   - under AddressSanitizer, any access outside an allocation or an array in shared memory;
 *   - reads of what was never written: memory of the device, and shared memory in each block, begin with 0xA5;
 *   - a host, or a stream, that does not wait for the device, as wrong results: what is asked for is done
 *     no sooner than somebody waits for it (fibers_queue.h), and memory that a copy is to fill is spoilt until then;
 *   - copies in the wrong direction, and launches that no device would take.
 * What it cannot find: races between blocks (they run one after another).
 *
 * A launch that fails is told to who waits for it as cudaErrorLaunchFailure, printed to stderr and kept in
 * fibers.trouble; as on a device, the error stays.
 */
#ifndef PF_FIBERS_H
#define PF_FIBERS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <utility>

#include "tests/cuda/fibers_control.h"
#include "tests/cuda/fibers_runtime.h"

/* What memory begins with: as a float, -2.9e-16. */
#define FIBERS_FRESH 0xA5

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__    __attribute__((noinline))
#define __constant__    static
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

/* ---- vectors ---------------------------------------------------------------------------------- */
#define FIBERS_VECTORS(type, base)                                                                 \
    struct __align__(2 * sizeof(type)) base##2                                                     \
    {                                                                                              \
        type x, y;                                                                                 \
    };                                                                                             \
    struct base##3                                                                                 \
    {                                                                                              \
        type x, y, z;                                                                              \
    };                                                                                             \
    struct __align__(sizeof(type) > 4 ? 16 : 4 * sizeof(type)) base##4                             \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    static inline base##2 make_##base##2(type x, type y)                                           \
    {                                                                                              \
        return {x, y};                                                                             \
    }                                                                                              \
    static inline base##3 make_##base##3(type x, type y, type z)                                   \
    {                                                                                              \
        return {x, y, z};                                                                          \
    }                                                                                              \
    static inline base##4 make_##base##4(type x, type y, type z, type w)                           \
    {                                                                                              \
        return {x, y, z, w};                                                                       \
    }
FIBERS_VECTORS(float, float)
FIBERS_VECTORS(double, double)
FIBERS_VECTORS(int, int)
FIBERS_VECTORS(unsigned, uint)
FIBERS_VECTORS(short, short)
FIBERS_VECTORS(unsigned short, ushort)
FIBERS_VECTORS(signed char, char)
FIBERS_VECTORS(unsigned char, uchar)
#undef FIBERS_VECTORS

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz)
    {
    }
};

/* ---- threads ---------------------------------------------------------------------------------- */
extern uint3 threadIdx, blockIdx; /* of the fiber that runs */
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

/* Blocks run one after another. What they share is undefined when a block begins: the first of its threads
 * that comes to it makes it so. */
#define PF_SHARED(type, name, ...)                                                                 \
    static type name __VA_ARGS__;                                                                  \
    static unsigned long name##_block;                                                             \
    fibers_begin_shared(&name##_block, &name, sizeof(name))
extern unsigned long fibers_block; /* the number of the one that runs, of all launches */
static inline void fibers_begin_shared(unsigned long *of_block, void *memory, size_t bytes)
{
    if (*of_block == fibers_block)
        return;
    *of_block = fibers_block;
    memset(memory, FIBERS_FRESH, bytes);
}

void fibers_barrier(const char *file, int line);
#define __syncthreads() fibers_barrier(__FILE__, __LINE__)

/* Every lane of the warp gives a value; returns all of them, valid until the next exchange. */
const uint64_t *fibers_exchange(unsigned mask, uint64_t value, const char *file, int line);
unsigned fibers_lanes(void); /* one bit per lane that this warp has */
int fibers_lane(void);

template <class T>
static inline T fibers_shuffle(unsigned mask, T value, int lane, const char *file, int line)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "shuffles carry at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    const uint64_t *all = fibers_exchange(mask, bits, file, line);
    /* As on a device: out of the warp, one's own value; a lane that is not there gives anything. */
    if (lane >= 0 && lane < 32)
        memcpy(&value, &all[lane], sizeof(T));
    return value;
}
#define __shfl_sync(mask, value, lane) fibers_shuffle(mask, value, (lane)&31, __FILE__, __LINE__)
#define __shfl_down_sync(mask, value, delta)                                                       \
    fibers_shuffle(mask, value, fibers_lane() + (int)(delta), __FILE__, __LINE__)
#define __shfl_up_sync(mask, value, delta)                                                         \
    fibers_shuffle(mask, value, fibers_lane() - (int)(delta), __FILE__, __LINE__)
#define __shfl_xor_sync(mask, value, bits)                                                         \
    fibers_shuffle(mask, value, fibers_lane() ^ (int)(bits), __FILE__, __LINE__)

static inline unsigned fibers_ballot(unsigned mask, int predicate, const char *file, int line)
{
    const uint64_t *all = fibers_exchange(mask, predicate != 0, file, line);
    unsigned bits = 0;
    for (int lane = 0; lane < 32; lane++)
        if (fibers_lanes() >> lane & 1 && all[lane])
            bits |= 1u << lane;
    return bits;
}
#define __ballot_sync(mask, predicate) fibers_ballot(mask, predicate, __FILE__, __LINE__)
#define __any_sync(mask, predicate)    (__ballot_sync(mask, predicate) != 0)
#define __all_sync(mask, predicate)    (__ballot_sync(mask, predicate) == fibers_lanes())
#define __syncwarp(...)                ((void)fibers_exchange(0xffffffffu, 0, __FILE__, __LINE__))

static inline void __threadfence(void)
{
}
static inline void __threadfence_block(void)
{
}

/* ---- atomics: nothing runs at the same time ----------------------------------------------------- */
#define FIBERS_ATOMIC(name, expression)                                                            \
    template <class T> static inline T name(T *at, T value)                                        \
    {                                                                                              \
        T old = *at;                                                                               \
        *at = (expression);                                                                        \
        return old;                                                                                \
    }
FIBERS_ATOMIC(atomicAdd, old + value)
FIBERS_ATOMIC(atomicSub, old - value)
FIBERS_ATOMIC(atomicExch, value)
FIBERS_ATOMIC(atomicMin, value < old ? value : old)
FIBERS_ATOMIC(atomicMax, value > old ? value : old)
FIBERS_ATOMIC(atomicOr, old | value)
FIBERS_ATOMIC(atomicAnd, old &value)
#undef FIBERS_ATOMIC
static inline unsigned atomicInc(unsigned *at, unsigned limit)
{
    unsigned old = *at;
    *at = old >= limit ? 0 : old + 1;
    return old;
}
template <class T> static inline T atomicCAS(T *at, T expected, T value)
{
    T old = *at;
    if (old == expected)
        *at = value;
    return old;
}

/* ---- arithmetic ------------------------------------------------------------------------------- */
#define FIBERS_MIN_MAX(type)                                                                       \
    static inline type min(type a, type b)                                                         \
    {                                                                                              \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    static inline type max(type a, type b)                                                         \
    {                                                                                              \
        return a < b ? b : a;                                                                      \
    }
FIBERS_MIN_MAX(int)
FIBERS_MIN_MAX(unsigned)
FIBERS_MIN_MAX(long)
FIBERS_MIN_MAX(unsigned long)
FIBERS_MIN_MAX(long long)
FIBERS_MIN_MAX(unsigned long long)
FIBERS_MIN_MAX(float)
FIBERS_MIN_MAX(double)
#undef FIBERS_MIN_MAX

template <class T> static inline T __ldg(const T *at)
{
    return *at;
}
template <class T> static inline T __ldcs(const T *at)
{
    return *at;
}
template <class T> static inline void __stcs(T *at, T value)
{
    *at = value;
}
static inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}
/* The C library has declared these names for itself. */
#define __expf  expf
#define __logf  logf
#define __log2f log2f
#define __powf  powf
static inline float __fdividef(float x, float y)
{
    return x / y;
}
static inline float __saturatef(float x)
{
    return !(x > 0) ? 0 : x > 1 ? 1 : x;
}
static inline int __float2int_rn(float x)
{
    return (int)nearbyintf(x);
}
static inline int __float2int_rd(float x)
{
    return (int)floorf(x);
}
static inline int __float2int_rz(float x)
{
    return (int)x;
}
static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline int __float_as_int(float x)
{
    int bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}
static inline float __int_as_float(int bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* ---- launches --------------------------------------------------------------------------------- */
/* Calls run() once per thread, when the launch is waited for. What is wrong with its configuration is given to
 * cudaGetLastError at once. */
void fibers_run(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                cudaStream_t stream, std::function<void()> run);
void *fibers_dynamic_shared(void);

template <class... Parameters, class... Arguments>
static inline void fibers_launch(const char *name, void (*kernel)(Parameters...), dim3 grid,
                                 dim3 block, size_t shared_bytes, cudaStream_t stream,
                                 Arguments &&...arguments)
{
    fibers_run(name, reinterpret_cast<const void *>(kernel), grid, block, shared_bytes, stream,
               [kernel, values = std::tuple<Parameters...>(std::forward<Arguments>(
                            arguments)...)]() { std::apply(kernel, values); });
}
#define PF_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    fibers_launch(#kernel, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
#define PF_DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(fibers_dynamic_shared())

#endif
