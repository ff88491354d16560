/* What is asked of the camera: its settings, and one shot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/camera_internal.h"
#include "config/base/jsonl.h"
#include "config/base/text.h"

enum { CAPTURE_MS = 90000 };

void pf_camera_answer(struct pf_camera *camera, int64_t id, json_t *answer)
{
    if (answer && (json_object_set_new(answer, "event", json_string("answer")) |
                   json_object_set_new(answer, "id", json_integer(id)))) {
        json_decref(answer);
        answer = NULL;
    }
    pf_camera_send(camera, answer);
}

void pf_camera_refuse(struct pf_camera *camera, int64_t id, const char *why)
{
    json_t *answer = json_object();
    if (json_object_set_new(answer, "done", json_true()) |
        json_object_set_new(answer, "error", pf_json_bytes(why))) {
        json_decref(answer);
        answer = NULL;
    }
    pf_camera_answer(camera, id, answer);
}

static void refuse_gp(struct pf_camera *camera, int64_t id, int gp_code, const char *doing)
{
    struct pf_error err = {0};
    pf_camera_explain(camera, gp_code, doing, &err);
    camera->gp_error[0] = '\0';
    pf_camera_refuse(camera, id, err.text);
}

/* The value of a setting as JSON; NULL when it has none that could be shown. */
static json_t *value_of(CameraWidget *widget)
{
    CameraWidgetType type;
    const char *text = NULL;
    float number = 0;
    int whole = 0;
    gp_widget_get_type(widget, &type);
    switch (type) {
    case GP_WIDGET_TEXT:
    case GP_WIDGET_RADIO:
    case GP_WIDGET_MENU:
        gp_widget_get_value(widget, &text);
        return text ? pf_json_bytes(text) : json_string("");
    case GP_WIDGET_RANGE:
        gp_widget_get_value(widget, &number);
        return json_real(number);
    case GP_WIDGET_TOGGLE:
    case GP_WIDGET_DATE:
        gp_widget_get_value(widget, &whole);
        return json_integer(whole);
    default:
        return NULL;
    }
}

static json_t *describe(CameraWidget *widget, bool fully)
{
    json_t *object = json_object(), *choices = json_array();
    const char *text = "";
    float low, high, step;
    int readonly = 0;
    CameraWidgetType type;
    gp_widget_get_name(widget, &text);
    json_object_set_new(object, "name", pf_json_bytes(text));
    json_object_set_new(object, "value", value_of(widget));
    gp_widget_get_readonly(widget, &readonly);
    json_object_set_new(object, "readonly", json_boolean(readonly));
    gp_widget_get_type(widget, &type);
    if (fully && gp_widget_get_label(widget, &text) >= 0)
        json_object_set_new(object, "label", pf_json_bytes(text));
    if (fully && (type == GP_WIDGET_RADIO || type == GP_WIDGET_MENU)) {
        for (int i = 0; i < gp_widget_count_choices(widget); i++)
            if (gp_widget_get_choice(widget, i, &text) >= 0)
                json_array_append_new(choices, pf_json_bytes(text));
        json_object_set(object, "choices", choices);
    }
    if (fully && type == GP_WIDGET_RANGE && gp_widget_get_range(widget, &low, &high, &step) >= 0) {
        json_object_set_new(object, "lowest", json_real(low));
        json_object_set_new(object, "highest", json_real(high));
        json_object_set_new(object, "step", json_real(step));
    }
    json_decref(choices);
    return object;
}

static void list_settings(struct pf_camera *camera, int64_t id)
{
    CameraList *list;
    int r = gp_list_new(&list);
    if (r < 0)
        return;
    json_t *settings = json_array();
    r = gp_camera_list_config(camera->gp, list, camera->context);
    for (int i = 0; r >= 0 && i < gp_list_count(list); i++) {
        const char *name;
        CameraWidget *widget = NULL;
        gp_list_get_name(list, i, &name);
        pf_camera_alive(camera, 0);
        if (gp_camera_get_single_config(camera->gp, name, &widget, camera->context) < 0 || !widget)
            continue;
        json_t *value = value_of(widget);
        if (value)
            json_array_append_new(settings, describe(widget, false));
        json_decref(value);
        gp_widget_free(widget);
    }
    gp_list_free(list);
    if (r < 0)
        refuse_gp(camera, id, r, "listing its settings");
    else
        pf_camera_answer(camera, id, json_pack("{s:b, s:O}", "done", 1, "settings", settings));
    json_decref(settings);
}

/* A code of libgphoto2; GP_ERROR_BAD_PARAMETERS: no such value. */
static int set_value(CameraWidget *widget, const char *value)
{
    CameraWidgetType type;
    char *end;
    float number = strtof(value, &end), low, high, step;
    int whole = (int)number;
    gp_widget_get_type(widget, &type);
    switch (type) {
    case GP_WIDGET_RADIO:
    case GP_WIDGET_MENU:
        for (int i = 0; i < gp_widget_count_choices(widget); i++) {
            const char *choice;
            gp_widget_get_choice(widget, i, &choice);
            if (!strcmp(choice, value))
                return gp_widget_set_value(widget, value);
        }
        return GP_ERROR_BAD_PARAMETERS;
    case GP_WIDGET_TEXT:
        return gp_widget_set_value(widget, value);
    case GP_WIDGET_RANGE:
        gp_widget_get_range(widget, &low, &high, &step);
        if (!*value || *end || number < low || number > high)
            return GP_ERROR_BAD_PARAMETERS;
        return gp_widget_set_value(widget, &number);
    case GP_WIDGET_TOGGLE:
    case GP_WIDGET_DATE:
        if (!*value || *end)
            return GP_ERROR_BAD_PARAMETERS;
        return gp_widget_set_value(widget, &whole);
    default:
        return GP_ERROR_NOT_SUPPORTED;
    }
}

static void one_setting(struct pf_camera *camera, int64_t id, const char *name, const char *value)
{
    CameraWidget *widget = NULL;
    char doing[300];
    snprintf(doing, sizeof(doing), "the setting %.200s", name);
    int r = gp_camera_get_single_config(camera->gp, name, &widget, camera->context);
    if (r < 0 || !widget) {
        snprintf(doing, sizeof(doing), "this camera has no setting %.200s", name);
        pf_camera_refuse(camera, id, doing);
        return;
    }
    if (value)
        r = set_value(widget, value);
    if (value && r == GP_ERROR_BAD_PARAMETERS) {
        char *choices = pf_json_text(describe(widget, true), JSON_COMPACT);
        char *text = choices ? pf_text("%s cannot be \"%s\": %s", name, value, choices) : NULL;
        pf_camera_refuse(camera, id, text ? text : "out of memory");
        free(text);
        free(choices);
    } else {
        if (value && r >= 0)
            r = gp_camera_set_single_config(camera->gp, name, widget, camera->context);
        if (r < 0)
            refuse_gp(camera, id, r, doing);
        else
            pf_camera_answer(camera, id,
                             json_pack("{s:b, s:o}", "done", 1, "setting", describe(widget, true)));
    }
    gp_widget_free(widget);
}

int pf_camera_trigger(struct pf_camera *camera)
{
    CameraFilePath path;
    int r = gp_camera_trigger_capture(camera->gp, camera->context);
    if (r != GP_ERROR_NOT_SUPPORTED)
        return r;
    /* OM System and Panasonic: it waits for the picture itself, for a minute at the most, and is told of
     * one file alone; what else the shot has is found when the card is compared. */
    camera->gp_error[0] = '\0';
    pf_camera_alive(camera, CAPTURE_MS);
    r = gp_camera_capture(camera->gp, GP_CAPTURE_IMAGE, &path, camera->context);
    if (r >= 0)
        pf_camera_added(camera, path.folder, path.name);
    return r;
}

void pf_camera_take_ask(struct pf_camera *camera, const json_t *ask)
{
    int64_t id = json_integer_value(json_object_get(ask, "id"));
    const char *what = json_string_value(json_object_get(ask, "do"));
    const char *name = json_string_value(json_object_get(ask, "name"));
    const char *value = json_string_value(json_object_get(ask, "value"));
    what = what ? what : "";
    if (!strcmp(what, "bracket")) {
        pf_camera_bracket_begin(camera, ask);
        return;
    }
    if (!camera->gp) {
        pf_camera_refuse(camera, id,
                         camera->reason[0] ? camera->reason : "the camera is not connected yet");
        return;
    }
    if (!strcmp(what, "list")) {
        list_settings(camera, id);
    } else if (!strcmp(what, "get") && name) {
        one_setting(camera, id, name, NULL);
    } else if (!strcmp(what, "set") && name && value) {
        one_setting(camera, id, name, value);
    } else if (!strcmp(what, "trigger")) {
        int r = pf_camera_trigger(camera);
        if (r < 0)
            refuse_gp(camera, id, r, "triggering");
        else
            pf_camera_answer(camera, id, json_pack("{s:b}", "done", 1));
    } else {
        pf_camera_refuse(camera, id, "nothing that a camera could be asked");
    }
}
