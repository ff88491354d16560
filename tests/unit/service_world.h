/* A service without processes of its own, for tests without memory: its journal is real, the worker and the outbox are
 * those of fake_worker.h and fake_outbox.h. Where it would end and go on from its journal (pf_ledger_end()), `ended` is
 * jumped to. Included once.
 */
#ifndef PF_TEST_SERVICE_WORLD_H
#define PF_TEST_SERVICE_WORLD_H

#include <setjmp.h>

#include "config/base/file.h"
#include "service/hooks.h"
#include "service/service.h"
#include "tests/unit/fake_outbox.h"
#include "tests/unit/fake_worker.h"
#include "tests/unit/journal_steps.h"
#include "tests/unit/without_memory.h"

/* What it has in hand where it ends goes with the process: no leak, which cannot be told from others here. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

static jmp_buf ended;
#define exit(status) longjmp(ended, status)
#include "service/ledger.c"
#undef exit

static struct pf_service service;

static void on_committed(struct pf_entry *entry, void *context)
{
    (void)context;
    pf_intake_committed(&service, entry);
    pf_stacking_committed(&service, entry);
    pf_hooks_committed(service.hooks, entry);
}

static void on_blocked(bool blocked, void *context)
{
    (void)blocked, (void)context;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what, (void)context;
}

static inline const char *state_directory(void)
{
    return in_directory("state");
}

static inline void forget_state(void)
{
    CHECK_EQ(pf_remove_tree(state_directory(), NULL), 0);
}

/* On the state that is there; with a hook for stacks and one for failures. While nothing fails. */
static inline void begin_service(void)
{
    struct pf_error err = {0};
    struct pf_grouper_settings grouper = {0};
    int64_t first_burst;
    long left = allocations_hold();
    memset(&service, 0, sizeof(service));
    CHECK_OK(pf_settings_init(&service.settings, &err), &err);
    CHECK_OK(pf_settings_set(&service.settings, "on_burst", "/bin/true", &err), &err);
    CHECK_OK(pf_settings_set(&service.settings, "on_failure", "/bin/true", &err), &err);
    service.base = event_base_new();
    service.outbox_timer = evtimer_new(service.base, on_timer, NULL);
    service.grouper_timer = evtimer_new(service.base, on_timer, NULL);
    service.journal = open_in(state_directory());
    CHECK_OK(pf_events_new(&service.events, &err), &err);
    CHECK_OK(pf_troubles_new(&service.troubles, service.events, &err), &err);
    CHECK_OK(pf_intake_grouper_settings(&service.settings, &grouper, &err), &err);
    CHECK_OK(pf_journal_next_burst(service.journal, &first_burst, &err), &err);
    CHECK_OK(pf_grouper_new(&service.grouper, &grouper, first_burst, &err), &err);
    const struct pf_pairs_settings pairs = pf_pairing_settings(&service.settings, &grouper);
    CHECK_OK(pf_pairs_new(&service.pairs, &pairs, &err), &err);
    CHECK_OK(pf_ledger_new(&service.ledger, service.base, service.journal, on_committed, on_blocked,
                           NULL, &err),
             &err);
    CHECK_OK(pf_hooks_new(&service.hooks, service.base, &service.settings, service.journal,
                          service.ledger, service.events, service.troubles, &err),
             &err);
    CHECK_OK(pf_scheduler_new(&service.scheduler, service.base, &service.settings,
                              &pf_stacking_handlers, &service, &err),
             &err);
    allocations_go_on(left);
}

static inline void end_service(void)
{
    long left = allocations_hold();
    pf_scheduler_free(service.scheduler);
    pf_hooks_free(service.hooks);
    pf_ledger_free(service.ledger);
    pf_pairs_free(service.pairs);
    pf_grouper_free(service.grouper);
    for (size_t i = 0; i < service.held_count; i++)
        pf_record_free(service.held[i]);
    free(service.held);
    pf_troubles_free(service.troubles);
    pf_events_free(service.events);
    pf_journal_close(service.journal);
    event_free(service.outbox_timer);
    event_free(service.grouper_timer);
    event_base_free(service.base);
    pf_settings_free(&service.settings);
    allocations_go_on(left);
}

/* What waits is written once there is memory. */
static inline void flush(void)
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

#endif
