/* A name in the outbox, given to a complete directory once, whatever the share answers.
 *
 * A share may do what it is asked and its answer be lost: what counts is what lies there. Where that cannot
 * be seen, an attempt is remembered until its name has been seen cleared or a stranger's, or the next one would take
 * its work for a stranger's and publish a second time beside it. What cannot be read is an error, and no stranger's.
 *
 * Service process, the outbox's thread. Paths absolute.
 */
#ifndef PF_OUTBOX_NAME_H
#define PF_OUTBOX_NAME_H

#include "config/base/error.h"
#include "config/base/file.h"

/* Attempts of which it is not known what came of them, newest first; NULL: none. */
struct pf_outbox_name;

/* stack.json is written last: whatever has happened to the directory, what is published has one. Its content
 * tells this attempt from all others. */
int pf_outbox_identify(const char *directory, struct pf_identity *ret, struct pf_error *err);

/* partial becomes path, durably; sidecar: its identity. What an earlier attempt, of which nobody has been told, left there
 * is removed. -EEXIST: it is a stranger's. Any other error: try the same again. */
int pf_outbox_name_take(struct pf_outbox_name **unsure, const char *partial, const char *path,
                        const struct pf_identity *sidecar, struct pf_error *err);
/* What lies there is told of, whichever attempt it is by. */
void pf_outbox_name_forget(struct pf_outbox_name **unsure, const char *path);
/* Returns NULL. */
struct pf_outbox_name *pf_outbox_names_free(struct pf_outbox_name *unsure);

#endif
