/* The operations of the makers: what libgphoto2 needs of a Nikon and of a Canon EOS to shoot, to
 * tell of pictures and to drive the focus. Codes as in libgphoto2's camlibs/ptp2/ptp.h.
 *
 * Near is towards smaller positions. A Nikon moves by as many steps as it is told, and only in live
 * view; the sizes 1, 2 and 3 of a Canon are 1, 5 and 25 steps here.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/camera/camera.h"

enum {
    OK = 0x2001,
    GENERAL_ERROR = 0x2002,
    STORE_FULL = 0x200c,
    NIKON_NOT_LIVE_VIEW = 0xa00b,
    NIKON_STEP_END = 0xa00c,
    FOCUS_FAR = 20000,
};

enum {
    NIKON_CHANGE_MODE = 0x90c2,
    NIKON_GET_EVENT = 0x90c7,
    NIKON_DEVICE_READY = 0x90c8,
    NIKON_START_LIVE_VIEW = 0x9201,
    NIKON_END_LIVE_VIEW = 0x9202,
    NIKON_MF_DRIVE = 0x9204,
    NIKON_CAPTURE = 0x9207,
};
static const uint16_t nikon[] = {NIKON_CHANGE_MODE,     NIKON_GET_EVENT,     NIKON_DEVICE_READY,
                                 NIKON_START_LIVE_VIEW, NIKON_END_LIVE_VIEW, NIKON_MF_DRIVE,
                                 NIKON_CAPTURE};

enum {
    EOS_GET_STORAGE_IDS = 0x9101,
    EOS_GET_STORAGE_INFO = 0x9102,
    EOS_REMOTE_RELEASE = 0x910f,
    EOS_SET_PROPERTY = 0x9110,
    EOS_SET_REMOTE_MODE = 0x9114,
    EOS_SET_EVENT_MODE = 0x9115,
    EOS_GET_EVENT = 0x9116,
    EOS_KEEP_DEVICE_ON = 0x911d,
    EOS_INITIATE_VIEWFINDER = 0x9151,
    EOS_TERMINATE_VIEWFINDER = 0x9152,
    EOS_GET_VIEWFINDER_DATA = 0x9153,
    EOS_DRIVE_LENS = 0x9155,

    EOS_OBJECT_ADDED = 0xc181,
    EOS_OBJECT_CHANGED = 0xc187,
    EOS_PROPERTY_CHANGED = 0xc189,
    EOS_STATUS_CHANGED = 0xc18b,
    EOS_EVF_OUTPUT_DEVICE = 0xd1b0,
};
static const uint16_t canon[] = {
    EOS_GET_STORAGE_IDS,     EOS_GET_STORAGE_INFO,     EOS_REMOTE_RELEASE,      EOS_SET_PROPERTY,
    EOS_SET_REMOTE_MODE,     EOS_SET_EVENT_MODE,       EOS_GET_EVENT,           EOS_KEEP_DEVICE_ON,
    EOS_INITIATE_VIEWFINDER, EOS_TERMINATE_VIEWFINDER, EOS_GET_VIEWFINDER_DATA, EOS_DRIVE_LENS,
};

size_t maker_operations(const struct camera *camera, const uint16_t **ret)
{
    if (camera->profile > PROFILE_CANON)
        return mirrorless_operations(camera, ret);
    *ret = camera->profile == PROFILE_NIKON ? nikon : canon;
    return camera->profile == PROFILE_NIKON   ? sizeof(nikon) / sizeof(nikon[0])
           : camera->profile == PROFILE_CANON ? sizeof(canon) / sizeof(canon[0])
                                              : 0;
}

static void respond(struct camera *camera, unsigned code, uint32_t tid)
{
    ptpip_respond(camera, code, tid, NULL, 0);
}

static void send(struct camera *camera, uint32_t tid, struct bytes *bytes)
{
    ptpip_send_data(camera, tid, bytes->data, bytes->size);
    free(bytes->data);
    respond(camera, OK, tid);
}

bool maker_drive(struct camera *camera, int steps)
{
    int to = camera->focus + steps;
    if (camera->jump && camera->jump_after-- <= 0) {
        to += steps < 0 ? -camera->jump : camera->jump;
        camera->jump = 0;
    }
    camera->drives++;
    camera->focus = to < 0 ? 0 : to > FOCUS_FAR ? FOCUS_FAR : to;
    return to == camera->focus;
}

static void nikon_events(struct camera *camera, uint32_t tid)
{
    struct bytes out = {0};
    put_u16(&out, (unsigned)camera->event_count);
    for (size_t i = 0; i < camera->event_count; i++) {
        put_u16(&out, camera->events[i].code);
        put_u32(&out, camera->events[i].parameter);
    }
    camera->event_count = 0;
    send(camera, tid, &out);
}

static bool nikon_answer(struct camera *camera, unsigned code, uint32_t tid,
                         const uint32_t *parameters)
{
    unsigned answer = OK;
    switch (code) {
    case NIKON_GET_EVENT:
        nikon_events(camera, tid);
        return true;
    case NIKON_DEVICE_READY:
        answer = camera->at_end ? NIKON_STEP_END : OK;
        camera->at_end = false;
        break;
    case NIKON_START_LIVE_VIEW:
    case NIKON_END_LIVE_VIEW:
        camera->live_view = code == NIKON_START_LIVE_VIEW;
        break;
    case NIKON_MF_DRIVE:
        if (!camera->live_view)
            answer = NIKON_NOT_LIVE_VIEW;
        else
            camera->at_end =
                !maker_drive(camera, parameters[0] == 1 ? -(int)parameters[1] : (int)parameters[1]);
        break;
    case NIKON_CAPTURE:
        camera->to_memory = parameters[1];
        answer = camera->full && !camera->to_memory ? STORE_FULL : OK;
        if (answer == OK)
            card_expose(camera);
        break;
    case NIKON_CHANGE_MODE:
        break;
    default:
        return false;
    }
    respond(camera, answer, tid);
    return true;
}

static void put_object(struct bytes *out, unsigned code, const struct object *object)
{
    unsigned char name[32] = {0};
    snprintf((char *)name, sizeof(name), "%s", object->name);
    put_u32(out, 40 + sizeof(name));
    put_u32(out, code);
    put_u32(out, object->handle);
    put_u32(out, 0x00010001);
    put_u16(out, object->format);
    put_u16(out, 0);
    put_u32(out, 0);
    put_u32(out, 0);
    put_u32(out, (uint32_t)object->served_size);
    put_u32(out, object->parent);
    put_u32(out, 0);
    put(out, name, sizeof(name));
}

static void eos_events(struct camera *camera, uint32_t tid)
{
    struct bytes out = {0};
    if (!camera->told_properties) {
        put_u32(&out, 16);
        put_u32(&out, EOS_PROPERTY_CHANGED);
        put_u32(&out, EOS_EVF_OUTPUT_DEVICE);
        put_u32(&out, 0);
        camera->told_properties = true;
    }
    for (size_t i = 0; i < camera->event_count; i++) {
        const struct object *object = card_object(camera, camera->events[i].parameter);
        if (camera->events[i].code == 0x4002 && object)
            put_object(&out, EOS_OBJECT_ADDED, object);
        else if (camera->events[i].code == 0x4007 && object)
            put_object(&out, EOS_OBJECT_CHANGED, object);
        else if (camera->events[i].code == 0x400d) {
            put_u32(&out, 12);
            put_u32(&out, EOS_STATUS_CHANGED);
            put_u32(&out, 0);
        }
    }
    camera->event_count = 0;
    put_u32(&out, 8);
    put_u32(&out, 0);
    send(camera, tid, &out);
}

static bool canon_answer(struct camera *camera, unsigned code, uint32_t tid,
                         const uint32_t *parameters)
{
    static const int sizes[] = {0, 1, 5, 25};
    struct bytes out = {0};
    unsigned answer = OK;
    uint32_t zero = 0;
    switch (code) {
    case EOS_GET_EVENT:
        eos_events(camera, tid);
        return true;
    case EOS_GET_STORAGE_IDS:
        put_u32(&out, 1);
        put_u32(&out, 0x00010001);
        send(camera, tid, &out);
        return true;
    case EOS_GET_STORAGE_INFO:
        put_u32(&out, 0);
        send(camera, tid, &out);
        return true;
    case EOS_REMOTE_RELEASE:
        if (camera->full)
            zero = 7;
        else
            card_shoot(camera);
        ptpip_respond(camera, OK, tid, &zero, 1);
        return true;
    case EOS_INITIATE_VIEWFINDER:
    case EOS_TERMINATE_VIEWFINDER:
        camera->live_view = code == EOS_INITIATE_VIEWFINDER;
        break;
    case EOS_DRIVE_LENS:
        if (!camera->live_view)
            answer = GENERAL_ERROR;
        else
            maker_drive(camera, sizes[parameters[0] & 3] * (parameters[0] & 0x8000 ? 1 : -1));
        break;
    case EOS_SET_REMOTE_MODE:
    case EOS_SET_EVENT_MODE:
    case EOS_KEEP_DEVICE_ON:
    case EOS_SET_PROPERTY:
        break;
    default:
        return false;
    }
    respond(camera, answer, tid);
    return true;
}

bool maker_answer(struct camera *camera, unsigned code, uint32_t tid, const uint32_t *parameters,
                  const struct bytes *data)
{
    return camera->profile == PROFILE_NIKON ? nikon_answer(camera, code, tid, parameters)
           : camera->profile == PROFILE_CANON
               ? canon_answer(camera, code, tid, parameters)
               : mirrorless_answer(camera, code, tid, parameters, data);
}
