#include "process/worker_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "process/backend.h"
#include "process/command.h"

#define PROGRESS_MS 100 /* between two words on a long alignment */

struct open_burst **pf_process_find(struct worker *worker, const json_t *command)
{
    const char *name = json_string_value(json_object_get(command, "burst"));
    struct open_burst **at = &worker->bursts;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

void pf_process_close(struct open_burst **at)
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

int pf_process_require(struct worker *worker, const json_t *command, struct open_burst **ret,
                       struct pf_error *err)
{
    *ret = *pf_process_find(worker, command);
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
    pf_process_send("progress", worker->in_hand,
                    json_pack("{s:O, s:s, s:i, s:i, s:f, s:f}", "frame",
                              json_object_get(worker->in_hand, "frame"), "step", iteration->step,
                              "iteration", iteration->done, "of", iteration->of, "metric",
                              iteration->metric, "elapsed_ms", now_ms - worker->begin_ms));
}

int pf_process_open(struct worker *worker, const json_t *command, struct pf_error *err)
{
    static const char *const keys[] = {"align",          "equalise",  "motion",   "min_correlation",
                                       "align_timeout",  "judge",     "coverage", "fuse",
                                       "focus_order",    "resample",  "clip",     "depth_map",
                                       "confidence_map", "frame_map", NULL};
    const char *name = json_string_value(json_object_get(command, "burst"));
    struct open_burst **at = pf_process_find(worker, command);
    struct pf_settings settings;
    if (*at)
        return pf_fail(err, EEXIST, "burst %s is open already", name);
    if (!worker->bursts)
        pf_confine_forget(&worker->confine);
    int r = pf_command_settings(&worker->settings, command, keys, &settings, err);
    if (r < 0)
        return r;
    struct pf_stack_settings stack = pf_stack_settings_of(&settings);
    const char *device = json_string_value(json_object_get(command, "device"));
    bool without_gpu = device && strcmp(device, pf_backend_cpu.name) == 0;
    stack.backend = without_gpu ? &pf_backend_cpu : worker->device.backend;
    stack.kept = without_gpu ? NULL : worker->device.kept;
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

int pf_process_preview(struct worker *worker, const json_t *command, struct pf_error *err)
{
    struct open_burst *open = NULL;
    int width = 0, height = 0;
    json_int_t max_width = json_integer_value(json_object_get(command, "max_width"));
    char *path = NULL;
    if (max_width < 1 || max_width > 65500)
        max_width = 1600;
    int r = pf_process_require(worker, command, &open, err);
    if (r == 0)
        r = pf_command_path(command, "path", &path, err);
    if (r == 0)
        r = pf_burst_preview(open->burst, (int)max_width, path, &width, &height, err);
    free(path);
    if (r == 0)
        pf_process_send("preview", command,
                        json_pack("{s:O, s:i, s:i}", "path", json_object_get(command, "path"),
                                  "width", width, "height", height));
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
int pf_process_finish(struct worker *worker, const json_t *command, bool ahead,
                      struct pf_error *err)
{
    static const char *const keys[] = {"format",         "jpeg_quality", "depth_map",
                                       "confidence_map", "frame_map",    NULL};
    struct open_burst *open = NULL;
    struct pf_settings settings;
    int r = pf_process_require(worker, command, &open, err);
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
        pf_process_end_if_confined(dir);
    if (json_is_string(json_object_get(event, "note")))
        pf_log_warning("burst %s: %s", json_string_value(json_object_get(command, "burst")),
                       json_string_value(json_object_get(event, "note")));
    if (r == 0)
        pf_process_send(ahead ? "prepared" : "finished", command, json_incref(event));
    json_decref(event);
    free(dir);
    pf_settings_free(&settings);
    return r;
}
