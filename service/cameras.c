#include "service/cameras.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/scout.h"
#include "config/base/array.h"
#include "config/base/log.h"
#include "config/options.h"
#include "service/child.h"
#include "service/service.h"
#include "service/timer.h"

#define ANY     "camera"
#define REST_MS 60000 /* a camera that went a moment ago comes back to its process */

struct pf_cameras {
    struct pf_service *service;
    struct pf_child *scout;
    struct event *silence, *rest;
    json_t *found; /* array, of the last event; NULL: none yet */
};

static bool is_any(const struct pf_source *source)
{
    return !strcmp(pf_source_name(source), ANY);
}

/* How many cameras there are that no source of the configuration names. */
static size_t wanted(const struct pf_cameras *cameras)
{
    const struct pf_service *service = cameras->service;
    size_t count = 0, i;
    const json_t *camera;
    json_array_foreach(cameras->found, i, camera)
    {
        const char *port = json_string_value(json_object_get(camera, "port"));
        bool named = false;
        for (size_t k = 0; k < service->source_count; k++)
            named |=
                port && !is_any(service->sources[k]) && pf_source_is(service->sources[k], port);
        count += !named;
    }
    return count > PF_CAMERAS_MAX ? PF_CAMERAS_MAX : count ? count : 1;
}

/* A process more, that takes any camera. */
static int add(struct pf_cameras *cameras, struct pf_error *err)
{
    struct pf_service *service = cameras->service;
    struct pf_source **sources =
        realloc(service->sources, (service->source_count + 1) * sizeof(struct pf_source *));
    if (!sources)
        return pf_fail(err, ENOMEM, "out of memory for a camera");
    service->sources = sources;
    int r =
        pf_source_new(&sources[service->source_count], service->base, service->journal,
                      service->disks, &service->settings, ANY, &pf_intake_handlers, service, err);
    if (r < 0)
        return r;
    if (service->blocked)
        pf_source_pause(sources[service->source_count], true);
    service->source_count++;
    return 0;
}

static void say_rest(struct pf_cameras *cameras)
{
    const struct pf_service *service = cameras->service;
    size_t idle = 0, any = 0, needed = wanted(cameras);
    for (size_t i = 0; i < service->source_count; i++) {
        if (!is_any(service->sources[i]))
            continue;
        any++;
        idle += !pf_source_has_camera(service->sources[i]);
    }
    /* The last ones first: the first one stays awake, and says that no camera is there. */
    for (size_t i = service->source_count; any > needed && idle && i-- > 0;) {
        struct pf_source *source = service->sources[i];
        if (!is_any(source) || pf_source_has_camera(source))
            continue;
        pf_source_say(source, json_pack("{s:s}", "cmd", "rest"));
        any--;
        idle--;
    }
}

static void on_rest(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    say_rest(context);
}

static void on_found(struct pf_cameras *cameras, const json_t *found)
{
    struct pf_service *service = cameras->service;
    struct pf_error err = {0};
    size_t any = 0;
    json_decref(cameras->found);
    cameras->found = json_deep_copy(found);
    for (size_t i = 0; i < service->source_count; i++) {
        any += is_any(service->sources[i]);
        if (is_any(service->sources[i]) && !pf_source_has_camera(service->sources[i]))
            pf_source_say(service->sources[i], json_pack("{s:s}", "cmd", "look"));
    }
    for (; any < wanted(cameras); any++) {
        if (add(cameras, &err) < 0) {
            pf_log_error("a camera cannot be taken: %s", err.text);
            break;
        }
        pf_log_info("%zu cameras are there: one more process takes one", json_array_size(found));
    }
    pf_timer_set(cameras->rest, REST_MS);
}

static void watch(struct pf_cameras *cameras)
{
    pf_timer_set(cameras->silence, (int64_t)(cameras->service->settings.camera_timeout * 1000));
}

static void on_silence(evutil_socket_t fd, short what, void *context)
{
    struct pf_cameras *cameras = context;
    (void)fd, (void)what;
    pf_log_error("what looks for cameras hangs; its process is ended");
    pf_child_kill(cameras->scout);
}

static void on_started(void *context)
{
    watch(context);
}

static void on_message(const json_t *event, void *context)
{
    struct pf_cameras *cameras = context;
    const char *name = json_string_value(json_object_get(event, "event"));
    const json_t *found = json_object_get(event, "found");
    watch(cameras);
    /* Who is there when the service ends is nobody's any more. */
    if (name && !strcmp(name, "cameras") && json_is_array(found) && !cameras->service->stopping) {
        pf_child_healthy(cameras->scout);
        on_found(cameras, found);
    }
}

static void on_batch(void *context)
{
    (void)context;
}

static void on_ended(const char *why, int retry_ms, void *context)
{
    struct pf_cameras *cameras = context;
    event_del(cameras->silence);
    if (retry_ms >= 0)
        pf_log_error("what looks for cameras has ended: %s; it starts again in %.1f s", why,
                     retry_ms / 1e3);
}

int pf_cameras_new(struct pf_cameras **ret, struct pf_service *service, struct pf_error *err)
{
    static const struct pf_child_handlers handlers = {
        .started = on_started, .message = on_message, .batch = on_batch, .ended = on_ended};
    struct pf_options options = {0};
    bool any = false;
    *ret = NULL;
    for (size_t i = 0; i < service->source_count; i++)
        any |= is_any(service->sources[i]);
    if (!any)
        return 0;
    struct pf_cameras *cameras = calloc(1, sizeof(*cameras));
    if (!cameras)
        return pf_fail(err, ENOMEM, "out of memory for cameras");
    cameras->service = service;
    cameras->silence = evtimer_new(service->base, on_silence, cameras);
    cameras->rest = evtimer_new(service->base, on_rest, cameras);
    int r = cameras->silence && cameras->rest ? 0 : pf_fail(err, ENOMEM, "out of memory");
    if (!r)
        r = pf_options_add(&options, "capture", err);
    if (!r)
        r = pf_options_add(&options, PF_SCOUT_SOURCE, err);
    if (!r)
        r = pf_options_add_keys(&options, &service->settings, "sandbox log_format log_level", err);
    if (!r)
        r = pf_child_new(&cameras->scout, service->base, (const char *const *)options.items,
                         &handlers, cameras, err);
    pf_options_free(&options);
    if (r < 0) {
        pf_cameras_free(cameras);
        return r;
    }
    pf_child_start(cameras->scout);
    *ret = cameras;
    return 0;
}

struct pf_cameras *pf_cameras_free(struct pf_cameras *cameras)
{
    if (!cameras)
        return NULL;
    pf_child_free(cameras->scout);
    if (cameras->silence)
        event_free(cameras->silence);
    if (cameras->rest)
        event_free(cameras->rest);
    json_decref(cameras->found);
    free(cameras);
    return NULL;
}

void pf_cameras_reap(struct pf_cameras *cameras)
{
    if (cameras)
        pf_child_reap(cameras->scout);
}

void pf_cameras_stop(struct pf_cameras *cameras)
{
    if (!cameras)
        return;
    event_del(cameras->silence);
    event_del(cameras->rest);
    pf_child_stop(cameras->scout);
}

bool pf_cameras_stopped(const struct pf_cameras *cameras)
{
    return !cameras || !pf_child_running(cameras->scout);
}

bool pf_cameras_leave(struct pf_cameras *cameras)
{
    return cameras && pf_child_leave(cameras->scout, "the search for cameras");
}
