/* What the service makes of frames and stacks, without memory: see without_memory.h. Where it would end and go on from
 * its journal (service/ledger.h), the run ends. Whether memory was there or not, the journal has a step with all that
 * belongs to it, or not at all. */
#include "tests/unit/service_world.h"

#define BURST 7

static struct pf_job *job;

/* A complete burst of one frame, in the journal and as a job. */
static void begin(void)
{
    struct pf_error err = {0};
    int version;
    long left = allocations_hold();
    forget_state();
    begin_service();
    join(service.journal, BURST, 1, false);
    CHECK_OK(pf_journal_complete(service.journal, BURST, "gap", &version, &err), &err);
    CHECK_EQ(pf_job_new(&job, BURST, "b", NULL), 0);
    CHECK_EQ(pf_job_add(job, record_of(1), NULL), 1);
    job->key = copy("b.1");
    job->complete = copy("gap");
    job->version = version;
    job->stage = PF_JOB_ACTIVE;
    pf_scheduler_add(service.scheduler, job);
    allocations_go_on(left);
}

static int64_t deliveries(void)
{
    struct pf_error err = {0};
    int64_t count;
    CHECK_OK(pf_journal_deliveries_count(service.journal, PF_DELIVERY_DUE, &count, &err), &err);
    return count;
}

static int run_published(struct pf_error *err)
{
    const struct pf_outbox_answer answer = {
        .request = PF_OUTBOX_PUBLISH, .burst = BURST, .version = 1, .path = "/out/b", .text = ""};
    (void)err;
    begin();
    job->out = PF_OUT_PUBLISHING;
    job->out_version = 1;
    bool goes_on = !setjmp(ended);
    if (goes_on) {
        pf_publishing_answer(&answer, &service);
        flush();
    }
    long left = allocations_hold();
    CHECK_STR(burst_text(service.journal, BURST),
              goes_on ? "published 1/1 1 [gap] [] [/out/b]" : "complete 1/0 1 [gap] [] []");
    CHECK_EQ(deliveries(), goes_on ? 1 : 0);
    allocations_go_on(left);
    end_service();
    return 0;
}

TEST(service_publishing)
{
    tries_part = 3;
    without_memory(run_published, false);
}

static int run_failed(struct pf_error *err)
{
    (void)err;
    begin();
    bool goes_on = !setjmp(ended);
    if (goes_on) {
        pf_stacking_handlers.failed(job, "no two frames fit", &service);
        flush();
    }
    long left = allocations_hold();
    CHECK_STR(burst_text(service.journal, BURST),
              goes_on ? "failed 1/0 1 [gap] [no two frames fit] []" : "complete 1/0 1 [gap] [] []");
    CHECK_EQ(deliveries(), goes_on ? 1 : 0);
    allocations_go_on(left);
    end_service();
    return 0;
}

TEST(service_stacking_that_fails)
{
    tries_part = 3;
    without_memory(run_failed, false);
}

/* A frame that was put out by hand stays out, whatever the worker says of it. */
static int run_scored(struct pf_error *err)
{
    (void)err;
    begin();
    json_t *event =
        json_of("{\"verdict\": \"fused\", \"event\": \"frame\", \"coverage\": {\"a\": 1},"
                " \"focus\": {\"grid\": [1, 2, 3]}, \"sharpness\": 3}");
    pf_job_set_step(job, &job->frames[0], PF_STEP_SENT);
    long left = allocations_hold();
    json_object_set_new(event, "burst", json_string(job->key));
    json_object_set_new(event, "frame", json_string(job->frames[0].record->id.text));
    allocations_go_on(left);
    job->frames[0].discarded = job->frames[0].excluded = true;
    bool goes_on = !setjmp(ended);
    if (goes_on) {
        fake.handlers.message(event, fake.context);
        flush();
    }
    left = allocations_hold();
    struct pf_journal_frames frames = {0};
    struct pf_identity id = id_of(1);
    CHECK_EQ(pf_journal_frame(service.journal, &id, &frames, NULL), 0);
    if (goes_on) {
        const json_t *scores = frames.items[0].scores;
        CHECK(json_is_true(json_object_get(scores, "discarded")));
        CHECK(json_is_true(json_object_get(scores, "excluded")));
        CHECK_EQ(json_integer_value(json_object_get(scores, "sharpness")), 3);
        CHECK_EQ(json_array_size(json_object_get(json_object_get(scores, "focus"), "grid")), 3);
        CHECK_STR(json_string_value(json_object_get(job->frames[0].result, "verdict")), "fused");
    }
    pf_journal_frames_free(&frames);
    json_decref(event);
    allocations_go_on(left);
    end_service();
    return 0;
}

TEST(service_stacking_a_frame)
{
    tries_part = 3;
    without_memory(run_scored, false);
}

static int run_rejected(struct pf_error *err)
{
    (void)err;
    begin();
    if (!setjmp(ended)) {
        pf_intake_handlers.rejected("folder:/in", "/in/a.jpg", 5, 6, "it is no picture", &service);
        flush();
    }
    end_service();
    return 0;
}

TEST(service_intake_of_what_is_no_picture)
{
    tries_part = 3;
    without_memory(run_rejected, false);
}
