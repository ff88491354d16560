#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/base/log.h"
#include "service/http/api.h"
#include "service/service.h"

/* The camera of this name; without one, the only camera there is. */
static struct pf_source *find(struct pf_service *service, const char *name, char *why)
{
    struct pf_source *found = NULL;
    for (size_t i = 0; i < service->source_count; i++) {
        struct pf_source *source = service->sources[i];
        if (!pf_source_is_camera(source) || (name && strcmp(name, pf_source_name(source)) != 0))
            continue;
        if (found) {
            snprintf(why, 768,
                     "the service has several cameras: --source says which, for example %s",
                     pf_source_name(source));
            return NULL;
        }
        found = source;
    }
    if (!found && name)
        snprintf(why, 768, "the service has no source %.300s", name);
    else if (!found)
        snprintf(why, 768, "the service has no camera: start it with --source camera");
    return found;
}

static bool ask(const char *name, int64_t id, json_t *what, char *why, void *context)
{
    struct pf_source *source = find(context, name, why);
    int r = source ? pf_source_ask(source, id, what) : 0;
    if (!source)
        json_decref(what);
    else if (r == -EBUSY)
        snprintf(why, 768, "the camera is busy with what somebody else has asked");
    else if (r < 0)
        snprintf(why, 768, "the camera's process cannot be asked now: %s", strerror(-r));
    return source && !r;
}

static void cancel(int64_t id, void *context)
{
    struct pf_service *service = context;
    for (size_t i = 0; i < service->source_count; i++)
        pf_source_cancel(service->sources[i], id);
}

const struct pf_control_handlers pf_asking_handlers = {ask, cancel};

void pf_asking_answer(struct pf_source *source, int64_t id, const json_t *answer, void *context)
{
    struct pf_service *service = context;
    if (service->api)
        pf_api_answer(service->api, source, id, answer);
    if (!answer) {
        pf_control_lost(service->control, id);
        return;
    }
    /* A bracket that was driven has ended: its burst need not wait for silence. */
    if (json_is_true(json_object_get(answer, "finish")) && !service->stopping)
        pf_intake_finish(service, pf_source_last_frame(source));
    pf_control_answer(service->control, id, answer);
}
