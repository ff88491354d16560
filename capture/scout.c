#include "capture/scout.h"

#include <errno.h>
#include <gphoto2/gphoto2.h>
#include <jansson.h>
#include <libudev.h>
#include <locale.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/confine.h"
#include "capture/input.h"
#include "config/base/jsonl.h"
#include "config/base/log.h"
#include "config/base/time.h"

enum {
    SCAN_MS = 5000, /* where no udev tells of what comes */
    SCAN_BESIDE_UDEV_MS = 60000,
    SETTLE_MS = 200, /* after an event: a device has several */
    ALIVE_MS = 1000,
};
#define PORT_PREFIX "usb:"

struct scout {
    const struct pf_settings *settings;
    bool confined; /* or not to be */
    struct udev *udev;
    struct udev_monitor *monitor; /* NULL: nobody tells */
    bool hears;                   /* udev's daemon runs */
    json_t *found;                /* object: port -> model; NULL: not looked yet */
    int64_t next_ms, alive_ms;
};

static void note(json_t *found, const char *port, const char *model)
{
    if (!json_object_get(found, port))
        json_object_set_new(found, port, pf_json_bytes(model ? model : ""));
}

/* One device that udev knows. */
static void take_device(struct udev_device *device, json_t *found)
{
    char port[32];
    const char *is_camera = udev_device_get_property_value(device, "ID_GPHOTO2");
    const char *bus = udev_device_get_property_value(device, "BUSNUM");
    const char *number = udev_device_get_property_value(device, "DEVNUM");
    const char *model = udev_device_get_property_value(device, "ID_MODEL_FROM_DATABASE");
    if (!is_camera || strcmp(is_camera, "1") != 0 || !bus || !number)
        return;
    if (!model)
        model = udev_device_get_property_value(device, "ID_MODEL");
    snprintf(port, sizeof(port), PORT_PREFIX "%03d,%03d", atoi(bus), atoi(number));
    note(found, port, model);
}

static void ask_udev(struct scout *scout, json_t *found)
{
    struct udev_enumerate *all = scout->udev ? udev_enumerate_new(scout->udev) : NULL;
    struct udev_list_entry *entry;
    if (!all)
        return;
    udev_enumerate_add_match_subsystem(all, "usb");
    udev_enumerate_add_match_property(all, "ID_GPHOTO2", "1");
    udev_enumerate_scan_devices(all);
    udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(all))
    {
        struct udev_device *device =
            udev_device_new_from_syspath(scout->udev, udev_list_entry_get_name(entry));
        if (device)
            take_device(device, found);
        udev_device_unref(device);
    }
    udev_enumerate_unref(all);
}

static void ask_libgphoto2(json_t *found)
{
    GPContext *context = gp_context_new();
    CameraList *list = NULL;
    if (context && gp_list_new(&list) >= 0 && gp_camera_autodetect(list, context) >= 0)
        for (int i = 0; i < gp_list_count(list); i++) {
            const char *model = NULL, *port = NULL;
            gp_list_get_name(list, i, &model);
            gp_list_get_value(list, i, &port);
            if (port && !strncmp(port, PORT_PREFIX, strlen(PORT_PREFIX)))
                note(found, port, model);
        }
    if (list)
        gp_list_free(list);
    if (context)
        gp_context_unref(context);
}

static int tell(struct scout *scout, struct pf_error *err)
{
    const char *port;
    json_t *model, *found = json_array();
    json_object_foreach(scout->found, port, model)
    {
        json_array_append_new(found, json_pack("{s:s, s:O}", "port", port, "model", model));
    }
    return pf_jsonl_send(STDOUT_FILENO, json_pack("{s:s, s:o}", "event", "cameras", "found", found),
                         err);
}

/* Before anything is heard of a camera. */
static int confine(struct scout *scout, struct pf_error *err)
{
    static const char *const nothing[] = {NULL};
    int r = scout->settings->sandbox && !scout->confined ? pf_confine_camera("", nothing, err) : 0;
    scout->confined = r == 0;
    return r == -ENODEV ? 0 : r;
}

static int look(struct scout *scout, struct pf_error *err)
{
    json_t *found = json_object();
    const char *port;
    json_t *model;
    const char *stale = pf_confine_stale("");
    int r = !found  ? pf_fail(err, ENOMEM, "out of memory")
            : stale ? pf_fail_errno(err, ESTALE, "%s", stale)
                    : confine(scout, err);
    if (r < 0) {
        json_decref(found);
        return r;
    }
    if (scout->confined) {
        ask_udev(scout, found);
        ask_libgphoto2(found);
    }
    json_object_foreach(found, port, model)
    {
        if (!json_object_get(scout->found, port))
            pf_log_info("a camera has come: %s at %s", json_string_value(model), port);
    }
    json_object_foreach(scout->found, port, model)
    {
        if (!json_object_get(found, port))
            pf_log_info("the camera at %s has gone: %s", port, json_string_value(model));
    }
    bool same = scout->found && json_equal(scout->found, found);
    json_decref(scout->found);
    scout->found = found;
    scout->next_ms = pf_monotonic_ms() + (scout->hears ? SCAN_BESIDE_UDEV_MS : SCAN_MS);
    return same ? 0 : tell(scout, err);
}

/* Takes what udev says; any camera or USB device at all is a reason to look. */
static void hear(struct scout *scout)
{
    struct udev_device *device;
    while ((device = udev_monitor_receive_device(scout->monitor))) {
        int64_t soon_ms = pf_monotonic_ms() + SETTLE_MS;
        if (soon_ms < scout->next_ms)
            scout->next_ms = soon_ms;
        udev_device_unref(device);
    }
}

static void begin_to_hear(struct scout *scout)
{
    scout->udev = udev_new();
    scout->monitor = scout->udev ? udev_monitor_new_from_netlink(scout->udev, "udev") : NULL;
    if (scout->monitor &&
        (udev_monitor_filter_add_match_subsystem_devtype(scout->monitor, "usb", "usb_device") < 0 ||
         udev_monitor_enable_receiving(scout->monitor) < 0))
        scout->monitor = udev_monitor_unref(scout->monitor);
    scout->hears = scout->monitor && access("/run/udev/control", F_OK) == 0;
    pf_log_info("cameras are looked for %s",
                scout->hears ? "as udev tells of them" : "every 5 s, for no udev runs here");
}

static void take_command(void *context, const char *name, const json_t *command)
{
    struct scout *scout = context;
    (void)command;
    if (!strcmp(name, "scan"))
        scout->next_ms = 0;
}

static int alive(struct scout *scout, struct pf_error *err)
{
    if (pf_monotonic_ms() - scout->alive_ms < ALIVE_MS)
        return 0;
    scout->alive_ms = pf_monotonic_ms();
    return pf_jsonl_send(STDOUT_FILENO, json_pack("{s:s}", "event", "alive"), err);
}

static int loop(struct scout *scout, struct pf_jsonl_reader *reader, struct pf_error *err)
{
    bool has_input;
    bool by_hand = pf_input_is_by_hand(&has_input);
    for (;;) {
        int64_t now_ms = pf_monotonic_ms(), wait_ms = scout->next_ms - now_ms;
        struct pollfd fds[] = {
            {.fd = has_input ? STDIN_FILENO : -1, .events = POLLIN},
            {.fd = scout->monitor ? udev_monitor_get_fd(scout->monitor) : -1, .events = POLLIN}};
        wait_ms = wait_ms < 0 ? 0 : wait_ms > ALIVE_MS ? ALIVE_MS : wait_ms;
        if (poll(fds, 2, (int)wait_ms) < 0 && errno != EINTR)
            return pf_fail_errno(err, errno, "waiting for cameras");
        if (fds[0].revents) {
            int r = pf_input_read(STDIN_FILENO, reader, take_command, scout, err);
            if (r <= 0)
                return r;
        }
        if (fds[1].revents)
            hear(scout);
        int r = by_hand ? 0 : alive(scout, err);
        if (!r && scout->next_ms <= pf_monotonic_ms())
            r = look(scout, err);
        if (r < 0)
            return r;
    }
}

int pf_scout_run(const struct pf_settings *settings, struct pf_error *err)
{
    struct scout scout = {.settings = settings};
    struct pf_jsonl_reader *reader = NULL;
    if (pf_jsonl_reader_new(&reader) < 0)
        return pf_fail(err, ENOMEM, "out of memory");
    setlocale(LC_MESSAGES, "C");
    begin_to_hear(&scout);
    int r = loop(&scout, reader, err);
    pf_jsonl_reader_free(reader);
    json_decref(scout.found);
    udev_monitor_unref(scout.monitor);
    udev_unref(scout.udev);
    return r == -EPIPE ? 0 : r;
}
