/* Settings handed on to a child as command line options.
 *
 * Any process and thread; pure. The list is the caller's (pf_options_free).
 */
#ifndef PF_OPTIONS_H
#define PF_OPTIONS_H

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

void pf_options_free(struct pf_options *options);

#endif
