/* A connection to an MQTT broker that keeps the newest value of each topic there.
 *
 * Service process. The link has a thread of its own, in which names are looked up, connections made and
 * TLS spoken, whatever time that takes; its functions are for the event loop's thread and never wait.
 * A value replaces one that has not been sent yet, so that a broker that is slow or away costs no memory
 * beyond one value of each topic; all of them are sent again, retained, whenever a connection is made. It is
 * tried again 1 s after it broke, doubling up to 2 minutes.
 * Source: mosquitto.h (libmosquitto), MQTT 3.1.1.
 */
#ifndef PF_MQTT_LINK_H
#define PF_MQTT_LINK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/base/error.h"

struct pf_mqtt_options {
    const char *host;
    int port;
    const char *client; /* its id; another client with the same is thrown out by the broker */
    const char *user, *password; /* NULL: none */
    bool tls;
    const char *ca_file; /* NULL: the system's */
    const char *alive;   /* topic that is "online" while connected, "offline" else (last will) */
};

struct pf_mqtt_link;

/* told: called from the event loop when a connection has been made (NULL), or broke or could not be made
 * (why); not for every further failure for the same reason. All is copied. -ENOMEM, -EINVAL (libmosquitto
 * refuses an option), -EAGAIN (thread). */
int pf_mqtt_link_new(struct pf_mqtt_link **ret, struct event_base *base,
                     const struct pf_mqtt_options *options,
                     void (*told)(const char *trouble, void *context), void *context,
                     struct pf_error *err);
/* Whether it takes these options: errors as above. Any process, before there is a link. */
int pf_mqtt_link_check(const struct pf_mqtt_options *options, struct pf_error *err);
/* Says "offline" and disconnects; waits 2 s for that at the most, and leaves a thread that hangs behind.
 * NULL-safe, returns NULL. */
struct pf_mqtt_link *pf_mqtt_link_free(struct pf_mqtt_link *link);

/* The value of a topic from now on. -ENOMEM. */
int pf_mqtt_link_set(struct pf_mqtt_link *link, const char *topic, const char *value);

/* HOST, HOST:PORT, [ADDRESS]:PORT -> host (at most size - 1 bytes) and port. -EINVAL. Pure. */
int pf_mqtt_address(const char *text, int default_port, char *host, size_t size, int *ret_port);

#endif
