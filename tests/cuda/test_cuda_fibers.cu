/* What the kernels stand on: threads, shared memory, shuffles, atomics behave on fibers as they do
 * on a GPU (the same program runs there), and on fibers broken kernels are caught. */
#include "tests/cuda/device_test.h"

static const int BLOCK = 64;

/* ---- a kernel in right and wrong versions -------------------------------------------------------- */
enum flaw { SOUND, NO_BARRIER, DIVERGENT, EARLY_RETURN, PAST_THE_END, PAST_THE_TILE };

/* out = in[x - 1] + in[x] + in[x + 1] through a tile, borders replicated. */
template <int FLAW> static __global__ void sum_of_three(int *out, const int *in, int count)
{
    PF_SHARED(int, tile, [BLOCK + 2]);
    int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), at = (int)threadIdx.x + 1;
    if (FLAW == EARLY_RETURN && x >= count)
        return;
    tile[at] = in[min(x, FLAW == PAST_THE_END ? count : count - 1)];
    if (threadIdx.x == 0)
        tile[0] = in[max(x - 1, 0)];
    if (threadIdx.x == blockDim.x - 1)
        tile[at + (FLAW == PAST_THE_TILE ? 2 : 1)] = in[min(x + 1, count - 1)];
    if (FLAW == DIVERGENT) {
        if (threadIdx.x < 40)
            __syncthreads();
        else
            __syncthreads();
    } else if (FLAW != NO_BARRIER) {
        __syncthreads();
    }
    if (x < count)
        out[x] = tile[at - 1] + tile[at] + tile[at + 1];
}

/* Whether all went well and the result is right. */
template <int FLAW> static bool three_are_summed(int count)
{
    int *in = (int *)malloc((size_t)count * sizeof(int)),
        *out = (int *)malloc((size_t)count * sizeof(int));
    for (int i = 0; i < count; i++)
        in[i] = i * 7919 % 1009;
    int *device_in = device_copy(in, (size_t)count);
    int *device_out = device_copy<int>(NULL, (size_t)count);
    PF_LAUNCH(sum_of_three<FLAW>, dim3((unsigned)((count + BLOCK - 1) / BLOCK)), dim3(BLOCK), 0, 0,
              device_out, device_in, count);
    bool right = cudaGetLastError() == cudaSuccess &&
                 cudaMemcpy(out, device_out, (size_t)count * sizeof(int), cudaMemcpyDeviceToHost) ==
                     cudaSuccess;
    for (int i = 0; right && i < count; i++)
        right = out[i] == in[i > 0 ? i - 1 : 0] + in[i] + in[i < count - 1 ? i + 1 : count - 1];
    cudaFree(device_in);
    cudaFree(device_out);
    free(in);
    free(out);
    return right;
}

TEST(fibers_run_a_kernel_with_a_tile)
{
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        CHECK(three_are_summed<SOUND>(1));
        CHECK(three_are_summed<SOUND>(64));
        CHECK(three_are_summed<SOUND>(1000));
    }
}

static __global__ void reduce_warps(float *sums, unsigned *ballots, const float *in)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x), lane = (int)threadIdx.x % 32;
    float value = in[i];
    for (int delta = 16; delta > 0; delta /= 2)
        value += __shfl_down_sync(0xffffffff, value, delta);
    unsigned odd = __ballot_sync(0xffffffff, (int)in[i] & 1);
    double swapped = __shfl_xor_sync(0xffffffff, (double)in[i], 1);
    float first = __shfl_sync(0xffffffff, in[i], 0);
    float previous = __shfl_up_sync(0xffffffff, in[i], 1);
    if (lane == 0)
        sums[i / 32] = value;
    if (lane == 5)
        ballots[i / 32] = odd;
    if (swapped != (double)in[i ^ 1] || first != in[i - lane] || previous != in[lane ? i - 1 : i])
        sums[i / 32] = -1;
}

TEST(fibers_shuffle_and_vote)
{
    enum { COUNT = 256 };
    float in[COUNT], sums[COUNT / 32];
    unsigned ballots[COUNT / 32];
    for (int i = 0; i < COUNT; i++)
        in[i] = (float)(i * 37 % 101);
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        float *device_in = device_copy(in, COUNT),
              *device_sums = device_copy<float>(NULL, COUNT / 32);
        unsigned *device_ballots = device_copy<unsigned>(NULL, COUNT / 32);
        PF_LAUNCH(reduce_warps, dim3(2), dim3(COUNT / 2), 0, 0, device_sums, device_ballots,
                  device_in);
        fetch(sums, device_sums, COUNT / 32);
        fetch(ballots, device_ballots, COUNT / 32);
        GPU(cudaFree(device_in));
        for (int warp = 0; warp < COUNT / 32; warp++) {
            float sum = 0;
            unsigned odd = 0;
            for (int lane = 0; lane < 32; lane++) {
                sum += in[32 * warp + lane];
                odd |= (unsigned)((int)in[32 * warp + lane] & 1) << lane;
            }
            CHECK(sums[warp] == sum);
            CHECK(ballots[warp] == odd);
        }
    }
}

__constant__ int offset_of_bins[2];

/* A histogram in dynamic shared memory, and the number of blocks that were there before the last. */
static __global__ void histogram(int *bins, unsigned *blocks, const uchar4 *in, int count)
{
    PF_DYNAMIC_SHARED(int, local);
    int thread = (int)(threadIdx.x + threadIdx.y * blockDim.x);
    int threads = (int)(blockDim.x * blockDim.y),
        block = (int)(blockIdx.y * gridDim.x + blockIdx.x);
    for (int i = thread; i < 256; i += threads)
        local[i] = 0;
    __syncthreads();
    int i = block * threads + thread;
    if (i < count) {
        atomicAdd(&local[in[i].x], 1);
        atomicAdd(&local[in[i].w], 1);
    }
    __syncthreads();
    for (int bin = thread; bin < 256; bin += threads)
        if (local[bin])
            atomicAdd(&bins[bin + offset_of_bins[1]], local[bin]);
    __threadfence();
    if (thread == 0)
        atomicMax(&blocks[1], atomicAdd(&blocks[0], 1u));
}

TEST(fibers_count_with_atomics)
{
    enum { COUNT = 1500, OFFSET = 3 };
    static uchar4 in[COUNT];
    int expected[256 + OFFSET] = {0}, bins[256 + OFFSET];
    int offsets[2] = {100, OFFSET};
    unsigned blocks[2];
    for (int i = 0; i < COUNT; i++) {
        in[i] = make_uchar4((unsigned char)(i * i % 251), 0, 0, (unsigned char)(i % 7));
        expected[in[i].x + OFFSET]++;
        expected[in[i].w + OFFSET]++;
    }
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        uchar4 *device_in = device_copy(in, COUNT);
        int *device_bins = device_copy<int>(NULL, 256 + OFFSET);
        unsigned *device_blocks = device_copy<unsigned>(NULL, 2);
        GPU(cudaMemset(device_bins, 0, sizeof(bins)));
        GPU(cudaMemset(device_blocks, 0, sizeof(blocks)));
        GPU(cudaMemcpyToSymbol(offset_of_bins, offsets, sizeof(offsets)));
        PF_LAUNCH(histogram, dim3(3, 4), dim3(32, 4), 256 * sizeof(int), 0, device_bins,
                  device_blocks, device_in, COUNT);
        fetch(bins, device_bins, 256 + OFFSET);
        fetch(blocks, device_blocks, 2);
        GPU(cudaFree(device_in));
        CHECK(memcmp(bins, expected, sizeof(bins)) == 0);
        CHECK_EQ(blocks[0], 12);
        CHECK_EQ(blocks[1], 11);
    }
}

#ifdef PF_FIBERS
/* The error stays, as on a device whose context is lost; in a test's own process that does no harm. */
template <int FLAW> static bool caught(const char *says)
{
    fibers.quiet = true;
    bool right = three_are_summed<FLAW>(100);
    if (says && !strstr(fibers.trouble, says))
        FAIL("\"%s\" does not say \"%s\"", fibers.trouble, says);
    if (says) {
        CHECK_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
        CHECK_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    }
    cudaDeviceReset();
    CHECK(three_are_summed<SOUND>(100)); /* and a new context works */
    return !right;
}

/* Block after block, and launch after launch, adds up what no block has begun with 0. */
template <bool DYNAMIC, bool SOUND_> static __global__ void count_threads(int *out)
{
    PF_DYNAMIC_SHARED(int, dynamic);
    PF_SHARED(int, counted);
    int *count = DYNAMIC ? dynamic : &counted;
    if (SOUND_ && threadIdx.x == 0)
        *count = 0;
    __syncthreads();
    atomicAdd(count, 1);
    __syncthreads();
    if (threadIdx.x == 0)
        out[blockIdx.x] = *count;
}

template <bool DYNAMIC, bool SOUND_> static bool threads_are_counted(int launches)
{
    enum { BLOCKS = 3 };
    int *device = device_copy<int>(NULL, BLOCKS), out[BLOCKS];
    for (int i = 0; i < launches; i++)
        PF_LAUNCH((count_threads<DYNAMIC, SOUND_>), dim3(BLOCKS), dim3(BLOCK), sizeof(int), 0,
                  device);
    fetch(out, device, BLOCKS);
    bool right = true;
    for (int i = 0; i < BLOCKS; i++)
        right = right && out[i] == BLOCK;
    /* It would be right by chance where such memory began with 0, or with what is left of others. */
    for (int i = 0; !SOUND_ && i < BLOCKS; i++)
        CHECK_EQ(out[i], (int)0xA5A5A5A5 + BLOCK);
    return right;
}

TEST(fibers_catch_shared_memory_that_is_not_set)
{
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        CHECK((threads_are_counted<false, true>(2)));
        CHECK((threads_are_counted<true, true>(2)));
        CHECK((!threads_are_counted<false, false>(2)));
        CHECK((!threads_are_counted<true, false>(2)));
    }
}

TEST(fibers_catch_a_missing_barrier)
{
    take_order(0);
    CHECK(caught<NO_BARRIER>(NULL));
    take_order(1);
    CHECK(caught<NO_BARRIER>(NULL));
}

TEST(fibers_catch_a_divergent_barrier)
{
    CHECK(caught<DIVERGENT>("meet"));
}

TEST(fibers_catch_a_barrier_that_not_all_reach)
{
    CHECK(caught<EARLY_RETURN>("not all arrive: others have returned"));
}

#ifdef __SANITIZE_ADDRESS__
/* Whether the kernel ends in a report of AddressSanitizer, which is not shown. */
static bool reported(bool (*run)(int))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        run(100);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

TEST(fibers_catch_an_index_off_by_one)
{
    CHECK(!reported(three_are_summed<SOUND>));
    CHECK(reported(three_are_summed<PAST_THE_END>));
    CHECK(reported(three_are_summed<PAST_THE_TILE>));
}
#else
TEST(fibers_catch_an_index_off_by_one)
{
    CHECK(caught<PAST_THE_END>(NULL));
}
#endif

static __global__ void write_past(int *out, int count)
{
    out[count + (int)threadIdx.x] = 1;
}

#ifndef __SANITIZE_ADDRESS__
TEST(fibers_catch_a_write_past_the_end)
{
    fibers.quiet = true;
    int *memory = device_copy<int>(NULL, 10);
    PF_LAUNCH(write_past, dim3(1), dim3(1), 0, 0, memory, 10);
    CHECK_EQ(cudaFree(memory), cudaErrorLaunchFailure);
    CHECK(strstr(fibers.trouble, "outside of an allocation"));
}
#endif

TEST(fibers_refuse_what_no_device_would_do)
{
    int host[4] = {0}, *device = device_copy<int>(NULL, 4);
    fibers.quiet = true;
    CHECK_EQ(cudaMemcpy(host, device, sizeof(host), cudaMemcpyHostToDevice),
             cudaErrorInvalidMemcpyDirection);
    CHECK_EQ(cudaMemcpy(device, host, sizeof(host), cudaMemcpyDeviceToHost),
             cudaErrorInvalidMemcpyDirection);
    cudaGetLastError();
    PF_LAUNCH(write_past, dim3(1), dim3(1025), 0, 0, device, 0);
    CHECK_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
    PF_LAUNCH(write_past, dim3(1), dim3(1), 50000, 0, device, 0);
    CHECK_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
    CHECK_EQ(cudaFuncSetAttribute(write_past, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000),
             cudaSuccess);
    PF_LAUNCH(write_past, dim3(1), dim3(1), 50000, 0, device, 0);
    CHECK_EQ(cudaGetLastError(), cudaSuccess);
    GPU(cudaFree(device));
}

/* Of memory that is not pinned, a copy in the background may read at any time until it has been waited for. */
TEST(fibers_catch_memory_that_changes_under_a_copy)
{
    int host[4] = {0}, *device = device_copy<int>(NULL, 4);
    cudaStream_t stream, other;
    GPU(cudaStreamCreate(&stream));
    GPU(cudaStreamCreate(&other));
    fibers.quiet = true;
    GPU(cudaMemcpyAsync(device, host, sizeof(host), cudaMemcpyHostToDevice, stream));
    GPU(cudaStreamSynchronize(stream));
    host[2] = 1;
    GPU(cudaStreamSynchronize(stream));
    GPU(cudaMemcpyAsync(device, host, sizeof(host), cudaMemcpyHostToDevice, stream));
    host[2] = 2;
    GPU(cudaStreamSynchronize(other));
    CHECK_EQ(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
    CHECK(strstr(fibers.trouble, "changed before its copy"));
    GPU(cudaStreamDestroy(stream));
    GPU(cudaStreamDestroy(other));
    cudaFree(device);
}

/* ---- who waits for whom ------------------------------------------------------------------------- */
static __global__ void add(int *to, const int *from, int what)
{
    to[threadIdx.x] = from[threadIdx.x] + what;
}

enum { VALUES = 4 };

struct twins {
    cudaStream_t stream, other;
    cudaEvent_t event;
    int *pinned, *device, *out;
};

static struct twins begin_with(int value)
{
    struct twins all;
    GPU(cudaStreamCreateWithFlags(&all.stream, cudaStreamNonBlocking));
    GPU(cudaStreamCreateWithFlags(&all.other, cudaStreamNonBlocking));
    GPU(cudaEventCreate(&all.event));
    GPU(cudaMallocHost(&all.pinned, VALUES * sizeof(int)));
    GPU(cudaMalloc(&all.out, VALUES * sizeof(int)));
    for (int i = 0; i < VALUES; i++)
        all.pinned[i] = value;
    all.device = device_copy(all.pinned, VALUES);
    return all;
}

static void give_back(const struct twins *all)
{
    cudaStreamDestroy(all->stream);
    cudaStreamDestroy(all->other);
    cudaEventDestroy(all->event);
    cudaFreeHost(all->pinned);
    cudaFree(all->device);
    cudaFree(all->out);
}

/* What is in `out` when all has been done. */
static int end_with(const struct twins *all)
{
    int out[VALUES];
    GPU(cudaDeviceSynchronize());
    GPU(cudaMemcpy(out, all->out, sizeof(out), cudaMemcpyDeviceToHost));
    for (int i = 0; i < VALUES; i++)
        CHECK_EQ(out[i], out[0]);
    give_back(all);
    return out[0];
}

static void copy_async(int *to, const int *from, cudaMemcpyKind kind, cudaStream_t stream)
{
    GPU(cudaMemcpyAsync(to, from, VALUES * sizeof(int), kind, stream));
}

TEST(fibers_catch_a_result_that_is_not_waited_for)
{
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        struct twins all = begin_with(1);
        PF_LAUNCH(add, dim3(1), dim3(VALUES), 0, all.stream, all.out, all.device, 1);
        copy_async(all.pinned, all.out, cudaMemcpyDeviceToHost, all.stream);
        GPU(cudaEventRecord(all.event, all.stream));
        CHECK_EQ(all.pinned[VALUES - 1], (int)0xA5A5A5A5);
        GPU(cudaStreamSynchronize(all.other));
        CHECK_EQ(all.pinned[VALUES - 1], (int)0xA5A5A5A5);
        GPU(cudaEventSynchronize(all.event));
        CHECK_EQ(all.pinned[VALUES - 1], 2);
        CHECK_EQ(end_with(&all), 2);
    }
}

/* The place of an upload that is still to be made may be that of a result. */
TEST(fibers_leave_alone_what_is_still_to_be_read)
{
    for (int order = 0; order < order_count(); order++) {
        take_order(order);
        struct twins all = begin_with(1);
        all.pinned[0] = all.pinned[1] = all.pinned[2] = all.pinned[3] = 5;
        copy_async(all.device, all.pinned, cudaMemcpyHostToDevice, all.stream);
        PF_LAUNCH(add, dim3(1), dim3(VALUES), 0, all.stream, all.out, all.device, 1);
        copy_async(all.pinned, all.out, cudaMemcpyDeviceToHost, all.stream);
        GPU(cudaStreamSynchronize(all.stream));
        CHECK_EQ(all.pinned[0], 6);
        CHECK_EQ(end_with(&all), 6);
    }
}

TEST(fibers_catch_pinned_memory_that_changes_under_a_copy)
{
    for (int waits = 0; waits < 2; waits++) {
        struct twins all = begin_with(1);
        copy_async(all.out, all.pinned, cudaMemcpyHostToDevice, all.stream);
        if (waits)
            GPU(cudaStreamSynchronize(all.stream));
        for (int i = 0; i < VALUES; i++)
            all.pinned[i] = 2;
        CHECK_EQ(end_with(&all), waits ? 1 : 2);
    }
}

/* A kernel reads what another stream brings: it comes as late as it may. */
TEST(fibers_catch_a_stream_that_does_not_wait_for_another)
{
    for (int waits = 0; waits < 2; waits++) {
        struct twins all = begin_with(1);
        all.pinned[0] = all.pinned[1] = all.pinned[2] = all.pinned[3] = 5;
        copy_async(all.device, all.pinned, cudaMemcpyHostToDevice, all.other);
        GPU(cudaEventRecord(all.event, all.other));
        if (waits)
            GPU(cudaStreamWaitEvent(all.stream, all.event));
        PF_LAUNCH(add, dim3(1), dim3(VALUES), 0, all.stream, all.out, all.device, 1);
        GPU(cudaStreamSynchronize(all.stream));
        CHECK_EQ(end_with(&all), waits ? 6 : 2);
    }
}

/* A kernel reads what another stream overwrites: it comes as early as it may, in the other order. */
TEST(fibers_catch_a_stream_that_overtakes_another)
{
    for (int waits = 0; waits < 2; waits++) {
        take_order(1);
        struct twins all = begin_with(1);
        all.pinned[0] = all.pinned[1] = all.pinned[2] = all.pinned[3] = 5;
        PF_LAUNCH(add, dim3(1), dim3(VALUES), 0, all.stream, all.out, all.device, 1);
        GPU(cudaEventRecord(all.event, all.stream));
        if (waits)
            GPU(cudaStreamWaitEvent(all.other, all.event));
        copy_async(all.device, all.pinned, cudaMemcpyHostToDevice, all.other);
        GPU(cudaDeviceSynchronize());
        CHECK_EQ(end_with(&all), waits ? 2 : 6);
    }
}

/* The default stream and those that are not told otherwise take turns. */
TEST(fibers_keep_the_order_of_the_default_stream)
{
    struct twins all = begin_with(1);
    cudaStream_t stream;
    GPU(cudaStreamCreate(&stream));
    PF_LAUNCH(add, dim3(1), dim3(VALUES), 0, stream, all.out, all.device, 1);
    PF_LAUNCH(add, dim3(1), dim3(VALUES), 0, 0, all.out, all.out, 1);
    PF_LAUNCH(add, dim3(1), dim3(VALUES), 0, stream, all.out, all.out, 1);
    GPU(cudaStreamSynchronize(stream));
    GPU(cudaStreamDestroy(stream));
    CHECK_EQ(end_with(&all), 4);
}

/* As on a device: who waits is told. */
TEST(fibers_tell_of_a_failure_when_it_is_waited_for)
{
    struct twins all = begin_with(1);
    fibers.quiet = true;
    PF_LAUNCH(sum_of_three<DIVERGENT>, dim3(1), dim3(BLOCK), 0, all.stream, all.out, all.device, 1);
    PF_LAUNCH(add, dim3(1), dim3(VALUES), 0, all.stream, all.out, all.device, 1);
    CHECK_EQ(cudaGetLastError(), cudaSuccess);
    CHECK_EQ(cudaStreamSynchronize(all.other), cudaSuccess);
    CHECK_EQ(cudaStreamSynchronize(all.stream), cudaErrorLaunchFailure);
    CHECK(strstr(fibers.trouble, "sum_of_three"));
    CHECK_EQ(all.out[0], (int)0xA5A5A5A5); /* and what came after it has not run */
    CHECK_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    give_back(&all);
}

TEST(fibers_fail_when_told_to)
{
    int *device = NULL, *more = NULL;
    fibers.memory_bytes = 1000;
    CHECK_EQ(cudaMalloc(&device, 600), cudaSuccess);
    CHECK_EQ(cudaMalloc(&more, 600), cudaErrorMemoryAllocation);
    CHECK_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
    CHECK_EQ(cudaGetLastError(), cudaSuccess);
    fibers.fail_after = 2;
    CHECK_EQ(cudaMemset(device, 0, 4), cudaSuccess);
    CHECK_EQ(cudaMemset(device, 0, 4), cudaErrorLaunchFailure);
    CHECK_EQ(cudaMemset(device, 0, 4), cudaErrorLaunchFailure);
    cudaFree(device);
    CHECK_EQ(fibers.allocated_bytes, 0);
}
#endif
