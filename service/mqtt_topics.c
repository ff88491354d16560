#include "service/mqtt_topics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "config/base/version.h"

#define SOURCES_FORGOTTEN 16

int pf_mqtt_topics_init(struct pf_mqtt_topics *topics, const char *prefix, const char *host,
                        void (*set)(const char *topic, const char *value, void *context),
                        void *context, struct pf_error *err)
{
    *topics = (struct pf_mqtt_topics){.set = set, .context = context};
    topics->name = strdup(*host ? host : "parfocal");
    for (char *c = topics->name; c && *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '_'))
            *c = '-';
    topics->troubles = json_object();
    if (topics->name)
        topics->base = pf_text("%s/%s", prefix, topics->name);
    if (topics->base && topics->troubles)
        return 0;
    pf_mqtt_topics_free(topics);
    return pf_fail(err, ENOMEM, "out of memory for MQTT");
}

void pf_mqtt_topics_free(struct pf_mqtt_topics *topics)
{
    free(topics->base);
    free(topics->name);
    json_decref(topics->troubles);
    *topics = (struct pf_mqtt_topics){0};
}

/* `value` is consumed. */
static void put(struct pf_mqtt_topics *topics, const char *topic, json_t *value)
{
    char *text = value ? pf_json_text(value, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text)
        topics->set(topic, text, topics->context);
    free(text);
    json_decref(value);
}

__attribute__((format(printf, 3, 4))) static void put_own(struct pf_mqtt_topics *topics,
                                                          json_t *value, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *own = pf_text_va(format, args);
    va_end(args);
    char *topic = own ? pf_text("%s/%s", topics->base, own) : NULL;
    if (topic)
        put(topics, topic, value);
    else
        json_decref(value);
    free(topic);
    free(own);
}

/* The fields of that names that are there. */
static json_t *pick(const json_t *from, const char *const *keys)
{
    json_t *object = json_object();
    for (; object && *keys; keys++)
        if (json_object_get(from, *keys))
            json_object_set(object, *keys, json_object_get(from, *keys));
    return object;
}

/* ---- what happens ---- */

static void put_counts(struct pf_mqtt_topics *topics)
{
    put_own(topics,
            json_pack("{s:I, s:I, s:I, s:I, s:I}", "frames", (json_int_t)topics->recorded,
                      "published", (json_int_t)topics->published, "failed",
                      (json_int_t)topics->failed, "queue_bursts", (json_int_t)topics->queue_bursts,
                      "queue_frames", (json_int_t)topics->queue_frames),
            "counts");
}

static void put_burst(struct pf_mqtt_topics *topics, const json_t *data)
{
    static const char *const of_summary[] = {"state",  "frames", "fused",     "aside", "complete",
                                             "detail", "camera", "opened_ms", NULL};
    static const char *const of_event[] = {"burst", "version", "directory", "lag_ms", NULL};
    json_t *value = pick(json_object_get(data, "summary"), of_summary);
    json_t *more = pick(data, of_event);
    if (value && more)
        json_object_update(value, more);
    json_decref(more);
    put_own(topics, value, "burst");
}

static void put_problem(struct pf_mqtt_topics *topics)
{
    json_t *texts = json_array(), *text;
    const char *id;
    json_object_foreach(topics->troubles, id, text)
    {
        json_array_append(texts, text);
    }
    put_own(topics,
            json_pack("{s:s, s:o}", "problem", json_array_size(texts) ? "ON" : "OFF", "troubles",
                      texts),
            "problem");
}

void pf_mqtt_topics_begin(struct pf_mqtt_topics *topics, const json_t *troubles)
{
    size_t i;
    const json_t *trouble;
    json_array_foreach(troubles, i, trouble)
    {
        json_object_set(topics->troubles, json_string_value(json_object_get(trouble, "id")),
                        json_object_get(trouble, "text"));
    }
    put_counts(topics);
    put_problem(topics);
}

static void observe_trouble(struct pf_mqtt_topics *topics, const json_t *data)
{
    const json_t *trouble = json_object_get(data, "trouble");
    const char *id = json_string_value(json_object_get(trouble, "id"));
    if (!id)
        return;
    if (json_is_true(json_object_get(data, "on")))
        json_object_set(topics->troubles, id, json_object_get(trouble, "text"));
    else
        json_object_del(topics->troubles, id);
    put_problem(topics);
}

void pf_mqtt_topics_observe(struct pf_mqtt_topics *topics, const char *type, const json_t *data)
{
    static const char *const of_worker[] = {"state", "device",  "device_name", "reason",
                                            "step",  "threads", NULL};
    static const char *const of_source[] = {"name",    "kind",  "state",  "mode", "reason",
                                            "pending", "model", "serial", NULL};
    if (!strcmp(type, "frame.recorded"))
        topics->recorded++;
    else if (!strcmp(type, "burst.published"))
        topics->published++;
    else if (!strcmp(type, "burst.failed"))
        topics->failed++;

    if (!strncmp(type, "burst.", 6) && json_object_get(data, "summary")) {
        put_burst(topics, data);
    } else if (!strcmp(type, "worker")) {
        put_own(topics, pick(json_object_get(data, "worker"), of_worker), "worker");
    } else if (!strcmp(type, "source")) {
        const json_t *source = json_object_get(data, "source");
        put_own(topics, pick(source, of_source), "source/%lld",
                (long long)json_integer_value(json_object_get(source, "source")));
    } else if (!strcmp(type, "trouble")) {
        observe_trouble(topics, data);
    }
}

void pf_mqtt_topics_count(struct pf_mqtt_topics *topics, int64_t bursts, int64_t frames)
{
    topics->queue_bursts = bursts;
    topics->queue_frames = frames;
    put_counts(topics);
}

/* ---- Home Assistant ---- */

struct sensor {
    const char *component, *id, *name, *topic, *value; /* value: a template */
    const char *more[6];                               /* further keys and values, in pairs */
};

static const struct sensor sensors[] = {
    {"sensor",
     "burst",
     "Last burst",
     "burst",
     "{{ value_json.burst }}",
     {"icon", "mdi:image-multiple"}},
    {"sensor", "burst_state", "Last burst's state", "burst", "{{ value_json.state }}", {0}},
    {"sensor",
     "frames",
     "Frames",
     "counts",
     "{{ value_json.frames }}",
     {"state_class", "total_increasing", "icon", "mdi:image"}},
    {"sensor",
     "published",
     "Stacks",
     "counts",
     "{{ value_json.published }}",
     {"state_class", "total_increasing", "icon", "mdi:layers-triple"}},
    {"sensor",
     "queue",
     "Bursts at work",
     "counts",
     "{{ value_json.queue_bursts }}",
     {"state_class", "measurement"}},
    {"sensor",
     "queue_frames",
     "Frames waiting",
     "counts",
     "{{ value_json.queue_frames }}",
     {"state_class", "measurement"}},
    {"sensor",
     "device",
     "Device",
     "worker",
     "{{ value_json.device_name or value_json.device or 'none' }}",
     {"icon", "mdi:chip", "entity_category", "diagnostic"}},
    {"sensor",
     "worker",
     "Worker",
     "worker",
     "{{ value_json.state }}",
     {"entity_category", "diagnostic"}},
    {"binary_sensor",
     "problem",
     "Problem",
     "problem",
     "{{ value_json.problem }}",
     {"device_class", "problem"}},
};

static char *config_topic(const struct pf_mqtt_topics *topics, const char *discovery,
                          const char *component, const char *id)
{
    return pf_text("%s/%s/parfocal_%s/%s/config", discovery, component, topics->name, id);
}

static void announce(struct pf_mqtt_topics *topics, const char *discovery,
                     const struct sensor *sensor)
{
    char *topic = config_topic(topics, discovery, sensor->component, sensor->id);
    char *state = pf_text("%s/%s", topics->base, sensor->topic);
    char *unique = pf_text("parfocal_%s_%s", topics->name, sensor->id);
    char *alive = pf_text("%s/availability", topics->base);
    char *device_name = pf_text("parfocal %s", topics->name);
    if (topic && state && unique && alive && device_name) {
        json_t *value = json_pack(
            "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:[s], s:s, s:s, s:s}, s:{s:s, s:s}}", "name",
            sensor->name, "unique_id", unique, "object_id", unique, "state_topic", state,
            "value_template", sensor->value, "json_attributes_topic", state, "availability_topic",
            alive, "device", "identifiers", unique, "name", device_name, "manufacturer", "parfocal",
            "sw_version", pf_version(), "origin", "name", "parfocal", "sw", pf_version());
        /* All of them are of one device. */
        unique[strlen(unique) - strlen(sensor->id) - 1] = '\0';
        json_t *device = json_object_get(value, "device");
        json_object_set_new(device, "identifiers", json_pack("[s]", unique));
        for (size_t i = 0; i + 1 < sizeof(sensor->more) / sizeof(*sensor->more); i += 2)
            if (sensor->more[i])
                json_object_set_new(value, sensor->more[i], json_string(sensor->more[i + 1]));
        put(topics, topic, value);
    }
    free(topic);
    free(state);
    free(unique);
    free(alive);
    free(device_name);
}

void pf_mqtt_topics_discover(struct pf_mqtt_topics *topics, const char *discovery, size_t sources)
{
    for (size_t i = 0; i < sizeof(sensors) / sizeof(*sensors); i++)
        announce(topics, discovery, &sensors[i]);
    for (size_t i = 0; i < sources; i++) {
        char id[32], name[32], topic[32];
        snprintf(id, sizeof(id), "source_%zu", i);
        snprintf(name, sizeof(name), "Source %zu", i + 1);
        snprintf(topic, sizeof(topic), "source/%zu", i);
        const struct sensor sensor = {
            "sensor", id, name, topic, "{{ value_json.state }}", {"entity_category", "diagnostic"}};
        announce(topics, discovery, &sensor);
    }
}

void pf_mqtt_topics_forget(struct pf_mqtt_topics *topics, const char *discovery, size_t from)
{
    for (size_t i = from; i < SOURCES_FORGOTTEN; i++) {
        char id[32];
        snprintf(id, sizeof(id), "source_%zu", i);
        char *state = pf_text("%s/source/%zu", topics->base, i);
        char *config = discovery ? config_topic(topics, discovery, "sensor", id) : NULL;
        if (state)
            topics->set(state, "", topics->context);
        if (config)
            topics->set(config, "", topics->context);
        free(state);
        free(config);
    }
}
