/* Where the one-shot command's results go: what their names say, and how a file gets there whole.
 *
 * Main thread of `parfocal stack`. Strings are borrowed; what is returned is the caller's.
 */
#ifndef PF_STACK_TARGET_H
#define PF_STACK_TARGET_H

#include <stdbool.h>

#include "config/base/error.h"
#include "config/settings.h"

/* Everything that can be known of a target before the work: it is no directory, device or pipe, its
 * directory is there and may be written to. Status of an error: -EISDIR, -ENOTDIR, -EINVAL, errno. */
int pf_target_check(const char *path, struct pf_error *err);

/* -EEXIST: the target is this input, by whatever name, and must not be overwritten. */
int pf_target_refuse_input(const char *path, const char *input, struct pf_error *err);

/* Whether two paths, none of them a directory, name one file, be it there or not. */
bool pf_target_is_same(const char *a, const char *b);

/* The format that the extension names; `otherwise` for a name without one. -ENOTSUP for an
 * extension that is none of ours: nobody wants a TIFF that is called .gif. */
int pf_target_format(const char *path, enum pf_format otherwise, enum pf_format *ret,
                     struct pf_error *err);

/* Temporary name beside `path`, on the heap, so that a rename puts the whole file in place. */
int pf_target_part(const char *path, char **ret, struct pf_error *err);

/* Renames, durably; the part is removed when that fails. */
int pf_target_put(const char *part, const char *path, struct pf_error *err);

#endif
