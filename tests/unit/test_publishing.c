/* What is told of an outbox: one that answers as the test says, in place of service/outbox.c. */
#include "config/base/time.h"
#include "service/service.h"
#include "tests/unit/fake_worker.h"
#include "tests/unit/journal_steps.h"

static struct pf_service service;
static int asked; /* checks */

int pf_outbox_new(struct pf_outbox **ret, struct event_base *base, const char *directory,
                  const char *tag, const char *former_tag,
                  void (*handler)(const struct pf_outbox_answer *answer, void *context),
                  void *context, struct pf_error *err)
{
    (void)ret, (void)base, (void)directory, (void)tag, (void)former_tag;
    (void)handler, (void)context, (void)err;
    return 0;
}

struct pf_outbox *pf_outbox_free(struct pf_outbox *outbox)
{
    (void)outbox;
    return NULL;
}

int pf_outbox_ask(struct pf_outbox *outbox, enum pf_outbox_request request, int64_t burst,
                  const char *name, int version, const json_t *identities)
{
    (void)outbox, (void)burst, (void)name, (void)version, (void)identities;
    asked += request == PF_OUTBOX_CHECK;
    return 0;
}

void pf_outbox_await(const struct pf_outbox *outbox, int ms)
{
    (void)outbox, (void)ms;
}

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
