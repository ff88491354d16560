/* What is told of an outbox: one that answers as the test says, in place of service/outbox.c. */
#include "config/base/time.h"
#include "service/service.h"
#include "tests/unit/fake_outbox.h"
#include "tests/unit/fake_worker.h"
#include "tests/unit/journal_steps.h"

static struct pf_service service;
static void answers(enum pf_outbox_request request, int code)
{
    const struct pf_outbox_answer answer = {
        .request = request, .r = -code, .path = "/out", .text = code ? strerror(code) : ""};
    pf_publishing_answer(&answer, &service);
}

static bool is_told(const char *id)
{
    bool told = false;
    size_t i;
    const json_t *trouble;
    json_t *all = pf_troubles_json(service.troubles);
    json_array_foreach(all, i, trouble)
    {
        told |= !strcmp(json_string_value(json_object_get(trouble, "id")), id);
    }
    json_decref(all);
    return told;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what, (void)context;
}

static void begin(void)
{
    struct pf_error err = {0};
    CHECK_OK(pf_settings_init(&service.settings, &err), &err);
    service.base = event_base_new();
    service.outbox_timer = evtimer_new(service.base, on_timer, NULL);
    CHECK_OK(pf_events_new(&service.events, &err), &err);
    CHECK_OK(pf_troubles_new(&service.troubles, service.events, &err), &err);
    CHECK_OK(pf_scheduler_new(&service.scheduler, service.base, &service.settings,
                              &pf_stacking_handlers, &service, &err),
             &err);
}

static void end(void)
{
    pf_scheduler_free(service.scheduler);
    pf_troubles_free(service.troubles);
    pf_events_free(service.events);
    event_free(service.outbox_timer);
    event_base_free(service.base);
    pf_settings_free(&service.settings);
}

TEST(an_outbox_that_does_not_answer_is_told)
{
    begin();
    for (int i = 0; i < 10; i++)
        pf_publishing_check(&service);
    CHECK_EQ(asked, 1); /* and no more of them pile up */
    CHECK(!is_told("outbox.silent"));
    service.outbox_asked_ms -= 30000;
    pf_publishing_check(&service);
    CHECK(is_told("outbox.silent") && pf_troubles_degrade(service.troubles));
    answers(PF_OUTBOX_CHECK, 0);
    CHECK(!is_told("outbox.silent"));
    pf_publishing_check(&service);
    CHECK_EQ(asked, 2);
    end();
}

/* A share that was away and is back. */
TEST(what_a_check_has_found_ends_with_a_check)
{
    static const int codes[] = {EHOSTDOWN, EIO, ETIMEDOUT, EACCES};
    begin();
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        answers(PF_OUTBOX_CHECK, codes[i]);
        CHECK(is_told("outbox"));
        answers(PF_OUTBOX_CHECK, 0);
        CHECK(!is_told("outbox") && !service.outbox_errno);
    }
    end();
}

/* That there is room only a stack can show, while one waits. */
TEST(what_a_stack_has_found_ends_with_a_stack)
{
    struct pf_job *job = NULL;
    begin();
    CHECK_EQ(pf_job_new(&job, 7, "b", NULL), 0);
    CHECK_EQ(pf_job_add(job, record_of(1), NULL), 1);
    job->complete = copy("gap");
    job->out = PF_OUT_PUBLISHING;
    pf_scheduler_add(service.scheduler, job);
    pf_publishing_unwritten(job, ENOSPC, "no space", &service);
    answers(PF_OUTBOX_CHECK, 0);
    CHECK(is_told("outbox"));
    pf_scheduler_remove(service.scheduler, job);
    answers(PF_OUTBOX_CHECK, 0);
    CHECK(!is_told("outbox"));
    end();
}

static void prepared_ahead(const struct pf_job *job, int of, int code)
{
    const struct pf_outbox_answer answer = {.request = PF_OUTBOX_PREPARE_AHEAD,
                                            .burst = job->burst,
                                            .version = of,
                                            .r = -code,
                                            .path = "/out/.b.partial",
                                            .text = code ? strerror(code) : ""};
    pf_publishing_answer(&answer, &service);
}

/* An open burst of one frame that is done. */
static struct pf_job *settled_job(void)
{
    struct pf_job *job = NULL;
    begin();
    ahead_number = prepared = published = 0;
    CHECK_EQ(pf_job_new(&job, 7, "b", NULL), 0);
    CHECK_EQ(pf_job_add(job, record_of(1), NULL), 1);
    job->key = copy("b.1");
    job->stage = PF_JOB_ACTIVE;
    pf_job_set_step(job, &job->frames[0], PF_STEP_DONE);
    job->frames[0].result = json_pack("{s:s}", "verdict", "fused");
    pf_scheduler_add(service.scheduler, job);
    return job;
}

static void ask_ahead(struct pf_job *job)
{
    job->ahead = PF_AHEAD_ASKED;
    job->ahead_count = job->count;
    pf_publishing_idle(job, &service);
}

static const char *told(void)
{
    const json_t *command = fake_next();
    return command ? json_string_value(json_object_get(command, "cmd")) : "";
}

/* The directory of a question that the job has forgotten may be made anew under what is written into it. */
TEST(an_answer_to_an_older_question_begins_nothing)
{
    struct pf_job *job = settled_job();
    ask_ahead(job);
    int first = ahead_number;
    pf_job_forget_stack(job);
    job->stage = PF_JOB_ACTIVE;
    pf_job_set_step(job, &job->frames[0], PF_STEP_DONE);
    ask_ahead(job);
    CHECK(ahead_number != first);
    prepared_ahead(job, first, 0);
    CHECK_STR(told(), "");
    CHECK_EQ(job->ahead, PF_AHEAD_ASKED);
    prepared_ahead(job, ahead_number, 0);
    CHECK_STR(told(), "prepare");
    CHECK_EQ(job->ahead, PF_AHEAD_WRITING);
    end();
}

TEST(an_outbox_that_takes_nothing_ahead_is_no_trouble_yet)
{
    struct pf_job *job = settled_job();
    ask_ahead(job);
    prepared_ahead(job, ahead_number, EROFS);
    CHECK(!is_told("outbox") && job->no_ahead && job->ahead == PF_AHEAD_NONE);
    CHECK_STR(told(), "");
    end();
}

/* A frame came while the directory was made; or the burst was complete before it was. */
TEST(a_directory_that_is_made_too_late_is_not_written_into)
{
    struct pf_job *job = settled_job();
    ask_ahead(job);
    CHECK_EQ(pf_job_add(job, record_of(2), NULL), 1);
    prepared_ahead(job, ahead_number, 0);
    CHECK_STR(told(), "");
    pf_job_set_step(job, &job->frames[1], PF_STEP_DONE);
    ask_ahead(job);
    job->complete = copy("gap");
    pf_publishing_begin(&service, job);
    CHECK(job->out == PF_OUT_PREPARING && prepared == 1);
    prepared_ahead(job, ahead_number, 0);
    CHECK_STR(told(), "");
    end();
}

/* What was written ahead, and has gone with its directory: all is written into a new one, without a word. */
TEST(a_directory_that_has_gone_is_made_anew)
{
    struct pf_job *job = settled_job();
    struct pf_error err = {0};
    CHECK_OK(pf_journal_open(&service.journal, test_directory(), NULL, &err), &err);
    ask_ahead(job);
    prepared_ahead(job, ahead_number, 0);
    CHECK_STR(told(), "prepare");
    job->ahead = PF_AHEAD_WRITTEN;
    job->complete = copy("gap");
    pf_publishing_begin(&service, job);
    CHECK_STR(told(), "finish");
    CHECK(job->out == PF_OUT_FILLING && prepared == 0 && !job->ahead_dir);
    job->stage = PF_JOB_ACTIVE;
    job->out = PF_OUT_NOWHERE;
    pf_publishing_unwritten(job, ENOENT, "no directory", &service);
    CHECK(!is_told("outbox"));
    pf_publishing_begin(&service, job);
    CHECK(job->out == PF_OUT_PREPARING && prepared == 1);
    pf_publishing_unwritten(job, ENOENT, "no directory", &service);
    CHECK(is_told("outbox"));
    service.journal = pf_journal_close(service.journal);
    end();
}
