/* The installed service, for commands that are not told which one is meant.
 *
 * Any process but the service, one thread, at its start.
 */
#ifndef PF_INSTALLED_H
#define PF_INSTALLED_H

#include <stdbool.h>

#include "config/settings.h"

/* Its configuration, as a package has it. */
#define PF_INSTALLED_FILE "/etc/parfocal.conf"

/* Whether it is there, as far as this user sees. */
bool pf_installed_is_there(void);

/* pf_settings_take_options(), and where no file is named the installed one is read, if there is one.
 * *ret_file: the last that counts, borrowed from argv or static; NULL: options alone. Errors as there. */
int pf_installed_take_options(struct pf_settings *settings, int *argc, char **argv,
                              const char **ret_file, struct pf_error *err);

/* Whether a command that asks a service means that one: neither a file nor --state nor --http says another, no state
 * directory is here, and the configuration is there. */
bool pf_installed_is_meant(int argc, char **argv);

/* Adds to an error of asking it what is to be done. */
void pf_installed_advise(const char *command, struct pf_error *err);

#endif
