#include "service/http/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define THREADS     4
#define STOP_WAIT_S 2

struct piece {
    struct piece *next;
    void (*run)(void *context);
    void (*done)(void *context);
    void *context;
};

struct queue {
    struct piece *first, **last;
};

struct pf_work {
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t threads[THREADS];
    int running;
    struct queue waiting, ended; /* under the lock, as the next two */
    size_t count;
    bool stopping;
    int wake_fd;
    struct event *wake;
};

static void append(struct queue *queue, struct piece *piece)
{
    piece->next = NULL;
    *queue->last = piece;
    queue->last = &piece->next;
}

static struct piece *take(struct queue *queue)
{
    struct piece *piece = queue->first;
    if (piece && !(queue->first = piece->next))
        queue->last = &queue->first;
    return piece;
}

static void *work_on(void *context)
{
    struct pf_work *work = context;
    pthread_mutex_lock(&work->lock);
    while (!work->stopping) {
        struct piece *piece = take(&work->waiting);
        if (!piece) {
            pthread_cond_wait(&work->more, &work->lock);
            continue;
        }
        pthread_mutex_unlock(&work->lock);
        piece->run(piece->context);
        pthread_mutex_lock(&work->lock);
        append(&work->ended, piece);
        eventfd_write(work->wake_fd, 1);
    }
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

static void tell_ended(struct pf_work *work, struct queue *queue)
{
    for (;;) {
        pthread_mutex_lock(&work->lock);
        struct piece *piece = take(queue);
        work->count -= piece != NULL;
        pthread_mutex_unlock(&work->lock);
        if (!piece)
            return;
        piece->done(piece->context);
        free(piece);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct pf_work *work = context;
    eventfd_t count;
    (void)what;
    eventfd_read(fd, &count);
    tell_ended(work, &work->ended);
}

int pf_work_new(struct pf_work **ret, struct event_base *base, struct pf_error *err)
{
    struct pf_work *work = calloc(1, sizeof(*work));
    if (!work)
        return pf_fail(err, ENOMEM, "out of memory for threads");
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->more, NULL);
    work->waiting.last = &work->waiting.first;
    work->ended.last = &work->ended.first;
    work->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (work->wake_fd >= 0)
        work->wake = event_new(base, work->wake_fd, EV_READ | EV_PERSIST, on_wake, work);
    int r = work->wake && event_add(work->wake, NULL) == 0 ? 0 : ENOMEM;
    /* Signals are the loop's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; !r && work->running < THREADS; work->running += !r)
        r = pthread_create(&work->threads[work->running], NULL, work_on, work);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r) {
        pf_work_free(work);
        return pf_fail_errno(err, r, "starting threads");
    }
    for (int i = 0; i < THREADS; i++)
        pthread_setname_np(work->threads[i], "files");
    *ret = work;
    return 0;
}

struct pf_work *pf_work_free(struct pf_work *work)
{
    struct timespec until;
    bool hangs = false;
    if (!work)
        return NULL;
    pthread_mutex_lock(&work->lock);
    work->stopping = true;
    pthread_cond_broadcast(&work->more);
    pthread_mutex_unlock(&work->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    for (int i = 0; i < work->running; i++)
        hangs |= pthread_timedjoin_np(work->threads[i], NULL, &until) != 0;
    tell_ended(work, &work->ended);
    tell_ended(work, &work->waiting);
    if (work->wake)
        event_free(work->wake);
    if (hangs) /* blocked in the kernel: they keep what they use until the process is gone */
        return NULL;
    if (work->wake_fd >= 0)
        close(work->wake_fd);
    pthread_mutex_destroy(&work->lock);
    pthread_cond_destroy(&work->more);
    free(work);
    return NULL;
}

int pf_work_add(struct pf_work *work, void (*run)(void *context), void (*done)(void *context),
                void *context)
{
    struct piece *piece = malloc(sizeof(*piece));
    if (!piece)
        return -ENOMEM;
    *piece = (struct piece){NULL, run, done, context};
    pthread_mutex_lock(&work->lock);
    bool full = work->count >= PF_WORK_MAX;
    if (!full) {
        work->count++;
        append(&work->waiting, piece);
        pthread_cond_signal(&work->more);
    }
    pthread_mutex_unlock(&work->lock);
    if (full)
        free(piece);
    return full ? -EBUSY : 0;
}
