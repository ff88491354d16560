#include "process/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/base/exit.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/sandbox.h"
#include "config/base/time.h"
#include "config/base/version.h"
#include "config/settings.h"
#include "process/backend.h"
#include "process/burst.h"
#include "process/command.h"
#include "process/confine.h"
#include "process/device.h"
#include "process/pipeline.h"
#include "process/results.h"
#include "process/room.h"
#include "process/thumbnail.h"
#include "process/view.h"

#define PROGRESS_MS 100 /* between two words on a long alignment */
#define WARMING_MS  250

struct open_burst {
    struct open_burst *next;
    char *name;
    struct pf_burst *burst;
    struct pf_results *ahead; /* what of its result is written already; NULL nothing */
};

struct worker {
    struct pf_settings settings; /* constant once running, as the next */
    struct pf_decode_limits limits;
    struct pf_device device;
    struct pf_pool *pool;
    struct pf_pipeline *pipeline;
    struct pf_views *views;    /* engine thread; NULL before the first one */
    struct open_burst *bursts; /* engine thread only */
    const json_t *in_hand;     /* engine thread: the `add` whose frame it is at; NULL none */
    double begin_ms, told_ms;  /* engine thread: since when, and when its progress was told last */
    atomic_bool gone;          /* nobody reads our events any more */
    struct pf_confine confine;
    atomic_bool thumbless; /* trouble with thumbnails has been told */
};

/* ---- events ---- */

/* `event` is consumed; its "event" and "burst" (borrowed, may be NULL) are added here. */
static void send_event(struct worker *worker, const char *name, const json_t *command,
                       json_t *event)
{
    struct pf_error err = {0};
    const char *burst = json_string_value(json_object_get(command, "burst"));
    if (event && json_object_set_new(event, "event", json_string(name)) < 0) {
        json_decref(event);
        event = NULL;
    }
    if (event && burst)
        json_object_set_new(event, "burst", json_string(burst));
    if (pf_jsonl_send(STDOUT_FILENO, event, &err) == 0)
        return;
    if (!atomic_exchange(&worker->gone, true))
        pf_log_error("%s", err.text[0] ? err.text : "an event could not be sent");
    if (worker->pipeline)
        pf_pipeline_stop(worker->pipeline);
}

/* A directory that was made, or mounted over, since the worker confined itself is beyond it: another
 * worker can write there. Nothing is to blame. */
static void end_if_confined(struct worker *worker, const char *dir)
{
    if (!pf_sandbox_is_stale(dir))
        return;
    send_event(worker, "confined", NULL, json_pack("{s:o}", "path", pf_json_bytes(dir)));
    pf_log_info("%s is another directory than when the worker began; it begins anew", dir);
    _exit(PF_EXIT_OK);
}

static void send_failed(struct worker *worker, const json_t *command, int r,
                        const struct pf_error *err)
{
    if (r == -ENOBUFS)
        end_if_confined(worker, worker->settings.scratch);
    const char *cmd = json_string_value(json_object_get(command, "cmd"));
    const char *frame = json_string_value(json_object_get(command, "frame"));
    json_t *event = json_pack("{s:s, s:i, s:o}", "cmd", cmd ? cmd : "", "code", -r, "reason",
                              pf_json_bytes(err->text[0] ? err->text : strerror(-r)));
    if (event && frame)
        json_object_set_new(event, "frame", json_string(frame));
    if (event && json_object_get(command, "view"))
        json_object_set(event, "view", json_object_get(command, "view"));
    send_event(worker, "failed", command, event);
}

/* A device that has failed takes the process with it: what it still does cannot be relied on. The
 * service has all that it needs to begin again. */
static void end_if_device_is_lost(struct worker *worker, int r, const struct pf_error *err)
{
    if (r != -EREMOTEIO)
        return;
    send_event(worker, "lost", NULL,
               json_pack("{s:s, s:o}", "device", worker->device.backend->name, "reason",
                         pf_json_bytes(err->text)));
    pf_log_error("%s", err->text);
    _exit(PF_EXIT_DEVICE);
}

static void on_device_step(const char *step, void *context)
{
    struct worker *worker = context;
    send_event(worker, "warming", NULL, json_pack("{s:s}", "step", step));
}

/* ---- bursts (engine thread) ---- */

static struct open_burst **find_burst(struct worker *worker, const json_t *command)
{
    const char *name = json_string_value(json_object_get(command, "burst"));
    struct open_burst **at = &worker->bursts;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void close_burst(struct open_burst **at)
{
    struct open_burst *open = *at;
    if (!open)
        return;
    *at = open->next;
    pf_results_remove(open->ahead);
    pf_burst_free(open->burst);
    free(open->name);
    free(open);
}

static int require_burst(struct worker *worker, const json_t *command, struct open_burst **ret,
                         struct pf_error *err)
{
    *ret = *find_burst(worker, command);
    return *ret ? 0
                : pf_fail(err, EINVAL, "burst %s is not open",
                          json_string_value(json_object_get(command, "burst")));
}

/* Engine thread: an alignment that takes long is at work. */
static void on_iteration(void *context, const struct pf_iteration *iteration)
{
    struct worker *worker = context;
    double now_ms = pf_now_ms();
    if (!worker->in_hand || now_ms < worker->told_ms + PROGRESS_MS)
        return;
    worker->told_ms = now_ms;
    send_event(worker, "progress", worker->in_hand,
               json_pack("{s:O, s:s, s:i, s:i, s:f, s:f}", "frame",
                         json_object_get(worker->in_hand, "frame"), "step", iteration->step,
                         "iteration", iteration->done, "of", iteration->of, "metric",
                         iteration->metric, "elapsed_ms", now_ms - worker->begin_ms));
}

static int do_open(struct worker *worker, const json_t *command, struct pf_error *err)
{
    static const char *const keys[] = {"align",          "equalise",  "motion",   "min_correlation",
                                       "align_timeout",  "judge",     "coverage", "fuse",
                                       "focus_order",    "resample",  "clip",     "depth_map",
                                       "confidence_map", "frame_map", NULL};
    const char *name = json_string_value(json_object_get(command, "burst"));
    struct open_burst **at = find_burst(worker, command);
    struct pf_settings settings;
    if (*at)
        return pf_fail(err, EEXIST, "burst %s is open already", name);
    if (!worker->bursts)
        pf_confine_forget(&worker->confine);
    int r = pf_command_settings(&worker->settings, command, keys, &settings, err);
    if (r < 0)
        return r;
    struct pf_stack_settings stack = pf_stack_settings_of(&settings);
    stack.backend = worker->device.backend;
    stack.kept = worker->device.kept;
    stack.iterated = (struct pf_iteration_call){on_iteration, worker};
    stack.depth = settings.depth_map || settings.confidence_map || settings.frame_map;
    pf_settings_free(&settings);

    struct open_burst *open = calloc(1, sizeof(*open));
    if (open)
        open->name = strdup(name);
    r = open && open->name ? pf_burst_new(&open->burst, &stack, worker->pool, err)
                           : pf_fail(err, ENOMEM, "out of memory for a burst");
    if (r < 0) {
        free(open ? open->name : NULL);
        free(open);
        return r;
    }
    *at = open;
    return 0;
}

static int do_preview(struct worker *worker, const json_t *command, struct pf_error *err)
{
    struct open_burst *open = NULL;
    int width = 0, height = 0;
    json_int_t max_width = json_integer_value(json_object_get(command, "max_width"));
    char *path = NULL;
    if (max_width < 1 || max_width > 65500)
        max_width = 1600;
    int r = require_burst(worker, command, &open, err);
    if (r == 0)
        r = pf_command_path(command, "path", &path, err);
    if (r == 0)
        r = pf_burst_preview(open->burst, (int)max_width, path, &width, &height, err);
    free(path);
    if (r == 0)
        send_event(worker, "preview", command,
                   json_pack("{s:O, s:i, s:i}", "path", json_object_get(command, "path"), "width",
                             width, "height", height));
    return r;
}

static bool is_awaited(void *context)
{
    struct worker *worker = context;
    return pf_pipeline_waits(worker->pipeline);
}

/* The fields of `finished` or `prepared`. */
static int write_results(struct worker *worker, struct open_burst *open, const json_t *command,
                         bool ahead, const char *dir, const struct pf_settings *settings,
                         json_t **ret_event, struct pf_error *err)
{
    const struct pf_cancel cancel = {is_awaited, worker};
    if (!ahead) {
        int r = pf_results_write(open->burst, worker->pool, command, dir, settings, open->ahead,
                                 ret_event, err);
        open->ahead = pf_results_free(open->ahead);
        return r;
    }
    open->ahead = pf_results_remove(open->ahead);
    *ret_event = json_pack("{s:O}", "dir", json_object_get(command, "dir"));
    return pf_results_write_ahead(open->burst, command, dir, settings, &cancel, &open->ahead, err);
}

/* Of `prepare` as well, which writes ahead until something else is to be done. */
static int do_finish(struct worker *worker, const json_t *command, bool ahead, struct pf_error *err)
{
    static const char *const keys[] = {"format",         "jpeg_quality", "depth_map",
                                       "confidence_map", "frame_map",    NULL};
    struct open_burst *open = NULL;
    struct pf_settings settings;
    int r = require_burst(worker, command, &open, err);
    if (r == 0)
        r = pf_command_settings(&worker->settings, command, keys, &settings, err);
    if (r < 0)
        return r;
    char *dir = NULL;
    json_t *event = NULL;
    r = pf_command_path(command, "dir", &dir, err);
    if (r == 0)
        r = write_results(worker, open, command, ahead, dir, &settings, &event, err);
    if (dir && (r == -EACCES || r == -EPERM || r == -EROFS || r == -EXDEV))
        end_if_confined(worker, dir);
    if (json_is_string(json_object_get(event, "note")))
        pf_log_warning("burst %s: %s", json_string_value(json_object_get(command, "burst")),
                       json_string_value(json_object_get(event, "note")));
    if (r == 0)
        send_event(worker, ahead ? "prepared" : "finished", command, json_incref(event));
    json_decref(event);
    free(dir);
    pf_settings_free(&settings);
    return r;
}

/* What a frame's file holds may be another picture than the frame by now. */
static int check_identity(const json_t *command, struct pf_error *err);

static int do_view(struct worker *worker, const json_t *command, struct pf_error *err)
{
    json_t *facts = NULL;
    int r = worker->views ? 0 : pf_views_new(&worker->views, &worker->limits, err);
    char *path = pf_json_bytes_value(json_object_get(command, "path"));
    if (r == 0 && path && json_is_string(json_object_get(command, "frame")) &&
        !pf_views_have(worker->views, path))
        r = check_identity(command, err);
    free(path);
    if (r == 0)
        r = pf_view_make(worker->views, command, &facts, err);
    if (r == 0) {
        json_object_set(facts, "view", json_object_get(command, "view"));
        send_event(worker, "view", NULL, facts);
    }
    return r;
}

/* ---- the pipeline's calls; a tag is the command, a JSON object ---- */

/* The name of a frame may hold another picture since it was recorded (a camera's counter wraps). A
 * `frame` that is no identity, as typed by hand, stands for whatever the file holds. */
static int check_identity(const json_t *command, struct pf_error *err)
{
    const char *frame = json_string_value(json_object_get(command, "frame"));
    struct pf_identity id;
    if (strlen(frame) != PF_IDENTITY_CHARS)
        return 0;
    char *path = pf_json_bytes_value(json_object_get(command, "path"));
    if (!path)
        return pf_fail(err, ENOMEM, "out of memory for a path");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int r =
        fd < 0 ? pf_fail_errno(err, errno, "opening %s", path) : pf_identity_of_fd(fd, &id, err);
    if (r == 0 && strcmp(id.text, frame) != 0)
        r = pf_fail(err, ESTALE, "%s: the file holds another picture than when it was recorded",
                    path);
    if (fd >= 0)
        close(fd);
    free(path);
    return r;
}

/* What came of a thumbnail: `facts` are consumed. Trouble is said once; a frame without is as good. */
static void tell_thumbnail(struct worker *worker, const json_t *command, int r, json_t *facts,
                           const struct pf_error *err)
{
    if (r > 0 && json_object_set(facts, "frame", json_object_get(command, "frame")) == 0)
        send_event(worker, "thumbnail", command, facts);
    else if ((r == -ENOSPC || r == -EROFS || r == -EACCES || r == -ENOENT) &&
             !atomic_exchange(&worker->thumbless, true))
        pf_log_warning("no thumbnails: %s", err->text);
}

static int on_decoding(void *context, const void *tag, struct pf_error *err)
{
    struct worker *worker = context;
    json_t *frame = json_object_get(tag, "frame"), *facts = NULL;
    send_event(worker, "decoding", tag, json_pack("{s:O}", "frame", frame));
    pf_confine_renew(&worker->confine);
    int r = check_identity(tag, err);
    char *prefix = pf_json_bytes_value(json_object_get(tag, "thumbnails"));
    char *path = pf_json_bytes_value(json_object_get(tag, "path"));
    if (r == 0 && prefix && path) {
        struct pf_error why = {0};
        int made = pf_thumbnail_before(path, prefix, &worker->limits, &facts, &why);
        tell_thumbnail(worker, tag, made, facts, &why);
    }
    free(prefix);
    free(path);
    return r;
}

static void on_decoded(void *context, const void *tag, const struct pf_image *image)
{
    char *prefix = pf_json_bytes_value(json_object_get(tag, "thumbnails"));
    for (int size = PF_THUMBNAIL_IS_SMALL; prefix && size <= PF_THUMBNAIL_IS_LARGE; size++) {
        struct pf_error why = {0};
        json_t *facts = NULL;
        int made = pf_thumbnail_after(image, prefix, (enum pf_thumbnail_size)size, &facts, &why);
        tell_thumbnail(context, tag, made, facts, &why);
    }
    free(prefix);
}

static void on_frame(void *context, void *tag, const struct pf_image *image, struct pf_look *look,
                     const struct pf_error *error, double decode_ms)
{
    struct worker *worker = context;
    json_t *command = tag, *facts = NULL;
    json_t *frame = json_object_get(command, "frame");
    struct pf_error err = {0};
    struct open_burst *open = NULL;

    pf_confine_renew(&worker->confine);
    int r = require_burst(worker, command, &open, &err);
    worker->in_hand = command;
    worker->begin_ms = pf_now_ms();
    worker->told_ms = 0;
    if (open) {
        struct pf_burst *burst = open->burst;
        bool noted = *pf_burst_note(burst), told = *pf_burst_room(burst);
        bool refused = *pf_burst_refused(burst);
        const json_t *after = json_object_get(command, "after");
        if (after)
            pf_burst_after(burst, json_string_value(after));
        pf_burst_look(burst, look);
        r = pf_burst_add(burst, json_string_value(frame), image, error, decode_ms, &facts, &err);
        if (!noted && *pf_burst_note(burst))
            pf_log_warning("%s; the processor stacks this burst", pf_burst_note(burst));
        if (!told && *pf_burst_room(burst))
            pf_log_warning("%s", pf_burst_room(burst));
        if (!refused && *pf_burst_refused(burst))
            pf_log_warning("%s", pf_burst_refused(burst));
    }
    worker->in_hand = NULL;
    end_if_device_is_lost(worker, r, &err);
    if (r == 0) {
        json_object_set(facts, "frame", frame);
        send_event(worker, "frame", command, facts);
    } else {
        /* The protocol's word: after a failed add the stack is gone and will be replayed. */
        if (open)
            close_burst(find_burst(worker, command));
        send_failed(worker, command, r, &err);
    }
    json_decref(command);
}

static void on_command(void *context, void *tag)
{
    struct worker *worker = context;
    json_t *command = tag;
    const char *cmd = json_string_value(json_object_get(command, "cmd"));
    struct pf_error err = {0};
    int r = 0;

    pf_confine_renew(&worker->confine);
    if (strcmp(cmd, "open") == 0)
        r = do_open(worker, command, &err);
    else if (strcmp(cmd, "preview") == 0)
        r = do_preview(worker, command, &err);
    else if (strcmp(cmd, "finish") == 0)
        r = do_finish(worker, command, false, &err);
    else if (strcmp(cmd, "prepare") == 0)
        r = do_finish(worker, command, true, &err);
    else if (strcmp(cmd, "view") == 0)
        r = do_view(worker, command, &err);
    else
        close_burst(find_burst(worker, command));
    end_if_device_is_lost(worker, r, &err);
    if (r < 0)
        send_failed(worker, command, r, &err);
    json_decref(command);
}

static void on_discard(void *context, void *tag)
{
    (void)context;
    json_decref(tag);
}

/* ---- commands (main thread) ---- */

static bool is_known(const char *cmd)
{
    static const char *const known[] = {"open",   "add",  "preview", "prepare",
                                        "finish", "drop", "view"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(cmd, known[i]) == 0)
            return true;
    return false;
}

static int enqueue_frame(struct worker *worker, json_t *command, struct pf_error *err)
{
    char *path = NULL;
    if (!json_is_string(json_object_get(command, "frame")))
        return pf_fail(err, EINVAL, "add needs a frame");
    int r = pf_command_path(command, "path", &path, err);
    if (r == 0)
        r = pf_pipeline_add_frame(worker->pipeline, path, command, err);
    free(path);
    return r;
}

/* Consumes the command. */
static void take_command(struct worker *worker, json_t *command)
{
    struct pf_error err = {0};
    const char *cmd = json_string_value(json_object_get(command, "cmd"));
    if (!cmd || !is_known(cmd)) {
        pf_log_warning("unknown command %s", cmd ? cmd : "without a name");
        json_decref(command);
        return;
    }
    int r;
    if (strcmp(cmd, "view") != 0 && !json_is_string(json_object_get(command, "burst")))
        r = pf_fail(&err, EINVAL, "%s needs a burst", cmd);
    else if (strcmp(cmd, "add") == 0)
        r = enqueue_frame(worker, command, &err);
    else
        r = pf_pipeline_add_command(worker->pipeline, command, &err);
    if (r < 0) {
        send_failed(worker, command, r, &err);
        json_decref(command);
    }
}

/* Until the end of input. */
static int read_commands(struct worker *worker)
{
    struct pf_jsonl_reader *reader = NULL;
    int r = pf_jsonl_reader_new(&reader);
    if (r < 0) {
        pf_log_error("out of memory for the command reader");
        return r;
    }
    while (!atomic_load(&worker->gone)) {
        struct pf_error err = {0};
        json_t *command = NULL;
        r = pf_jsonl_read(reader, STDIN_FILENO, &command, &err);
        if (r > 0) {
            take_command(worker, command);
        } else if (r == -EBADMSG) {
            pf_log_warning("%s", err.text);
        } else {
            if (r < 0)
                pf_log_error("%s", err.text);
            break;
        }
    }
    pf_jsonl_reader_free(reader);
    return r > 0 ? 0 : r;
}

static int limit_memory(int64_t mebibytes, struct pf_error *err)
{
    struct rlimit limit;
    if (!mebibytes)
        return 0;
    getrlimit(RLIMIT_AS, &limit);
    rlim_t wanted = (rlim_t)mebibytes << 20;
    if (limit.rlim_max != RLIM_INFINITY && wanted > limit.rlim_max)
        wanted = limit.rlim_max;
    limit.rlim_cur = wanted;
    if (setrlimit(RLIMIT_AS, &limit) < 0)
        return pf_fail_errno(err, errno, "limiting the memory to %lld MiB", (long long)mebibytes);
    return 0;
}

static void on_warming(void *context, const struct pf_iteration *iteration)
{
    struct worker *worker = context;
    double now_ms = pf_now_ms();
    if (now_ms < worker->told_ms + WARMING_MS)
        return;
    worker->told_ms = now_ms;
    send_event(worker, "warming", NULL,
               json_pack("{s:s, s:i, s:i}", "step", iteration->step, "iteration", iteration->done,
                         "of", iteration->of));
}

/* What would make the first frame the slow one; a GPU's backend needs no elastix. That it cannot be
 * warmed up is said now; its frames will say it again. */
static void warm_up(struct worker *worker)
{
    struct pf_iteration_call call = {on_warming, worker};
    struct pf_error err = {0};
    if (worker->settings.align == PF_ALIGN_SYN && !worker->device.backend->has_syn)
        pf_log_info("align = syn needs a GPU: flow takes its place");
    if (worker->settings.align == PF_ALIGN_BSPLINE && worker->device.backend == &pf_backend_cpu &&
        pf_elastix_warm_up(worker->settings.align_timeout, pf_pool_threads(worker->pool), &call,
                           &err) < 0)
        pf_log_error("align = bspline will set frames aside: %s", err.text);
    if (worker->device.decodes)
        pf_log_info("JPEGs are decoded on the GPU: %s", worker->device.decoder);
    else if (worker->device.undecoded[0])
        pf_log_info("JPEGs are decoded by the processor: %s", worker->device.undecoded);
}

static int run(struct worker *worker, struct pf_error *err)
{
    static const struct pf_pipeline_calls template = {.decoding = on_decoding,
                                                      .decoded = on_decoded,
                                                      .frame = on_frame,
                                                      .command = on_command,
                                                      .discard = on_discard};
    struct pf_pipeline_calls calls = template;

    /* Every arena reserves address space, which the limit counts. */
    mallopt(M_ARENA_MAX, 2);
    pf_room_set(worker->settings.memory << 20, worker->settings.scratch);
    int r = pf_confine_files(&worker->confine, err);
    if (r == 0)
        r = pf_device_choose(&worker->device, (enum pf_device_kind)worker->settings.device,
                             (enum pf_fuse)worker->settings.fuse, on_device_step, worker, err);
    /* A GPU's driver reserves far more address space than there is memory. */
    if (r == 0 && worker->device.backend == &pf_backend_cpu)
        r = limit_memory(worker->settings.worker_memory, err);
    if (r == 0)
        r = pf_confine_calls(&worker->confine, worker->device.backend, err);
    if (r == 0)
        r = pf_pool_new(&worker->pool, (int)worker->settings.threads, err);
    /* Bursts may have other settings; what does not fit them is found again. */
    struct pf_stack_settings look_for = pf_stack_settings_of(&worker->settings);
    calls.context = worker;
    if (r == 0 && worker->device.backend == &pf_backend_cpu)
        calls.look_for = &look_for;
    calls.threads = pf_pool_threads(worker->pool);
    worker->limits.max_pixels = worker->settings.max_megapixels * 1000000;
    worker->limits.declared = pf_confine_declared;
    worker->limits.context = &worker->confine;
    struct pf_decode_limits limits = worker->limits;
    if (worker->device.decodes)
        limits.coded_side = PF_THUMBNAIL_LARGE;
    if (r == 0)
        r = pf_pipeline_new(&worker->pipeline, &calls, &limits, err);
    if (r < 0)
        return r;
    worker->confine.threads = pf_pool_threads(worker->pool);
    warm_up(worker);
    send_event(worker, "ready", NULL,
               json_pack("{s:s, s:s, s:s, s:o, s:i, s:s}", "device", worker->device.backend->name,
                         "device_name", worker->device.name, "decoder", worker->device.decoder,
                         "reason", pf_json_bytes(worker->device.reason), "threads",
                         pf_pool_threads(worker->pool), "version", pf_version()));
    return read_commands(worker);
}

int pf_process_main(int argc, char **argv)
{
    struct worker worker = {0};
    struct pf_error err = {0};
    int status = PF_EXIT_FAILURE;

    if (pf_settings_init(&worker.settings, &err) < 0) {
        fprintf(stderr, "parfocal process: %s\n", err.text);
        return PF_EXIT_FAILURE;
    }
    int r = pf_settings_take_options(&worker.settings, &argc, argv, &err);
    for (int i = 1; r == 0 && i < argc; i++)
        if (argv[i][0] != '/')
            r = argv[i][0] == '-'
                    ? pf_settings_unknown_option(argv[i], &err)
                    : pf_fail(&err, EINVAL, "%.200s: a directory to write in, as an absolute path",
                              argv[i]);
    worker.confine.settings = &worker.settings;
    worker.confine.writable = argv + 1;
    if (r < 0) {
        fprintf(stderr, "parfocal process: %s\n", err.text);
        status = PF_EXIT_USAGE;
    } else {
        prctl(PR_SET_NAME, "worker");
        pf_log_setup("worker", (enum pf_log_level)worker.settings.log_level);
        pf_log_setup_format((enum pf_log_format)worker.settings.log_format);
        r = run(&worker, &err);
        if (r < 0 && err.text[0])
            pf_log_error("%s", err.text);
        status = r < 0 ? PF_EXIT_FAILURE : PF_EXIT_OK;
    }
    /* Waits until all that was read is done. The threads use the pointer, so it is cleared after. */
    pf_pipeline_free(worker.pipeline);
    while (worker.bursts)
        close_burst(&worker.bursts);
    pf_device_close(&worker.device);
    pf_views_free(worker.views);
    pf_pool_free(worker.pool);
    pf_settings_free(&worker.settings);
    return status;
}
