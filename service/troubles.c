#include "service/troubles.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "config/base/time.h"

struct pf_troubles {
    struct pf_events *events;
    json_t *all; /* array of Trouble */
};

int pf_troubles_new(struct pf_troubles **ret, struct pf_events *events, struct pf_error *err)
{
    struct pf_troubles *troubles = calloc(1, sizeof(*troubles));
    if (troubles)
        troubles->all = json_array();
    if (!troubles || !troubles->all) {
        free(troubles);
        return pf_fail(err, ENOMEM, "out of memory for troubles");
    }
    troubles->events = events;
    *ret = troubles;
    return 0;
}

struct pf_troubles *pf_troubles_free(struct pf_troubles *troubles)
{
    if (troubles)
        json_decref(troubles->all);
    free(troubles);
    return NULL;
}

static size_t find(const struct pf_troubles *troubles, const char *id)
{
    size_t i;
    const json_t *trouble;
    json_array_foreach(troubles->all, i, trouble)
    {
        if (!strcmp(json_string_value(json_object_get(trouble, "id")), id))
            break;
    }
    return i;
}

static void tell(struct pf_troubles *troubles, bool on, const json_t *trouble)
{
    pf_events_publish(troubles->events, "trouble",
                      json_pack("{s:b, s:o}", "on", on, "trouble", json_deep_copy(trouble)));
}

static json_t *way(const char *path)
{
    return path ? json_string(path) : json_null();
}

void pf_trouble_on(struct pf_troubles *troubles, bool degrades, const char *id,
                   const struct pf_trouble_ways *ways, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (!troubles)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t at = find(troubles, id);
    json_t *trouble = json_array_get(troubles->all, at), *said = pf_json_bytes(text);
    json_t *retry = way(ways ? ways->retry : NULL), *dismiss = way(ways ? ways->dismiss : NULL);
    if (trouble && json_equal(json_object_get(trouble, "text"), said) &&
        json_equal(json_object_get(trouble, "retry"), retry)) {
        json_decref(said);
        json_decref(retry);
        json_decref(dismiss);
        return;
    }
    if (trouble) {
        json_object_set_new(trouble, "text", said);
        json_object_set_new(trouble, "retry", retry);
        json_object_set_new(trouble, "dismiss", dismiss);
    } else {
        trouble = json_pack("{s:s, s:o, s:I, s:o, s:o, s:b}", "id", id, "text", said, "since_ms",
                            (json_int_t)pf_wall_ms(), "retry", retry, "dismiss", dismiss,
                            "degrades", degrades);
        if (!trouble || json_array_append_new(troubles->all, trouble) < 0)
            return;
    }
    tell(troubles, true, trouble);
}

void pf_trouble_off(struct pf_troubles *troubles, const char *id)
{
    if (!troubles)
        return;
    size_t at = find(troubles, id);
    json_t *trouble = json_incref(json_array_get(troubles->all, at));
    if (!trouble)
        return;
    json_array_remove(troubles->all, at);
    tell(troubles, false, trouble);
    json_decref(trouble);
}

bool pf_troubles_degrade(const struct pf_troubles *troubles)
{
    size_t i;
    const json_t *trouble;
    json_array_foreach(troubles->all, i, trouble)
    {
        if (json_is_true(json_object_get(trouble, "degrades")))
            return true;
    }
    return false;
}

json_t *pf_troubles_json(const struct pf_troubles *troubles)
{
    return json_deep_copy(troubles->all);
}
