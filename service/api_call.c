#include "service/api_call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/base/exit.h"
#include "service/http/client.h"
#include "service/installed.h"

/* Takes an option of ours out of argv. */
static bool take_flag(int *argc, char **argv, const char *flag)
{
    for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], flag) != 0)
            continue;
        memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
        --*argc;
        return true;
    }
    return false;
}

int pf_call_begin(struct pf_call *command, int argc, char **argv, int least, int most)
{
    *command = (struct pf_call){.name = argv[0]};
    if (pf_settings_init(&command->settings, &command->err) < 0)
        return PF_EXIT_FAILURE;
    command->json = take_flag(&argc, argv, "--json");
    command->undo = !strcmp(command->name, "discard") && take_flag(&argc, argv, "--undo");
    command->all = !strcmp(command->name, "settings") && take_flag(&argc, argv, "--all");
    command->installed = pf_installed_is_meant(argc, argv);
    if (command->installed &&
        pf_settings_read(&command->settings, PF_INSTALLED_FILE, &command->err) < 0)
        return PF_EXIT_USAGE;
    if (pf_settings_take_options(&command->settings, &argc, argv, &command->err) < 0)
        return PF_EXIT_USAGE;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-') {
            pf_settings_unknown_option(argv[i], &command->err);
            return PF_EXIT_USAGE;
        }
    command->argc = argc - 1;
    command->argv = argv + 1;
    if (command->argc < least || command->argc > most) {
        pf_fail(&command->err, EINVAL, "%s; see parfocal %s --help",
                command->argc < least ? "an operand is missing" : "there are too many operands",
                command->name);
        return PF_EXIT_USAGE;
    }
    return pf_client_new(&command->client, &command->settings, &command->err) < 0 ? PF_EXIT_FAILURE
                                                                                  : PF_EXIT_OK;
}

int pf_call_end(struct pf_call *command, int status)
{
    if (command->installed)
        pf_installed_advise(command->name, &command->err);
    if (status != PF_EXIT_OK)
        fprintf(stderr, "parfocal %s: %s\n", command->name, command->err.text);
    pf_client_free(command->client);
    pf_settings_free(&command->settings);
    return status;
}

json_t *pf_call_ask(struct pf_call *command, const char *method, const char *path, json_t *body)
{
    json_t *reply = NULL;
    return pf_client_ask(command->client, method, path, body, &reply, &command->err) < 0 ? NULL
                                                                                         : reply;
}

void pf_call_print(const json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
}

const char *pf_call_text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

long long pf_call_integer(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* A burst's name goes into a path: it has no characters that must be escaped. */
bool pf_call_is_name(struct pf_call *command, const char *name)
{
    bool plain = *name &&
                 strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                              "0123456789._-") == strlen(name) &&
                 strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    if (!plain)
        pf_fail(&command->err, EINVAL, "%.100s is not the name of a burst", name);
    return plain;
}

int pf_call_act(struct pf_call *command, const char *path, json_t *body)
{
    json_t *reply = pf_call_ask(command, "POST", path, body);
    if (reply && command->json)
        pf_call_print(reply);
    else if (reply && json_object_get(reply, "version"))
        printf("%s: version %lld is made\n", pf_call_text(reply, "accepted"),
               pf_call_integer(reply, "version"));
    else if (reply)
        printf("%s\n", pf_call_text(reply, "accepted"));
    json_decref(reply);
    return reply ? PF_EXIT_OK : PF_EXIT_FAILURE;
}
