/* What the service has done and how it is, as text for Prometheus (text format 0.0.4).
 *
 * Pure and without I/O; service process, event loop thread. Counters and histograms are fed with the
 * events of service/events.h and begin with 0 in every run; gauges are those of a Status object as
 * service/http/openapi.json has it, at the moment of asking. Names of labels and their values are of
 * fixed sets, sources excepted, which are configured: a stranger's input makes no series.
 * Source: prometheus.io/docs/instrumenting/exposition_formats/, .../practices/naming/.
 */
#ifndef PF_METRICS_H
#define PF_METRICS_H

#include <jansson.h>
#include <stddef.h>

#include "config/base/error.h"

#define PF_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct pf_metrics;

/* -ENOMEM. */
int pf_metrics_new(struct pf_metrics **ret, struct pf_error *err);
struct pf_metrics *pf_metrics_free(struct pf_metrics *metrics); /* NULL-safe, returns NULL */

/* An event and its data (borrowed). Others than it knows are no matter. */
void pf_metrics_observe(struct pf_metrics *metrics, const char *type, const json_t *data);

/* All of it, on the heap; NULL on out of memory. status: NULL or a field missing: what it says is left
 * out. */
char *pf_metrics_text(const struct pf_metrics *metrics, const json_t *status, size_t *ret_bytes);

#endif
