#include "service/asking.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/time.h"
#include "service/http/api.h"
#include "service/service.h"

struct asker {
    struct asker *next;
    int64_t id;
    pf_asking_answered *answered;
    void *context;
};

struct pf_asking {
    struct asker *askers;
    int64_t last_id;
};

int pf_asking_new(struct pf_asking **ret, struct pf_error *err)
{
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return pf_fail(err, ENOMEM, "out of memory for what cameras are asked");
    /* Brackets are known by these numbers also after a restart, in the records of their frames. */
    (*ret)->last_id = pf_wall_ms();
    return 0;
}

struct pf_asking *pf_asking_free(struct pf_asking *asking)
{
    for (struct asker *asker = asking ? asking->askers : NULL, *next; asker; asker = next) {
        next = asker->next;
        free(asker);
    }
    free(asking);
    return NULL;
}

/* The camera of this name; without one, the only camera there is. */
static struct pf_source *find(struct pf_service *service, const char *name, char *why)
{
    struct pf_source *found = NULL;
    for (size_t i = 0; i < service->source_count; i++) {
        struct pf_source *source = service->sources[i];
        if (!pf_source_is_camera(source) || (name && !pf_source_is(source, name)))
            continue;
        if (found) {
            char other[256];
            snprintf(why, PF_ASKING_WHY,
                     "the service has several cameras: --source says which, for example %s",
                     pf_source_called(source, other, sizeof(other)));
            return NULL;
        }
        found = source;
    }
    if (!found && name)
        snprintf(why, PF_ASKING_WHY, "the service has no camera %.300s", name);
    else if (!found)
        snprintf(why, PF_ASKING_WHY, "the service has no camera: start it with --source camera");
    return found;
}

static bool whole(const json_t *ask, const char *key, json_int_t low, json_int_t high)
{
    const json_t *value = json_object_get(ask, key);
    return json_is_integer(value) && json_integer_value(value) >= low &&
           json_integer_value(value) <= high;
}

/* What may be asked, and what it needs. NULL: it is well. */
static const char *check(const json_t *ask)
{
    const char *what = json_string_value(json_object_get(ask, "do"));
    bool named = json_is_string(json_object_get(ask, "name"));
    if (!what)
        return "`do` is missing: list, get, set, trigger, bracket";
    if (!strcmp(what, "list") || !strcmp(what, "trigger"))
        return NULL;
    if (!strcmp(what, "get"))
        return named ? NULL : "`name` is missing";
    if (!strcmp(what, "set"))
        return named && json_is_string(json_object_get(ask, "value"))
                   ? NULL
                   : "`name` and `value` are texts";
    if (strcmp(what, "bracket") != 0)
        return "`do` is list, get, set, trigger or bracket";
    if (!whole(ask, "frames", 2, 10000))
        return "`frames` is a whole number from 2 to 10000";
    if (!whole(ask, "step", -32767, 32767) || whole(ask, "step", 0, 0))
        return "`step` is a whole number from 1 to 32767, negative for near";
    if (json_object_get(ask, "settle_ms") && !whole(ask, "settle_ms", 0, 60000))
        return "`settle_ms` is a whole number from 0 to 60000";
    return NULL;
}

static int ask_source(struct pf_source *source, int64_t id, json_t *ask, char *why)
{
    int r = pf_source_ask(source, id, json_incref(ask));
    if (r < 0)
        snprintf(why, PF_ASKING_WHY, "%s",
                 r == -EBUSY      ? "the camera is busy with what somebody else has asked"
                 : r == -ENOTCONN ? "the camera's process is being started"
                                  : "the camera's process cannot be asked now");
    return r;
}

int64_t pf_asking_ask(struct pf_service *service, const char *source_name, json_t *ask,
                      pf_asking_answered *answered, void *context, char *why)
{
    struct pf_asking *asking = service->asking;
    const char *what = json_string_value(json_object_get(ask, "do"));
    struct asker *asker = calloc(1, sizeof(*asker));
    int64_t id = asking->last_id + 1;
    int r = 0;
    const char *wrong = asker ? check(ask) : "out of memory";
    if (wrong) {
        r = asker ? -EINVAL : -ENOMEM;
        snprintf(why, PF_ASKING_WHY, "%s", wrong);
    }
    struct pf_source *source = r ? NULL : find(service, source_name, why);
    if (!r)
        r = source ? ask_source(source, id, ask, why) : -ENOENT;
    if (!r && !strcmp(what, "bracket") && !json_is_true(json_object_get(ask, "dry_run")))
        pf_driving_begin(service, source, id, ask);
    json_decref(ask);
    if (r < 0) {
        free(asker);
        return r;
    }
    *asker = (struct asker){asking->askers, id, answered, context};
    asking->askers = asker;
    return asking->last_id = id;
}

void pf_asking_cancel(struct pf_service *service, int64_t id)
{
    for (size_t i = 0; i < service->source_count; i++)
        pf_source_cancel(service->sources[i], id);
}

int pf_asking_stop(struct pf_service *service, const char *source_name, char *why)
{
    struct pf_source *source = find(service, source_name, why);
    int64_t id = source ? pf_source_asked(source) : 0;
    if (source && !id)
        snprintf(why, PF_ASKING_WHY, "the camera is at nothing that could be stopped");
    if (id)
        pf_asking_cancel(service, id);
    return id ? 0 : source ? -EALREADY : -ENOENT;
}

void pf_asking_forget(struct pf_service *service, int64_t id)
{
    for (struct asker **at = &service->asking->askers; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            struct asker *asker = *at;
            *at = asker->next;
            free(asker);
            return;
        }
}

void pf_asking_answer(struct pf_source *source, int64_t id, const json_t *answer, void *context)
{
    struct pf_service *service = context;
    if (service->api)
        pf_api_answer(service->api, source, id, answer);
    struct asker *asker = service->asking ? service->asking->askers : NULL;
    pf_driving_answer(service, source, id, answer);
    while (asker && asker->id != id)
        asker = asker->next;
    if (!asker)
        return;
    struct asker told = *asker;
    if (!answer || json_is_true(json_object_get(answer, "done")))
        pf_asking_forget(service, id);
    told.answered(service, id, answer, told.context);
}
