/* What is wrong now: a line of text for each thing, under an id of its own, until it is well again.
 *
 * Service process, event loop thread. Beginnings, changes and ends are published as `trouble` events;
 * the log has them already where they were found. A trouble that degrades the service makes it
 * unhealthy (/healthz); one that does not (a burst that failed) is for a person to look at.
 */
#ifndef PF_TROUBLES_H
#define PF_TROUBLES_H

#include <jansson.h>
#include <stdbool.h>

#include "service/events.h"

struct pf_troubles;

/* events is borrowed. -ENOMEM. */
int pf_troubles_new(struct pf_troubles **ret, struct pf_events *events, struct pf_error *err);
struct pf_troubles *pf_troubles_free(struct pf_troubles *troubles); /* NULL-safe, returns NULL */

/* Paths to POST to, NULL none; borrowed. */
struct pf_trouble_ways {
    const char *retry;   /* for another try */
    const char *dismiss; /* a person knows of it: it is no trouble any more */
};

/* ways: NULL: it is tried again by itself. NULL troubles and lack of memory: nothing happens. */
void pf_trouble_on(struct pf_troubles *troubles, bool degrades, const char *id,
                   const struct pf_trouble_ways *ways, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void pf_trouble_off(struct pf_troubles *troubles, const char *id);

bool pf_troubles_degrade(const struct pf_troubles *troubles);
/* New array, oldest first. */
json_t *pf_troubles_json(const struct pf_troubles *troubles);

#endif
