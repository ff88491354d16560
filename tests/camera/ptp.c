/* The operations of the standard, PIMA 15740 chapter 10. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/camera/camera.h"

enum { STORAGE = 0x00010001, CARD_BYTES = 1 << 30 };

enum {
    OK = 0x2001,
    NOT_SUPPORTED = 0x2005,
    INVALID_STORAGE = 0x2008,
    INVALID_HANDLE = 0x2009,
    PROPERTY_NOT_SUPPORTED = 0x200a,
    STORE_FULL = 0x200c,
    READ_ONLY = 0x200d,
    DEVICE_BUSY = 0x2019,
};

enum {
    GET_DEVICE_INFO = 0x1001,
    OPEN_SESSION,
    CLOSE_SESSION,
    GET_STORAGE_IDS,
    GET_STORAGE_INFO,
    GET_OBJECT_HANDLES = 0x1007,
    GET_OBJECT_INFO,
    GET_OBJECT,
    GET_THUMB,
    DELETE_OBJECT,
    INITIATE_CAPTURE = 0x100e,
    GET_PROPERTY_DESCRIPTION = 0x1014,
    GET_PROPERTY,
    SET_PROPERTY,
    GET_PARTIAL_OBJECT = 0x101b,
    BATTERY_LEVEL = 0x5001,
    NIKON_LIVE_VIEW_STATUS = 0xd1a2,
    OLYMPUS_CAPTURE_TARGET = 0xd0dc,
};

static const uint16_t operations[] = {
    GET_DEVICE_INFO,  OPEN_SESSION,       CLOSE_SESSION,      GET_STORAGE_IDS,
    GET_STORAGE_INFO, GET_OBJECT_HANDLES, GET_OBJECT_INFO,    GET_OBJECT,
    GET_THUMB,        DELETE_OBJECT,      INITIATE_CAPTURE,   GET_PROPERTY_DESCRIPTION,
    GET_PROPERTY,     SET_PROPERTY,       GET_PARTIAL_OBJECT,
};
static const uint16_t events[] = {0x4002, 0x4003, 0x4007, 0x400a, 0x400d};

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

static void device_info(struct camera *camera, uint32_t tid)
{
    static const struct {
        uint32_t extension;
        const char *maker;
    } makers[] = {
        [PROFILE_GENERIC] = {6, "Parfocal"},       [PROFILE_NIKON] = {10, "Nikon Corporation"},
        [PROFILE_CANON] = {11, "Canon Inc."},      [PROFILE_OLYMPUS] = {6, "OLYMPUS"},
        [PROFILE_PANASONIC] = {0x1c, "Panasonic"}, [PROFILE_SONY] = {0x11, "Sony Corporation"},
        [PROFILE_FUJI] = {0xe, "FUJIFILM"}};
    struct bytes out = {0};
    const uint16_t *more;
    size_t count = sizeof(operations) / sizeof(operations[0]), standard = count;
    /* These have a release of their own alone. */
    if (camera->profile >= PROFILE_OLYMPUS && camera->profile <= PROFILE_SONY)
        standard--;
    size_t more_count = maker_operations(camera, &more);
    put_u16(&out, 100);
    put_u32(&out, camera->profile ? makers[camera->profile].extension : 0);
    put_u16(&out, 100);
    put_string(&out, "");
    put_u16(&out, 0);
    put_u32(&out, (uint32_t)(standard + more_count));
    for (size_t i = 0; i < count; i++)
        if (standard == count || operations[i] != INITIATE_CAPTURE)
            put_u16(&out, operations[i]);
    for (size_t i = 0; i < more_count; i++)
        put_u16(&out, more[i]);
    put_u32(&out, sizeof(events) / sizeof(events[0]));
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        put_u16(&out, events[i]);
    put_u32(&out, 1);
    put_u16(&out, BATTERY_LEVEL);
    put_u32(&out, 1);
    put_u16(&out, 0x3801);
    put_u32(&out, 1);
    put_u16(&out, 0x3801);
    put_string(&out, makers[camera->profile].maker);
    put_string(&out, camera->model);
    put_string(&out, "1.0");
    put_string(&out, camera->serial);
    send(camera, tid, &out);
}

static uint64_t free_bytes(const struct camera *camera)
{
    uint64_t used = 0;
    for (size_t i = 0; i < camera->object_count; i++)
        if (!camera->objects[i].deleted && !camera->objects[i].in_memory)
            used += camera->objects[i].size;
    return camera->full || used > CARD_BYTES ? 0 : CARD_BYTES - used;
}

static void storage_info(struct camera *camera, uint32_t tid, const uint32_t *parameters)
{
    struct bytes out = {0};
    if (parameters[0] != STORAGE) {
        respond(camera, INVALID_STORAGE, tid);
        return;
    }
    put_u16(&out, 4); /* removable RAM */
    put_u16(&out, 3); /* DCF */
    put_u16(&out, 0); /* read and write */
    put_u64(&out, CARD_BYTES);
    put_u64(&out, free_bytes(camera));
    put_u32(&out, (uint32_t)(free_bytes(camera) / (8 << 20)));
    put_string(&out, "card");
    put_string(&out, "");
    send(camera, tid, &out);
}

static void object_handles(struct camera *camera, uint32_t tid, const uint32_t *parameters)
{
    struct bytes out = {0};
    uint32_t count = 0, parent = parameters[2] == 0xffffffff ? 0 : parameters[2];
    put_u32(&out, 0);
    for (size_t i = 0; i < camera->object_count; i++) {
        const struct object *object = &camera->objects[i];
        if (object->deleted || object->in_memory || (parameters[2] && object->parent != parent))
            continue;
        put_u32(&out, object->handle);
        count++;
    }
    memcpy(out.data, &count, sizeof(count));
    send(camera, tid, &out);
}

static void put_time(struct bytes *out, int64_t time_s)
{
    char text[32];
    time_t at = time_s;
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
    put_string(out, text);
}

static void object_info(struct camera *camera, uint32_t tid, const struct object *object)
{
    struct bytes out = {0};
    if (camera->faults.busy > 0 && object->file) {
        camera->faults.busy--;
        respond(camera, DEVICE_BUSY, tid);
        return;
    }
    put_u32(&out, STORAGE);
    put_u16(&out, object->format);
    put_u16(&out, 0);
    put_u32(&out, (uint32_t)object->served_size);
    put_u16(&out, object->file ? 0x3808 : 0);
    put_u32(&out, 0);
    put_u32(&out, 0);
    put_u32(&out, 0);
    put_u32(&out, 0); /* width, height, depth: not known to it */
    put_u32(&out, 0);
    put_u32(&out, 0);
    put_u32(&out, object->parent);
    put_u16(&out, object->file ? 0 : 1);
    put_u32(&out, 0);
    put_u32(&out, 0);
    put_string(&out, object->name);
    put_time(&out, object->time_s);
    put_time(&out, object->time_s);
    put_string(&out, "");
    send(camera, tid, &out);
}

static void object(struct camera *camera, uint32_t tid, struct object *object, uint64_t offset,
                   uint64_t size)
{
    int fd = open(object->file, O_RDONLY | O_CLOEXEC);
    void *bytes = fd < 0 ? MAP_FAILED : mmap(NULL, object->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        die(object->file);
    close(fd);
    if (offset > object->served_size)
        offset = object->served_size;
    if (size > object->served_size - offset)
        size = object->served_size - offset;
    camera->downloads += !offset;
    ptpip_send_object(camera, tid, (char *)bytes + offset, size);
    munmap(bytes, object->size);
    object->deleted |= object->in_memory;
    uint32_t sent = (uint32_t)size;
    ptpip_respond(camera, OK, tid, &sent, 1);
}

static void delete_object(struct camera *camera, uint32_t tid, uint32_t handle)
{
    struct object *gone = card_object(camera, handle);
    if (!gone || !gone->file) {
        respond(camera, INVALID_HANDLE, tid);
    } else if (camera->faults.refuse > 0) {
        camera->faults.refuse--;
        respond(camera, READ_ONLY, tid);
    } else {
        gone->deleted = true;
        respond(camera, OK, tid);
    }
}

static void property(struct camera *camera, uint32_t tid, uint32_t code, bool description)
{
    struct bytes out = {0};
    if (code == NIKON_LIVE_VIEW_STATUS && !description) {
        put_u8(&out, camera->live_view);
        send(camera, tid, &out);
        return;
    }
    if (code == OLYMPUS_CAPTURE_TARGET && !description) {
        put_u16(&out, 2); /* the card */
        send(camera, tid, &out);
        return;
    }
    if (code != BATTERY_LEVEL) {
        respond(camera, PROPERTY_NOT_SUPPORTED, tid);
        return;
    }
    if (description) {
        put_u16(&out, code);
        put_u16(&out, 2); /* UINT8 */
        put_u8(&out, 0);  /* to be read */
        put_u8(&out, 100);
        put_u8(&out, camera->battery);
        put_u8(&out, 1); /* a range */
        put_u8(&out, 0);
        put_u8(&out, 100);
        put_u8(&out, 1);
    } else {
        put_u8(&out, camera->battery);
    }
    send(camera, tid, &out);
}

bool ptp_expects_data(const struct camera *camera, unsigned code)
{
    return mirrorless_expects_data(camera, code) || code == SET_PROPERTY || code == 0x9110;
}

void ptp_answer(struct camera *camera, unsigned code, uint32_t tid, const uint32_t *parameters,
                const struct bytes *data)
{
    struct bytes out = {0};
    struct object *of = card_object(camera, parameters[0]);
    if (!of)
        of = mirrorless_object(camera, parameters[0]);
    switch (code) {
    case GET_DEVICE_INFO:
        device_info(camera, tid);
        break;
    case OPEN_SESSION:
        camera->sessions++;
        camera->event_count = 0;
        camera->told_properties = camera->live_view = false;
        respond(camera, OK, tid);
        break;
    case CLOSE_SESSION:
        respond(camera, OK, tid);
        break;
    case GET_STORAGE_IDS:
        put_u32(&out, 1);
        put_u32(&out, STORAGE);
        send(camera, tid, &out);
        break;
    case GET_STORAGE_INFO:
        storage_info(camera, tid, parameters);
        break;
    case GET_OBJECT_HANDLES:
        object_handles(camera, tid, parameters);
        break;
    case GET_OBJECT_INFO:
        if (of)
            object_info(camera, tid, of);
        else
            respond(camera, INVALID_HANDLE, tid);
        break;
    case GET_OBJECT:
    case GET_PARTIAL_OBJECT:
        if (!of || !of->file)
            respond(camera, INVALID_HANDLE, tid);
        else if (code == GET_OBJECT)
            object(camera, tid, of, 0, of->served_size);
        else
            object(camera, tid, of, parameters[1], parameters[2]);
        break;
    case DELETE_OBJECT:
        delete_object(camera, tid, parameters[0]);
        break;
    case INITIATE_CAPTURE:
        respond(camera, camera->full ? STORE_FULL : OK, tid);
        if (!camera->full)
            card_shoot(camera);
        break;
    case SET_PROPERTY:
        respond(camera, OK, tid);
        break;
    case GET_PROPERTY_DESCRIPTION:
    case GET_PROPERTY:
        property(camera, tid, parameters[0], code == GET_PROPERTY_DESCRIPTION);
        break;
    default:
        if (!maker_answer(camera, code, tid, parameters, data))
            respond(camera, NOT_SUPPORTED, tid);
        break;
    }
}
