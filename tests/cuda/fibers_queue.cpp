/* Streams and events of a device that is this machine; see fibers_queue.h. */
#include "tests/cuda/fibers_queue.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "tests/cuda/fibers_control.h"

struct fibers_stream {
    bool blocking; /* takes turns with the default stream */
    std::deque<FibersWork> work;
    unsigned long queued, done; /* pieces of work, of all that were given */
};
struct fibers_event {
    bool recorded;
    cudaStream_t stream;
    unsigned long after; /* so many pieces of its work */
    std::shared_ptr<struct timespec> time;
};

static fibers_stream &by_default = *new fibers_stream();
/* As long as the program: work that is left when it ends is still held. */
static std::vector<cudaStream_t> &streams = *new std::vector<cudaStream_t>{&by_default};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void fibers_lock(void)
{
    pthread_mutex_lock(&lock);
}

void fibers_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* ---- work --------------------------------------------------------------------------------------- */
static cudaError_t said(void)
{
    return fibers_call(false) ? cudaSuccess : cudaPeekAtLastError();
}

static bool is_there(cudaStream_t stream)
{
    return std::find(streams.begin(), streams.end(), stream) != streams.end();
}

/* Does what the stream has to do before it has done so much; nothing, of one that is gone. */
static void advance(cudaStream_t stream, unsigned long until)
{
    fibers_lock();
    while (is_there(stream) && stream->done < until) {
        FibersWork work = std::move(stream->work.front());
        stream->work.pop_front();
        stream->done++;
        if (!fibers_is_lost())
            work.run();
    }
    fibers_unlock();
}

static void wait_in(cudaStream_t stream, cudaStream_t other, unsigned long until)
{
    if (!is_there(other) || other->done >= until)
        return;
    stream->work.push_back({[other, until]() { advance(other, until); }, false, NULL, 0});
    stream->queued++;
}

void fibers_queue(cudaStream_t stream, FibersWork work)
{
    fibers_lock();
    stream = stream ? stream : &by_default;
    if (stream == &by_default) {
        for (cudaStream_t other : streams)
            if (other->blocking)
                wait_in(stream, other, other->queued);
    } else if (stream->blocking) {
        wait_in(stream, &by_default, by_default.queued);
    }
    stream->work.push_back(std::move(work));
    stream->queued++;
    if (fibers.descending && std::none_of(stream->work.begin(), stream->work.end(),
                                          [](const FibersWork &other) { return other.is_launch; }))
        advance(stream, stream->queued);
    fibers_unlock();
}

void fibers_finish(cudaStream_t stream)
{
    stream = stream ? stream : &by_default;
    advance(stream, stream->queued);
}

void fibers_finish_all(void)
{
    fibers_lock();
    for (cudaStream_t stream : streams)
        fibers_finish(stream);
    fibers_unlock();
}

void fibers_forget_all(void)
{
    fibers_lock();
    for (cudaStream_t stream : streams) {
        stream->work.clear();
        stream->done = stream->queued;
    }
    fibers_unlock();
}

bool fibers_is_read(const void *memory, size_t bytes)
{
    const char *begin = static_cast<const char *>(memory);
    bool found = false;
    fibers_lock();
    for (cudaStream_t stream : streams)
        for (const FibersWork &work : stream->work)
            found |= work.from && work.from < begin + bytes && begin < work.from + work.bytes;
    fibers_unlock();
    return found;
}

/* ---- streams ------------------------------------------------------------------------------------ */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *ret, unsigned flags)
{
    if (!fibers_call(false))
        return cudaPeekAtLastError();
    *ret = new fibers_stream();
    (*ret)->blocking = flags != cudaStreamNonBlocking;
    fibers_lock();
    streams.push_back(*ret);
    fibers_unlock();
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *ret)
{
    return cudaStreamCreateWithFlags(ret, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    fibers_lock();
    fibers_finish(stream);
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    fibers_unlock();
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    fibers_finish(stream);
    return said();
}

/* On a device that may stay the last error until somebody has asked for it. */
static bool under_way(void)
{
    if (fibers.unready <= 0)
        return false;
    fibers.unready--;
    fibers_fail(cudaErrorNotReady);
    return true;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return under_way() ? cudaErrorNotReady : cudaStreamSynchronize(stream);
}

cudaError_t cudaDeviceSynchronize(void)
{
    fibers_finish_all();
    return said();
}

/* ---- events ------------------------------------------------------------------------------------- */
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ret, unsigned flags)
{
    (void)flags;
    if (!fibers_call(false))
        return cudaPeekAtLastError();
    *ret = new fibers_event();
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *ret)
{
    return cudaEventCreateWithFlags(ret, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (!fibers_call(false))
        return cudaPeekAtLastError();
    auto time = std::make_shared<struct timespec>();
    fibers_queue(stream,
                 {[time]() { clock_gettime(CLOCK_MONOTONIC, time.get()); }, false, NULL, 0});
    event->recorded = true;
    event->stream = stream ? stream : &by_default;
    event->after = event->stream->queued;
    event->time = time;
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    if (event->recorded) {
        fibers_lock();
        wait_in(stream ? stream : &by_default, event->stream, event->after);
        fibers_unlock();
    }
    return said();
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->recorded)
        advance(event->stream, event->after);
    return said();
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return under_way() ? cudaErrorNotReady : cudaEventSynchronize(event);
}

cudaError_t cudaEventElapsedTime(float *ret_ms, cudaEvent_t from, cudaEvent_t to)
{
    if (!from->recorded || !to->recorded) {
        fibers_fail(cudaErrorInvalidResourceHandle);
        return cudaErrorInvalidResourceHandle;
    }
    advance(from->stream, from->after);
    advance(to->stream, to->after);
    *ret_ms = (float)(to->time->tv_sec - from->time->tv_sec) * 1e3f +
              (float)(to->time->tv_nsec - from->time->tv_nsec) * 1e-6f;
    return cudaSuccess;
}
