#include "tests/gen/rows.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX 16

static int thread_count;

void *pf_gen_alloc(size_t count, size_t size_bytes)
{
    void *memory = calloc(count ? count : 1, size_bytes);
    if (!memory) {
        fprintf(stderr, "generate: out of memory (%zu x %zu bytes)\n", count, size_bytes);
        exit(1);
    }
    return memory;
}

void pf_gen_set_threads(int threads)
{
    thread_count = threads;
}

struct job {
    atomic_int next;
    int count, grain;
    void (*work)(void *, int, int);
    void *context;
};

static void *run(void *argument)
{
    struct job *job = argument;
    for (;;) {
        int begin = atomic_fetch_add(&job->next, job->grain);
        if (begin >= job->count)
            return NULL;
        int end = begin + job->grain < job->count ? begin + job->grain : job->count;
        job->work(job->context, begin, end);
    }
}

void pf_gen_rows(int count, void (*work)(void *context, int begin, int end), void *context)
{
    long cores = thread_count > 0 ? thread_count : sysconf(_SC_NPROCESSORS_ONLN);
    int threads = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (int)cores;
    struct job job = {
        .count = count, .grain = count / (threads * 4) + 1, .work = work, .context = context};
    pthread_t others[THREADS_MAX];
    int started = 0;
    while (started < threads - 1 && pthread_create(&others[started], NULL, run, &job) == 0)
        started++;
    run(&job);
    while (started > 0)
        pthread_join(others[--started], NULL);
}
