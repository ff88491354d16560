#include "service/http/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "service/metrics.h"
#include "service/page.h"

/* The description as it lies in the source. */
extern const char pf_openapi[];
extern const uint64_t pf_openapi_bytes;
__asm__(".section .rodata\n"
        ".global pf_openapi, pf_openapi_bytes\n"
        "pf_openapi:\n"
        ".incbin \"service/http/openapi.json\"\n"
        "1:\n"
        ".balign 8\n"
        "pf_openapi_bytes:\n"
        ".8byte 1b - pf_openapi\n"
        ".previous\n");

static void on_openapi(struct pf_http_request *request, void *context)
{
    (void)context;
    pf_http_reply_constant(request, "application/json", NULL, pf_openapi, (size_t)pf_openapi_bytes);
}

static void on_events(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    pf_streams_add(api->streams, request);
}

static void on_metrics(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    json_t *status = pf_api_status_json(api);
    size_t count;
    char *text = pf_metrics_text(api->service->metrics, status, &count);
    json_decref(status);
    if (text)
        pf_http_reply_text(request, 200, PF_METRICS_TYPE, text);
    else
        pf_http_reply_error(request, 503, "memory", "out of memory");
    free(text);
}

/* The page: what is left when nothing else fits. */
static void on_page(struct pf_http_request *request, void *context)
{
    const struct pf_page_file *file = pf_page_find(pf_http_path(request));
    (void)context;
    if (!file) {
        pf_http_reply_error(request, 404, "not_found", "there is no such thing here");
        return;
    }
    pf_http_add_header(request, "Content-Encoding", "gzip");
    pf_http_add_header(request, "Content-Security-Policy",
                       "default-src 'none'; script-src 'self'; style-src 'self'; "
                       "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
                       "form-action 'none'; frame-ancestors 'none'");
    pf_http_reply_constant(request, file->type, file->etag, file->gzip, file->gzip_bytes);
}

#define GET   EVHTTP_REQ_GET
#define POST  EVHTTP_REQ_POST
#define BURST "/api/v1/bursts/*"

static const struct pf_http_route routes[] = {
    {GET, "/healthz", PF_ACCESS_NONE, pf_api_health},
    {GET, "/metrics", PF_ACCESS_READ, on_metrics},
    {GET, "/api/v1/openapi.json", PF_ACCESS_NONE, on_openapi},
    {GET, "/api/v1/session", PF_ACCESS_NONE, pf_api_session},
    {POST, "/api/v1/session", PF_ACCESS_NONE, pf_api_login},
    {EVHTTP_REQ_DELETE, "/api/v1/session", PF_ACCESS_NONE, pf_api_logout},
    {GET, "/api/v1/status", PF_ACCESS_READ, pf_api_status},
    {GET, "/api/v1/events", PF_ACCESS_READ, on_events},
    {GET, "/api/v1/bursts", PF_ACCESS_READ, pf_api_bursts},
    {GET, BURST, PF_ACCESS_READ, pf_api_burst_whole},
    {GET, BURST "/preview.jpg", PF_ACCESS_READ, pf_api_preview},
    {GET, BURST "/maps/*.jpg", PF_ACCESS_READ, pf_api_map},
    {GET, BURST "/tiles/*/*/*/*.jpg", PF_ACCESS_READ, pf_api_tile},
    {GET, BURST "/versions/*/*", PF_ACCESS_READ, pf_api_download},
    {POST, BURST "/finish", PF_ACCESS_FULL, pf_api_finish},
    {POST, BURST "/retry", PF_ACCESS_FULL, pf_api_retry},
    {POST, BURST "/dismiss", PF_ACCESS_FULL, pf_api_dismiss},
    {POST, BURST "/restack", PF_ACCESS_FULL, pf_api_restack},
    {POST, BURST "/frames/*/discard", PF_ACCESS_FULL, pf_api_discard},
    {POST, BURST "/frames/*/restore", PF_ACCESS_FULL, pf_api_restore},
    {POST, "/api/v1/finish", PF_ACCESS_FULL, pf_api_finish_all},
    {POST, "/api/v1/retry", PF_ACCESS_FULL, pf_api_retry_all},
    {POST, "/api/v1/dismiss", PF_ACCESS_FULL, pf_api_dismiss_all},
    {POST, "/api/v1/scan", PF_ACCESS_FULL, pf_api_scan_all},
    {GET, "/api/v1/frames", PF_ACCESS_READ, pf_api_frames},
    {GET, "/api/v1/frames/*", PF_ACCESS_READ, pf_api_frame_whole},
    {GET, "/api/v1/frames/*/*.jpg", PF_ACCESS_READ, pf_api_thumbnail},
    {GET, "/api/v1/sources", PF_ACCESS_READ, pf_api_sources},
    {POST, "/api/v1/sources/*/scan", PF_ACCESS_FULL, pf_api_scan},
    {POST, "/api/v1/sources/*/camera", PF_ACCESS_FULL, pf_api_camera},
    {EVHTTP_REQ_DELETE, "/api/v1/sources/*/camera", PF_ACCESS_FULL, pf_api_cancel},
    {GET, "/api/v1/settings", PF_ACCESS_READ, pf_api_settings},
    {EVHTTP_REQ_PATCH, "/api/v1/settings", PF_ACCESS_FULL, pf_api_set_settings},
    {GET, "/api/v1/deliveries", PF_ACCESS_READ, pf_api_deliveries},
    {POST, "/api/v1/deliveries/*/retry", PF_ACCESS_FULL, pf_api_retry_delivery},
    {GET, "/", PF_ACCESS_NONE, on_page},
    {GET, "/*", PF_ACCESS_NONE, on_page},
    {GET, "/*/*", PF_ACCESS_NONE, on_page},
    {0},
};

/* ---- common ---- */

void pf_api_fail(struct pf_http_request *request, int r, const struct pf_error *err)
{
    int status = r == -ENOENT                  ? 404
                 : r == -EBUSY || r == -EEXIST ? 409
                 : r == -EINVAL                ? 422
                 : r == -ENOMEM                ? 503
                                               : 500;
    const char *code = status == 404   ? "not_found"
                       : status == 409 ? "state"
                       : status == 422 ? "value"
                       : status == 503 ? "memory"
                                       : "failed";
    pf_http_reply_error(request, status, code, "%s", err->text[0] ? err->text : strerror(-r));
}

bool pf_api_burst(struct pf_api *api, struct pf_http_request *request,
                  struct pf_journal_bursts *ret)
{
    struct pf_error err = {0};
    int r = pf_journal_burst_by_id(api->service->journal, pf_http_argument(request, 0), ret, &err);
    if (r < 0)
        pf_api_fail(request, r, &err);
    return r == 0;
}

bool pf_api_frame(struct pf_api *api, struct pf_http_request *request, size_t argument,
                  struct pf_journal_frames *ret)
{
    const char *text = pf_http_argument(request, argument);
    struct pf_identity id;
    struct pf_error err = {0};
    int r = strlen(text) == PF_IDENTITY_CHARS
                ? 0
                : pf_fail(&err, ENOENT, "there is no frame of this identity");
    if (!r) {
        memcpy(id.text, text, PF_IDENTITY_CHARS + 1);
        r = pf_journal_frame(api->service->journal, &id, ret, &err);
    }
    if (r < 0)
        pf_api_fail(request, r, &err);
    return r == 0;
}

struct pf_source *pf_api_source(struct pf_api *api, struct pf_http_request *request,
                                size_t *ret_number)
{
    const char *text = pf_http_argument(request, 0);
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || *end || number >= api->service->source_count) {
        pf_http_reply_error(request, 404, "not_found", "there is no source of this number");
        return NULL;
    }
    *ret_number = number;
    return api->service->sources[number];
}

int pf_api_new(struct pf_api **ret, struct pf_service *service, struct pf_error *err)
{
    struct pf_api *api = calloc(1, sizeof(*api));
    if (!api)
        return pf_fail(err, ENOMEM, "out of memory for the HTTP interface");
    api->service = service;
    int r = pf_work_new(&api->work, service->base, err);
    if (!r)
        r = pf_streams_new(&api->streams, service->base, service->events, err);
    if (!r)
        r = pf_viewer_new(&api->viewer, service->base, &service->settings, err);
    if (!r)
        r = pf_spaces_new(&api->spaces, service->base, api->work, &service->settings,
                          service->troubles, err);
    if (!r)
        r = pf_asks_new(&api->asks, service, err);
    if (!r)
        r = pf_http_new(&api->http, service->base, &service->settings, service->troubles, routes,
                        api, err);
    if (r < 0) {
        pf_api_free(api);
        return r;
    }
    *ret = api;
    return 0;
}

struct pf_api *pf_api_free(struct pf_api *api)
{
    if (!api)
        return NULL;
    /* Who may still have a request in hand goes first, and replies. */
    pf_viewer_free(api->viewer);
    pf_asks_free(api->asks);
    pf_spaces_free(api->spaces);
    pf_work_free(api->work);
    pf_streams_free(api->streams);
    pf_http_free(api->http);
    free(api);
    return NULL;
}

void pf_api_reap(struct pf_api *api)
{
    if (api)
        pf_viewer_reap(api->viewer);
}
