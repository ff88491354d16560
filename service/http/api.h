/* The HTTP interface as service/http/openapi.json describes it.
 *
 * Service process, event loop thread.
 *
 * api.c          routes; what is common to their handlers
 * api_state.c    status, health, sources, settings, access
 * api_bursts.c   bursts and frames
 * api_pictures.c thumbnails, previews, maps, tiles, downloads
 * api_actions.c  what changes something
 */
#ifndef PF_HTTP_API_H
#define PF_HTTP_API_H

#include "service/events.h"
#include "service/http/server.h"
#include "service/http/stream.h"
#include "service/http/work.h"
#include "service/service.h"
#include "service/viewer.h"

struct pf_api {
    struct pf_service *service;
    struct pf_http *http;
    struct pf_streams *streams;
    struct pf_work *work;
    struct pf_viewer *viewer;
    struct pf_spaces *spaces;
    struct pf_asks *asks;
};

/* The whole service must be built. -EINVAL and others as pf_http_new(), -ENOMEM. */
int pf_api_new(struct pf_api **ret, struct pf_service *service, struct pf_error *err);
struct pf_api *pf_api_free(struct pf_api *api); /* NULL-safe, returns NULL */
void pf_api_reap(struct pf_api *api);           /* for every SIGCHLD; NULL-safe */
/* What a source has answered to whoever asked it; NULL: its process has ended. It is told as an event. */
void pf_api_answer(struct pf_api *api, struct pf_source *source, int64_t id, const json_t *answer);

/* ---- for the files of the interface ---- */

/* Replies with what went wrong. */
void pf_api_fail(struct pf_http_request *request, int r, const struct pf_error *err);
/* The burst that the first argument names, as an array of one; false: it has been replied that there is
 * none. */
bool pf_api_burst(struct pf_api *api, struct pf_http_request *request,
                  struct pf_journal_bursts *ret);
/* The frame that an argument names, as an array of one. */
bool pf_api_frame(struct pf_api *api, struct pf_http_request *request, size_t argument,
                  struct pf_journal_frames *ret);
/* The source that the first argument names; NULL: it has been replied that there is none. */
struct pf_source *pf_api_source(struct pf_api *api, struct pf_http_request *request,
                                size_t *ret_number);

void pf_api_health(struct pf_http_request *request, void *context);
void pf_api_session(struct pf_http_request *request, void *context);
void pf_api_login(struct pf_http_request *request, void *context);
void pf_api_logout(struct pf_http_request *request, void *context);
void pf_api_status(struct pf_http_request *request, void *context);
json_t *pf_api_status_json(struct pf_api *api); /* new; NULL on out of memory */
void pf_api_sources(struct pf_http_request *request, void *context);
void pf_api_settings(struct pf_http_request *request, void *context);

void pf_api_bursts(struct pf_http_request *request, void *context);
void pf_api_burst_whole(struct pf_http_request *request, void *context);
void pf_api_frames(struct pf_http_request *request, void *context);
void pf_api_frame_whole(struct pf_http_request *request, void *context);

void pf_api_thumbnail(struct pf_http_request *request, void *context);
void pf_api_preview(struct pf_http_request *request, void *context);
void pf_api_map(struct pf_http_request *request, void *context);
void pf_api_tile(struct pf_http_request *request, void *context);
void pf_api_download(struct pf_http_request *request, void *context);
#define PF_API_TILE 512 /* pixels */

void pf_api_finish(struct pf_http_request *request, void *context);
void pf_api_retry(struct pf_http_request *request, void *context);
void pf_api_dismiss(struct pf_http_request *request, void *context);
void pf_api_restack(struct pf_http_request *request, void *context);
void pf_api_discard(struct pf_http_request *request, void *context);
void pf_api_restore(struct pf_http_request *request, void *context);
void pf_api_finish_all(struct pf_http_request *request, void *context);
void pf_api_retry_all(struct pf_http_request *request, void *context);
void pf_api_dismiss_all(struct pf_http_request *request, void *context);
void pf_api_scan(struct pf_http_request *request, void *context);
void pf_api_scan_all(struct pf_http_request *request, void *context);
void pf_api_set_settings(struct pf_http_request *request, void *context);
void pf_api_camera(struct pf_http_request *request, void *context);
void pf_api_cancel(struct pf_http_request *request, void *context);
void pf_api_deliveries(struct pf_http_request *request, void *context);
void pf_api_retry_delivery(struct pf_http_request *request, void *context);
/* Asks that wait for their camera. */
int pf_asks_new(struct pf_asks **ret, struct pf_service *service, struct pf_error *err);
struct pf_asks *pf_asks_free(struct pf_asks *asks);

/* Space on disks, looked at now and then by threads. */
int pf_spaces_new(struct pf_spaces **ret, struct event_base *base, struct pf_work *work,
                  const struct pf_settings *settings, struct pf_troubles *troubles,
                  struct pf_error *err);
struct pf_spaces *pf_spaces_free(struct pf_spaces *spaces); /* NULL-safe, returns NULL */
json_t *pf_spaces_json(const struct pf_spaces *spaces);

#endif
