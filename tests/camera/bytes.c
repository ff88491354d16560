#include <stdlib.h>
#include <string.h>

#include "tests/camera/camera.h"

void put(struct bytes *bytes, const void *data, size_t size)
{
    if (bytes->size + size > bytes->capacity) {
        bytes->capacity = (bytes->size + size) * 2;
        bytes->data = realloc(bytes->data, bytes->capacity);
        if (!bytes->data)
            die("out of memory");
    }
    if (size)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

static void put_number(struct bytes *bytes, uint64_t value, int size)
{
    unsigned char raw[8];
    for (int i = 0; i < size; i++)
        raw[i] = (unsigned char)(value >> (8 * i));
    put(bytes, raw, (size_t)size);
}

void put_u8(struct bytes *bytes, unsigned value)
{
    put_number(bytes, value, 1);
}

void put_u16(struct bytes *bytes, unsigned value)
{
    put_number(bytes, value, 2);
}

void put_u32(struct bytes *bytes, uint32_t value)
{
    put_number(bytes, value, 4);
}

void put_u64(struct bytes *bytes, uint64_t value)
{
    put_number(bytes, value, 8);
}

void put_string(struct bytes *bytes, const char *text)
{
    size_t length = strlen(text);
    put_u8(bytes, length ? (unsigned)length + 1 : 0);
    for (size_t i = 0; length && i <= length; i++)
        put_u16(bytes, (unsigned char)text[i]);
}

void drop_front(struct bytes *bytes, size_t size)
{
    bytes->size -= size;
    if (bytes->size)
        memmove(bytes->data, bytes->data + size, bytes->size);
}

uint32_t u32_at(const unsigned char *data)
{
    return data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

unsigned u16_at(const unsigned char *data)
{
    return data[0] | (unsigned)data[1] << 8;
}
