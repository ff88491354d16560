#include "service/hook_event.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "config/base/time.h"
#include "config/base/version.h"

static json_t *event_of(const char *type)
{
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    return json_pack("{s:s, s:I, s:s, s:o}", "event", type, "at_ms", (json_int_t)pf_wall_ms(),
                     "parfocal", pf_version(), "host", pf_json_bytes(host));
}

static void set(json_t *object, const char *key, json_t *value)
{
    if (value)
        json_object_set_new(object, key, value);
}

static void set_text(json_t *object, const char *key, const char *value)
{
    set(object, key, value ? pf_json_bytes(value) : NULL);
}

static json_t *time_of(const struct pf_record *record)
{
    char captured[PF_RECORD_CAPTURED_CHARS];
    return pf_record_captured(record, captured) ? json_string(captured) : NULL;
}

static void set_job(json_t *event, const struct pf_job *job, bool out)
{
    /* Of a result that is out: what is in it, if that is known. Frames that have come since are of the next
     * version. */
    size_t fused = out ? job->out_fused : pf_job_fused_count(job);
    size_t aside = out ? job->out_aside : job->count - fused;
    const struct pf_record **order = pf_job_order(job);
    set_text(event, "complete", job->complete);
    if (fused || !out) {
        set(event, "frames", json_integer((json_int_t)(fused + aside)));
        set(event, "fused", json_integer((json_int_t)fused));
        set(event, "aside", json_integer((json_int_t)aside));
    }
    if (job->files)
        json_object_set(event, "files", job->files);
    if (!order)
        return;
    json_t *camera = json_object();
    set_text(camera, "make", order[0]->make);
    set_text(camera, "model", order[0]->model);
    set_text(camera, "serial", order[0]->serial);
    set_text(camera, "lens", order[0]->lens);
    set(event, "camera", camera);
    set_text(event, "source", order[0]->source);
    set(event, "first", time_of(order[0]));
    set(event, "last", time_of(order[job->count - 1]));
    free(order);
}

json_t *pf_hook_event_published(const struct pf_job *job, const char *burst, int version,
                                const char *directory)
{
    json_t *event = event_of("burst.published");
    set_text(event, "burst", burst);
    set(event, "version", json_integer(version));
    set_text(event, "directory", directory);
    if (job)
        set_job(event, job, true);
    return event;
}

json_t *pf_hook_event_failed(const struct pf_job *job, int version, const char *reason)
{
    json_t *event = event_of("burst.failed");
    set_text(event, "burst", job->name);
    set(event, "version", json_integer(version));
    set_text(event, "reason", reason);
    set_job(event, job, false);
    return event;
}

static json_t *event_of_trouble(const char *type, const json_t *trouble)
{
    json_t *event = event_of(type);
    json_object_set(event, "trouble", json_object_get(trouble, "id"));
    json_object_set(event, "reason", json_object_get(trouble, "text"));
    json_object_set(event, "since_ms", json_object_get(trouble, "since_ms"));
    return event;
}

json_t *pf_hook_event_degraded(const json_t *trouble, int times)
{
    json_t *event = event_of_trouble("service.degraded", trouble);
    set(event, "times", json_integer(times));
    return event;
}

json_t *pf_hook_event_recovered(const json_t *trouble)
{
    return event_of_trouble("service.recovered", trouble);
}

json_t *pf_hook_event_stopping(void)
{
    return event_of("service.stopping");
}

/* ---- the environment of a program ---- */

static bool is_ours(const char *variable)
{
    static const char *const names[] = {
        "PARFOCAL_",   "NOTIFY_SOCKET=", "WATCHDOG_USEC=",  "WATCHDOG_PID=",
        "LISTEN_FDS=", "LISTEN_PID=",    "LISTEN_FDNAMES=", "JOURNAL_STREAM="};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strncmp(variable, names[i], strlen(names[i])))
            return true;
    return false;
}

/* "NAME=value" of a text or a number; NULL when there is none, or no memory. */
static char *variable_of(const char *name, const json_t *value)
{
    if (json_is_integer(value))
        return pf_text("%s=%lld", name, (long long)json_integer_value(value));
    char *text = pf_json_bytes_value(value);
    char *variable = text ? pf_text("%s=%s", name, text) : NULL;
    free(text);
    return variable;
}

char **pf_hook_environment(char *const *inherited, const json_t *event, int attempt)
{
    static const struct {
        const char *name, *key;
    } facts[] = {
        {"PARFOCAL_EVENT", "event"},         {"PARFOCAL_ID", "id"},
        {"PARFOCAL_BURST", "burst"},         {"PARFOCAL_VERSION", "version"},
        {"PARFOCAL_DIRECTORY", "directory"}, {"PARFOCAL_FRAMES", "frames"},
        {"PARFOCAL_FUSED", "fused"},         {"PARFOCAL_ASIDE", "aside"},
        {"PARFOCAL_COMPLETE", "complete"},   {"PARFOCAL_REASON", "reason"},
        {"PARFOCAL_SOURCE", "source"},       {"PARFOCAL_TROUBLE", "trouble"},
    };
    const size_t fact_count = sizeof(facts) / sizeof(facts[0]);
    size_t count = 0, used = 0;
    while (inherited[count])
        count++;
    char **environment = calloc(count + fact_count + 2, sizeof(*environment));
    if (!environment)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (!is_ours(inherited[i])) {
            environment[used] = strdup(inherited[i]);
            if (!environment[used++])
                return pf_hook_environment_free(environment);
        }
    for (size_t i = 0; i < fact_count; i++) {
        const json_t *value = json_object_get(event, facts[i].key);
        char *variable = value ? variable_of(facts[i].name, value) : NULL;
        if (variable)
            environment[used++] = variable;
        else if (value)
            return pf_hook_environment_free(environment);
    }
    environment[used] = pf_text("PARFOCAL_ATTEMPT=%d", attempt);
    return environment[used] ? environment : pf_hook_environment_free(environment);
}

char **pf_hook_environment_free(char **environment)
{
    for (char **variable = environment; variable && *variable; variable++)
        free(*variable);
    free(environment);
    return NULL;
}
