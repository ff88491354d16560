#include "service/manual.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "config/base/exit.h"
#include "config/base/version.h"
#include "config/base/words.h"
#include "config/settings_table.h"
#include "service/help.h"

/* Text for roff: what would be a request, an escape or a hyphenated dash is what it looks like. */
static void put(FILE *to, const char *text, size_t length)
{
    bool begins = true;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (begins && (c == '.' || c == '\''))
            fputs("\\&", to);
        if (c == '\\')
            fputs("\\(rs", to);
        else if (c == '-')
            fputs("\\-", to);
        else if (c == '~')
            fputs("\\(ti", to);
        else if (c == '^')
            fputs("\\(ha", to);
        else if (c == '`' || c == '\'')
            fputs(c == '`' ? "\\(ga" : "\\(aq", to);
        else
            fputc(c, to);
        begins = c == '\n';
    }
}

static void put_text(FILE *to, const char *text)
{
    put(to, text, strlen(text));
}

/* As a key, or with '-' for '_' as an option. */
static void put_key(FILE *to, const char *key, bool option)
{
    for (; *key; key++) {
        char c = *key == '_' && option ? '-' : *key;
        put(to, &c, 1);
    }
}

/* __DATE__ as YYYY-MM-DD; a build that is to be repeatable sets SOURCE_DATE_EPOCH. */
static void put_date(FILE *to)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec", date[] = __DATE__;
    char month[4] = {date[0], date[1], date[2]};
    const char *at = strstr(months, month);
    fprintf(to, "%s-%02d-%c%c", date + 7, at ? (int)(at - months) / 3 + 1 : 0,
            date[4] == ' ' ? '0' : date[4], date[5]);
}

static void put_head(FILE *to, const char *name, int section, const char *summary)
{
    fprintf(to, ".\\\" Made by `parfocal manual`.\n.TH %s %d \"", name, section);
    put_date(to);
    fputs("\" \"parfocal ", to);
    put_text(to, pf_version());
    fprintf(to, "\" \"%s\"\n.SH NAME\n%s \\- ", section == 1 ? "User commands" : "File formats",
            section == 1 ? "parfocal" : "parfocal.conf");
    put_text(to, summary);
    fputs("\n", to);
}

/* What may stand behind the key, in words. */
static void put_value(FILE *to, const struct pf_setting *row)
{
    if (row->type == PF_SETTING_BOOL)
        fputs("yes|no", to);
    else if (row->type == PF_SETTING_INT)
        fputs("N", to);
    else if (row->type == PF_SETTING_REAL)
        fputs("X", to);
    else
        put_text(to, row->unit);
}

static void put_setting(FILE *to, const struct pf_setting *row)
{
    fputs(".TP\n.BR ", to);
    put_key(to, row->key, false);
    fputs(" \" = ", to);
    put_value(to, row);
    fputs("\"\n", to);
    put_text(to, row->help);
    fputs(".\n", to);
    if (row->type == PF_SETTING_INT || row->type == PF_SETTING_REAL) {
        char range[120];
        snprintf(range, sizeof(range), "%.12g to %.12g%s%s", row->minimum, row->maximum,
                 *row->unit ? " " : "", row->unit);
        put_text(to, range);
        fputs(".\n", to);
    }
    if (row->type == PF_SETTING_LIST)
        fputs("May be given several times; an empty value clears the list.\n", to);
    if (*row->initial) {
        fputs("Default: ", to);
        put_text(to, row->initial);
        fputs(".\n", to);
    }
}

static void put_settings(FILE *to)
{
    for (size_t i = 0; i < pf_setting_count; i++) {
        const char *section = pf_setting_rows[i].section;
        bool first = true;
        for (size_t j = 0; j < i; j++)
            first &= strcmp(pf_setting_rows[j].section, section) != 0;
        if (!first)
            continue;
        fprintf(to, ".SS [%s]\n", section);
        for (size_t j = i; j < pf_setting_count; j++)
            if (strcmp(pf_setting_rows[j].section, section) == 0)
                put_setting(to, &pf_setting_rows[j]);
    }
}

static void put_conf_page(FILE *to)
{
    put_head(to, "PARFOCAL.CONF", 5, "configuration of parfocal");
    fputs(".SH SYNOPSIS\n/etc/parfocal.conf\n.SH DESCRIPTION\n"
          "Lines of\n.IR key \" = \" value .\n"
          "Comments stand on lines of their own and begin with # or ;. Lines of\n.RI [ section ]\n"
          "are free: they order the file and mean nothing. A value may stand in \"quotes\" to keep "
          "spaces at its\nends. A key that is not known, a value out of its range and a key set "
          "twice "
          "are errors,\nnamed with file and line:\n.B parfocal config check\n"
          "tells them,\n.B parfocal config show\nprints the whole file with the values in force.\n"
          ".PP\nEach key is an option of the same name too, with \\- for _; options win over the "
          "file.\n.SH SETTINGS\n",
          to);
    put_settings(to);
    fputs(".SH SEE ALSO\n.BR parfocal (1)\n", to);
}

/* The text of a command's help, whose lines are broken where they are meant to. */
static void put_lines(FILE *to, const char *text)
{
    if (!*text)
        return;
    fputs(".PP\n.nf\n", to);
    put_text(to, text);
    fputs(".fi\n", to);
}

static void put_command(FILE *to, const struct pf_command *command)
{
    fprintf(to, ".SS %s\n.B parfocal %s\n", command->name, command->name);
    put_text(to, command->operands);
    fputs("\n.PP\n", to);
    if (islower((unsigned char)command->summary[0])) {
        fputc(toupper((unsigned char)command->summary[0]), to);
        put_text(to, command->summary + 1);
    } else {
        put_text(to, command->summary);
    }
    fputs(".\n", to);
    put_lines(to, command->text);
    if (!*command->sections)
        return;
    fputs(".PP\nSettings:\n", to);
    bool first = true;
    for (size_t i = 0; i < pf_setting_count; i++) {
        const struct pf_setting *row = &pf_setting_rows[i];
        if (!pf_words_have(command->sections, row->section) &&
            !pf_words_have(command->sections, row->key))
            continue;
        fputs(first ? "" : ",\n", to);
        first = false;
        fputs("\\-\\-", to);
        put_key(to, row->key, true);
    }
    fputs(".\n", to);
}

static void put_program_page(FILE *to)
{
    put_head(to, "PARFOCAL", 1,
             "turns focus brackets into stacked images while they are being shot");
    fputs(
        ".SH SYNOPSIS\n.B parfocal\n.I COMMAND\n.RI [ OPTIONS ]\n.RI [ OPERANDS ]\n"
        ".SH DESCRIPTION\n"
        "A service that watches folders and cameras, groups the frames that come into bursts, and\n"
        "aligns and fuses each frame when it arrives; when the last one has come, the stack is\n"
        "nearly done.\n.SH COMMANDS\n",
        to);
    for (const struct pf_command *command = pf_commands; command->name; command++)
        put_command(to, command);
    fputs(".SH OPTIONS\n.TP\n.BR \\-h \", \" \\-\\-help\nWhat the command does, and its options.\n"
          ".TP\n.BR \\-V \", \" \\-\\-version\nThe version.\n"
          ".TP\n.BI \\-c \" FILE\" \"\\fR, \\fP\\-\\-config\" \" FILE\"\n"
          "Reads settings from a file; options win over it.\n"
          ".TP\n.BI \\-\\- KEY \" VALUE\"\nAny key of\n.BR parfocal.conf (5),\n"
          "with \\- for _; of a switch\n.BI \\-\\- KEY\nand\n.BI \\-\\-no\\- KEY .\n"
          ".SH EXIT STATUS\n",
          to);
    for (int i = 0; pf_exit_words[i]; i++) {
        fprintf(to, ".TP\n.B %d\n%c", i, toupper((unsigned char)*pf_exit_words[i]));
        put_text(to, pf_exit_words[i] + 1);
        fputs(".\n", to);
    }
    fputs(".SH FILES\n.TP\n.I /etc/parfocal.conf\nThe configuration of the system's service,\n"
          "which commands ask where nothing says another.\n"
          ".TP\n.I /var/lib/parfocal\nIts journal, and inbox, outbox and spool where they are not "
          "set "
          "otherwise.\n"
          ".SH ENVIRONMENT\n.TP\n.B PARFOCAL_NVJPEG\n"
          "Where it is\n.BR no ,\nthe processor decodes JPEGs even if nvJPEG is found.\n"
          ".SH SEE ALSO\n.BR parfocal.conf (5)\n",
          to);
}

int pf_manual_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(FILE *to);
    } texts[] = {{"page", put_program_page},
                 {"conf", put_conf_page},
                 {"bash", pf_completion_bash},
                 {"zsh", pf_completion_zsh}};
    for (size_t i = 0; argc == 2 && i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcmp(argv[1], texts[i].name) == 0) {
            texts[i].print(stdout);
            return PF_EXIT_OK;
        }
    fprintf(stderr, "parfocal manual: say `parfocal manual page`, `conf`, `bash` or `zsh`\n");
    return PF_EXIT_USAGE;
}
