#include "process/stack_command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/shot.h"
#include "config/base/exit.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "config/settings.h"
#include "process/backend.h"
#include "process/burst.h"
#include "process/coverage.h"
#include "process/device.h"
#include "process/elastix.h"
#include "process/pipeline.h"
#include "process/progress.h"
#include "process/room.h"
#include "process/stack_report.h"
#include "process/stack_target.h"
#include "process/stray.h"

#define FRAMES_MIN 2 /* fewer are not a stack */

struct command {
    struct pf_settings settings;
    const char *output, *map[PF_MAP_COUNT]; /* as given; map NULL: not wanted */
    char *output_part, *map_part[PF_MAP_COUNT];
    enum pf_format format;
    bool json;
    struct pf_stack_file *files;
    int count;
    struct pf_stray stray;
    struct pf_device device;
    struct pf_pool *pool;
    struct pf_burst *burst;
    struct pf_pipeline *pipeline;
    struct pf_progress progress;
    double iterated_ms;    /* engine thread: when the steps of a long alignment were shown last */
    struct pf_error fatal; /* engine thread until the pipeline has ended */
};

/* What an interrupt leaves nothing of. Signal state: set before the handler is. */
static const char *interrupted_parts[1 + PF_MAP_COUNT];

static void on_interrupt(int number)
{
    for (int i = 0; i < 1 + PF_MAP_COUNT; i++)
        if (interrupted_parts[i])
            unlink(interrupted_parts[i]);
    pf_elastix_interrupt();
    _exit(128 + number);
}

/* ---- options ---- */

/* "-o X", "-oX", "--output X", "--output=X": arguments taken, 0 when it is another option. */
static int valued_option(int argc, char **argv, int at, const char *brief, const char *full,
                         const char **ret, struct pf_error *err)
{
    const char *text = argv[at];
    size_t length = strlen(full);
    if (strncmp(text, full, length) == 0 && text[length] == '=') {
        *ret = text + length + 1;
        return 1;
    }
    if (brief && strncmp(text, brief, 2) == 0 && text[1] != '-' && text[2]) {
        *ret = text + 2;
        return 1;
    }
    if (strcmp(text, full) != 0 && !(brief && strcmp(text, brief) == 0))
        return 0;
    if (at + 1 >= argc)
        return pf_fail(err, EINVAL, "option %s needs a file", text);
    *ret = argv[at + 1];
    return 2;
}

static const struct {
    const char *option, *output, *what;
} maps[PF_MAP_COUNT] = {[PF_MAP_DEPTH] = {"--depth-map", "depth", "depth map"},
                        [PF_MAP_CONFIDENCE] = {"--confidence-map", "confidence", "confidence map"},
                        [PF_MAP_FRAME] = {"--frame-map", "frame_map", "frame map"}};

/* Takes this command's own options out of argv. In the configuration depth_map and its like say
 * whether a map is written; here they name it, so they must not reach the settings. */
static int take_own_options(struct command *command, int *argc, char **argv, struct pf_error *err)
{
    int kept = 1;
    bool options = true;
    for (int i = 1; i < *argc;) {
        int taken = 0;
        options &= strcmp(argv[i], "--") != 0;
        if (options && strcmp(argv[i], "--json") == 0) {
            command->json = true;
            taken = 1;
        }
        if (options && !taken)
            taken = valued_option(*argc, argv, i, "-o", "--output", &command->output, err);
        for (int map = 0; options && !taken && map < PF_MAP_COUNT; map++)
            taken = valued_option(*argc, argv, i, NULL, maps[map].option, &command->map[map], err);
        if (taken < 0)
            return taken;
        if (!taken)
            argv[kept++] = argv[i++];
        i += taken;
    }
    argv[kept] = NULL;
    *argc = kept;
    return 0;
}

static int take_files(struct command *command, int argc, char **argv, struct pf_error *err)
{
    bool options = true;
    command->files = calloc((size_t)argc, sizeof(*command->files));
    if (!command->files)
        return pf_fail(err, ENOMEM, "out of memory for the names of the files");
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            return pf_settings_unknown_option(argv[i], err);
        } else {
            struct pf_stack_file *file = &command->files[command->count++];
            file->path = argv[i];
        }
    }
    return command->output ? 0 : pf_fail(err, EINVAL, "say where the stack goes: -o OUT");
}

static int check_count(const struct command *command, struct pf_error *err)
{
    if (command->count < FRAMES_MIN)
        return pf_fail(err, EINVAL, "a stack needs at least %d files, there %s %d", FRAMES_MIN,
                       command->count == 1 ? "is" : "are", command->count);
    return 0;
}

/* RAW and JPEG of one shot are one frame: the file that the setting `pair` does not want becomes the
 * other's companion and leaves the list. */
static void pair_files(struct command *command)
{
    enum pf_shot_kind wanted = command->settings.pair == PF_PAIR_RAW ? PF_SHOT_RAW : PF_SHOT_JPEG;
    for (int i = 0; i < command->count; i++)
        for (int k = i + 1; k < command->count; k++) {
            struct pf_stack_file *file = &command->files[i], *other = &command->files[k];
            if (!pf_shot_names_match(file->path, other->path))
                continue;
            pf_stack_file_identify(file);
            pf_stack_file_identify(other);
            if (!file->record || !other->record || !pf_shot_is_same(file->record, other->record))
                continue;
            struct pf_stack_file leaves = pf_shot_kind(file->record) == wanted ? *other : *file;
            if (pf_shot_kind(file->record) != wanted)
                *file = *other; /* in the place of the first */
            file->companion = leaves.path;
            pf_stack_file_clear(&leaves);
            memmove(other, other + 1, (size_t)(--command->count - k) * sizeof(*other));
            k--;
        }
}

/* ---- where the result goes ---- */

static int check_target(const struct command *command, const char *path, struct pf_error *err)
{
    int r = pf_target_check(path, err);
    for (int i = 0; r == 0 && i < command->count; i++)
        r = pf_target_refuse_input(path, command->files[i].path, err);
    return r;
}

static int check_map(struct command *command, int map, struct pf_error *err)
{
    enum pf_format format;
    const char *path = command->map[map], *what = maps[map].what;
    if (!pf_fuse_has_maps((enum pf_fuse)command->settings.fuse))
        return pf_fail(err, EINVAL, "%s: an average has no %s; fuse with another method",
                       maps[map].option, what);
    int r = check_target(command, path, err);
    if (r == 0 && pf_target_is_same(path, command->output))
        r = pf_fail(err, EINVAL, "the %s cannot be the stack: %s", what, path);
    for (int other = 0; r == 0 && other < map; other++)
        if (command->map[other] && pf_target_is_same(path, command->map[other]))
            r = pf_fail(err, EINVAL, "the %s cannot be the %s: %s", what, maps[other].what, path);
    if (r == 0 &&
        (pf_target_format(path, PF_FORMAT_PNG, &format, NULL) < 0 || format != PF_FORMAT_PNG))
        r = pf_fail(err, EINVAL, "the %s is a PNG; name it .png, not %s", what, path);
    if (r == 0)
        r = pf_target_part(path, &command->map_part[map], err);
    return r;
}

static int check_targets(struct command *command, struct pf_error *err)
{
    int r = check_target(command, command->output, err);
    if (r == 0)
        r = pf_target_format(command->output, (enum pf_format)command->settings.format,
                             &command->format, err);
    if (r == 0)
        r = pf_target_part(command->output, &command->output_part, err);
    for (int map = 0; r == 0 && map < PF_MAP_COUNT; map++)
        if (command->map[map])
            r = check_map(command, map, err);
    return r;
}

/* ---- frames ---- */

static void on_frame(void *context, void *tag, const struct pf_image *image, struct pf_look *look,
                     const struct pf_error *error, double decode_ms)
{
    struct command *command = context;
    struct pf_stack_file *file = tag;
    struct pf_error err = {0};
    json_t *facts = NULL;
    char line[600];

    bool told = *pf_burst_room(command->burst), refused = *pf_burst_refused(command->burst);
    pf_burst_look(command->burst, look);
    int r = pf_burst_add(command->burst, file->path, image, error, decode_ms, &facts, &err);
    if (!told && *pf_burst_room(command->burst))
        pf_progress_say(&command->progress, "parfocal stack: %s", pf_burst_room(command->burst));
    if (!refused && *pf_burst_refused(command->burst))
        pf_progress_say(&command->progress, "parfocal stack: %s", pf_burst_refused(command->burst));
    if (r < 0 && image) {
        command->fatal = err; /* the stack itself cannot go on */
        pf_pipeline_stop(command->pipeline);
        return;
    }
    if (r < 0) {
        facts = json_pack("{s:s, s:s, s:o}", "verdict", "aside", "cause", "unreadable", "reason",
                          pf_json_bytes(err.text));
        if (!facts) {
            command->fatal = (struct pf_error){.code = ENOMEM, .text = "out of memory"};
            pf_pipeline_stop(command->pipeline);
            return;
        }
    }
    /* What cannot be written is not stacked first. */
    if (image && pf_burst_fused(command->burst) == 1 &&
        pf_format_holds(command->format, image->width, image->height, &err) < 0) {
        pf_fail(&command->fatal, err.code, "%s: %s", command->output, err.text);
        pf_pipeline_stop(command->pipeline);
    }
    json_object_del(facts, "coverage"); /* told of the whole, at the end */
    file->facts = facts;
    if (command->json)
        pf_stack_file_identify(file);

    const char *verdict = json_string_value(json_object_get(facts, "verdict"));
    bool fused = strcmp(verdict, "fused") == 0;
    if (!fused) {
        char *reason = pf_json_bytes_value(json_object_get(facts, "reason"));
        const char *named = reason && strstr(reason, file->path) ? "" : file->path;
        pf_progress_say(&command->progress, "parfocal stack: set aside: %s%s%s", named,
                        *named ? ": " : "", reason ? reason : "no reason");
        free(reason);
    }
    const json_t *sharpness =
        json_object_get(json_object_get(facts, "focus"), "modified_laplacian");
    const json_t *correlation = json_object_get(facts, "correlation");
    char sharp[32] = "", correlated[32] = ""; /* only what was measured */
    if (json_is_number(sharpness))
        snprintf(sharp, sizeof(sharp), ", sharpness %.2f", json_number_value(sharpness));
    if (json_is_number(correlation))
        snprintf(correlated, sizeof(correlated), ", correlation %.3f",
                 json_number_value(correlation));
    snprintf(line, sizeof(line), "%d/%d %s: %s%s%s", command->progress.done + 1, command->count,
             file->path, fused ? "fused" : "set aside", sharp, correlated);
    pf_progress_frame(&command->progress, image ? (int64_t)image->width * image->height : 0, line);
}

static void on_uncoded(void *context, const char *why)
{
    struct command *command = context;
    pf_progress_say(&command->progress,
                    "parfocal stack: JPEGs are decoded by the processor from now on; the GPU keeps "
                    "refusing: %s",
                    why);
}

static void on_command(void *context, void *tag)
{
    (void)context;
    (void)tag; /* this command queues frames only, which are its own */
}

/* Engine thread: an alignment that takes long is at work. */
static void on_iteration(void *context, const struct pf_iteration *iteration)
{
    struct command *command = context;
    char note[80];
    double now_ms = pf_now_ms();
    if (now_ms < command->iterated_ms + 100)
        return;
    command->iterated_ms = now_ms;
    snprintf(note, sizeof(note), "%s %d of %d", iteration->step, iteration->done, iteration->of);
    pf_progress_phase(&command->progress, note);
}

/* Decodes, aligns and fuses all files but those that are out. */
static int fuse_pass(struct command *command, struct pf_error *err)
{
    struct pf_stack_settings settings = pf_stack_settings_of(&command->settings);
    /* Nobody wants the small picture that goes with what stays coded. */
    struct pf_decode_limits limits = {.max_pixels = command->settings.max_megapixels * 1000000,
                                      .coded_side = command->device.decodes};
    struct pf_pipeline_calls calls = {.context = command,
                                      .frame = on_frame,
                                      .uncoded = on_uncoded,
                                      .command = on_command,
                                      .release = on_command};

    settings.backend = command->device.backend;
    settings.kept = command->device.kept;
    if (settings.backend == &pf_backend_cpu)
        calls.look_for = &settings;
    calls.threads = pf_pool_threads(command->pool);
    settings.iterated = (struct pf_iteration_call){on_iteration, command};
    for (int map = 0; map < PF_MAP_COUNT; map++)
        settings.depth |= command->map[map] != NULL;
    command->burst = pf_burst_free(command->burst);
    int r = pf_burst_new(&command->burst, &settings, command->pool, err);
    if (r == 0)
        r = pf_pipeline_new(&command->pipeline, &calls, &limits, err);
    for (int i = 0; r == 0 && i < command->count; i++)
        if (!pf_stray_is_out(&command->stray, command->files[i].group))
            r = pf_pipeline_add_frame(command->pipeline, command->files[i].path, &command->files[i],
                                      err);
    command->pipeline = pf_pipeline_free(command->pipeline);
    if (r == 0 && command->fatal.code)
        r = pf_fail(err, command->fatal.code, "%s", command->fatal.text);
    return r;
}

/* A file that is out now, unless it has been before. */
static void leave_out(struct command *command, struct pf_stack_file *file)
{
    char reason[128];
    if (json_is_null(json_object_get(file->facts, "gain")))
        return;
    pf_stray_reason(&command->stray, file->group, file->facts, reason, sizeof(reason));
    pf_stray_strike(file->facts);
    json_object_set_new(file->facts, "reason", json_string(reason));
    pf_progress_say(&command->progress, "parfocal stack: set aside: %s: %s", file->path, reason);
}

/* When the first frames are another picture than most they go, and the others come back. True when
 * there is something to fuse again. */
static bool drop_strays(struct command *command)
{
    struct pf_stray_frame *frames = calloc((size_t)command->count + 1, sizeof(*frames));
    for (int i = 0; frames && i < command->count; i++)
        frames[i] = (struct pf_stray_frame){&command->files[i].group, command->files[i].facts};
    command->stray.any_exposure = !command->settings.judge;
    bool again = frames && pf_stray_again(&command->stray, frames, (size_t)command->count);
    free(frames);
    if (!again)
        return false;
    command->progress.done = 0;
    for (int i = 0; i < command->count; i++) {
        struct pf_stack_file *file = &command->files[i];
        if (pf_stray_is_out(&command->stray, file->group)) {
            leave_out(command, file);
            command->progress.done++;
            continue;
        }
        json_decref(file->facts);
        file->facts = NULL;
    }
    pf_progress_say(&command->progress, "parfocal stack: the stack is begun anew");
    return true;
}

/* Decodes, aligns and fuses all files. 0 even when frames were set aside. */
static int fuse_files(struct command *command, struct pf_error *err)
{
    int r = pf_device_choose(&command->device, (enum pf_device_kind)command->settings.device,
                             (enum pf_fuse)command->settings.fuse, NULL, NULL, err);
    if (r == 0 && command->device.unusable)
        pf_progress_say(&command->progress,
                        "parfocal stack: the GPU is not used: %s; the processor does the work",
                        command->device.reason);
    if (r == 0)
        r = pf_pool_new(&command->pool, (int)command->settings.threads, err);
    if (r == 0)
        r = fuse_pass(command, err);
    while (r == 0 && drop_strays(command))
        r = fuse_pass(command, err);
    if (r == 0 && pf_burst_fused(command->burst) < FRAMES_MIN)
        r = pf_fail(err, ENODATA, "no stack: %d of %d frames could be used",
                    pf_burst_fused(command->burst), command->count);
    return r;
}

/* ---- what is missing ---- */

/* The coverage of all frames. The burst counts those that could be decoded, the report all files.
 * NULL on out of memory. */
static json_t *find_coverage(const struct command *command)
{
    struct pf_error ignored = {0};
    json_t *coverage = NULL, *winner;
    size_t i;
    int *file = calloc((size_t)command->count, sizeof(*file)), added = 0;
    if (!file || pf_burst_coverage(command->burst, NULL, true, &coverage, &ignored) < 0) {
        free(file);
        return NULL;
    }
    for (int k = 0; k < command->count; k++)
        if (!pf_stray_is_out(&command->stray, command->files[k].group) &&
            json_object_get(command->files[k].facts, "width"))
            file[added++] = k;
    json_array_foreach(json_object_get(coverage, "winner"), i, winner) if (json_is_integer(winner))
        json_integer_set(winner, file[json_integer_value(winner)]);
    free(file);
    return coverage;
}

static void say_outside(struct command *command, const json_t *coverage, const char *side,
                        const char *where)
{
    size_t cells = json_array_size(json_object_get(coverage, side));
    size_t detail = (size_t)json_integer_value(json_object_get(coverage, "detail"));
    if (pf_coverage_is_worth_a_word(cells, detail))
        pf_progress_say(&command->progress,
                        "parfocal stack: %zu of %zu parts with detail are sharp in no frame: their "
                        "focal planes lie %s frame",
                        cells, detail, where);
}

static void say_coverage(struct command *command, const json_t *coverage)
{
    const json_t *pair;
    size_t i;
    json_array_foreach(json_object_get(coverage, "skipped"), i, pair)
    {
        char *from = pf_json_bytes_value(json_array_get(pair, 0));
        char *to = pf_json_bytes_value(json_array_get(pair, 1));
        pf_progress_say(&command->progress,
                        "parfocal stack: a focal plane was skipped between %s and %s",
                        from ? from : "a frame", to ? to : "the next");
        free(from);
        free(to);
    }
    say_outside(command, coverage, "before", "before that of the first");
    say_outside(command, coverage, "beyond", "beyond that of the last");
}

/* ---- the result ---- */

static int write_result(struct command *command, json_t **ret_output, struct pf_error *err)
{
    struct pf_burst_output output = {.stack_path = command->output_part,
                                     .format = command->format,
                                     .jpeg_quality = (int)command->settings.jpeg_quality};
    for (int map = 0; map < PF_MAP_COUNT; map++)
        output.map_path[map] = command->map_part[map];
    int r = pf_burst_write(command->burst, &output, ret_output, err);
    if (r < 0)
        return r;
    r = pf_target_put(command->output_part, command->output, err);
    for (int map = 0; map < PF_MAP_COUNT; map++) {
        if (command->map[map] && r == 0)
            r = pf_target_put(command->map_part[map], command->map[map], err);
        else if (command->map[map])
            unlink(command->map_part[map]);
    }
    /* The names they bear now. */
    json_object_set_new(json_object_get(*ret_output, "stack"), "name",
                        pf_json_bytes(command->output));
    for (int map = 0; map < PF_MAP_COUNT; map++)
        if (command->map[map])
            json_object_set_new(json_object_get(*ret_output, maps[map].output), "name",
                                pf_json_bytes(command->map[map]));
    return r;
}

static int stack(struct command *command)
{
    struct pf_error err = {0};
    json_t *output = NULL, *coverage = NULL;
    double finish_ms = 0;

    pf_progress_begin(&command->progress, command->count, command->json);
    int r = fuse_files(command, &err);
    if (r == 0) {
        double begin_ms = pf_now_ms();
        coverage = find_coverage(command);
        say_coverage(command, coverage);
        pf_progress_phase(&command->progress, "writing");
        r = write_result(command, &output, &err);
        finish_ms = pf_now_ms() - begin_ms;
    }
    pf_progress_end(&command->progress);
    if (command->burst && *pf_burst_note(command->burst))
        fprintf(stderr, "parfocal stack: %s; the processor did the work\n",
                pf_burst_note(command->burst));
    if (r < 0)
        fprintf(stderr, "parfocal stack: %s%s\n", err.text,
                r == -EREMOTEIO ? "; --device cpu does without the GPU" : "");
    struct pf_stack_report report = {.settings = &command->settings,
                                     .device = command->burst ? pf_burst_device(command->burst)
                                                              : pf_backend_cpu.name,
                                     .burst = command->burst,
                                     .pool = command->pool,
                                     .files = command->files,
                                     .count = command->count,
                                     .output = r < 0 ? NULL : output,
                                     .coverage = coverage,
                                     .failure = r < 0 ? &err : NULL,
                                     .finish_ms = finish_ms,
                                     .total_ms = pf_now_ms() - command->progress.begin_ms};
    if (command->json && pf_stack_report_print(&report) < 0) {
        fprintf(stderr, "parfocal stack: out of memory for the report\n");
        r = -ENOMEM;
    }
    if (r == 0 && !command->json)
        printf("%s: %d of %d frames, %.1f s\n", command->output, pf_burst_fused(command->burst),
               command->count, (pf_now_ms() - command->progress.begin_ms) / 1e3);
    json_decref(coverage);
    json_decref(output);
    return r == -EREMOTEIO ? PF_EXIT_DEVICE : r < 0 ? PF_EXIT_FAILURE : PF_EXIT_OK;
}

int pf_stack_main(int argc, char **argv)
{
    struct command command = {0};
    struct pf_error err = {0};
    int status = PF_EXIT_FAILURE;

    int r = pf_settings_init(&command.settings, &err);
    if (r < 0) {
        fprintf(stderr, "parfocal stack: %s\n", err.text);
        return PF_EXIT_FAILURE;
    }
    r = take_own_options(&command, &argc, argv, &err);
    if (r == 0)
        r = pf_settings_take_options(&command.settings, &argc, argv, &err);
    if (r == 0)
        r = take_files(&command, argc, argv, &err);
    if (r == 0)
        r = check_targets(&command, &err);
    if (r == 0) {
        pair_files(&command);
        r = check_count(&command, &err);
    }
    if (r < 0) {
        fprintf(stderr, "parfocal stack: %s\n", err.text);
        status = r == -ENOMEM ? PF_EXIT_FAILURE : PF_EXIT_USAGE;
    } else {
        pf_log_setup("stack", (enum pf_log_level)command.settings.log_level);
        pf_log_setup_format((enum pf_log_format)command.settings.log_format);
        interrupted_parts[0] = command.output_part;
        for (int map = 0; map < PF_MAP_COUNT; map++)
            interrupted_parts[1 + map] = command.map_part[map];
        struct sigaction action = {.sa_handler = on_interrupt};
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGHUP, &action, NULL);
        pf_room_set(command.settings.memory << 20, command.settings.scratch);
        status = stack(&command);
        memset(interrupted_parts, 0, sizeof(interrupted_parts));
    }

    for (int i = 0; i < command.count; i++)
        pf_stack_file_clear(&command.files[i]);
    free(command.files);
    pf_burst_free(command.burst);
    pf_device_close(&command.device);
    pf_pool_free(command.pool);
    free(command.output_part);
    for (int map = 0; map < PF_MAP_COUNT; map++)
        free(command.map_part[map]);
    pf_settings_free(&command.settings);
    return status;
}
