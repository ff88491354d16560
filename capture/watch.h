/* Watches on folders: inotify(7), with the path that each watch stands for.
 *
 * Capture process, one thread. Events are hints: they may come twice, late or not at all, and a
 * watch may stand on a folder that has another name by now; scans put all of that right.
 */
#ifndef PF_WATCH_H
#define PF_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

struct pf_watch;

/* -EMFILE when this user has no inotify instance left; -ENOMEM. */
int pf_watch_new(struct pf_watch **ret, struct pf_error *err);
struct pf_watch *pf_watch_free(struct pf_watch *watch); /* NULL-safe, returns NULL */
int pf_watch_fd(const struct pf_watch *watch);

/* Watches a folder, or takes note of its present path when it is watched already. Follows a
 * symbolic link only if told so. -ENOSPC: no watch left for this user; other errno of
 * inotify_add_watch(2). */
int pf_watch_add(struct pf_watch *watch, const char *path, bool follow);
void pf_watch_remove_tree(struct pf_watch *watch, const char *path);
size_t pf_watch_count(const struct pf_watch *watch);

/* Between begin and end, pf_watch_add marks; end removes the watches that were not marked. */
void pf_watch_sweep_begin(struct pf_watch *watch);
void pf_watch_sweep_end(struct pf_watch *watch);

/* directory: path of the watched folder, NULL for IN_Q_OVERFLOW; name: of the entry in it, NULL
 * when the event is about the folder itself. Both are valid until the handler adds or removes a
 * watch. */
typedef void pf_watch_handler(void *context, const char *directory, const char *name,
                              uint32_t mask);

/* Reads what is there, at most one buffer full. 0, or errno of read(2). */
int pf_watch_read(struct pf_watch *watch, pf_watch_handler *handler, void *context);

#endif
