/* What a camera is asked now and then: how much room its card has, and its battery. */
#include <stdlib.h>
#include <string.h>

#include "capture/camera_internal.h"
#include "config/base/log.h"
#include "config/base/time.h"

enum {
    COMPARE_SHARE = 20, /* comparing may take this part of the time */
    BATTERY_MS = 60000,
    BATTERY_LOW_PERCENT = 10,
    UNEXPLAINED_KB = 16, /* less is the camera's own book-keeping */
};

void pf_camera_status_of_link(struct pf_camera *camera)
{
    const char *named = camera->serial[0] ? ", serial number " : "";
    if (camera->spool_trouble[0])
        pf_camera_status(camera, "degraded", "%s: %s", camera->spool, camera->spool_trouble);
    else if (camera->card_full)
        pf_camera_status(camera, "degraded", "%s%s%s: the card is full", camera->model, named,
                         camera->serial);
    else if (camera->battery_percent >= 0 && camera->battery_percent <= BATTERY_LOW_PERCENT)
        pf_camera_status(camera, "degraded", "%s%s%s: battery at %d %%", camera->model, named,
                         camera->serial, camera->battery_percent);
    else
        pf_camera_status(camera, "ok", "%s%s%s at %s", camera->model, named, camera->serial,
                         camera->port);
}

static void check_battery(struct pf_camera *camera)
{
    char text[64];
    camera->next_battery_ms = pf_monotonic_ms() + BATTERY_MS;
    camera->battery_percent = -1;
    if (pf_camera_text(camera, "batterylevel", text, sizeof(text)) && strchr(text, '%'))
        camera->battery_percent = atoi(text);
}

struct pf_camera_room pf_camera_room_of(const CameraStorageInformation *stores, int count)
{
    struct pf_camera_room room = {0};
    bool any_kb = false, any_images = false;
    int64_t images = 0;
    for (int i = 0; i < count; i++) {
        if (stores[i].fields & GP_STORAGEINFO_FREESPACEKBYTES) {
            any_kb = true;
            room.free_kb += (int64_t)stores[i].freekbytes;
        }
        if (stores[i].fields & GP_STORAGEINFO_FREESPACEIMAGES) {
            any_images = true;
            images += (int64_t)stores[i].freeimages;
        }
    }
    room.full = (any_kb && !room.free_kb) || (any_images && !images);
    return room;
}

/* The cards' free space: whether more is gone than was announced, and whether any is left. */
static int check_space(struct pf_camera *camera)
{
    CameraStorageInformation *stores = NULL;
    int count = 0;
    int64_t explained_kb = camera->explained_kb;
    int r = gp_camera_get_storageinfo(camera->gp, &stores, &count, camera->context);
    if (r == GP_ERROR_NOT_SUPPORTED && camera->compare_ms == PF_CAMERA_NEVER_MS) {
        int64_t wait_ms = (int64_t)(camera->settings->rescan_interval * 1000);
        int64_t share_ms = camera->compare_took_ms * COMPARE_SHARE;
        camera->compare_ms = pf_monotonic_ms() + (share_ms > wait_ms ? share_ms : wait_ms);
    }
    if (r < 0)
        return r == GP_ERROR_NOT_SUPPORTED ? GP_OK : r;
    struct pf_camera_room room = pf_camera_room_of(stores, count);
    free(stores);
    camera->explained_kb = 0;
    camera->card_full = room.full;
    if (camera->free_kb >= 0 && camera->free_kb - room.free_kb > explained_kb + UNEXPLAINED_KB &&
        camera->compare_ms == PF_CAMERA_NEVER_MS) {
        pf_log_info("the card holds more than the camera has announced; it is compared");
        camera->compare_ms = pf_monotonic_ms() + PF_CAMERA_QUIET_MS;
    }
    camera->free_kb = room.free_kb;
    return GP_OK;
}

void pf_camera_check(struct pf_camera *camera)
{
    int64_t now_ms = pf_monotonic_ms();
    camera->next_check_ms = now_ms + (int64_t)(camera->settings->poll_interval * 1000);
    int r = check_space(camera);
    if (r < 0 && r != GP_ERROR_CAMERA_BUSY) {
        pf_camera_lost(camera, r, "asking for its free space");
        return;
    }
    if (camera->next_battery_ms <= now_ms)
        check_battery(camera);
    pf_camera_trouble_without_pictures(camera);
    pf_camera_status_of_link(camera);
}
