/* The operations of Olympus (OM-D), Panasonic and Sony: what libgphoto2 needs of them to shoot, to tell
 * of pictures and to drive the focus. Codes as in libgphoto2's camlibs/ptp2/ptp.h.
 *
 * Near is towards smaller positions. An Olympus moves by 3, 14 or 60 steps (its sizes 1, 2 and 3), a
 * Panasonic by 1 or 5 (1 and 2), a Sony by the 1 to 7 that it is told. A Sony gives its pictures from
 * its memory, one after the other under the same handle.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/camera/camera.h"

enum { OK = 0x2001, STORE_FULL = 0x200c, SONY_IN_MEMORY = 0xffffc001 };

enum {
    OLYMPUS_CAPTURE = 0x9481,
    OLYMPUS_CHANGED_PROPERTIES = 0x9486,
    OLYMPUS_MF_DRIVE = 0x9487,

    PANASONIC_GET_PROPERTY = 0x9402,
    PANASONIC_CAPTURE = 0x9404,
    PANASONIC_GET_CAPTURE_TARGET = 0x940a,
    PANASONIC_SET_CAPTURE_TARGET = 0x940b,
    PANASONIC_LIVE_VIEW = 0x9412,
    PANASONIC_MF_DRIVE = 0x9416,

    SONY_CONNECT = 0x9201,
    SONY_CODES = 0x9202,
    SONY_SET_A = 0x9205,
    SONY_SET_B = 0x9207,
    SONY_ALL_PROPERTIES = 0x9209,
    SONY_CAPTURE = 0xd2c2,
    SONY_NEAR_FAR = 0xd2d1,
    SONY_OBJECT_IN_MEMORY = 0xd215,
    SONY_FOCUS_FOUND = 0xd213,
    FOCUS_MODE = 0x500a,
};
static const uint16_t olympus[] = {OLYMPUS_CAPTURE, OLYMPUS_CHANGED_PROPERTIES, OLYMPUS_MF_DRIVE};
static const uint16_t panasonic[] = {PANASONIC_GET_PROPERTY,       PANASONIC_CAPTURE,
                                     PANASONIC_GET_CAPTURE_TARGET, PANASONIC_SET_CAPTURE_TARGET,
                                     PANASONIC_LIVE_VIEW,          PANASONIC_MF_DRIVE};
static const uint16_t sony[] = {SONY_CONNECT, SONY_CODES};
static const uint16_t sony_more[] = {SONY_SET_A, SONY_SET_B, SONY_ALL_PROPERTIES};
static const uint16_t sony_controls[] = {0xd2c1, SONY_CAPTURE, SONY_NEAR_FAR};

size_t mirrorless_operations(const struct camera *camera, const uint16_t **ret)
{
    *ret = camera->profile == PROFILE_OLYMPUS     ? olympus
           : camera->profile == PROFILE_PANASONIC ? panasonic
                                                  : sony;
    return camera->profile == PROFILE_OLYMPUS     ? sizeof(olympus) / sizeof(olympus[0])
           : camera->profile == PROFILE_PANASONIC ? sizeof(panasonic) / sizeof(panasonic[0])
           : camera->profile == PROFILE_SONY      ? sizeof(sony) / sizeof(sony[0])
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

static void shoot(struct camera *camera, uint32_t tid)
{
    if (!camera->full)
        card_shoot(camera);
    respond(camera, camera->full ? STORE_FULL : OK, tid);
}

static bool olympus_answer(struct camera *camera, unsigned code, uint32_t tid,
                           const uint32_t *parameters)
{
    struct bytes out = {0};
    switch (code) {
    case OLYMPUS_CAPTURE: /* 3: the release is pressed, 6: let go */
        if (parameters[0] == 3)
            shoot(camera, tid);
        else
            respond(camera, OK, tid);
        return true;
    case OLYMPUS_CHANGED_PROPERTIES:
        put_u32(&out, 0);
        send(camera, tid, &out);
        return true;
    case OLYMPUS_MF_DRIVE:
        maker_drive(camera, parameters[0] == 1 ? -(int)parameters[1] : (int)parameters[1]);
        respond(camera, OK, tid);
        return true;
    default:
        return false;
    }
}

static bool panasonic_answer(struct camera *camera, unsigned code, uint32_t tid,
                             const uint32_t *parameters, const struct bytes *data)
{
    static const int modes[] = {0, -5, -1, 1, 5};
    struct bytes out = {0};
    switch (code) {
    case PANASONIC_GET_PROPERTY: /* the shutter's speed is asked before each picture */
        put_u32(&out, parameters[0]);
        put_u32(&out, 4);
        put_u32(&out, 60);
        send(camera, tid, &out);
        return true;
    case PANASONIC_CAPTURE:
        shoot(camera, tid);
        return true;
    case PANASONIC_GET_CAPTURE_TARGET:
        put_u32(&out, 0x08000091);
        put_u32(&out, 2);
        put_u16(&out, 0);
        send(camera, tid, &out);
        return true;
    case PANASONIC_LIVE_VIEW:
        camera->live_view = parameters[0] == 0xd000010;
        respond(camera, OK, tid);
        return true;
    case PANASONIC_MF_DRIVE: /* property, type, mode */
        if (data->size >= 10 && camera->live_view)
            maker_drive(camera, modes[u16_at(data->data + 8) % 5]);
        respond(camera, OK, tid);
        return true;
    case PANASONIC_SET_CAPTURE_TARGET:
        respond(camera, OK, tid);
        return true;
    default:
        return false;
    }
}

static void put_codes(struct bytes *out, const uint16_t *codes, size_t count)
{
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        put_u16(out, codes[i]);
}

static void put_property(struct bytes *out, unsigned code, unsigned value)
{
    put_u16(out, code);
    put_u16(out, 4); /* UINT16 */
    put_u8(out, 1);
    put_u8(out, 1);
    put_u16(out, 0);
    put_u16(out, value);
    put_u8(out, 0); /* no form */
}

struct object *mirrorless_object(struct camera *camera, uint32_t handle)
{
    for (size_t i = 0; handle == SONY_IN_MEMORY && i < camera->object_count; i++)
        if (camera->objects[i].in_memory && !camera->objects[i].deleted)
            return &camera->objects[i];
    return NULL;
}

static void sony_properties(struct camera *camera, uint32_t tid)
{
    struct bytes out = {0};
    unsigned waiting = 0;
    for (size_t i = 0; i < camera->object_count; i++)
        waiting += camera->objects[i].in_memory && !camera->objects[i].deleted;
    put_u32(&out, 3 + sizeof(sony_controls) / sizeof(sony_controls[0]));
    put_u32(&out, 0);
    for (size_t i = 0; i < sizeof(sony_controls) / sizeof(sony_controls[0]); i++)
        put_property(&out, sony_controls[i], 1);
    put_property(&out, FOCUS_MODE, 1); /* by hand */
    put_property(&out, SONY_FOCUS_FOUND, 2);
    put_property(&out, SONY_OBJECT_IN_MEMORY, waiting ? 0x8000 + waiting : 0);
    send(camera, tid, &out);
}

static bool sony_answer(struct camera *camera, unsigned code, uint32_t tid,
                        const uint32_t *parameters, const struct bytes *data)
{
    struct bytes out = {0};
    switch (code) {
    case SONY_CONNECT:
        put_u64(&out, 0);
        send(camera, tid, &out);
        return true;
    case SONY_CODES:
        put_u16(&out, 200);
        put_codes(&out, sony_more, sizeof(sony_more) / sizeof(sony_more[0]));
        put_codes(&out, sony_controls, sizeof(sony_controls) / sizeof(sony_controls[0]));
        send(camera, tid, &out);
        return true;
    case SONY_ALL_PROPERTIES:
        sony_properties(camera, tid);
        return true;
    case SONY_SET_A:
        respond(camera, OK, tid);
        return true;
    case SONY_SET_B:
        if (data->size >= 2 && parameters[0] == SONY_CAPTURE && u16_at(data->data) == 2) {
            camera->to_memory = true;
            shoot(camera, tid);
            camera->to_memory = false;
            return true;
        }
        if (data->size >= 2 && parameters[0] == SONY_NEAR_FAR)
            maker_drive(camera, (int16_t)u16_at(data->data));
        respond(camera, OK, tid);
        return true;
    default:
        return false;
    }
}

bool mirrorless_expects_data(const struct camera *camera, unsigned code)
{
    return (camera->profile == PROFILE_SONY && (code == SONY_SET_A || code == SONY_SET_B)) ||
           (camera->profile == PROFILE_PANASONIC &&
            (code == PANASONIC_MF_DRIVE || code == PANASONIC_SET_CAPTURE_TARGET));
}

bool mirrorless_answer(struct camera *camera, unsigned code, uint32_t tid,
                       const uint32_t *parameters, const struct bytes *data)
{
    return camera->profile == PROFILE_OLYMPUS ? olympus_answer(camera, code, tid, parameters)
           : camera->profile == PROFILE_PANASONIC
               ? panasonic_answer(camera, code, tid, parameters, data)
           : camera->profile == PROFILE_SONY ? sony_answer(camera, code, tid, parameters, data)
                                             : false;
}
