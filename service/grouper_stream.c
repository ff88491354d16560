#include "service/grouper_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/array.h"
#include "config/base/file.h"
#include "config/base/text.h"
#include "config/settings.h"

/* What a camera calls a folder that holds pictures (DCF: three digits and five others). It goes on in the next
 * one when that is full. */
static bool is_dcf(const char *name, size_t length)
{
    return length == 8 && name[0] >= '1' && name[0] <= '9' && strspn(name, "0123456789") >= 3;
}

/* Of two bodies of one model that tell no serial numbers each puts its pictures into a folder of its own in the
 * source: that one's name, or nothing. *ret is borrowed from the record. -ENOMEM. */
static int find_own_folder(const struct pf_record *record, const char **ret, int *ret_bytes)
{
    const char *source = record->source ? pf_settings_folder(record->source) : NULL;
    *ret = "";
    *ret_bytes = 0;
    if (!source || pf_record_has_serial(record))
        return 0;
    char *root = pf_path_absolute(source);
    if (!root)
        return -ENOMEM;
    const char *name = pf_path_beneath(record->path, root);
    free(root);
    const char *end = name ? strchr(name, '/') : NULL;
    if (end && !is_dcf(name, (size_t)(end - name))) {
        *ret = name;
        *ret_bytes = (int)(end - name);
    }
    return 0;
}

char *pf_stream_key(const struct pf_record *record)
{
    bool has_serial = pf_record_has_serial(record);
    bool has_time = record->capture_ms >= 0;
    const char *slash = strrchr(record->path, '/');
    int folder_bytes = has_time || !slash ? 0 : (int)(slash - record->path);
    size_t camera_bytes = pf_record_camera_bytes(record);
    const char *body = has_serial ? record->serial : camera_bytes ? record->path : record->source;
    int body_bytes = has_serial || !camera_bytes ? (int)strlen(body) : (int)camera_bytes;
    const char *own;
    int own_bytes;
    if (find_own_folder(record, &own, &own_bytes) < 0)
        return NULL;
    return pf_text("%s\n%s\n%.*s\n%.*s\n%dx%d %s\n%.*s", record->make ? record->make : "",
                   record->model ? record->model : "", body_bytes, body, own_bytes, own,
                   record->width, record->height,
                   !has_time            ? "arrival"
                   : record->has_offset ? "utc"
                                        : "local",
                   folder_bytes, record->path);
}

struct pf_stream *pf_stream_free(struct pf_stream *stream)
{
    if (!stream)
        return NULL;
    for (size_t i = 0; i < stream->burst_count; i++)
        pf_grouper_burst_free(stream->bursts[i]);
    for (size_t i = 0; i < stream->held_count; i++)
        pf_shot_free(stream->held[i]);
    free(stream->bursts);
    free(stream->held);
    free(stream->key);
    free(stream);
    return NULL;
}

int pf_stream_reserve(struct pf_stream *stream)
{
    struct pf_grouper_burst **bursts =
        pf_with_room(stream->bursts, &stream->burst_capacity, stream->burst_count, 1,
                     sizeof(struct pf_grouper_burst *));
    if (!bursts)
        return -ENOMEM;
    stream->bursts = bursts;
    return 0;
}

int pf_stream_hold(struct pf_stream *stream, struct pf_shot *shot)
{
    struct pf_shot **grown = pf_with_room(stream->held, &stream->held_capacity, stream->held_count,
                                          1, sizeof(struct pf_shot *));
    if (!grown)
        return -ENOMEM;
    stream->held = grown;
    size_t at = stream->held_count;
    while (at && pf_shot_compare(stream->held[at - 1], shot) > 0)
        at--;
    memmove(stream->held + at + 1, stream->held + at,
            (stream->held_count - at) * sizeof(struct pf_shot *));
    stream->held[at] = shot;
    stream->held_count++;
    return 0;
}

bool pf_stream_has_open(const struct pf_stream *stream)
{
    for (size_t i = 0; i < stream->burst_count; i++)
        if (stream->bursts[i]->open)
            return true;
    return false;
}

struct pf_grouper_burst *pf_stream_nearest(const struct pf_grouper_settings *settings,
                                           const struct pf_stream *stream,
                                           const struct pf_shot *shot, int64_t now_ms)
{
    struct pf_grouper_burst *found = NULL;
    int64_t found_ms = INT64_MAX;
    for (size_t i = stream->burst_count; i-- > 0;) {
        int64_t distance_ms;
        if (!pf_grouper_burst_refuses(stream->bursts[i], shot, now_ms, settings, &distance_ms) &&
            distance_ms < found_ms) {
            found = stream->bursts[i];
            found_ms = distance_ms;
        }
    }
    return found;
}

bool pf_stream_cuts_off(const struct pf_stream *stream, const struct pf_grouper_burst *burst,
                        const struct pf_shot *shot)
{
    const struct pf_shot *first = burst->shots[0], *last = burst->shots[burst->count - 1];
    for (size_t i = 0; i < stream->held_count; i++) {
        const struct pf_shot *held = stream->held[i];
        if (held != shot && ((pf_shot_compare(last, held) < 0 && pf_shot_compare(held, shot) < 0) ||
                             (pf_shot_compare(shot, held) < 0 && pf_shot_compare(held, first) < 0)))
            return true;
    }
    return false;
}

void pf_stream_take_held(struct pf_stream *stream, size_t at)
{
    stream->held_count--;
    memmove(stream->held + at, stream->held + at + 1,
            (stream->held_count - at) * sizeof(struct pf_shot *));
}

struct pf_grouper_burst *pf_stream_find(const struct pf_stream *stream, int64_t number)
{
    for (size_t i = 0; i < stream->burst_count; i++)
        if (stream->bursts[i]->number == number)
            return stream->bursts[i];
    return NULL;
}

struct pf_grouper_burst *pf_stream_burst_of(const struct pf_stream *stream,
                                            const struct pf_shot *shot)
{
    for (size_t i = 0; i < stream->burst_count; i++)
        for (size_t k = 0; k < stream->bursts[i]->total; k++)
            if (stream->bursts[i]->shots[k] == shot)
                return stream->bursts[i];
    return NULL;
}
