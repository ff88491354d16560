#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"
#include "config/base/version.h"
#include "config/settings_table.h"
#include "service/acting.h"
#include "service/describe.h"
#include "service/hooks.h"
#include "service/http/api.h"
#include "service/timer.h"

/* ---- space on disks ---- */

#define SPACE_MS       10000
#define SPACE_LEAST_MB 512 /* less is a trouble */
#define SPACES         3

struct space {
    struct pf_spaces *all;
    const char *what;
    char *path;
    bool asked; /* a thread is at it: what follows is its own */
    struct statvfs asked_fs;
    int asked_r;
    /* what it found last */
    bool known;
    int r;
    int64_t free_bytes, total_bytes;
};

struct pf_spaces {
    struct pf_work *work;
    struct pf_troubles *troubles;
    struct event *timer;
    struct space all[SPACES];
    bool ending;
};

static void look(void *context)
{
    struct space *space = context;
    space->asked_r = statvfs(space->path, &space->asked_fs) < 0 ? errno : 0;
}

static void looked(void *context)
{
    struct space *space = context;
    char id[32];
    space->asked = false;
    space->known = true;
    space->r = space->asked_r;
    space->free_bytes = (int64_t)space->asked_fs.f_bavail * (int64_t)space->asked_fs.f_frsize;
    space->total_bytes = (int64_t)space->asked_fs.f_blocks * (int64_t)space->asked_fs.f_frsize;
    snprintf(id, sizeof(id), "space.%s", space->what);
    if (space->all->ending)
        return;
    if (!space->r && space->total_bytes && space->free_bytes < (int64_t)SPACE_LEAST_MB << 20)
        pf_trouble_on(space->all->troubles, true, id, NULL, "%s: less than %d MiB are free in %s",
                      space->what, SPACE_LEAST_MB, space->path);
    else
        pf_trouble_off(space->all->troubles, id);
}

static void on_space_timer(evutil_socket_t fd, short what, void *context)
{
    struct pf_spaces *spaces = context;
    (void)fd, (void)what;
    for (size_t i = 0; i < SPACES; i++) {
        struct space *space = &spaces->all[i];
        /* Where the last look has not come back, the disk does not answer. */
        if (space->asked) {
            space->r = ETIMEDOUT;
        } else if (space->path) {
            space->asked = true;
            if (pf_work_add(spaces->work, look, looked, space) < 0)
                space->asked = false;
        }
    }
    pf_timer_set(spaces->timer, SPACE_MS);
}

int pf_spaces_new(struct pf_spaces **ret, struct event_base *base, struct pf_work *work,
                  const struct pf_settings *settings, struct pf_troubles *troubles,
                  struct pf_error *err)
{
    bool cameras = false;
    for (size_t i = 0; i < settings->source.count; i++)
        cameras |= pf_settings_camera(settings->source.items[i]) != NULL;
    struct pf_spaces *spaces = calloc(1, sizeof(*spaces));
    if (spaces)
        spaces->timer = evtimer_new(base, on_space_timer, spaces);
    if (!spaces || !spaces->timer) {
        free(spaces);
        return pf_fail(err, ENOMEM, "out of memory");
    }
    spaces->work = work;
    spaces->troubles = troubles;
    spaces->all[0] =
        (struct space){.all = spaces, .what = "outbox", .path = strdup(settings->outbox)};
    spaces->all[1] =
        (struct space){.all = spaces, .what = "state", .path = strdup(settings->state)};
    spaces->all[2] = (struct space){
        .all = spaces, .what = "spool", .path = cameras ? strdup(settings->spool) : NULL};
    on_space_timer(-1, 0, spaces);
    *ret = spaces;
    return 0;
}

struct pf_spaces *pf_spaces_free(struct pf_spaces *spaces)
{
    bool hangs = false;
    if (!spaces)
        return NULL;
    spaces->ending = true;
    event_free(spaces->timer);
    for (size_t i = 0; i < SPACES; i++)
        hangs |= spaces->all[i].asked;
    if (hangs) /* a thread may still be at it */
        return NULL;
    for (size_t i = 0; i < SPACES; i++)
        free(spaces->all[i].path);
    free(spaces);
    return NULL;
}

json_t *pf_spaces_json(const struct pf_spaces *spaces)
{
    json_t *all = json_array();
    for (size_t i = 0; i < SPACES; i++) {
        const struct space *space = &spaces->all[i];
        bool well = space->known && !space->r;
        if (!space->path)
            continue;
        json_t *object =
            json_pack("{s:s, s:o}", "what", space->what, "path", pf_json_bytes(space->path));
        json_object_set_new(object, "free_bytes",
                            well ? json_integer(space->free_bytes) : json_null());
        json_object_set_new(object, "total_bytes",
                            well ? json_integer(space->total_bytes) : json_null());
        json_object_set_new(object, "error",
                            space->r ? json_string(strerror(space->r)) : json_null());
        json_array_append_new(all, object);
    }
    return all;
}

/* ---- status ---- */

static json_t *sources_json(struct pf_api *api)
{
    json_t *all = json_array();
    for (size_t i = 0; i < api->service->source_count; i++) {
        json_t *source = pf_source_json(api->service->sources[i]);
        json_object_set_new(source, "source", json_integer((json_int_t)i));
        json_array_append_new(all, source);
    }
    return all;
}

static json_t *queue_json(const struct pf_service *service)
{
    size_t bursts = 0, waiting = 0, in_hand = 0;
    for (const struct pf_job *job = pf_scheduler_jobs(service->scheduler); job; job = job->next) {
        bursts++;
        for (size_t i = 0; i < job->count; i++) {
            waiting += job->frames[i].step == PF_STEP_WAITING;
            in_hand += job->frames[i].step == PF_STEP_SENT;
        }
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "bursts", (json_int_t)bursts, "frames_waiting",
                     (json_int_t)waiting, "frames_in_hand", (json_int_t)in_hand, "held",
                     (json_int_t)service->held_count, "journal",
                     (json_int_t)pf_ledger_count(service->ledger));
}

static json_t *open_json(struct pf_service *service)
{
    json_t *all = json_array();
    for (const struct pf_job *job = pf_scheduler_jobs(service->scheduler); job; job = job->next) {
        struct pf_journal_bursts bursts = {0};
        struct pf_error err = {0};
        if (pf_journal_burst(service->journal, job->burst, &bursts, &err) < 0)
            continue;
        json_array_append_new(all, pf_describe_burst(service, &bursts.items[0]));
        pf_journal_bursts_free(&bursts);
    }
    return all;
}

json_t *pf_api_status_json(struct pf_api *api)
{
    struct pf_service *service = api->service;
    char last[64];
    int64_t uptime_ms = pf_monotonic_ms() - service->started_ms;
    bool degraded = pf_troubles_degrade(service->troubles);
    struct pf_error err = {0};
    json_t *hooks = pf_hooks_list(service->hooks, 20, &err);
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:{s:I, s:I}}",
        "version", pf_version(), "now_ms", (json_int_t)pf_wall_ms(), "started_ms",
        (json_int_t)(pf_wall_ms() - uptime_ms), "uptime_ms", (json_int_t)uptime_ms, "health",
        degraded ? "degraded" : "ok", "troubles", pf_troubles_json(service->troubles), "worker",
        pf_scheduler_worker(service->scheduler), "queue", queue_json(service), "sources",
        sources_json(api), "space", pf_spaces_json(api->spaces), "open", open_json(service),
        "hooks", hooks ? hooks : json_array(), "last_event", pf_streams_last_id(api->streams, last),
        "clients", "connections", (json_int_t)pf_http_connections(api->http), "events",
        (json_int_t)pf_streams_count(api->streams));
}

void pf_api_status(struct pf_http_request *request, void *context)
{
    pf_http_reply_json(request, 200, pf_api_status_json(context));
}

void pf_api_health(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    bool degraded = pf_troubles_degrade(api->service->troubles);
    json_t *health = json_pack("{s:s}", "status", degraded ? "degraded" : "ok");
    if (pf_http_access(request) >= PF_ACCESS_READ)
        json_object_set_new(health, "troubles", pf_troubles_json(api->service->troubles));
    pf_http_reply_json(request, degraded ? 503 : 200, health);
}

void pf_api_sources(struct pf_http_request *request, void *context)
{
    pf_http_reply_json(request, 200, json_pack("{s:o}", "sources", sources_json(context)));
}

/* ---- settings ---- */

static json_t *value_json(const struct pf_setting *row, const char *text)
{
    if (row->type == PF_SETTING_INT)
        return json_integer(strtoll(text, NULL, 10));
    if (row->type == PF_SETTING_REAL)
        return json_real(strtod(text, NULL));
    if (row->type == PF_SETTING_BOOL)
        return json_boolean(!strcmp(text, "yes"));
    return pf_json_bytes(text);
}

/* Hooks without what is secret in them: who may only look sees this as well. */
static json_t *list_json(const struct pf_list *list, bool hooks)
{
    json_t *all = json_array();
    for (size_t i = 0; i < list->count; i++) {
        char *shown = hooks ? pf_hook_shown(list->items[i]) : strdup(list->items[i]);
        json_array_append_new(all, pf_json_bytes(shown ? shown : ""));
        free(shown);
    }
    return all;
}

static json_t *choices_json(const char *words)
{
    json_t *all = json_array();
    for (size_t length; *words; words += length, words += *words == '|') {
        length = strcspn(words, "|");
        json_array_append_new(all, json_stringn(words, length));
    }
    return all;
}

static bool is_secret(const char *key)
{
    return strstr(key, "token") || strstr(key, "secret") || strstr(key, "password");
}

static json_t *setting_json(const struct pf_settings *settings, const struct pf_setting *row)
{
    static const char *const types[] = {
        [PF_SETTING_TEXT] = "text", [PF_SETTING_LIST] = "list", [PF_SETTING_CHOICE] = "choice",
        [PF_SETTING_INT] = "int",   [PF_SETTING_REAL] = "real", [PF_SETTING_BOOL] = "bool"};
    bool list = row->type == PF_SETTING_LIST, choice = row->type == PF_SETTING_CHOICE;
    bool number = row->type == PF_SETTING_INT || row->type == PF_SETTING_REAL;
    char *text = pf_setting_text(settings, row);
    json_t *value = list ? list_json((const struct pf_list *)((const char *)settings + row->offset),
                                     !strcmp(row->section, "hooks"))
                    : !text                               ? NULL
                    : is_secret(row->key) && *text != '/' ? json_string(*text ? "(set)" : "")
                                                          : value_json(row, text);
    free(text);
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b}", "key", row->key, "type",
                               types[row->type], "section", row->section, "help", row->help,
                               "default", list ? json_array() : value_json(row, row->initial),
                               "value", value, "changeable", pf_act_is_changeable(row->key));
    if (!object)
        return NULL;
    json_object_set_new(object, "unit",
                        *row->unit && !choice ? json_string(row->unit) : json_null());
    if (choice)
        json_object_set_new(object, "choices", choices_json(row->unit));
    if (number) {
        json_object_set_new(object, "minimum", json_real(row->minimum));
        json_object_set_new(object, "maximum", json_real(row->maximum));
    }
    return object;
}

void pf_api_settings(struct pf_http_request *request, void *context)
{
    const struct pf_api *api = context;
    json_t *all = json_array();
    for (size_t i = 0; i < pf_setting_count; i++)
        json_array_append_new(all, setting_json(&api->service->settings, &pf_setting_rows[i]));
    pf_http_reply_json(request, 200, json_pack("{s:o}", "settings", all));
}

void pf_api_set_settings(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_error err = {0};
    json_t *wanted;
    if (pf_http_body(request, &wanted) < 0)
        return;
    int r = wanted ? pf_act_set(api->service, wanted, &err)
                   : pf_fail(&err, EINVAL, "no settings are given");
    json_decref(wanted);
    if (r < 0)
        pf_api_fail(request, r, &err);
    else
        pf_api_settings(request, context);
}

/* ---- access ---- */

static void reply_session(struct pf_http_request *request, const struct pf_api *api,
                          enum pf_access_kind access)
{
    static const char *const names[] = {"none", "read", "full"};
    pf_http_reply_json(request, 200,
                       json_pack("{s:s, s:b}", "access", names[access], "token_needed",
                                 pf_http_tokens(api->http)->token != NULL));
}

void pf_api_session(struct pf_http_request *request, void *context)
{
    reply_session(request, context, pf_http_access(request));
}

void pf_api_login(struct pf_http_request *request, void *context)
{
    const struct pf_api *api = context;
    char cookie[4096 + 128];
    json_t *body;
    if (pf_http_body(request, &body) < 0)
        return;
    const char *token = json_string_value(json_object_get(body, "token"));
    enum pf_access_kind access = !token ? PF_ACCESS_NONE
                                 : pf_http_tokens(api->http)->token
                                     ? pf_access_of_token(pf_http_tokens(api->http), token)
                                     : PF_ACCESS_FULL;
    if (!token) {
        pf_http_reply_error(request, 422, "value", "`token` is missing");
    } else if (access == PF_ACCESS_NONE || strlen(token) > 4000) {
        pf_http_reply_error(request, 401, "token", "this is no token of this service");
    } else {
        if (pf_http_tokens(api->http)
                ->token) { /* so it has no characters that a cookie may not have */
            snprintf(cookie, sizeof(cookie), "parfocal=%s; Path=/; HttpOnly; SameSite=Strict",
                     token);
            pf_http_add_header(request, "Set-Cookie", cookie);
        }
        reply_session(request, api, access);
    }
    json_decref(body);
}

void pf_api_logout(struct pf_http_request *request, void *context)
{
    const struct pf_api *api = context;
    pf_http_add_header(request, "Set-Cookie",
                       "parfocal=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    reply_session(request, api, pf_http_tokens(api->http)->token ? PF_ACCESS_NONE : PF_ACCESS_FULL);
}
