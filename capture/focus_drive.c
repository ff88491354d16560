#include "capture/focus_drive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    BY_STEPS, /* a range: so many steps, the sign is the direction */
    BY_SIZE,  /* words: "Near 1" to "Far 3" */
};

struct pf_focus_maker {
    const char *maker; /* begins the camera's "manufacturer"; "" any */
    const char *setting;
    enum kind kind;
    int most;
};

/* The first that fits. Fujifilm and others have no manual drive in this version. */
static const struct pf_focus_maker makers[] = {
    {"Nikon", "manualfocusdrive", BY_STEPS, 32767}, {"Canon", "manualfocusdrive", BY_SIZE, 3},
    {"Panasonic", "manualfocusdrive", BY_SIZE, 2},  {"OLYMPUS", "manualfocusdrive", BY_SIZE, 3},
    {"OM", "manualfocusdrive", BY_SIZE, 3},         {"Sony", "manualfocus", BY_STEPS, 7},
};

static bool has(Camera *camera, GPContext *context, const char *setting, CameraWidget **ret)
{
    return gp_camera_get_single_config(camera, setting, ret, context) >= 0 && *ret;
}

static void manufacturer_of(Camera *camera, GPContext *context, char *ret, size_t size)
{
    CameraWidget *widget = NULL;
    const char *text = NULL;
    snprintf(ret, size, "of an unknown maker");
    if (!has(camera, context, "manufacturer", &widget))
        return;
    if (gp_widget_get_value(widget, &text) >= 0 && text)
        snprintf(ret, size, "%s", text);
    gp_widget_free(widget);
}

int pf_focus_drive_find(Camera *camera, GPContext *context, const struct pf_focus_maker **ret,
                        struct pf_error *err)
{
    char manufacturer[128];
    manufacturer_of(camera, context, manufacturer, sizeof(manufacturer));
    for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
        const struct pf_focus_maker *maker = &makers[i];
        CameraWidget *widget = NULL;
        if (strncasecmp(manufacturer, maker->maker, strlen(maker->maker)) != 0 ||
            !has(camera, context, maker->setting, &widget))
            continue;
        gp_widget_free(widget);
        *ret = maker;
        return 0;
    }
    return pf_fail(err, ENOTSUP,
                   "the focus of this camera (%s) cannot be driven: libgphoto2 has no "
                   "manualfocusdrive or manualfocus for it",
                   manufacturer);
}

int pf_focus_drive_check(const struct pf_focus_maker *maker, int step, struct pf_error *err)
{
    if (step && abs(step) <= maker->most)
        return 0;
    return pf_fail(
        err, ERANGE, "a step of %d: this camera (%s) has %s from 1 to %d, negative for near", step,
        maker->maker, maker->kind == BY_STEPS ? "steps" : "sizes of a step", maker->most);
}

const char *pf_focus_drive_name(const struct pf_focus_maker *maker)
{
    return maker->setting;
}

bool pf_focus_drive_counts(const struct pf_focus_maker *maker, int *ret_most)
{
    *ret_most = maker->most;
    return maker->kind == BY_STEPS;
}

int pf_focus_drive_units(const struct pf_focus_maker *maker, int step)
{
    return maker->kind == BY_STEPS ? abs(step) : 1;
}

int pf_focus_drive_step(Camera *camera, GPContext *context, const struct pf_focus_maker *maker,
                        int step)
{
    CameraWidget *widget = NULL; /* fetched each time: it falls back to "None" */
    char word[32];
    float steps = (float)step;
    int r = gp_camera_get_single_config(camera, maker->setting, &widget, context);
    if (r < 0)
        return r;
    snprintf(word, sizeof(word), "%s %d", step < 0 ? "Near" : "Far", abs(step));
    r = gp_widget_set_value(widget, maker->kind == BY_STEPS ? (void *)&steps : (void *)word);
    if (r >= 0)
        r = gp_camera_set_single_config(camera, maker->setting, widget, context);
    gp_widget_free(widget);
    return r;
}

int pf_focus_drive_live_view(Camera *camera, GPContext *context, bool on)
{
    CameraWidget *widget = NULL;
    int value = on;
    if (!has(camera, context, "viewfinder", &widget))
        return GP_OK;
    int r = gp_widget_set_value(widget, &value);
    if (r >= 0)
        r = gp_camera_set_single_config(camera, "viewfinder", widget, context);
    gp_widget_free(widget);
    return r;
}
