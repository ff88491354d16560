#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/camera_internal.h"
#include "capture/holder.h"
#include "capture/usb_port.h"
#include "config/base/file.h"
#include "config/base/log.h"

static void on_gp_error(GPContext *context, const char *text, void *data)
{
    struct pf_camera *camera = data;
    (void)context;
    snprintf(camera->gp_error, sizeof(camera->gp_error), "%s", text);
}

/* Who holds it: "NAME (process PID): what ends it". */
static bool is_held(const struct pf_camera *camera, const char *path, bool *ret_ours, char *ret,
                    size_t size)
{
    if (camera->holder_fd >= 0)
        return pf_holder_ask(camera->holder_fd, path, ret_ours, ret, size);
    return pf_holder_find(path, ret_ours, ret, size) > 0;
}

int pf_camera_explain(const struct pf_camera *camera, int gp_code, const char *doing,
                      struct pf_error *err)
{
    const char *port = camera->port[0] ? camera->port : camera->which;
    char holder[256], path[64];
    bool is_usb = pf_holder_device(port, path, sizeof(path)), ours = false;
    switch (gp_code) {
    case GP_ERROR_IO_USB_CLAIM:
    case GP_ERROR_IO_LOCK:
        if (is_usb && is_held(camera, path, &ours, holder, sizeof(holder)))
            return pf_fail(err, ours ? EALREADY : EBUSY, "%s: the camera at %s is held by %s",
                           doing, port, holder);
        return pf_fail(err, EBUSY,
                       "%s: the camera at %s is held by another program, which `sudo parfocal "
                       "doctor` names (on a desktop often gvfs-gphoto2-volume-monitor: systemctl "
                       "--user stop gvfs-gphoto2-volume-monitor)",
                       doing, port);
    case GP_ERROR_MODEL_NOT_FOUND:
    case GP_ERROR_IO_USB_FIND:
    case GP_ERROR_UNKNOWN_PORT:
        return pf_fail(err, ENODEV, "%s: no camera is at %s (switched off, or the cable?)", doing,
                       port);
    case GP_ERROR_CAMERA_BUSY:
        return pf_fail(err, EAGAIN, "%s: the camera is busy", doing);
    case GP_ERROR_NO_MEMORY:
        return pf_fail(err, ENOMEM, "%s: out of memory", doing);
    default:
        break;
    }
    if (is_usb && access(path, R_OK | W_OK) < 0 && errno == EACCES)
        return pf_fail(err, EACCES,
                       "%s: no permission for %s: cameras are for who sits at the machine and for "
                       "the group plugdev (60-parfocal.rules). `adduser USER plugdev`, and log in "
                       "again; of the service's user `sudo parfocal doctor` says what it lacks",
                       doing, path);
    return pf_fail(err, EIO, "%s: %s%s%s", doing, gp_result_as_string(gp_code),
                   camera->gp_error[0] ? ": " : "", camera->gp_error);
}

bool pf_camera_text(struct pf_camera *camera, const char *name, char *ret, size_t size)
{
    CameraWidget *widget;
    CameraWidgetType type;
    const char *text = NULL;
    if (gp_camera_get_single_config(camera->gp, name, &widget, camera->context) < 0)
        return false;
    gp_widget_get_type(widget, &type);
    if (type == GP_WIDGET_TEXT || type == GP_WIDGET_RADIO || type == GP_WIDGET_MENU)
        gp_widget_get_value(widget, &text);
    if (text)
        snprintf(ret, size, "%s", text);
    gp_widget_free(widget);
    return text != NULL;
}

/* "card" and "memory" as this camera calls them: Memory card, card; Internal RAM, sdram. Where it can do
 * both at once, that is better than the card alone: a Sony tells of no picture that its memory has not. */
static const char *target_of(CameraWidget *widget, bool card)
{
    const char *choice, *found = NULL;
    for (int i = 0; i < gp_widget_count_choices(widget); i++) {
        gp_widget_get_choice(widget, i, &choice);
        bool has_card = strcasestr(choice, "card"), has_memory = strcasestr(choice, "ram");
        if (card ? has_card && (!found || has_memory) : has_memory && !has_card && !found)
            found = choice;
    }
    return found;
}

static void set_capture_target(struct pf_camera *camera)
{
    CameraWidget *widget;
    const char *now = NULL;
    char maker[128] = "";
    pf_camera_text(camera, "manufacturer", maker, sizeof(maker));
    enum pf_capture_target to = pf_settings_capture_target(camera->settings, maker);
    if (to == PF_CAPTURE_TARGET_LEAVE ||
        gp_camera_get_single_config(camera->gp, "capturetarget", &widget, camera->context) < 0)
        return;
    gp_widget_get_value(widget, &now);
    const char *wanted = target_of(widget, to == PF_CAPTURE_TARGET_CARD);
    if (wanted && (!now || strcmp(now, wanted) != 0)) {
        gp_widget_set_value(widget, wanted);
        int r = gp_camera_set_single_config(camera->gp, "capturetarget", widget, camera->context);
        if (r < 0)
            pf_log_warning("capturetarget cannot be set to %s: %s", wanted, gp_result_as_string(r));
    }
    gp_widget_free(widget);
}

/* Ports at which a camera may be: the one that is named, or all that are detected. None before the sandbox
 * is entered. */
static int candidates(struct pf_camera *camera, CameraList *list)
{
    if (!camera->confined)
        return GP_OK;
    if (strncmp(camera->which, "ptpip:", 6) == 0)
        return gp_list_append(list, "PTP/IP Camera", camera->which);
    int r = gp_camera_autodetect(list, camera->context);
    return r < 0 ? r : GP_OK;
}

static int set_up(struct pf_camera *camera, const char *model, const char *port)
{
    CameraAbilitiesList *abilities = NULL;
    GPPortInfoList *ports = NULL;
    CameraAbilities of;
    GPPortInfo info;
    int r = gp_abilities_list_new(&abilities);
    if (r >= 0)
        r = gp_abilities_list_load(abilities, camera->context);
    if (r >= 0)
        r = gp_abilities_list_lookup_model(abilities, model);
    if (r >= 0)
        r = gp_abilities_list_get_abilities(abilities, r, &of);
    if (r >= 0)
        r = gp_port_info_list_new(&ports);
    if (r >= 0)
        r = gp_port_info_list_load(ports);
    if (r >= 0)
        r = gp_port_info_list_lookup_path(ports, port);
    if (r >= 0)
        r = gp_port_info_list_get_info(ports, r, &info);
    if (r >= 0)
        r = gp_camera_new(&camera->gp);
    if (r >= 0)
        r = gp_camera_set_abilities(camera->gp, of);
    if (r >= 0)
        r = gp_camera_set_port_info(camera->gp, info);
    if (ports)
        gp_port_info_list_free(ports);
    if (abilities)
        gp_abilities_list_free(abilities);
    return r;
}

/* Name of the camera's directory in the spool: by its serial number, or else by where it is plugged in. */
static int identify(struct pf_camera *camera, struct pf_error *err)
{
    char text[512], place[256];
    if (!pf_camera_text(camera, "serialnumber", camera->serial, sizeof(camera->serial)))
        camera->serial[0] = '\0';
    char *model = camera->model;
    pf_camera_text(camera, "cameramodel", model, sizeof(camera->model));
    const char *serial = camera->serial;
    while (*serial == '0')
        serial++; /* Canon and Nikon fill up with zeros, some have nothing else */
    memmove(camera->serial, serial, strlen(serial) + 1);
    if (!pf_usb_port(PF_USB_DEVICES, camera->port, place, sizeof(place)))
        snprintf(place, sizeof(place), "%s", camera->port);
    snprintf(text, sizeof(text), "%s-%s", model, camera->serial[0] ? camera->serial : place);
    pf_card_tame(text);
    snprintf(camera->kin, sizeof(camera->kin), "%s-%.*s", model,
             camera->serial[0] ? 0 : (int)strcspn(camera->port, ":"), camera->port);
    pf_card_tame(camera->kin);
    if (camera->serial[0])
        camera->kin[0] = '\0';
    free(camera->id);
    free(camera->directory);
    camera->id = strdup(text[0] == '.' ? "camera" : text);
    camera->directory = camera->id ? pf_path_join(camera->spool, camera->id) : NULL;
    if (!camera->directory)
        return pf_fail(err, ENOMEM, "out of memory");
    return pf_camera_make_folder(camera, camera->directory, err);
}

static bool is_serial(const struct pf_camera *camera, const char *wanted)
{
    while (*wanted == '0')
        wanted++;
    return *wanted && !strcmp(camera->serial, wanted);
}

static int open_at(struct pf_camera *camera, const char *model, const char *port,
                   struct pf_error *err)
{
    camera->gp_error[0] = '\0';
    snprintf(camera->port, sizeof(camera->port), "%s", port);
    snprintf(camera->model, sizeof(camera->model), "%s", model);
    int r = set_up(camera, model, port);
    if (r >= 0) {
        pf_camera_alive(camera, 0);
        r = gp_camera_init(camera->gp, camera->context);
        camera->vain_opens += r < 0;
    }
    if (r < 0) {
        pf_camera_explain(camera, r, "opening", err);
        pf_camera_close(camera);
        return -err->code;
    }
    r = identify(camera, err);
    if (r < 0)
        pf_camera_close(camera);
    return r;
}

/* Whether another source of the configuration names it: who takes any camera leaves that one. */
static bool is_for_another(const struct pf_camera *camera, const char *port)
{
    for (size_t i = 0; !*camera->which && i < camera->settings->source.count; i++) {
        const char *wanted = pf_settings_camera(camera->settings->source.items[i]);
        if (wanted && *wanted &&
            (!strcmp(wanted, port) || (camera->gp && is_serial(camera, wanted))))
            return true;
    }
    return false;
}

int pf_camera_open(struct pf_camera *camera, struct pf_error *err)
{
    const char *which = camera->which;
    bool by_port = strchr(which, ':');
    CameraList *list;
    if (!camera->context) {
        camera->context = gp_context_new();
        if (!camera->context)
            return pf_fail(err, ENOMEM, "out of memory");
        gp_context_set_error_func(camera->context, on_gp_error, camera);
    }
    if (gp_list_new(&list) < 0)
        return pf_fail(err, ENOMEM, "out of memory");
    camera->port[0] = '\0';
    int r = candidates(camera, list), code = -ENODEV;
    struct pf_error first = {0};
    bool is_ours = false;
    for (int i = 0; r >= 0 && i < gp_list_count(list); i++) {
        const char *model, *port;
        struct pf_error problem = {0};
        gp_list_get_name(list, i, &model);
        gp_list_get_value(list, i, &port);
        /* A camera that is plugged in again has another port: then its serial number tells. */
        bool is_port = !strcmp(port, which);
        if (!is_port && strncmp(port, "usb:", 4) != 0)
            continue; /* a card that is mounted: beyond the sandbox, and a folder */
        if ((by_port && !is_port && !camera->last_serial[0]) || is_for_another(camera, port))
            continue;
        code = open_at(camera, model, port, &problem);
        const char *wanted = !by_port ? which : is_port ? "" : camera->last_serial;
        if (!code && ((*wanted && !is_serial(camera, wanted)) || is_for_another(camera, port))) {
            pf_camera_close(camera);
            code = -ENODEV;
            continue;
        }
        if (!code)
            break;
        if (code == -EALREADY && !is_port)
            is_ours = true; /* another source's, or looked at to learn whose it is */
        else if (!first.code)
            first = problem;
    }
    gp_list_free(list);
    if (camera->gp) {
        snprintf(camera->last_serial, sizeof(camera->last_serial), "%s", camera->serial);
        set_capture_target(camera);
        pf_camera_note_source(camera);
        return 0;
    }
    camera->port[0] = '\0';
    if (r < 0)
        return pf_camera_explain(camera, r, "looking for cameras", err);
    const char *why = is_ours ? "(switched off, the cable, or in use by another parfocal?)"
                      : camera->confined ? "(switched off, or the cable?)"
                      : camera->untold
                          ? "(this machine shows no USB; pictures that lie untold in the "
                            "spool wait for it, too)"
                          : "(this machine shows no USB)";
    if (first.code)
        *err = first;
    else
        pf_fail(err, ENODEV, "no camera %s%sis there %s", which, *which ? " " : "", why);
    return -err->code;
}

void pf_camera_fill_stdin(void)
{
    if (fcntl(STDIN_FILENO, F_GETFD) < 0 && open("/dev/null", O_RDONLY) > STDIN_FILENO)
        pf_log_error("descriptor 0 cannot be filled");
}

void pf_camera_close(struct pf_camera *camera)
{
    if (!camera->gp)
        return;
    pf_camera_alive(camera, 0);
    gp_camera_exit(camera->gp, camera->context);
    gp_camera_free(camera->gp);
    pf_camera_fill_stdin();
    camera->gp = NULL;
}
