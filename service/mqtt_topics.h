/* What the service says by MQTT: topics and their values, and how Home Assistant finds them.
 *
 * Pure; service process, event loop thread. Every value is a retained JSON object under
 * PREFIX/NAME/: `worker`, `burst` (the one that has changed last), `counts`, `problem`, `source/N`;
 * PREFIX/NAME/availability is "online" or "offline". The fields are in service/PROTOCOL.md.
 * Source: home-assistant.io/integrations/mqtt (discovery), mqtt 3.1.1.
 */
#ifndef PF_MQTT_TOPICS_H
#define PF_MQTT_TOPICS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

struct pf_mqtt_topics {
    char *base;                          /* PREFIX/NAME */
    char *name;                          /* of this machine, letters, digits, '_', '-' */
    int64_t recorded, published, failed; /* in this run */
    int64_t queue_bursts, queue_frames;  /* at work, as the owner says */
    json_t *troubles;                    /* object: id -> text */
    void (*set)(const char *topic, const char *value, void *context);
    void *context;
};

/* prefix: without a '/' at its end. host: the machine's name, whose other characters become '-'. -ENOMEM. */
int pf_mqtt_topics_init(struct pf_mqtt_topics *topics, const char *prefix, const char *host,
                        void (*set)(const char *topic, const char *value, void *context),
                        void *context, struct pf_error *err);
void pf_mqtt_topics_free(struct pf_mqtt_topics *topics);

/* Sets what there is before anything has happened: `counts`, and `problem` with what is wrong already (array of
 * Trouble). */
void pf_mqtt_topics_begin(struct pf_mqtt_topics *topics, const json_t *troubles);
/* Sets the topics that an event of service/events.h changes. */
void pf_mqtt_topics_observe(struct pf_mqtt_topics *topics, const char *type, const json_t *data);
/* Sets `counts`. */
void pf_mqtt_topics_count(struct pf_mqtt_topics *topics, int64_t bursts, int64_t frames);

/* Sets what Home Assistant looks for under `discovery`/: one device with its sensors. sources: how many
 * there are. */
void pf_mqtt_topics_discover(struct pf_mqtt_topics *topics, const char *discovery, size_t sources);
/* Empties what the broker may still keep of sources from this number on, which an earlier configuration had: up to 16
 * sources. discovery: NULL, it is not told. */
void pf_mqtt_topics_forget(struct pf_mqtt_topics *topics, const char *discovery, size_t from);

#endif
