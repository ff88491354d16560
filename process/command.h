/* What a command of the worker's protocol (service/PROTOCOL.md) says, beside its name.
 *
 * Worker process, any thread. Everything given is borrowed.
 */
#ifndef PF_COMMAND_H
#define PF_COMMAND_H

#include <jansson.h>

#include "config/base/error.h"
#include "config/settings.h"

/* The path (bytes) under this key, the caller's. -EINVAL: there is none; -ENOMEM. */
int pf_command_path(const json_t *command, const char *key, char **ret, struct pf_error *err);

/* The worker's engine and output settings, with those of the command over them that are among `keys`
 * (ended by NULL). *ret is the caller's. -EINVAL, -ENOMEM. */
int pf_command_settings(const struct pf_settings *worker, const json_t *command,
                        const char *const *keys, struct pf_settings *ret, struct pf_error *err);

#endif
