/* The control port: one command a line, one line of answer. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/camera/camera.h"

static void answer(struct camera *camera, const char *text)
{
    put(&camera->control.out, text, strlen(text));
    put(&camera->control.out, "\n", 1);
}

/*   shoot [N [MS]]     takes N pictures, one every MS
 *   pairs 0|1          each shot gives two files
 *   busy|lose|short|refuse N       the next N times
 *   drop N BYTES       the next N downloads lose the link after BYTES
 *   stall N BYTES MS   the next N downloads stop for MS after BYTES
 *   hang 0|1           answers only with what is stale
 *   faults PERCENT SEED            busy, lose, short and drop at random
 *   full 0|1           the card
 *   battery PERCENT
 *   chatter 0|1        says without pause that a property has changed
 *   expose MS          a Nikon that is told to shoot has its picture so much later
 *   later SECONDS      its clock goes on
 *   unplug | plug      nobody answers any more, until it does
 *   format             the card is emptied
 *   rewind             the counter of names begins again
 *   jump N [AFTER]     the next drive, or the one after so many, goes N steps too far
 *   focus              says the focus position and how often it was driven
 *   left               says how many shots are still due
 *   count CODE         says how often the operation (hexadecimal) was asked
 *   sessions | downloads           say how many there were
 *   list               says the files on the card: name, size, path, each behind a '|'
 *   quit
 */
static void obey(struct camera *camera, char *line)
{
    struct faults *faults = &camera->faults;
    char word[32] = "", text[64] = "ok";
    long long a = 1, b = 0, c = 0;
    int count = sscanf(line, "%31s %lld %lld %lld", word, &a, &b, &c);
    if (!strcmp(word, "shoot")) {
        camera->shots_due += (int)a;
        camera->shot_every_ms = b;
        camera->next_shot_ms = now_ms();
        card_tick(camera);
    } else if (!strcmp(word, "pairs")) {
        camera->pairs = a;
    } else if (!strcmp(word, "busy")) {
        faults->busy = (int)a;
    } else if (!strcmp(word, "lose")) {
        faults->lose = (int)a;
    } else if (!strcmp(word, "short")) {
        faults->shorts = (int)a;
    } else if (!strcmp(word, "refuse")) {
        faults->refuse = (int)a;
    } else if (!strcmp(word, "drop")) {
        faults->drops = (int)a;
        faults->drop_after = (uint64_t)b;
    } else if (!strcmp(word, "stall")) {
        faults->stalls = (int)a;
        faults->stall_after = (uint64_t)b;
        faults->stall_ms = c;
    } else if (!strcmp(word, "hang")) {
        faults->hang = a;
    } else if (!strcmp(word, "faults")) {
        faults->percent = (int)a;
        faults->random = 88172645463325252ull ^ (uint64_t)b * 2654435761u;
    } else if (!strcmp(word, "full")) {
        camera->full = a;
    } else if (!strcmp(word, "battery")) {
        camera->battery = (unsigned)a;
    } else if (!strcmp(word, "chatter")) {
        camera->chatters = a;
    } else if (!strcmp(word, "later")) {
        camera->clock_s += a;
    } else if (!strcmp(word, "expose")) {
        camera->expose_ms = a;
    } else if (!strcmp(word, "unplug")) {
        camera->unplugged = true;
        ptpip_hang_up(camera);
    } else if (!strcmp(word, "plug")) {
        camera->unplugged = false;
    } else if (!strcmp(word, "format")) {
        for (size_t i = 0; i < camera->object_count; i++)
            camera->objects[i].deleted |= camera->objects[i].file != NULL;
    } else if (!strcmp(word, "rewind")) {
        camera->counter = 0;
    } else if (!strcmp(word, "jump")) {
        camera->jump = (int)a;
        camera->jump_after = (int)b;
    } else if (!strcmp(word, "focus")) {
        snprintf(text, sizeof(text), "%d %d", camera->focus, camera->drives);
    } else if (!strcmp(word, "left")) {
        snprintf(text, sizeof(text), "%d", camera->shots_due);
    } else if (!strcmp(word, "count")) {
        unsigned code = 0;
        sscanf(line, "%*s %x", &code);
        snprintf(text, sizeof(text), "%u", camera->operations[code & 0xffff]);
    } else if (!strcmp(word, "sessions")) {
        snprintf(text, sizeof(text), "%u", camera->sessions);
    } else if (!strcmp(word, "downloads")) {
        snprintf(text, sizeof(text), "%u", camera->downloads);
    } else if (!strcmp(word, "list")) {
        text[0] = '\0';
        for (size_t i = 0; i < camera->object_count; i++) {
            const struct object *object = &camera->objects[i];
            if (!object->file || object->deleted)
                continue;
            char entry[4400];
            snprintf(entry, sizeof(entry), "|%s %llu %s", object->name,
                     (unsigned long long)object->size, object->file);
            put(&camera->control.out, entry, strlen(entry));
        }
    } else if (!strcmp(word, "quit")) {
        exit(0);
    } else {
        snprintf(text, sizeof(text), "what is %.30s?", count > 0 ? word : "that");
    }
    answer(camera, text);
}

void control_take(struct camera *camera)
{
    struct bytes *in = &camera->control.in;
    unsigned char *end;
    while (in->size && (end = memchr(in->data, '\n', in->size))) {
        *end = '\0';
        obey(camera, (char *)in->data);
        drop_front(in, (size_t)(end - in->data) + 1);
    }
}
