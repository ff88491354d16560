#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "service/bracket_engine.h"
#include "service/camera_command.h"
#include "service/camera_talk.h"

static bool is_until_covered(const struct pf_talk *talk)
{
    return json_is_true(json_object_get(talk->ask, "until_covered"));
}

/* What a bracket would be, from the answer to a dry run. */
static void print_plan(const struct pf_talk *talk, const json_t *answer)
{
    char *camera = pf_json_bytes_value(json_object_get(answer, "camera"));
    const char *is = json_string_value(json_object_get(answer, "step_is"));
    long long frames = (long long)json_integer_value(json_object_get(talk->ask, "frames"));
    long long step = (long long)json_integer_value(json_object_get(talk->ask, "step"));
    bool counts = is && !strcmp(is, "count");
    printf("%s: %s%lld frames, %s by %lld before each but the first", camera ? camera : "",
           is_until_covered(talk) ? "until covered, at most " : "", frames,
           json_string_value(json_object_get(answer, "setting")), step);
    if (counts)
        printf(" (%lld in all)", step * (frames - 1));
    printf(", and back again; the camera has %s from 1 to %lld; nothing was shot\n",
           counts ? "steps" : "sizes of a step",
           (long long)json_integer_value(json_object_get(answer, "step_most")));
    free(camera);
}

static void on_bracket_answer(struct pf_talk *talk, const json_t *answer)
{
    int taken = (int)json_integer_value(json_object_get(answer, "taken"));
    if (json_object_get(answer, "can")) {
        if (json_is_true(json_object_get(answer, "can")))
            print_plan(talk, answer);
        return; /* the reason why it cannot is its error */
    }
    while (talk->taken < taken) {
        char line[64];
        snprintf(line, sizeof(line), "frame %d of %s%d", ++talk->taken,
                 is_until_covered(talk) ? "at most " : "", talk->progress.total);
        pf_progress_frame(&talk->progress, 0, line);
    }
    if (json_is_true(json_object_get(answer, "done"))) {
        pf_progress_end(&talk->progress);
        if (json_object_get(answer, "taken"))
            printf(json_is_true(json_object_get(answer, "covered"))
                       ? "%d frames of at most %d: covered\n"
                       : "%d of %d frames\n",
                   taken, talk->progress.total);
    }
}

static bool whole_number(const char *text, long low, long high, long *ret)
{
    char *end;
    errno = 0;
    *ret = text ? strtol(text, &end, 10) : 0;
    return text && *text && !*end && !errno && *ret >= low && *ret <= high;
}

struct bracket {
    long frames, step, settle_ms;
    bool dry_run, until_covered;
};

#define LIMIT 200 /* of a bracket until covered that was given none */

/* Takes its own options out of argv, before the settings do: one of them is called settle as well. */
static int bracket_options(int *argc, char **argv, struct bracket *ret, struct pf_error *err)
{
    const struct {
        const char *name;
        long low, high, *to;
        const char *range;
    } options[] = {
        {"--frames", 2, 10000, &ret->frames, "2 to 10000"},
        {"--step", -32767, 32767, &ret->step, "1 to 32767, negative for near"},
        {"--settle", 0, 60000, &ret->settle_ms, "0 to 60000, in ms"},
    };
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        size_t at = 0, count = sizeof(options) / sizeof(options[0]), length = 0;
        if (!strcmp(argv[i], "--dry-run") || !strcmp(argv[i], "--until-covered")) {
            *(argv[i][2] == 'd' ? &ret->dry_run : &ret->until_covered) = true;
            continue;
        }
        for (; at < count; at++) {
            length = strlen(options[at].name);
            if (!strncmp(argv[i], options[at].name, length) &&
                (!argv[i][length] || argv[i][length] == '='))
                break;
        }
        if (at == count) {
            argv[kept++] = argv[i];
            continue;
        }
        const char *value = argv[i][length] ? argv[i] + length + 1 : argv[++i];
        if (!whole_number(value, options[at].low, options[at].high, options[at].to))
            return pf_fail(err, EINVAL, "option %s %.100s: must be a whole number from %s",
                           options[at].name, value ? value : "", options[at].range);
    }
    argv[kept] = NULL;
    *argc = kept;
    if (!ret->frames && ret->until_covered)
        ret->frames = LIMIT;
    if (!ret->frames || !ret->step)
        return pf_fail(err, EINVAL, "--frames N (or --until-covered) and --step S are needed");
    return 0;
}

int pf_bracket_main(int argc, char **argv)
{
    struct pf_settings settings = {0};
    struct pf_error err = {0};
    struct pf_talk talk = {
        .settings = &settings, .other_fd = -1, .answered = on_bracket_answer, .is_bracket = true};
    struct bracket bracket = {.settle_ms = 500};
    struct pf_bracket_engine *engine = NULL;
    int r = bracket_options(&argc, argv, &bracket, &err);
    if (!r)
        r = pf_talk_settings(&settings, &argc, argv, &err);
    if (!r && argc > 1)
        r = argv[1][0] == '-' ? pf_settings_unknown_option(argv[1], &err)
                              : pf_fail(&err, EINVAL, "unexpected argument %.200s", argv[1]);
    if (!r)
        talk.source = pf_talk_camera(&settings, &err, &r);
    if (!r) {
        talk.ask = json_pack("{s:s, s:I, s:I, s:I, s:b, s:b}", "do", "bracket", "frames",
                             (json_int_t)bracket.frames, "step", (json_int_t)bracket.step,
                             "settle_ms", (json_int_t)bracket.settle_ms, "dry_run", bracket.dry_run,
                             "until_covered", bracket.until_covered);
        if (bracket.until_covered && !bracket.dry_run)
            r = pf_bracket_engine_new(&engine, &talk, &err);
    }
    if (!r) {
        pf_progress_begin(&talk.progress, (int)bracket.frames, bracket.dry_run);
        r = pf_talk_hold(&talk, &err);
    }
    pf_bracket_engine_free(engine);
    return pf_talk_end(&talk, &settings, r, &err);
}
