/* Settings handed on: to a child as command line options, in the protocol as JSON.
 *
 * Any process and thread; pure. The list is the caller's (pf_options_free).
 */
#ifndef PF_OPTIONS_H
#define PF_OPTIONS_H

#include <jansson.h>

#include "config/base/error.h"
#include "config/settings.h"

struct pf_options {
    char **items; /* NULL-terminated */
    size_t count;
};

/* Appends a copy of `text`. -ENOMEM. */
int pf_options_add(struct pf_options *options, const char *text, struct pf_error *err);

/* Appends --key=value for every setting of `section`, lists excepted. -ENOMEM. */
int pf_options_add_section(struct pf_options *options, const struct pf_settings *settings,
                           const char *section, struct pf_error *err);

/* Appends each item of a list, --key=item. -EINVAL: no such list; -ENOMEM. */
int pf_options_add_list(struct pf_options *options, const struct pf_settings *settings,
                        const char *key, struct pf_error *err);

/* Appends the settings named in `keys` (separated by spaces), each as --key=value. -EINVAL: no such
 * key, or a list; -ENOMEM. */
int pf_options_add_keys(struct pf_options *options, const struct pf_settings *settings,
                        const char *keys, struct pf_error *err);

/* New JSON object of the settings named in `keys` (separated by spaces; words for choices, no
 * lists), owned by the caller; NULL on out of memory. */
json_t *pf_options_json(const struct pf_settings *settings, const char *keys);

void pf_options_free(struct pf_options *options);

#endif
