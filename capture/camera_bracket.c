/* A focus bracket, driven: live view on, then shot by shot: trigger, wait for the picture, one step,
 * settle; at last back to the start. While the camera exposes, what it has shot is fetched. Nothing
 * here waits: pf_camera_bracket_go() is called again and again, and does what is due. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/camera_internal.h"
#include "capture/focus_drive.h"
#include "config/base/log.h"
#include "config/base/time.h"

enum {
    AGAIN_MS = 200,  /* a busy camera is asked again */
    BUSY_MS = 30000, /* and given up */
    LATE_MS = 10000, /* without an event, before the card is compared */
};

static void progress(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    pf_camera_answer(camera, bracket->id,
                     json_pack("{s:b, s:i, s:i}", "done", 0, "taken", bracket->taken, "frames",
                               bracket->frames));
}

static void fail(struct pf_camera *camera, const char *why)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (!bracket->error[0])
        snprintf(bracket->error, sizeof(bracket->error), "%.*s", (int)sizeof(bracket->error) - 1,
                 why);
    bracket->state = PF_BRACKET_RETURN;
}

static void fail_gp(struct pf_camera *camera, int gp_code, const char *doing)
{
    struct pf_error err = {0};
    pf_camera_explain(camera, gp_code, doing, &err);
    camera->gp_error[0] = '\0';
    fail(camera, err.text);
}

void pf_camera_bracket_begin(struct pf_camera *camera, const json_t *ask)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    struct pf_error err = {0};
    int64_t id = json_integer_value(json_object_get(ask, "id"));
    int step = (int)json_integer_value(json_object_get(ask, "step"));
    if (!camera->gp) {
        pf_camera_refuse(camera, id,
                         camera->reason[0] ? camera->reason : "the camera is not connected yet");
        return;
    }
    if (bracket->state != PF_BRACKET_NONE) {
        pf_camera_refuse(camera, id, "a bracket is being shot already");
        return;
    }
    *bracket = (struct pf_camera_bracket){
        .id = id,
        .frames = (int)json_integer_value(json_object_get(ask, "frames")),
        .step = step,
        .settle_ms = json_integer_value(json_object_get(ask, "settle_ms")),
    };
    if (pf_focus_drive_find(camera->gp, camera->context, step, &bracket->maker, &err) < 0) {
        pf_camera_refuse(camera, id, err.text);
        return;
    }
    if (json_is_true(json_object_get(ask, "dry_run"))) {
        pf_camera_answer(camera, id,
                         json_pack("{s:b, s:s, s:s}", "done", 1, "setting",
                                   pf_focus_drive_name(bracket->maker), "camera", camera->model));
        return;
    }
    bracket->state = PF_BRACKET_TRIGGER;
    bracket->since_ms = pf_monotonic_ms();
    pf_log_info("bracket of %d frames begins, %s by %d", bracket->frames,
                pf_focus_drive_name(bracket->maker), step);
    progress(camera);
}

void pf_camera_bracket_cancel(struct pf_camera *camera, int64_t id)
{
    if (camera->bracket.state != PF_BRACKET_NONE && camera->bracket.id == id)
        fail(camera, "cancelled");
}

void pf_camera_bracket_link(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    bracket->live_view = false;
    /* The card has been compared: a shot that is not there was not taken. */
    if (bracket->state == PF_BRACKET_WAIT && camera->shots_seen == bracket->shots_before)
        bracket->state = PF_BRACKET_TRIGGER;
    bracket->since_ms = pf_monotonic_ms();
    bracket->due_ms = 0;
}

/* True when it worked; else it is tried again, or given up. */
static bool done(struct pf_camera *camera, int r, const char *doing)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    int64_t now_ms = pf_monotonic_ms();
    if (r >= 0) {
        bracket->since_ms = now_ms;
        return true;
    }
    if (r == GP_ERROR_CAMERA_BUSY && now_ms - bracket->since_ms < BUSY_MS) {
        bracket->due_ms = now_ms + AGAIN_MS;
        return false;
    }
    if (r == GP_ERROR_TIMEOUT || r == GP_ERROR_IO || r == GP_ERROR_IO_USB_FIND)
        pf_camera_lost(camera, r, doing);
    else
        fail_gp(camera, r, doing);
    return false;
}

static bool live_view(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (!bracket->live_view)
        bracket->live_view =
            done(camera, pf_focus_drive_live_view(camera->gp, camera->context, true), "live view");
    return bracket->live_view;
}

static void trigger(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (!live_view(camera))
        return;
    bracket->shots_before = camera->shots_seen;
    if (!done(camera, gp_camera_trigger_capture(camera->gp, camera->context), "triggering"))
        return;
    bracket->state = PF_BRACKET_WAIT;
}

static void await_picture(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    int64_t now_ms = pf_monotonic_ms(), waited_ms = now_ms - bracket->since_ms;
    if (camera->shots_seen != bracket->shots_before) {
        bracket->taken++;
        bracket->state = bracket->taken < bracket->frames ? PF_BRACKET_STEP : PF_BRACKET_RETURN;
        progress(camera);
    } else if (waited_ms > LATE_MS && camera->compare_ms == PF_CAMERA_NEVER_MS &&
               !bracket->compared) {
        pf_log_warning("no picture has been announced for %d s; the card is compared",
                       LATE_MS / 1000);
        camera->compare_ms = now_ms;
        bracket->compared = true;
    } else if (waited_ms > (int64_t)(camera->settings->camera_timeout * 1000) + LATE_MS) {
        fail(camera, "the camera has not given the picture");
    }
}

static void step(struct pf_camera *camera, int by, int taken_by)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (!live_view(camera))
        return;
    int r = pf_focus_drive_step(camera->gp, camera->context, bracket->maker, by);
    if (r == GP_ERROR_CAMERA_ERROR && bracket->state == PF_BRACKET_STEP) {
        fail(camera, camera->gp_error[0] ? camera->gp_error : "the focus is at its end");
        return;
    }
    if (r == GP_ERROR_CAMERA_ERROR)
        r = GP_OK; /* on the way back: it is at its end */
    if (done(camera, r, "driving the focus")) {
        bracket->steps += taken_by;
        bracket->compared = false;
        if (bracket->state == PF_BRACKET_STEP) {
            bracket->due_ms = pf_monotonic_ms() + bracket->settle_ms;
            bracket->state = PF_BRACKET_TRIGGER;
        }
    }
}

/* Back to the start, live view off, everything fetched: then it has ended. */
static void go_back(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (bracket->steps > 0 && !bracket->stuck) {
        int before = bracket->steps;
        step(camera, -bracket->step, -1);
        if (bracket->steps == before && bracket->due_ms <= pf_monotonic_ms())
            bracket->stuck = true; /* the reason is told at the end */
        return;
    }
    if (bracket->live_view && camera->gp)
        pf_focus_drive_live_view(camera->gp, camera->context, false);
    bracket->live_view = false;
    if (pf_camera_pending(camera)) {
        bracket->due_ms = pf_monotonic_ms() + AGAIN_MS;
        return;
    }
    pf_log_info("bracket has ended: %d of %d frames%s%s", bracket->taken, bracket->frames,
                bracket->error[0] ? ": " : "", bracket->error);
    bracket->state = PF_BRACKET_NONE;
    json_t *answer = json_pack("{s:b, s:b, s:i, s:i}", "done", 1, "finish", 1, "taken",
                               bracket->taken, "frames", bracket->frames);
    if (bracket->error[0])
        json_object_set_new(answer, "error", json_string(bracket->error));
    pf_camera_answer(camera, bracket->id, answer);
}

bool pf_camera_bracket_go(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (bracket->due_ms > pf_monotonic_ms())
        return false;
    switch (bracket->state) {
    case PF_BRACKET_NONE:
        return false;
    case PF_BRACKET_TRIGGER:
        trigger(camera);
        return true;
    case PF_BRACKET_WAIT:
        await_picture(camera);
        return bracket->state != PF_BRACKET_WAIT;
    case PF_BRACKET_STEP:
        step(camera, bracket->step, 1);
        return true;
    case PF_BRACKET_RETURN:
        go_back(camera);
        return bracket->steps > 0 && !bracket->stuck;
    }
    return false;
}
