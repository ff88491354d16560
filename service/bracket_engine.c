#include "service/bracket_engine.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/record.h"
#include "config/base/jsonl.h"
#include "config/options.h"
#include "service/guide.h"
#include "service/job.h"

#define BURST "bracket"

struct pf_bracket_engine {
    struct pf_talk *talk;
    struct pf_guide *guide;
    struct pf_jsonl_reader *reader;
    pid_t worker;   /* 0: not started */
    bool failed;    /* the bracket goes on to its limit without it */
    json_t *places; /* focus_at by identity */
};

static void say(struct pf_bracket_engine *engine, json_t *command)
{
    struct pf_error err = {0};
    if (pf_jsonl_send(engine->talk->other_fd, command, &err) < 0 && !engine->failed) {
        engine->failed = true;
        pf_progress_say(&engine->talk->progress, "the engine: %s", err.text);
    }
}

static void start(struct pf_bracket_engine *engine)
{
    const struct pf_settings *settings = engine->talk->settings;
    struct pf_options options = {0};
    struct pf_error err = {0};
    int r = pf_options_add(&options, "parfocal", &err);
    if (!r)
        r = pf_options_add(&options, "process", &err);
    if (!r)
        r = pf_options_add_section(&options, settings, "engine", &err);
    if (!r)
        r = pf_options_add(&options, "--log-level=error", &err);
    if (!r) {
        pid_t worker = pf_talk_start(options.items, &engine->talk->other_fd, &err);
        engine->worker = worker > 0 ? worker : 0;
        r = worker < 0 ? (int)worker : 0;
    }
    pf_options_free(&options);
    json_t *open = r ? NULL : pf_options_json(settings, PF_JOB_ENGINE_KEYS);
    if (open && !json_object_set_new(open, "cmd", json_string("open")) &&
        !json_object_set_new(open, "burst", json_string(BURST))) {
        say(engine, open);
        return;
    }
    json_decref(open);
    engine->failed = true;
    pf_progress_say(&engine->talk->progress, "the engine: %s", r ? err.text : "out of memory");
}

static void give_word(struct pf_bracket_engine *engine)
{
    json_t *word = pf_guide_word(engine->guide, engine->talk->id);
    if (word)
        pf_jsonl_send(engine->talk->fd, word, NULL); /* its end is seen in the talk */
}

static void on_frame(struct pf_bracket_engine *engine, const json_t *event)
{
    struct pf_record *record = NULL;
    struct pf_error err = {0};
    if (pf_record_from_json(event, &record, &err) < 0)
        return;
    json_t *place;
    const char *id, *after = NULL;
    double after_at = -INFINITY;
    bool known = false; /* the RAW and JPEG of one shot are one frame */
    json_object_foreach(engine->places, id, place)
    {
        double at = json_number_value(place);
        known |= at == record->focus_at;
        if (at < record->focus_at && at > after_at) {
            after = id;
            after_at = at;
        }
    }
    if (record->bracket == engine->talk->id && !engine->failed && !known) {
        if (!engine->worker)
            start(engine);
        say(engine,
            json_pack("{s:s, s:s, s:s, s:o, s:s?}", "cmd", "add", "burst", BURST, "frame",
                      record->id.text, "path", pf_json_bytes(record->path), "after", after));
        json_object_set_new(engine->places, record->id.text, json_real(record->focus_at));
    }
    pf_record_free(record);
}

/* What the camera's process says. */
static void on_told(struct pf_talk *talk, const json_t *event)
{
    struct pf_bracket_engine *engine = talk->context;
    const char *name = json_string_value(json_object_get(event, "event"));
    if (name && !strcmp(name, "frame")) {
        on_frame(engine, event);
    } else if (name && !strcmp(name, "answer")) {
        pf_guide_answer(engine->guide, event);
        give_word(engine);
    }
}

static void on_result(struct pf_bracket_engine *engine, const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    const char *id = json_string_value(json_object_get(event, "frame"));
    const json_t *place = id ? json_object_get(engine->places, id) : NULL;
    if (!name || !place || (strcmp(name, "frame") != 0 && strcmp(name, "failed") != 0))
        return;
    pf_guide_see(engine->guide, json_number_value(place), id, strcmp(name, "frame") ? NULL : event,
                 json_object_get(event, "coverage"));
    give_word(engine);
}

static void ended(struct pf_bracket_engine *engine)
{
    close(engine->talk->other_fd);
    engine->talk->other_fd = -1;
    engine->failed = true;
    pf_progress_say(&engine->talk->progress,
                    "the engine has ended; the bracket goes on to its limit");
}

/* What the worker says. */
static void on_other_read(struct pf_talk *talk)
{
    struct pf_bracket_engine *engine = talk->context;
    char bytes[65536];
    ssize_t n = read(talk->other_fd, bytes, sizeof(bytes));
    if (n <= 0 || pf_jsonl_reader_feed(engine->reader, bytes, (size_t)n, NULL) < 0) {
        ended(engine);
        return;
    }
    json_t *event;
    int r;
    while ((r = pf_jsonl_reader_next(engine->reader, &event, NULL)) && r != -ENOMEM) {
        if (r < 0)
            continue;
        on_result(engine, event);
        json_decref(event);
    }
    if (r == -ENOMEM)
        ended(engine);
}

int pf_bracket_engine_new(struct pf_bracket_engine **ret, struct pf_talk *talk,
                          struct pf_error *err)
{
    struct pf_bracket_engine *engine = calloc(1, sizeof(*engine));
    if (engine) {
        engine->talk = talk;
        engine->places = json_object();
    }
    if (!engine || !engine->places || pf_guide_new(&engine->guide) < 0 ||
        pf_jsonl_reader_new(&engine->reader) < 0) {
        pf_bracket_engine_free(engine);
        return pf_fail(err, ENOMEM, "out of memory");
    }
    talk->told = on_told;
    talk->other_read = on_other_read;
    talk->context = engine;
    *ret = engine;
    return 0;
}

struct pf_bracket_engine *pf_bracket_engine_free(struct pf_bracket_engine *engine)
{
    if (!engine)
        return NULL;
    if (engine->talk->other_fd >= 0)
        close(engine->talk->other_fd); /* the end of its input ends the worker */
    engine->talk->other_fd = -1;
    if (engine->worker > 0)
        while (waitpid(engine->worker, NULL, 0) < 0 && errno == EINTR)
            ;
    pf_guide_free(engine->guide);
    pf_jsonl_reader_free(engine->reader);
    json_decref(engine->places);
    free(engine);
    return NULL;
}
