#include "process/burst.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/array.h"
#include "config/base/jsonl.h"
#include "config/base/version.h"
#include "process/backend.h"
#include "process/coverage.h"
#include "process/frame_facts.h"
#include "process/room.h"

#define PREVIEW_QUALITY 85

/* A frame that was added. */
struct known {
    char *identity;
    int frame; /* place in the order of pf_stack_add(); -1: it could not be read */
};

struct pf_burst {
    struct pf_stack *stack;
    struct pf_pool *pool;
    struct pf_coverage *coverage; /* NULL: nobody wants to know */
    struct pf_stack_settings settings;
    struct pf_needs needs; /* from the first fused frame on */
    char room[300], refused[600];
    bool has_maps;       /* the method knows which frame is sharp where */
    struct known *known; /* in capture order, as far as it was told */
    size_t known_count, known_capacity;
    size_t next_place;  /* among them of the frame that is added next; SIZE_MAX: the last */
    const char **added; /* identities (borrowed from them), in the order of pf_stack_add() */
    int count;
    size_t capacity;
    int aside;
};

int pf_burst_new(struct pf_burst **ret, const struct pf_stack_settings *settings,
                 struct pf_pool *pool, struct pf_error *err)
{
    struct pf_burst *burst = calloc(1, sizeof(*burst));
    if (!burst)
        return pf_fail(err, ENOMEM, "out of memory for a burst");
    burst->pool = pool;
    burst->next_place = SIZE_MAX;
    burst->settings = *settings;
    burst->has_maps = pf_fuse_has_maps(settings->fuse);
    int r = settings->coverage ? pf_coverage_new(&burst->coverage, err) : 0;
    if (r == 0)
        r = pf_stack_open(&burst->stack, settings, pool, err);
    if (r < 0) {
        pf_burst_free(burst);
        return r;
    }
    *ret = burst;
    return 0;
}

struct pf_burst *pf_burst_free(struct pf_burst *burst)
{
    if (!burst)
        return NULL;
    pf_stack_free(burst->stack);
    pf_coverage_free(burst->coverage);
    for (size_t i = 0; i < burst->known_count; i++)
        free(burst->known[i].identity);
    free(burst->known);
    free(burst->added);
    free(burst);
    return NULL;
}

int pf_burst_fused(const struct pf_burst *burst)
{
    return pf_stack_fused(burst->stack);
}

int pf_burst_aside(const struct pf_burst *burst)
{
    return burst->aside;
}

size_t pf_burst_added(const struct pf_burst *burst)
{
    return burst->known_count;
}

static bool can_never_be_read(int code)
{
    return code == EBADMSG || code == ENOTSUP || code == EFBIG;
}

/* frame: as in struct known. */
static int remember(struct pf_burst *burst, const char *identity, int frame, struct pf_error *err)
{
    struct known *known =
        pf_with_room(burst->known, &burst->known_capacity, burst->known_count, 1, sizeof(*known));
    if (known)
        burst->known = known;
    const char **added =
        pf_with_room(burst->added, &burst->capacity, (size_t)burst->count, 1, sizeof(const char *));
    if (added)
        burst->added = added;
    char *copy = known && added ? strdup(identity) : NULL;
    if (!copy)
        return pf_fail(err, ENOMEM, "out of memory for a frame");
    size_t at = burst->next_place < burst->known_count ? burst->next_place : burst->known_count;
    memmove(known + at + 1, known + at, (burst->known_count - at) * sizeof(*known));
    known[at] = (struct known){copy, frame};
    burst->known_count++;
    burst->next_place = SIZE_MAX;
    if (frame >= 0)
        burst->added[burst->count++] = copy;
    return 0;
}

void pf_burst_after(struct pf_burst *burst, const char *identity)
{
    size_t at = 0;
    while (identity && at < burst->known_count && strcmp(burst->known[at].identity, identity) != 0)
        at++;
    burst->next_place = identity ? at + 1 : 0;
}

/* rank[i]: place of the i-th added frame in capture order, as far as that was told. */
static int *ranks_so_far(const struct pf_burst *burst)
{
    int *rank = calloc((size_t)burst->count + 1, sizeof(*rank));
    int next = 0;
    for (size_t i = 0; rank && i < burst->known_count; i++)
        if (burst->known[i].frame >= 0)
            rank[burst->known[i].frame] = next++;
    return rank;
}

/* What a burst of such frames needs, against what it may take. */
static void foresee(struct pf_burst *burst, const struct pf_image *image)
{
    struct pf_room_state room;
    pf_stack_needs(&burst->settings, burst->pool, image, &burst->needs);
    pf_room_look(&room);
    if (burst->needs.most > room.limit_bytes || room.scratch_bytes)
        snprintf(
            burst->room, sizeof(burst->room),
            "a burst of %d x %d pixels needs %.1f GB of memory and %.1f GB may be taken: the rest "
            "lies in %.150s, which takes longer",
            image->width, image->height, (double)burst->needs.most / 1e9,
            (double)room.limit_bytes / 1e9, room.scratch ? room.scratch : "no scratch directory");
}

static size_t position_of(const struct pf_burst *burst, int frame, const json_t *order)
{
    size_t position = 0, end = json_array_size(order);
    while (position < end) {
        const char *identity = json_string_value(json_array_get(order, position));
        if (identity && strcmp(identity, burst->added[frame]) == 0)
            break;
        position++;
    }
    return position;
}

static json_t *cells_that_are(const struct pf_coverage_report *report, int cover)
{
    json_t *cells = json_array();
    for (int c = 0; c < PF_FOCUS_CELLS; c++)
        if (report->cover[c] == cover)
            json_array_append_new(cells, json_integer(c));
    return cells;
}

static json_t *identity_json(const struct pf_burst *burst, const struct pf_coverage_report *report,
                             int place)
{
    return pf_json_bytes(burst->added[report->frame[place]]);
}

static json_t *curve_json(const struct pf_burst *burst, const struct pf_coverage_report *report)
{
    json_t *curve = json_array();
    for (int i = 0; i < report->frames; i++)
        json_array_append_new(curve,
                              json_pack("{s:o, s:o, s:i}", "frame", identity_json(burst, report, i),
                                        "sharpness", pf_facts_number((double)report->sharpness[i]),
                                        "won", report->won[i]));
    return curve;
}

static json_t *winner_json(const struct pf_burst *burst, const struct pf_coverage_report *report,
                           const json_t *order)
{
    json_t *winner = json_array();
    for (int c = 0; c < PF_FOCUS_CELLS; c++) {
        int place = report->winner[c], frame = place < 0 ? -1 : report->frame[place];
        size_t position = frame >= 0 && order ? position_of(burst, frame, order) : (size_t)frame;
        json_array_append_new(winner, place < 0 ? json_null() : json_integer((json_int_t)position));
    }
    return winner;
}

/* rank as in pf_coverage_report(); winners are places in `order` (NULL: numbers of added frames). */
static int coverage_json(const struct pf_burst *burst, const int *rank, const json_t *order,
                         bool whole, json_t **ret, struct pf_error *err)
{
    struct pf_coverage_report report;
    int r = pf_coverage_report(burst->coverage, rank, &report, err);
    if (r < 0)
        return r;
    json_t *skipped = json_array(), *missing = json_array();
    for (int i = 0; i + 1 < report.frames; i++)
        if (report.skipped[i]) {
            json_array_append_new(skipped, json_pack("[o, o]", identity_json(burst, &report, i),
                                                     identity_json(burst, &report, i + 1)));
            json_array_append_new(missing, json_integer(report.missing[i]));
        }
    *ret = json_pack("{s:i, s:o, s:o, s:o, s:o}", "detail", report.detail, "skipped", skipped,
                     "missing", missing, "before", cells_that_are(&report, PF_COVER_BEFORE),
                     "beyond", cells_that_are(&report, PF_COVER_BEYOND));
    if (*ret && whole) {
        json_object_set_new(*ret, "curve", curve_json(burst, &report));
        json_object_set_new(*ret, "winner", winner_json(burst, &report, order));
    }
    pf_coverage_report_free(&report);
    return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for the coverage");
}

/* A report looks at every frame: told of each one, a long burst would take work of the square of its
 * length. From there on it is told a hundred times while the burst grows by as much again. */
#define COVERAGE_EACH 200

static bool coverage_is_due(int fused)
{
    return fused <= COVERAGE_EACH || fused % (fused / 100) == 0;
}

/* A fused frame joins the coverage; what is missing so far joins its facts, where that is due. */
static int cover(struct pf_burst *burst, const struct pf_frame_result *result,
                 const struct pf_image *image, json_t *facts, struct pf_error *err)
{
    struct pf_focus focus;
    json_t *coverage = NULL;
    if (!burst->coverage)
        return 0;
    pf_focus_lay(&focus, &result->focus, result->transform, image->width, image->height,
                 result->light.gain);
    int r = pf_coverage_add(burst->coverage, burst->count - 1, &focus, err);
    if (r < 0 || !coverage_is_due(pf_burst_fused(burst)))
        return r;
    int *rank = ranks_so_far(burst);
    r = rank ? coverage_json(burst, rank, NULL, false, &coverage, err)
             : pf_fail(err, ENOMEM, "out of memory for the coverage");
    free(rank);
    if (r == 0 && json_object_set_new(facts, "coverage", coverage) < 0)
        r = pf_fail(err, ENOMEM, "out of memory for a frame's result");
    return r;
}

void pf_burst_look(struct pf_burst *burst, struct pf_look *look)
{
    pf_stack_look(burst->stack, look);
}

int pf_burst_add(struct pf_burst *burst, const char *identity, const struct pf_image *image,
                 const struct pf_error *decode_error, double decode_ms, json_t **ret_facts,
                 struct pf_error *err)
{
    json_t *facts;
    if (!image) {
        if (!can_never_be_read(decode_error->code))
            return pf_fail(err, decode_error->code, "%s", decode_error->text);
        facts = json_pack("{s:s, s:s, s:o, s:b, s:o}", "verdict", "aside", "cause", "unreadable",
                          "reason", pf_json_bytes(decode_error->text), "reference", 0, "decode_ms",
                          pf_facts_number(decode_ms));
        if (!facts)
            return pf_fail(err, ENOMEM, "out of memory for a frame's result");
        int r = remember(burst, identity, -1, err);
        if (r < 0) {
            json_decref(facts);
            return r;
        }
        burst->aside++;
        *ret_facts = facts;
        return 0;
    }

    struct pf_frame_result result = {0};
    int r = pf_stack_add(burst->stack, image, &result, err);
    if (image->coded && *image->coded->refused && !*burst->refused)
        snprintf(burst->refused, sizeof(burst->refused), "%.300s is decoded by the processor: %s",
                 image->coded->path, image->coded->refused);
    if (r == 0)
        r = remember(burst, identity, burst->count, err);
    if (r < 0)
        return r;
    burst->aside += result.verdict == PF_VERDICT_ASIDE;
    facts = pf_facts_of_frame(&result, image, decode_ms);
    if (!facts)
        return pf_fail(err, ENOMEM, "out of memory for a frame's result");
    if (result.verdict == PF_VERDICT_FUSED && !burst->needs.most &&
        pf_stack_backend(burst->stack) == &pf_backend_cpu)
        foresee(burst, image);
    r = result.verdict == PF_VERDICT_FUSED ? cover(burst, &result, image, facts, err) : 0;
    if (r < 0) {
        json_decref(facts);
        return r;
    }
    *ret_facts = facts;
    return 0;
}

static bool stands_on_its_side(const struct pf_image *image)
{
    return image->orientation >= 5;
}

static int threads_of(const struct pf_burst *burst)
{
    return pf_pool_threads(burst->pool);
}

int pf_burst_preview(struct pf_burst *burst, int max_width, const char *path, int *ret_width,
                     int *ret_height, struct pf_error *err)
{
    struct pf_image *image = NULL;
    int r = pf_stack_preview(burst->stack, max_width, &image, err);
    if (r < 0)
        return r;
    struct pf_encode_options options = {
        .format = PF_FORMAT_JPEG, .bits = 8, .jpeg_quality = PREVIEW_QUALITY, .threads = 1};
    r = pf_image_encode_aside(image, path, &options, err);
    if (r == 0) {
        *ret_width = stands_on_its_side(image) ? image->height : image->width;
        *ret_height = stands_on_its_side(image) ? image->width : image->height;
    }
    pf_image_free(image);
    return r;
}

struct place {
    size_t position; /* in capture order; frames that it does not name come last */
    int frame;       /* index in the order of adding */
};

static int by_position(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->position != b->position)
        return a->position < b->position ? -1 : 1;
    return a->frame - b->frame;
}

/* rank[i]: place of the i-th added frame among the added ones. NULL on out of memory. */
static int *ranks(const struct pf_burst *burst, const json_t *order)
{
    struct place *places = calloc((size_t)burst->count + 1, sizeof(*places));
    int *rank = calloc((size_t)burst->count + 1, sizeof(*rank));
    if (!places || !rank) {
        free(places);
        free(rank);
        return NULL;
    }
    for (int i = 0; i < burst->count; i++)
        places[i] = (struct place){.position = position_of(burst, i, order), .frame = i};
    qsort(places, (size_t)burst->count, sizeof(*places), by_position);
    for (int i = 0; i < burst->count; i++)
        rank[places[i].frame] = i;
    free(places);
    return rank;
}

int pf_burst_coverage(const struct pf_burst *burst, const json_t *order, bool whole, json_t **ret,
                      struct pf_error *err)
{
    if (!burst->coverage) {
        *ret = json_null();
        return 0;
    }
    int *rank = order ? ranks(burst, order) : NULL;
    int r = order && !rank ? pf_fail(err, ENOMEM, "out of memory for the coverage")
                           : coverage_json(burst, rank, order, whole, ret, err);
    free(rank);
    return r;
}

static const char *format_names[] = {
    [PF_FORMAT_TIFF] = "tiff", [PF_FORMAT_PNG] = "png", [PF_FORMAT_JPEG] = "jpeg"};

/* Encodes, and says what was written. */
static int write_image(const struct pf_burst *burst, const struct pf_image *image, const char *path,
                       enum pf_format format, const struct pf_burst_output *output, json_t **ret,
                       struct pf_error *err)
{
    struct pf_encode_options options = {.format = format,
                                        .bits = format == PF_FORMAT_JPEG ? 8 : 16,
                                        .jpeg_quality = output->jpeg_quality,
                                        .threads = threads_of(burst),
                                        .cancel = output->cancel};
    int r = pf_image_encode(image, path, &options, err);
    if (r < 0)
        return r;
    struct stat st;
    if (stat(path, &st) < 0)
        return pf_fail_errno(err, errno, "reading %s", path);
    const char *slash = strrchr(path, '/');
    bool side = stands_on_its_side(image);
    *ret = json_pack(
        "{s:o, s:i, s:i, s:i, s:s, s:I}", "name", pf_json_bytes(slash ? slash + 1 : path), "width",
        side ? image->height : image->width, "height", side ? image->width : image->height, "bits",
        options.bits, "format", format_names[format], "size_bytes", (json_int_t)st.st_size);
    if (!*ret) {
        unlink(path);
        return pf_fail(err, ENOMEM, "out of memory for the result");
    }
    return 0;
}

/* Their names among the results. */
static const char *const map_names[PF_MAP_COUNT] = {
    [PF_MAP_DEPTH] = "depth", [PF_MAP_CONFIDENCE] = "confidence", [PF_MAP_FRAME] = "frame_map"};

/* Identities by rank: what the numbers of a frame map stand for. NULL on out of memory. */
static json_t *frames_by_rank(const struct pf_burst *burst, const int *rank)
{
    json_t *frames = json_array();
    for (int i = 0; i < burst->count; i++)
        json_array_append_new(frames, json_null());
    for (int i = 0; i < burst->count; i++)
        if (json_array_set_new(frames, (size_t)rank[i], pf_json_bytes(burst->added[i])) < 0)
            return json_decref(frames), NULL;
    return frames;
}

static int write_map(struct pf_burst *burst, enum pf_map kind, const int *rank,
                     const struct pf_burst_output *output, int orientation, json_t **ret,
                     struct pf_error *err)
{
    const char *path = output->map_path[kind];
    struct pf_image *map = NULL;
    int r = pf_stack_map(burst->stack, kind, rank, burst->count, &map, err);
    if (r == 0) {
        map->orientation = orientation; /* it lies over the stack, pixel by pixel */
        r = write_image(burst, map, path, PF_FORMAT_PNG, output, ret, err);
    }
    if (r == 0 && kind == PF_MAP_FRAME &&
        json_object_set_new(*ret, "frames", frames_by_rank(burst, rank)) < 0) {
        unlink(path);
        r = pf_fail(err, ENOMEM, "out of memory for the result");
    }
    pf_image_free(map);
    return r;
}

static int go_on(const struct pf_cancel *cancel, struct pf_error *err)
{
    return cancel && cancel->wanted(cancel->context)
               ? pf_fail(err, ECANCELED, "something else is to be done")
               : 0;
}

/* Adds the maps that are wanted to `written`, null for the others. Nothing of them stays on
 * failure. */
static int write_maps(struct pf_burst *burst, const struct pf_burst_output *output, int orientation,
                      json_t *written, struct pf_error *err)
{
    int *rank = ranks(burst, output->order);
    int r = rank ? 0 : pf_fail(err, ENOMEM, "out of memory for the maps");
    int kind = 0;
    for (; r == 0 && kind < PF_MAP_COUNT; kind++) {
        json_t *entry = NULL;
        if (output->map_path[kind] && burst->has_maps)
            r = go_on(output->cancel, err);
        if (r == 0 && output->map_path[kind] && burst->has_maps)
            r = write_map(burst, (enum pf_map)kind, rank, output, orientation, &entry, err);
        if (r < 0)
            json_decref(entry);
        else if (json_object_set_new(written, map_names[kind], entry ? entry : json_null()) < 0)
            r = pf_fail(err, ENOMEM, "out of memory for the result");
    }
    while (r < 0 && kind-- > 0)
        if (output->map_path[kind] && burst->has_maps)
            unlink(output->map_path[kind]);
    free(rank);
    return r;
}

int pf_burst_write(struct pf_burst *burst, const struct pf_burst_output *output,
                   json_t **ret_output, struct pf_error *err)
{
    struct pf_image *image = NULL;
    json_t *stack = NULL;
    int r = go_on(output->cancel, err);
    if (r == 0)
        r = pf_stack_finish(burst->stack, &image, err);
    if (r < 0)
        return r;
    int orientation = image->orientation;
    r = write_image(burst, image, output->stack_path, output->format, output, &stack, err);
    pf_image_free(image);
    if (r < 0)
        return r;
    json_t *written = json_pack("{s:o}", "stack", stack);
    r = written ? write_maps(burst, output, orientation, written, err)
                : pf_fail(err, ENOMEM, "out of memory for the result");
    if (r < 0) {
        unlink(output->stack_path);
        json_decref(written);
        return r;
    }
    *ret_output = written;
    return 0;
}

const char *pf_burst_device(const struct pf_burst *burst)
{
    return pf_stack_backend(burst->stack)->name;
}

const char *pf_burst_note(const struct pf_burst *burst)
{
    return pf_stack_note(burst->stack);
}

const char *pf_burst_room(const struct pf_burst *burst)
{
    return burst->room;
}

const char *pf_burst_refused(const struct pf_burst *burst)
{
    return burst->refused;
}

static json_t *memory_json(const struct pf_burst *burst)
{
    struct pf_room_state room;
    pf_room_look(&room);
    return json_pack("{s:I, s:I, s:I}", "needed_mb", (json_int_t)(burst->needs.most >> 20),
                     "memory_mb", (json_int_t)(room.most_memory_bytes >> 20), "scratch_mb",
                     (json_int_t)(room.most_scratch_bytes >> 20));
}

json_t *pf_burst_engine(const struct pf_burst *burst, const char *device,
                        const struct pf_pool *pool, double finish_ms, double ahead_ms)
{
    bool here = burst && burst->needs.most;
    return json_pack("{s:s, s:i, s:s, s:o, s:o, s:o}", "device", device, "threads",
                     pf_pool_threads(pool), "version", pf_version(), "finish_ms",
                     pf_facts_number(finish_ms), "ahead_ms",
                     ahead_ms > 0 ? pf_facts_number(ahead_ms) : json_null(), "memory",
                     here ? memory_json(burst) : json_null());
}
