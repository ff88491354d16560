#include "capture/shot.h"

#include <string.h>

#define SECOND_MS 1000
/* Offsets from UTC are multiples of a quarter of an hour. */
#define OFFSETS_MS INT64_C(900000)

enum pf_shot_kind pf_shot_kind(const struct pf_record *record)
{
    if (!strcmp(record->format, "jpeg"))
        return PF_SHOT_JPEG;
    return strcmp(record->format, "tiff") && strcmp(record->format, "png") ? PF_SHOT_RAW
                                                                           : PF_SHOT_OTHER;
}

/* Bytes of the path before the extension. */
static size_t stem_bytes(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    return dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path);
}

bool pf_shot_names_match(const char *a, const char *b)
{
    size_t stem = stem_bytes(a);
    return stem == stem_bytes(b) && !memcmp(a, b, stem);
}

static bool same_text(const char *a, const char *b)
{
    return !a || !b || !strcmp(a, b);
}

static bool same_time(const struct pf_record *a, const struct pf_record *b)
{
    if (a->capture_ms < 0 || b->capture_ms < 0)
        return false;
    int64_t apart_ms = a->capture_ms - b->capture_ms;
    if (apart_ms < 0)
        apart_ms = -apart_ms;
    /* A file that does not say its offset from UTC has the camera's local time. */
    if (a->has_offset != b->has_offset) {
        apart_ms %= OFFSETS_MS;
        if (apart_ms > OFFSETS_MS / 2)
            apart_ms = OFFSETS_MS - apart_ms;
    }
    return a->has_subsec && b->has_subsec ? apart_ms == 0 : apart_ms < SECOND_MS;
}

bool pf_shot_is_same(const struct pf_record *a, const struct pf_record *b)
{
    enum pf_shot_kind kind_a = pf_shot_kind(a), kind_b = pf_shot_kind(b);
    return kind_a != kind_b && kind_a != PF_SHOT_OTHER && kind_b != PF_SHOT_OTHER &&
           pf_shot_names_match(a->path, b->path) && same_time(a, b) &&
           same_text(a->make, b->make) && same_text(a->model, b->model) &&
           same_text(a->serial, b->serial);
}
