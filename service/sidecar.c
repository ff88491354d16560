#include "service/sidecar.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/base/jsonl.h"
#include "config/base/version.h"
#include "config/options.h"

/* An object that is being filled; what is unknown is left out. A sidecar says all or is none: what
 * finds no memory is not passed over. */
struct fields {
    json_t *object;
    bool failed;
};

static void set(struct fields *fields, const char *key, json_t *value)
{
    fields->failed |= json_object_set_new(fields->object, key, value) < 0;
}

static void set_text(struct fields *fields, const char *key, const char *value)
{
    if (value)
        set(fields, key, pf_json_bytes(value));
}

static void set_integer(struct fields *fields, const char *key, int64_t value, bool known)
{
    if (known)
        set(fields, key, json_integer(value));
}

static void set_real(struct fields *fields, const char *key, double value)
{
    if (value > 0)
        set(fields, key, json_real(value));
}

/* The object, NULL when something of it found no memory. */
static json_t *filled(struct fields *fields)
{
    if (!fields->failed)
        return fields->object;
    json_decref(fields->object);
    return NULL;
}

/* The part of the object is the worker's result as well, where it stays. */
static void leave_grid_out(struct fields *fields, const char *key)
{
    json_t *part = json_object_get(fields->object, key), *copy = NULL;
    if (!json_object_get(part, "grid"))
        return;
    copy = json_copy(part);
    fields->failed |= !copy;
    json_object_del(copy, "grid");
    set(fields, key, copy);
}

static json_t *frame_object(const struct pf_job_frame *frame, bool grids)
{
    const struct pf_record *record = frame->record;
    char captured[PF_RECORD_CAPTURED_CHARS];
    struct fields fields = {json_object(), false};
    set_text(&fields, "path", frame->path ? frame->path : record->path);
    set_text(&fields, "companion", frame->companion);
    set_text(&fields, "identity", record->id.text);
    set_integer(&fields, "size_bytes", record->size_bytes, true);
    set_text(&fields, "captured", pf_record_captured(record, captured));
    set_integer(&fields, "capture_ms", record->capture_ms, record->capture_ms >= 0);
    set_text(&fields, "format", record->format);
    set_integer(&fields, "width", record->width, record->width > 0);
    set_integer(&fields, "height", record->height, record->height > 0);
    set_integer(&fields, "orientation", record->orientation, true);
    set_real(&fields, "focal_mm", record->focal_mm);
    set_real(&fields, "f_number", record->f_number);
    set_real(&fields, "exposure_s", record->exposure_s);
    set_integer(&fields, "iso", record->iso, record->iso > 0);
    set_integer(&fields, "sequence", record->sequence, record->sequence >= 0);
    set_integer(&fields, "counter", record->counter, record->counter >= 0);
    if (record->bracket)
        set(&fields, "focus_at", json_real(record->focus_at));
    if (frame->result) /* what the worker found overrides what the file's header said */
        fields.failed |= json_object_update(fields.object, frame->result) < 0;
    if (!grids) {
        leave_grid_out(&fields, "focus");
        leave_grid_out(&fields, "displacement");
    }
    const json_t *reference = json_object_get(fields.object, "reference");
    bool fused = pf_job_fused(frame);
    set(&fields, "reference", json_boolean(fused && json_is_true(reference)));
    set_text(&fields, "verdict", fused ? "fused" : "aside");
    set_text(&fields, "reason", pf_job_reason(frame));
    if (frame->discarded)
        set_text(&fields, "cause", "discarded");
    else if (frame->stray)
        fields.failed |= pf_stray_strike(fields.object) < 0;
    else if (frame->excluded)
        set_text(&fields, "cause", "lost");
    if (frame->taken)
        set(&fields, "taken", json_true());
    set_integer(&fields, "attempts", frame->attempts, true);
    return filled(&fields);
}

static json_t *camera_object(const struct pf_record *record)
{
    struct fields camera = {json_object(), false};
    set_text(&camera, "make", record->make);
    set_text(&camera, "model", record->model);
    set_text(&camera, "serial", record->serial);
    set_text(&camera, "lens", record->lens);
    return filled(&camera);
}

static json_t *time_of(const struct pf_record *record)
{
    char captured[PF_RECORD_CAPTURED_CHARS];
    return pf_record_captured(record, captured) ? json_string(captured) : json_null();
}

json_t *pf_sidecar(struct pf_job *job, const struct pf_settings *settings)
{
    const struct pf_record **order = pf_job_order(job);
    if (!order)
        return NULL;
    size_t fused = pf_job_fused_count(job);
    json_t *frames = json_array();
    int failed = 0;
    for (size_t i = 0; i < job->count; i++)
        failed |= json_array_append_new(frames, frame_object(pf_job_find(job, order[i]->id.text),
                                                             job->count <= PF_SIDECAR_GRIDS_MAX));
    json_t *sidecar = json_pack(
        "{s:s, s:s, s:i, s:s?, s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "parfocal", pf_version(),
        "burst", job->name, "version", job->version, "complete", job->complete, "camera",
        camera_object(order[0]), "first", time_of(order[0]), "last", time_of(order[job->count - 1]),
        "settings", pf_job_settings(job, settings, PF_JOB_KEYS), "fused", (json_int_t)fused,
        "aside", (json_int_t)(job->count - fused), "frames", frames);
    free(order);
    if (failed) {
        json_decref(sidecar);
        sidecar = NULL;
    }
    return sidecar;
}

json_t *pf_sidecar_identities(const struct pf_job *job)
{
    json_t *identities = json_array();
    int failed = 0;
    for (size_t i = 0; i < job->count; i++)
        failed |= json_array_append_new(identities, json_string(job->frames[i].record->id.text));
    if (failed) {
        json_decref(identities);
        identities = NULL;
    }
    return identities;
}
