#include "process/pipeline.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "config/base/time.h"
#include "process/stack.h"

#define DECODED_MAX 2   /* images in memory: one in the engine, one decoded or being decoded */
#define REFUSED_MAX 3   /* in a row: each of them is decoded twice */
#define WAITING_MAX 256 /* jobs; a command is small, but its number is an outsider's choice */

struct job {
    struct job *next;
    char *path; /* NULL: a command */
    void *tag;
    bool alone; /* no frame is decoded beside it */
    bool ready; /* decoded, or nothing to decode */
    bool holds_slot;
    bool decoded;           /* or could not be */
    bool meanwhile, beside; /* the side thread has yet to end its first call; is not done with it */
    struct job *next_beside;
    struct pf_image *image;
    struct pf_look *look;
    struct pf_error error;
    double decode_ms;
};

struct pf_pipeline {
    struct pf_pipeline_calls calls;
    struct pf_stack_settings look_for; /* what calls.look_for points to */
    struct pf_decode_limits limits;
    pthread_mutex_t lock;
    pthread_cond_t change; /* anything below */
    struct job *first, **end;
    struct job *undecoded;            /* where the decode thread is; NULL: nothing to do */
    struct job *beside, **beside_end; /* what the side thread has not begun */
    int waiting, decoded;
    int refused;                   /* coded frames, in a row; from REFUSED_MAX on there are none */
    bool ending, stopped, working; /* working: the engine, on a job that is none of the list */
    bool alone;                    /* that one */
    bool decoder_ended;
    pthread_t decoder, engine, side;
    bool decoder_started, engine_started, side_started;
};

static struct job *free_job(struct job *job)
{
    pf_look_free(job->look);
    pf_image_free(job->image);
    free(job->path);
    free(job);
    return NULL;
}

static void begin_beside(struct pf_pipeline *pipeline, struct job *job)
{
    pthread_mutex_lock(&pipeline->lock);
    job->meanwhile = job->beside = true;
    *pipeline->beside_end = job;
    pipeline->beside_end = &job->next_beside;
    pthread_cond_broadcast(&pipeline->change);
    pthread_mutex_unlock(&pipeline->lock);
}

/* A file that takes another's name meanwhile, or is written to, is not what decoding() has been asked about.
 * One that is gone has been read. */
static bool has_changed(const char *path, const struct stat *before)
{
    struct stat now;
    return stat(path, &now) == 0 &&
           (now.st_dev != before->st_dev || now.st_ino != before->st_ino ||
            now.st_size != before->st_size || now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != before->st_mtim.tv_nsec);
}

/* The lock is held on entry and on return. */
static void decode_job(struct pf_pipeline *pipeline, struct job *job)
{
    while ((pipeline->decoded >= DECODED_MAX || pipeline->alone) && !pipeline->stopped)
        pthread_cond_wait(&pipeline->change, &pipeline->lock);
    if (pipeline->stopped)
        return;
    pipeline->decoded++;
    job->holds_slot = true;
    struct pf_decode_limits limits = pipeline->limits;
    if (pipeline->refused >= REFUSED_MAX)
        limits.coded_side = 0;
    pthread_mutex_unlock(&pipeline->lock);

    double begin_ms = pf_now_ms();
    struct stat before;
    bool known = stat(job->path, &before) == 0; /* else decoding it says why not */
    int r = 0;
    if (pipeline->calls.decoding)
        r = pipeline->calls.decoding(pipeline->calls.context, job->tag, &job->error);
    if (r == 0 && pipeline->calls.meanwhile)
        begin_beside(pipeline, job);
    if (r == 0)
        r = pf_image_decode(&job->image, job->path, &limits, &job->error);
    /* Another time, or a copy of the same in its place, is no other picture: decoding() tells. */
    bool changed = known && pipeline->calls.decoding && has_changed(job->path, &before);
    struct pf_error other = {0};
    if (changed &&
        (r < 0 || pipeline->calls.decoding(pipeline->calls.context, job->tag, &other) < 0)) {
        job->image = pf_image_free(job->image);
        pf_error_clear(&job->error);
        r = pf_fail(&job->error, ESTALE, "%s: the file has changed while it was read", job->path);
    }
    if (r < 0 && !job->error.code)
        pf_fail_errno(&job->error, -r, "decoding %s", job->path);
    job->decode_ms = pf_now_ms() - begin_ms;

    pthread_mutex_lock(&pipeline->lock);
    job->decoded = true;
    pthread_cond_broadcast(&pipeline->change);
    /* An engine that waits is faster at it, with all its threads. */
    const struct pf_stack_settings *look_for = pipeline->calls.look_for;
    if (r < 0 || !look_for || !(pipeline->working || pipeline->first != job))
        return;
    pthread_mutex_unlock(&pipeline->lock);
    /* What goes wrong here is told when the stack tries it again. */
    pf_look_new(&job->look, look_for, job->image, NULL, pipeline->calls.threads, NULL);
    pthread_mutex_lock(&pipeline->lock);
}

static void *decoder_main(void *argument)
{
    struct pf_pipeline *pipeline = argument;
    prctl(PR_SET_NAME, "decode");

    pthread_mutex_lock(&pipeline->lock);
    for (;;) {
        while (!pipeline->undecoded && !pipeline->ending)
            pthread_cond_wait(&pipeline->change, &pipeline->lock);
        struct job *job = pipeline->undecoded;
        if (!job)
            break;
        if (job->path)
            decode_job(pipeline, job);
        while (job->meanwhile)
            pthread_cond_wait(&pipeline->change, &pipeline->lock);
        pipeline->undecoded = job->next; /* read now: jobs may have come meanwhile */
        job->ready = true;
        pthread_cond_broadcast(&pipeline->change);
    }
    pipeline->decoder_ended = true;
    pthread_cond_broadcast(&pipeline->change);
    pthread_mutex_unlock(&pipeline->lock);
    return NULL;
}

static void *side_main(void *argument)
{
    struct pf_pipeline *pipeline = argument;
    const struct pf_pipeline_calls *calls = &pipeline->calls;
    prctl(PR_SET_NAME, "side");

    pthread_mutex_lock(&pipeline->lock);
    for (;;) {
        while (!pipeline->beside && !pipeline->decoder_ended)
            pthread_cond_wait(&pipeline->change, &pipeline->lock);
        struct job *job = pipeline->beside;
        if (!job)
            break;
        pipeline->beside = job->next_beside;
        if (!pipeline->beside)
            pipeline->beside_end = &pipeline->beside;
        pthread_mutex_unlock(&pipeline->lock);
        calls->meanwhile(calls->context, job->tag);
        pthread_mutex_lock(&pipeline->lock);
        job->meanwhile = false;
        pthread_cond_broadcast(&pipeline->change);
        while (!job->decoded)
            pthread_cond_wait(&pipeline->change, &pipeline->lock);
        if (job->image) {
            pthread_mutex_unlock(&pipeline->lock);
            calls->decoded(calls->context, job->tag, job->image);
            pthread_mutex_lock(&pipeline->lock);
        }
        job->beside = false;
        pthread_cond_broadcast(&pipeline->change);
    }
    pthread_mutex_unlock(&pipeline->lock);
    return NULL;
}

static void count_refusal(struct pf_pipeline *pipeline, const struct pf_coded *coded)
{
    pthread_mutex_lock(&pipeline->lock);
    bool counts = pipeline->refused < REFUSED_MAX;
    if (counts)
        pipeline->refused = *coded->refused ? pipeline->refused + 1 : 0;
    bool ends = counts && pipeline->refused == REFUSED_MAX;
    pthread_mutex_unlock(&pipeline->lock);
    if (ends && pipeline->calls.uncoded)
        pipeline->calls.uncoded(pipeline->calls.context, coded->refused);
}

static void run_job(struct pf_pipeline *pipeline, struct job *job)
{
    const struct pf_pipeline_calls *calls = &pipeline->calls;
    if (job->path)
        calls->frame(calls->context, job->tag, job->image, job->look,
                     job->image ? NULL : &job->error, job->decode_ms);
    else
        calls->command(calls->context, job->tag);
}

static void *engine_main(void *argument)
{
    struct pf_pipeline *pipeline = argument;
    prctl(PR_SET_NAME, "engine");

    pthread_mutex_lock(&pipeline->lock);
    for (;;) {
        while (!(pipeline->first && pipeline->first->ready) &&
               !(pipeline->ending && !pipeline->first))
            pthread_cond_wait(&pipeline->change, &pipeline->lock);
        struct job *job = pipeline->first;
        if (!job)
            break;
        pipeline->first = job->next;
        if (!pipeline->first)
            pipeline->end = &pipeline->first;
        pipeline->waiting--;
        pipeline->working = true;
        pipeline->alone = job->alone;
        bool stopped = pipeline->stopped, held = job->holds_slot;
        pthread_cond_broadcast(&pipeline->change);
        pthread_mutex_unlock(&pipeline->lock);

        if (!stopped && (held || !job->path))
            run_job(pipeline, job);
        if (job->image && job->image->coded && !stopped)
            count_refusal(pipeline, job->image->coded);
        pthread_mutex_lock(&pipeline->lock);
        while (job->beside)
            pthread_cond_wait(&pipeline->change, &pipeline->lock);
        pthread_mutex_unlock(&pipeline->lock);
        pipeline->calls.release(pipeline->calls.context, job->tag);
        free_job(job);

        pthread_mutex_lock(&pipeline->lock);
        pipeline->working = pipeline->alone = false;
        if (held)
            pipeline->decoded--;
        pthread_cond_broadcast(&pipeline->change);
    }
    pthread_mutex_unlock(&pipeline->lock);
    return NULL;
}

int pf_pipeline_new(struct pf_pipeline **ret, const struct pf_pipeline_calls *calls,
                    const struct pf_decode_limits *limits, struct pf_error *err)
{
    struct pf_pipeline *pipeline = calloc(1, sizeof(*pipeline));
    if (!pipeline)
        return pf_fail(err, ENOMEM, "out of memory for the pipeline");
    pipeline->calls = *calls;
    if (calls->look_for) {
        pipeline->look_for = *calls->look_for;
        pipeline->calls.look_for = &pipeline->look_for;
    }
    pipeline->limits = *limits;
    pipeline->end = &pipeline->first;
    pipeline->beside_end = &pipeline->beside;
    pthread_mutex_init(&pipeline->lock, NULL);
    pthread_cond_init(&pipeline->change, NULL);

    int r = pthread_create(&pipeline->decoder, NULL, decoder_main, pipeline);
    pipeline->decoder_started = r == 0;
    if (r == 0) {
        r = pthread_create(&pipeline->engine, NULL, engine_main, pipeline);
        pipeline->engine_started = r == 0;
    }
    if (r == 0 && calls->meanwhile) {
        r = pthread_create(&pipeline->side, NULL, side_main, pipeline);
        pipeline->side_started = r == 0;
    }
    if (r) {
        pf_pipeline_free(pipeline);
        return pf_fail_errno(err, r, "starting the pipeline's threads");
    }
    *ret = pipeline;
    return 0;
}

static int add(struct pf_pipeline *pipeline, const char *path, void *tag, bool alone,
               struct pf_error *err)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job && path)
        job->path = strdup(path);
    if (!job || (path && !job->path)) {
        free(job);
        return pf_fail(err, ENOMEM, "out of memory for a job");
    }
    job->tag = tag;
    job->alone = alone;

    pthread_mutex_lock(&pipeline->lock);
    while (pipeline->waiting >= WAITING_MAX)
        pthread_cond_wait(&pipeline->change, &pipeline->lock);
    *pipeline->end = job;
    pipeline->end = &job->next;
    pipeline->waiting++;
    if (!pipeline->undecoded)
        pipeline->undecoded = job;
    pthread_cond_broadcast(&pipeline->change);
    pthread_mutex_unlock(&pipeline->lock);
    return 0;
}

int pf_pipeline_add_frame(struct pf_pipeline *pipeline, const char *path, void *tag,
                          struct pf_error *err)
{
    return add(pipeline, path, tag, false, err);
}

int pf_pipeline_add_command(struct pf_pipeline *pipeline, void *tag, struct pf_error *err)
{
    return add(pipeline, NULL, tag, false, err);
}

int pf_pipeline_add_alone(struct pf_pipeline *pipeline, void *tag, struct pf_error *err)
{
    return add(pipeline, NULL, tag, true, err);
}

bool pf_pipeline_waits(struct pf_pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->lock);
    bool waits = pipeline->first || pipeline->stopped;
    pthread_mutex_unlock(&pipeline->lock);
    return waits;
}

void pf_pipeline_stop(struct pf_pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->lock);
    pipeline->stopped = true;
    pthread_cond_broadcast(&pipeline->change);
    pthread_mutex_unlock(&pipeline->lock);
}

struct pf_pipeline *pf_pipeline_free(struct pf_pipeline *pipeline)
{
    if (!pipeline)
        return NULL;
    pthread_mutex_lock(&pipeline->lock);
    pipeline->ending = true;
    pthread_cond_broadcast(&pipeline->change);
    pthread_mutex_unlock(&pipeline->lock);
    if (pipeline->decoder_started)
        pthread_join(pipeline->decoder, NULL);
    if (pipeline->engine_started)
        pthread_join(pipeline->engine, NULL);
    if (pipeline->side_started)
        pthread_join(pipeline->side, NULL);
    pthread_cond_destroy(&pipeline->change);
    pthread_mutex_destroy(&pipeline->lock);
    free(pipeline);
    return NULL;
}
