/* Settings from the command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/words.h"
#include "config/settings.h"
#include "config/settings_table.h"

/* "--config=FILE", "--config FILE", "-c FILE", "-cFILE": number of arguments it takes, 0 when it is
 * another one; *ret_path is NULL when the file's name is missing. */
static int config_option(int argc, char **argv, int at, const char **ret_path)
{
    static const char name[] = "--config";
    const char *text = argv[at];
    size_t length = strlen(name);
    bool is_short = strncmp(text, "-c", 2) == 0;
    bool is_long = strncmp(text, name, length) == 0 && (!text[length] || text[length] == '=');
    if (!is_short && !is_long)
        return 0;
    text += is_short ? 2 : length;
    if (*text) {
        *ret_path = is_short ? text : text + 1;
        return 1;
    }
    *ret_path = at + 1 < argc ? argv[at + 1] : NULL;
    return 2;
}

/* One "--key ...": number of arguments it takes, 0 when it is no key. */
static int key_option(struct pf_settings *settings, int argc, char **argv, int at,
                      struct pf_error *err)
{
    const char *name = argv[at] + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] ? name + length + 1 : NULL;
    const struct pf_setting *row = pf_setting_find(name, length);
    bool negated = false;
    if (!row && !value && strncmp(name, "no-", 3) == 0) {
        row = pf_setting_find(name + 3, length - 3);
        negated = row && row->type == PF_SETTING_BOOL;
        row = negated ? row : NULL;
    }
    if (!row)
        return 0;
    int taken = 1;
    if (row->type == PF_SETTING_BOOL && !value) {
        value = negated ? "no" : "yes";
    } else if (!value) {
        value = at + 1 < argc ? argv[at + 1] : NULL;
        taken = 2;
    }
    if (!value)
        return pf_fail(err, EINVAL, "option --%s needs a value: %s", name, row->unit);
    struct pf_error cause = {0};
    int r = pf_settings_set(settings, row->key, value, &cause);
    return r < 0 ? pf_fail(err, -r, "option --%.*s: %s", (int)length, name, cause.text) : taken;
}

static bool ends_options(const char *argument)
{
    return strcmp(argument, "--") == 0;
}

const char *pf_setting_file_named(int argc, char **argv)
{
    const char *named = NULL, *path;
    for (int i = 1; i < argc && !ends_options(argv[i]);) {
        int taken = config_option(argc, argv, i, &path);
        if (taken && path)
            named = path;
        i += taken ? taken : 1;
    }
    return named;
}

int pf_settings_take_options(struct pf_settings *settings, int *argc, char **argv,
                             struct pf_error *err)
{
    for (int i = 1; i < *argc && !ends_options(argv[i]);) {
        const char *path;
        int taken = config_option(*argc, argv, i, &path);
        if (taken && !path)
            return pf_fail(err, EINVAL, "option %s needs a file", argv[i]);
        int r = taken ? pf_settings_read(settings, path, err) : 0;
        if (r < 0)
            return r;
        i += taken ? taken : 1;
    }
    int kept = 1;
    bool options = true;
    for (int i = 1; i < *argc;) {
        const char *path;
        int taken = 0;
        options &= !ends_options(argv[i]);
        if (options)
            taken = config_option(*argc, argv, i, &path);
        if (options && !taken && strncmp(argv[i], "--", 2) == 0)
            taken = key_option(settings, *argc, argv, i, err);
        if (taken < 0)
            return taken;
        if (!taken)
            argv[kept++] = argv[i++];
        i += taken;
    }
    argv[kept] = NULL;
    *argc = kept;
    return 0;
}

int pf_settings_unknown_option(const char *option, struct pf_error *err)
{
    const char *name = option + strspn(option, "-");
    size_t length = strcspn(name, "=");
    const struct pf_setting *now =
        pf_setting_successor(pf_setting_rows, pf_setting_count, name, length);
    const struct pf_setting *row = now ? now : pf_setting_nearest(name, length);
    if (!row)
        return pf_fail(err, EINVAL, "unknown option %.100s", option);
    char nearest[64];
    snprintf(nearest, sizeof(nearest), "%s", row->key);
    for (char *at = nearest; *at; at++)
        *at = *at == '_' ? '-' : *at;
    if (now)
        return pf_fail(err, EINVAL, "the option %.100s is called --%s now", option, nearest);
    return pf_fail(err, EINVAL, "unknown option %.100s; did you mean --%s?", option, nearest);
}

enum { HELP_COLUMN = 26, HELP_WIDTH = 96 };

/* "  --option VALUE      help", the help folded into its column. */
static void print_option(FILE *to, const char *option, const char *help)
{
    int column = fprintf(to, "  %s", option);
    if (column > HELP_COLUMN - 2) {
        fputc('\n', to);
        column = 0;
    }
    while (*help) {
        fprintf(to, "%*s", HELP_COLUMN - column, "");
        size_t length = strlen(help);
        if (length > HELP_WIDTH - HELP_COLUMN) {
            length = HELP_WIDTH - HELP_COLUMN;
            while (length && help[length] != ' ')
                length--;
            length = length ? length : HELP_WIDTH - HELP_COLUMN;
        }
        fprintf(to, "%.*s\n", (int)length, help);
        help += length;
        while (*help == ' ')
            help++;
        column = 0;
    }
}

static void print_row(FILE *to, const struct pf_setting *row)
{
    char option[128], help[1024];
    const char *placeholder = "";
    if (row->type == PF_SETTING_INT)
        placeholder = "N";
    else if (row->type == PF_SETTING_REAL)
        placeholder = strcmp(row->unit, "s") == 0 ? "SECONDS" : "X";
    else if (row->type != PF_SETTING_BOOL)
        placeholder = row->unit;
    snprintf(option, sizeof(option), "--%s%s%s%s", row->type == PF_SETTING_BOOL ? "[no-]" : "",
             row->key, *placeholder ? " " : "", placeholder);
    for (char *at = option; *at && *at != ' '; at++)
        *at = *at == '_' ? '-' : *at;
    snprintf(help, sizeof(help), *row->initial ? "%s [%s]" : "%s", row->help, row->initial);
    print_option(to, option, help);
}

void pf_settings_print_help(FILE *to, const char *wanted)
{
    const char *heading = "";
    for (size_t i = 0; i < pf_setting_count; i++) {
        const struct pf_setting *row = &pf_setting_rows[i];
        if (wanted && !pf_words_have(wanted, row->section) && !pf_words_have(wanted, row->key))
            continue;
        if (strcmp(heading, row->section) != 0)
            fprintf(to, "\n%s:\n", row->section);
        heading = row->section;
        print_row(to, row);
    }
}
