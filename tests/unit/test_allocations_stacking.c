/* What the service makes of frames and stacks, without memory: see without_memory.h. Where it would end and go on from
 * its journal (service/ledger.h), the run ends. Whether memory was there or not, the journal has a step with all that
 * belongs to it, or not at all. */
#include <setjmp.h>

#include "service/alarms.h"
#include "service/hooks.h"
#include "service/service.h"
#include "tests/unit/fake_outbox.h"
#include "tests/unit/fake_worker.h"
#include "tests/unit/journal_steps.h"
#include "tests/unit/without_memory.h"

static jmp_buf ended;
#define exit(status) longjmp(ended, status)
#include "service/ledger.c"
#undef exit

#define BURST 7

static struct pf_service service;
static struct pf_job *job;

static void on_committed(struct pf_entry *entry, void *context)
{
    (void)context;
    if (entry->kind == PF_ENTRY_PUBLISHED)
        pf_publishing_committed(&service, entry, pf_scheduler_find(service.scheduler, BURST));
}

static void on_blocked(bool blocked, void *context)
{
    (void)blocked, (void)context;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what, (void)context;
}

/* A complete burst of one frame, in the journal and as a job; and one hook. */
static void begin(void)
{
    struct pf_error err = {0};
    char directory[4300];
    long left = allocations_hold();
    memset(&service, 0, sizeof(service));
    snprintf(directory, sizeof(directory), "%s/state", test_directory());
    CHECK_EQ(pf_remove_tree(directory, NULL), 0);
    CHECK_OK(pf_settings_init(&service.settings, &err), &err);
    CHECK_OK(pf_settings_set(&service.settings, "on_burst", "/bin/true", &err), &err);
    CHECK_OK(pf_settings_set(&service.settings, "on_failure", "/bin/true", &err), &err);
    service.base = event_base_new();
    service.outbox_timer = evtimer_new(service.base, on_timer, NULL);
    service.journal = open_in(directory);
    CHECK_OK(pf_events_new(&service.events, &err), &err);
    CHECK_OK(pf_troubles_new(&service.troubles, service.events, &err), &err);
    CHECK_OK(pf_ledger_new(&service.ledger, service.base, service.journal, on_committed, on_blocked,
                           NULL, &err),
             &err);
    CHECK_OK(pf_hooks_new(&service.hooks, service.base, &service.settings, service.journal,
                          service.ledger, service.events, service.troubles, &err),
             &err);
    CHECK_OK(pf_scheduler_new(&service.scheduler, service.base, &service.settings,
                              &pf_stacking_handlers, &service, &err),
             &err);
    join(service.journal, BURST, 1, false);
    int version;
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

static void end(void)
{
    long left = allocations_hold();
    pf_scheduler_free(service.scheduler);
    pf_hooks_free(service.hooks);
    pf_ledger_free(service.ledger);
    pf_troubles_free(service.troubles);
    pf_events_free(service.events);
    pf_journal_close(service.journal);
    event_free(service.outbox_timer);
    event_base_free(service.base);
    pf_settings_free(&service.settings);
    allocations_go_on(left);
}

/* What waits is written once there is memory; where the service has ended it is lost, and done again by the next. */
static void flush(void)
{
    pf_ledger_flush(service.ledger);
    long left = allocations_hold();
    event_del(service.ledger->retry);
    pf_ledger_flush(service.ledger);
    if (pf_ledger_count(service.ledger)) {
        struct pf_error err = {0};
        write_entries(service.ledger, &err);
        FAIL("an entry waits: %s", err.text);
    }
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
    end();
    return 0;
}

TEST(service_publishing)
{
    tries_most = 40; /* each waits for the disk */
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
    end();
    return 0;
}

TEST(service_stacking_that_fails)
{
    tries_most = 40; /* each waits for the disk */
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
    end();
    return 0;
}

TEST(service_stacking_a_frame)
{
    tries_most = 40; /* each waits for the disk */
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
    end();
    return 0;
}

TEST(service_intake_of_what_is_no_picture)
{
    tries_most = 40; /* each waits for the disk */
    without_memory(run_rejected, false);
}
