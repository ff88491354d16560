/* What the worker says to the service, which may come from a worker that an image has taken over.
 * Every job is in its hands; the service's own handlers act on what it says, as far as the journal.
 */
#include <string.h>

#include "config/base/file.h"
#include "service/scheduler.c" /* its handlers of what the worker says */
#include "service/service.h"
#include "service/sidecar.h"
#include "service/worker_child.c" /* its handler of messages */
#include "tests/fuzz/fuzz.h"

#define JOBS   2
#define FRAMES 3

static struct pf_service service;

static void on_committed(struct pf_entry *entry, void *context)
{
    pf_stacking_committed(context, entry);
}

static void on_blocked(bool blocked, void *context)
{
    (void)blocked, (void)context;
}

static void begin(void)
{
    const struct pf_pairs_settings pairs = {0};
    struct pf_error err = {0};
    fuzz_quiet();
    service.base = event_base_new();
    FUZZ_CHECK(service.base && pf_settings_init(&service.settings, &err) == 0);
    free(service.settings.state);
    free(service.settings.outbox);
    service.settings.state = pf_path_join(fuzz_directory(), "state");
    service.settings.outbox = pf_path_join(fuzz_directory(), "outbox");
    FUZZ_CHECK(pf_journal_open(&service.journal, service.settings.state, NULL, &err) == 0);
    FUZZ_CHECK(pf_events_new(&service.events, &err) == 0);
    FUZZ_CHECK(pf_troubles_new(&service.troubles, service.events, &err) == 0);
    FUZZ_CHECK(pf_pairs_new(&service.pairs, &pairs, &err) == 0);
    FUZZ_CHECK(pf_outbox_new(&service.outbox, service.base, service.settings.outbox, "fuzz",
                             "former", NULL, pf_publishing_answer, &service, &err) == 0);
    service.outbox_timer = evtimer_new(service.base, on_turn, NULL);
}

static struct pf_record *make_record(int n)
{
    struct pf_record *record = calloc(1, sizeof(*record));
    FUZZ_CHECK(record);
    record->path = strdup("/in/IMG.JPG");
    record->source = strdup("folder:/in");
    record->format = strdup("jpeg");
    memset(record->id.text, '0' + n, PF_IDENTITY_CHARS);
    record->id.text[16] = '-';
    record->orientation = 1;
    record->width = record->height = 64;
    return record;
}

static void take(json_t *object, void *context)
{
    struct pf_scheduler *scheduler = context;
    struct pf_job *next;
    for (struct pf_job *job = scheduler->jobs; job; job = job->next) {
        if (job->stage == PF_JOB_WAITING)
            job->stage = PF_JOB_ACTIVE;
        if (job->ahead == PF_AHEAD_NONE && !job->no_ahead) {
            if (!job->ahead_dir)
                job->ahead_dir = strdup(service.settings.outbox);
            FUZZ_CHECK(job->ahead_dir);
            job->ahead = PF_AHEAD_WRITING;
            job->ahead_count = job->count;
        }
        for (size_t i = 0; i < job->count; i++)
            if (job->frames[i].step == PF_STEP_WAITING)
                job->frames[i].step = PF_STEP_SENT;
    }
    on_child_message(object, scheduler->worker);
    /* As a turn does, but that no worker is there to take anything. */
    for (struct pf_job *job = scheduler->jobs; job; job = next) {
        next = job->next;
        if (job->stage == PF_JOB_ACTIVE && job->out == PF_OUT_NOWHERE && pf_job_settled(job))
            scheduler->handlers.settled(job, scheduler->context);
        if (job->out == PF_OUT_PREPARING) {
            job->stage = PF_JOB_FINISHING;
            job->out = PF_OUT_FILLING;
        }
        json_t *sidecar = pf_sidecar_identities(job);
        FUZZ_CHECK(sidecar);
        json_decref(sidecar);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pf_worker_handlers handlers = {on_started, on_message, on_batch, on_ended,
                                                       on_changed};
    struct pf_error err = {0};
    if (!service.base)
        begin();
    struct pf_scheduler *scheduler = calloc(1, sizeof(*scheduler));
    FUZZ_CHECK(scheduler);
    scheduler->settings = &service.settings;
    scheduler->handlers = pf_stacking_handlers;
    scheduler->context = &service;
    scheduler->turn = evtimer_new(service.base, on_turn, scheduler);
    FUZZ_CHECK(scheduler->turn);
    FUZZ_CHECK(pf_worker_new(&scheduler->worker, service.base, &service.settings, &handlers,
                             scheduler, &err) == 0);
    service.scheduler = scheduler;
    FUZZ_CHECK(pf_ledger_new(&service.ledger, service.base, service.journal, on_committed,
                             on_blocked, &service, &err) == 0);
    FUZZ_CHECK(pf_hooks_new(&service.hooks, service.base, &service.settings, service.journal,
                            service.ledger, service.events, service.troubles, &err) == 0);
    for (int j = 0; j < JOBS; j++) {
        struct pf_job *job = NULL;
        char name[] = {(char)('a' + j), '\0'};
        FUZZ_CHECK(pf_job_new(&job, j + 1, name, &err) == 0);
        for (int i = 0; i < FRAMES; i++)
            FUZZ_CHECK(pf_job_add(job, make_record(j * FRAMES + i), &err) == 1);
        if (j == 1) {
            job->complete = strdup("gap");
            job->version = 1;
        }
        FUZZ_CHECK(asprintf(&job->key, "%s.1", name) > 0);
        job->next = scheduler->jobs;
        scheduler->jobs = job;
    }
    fuzz_lines(data, size, take, scheduler);
    pf_ledger_flush(service.ledger);
    on_ended("killed", (enum pf_worker_end)(size % (PF_END_WITHOUT_GPU + 1)), scheduler);
    service.hooks = pf_hooks_free(service.hooks);
    service.ledger = pf_ledger_free(service.ledger);
    pf_scheduler_free(scheduler);
    return 0;
}
