#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "service/acting.h"
#include "service/asking.h"
#include "service/hooks.h"
#include "service/http/api.h"

static void accept_it(struct pf_http_request *request, const char *what, const char *key,
                      int64_t value)
{
    json_t *object = json_pack("{s:s}", "accepted", what);
    if (key)
        json_object_set_new(object, key, json_integer(value));
    pf_http_reply_json(request, 202, object);
}

/* ---- bursts ---- */

/* What can be done with one burst, or all of them (0). */
struct action {
    int (*act)(struct pf_service *service, int64_t burst, size_t *ret_count, struct pf_error *err);
    const char *done, *none;
};
static const struct action finish = {pf_act_finish, "finished", "no burst was open"};
static const struct action retry = {pf_act_retry, "tried again", "no burst has failed"};
static const struct action dismiss = {pf_act_dismiss, "dismissed",
                                      "no failed burst is left to dismiss"};

static void act_on(struct pf_api *api, struct pf_http_request *request, const struct action *action,
                   int64_t burst)
{
    struct pf_error err = {0};
    size_t count = 0;
    int r = action->act(api->service, burst, &count, &err);
    if (r < 0)
        pf_api_fail(request, r, &err);
    else
        accept_it(request, count ? action->done : action->none, "bursts", (int64_t)count);
}

/* The number of the burst in the path; 0: it has been replied that there is none. */
static int64_t burst_of(struct pf_api *api, struct pf_http_request *request)
{
    struct pf_journal_bursts bursts = {0};
    if (!pf_api_burst(api, request, &bursts))
        return 0;
    int64_t number = bursts.items[0].number;
    pf_journal_bursts_free(&bursts);
    return number;
}

static void act_on_one(struct pf_api *api, struct pf_http_request *request,
                       const struct action *action)
{
    int64_t burst = burst_of(api, request);
    if (burst)
        act_on(api, request, action, burst);
}

void pf_api_finish(struct pf_http_request *request, void *context)
{
    act_on_one(context, request, &finish);
}

void pf_api_finish_all(struct pf_http_request *request, void *context)
{
    act_on(context, request, &finish, 0);
}

void pf_api_retry(struct pf_http_request *request, void *context)
{
    act_on_one(context, request, &retry);
}

void pf_api_retry_all(struct pf_http_request *request, void *context)
{
    act_on(context, request, &retry, 0);
}

void pf_api_dismiss(struct pf_http_request *request, void *context)
{
    act_on_one(context, request, &dismiss);
}

void pf_api_dismiss_all(struct pf_http_request *request, void *context)
{
    act_on(context, request, &dismiss, 0);
}

void pf_api_restack(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_error err = {0};
    json_t *body;
    int version = 0;
    if (pf_http_body(request, &body) < 0)
        return;
    const json_t *settings = json_object_get(body, "settings");
    int64_t burst = settings && !json_is_object(settings) ? -1 : burst_of(api, request);
    if (burst > 0) {
        json_t *none = json_object();
        int r = pf_act_restack(api->service, burst, settings ? settings : none, &version, &err);
        json_decref(none);
        if (r < 0)
            pf_api_fail(request, r, &err);
        else
            accept_it(request, "stacked again", "version", version);
    } else if (burst < 0) {
        pf_http_reply_error(request, 422, "value", "`settings` is no object");
    }
    json_decref(body);
}

static void discard(struct pf_api *api, struct pf_http_request *request, bool out)
{
    struct pf_journal_frames frames = {0};
    struct pf_error err = {0};
    int version = 0;
    int64_t burst = burst_of(api, request);
    if (!burst || !pf_api_frame(api, request, 1, &frames))
        return;
    int r =
        pf_act_discard(api->service, burst, frames.items[0].record->id.text, out, &version, &err);
    pf_journal_frames_free(&frames);
    if (r < 0)
        pf_api_fail(request, r, &err);
    else
        accept_it(request, out ? "discarded" : "taken back", version ? "version" : NULL, version);
}

void pf_api_discard(struct pf_http_request *request, void *context)
{
    discard(context, request, true);
}

void pf_api_restore(struct pf_http_request *request, void *context)
{
    discard(context, request, false);
}

/* ---- sources ---- */

void pf_api_scan(struct pf_http_request *request, void *context)
{
    size_t number;
    struct pf_source *source = pf_api_source(context, request, &number);
    if (!source)
        return;
    pf_source_scan(source);
    accept_it(request, "it is looked at", NULL, 0);
}

void pf_api_scan_all(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    for (size_t i = 0; i < api->service->source_count; i++)
        pf_source_scan(api->service->sources[i]);
    accept_it(request, "all sources are looked at", NULL, 0);
}

/* ---- cameras ---- */

/* Something that a camera was asked here and has not answered yet. */
struct ask {
    struct ask *next;
    struct pf_asks *all;
    int64_t id;
    struct pf_http_request *request;
};

struct pf_asks {
    struct pf_service *service;
    struct ask *first;
};

int pf_asks_new(struct pf_asks **ret, struct pf_service *service, struct pf_error *err)
{
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return pf_fail(err, ENOMEM, "out of memory");
    (*ret)->service = service;
    return 0;
}

struct pf_asks *pf_asks_free(struct pf_asks *asks)
{
    while (asks && asks->first) {
        struct ask *ask = asks->first;
        asks->first = ask->next;
        pf_asking_forget(asks->service, ask->id);
        pf_http_reply_error(ask->request, 503, "ending", "the service ends");
        free(ask);
    }
    free(asks);
    return NULL;
}

static void on_answer(struct pf_service *service, int64_t id, const json_t *answer, void *context)
{
    struct ask *ask = context, **at = &ask->all->first;
    (void)service, (void)id;
    if (answer && !json_is_true(json_object_get(answer, "done")))
        return;
    while (*at != ask)
        at = &(*at)->next;
    *at = ask->next;
    json_t *told = json_deep_copy(answer);
    json_object_del(told, "id");
    json_object_del(told, "event");
    if (!answer || (json_object_get(answer, "error") && !json_object_get(answer, "can"))) {
        char *why = pf_json_bytes_value(json_object_get(answer, "error"));
        pf_http_reply_error(ask->request, 502, "camera", "%s",
                            why ? why : "the process of the camera has ended; it is started again");
        free(why);
        json_decref(told);
    } else {
        pf_http_reply_json(ask->request, 200, told);
    }
    free(ask);
}

/* How a bracket goes is told by events. */
static void on_bracket(struct pf_service *service, int64_t id, const json_t *answer, void *context)
{
    (void)service, (void)id, (void)answer, (void)context;
}

void pf_api_camera(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    size_t number;
    json_t *body;
    char why[PF_ASKING_WHY] = "", called[256]; /* several may have the name "camera" */
    struct pf_source *source = pf_api_source(api, request, &number);
    if (!source || pf_http_body(request, &body) < 0)
        return;
    const char *wrong = !pf_source_is_camera(source) ? "this source is no camera"
                        : body                       ? NULL
                                                     : "nothing is asked";
    const char *what = json_string_value(json_object_get(body, "do"));
    bool bracket =
        what && !strcmp(what, "bracket") && !json_is_true(json_object_get(body, "dry_run"));
    struct ask *ask = wrong ? NULL : calloc(1, sizeof(*ask));
    if (wrong || !ask) {
        json_decref(body);
        pf_http_reply_error(request, wrong ? 422 : 503, wrong ? "value" : "memory", "%s",
                            wrong ? wrong : "out of memory");
        return;
    }
    int64_t id = pf_asking_ask(api->service, pf_source_called(source, called, sizeof(called)), body,
                               bracket ? on_bracket : on_answer, ask, why);
    if (id >= 0 && !bracket) {
        *ask = (struct ask){api->asks->first, api->asks, id, request};
        api->asks->first = ask;
        return;
    }
    free(ask);
    if (id < 0) {
        pf_http_reply_error(request,
                            id == -EINVAL  ? 422
                            : id == -EBUSY ? 409
                                           : 503,
                            id == -EINVAL  ? "value"
                            : id == -EBUSY ? "busy"
                                           : "camera",
                            "%s", why);
    } else {
        accept_it(request, "the bracket begins", "ask", id);
    }
}

void pf_api_cancel(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    size_t number;
    struct pf_source *source = pf_api_source(api, request, &number);
    if (!source)
        return;
    int64_t id = pf_source_asked(source);
    if (!id) {
        pf_http_reply_error(request, 409, "state",
                            "the camera is at nothing that could be stopped");
        return;
    }
    pf_asking_cancel(api->service, id);
    accept_it(request, "it is stopped in order", "ask", id);
}

void pf_api_answer(struct pf_api *api, struct pf_source *source, int64_t id, const json_t *answer)
{
    struct pf_service *service = api->service;
    size_t number = 0;
    while (number < service->source_count && service->sources[number] != source)
        number++;
    json_t *told = answer ? json_deep_copy(answer)
                          : json_pack("{s:b, s:s}", "done", 1, "error",
                                      "the process of the camera has ended; it is started again");
    json_object_del(told, "id");
    json_object_del(told, "event");
    pf_events_publish(service->events, "camera",
                      json_pack("{s:I, s:I, s:o}", "source", (json_int_t)number, "ask",
                                (json_int_t)id, "answer", told));
}

/* ---- what hooks have been told ---- */

void pf_api_deliveries(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_error err = {0};
    int64_t limit;
    if (pf_http_query_integer(request, "limit", 1, 200, 50, &limit) < 0)
        return;
    json_t *all = pf_hooks_list(api->service->hooks, (size_t)limit, &err);
    if (all)
        pf_http_reply_json(request, 200, json_pack("{s:o}", "deliveries", all));
    else
        pf_api_fail(request, -err.code, &err);
}

void pf_api_retry_delivery(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_error err = {0};
    int r = pf_hooks_retry(api->service->hooks, pf_http_argument(request, 0), &err);
    if (r < 0)
        pf_api_fail(request, r == -EINVAL ? -EBUSY : r, &err);
    else
        accept_it(request, "it is told again", NULL, 0);
}
