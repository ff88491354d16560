/* How frames come into bursts, and back at a start, without memory: see without_memory.h. What was recorded is in one
 * burst in the end, and in its job: at once, or where the service ended for it, at its next start. */
#include "tests/unit/service_world.h"

enum { FRAMES = 4 };

/* Of frame n; NULL: the journal does not have it. */
static int64_t burst_of(int n)
{
    struct pf_journal_frames frames = {0};
    struct pf_identity id = id_of(n);
    int64_t burst = -1;
    if (pf_journal_frame(service.journal, &id, &frames, NULL) == 0)
        burst = frames.items[0].burst;
    pf_journal_frames_free(&frames);
    return burst;
}

/* Those that the journal lacks are told again by who has told them. */
static void check_bursts(void)
{
    int recorded = 0;
    for (int n = 1; n <= FRAMES; n++)
        recorded += burst_of(n) >= 0;
    for (int n = 1; n <= recorded; n++) {
        int64_t burst = burst_of(n);
        struct pf_job *job = pf_scheduler_find(service.scheduler, burst);
        if (burst <= 0 ||
            (recorded >= 3 && (!job || !job->complete || !pf_job_find(job, id_of(n).text))))
            FAIL("frame %d of %d, burst %lld: %s", n, recorded, (long long)burst,
                 burst > 0 ? burst_text(service.journal, burst) : "none");
    }
}

static void take_frames(void)
{
    for (int n = 1; n <= FRAMES; n++) {
        pf_intake_handlers.frame(made_record(n), &service);
        if (n == 2)
            flush();
    }
    flush();
}

static int run_intake(struct pf_error *err)
{
    long left = allocations_hold();
    forget_state();
    begin_service();
    allocations_go_on(left);
    bool goes_on = !setjmp(ended);
    if (goes_on)
        take_frames();
    left = allocations_hold();
    if (!goes_on) {
        end_service();
        begin_service();
        CHECK_OK(pf_restore(&service, err), err);
    }
    pf_intake_finish(&service);
    flush();
    if (goes_on)
        CHECK(burst_of(1) > 0 && burst_of(FRAMES) > 0);
    check_bursts();
    allocations_go_on(left);
    end_service();
    return 0;
}

TEST(service_intake)
{
    tries_part = 2;
    without_memory(run_intake, true);
}

static void make_state(void)
{
    struct pf_error err = {0};
    int version;
    struct pf_journal *journal = open_in(state_directory());
    join(journal, 1, 1, false);
    join(journal, 1, 2, false);
    CHECK_OK(pf_journal_complete(journal, 1, "gap", &version, &err), &err);
    join(journal, 2, 3, false);
    record_as(journal, 4, NULL);
    pf_journal_close(journal);
}

/* A start that there was no memory for is one more start. */
static int run_restore(struct pf_error *err)
{
    volatile int r = -ENOMEM;
    long left = allocations_hold();
    forget_state();
    make_state();
    begin_service();
    allocations_go_on(left);
    if (!setjmp(ended))
        r = pf_restore(&service, err);
    else
        pf_fail(err, ENOMEM, "it has ended");
    left = allocations_hold();
    if (r == 0) {
        flush();
        CHECK_EQ(pf_scheduler_find(service.scheduler, 1)->count, 2);
        CHECK_EQ(pf_scheduler_find(service.scheduler, 2)->count, 2);
    }
    allocations_go_on(left);
    end_service();
    return r;
}

TEST(service_restore)
{
    without_memory(run_restore, true);
}
