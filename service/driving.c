#include "service/driving.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"
#include "service/guide.h"
#include "service/service.h"

struct pf_driving {
    struct pf_driving *next;
    struct pf_source *source;
    int64_t id;
    bool begun;             /* it has been told so: from now on its frames come */
    int frames;             /* 0: until covered */
    struct pf_guide *guide; /* NULL: it needs none */
};

static struct pf_driving *find(struct pf_service *service, const struct pf_source *source)
{
    for (struct pf_driving *driving = service->drivings; driving; driving = driving->next)
        if (driving->source == source)
            return driving;
    return NULL;
}

static void end(struct pf_service *service, struct pf_driving *driving)
{
    struct pf_driving **at = &service->drivings;
    while (*at != driving)
        at = &(*at)->next;
    *at = driving->next;
    pf_grouper_drive_ended(service->grouper, driving->id);
    pf_guide_free(driving->guide);
    free(driving);
    if (!service->stopping)
        pf_intake_advance(service);
}

void pf_driving_free_all(struct pf_service *service)
{
    while (service->drivings) {
        struct pf_driving *next = service->drivings->next;
        pf_guide_free(service->drivings->guide);
        free(service->drivings);
        service->drivings = next;
    }
}

void pf_driving_begin(struct pf_service *service, struct pf_source *source, int64_t id,
                      const json_t *ask)
{
    bool covers = json_is_true(json_object_get(ask, "until_covered"));
    struct pf_driving *driving = calloc(1, sizeof(*driving));
    if (!driving || (covers && pf_guide_new(&driving->guide) < 0)) {
        /* The bracket goes on, as a burst like others; without a guide up to its limit. */
        pf_log_error("out of memory for a bracket");
        free(driving);
        return;
    }
    driving->source = source;
    driving->id = id;
    driving->frames = covers ? 0 : (int)json_integer_value(json_object_get(ask, "frames"));
    driving->next = service->drivings;
    service->drivings = driving;
}

/* The bracket has ended in order, all is fetched: its burst need not wait for silence. */
static void finish_burst(struct pf_service *service, int64_t bracket)
{
    pf_ledger_flush(service->ledger);
    pf_pairing_release(service, bracket);
    int64_t burst = pf_grouper_drive_burst(service->grouper, bracket);
    if (burst)
        pf_intake_finish_burst(service, burst);
}

static void give_word(struct pf_driving *driving)
{
    json_t *word = pf_guide_word(driving->guide, driving->id);
    if (word)
        pf_source_say(driving->source, word);
}

void pf_driving_answer(struct pf_service *service, struct pf_source *source, int64_t id,
                       const json_t *answer)
{
    struct pf_driving *driving = find(service, source);
    if (!driving || driving->id != id)
        return;
    if (!answer || json_is_true(json_object_get(answer, "done"))) {
        if (answer && json_is_true(json_object_get(answer, "finish")) && !service->stopping)
            finish_burst(service, id);
        end(service, driving);
        return;
    }
    if (!driving->begun) {
        driving->begun = true;
        if (pf_grouper_drive(service->grouper, id, driving->frames) < 0)
            pf_log_error("out of memory for a bracket");
    }
    if (!driving->guide)
        return;
    pf_guide_answer(driving->guide, answer);
    give_word(driving);
}

static void see(struct pf_service *service, const struct pf_record *record, const json_t *result,
                const json_t *coverage)
{
    for (struct pf_driving *driving = service->drivings; driving; driving = driving->next) {
        if (!driving->guide || record->bracket != driving->id)
            continue;
        if (pf_guide_see(driving->guide, record->focus_at, record->id.text, result, coverage) < 0)
            pf_log_error("out of memory for the guide of a bracket");
        give_word(driving);
    }
}

void pf_driving_lost(struct pf_service *service, const struct pf_record *record)
{
    see(service, record, NULL, NULL);
}

void pf_driving_scored(struct pf_service *service, const struct pf_job *job,
                       const struct pf_job_frame *frame)
{
    see(service, frame->record, frame->excluded ? NULL : frame->result, job->coverage);
}
