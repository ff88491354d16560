/* CR2 as Canon writes it: a TIFF of four directories, the last of which has the sensor's values in lossless JPEG of two
 * components, cut into upright slices one after the other.
 *
 * An EOS 5D Mark II, whose sensor here is as large as the picture and a dark border that the maker's note tells of;
 * or, if the model says so, an EOS 350D, whose borders and black LibRaw finds from the sensor's size, which
 * only a picture of 3474 x 2314 has. Source: the tag tables of ExifTool, LibRaw's reading of the note.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/gen/ljpeg.h"
#include "tests/gen/makers.h"
#include "tests/gen/rows.h"

enum { LINEAR_BELOW_WHITE = 600 };

/* What differs from body to body. */
static const struct camera {
    const char *model;
    struct pf_gen_body body;
    uint32_t id;
    int bits, left, top;
    int slices;       /* of one width, before the last */
    bool sensor_info; /* tells its borders */
    int colour_count, colour_version;
    int colour_gains, colour_levels; /* black of the four filters; with colour_white two of white */
    bool colour_white;
} cameras[] = {
    {.model = "Canon EOS 5D Mark II",
     .body = {{0.4716f, 0.0603f, -0.0830f, -0.7798f, 1.5474f, 0.2480f, -0.1496f, 0.1937f, 0.6651f},
              {2100, 1024, 1500},
              1024,
              15600,
              2,
              "\0\1\1\2"},
     .id = 0x80000218,
     .bits = 14,
     .left = 16,
     .top = 8,
     .slices = 2,
     .sensor_info = true,
     .colour_count = 1250,
     .colour_version = 6,
     .colour_gains = 0x3f,
     .colour_levels = 0x2cb,
     .colour_white = true},
    {.model = "Canon EOS 350D DIGITAL",
     .body = {{0.6018f, -0.0617f, -0.0965f, -0.8645f, 1.5881f, 0.2975f, -0.1530f, 0.1719f, 0.7642f},
              {2100, 1024, 1500},
              256,
              4095,
              2,
              "\0\1\1\2"},
     .id = 0x80000189,
     .bits = 12,
     .left = 42,
     .top = 14,
     .slices = 1,
     .colour_count = 582,
     .colour_gains = 0x19,
     .colour_levels = 0xa6},
};

/* The maker's note; its offsets are those of the file. */
static size_t put_note(struct pf_gen_bytes *file, const struct camera *camera,
                       const struct pf_gen_exif *exif, int width, int height, int columns, int rows)
{
    const struct pf_gen_body *body = &camera->body;
    struct pf_gen_directory note = {.entries = 0};
    /* The borders of the picture: LibRaw takes its last column and row for the first outside. */
    const uint16_t sensor[17] = {34,
                                 (uint16_t)columns,
                                 (uint16_t)rows,
                                 1,
                                 1,
                                 (uint16_t)camera->left,
                                 (uint16_t)camera->top,
                                 (uint16_t)(camera->left + width),
                                 (uint16_t)(camera->top + height)};
    uint16_t colour[1250] = {(uint16_t)camera->colour_version};
    for (int i = 0; i < 4; i++) {
        colour[camera->colour_gains + i] = body->gain[i == 0 ? 0 : i == 3 ? 2 : 1];
        colour[camera->colour_levels + i] = (uint16_t)body->black;
    }
    if (camera->colour_white) {
        colour[camera->colour_levels + 4] = (uint16_t)(body->white - LINEAR_BELOW_WHITE);
        colour[camera->colour_levels + 5] = (uint16_t)body->white;
    }
    pf_gen_text(&note, 0x0006, camera->model);
    if (exif->serial)
        pf_gen_long(&note, 0x000c, (uint32_t)strtoul(exif->serial, NULL, 10));
    pf_gen_long(&note, 0x0010, camera->id);
    pf_gen_text(&note, 0x0095, exif->lens);
    if (camera->sensor_info)
        pf_gen_shorts(&note, 0x00e0, sensor, 17);
    pf_gen_shorts(&note, 0x4001, colour, camera->colour_count);
    return pf_gen_directory_write(file, &note);
}

/* The slices' rows one after the other, as if they were the rows of a picture as wide as all. */
static uint16_t *sliced(const uint16_t *sensor, int columns, int rows, int slices, int slice)
{
    uint16_t *stream = pf_gen_alloc((size_t)columns * (size_t)rows, sizeof(*stream)), *to = stream;
    for (int i = 0; i <= slices; i++) {
        int begin = i * slice, end = i < slices ? begin + slice : columns;
        for (int y = 0; y < rows; y++, to += end - begin)
            memcpy(to, sensor + (size_t)y * (size_t)columns + begin,
                   (size_t)(end - begin) * sizeof(*to));
    }
    return stream;
}

/* The picture beside the sensor's data, a quarter as large: 16 bits in linear light on a camera. */
static void put_small(struct pf_gen_bytes *file, const uint16_t *samples, int width, int height)
{
    for (int y = 0; y < height / 4; y++)
        for (int x = 0; x < width / 4 * 3; x++) {
            size_t at = 3 * ((size_t)y * 4 * (size_t)width + (size_t)(x / 3) * 4) + (size_t)(x % 3);
            pf_gen_put_number(file, samples[at] >> 2, 2);
        }
}

uint8_t *pf_gen_cr2(const uint16_t *samples, int width, int height, const struct pf_gen_exif *exif,
                    size_t *ret_bytes)
{
    struct pf_gen_bytes file = {.size = 0};
    struct pf_gen_directory directory = {.entries = 0};
    const struct camera *camera = &cameras[0];
    if (exif->model && !strcmp(exif->model, cameras[1].model))
        camera = &cameras[1];
    const int beyond = camera->sensor_info; /* see put_note() */
    int columns = (camera->left + width + beyond + 1) & ~1, rows = camera->top + height + beyond;
    int slice = columns / (camera->slices + 1) & ~1;
    char time[20];
    pf_gen_exif_time(exif, time);
    pf_gen_put(&file, "II*\0\x10\0\0\0CR\2\0\0\0\0\0", 16);

    pf_gen_short(&directory, 0x0100, (uint16_t)width);
    pf_gen_short(&directory, 0x0101, (uint16_t)height);
    pf_gen_shorts(&directory, 0x0102, (const uint16_t[]){8, 8, 8}, 3);
    pf_gen_short(&directory, 0x0103, 6);
    pf_gen_text(&directory, 0x010f, exif->make);
    pf_gen_text(&directory, 0x0110, exif->model);
    pf_gen_long(&directory, 0x0111, 0);
    pf_gen_short(&directory, 0x0112, (uint16_t)exif->orientation);
    pf_gen_long(&directory, 0x0117, 0);
    pf_gen_text(&directory, 0x0132, time);
    pf_gen_long(&directory, 0x8769, 0);
    size_t first = pf_gen_directory_write(&file, &directory);
    pf_gen_exif_directory(&directory, exif, width, height, 2, false);
    size_t shot = pf_gen_directory_write(&file, &directory);
    pf_gen_point(&file, first, 0x8769, 1, shot);
    size_t note = put_note(&file, camera, exif, width, height, columns, rows);
    pf_gen_point(&file, shot, 0x927c, (uint32_t)(file.size - note), note);

    pf_gen_long(&directory, 0x0201, 0);
    pf_gen_long(&directory, 0x0202, 0);
    size_t second = pf_gen_directory_write(&file, &directory);
    pf_gen_link(&file, first, second);

    pf_gen_short(&directory, 0x0100, (uint16_t)(width / 4));
    pf_gen_short(&directory, 0x0101, (uint16_t)(height / 4));
    pf_gen_shorts(&directory, 0x0102, (const uint16_t[]){16, 16, 16}, 3);
    pf_gen_short(&directory, 0x0103, 1);
    pf_gen_short(&directory, 0x0106, 2);
    pf_gen_long(&directory, 0x0111, 0);
    pf_gen_short(&directory, 0x0115, 3);
    pf_gen_short(&directory, 0x0116, (uint16_t)(height / 4));
    pf_gen_long(&directory, 0x0117, (uint32_t)(6 * (width / 4) * (height / 4)));
    pf_gen_short(&directory, 0x011c, 1);
    size_t third = pf_gen_directory_write(&file, &directory);
    pf_gen_link(&file, second, third);

    const uint16_t slices[3] = {(uint16_t)camera->slices, (uint16_t)slice,
                                (uint16_t)(columns - camera->slices * slice)};
    pf_gen_short(&directory, 0x0103, 6);
    pf_gen_long(&directory, 0x0111, 0);
    pf_gen_long(&directory, 0x0117, 0);
    pf_gen_long(&directory, 0xc5d8, 1);
    pf_gen_long(&directory, 0xc5e0, 1);
    pf_gen_shorts(&directory, 0xc640, slices, 3);
    size_t fourth = pf_gen_directory_write(&file, &directory);
    pf_gen_link(&file, third, fourth);
    pf_gen_set_number(&file, 12, (uint32_t)fourth, 4);

    size_t size;
    for (int i = 0; i < 2; i++) {
        uint8_t *preview = pf_gen_preview(samples, width, height, i ? 1 : 4, NULL, &size);
        pf_gen_point(&file, i ? first : second, i ? 0x0111 : 0x0201, 1, file.size);
        pf_gen_point(&file, i ? first : second, i ? 0x0117 : 0x0202, 1, size);
        pf_gen_put(&file, preview, size);
        free(preview);
    }
    pf_gen_point(&file, third, 0x0111, 1, file.size);
    put_small(&file, samples, width, height);

    uint16_t *sensor = pf_gen_sensor(&camera->body, samples, width, height, camera->left,
                                     camera->top, columns, rows);
    uint16_t *stream = sliced(sensor, columns, rows, camera->slices, slice);
    uint8_t *strip = pf_gen_ljpeg(stream, columns, rows, camera->bits, 2, &size);
    pf_gen_point(&file, fourth, 0x0111, 1, file.size);
    pf_gen_point(&file, fourth, 0x0117, 1, size);
    pf_gen_put(&file, strip, size);
    free(strip);
    free(stream);
    free(sensor);
    *ret_bytes = file.size;
    return file.data;
}
