/* What systemd is told of the service: that it is ready, how it is, that it goes on, that it stops.
 *
 * The protocol of sd_notify(3): datagrams of KEY=VALUE lines to the socket in $NOTIFY_SOCKET, for which
 * a library is more code than the protocol. Without that variable nothing happens. Service process,
 * event loop thread. `service` is borrowed and outlives it.
 *
 * READY=1     when the worker is ready and every source has said how it is, or has had its time to
 * STATUS=     a line for `systemctl status`, when it changes
 * EXTEND_TIMEOUT_USEC=  while it starts: a GPU warms up, or a large journal is read or brought up to date
 * WATCHDOG=1  twice in the time that $WATCHDOG_USEC allows, from the event loop, and only while the
 *             worker makes progress or has nothing to do: one that dies again and again, or that all
 *             restarts have not brought to work, is a reason to start the whole service anew
 * STOPPING=1
 */
#ifndef PF_NOTIFY_H
#define PF_NOTIFY_H

#include <event2/event.h>

#include "config/base/error.h"

struct pf_service;
struct pf_notify;

/* -ENOMEM. The variables are taken out of the environment: children are not to speak for us. */
int pf_notify_new(struct pf_notify **ret, struct pf_service *service, struct pf_error *err);
/* It speaks by itself from now on: there is a loop. -ENOMEM. */
int pf_notify_begin(struct pf_notify *notify, struct event_base *base, struct pf_error *err);
/* What is done at start from now on, to so many bytes: systemd is to wait for it. NULL-safe. */
void pf_notify_busy(struct pf_notify *notify, const char *doing, int64_t bytes);
void pf_notify_stopping(struct pf_notify *notify);
struct pf_notify *pf_notify_free(struct pf_notify *notify); /* NULL-safe, returns NULL */

#endif
