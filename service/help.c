#include "service/help.h"

#include <string.h>

#include "config/base/exit.h"
#include "config/settings.h"

const char *const pf_exit_words[] = {
    [PF_EXIT_OK] = "done",
    [PF_EXIT_FAILURE] = "it could not be done; the reason is on standard error",
    [PF_EXIT_USAGE] = "wrong options, operands or configuration; nothing was begun",
    [PF_EXIT_DEVICE] = "the GPU has failed; the reason is on standard error, --device cpu helps",
    [PF_EXIT_LEFT] =
        "the service has stopped; a process that waits for a dead disk or mount is left",
    NULL,
};

static void print_exits(FILE *to)
{
    fputs("\nexit status:\n", to);
    for (int i = 0; pf_exit_words[i]; i++)
        fprintf(to, "  %d  %s\n", i, pf_exit_words[i]);
}

void pf_help_program(FILE *to)
{
    fputs("parfocal turns focus brackets into stacked images while they are being shot.\n\n"
          "usage: parfocal COMMAND [OPTIONS] [OPERANDS]\n\ncommands:\n",
          to);
    for (const struct pf_command *command = pf_commands; command->name; command++)
        fprintf(to, "  %-9s %s\n", command->name, command->summary);
    fputs("\noptions of every command:\n"
          "  -h, --help          what the command does, and its options\n"
          "  -V, --version       the version of parfocal\n"
          "  -c, --config FILE   read settings from FILE; options win over it\n"
          "  --KEY VALUE         any key of the configuration (`parfocal config show`)\n",
          to);
    print_exits(to);
    fputs("\nBegin with:  parfocal serve --source folder:inbox --outbox outbox\n", to);
}

void pf_help_command(FILE *to, const struct pf_command *command)
{
    fprintf(to, "parfocal %s: %s\n\nusage: parfocal %s%s%s\n", command->name, command->summary,
            command->name, *command->operands ? " " : "", command->operands);
    if (*command->text)
        fprintf(to, "\n%s", command->text);
    if (*command->sections) {
        fputs("\nsettings (options; also keys of the file given with -c FILE) [default]\n", to);
        pf_settings_print_help(to, command->sections);
    }
    print_exits(to);
}
