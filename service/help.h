/* What `--help` says, for the program and for each command.
 *
 * Service process and any other, main thread; writes to the stream given, no other state.
 */
#ifndef PF_HELP_H
#define PF_HELP_H

#include <stdio.h>

struct pf_command {
    const char *name;
    const char *operands; /* behind "parfocal NAME" */
    const char *summary;  /* one line */
    const char *text;     /* more lines, each ending in a newline; "" for none */
    const char *sections; /* of the settings that matter to it, and single keys; "" for none */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};

/* The commands, in the order of the help; ends with a NULL name. */
extern const struct pf_command pf_commands[];

/* What each exit status means, by its number (config/base/exit.h); ends with NULL. */
extern const char *const pf_exit_words[];

void pf_help_program(FILE *to);
void pf_help_command(FILE *to, const struct pf_command *command);

#endif
