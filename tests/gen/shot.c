/* What every maker's file tells of the shot: an EXIF directory and a JPEG preview. */
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "tests/gen/makers.h"
#include "tests/gen/rows.h"

void pf_gen_exif_directory(struct pf_gen_directory *to, const struct pf_gen_exif *exif, int width,
                           int height, int subsec_digits, bool serial)
{
    char time[20], subsec[8];
    pf_gen_exif_time(exif, time);
    snprintf(subsec, sizeof(subsec), "%03d", (int)(exif->time_ms % 1000));
    subsec[subsec_digits] = '\0';
    pf_gen_ratio(to, 0x829a, exif->exposure_s);
    pf_gen_ratio(to, 0x829d, exif->f_number);
    if (exif->iso > 0)
        pf_gen_short(to, 0x8827, exif->iso < 65535 ? (uint16_t)exif->iso : 65535);
    pf_gen_undefined(to, 0x9000, "0230", 4);
    pf_gen_text(to, 0x9003, time);
    pf_gen_text(to, 0x9004, time);
    pf_gen_text(to, 0x9011, exif->offset);
    pf_gen_ratio(to, 0x920a, exif->focal_mm);
    pf_gen_undefined(to, 0x927c, NULL, 0);
    if (exif->subsec)
        pf_gen_text(to, 0x9291, subsec);
    pf_gen_long(to, 0xa002, (uint32_t)width);
    pf_gen_long(to, 0xa003, (uint32_t)height);
    if (serial)
        pf_gen_text(to, 0xa431, exif->serial);
    pf_gen_text(to, 0xa434, exif->lens);
}

size_t pf_gen_exif_begin(struct pf_gen_bytes *to, const struct pf_gen_exif *exif, int width,
                         int height, int subsec_digits, bool serial)
{
    struct pf_gen_directory directory = {.entries = 0};
    pf_gen_put(to, "Exif\0\0II*\0\x08\0\0\0", 14);
    to->base = 6;
    pf_gen_text(&directory, 0x010f, exif->make);
    pf_gen_text(&directory, 0x0110, exif->model);
    pf_gen_short(&directory, 0x0112, (uint16_t)exif->orientation);
    pf_gen_long(&directory, 0x8769, 0);
    size_t first = pf_gen_directory_write(to, &directory);
    pf_gen_exif_directory(&directory, exif, width, height, subsec_digits, serial);
    size_t shot = pf_gen_directory_write(to, &directory);
    pf_gen_point(to, first, 0x8769, 1, shot);
    return shot;
}

uint8_t *pf_gen_preview(const uint16_t *samples, int width, int height, int step,
                        const struct pf_gen_bytes *app1, size_t *ret_bytes)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr manager; /* ends the program */
    unsigned long size = 0;
    uint8_t *bytes = NULL, *row = pf_gen_alloc((size_t)width, 3);
    info.err = jpeg_std_error(&manager);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &bytes, &size);
    info.image_width = (JDIMENSION)(width / step);
    info.image_height = (JDIMENSION)(height / step);
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    info.write_JFIF_header = !app1;
    jpeg_start_compress(&info, TRUE);
    if (app1)
        jpeg_write_marker(&info, JPEG_APP0 + 1, app1->data, (unsigned)app1->size);
    for (int y = 0; y < height / step; y++) {
        for (int x = 0; x < width / step; x++)
            for (int c = 0; c < 3; c++) {
                unsigned sum = 0;
                for (int i = 0; i < step * step; i++)
                    sum += samples[3 * ((size_t)(y * step + i / step) * (size_t)width +
                                        (size_t)(x * step + i % step)) +
                                   (size_t)c];
                row[3 * x + c] = (uint8_t)(sum / (unsigned)(step * step) / 257);
            }
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    free(row);
    *ret_bytes = size;
    return bytes;
}
