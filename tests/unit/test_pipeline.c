/* The pipeline: order, bounds, failure, stop. Meant to be run under ThreadSanitizer too. */
#include <pthread.h>
#include <stdatomic.h>

#include "process/pipeline.h"
#include "process/stack.h"
#include "tests/unit/codec_files.h"

#define JOBS_MAX 600

static const struct pf_decode_limits limits = {.max_pixels = 1000000};
static const struct pf_decode_limits coded_limits = {.max_pixels = 1000000, .coded_side = 1};
static const struct pf_stack_settings settings = {.align = PF_ALIGN_ORB};

struct job {
    int number;
    bool is_frame;
};

struct probe {
    struct pf_pipeline *pipeline;
    struct job jobs[JOBS_MAX];
    int done[JOBS_MAX];   /* numbers in the order of their turn (engine thread) */
    const char *refusals; /* by turn: 'r' a coded frame is refused; NULL: none is */
    char coded[100];      /* by turn: 'c' it came as such, else '-' */
    int given_up;         /* after how many frames; -1 never */
    const char *rename_from,
        *rename_to; /* while the first frame is in hand; NULL: nothing is renamed */
    bool is_other;  /* what is renamed, when it is asked for once more */
    int done_count, images, looks, failures, last_error, stop_after;
    int released[JOBS_MAX];                  /* engine thread */
    int meanwhile[JOBS_MAX], seen[JOBS_MAX]; /* side thread */
    atomic_int decoding, framed, ahead_max;
    /* Held: the engine waits in its first call, the side thread in its first, in its second. */
    pthread_mutex_t gate, meanwhile_gate, decoded_gate;
};

static int on_decoding(void *context, const void *tag, struct pf_error *err)
{
    struct probe *probe = context;
    (void)tag;
    if (probe->is_other && atomic_load(&probe->decoding) == 1) {
        probe->is_other = false;
        return pf_fail(err, ESTALE, "another picture");
    }
    if (probe->rename_from && atomic_load(&probe->decoding) == 0)
        CHECK_EQ(rename(probe->rename_from, probe->rename_to), 0);
    int ahead = atomic_fetch_add(&probe->decoding, 1) + 1 - atomic_load(&probe->framed);
    if (ahead > atomic_load(&probe->ahead_max))
        atomic_store(&probe->ahead_max, ahead);
    return 0;
}

static void note(struct probe *probe, const struct job *job)
{
    pthread_mutex_lock(&probe->gate);
    pthread_mutex_unlock(&probe->gate);
    probe->done[probe->done_count++] = job->number;
    if (probe->done_count == probe->stop_after)
        pf_pipeline_stop(probe->pipeline);
}

static void on_frame(void *context, void *tag, const struct pf_image *image, struct pf_look *look,
                     const struct pf_error *error, double decode_ms)
{
    struct probe *probe = context;
    probe->looks += look != NULL;
    const struct job *job = tag;
    if (probe->refusals) {
        bool coded = image && image->coded;
        probe->coded[job->number] = coded ? 'c' : '-';
        if (coded && probe->refusals[job->number] == 'r')
            snprintf(image->coded->refused, sizeof(image->coded->refused), "no %d", job->number);
    }
    note(probe, job);
    if (!job->is_frame || decode_ms < 0 || (image == NULL) != (error != NULL))
        probe->last_error = -1;
    if (image)
        probe->images++;
    else
        probe->failures++, probe->last_error = error->code;
    atomic_fetch_add(&probe->framed, 1);
}

static void on_uncoded(void *context, const char *why)
{
    struct probe *probe = context;
    CHECK_EQ(probe->given_up, -1);
    CHECK_EQ(sscanf(why, "no %d", &probe->given_up), 1);
}

static void on_command(void *context, void *tag)
{
    note(context, tag);
}

static void on_meanwhile(void *context, const void *tag)
{
    struct probe *probe = context;
    const struct job *job = tag;
    pthread_mutex_lock(&probe->meanwhile_gate);
    pthread_mutex_unlock(&probe->meanwhile_gate);
    probe->meanwhile[job->number]++;
}

static void on_decoded(void *context, const void *tag, const struct pf_image *image)
{
    struct probe *probe = context;
    const struct job *job = tag;
    pthread_mutex_lock(&probe->decoded_gate);
    pthread_mutex_unlock(&probe->decoded_gate);
    CHECK_EQ(probe->meanwhile[job->number], 1);
    probe->seen[job->number] = image->width;
}

static void on_release(void *context, void *tag)
{
    struct probe *probe = context;
    struct job *job = tag;
    probe->released[job->number]++;
    job->number = -1; /* nobody reads it after this */
}

static struct probe *start_probe_with(const struct pf_decode_limits *these, const char *refusals)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    struct pf_error err = {0};
    CHECK(probe);
    probe->refusals = refusals;
    probe->given_up = -1;
    pthread_mutex_init(&probe->gate, NULL);
    pthread_mutex_init(&probe->meanwhile_gate, NULL);
    pthread_mutex_init(&probe->decoded_gate, NULL);
    struct pf_pipeline_calls calls = {.context = probe,
                                      /* where something decodes for us, no processor looks */
                                      .look_for = these->coded_side ? NULL : &settings,
                                      .threads = 1,
                                      .decoding = on_decoding,
                                      .meanwhile = on_meanwhile,
                                      .decoded = on_decoded,
                                      .frame = on_frame,
                                      .uncoded = on_uncoded,
                                      .command = on_command,
                                      .release = on_release};
    CHECK_OK(pf_pipeline_new(&probe->pipeline, &calls, these, &err), &err);
    return probe;
}

static struct probe *start_probe(void)
{
    return start_probe_with(&limits, NULL);
}

static void add(struct probe *probe, int number, const char *path)
{
    struct pf_error err = {0};
    struct job *job = &probe->jobs[number];
    *job = (struct job){number, path != NULL};
    if (path)
        CHECK_OK(pf_pipeline_add_frame(probe->pipeline, path, job, &err), &err);
    else
        CHECK_OK(pf_pipeline_add_command(probe->pipeline, job, &err), &err);
}

static const char *make_picture(void)
{
    struct raster raster = smooth_raster(40, 30, 3, 8);
    struct jpeg_kind kind = {0};
    write_jpeg(file_name("a.jpg"), &raster, &kind);
    free(raster.samples);
    return file_name("a.jpg");
}

TEST(jobs_keep_their_order_and_failures_go_on)
{
    const char *path = make_picture();
    struct probe *probe = start_probe();
    for (int i = 0; i < JOBS_MAX; i++) /* more than may wait: the owner is held back, not refused */
        add(probe, i, i % 3 == 1 ? NULL : i % 7 == 6 ? "/nonexistent" : path);
    pf_pipeline_free(probe->pipeline);
    CHECK_EQ(probe->done_count, JOBS_MAX);
    for (int i = 0; i < JOBS_MAX; i++)
        CHECK_EQ(probe->done[i], i);
    CHECK_EQ(probe->last_error, ENOENT);
    CHECK(probe->images > 0 && probe->failures > 0);
    for (int i = 0; i < JOBS_MAX; i++) {
        bool decoded = i % 3 != 1 && i % 7 != 6;
        CHECK_EQ(probe->released[i], 1);
        CHECK_EQ(probe->meanwhile[i], i % 3 != 1);
        CHECK_EQ(probe->seen[i], decoded ? 40 : 0);
    }
    CHECK(atomic_load(&probe->ahead_max) <= 2);
    free(probe);
}

/* Between the question whether it is still the one that was recorded and the answer: that is asked once more. */
static void replace(bool is_other)
{
    char *path = strdup(make_picture()), *other = strdup(file_name("b.jpg"));
    struct bytes content = slurp(path);
    spit(other, content.data, content.size);
    free(content.data);
    struct probe *probe = start_probe();
    probe->rename_from = other;
    probe->rename_to = path;
    probe->is_other = is_other;
    add(probe, 0, path);
    add(probe, 1, path);
    pf_pipeline_free(probe->pipeline);
    CHECK_EQ(probe->last_error, is_other ? ESTALE : 0);
    CHECK_EQ(probe->images, is_other ? 1 : 2);
    CHECK_EQ(probe->seen[0], is_other ? 0 : 40);
    CHECK_EQ(probe->seen[1], 40);
    CHECK_EQ(atomic_load(&probe->decoding), is_other ? 2 : 3); /* not counted where it is refused */
    free(probe);
    free(path);
    free(other);
}

TEST(file_that_is_replaced_while_it_is_read_is_refused)
{
    replace(true);
}

TEST(file_that_is_replaced_by_the_same_is_none_that_is_replaced)
{
    replace(false);
}

TEST(next_frame_is_decoded_while_the_engine_works_and_no_further)
{
    const char *path = make_picture();
    struct probe *probe = start_probe();
    pthread_mutex_lock(&probe->gate);
    for (int i = 0; i < 6; i++)
        add(probe, i, path);
    /* The engine stands in its first frame; the decoder must come to the second all the same. */
    for (int waited_ms = 0; atomic_load(&probe->decoding) < 2 && waited_ms < 20000; waited_ms += 5)
        usleep(5000);
    CHECK_EQ(atomic_load(&probe->decoding), 2);
    CHECK_EQ(atomic_load(&probe->framed), 0);
    pthread_mutex_unlock(&probe->gate);
    pf_pipeline_free(probe->pipeline);
    CHECK_EQ(probe->images, 6);
    CHECK(probe->looks >= 1); /* the second frame, for which the engine had no time */
    CHECK_EQ(atomic_load(&probe->ahead_max), 2);
    free(probe);
}

TEST(beside_a_command_that_takes_their_room_no_frame_is_decoded)
{
    const char *path = make_picture();
    struct probe *probe = start_probe();
    struct pf_error err = {0};
    pthread_mutex_lock(&probe->gate);
    probe->jobs[0] = (struct job){0, false};
    CHECK_OK(pf_pipeline_add_alone(probe->pipeline, &probe->jobs[0], &err), &err);
    for (int waited_ms = 0; pf_pipeline_waits(probe->pipeline) && waited_ms < 20000; waited_ms += 5)
        usleep(5000);
    CHECK(!pf_pipeline_waits(probe->pipeline)); /* the engine stands in it */
    add(probe, 1, path);
    CHECK(pf_pipeline_waits(probe->pipeline));
    usleep(200000);
    CHECK_EQ(atomic_load(&probe->decoding), 0);
    pthread_mutex_unlock(&probe->gate);
    pf_pipeline_free(probe->pipeline);
    CHECK_EQ(probe->done_count, 2);
    CHECK_EQ(probe->images, 1);
    free(probe);
}

/* One that is decoded ahead by then is still coded. */
TEST(after_three_refusals_in_a_row_frames_are_decoded)
{
    static const char refusals[] = "rr.rr.rrrr......";
    const char *path = make_picture();
    struct probe *probe = start_probe_with(&coded_limits, refusals);
    for (int i = 0; i < (int)sizeof(refusals) - 1; i++)
        add(probe, i, path);
    pf_pipeline_free(probe->pipeline);
    CHECK_EQ(probe->images, (int)sizeof(refusals) - 1);
    CHECK_EQ(probe->given_up, 8);
    probe->coded[9] = '?';
    CHECK(strcmp(probe->coded, "ccccccccc?------") == 0);
    free(probe);
}

TEST(stop_discards_what_waits)
{
    const char *path = make_picture();
    struct probe *probe = start_probe();
    probe->stop_after = 3;
    for (int i = 0; i < 40; i++)
        add(probe, i, i % 2 ? NULL : path);
    pf_pipeline_free(probe->pipeline);
    CHECK_EQ(probe->done_count, 3);
    for (int i = 0; i < 40; i++)
        CHECK_EQ(probe->released[i], 1);
    free(probe);
}

static void await(atomic_int *number, int wanted)
{
    for (int waited_ms = 0; atomic_load(number) < wanted && waited_ms < 20000; waited_ms += 5)
        usleep(5000);
    CHECK_EQ(atomic_load(number), wanted);
}

/* Of what strangers made, a frame waits until both threads are done with it; of its own, the engine does not
 * wait, but nobody lets go of the frame before. */
TEST(engine_is_held_up_by_files_alone)
{
    const char *path = make_picture();
    struct probe *probe = start_probe();
    pthread_mutex_lock(&probe->meanwhile_gate);
    pthread_mutex_lock(&probe->decoded_gate);
    add(probe, 0, path);
    await(&probe->decoding, 1);
    usleep(100000);
    CHECK_EQ(atomic_load(&probe->framed), 0);
    pthread_mutex_unlock(&probe->meanwhile_gate);
    await(&probe->framed, 1);
    usleep(100000);
    CHECK_EQ(probe->jobs[0].number, 0); /* not released */
    pthread_mutex_unlock(&probe->decoded_gate);
    pf_pipeline_free(probe->pipeline);
    CHECK_EQ(probe->seen[0], 40);
    CHECK_EQ(probe->released[0], 1);
    free(probe);
}

TEST(pipeline_without_jobs_ends)
{
    struct probe *probe = start_probe();
    CHECK(pf_pipeline_free(probe->pipeline) == NULL);
    CHECK(pf_pipeline_free(NULL) == NULL);
    free(probe);
}
