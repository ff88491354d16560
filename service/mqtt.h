/* The service as others see it by MQTT: its state on retained topics, for Home Assistant with discovery.
 *
 * Service process, event loop thread. It reads the events; what it says, and how it is connected, is in
 * service/mqtt_topics.h and mqtt_link.h. A broker that is away is a trouble of its own ("mqtt") that does not
 * degrade the service.
 */
#ifndef PF_MQTT_H
#define PF_MQTT_H

#include "config/base/error.h"

struct pf_mqtt;
struct pf_settings;
struct pf_service;

/* Whether these settings can be worked with: errors as below. Any process, before anything of MQTT is there. */
int pf_mqtt_check(const struct pf_settings *settings, struct pf_error *err);

/* NULL in *ret where no broker is configured. The service is borrowed; its events, troubles and base
 * are there. -EINVAL: an address or a file that is no good; -ENOMEM. */
int pf_mqtt_new(struct pf_mqtt **ret, struct pf_service *service, struct pf_error *err);
struct pf_mqtt *pf_mqtt_free(struct pf_mqtt *mqtt); /* NULL-safe, returns NULL */

#endif
