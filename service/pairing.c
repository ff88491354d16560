#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/shot.h"
#include "config/base/file.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "service/pairs.h"
#include "service/service.h"
#include "service/timer.h"

/* The identity of a frame of the same shot that is or will be stacked: in a burst, or on its way
 * into one. False when there is none. */
static bool find_stacked(struct pf_service *service, const struct pf_record *record,
                         struct pf_identity *ret, struct pf_error *err)
{
    struct pf_journal_frames frames = {0};
    bool found = false;
    if (pf_journal_namesakes(service->journal, record->source, record->path, &frames, err) < 0) {
        pf_log_error("%s: %s; it is taken for a shot of its own", record->path, err->text);
        return false;
    }
    for (size_t i = 0; i < frames.count && !found; i++) {
        const struct pf_journal_frame *frame = &frames.items[i];
        found = pf_shot_is_same(frame->record, record) &&
                (frame->burst || pf_pairs_gave(service->pairs, &frame->record->id));
        if (found)
            *ret = frame->record->id;
    }
    pf_journal_frames_free(&frames);
    return found;
}

static void set_aside(struct pf_service *service, struct pf_record *record,
                      const struct pf_identity *of)
{
    struct pf_entry *entry = pf_ledger_add(service->ledger, PF_ENTRY_COMPANION);
    entry->record = record;
    entry->frame = *of;
    pf_log_info("frame %s: of the same shot as one that is stacked; it is its companion",
                pf_base_name(record->path));
}

struct pf_pairs_settings pf_pairing_settings(const struct pf_settings *settings,
                                             const struct pf_grouper_settings *grouper)
{
    return (struct pf_pairs_settings){
        .raw = settings->pair == PF_PAIR_RAW,
        .hold_ms = grouper->hold_ms,
        .pause_ms =
            grouper->gap_ms > PF_GROUPER_GAP_MOST_MS ? grouper->gap_ms : PF_GROUPER_GAP_MOST_MS,
    };
}

void pf_pairing_feed(struct pf_service *service, struct pf_record *record)
{
    struct pf_error err = {0};
    struct pf_pairs_answer answer;
    struct pf_identity of;
    bool stacked = find_stacked(service, record, &of, &err);
    /* Not so long as a file may grow: most shots have no partner, and what is late finds the other. */
    pf_pairs_expect_delay(service->pairs, pf_sources_look_ms(service, record->source));
    if (pf_pairs_feed(service->pairs, record, stacked ? &of : NULL, pf_monotonic_ms(), &answer) < 0)
        pf_log_error("%s: out of memory to wait for its partner", record->path);
    if (answer.stack)
        of = answer.stack->id;
    if (answer.companion)
        set_aside(service, answer.companion, &of);
    if (answer.stack)
        pf_intake_feed(service, answer.stack);
    else
        pf_timer_set(service->grouper_timer, 0);
}

void pf_pairing_advance(struct pf_service *service, int64_t now_ms)
{
    struct pf_record *record;
    while ((record = pf_pairs_overdue(service->pairs, now_ms)))
        pf_intake_feed(service, record);
}

void pf_pairing_release(struct pf_service *service, int64_t bracket)
{
    struct pf_record *record;
    while ((record = pf_pairs_release(service->pairs, bracket)))
        pf_intake_feed(service, record);
}

void pf_pairing_companions(struct pf_service *service, struct pf_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        struct pf_job_frame *frame = &job->frames[i];
        struct pf_journal_frames frames = {0};
        struct pf_error err = {0};
        if (pf_journal_namesakes(service->journal, frame->record->source, frame->record->path,
                                 &frames, &err) < 0)
            pf_log_error("%s", err.text);
        for (size_t k = 0; k < frames.count && !frame->companion; k++) {
            const char *of =
                json_string_value(json_object_get(frames.items[k].scores, PF_JOURNAL_COMPANION_OF));
            if (of && !strcmp(of, frame->record->id.text))
                frame->companion = strdup(frames.items[k].record->path);
        }
        pf_journal_frames_free(&frames);
    }
}
