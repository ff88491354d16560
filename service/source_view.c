/* What is to be known of a source: how it is, and how long it may take to tell of a frame. */
#include <stdio.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/time.h"
#include "service/source_internal.h"

const char *pf_source_name(const struct pf_source *source)
{
    return source->name;
}

const char *pf_source_root(const struct pf_source *source)
{
    return source->root;
}

bool pf_source_is_camera(const struct pf_source *source)
{
    return source->is_camera;
}

int64_t pf_source_asked(const struct pf_source *source)
{
    return source->asked;
}

const char *pf_source_trouble(const struct pf_source *source)
{
    const char *state = json_string_value(json_object_get(source->status, "state"));
    const char *reason = json_string_value(json_object_get(source->status, "reason"));
    if (source->ended)
        return source->ended;
    if (source->silent[0])
        return source->silent;
    if (!state || !strcmp(state, "ok"))
        return NULL;
    return reason && *reason ? reason : state;
}

json_t *pf_source_json(const struct pf_source *source)
{
    static const char *const keys[] = {"mode",  "reason", "watches", "pending",
                                       "model", "serial", "port"};
    const json_t *state = json_object_get(source->status, "state");
    json_t *object = json_object();
    json_object_set_new(object, "name", pf_json_bytes(source->name));
    json_object_set_new(object, "kind", json_string(source->is_camera ? "camera" : "folder"));
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        json_t *value = json_object_get(source->status, keys[i]);
        const char *text = json_string_value(value);
        json_object_set(object, keys[i], value && !(text && !*text) ? value : json_null());
    }
    if (source->ended) {
        json_object_set_new(object, "state", json_string("ended"));
        json_object_set_new(object, "reason", pf_json_bytes(source->ended));
    } else if (source->silent[0]) {
        json_object_set_new(object, "state", json_string("degraded"));
        json_object_set_new(object, "reason", json_string(source->silent));
    } else {
        json_object_set_new(object, "state",
                            state ? json_deep_copy(state) : json_string("starting"));
    }
    json_object_set_new(object, "scanned_ms",
                        source->scanned_ms
                            ? json_integer(source->scanned_ms + pf_wall_ms() - pf_monotonic_ms())
                            : json_null());
    json_object_set_new(object, "files",
                        source->scanned ? json_integer(source->scanned_files) : json_null());
    json_object_set_new(object, "ask", source->doing ? json_deep_copy(source->doing) : json_null());
    return object;
}

static const char *of_status(const struct pf_source *source, const char *key)
{
    const char *text = json_string_value(json_object_get(source->status, key));
    return text && *text ? text : NULL;
}

bool pf_source_is(const struct pf_source *source, const char *called)
{
    const char *serial = of_status(source, "serial"), *port = of_status(source, "port");
    const char *which = pf_settings_camera(called);
    if (!strcmp(called, source->name))
        return true;
    which = which ? which : called;
    return source->is_camera && *which &&
           ((serial && !strcmp(which, serial)) || (port && !strcmp(which, port)));
}

bool pf_source_has_camera(const struct pf_source *source)
{
    const char *state = of_status(source, "state");
    return source->is_camera && !source->ended && state && strcmp(state, "missing") != 0 &&
           of_status(source, "port");
}

const char *pf_source_called(const struct pf_source *source, char *ret, size_t size)
{
    const char *serial = of_status(source, "serial"), *port = of_status(source, "port");
    const char *which = serial ? serial : port;
    if (source->is_camera && which && !*pf_settings_camera(source->name))
        snprintf(ret, size, "camera:%s", which);
    else
        snprintf(ret, size, "%s", source->name);
    return ret;
}

bool pf_source_has_files(const struct pf_source *source, int64_t since_ms)
{
    return source->present && source->scanned_files > 0 && source->scanned_ms >= since_ms;
}

static bool is_growing(const struct pf_source *source)
{
    return event_pending(source->growing, EV_TIMEOUT, NULL);
}

bool pf_source_is_pending(const struct pf_source *source)
{
    bool fetches = source->is_camera && source->pending;
    return is_growing(source) || (source->present && (fetches || !source->scanned));
}

int64_t pf_source_delay_ms(const struct pf_source *source)
{
    /* What it is at may be a frame, which it makes durable: on a slow disk that takes its time. */
    bool is_at_one = !source->is_camera && source->blame.reading && !source->silent[0];
    int64_t look_ms = pf_source_look_ms(source);
    if (is_growing(source) || (source->syncs && !source->silent[0]))
        return GROWING_DELAY_MS;
    return is_at_one && look_ms < SCAN_DELAY_MS ? SCAN_DELAY_MS : look_ms;
}

int64_t pf_source_look_ms(const struct pf_source *source)
{
    if (pf_source_is_pending(source))
        return SCAN_DELAY_MS;
    return source->present && source->polling ? source->look_ms : 0;
}

bool pf_source_has_to_look(const struct pf_source *source, int64_t since_ms)
{
    /* What has not said anything yet is at its first look, which takes as long as there are files. */
    return (source->present || !source->status) && source->scanned_ms < since_ms;
}

bool pf_source_stopped(const struct pf_source *source)
{
    return !pf_child_running(source->child);
}
