/* The fibers and their scheduling; see fibers.h.
 *
 * A fiber runs thread after thread of a block, and block after block, for as long as none has to
 * wait: a kernel without barriers needs one fiber. A thread that waits keeps its fiber, and the next
 * thread in turn goes on: on the fiber on which it waited, or on a new one. So a barrier costs one
 * change of fibers per thread. Contexts are made by ucontext and changed by the compiler's own setjmp:
 * neither asks the kernel for anything, and AddressSanitizer, which would with each longjmp, is told of
 * the change instead.
 */
#include "tests/cuda/fibers.h"
#include "tests/cuda/fibers_queue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <set>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

struct fibers_control fibers;
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
unsigned long fibers_block;

static const size_t STACK_BYTES = 256 << 10;
static const int MOST_THREADS = 1024;
static const size_t SHARED_BYTES = 48 << 10;

struct Fiber {
    void *environment[5]; /* as __builtin_setjmp wants it */
    ucontext_t context;
    char *stack; /* NULL: the launching thread's own */
    bool fresh;  /* begins with `context` */
    const void *bottom;
    size_t bytes;
    void *fake_stack;
};

enum State { UNSTARTED, STARTED, DONE };

struct Thread {
    State state;
    uint3 index;
    Fiber *fiber;
    const unsigned *generation; /* waits until this is no longer `seen`; NULL: it does not wait */
    unsigned seen;
    const char *file;
    int line;
};

struct Warp {
    uint64_t slot[2][32];
    unsigned arrived, generation;
    int line;
};

static struct {
    const char *name;
    const std::function<void()> *run;
    int threads; /* of a block */
    unsigned long blocks, block;
    size_t shared_bytes;
    char *shared;

    Thread thread[MOST_THREADS];
    Warp warp[MOST_THREADS / 32];
    int current, live;
    int barrier_arrived, barrier_line;
    unsigned barrier_generation;

    Fiber launcher, *running;
    /* As long as the program: who ends it must find them still held. */
    std::vector<Fiber *> &all = *new std::vector<Fiber *>, &idle = *new std::vector<Fiber *>;
    bool failed;

    std::set<const void *> &launched = *new std::set<const void *>; /* kernels, at least once */
} world;

static void trouble(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void trouble(const char *format, ...)
{
    char text[384];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(fibers.trouble, sizeof(fibers.trouble), "kernel %s: %s", world.name, text);
    if (!fibers.quiet)
        fprintf(stderr, "fibers: %s\n", fibers.trouble);
    world.failed = true;
}

/* ---- fibers ------------------------------------------------------------------------------------ */
/* Tells AddressSanitizer on which stack we are going to be, and that we are there. */
static void leave(Fiber *from, Fiber *to)
{
    (void)from, (void)to;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->bytes);
#endif
}

static void arrive(Fiber *here)
{
    (void)here;
#ifdef __SANITIZE_ADDRESS__
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(here->fake_stack, &bottom, &bytes);
    if (!world.launcher.bottom) {
        world.launcher.bottom = bottom;
        world.launcher.bytes = bytes;
    }
#endif
}

/* Not instrumented: before a call that does not return it would ask the kernel for its signals' stack. */
#define UNWATCHED __attribute__((noinline, no_sanitize("address")))

/* A function of its own, as the compiler asks. */
UNWATCHED static void jump_to(Fiber *to)
{
    __builtin_longjmp(to->environment, 1);
}

UNWATCHED static void change_to(Fiber *to)
{
    Fiber *from = world.running;
    world.running = to;
    if (__builtin_setjmp(from->environment) == 0) {
        leave(from, to);
        if (to->fresh) {
            to->fresh = false;
            setcontext(&to->context);
            abort();
        }
        jump_to(to);
    }
    arrive(from);
}

static void body(void);

static void renew(Fiber *fiber)
{
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(fiber->stack, fiber->bytes);
    fiber->fake_stack = NULL;
#endif
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = fiber->bytes;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, body, 0);
    fiber->fresh = true;
}

static Fiber *new_fiber(void)
{
    Fiber *fiber;
    if (!world.idle.empty()) {
        fiber = world.idle.back();
        world.idle.pop_back();
        return fiber;
    }
    fiber = new Fiber();
    void *stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, 4096, PROT_NONE) < 0) {
        perror("fibers: stack");
        abort();
    }
    /* The lowest page is a guard: a kernel that needs more ends in SIGSEGV, not in other data. */
    fiber->stack = static_cast<char *>(stack) + 4096;
    fiber->bottom = fiber->stack;
    fiber->bytes = STACK_BYTES - 4096;
    world.all.push_back(fiber);
    renew(fiber);
    return fiber;
}

/* ---- turns ------------------------------------------------------------------------------------- */
/* The next thread after the current one that can go on; -1: none. */
static int next_thread(void)
{
    int step = fibers.descending ? world.threads - 1 : 1;
    int i = world.current;
    for (int tried = 0; tried < world.threads; tried++) {
        i += step;
        if (i >= world.threads)
            i -= world.threads;
        const Thread *thread = &world.thread[i];
        if (thread->state == UNSTARTED ||
            (thread->state == STARTED && thread->generation && *thread->generation != thread->seen))
            return i;
    }
    return -1;
}

static void take_turn(int i)
{
    world.current = i;
    world.thread[i].generation = NULL;
    threadIdx = world.thread[i].index;
}

static void begin_block(void)
{
    unsigned long number = fibers.descending ? world.blocks - 1 - world.block : world.block;
    blockIdx.x = (unsigned)(number % gridDim.x);
    blockIdx.y = (unsigned)(number / gridDim.x % gridDim.y);
    blockIdx.z = (unsigned)(number / gridDim.x / gridDim.y);
    for (int i = 0; i < world.threads; i++)
        world.thread[i].state = UNSTARTED;
    for (int i = 0; i < (world.threads + 31) / 32; i++)
        world.warp[i].arrived = 0;
    world.live = world.threads;
    world.barrier_arrived = 0;
    fibers_block++;
    if (world.shared_bytes)
        memset(world.shared, FIBERS_FRESH, world.shared_bytes);
    take_turn(fibers.descending ? world.threads - 1 : 0);
}

/* Nobody can go on, and somebody waits: says who, and for whom. */
static void stuck(void)
{
    const Thread *waiting = NULL, *ended = NULL;
    for (int i = 0; i < world.threads; i++) {
        const Thread *thread = &world.thread[i];
        if (thread->state == STARTED && !waiting)
            waiting = thread;
        if (thread->state == DONE && !ended)
            ended = thread;
    }
    trouble("block (%u, %u, %u): thread (%u, %u, %u) waits at %s:%d, where not all arrive%s",
            blockIdx.x, blockIdx.y, blockIdx.z, waiting->index.x, waiting->index.y,
            waiting->index.z, waiting->file, waiting->line, ended ? ": others have returned" : "");
}

static void body(void)
{
    arrive(world.running);
    for (;;) {
        Thread *thread = &world.thread[world.current];
        thread->state = STARTED;
        thread->fiber = world.running;
        (*world.run)();
        world.thread[world.current].state = DONE;
        world.live--;
        int next = next_thread();
        if (next < 0 && world.live == 0 && ++world.block < world.blocks) {
            begin_block();
            continue;
        }
        if (next < 0) {
            if (world.live > 0)
                stuck();
            world.idle.push_back(world.running);
            change_to(&world.launcher);
            continue;
        }
        take_turn(next);
        if (world.thread[next].state == UNSTARTED)
            continue;
        world.idle.push_back(world.running);
        change_to(world.thread[next].fiber);
    }
}

/* The current thread waits until *generation changes. */
static void wait_for(const unsigned *generation, unsigned seen, const char *file, int line)
{
    Thread *thread = &world.thread[world.current];
    thread->generation = generation;
    thread->seen = seen;
    thread->file = file;
    thread->line = line;
    int next = world.failed ? -1 : next_thread();
    if (next < 0) {
        if (!world.failed)
            stuck();
        change_to(&world.launcher); /* for good: this launch is given up */
        abort();
    }
    take_turn(next);
    change_to(world.thread[next].state == UNSTARTED ? new_fiber() : world.thread[next].fiber);
}

void fibers_barrier(const char *file, int line)
{
    if (world.barrier_arrived++ == 0) {
        world.barrier_line = line;
    } else if (line != world.barrier_line) {
        trouble("block (%u, %u, %u): barriers of %s at line %d and at line %d meet", blockIdx.x,
                blockIdx.y, blockIdx.z, file, line, world.barrier_line);
        wait_for(&world.barrier_generation, world.barrier_generation, file, line);
    }
    if (world.barrier_arrived == world.threads) {
        world.barrier_arrived = 0;
        world.barrier_generation++;
        return;
    }
    wait_for(&world.barrier_generation, world.barrier_generation, file, line);
}

int fibers_lane(void)
{
    return world.current & 31;
}

unsigned fibers_lanes(void)
{
    int lanes = world.threads - (world.current & ~31);
    return lanes >= 32 ? 0xffffffffu : (1u << lanes) - 1;
}

const uint64_t *fibers_exchange(unsigned mask, uint64_t value, const char *file, int line)
{
    Warp *warp = &world.warp[world.current >> 5];
    unsigned lanes = fibers_lanes(), bit = 1u << fibers_lane(), generation = warp->generation;
    uint64_t *slot = warp->slot[generation & 1];
    if ((mask & lanes) != lanes || (warp->arrived && warp->line != line)) {
        trouble(warp->arrived && warp->line != line
                    ? "block (%u, %u, %u): lanes of a warp meet at %s:%d and at line %d"
                    : "block (%u, %u, %u): not the whole warp takes part at %s:%d (%d)",
                blockIdx.x, blockIdx.y, blockIdx.z, file, line, warp->line);
        wait_for(&warp->generation, generation, file, line);
    }
    warp->line = line;
    slot[fibers_lane()] = value;
    warp->arrived |= bit;
    if (warp->arrived == lanes) {
        warp->arrived = 0;
        warp->generation++;
    } else {
        wait_for(&warp->generation, generation, file, line);
    }
    /* Nobody can overwrite it before all have come to the next exchange, which uses the other. */
    return slot;
}

void *fibers_dynamic_shared(void)
{
    return world.shared;
}

/* ---- launches ----------------------------------------------------------------------------------- */
static bool valid(const void *kernel, dim3 grid, dim3 block, size_t shared_bytes)
{
    unsigned long threads = (unsigned long)block.x * block.y * block.z;
    size_t most = fibers_shared_limit(kernel);
    if (threads < 1 || threads > (unsigned long)MOST_THREADS || block.z > 64)
        trouble("a block of %u x %u x %u threads", block.x, block.y, block.z);
    else if (!grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535)
        trouble("a grid of %u x %u x %u blocks", grid.x, grid.y, grid.z);
    else if (shared_bytes > (most > SHARED_BYTES ? most : SHARED_BYTES))
        trouble("%zu bytes of shared memory, without cudaFuncSetAttribute", shared_bytes);
    return !world.failed;
}

static void run(dim3 grid, dim3 block, size_t shared_bytes)
{
    gridDim = grid;
    blockDim = block;
    world.threads = (int)(block.x * block.y * block.z);
    world.blocks = (unsigned long)grid.x * grid.y * grid.z;
    world.block = 0;
    world.shared_bytes = shared_bytes;
    world.shared =
        shared_bytes ? static_cast<char *>(aligned_alloc(16, (shared_bytes + 15) & ~15ul)) : NULL;
    if (shared_bytes && !world.shared)
        abort();
#ifdef __SANITIZE_ADDRESS__
    if (shared_bytes & 15)
        __asan_poison_memory_region(world.shared + shared_bytes, 16 - (shared_bytes & 15));
#endif
    for (int i = 0; i < world.threads; i++)
        world.thread[i].index = {(unsigned)i % block.x, (unsigned)i / block.x % block.y,
                                 (unsigned)i / block.x / block.y};
    begin_block();
    world.running = &world.launcher;
    change_to(new_fiber());
#ifdef __SANITIZE_ADDRESS__
    if (shared_bytes & 15)
        __asan_unpoison_memory_region(world.shared + shared_bytes, 16 - (shared_bytes & 15));
#endif
    free(world.shared);
    if (world.failed) {
        /* Threads that wait are forgotten, with what is on their stacks. */
        world.idle.clear();
        for (Fiber *fiber : world.all) {
            renew(fiber);
            world.idle.push_back(fiber);
        }
        fibers_fail(cudaErrorLaunchFailure);
    }
}

void fibers_run(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                cudaStream_t stream, std::function<void()> thread)
{
    if (fibers.fails_in && strcmp(name, fibers.fails_in) == 0) {
        fibers.fail_after = 1;
        fibers.fails_in = NULL;
    }
    if (!fibers_call(true))
        return;
    fibers_lock();
    if (world.launched.insert(kernel).second && fibers.on_kernel)
        fibers.on_kernel(name);
    world.name = name;
    world.failed = false;
    if (valid(kernel, grid, block, shared_bytes))
        fibers_queue(stream, {[name, grid, block, shared_bytes, thread = std::move(thread)]() {
                                  world.name = name;
                                  world.failed = false;
                                  world.run = &thread;
                                  run(grid, block, shared_bytes);
                              },
                              true, NULL, 0});
    else
        fibers_fail(cudaErrorInvalidConfiguration);
    fibers_unlock();
}
