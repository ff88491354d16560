#include "service/help.h"

#include <string.h>

#include "config/settings.h"

static const char exits[] =
    "\nexit status:\n"
    "  0  done\n"
    "  1  it could not be done; the reason is on standard error\n"
    "  2  wrong options, operands or configuration; nothing was begun\n"
    "  3  the GPU has failed; the reason is on standard error, --device cpu helps\n";

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
    fputs(exits, to);
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
    fputs(exits, to);
}
