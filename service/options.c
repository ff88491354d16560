#include "service/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"

static int take(struct pf_options *options, char *text, struct pf_error *err)
{
    char **grown = text ? realloc(options->items, (options->count + 2) * sizeof(*grown)) : NULL;
    if (!grown) {
        free(text);
        return pf_fail(err, ENOMEM, "out of memory for options");
    }
    options->items = grown;
    options->items[options->count++] = text;
    options->items[options->count] = NULL;
    return 0;
}

int pf_options_add(struct pf_options *options, const char *text, struct pf_error *err)
{
    return take(options, strdup(text), err);
}

void pf_options_free(struct pf_options *options)
{
    for (size_t i = 0; i < options->count; i++)
        free(options->items[i]);
    free(options->items);
    *options = (struct pf_options){0};
}

struct target {
    struct pf_options *options;
    const char *section, *key; /* one of them; the other is NULL */
    struct pf_error *err;
    int r;
};

static void __attribute__((format(printf, 4, 5)))
option(struct target *to, const char *section, const char *key, const char *format, ...)
{
    const char *plain = strncmp(key, "no_", 3) ? key : key + 3;
    if (to->r < 0 || (to->section ? strcmp(section, to->section) : strcmp(plain, to->key)))
        return;
    char *value = NULL, *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&value, format, args) < 0)
        value = NULL;
    va_end(args);
    if (!value || asprintf(&text, "--%s%s", key, value) < 0)
        text = NULL;
    free(value);
    for (char *at = text; at && *at && *at != '='; at++)
        if (*at == '_')
            *at = '-';
    to->r = take(to->options, text, to->err);
}

/* The index-th word of "a|b|c". */
static const char *word(const char *words, int index, int *ret_length)
{
    for (; index > 0; index--)
        words = strchr(words, '|') + 1;
    *ret_length = (int)strcspn(words, "|");
    return words;
}

static void choice(struct target *to, const char *section, const char *key, const char *words,
                   int index)
{
    int length;
    const char *text = word(words, index, &length);
    option(to, section, key, "=%.*s", length, text);
}

static void boolean(struct target *to, const char *section, const char *key, bool value)
{
    char name[64];
    snprintf(name, sizeof(name), "%s%s", value ? "" : "no_", key);
    option(to, section, name, "%s", "");
}

static int add(const struct pf_settings *settings, struct target to)
{
#define TEXT(key, d, lo, hi, unit, sect, help) option(&to, sect, #key, "=%s", settings->key);
#define LIST(key, d, lo, hi, unit, sect, help)
#define CHOICE(key, d, lo, hi, unit, sect, help) choice(&to, sect, #key, unit, settings->key);
#define INT(key, d, lo, hi, unit, sect, help)    option(&to, sect, #key, "=%" PRId64, settings->key);
#define REAL(key, d, lo, hi, unit, sect, help)   option(&to, sect, #key, "=%.12g", settings->key);
#define BOOL(key, d, lo, hi, unit, sect, help)   boolean(&to, sect, #key, settings->key);
    PF_SETTINGS(TEXT, LIST, CHOICE, INT, REAL, BOOL)
    return to.r;
}

int pf_options_add_section(struct pf_options *options, const struct pf_settings *settings,
                           const char *section, struct pf_error *err)
{
    return add(settings, (struct target){options, section, NULL, err, 0});
}

int pf_options_add_key(struct pf_options *options, const struct pf_settings *settings,
                       const char *key, struct pf_error *err)
{
    return add(settings, (struct target){options, NULL, key, err, 0});
}

struct object {
    json_t *object;
    const char *keys;
};

static void member(struct object *to, const char *key, json_t *value)
{
    size_t length = strlen(key);
    bool wanted = false;
    for (const char *at = to->keys; *at && !wanted; at += strspn(at, " ")) {
        size_t word_length = strcspn(at, " ");
        wanted = word_length == length && !strncmp(at, key, length);
        at += word_length;
    }
    if (!wanted)
        json_decref(value);
    else if (json_object_set_new(to->object, key, value) < 0)
        to->object = (json_decref(to->object), NULL);
}

static json_t *json_word(const char *words, int index)
{
    int length;
    const char *text = word(words, index, &length);
    return json_stringn(text, (size_t)length);
}

json_t *pf_options_json(const struct pf_settings *settings, const char *keys)
{
    struct object to = {json_object(), keys};
#undef TEXT
#undef CHOICE
#undef INT
#undef REAL
#undef BOOL
#define TEXT(key, d, lo, hi, unit, sect, help)   member(&to, #key, pf_json_bytes(settings->key));
#define CHOICE(key, d, lo, hi, unit, sect, help) member(&to, #key, json_word(unit, settings->key));
#define INT(key, d, lo, hi, unit, sect, help)    member(&to, #key, json_integer(settings->key));
#define REAL(key, d, lo, hi, unit, sect, help)   member(&to, #key, json_real(settings->key));
#define BOOL(key, d, lo, hi, unit, sect, help)   member(&to, #key, json_boolean(settings->key));
    PF_SETTINGS(TEXT, LIST, CHOICE, INT, REAL, BOOL)
    return to.object;
}
