/* What a capture process says to the service, which may come from a process that an image has taken
 * over: frame records and the other events, up to the grouper. */
#include <string.h>

#include "service/grouper.h"
#include "service/source.c" /* its handler of messages */
#include "tests/fuzz/fuzz.h"

static struct pf_grouper *grouper;

static void on_frame(struct pf_record *record, void *context)
{
    struct pf_record *again = NULL;
    struct pf_decision decision;
    struct pf_error err = {0};
    int64_t now_ms = 1000;
    (void)context;
    json_t *object = pf_record_to_json(record);
    FUZZ_CHECK(object);
    FUZZ_CHECK(pf_record_from_json(object, &again, &err) == 0);
    FUZZ_CHECK(!strcmp(again->path, record->path) && !strcmp(again->id.text, record->id.text));
    char text[PF_RECORD_CAPTURED_CHARS];
    pf_record_captured(record, text);
    int r = pf_grouper_feed(grouper, record, now_ms, &err);
    FUZZ_CHECK(r == 0 || r == -EEXIST);
    FUZZ_CHECK(pf_grouper_advance(grouper, now_ms + 1, &err) == 0);
    while (pf_grouper_next(grouper, &decision))
        FUZZ_CHECK(decision.burst > 0);
    json_decref(object);
    pf_record_free(again);
    pf_record_free(record);
}

static void on_rejected_frame(const char *source, const char *path, int64_t size_bytes,
                              int64_t mtime_ns, const char *reason, void *context)
{
    (void)size_bytes, (void)mtime_ns, (void)context;
    FUZZ_CHECK(source && path && reason);
}

static void no_batch(void *context)
{
    (void)context;
}

static void no_change(struct pf_source *source, void *context)
{
    (void)source, (void)context;
}

static void on_camera_answer(struct pf_source *source, int64_t id, const json_t *answer,
                             void *context)
{
    /* Any number: whoever is asked for is found by it (service/asking.c), or nobody is. */
    (void)source, (void)id, (void)answer, (void)context;
}

static void take(json_t *object, void *context)
{
    on_message(object, context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pf_child_handlers handlers = {on_started, on_message, on_batch, on_drained,
                                                      on_ended};
    static const char *const arguments[] = {"capture", NULL};
    struct pf_grouper_settings settings = {.gap_ms = 8000, .hold_ms = 1500, .min_frames = 3};
    struct pf_source source = {.name = "folder:in",
                               .handlers = {.frame = on_frame,
                                            .rejected = on_rejected_frame,
                                            .batch = no_batch,
                                            .changed = no_change,
                                            .answer = on_camera_answer},
                               .asked = 7};
    struct pf_error err = {0};
    fuzz_quiet();
    struct event_base *base = event_base_new();
    source.growing = base ? evtimer_new(base, on_grown, &source) : NULL;
    FUZZ_CHECK(source.growing &&
               pf_child_new(&source.child, base, arguments, &handlers, &source, &err) == 0);
    FUZZ_CHECK(pf_disks_new(&source.disks, "/nowhere/disks", &err) ==
               0); /* as if it could not be kept */
    FUZZ_CHECK(pf_grouper_new(&grouper, &settings, 1, &err) == 0);
    fuzz_lines(data, size, take, &source);
    struct pf_decision decision;
    FUZZ_CHECK(pf_grouper_advance(grouper, INT64_C(1) << 40, &err) == 0);
    while (pf_grouper_next(grouper, &decision))
        FUZZ_CHECK(decision.burst > 0);
    pf_grouper_free(grouper);
    pf_blame_death(&source.blame, true);
    if (source.blame.count)
        json_decref(pf_blame_command(&source.blame, 0));
    pf_blame_free(&source.blame);
    pf_disks_lack(source.disks, "/in/CARD/IMG.JPG", 0);
    pf_disks_free(source.disks);
    json_decref(source.status);
    pf_child_free(source.child);
    event_free(source.growing);
    event_base_free(base);
    return 0;
}
