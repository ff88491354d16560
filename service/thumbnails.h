/* Pictures that a worker makes for people, in a directory of the state directory, within their space:
 * thumbnails (process/thumbnail.h) and views (process/view.h).
 *
 * Service process, event loop thread. The files are a convenience that can be made again; when they
 * are more than their setting allows, the oldest go first, to nine tenths of it.
 */
#ifndef PF_THUMBNAILS_H
#define PF_THUMBNAILS_H

#include <jansson.h>
#include <stdint.h>

#include "config/base/error.h"
#include "config/settings.h"

struct pf_thumbnails;

/* Makes the directory and looks at what an earlier run has left there. most_mb 0: there are to be none;
 * those that are there go, and *ret is NULL. -ENOMEM, errno of the directory. */
int pf_thumbnails_new(struct pf_thumbnails **ret, const char *state, const char *name,
                      int64_t most_mb, struct pf_error *err);
struct pf_thumbnails *pf_thumbnails_free(struct pf_thumbnails *thumbnails); /* NULL-safe, NULL */

/* Adds to the worker's `add` what the names of the frame's thumbnails begin with, if there are to be
 * any. */
void pf_thumbnails_ask(const struct pf_settings *settings, const char *identity, json_t *command);

/* A file has been made there. NULL-safe. */
void pf_thumbnails_note(struct pf_thumbnails *thumbnails, const char *path);

#endif
