#include "tests/gen/container.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen/rows.h"

enum { ASCII = 2, SHORT = 3, LONG = 4, RATIONAL = 5, UNDEFINED = 7, ENTRY_BYTES = 12 };

void pf_gen_put(struct pf_gen_bytes *bytes, const void *data, size_t size)
{
    if (bytes->size + size > bytes->room) {
        bytes->room = 2 * bytes->room + size + 1024;
        uint8_t *grown = pf_gen_alloc(bytes->room, 1);
        if (bytes->size)
            memcpy(grown, bytes->data, bytes->size);
        free(bytes->data);
        bytes->data = grown;
    }
    if (data)
        memcpy(bytes->data + bytes->size, data, size);
    else
        memset(bytes->data + bytes->size, 0, size);
    bytes->size += size;
}

void pf_gen_set_number(struct pf_gen_bytes *bytes, size_t at, uint32_t number, int size)
{
    for (int i = 0; i < size; i++)
        bytes->data[at + (size_t)(bytes->big_endian ? size - 1 - i : i)] =
            (uint8_t)(number >> 8 * i);
}

void pf_gen_put_number(struct pf_gen_bytes *bytes, uint32_t number, int size)
{
    pf_gen_put(bytes, NULL, (size_t)size);
    pf_gen_set_number(bytes, bytes->size - (size_t)size, number, size);
}

void pf_gen_align(struct pf_gen_bytes *bytes, size_t multiple)
{
    size_t over = (bytes->size - bytes->base) % multiple;
    if (over)
        pf_gen_put(bytes, NULL, multiple - over);
}

static void add(struct pf_gen_directory *to, uint16_t tag, uint16_t type, size_t count)
{
    int i = to->entries++;
    if (i == PF_GEN_ENTRIES || (i && to->entry[i - 1].tag >= tag)) {
        fprintf(stderr, "generator: tag %#x has no place in its directory\n", tag);
        exit(1);
    }
    to->entry[i].tag = tag;
    to->entry[i].type = type;
    to->entry[i].count = (uint32_t)count;
    to->entry[i].at = to->values.size;
}

void pf_gen_shorts(struct pf_gen_directory *to, uint16_t tag, const uint16_t *values, int count)
{
    add(to, tag, SHORT, (size_t)count);
    for (int i = 0; i < count; i++)
        pf_gen_put_number(&to->values, values[i], 2);
}

void pf_gen_short(struct pf_gen_directory *to, uint16_t tag, uint16_t value)
{
    pf_gen_shorts(to, tag, &value, 1);
}

void pf_gen_longs(struct pf_gen_directory *to, uint16_t tag, const uint32_t *values, int count)
{
    add(to, tag, LONG, (size_t)count);
    for (int i = 0; i < count; i++)
        pf_gen_put_number(&to->values, values[i], 4);
}

void pf_gen_long(struct pf_gen_directory *to, uint16_t tag, uint32_t value)
{
    pf_gen_longs(to, tag, &value, 1);
}

void pf_gen_text(struct pf_gen_directory *to, uint16_t tag, const char *text)
{
    if (!text)
        return;
    add(to, tag, ASCII, strlen(text) + 1);
    pf_gen_put(&to->values, text, strlen(text) + 1);
}

void pf_gen_ratio(struct pf_gen_directory *to, uint16_t tag, double value)
{
    if (value <= 0)
        return;
    bool one_over = value < 1 && fabs(1 / value - round(1 / value)) < 1e-3;
    add(to, tag, RATIONAL, 1);
    pf_gen_put_number(&to->values, one_over ? 1 : (uint32_t)lrint(value * 1000), 4);
    pf_gen_put_number(&to->values, one_over ? (uint32_t)lrint(1 / value) : 1000, 4);
}

void pf_gen_undefined(struct pf_gen_directory *to, uint16_t tag, const void *data, size_t size)
{
    add(to, tag, UNDEFINED, size);
    pf_gen_put(&to->values, data, size);
}

static size_t value_bytes(const struct pf_gen_directory *directory, int i)
{
    size_t end = i + 1 < directory->entries ? directory->entry[i + 1].at : directory->values.size;
    return end - directory->entry[i].at;
}

size_t pf_gen_directory_write(struct pf_gen_bytes *bytes, struct pf_gen_directory *directory)
{
    pf_gen_align(bytes, 2);
    size_t at = bytes->size;
    pf_gen_put_number(bytes, (uint32_t)directory->entries, 2);
    pf_gen_put(bytes, NULL, (size_t)directory->entries * ENTRY_BYTES + 4);
    for (int i = 0; i < directory->entries; i++) {
        size_t slot = at + 2 + (size_t)i * ENTRY_BYTES, size = value_bytes(directory, i);
        const uint8_t *value = directory->values.data + directory->entry[i].at;
        pf_gen_set_number(bytes, slot, directory->entry[i].tag, 2);
        pf_gen_set_number(bytes, slot + 2, directory->entry[i].type, 2);
        pf_gen_set_number(bytes, slot + 4, directory->entry[i].count, 4);
        if (size > 4) {
            pf_gen_align(bytes, 2);
            pf_gen_set_number(bytes, slot + 8, (uint32_t)(bytes->size - bytes->base), 4);
            pf_gen_put(bytes, value, size);
        } else if (size) {
            memcpy(bytes->data + slot + 8, value, size);
        }
    }
    pf_gen_align(bytes, 2);
    free(directory->values.data);
    *directory = (struct pf_gen_directory){.values.big_endian = bytes->big_endian};
    return at;
}

static size_t entries_of(const struct pf_gen_bytes *bytes, size_t directory)
{
    return bytes->data[directory + (bytes->big_endian ? 1 : 0)];
}

void pf_gen_point(struct pf_gen_bytes *bytes, size_t directory, uint16_t tag, uint32_t count,
                  size_t target)
{
    struct pf_gen_bytes wanted = {.big_endian = bytes->big_endian};
    pf_gen_put_number(&wanted, tag, 2);
    for (size_t i = 0; i < entries_of(bytes, directory); i++) {
        size_t slot = directory + 2 + i * ENTRY_BYTES;
        if (memcmp(bytes->data + slot, wanted.data, 2) != 0)
            continue;
        pf_gen_set_number(bytes, slot + 4, count, 4);
        pf_gen_set_number(bytes, slot + 8, (uint32_t)(target - bytes->base), 4);
    }
    free(wanted.data);
}

void pf_gen_link(struct pf_gen_bytes *bytes, size_t directory, size_t next)
{
    size_t at = directory + 2 + entries_of(bytes, directory) * ENTRY_BYTES;
    pf_gen_set_number(bytes, at, (uint32_t)(next - bytes->base), 4);
}
