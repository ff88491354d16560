/* The packets of CIPA DC-005 on two sockets, and the faults of the link. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/camera/camera.h"

enum {
    INIT_COMMAND = 1,
    INIT_COMMAND_ACK,
    INIT_EVENT,
    INIT_EVENT_ACK,
    OPERATION = 6,
    RESPONSE,
    EVENT,
    START_DATA,
    DATA,
    END_DATA = 12,
    HEADER_BYTES = 8,
    PACKET_MAX = 65536,
    STALE_MS = 300,
};

static void begin(struct bytes *out, size_t payload, uint32_t type)
{
    put_u32(out, (uint32_t)(HEADER_BYTES + payload));
    put_u32(out, type);
}

void ptpip_respond(struct camera *camera, unsigned code, uint32_t tid, const uint32_t *parameters,
                   int count)
{
    struct bytes *out = &camera->command.out;
    begin(out, 6 + 4 * (size_t)count, RESPONSE);
    put_u16(out, code);
    put_u32(out, tid);
    for (int i = 0; i < count; i++)
        put_u32(out, parameters[i]);
}

void ptpip_send_data(struct camera *camera, uint32_t tid, const void *data, size_t size)
{
    struct bytes *out = &camera->command.out;
    const unsigned char *at = data;
    begin(out, 12, START_DATA);
    put_u32(out, tid);
    put_u64(out, size);
    for (size_t left = size;;) {
        size_t part = left > PACKET_MAX ? PACKET_MAX : left;
        begin(out, 4 + part, part == left ? END_DATA : DATA);
        put_u32(out, tid);
        put(out, at, part);
        at += part;
        left -= part;
        if (!left)
            break;
    }
}

static void mark(struct camera *camera, enum mark_action action, uint64_t after)
{
    struct connection *link = &camera->command;
    link->mark = action;
    link->mark_at = link->sent + link->out.size + 32 + after;
    link->hold_ms = camera->faults.stall_ms;
}

void ptpip_send_object(struct camera *camera, uint32_t tid, const void *data, size_t size)
{
    struct faults *faults = &camera->faults;
    if (faults->drops > 0 && size > faults->drop_after) {
        faults->drops--;
        mark(camera, MARK_DROP, faults->drop_after);
    } else if (faults->drops > 0) {
        faults->drop_after -= size; /* it is meant of the whole file: the next part has it */
    } else if (faults->stalls > 0) {
        faults->stalls--;
        mark(camera, MARK_HOLD, faults->stall_after < size ? faults->stall_after : size / 2);
    } else if (card_chance(camera) && !card_random(camera, 3) && size) {
        mark(camera, MARK_DROP, card_random(camera, size));
    }
    ptpip_send_data(camera, tid, data, size);
}

void ptpip_event(struct camera *camera, unsigned code, uint32_t parameter)
{
    struct bytes *out = &camera->event.out;
    if (!camera->event_greeted)
        return;
    begin(out, 18, EVENT);
    put_u16(out, code);
    put_u32(out, 0);
    put_u32(out, parameter);
    put_u32(out, 0);
    put_u32(out, 0);
}

void ptpip_hang_up(struct camera *camera)
{
    struct connection *links[] = {&camera->command, &camera->event};
    for (int i = 0; i < 2; i++) {
        if (links[i]->fd >= 0)
            close(links[i]->fd);
        free(links[i]->in.data);
        free(links[i]->out.data);
        *links[i] = (struct connection){.fd = -1};
    }
    camera->greeted = camera->event_greeted = camera->pending = false;
    camera->data_in.size = 0;
    /* What was in its memory alone is gone with the session. */
    for (size_t i = 0; i < camera->object_count; i++)
        camera->objects[i].deleted |= camera->objects[i].in_memory;
}

static void greet(struct camera *camera)
{
    static const unsigned char guid[16] = "parfocal-testcam";
    struct bytes *out = &camera->command.out;
    size_t length = strlen(camera->model);
    begin(out, 4 + 16 + 2 * (length + 1) + 4, INIT_COMMAND_ACK);
    put_u32(out, ++camera->connection_number);
    put(out, guid, sizeof(guid));
    for (size_t i = 0; i <= length; i++)
        put_u16(out, (unsigned char)camera->model[i]);
    put_u32(out, 0x00010000);
    camera->greeted = true;
}

static void operate(struct camera *camera, const unsigned char *packet, uint32_t size)
{
    if (size < 18)
        return;
    memset(camera->pending_parameters, 0, sizeof(camera->pending_parameters));
    camera->pending_code = u16_at(packet + 12);
    camera->pending_tid = u32_at(packet + 14);
    for (uint32_t at = 18, i = 0; at + 4 <= size && i < 5; at += 4, i++)
        camera->pending_parameters[i] = u32_at(packet + at);
    camera->operations[camera->pending_code]++;
    fprintf(camera->log, "%lld operation %04x %x %x %x\n", (long long)now_ms(),
            camera->pending_code, camera->pending_parameters[0], camera->pending_parameters[1],
            camera->pending_parameters[2]);
    fflush(camera->log);
    if (camera->faults.hang) {
        fprintf(camera->log, "%lld no answer\n", (long long)now_ms());
        fflush(camera->log);
        camera->next_stale_ms = now_ms() + STALE_MS;
        return;
    }
    if (ptp_expects_data(camera, camera->pending_code))
        camera->pending = true;
    else
        ptp_answer(camera, camera->pending_code, camera->pending_tid, camera->pending_parameters,
                   &camera->data_in);
}

static void take_command(struct camera *camera, const unsigned char *packet, uint32_t size)
{
    switch (u32_at(packet + 4)) {
    case INIT_COMMAND:
        greet(camera);
        break;
    case OPERATION:
        operate(camera, packet, size);
        break;
    case DATA:
    case END_DATA:
        if (size > 12)
            put(&camera->data_in, packet + 12, size - 12);
        if (u32_at(packet + 4) == END_DATA && camera->pending) {
            camera->pending = false;
            ptp_answer(camera, camera->pending_code, camera->pending_tid,
                       camera->pending_parameters, &camera->data_in);
            camera->data_in.size = 0;
        }
        break;
    default:
        break;
    }
}

void ptpip_take(struct camera *camera, bool event)
{
    struct connection *link = event ? &camera->event : &camera->command;
    while (link->in.size >= HEADER_BYTES) {
        uint32_t size = u32_at(link->in.data);
        if (size < HEADER_BYTES) {
            ptpip_hang_up(camera);
            return;
        }
        if (link->in.size < size)
            return;
        if (!event) {
            take_command(camera, link->in.data, size);
        } else if (u32_at(link->in.data + 4) == INIT_EVENT) {
            begin(&link->out, 0, INIT_EVENT_ACK);
            camera->event_greeted = true;
        }
        if (link->fd < 0)
            return;
        drop_front(&link->in, size);
    }
}
