#include "service/mqtt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/log.h"
#include "config/base/text.h"
#include "service/mqtt_link.h"
#include "service/mqtt_topics.h"
#include "service/service.h"
#include "service/signature.h"
#include "service/timer.h"

#define PORT     1883
#define PORT_TLS 8883
#define COUNT_MS 500 /* numbers are told at most that often */

struct pf_mqtt {
    struct pf_service *service;
    struct pf_events_reader *reader;
    struct pf_mqtt_link *link;
    struct pf_mqtt_topics topics;
    struct event *count_timer;
    size_t sources; /* that have been announced */
    char *address;
};

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

static void set(const char *topic, const char *value, void *context)
{
    struct pf_mqtt *mqtt = context;
    if (pf_mqtt_link_set(mqtt->link, topic, value) < 0)
        pf_log_error("out of memory for MQTT: %s is not told", topic);
}

static void discover(struct pf_mqtt *mqtt)
{
    const char *discovery = mqtt->service->settings.mqtt_discovery;
    mqtt->sources = mqtt->service->source_count;
    if (strcmp(discovery, "off") != 0)
        pf_mqtt_topics_discover(&mqtt->topics, discovery, mqtt->sources);
}

/* Cameras come and go; how many folders there are is known at the start. */
static void forget_sources(struct pf_mqtt *mqtt)
{
    const struct pf_settings *settings = &mqtt->service->settings;
    for (size_t i = 0; i < settings->source.count; i++)
        if (!pf_settings_folder(settings->source.items[i]))
            return;
    pf_mqtt_topics_forget(&mqtt->topics,
                          strcmp(settings->mqtt_discovery, "off") != 0 ? settings->mqtt_discovery
                                                                       : NULL,
                          settings->source.count);
}

static void on_count(evutil_socket_t fd, short what, void *context)
{
    struct pf_mqtt *mqtt = context;
    int64_t bursts = 0, frames = 0;
    (void)fd, (void)what;
    if (mqtt->sources != mqtt->service->source_count) /* cameras come */
        discover(mqtt);
    for (struct pf_job *job = pf_scheduler_jobs(mqtt->service->scheduler); job; job = job->next) {
        bursts++;
        for (size_t i = 0; i < job->count; i++)
            frames += job->frames[i].step != PF_STEP_DONE;
    }
    pf_mqtt_topics_count(&mqtt->topics, bursts, frames);
}

static void on_event(const struct pf_event *event, void *context)
{
    struct pf_mqtt *mqtt = context;
    pf_mqtt_topics_observe(&mqtt->topics, event->type, event->data);
    if (!event_pending(mqtt->count_timer, EV_TIMEOUT, NULL))
        pf_timer_set(mqtt->count_timer, COUNT_MS);
}

static void on_link(const char *trouble, void *context)
{
    struct pf_mqtt *mqtt = context;
    if (trouble) {
        pf_log_warning("MQTT: %s: %s; it is tried again", mqtt->address, trouble);
        pf_trouble_on(mqtt->service->troubles, false, "mqtt", NULL, "MQTT: %s: %s", mqtt->address,
                      trouble);
    } else {
        pf_log_info("MQTT: connected to %s", mqtt->address);
        pf_trouble_off(mqtt->service->troubles, "mqtt");
    }
}

/* To the broker. */
struct way {
    struct pf_mqtt_options options; /* borrows from the others */
    char host[256], password[PF_SECRET_FILE_BYTES + 1];
    char *client, *alive;
};

static void end_way(struct way *way)
{
    explicit_bzero(way->password, sizeof(way->password));
    free(way->client);
    free(way->alive);
}

/* On failure, too, the way is to be ended. */
static int find_way(struct way *way, const struct pf_settings *settings,
                    const struct pf_mqtt_topics *topics, struct pf_error *err)
{
    int port, r = 0;
    *way = (struct way){0};
    if (pf_mqtt_address(settings->mqtt, settings->mqtt_tls ? PORT_TLS : PORT, way->host,
                        sizeof(way->host), &port) < 0)
        return pf_fail(err, EINVAL, "mqtt = %s: must be HOST or HOST:PORT", settings->mqtt);
    if (*settings->mqtt_password_file)
        r = pf_secret_text_of_file(settings->mqtt_password_file, way->password, err);
    if (r < 0)
        return r;
    way->client = pf_text("parfocal-%s", topics->name);
    way->alive = pf_text("%s/availability", topics->base);
    if (!way->client || !way->alive)
        return pf_fail(err, ENOMEM, "out of memory for MQTT");
    way->options = (struct pf_mqtt_options){
        .host = way->host,
        .port = port,
        .client = way->client,
        .user = or_null(settings->mqtt_user),
        .password = or_null(way->password),
        .tls = settings->mqtt_tls,
        .ca_file = or_null(settings->mqtt_ca_file),
        .alive = way->alive,
    };
    return 0;
}

static int name_topics(struct pf_mqtt_topics *topics, const struct pf_settings *settings,
                       void *context, struct pf_error *err)
{
    char name[256] = "";
    gethostname(name, sizeof(name) - 1);
    return pf_mqtt_topics_init(topics, settings->mqtt_prefix,
                               *settings->mqtt_name ? settings->mqtt_name : name, set, context,
                               err);
}

static int connect_link(struct pf_mqtt *mqtt, struct pf_error *err)
{
    struct way way;
    int r = find_way(&way, &mqtt->service->settings, &mqtt->topics, err);
    if (!r)
        r = pf_mqtt_link_new(&mqtt->link, mqtt->service->base, &way.options, on_link, mqtt, err);
    end_way(&way);
    return r;
}

int pf_mqtt_check(const struct pf_settings *settings, struct pf_error *err)
{
    struct pf_mqtt_topics topics;
    struct way way;
    if (!*settings->mqtt)
        return 0;
    int r = name_topics(&topics, settings, NULL, err);
    if (r < 0)
        return r;
    r = find_way(&way, settings, &topics, err);
    if (!r)
        r = pf_mqtt_link_check(&way.options, err);
    end_way(&way);
    pf_mqtt_topics_free(&topics);
    return r;
}

int pf_mqtt_new(struct pf_mqtt **ret, struct pf_service *service, struct pf_error *err)
{
    const struct pf_settings *settings = &service->settings;
    if (!*settings->mqtt)
        return 0;
    struct pf_mqtt *mqtt = calloc(1, sizeof(*mqtt));
    if (!mqtt)
        return pf_fail(err, ENOMEM, "out of memory for MQTT");
    mqtt->service = service;
    mqtt->address = strdup(settings->mqtt);
    mqtt->count_timer = evtimer_new(service->base, on_count, mqtt);
    int r = mqtt->address && mqtt->count_timer ? 0 : pf_fail(err, ENOMEM, "out of memory for MQTT");
    if (!r)
        r = name_topics(&mqtt->topics, settings, mqtt, err);
    if (!r)
        r = connect_link(mqtt, err);
    if (!r) {
        mqtt->reader = pf_events_read(service->events, on_event, mqtt);
        r = mqtt->reader ? 0 : pf_fail(err, ENOMEM, "out of memory for MQTT");
    }
    if (r < 0) {
        pf_mqtt_free(mqtt);
        return r;
    }
    json_t *troubles = pf_troubles_json(service->troubles);
    pf_mqtt_topics_begin(&mqtt->topics, troubles);
    json_decref(troubles);
    discover(mqtt);
    forget_sources(mqtt);
    *ret = mqtt;
    return 0;
}

struct pf_mqtt *pf_mqtt_free(struct pf_mqtt *mqtt)
{
    if (!mqtt)
        return NULL;
    pf_events_stop(mqtt->reader);
    pf_mqtt_link_free(mqtt->link);
    pf_mqtt_topics_free(&mqtt->topics);
    if (mqtt->count_timer)
        event_free(mqtt->count_timer);
    free(mqtt->address);
    free(mqtt);
    return NULL;
}
