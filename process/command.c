#include "process/command.h"

#include <errno.h>
#include <stdio.h>

#include "config/base/jsonl.h"

int pf_command_path(const json_t *command, const char *key, char **ret, struct pf_error *err)
{
    int r = pf_json_bytes_of(command, key, ret);
    return r == -ENOMEM ? pf_fail(err, ENOMEM, "out of memory for a path")
           : r < 0      ? pf_fail(err, EINVAL, "%s needs a %s",
                                  json_string_value(json_object_get(command, "cmd")), key)
                        : 0;
}

/* A setting of a command's own, in `settings`; absent ones keep the worker's. */
static int take_setting(struct pf_settings *settings, const json_t *command, const char *key,
                        struct pf_error *err)
{
    const json_t *value = json_object_get(command, key);
    char text[64];
    if (!value || json_is_null(value))
        return 0;
    if (json_is_string(value))
        return pf_settings_set(settings, key, json_string_value(value), err);
    if (json_is_boolean(value))
        return pf_settings_set(settings, key, json_is_true(value) ? "yes" : "no", err);
    if (json_is_integer(value))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, sizeof(text), "%.17g", json_real_value(value));
    else
        return pf_fail(err, EINVAL, "%s is neither text nor a number", key);
    return pf_settings_set(settings, key, text, err);
}

int pf_command_settings(const struct pf_settings *worker, const json_t *command,
                        const char *const *keys, struct pf_settings *ret, struct pf_error *err)
{
    int r = pf_settings_init(ret, err);
    if (r < 0)
        return r;
    ret->align = worker->align;
    ret->equalise = worker->equalise;
    ret->motion = worker->motion;
    ret->min_correlation = worker->min_correlation;
    ret->align_timeout = worker->align_timeout;
    ret->judge = worker->judge;
    ret->coverage = worker->coverage;
    ret->fuse = worker->fuse;
    ret->focus_order = worker->focus_order;
    ret->resample = worker->resample;
    ret->clip = worker->clip;
    ret->depth_map = worker->depth_map;
    ret->confidence_map = worker->confidence_map;
    ret->frame_map = worker->frame_map;
    ret->format = worker->format;
    ret->jpeg_quality = worker->jpeg_quality;
    for (; *keys && r == 0; keys++)
        r = take_setting(ret, command, *keys, err);
    if (r < 0)
        pf_settings_free(ret);
    return r == -ENOENT || r == -ERANGE ? -EINVAL : r;
}
