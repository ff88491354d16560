#include "process/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

struct worker {
    struct pf_pool *pool;
    pthread_t thread;
    int index; /* 1.. ; the caller of pf_pool_run is 0 */
};

struct pf_pool {
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    struct worker *workers;
    int threads; /* workers plus the caller */
    int started; /* workers that exist */
    int busy;    /* workers still in the current round */
    unsigned round;
    bool stop;
    int count, grain, next; /* rows handed out so far, under the lock */
    void (*work)(void *context, int begin, int end, int thread);
    void *context;
};

/* Takes pieces until none is left. The lock is held on entry and on return. */
static void take_pieces(struct pf_pool *pool, int thread)
{
    while (pool->next < pool->count) {
        int begin = pool->next;
        int end = pool->count - begin < pool->grain ? pool->count : begin + pool->grain;
        pool->next = end;
        pthread_mutex_unlock(&pool->lock);
        pool->work(pool->context, begin, end, thread);
        pthread_mutex_lock(&pool->lock);
    }
}

static void *worker_main(void *argument)
{
    struct worker *self = argument;
    struct pf_pool *pool = self->pool;
    char name[16];
    snprintf(name, sizeof(name), "pool-%d", self->index);
    prctl(PR_SET_NAME, name);

    pthread_mutex_lock(&pool->lock);
    unsigned seen = 0;
    for (;;) {
        while (!pool->stop && pool->round == seen)
            pthread_cond_wait(&pool->begin, &pool->lock);
        if (pool->stop)
            break;
        seen = pool->round;
        take_pieces(pool, self->index);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->end);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int pf_pool_new(struct pf_pool **ret, int threads, struct pf_error *err)
{
    if (threads <= 0) {
        cpu_set_t allowed;
        CPU_ZERO(&allowed);
        threads = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    }
    struct pf_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return pf_fail(err, ENOMEM, "out of memory for the thread pool");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->begin, NULL);
    pthread_cond_init(&pool->end, NULL);
    pool->threads = threads;
    pool->workers = calloc((size_t)threads, sizeof(*pool->workers));
    if (!pool->workers) {
        pf_pool_free(pool);
        return pf_fail(err, ENOMEM, "out of memory for the thread pool");
    }
    for (int i = 1; i < threads; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->index = i;
        int r = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (r) {
            pf_pool_free(pool);
            return pf_fail_errno(err, r, "starting thread %d of the pool", i);
        }
        pool->started = i;
    }
    *ret = pool;
    return 0;
}

struct pf_pool *pf_pool_free(struct pf_pool *pool)
{
    if (!pool)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->begin);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i <= pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->begin);
    pthread_cond_destroy(&pool->end);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
    return NULL;
}

int pf_pool_threads(const struct pf_pool *pool)
{
    return pool ? pool->threads : 1;
}

void pf_pool_run(struct pf_pool *pool, int count, int grain,
                 void (*work)(void *context, int begin, int end, int thread), void *context)
{
    if (count <= 0)
        return;
    if (grain < 1)
        grain = 1;
    if (!pool || pool->threads == 1 || count <= grain) {
        for (int begin = 0; begin < count; begin += grain)
            work(context, begin, count - begin < grain ? count : begin + grain, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->count = count;
    pool->grain = grain;
    pool->next = 0;
    pool->work = work;
    pool->context = context;
    pool->busy = pool->started;
    pool->round++;
    pthread_cond_broadcast(&pool->begin);
    take_pieces(pool, 0);
    while (pool->busy)
        pthread_cond_wait(&pool->end, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
