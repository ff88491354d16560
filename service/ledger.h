/* The ledger: what is to be written in the journal, in order, and acted on after its commit.
 *
 * Service process, event loop thread. Entries of one turn of the loop share a transaction. When the
 * journal cannot be written (no space), the entries stay, the trouble is logged once, `blocked` is
 * told, and it is tried again with a back-off of 1 to 30 s until it succeeds: nothing is lost and
 * nothing is acted on meanwhile.
 */
#ifndef PF_LEDGER_H
#define PF_LEDGER_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "capture/record.h"
#include "config/settings.h"
#include "service/deliveries.h"
#include "service/grouper.h"

enum pf_entry_kind {
    PF_ENTRY_RECORD,     /* record; `seen` is set */
    PF_ENTRY_REJECT,     /* text: source, path, reason; size_bytes, mtime_ns */
    PF_ENTRY_DECISION,   /* decision; record (JOINED); `name` and `version` are set */
    PF_ENTRY_RESULT,     /* burst, frame, fused, reason, scores */
    PF_ENTRY_ATTEMPT,    /* frame */
    PF_ENTRY_PUBLISHED,  /* burst, version, path (directory), adopted */
    PF_ENTRY_FAILED,     /* burst, version, reason */
    PF_ENTRY_RETRY,      /* burst */
    PF_ENTRY_DISMISS,    /* burst, name: its id */
    PF_ENTRY_RESTACK,    /* burst, scores: the settings or NULL; `version` is set */
    PF_ENTRY_COMPANION,  /* record; frame: the one it belongs to */
    PF_ENTRY_TELL,       /* hook, targets, event; PUBLISHED and FAILED may have them as well */
    PF_ENTRY_TOLD,       /* delivery, delivery_state, tried, due_wall_ms, reason */
    PF_ENTRY_TELL_AGAIN, /* name: the delivery's id */
};

struct pf_entry {
    struct pf_entry *next;
    enum pf_entry_kind kind;
    bool refused;             /* the journal's state did not allow it: nothing was written */
    struct pf_record *record; /* owned, like the rest */
    enum pf_journal_seen seen;
    struct pf_decision decision;
    char name[PF_BURST_ID_MAX];
    int64_t burst;
    int version;
    struct pf_identity frame;
    bool fused;
    bool adopted; /* PUBLISHED: it was found there */
    char *source, *path, *reason;
    int64_t size_bytes, mtime_ns;
    json_t *scores;
    const char *hook;              /* static text */
    const struct pf_list *targets; /* borrowed: of the settings */
    json_t *event;
    int64_t delivery;
    enum pf_delivery_state delivery_state;
    bool tried;
    int64_t due_wall_ms;
};

struct pf_ledger;

/* committed: told for each entry after its commit, in order; it may add entries and take what the
 * entry owns. blocked: told when writing begins to fail (true) and works again (false).
 * base, journal and context are borrowed. -ENOMEM. */
int pf_ledger_new(struct pf_ledger **ret, struct event_base *base, struct pf_journal *journal,
                  void (*committed)(struct pf_entry *entry, void *context),
                  void (*blocked)(bool blocked, void *context), void *context,
                  struct pf_error *err);
struct pf_ledger *pf_ledger_free(struct pf_ledger *ledger); /* NULL-safe, returns NULL */

/* There is no memory to do what the journal says: it is the better place to go on from. Ends the process with a
 * message. */
_Noreturn void pf_ledger_end(void);

/* A new entry of the kind, appended; it is written in this or the next turn of the loop, not before
 * the caller returns to the loop. Never NULL, but pf_ledger_end(). */
struct pf_entry *pf_ledger_add(struct pf_ledger *ledger, enum pf_entry_kind kind);

/* What an entry owns: a copy of text, and JSON that was just made (consumed and returned). Never NULL, but
 * pf_ledger_end(): what an entry lacked would be lacking for good. */
char *pf_ledger_text(const char *text);
json_t *pf_ledger_json(json_t *value);

/* Entries that wait. */
size_t pf_ledger_count(const struct pf_ledger *ledger);

/* Frames wait among them, on their way to a burst. */
bool pf_ledger_has_frames(const struct pf_ledger *ledger);

/* Writes what is there now; does nothing while it waits to try again. */
void pf_ledger_flush(struct pf_ledger *ledger);

#endif
