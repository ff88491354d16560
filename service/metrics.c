#include "service/metrics.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/version.h"

/* ---- sets of labels ---- */

/* The last word stands for all others. */
static const char *const causes[] = {"unlike", "blank", "soft",      "unreadable",
                                     "failed", "lost",  "discarded", "other"};
static const char *const outcomes[] = {"published", "failed", "not_a_stack"};
static const char *const stages[] = {"decode", "align", "fuse", "finish", "publish"};
static const char *const stage_keys[] = {"decode_ms", "align_ms", "fuse_ms", "finish_ms",
                                         "publish_ms"};
static const char *const hooks[] = {"on_burst", "on_failure", "on_stop"};
static const char *const results[] = {"done", "due", "given_up"};
static const char *const result_labels[] = {"done", "failed", "given_up"};
static const char *const source_states[] = {"starting", "ok", "degraded", "missing", "ended"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static size_t index_of(const char *const *words, size_t count, const char *word, size_t otherwise)
{
    for (size_t i = 0; word && i < count; i++)
        if (!strcmp(words[i], word))
            return i;
    return otherwise;
}

/* ---- histograms ---- */

/* From a JPEG of the web on a GPU to 300 megapixels by elastix. */
static const double bounds_s[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                  0.5,   1,      2.5,   5,    10,    30,   60,  300};

struct histogram {
    uint64_t counts[COUNT(bounds_s) + 1]; /* each its own; the last: beyond all bounds */
    double sum_s;
};

static void add(struct histogram *histogram, double seconds)
{
    size_t i = 0;
    while (i < COUNT(bounds_s) && seconds > bounds_s[i])
        i++;
    histogram->counts[i]++;
    histogram->sum_s += seconds;
}

struct pf_metrics {
    uint64_t recorded, rejected, fused, aside[COUNT(causes)];
    uint64_t opened, bursts[COUNT(outcomes)], late, skipped;
    uint64_t worker_ends, hook_results[COUNT(hooks)][COUNT(results)];
    struct histogram stage[COUNT(stages)], lag;
};

int pf_metrics_new(struct pf_metrics **ret, struct pf_error *err)
{
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for metrics");
}

struct pf_metrics *pf_metrics_free(struct pf_metrics *metrics)
{
    free(metrics);
    return NULL;
}

/* ---- events ---- */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void add_stages(struct pf_metrics *metrics, const json_t *object)
{
    for (size_t i = 0; i < COUNT(stages); i++) {
        const json_t *ms = json_object_get(object, stage_keys[i]);
        if (json_is_number(ms) && json_number_value(ms) >= 0)
            add(&metrics->stage[i], json_number_value(ms) / 1e3);
    }
}

static void observe_frame(struct pf_metrics *metrics, const char *what, const json_t *data)
{
    const json_t *frame = json_object_get(data, "frame");
    if (!strcmp(what, "recorded")) {
        metrics->recorded++;
    } else if (!strcmp(what, "rejected")) {
        metrics->rejected++;
    } else if (!strcmp(what, "joined")) {
        metrics->late += json_is_true(json_object_get(data, "late"));
    } else if (!strcmp(what, "scored")) {
        metrics->fused++;
        add_stages(metrics, frame);
    } else if (!strcmp(what, "aside")) {
        size_t other = COUNT(causes) - 1;
        const char *cause = json_is_true(json_object_get(frame, "discarded"))
                                ? "discarded"
                                : text_of(frame, "cause");
        metrics->aside[index_of(causes, other, cause, other)]++;
        add_stages(metrics, frame);
    }
}

static void observe_burst(struct pf_metrics *metrics, const char *what, const json_t *data)
{
    size_t outcome = index_of(outcomes, COUNT(outcomes), what, COUNT(outcomes));
    metrics->opened += !strcmp(what, "opened");
    metrics->skipped += !strcmp(what, "skipped");
    if (outcome == COUNT(outcomes))
        return;
    metrics->bursts[outcome]++;
    add_stages(metrics, data);
    const json_t *lag = json_object_get(data, "lag_ms");
    if (json_is_number(lag) && json_number_value(lag) >= 0)
        add(&metrics->lag, json_number_value(lag) / 1e3);
}

/* A try has ended when the journal has its result. */
static void observe_delivery(struct pf_metrics *metrics, const json_t *delivery)
{
    size_t hook = index_of(hooks, COUNT(hooks), text_of(delivery, "hook"), COUNT(hooks));
    size_t result = index_of(results, COUNT(results), text_of(delivery, "state"), COUNT(results));
    if (hook < COUNT(hooks) && result < COUNT(results))
        metrics->hook_results[hook][result]++;
}

void pf_metrics_observe(struct pf_metrics *metrics, const char *type, const json_t *data)
{
    const char *dot = strchr(type, '.');
    if (!strncmp(type, "frame.", 6))
        observe_frame(metrics, dot + 1, data);
    else if (!strncmp(type, "burst.", 6))
        observe_burst(metrics, dot + 1, data);
    else if (!strcmp(type, "delivery"))
        observe_delivery(metrics, json_object_get(data, "delivery"));
    else if (!strcmp(type, "worker") &&
             index_of((const char *const[]){"ended"}, 1,
                      text_of(json_object_get(data, "worker"), "state"), 1) == 0)
        metrics->worker_ends++;
}

/* ---- text ---- */

static void head(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP parfocal_%s %s\n# TYPE parfocal_%s %s\n", name, help, name, type);
}

static void put_label(FILE *to, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            fputc('\\', to);
        if (*value == '\n')
            fputs("\\n", to);
        else
            fputc(*value, to);
    }
}

/* One sample; what follows the value are pairs of a label's name and value, ended by NULL. */
#define sample(to, name, value, ...) put_sample(to, name, value, (const char *const[]){__VA_ARGS__})
static void put_sample(FILE *to, const char *name, double value, const char *const *labels)
{
    const char *separator = "{";
    fprintf(to, "parfocal_%s", name);
    for (; labels[0]; labels += 2) {
        fprintf(to, "%s%s=\"", separator, labels[0]);
        put_label(to, labels[1] ? labels[1] : "");
        fputc('"', to);
        separator = ",";
    }
    fprintf(to, "%s %.17g\n", *separator == ',' ? "}" : "", value);
}

static void single(FILE *to, const char *name, const char *type, const char *help, double value)
{
    head(to, name, type, help);
    sample(to, name, value, NULL);
}

/* Buckets count all that is not above their bound. label: of all samples, NULL none. */
static void put_histogram(FILE *to, const char *name, const char *label, const char *value,
                          const struct histogram *histogram)
{
    char full[64], bound[32];
    uint64_t sum = 0;
    snprintf(full, sizeof(full), "%s_bucket", name);
    for (size_t i = 0; i <= COUNT(bounds_s); i++) {
        sum += histogram->counts[i];
        snprintf(bound, sizeof(bound), "%g", i < COUNT(bounds_s) ? bounds_s[i] : 0);
        const char *le = i < COUNT(bounds_s) ? bound : "+Inf";
        if (label)
            sample(to, full, (double)sum, label, value, "le", le, NULL);
        else
            sample(to, full, (double)sum, "le", le, NULL);
    }
    snprintf(full, sizeof(full), "%s_sum", name);
    sample(to, full, histogram->sum_s, label, value, NULL);
    snprintf(full, sizeof(full), "%s_count", name);
    sample(to, full, (double)sum, label, value, NULL);
}

static void put_counters(FILE *to, const struct pf_metrics *metrics)
{
    single(to, "frames_recorded_total", "counter", "Frames that the journal has taken.",
           (double)metrics->recorded);
    single(to, "frames_rejected_total", "counter", "Image files that cannot be frames.",
           (double)metrics->rejected);
    single(to, "frames_late_total", "counter", "Frames that came after their burst was complete.",
           (double)metrics->late);
    single(to, "frames_fused_total", "counter", "Verdicts on frames: fused. A replay counts again.",
           (double)metrics->fused);
    head(to, "frames_aside_total", "counter", "Verdicts on frames: set aside, by cause.");
    for (size_t i = 0; i < COUNT(causes); i++)
        sample(to, "frames_aside_total", (double)metrics->aside[i], "cause", causes[i], NULL);
    single(to, "bursts_opened_total", "counter", "Bursts that have begun.",
           (double)metrics->opened);
    head(to, "bursts_total", "counter", "Bursts that have ended, by outcome; versions count each.");
    for (size_t i = 0; i < COUNT(outcomes); i++)
        sample(to, "bursts_total", (double)metrics->bursts[i], "outcome", outcomes[i], NULL);
    single(to, "skipped_planes_total", "counter", "Focal planes that were skipped between frames.",
           (double)metrics->skipped);
    single(to, "worker_ends_total", "counter", "Times that the worker has ended unasked.",
           (double)metrics->worker_ends);
    head(to, "hook_tries_total", "counter", "Tries of hooks, by result.");
    for (size_t i = 0; i < COUNT(hooks); i++)
        for (size_t j = 0; j < COUNT(results); j++)
            sample(to, "hook_tries_total", (double)metrics->hook_results[i][j], "hook", hooks[i],
                   "result", result_labels[j], NULL);
    head(to, "stage_seconds", "histogram",
         "Time of the stages: of frames decode, align, fuse; of stacks finish, publish.");
    for (size_t i = 0; i < COUNT(stages); i++)
        put_histogram(to, "stage_seconds", "stage", stages[i], &metrics->stage[i]);
    head(to, "lag_seconds", "histogram",
         "From the arrival of the last frame of a burst to its stack being out.");
    put_histogram(to, "lag_seconds", NULL, NULL, &metrics->lag);
}

/* ---- gauges ---- */

static void gauge(FILE *to, const json_t *object, const char *key, double scale, const char *name,
                  const char *help)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_number(value))
        single(to, name, "gauge", help, json_number_value(value) * scale);
}

static void put_queue(FILE *to, const json_t *queue)
{
    static const char *const keys[] = {"frames_waiting", "frames_in_hand", "held"};
    static const char *const labels[] = {"waiting", "in_hand", "held"};
    gauge(to, queue, "bursts", 1, "queue_bursts", "Bursts that are open or being stacked.");
    gauge(to, queue, "journal", 1, "queue_journal_entries",
          "Entries that wait to be written into the journal.");
    if (!queue)
        return;
    head(to, "queue_frames", "gauge",
         "Frames that wait for the worker, are in it, or are in no burst yet.");
    for (size_t i = 0; i < COUNT(keys); i++)
        if (json_is_number(json_object_get(queue, keys[i])))
            sample(to, "queue_frames", json_number_value(json_object_get(queue, keys[i])), "state",
                   labels[i], NULL);
}

static void put_space(FILE *to, const json_t *space, const char *key, const char *name,
                      const char *help)
{
    size_t i;
    const json_t *one;
    if (!json_array_size(space))
        return;
    head(to, name, "gauge", help);
    json_array_foreach(space, i, one) if (json_is_number(json_object_get(one, key))) sample(
        to, name, json_number_value(json_object_get(one, key)), "what", text_of(one, "what"), NULL);
}

static void put_worker(FILE *to, const json_t *worker)
{
    const char *state = text_of(worker, "state"), *device = text_of(worker, "device");
    if (!state)
        return;
    single(to, "worker_up", "gauge", "1 while the worker is ready for work.",
           !strcmp(state, "ready"));
    head(to, "worker_info", "gauge", "What computes.");
    sample(to, "worker_info", 1, "device", device, "device_name", text_of(worker, "device_name"),
           NULL);
    gauge(to, worker, "threads", 1, "worker_threads", "Threads of the worker.");
    gauge(to, worker, "losses", 1, "gpu_losses",
          "Times that the GPU has failed since a stack was finished on it.");
}

static void put_sources(FILE *to, const json_t *sources)
{
    size_t i;
    const json_t *source;
    if (!json_array_size(sources))
        return;
    head(to, "source_state", "gauge", "1 for the state that a source is in, 0 for the others.");
    json_array_foreach(sources, i, source)
    {
        const char *state = text_of(source, "state");
        for (size_t j = 0; j < COUNT(source_states); j++)
            sample(to, "source_state", state && !strcmp(state, source_states[j]), "source",
                   text_of(source, "name"), "state", source_states[j], NULL);
    }
}

static void put_gauges(FILE *to, const json_t *status)
{
    const char *health = text_of(status, "health");
    if (health)
        single(to, "healthy", "gauge", "1 when /healthz says so.", !strcmp(health, "ok"));
    const json_t *troubles = json_object_get(status, "troubles");
    if (json_is_array(troubles))
        single(to, "troubles", "gauge", "Things that are wrong now.",
               (double)json_array_size(troubles));
    gauge(to, status, "started_ms", 1e-3, "start_time_seconds",
          "When the service started, since 1970.");
    put_queue(to, json_object_get(status, "queue"));
    const json_t *space = json_object_get(status, "space");
    put_space(to, space, "free_bytes", "space_free_bytes", "Room that is left for the service.");
    put_space(to, space, "total_bytes", "space_total_bytes", "Size of the file system.");
    put_worker(to, json_object_get(status, "worker"));
    put_sources(to, json_object_get(status, "sources"));
}

char *pf_metrics_text(const struct pf_metrics *metrics, const json_t *status, size_t *ret_bytes)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, ret_bytes);
    if (!to)
        return NULL;
    head(to, "build_info", "gauge", "The version of the program.");
    sample(to, "build_info", 1, "version", pf_version(), NULL);
    put_gauges(to, status);
    put_counters(to, metrics);
    bool failed = ferror(to);
    if (fclose(to) == EOF || failed) {
        free(text);
        return NULL;
    }
    return text;
}
