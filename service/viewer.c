#include "service/viewer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/text.h"
#include "config/options.h"
#include "service/child.h"
#include "service/thumbnails.h"
#include "service/timer.h"

#define IDLE_MS    60000 /* without a question: its memory is given back */
#define TIMEOUT_MS 60000 /* for one view */
#define NAME_CHARS 120

struct waiting {
    struct waiting *next;
    void (*done)(int r, const char *path, void *context);
    void *context;
};

struct view {
    struct view *next;
    int64_t number;
    char name[NAME_CHARS];
    json_t *command;
    bool sent;
    struct waiting *waiting;
};

struct pf_viewer {
    struct event_base *base;
    const struct pf_settings *settings;
    struct pf_thumbnails *files;
    struct pf_child *child; /* NULL: none is needed */
    bool ready;
    struct view *views; /* in their order; the first is the one at work */
    size_t count;
    int64_t next_number;
    struct event *timer; /* ends a child that hangs, or has nothing to do */
};

static char *path_of(const struct pf_viewer *viewer, const char *name)
{
    return pf_text("%s/views/%s", viewer->settings->state, name);
}

/* Takes it out of the list and tells those who wait. */
static void end_view(struct pf_viewer *viewer, struct view *view, int r, const char *text)
{
    struct view **at = &viewer->views;
    while (*at != view)
        at = &(*at)->next;
    *at = view->next;
    viewer->count--;
    while (view->waiting) {
        struct waiting *waiting = view->waiting;
        view->waiting = waiting->next;
        waiting->done(r, text, waiting->context);
        free(waiting);
    }
    json_decref(view->command);
    free(view);
}

/* The next one: one at a time, so that it is known who took the child down. */
static void go_on(struct pf_viewer *viewer)
{
    struct view *view = viewer->views;
    if (!viewer->child || !viewer->ready)
        return;
    if (!view) {
        pf_timer_set(viewer->timer, IDLE_MS);
        return;
    }
    if (view->sent)
        return;
    view->sent = true;
    pf_timer_set(viewer->timer, TIMEOUT_MS);
    pf_child_send(viewer->child, json_incref(view->command));
}

static struct view *find(struct pf_viewer *viewer, const json_t *event)
{
    int64_t number = json_integer_value(json_object_get(event, "view"));
    struct view *view = viewer->views;
    while (view && view->number != number)
        view = view->next;
    return view;
}

static void on_message(const json_t *event, void *context)
{
    struct pf_viewer *viewer = context;
    const char *name = json_string_value(json_object_get(event, "event"));
    struct view *view = find(viewer, event);
    if (name && !strcmp(name, "ready")) {
        viewer->ready = true;
    } else if (view && name && !strcmp(name, "view")) {
        char *path = path_of(viewer, view->name);
        if (path)
            pf_thumbnails_note(viewer->files, path);
        pf_child_healthy(viewer->child);
        end_view(viewer, view, path ? 0 : -ENOMEM, path ? path : "out of memory");
        free(path);
    } else if (view && name && !strcmp(name, "failed")) {
        char *reason = pf_json_bytes_value(json_object_get(event, "reason"));
        int code = (int)json_integer_value(json_object_get(event, "code"));
        pf_child_healthy(viewer->child);
        end_view(viewer, view, code > 0 ? -code : -EIO, reason ? reason : "no reason given");
        free(reason);
    }
}

static void on_batch(void *context)
{
    go_on(context);
}

static void on_started(void *context)
{
    struct pf_viewer *viewer = context;
    viewer->ready = false;
    pf_timer_set(viewer->timer, TIMEOUT_MS);
}

static void on_ended(const char *why, int retry_ms, void *context)
{
    struct pf_viewer *viewer = context;
    viewer->ready = false;
    if (retry_ms >= 0)
        pf_log_warning("the worker for views has ended: %s", why);
    if (viewer->views && viewer->views->sent)
        end_view(viewer, viewer->views, -EIO, "the worker for views died over it");
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct pf_viewer *viewer = context;
    (void)fd, (void)what;
    if (viewer->views) {
        pf_child_kill(viewer->child); /* it hangs */
        return;
    }
    viewer->child = pf_child_free(viewer->child);
    viewer->ready = false;
}

static int start(struct pf_viewer *viewer, struct pf_error *err)
{
    static const struct pf_child_handlers handlers = {
        .started = on_started,
        .message = on_message,
        .batch = on_batch,
        .ended = on_ended,
    };
    struct pf_options options = {0};
    struct pf_settings settings = *viewer->settings; /* its texts are borrowed */
    settings.memory = (settings.memory + 3) / 4;     /* beyond what the stacks have */
    int r = pf_options_add(&options, "process", err);
    if (!r)
        r = pf_options_add(&options, "--device=cpu", err);
    if (!r)
        r = pf_options_add(&options, "--threads=1", err);
    if (!r)
        r = pf_options_add_keys(&options, &settings,
                                "memory scratch max_megapixels worker_memory sandbox log_format "
                                "log_level",
                                err);
    if (!r)
        r = pf_options_add(&options, settings.scratch, err);
    char *directory = pf_path_join(viewer->settings->state, "views");
    if (!r)
        r = directory ? pf_options_add(&options, directory, err)
                      : pf_fail(err, ENOMEM, "out of memory");
    free(directory);
    if (!r)
        r = pf_child_new(&viewer->child, viewer->base, (const char *const *)options.items,
                         &handlers, viewer, err);
    pf_options_free(&options);
    if (r < 0)
        return r;
    pf_child_set_minor(viewer->child);
    pf_child_start(viewer->child);
    return 0;
}

static int add_waiting(struct view *view, void (*done)(int r, const char *path, void *context),
                       void *context)
{
    struct waiting *waiting = malloc(sizeof(*waiting));
    if (!waiting)
        return -ENOMEM;
    *waiting = (struct waiting){view->waiting, done, context};
    view->waiting = waiting;
    return 0;
}

/* A new view at the end of the list; the command is consumed. */
static struct view *add_view(struct pf_viewer *viewer, const char *name, json_t *command)
{
    struct view *view = calloc(1, sizeof(*view));
    char *path = path_of(viewer, name);
    if (!view || !path || !command) {
        json_decref(command);
        free(view);
        free(path);
        return NULL;
    }
    view->number = ++viewer->next_number;
    view->command = command;
    snprintf(view->name, sizeof(view->name), "%s", name);
    json_object_set_new(command, "cmd", json_string("view"));
    json_object_set_new(command, "view", json_integer(view->number));
    json_object_set_new(command, "to", pf_json_bytes(path));
    free(path);
    struct view **at = &viewer->views;
    while (*at)
        at = &(*at)->next;
    *at = view;
    viewer->count++;
    return view;
}

void pf_viewer_ask(struct pf_viewer *viewer, const char *name, json_t *command,
                   void (*done)(int r, const char *path, void *context), void *context)
{
    struct pf_error err = {0};
    char *path = path_of(viewer, name);
    if (path && access(path, F_OK) == 0) {
        json_decref(command);
        done(0, path, context);
        free(path);
        return;
    }
    free(path);
    struct view *view = viewer->views;
    while (view && strcmp(view->name, name) != 0)
        view = view->next;
    int r = 0;
    if (view) {
        json_decref(command);
    } else if (viewer->count >= PF_VIEWER_WAITING) {
        json_decref(command);
        r = pf_fail(&err, EBUSY, "too many views are asked for at once");
    } else {
        view = add_view(viewer, name, command);
        r = view ? 0 : pf_fail(&err, ENOMEM, "out of memory for a view");
    }
    if (!r && add_waiting(view, done, context) < 0)
        r = pf_fail(&err, ENOMEM, "out of memory for a view");
    if (r < 0) {
        done(r, err.text, context);
        return;
    }
    if (!viewer->child && start(viewer, &err) < 0)
        end_view(viewer, view, -err.code, err.text);
    else
        go_on(viewer);
}

int pf_viewer_new(struct pf_viewer **ret, struct event_base *base,
                  const struct pf_settings *settings, struct pf_error *err)
{
    struct pf_viewer *viewer = calloc(1, sizeof(*viewer));
    int r = viewer ? 0 : pf_fail(err, ENOMEM, "out of memory for views");
    if (!r) {
        viewer->base = base;
        viewer->settings = settings;
        viewer->timer = evtimer_new(base, on_timer, viewer);
        r = viewer->timer
                ? pf_thumbnails_new(&viewer->files, settings->state, "views", settings->views, err)
                : pf_fail(err, ENOMEM, "out of memory for views");
    }
    if (r < 0) {
        pf_viewer_free(viewer);
        return r;
    }
    *ret = viewer;
    return 0;
}

struct pf_viewer *pf_viewer_free(struct pf_viewer *viewer)
{
    if (!viewer)
        return NULL;
    pf_child_free(viewer->child);
    while (viewer->views)
        end_view(viewer, viewer->views, -ECANCELED, "the service ends");
    pf_thumbnails_free(viewer->files);
    if (viewer->timer)
        event_free(viewer->timer);
    free(viewer);
    return NULL;
}

void pf_viewer_reap(struct pf_viewer *viewer)
{
    if (viewer->child)
        pf_child_reap(viewer->child);
}
