/* service/, what has no files or network of its own, without memory: see without_memory.h. What comes back is 0 or -ENOMEM with its text; nothing
 * crashes, and nothing leaks, as the address sanitizer sees. */
#include <fcntl.h>
#include <unistd.h>

#include "config/settings.h"
#include "service/bracket_engine.h"
#include "service/camera_talk.h"
#include "service/events.h"
#include "service/grouper.h"
#include "service/guide.h"
#include "service/hook_event.h"
#include "service/job.h"
#include "service/metrics.h"
#include "service/mqtt_topics.h"
#include "service/pairs.h"
#include "service/sidecar.h"
#include "service/signature.h"
#include "service/thumbnails.h"
#include "service/troubles.h"
#include "tests/unit/journal_steps.h"
#include "tests/unit/without_memory.h"

static int run_grouper(struct pf_error *err)
{
    struct pf_grouper_settings settings = {.gap_ms = 2000, .hold_ms = 500, .min_frames = 3};
    struct pf_grouper *grouper = NULL;
    struct pf_decision decision;
    const struct pf_record *frames[3];
    int r = pf_grouper_new(&grouper, &settings, 5, err);
    for (int n = 0; n < 3; n++)
        frames[n] = made_record(100 + n);
    if (!r)
        r = pf_grouper_restore(grouper, 1, PF_BURST_GAP, frames, 3, 0, err);
    for (int n = 0; !r && n < 12; n++) {
        struct pf_record *record = made_record(n);
        record->capture_ms += n > 6 ? 60000 : 0;
        int64_t now_ms = 100 * n;
        r = pf_grouper_feed(grouper, record, now_ms, err);
        if (r == -ENOMEM) /* usable on: the frame was not taken, and is the next time */
            r = pf_grouper_feed(grouper, record, now_ms, err);
        pf_record_free(record);
    }
    if (!r)
        r = pf_grouper_advance(grouper, 1000000, err);
    if (!r)
        r = pf_grouper_finish(grouper, 0, 1000000, err);
    size_t joined = 0;
    while (grouper && pf_grouper_next(grouper, &decision))
        joined += decision.kind == PF_DECISION_JOINED;
    if (!r)
        CHECK_EQ(joined, 12);
    for (int n = 0; n < 3; n++)
        pf_record_free((struct pf_record *)frames[n]);
    pf_grouper_free(grouper);
    return r;
}

TEST(service_grouper)
{
    without_memory(run_grouper, true);
}

static int run_pairs(struct pf_error *err)
{
    const struct pf_pairs_settings kind = {.raw = true, .hold_ms = 1000, .pause_ms = 30000};
    struct pf_pairs *pairs = NULL;
    int r = pf_pairs_new(&pairs, &kind, err), fed = 0, back = 0;
    for (int n = 0; !r && n < 20; n++) {
        struct pf_pairs_answer answer;
        /* Without memory to wait a record comes back at once: it is never lost. */
        pf_pairs_feed(pairs, made_record(n), NULL, n, &answer);
        fed++;
        back += (answer.stack != NULL) + (answer.companion != NULL);
        pf_record_free(answer.stack);
        pf_record_free(answer.companion);
    }
    struct pf_record *record;
    while (!r && (record = pf_pairs_release(pairs, 0))) {
        back++;
        pf_record_free(record);
    }
    CHECK_EQ(fed, back);
    pf_pairs_free(pairs);
    return r;
}

TEST(service_pairs)
{
    without_memory(run_pairs, true);
}

static int run_job(struct pf_error *err)
{
    struct pf_settings settings;
    struct pf_job *job = NULL;
    int r = pf_settings_init(&settings, err);
    if (r < 0)
        return r;
    r = pf_job_new(&job, 1, "burst", err);
    for (int n = 0; !r && n < 10; n++) {
        r = pf_job_add(job, made_record(n), err);
        r = r > 0 ? 0 : r;
    }
    if (!r) {
        const struct pf_record **order = pf_job_order(job);
        r = order ? 0 : pf_fail(err, ENOMEM, "order");
        free(order);
    }
    if (!r) {
        long left = allocations_hold();
        job->complete = copy("gap");
        allocations_go_on(left);
        json_t *sidecar = pf_sidecar(job, &settings), *identities = pf_sidecar_identities(job);
        if (!sidecar || !identities)
            r = pf_fail(err, ENOMEM, "sidecar");
        else
            CHECK_EQ(json_array_size(identities), 10);
        if (!r)
            CHECK_EQ(json_array_size(json_object_get(sidecar, "frames")), 10);
        json_decref(sidecar);
        json_decref(identities);
    }
    pf_job_free(job);
    pf_settings_free(&settings);
    return r;
}

TEST(service_job_and_sidecar)
{
    without_memory(run_job, true);
}

static int run_events(struct pf_error *err)
{
    struct pf_events *events = NULL;
    int r = pf_events_new(&events, err);
    for (int n = 0; !r && n < 5; n++)
        pf_events_publish(events, "frame", json_pack("{s:i}", "n", n));
    pf_events_free(events);
    return r;
}

TEST(service_events)
{
    without_memory(run_events, true);
}

/* What the worker says to a bracket without a service. */
static int run_bracket_engine(struct pf_error *err)
{
    static const char said[] = "{\"event\":\"progress\"}\nno JSON\n{\"event\":\"progress\"}\n";
    struct pf_bracket_engine *engine = NULL;
    struct pf_talk talk = {.fd = -1, .other_fd = -1};
    int ends[2];
    int r = pf_bracket_engine_new(&engine, &talk, err);
    if (r < 0)
        return r;
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(write(ends[1], said, strlen(said)), strlen(said));
    talk.other_fd = ends[0];
    talk.other_read(&talk);
    r = talk.other_fd < 0 ? -ENOMEM : 0;
    close(ends[1]);
    pf_bracket_engine_free(engine);
    return r;
}

TEST(service_bracket_engine)
{
    without_memory(run_bracket_engine, false);
}

static int run_guide(struct pf_error *err)
{
    struct pf_guide *guide = NULL;
    int r = pf_guide_new(&guide);
    json_t *result = json_of("{\"verdict\": \"fused\", \"focus\": {\"grid\": [1, 2, 3, 4]}}");
    (void)err;
    for (int turn = 1; !r && turn <= 12; turn++) {
        char text[96], identity[24];
        snprintf(text, sizeof(text), "{\"turn\": %d, \"focus_at\": %d, \"finest\": 0.01}", turn,
                 turn);
        snprintf(identity, sizeof(identity), "frame-%d", turn);
        json_t *answer = json_of(text);
        pf_guide_answer(guide, answer);
        json_decref(answer);
        r = pf_guide_see(guide, turn, identity, result, NULL);
        json_decref(r ? NULL : pf_guide_word(guide, 5));
    }
    json_decref(result);
    pf_guide_free(guide);
    return r;
}

TEST(service_guide)
{
    without_memory(run_guide, false);
}

static int run_metrics(struct pf_error *err)
{
    struct pf_metrics *metrics = NULL;
    size_t bytes = 0;
    int r = pf_metrics_new(&metrics, err);
    json_t *frame = json_of("{\"verdict\": \"fused\", \"decode_ms\": 3, \"align_ms\": 5}");
    json_t *status =
        json_of("{\"version\": \"1\", \"sources\": [{\"name\": \"a\", \"state\": \"ok\"}],"
                " \"space\": [{\"what\": \"outbox\", \"free_bytes\": 5}]}");
    if (!r) {
        pf_metrics_observe(metrics, "frame.scored", frame);
        char *text = pf_metrics_text(metrics, status, &bytes);
        if (text)
            CHECK_EQ(strlen(text), bytes);
        r = text ? 0 : pf_fail(err, ENOMEM, "text");
        free(text);
    }
    json_decref(frame);
    json_decref(status);
    pf_metrics_free(metrics);
    return r;
}

TEST(service_metrics)
{
    without_memory(run_metrics, true);
}

static void on_topic(const char *topic, const char *value, void *context)
{
    (void)context;
    long left = allocations_hold();
    json_t *said = json_loads(value, JSON_DECODE_ANY, NULL);
    if (!said)
        FAIL("%s: no JSON: %s", topic, value);
    json_decref(said);
    allocations_go_on(left);
}

static int run_mqtt_topics(struct pf_error *err)
{
    static const char *const events[][2] = {
        {"frame.recorded", "{\"burst\": null, \"name\": \"a\"}"},
        {"burst.published", "{\"burst\": \"20260101-1\", \"frames\": 5, \"version\": 1}"},
        {"trouble.on", "{\"id\": \"outbox\", \"text\": \"it is full\"}"},
        {"source.state", "{\"source\": \"folder:/in\", \"state\": \"ok\"}"}};
    struct pf_mqtt_topics topics;
    int r = pf_mqtt_topics_init(&topics, "parfocal", "lab one", on_topic, NULL, err);
    for (size_t i = 0; !r && i < sizeof(events) / sizeof(*events); i++) {
        json_t *data = json_of(events[i][1]);
        pf_mqtt_topics_observe(&topics, events[i][0], data);
        json_decref(data);
    }
    if (!r) {
        pf_mqtt_topics_count(&topics, 2, 3);
        json_t *troubles = json_pack("[{s:s, s:s}]", "id", "outbox", "text", "it is full");
        pf_mqtt_topics_begin(&topics, troubles);
        json_decref(troubles);
        pf_mqtt_topics_discover(&topics, "homeassistant", 2);
        pf_mqtt_topics_free(&topics);
    }
    return r;
}

TEST(service_mqtt_topics)
{
    without_memory(run_mqtt_topics, true);
}

static int run_troubles(struct pf_error *err)
{
    struct pf_troubles *troubles = NULL;
    int r = pf_troubles_new(&troubles, NULL, err);
    if (r < 0)
        return r;
    pf_trouble_on(troubles, true, "outbox", &(struct pf_trouble_ways){"outbox", "outbox"},
                  "%s cannot be written", "/out");
    pf_trouble_on(troubles, false, "source:1", NULL, "it is missing");
    pf_trouble_on(troubles, true, "outbox", &(struct pf_trouble_ways){"outbox", "outbox"},
                  "%s is full", "/out");
    json_t *list = pf_troubles_json(troubles);
    json_decref(list);
    pf_trouble_off(troubles, "outbox");
    pf_trouble_off(troubles, "source:1");
    /* What is over is over, whatever there was no memory for. */
    CHECK(!pf_troubles_degrade(troubles));
    pf_troubles_free(troubles);
    return 0;
}

TEST(service_troubles)
{
    without_memory(run_troubles, true);
}

static int run_hook_event(struct pf_error *err)
{
    char *inherited[] = {"PATH=/bin", "PARFOCAL_BURST=old", NULL};
    struct pf_secret secret = {0};
    char signature[PF_SIGNATURE_CHARS + 1];
    int r = pf_secret_of_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &secret, err);
    if (!r)
        r = pf_sign(&secret, "msg_1", 1614265330, "{}", signature, err);
    if (r < 0)
        return r;
    json_t *event = json_of("{\"event\": \"burst.published\", \"burst\": \"b\", \"version\": 1,"
                            " \"directory\": \"/out/b\"}");
    char **environment = pf_hook_environment(inherited, event, 1);
    json_decref(event);
    event = pf_hook_event_stopping();
    if (!environment || !event)
        r = pf_fail(err, ENOMEM, "an event");
    else
        CHECK_STR(environment[0], "PATH=/bin");
    json_decref(event);
    pf_hook_environment_free(environment);
    return r;
}

TEST(service_hook_event)
{
    without_memory(run_hook_event, true);
}

static int run_thumbnails(struct pf_error *err)
{
    struct pf_thumbnails *thumbnails = NULL;
    char path[4300];
    snprintf(path, sizeof(path), "%s/thumbnails", test_directory());
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/thumbnails/a.jpg", test_directory());
    close(open(path, O_CREAT | O_WRONLY, 0666));
    int r = pf_thumbnails_new(&thumbnails, test_directory(), "thumbnails", 1, err);
    if (!r)
        pf_thumbnails_note(thumbnails, path);
    pf_thumbnails_free(thumbnails);
    return r;
}

TEST(service_thumbnails)
{
    without_memory(run_thumbnails, true);
}
