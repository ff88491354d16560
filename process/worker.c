#include "process/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
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
#include "process/backend.h"
#include "process/command.h"
#include "process/machine.h"
#include "process/room.h"
#include "process/thumbnail.h"
#include "process/worker_state.h"

#define WARMING_MS 250
#define GPU_BYTES  ((int64_t)1 << 30) /* of addresses, which nothing else takes so early */

/* ---- events ---- */

/* `event` is consumed; its "event" and "burst" (borrowed, may be NULL) are added here. */
void pf_process_send(const char *name, const json_t *command, json_t *event)
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
    /* Whoever waits for it must not wait longer, and input may never end. What was being made is made
     * anew, as after any other death. */
    pf_log_error("%s", err.text[0] ? err.text : "an event could not be sent");
    _exit(PF_EXIT_FAILURE);
}

/* A directory that was made, or mounted over, since the worker confined itself is beyond it: another
 * worker can write there. Nothing is to blame. */
void pf_process_end_if_confined(const char *dir)
{
    if (!pf_sandbox_is_stale(dir))
        return;
    pf_process_send("confined", NULL, json_pack("{s:o}", "path", pf_json_bytes(dir)));
    pf_log_info("%s is another directory than when the worker began; it begins anew", dir);
    _exit(PF_EXIT_OK);
}

/* device: what was computing it; NULL: nothing was. */
static void send_failed(struct worker *worker, const json_t *command, const char *device, int r,
                        const struct pf_error *err)
{
    if (r == -ENOBUFS)
        pf_process_end_if_confined(worker->settings.scratch);
    const char *cmd = json_string_value(json_object_get(command, "cmd"));
    const char *frame = json_string_value(json_object_get(command, "frame"));
    json_t *event = json_pack("{s:s, s:i, s:o}", "cmd", cmd ? cmd : "", "code", -r, "reason",
                              pf_json_bytes(err->text[0] ? err->text : strerror(-r)));
    if (event && frame)
        json_object_set_new(event, "frame", json_string(frame));
    if (event && device)
        json_object_set_new(event, "device", json_string(device));
    if (event && json_object_get(command, "view"))
        json_object_set(event, "view", json_object_get(command, "view"));
    pf_process_send("failed", command, event);
}

/* A device that has failed takes the process with it: what it still does cannot be relied on. The
 * service has all that it needs to begin again. */
static void end_if_device_is_lost(struct worker *worker, int r, const struct pf_error *err)
{
    if (r != -EREMOTEIO)
        return;
    pf_process_send("lost", NULL,
                    json_pack("{s:s, s:o}", "device", worker->device.backend->name, "reason",
                              pf_json_bytes(err->text)));
    pf_log_error("%s", err->text);
    _exit(PF_EXIT_DEVICE);
}

static void on_device_step(const char *step, void *context)
{
    (void)context;
    pf_process_send("warming", NULL, json_pack("{s:s}", "step", step));
}

/* ---- views (engine thread) ---- */

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
        pf_process_send("view", NULL, facts);
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

/* What came of a thumbnail: `facts` are consumed. Trouble is said once; a frame without is as good. Side
 * thread: the command's counts of references are the engine's. */
static void tell_thumbnail(struct worker *worker, const json_t *command, int r, json_t *facts,
                           const struct pf_error *err)
{
    const char *frame = json_string_value(json_object_get(command, "frame"));
    if (r > 0 && json_object_set_new(facts, "frame", json_string(frame)) == 0)
        pf_process_send("thumbnail", command, facts);
    else if ((r == -ENOSPC || r == -EROFS || r == -EACCES || r == -ENOENT) &&
             !atomic_exchange(&worker->thumbless, true))
        pf_log_warning("no thumbnails: %s", err->text);
}

static int on_decoding(void *context, const void *tag, struct pf_error *err)
{
    struct worker *worker = context;
    json_t *frame = json_object_get(tag, "frame");
    pf_process_send("decoding", tag, json_pack("{s:O}", "frame", frame));
    pf_confine_renew(&worker->confine);
    return check_identity(tag, err);
}

static void on_meanwhile(void *context, const void *tag)
{
    struct worker *worker = context;
    json_t *facts = NULL;
    char *prefix = pf_json_bytes_value(json_object_get(tag, "thumbnails"));
    char *path = pf_json_bytes_value(json_object_get(tag, "path"));
    if (prefix && path) {
        struct pf_error why = {0};
        int made = pf_thumbnail_before(path, prefix, &worker->limits, &facts, &why);
        tell_thumbnail(worker, tag, made, facts, &why);
    }
    free(prefix);
    free(path);
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

    /* It was declared when it was decoded, and forgotten if the burst was opened after that. */
    if (image)
        pf_confine_declared(&worker->confine, (int64_t)image->width * image->height);
    pf_confine_renew(&worker->confine);
    int r = pf_process_require(worker, command, &open, &err);
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
        pf_process_send("frame", command, facts);
    } else {
        const char *device = open && image ? pf_burst_device(open->burst) : NULL;
        /* The protocol's word: after a failed add the stack is gone and will be replayed. */
        if (open)
            pf_process_close(pf_process_find(worker, command));
        send_failed(worker, command, device, r, &err);
    }
}

static void on_uncoded(void *context, const char *why)
{
    (void)context;
    pf_log_warning("JPEGs are decoded by the processor from now on; the GPU keeps refusing: %s",
                   why);
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
        r = pf_process_open(worker, command, &err);
    else if (strcmp(cmd, "preview") == 0)
        r = pf_process_preview(worker, command, &err);
    else if (strcmp(cmd, "finish") == 0)
        r = pf_process_finish(worker, command, false, &err);
    else if (strcmp(cmd, "prepare") == 0)
        r = pf_process_finish(worker, command, true, &err);
    else if (strcmp(cmd, "view") == 0)
        r = do_view(worker, command, &err);
    else
        pf_process_close(pf_process_find(worker, command));
    end_if_device_is_lost(worker, r, &err);
    if (r < 0) {
        bool of_burst = json_is_string(json_object_get(command, "burst"));
        const struct open_burst *open = of_burst ? *pf_process_find(worker, command) : NULL;
        send_failed(worker, command, open ? pf_burst_device(open->burst) : NULL, r, &err);
    }
}

static void on_release(void *context, void *tag)
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
    else if (strcmp(cmd, "prepare") == 0)
        r = pf_pipeline_add_alone(worker->pipeline, command, &err);
    else
        r = pf_pipeline_add_command(worker->pipeline, command, &err);
    if (r < 0) {
        send_failed(worker, command, NULL, r, &err);
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
    for (;;) {
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

static int64_t address_bytes(void)
{
    int64_t pages = pf_machine_number("/proc/self/statm", NULL);
    return pages < 0 ? 0 : pages * sysconf(_SC_PAGESIZE);
}

/* reserved_bytes: of addresses, which a GPU's driver took and does not give back with its context. They
 * are no memory, and far more than any limit leaves. */
static int limit_memory(int64_t mebibytes, int64_t reserved_bytes, struct pf_error *err)
{
    struct rlimit limit;
    if (!mebibytes)
        return 0;
    if (reserved_bytes >= GPU_BYTES)
        pf_log_info("worker_memory: not counted are %lld MiB of addresses that a GPU's driver has "
                    "reserved",
                    (long long)reserved_bytes >> 20);
    getrlimit(RLIMIT_AS, &limit);
    rlim_t wanted = ((rlim_t)mebibytes << 20) + (rlim_t)reserved_bytes;
    if (limit.rlim_max != RLIM_INFINITY && wanted > limit.rlim_max)
        wanted = limit.rlim_max;
    limit.rlim_cur = limit.rlim_max = wanted; /* for good: nobody raises it again */
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
    pf_process_send("warming", NULL,
                    json_pack("{s:s, s:i, s:i}", "step", iteration->step, "iteration",
                              iteration->done, "of", iteration->of));
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
                                                      .meanwhile = on_meanwhile,
                                                      .decoded = on_decoded,
                                                      .frame = on_frame,
                                                      .uncoded = on_uncoded,
                                                      .command = on_command,
                                                      .release = on_release};
    struct pf_pipeline_calls calls = template;

    /* Every arena reserves address space, which the limit counts. */
    mallopt(M_ARENA_MAX, 2);
    pf_room_set(worker->settings.memory << 20, worker->settings.scratch);
    int r = pf_confine_files(&worker->confine, err);
    int64_t before_bytes = address_bytes();
    if (r == 0)
        r = pf_device_choose(&worker->device, (enum pf_device_kind)worker->settings.device,
                             (enum pf_fuse)worker->settings.fuse, on_device_step, worker, err);
    int64_t reserved_bytes = address_bytes() - before_bytes;
    if (r == 0 && worker->device.backend == &pf_backend_cpu)
        r = limit_memory(worker->settings.worker_memory, reserved_bytes > 0 ? reserved_bytes : 0,
                         err);
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
    pf_process_send("ready", NULL,
                    json_pack("{s:s, s:s, s:s, s:o, s:i, s:s}", "device",
                              worker->device.backend->name, "device_name", worker->device.name,
                              "decoder", worker->device.decoder, "reason",
                              pf_json_bytes(worker->device.reason), "threads",
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
        pf_process_close(&worker.bursts);
    pf_device_close(&worker.device);
    pf_views_free(worker.views);
    pf_pool_free(worker.pool);
    pf_settings_free(&worker.settings);
    return status;
}
