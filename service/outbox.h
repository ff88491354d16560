/* The outbox: where results appear, whole or not at all.
 *
 * OUTBOX/NAME/ is version 1 of a burst, OUTBOX/NAME-v2/ the next one. A result is written into
 * OUTBOX/.NAME.TAG.partial/ (by the worker, every file fsynced), then the directory is synced, renamed
 * and the outbox synced: at any moment the directory under its own name is complete and durable.
 * Where a stranger has the name, NAME+1, NAME+2, ... is taken.
 *
 * Service process. The outbox may lie on a mount that blocks for minutes, so a thread of its own
 * touches it; everything here is called from the event loop's thread, and answers come to the
 * handler in that thread, one for every request and in their order. Arguments are borrowed.
 */
#ifndef PF_OUTBOX_H
#define PF_OUTBOX_H

#include <event2/event.h>
#include <jansson.h>
#include <stdint.h>

#include "config/base/error.h"

enum pf_outbox_request {
    PF_OUTBOX_CHECK,   /* can anything be written there? (no burst) */
    PF_OUTBOX_FIND,    /* is this version there already? -ENOENT when it is not */
    PF_OUTBOX_PREPARE, /* makes an empty partial directory; what a broken attempt left is removed */
    PF_OUTBOX_PREPARE_AHEAD, /* the same before the burst is complete; version: any number */
    PF_OUTBOX_PUBLISH,       /* partial directory -> final name */
    PF_OUTBOX_DISCARD,       /* removes the partial directory */
};

struct pf_outbox_answer {
    enum pf_outbox_request request;
    int64_t burst;
    int version; /* as asked */
    int r;       /* 0 or -errno */
    const char *
        path; /* the final directory, or the partial one (PREPARE, PREPARE_AHEAD, DISCARD); absolute */
    const char *text;    /* why, when r < 0 */
    size_t fused, aside; /* frames of what was found (FIND), 0 unknown */
};

struct pf_outbox;

/* Which tag versions before 2026-11-29 had, of the machine's name and the state directory. Pure. */
#define PF_OUTBOX_FORMER_CHARS 8
void pf_outbox_former_tag(const char *host, const char *state,
                          char tag[PF_OUTBOX_FORMER_CHARS + 1]);

/* directory: absolute; made when missing. tag: tells our partial directories from those of other
 * services with the same outbox; what an earlier run left of ours is removed first of all. former_tag: that
 * earlier versions had here; of what was left with it, what is old and incomplete. mount_note: outbox_mount.h, NULL none. -ENOMEM, -EAGAIN (thread). Trouble with the directory itself comes with each answer. */
int pf_outbox_new(struct pf_outbox **ret, struct event_base *base, const char *directory,
                  const char *tag, const char *former_tag, const char *mount_note,
                  void (*handler)(const struct pf_outbox_answer *answer, void *context),
                  void *context, struct pf_error *err);
/* Requests not begun are dropped, and partial directories removed. Waits at most two seconds for that and for
 * the request under way. Returns NULL. */
struct pf_outbox *pf_outbox_free(struct pf_outbox *outbox);

/* identities: JSON array of the frames of the burst (FIND; NULL else): a directory counts as this
 * version when its stack.json names this burst, this version and no other frames. -ENOMEM. */
int pf_outbox_ask(struct pf_outbox *outbox, enum pf_outbox_request request, int64_t burst,
                  const char *name, int version, const json_t *identities);

/* Waits until an answer is there to be told, at most so long: an outbox may lie on a mount that blocks. */
void pf_outbox_await(const struct pf_outbox *outbox, int ms);

#endif
