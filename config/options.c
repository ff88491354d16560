#include "config/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "config/settings_table.h"

/* Takes `text` over; NULL is out of memory. */
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

static int add_value(struct pf_options *options, const struct pf_setting *row, const char *value,
                     struct pf_error *err)
{
    char *text = value ? pf_text("--%s=%s", row->key, value) : NULL;
    for (char *at = text; at && *at != '='; at++)
        if (*at == '_')
            *at = '-';
    return take(options, text, err);
}

static int add_row(struct pf_options *options, const struct pf_settings *settings,
                   const struct pf_setting *row, struct pf_error *err)
{
    char *value = pf_setting_text(settings, row);
    int r = add_value(options, row, value, err);
    free(value);
    return r;
}

int pf_options_add_section(struct pf_options *options, const struct pf_settings *settings,
                           const char *section, struct pf_error *err)
{
    int r = 0;
    for (size_t i = 0; !r && i < pf_setting_count; i++) {
        const struct pf_setting *row = &pf_setting_rows[i];
        if (row->type != PF_SETTING_LIST && !strcmp(row->section, section))
            r = add_row(options, settings, row, err);
    }
    return r;
}

int pf_options_add_keys(struct pf_options *options, const struct pf_settings *settings,
                        const char *keys, struct pf_error *err)
{
    int r = 0;
    for (size_t length; !r && *keys; keys += length, keys += strspn(keys, " ")) {
        length = strcspn(keys, " ");
        const struct pf_setting *row = pf_setting_find(keys, length);
        if (!row || row->type == PF_SETTING_LIST)
            return pf_fail(err, EINVAL, "the setting %.*s cannot be handed on", (int)length, keys);
        r = add_row(options, settings, row, err);
    }
    return r;
}

int pf_options_add_list(struct pf_options *options, const struct pf_settings *settings,
                        const char *key, struct pf_error *err)
{
    const struct pf_setting *row = pf_setting_find(key, strlen(key));
    if (!row || row->type != PF_SETTING_LIST)
        return pf_fail(err, EINVAL, "%s is no list of settings", key);
    const struct pf_list *list = (const void *)((const char *)settings + row->offset);
    int r = 0;
    for (size_t i = 0; !r && i < list->count; i++)
        r = add_value(options, row, list->items[i], err);
    return r;
}

void pf_options_free(struct pf_options *options)
{
    for (size_t i = 0; i < options->count; i++)
        free(options->items[i]);
    free(options->items);
    *options = (struct pf_options){0};
}

static json_t *json_value(const struct pf_settings *settings, const struct pf_setting *row)
{
    const void *value = (const char *)settings + row->offset;
    switch (row->type) {
    case PF_SETTING_INT:
        return json_integer(*(const int64_t *)value);
    case PF_SETTING_REAL:
        return json_real(*(const double *)value);
    case PF_SETTING_BOOL:
        return json_boolean(*(const bool *)value);
    case PF_SETTING_TEXT:
    case PF_SETTING_CHOICE:
    case PF_SETTING_LIST:
        break;
    }
    char *text = pf_setting_text(settings, row);
    json_t *string = text ? pf_json_bytes(text) : NULL;
    free(text);
    return string;
}

json_t *pf_options_json(const struct pf_settings *settings, const char *keys)
{
    json_t *object = json_object();
    for (size_t length; object && *keys; keys += length, keys += strspn(keys, " ")) {
        length = strcspn(keys, " ");
        const struct pf_setting *row = pf_setting_find(keys, length);
        if (row && json_object_set_new(object, row->key, json_value(settings, row)) < 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}
