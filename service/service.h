/* The service as a whole: what its pieces share.
 *
 * Included by the pieces of the service only; everything runs in the event loop's thread.
 *
 * Data flow, one way:
 *     source -> ledger (recorded) -> grouper -> ledger (joined, complete) -> job in the scheduler
 *     -> worker's results -> ledger -> outbox -> ledger (published)
 * Nothing is acted on before the ledger has it in the journal.
 *
 * intake.c      frames and bursts: from the record to the job
 * stacking.c    jobs: what the worker makes of them
 * waiting.c     frames whose files cannot be read
 * publishing.c  jobs: from the settled one to its published stack
 * asking.c      what is asked of a camera, through the control socket and the HTTP interface
 * driving.c     brackets under way
 * cameras.c     all cameras there are, each a source
 * restore.c     at start: the journal's bursts back into the grouper and the scheduler
 * serve.c       settings, children, signals
 */
#ifndef PF_SERVICE_H
#define PF_SERVICE_H

#include <event2/event.h>
#include <stdbool.h>

#include "config/settings.h"
#include "service/alarms.h"
#include "service/asking.h"
#include "service/cameras.h"
#include "service/control.h"
#include "service/driving.h"
#include "service/events.h"
#include "service/grouper.h"
#include "service/hooks.h"
#include "service/journal.h"
#include "service/ledger.h"
#include "service/metrics.h"
#include "service/mqtt.h"
#include "service/notify.h"
#include "service/outbox.h"
#include "service/pairs.h"
#include "service/scheduler.h"
#include "service/source.h"
#include "service/thumbnails.h"
#include "service/troubles.h"

/* For the log (config/base/log.h). */
#define PF_ABOUT_JOB(job) (&(struct pf_log_about){.burst = (job)->name})
#define PF_ABOUT_FRAME(job, of)                                                                    \
    (&(struct pf_log_about){.burst = (job)->name, .frame = (of)->record->id.text})
#define PF_ABOUT_RECORD(record)                                                                    \
    (&(struct pf_log_about){.frame = (record)->id.text, .source = (record)->source})

struct pf_service {
    struct event_base *base;
    struct pf_settings settings; /* outbox and state absolute */
    struct pf_events *events;
    struct pf_troubles *troubles;
    struct pf_journal *journal;
    struct pf_disks *disks;
    struct pf_ledger *ledger;
    struct pf_grouper *grouper;
    struct pf_scheduler *scheduler;
    struct pf_outbox *outbox;
    struct pf_thumbnails *thumbnails; /* NULL: there are none */
    struct pf_hooks *hooks;
    struct pf_alarms *alarms; /* NULL: nobody is to be told */
    struct pf_metrics *metrics;
    struct pf_events_reader *metrics_reader;
    struct pf_mqtt *mqtt;       /* NULL: no broker is configured */
    struct event *health_timer; /* looks at what nobody uses at the moment */
    struct pf_control *control;
    struct pf_notify *notify;   /* NULL: nobody wants to know */
    struct pf_cameras *cameras; /* NULL: all are named */
    struct pf_asking *asking;
    struct pf_driving *drivings; /* a list */
    struct pf_api *api;          /* service/http/api.h */
    struct pf_source **sources;
    size_t source_count;
    struct event *grouper_timer, *outbox_timer, *stop_timer;
    int64_t grouper_backoff_ms; /* it has no memory; 0: it works */
    struct event *signals[6];
    bool blocked;               /* the journal cannot be written */
    bool stopping, left_behind; /* a process that does not end */
    bool starts_elastix;        /* align was bspline when the worker was started */
    int64_t started_ms;         /* CLOCK_MONOTONIC */

    struct pf_record **held; /* fed to the grouper, in no burst yet */
    size_t held_count, held_capacity;

    struct pf_pairs *pairs;

    bool disk_told, file_told; /* that a burst waits for one */

    int outbox_errno;     /* of the trouble told last; 0: it works */
    bool outbox_by_check; /* it was no stack that found it */
    int64_t outbox_backoff_ms;
    int64_t outbox_asked_ms; /* since when its check has not been answered; 0: it has */
    bool outbox_silent;      /* that has been told */
    int aheads;              /* directories that were asked for ahead: each has its number */
};

/* intake.c */
extern const struct pf_source_handlers pf_intake_handlers; /* context: struct pf_service */
void pf_intake_committed(struct pf_service *service, struct pf_entry *entry);
/* Feeds a recorded frame to the grouper (the record is handed over). */
void pf_intake_feed(struct pf_service *service, struct pf_record *record);
/* Lets time pass in the grouper and sets its timer. */
void pf_intake_advance(struct pf_service *service);
/* The settings of the grouper. -EINVAL: `gap` is none. */
int pf_intake_grouper_settings(const struct pf_settings *settings, struct pf_grouper_settings *ret,
                               struct pf_error *err);
/* Someone says that the open bursts are finished. */
void pf_intake_finish(struct pf_service *service);
/* The same of this burst (0: all, with what waits for its partner); what has arrived must be in the journal. Returns
 * how many have ended. */
size_t pf_intake_finish_burst(struct pf_service *service, int64_t burst);

/* The frame goes by this file from now on, which is taken over. */
void pf_intake_go_by(struct pf_service *service, struct pf_job_frame *frame, char *file);

/* sources.c: those of one name, as all are that take any camera */
/* The one after `last` (NULL: the first); NULL: there are no more. */
struct pf_source *pf_sources_next(const struct pf_service *service, const char *name,
                                  const struct pf_source *last);
/* The most that any of them says, as a frame does not tell which of them it comes from. */
int64_t pf_sources_delay_ms(const struct pf_service *service, const char *name);
int64_t pf_sources_look_ms(const struct pf_service *service, const char *name);
/* The innermost ones above a path, whatever they are called: their folder is what it lies beneath. */
void pf_sources_scan(const struct pf_service *service, const char *path); /* NULL: all */
/* What to think of a file that is not there; of several files of one frame the last one holds. */
enum pf_absence {
    PF_ABSENCE_GONE,    /* a scan since then has found files beside it */
    PF_ABSENCE_UNKNOWN, /* it has found none at all, as of a missing mount; or no source is above it */
    PF_ABSENCE_OPEN,    /* there has been none yet */
    PF_ABSENCE_DISK,    /* something is not mounted there that was */
};
enum pf_absence pf_sources_absence(const struct pf_service *service, const char *path,
                                   int64_t since_ms);

/* pairing.c */
struct pf_pairs_settings pf_pairing_settings(const struct pf_settings *settings,
                                             const struct pf_grouper_settings *grouper);
/* A recorded frame on its way to the grouper, unless it waits for its partner or is a companion (the
 * record is handed over). */
void pf_pairing_feed(struct pf_service *service, struct pf_record *record);
/* Feeds what has waited long enough. */
void pf_pairing_advance(struct pf_service *service, int64_t now_ms);
/* Feeds what waits of this driven bracket (0: all that waits). */
void pf_pairing_release(struct pf_service *service, int64_t bracket);
/* Fills in `companion` of the job's frames. */
void pf_pairing_companions(struct pf_service *service, struct pf_job *job);

/* stacking.c */
extern const struct pf_scheduler_handlers pf_stacking_handlers; /* context: struct pf_service */
void pf_stacking_committed(struct pf_service *service, struct pf_entry *entry);
/* Says what of a burst is sharp in no frame, each once, and not while a frame is on its way that may
 * have it. */
void pf_stacking_tell_coverage(struct pf_service *service, struct pf_job *job);
/* Sets a frame aside whose content is in no file any more. */
void pf_stacking_replaced(struct pf_service *service, struct pf_job *job,
                          struct pf_job_frame *frame);
/* There is no result of the job. */
void pf_stacking_fail(struct pf_service *service, struct pf_job *job, const char *reason);
/* A burst has failed, now or in an earlier run: it is a trouble that can be retried. */
void pf_stacking_tell_failed(struct pf_service *service, const char *burst, const char *reason);
/* It is no trouble any more. */
void pf_stacking_forget_failed(struct pf_service *service, const char *burst);
/* Someone says that failed bursts are to be tried again. */
void pf_stacking_retry_failed(struct pf_service *service);

/* waiting.c */
/* For pf_stacking_handlers. */
bool pf_waiting_unreadable(struct pf_job *job, struct pf_job_frame *frame, int code,
                           const char *reason, void *context);
/* Whether bursts wait no longer for files, or for what they lie on; to be called now and then. */
void pf_waiting_check(struct pf_service *service);

/* publishing.c */
/* The job is settled and can be a stack: asks the outbox for a directory, unless its result is written ahead
 * in one. */
void pf_publishing_begin(struct pf_service *service, struct pf_job *job);
/* What was written ahead of a job that goes away is not kept. */
void pf_publishing_discard(struct pf_service *service, const struct pf_job *job);
/* For pf_stacking_handlers. */
void pf_publishing_idle(struct pf_job *job, void *context);
void pf_publishing_finished(struct pf_job *job, const json_t *event, void *context);
void pf_publishing_unwritten(struct pf_job *job, int code, const char *reason, void *context);
/* For pf_outbox_new(); context: struct pf_service. */
void pf_publishing_answer(const struct pf_outbox_answer *answer, void *context);
/* A stack is in the journal; its job may be gone (NULL). */
void pf_publishing_committed(struct pf_service *service, const struct pf_entry *entry,
                             struct pf_job *job);
/* Asks whether the outbox can be written, once it has answered the last time. To be called now and then. */
void pf_publishing_check(struct pf_service *service);
/* Asks the outbox whether job->find_version is there already; what could not be answered is asked
 * again when outbox_timer fires. */
void pf_publishing_find(struct pf_service *service, struct pf_job *job);
void pf_publishing_find_again(struct pf_service *service);

/* restore.c */
/* Everything that is not finished. Errors of the journal; the service cannot start then. */
int pf_restore(struct pf_service *service, struct pf_error *err);
/* A job with all frames of a burst, not yet in the scheduler. */
int pf_restore_job(struct pf_service *service, const struct pf_journal_burst *burst,
                   struct pf_job **ret, struct pf_error *err);

#endif
