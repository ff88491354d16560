#include "config/settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/text.h"
#include "config/base/words.h"
#include "config/settings_table.h"

static void *value_of(struct pf_settings *settings, const struct pf_setting *row)
{
    return (char *)settings + row->offset;
}

/* Text without the spaces around it. */
static const char *trim(const char *text, size_t *ret_length)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    *ret_length = length;
    return text;
}

static bool same_word(const char *word, const char *text, size_t length)
{
    return strlen(word) == length && strncasecmp(word, text, length) == 0;
}

/* A finite decimal number, a unit allowed behind it. */
static bool read_number(const char *text, const char *unit, double *ret)
{
    size_t length;
    text = trim(text, &length);
    size_t digits = strspn(text, "+-.0123456789eE");
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (!digits || end != text + digits || errno || !isfinite(value))
        return false;
    const char *rest = trim(end, &length);
    if (length && !(*unit && same_word(unit, rest, length)))
        return false;
    *ret = value;
    return true;
}

/* A comment behind a value is part of it: paths may hold these characters. */
static const char *comment_hint(const char *value)
{
    return strpbrk(value, "#;") ? " (a comment stands on a line of its own)" : "";
}

static int bad_number(const struct pf_setting *row, const char *value, bool in_range,
                      struct pf_error *err)
{
    char unit[32] = "";
    if (*row->unit)
        snprintf(unit, sizeof(unit), " %s", row->unit);
    return pf_fail(err, in_range ? EINVAL : ERANGE,
                   "%s = %.200s: must be a%s number from %.12g to %.12g%s%s", row->key, value,
                   row->type == PF_SETTING_INT ? " whole" : "", row->minimum, row->maximum, unit,
                   comment_hint(value));
}

static int set_number(struct pf_settings *settings, const struct pf_setting *row, const char *value,
                      struct pf_error *err)
{
    double number;
    if (!read_number(value, row->unit, &number))
        return bad_number(row, value, true, err);
    if (row->type == PF_SETTING_INT && number != floor(number))
        return bad_number(row, value, true, err);
    if (number < row->minimum || number > row->maximum)
        return bad_number(row, value, false, err);
    if (row->type == PF_SETTING_INT)
        *(int64_t *)value_of(settings, row) = (int64_t)number;
    else
        *(double *)value_of(settings, row) = number;
    return 0;
}

static int set_choice(struct pf_settings *settings, const struct pf_setting *row, const char *value,
                      struct pf_error *err)
{
    size_t length;
    const char *text = trim(value, &length);
    int index = 0;
    for (const char *word = row->unit; *word; index++) {
        size_t word_length = strcspn(word, "|");
        if (word_length == length && strncasecmp(word, text, length) == 0) {
            *(int *)value_of(settings, row) = index;
            return 0;
        }
        word += word_length + (word[word_length] == '|');
    }
    return pf_fail(err, EINVAL, "%s = %.200s: must be %s%s%s", row->key, value,
                   index > 1 ? "one of " : "", row->unit, comment_hint(value));
}

static int set_bool(struct pf_settings *settings, const struct pf_setting *row, const char *value,
                    struct pf_error *err)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    size_t length;
    const char *text = trim(value, &length);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (same_word(words[i], text, length)) {
            *(bool *)value_of(settings, row) = i % 2;
            return 0;
        }
    return pf_fail(err, EINVAL, "%s = %.200s: must be yes or no%s", row->key, value,
                   comment_hint(value));
}

static int check_hook(const struct pf_setting *row, const char *value, struct pf_error *err)
{
    char **words = NULL;
    struct pf_error problem = {0};
    if (pf_settings_is_url(value))
        return 0;
    int r = pf_words(value, &words, &problem);
    pf_words_free(words);
    return r < 0 ? pf_fail(err, problem.code, "%s = %.200s: %s", row->key, value, problem.text) : 0;
}

/* MAKER:WHERE; *ret_length: of the maker. */
static bool read_target(const char *value, size_t *ret_length, enum pf_capture_target *ret)
{
    static const char *const words[] = {[PF_CAPTURE_TARGET_CARD] = "card",
                                        [PF_CAPTURE_TARGET_MEMORY] = "memory",
                                        [PF_CAPTURE_TARGET_LEAVE] = "leave"};
    const char *colon = strrchr(value, ':');
    if (!colon || colon == value)
        return false;
    *ret_length = (size_t)(colon - value);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(colon + 1, words[i])) {
            *ret = (enum pf_capture_target)i;
            return true;
        }
    return false;
}

enum pf_capture_target pf_settings_capture_target(const struct pf_settings *settings,
                                                  const char *maker)
{
    enum pf_capture_target target;
    size_t length;
    for (size_t i = 0; i < settings->capture_target_of.count; i++)
        if (read_target(settings->capture_target_of.items[i], &length, &target) &&
            !strncasecmp(settings->capture_target_of.items[i], maker, length))
            return target;
    return (enum pf_capture_target)settings->capture_target;
}

/* What a text may be, beyond not being empty. */
static int check_text(const struct pf_setting *row, const char *value, struct pf_error *err)
{
    int64_t gap_ms;
    bool fixed;
    size_t length;
    enum pf_capture_target target;
    if (strlen(value) > PF_SETTING_TEXT_MAX)
        return pf_fail(err, ERANGE, "%s = %.40s...: longer than %d bytes", row->key, value,
                       PF_SETTING_TEXT_MAX);
    if (row->offset == offsetof(struct pf_settings, gap))
        return pf_settings_gap(value, &gap_ms, &fixed, err);
    if (row->offset == offsetof(struct pf_settings, source) && !pf_settings_folder(value) &&
        !pf_settings_camera(value))
        return pf_fail(err, EINVAL, "%s = %.200s: must be %s", row->key, value, row->unit);
    if (row->offset == offsetof(struct pf_settings, capture_target_of) &&
        !read_target(value, &length, &target))
        return pf_fail(err, EINVAL, "%s = %.200s: must be %s", row->key, value, row->unit);
    if (!*value && *row->initial)
        return pf_fail(err, EINVAL, "%s: must not be empty (%s)", row->key, row->help);
    if (pf_setting_is_command(row))
        return check_hook(row, value, err);
    return 0;
}

static void clear_list(struct pf_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct pf_list){0};
}

static int set_text(struct pf_settings *settings, const struct pf_setting *row, const char *value,
                    struct pf_error *err)
{
    if (row->type == PF_SETTING_LIST && !*value) {
        clear_list(value_of(settings, row));
        return 0;
    }
    int r = check_text(row, value, err);
    if (r < 0)
        return r;
    char *copy = strdup(value);
    if (!copy)
        return pf_fail(err, ENOMEM, "out of memory for the setting %s", row->key);
    if (row->type == PF_SETTING_TEXT) {
        char **text = value_of(settings, row);
        free(*text);
        *text = copy;
        return 0;
    }
    struct pf_list *list = value_of(settings, row);
    char **grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
    if (!grown) {
        free(copy);
        return pf_fail(err, ENOMEM, "out of memory for the setting %s", row->key);
    }
    list->items = grown;
    list->items[list->count++] = copy;
    return 0;
}

static int set_row(struct pf_settings *settings, const struct pf_setting *row, const char *value,
                   struct pf_error *err)
{
    switch (row->type) {
    case PF_SETTING_TEXT:
    case PF_SETTING_LIST:
        return set_text(settings, row, value, err);
    case PF_SETTING_CHOICE:
        return set_choice(settings, row, value, err);
    case PF_SETTING_INT:
    case PF_SETTING_REAL:
        return set_number(settings, row, value, err);
    case PF_SETTING_BOOL:
        return set_bool(settings, row, value, err);
    }
    return pf_fail(err, EINVAL, "%s: unknown type of setting", row->key);
}

/* As short as it can be without becoming another number. */
static char *number_text(double number)
{
    char text[40];
    snprintf(text, sizeof(text), "%.12g", number);
    if (strtod(text, NULL) != number)
        snprintf(text, sizeof(text), "%.17g", number);
    return strdup(text);
}

char *pf_setting_text(const struct pf_settings *settings, const struct pf_setting *row)
{
    const void *value = (const char *)settings + row->offset;
    switch (row->type) {
    case PF_SETTING_TEXT:
        return strdup(*(char *const *)value);
    case PF_SETTING_LIST:
        break;
    case PF_SETTING_CHOICE: {
        const char *word = row->unit;
        for (int i = *(const int *)value; i > 0 && strchr(word, '|'); i--)
            word = strchr(word, '|') + 1;
        return strndup(word, strcspn(word, "|"));
    }
    case PF_SETTING_INT:
        return pf_text("%" PRId64, *(const int64_t *)value);
    case PF_SETTING_REAL:
        return number_text(*(const double *)value);
    case PF_SETTING_BOOL:
        return strdup(*(const bool *)value ? "yes" : "no");
    }
    return strdup("");
}

int pf_setting_unknown(const struct pf_setting *rows, size_t count, const char *key,
                       struct pf_error *err)
{
    size_t length = strlen(key);
    const struct pf_setting *now = pf_setting_successor(rows, count, key, length);
    if (now)
        return pf_fail(err, ENOENT, "the setting %.100s is called %s now", key, now->key);
    const struct pf_setting *nearest = pf_setting_nearest(key, length);
    if (nearest)
        return pf_fail(err, ENOENT, "unknown setting %.100s; did you mean %s?", key, nearest->key);
    return pf_fail(err, ENOENT, "unknown setting %.100s; `parfocal config show` lists all", key);
}

int pf_settings_set(struct pf_settings *settings, const char *key, const char *value,
                    struct pf_error *err)
{
    const struct pf_setting *row = pf_setting_find(key, strlen(key));
    return row ? set_row(settings, row, value, err)
               : pf_setting_unknown(pf_setting_rows, pf_setting_count, key, err);
}

int pf_settings_init(struct pf_settings *settings, struct pf_error *err)
{
    *settings = (struct pf_settings){0};
    for (size_t i = 0; i < pf_setting_count; i++) {
        int r = set_row(settings, &pf_setting_rows[i], pf_setting_rows[i].initial, err);
        if (r < 0) {
            pf_settings_free(settings);
            return r;
        }
    }
    return 0;
}

void pf_settings_free(struct pf_settings *settings)
{
    if (!settings)
        return;
    for (size_t i = 0; i < pf_setting_count; i++) {
        if (pf_setting_rows[i].type == PF_SETTING_TEXT)
            free(*(char **)value_of(settings, &pf_setting_rows[i]));
        else if (pf_setting_rows[i].type == PF_SETTING_LIST)
            clear_list(value_of(settings, &pf_setting_rows[i]));
    }
    *settings = (struct pf_settings){0};
}

const char *pf_settings_folder(const char *source)
{
    static const char prefix[] = "folder:";
    size_t length = strlen(prefix);
    return !strncmp(source, prefix, length) && source[length] ? source + length : NULL;
}

const char *pf_settings_camera(const char *source)
{
    static const char prefix[] = "camera";
    size_t length = strlen(prefix);
    if (strncmp(source, prefix, length) != 0)
        return NULL;
    source += length;
    return !*source ? source : *source == ':' && source[1] ? source + 1 : NULL;
}

bool pf_settings_is_url(const char *hook)
{
    return !strncasecmp(hook, "http://", 7) || !strncasecmp(hook, "https://", 8);
}

int pf_settings_gap(const char *text, int64_t *ret_gap_ms, bool *ret_fixed, struct pf_error *err)
{
    static const struct {
        const char *name;
        int64_t gap_ms;
    } presets[] = {{"auto", 8000}, {"in-camera", 2000}, {"flash", 8000}, {"rail", 20000}};
    const double least_s = 0.1, most_s = 86400;
    size_t length;
    const char *word = trim(text, &length);
    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
        if (same_word(presets[i].name, word, length)) {
            *ret_gap_ms = presets[i].gap_ms;
            *ret_fixed = false;
            return 0;
        }
    double seconds;
    if (!read_number(text, "s", &seconds) || seconds < least_s || seconds > most_s)
        return pf_fail(
            err, EINVAL,
            "gap = %.200s: must be auto, in-camera, flash, rail or seconds from %g to %g%s", text,
            least_s, most_s, comment_hint(text));
    *ret_gap_ms = llround(seconds * 1000);
    *ret_fixed = true;
    return 0;
}
