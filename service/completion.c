/* Completion for bash and zsh: commands, options with their words or files, operands. */
#include <stdbool.h>
#include <string.h>

#include "config/settings_table.h"
#include "service/help.h"
#include "service/manual.h"

static void put_option(FILE *to, const struct pf_setting *row, const char *before)
{
    fprintf(to, "--%s", before);
    for (const char *at = row->key; *at; at++)
        fputc(*at == '_' ? '-' : *at, to);
}

static void put_words(FILE *to, const char *words)
{
    for (; *words; words++)
        fputc(*words == '|' ? ' ' : *words, to);
}

static bool is_directory(const struct pf_setting *row)
{
    return strcmp(row->unit, "DIR") == 0;
}

static bool is_file(const struct pf_setting *row)
{
    return strcmp(row->unit, "FILE") == 0;
}

/* Words that the help of a command shows as options of its own: "  --name". */
static void put_own_options(FILE *to, const char *text)
{
    for (const char *at = text; (at = strstr(at, "--")); at += strspn(at, "-")) {
        size_t length = strspn(at, "-abcdefghijklmnopqrstuvwxyz");
        if (length > 2 && (at == text || at[-1] == ' '))
            fprintf(to, " %.*s", (int)length, at);
        at += length;
    }
}

static const char *operands_of(const struct pf_command *command)
{
    static const struct {
        const char *name, *words;
    } known[] = {{"config", "check show"},
                 {"camera", "list get set trigger stop"},
                 {"bursts", "open complete published failed"},
                 {"hooks", "retry"},
                 {"manual", "page conf bash zsh"},
                 {"capture", "folder: camera"}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, command->name) == 0)
            return known[i].words;
    return "";
}

static void put_operands(FILE *to, const struct pf_command *command)
{
    fputs(operands_of(command), to);
    if (strcmp(command->name, "settings") != 0 && strcmp(command->name, "restack") != 0)
        return;
    for (size_t i = 0; i < pf_setting_count; i++)
        fprintf(to, "%s%s=", i ? " " : "", pf_setting_rows[i].key);
}

static void put_commands(FILE *to)
{
    for (const struct pf_command *command = pf_commands; command->name; command++)
        fprintf(to, "%s%s", command == pf_commands ? "" : " ", command->name);
}

/* The values of options that are words, files or directories, as cases of `case`. */
static void put_bash_values(FILE *to)
{
    for (size_t i = 0; i < pf_setting_count; i++) {
        const struct pf_setting *row = &pf_setting_rows[i];
        if (row->type == PF_SETTING_BOOL)
            continue;
        fputs("    ", to);
        put_option(to, row, "");
        if (row->type == PF_SETTING_CHOICE) {
            fputs(") words='", to);
            put_words(to, row->unit);
            fputs("' ;;\n", to);
        } else {
            fprintf(to, ") kind=%s ;;\n",
                    is_directory(row)                 ? "directory"
                    : is_file(row)                    ? "file"
                    : strcmp(row->key, "source") == 0 ? "source"
                                                      : "nothing");
        }
    }
}

static void put_all_options(FILE *to)
{
    fputs("--help --version --config", to);
    for (size_t i = 0; i < pf_setting_count; i++) {
        fputc(' ', to);
        put_option(to, &pf_setting_rows[i], "");
        if (pf_setting_rows[i].type == PF_SETTING_BOOL) {
            fputc(' ', to);
            put_option(to, &pf_setting_rows[i], "no-");
        }
    }
}

void pf_completion_bash(FILE *to)
{
    fputs("# bash completion for parfocal; made by `parfocal manual bash`\n"
          "_parfocal()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words= "
          "kind=\n"
          "    local command=${COMP_WORDS[1]} options operands\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '--help --version ",
          to);
    put_commands(to);
    fputs("' -- \"$word\"))\n        return\n    fi\n    case $before in\n", to);
    put_bash_values(to);
    fputs("    -c | --config | -o | --output) kind=file ;;\n    esac\n"
          "    case $command in\n",
          to);
    for (const struct pf_command *command = pf_commands; command->name; command++) {
        fprintf(to, "    %s) options='", command->name);
        put_own_options(to, command->text);
        fputs("' operands='", to);
        put_operands(to, command);
        fputs("' ;;\n", to);
    }
    fputs("    esac\n    if [ -n \"$words\" ]; then\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
          "    elif [ \"$kind\" = directory ]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -d -- \"$word\")\n"
          "    elif [ \"$kind\" = source ]; then\n"
          "        COMPREPLY=($(compgen -W 'folder: camera' -- \"$word\"))\n"
          "    elif [ \"$kind\" = nothing ]; then\n        COMPREPLY=()\n"
          "    elif [ -z \"$kind\" ] && [[ $word == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options ",
          to);
    put_all_options(to);
    fputs("\" -- \"$word\"))\n"
          "    elif [ -z \"$kind\" ] && [ \"$command\" = help ]; then\n"
          "        COMPREPLY=($(compgen -W '",
          to);
    put_commands(to);
    fputs("' -- \"$word\"))\n"
          "    elif [ -z \"$kind\" ] && [ -n \"$operands\" ]; then\n"
          "        COMPREPLY=($(compgen -W \"$operands\" -- \"$word\"))\n"
          "    else\n        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n    fi\n}\n"
          "complete -o filenames -o bashdefault -F _parfocal parfocal\n",
          to);
}

/* Text within single quotes and brackets of a zsh specification. */
static void put_zsh_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", to);
        else if (*text == '[' || *text == ']' || *text == ':' || *text == '\\')
            fprintf(to, "\\%c", *text);
        else
            fputc(*text, to);
    }
}

static void put_zsh_setting(FILE *to, const struct pf_setting *row)
{
    fprintf(to, "        '%s", row->type == PF_SETTING_LIST ? "*" : "");
    put_option(to, row, "");
    fputs("[", to);
    put_zsh_text(to, row->help);
    fputs("]", to);
    if (row->type == PF_SETTING_BOOL) {
        fputs("'\n        '", to);
        put_option(to, row, "no-");
        fputs("[not: ", to);
        put_zsh_text(to, row->help);
        fputs("]'\n", to);
        return;
    }
    fprintf(to, ":%s:", row->key);
    if (row->type == PF_SETTING_CHOICE) {
        fputs("(", to);
        put_words(to, row->unit);
        fputs(")", to);
    } else if (is_directory(row)) {
        fputs("_directories", to);
    } else if (is_file(row)) {
        fputs("_files", to);
    } else if (strcmp(row->key, "source") == 0) {
        fputs("(folder\\: camera)", to);
    }
    fputs("'\n", to);
}

void pf_completion_zsh(FILE *to)
{
    fputs("#compdef parfocal\n# made by `parfocal manual zsh`\n_parfocal()\n{\n"
          "    local -a commands options operands\n    commands=(\n",
          to);
    for (const struct pf_command *command = pf_commands; command->name; command++) {
        fprintf(to, "        '%s:", command->name);
        put_zsh_text(to, command->summary);
        fputs("'\n", to);
    }
    fputs(
        "    )\n    options=(\n        '(-h --help)'{-h,--help}'[what it does, and its options]'\n"
        "        '(-V --version)'{-V,--version}'[the version]'\n"
        "        '(-c --config)'{-c,--config}'[read settings from a file]:file:_files'\n",
        to);
    for (size_t i = 0; i < pf_setting_count; i++)
        put_zsh_setting(to, &pf_setting_rows[i]);
    fputs("    )\n    if ((CURRENT == 2)); then\n"
          "        _describe command commands\n        return\n    fi\n    case $words[2] in\n",
          to);
    for (const struct pf_command *command = pf_commands; command->name; command++) {
        fprintf(to, "    %s) options+=(", command->name);
        put_own_options(to, command->text);
        fputs(") operands=(", to);
        put_operands(to, command);
        fputs(") ;;\n", to);
    }
    fputs("    esac\n    shift words\n    ((CURRENT--))\n"
          "    if ((${#operands})); then\n        _arguments -s \"$options[@]\" "
          "\"*:operand:($operands)\"\n"
          "    else\n        _arguments -s \"$options[@]\" '*:file:_files'\n    fi\n}\n"
          "_parfocal \"$@\"\n",
          to);
}
