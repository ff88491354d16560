#include "service/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"
#include "config/base/time.h"
#include "service/timer.h"

#define BACKOFF_MS     1000
#define BACKOFF_MAX_MS 30000

struct pf_ledger {
    struct pf_journal *journal;
    void (*committed)(struct pf_entry *entry, void *context);
    void (*blocked)(bool blocked, void *context);
    void *context;
    struct event *turn, *retry;
    struct pf_entry *first, **end;
    size_t count;
    int64_t backoff_ms; /* 0: writing works */
};

static struct pf_entry *free_entry(struct pf_entry *entry)
{
    if (!entry)
        return NULL;
    pf_record_free(entry->record);
    free(entry->source);
    free(entry->path);
    free(entry->reason);
    json_decref(entry->scores);
    json_decref(entry->event);
    free(entry);
    return NULL;
}

static int apply_decision(struct pf_journal *journal, struct pf_entry *entry, struct pf_error *err)
{
    const struct pf_decision *decision = &entry->decision;
    const char *reason = pf_grouper_reason_name(decision->reason);
    int r = 0;
    switch (decision->kind) {
    case PF_DECISION_JOINED:
        if (decision->opened)
            r = pf_journal_open_burst(journal, decision->burst, entry->record, entry->name, err);
        if (!r)
            r = pf_journal_join(journal, decision->burst, &decision->frame, decision->late, err);
        return r;
    case PF_DECISION_COMPLETE:
        return pf_journal_complete(journal, decision->burst, reason, &entry->version, err);
    case PF_DECISION_NOT_A_STACK:
        return pf_journal_not_a_stack(journal, decision->burst, reason, decision->why, err);
    }
    return 0;
}

/* One delivery for each target. */
static int tell(struct pf_journal *journal, const struct pf_entry *entry, struct pf_error *err)
{
    int r = 0;
    for (size_t i = 0; !r && entry->targets && i < entry->targets->count; i++)
        r = pf_journal_deliver(journal, entry->hook, entry->targets->items[i], entry->event, err);
    return r;
}

static int apply(struct pf_journal *journal, struct pf_entry *entry, struct pf_error *err)
{
    int r;
    int attempts;
    switch (entry->kind) {
    case PF_ENTRY_RECORD:
        return pf_journal_record_frame(journal, entry->record, &entry->seen, err);
    case PF_ENTRY_REJECT:
        return pf_journal_reject(journal, entry->source, entry->path, entry->size_bytes,
                                 entry->mtime_ns, entry->reason, err);
    case PF_ENTRY_DECISION:
        return apply_decision(journal, entry, err);
    case PF_ENTRY_RESULT:
        return pf_journal_frame_result(journal, entry->burst, &entry->frame, entry->fused,
                                       entry->reason, entry->scores, err);
    case PF_ENTRY_ATTEMPT:
        return pf_journal_frame_attempt(journal, &entry->frame, &attempts, err);
    case PF_ENTRY_PUBLISHED:
        r = pf_journal_published(journal, entry->burst, entry->version, entry->path, err);
        return r < 0 ? r : tell(journal, entry, err);
    case PF_ENTRY_FAILED:
        r = pf_journal_failed(journal, entry->burst, entry->version, entry->reason, err);
        return r < 0 ? r : tell(journal, entry, err);
    case PF_ENTRY_COMPANION:
        return pf_journal_companion(journal, &entry->record->id, &entry->frame, err);
    case PF_ENTRY_RESTACK:
        return pf_journal_restack(journal, entry->burst, entry->scores, &entry->version, err);
    case PF_ENTRY_RETRY:
        return pf_journal_retry(journal, entry->burst, err);
    case PF_ENTRY_DISMISS:
        return pf_journal_dismiss(journal, entry->burst, err);
    case PF_ENTRY_TELL:
        return tell(journal, entry, err);
    case PF_ENTRY_TOLD:
        return pf_journal_delivery_result(journal, entry->delivery, entry->delivery_state,
                                          entry->tried, entry->due_wall_ms, entry->reason, err);
    case PF_ENTRY_TELL_AGAIN:
        return pf_journal_delivery_retry(journal, entry->name, err);
    }
    return 0;
}

/* A step that the journal's state does not allow will not be allowed later either. */
static bool is_refusal(int r)
{
    return r == -EEXIST || r == -EINVAL || r == -ENOENT;
}

static int write_entries(struct pf_ledger *ledger, struct pf_error *err)
{
    int r = pf_journal_begin(ledger->journal, err);
    if (r < 0)
        return r;
    for (struct pf_entry *entry = ledger->first; entry; entry = entry->next) {
        struct pf_error problem = {0};
        r = apply(ledger->journal, entry, &problem);
        entry->refused = is_refusal(r);
        if (entry->refused) {
            pf_log(r == -EEXIST ? PF_LOG_DEBUG : PF_LOG_WARNING, "journal: %s", problem.text);
            continue;
        }
        if (r < 0) {
            *err = problem;
            pf_journal_rollback(ledger->journal);
            return r;
        }
    }
    return pf_journal_commit(ledger->journal, err);
}

static void postpone(struct pf_ledger *ledger, const struct pf_error *err)
{
    if (!ledger->backoff_ms) {
        pf_log_error("the journal cannot be written: %s; frames wait until it can", err->text);
        ledger->blocked(true, ledger->context);
    }
    ledger->backoff_ms = pf_back_off_ms(ledger->backoff_ms, BACKOFF_MS, BACKOFF_MAX_MS);
    pf_timer_set(ledger->retry, ledger->backoff_ms);
}

size_t pf_ledger_count(const struct pf_ledger *ledger)
{
    return ledger->count;
}

bool pf_ledger_has_frames(const struct pf_ledger *ledger)
{
    for (const struct pf_entry *entry = ledger->first; entry; entry = entry->next)
        if (entry->kind == PF_ENTRY_RECORD || entry->kind == PF_ENTRY_DECISION)
            return true;
    return false;
}

void pf_ledger_flush(struct pf_ledger *ledger)
{
    if (event_pending(ledger->retry, EV_TIMEOUT, NULL))
        return;
    while (ledger->first) {
        struct pf_error err = {0};
        if (write_entries(ledger, &err) < 0) {
            postpone(ledger, &err);
            return;
        }
        if (ledger->backoff_ms) {
            pf_log_info("the journal can be written again");
            ledger->backoff_ms = 0;
            ledger->blocked(false, ledger->context);
        }
        struct pf_entry *entry = ledger->first;
        ledger->first = NULL;
        ledger->end = &ledger->first;
        ledger->count = 0;
        while (entry) {
            struct pf_entry *next = entry->next;
            ledger->committed(entry, ledger->context);
            free_entry(entry);
            entry = next;
        }
    }
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    pf_ledger_flush(context);
}

int pf_ledger_new(struct pf_ledger **ret, struct event_base *base, struct pf_journal *journal,
                  void (*committed)(struct pf_entry *entry, void *context),
                  void (*blocked)(bool blocked, void *context), void *context, struct pf_error *err)
{
    struct pf_ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger)
        return pf_fail(err, ENOMEM, "out of memory for the ledger");
    ledger->journal = journal;
    ledger->committed = committed;
    ledger->blocked = blocked;
    ledger->context = context;
    ledger->end = &ledger->first;
    ledger->turn = evtimer_new(base, on_turn, ledger);
    ledger->retry = evtimer_new(base, on_turn, ledger);
    if (!ledger->turn || !ledger->retry) {
        pf_ledger_free(ledger);
        return pf_fail(err, ENOMEM, "out of memory for the ledger");
    }
    *ret = ledger;
    return 0;
}

struct pf_ledger *pf_ledger_free(struct pf_ledger *ledger)
{
    if (!ledger)
        return NULL;
    for (struct pf_entry *entry = ledger->first, *next; entry; entry = next) {
        next = entry->next;
        free_entry(entry);
    }
    if (ledger->turn)
        event_free(ledger->turn);
    if (ledger->retry)
        event_free(ledger->retry);
    free(ledger);
    return NULL;
}

void pf_ledger_end(void)
{
    pf_log_error("out of memory: the service ends here and goes on from its journal");
    exit(1);
}

static void *or_end(void *made)
{
    if (!made)
        pf_ledger_end();
    return made;
}

char *pf_ledger_text(const char *text)
{
    return or_end(strdup(text));
}

json_t *pf_ledger_json(json_t *value)
{
    return or_end(value);
}

struct pf_entry *pf_ledger_add(struct pf_ledger *ledger, enum pf_entry_kind kind)
{
    struct pf_entry *entry = or_end(calloc(1, sizeof(*entry)));
    entry->kind = kind;
    *ledger->end = entry;
    ledger->end = &entry->next;
    ledger->count++;
    event_active(ledger->turn, EV_TIMEOUT, 0);
    return entry;
}
