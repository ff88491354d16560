#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/options.h"
#include "service/describe.h"
#include "service/http/api.h"
#include "service/sidecar.h"

/* ---- pages ---- */

/* "2026-11-28" or "2026-11-28T14:00:00" (also with a blank) as milliseconds; the end of a day that has no
 * time where `end`. -EINVAL. */
static int time_of(const char *text, bool end, int64_t *ret)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    bool day = rest && !*rest;
    if (rest && *rest && (*rest == 'T' || *rest == ' '))
        rest = strptime(rest + 1, "%H:%M:%S", &tm);
    if (!rest || *rest)
        return -EINVAL;
    /* The camera's time is kept as if it were UTC. */
    *ret = (int64_t)timegm(&tm) * 1000 + (!end ? 0 : day ? 86399999 : 999);
    return 0;
}

/* -1: any; -EINVAL - 1 does not occur: states are few. */
static int state_of(const char *text, int *ret)
{
    *ret = -1;
    if (!text)
        return 0;
    for (int state = PF_BURST_STATE_OPEN; state <= PF_BURST_STATE_NOT_A_STACK; state++)
        if (!strcmp(text, pf_burst_state_name((enum pf_burst_state)state)))
            *ret = state;
    return *ret < 0 ? -EINVAL : 0;
}

/* False: it has been replied what is wrong. */
static bool take_search(struct pf_http_request *request, struct pf_journal_search *search,
                        int64_t *limit)
{
    const char *from = pf_http_query(request, "from"), *to = pf_http_query(request, "to");
    const char *verdict = pf_http_query(request, "verdict");
    const char *wrong = NULL;
    *search = (struct pf_journal_search){.from_ms = INT64_MIN, .to_ms = INT64_MAX, .aside = -1};
    search->camera = pf_http_query(request, "camera");
    if (pf_http_query_integer(request, "limit", 1, 200, 50, limit) < 0 ||
        pf_http_query_integer(request, "before", 1, INT64_MAX, INT64_MAX, &search->before) < 0)
        return false;
    if (from && time_of(from, false, &search->from_ms) < 0)
        wrong = "from is a day (2026-11-28) or a moment (2026-11-28T14:00:00)";
    else if (to && time_of(to, true, &search->to_ms) < 0)
        wrong = "to is a day (2026-11-28) or a moment (2026-11-28T14:00:00)";
    else if (state_of(pf_http_query(request, "state"), &search->state) < 0)
        wrong = "state is open, complete, published, failed or \"not a stack\"";
    else if (verdict && strcmp(verdict, "aside") != 0 && strcmp(verdict, "fused") != 0)
        wrong = "verdict is fused or aside";
    else if (verdict)
        search->aside = !strcmp(verdict, "aside");
    if (wrong)
        pf_http_reply_error(request, 422, "value", "%s", wrong);
    return !wrong;
}

void pf_api_bursts(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_journal_search search;
    struct pf_journal_bursts bursts = {0};
    struct pf_error err = {0};
    int64_t limit;
    if (!take_search(request, &search, &limit))
        return;
    search.limit = (size_t)limit + 1; /* one more: is there a next page? */
    int r = pf_journal_search_bursts(api->service->journal, &search, &bursts, &err);
    if (r < 0) {
        pf_api_fail(request, r, &err);
        return;
    }
    json_t *all = json_array(), *next = json_null();
    for (size_t i = 0; i < bursts.count && i < (size_t)limit; i++)
        json_array_append_new(all, pf_describe_burst(api->service, &bursts.items[i]));
    if (bursts.count > (size_t)limit)
        next = json_sprintf("%lld", (long long)bursts.items[limit - 1].number);
    pf_journal_bursts_free(&bursts);
    pf_http_reply_json(request, 200, json_pack("{s:o, s:o}", "bursts", all, "next", next));
}

/* The id of a burst as text, "" when it has none. */
static void id_of(struct pf_api *api, int64_t burst, char to[PF_BURST_ID_MAX])
{
    struct pf_journal_bursts bursts = {0};
    struct pf_error err = {0};
    *to = '\0';
    if (burst && pf_journal_burst(api->service->journal, burst, &bursts, &err) == 0)
        memcpy(to, bursts.items[0].id, PF_BURST_ID_MAX);
    pf_journal_bursts_free(&bursts);
}

/* A frame as its job knows it, else as the journal does. */
static json_t *frame_json(struct pf_api *api, const struct pf_journal_frame *frame, bool grids)
{
    char burst[PF_BURST_ID_MAX];
    struct pf_job *job =
        frame->burst ? pf_scheduler_find(api->service->scheduler, frame->burst) : NULL;
    const struct pf_job_frame *known = job ? pf_job_find(job, frame->record->id.text) : NULL;
    if (known)
        return pf_describe_job_frame(api->service, job, known, grids);
    id_of(api, frame->burst, burst);
    return pf_describe_frame(api->service, frame, *burst ? burst : NULL, grids);
}

void pf_api_frames(struct pf_http_request *request, void *context)
{
    static const char *const names[] = {"recorded", "in burst", "fused", "aside"};
    struct pf_api *api = context;
    struct pf_journal_frames frames = {0};
    struct pf_error err = {0};
    const char *wanted = pf_http_query(request, "state");
    int64_t limit, before, next = 0;
    int state = -1;
    if (pf_http_query_integer(request, "limit", 1, 200, 50, &limit) < 0 ||
        pf_http_query_integer(request, "before", 1, INT64_MAX, INT64_MAX, &before) < 0)
        return;
    for (int i = 0; wanted && i < 4; i++)
        if (!strcmp(wanted, names[i]))
            state = i;
    if (wanted && state < 0) {
        pf_http_reply_error(request, 422, "value",
                            "state is recorded, \"in burst\", fused or aside");
        return;
    }
    int r = pf_journal_recent_frames(api->service->journal, state, before, (size_t)limit, &frames,
                                     &next, &err);
    if (r < 0) {
        pf_api_fail(request, r, &err);
        return;
    }
    json_t *all = json_array();
    for (size_t i = 0; i < frames.count; i++)
        json_array_append_new(all, frame_json(api, &frames.items[i], false));
    pf_journal_frames_free(&frames);
    pf_http_reply_json(request, 200,
                       json_pack("{s:o, s:o}", "frames", all, "next",
                                 next ? json_sprintf("%lld", (long long)next) : json_null()));
}

void pf_api_frame_whole(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_journal_frames frames = {0};
    if (!pf_api_frame(api, request, 0, &frames))
        return;
    json_t *frame = frame_json(api, &frames.items[0], true);
    pf_journal_frames_free(&frames);
    pf_http_reply_json(request, 200, frame);
}

/* ---- one burst ---- */

static const char *const result_files[] = {"stack.tif", "stack.png",      "stack.jpg", "stack.json",
                                           "depth.png", "confidence.png", "frames.png"};
#define RESULT_FILES (sizeof(result_files) / sizeof(*result_files))

struct version {
    int number;
    char *directory;
    int64_t published_ms;
    int64_t sizes[RESULT_FILES]; /* -1: there is no such file */
    int missing;                 /* errno: the directory cannot be looked into */
    json_t *sidecar;             /* of the last version; NULL */
};

/* A burst on its way out: what lies in the outbox is looked up by a thread. */
struct whole {
    struct pf_api *api;
    struct pf_http_request *request;
    json_t *burst;
    char id[PF_BURST_ID_MAX];
    struct version *versions;
    size_t count, capacity;
};

static int keep_version(void *context, const struct pf_journal_version *version)
{
    struct whole *whole = context;
    struct version *versions =
        pf_with_room(whole->versions, &whole->capacity, whole->count, 1, sizeof(*versions));
    char *directory = strdup(version->directory);
    if (!versions || !directory) {
        free(directory);
        return -ENOMEM;
    }
    whole->versions = versions;
    whole->versions[whole->count++] = (struct version){.number = version->version,
                                                       .directory = directory,
                                                       .published_ms = version->published_wall_ms};
    return 0;
}

static void free_whole(struct whole *whole)
{
    for (size_t i = 0; i < whole->count; i++) {
        free(whole->versions[i].directory);
        json_decref(whole->versions[i].sidecar);
    }
    free(whole->versions);
    json_decref(whole->burst);
    free(whole);
}

/* In a thread. */
static void look_up(void *context)
{
    struct whole *whole = context;
    for (size_t i = 0; i < whole->count; i++) {
        struct version *version = &whole->versions[i];
        struct stat st;
        version->missing = stat(version->directory, &st) < 0 ? errno : 0;
        for (size_t k = 0; k < RESULT_FILES; k++) {
            char *path =
                version->missing ? NULL : pf_path_join(version->directory, result_files[k]);
            bool there = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
            version->sizes[k] = there ? st.st_size : -1;
            if (there && i + 1 == whole->count && !strcmp(result_files[k], "stack.json"))
                pf_json_read(path, PF_SIDECAR_BYTES_MAX, &version->sidecar, NULL);
            free(path);
        }
    }
}

static json_t *version_json(const struct whole *whole, const struct version *version)
{
    json_t *files = json_array();
    for (size_t k = 0; k < RESULT_FILES; k++)
        if (version->sizes[k] >= 0)
            json_array_append_new(files,
                                  json_pack("{s:s, s:I, s:o}", "name", result_files[k],
                                            "size_bytes", (json_int_t)version->sizes[k], "link",
                                            pf_describe_link("bursts/%s/versions/%d/%s", whole->id,
                                                             version->number, result_files[k])));
    json_t *object = json_pack("{s:i, s:I, s:o, s:o}", "version", version->number, "published_ms",
                               (json_int_t)version->published_ms, "directory",
                               pf_json_bytes(version->directory), "files", files);
    json_t *settings = json_object_get(version->sidecar, "settings");
    json_object_set_new(object, "missing",
                        version->missing ? json_string(strerror(version->missing)) : json_null());
    json_object_set_new(object, "settings", settings ? json_deep_copy(settings) : json_null());
    return object;
}

/* width, height: of the upright picture. */
static json_t *tiles_json(const char *id, int64_t width, int64_t height)
{
    int levels = 1;
    if (width <= 0 || height <= 0)
        return json_null();
    for (int64_t side = width > height ? width : height; side > PF_API_TILE; side = (side + 1) / 2)
        levels++;
    json_t *template = json_sprintf("/api/v1/bursts/%s/tiles/{what}/{level}/{x}/{y}.jpg", id);
    return json_pack("{s:i, s:I, s:I, s:i, s:o}", "size", PF_API_TILE, "width", (json_int_t)width,
                     "height", (json_int_t)height, "levels", levels, "template", template);
}

/* Of a burst without a published version: as its reference has it. */
static json_t *tiles_of_frames(const char *id, const json_t *frames)
{
    size_t i;
    const json_t *frame, *found = NULL;
    json_array_foreach(frames, i, frame)
    {
        if (!found || json_is_true(json_object_get(frame, "reference")))
            found = frame;
    }
    int64_t width = json_integer_value(json_object_get(found, "width"));
    int64_t height = json_integer_value(json_object_get(found, "height"));
    bool lies = json_integer_value(json_object_get(found, "orientation")) >= 5;
    return tiles_json(id, lies ? height : width, lies ? width : height);
}

/* Back in the loop: all is there. */
static void answer(void *context)
{
    struct whole *whole = context;
    const struct version *last = whole->count ? &whole->versions[whole->count - 1] : NULL;
    const json_t *sidecar = last ? last->sidecar : NULL;
    json_t *coverage = json_object_get(sidecar, "coverage"), *versions = json_array();
    const json_t *stack = json_object_get(json_object_get(sidecar, "output"), "stack");
    bool live = json_is_object(json_object_get(whole->burst, "coverage"));
    for (size_t i = 0; i < whole->count; i++)
        json_array_append_new(versions, version_json(whole, &whole->versions[i]));
    json_object_set_new(whole->burst, "versions", versions);
    if (!live && json_is_object(coverage)) {
        json_t *copy = json_deep_copy(coverage), *curve = json_object_get(copy, "curve");
        /* Counts of cells won, for the curve of all frames. */
        size_t i, k;
        json_t *point, *known;
        json_array_foreach(json_object_get(whole->burst, "curve"), i, point)
        {
            json_array_foreach(curve, k, known)
            {
                if (json_equal(json_object_get(point, "frame"), json_object_get(known, "frame")))
                    json_object_set(point, "won", json_object_get(known, "won"));
            }
        }
        json_object_del(copy, "curve");
        json_object_set_new(whole->burst, "coverage", copy);
    }
    json_object_set_new(whole->burst, "tiles",
                        stack ? tiles_json(whole->id,
                                           json_integer_value(json_object_get(stack, "width")),
                                           json_integer_value(json_object_get(stack, "height")))
                              : tiles_of_frames(whole->id, json_object_get(whole->burst, "items")));
    pf_http_reply_json(whole->request, 200, json_incref(whole->burst));
    free_whole(whole);
}

static json_t *drift_of(const json_t *frame)
{
    const json_t *transform = json_object_get(frame, "transform");
    double h[9], x = json_number_value(json_object_get(frame, "width")) / 2;
    double y = json_number_value(json_object_get(frame, "height")) / 2;
    if (json_array_size(transform) != 9)
        return NULL;
    for (size_t i = 0; i < 9; i++)
        h[i] = json_number_value(json_array_get(transform, i));
    double w = h[6] * x + h[7] * y + h[8];
    if (!w)
        return NULL;
    return json_pack("{s:O, s:f, s:f, s:f, s:f}", "frame", json_object_get(frame, "frame"), "x_px",
                     (h[0] * x + h[1] * y + h[2]) / w - x, "y_px",
                     (h[3] * x + h[4] * y + h[5]) / w - y, "rotation_deg",
                     atan2(h[3], h[0]) * 180 / M_PI, "scale", hypot(h[0], h[3]));
}

static void set_plots(json_t *burst)
{
    json_t *curve = json_array(), *drift = json_array(), *frame;
    size_t i;
    json_array_foreach(json_object_get(burst, "items"), i, frame)
    {
        const char *verdict = json_string_value(json_object_get(frame, "verdict"));
        json_array_append_new(curve,
                              json_pack("{s:O, s:O, s:n}", "frame", json_object_get(frame, "frame"),
                                        "sharpness", json_object_get(frame, "sharpness"), "won"));
        json_t *moved = verdict && !strcmp(verdict, "fused") ? drift_of(frame) : NULL;
        if (moved)
            json_array_append_new(drift, moved);
    }
    json_object_set_new(burst, "curve", curve);
    json_object_set_new(burst, "drift", drift);
}

static json_t *job_items(struct pf_api *api, struct pf_job *job, bool grids)
{
    const struct pf_record **order = pf_job_order(job);
    json_t *items = json_array();
    for (size_t i = 0; order && i < job->count; i++)
        json_array_append_new(
            items,
            pf_describe_job_frame(api->service, job, pf_job_find(job, order[i]->id.text), grids));
    free(order);
    return items;
}

static json_t *journal_items(struct pf_api *api, const struct pf_journal_burst *burst, bool grids)
{
    struct pf_journal_frames frames = {0};
    struct pf_error err = {0};
    json_t *items = json_array();
    if (pf_journal_burst_frames(api->service->journal, burst->number, &frames, &err) < 0)
        return items;
    const struct pf_record **order = calloc(frames.count + 1, sizeof(*order));
    for (size_t i = 0; order && i < frames.count; i++)
        order[i] = frames.items[i].record;
    if (order)
        pf_grouper_sort(order, frames.count);
    for (size_t i = 0; order && i < frames.count; i++)
        for (size_t k = 0; k < frames.count; k++)
            if (frames.items[k].record == order[i])
                json_array_append_new(
                    items, pf_describe_frame(api->service, &frames.items[k], burst->id, grids));
    free(order);
    pf_journal_frames_free(&frames);
    return items;
}

static json_t *settings_of(struct pf_api *api, const struct pf_job *job,
                           const struct pf_journal_burst *burst)
{
    if (job)
        return pf_job_settings(job, &api->service->settings, PF_JOB_KEYS);
    json_t *settings = pf_options_json(&api->service->settings, PF_JOB_KEYS);
    if (burst->settings)
        json_object_update_existing(settings, burst->settings);
    return settings;
}

void pf_api_burst_whole(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_journal_bursts bursts = {0};
    struct pf_error err = {0};
    const char *grids = pf_http_query(request, "grids");
    bool with_grids = grids && strcmp(grids, "false") != 0 && strcmp(grids, "0") != 0;
    if (!pf_api_burst(api, request, &bursts))
        return;
    const struct pf_journal_burst *burst = &bursts.items[0];
    struct pf_job *job = pf_scheduler_find(api->service->scheduler, burst->number);
    struct whole *whole = calloc(1, sizeof(*whole));
    int r = whole ? 0 : pf_fail(&err, ENOMEM, "out of memory");
    if (!r) {
        whole->api = api;
        whole->request = request;
        memcpy(whole->id, burst->id, sizeof(whole->id));
        whole->burst = pf_describe_burst(api->service, burst);
        if (!whole->burst)
            r = pf_fail(&err, ENOMEM, "the burst cannot be read");
    }
    if (!r)
        r = pf_journal_versions(api->service->journal, burst->number, keep_version, whole, &err);
    if (!r) {
        json_object_set_new(whole->burst, "items",
                            job ? job_items(api, job, with_grids)
                                : journal_items(api, burst, with_grids));
        json_object_set_new(whole->burst, "coverage",
                            job && job->coverage ? json_deep_copy(job->coverage) : json_null());
        json_object_set_new(whole->burst, "settings", settings_of(api, job, burst));
        set_plots(whole->burst);
        r = pf_work_add(api->work, look_up, answer, whole);
        if (r < 0)
            pf_fail(&err, -r, "the outbox does not answer");
    }
    pf_journal_bursts_free(&bursts);
    if (r < 0) {
        if (whole)
            free_whole(whole);
        pf_api_fail(request, r, &err);
    }
}
