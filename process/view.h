/* Views: a part of a picture, or all of it smaller, as a JPEG for a screen.
 *
 * Runs in a worker of its own that makes nothing else (`parfocal process` as service/viewer.h starts it),
 * engine thread. The pictures seen last stay decoded, so that tiles of one cost little more than
 * the first. A frame can be laid over the reference by its transform, so that both are compared place by
 * place; displacement fields are left out of that.
 */
#ifndef PF_VIEW_H
#define PF_VIEW_H

#include <jansson.h>

#include "process/codec.h"

struct pf_views;

/* -ENOMEM. */
int pf_views_new(struct pf_views **ret, const struct pf_decode_limits *limits,
                 struct pf_error *err);
struct pf_views *pf_views_free(struct pf_views *views); /* NULL-safe, returns NULL */

/* Whether the picture of this file is decoded already, and the file has not changed since. */
bool pf_views_have(const struct pf_views *views, const char *path);

/* Makes the view that a `view` command of service/PROTOCOL.md asks for and puts it in place by rename.
 * *ret_facts {path width height}, the caller's. -EINVAL: the command is not understood; -ENODATA: the
 * tile lies outside; errors as in pf_image_decode() and pf_image_encode(). */
int pf_view_make(struct pf_views *views, const json_t *command, json_t **ret_facts,
                 struct pf_error *err);

#endif
