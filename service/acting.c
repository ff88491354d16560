#include "service/acting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/words.h"
#include "config/options.h"
#include "config/settings_table.h"
#include "service/describe.h"
#include "service/timer.h"

/* Those that are read anew for each burst, and some that cost nothing to change. */
static const char changeable[] = PF_JOB_KEYS " gap hold min_frames expected_frames open_stacks "
                                             "retries worker_timeout log_level";

bool pf_act_is_changeable(const char *key)
{
    return pf_words_have(changeable, key);
}

/* What is decided follows all that has come before it. */
static int flush(struct pf_service *service, struct pf_error *err)
{
    pf_ledger_flush(service->ledger);
    return pf_ledger_count(service->ledger)
               ? pf_fail(err, EBUSY, "the journal cannot be written now; try again later")
               : 0;
}

/* `name` gets that of its directory. */
static int state_of(struct pf_service *service, int64_t burst, enum pf_burst_state *ret,
                    char name[PF_BURST_ID_MAX], struct pf_error *err)
{
    struct pf_journal_bursts bursts = {0};
    int r = pf_journal_burst(service->journal, burst, &bursts, err);
    if (!r) {
        *ret = bursts.items[0].state;
        snprintf(name, PF_BURST_ID_MAX, "%s", bursts.items[0].id);
    }
    pf_journal_bursts_free(&bursts);
    return r;
}

static int not_in(enum pf_burst_state state, const char *what, struct pf_error *err)
{
    return pf_fail(err, EBUSY, "a burst that is %s cannot be %s", pf_burst_state_name(state), what);
}

/* ---- bursts ---- */

int pf_act_finish(struct pf_service *service, int64_t burst, size_t *ret_count,
                  struct pf_error *err)
{
    enum pf_burst_state state;
    char name[PF_BURST_ID_MAX];
    int r = flush(service, err);
    if (!r && burst)
        r = state_of(service, burst, &state, name, err);
    if (!r && burst && state != PF_BURST_STATE_OPEN)
        r = not_in(state, "finished", err);
    if (r < 0)
        return r;
    *ret_count = pf_intake_finish_burst(service, burst);
    pf_ledger_flush(service->ledger);
    return 0;
}

/* For one that has failed, or all of them (0). */
static int act_on_failed(struct pf_service *service, int64_t burst, enum pf_entry_kind kind,
                         const char *what, size_t *ret_count, struct pf_error *err)
{
    struct pf_journal_bursts bursts = {0};
    size_t count = 0;
    int r = flush(service, err);
    if (!r)
        r = burst ? pf_journal_burst(service->journal, burst, &bursts, err)
                  : pf_journal_bursts_in(service->journal, PF_BURST_STATE_FAILED, &bursts, err);
    if (!r && burst && bursts.items[0].state != PF_BURST_STATE_FAILED)
        r = not_in(bursts.items[0].state, what, err);
    for (size_t i = 0; !r && i < bursts.count; i++) {
        if (kind == PF_ENTRY_DISMISS && bursts.items[i].dismissed)
            continue;
        struct pf_entry *entry = pf_ledger_add(service->ledger, kind);
        entry->burst = bursts.items[i].number;
        snprintf(entry->name, sizeof(entry->name), "%s", bursts.items[i].id);
        count++;
    }
    if (!r && burst && !count)
        r = pf_fail(err, EBUSY, "the burst is %s already", what);
    if (!r)
        pf_ledger_flush(service->ledger);
    *ret_count = count;
    pf_journal_bursts_free(&bursts);
    return r;
}

int pf_act_retry(struct pf_service *service, int64_t burst, size_t *ret_count, struct pf_error *err)
{
    return act_on_failed(service, burst, PF_ENTRY_RETRY, "retried", ret_count, err);
}

int pf_act_dismiss(struct pf_service *service, int64_t burst, size_t *ret_count,
                   struct pf_error *err)
{
    return act_on_failed(service, burst, PF_ENTRY_DISMISS, "dismissed", ret_count, err);
}

/* ---- settings ---- */

/* A JSON value as the text that the table takes. -EINVAL. */
static int text_of(const json_t *value, const char *key, char *to, size_t size,
                   struct pf_error *err)
{
    if (json_is_string(value) && strlen(json_string_value(value)) < size)
        snprintf(to, size, "%s", json_string_value(value));
    else if (json_is_boolean(value))
        snprintf(to, size, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_integer(value))
        snprintf(to, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(to, size, "%.17g", json_real_value(value));
    else
        return pf_fail(err, EINVAL, "%s is neither text nor a number, true or false", key);
    return 0;
}

/* Sets what the object says in `to`; keys that are not among `keys` are refused. */
static int apply(struct pf_settings *to, const json_t *object, const char *keys,
                 struct pf_error *err)
{
    const char *key;
    json_t *value;
    char text[256];
    int r = 0;
    json_object_foreach((json_t *)object, key, value)
    {
        if (!r && !pf_words_have(keys, key))
            r = pf_fail(err, EINVAL,
                        pf_setting_find(key, strlen(key))
                            ? "%.60s is no setting that can be changed here"
                            : "there is no setting %.60s",
                        key);
        if (!r)
            r = text_of(value, key, text, sizeof(text), err);
        if (!r)
            r = pf_settings_set(to, key, text, err);
    }
    return r == -ENOENT || r == -ERANGE ? -EINVAL : r;
}

/* Methods that run elastix are shut in or out with the worker's start. */
static int check_align(const struct pf_service *service, const struct pf_settings *wanted,
                       struct pf_error *err)
{
    if (wanted->align == PF_ALIGN_BSPLINE && !service->starts_elastix && service->settings.sandbox)
        return pf_fail(err, EINVAL,
                       "align = bspline: the worker may start elastix only where the service was "
                       "started with align = bspline, or with sandbox = no");
    return 0;
}

int pf_act_set(struct pf_service *service, const json_t *settings, struct pf_error *err)
{
    struct pf_settings trial;
    struct pf_grouper_settings grouper;
    int r = pf_settings_init(&trial, err);
    if (r < 0)
        return r;
    r = apply(&trial, settings, changeable, err);
    if (!r)
        r = check_align(service, &trial, err);
    if (!r)
        r = pf_intake_grouper_settings(&trial, &grouper, err);
    pf_settings_free(&trial);
    if (!r)
        r = apply(&service->settings, settings, changeable, err);
    if (!r)
        r = pf_intake_grouper_settings(&service->settings, &grouper, err);
    if (r < 0)
        return r;
    const struct pf_pairs_settings pairs = pf_pairing_settings(&service->settings, &grouper);
    pf_grouper_set(service->grouper, &grouper);
    pf_pairs_set(service->pairs, &pairs);
    pf_log_setup("service", (enum pf_log_level)service->settings.log_level);
    pf_timer_set(service->grouper_timer, 0);
    char *text = pf_json_text(settings, JSON_COMPACT);
    pf_log_info("settings changed: %s", text ? text : "");
    free(text);
    pf_events_publish(service->events, "settings",
                      json_pack("{s:o}", "settings", json_deep_copy(settings)));
    return 0;
}

/* ---- stacking again ---- */

/* The settings in the form that the worker takes. */
static int normalise(struct pf_service *service, const json_t *settings, json_t **ret,
                     struct pf_error *err)
{
    struct pf_settings trial;
    int r = pf_settings_init(&trial, err);
    if (r < 0)
        return r;
    r = apply(&trial, settings, PF_JOB_KEYS, err);
    if (!r)
        r = check_align(service, &trial, err);
    json_t *all = r ? NULL : pf_options_json(&trial, PF_JOB_KEYS), *some = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)settings, key, value)
    {
        const struct pf_setting *row = pf_setting_find(key, strlen(key));
        if (all && row)
            json_object_set(some, row->key, json_object_get(all, row->key));
    }
    json_decref(all);
    pf_settings_free(&trial);
    if (r < 0)
        json_decref(some);
    else
        *ret = some;
    return r;
}

/* Whether it can be, now; what has come before it is in the journal. */
static int check_restack(struct pf_service *service, int64_t burst, int *ret_version,
                         struct pf_error *err)
{
    struct pf_journal_bursts bursts = {0};
    int r = pf_journal_burst(service->journal, burst, &bursts, err);
    if (r < 0)
        return r;
    enum pf_burst_state state = bursts.items[0].state;
    int wanted = bursts.items[0].wanted, published = bursts.items[0].published;
    pf_journal_bursts_free(&bursts);
    if ((state != PF_BURST_STATE_PUBLISHED && state != PF_BURST_STATE_FAILED) ||
        pf_scheduler_find(service->scheduler, burst))
        return not_in(state, "stacked again", err);
    *ret_version = wanted > published ? wanted : published + 1;
    return 0;
}

/* `settings` is consumed. From here on it will be done, if not at once: whoever asks again while the
 * journal cannot be written is refused. */
static void order_restack(struct pf_service *service, int64_t burst, json_t *settings)
{
    struct pf_entry *entry = pf_ledger_add(service->ledger, PF_ENTRY_RESTACK);
    entry->burst = burst;
    entry->scores = settings;
    pf_ledger_flush(service->ledger);
}

int pf_act_restack(struct pf_service *service, int64_t burst, const json_t *settings,
                   int *ret_version, struct pf_error *err)
{
    json_t *normal = NULL;
    int r = flush(service, err);
    if (!r)
        r = check_restack(service, burst, ret_version, err);
    if (!r && settings)
        r = normalise(service, settings, &normal, err);
    if (!r)
        order_restack(service, burst, normal);
    return r;
}

static bool is_marked(const struct pf_journal_frame *frame, const char *mark)
{
    return json_is_true(json_object_get(frame->scores, mark));
}

/* Writes that the frame is out, or back; `taken`: whatever process/stray.h says. */
static void write_discarded(struct pf_service *service, int64_t burst,
                            const struct pf_journal_frame *frame, bool discard, bool taken)
{
    static const char *const outdated[] = {"excluded", "discarded", "stray", "taken"};
    struct pf_entry *entry = pf_ledger_add(service->ledger, PF_ENTRY_RESULT);
    entry->scores = pf_ledger_json(frame->scores ? json_deep_copy(frame->scores) : json_object());
    for (size_t i = 0; i < sizeof(outdated) / sizeof(*outdated); i++)
        json_object_del(entry->scores, outdated[i]);
    int failed = 0;
    if (discard)
        failed = json_object_set_new(entry->scores, "excluded", json_true()) |
                 json_object_set_new(entry->scores, "discarded", json_true());
    if (taken)
        failed |= json_object_set_new(entry->scores, "taken", json_true());
    if (failed)
        pf_ledger_json(NULL);
    entry->burst = burst;
    entry->frame = frame->record->id;
    entry->reason = pf_ledger_text(discard ? "discarded by hand" : "taken back; not stacked yet");
}

/* Whether it can be done: `discarded`, and `stray`, are what the frame is. */
static int check_discard(bool discard, bool discarded, bool stray, struct pf_error *err)
{
    if (discard ? discarded : !discarded && !stray)
        return pf_fail(err, EBUSY, "the frame is %s already", discard ? "discarded" : "there");
    return 0;
}

static int discard_in_job(struct pf_service *service, struct pf_job *job,
                          struct pf_job_frame *frame, const struct pf_journal_frame *known,
                          bool discard, struct pf_error *err)
{
    if (job->out != PF_OUT_NOWHERE || job->stage == PF_JOB_FINISHING)
        return pf_fail(err, EBUSY, "its result is being written; try again when it is out");
    /* Of one that is being stacked anew it is known from last time. */
    bool stray = frame->stray || (!frame->taken && is_marked(known, "stray"));
    int r = check_discard(discard, frame->discarded, stray, err);
    if (r < 0)
        return r;
    frame->taken = !discard && !frame->discarded;
    if (discard) {
        frame->discarded = true;
        frame->stray = false;
        pf_scheduler_exclude(service->scheduler, job, frame, "discarded by hand");
    } else {
        pf_scheduler_include(service->scheduler, job, frame);
        write_discarded(service, job->burst, known, false, frame->taken);
    }
    pf_ledger_flush(service->ledger);
    return 0;
}

/* Of a burst which nobody is at work on. */
static int discard_in_journal(struct pf_service *service, int64_t burst,
                              const struct pf_journal_frame *frame, bool discard,
                              struct pf_error *err)
{
    bool discarded = is_marked(frame, "discarded");
    int r = check_discard(discard, discarded, is_marked(frame, "stray"), err);
    if (!r)
        write_discarded(service, burst, frame, discard, !discard && !discarded);
    return r;
}

int pf_act_discard(struct pf_service *service, int64_t burst, const char *identity, bool discard,
                   int *ret_version, struct pf_error *err)
{
    struct pf_journal_frames frames = {0};
    struct pf_identity id;
    char name[PF_BURST_ID_MAX] = "";
    int r = flush(service, err); /* it may be the end of a job */
    struct pf_job *job = pf_scheduler_find(service->scheduler, burst);
    struct pf_job_frame *frame = job ? pf_job_find(job, identity) : NULL;
    *ret_version = 0;
    snprintf(id.text, sizeof(id.text), "%s", identity);
    if (!r)
        r = pf_journal_frame(service->journal, &id, &frames, err);
    if (r < 0)
        return r;
    if (frames.items[0].burst != burst) {
        r = pf_fail(err, ENOENT, "the frame is not one of this burst");
    } else if (job) {
        snprintf(name, sizeof(name), "%s", job->name);
        r = frame ? discard_in_job(service, job, frame, &frames.items[0], discard, err)
                  : pf_fail(err, ENOENT, "the frame is not one of this burst");
    } else {
        enum pf_burst_state state;
        r = state_of(service, burst, &state, name, err);
        if (!r && state != PF_BURST_STATE_PUBLISHED && state != PF_BURST_STATE_FAILED)
            r = not_in(state, "changed", err);
        if (!r)
            r = check_restack(service, burst, ret_version, err);
        if (!r)
            r = discard_in_journal(service, burst, &frames.items[0], discard, err);
        if (!r)
            order_restack(service, burst, NULL);
        else
            *ret_version = 0;
    }
    pf_journal_frames_free(&frames);
    if (!r && !discard)
        pf_events_publish(service->events, "frame.restored",
                          json_pack("{s:s, s:s}", "burst", name, "frame", identity));
    return r;
}
