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
#include "service/api_call.h"
#include "service/http/client.h"

/* ---- status ---- */

static void print_status(const json_t *status)
{
    const json_t *worker = json_object_get(status, "worker"), *item;
    size_t i;
    printf("parfocal %s, %s, up %lld s\n", pf_call_text(status, "version"),
           pf_call_text(status, "health"), pf_call_integer(status, "uptime_ms") / 1000);
    printf("worker   %s%s%s%s%s%s%s\n", pf_call_text(worker, "state"),
           *pf_call_text(worker, "device") ? ", " : "", pf_call_text(worker, "device"),
           *pf_call_text(worker, "device_name") ? ": " : "", pf_call_text(worker, "device_name"),
           *pf_call_text(worker, "step") ? ": " : "", pf_call_text(worker, "step"));
    json_array_foreach(json_object_get(status, "sources"), i, item)
    {
        printf("source   %s: %s%s%s%s%s\n", pf_call_text(item, "name"), pf_call_text(item, "state"),
               *pf_call_text(item, "mode") ? ", " : "", pf_call_text(item, "mode"),
               *pf_call_text(item, "reason") ? ": " : "", pf_call_text(item, "reason"));
    }
    json_array_foreach(json_object_get(status, "space"), i, item)
    {
        printf("%-8s %s: %.1f GB free\n", pf_call_text(item, "what"), pf_call_text(item, "path"),
               (double)pf_call_integer(item, "free_bytes") / 1e9);
    }
    json_array_foreach(json_object_get(status, "open"), i, item)
    {
        const json_t *deadline = json_object_get(item, "deadline_ms");
        printf("burst    %s: %s, %lld frames", pf_call_text(item, "id"),
               pf_call_text(item, "state"), pf_call_integer(item, "frames"));
        if (json_is_integer(deadline))
            printf(", complete in %.1f s unless a frame comes",
                   (double)(json_integer_value(deadline) - pf_wall_ms()) / 1e3);
        putchar('\n');
    }
    json_array_foreach(json_object_get(status, "troubles"), i, item)
    {
        printf("trouble  %s%s\n", pf_call_text(item, "text"),
               *pf_call_text(item, "dismiss") ? " (it can be retried, or dismissed)"
               : *pf_call_text(item, "retry") ? " (it can be retried)"
                                              : "");
    }
}

int pf_status_main(int argc, char **argv)
{
    struct pf_call command;
    int status = pf_call_begin(&command, argc, argv, 0, 0);
    json_t *reply = status ? NULL : pf_call_ask(&command, "GET", "/api/v1/status", NULL);
    if (reply && command.json)
        pf_call_print(reply);
    else if (reply)
        print_status(reply);
    status = reply ? PF_EXIT_OK : status ? status : PF_EXIT_FAILURE;
    json_decref(reply);
    return pf_call_end(&command, status);
}

/* ---- bursts ---- */

static void print_burst(const json_t *burst)
{
    printf("%-44s %-11s %3lld frames, %lld fused, %lld aside", pf_call_text(burst, "id"),
           pf_call_text(burst, "state"), pf_call_integer(burst, "frames"),
           pf_call_integer(burst, "fused"), pf_call_integer(burst, "aside"));
    if (pf_call_integer(burst, "version") > 1)
        printf(", version %lld", pf_call_integer(burst, "version"));
    if (*pf_call_text(burst, "detail"))
        printf("; %s", pf_call_text(burst, "detail"));
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
        printf("  %-32s %-8s", pf_call_text(item, "name"),
               *pf_call_text(item, "verdict") ? pf_call_text(item, "verdict")
                                              : pf_call_text(item, "state"));
        if (json_is_number(sharpness))
            printf(" sharpness %.2f", json_number_value(sharpness));
        printf("%s%s\n", *pf_call_text(item, "reason") ? "  " : "", pf_call_text(item, "reason"));
    }
    json_array_foreach(json_object_get(burst, "versions"), i, item)
    {
        printf("  version %lld: %s", pf_call_integer(item, "version"),
               pf_call_text(item, "directory"));
        json_array_foreach(json_object_get(item, "files"), k, file)
        {
            printf("%s%s", k ? ", " : ": ", pf_call_text(file, "name"));
        }
        printf("%s%s\n", *pf_call_text(item, "missing") ? ": " : "", pf_call_text(item, "missing"));
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
    struct pf_call command;
    char path[512] = "/api/v1/bursts";
    int status = pf_call_begin(&command, argc, argv, 0, 1);
    const char *word = !status && command.argc ? command.argv[0] : NULL;
    bool one = word && !is_state(word);
    json_t *reply = NULL, *item;
    size_t i;
    if (one && !pf_call_is_name(&command, word))
        status = PF_EXIT_USAGE;
    else if (word)
        snprintf(path, sizeof(path), "/api/v1/bursts%s%.400s", one ? "/" : "?state=", word);
    if (!status)
        reply = pf_call_ask(&command, "GET", path, NULL);
    if (reply && command.json)
        pf_call_print(reply);
    else if (reply && one)
        print_whole(reply);
    json_array_foreach(command.json || one ? NULL : json_object_get(reply, "bursts"), i, item)
    {
        print_burst(item);
    }
    status = reply ? PF_EXIT_OK : status ? status : PF_EXIT_FAILURE;
    json_decref(reply);
    return pf_call_end(&command, status);
}

/* ---- actions ---- */

/* An action on the burst that is named, or on all. */
static int act_on_burst(int argc, char **argv)
{
    struct pf_call command;
    char path[512];
    int status = pf_call_begin(&command, argc, argv, 0, 1);
    if (!status && command.argc && !pf_call_is_name(&command, command.argv[0]))
        status = PF_EXIT_USAGE;
    if (!status) {
        snprintf(path, sizeof(path), "/api/v1/%s%.400s%s%s", command.argc ? "bursts/" : "",
                 command.argc ? command.argv[0] : "", command.argc ? "/" : "", command.name);
        status = pf_call_act(&command, path, NULL);
    }
    return pf_call_end(&command, status);
}

int pf_finish_main(int argc, char **argv)
{
    return act_on_burst(argc, argv);
}

int pf_retry_main(int argc, char **argv)
{
    return act_on_burst(argc, argv);
}

int pf_dismiss_main(int argc, char **argv)
{
    return act_on_burst(argc, argv);
}

/* The number of the source of this name; -1: there is none. */
static long long find_source(struct pf_call *command, const char *name)
{
    json_t *reply = pf_call_ask(command, "GET", "/api/v1/sources", NULL);
    const json_t *item;
    long long number = -1;
    size_t i;
    json_array_foreach(json_object_get(reply, "sources"), i, item)
    {
        char *called = pf_json_bytes_value(json_object_get(item, "name"));
        if (called && !strcmp(called, name))
            number = pf_call_integer(item, "source");
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
    struct pf_call command;
    char path[64] = "/api/v1/scan";
    int status = pf_call_begin(&command, argc, argv, 0, 1);
    if (!status && command.argc) {
        long long number = find_source(&command, command.argv[0]);
        snprintf(path, sizeof(path), "/api/v1/sources/%lld/scan", number);
        status = number < 0 ? PF_EXIT_FAILURE : status;
    }
    if (!status)
        status = pf_call_act(&command, path, NULL);
    return pf_call_end(&command, status);
}

static void print_delivery(const json_t *delivery)
{
    printf("%-32s %-10s %-8s %lld tries  %s", pf_call_text(delivery, "id"),
           pf_call_text(delivery, "hook"), pf_call_text(delivery, "state"),
           pf_call_integer(delivery, "tries"), pf_call_text(delivery, "target"));
    if (*pf_call_text(delivery, "burst"))
        printf("  %s", pf_call_text(delivery, "burst"));
    printf("%s%s\n", *pf_call_text(delivery, "error") ? ": " : "", pf_call_text(delivery, "error"));
}

int pf_hooks_main(int argc, char **argv)
{
    struct pf_call command;
    char path[512] = "/api/v1/deliveries";
    json_t *reply = NULL, *item;
    size_t i;
    int status = pf_call_begin(&command, argc, argv, 0, 2);
    if (!status && command.argc &&
        (command.argc != 2 || strcmp(command.argv[0], "retry") != 0 ||
         !pf_call_is_name(&command, command.argv[1]))) {
        pf_fail(&command.err, EINVAL,
                "operands are `retry ID`, or none; see parfocal hooks --help");
        return pf_call_end(&command, PF_EXIT_USAGE);
    }
    if (!status && command.argc) {
        snprintf(path, sizeof(path), "/api/v1/deliveries/%.400s/retry", command.argv[1]);
        return pf_call_end(&command, pf_call_act(&command, path, NULL));
    }
    if (!status)
        reply = pf_call_ask(&command, "GET", path, NULL);
    if (reply && command.json)
        pf_call_print(reply);
    json_array_foreach(command.json ? NULL : json_object_get(reply, "deliveries"), i, item)
    {
        print_delivery(item);
    }
    status = reply ? PF_EXIT_OK : status ? status : PF_EXIT_FAILURE;
    json_decref(reply);
    return pf_call_end(&command, status);
}

/* The identity of a frame that is named by it, or by its file. */
static bool find_frame(struct pf_call *command, const char *burst, const char *frame, char *to,
                       size_t size)
{
    char path[512];
    size_t i;
    const json_t *item;
    snprintf(path, sizeof(path), "/api/v1/bursts/%.400s", burst);
    json_t *whole = pf_call_ask(command, "GET", path, NULL);
    bool found = false;
    json_array_foreach(json_object_get(whole, "items"), i, item)
    {
        char *name = pf_json_bytes_value(json_object_get(item, "name"));
        if ((name && !strcmp(name, frame)) || !strcmp(pf_call_text(item, "frame"), frame)) {
            snprintf(to, size, "%s", pf_call_text(item, "frame"));
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
    struct pf_call command;
    char path[512], frame[80];
    int status = pf_call_begin(&command, argc, argv, 2, 2);
    if (!status && !pf_call_is_name(&command, command.argv[0]))
        status = PF_EXIT_USAGE;
    if (!status && !find_frame(&command, command.argv[0], command.argv[1], frame, sizeof(frame)))
        status = PF_EXIT_FAILURE;
    if (!status) {
        snprintf(path, sizeof(path), "/api/v1/bursts/%.300s/frames/%.60s/%s", command.argv[0],
                 frame, command.undo ? "restore" : "discard");
        status = pf_call_act(&command, path, NULL);
    }
    return pf_call_end(&command, status);
}

/* ---- watching ---- */

static void print_time(const json_t *data)
{
    char when[32];
    int64_t at_ms = pf_call_integer(data, "at_ms");
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
        return pf_call_text(frame, "name");
    if (!strcmp(type, "frame.seen") || !strcmp(type, "frame.rejected"))
        return pf_call_text(data, "name");
    if (!strcmp(type, "source"))
        return pf_call_text(json_object_get(data, "source"), "name");
    return pf_call_text(data, "burst");
}

static bool print_event(const char *type, const json_t *data, void *context)
{
    const struct pf_call *command = context;
    const json_t *frame = json_object_get(data, "frame");
    const char *reason = *pf_call_text(data, "reason") ? pf_call_text(data, "reason")
                         : *pf_call_text(frame, "reason")
                             ? pf_call_text(frame, "reason")
                             : pf_call_text(json_object_get(data, "summary"), "detail");
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
            printf(": a focal plane is missing between %s and %s", pf_call_text(data, "from_name"),
                   pf_call_text(data, "to_name"));
        if (!strcmp(type, "burst.stage"))
            printf(": %s", pf_call_text(data, "stage"));
        if (!strcmp(type, "worker"))
            printf("%s", pf_call_text(json_object_get(data, "worker"), "state"));
        if (!strcmp(type, "trouble"))
            printf("%s: %s", json_is_true(json_object_get(data, "on")) ? "" : "over",
                   pf_call_text(json_object_get(data, "trouble"), "text"));
        if (*pf_call_text(data, "directory"))
            printf(": %s", pf_call_text(data, "directory"));
        printf("%s%s\n", *reason ? ": " : "", reason);
    }
    return fflush(stdout) == 0 && !ferror(stdout);
}

int pf_watch_main(int argc, char **argv)
{
    struct pf_call command;
    char path[512] = "/api/v1/events";
    int status = pf_call_begin(&command, argc, argv, 0, 1), r = 0;
    if (!status && command.argc && !pf_call_is_name(&command, command.argv[0]))
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
    return pf_call_end(&command, status);
}
