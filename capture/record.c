#include "capture/record.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/settings.h"

/* The members by kind: the one list that writing, reading, copying and freeing share. */
#define RECORD_TEXTS(X)                                                                            \
    X(path, true)                                                                                  \
    X(source, true)                                                                                \
    X(format, true)                                                                                \
    X(make, false)                                                                                 \
    X(model, false)                                                                                \
    X(serial, false)                                                                               \
    X(lens, false)                                                                                 \
    X(burst_id, false)
#define RECORD_INTEGERS(X)                                                                         \
    X(size_bytes, 0, INT64_MAX)                                                                    \
    X(mtime_ns, INT64_MIN, INT64_MAX)                                                              \
    X(ctime_ns, INT64_MIN, INT64_MAX)                                                              \
    X(inode, INT64_MIN, INT64_MAX)                                                                 \
    X(arrival_ms, -PF_RECORD_ARRIVAL_MAX_MS, PF_RECORD_ARRIVAL_MAX_MS)                             \
    X(width, 0, INT32_MAX)                                                                         \
    X(height, 0, INT32_MAX)                                                                        \
    X(orientation, 1, 8)                                                                           \
    X(capture_ms, INT64_MIN, INT64_MAX)                                                            \
    X(iso, 0, INT64_MAX)                                                                           \
    X(sequence, -1, INT64_MAX)                                                                     \
    X(counter, -1, INT64_MAX)
#define RECORD_REALS(X)                                                                            \
    X(focal_mm)                                                                                    \
    X(f_number)                                                                                    \
    X(exposure_s)
#define RECORD_FLAGS(X)                                                                            \
    X(has_subsec)                                                                                  \
    X(has_offset)

json_t *pf_record_to_json(const struct pf_record *record)
{
    json_t *object = json_object();
    int failed = json_object_set_new(object, "event", json_string("frame"));
#define PUT_TEXT(key, required)                                                                    \
    if (record->key)                                                                               \
        failed |= json_object_set_new(object, #key, pf_json_bytes(record->key));
    RECORD_TEXTS(PUT_TEXT)
#undef PUT_TEXT
    failed |= json_object_set_new(object, "id", json_string(record->id.text));
#define PUT_INTEGER(key, least, most)                                                              \
    failed |= json_object_set_new(object, #key, json_integer((json_int_t)record->key));
    RECORD_INTEGERS(PUT_INTEGER)
#undef PUT_INTEGER
#define PUT_REAL(key)                                                                              \
    failed |= json_object_set_new(object, #key, json_real(isfinite(record->key) ? record->key : 0));
    RECORD_REALS(PUT_REAL)
#undef PUT_REAL
#define PUT_FLAG(key) failed |= json_object_set_new(object, #key, json_boolean(record->key));
    RECORD_FLAGS(PUT_FLAG)
#undef PUT_FLAG
    if (record->bracket) {
        failed |= json_object_set_new(object, "bracket", json_integer(record->bracket));
        failed |= json_object_set_new(object, "focus_at", json_real(record->focus_at));
    }
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static int take_text(const json_t *object, const char *key, bool required, char **ret,
                     struct pf_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return required ? pf_fail(err, EBADMSG, "frame record: %s is missing", key) : 0;
    if (!json_is_string(value))
        return pf_fail(err, EBADMSG, "frame record: %s is not a string", key);
    *ret = pf_json_bytes_value(value);
    return *ret ? 0 : pf_fail(err, ENOMEM, "out of memory for a frame record");
}

static int take_integer(const json_t *object, const char *key, int64_t least, int64_t most,
                        int64_t *ret, struct pf_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return pf_fail(err, EBADMSG, "frame record: %s is %s", key,
                       value ? "not an integer" : "missing");
    *ret = json_integer_value(value);
    if (*ret < least || *ret > most)
        return pf_fail(err, EBADMSG, "frame record: %s is out of range: %lld", key,
                       (long long)*ret);
    return 0;
}

static int take_real(const json_t *object, const char *key, double *ret, struct pf_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        return pf_fail(err, EBADMSG, "frame record: %s is %s", key,
                       value ? "not a number" : "missing");
    *ret = json_number_value(value);
    return *ret >= 0 ? 0 : pf_fail(err, EBADMSG, "frame record: %s is negative", key);
}

static int take_flag(const json_t *object, const char *key, bool *ret, struct pf_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return pf_fail(err, EBADMSG, "frame record: %s is %s", key,
                       value ? "not true or false" : "missing");
    *ret = json_is_true(value);
    return 0;
}

/* Both or neither. */
static int take_bracket(const json_t *object, struct pf_record *record, struct pf_error *err)
{
    const json_t *bracket = json_object_get(object, "bracket");
    const json_t *focus_at = json_object_get(object, "focus_at");
    if (!bracket && !focus_at)
        return 0;
    if (!json_is_integer(bracket) || !json_is_number(focus_at))
        return pf_fail(err, EBADMSG, "frame record: bracket and focus_at are no numbers");
    record->bracket = json_integer_value(bracket);
    record->focus_at = json_number_value(focus_at);
    return 0;
}

static int take_identity(const json_t *object, struct pf_identity *ret, struct pf_error *err)
{
    const json_t *value = json_object_get(object, "id");
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) != PF_IDENTITY_CHARS ||
        strspn(text, "0123456789abcdef") != 16 || text[16] != '-' ||
        strspn(text + 17, "0123456789abcdef") != 32)
        return pf_fail(err, EBADMSG, "frame record: id is not an identity");
    memcpy(ret->text, text, sizeof(ret->text));
    return 0;
}

int pf_record_from_json(const json_t *object, struct pf_record **ret, struct pf_error *err)
{
    struct pf_record *record = calloc(1, sizeof(*record));
    if (!record)
        return pf_fail(err, ENOMEM, "out of memory for a frame record");
    int r = take_identity(object, &record->id, err);
#define TAKE_TEXT(key, required)                                                                   \
    if (!r)                                                                                        \
        r = take_text(object, #key, required, &record->key, err);
    RECORD_TEXTS(TAKE_TEXT)
#undef TAKE_TEXT
    int64_t number = 0;
#define TAKE_INTEGER(key, least, most)                                                             \
    if (!r && !(r = take_integer(object, #key, least, most, &number, err)))                        \
        record->key = (__typeof__(record->key))number;
    RECORD_INTEGERS(TAKE_INTEGER)
#undef TAKE_INTEGER
#define TAKE_REAL(key)                                                                             \
    if (!r)                                                                                        \
        r = take_real(object, #key, &record->key, err);
    RECORD_REALS(TAKE_REAL)
#undef TAKE_REAL
#define TAKE_FLAG(key)                                                                             \
    if (!r)                                                                                        \
        r = take_flag(object, #key, &record->key, err);
    RECORD_FLAGS(TAKE_FLAG)
#undef TAKE_FLAG
    if (!r)
        r = take_bracket(object, record, err);
    if (r) {
        pf_record_free(record);
        return r;
    }
    *ret = record;
    return 0;
}

struct pf_record *pf_record_copy(const struct pf_record *record)
{
    struct pf_record *copy = malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    *copy = *record;
    bool failed = false;
#define COPY_TEXT(key, required)                                                                   \
    copy->key = record->key ? strdup(record->key) : NULL;                                          \
    failed |= record->key && !copy->key;
    RECORD_TEXTS(COPY_TEXT)
#undef COPY_TEXT
    return failed ? pf_record_free(copy) : copy;
}

struct pf_record *pf_record_free(struct pf_record *record)
{
    if (!record)
        return NULL;
#define FREE_TEXT(key, required) free(record->key);
    RECORD_TEXTS(FREE_TEXT)
#undef FREE_TEXT
    free(record);
    return NULL;
}

const char *pf_record_captured(const struct pf_record *record, char to[PF_RECORD_CAPTURED_CHARS])
{
    struct tm time;
    time_t seconds = (time_t)(record->capture_ms / 1000);
    if (record->capture_ms < 0 || !gmtime_r(&seconds, &time))
        return NULL;
    size_t used = strftime(to, PF_RECORD_CAPTURED_CHARS, "%Y-%m-%dT%H:%M:%S", &time);
    snprintf(to + used, PF_RECORD_CAPTURED_CHARS - used, ".%03d%s",
             (int)(record->capture_ms % 1000), record->has_offset ? "Z" : "");
    return to;
}

bool pf_record_replaces(const struct pf_record *now, const struct pf_record *before)
{
    return now->capture_ms < 0 ? before->capture_ms < 0 : now->capture_ms == before->capture_ms;
}

bool pf_record_has_serial(const struct pf_record *record)
{
    return record->serial && record->serial[strspn(record->serial, "0 ")] != '\0';
}

size_t pf_record_camera_bytes(const struct pf_record *record)
{
    bool is_camera = record->source && pf_settings_camera(record->source);
    return is_camera ? (size_t)(pf_base_name(record->path) - record->path) : 0;
}

int64_t pf_record_counter(const char *path)
{
    const char *stem = pf_base_name(path);
    const char *dot = strrchr(stem, '.');
    const char *end = dot && dot > stem ? dot : stem + strlen(stem);
    while (end > stem && !(end[-1] >= '0' && end[-1] <= '9'))
        end--;
    const char *start = end;
    /* 18 digits always fit; of a longer run the last ones are what counts up. */
    while (start > stem && start[-1] >= '0' && start[-1] <= '9' && end - start < 18)
        start--;
    if (start == end)
        return -1;
    int64_t counter = 0;
    for (; start < end; start++)
        counter = counter * 10 + (*start - '0');
    return counter;
}
