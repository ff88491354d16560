/* parfocal settings, and restack with others. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/exit.h"
#include "config/base/jsonl.h"
#include "config/settings_table.h"
#include "service/api_call.h"
#include "service/api_command.h"

/* "key=value" as JSON of the setting's type. */
static int take_pair(json_t *settings, const char *pair, struct pf_error *err)
{
    const char *equals = strchr(pair, '=');
    size_t length = equals ? (size_t)(equals - pair) : strlen(pair);
    const struct pf_setting *row = pf_setting_find(pair, length);
    if (!equals || !row)
        return pf_fail(err, EINVAL,
                       "%.100s: a setting is given as KEY=VALUE, for example align=hybrid", pair);
    json_object_set_new(settings, row->key, json_string(equals + 1));
    return 0;
}

int pf_restack_main(int argc, char **argv)
{
    struct pf_call command;
    char path[512];
    json_t *settings = json_object();
    int status = pf_call_begin(&command, argc, argv, 1, 64);
    if (!status && !pf_call_is_name(&command, command.argv[0]))
        status = PF_EXIT_USAGE;
    for (int i = 1; !status && i < command.argc; i++)
        if (take_pair(settings, command.argv[i], &command.err) < 0)
            status = PF_EXIT_USAGE;
    if (!status) {
        snprintf(path, sizeof(path), "/api/v1/bursts/%.400s/restack", command.argv[0]);
        status = pf_call_act(&command, path, json_pack("{s:O}", "settings", settings));
    }
    json_decref(settings);
    return pf_call_end(&command, status);
}

/* ---- settings ---- */

static void print_value(const json_t *value)
{
    size_t i;
    const json_t *item;
    char *bytes = pf_json_bytes_value(value);
    if (bytes)
        printf("%s", bytes);
    else if (json_is_boolean(value))
        printf("%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%g", json_real_value(value));
    json_array_foreach(value, i, item)
    {
        printf("%s", i ? ", " : "");
        print_value(item);
    }
    free(bytes);
}

static void print_settings(const struct pf_call *command, const json_t *settings)
{
    size_t i;
    const json_t *row;
    json_array_foreach(settings, i, row)
    {
        bool fixed = !json_is_true(json_object_get(row, "changeable"));
        if (!command->argc && fixed && !command->all)
            continue;
        bool wanted = !command->argc;
        for (int k = 0; k < command->argc; k++) {
            const struct pf_setting *named =
                pf_setting_find(command->argv[k], strcspn(command->argv[k], "="));
            wanted |= named && !strcmp(named->key, pf_call_text(row, "key"));
        }
        if (!wanted)
            continue;
        printf("%s = ", pf_call_text(row, "key"));
        print_value(json_object_get(row, "value"));
        printf("%s\n", fixed ? "  (from the next start of the service on)" : "");
    }
}

/* Operands are all KEY, or all KEY=VALUE, which go into `wanted`. */
static int take_settings(struct pf_call *command, json_t *wanted)
{
    for (int i = 0; i < command->argc; i++) {
        char key[128];
        const char *pair = command->argv[i];
        size_t length = strcspn(pair, "=");
        snprintf(key, sizeof(key), "%.*s", (int)(length < 100 ? length : 100), pair);
        if (!pf_setting_find(pair, length))
            return pf_setting_unknown(pf_setting_rows, pf_setting_count, key, &command->err);
        if (pair[length] && take_pair(wanted, pair, &command->err) < 0)
            return -EINVAL;
    }
    if (json_object_size(wanted) && json_object_size(wanted) != (size_t)command->argc)
        return pf_fail(&command->err, EINVAL,
                       "operands are KEY, to be shown, or KEY=VALUE, each once, to be set");
    return 0;
}

int pf_settings_main(int argc, char **argv)
{
    struct pf_call command;
    json_t *wanted = json_object(), *reply = NULL;
    int status = pf_call_begin(&command, argc, argv, 0, 64);
    if (!status && take_settings(&command, wanted) < 0)
        status = PF_EXIT_USAGE;
    if (!status && json_object_size(wanted))
        reply = pf_call_ask(&command, "PATCH", "/api/v1/settings", json_incref(wanted));
    else if (!status)
        reply = pf_call_ask(&command, "GET", "/api/v1/settings", NULL);
    if (reply && command.json)
        pf_call_print(reply);
    else if (reply)
        print_settings(&command, json_object_get(reply, "settings"));
    status = reply ? PF_EXIT_OK : status ? status : PF_EXIT_FAILURE;
    json_decref(reply);
    json_decref(wanted);
    return pf_call_end(&command, status);
}
