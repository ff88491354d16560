/* Settings from and to a configuration file; the syntax is inih's. */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "config/settings_table.h"

enum { LINE_MAX_BYTES = 16384 };
/* Whatever is set can be printed as a line that can be read. */
_Static_assert(PF_SETTING_TEXT_MAX + 64 <= LINE_MAX_BYTES, "a key, and what is around it");

struct parse {
    struct pf_settings *settings;
    const char *path;
    FILE *file;
    int line;      /* the line in hand, from 1 */
    int *set_line; /* of each row: the line that has set it, 0 */
    struct pf_error *err;
    int r;
};

/* Of the line ends that there are, "\n" and "\r\n" end a line here. */
static bool ends_within(const char *line)
{
    const char *end = line + strcspn(line, "\r");
    return end[strspn(end, "\r\n")] != '\0';
}

/* Stands in for fgets: counts lines, because inih's handler is not told, and refuses what inih
 * would silently cut (long lines, zero bytes) or take into a value (line ends of its own kind). */
static char *read_line(char *buffer, int size, void *context)
{
    struct parse *parse = context;
    if (parse->r < 0)
        return NULL;
    parse->line++;
    int used = 0, c;
    while ((c = fgetc(parse->file)) != EOF) {
        if (c == '\0') {
            parse->r = pf_fail(parse->err, EINVAL, "%s:%d: a zero byte: this is not a text file",
                               parse->path, parse->line);
            return NULL;
        }
        if (used >= size - 1) {
            parse->r = pf_fail(parse->err, EINVAL, "%s:%d: line longer than %d bytes", parse->path,
                               parse->line, size - 2);
            return NULL;
        }
        buffer[used++] = (char)c;
        if (c == '\n')
            break;
    }
    if (ferror(parse->file)) {
        parse->r = pf_fail_errno(parse->err, errno, "reading %s", parse->path);
        return NULL;
    }
    buffer[used] = '\0';
    if (ends_within(buffer)) {
        parse->r = pf_fail(parse->err, EINVAL,
                           "%s:%d: a carriage return without a line feed: lines end in either the "
                           "latter or both",
                           parse->path, parse->line);
        return NULL;
    }
    return used ? buffer : NULL;
}

/* "text" -> text: spaces at the ends are kept that way. The quotes of a command line are its own. */
static const char *unquote(const struct pf_setting *row, const char *value, char *scratch)
{
    size_t length = strlen(value);
    if (length < 2 || value[0] != '"' || value[length - 1] != '"')
        return value;
    memcpy(scratch, value + 1, length - 2);
    scratch[length - 2] = '\0';
    return row && pf_setting_is_command(row) && strpbrk(scratch, "\" \t") ? value : scratch;
}

static int take_line(void *context, const char *section, const char *name, const char *value)
{
    (void)section;
    struct parse *parse = context;
    char scratch[LINE_MAX_BYTES];
    struct pf_error cause = {0};
    if (parse->r < 0)
        return 0;
    const struct pf_setting *row = pf_setting_find(name, strlen(name));
    size_t index = row ? (size_t)(row - pf_setting_rows) : 0;
    if (row && row->type != PF_SETTING_LIST && parse->set_line[index]) {
        parse->r = pf_fail(parse->err, EINVAL, "%s:%d: %s is already set in line %d", parse->path,
                           parse->line, row->key, parse->set_line[index]);
        return 0;
    }
    int r = pf_settings_set(parse->settings, name, unquote(row, value, scratch), &cause);
    if (r < 0) {
        parse->r = pf_fail(parse->err, -r, "%s:%d: %s", parse->path, parse->line, cause.text);
        return 0;
    }
    parse->set_line[index] = parse->line;
    return 1;
}

/* set_line: of each row, all 0 before. */
static int read_file(struct pf_settings *settings, const char *path, int *set_line,
                     struct pf_error *err)
{
    struct parse parse = {.settings = settings, .path = path, .set_line = set_line, .err = err};
    parse.file = fopen(path, "re");
    if (!parse.file)
        return pf_fail_errno(err, errno, "configuration %s", path);
    /* Debian's inih has its options as variables. A ';' inside a value belongs to it, and an
     * indented line is a line like any other. */
    ini_use_stack = false;
    ini_allow_realloc = false;
    ini_max_line = LINE_MAX_BYTES;
    ini_initial_alloc = LINE_MAX_BYTES;
    ini_allow_bom = true;
    ini_allow_inline_comments = false;
    ini_allow_multiline = false;
    ini_allow_no_value = false;
    ini_stop_on_first_error = true;
    int r = ini_parse_stream(read_line, &parse, take_line, &parse);
    if (parse.r == 0 && r > 0)
        parse.r = pf_fail(err, EINVAL, "%s:%d: neither `key = value`, nor [section], nor # comment",
                          path, r);
    else if (parse.r == 0 && r < 0)
        parse.r = pf_fail(err, ENOMEM, "out of memory for the configuration");
    fclose(parse.file);
    return parse.r;
}

int pf_settings_read(struct pf_settings *settings, const char *path, struct pf_error *err)
{
    int *set_line = calloc(pf_setting_count, sizeof(*set_line));
    int r = set_line ? read_file(settings, path, set_line, err)
                     : pf_fail(err, ENOMEM, "out of memory for the configuration");
    free(set_line);
    return r;
}

int pf_settings_line(const char *path, const char *key)
{
    struct pf_settings settings;
    struct pf_error ignored = {0};
    const struct pf_setting *row = pf_setting_find(key, strlen(key));
    int *set_line = calloc(pf_setting_count, sizeof(*set_line)), line = 0;
    if (row && set_line && pf_settings_init(&settings, &ignored) == 0) {
        read_file(&settings, path, set_line, &ignored);
        line = set_line[row - pf_setting_rows];
        pf_settings_free(&settings);
    }
    pf_error_clear(&ignored);
    free(set_line);
    return line;
}

/* Help as comment lines of at most about 100 columns. */
static void print_comment(FILE *to, const char *text)
{
    enum { WIDTH = 96 };
    while (*text) {
        size_t length = strlen(text);
        if (length > WIDTH) {
            length = WIDTH;
            while (length && text[length] != ' ')
                length--;
            length = length ? length : WIDTH;
        }
        fprintf(to, "# %.*s\n", (int)length, text);
        text += length;
        while (*text == ' ')
            text++;
    }
}

static void print_help_lines(FILE *to, const struct pf_setting *row)
{
    char text[1024];
    bool number = row->type == PF_SETTING_INT || row->type == PF_SETTING_REAL;
    int used = snprintf(text, sizeof(text), "%s", row->help);
    if (number)
        used += snprintf(text + used, sizeof(text) - (size_t)used, " (%.12g to %.12g%s%s)",
                         row->minimum, row->maximum, *row->unit ? " " : "", row->unit);
    else
        used += snprintf(text + used, sizeof(text) - (size_t)used, " (%s)",
                         row->type == PF_SETTING_BOOL ? "yes|no" : row->unit);
    if (*row->initial)
        snprintf(text + used, sizeof(text) - (size_t)used, "; default %s", row->initial);
    fputc('\n', to);
    print_comment(to, text);
}

/* mark: "#" before what is not set but by default. */
static void print_text(FILE *to, const struct pf_setting *row, const char *mark, const char *value)
{
    size_t length = strlen(value);
    bool quoted = length && !pf_setting_is_command(row) &&
                  (isspace((unsigned char)value[0]) || value[0] == '"' ||
                   isspace((unsigned char)value[length - 1]));
    if (strpbrk(value, "\r\n"))
        fprintf(to, "# %s: this value holds a line break and can be given as an option only\n",
                row->key);
    else
        fprintf(to, "%s%s = %s%s%s\n", mark, row->key, quoted ? "\"" : "", value,
                quoted ? "\"" : "");
}

/* -ENOMEM. */
static int print_value(FILE *to, const struct pf_settings *settings,
                       const struct pf_settings *defaults, const struct pf_setting *row)
{
    if (row->type == PF_SETTING_LIST) {
        const struct pf_list *list = (const void *)((const char *)settings + row->offset);
        for (size_t i = 0; i < list->count; i++)
            print_text(to, row, "", list->items[i]);
        if (!list->count)
            fprintf(to, "#%s = %s\n", row->key, row->unit);
        return 0;
    }
    char *value = pf_setting_text(settings, row), *initial = pf_setting_text(defaults, row);
    bool had = value && initial;
    if (had)
        print_text(to, row, strcmp(value, initial) ? "" : "#", value);
    free(value);
    free(initial);
    return had ? 0 : -ENOMEM;
}

int pf_settings_print(const struct pf_settings *settings, FILE *to)
{
    struct pf_settings defaults;
    if (pf_settings_init(&defaults, NULL) < 0)
        return -ENOMEM;
    errno = 0;
    fputs(
        "# Configuration of parfocal. Every key is also an option of the same name, with '-' for\n"
        "# '_'; options win. Comments stand on lines of their own; [section] lines are free.\n"
        "# What is a comment of the form #key = value is as the program has it by itself.\n",
        to);
    int r = 0;
    /* Sections in the order of their first row. */
    for (size_t i = 0; !r && i < pf_setting_count; i++) {
        bool first = true;
        for (size_t j = 0; j < i; j++)
            first &= strcmp(pf_setting_rows[j].section, pf_setting_rows[i].section) != 0;
        if (!first)
            continue;
        fprintf(to, "\n[%s]\n", pf_setting_rows[i].section);
        for (size_t j = i; !r && j < pf_setting_count; j++)
            if (strcmp(pf_setting_rows[j].section, pf_setting_rows[i].section) == 0) {
                print_help_lines(to, &pf_setting_rows[j]);
                r = print_value(to, settings, &defaults, &pf_setting_rows[j]);
            }
    }
    pf_settings_free(&defaults);
    if (r < 0)
        return r;
    return fflush(to) || ferror(to) ? -(errno ? errno : EIO) : 0;
}
