#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/text.h"
#include "service/http/api.h"
#include "service/http/range.h"

#define PREVIEW_SIDE 2048
#define PORTION                                                                                    \
    (64u << 10) /* bytes of a download that are read at a time; as many wait for the client */

/* ---- files of the state directory ---- */

void pf_api_thumbnail(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_journal_frames frames = {0};
    const char *size = pf_http_argument(request, 1);
    bool small = !strcmp(size, "small");
    char *path = NULL;
    if (!small && strcmp(size, "large") != 0) {
        pf_http_reply_error(request, 404, "not_found", "a thumbnail is small or large");
        return;
    }
    if (!pf_api_frame(api, request, 0, &frames))
        return;
    path = pf_text("%s/thumbnails/%s%s.jpg", api->service->settings.state,
                   frames.items[0].record->id.text, small ? ".small" : "");
    int r = path ? pf_http_reply_local_file(request, path, "image/jpeg") : -ENOMEM;
    free(path);
    pf_journal_frames_free(&frames);
    if (r < 0)
        pf_http_reply_error(request, 404, "not_found", "there is no such thumbnail (yet)");
}

/* ---- views ---- */

static void on_view(int r, const char *text, void *context)
{
    struct pf_http_request *request = context;
    struct pf_error err = {0};
    if (!r)
        r = pf_http_reply_local_file(request, text, "image/jpeg");
    else
        pf_fail(&err, -r, "%s", text);
    if (r == -ENODATA)
        r = -ENOENT;
    if (r == -ECANCELED || r == -EBUSY)
        pf_http_reply_error(request, 503, "busy", "%s", text);
    else if (r < 0)
        pf_api_fail(request, r, &err);
}

struct find_version {
    int wanted;
    struct pf_journal_version found;
    char *directory;
};

static int take_version(void *context, const struct pf_journal_version *version)
{
    struct find_version *find = context;
    if (find->wanted && version->version != find->wanted)
        return 0;
    free(find->directory);
    find->found = *version;
    find->directory = strdup(version->directory);
    return find->directory ? 0 : -ENOMEM;
}

/* Where the published version that is asked for is, 0 the last one; heap, NULL: there is none. */
static char *directory_of(struct pf_api *api, int64_t burst, int wanted,
                          struct pf_journal_version *ret)
{
    struct find_version find = {.wanted = wanted};
    struct pf_error err = {0};
    if (pf_journal_versions(api->service->journal, burst, take_version, &find, &err) < 0) {
        free(find.directory);
        return NULL;
    }
    *ret = find.found;
    ret->directory = find.directory;
    return find.directory;
}

/* A view of a published version: of the first of these files that is there. `command` is consumed. */
static void ask_result(struct pf_api *api, struct pf_http_request *request, int64_t burst,
                       json_t *files, const char *what, json_t *command)
{
    char name[120];
    struct pf_journal_version found = {0};
    int64_t wanted;
    if (pf_http_query_integer(request, "version", 1, 1 << 30, 0, &wanted) < 0) {
        json_decref(files);
        json_decref(command);
        return;
    }
    char *directory = directory_of(api, burst, (int)wanted, &found);
    if (!directory) {
        json_decref(files);
        json_decref(command);
        pf_http_reply_error(request, 404, "not_found", "there is no such version (yet)");
        return;
    }
    json_object_set_new(command, "directory", pf_json_bytes(directory));
    json_object_set_new(command, "files", files);
    /* The time as well: another journal has the same numbers for other pictures. */
    snprintf(name, sizeof(name), "b%lld.v%d.%llx.%.60s.jpg", (long long)burst, found.version,
             (unsigned long long)found.published_wall_ms, what);
    pf_viewer_ask(api->viewer, name, command, on_view, request);
    free(directory);
}

static json_t *stack_files(void)
{
    return json_pack("[s, s, s]", "stack.tif", "stack.png", "stack.jpg");
}

void pf_api_preview(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_journal_bursts bursts = {0};
    char *path = NULL;
    int r = -ENOENT;
    if (!pf_api_burst(api, request, &bursts))
        return;
    int64_t burst = bursts.items[0].number;
    const struct pf_job *job = pf_scheduler_find(api->service->scheduler, burst);
    if (job && job->previews && !pf_http_query(request, "version") &&
        (path = pf_text("%s/preview/%s.jpg", api->service->settings.state, bursts.items[0].id)))
        r = pf_http_reply_local_file(request, path, "image/jpeg");
    free(path);
    pf_journal_bursts_free(&bursts);
    if (r < 0)
        ask_result(api, request, burst, stack_files(), "stack",
                   json_pack("{s:i}", "max_side", PREVIEW_SIDE));
}

/* Files and colours of a map; NULL: there is no such map. */
static json_t *map_files(const char *map, const char **ret_colours)
{
    *ret_colours = !strcmp(map, "confidence") ? NULL : map;
    if (!strcmp(map, "winner"))
        return json_pack("[s, s]", "frames.png", "depth.png");
    if (!strcmp(map, "depth"))
        return json_pack("[s]", "depth.png");
    return !strcmp(map, "confidence") ? json_pack("[s]", "confidence.png") : NULL;
}

static json_t *map_command(const struct pf_journal_burst *burst, const char *colours)
{
    json_t *command = json_pack("{s:I}", "frames", (json_int_t)burst->frames);
    if (colours)
        json_object_set_new(command, "colours", json_string(colours));
    return command;
}

void pf_api_map(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_journal_bursts bursts = {0};
    const char *map = pf_http_argument(request, 1), *colours;
    json_t *files = map_files(map, &colours);
    if (!files) {
        pf_http_reply_error(request, 404, "not_found", "a map is depth, confidence or winner");
        return;
    }
    if (!pf_api_burst(api, request, &bursts)) {
        json_decref(files);
        return;
    }
    json_t *command = map_command(&bursts.items[0], colours);
    json_object_set_new(command, "max_side", json_integer(PREVIEW_SIDE));
    ask_result(api, request, bursts.items[0].number, files, map, command);
    pf_journal_bursts_free(&bursts);
}

static int number_of(struct pf_http_request *request, size_t argument, long most, int *ret)
{
    const char *text = pf_http_argument(request, argument);
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > most || strspn(text, "0123456789") == 0) {
        pf_http_reply_error(request, 404, "not_found", "there is no such tile");
        return -ENOENT;
    }
    *ret = (int)value;
    return 0;
}

/* The reference of the burst of a frame, as the journal knows it; false: none. */
static bool find_reference(struct pf_api *api, int64_t burst, json_t *command)
{
    struct pf_journal_frames frames = {0};
    struct pf_error err = {0};
    bool found = false;
    if (pf_journal_burst_frames(api->service->journal, burst, &frames, &err) < 0)
        return false;
    for (size_t i = 0; i < frames.count && !found; i++) {
        const struct pf_journal_frame *frame = &frames.items[i];
        const json_t *width = json_object_get(frame->scores, "width");
        const json_t *height = json_object_get(frame->scores, "height");
        found = json_is_true(json_object_get(frame->scores, "reference")) &&
                json_is_integer(width) && json_is_integer(height);
        if (!found)
            continue;
        json_object_set_new(command, "width", json_integer(json_integer_value(width)));
        json_object_set_new(command, "height", json_integer(json_integer_value(height)));
        json_object_set_new(command, "orientation", json_integer(frame->record->orientation));
    }
    pf_journal_frames_free(&frames);
    return found;
}

/* A tile of a frame; `command` (consumed) has the place, which `place` names. */
static void ask_frame(struct pf_api *api, struct pf_http_request *request, int64_t burst,
                      const char *place, json_t *command)
{
    struct pf_journal_frames frames = {0};
    const char *aligned = pf_http_query(request, "aligned");
    char name[128], laid[9] = "";
    if (!pf_api_frame(api, request, 1, &frames)) {
        json_decref(command);
        return;
    }
    const struct pf_journal_frame *frame = &frames.items[0];
    json_t *transform = json_object_get(frame->scores, "transform");
    if (frame->burst != burst || !frame->path_count) {
        pf_http_reply_error(request, 404, "not_found",
                            frame->path_count ? "the frame is not one of this burst"
                                              : "its file holds another picture by now");
        json_decref(command);
        pf_journal_frames_free(&frames);
        return;
    }
    if ((!aligned || strcmp(aligned, "no") != 0) && json_array_size(transform) == 9 &&
        find_reference(api, burst, command)) {
        char *text = pf_json_text(transform, JSON_COMPACT);
        struct pf_identity id = pf_identity_of_memory(text ? text : "", text ? strlen(text) : 0);
        snprintf(laid, sizeof(laid), "%.8s", id.text + PF_IDENTITY_CHARS - 8);
        json_object_set(command, "transform", transform);
        free(text);
    }
    json_object_set_new(command, "path", pf_json_bytes(frame->paths[frame->path_count - 1]));
    json_object_set_new(command, "frame", json_string(frame->record->id.text));
    snprintf(name, sizeof(name), "f%s.%s%s.jpg", frame->record->id.text, laid, place);
    pf_journal_frames_free(&frames);
    pf_viewer_ask(api->viewer, name, command, on_view, request);
}

void pf_api_tile(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_journal_bursts bursts = {0};
    const char *what = pf_http_argument(request, 1), *colours = NULL;
    char name[64], place[32];
    int level, x, y;
    if (number_of(request, 2, 16, &level) < 0 || number_of(request, 3, 1 << 20, &x) < 0 ||
        number_of(request, 4, 1 << 20, &y) < 0 || !pf_api_burst(api, request, &bursts))
        return;
    int64_t burst = bursts.items[0].number;
    json_t *files = !strcmp(what, "stack") ? stack_files() : map_files(what, &colours);
    json_t *command = files && colours ? map_command(&bursts.items[0], colours) : json_object();
    json_object_set_new(command, "tile", json_integer(PF_API_TILE));
    json_object_set_new(command, "level", json_integer(level));
    json_object_set_new(command, "x", json_integer(x));
    json_object_set_new(command, "y", json_integer(y));
    pf_journal_bursts_free(&bursts);
    snprintf(place, sizeof(place), "%d.%d.%d", level, x, y);
    if (files) {
        snprintf(name, sizeof(name), "%.24s.%s", what, place);
        ask_result(api, request, burst, files, name, command);
    } else {
        ask_frame(api, request, burst, place, command);
    }
}

/* ---- downloads ---- */

/* A file that is read by threads, portion by portion, as the client takes it. */
struct download {
    struct pf_api *api;
    struct pf_http_request *request; /* NULL: the client has gone away */
    char *path, *name;
    int fd;
    struct stat st;
    int64_t at, left; /* of what was asked for */
    bool reading;     /* a thread is at it: what follows is its own */
    int r;
    size_t count;
    char *bytes;
};

static void free_download(struct download *download)
{
    if (download->fd >= 0)
        close(download->fd);
    free(download->path);
    free(download->name);
    free(download->bytes);
    free(download);
}

/* In a thread. */
static void read_more(void *context)
{
    struct download *download = context;
    size_t wanted = download->left < PORTION ? (size_t)download->left : PORTION;
    ssize_t n = pread(download->fd, download->bytes, wanted, download->at);
    download->r = n < 0 ? -errno : n == 0 ? -EIO : 0;
    download->count = n > 0 ? (size_t)n : 0;
    download->at += (int64_t)download->count;
    download->left -= (int64_t)download->count;
}

static void on_read(void *context)
{
    struct download *download = context;
    download->reading = false;
    if (!download->request)
        free_download(download);
    else if (download->r < 0)
        pf_http_abort(download->request);
    else
        pf_http_send(download->request, download->bytes, download->count);
}

static void on_more(void *context)
{
    struct download *download = context;
    download->reading = true;
    if (pf_work_add(download->api->work, read_more, on_read, download) < 0) {
        download->reading = false;
        pf_http_abort(download->request);
    }
}

static void on_gone(void *context)
{
    struct download *download = context;
    download->request = NULL;
    if (!download->reading)
        free_download(download);
}

/* In a thread. */
static void open_file(void *context)
{
    struct download *download = context;
    download->fd = open(download->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    download->r = download->fd < 0 || fstat(download->fd, &download->st) < 0 ? -errno : 0;
    if (!download->r && !S_ISREG(download->st.st_mode))
        download->r = -ENOENT;
}

static const char *type_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return !dot                    ? "application/octet-stream"
           : !strcmp(dot, ".tif")  ? "image/tiff"
           : !strcmp(dot, ".png")  ? "image/png"
           : !strcmp(dot, ".jpg")  ? "image/jpeg"
           : !strcmp(dot, ".json") ? "application/json"
                                   : "application/octet-stream";
}

/* What of the file is wanted. False: it has been replied to, and there is nothing to be sent. */
static bool choose_part(struct download *download, int *ret_status)
{
    struct pf_http_request *request = download->request;
    char etag[PF_HTTP_ETAG], text[80];
    int64_t bytes = download->st.st_size, from = 0, count = bytes;
    pf_http_etag(&download->st, etag);
    if (pf_http_is_known(request, etag))
        return false;
    int r = pf_http_is_head(request)
                ? 0
                : pf_range_of(pf_http_header(request, "Range"), pf_http_header(request, "If-Range"),
                              etag, bytes, &from, &count);
    pf_http_add_header(request, "Accept-Ranges", "bytes");
    if (r < 0) {
        snprintf(text, sizeof(text), "bytes */%lld", (long long)bytes);
        pf_http_add_header(request, "Content-Range", text);
        pf_http_reply_error(request, 416, "range", "the file has %lld bytes", (long long)bytes);
        return false;
    }
    if (r > 0) {
        snprintf(text, sizeof(text), "bytes %lld-%lld/%lld", (long long)from,
                 (long long)(from + count - 1), (long long)bytes);
        pf_http_add_header(request, "Content-Range", text);
    }
    *ret_status = r > 0 ? 206 : 200;
    download->at = from;
    download->left = count;
    return true;
}

static void on_open(void *context)
{
    struct download *download = context;
    struct pf_error err = {0};
    char disposition[256];
    int status;
    if (download->r < 0) {
        pf_fail(&err, -download->r, "%s: %s", pf_base_name(download->path), strerror(-download->r));
        pf_api_fail(download->request, download->r, &err);
        free_download(download);
        return;
    }
    if (!choose_part(download, &status)) {
        free_download(download);
        return;
    }
    snprintf(disposition, sizeof(disposition), "attachment; filename=\"%.200s\"", download->name);
    pf_http_add_header(download->request, "Content-Disposition", disposition);
    pf_http_begin(download->request, status, type_of(download->path), download->left, on_more,
                  on_gone, download);
}

static bool is_result(const char *name)
{
    static const char *const names[] = {"stack.tif", "stack.png",      "stack.jpg", "stack.json",
                                        "depth.png", "confidence.png", "frames.png"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

void pf_api_download(struct pf_http_request *request, void *context)
{
    struct pf_api *api = context;
    struct pf_journal_bursts bursts = {0};
    const char *file = pf_http_argument(request, 2);
    struct pf_journal_version found = {0};
    int wanted;
    if (number_of(request, 1, 1 << 30, &wanted) < 0 || !pf_api_burst(api, request, &bursts))
        return;
    char *directory = wanted && is_result(file)
                          ? directory_of(api, bursts.items[0].number, wanted, &found)
                          : NULL;
    struct download *download = directory ? calloc(1, sizeof(*download)) : NULL;
    if (!download) {
        pf_http_reply_error(request, 404, "not_found", "there is no such file of that version");
    } else {
        *download = (struct download){.api = api, .request = request, .fd = -1};
        download->path = pf_path_join(directory, file);
        download->bytes = malloc(PORTION);
        download->name = pf_text("%s-v%d-%s", bursts.items[0].id, found.version, file);
        if (!download->path || !download->bytes || !download->name ||
            pf_work_add(api->work, open_file, on_open, download) < 0) {
            free_download(download);
            pf_http_reply_error(request, 503, "busy", "too much is asked for at once");
        }
    }
    free(directory);
    pf_journal_bursts_free(&bursts);
}
