#include "service/sidecar.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/base/jsonl.h"
#include "config/base/version.h"
#include "config/options.h"

/* Setters that leave out what is unknown. */

static void set_text(json_t *object, const char *key, const char *value)
{
    if (value)
        json_object_set_new(object, key, pf_json_bytes(value));
}

static void set_integer(json_t *object, const char *key, int64_t value, bool known)
{
    if (known)
        json_object_set_new(object, key, json_integer(value));
}

static void set_real(json_t *object, const char *key, double value)
{
    if (value > 0)
        json_object_set_new(object, key, json_real(value));
}

static json_t *frame_object(const struct pf_job_frame *frame)
{
    const struct pf_record *record = frame->record;
    char captured[PF_RECORD_CAPTURED_CHARS];
    json_t *object = json_object(), *result = json_copy(frame->result);
    set_text(object, "path", frame->path ? frame->path : record->path);
    set_text(object, "companion", frame->companion);
    set_text(object, "identity", record->id.text);
    set_integer(object, "size_bytes", record->size_bytes, true);
    set_text(object, "captured", pf_record_captured(record, captured));
    set_integer(object, "capture_ms", record->capture_ms, record->capture_ms >= 0);
    set_text(object, "format", record->format);
    set_integer(object, "width", record->width, record->width > 0);
    set_integer(object, "height", record->height, record->height > 0);
    set_integer(object, "orientation", record->orientation, true);
    set_real(object, "focal_mm", record->focal_mm);
    set_real(object, "f_number", record->f_number);
    set_real(object, "exposure_s", record->exposure_s);
    set_integer(object, "iso", record->iso, record->iso > 0);
    set_integer(object, "sequence", record->sequence, record->sequence >= 0);
    set_integer(object, "counter", record->counter, record->counter >= 0);
    if (result) /* what the worker found overrides what the file's header said */
        json_object_update(object, result);
    json_decref(result);
    const json_t *reference = json_object_get(object, "reference");
    bool fused = pf_job_fused(frame);
    json_object_set_new(object, "reference", json_boolean(fused && json_is_true(reference)));
    set_text(object, "verdict", fused ? "fused" : "aside");
    set_text(object, "reason", pf_job_reason(frame));
    if (frame->discarded)
        set_text(object, "cause", "discarded");
    else if (frame->stray)
        pf_stray_strike(object);
    else if (frame->excluded)
        set_text(object, "cause", "lost");
    set_integer(object, "attempts", frame->attempts, true);
    return object;
}

static json_t *camera_object(const struct pf_record *record)
{
    json_t *camera = json_object();
    set_text(camera, "make", record->make);
    set_text(camera, "model", record->model);
    set_text(camera, "serial", record->serial);
    set_text(camera, "lens", record->lens);
    return camera;
}

static json_t *time_of(const struct pf_record *record)
{
    char captured[PF_RECORD_CAPTURED_CHARS];
    return pf_record_captured(record, captured) ? json_string(captured) : json_null();
}

json_t *pf_sidecar(const struct pf_job *job, const struct pf_settings *settings)
{
    const struct pf_record **order = pf_job_order(job);
    if (!order)
        return NULL;
    size_t fused = pf_job_fused_count(job);
    json_t *frames = json_array();
    for (size_t i = 0; i < job->count; i++)
        json_array_append_new(frames, frame_object(pf_job_find(job, order[i]->id.text)));
    json_t *sidecar = json_pack(
        "{s:s, s:s, s:i, s:s?, s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "parfocal", pf_version(),
        "burst", job->name, "version", job->version, "complete", job->complete, "camera",
        camera_object(order[0]), "first", time_of(order[0]), "last", time_of(order[job->count - 1]),
        "settings", pf_job_settings(job, settings, PF_JOB_KEYS), "fused", (json_int_t)fused,
        "aside", (json_int_t)(job->count - fused), "frames", frames);
    free(order);
    return sidecar;
}

json_t *pf_sidecar_identities(const struct pf_job *job)
{
    json_t *identities = json_array();
    for (size_t i = 0; i < job->count; i++)
        json_array_append_new(identities, json_string(job->frames[i].record->id.text));
    return identities;
}
