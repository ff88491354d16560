/* What happens, told to whoever wants to know: hooks, metrics, MQTT, and clients of the HTTP interface.
 *
 * Service process, event loop thread. An event has a type ("frame.scored", "burst.published", ...: all
 * of them, with what their data holds, are in service/http/openapi.json under `x-events`) and data, a
 * JSON object, to which `at_ms` (CLOCK_REALTIME) is added. Events are told in the order in which they
 * are published, and only of what the journal has already, where it is the journal's.
 *
 * The last ones are kept as text in a ring, so that a reader who was away gets what was missed: at most
 * PF_EVENTS_KEPT of them and PF_EVENTS_KEPT_BYTES together. The ring is there in full from the beginning:
 * what is kept takes no memory that was not taken at the start. Numbers begin with 1 in every run.
 */
#ifndef PF_EVENTS_H
#define PF_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

#define PF_EVENTS_KEPT       4096
#define PF_EVENTS_KEPT_BYTES (2u << 20) /* an event of a frame has about 1 KiB */

struct pf_event {
    uint64_t number;
    const char *type;
    const char *burst;  /* the data's "burst"; NULL: it has none */
    const json_t *data; /* NULL when it is told again: only the text is kept */
    const char *text;   /* the data on one line */
    size_t text_bytes;
};

struct pf_events;
struct pf_events_reader;

/* -ENOMEM. */
int pf_events_new(struct pf_events **ret, struct pf_error *err);
/* NULL-safe, returns NULL. Readers end with it. */
struct pf_events *pf_events_free(struct pf_events *events);

/* Tells every reader; `data` (an object) is consumed, also on failure. NULL events, or data of NULL (no
 * memory to make it): nothing happens. */
void pf_events_publish(struct pf_events *events, const char *type, json_t *data);

/* Calls `read` for every event from now on; what it is given is borrowed for the call. It may publish
 * (its own is told after the present one) and end readers, itself as well. NULL on out of memory. */
struct pf_events_reader *pf_events_read(struct pf_events *events,
                                        void (*read)(const struct pf_event *event, void *context),
                                        void *context);
struct pf_events_reader *pf_events_stop(struct pf_events_reader *reader); /* NULL-safe, NULL */

/* The number of the last event; 0: there was none. */
uint64_t pf_events_last(const struct pf_events *events);

/* Calls `read` for those that are kept with a number above `after`, oldest first, without their data, until
 * it returns false; it must not publish.
 * -ENOENT: some of them are no longer kept, or `after` is no number of this run: none is told. */
int pf_events_again(struct pf_events *events, uint64_t after,
                    bool (*read)(const struct pf_event *event, void *context), void *context);

#endif
