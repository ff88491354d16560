/* Server-Sent Events: what happens, to every client that listens.
 *
 * Service process, event loop thread. An event goes out as
 *     id: RUN-NUMBER
 *     event: TYPE
 *     data: {...}
 * RUN tells this run of the service from others. With Last-Event-ID (or `after`) what was missed comes
 * first, as long as it is kept (service/events.h); else a `reset` says that the state is to be fetched
 * anew. A client that does not read costs at most PF_STREAM_UNSENT bytes of ours and twice as many of the
 * kernel's; then it is told nothing more until it has read all of that. What it has missed comes from the ring
 * then, a portion at a time; where that is more than PF_STREAM_BEHIND it gets a `reset` instead.
 * Source: WHATWG HTML, section 9.2 (server-sent events).
 */
#ifndef PF_HTTP_STREAM_H
#define PF_HTTP_STREAM_H

#include "service/events.h"
#include "service/http/server.h"

#define PF_STREAM_UNSENT                                                                           \
    (64u << 10) /* bytes that wait for a client here; the kernel holds as many twice */
#define PF_STREAM_BEHIND                                                                           \
    (256u << 10) /* of text that a client has not been given: then it skips all of it */
#define PF_STREAMS_MAX 512

struct pf_streams;

/* events and base are borrowed. -ENOMEM. */
int pf_streams_new(struct pf_streams **ret, struct event_base *base, struct pf_events *events,
                   struct pf_error *err);
/* Closes all. To be called before pf_http_free(). NULL-safe, returns NULL. */
struct pf_streams *pf_streams_free(struct pf_streams *streams);

/* Serves a request for events: it is the stream's from now on. */
void pf_streams_add(struct pf_streams *streams, struct pf_http_request *request);

size_t pf_streams_count(const struct pf_streams *streams);
/* The id of the last event, as clients give it. */
const char *pf_streams_last_id(const struct pf_streams *streams, char to[64]);

#endif
