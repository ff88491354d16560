#include "service/api_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/base/exit.h"
#include "config/base/jsonl.h"
#include "config/base/time.h"
#include "config/settings.h"
#include "config/settings_table.h"
#include "service/http/client.h"

struct command {
    const char *name;
    struct pf_settings settings;
    struct pf_client *client;
    bool json, undo, all;
    int argc; /* operands */
    char **argv;
    struct pf_error err;
};

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

static int begin(struct command *command, int argc, char **argv, int least, int most)
{
    *command = (struct command){.name = argv[0]};
    if (pf_settings_init(&command->settings, &command->err) < 0)
        return PF_EXIT_FAILURE;
    command->json = take_flag(&argc, argv, "--json");
    command->undo = !strcmp(command->name, "discard") && take_flag(&argc, argv, "--undo");
    command->all = !strcmp(command->name, "settings") && take_flag(&argc, argv, "--all");
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

static int end(struct command *command, int status)
{
    if (status != PF_EXIT_OK)
        fprintf(stderr, "parfocal %s: %s\n", command->name, command->err.text);
    pf_client_free(command->client);
    pf_settings_free(&command->settings);
    return status;
}

static json_t *ask(struct command *command, const char *method, const char *path, json_t *body)
{
    json_t *reply = NULL;
    return pf_client_ask(command->client, method, path, body, &reply, &command->err) < 0 ? NULL
                                                                                         : reply;
}

static void print_json(const json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static long long integer(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* A burst's name goes into a path: it has no characters that must be escaped. */
static bool is_name(struct command *command, const char *name)
{
    bool plain = *name &&
                 strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                              "0123456789._-") == strlen(name) &&
                 strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    if (!plain)
        pf_fail(&command->err, EINVAL, "%.100s is not the name of a burst", name);
    return plain;
}

/* ---- status ---- */

static void print_status(const json_t *status)
{
    const json_t *worker = json_object_get(status, "worker"), *item;
    size_t i;
    printf("parfocal %s, %s, up %lld s\n", text(status, "version"), text(status, "health"),
           integer(status, "uptime_ms") / 1000);
    printf("worker   %s%s%s%s%s\n", text(worker, "state"), *text(worker, "device") ? ", " : "",
           text(worker, "device"), *text(worker, "device_name") ? ": " : "",
           text(worker, "device_name"));
    json_array_foreach(json_object_get(status, "sources"), i, item)
    {
        printf("source   %s: %s%s%s%s%s\n", text(item, "name"), text(item, "state"),
               *text(item, "mode") ? ", " : "", text(item, "mode"),
               *text(item, "reason") ? ": " : "", text(item, "reason"));
    }
    json_array_foreach(json_object_get(status, "space"), i, item)
    {
        printf("%-8s %s: %.1f GB free\n", text(item, "what"), text(item, "path"),
               (double)integer(item, "free_bytes") / 1e9);
    }
    json_array_foreach(json_object_get(status, "open"), i, item)
    {
        const json_t *deadline = json_object_get(item, "deadline_ms");
        printf("burst    %s: %s, %lld frames", text(item, "id"), text(item, "state"),
               integer(item, "frames"));
        if (json_is_integer(deadline))
            printf(", complete in %.1f s unless a frame comes",
                   (double)(json_integer_value(deadline) - pf_wall_ms()) / 1e3);
        putchar('\n');
    }
    json_array_foreach(json_object_get(status, "troubles"), i, item)
    {
        printf("trouble  %s%s\n", text(item, "text"),
               *text(item, "retry") ? " (it can be retried)" : "");
    }
}

int pf_status_main(int argc, char **argv)
{
    struct command command;
    int status = begin(&command, argc, argv, 0, 0);
    json_t *reply = status ? NULL : ask(&command, "GET", "/api/v1/status", NULL);
    if (reply && command.json)
        print_json(reply);
    else if (reply)
        print_status(reply);
    status = reply ? PF_EXIT_OK : status ? status : PF_EXIT_FAILURE;
    json_decref(reply);
    return end(&command, status);
}

/* ---- bursts ---- */

static void print_burst(const json_t *burst)
{
    printf("%-44s %-11s %3lld frames, %lld fused, %lld aside", text(burst, "id"),
           text(burst, "state"), integer(burst, "frames"), integer(burst, "fused"),
           integer(burst, "aside"));
    if (integer(burst, "version") > 1)
        printf(", version %lld", integer(burst, "version"));
    if (*text(burst, "detail"))
        printf("; %s", text(burst, "detail"));
    putchar('\n');
}

static void print_whole(const json_t *burst)
{
    size_t i, k;
    const json_t *item, *file;
    print_burst(burst);
    json_array_foreach(json_object_get(burst, "items"), i, item)
    {
        const json_t *sharpness = json_object_get(item, "sharpness");
        printf("  %-32s %-8s", text(item, "name"),
               *text(item, "verdict") ? text(item, "verdict") : text(item, "state"));
        if (json_is_number(sharpness))
            printf(" sharpness %.2f", json_number_value(sharpness));
        printf("%s%s\n", *text(item, "reason") ? "  " : "", text(item, "reason"));
    }
    json_array_foreach(json_object_get(burst, "versions"), i, item)
    {
        printf("  version %lld: %s", integer(item, "version"), text(item, "directory"));
        json_array_foreach(json_object_get(item, "files"), k, file)
        {
            printf("%s%s", k ? ", " : ": ", text(file, "name"));
        }
        printf("%s%s\n", *text(item, "missing") ? ": " : "", text(item, "missing"));
    }
}

static bool is_state(const char *word)
{
    static const char *const states[] = {"open", "complete", "published", "failed"};
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
        if (!strcmp(word, states[i]))
            return true;
    return false;
}

int pf_bursts_main(int argc, char **argv)
{
    struct command command;
    char path[512] = "/api/v1/bursts";
    int status = begin(&command, argc, argv, 0, 1);
    const char *word = !status && command.argc ? command.argv[0] : NULL;
    bool one = word && !is_state(word);
    json_t *reply = NULL, *item;
    size_t i;
    if (one && !is_name(&command, word))
        status = PF_EXIT_USAGE;
    else if (word)
        snprintf(path, sizeof(path), "/api/v1/bursts%s%.400s", one ? "/" : "?state=", word);
    if (!status)
        reply = ask(&command, "GET", path, NULL);
    if (reply && command.json)
        print_json(reply);
    else if (reply && one)
        print_whole(reply);
    json_array_foreach(command.json || one ? NULL : json_object_get(reply, "bursts"), i, item)
    {
        print_burst(item);
    }
    status = reply ? PF_EXIT_OK : status ? status : PF_EXIT_FAILURE;
    json_decref(reply);
    return end(&command, status);
}

/* ---- actions ---- */

static int act(struct command *command, const char *path, json_t *body)
{
    json_t *reply = ask(command, "POST", path, body);
    if (reply && command->json)
        print_json(reply);
    else if (reply && json_object_get(reply, "version"))
        printf("%s: version %lld is made\n", text(reply, "accepted"), integer(reply, "version"));
    else if (reply)
        printf("%s\n", text(reply, "accepted"));
    json_decref(reply);
    return reply ? PF_EXIT_OK : PF_EXIT_FAILURE;
}

/* An action on the burst that is named, or on all. */
static int act_on_burst(int argc, char **argv)
{
    struct command command;
    char path[512];
    int status = begin(&command, argc, argv, 0, 1);
    if (!status && command.argc && !is_name(&command, command.argv[0]))
        status = PF_EXIT_USAGE;
    if (!status) {
        snprintf(path, sizeof(path), "/api/v1/%s%.400s%s%s", command.argc ? "bursts/" : "",
                 command.argc ? command.argv[0] : "", command.argc ? "/" : "", command.name);
        status = act(&command, path, NULL);
    }
    return end(&command, status);
}

int pf_finish_main(int argc, char **argv)
{
    return act_on_burst(argc, argv);
}

int pf_retry_main(int argc, char **argv)
{
    return act_on_burst(argc, argv);
}

/* The number of the source of this name; -1: there is none. */
static long long find_source(struct command *command, const char *name)
{
    json_t *reply = ask(command, "GET", "/api/v1/sources", NULL);
    const json_t *item;
    long long number = -1;
    size_t i;
    json_array_foreach(json_object_get(reply, "sources"), i, item)
    {
        char *called = pf_json_bytes_value(json_object_get(item, "name"));
        if (called && !strcmp(called, name))
            number = integer(item, "source");
        free(called);
    }
    if (reply && number < 0)
        pf_fail(&command->err, ENOENT, "there is no source %.300s; `parfocal status` names them",
                name);
    json_decref(reply);
    return number;
}

int pf_scan_main(int argc, char **argv)
{
    struct command command;
    char path[64] = "/api/v1/scan";
    int status = begin(&command, argc, argv, 0, 1);
    if (!status && command.argc) {
        long long number = find_source(&command, command.argv[0]);
        snprintf(path, sizeof(path), "/api/v1/sources/%lld/scan", number);
        status = number < 0 ? PF_EXIT_FAILURE : status;
    }
    if (!status)
        status = act(&command, path, NULL);
    return end(&command, status);
}

static void print_delivery(const json_t *delivery)
{
    printf("%-32s %-10s %-8s %lld tries  %s", text(delivery, "id"), text(delivery, "hook"),
           text(delivery, "state"), integer(delivery, "tries"), text(delivery, "target"));
    if (*text(delivery, "burst"))
        printf("  %s", text(delivery, "burst"));
    printf("%s%s\n", *text(delivery, "error") ? ": " : "", text(delivery, "error"));
}

int pf_hooks_main(int argc, char **argv)
{
    struct command command;
    char path[512] = "/api/v1/deliveries";
    json_t *reply = NULL, *item;
    size_t i;
    int status = begin(&command, argc, argv, 0, 2);
    if (!status && command.argc &&
        (command.argc != 2 || strcmp(command.argv[0], "retry") != 0 ||
         !is_name(&command, command.argv[1]))) {
        pf_fail(&command.err, EINVAL,
                "operands are `retry ID`, or none; see parfocal hooks --help");
        return end(&command, PF_EXIT_USAGE);
    }
    if (!status && command.argc) {
        snprintf(path, sizeof(path), "/api/v1/deliveries/%.400s/retry", command.argv[1]);
        return end(&command, act(&command, path, NULL));
    }
    if (!status)
        reply = ask(&command, "GET", path, NULL);
    if (reply && command.json)
        print_json(reply);
    json_array_foreach(command.json ? NULL : json_object_get(reply, "deliveries"), i, item)
    {
        print_delivery(item);
    }
    status = reply ? PF_EXIT_OK : status ? status : PF_EXIT_FAILURE;
    json_decref(reply);
    return end(&command, status);
}

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
    struct command command;
    char path[512];
    json_t *settings = json_object();
    int status = begin(&command, argc, argv, 1, 64);
    if (!status && !is_name(&command, command.argv[0]))
        status = PF_EXIT_USAGE;
    for (int i = 1; !status && i < command.argc; i++)
        if (take_pair(settings, command.argv[i], &command.err) < 0)
            status = PF_EXIT_USAGE;
    if (!status) {
        snprintf(path, sizeof(path), "/api/v1/bursts/%.400s/restack", command.argv[0]);
        status = act(&command, path, json_pack("{s:O}", "settings", settings));
    }
    json_decref(settings);
    return end(&command, status);
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

static void print_settings(const struct command *command, const json_t *settings)
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
            wanted |= named && !strcmp(named->key, text(row, "key"));
        }
        if (!wanted)
            continue;
        printf("%s = ", text(row, "key"));
        print_value(json_object_get(row, "value"));
        printf("%s\n", fixed ? "  (from the next start of the service on)" : "");
    }
}

/* Operands are all KEY, or all KEY=VALUE, which go into `wanted`. */
static int take_settings(struct command *command, json_t *wanted)
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
    struct command command;
    json_t *wanted = json_object(), *reply = NULL;
    int status = begin(&command, argc, argv, 0, 64);
    if (!status && take_settings(&command, wanted) < 0)
        status = PF_EXIT_USAGE;
    if (!status && json_object_size(wanted))
        reply = ask(&command, "PATCH", "/api/v1/settings", json_incref(wanted));
    else if (!status)
        reply = ask(&command, "GET", "/api/v1/settings", NULL);
    if (reply && command.json)
        print_json(reply);
    else if (reply)
        print_settings(&command, json_object_get(reply, "settings"));
    status = reply ? PF_EXIT_OK : status ? status : PF_EXIT_FAILURE;
    json_decref(reply);
    json_decref(wanted);
    return end(&command, status);
}

/* The identity of a frame that is named by it, or by its file. */
static bool find_frame(struct command *command, const char *burst, const char *frame, char *to,
                       size_t size)
{
    char path[512];
    size_t i;
    const json_t *item;
    snprintf(path, sizeof(path), "/api/v1/bursts/%.400s", burst);
    json_t *whole = ask(command, "GET", path, NULL);
    bool found = false;
    json_array_foreach(json_object_get(whole, "items"), i, item)
    {
        char *name = pf_json_bytes_value(json_object_get(item, "name"));
        if ((name && !strcmp(name, frame)) || !strcmp(text(item, "frame"), frame)) {
            snprintf(to, size, "%s", text(item, "frame"));
            found = true;
        }
        free(name);
    }
    if (whole && !found)
        pf_fail(&command->err, ENOENT, "the burst has no frame %.200s", frame);
    json_decref(whole);
    return found;
}

int pf_discard_main(int argc, char **argv)
{
    struct command command;
    char path[512], frame[80];
    int status = begin(&command, argc, argv, 2, 2);
    if (!status && !is_name(&command, command.argv[0]))
        status = PF_EXIT_USAGE;
    if (!status && !find_frame(&command, command.argv[0], command.argv[1], frame, sizeof(frame)))
        status = PF_EXIT_FAILURE;
    if (!status) {
        snprintf(path, sizeof(path), "/api/v1/bursts/%.300s/frames/%.60s/%s", command.argv[0],
                 frame, command.undo ? "restore" : "discard");
        status = act(&command, path, NULL);
    }
    return end(&command, status);
}

/* ---- watching ---- */

static void print_time(const json_t *data)
{
    char when[32];
    int64_t at_ms = integer(data, "at_ms");
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    strftime(when, sizeof(when), "%H:%M:%S", &tm);
    printf("%s.%03d ", when, (int)(at_ms % 1000));
}

/* The name of what an event is about. */
static const char *about(const char *type, const json_t *data)
{
    const json_t *frame = json_object_get(data, "frame");
    if (json_is_object(frame))
        return text(frame, "name");
    if (!strcmp(type, "frame.seen") || !strcmp(type, "frame.rejected"))
        return text(data, "name");
    if (!strcmp(type, "source"))
        return text(json_object_get(data, "source"), "name");
    return text(data, "burst");
}

static bool print_event(const char *type, const json_t *data, void *context)
{
    const struct command *command = context;
    const json_t *frame = json_object_get(data, "frame");
    const char *reason = *text(data, "reason") ? text(data, "reason")
                         : *text(frame, "reason")
                             ? text(frame, "reason")
                             : text(json_object_get(data, "summary"), "detail");
    if (command->json) {
        json_t *line = json_pack("{s:s, s:O}", "event", type, "data", data);
        char *dumped = pf_json_text(line, JSON_COMPACT);
        puts(dumped ? dumped : "");
        free(dumped);
        json_decref(line);
    } else if (strcmp(type, "hello") != 0) {
        print_time(data);
        printf("%-18s %s", type, about(type, data));
        if (json_is_number(json_object_get(frame, "sharpness")))
            printf(", sharpness %.2f", json_number_value(json_object_get(frame, "sharpness")));
        if (!strcmp(type, "burst.skipped"))
            printf(": a focal plane is missing between %s and %s", text(data, "from_name"),
                   text(data, "to_name"));
        if (!strcmp(type, "burst.stage"))
            printf(": %s", text(data, "stage"));
        if (!strcmp(type, "worker"))
            printf("%s", text(json_object_get(data, "worker"), "state"));
        if (!strcmp(type, "trouble"))
            printf("%s: %s", json_is_true(json_object_get(data, "on")) ? "" : "over",
                   text(json_object_get(data, "trouble"), "text"));
        if (*text(data, "directory"))
            printf(": %s", text(data, "directory"));
        printf("%s%s\n", *reason ? ": " : "", reason);
    }
    return fflush(stdout) == 0 && !ferror(stdout);
}

int pf_watch_main(int argc, char **argv)
{
    struct command command;
    char path[512] = "/api/v1/events";
    int status = begin(&command, argc, argv, 0, 1), r = 0;
    if (!status && command.argc && !is_name(&command, command.argv[0]))
        status = PF_EXIT_USAGE;
    else if (!status && command.argc)
        snprintf(path, sizeof(path), "/api/v1/events?burst=%.400s", command.argv[0]);
    bool heard = false;
    while (!status && r == 0) {
        r = pf_client_listen(command.client, path, print_event, &command, &command.err);
        /* The service may be on its way back. */
        for (int tries = 0; heard && r == -ECONNREFUSED && tries < 30; tries++) {
            sleep(1);
            pf_error_clear(&command.err);
            r = pf_client_listen(command.client, path, print_event, &command, &command.err);
        }
        heard = true;
    }
    if (!status && r < 0)
        status = PF_EXIT_FAILURE;
    return end(&command, status);
}
