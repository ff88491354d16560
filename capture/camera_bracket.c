/* A focus bracket, driven: live view on, then shot by shot: trigger, wait for the picture, one step,
 * settle; at last back to the start. While the camera exposes, what it has shot is fetched. Nothing
 * here waits: pf_camera_bracket_go() is called again and again, and does what is due.
 *
 * One that goes on until covered makes a step ahead after each picture and then waits for the word of
 * who knows the frame's sharpness (service/guide.h): where the next picture is to be taken, or
 * enough. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "capture/camera_internal.h"
#include "capture/focus_drive.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"

enum {
    AGAIN_MS = 200,  /* a busy camera is asked again */
    BUSY_MS = 30000, /* and given up */
    LATE_MS = 10000, /* without an event, before the card is compared */
    WORD_MS = 60000, /* without a word of the engine, before it goes on */
    UNLINKED_MS = 60000,
};

static void progress(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    pf_camera_answer(camera, bracket->id,
                     json_pack("{s:b, s:i, s:i, s:i, s:f, s:f}", "done", 0, "taken", bracket->taken,
                               "frames", bracket->frames, "turn", bracket->turn, "focus_at",
                               bracket->focus_at, "finest", 1.0 / bracket->unit));
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

/* Whether it could be driven so: what the camera has is told also where the step does not fit. */
static void answer_dry(struct pf_camera *camera, int64_t id, bool can, const char *why)
{
    const struct pf_focus_maker *maker = camera->bracket.maker;
    json_t *answer =
        json_pack("{s:b, s:b, s:o}", "done", 1, "can", can, "camera", pf_json_bytes(camera->model));
    if (maker) {
        int most;
        bool counts = pf_focus_drive_counts(maker, &most);
        json_object_set_new(answer, "setting", json_string(pf_focus_drive_name(maker)));
        json_object_set_new(answer, "step_is", json_string(counts ? "count" : "size"));
        json_object_set_new(answer, "step_most", json_integer(most));
    }
    if (!can)
        json_object_set_new(answer, "error", pf_json_bytes(why));
    pf_camera_answer(camera, id, answer);
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
        .by_way_of = INT_MAX,
        .until_covered = json_is_true(json_object_get(ask, "until_covered")),
    };
    if (bracket->frames < 1) {
        pf_camera_refuse(camera, id, "a bracket needs a number of frames");
        return;
    }
    int r = pf_focus_drive_find(camera->gp, camera->context, &bracket->maker, &err);
    if (!r)
        r = pf_focus_drive_check(bracket->maker, step, &err);
    if (json_is_true(json_object_get(ask, "dry_run"))) {
        answer_dry(camera, id, r == 0, err.text);
        return;
    }
    if (r < 0) {
        pf_camera_refuse(camera, id, err.text);
        return;
    }
    bracket->unit = pf_focus_drive_units(bracket->maker, step);
    bracket->state = PF_BRACKET_TRIGGER;
    bracket->since_ms = pf_monotonic_ms();
    pf_log_info("bracket of %s%d frames begins, %s by %d", bracket->until_covered ? "at most " : "",
                bracket->frames, pf_focus_drive_name(bracket->maker), step);
    progress(camera);
}

void pf_camera_bracket_cancel(struct pf_camera *camera, int64_t id)
{
    if (camera->bracket.state != PF_BRACKET_NONE && camera->bracket.id == id) {
        fail(camera, "cancelled");
        camera->bracket.cancelled = true;
    }
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

/* ---- until covered ---- */

/* The next picture is to be taken there. A way back goes a step further and turns round, so that the
 * focus comes to all its places from the same side: it has play. */
static void order(struct pf_camera_bracket *bracket, double focus_at, int to)
{
    bracket->focus_at = focus_at;
    bracket->furthest = focus_at > bracket->furthest ? focus_at : bracket->furthest;
    bracket->by_way_of =
        to < bracket->at && to - bracket->unit >= bracket->low ? to - bracket->unit : INT_MAX;
    bracket->to = to;
    bracket->state = PF_BRACKET_MOVE;
    bracket->triggered = false;
    bracket->due_ms = 0;
}

static void ask(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    bracket->state = PF_BRACKET_ASK;
    bracket->since_ms = pf_monotonic_ms();
}

void pf_camera_bracket_word(struct pf_camera *camera, const json_t *word, bool enough)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    const char *why = json_string_value(json_object_get(word, "reason"));
    bool asks = bracket->state == PF_BRACKET_AHEAD || bracket->state == PF_BRACKET_ASK;
    if (!asks || json_integer_value(json_object_get(word, "id")) != bracket->id ||
        json_integer_value(json_object_get(word, "turn")) != bracket->turn)
        return; /* what it answers is past */
    if (enough) {
        bracket->covered = !why;
        if (why)
            fail(camera, why);
        bracket->state = PF_BRACKET_RETURN;
    } else if (bracket->taken >= bracket->frames) {
        char text[128];
        snprintf(text, sizeof(text), "the limit of %d frames has come before all was covered",
                 bracket->frames);
        fail(camera, text);
    } else {
        double drive_to = json_number_value(json_object_get(word, "drive_to"));
        order(bracket, json_number_value(json_object_get(word, "focus_at")),
              (int)lround(drive_to * bracket->unit));
    }
}

/* Without a word for so long it goes on as it went, as far as the limit. */
static void await_word(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (pf_monotonic_ms() - bracket->since_ms < WORD_MS)
        return;
    if (bracket->taken >= bracket->frames) {
        fail(camera, "the engine has said nothing of the last frame");
        return;
    }
    pf_log_warning("the engine has said nothing of the last frame for %d s; the bracket goes on",
                   WORD_MS / 1000);
    order(bracket, floor(bracket->furthest) + 1, bracket->at);
}

/* The focus is at an end of its way: the word may be another one then. */
static void tell_end(struct pf_camera *camera, bool beyond)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    bracket->turn++;
    pf_camera_answer(camera, bracket->id,
                     json_pack("{s:b, s:i, s:i, s:i, s:s}", "done", 0, "taken", bracket->taken,
                               "frames", bracket->frames, "turn", bracket->turn, "at_end",
                               beyond ? "beyond" : "before"));
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

/* ---- shot by shot ---- */

static void trigger(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (!live_view(camera))
        return;
    bracket->shots_before = camera->shots_seen;
    bracket->triggered = true;
    if (!done(camera, pf_camera_trigger(camera), "triggering"))
        return;
    bracket->state = PF_BRACKET_WAIT;
}

static void picture_is_there(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    bool last = ++bracket->taken >= bracket->frames;
    bracket->turn++;
    progress(camera);
    if (bracket->until_covered && last) {
        ask(camera);
    } else if (bracket->until_covered) {
        bracket->state = PF_BRACKET_AHEAD;
        bracket->to = bracket->at + bracket->unit;
    } else if (last) {
        bracket->state = PF_BRACKET_RETURN;
    } else {
        order(bracket, bracket->focus_at + 1, bracket->at + bracket->unit);
    }
}

static void await_picture(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    int64_t now_ms = pf_monotonic_ms(), waited_ms = now_ms - bracket->since_ms;
    if (camera->shots_seen != bracket->shots_before) {
        picture_is_there(camera);
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

/* What happens when the focus can go no further. */
static void end_of_way(struct pf_camera *camera, bool beyond)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (bracket->state == PF_BRACKET_RETURN) {
        bracket->at = 0; /* it is at its end, and so further back than the start */
    } else if (bracket->until_covered) {
        tell_end(camera, beyond);
        ask(camera);
    } else {
        fail(camera, camera->gp_error[0] ? camera->gp_error : "the focus is at its end");
    }
}

/* One drive of a step at the most towards `to`. True when it was moved. */
static bool drive(struct pf_camera *camera, int to)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (!live_view(camera))
        return false;
    int by = to - bracket->at;
    by = by > bracket->unit ? bracket->unit : by < -bracket->unit ? -bracket->unit : by;
    int sign = bracket->step < 0 ? -1 : 1;
    int step = bracket->unit == 1 ? by * bracket->step : by * sign;
    int r = pf_focus_drive_step(camera->gp, camera->context, bracket->maker, step);
    if (r == GP_ERROR_CAMERA_ERROR) {
        end_of_way(camera, by > 0);
        return false;
    }
    if (!done(camera, r, "driving the focus"))
        return false;
    bracket->at += by;
    bracket->low = bracket->at < bracket->low ? bracket->at : bracket->low;
    bracket->compared = false;
    bracket->settled_ms = pf_monotonic_ms() + bracket->settle_ms;
    return true;
}

static void move(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    int to = bracket->by_way_of != INT_MAX ? bracket->by_way_of : bracket->to;
    if (bracket->at != to && (!drive(camera, to) || bracket->at != to))
        return;
    if (bracket->by_way_of != INT_MAX) {
        bracket->by_way_of = INT_MAX;
    } else if (bracket->state == PF_BRACKET_AHEAD) {
        ask(camera);
    } else {
        bracket->state = PF_BRACKET_TRIGGER;
        bracket->due_ms = bracket->settled_ms;
    }
}

static void end(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    pf_log_info("bracket has ended: %d of %s%d frames%s%s", bracket->taken,
                bracket->until_covered ? "at most " : "", bracket->frames,
                bracket->error[0] ? ": " : "", bracket->error);
    bracket->state = PF_BRACKET_NONE;
    json_t *answer = json_pack("{s:b, s:b, s:i, s:i}", "done", 1, "finish", 1, "taken",
                               bracket->taken, "frames", bracket->frames);
    if (bracket->until_covered)
        json_object_set_new(answer, "covered", json_boolean(bracket->covered));
    if (bracket->error[0])
        json_object_set_new(answer, "error", json_string(bracket->error));
    pf_camera_answer(camera, bracket->id, answer);
}

/* Back to the start, live view off, everything fetched: then it has ended. */
static void go_back(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (bracket->at && !bracket->stuck) {
        bool moved = drive(camera, 0);
        if (!moved && bracket->at && camera->gp && bracket->due_ms <= pf_monotonic_ms())
            bracket->stuck = true; /* the reason is told at the end */
        return;
    }
    if (bracket->live_view && camera->gp)
        pf_focus_drive_live_view(camera->gp, camera->context, false);
    bracket->live_view = false;
    if (pf_camera_pending(camera))
        bracket->due_ms = pf_monotonic_ms() + AGAIN_MS;
    else
        end(camera);
}

void pf_camera_bracket_unlinked(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    if (bracket->state == PF_BRACKET_NONE)
        return;
    if (!bracket->cancelled &&
        (!camera->lost_ms || pf_monotonic_ms() - camera->lost_ms < UNLINKED_MS))
        return;
    fail(camera, "the link to the camera is lost");
    end(camera);
}

bool pf_camera_bracket_go(struct pf_camera *camera)
{
    struct pf_camera_bracket *bracket = &camera->bracket;
    enum pf_bracket_state before = bracket->state;
    if (bracket->due_ms > pf_monotonic_ms())
        return false;
    switch (bracket->state) {
    case PF_BRACKET_NONE:
        return false;
    case PF_BRACKET_MOVE:
    case PF_BRACKET_AHEAD:
        move(camera);
        return true;
    case PF_BRACKET_TRIGGER:
        trigger(camera);
        return true;
    case PF_BRACKET_WAIT:
        await_picture(camera);
        return bracket->state != before;
    case PF_BRACKET_ASK:
        await_word(camera);
        return bracket->state != before;
    case PF_BRACKET_RETURN:
        go_back(camera);
        return bracket->at && !bracket->stuck;
    }
    return false;
}
