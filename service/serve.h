/* parfocal serve: the service. One event loop that starts the children, groups frames into bursts,
 * keeps the journal, and publishes stacks. It never touches image bytes.
 */
#ifndef PF_SERVE_H
#define PF_SERVE_H

#include "config/settings.h"

/* argv[0] is the command's name. Runs until SIGTERM, SIGINT or SIGHUP; SIGUSR1 finishes the open
 * bursts, SIGUSR2 tries failed bursts again. Returns the exit status: 0 stopped
 * in order, 1 it could not start or go on (said on standard error), 2 usage or configuration, 4 stopped, but for a
 * process that the kernel does not let end. */
int pf_serve_main(int argc, char **argv);

/* What of the settings keeps the service from starting, before anything is begun: for any process. Files of secrets
 * are read, as this user. -EINVAL, errno of such a file, -ENOMEM. */
int pf_serve_check(const struct pf_settings *settings, struct pf_error *err);

#endif
